"""The pytest plugin: grade rows in tests, show why a reward is what it is, and hold rewards where they are.

Loaded in every pytest run of its environment, so at the top it imports pytest and light standard-library modules only;
the engine is imported by the fixtures. `-p no:graders` leaves it out. docs/pytest.md teaches it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from graders.engine.backends import Backends
    from graders.engine.grader import Grader
    from graders.judges.scripted import ScriptedJudge
    from graders.result import RunResult
    from graders.testing.golden import Golden
    from graders_sandbox import Limits

OPTIONS = (
    # option, ini key, what it takes, help
    ("--grader-spec", "grader_spec", "PATH", "The spec of tests that name none."),
    ("--grader-config", "grader_config", "PATH", "graders.toml: endpoints of judges and other settings."),
    ("--grader-max-rows", "grader_max_rows", "N", "At most so many rows of each file named by grader_rows."),
    (
        "--grader-seed",
        "grader_seed",
        "N",
        "Which rows, when there are more: a sample with this seed, not the first.",
    ),
)
MARKERS = (
    "grader(spec, *, limits={}): the spec that the fixtures of this test grade by; limits of the sandbox (wall_s, ...)",
    "grader_rows(path, *, spec=None, max_rows=None, seed=None): run the test once for each row of a file, as `row`",
)


# --- set-up ---------------------------------------------------------------------------------------------------------


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("graders")
    for option, ini, metavar, text in OPTIONS:
        group.addoption(option, metavar=metavar, help=f"{text} Ini key: {ini}.")
        parser.addini(ini, text)
    group.addoption(
        "--grader-update", action="store_true", help="Write golden rewards instead of comparing with them."
    )
    parser.addini("grader_limits", "Limits of the sandbox: wall_s=2 memory_bytes=500000000 ...", type="args")
    parser.addini(
        "grader_golden_dir", "Where golden rewards are, seen from the test's folder.", default="golden"
    )


def pytest_configure(config: pytest.Config) -> None:
    for marker in MARKERS:
        config.addinivalue_line("markers", marker)
    config.stash[_STATE] = State(config)


def pytest_unconfigure(config: pytest.Config) -> None:
    state = config.stash.get(_STATE, None)
    if state is not None:
        state.close()


class State:
    """What the fixtures of one run share: compiled graders, backends, and the test that runs now.

    `grade` and `grader_batch` live as long as the run (hypothesis asks for that) and yet grade by the running test's
    spec, so they look here when they are called.
    """

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.item: pytest.Item | None = None
        self.judge: ScriptedJudge | None = None  # of the test that runs now, where it has one
        self.parts: Path | None = (
            None  # where processes leave updates of golden files; None: one process only
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
        """A path as seen from the test's folder, from where pytest was started, or from the root; else as it is."""
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
        """Those of the run, or of a test that has limits or a judge of its own; each made once."""
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
        """Close what was connected to a judge that is about to go."""
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


_STATE = pytest.StashKey[State]()


def pytest_runtest_setup(item: pytest.Item) -> None:
    item.config.stash[_STATE].item = item


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> None:
    """Compile before the test begins: hypothesis holds the first call to its deadline as well."""
    state = item.config.stash[_STATE]
    if "grade" in getattr(item, "fixturenames", ()) and state.spec(item) is not None:
        state.grader(item)


# --- rows -----------------------------------------------------------------------------------------------------------


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    marker = metafunc.definition.get_closest_marker("grader_rows")
    if marker is None:
        return
    if not marker.args:
        raise pytest.UsageError(f"{metafunc.definition.nodeid}: grader_rows needs the path of a file of rows")
    if "row" not in metafunc.fixturenames:
        raise pytest.UsageError(
            f"{metafunc.definition.nodeid} has grader_rows, but neither `row` nor `reward` as argument"
        )
    from graders.audit.rows import load_rows

    state = metafunc.config.stash[_STATE]
    max_rows = marker.kwargs.get("max_rows", state.number("--grader-max-rows", "grader_max_rows"))
    seed = marker.kwargs.get("seed", state.number("--grader-seed", "grader_seed"))
    try:
        rows = load_rows(state.located(marker.args[0], metafunc.definition), max_rows, seed)
    except ValueError as error:
        raise pytest.UsageError(f"{metafunc.definition.nodeid}: {error}") from None
    ids = [str(row.get("id", index)) for index, row in enumerate(rows)]
    rows = [{**row, "id": id} for row, id in zip(rows, ids, strict=True)]
    metafunc.parametrize("row", rows, ids=ids)


# --- fixtures -------------------------------------------------------------------------------------------------------


class Reward(float):
    """A reward that knows where it comes from. Of a row that failed it is NaN, which is equal to nothing.

    Attributes:
        result: The RunResult; its attributes (ok, flags, sub_rewards, metadata ...) can be asked of the reward itself.
        grader, sample, item: What was graded by what.
    """

    grader: Grader
    result: RunResult
    sample: Any
    item: Mapping[str, Any]

    def __new__(cls, grader: Grader, result: RunResult, sample: Any, item: Mapping[str, Any]) -> Reward:
        reward = super().__new__(cls, result.reward if result.ok else float("nan"))
        reward.grader, reward.result, reward.sample, reward.item = grader, result, sample, item
        return reward

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name == "result":
            raise AttributeError(name)
        return getattr(self.result, name)

    def __repr__(self) -> str:
        return float.__repr__(self) if self.result.ok else f"failed ({', '.join(self.result.flags)})"

    def explain(self) -> list[str]:
        """Flags, sub-rewards, rendered texts and a diff, as lines."""
        from graders.audit.explain import explained

        return explained(self.grader, self.result, self.sample, self.item)


def _reward(grader: Grader, sample: Any, item: Mapping[str, Any] | None, row_id: str) -> Reward:
    return Reward(grader, grader.run(sample, item, id=row_id), sample, item or {})


def _graded_of(row: Mapping[str, Any]) -> tuple[Any, Mapping[str, Any]]:
    """What is graded of a row: its sample, or its gold where it has no sample, and its item."""
    from graders.fields import detect_fields, item_of, sample_of

    if "sample" not in row and "gold" in row:
        row = {**row, "sample": row["gold"]}
        row.setdefault("item", {})
    fields = detect_fields(row, samples=False)
    return sample_of(row, fields), item_of(row, fields)


@pytest.fixture
def grader(request: pytest.FixtureRequest) -> Grader:
    """The compiled grader of this test: of its marker `grader(spec)` or `grader_rows(spec=)`, --grader-spec, or the ini file."""
    if "fake_judge" in request.fixturenames:
        request.getfixturevalue("fake_judge")
    return request.config.stash[_STATE].grader(request.node)


@pytest.fixture(scope="session")
def grade(request: pytest.FixtureRequest) -> Callable[..., Reward]:
    """grade(sample, item=None, *, spec=None, id=""): the Reward of one sample, by this test's spec or another."""
    state = request.config.stash[_STATE]

    def grade(
        sample: Any, item: Mapping[str, Any] | None = None, *, spec: Any = None, id: str = ""
    ) -> Reward:
        return _reward(state.grader(state.running(), spec), sample, item, id)

    return grade


@pytest.fixture
def reward(request: pytest.FixtureRequest, row: Mapping[str, Any], grader: Grader) -> Reward:
    """The Reward of this test's row: of its `sample`, else of its `gold`. Needs the marker grader_rows."""
    return _reward(grader, *_graded_of(row), row["id"])


@pytest.fixture
def row() -> Mapping[str, Any]:
    """This test's row of the file named by its marker grader_rows, with its id."""
    raise pytest.UsageError("`row` and `reward` need @pytest.mark.grader_rows('rows.jsonl') on the test")


@pytest.fixture(scope="session")
def grader_batch(request: pytest.FixtureRequest) -> Callable[..., list[Reward]]:
    """grader_batch(rows, *, spec=None): a Reward for each row ({"sample" or "gold", "item", "id"}) or file of rows, in order."""
    state = request.config.stash[_STATE]

    def grader_batch(rows: Iterable[Mapping[str, Any]] | str | Path, *, spec: Any = None) -> list[Reward]:
        item = state.running()
        grader = state.grader(item, spec)
        if isinstance(rows, (str, Path)):
            from graders.audit.rows import load_rows

            rows = load_rows(state.located(rows, item))
        whole = []
        for row in rows:
            sample, of_row = _graded_of(row)
            whole.append({"sample": sample, "item": of_row, "id": str(row.get("id", ""))})
        results = grader.run_batch(whole)
        return [
            Reward(grader, result, row["sample"], row["item"])
            for row, result in zip(whole, results, strict=True)
        ]

    return grader_batch


@pytest.fixture
def sandbox_limits(request: pytest.FixtureRequest) -> Limits:
    """What one sample of a python grader may use in this test: the marker's `limits`, over the ini key grader_limits."""
    return request.config.stash[_STATE].backends(request.node).sandbox.limits


@pytest.fixture
def fake_judge(request: pytest.FixtureRequest) -> Iterator[ScriptedJudge]:
    """A judge on loopback that answers as told; this test's judges are all sent to it.

    `fake_judge.default = say({"result": 1.0})` answers everything, `fake_judge.queue(say(...), fail(429))` the next
    requests (both from graders.testing); `fake_judge.received` is what came.
    """
    from graders.judges.scripted import ScriptedJudge

    state = request.config.stash[_STATE]
    with ScriptedJudge() as judge:
        state.judge = judge
        yield judge
        state.forget(judge)


class GraderServer:
    """A running `grader serve`.

    Attributes:
        base_url: What a client is given, with /v1.
    """

    def __init__(self, base_url: str) -> None:
        self.base_url = base_url

    def client(self, **options: Any) -> Any:
        """An openai client of it (needs the package openai)."""
        openai = pytest.importorskip("openai")
        return openai.OpenAI(base_url=self.base_url, api_key="none", **options)


@pytest.fixture(scope="session")
def grader_server(request: pytest.FixtureRequest) -> Iterator[GraderServer]:
    """The HTTP endpoints on a free port of loopback, for the whole run."""
    import socket
    import threading
    import time

    import uvicorn

    from graders.engine.backends import Backends
    from graders.server import app

    state = request.config.stash[_STATE]
    backends = Backends(config=state.option("--grader-config", "grader_config"))
    with socket.create_server(("127.0.0.1", 0)) as listener, backends:
        server = uvicorn.Server(uvicorn.Config(app(backends=backends), log_config=None, ws="none"))
        thread = threading.Thread(
            target=server.run, kwargs={"sockets": [listener]}, name="grader-server", daemon=True
        )
        thread.start()
        while not server.started and thread.is_alive():
            time.sleep(0.005)
        if not server.started:
            raise RuntimeError("the grader server did not start; its log says why")
        yield GraderServer(f"http://127.0.0.1:{listener.getsockname()[1]}/v1")
        server.should_exit = True
        thread.join(10)


@pytest.fixture
def grader_golden(request: pytest.FixtureRequest) -> Callable[..., None]:
    """grader_golden(rewards, *, name="", tolerance=None): the rewards are those of the golden file, or are written to it.

    `rewards` is one Reward (compared by its id) or all of them, as grader_batch returns them. The file is
    golden/<test file>__<test>.json beside the test, or golden/<name>.json; --grader-update writes it.
    """
    state = request.config.stash[_STATE]

    def grader_golden(
        rewards: Reward | Iterable[Reward], *, name: str = "", tolerance: float | None = None
    ) -> None:
        __tracebackhide__ = True
        from graders.testing.golden import Golden

        several = not isinstance(rewards, Reward)
        graded = [rewards] if isinstance(rewards, Reward) else list(rewards)
        if not graded:
            raise ValueError("there is no reward to compare with the golden file")
        function = getattr(request.node, "originalname", None) or request.node.name
        file = f"{name or f'{request.path.stem}__{function}'}.json"
        golden: Golden = Golden(
            request.path.parent / request.config.getini("grader_golden_dir") / file,
            update=request.config.getoption("--grader-update"),
            parts=state.parts,
        )
        results = [reward.result for reward in graded]
        golden.check(graded[0].grader, results if several else results[0], tolerance=tolerance)

    return grader_golden


# --- what failing asserts show -----------------------------------------------------------------------------------------


def pytest_assertrepr_compare(op: str, left: object, right: object) -> list[str] | None:
    for side in (left, right):
        if isinstance(side, Reward):
            return [f"{left!r} {op} {right!r}", *side.explain()]
    return None


# --- several processes (xdist): workers leave their updates of golden files in a folder, the controller merges them ------


def pytest_sessionstart(session: pytest.Session) -> None:
    config = session.config
    if not config.getoption("--grader-update"):
        return
    folder = getattr(config, "workerinput", {}).get("grader_parts")
    if folder is None:
        import tempfile

        folder = tempfile.mkdtemp(prefix="grader-parts-")
    config.stash[_STATE].parts = Path(folder)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """xdist: before a worker starts."""
    parts = node.config.stash[_STATE].parts
    if parts is not None:
        node.workerinput["grader_parts"] = str(parts)


def pytest_sessionfinish(session: pytest.Session) -> None:
    config = session.config
    parts = config.stash[_STATE].parts
    if parts is None or hasattr(config, "workerinput"):
        return
    import shutil

    from graders.testing.golden import merge

    config.stash[_WRITTEN] = merge(parts)
    shutil.rmtree(parts, ignore_errors=True)


_WRITTEN = pytest.StashKey[list[Path]]()


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    for path in config.stash.get(_WRITTEN, []):
        terminalreporter.write_line(f"golden rewards written: {path}")
