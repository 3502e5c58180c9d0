"""What programs print is kept, bounded, whatever becomes of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

import graders
from graders.cli import main
from graders_sandbox import TIERS, Job, Sandbox, protocol
from tests.cases import first
from tests.sandbox.jails import need

PRINTS = "import os, sys\ndef grade(sample, item):\n    {}\n    return 1.0\n"
CASES = [
    # body, status, printed
    pytest.param("pass", "value", "", id="nothing"),
    pytest.param("print('a', sample)", "value", "a x\n", id="a line"),
    pytest.param("print('a', end='')", "value", "a", id="no end of line"),
    pytest.param("print('a'); sys.stderr.write('b'); print('c')", "value", "a\nbc\n", id="errors among it"),
    pytest.param("sys.stdout.buffer.write(b'\\xff\\n')", "value", "\\xff\n", id="bytes"),
    pytest.param("print('\\x1b[31m\\ud800')", "value", "\\x1b[31m\\ud800\n", id="escapes"),
    pytest.param("print('a'); raise ValueError", "grader_error", "a\n", id="before an error"),
    pytest.param("print('a'); os._exit(0)", "no_result", "a\n", id="before it leaves"),
    pytest.param("print('a'); os.abort()", "crash", "a\n", id="before a crash"),
    pytest.param("print('a')\n    while True: pass", "timeout", "a\n", id="before its time is up"),
    pytest.param("print('a'); os.write(3, b'junk')", "protocol", "a\n", id="before what is no result"),
    pytest.param(
        "os.write(3, b'O\\xff\\xff\\xff\\xff')",
        "no_result",
        "V\\x00\\x00\\x00\\x00\\x00\\x00\\xf0?",
        id="a length of its own takes its own result",
    ),
]


@pytest.fixture(scope="module", params=first(2, TIERS))
def sandbox(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    need(request.param)
    with Sandbox(tier=request.param, in_flight=1) as sandbox:
        yield sandbox


@pytest.mark.parametrize(("body", "status", "printed"), CASES)
def test_the_outcome_has_the_printed_output(sandbox: Sandbox, body: str, status: str, printed: str) -> None:
    """The outcome has the printed output in each tier, also if the sample ends without a result."""
    timeout_s = 0.3 if status == "timeout" else 20
    outcome = sandbox.run(PRINTS.format(body), "x", {}, timeout_s=timeout_s)

    assert (outcome.status, outcome.printed) == (status, printed)


@pytest.mark.parametrize("per_process", [1, 3])
@pytest.mark.parametrize("line", ["", "n", "x" * 300, "x" * 100_000])
def test_more_than_is_kept_costs_no_result(line: str, per_process: int) -> None:
    """The first 8 kB are kept, and the result has room; each of several in one process has its own."""
    body = f"[print(sample, {line!r}) for _ in range(20_000 // (1 + len({line!r})) + 1)]"
    with Sandbox(in_flight=1, samples_per_process=per_process) as sandbox:
        outcomes = list(sandbox.run_many(Job(PRINTS.format(body), str(n), {}) for n in range(6)))

    assert [outcome.value for outcome in outcomes] == [1.0] * 6
    assert all(outcome.printed.startswith(f"{n} {line[:100]}") for n, outcome in enumerate(outcomes))
    assert all(len(outcome.printed) <= protocol.OUTPUT_MAX for outcome in outcomes)


SPEC = {
    "type": "python",
    "name": "p",
    "source": PRINTS.format("print('saw', sample['output_text']); item['x']"),
}
BOTH = {
    "type": "multi",
    "name": "m",
    "graders": {"one": SPEC, "two": {**SPEC, "name": "q"}},
    "calculate_output": "one + two",
}


def test_a_result_has_the_printed_output() -> None:
    """A result's provenance has the printed output, graded or not; a multi names the member."""
    with graders.compile(SPEC).backends:
        grader, both = graders.compile(SPEC), graders.compile(BOTH)

        assert grader.run("hi", {"x": 1}).provenance["printed"] == "saw hi\n"
        assert grader.run("hi", {}).provenance["printed"] == "saw hi\n"
        assert both.run("hi", {"x": 1}).provenance["graders"]["one"]["printed"] == "saw hi\n"
        assert both.run("hi", {}).provenance["graders"]["two"]["printed"] == "saw hi\n"


@pytest.mark.parametrize(("spec", "title"), [(SPEC, "printed:"), (BOTH, "printed by two:")])
def test_grader_run_shows_it(
    spec: dict[str, object], title: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The printed output goes to standard error, so that standard output stays JSON."""
    path = tmp_path / "p.json"
    path.write_text(json.dumps(spec))

    with pytest.raises(SystemExit):
        main(["run", str(path), "--sample", "hi", "--item", '{"x": 1}'])

    shown = capfd.readouterr()
    assert f"{title}\nsaw hi\n" in shown.err
    assert json.loads(shown.out)["metadata"]["name"] == spec["name"]
