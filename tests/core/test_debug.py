"""`grader run --debug`: a program at work, in a debugger, after a yes."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

pty = pytest.importorskip("pty")

SOURCE = """def grade(sample, item):
    found = len(sample["output_text"])
    print("printed by the program")
    breakpoint()
    return found / 8
"""


@pytest.fixture
def run(tmp_path: Path) -> list[str]:
    """The command line."""
    spec = tmp_path / "spec.json"
    spec.write_text(json.dumps({"type": "python", "source": SOURCE}))
    return [sys.executable, "-m", "graders.cli", "run", str(spec), "--sample", "four", "--debug"]


class Terminal:
    """A program on a terminal of its own."""

    def __init__(self, command: list[str]) -> None:
        self.pid, self._fd = pty.fork()
        if not self.pid:
            os.execve(command[0], command, {**os.environ, "TERM": "dumb", "NO_COLOR": "1"})
        self.text = ""

    def expect(self, text: str) -> None:
        """Read until the text was written."""
        end = time.monotonic() + 60
        while text not in self.text:
            assert time.monotonic() < end, self.text
            try:
                self.text += os.read(self._fd, 65536).decode()
            except OSError:
                # the program has ended
                assert text in self.text, self.text
                return

    def type(self, line: str) -> None:
        os.write(self._fd, line.encode() + b"\n")

    def exit_code(self) -> int:
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def test_breakpoint_stops_in_the_program(run: list[str]) -> None:
    """After a yes, pdb shows the source and its values and goes on; all of it says unsandboxed."""
    terminal = Terminal(run)

    terminal.expect("[y/N]")
    assert "unsandboxed" in terminal.text
    terminal.type("y")
    terminal.expect("(Pdb)")
    assert "printed by the program" in terminal.text
    # Python 3.13 stops in the line of breakpoint(), others in the next one
    assert re.search(r"-> (breakpoint\(\)|return found / 8)", terminal.text)
    terminal.type("p found * 111")
    terminal.expect("444")
    terminal.type("found = 8")
    terminal.type("continue")
    terminal.expect("were run unsandboxed")

    assert terminal.exit_code() == 0
    assert "unsandboxed" in terminal.text.partition("reward")[2].partition("--debug")[0]


def test_nothing_runs_without_a_yes(run: list[str]) -> None:
    """After a "no" nothing of the program runs."""
    terminal = Terminal(run)

    terminal.expect("[y/N]")
    terminal.type("n")
    terminal.expect("interrupted")

    assert terminal.exit_code() == 130
    assert "printed" not in terminal.text


@pytest.mark.parametrize(("more", "code", "says"), [([], 2, "--yes"), (["--yes"], 0, "unsandboxed")])
def test_without_a_terminal_yes_must_be_given(run: list[str], more: list[str], code: int, says: str) -> None:
    """Without a terminal --debug is refused unless --yes is given; standard output has the result alone."""
    ended = subprocess.run(
        [*run, *more], input="continue\n", capture_output=True, encoding="utf-8", timeout=60
    )

    assert ended.returncode == code, ended.stderr
    assert says in ended.stderr
    assert (json.loads(ended.stdout)["reward"] if ended.stdout else None) == (0.5 if more else None)
