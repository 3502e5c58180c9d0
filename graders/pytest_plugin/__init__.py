"""The pytest plugin: grades rows in tests, explains rewards in failed assertions, and compares golden rewards.

It is loaded in every pytest run of its environment, so this module imports only pytest and light standard-library
modules; the fixtures import the engine when they are used. `-p no:graders` disables it. See docs/pytest.md.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from graders.pytest_plugin.fixtures import (
    fake_judge,
    grade,
    grader,
    grader_batch,
    grader_golden,
    reward,
    row,
    sandbox_limits,
)
from graders.pytest_plugin.rewards import Reward
from graders.pytest_plugin.server import grader_server
from graders.pytest_plugin.state import STATE, State

# pytest collects a plugin's fixtures from the names in its module
__all__ = [
    "fake_judge",
    "grade",
    "grader",
    "grader_batch",
    "grader_golden",
    "grader_server",
    "reward",
    "row",
    "sandbox_limits",
]

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
    config.stash[STATE] = State(config)


def pytest_unconfigure(config: pytest.Config) -> None:
    state = config.stash.get(STATE, None)
    if state is not None:
        state.close()


def pytest_runtest_setup(item: pytest.Item) -> None:
    item.config.stash[STATE].item = item


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> None:
    """Compile before the test begins, since hypothesis applies its deadline to the first call too."""
    state = item.config.stash[STATE]
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
    from graders.datasets.load import load_rows

    state = metafunc.config.stash[STATE]
    max_rows = marker.kwargs.get("max_rows", state.number("--grader-max-rows", "grader_max_rows"))
    seed = marker.kwargs.get("seed", state.number("--grader-seed", "grader_seed"))
    try:
        rows = load_rows(state.located(marker.args[0], metafunc.definition), max_rows, seed)
    except ValueError as error:
        raise pytest.UsageError(f"{metafunc.definition.nodeid}: {error}") from None
    ids = [str(row.get("id", index)) for index, row in enumerate(rows)]
    rows = [{**row, "id": row_id} for row, row_id in zip(rows, ids, strict=True)]
    metafunc.parametrize("row", rows, ids=ids)


# --- what failing asserts show
# -----------------------------------------------------------------------------------------


def pytest_assertrepr_compare(op: str, left: object, right: object) -> list[str] | None:
    for side in (left, right):
        if isinstance(side, Reward):
            return [f"{left!r} {op} {right!r}", *side.explain()]
    return None


# --- several processes (xdist): workers leave their updates of golden files in a folder, the controller merges them
# ------


def pytest_sessionstart(session: pytest.Session) -> None:
    config = session.config
    if not config.getoption("--grader-update"):
        return
    folder = getattr(config, "workerinput", {}).get("grader_parts")
    if folder is None:
        import tempfile

        folder = tempfile.mkdtemp(prefix="grader-parts-")
    config.stash[STATE].parts = Path(folder)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Prepare an xdist worker."""
    parts = node.config.stash[STATE].parts
    if parts is not None:
        node.workerinput["grader_parts"] = str(parts)


def pytest_sessionfinish(session: pytest.Session) -> None:
    config = session.config
    parts = config.stash[STATE].parts
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
