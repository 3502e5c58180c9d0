"""The state that the fixtures of one run share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from graders.engine.backends import Backends
    from graders.engine.grader import Grader
    from graders.judges.scripted import ScriptedJudge


class State:
    """The state that the fixtures of one run share: compiled graders, backends, and the running test.

    `grade` and `grader_batch` are session fixtures (hypothesis requires that) but use the running test's spec, which
    they look up here when called.
    """

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.item: pytest.Item | None = None
        # the running test's judge, if it has one
        self.judge: ScriptedJudge | None = None
        self.parts: Path | None = (
            # folder in which processes leave updates of golden files; None: a single process
            None
        )
        self._backends: dict[Any, Backends] = {}
        self._graders: dict[Any, Grader] = {}

    def option(self, option: str, ini: str) -> str | None:
        value = self.config.getoption(option)
        return value if value is not None else self.config.getini(ini) or None

    def number(self, option: str, ini: str) -> int | None:
        value = self.option(option, ini)
        try:
            return None if value is None else int(value)
        except ValueError:
            raise pytest.UsageError(f"{option} (ini {ini}) takes a whole number, not {value!r}") from None

    def spec(self, item: pytest.Item) -> Any:
        """The spec of a test: its nearest marker's, else the option's or the ini file's; None when none is named."""
        for marker in item.iter_markers("grader"):
            if marker.args:
                return self.located(marker.args[0], item)
        for marker in item.iter_markers("grader_rows"):
            if marker.kwargs.get("spec") is not None:
                return self.located(marker.kwargs["spec"], item)
        named = self.option("--grader-spec", "grader_spec")
        return None if named is None else self.located(named, item)

    def located(self, spec: Any, item: pytest.Item | pytest.Collector) -> Any:
        """A path relative to the test's folder, to the working directory, or to the root; else unchanged."""
        if not isinstance(spec, (str, Path)) or str(spec).lstrip().startswith("{"):
            return spec
        folders = (item.path.parent, self.config.invocation_params.dir, self.config.rootpath)
        return next((folder / spec for folder in folders if (folder / spec).exists()), folders[0] / spec)

    def limits(self, item: pytest.Item) -> dict[str, Any]:
        limits: dict[str, Any] = {}
        for setting in self.config.getini("grader_limits"):
            name, _, value = setting.partition("=")
            limits[name] = float(value) if "." in value else int(value)
        for marker in reversed(list(item.iter_markers("grader"))):
            limits.update(marker.kwargs.get("limits", {}))
        return limits

    def backends(self, item: pytest.Item) -> Backends:
        """The run's backends, or separate ones for a test with its own limits or judge; each made once."""
        judge = self.judge
        limits = self.limits(item)
        key = (id(judge) if judge else None, *sorted(limits.items()))
        if key not in self._backends:
            from graders.config.config import Config
            from graders.config.keys import TABLES
            from graders.engine.backends import Backends
            from graders.models import load_config

            config = load_config(self.option("--grader-config", "grader_config"))
            tables = {name: config.table(name) for name in TABLES if config.table(name)}
            if limits:
                sandbox = dict(config.table("sandbox"))
                tables["sandbox"] = {**sandbox, "limits": {**sandbox.get("limits", {}), **limits}}
            if judge:
                for name in ("endpoints", "judge"):
                    tables.pop(name, None)
                tables["models"] = {
                    "*": {"base_url": judge.base_url, "api_key_env": "", "structured": "json_schema"}
                }
            self._backends[key] = Backends(config=Config(tables, config.path))
        return self._backends[key]

    def grader(self, item: pytest.Item, spec: Any = None) -> Grader:
        """The compiled grader of a test, or of another spec under the test's backends."""
        import json

        from graders.engine.compile import compile

        spec = self.spec(item) if spec is None else self.located(spec, item)
        if spec is None:
            raise pytest.UsageError(
                f"{item.nodeid} grades by no spec: give it @pytest.mark.grader(spec), or the run --grader-spec or the "
                "ini key grader_spec"
            )
        backends = self.backends(item)
        key = (
            str(spec) if isinstance(spec, Path) else json.dumps(spec, sort_keys=True, default=id),
            id(backends),
        )
        if key not in self._graders:
            self._graders[key] = compile(spec, backends=backends)
        return self._graders[key]

    def running(self) -> pytest.Item:
        if self.item is None:
            raise pytest.UsageError(
                "grade and grader_batch grade by the running test's spec; no test is running"
            )
        return self.item

    def forget(self, judge: ScriptedJudge) -> None:
        """Close the backends that are connected to a judge before it ends."""
        self.judge = None
        for key in [key for key in self._backends if key[0] == id(judge)]:
            backends = self._backends.pop(key)
            self._graders = {
                k: grader for k, grader in self._graders.items() if grader.backends is not backends
            }
            backends.close()

    def close(self) -> None:
        while self._backends:
            self._backends.popitem()[1].close()


STATE = pytest.StashKey[State]()
