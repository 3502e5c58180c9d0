"""Regular expressions that a program writes down are compiled once, before the fork; and nothing else changes by it."""

from __future__ import annotations

import os
import re
import time
from contextlib import suppress
from pathlib import Path

import pytest

from graders_sandbox import Sandbox, read_source
from graders_sandbox.jail import reader
from tests.sandbox.jails import a_tier, descendants

A, Z = int(re.I), int(re.M)

#: Put before a program: whoever compiles a pattern fails. What is in the cache of `re` is not compiled.
NO_COMPILER = """
import re
def compiler(*arguments):
    raise AssertionError("compiled in the sample")
re._compiler.compile = compiler
"""


@pytest.mark.parametrize(
    ("text", "patterns"),
    [
        pytest.param("re.search(r'a+', s)", (("a+", 0),), id="in a call"),
        pytest.param("re.compile('b')", (("b", 0),), id="compiled"),
        pytest.param("re.compile('b', re.I | re.M)", (("b", A | Z),), id="flags"),
        pytest.param("re.sub('c', '', s, 0, re.I)", (("c", A),), id="flags in their place"),
        pytest.param("re.split('c', s, flags=re.IGNORECASE)", (("c", A),), id="flags by name"),
        pytest.param("re.match('d', s)\nre.match('d', s)", (("d", 0),), id="once"),
        pytest.param(
            "re.match('d', s)\nre.match('d', s, re.I)", (("d", 0), ("d", A)), id="each flag for itself"
        ),
        pytest.param("re.match('d', s, some)", (), id="flags that are not known"),
        pytest.param("re.match('d', s, re.DEBUG)", (), id="flags that print"),
        pytest.param("re.match('d', s, re.NONE_SUCH)", (), id="flags that there are not"),
        pytest.param("re.match(b'd', s)", (), id="bytes"),
        pytest.param("re.match(pattern, s)", (), id="a name"),
        pytest.param("re.match(*both)", (), id="a star"),
        pytest.param("re.escape('d')", (), id="another function"),
        pytest.param("other.match('d', s)", (), id="another module"),
        pytest.param("\n".join(f"re.match('{n}' * 1, s)" for n in range(3)), (), id="made as it runs"),
        pytest.param("\n".join(f"re.match('{n}', s)" for n in range(9999)), (), id="too many"),
        pytest.param(f"re.match('{'x' * reader.PATTERNS_BYTES}', s)", (), id="too long"),
        pytest.param(f"re.match('{chr(0x1F600) * 4000}', s)", (), id="too long as it is sent"),
    ],
)
def test_patterns_are_read_from_the_text(text: str, patterns: tuple[tuple[str, int], ...]) -> None:
    assert read_source("import re\n" + text).patterns == patterns


@pytest.mark.parametrize(
    ("before", "call", "value"),
    [
        pytest.param(NO_COMPILER, r"re.search(r'(?i)q\d+z', 'Q7Z')", 1.0, id="compiled before"),
        pytest.param(NO_COMPILER, r"re.fullmatch('q.', 'Q7', re.I)", 1.0, id="with its flags"),
        pytest.param(NO_COMPILER, r"re.search('q' + 'z', 'qz')", None, id="not what is made as it runs"),
        pytest.param("import re", r"re.search('q' + 'z', 'qz')", 1.0, id="which compiles for itself"),
    ],
)
def test_patterns_are_compiled_before_the_sample(before: str, call: str, value: float | None) -> None:
    with Sandbox(tier=a_tier()) as sandbox:
        outcome = sandbox.run(f"{before}\ndef grade(s, i):\n    return {call} is not None", {}, {})
    assert outcome.value == value, outcome
    assert value is not None or "compiled in the sample" in outcome.text


def test_a_wrong_pattern_fails_where_it_is_used() -> None:
    source = "import re\ndef grade(s, i):\n    return 1.0 if i else float(re.search('(', 'x') is None)"
    with Sandbox(tier=a_tier()) as sandbox:
        assert sandbox.run(source, {}, 1).value == 1.0
        outcome = sandbox.run(source, {}, 0)
    assert (outcome.status, outcome.stage, outcome.error_type) == ("grader_error", "grade", "error"), outcome


#: A class of all characters in both cases takes 5 ms to compile.
PIECE = "[a-\U0010fffe]"


def processor_s(sandbox: Sandbox) -> float:
    """What the servers of a sandbox, and all that they started, have used so far."""
    own = [server.process.pid for server in sandbox._pool.servers]  # type: ignore[union-attr]  # it has graded
    ticks = 0
    for pid in {*own, *(below for server in own for below in descendants(server))}:
        with suppress(OSError):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += sum(map(int, fields[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")


def seconds_to_compile(pattern: str) -> float:
    """Processor time that this machine needs for a pattern of equal pieces, from a tenth of it."""
    started = time.thread_time()
    re.compile(pattern[: len("(?i)") + len(PIECE) * (len(pattern) // len(PIECE) // 10)])
    return 10 * (time.thread_time() - started)


@pytest.mark.slow
def test_slow_patterns_are_compiled_by_samples() -> None:
    """Nine hundred slow pieces may not hold up a server."""
    slow = PIECE * 900
    assert read_source(f"import re\nre.search('(?i){slow}', s)").patterns
    source = (
        f"import re\ndef grade(s, i):\n    return 1.0 if i else float(re.search('(?i){slow}', 'x') is None)"
    )
    with Sandbox(tier=a_tier()) as sandbox:
        sandbox.run("def grade(s, i):\n    return 1.0", {}, {})
        before = processor_s(sandbox)
        outcome = sandbox.run(source, {}, 1)
        assert outcome.value == 1.0, outcome
        assert sandbox.run("def grade(s, i):\n    return 2.0", {}, {}).value == 2.0
        assert processor_s(sandbox) - before < seconds_to_compile(f"(?i){slow}") / 2
        assert sandbox.run(source, {}, 0, timeout_s=1.0).status == "timeout"
