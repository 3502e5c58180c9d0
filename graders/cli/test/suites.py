"""Finds the suite of a command, and the state of its files."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from graders.testing.suites import Suite

#: Names of suites beside, or in place of, graders.toml.
YAML_SUITES = ("graders.yaml", "graders.yml")


def state_of(tests: Suite, name: str) -> object:
    """The state of a test: its table, and time and size of each of its files."""
    from graders.datasets.read import files_of

    test = tests.tests[name]
    files = [
        str(tests.path(test.spec)),
        *(file for data in test.data for file in files_of(str(tests.path(data)))),
    ]
    return test, [(file, os.stat(file).st_mtime_ns, os.stat(file).st_size) for file in files]


def config_of_suite(named: str | None) -> str | None:
    """The named suite's file, if it is a graders.toml with more than tests, whose judges are then used.

    GRADERS_CONFIG takes precedence over it; a graders.toml that is only found does not.

    Raises:
        ConfigError: the file cannot be read, or is not a graders.toml.
    """
    from graders.config.config import load_config
    from graders.testing.suites import YAML_ENDINGS

    if named is None or named.endswith(YAML_ENDINGS) or os.environ.get("GRADERS_CONFIG"):
        return None
    return named if set(load_config(named).tables) > {"tests"} else None


def suite_of(named: str | None, config: str | None) -> Suite:
    """The named suite, or the one that is found here.

    Raises:
        SpecError, ConfigError: it is not valid, or does not exist.
    """
    from graders.config.config import ConfigError, load_config
    from graders.spec.reading import Source
    from graders.testing.suites import read_suite, suite_in

    if named is not None:
        return read_suite(named)
    found = load_config(config)
    if found.path is not None and "tests" in found.tables:
        return suite_in(Source(found.tables, file=_short(found.path)))
    for name in YAML_SUITES:
        if os.path.isfile(name):
            return read_suite(name)
    where = "there is no graders.toml here" if found.path is None else f"{found.path} has no [tests.NAME]"
    raise ConfigError(
        f"no tests: {where}, and no {YAML_SUITES[0]}; `grader init` writes an example, or name SUITE"
    )


def _short(path: Path) -> str:
    """A path relative to the working directory, if that is shorter."""
    with_dots = os.path.relpath(path)
    return with_dots if len(with_dots) < len(str(path)) else str(path)


@contextmanager
def results_folder(named: str | None) -> Iterator[Path]:
    """The folder of results: the requested one, or a temporary one."""
    if named is not None:
        Path(named).mkdir(parents=True, exist_ok=True)
        yield Path(named)
        return
    with tempfile.TemporaryDirectory(prefix="grader-test-") as temporary:
        yield Path(temporary)
