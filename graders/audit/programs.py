"""Checks of python graders that need more than samples: facts of the source, and runs under other circumstances.

The programs of harnesses.py run it under other circumstances, in the sandbox.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import Any
from weakref import WeakKeyDictionary

from graders.attack.probes import corrupted
from graders.audit.harnesses import CLOCK, REMEMBERING, WATCH
from graders.row import Row
from graders.session.findings import Finding
from graders.session.programs import Program, gold_texts, programs, report_of
from graders.session.rows import CheckRow
from graders.session.session import AuditSession
from graders_sandbox import Outcome, Sandbox

ROWS = 6  # rows that a program is run on in other circumstances
#: Beside the sandbox's own. More where a program has sets or hashes, since a coin may fall alike on a few rows.
HASH_SEEDS = (1, 2, 3, 4, 5, 6)

PROGRAMS_OWN = frozenset(("value", "grader_error", "bad_return"))  # outcomes that a program decides itself
ORDERS = 6  # in which rows are graded by one process: each row comes after several others

_DAY_S = 86_400.0
#: Seconds, minutes, half a day; the other six weekdays, each in another month; ten years on and back, for dates written
#: into a source.
CLOCK_SHIFTS_S = (
    1.0,
    30.0,
    60.0,
    _DAY_S / 2,
    *(31 * months * _DAY_S for months in range(1, 7)),
    3652 * _DAY_S,
    -3652 * _DAY_S,
)

_CANARY = "__import__('sys').audit('graders.canary')"
_BARE_CANARY = (
    "[c for c in ().__class__.__base__.__subclasses__() if c.__name__ == 'catch_warnings'][0]()._module"
    ".__builtins__['__import__']('sys').audit('graders.canary')"
)
_LINES_CANARY = "import sys\nsys.audit('graders.canary')\n"
_CANARIES = (
    _CANARY,
    _BARE_CANARY,
    _LINES_CANARY,
    f"```python\n{_LINES_CANARY}```",
    f"```\n{_LINES_CANARY}```",
    f"<answer>{_CANARY}</answer>",
    f"<code>{_LINES_CANARY}</code>",
    f"Answer: {_CANARY}",
    f"#### {_CANARY}",
    f"\\boxed{{{_CANARY}}}",
    f"{_CANARY} = 1",
    f"answer = {_CANARY}",
)


def hash_seeds(session: AuditSession) -> Iterator[Finding]:
    """A python grader's rewards do not depend on the hash seed."""
    pairs = _pairs(session)
    for program in programs(session):
        alone = _outcomes(session.grader.backends.sandbox, program.source, pairs)
        for sandbox in _siblings(session.grader.backends.sandbox)[: len(HASH_SEEDS) if program.hashes else 1]:
            for (row, sample), one, other in zip(
                pairs, alone, _outcomes(sandbox, program.source, pairs), strict=True
            ):
                if _differ(one, other):
                    message = f"{program.called}the hash seed changes the reward, from {_shown(one)} to {_shown(other)}"
                    yield Finding(
                        "deterministic",
                        f"{message}: the order of a set, or hash(), decides",
                        (row.id,),
                        sample,
                    )
                    return


def clock(session: AuditSession) -> Iterator[Finding]:
    """A python grader's rewards do not depend on the time of day and year."""
    for program in programs(session):
        if "time" not in program.source and "date" not in program.source:
            continue
        pairs = [pair for row in session.rows[:2] for pair in ((row, row.gold), (row, session.wrong(row)))]
        sandbox = session.grader.backends.sandbox
        alone = _outcomes(sandbox, program.source, pairs)
        for seconds in CLOCK_SHIFTS_S:
            moved = _harnessed(
                sandbox,
                CLOCK,
                program,
                [(row, sample, {"item": row.item, "seconds": seconds}) for row, sample in pairs],
            )
            for (row, sample), one, other in zip(pairs, alone, moved, strict=True):
                if _differ(one, other):
                    message = f"{program.called}the time changes the reward: {_shown(one)} now, {_shown(other)} with the clock moved by {seconds:g} s"
                    yield Finding("deterministic", message, (row.id,), sample)
                    return


def remembering(session: AuditSession) -> Iterator[Finding]:
    """A python grader has no state: a row's reward is the same after other rows in one process."""
    for program in programs(session):
        sandbox = session.grader.backends.sandbox
        pairs = _pairs(session)
        alone = _outcomes(sandbox, program.source, pairs)
        if not all(outcome.status in PROGRAMS_OWN for outcome in alone):
            continue
        rows = [
            (_sample(row, sample), row.item, outcome.value)
            for (row, sample), outcome in zip(pairs, alone, strict=True)
        ]
        order = list(range(len(rows)))
        shuffle = random.Random(0).shuffle
        orders = []
        for _ in range(ORDERS):
            orders += order
            shuffle(order)
        (outcome,) = _harnessed(
            sandbox, REMEMBERING, program, [(session.rows[0], "", {"rows": [rows[at] for at in orders]})]
        )
        if outcome.value is not None and outcome.value >= 0:
            row, sample = pairs[orders[int(outcome.value)]]
            message = f"{program.called}a row's reward changes when other rows were graded before it in the same process"
            yield Finding("remembering", message, (row.id,), sample)


def peeking(session: AuditSession) -> Iterator[Finding]:
    """A python grader gets the gold from its item only, and a sample cannot reach it by frames, files, environment."""
    for program in programs(session):
        for place in program.places:
            message = (
                f"{program.called}the program {place}; the gold answer may come from sample and item only"
            )
            yield Finding("peeking", message)
        pairs = _pairs(session)
        texts = [*_CANARIES, *(text.replace(a, _CANARY) for _, text, a in _places(session.rows[:3]))]
        pairs += [(row, text) for row in session.rows[:2] for text in texts]
        rows = [(_sample(row, sample), row.item) for row, sample in pairs]
        (outcome,) = _harnessed(
            session.grader.backends.sandbox, WATCH, program, [(session.rows[0], "", {"rows": rows})]
        )
        found = report_of(outcome)
        if "file" in found:
            message = f"{program.called}the program reads {found['file']!r}; the gold answer may come from sample and item only"
            yield Finding("peeking", message)
        if "run" in found:
            message = (
                f"{program.called}a sample that is a program is run in the grader's own process, where it can read the gold "
                "answer in the frames (item) and return it; graders_sandbox.run_untrusted runs it apart"
            )
            yield Finding("peeking", message, (), found["run"])


def hardcoded(session: AuditSession) -> Iterator[Finding]:
    """A python grader contains no answers: a new row, made from two rows, is graded like any other."""
    if session.judged:
        return
    n_golds = len(gold_texts(session))
    for program in programs(session):
        if program.n_known < max(2, n_golds / 3):
            continue
        for row, other in session.others(1):
            asked = {name: value for name, value in row.item.items() if name in _QUESTIONS}
            mixed = CheckRow(
                f"{other.id}?{row.id}", {**other.item, **asked}, other.gold, other.text, (), (), None, ()
            )
            (result,) = session.run([(mixed, other.gold)])
            if asked and session.level(result) < 0.5:
                message = (
                    f"{program.called}the program has the rows' answers written into it, and gives {result.reward:g} to a "
                    f"right answer under the question of row {row.id!r}"
                )
                yield Finding("hardcoded", message, (other.id,), other.gold)
                return


_QUESTIONS = ("id", "prompt", "question", "query", "instruction", "problem", "task", "input", "messages")


def _places(rows: Sequence[CheckRow]) -> list[tuple[CheckRow, str, str]]:
    return [(row, row.text, answer) for row in rows for answer in row.answers if answer in row.text]


def _pairs(session: AuditSession) -> list[tuple[CheckRow, Any]]:
    """Right, wrong and half right answers."""
    return [
        (row, sample)
        for row in session.rows[:ROWS]
        for sample in (row.gold, session.wrong(row), *corrupted(row.text)[:1])
    ]


def _sample(row: CheckRow, sample: Any) -> dict[str, Any]:
    return Row(sample, row.item).sample.complete()


def _outcomes(sandbox: Sandbox, source: str, pairs: Sequence[tuple[CheckRow, Any]]) -> list[Outcome]:
    """A program's outcomes for samples, each in a separate process."""
    futures = [
        sandbox.submit(source, _sample(row, sample), row.item, key=str(row.id)) for row, sample in pairs
    ]
    return [future.result() for future in futures]


def _harnessed(
    sandbox: Sandbox, harness: str, program: Program, jobs: Sequence[tuple[CheckRow, Any, dict[str, Any]]]
) -> list[Outcome]:
    """The report of a harness about a program."""
    if program.imports:
        # a function that is never called, so that the sandbox loads the modules before the jail closes
        harness += "\ndef wanted():\n" + "".join(f"    {line}\n" for line in program.imports)
    futures = [
        sandbox.submit(harness, _sample(row, sample), {**fields, "source": program.source}, key=str(row.id))
        for row, sample, fields in jobs
    ]
    return [future.result() for future in futures]


def _differ(one: Outcome, other: Outcome) -> bool:
    """Whether a program's values differ; outcomes that the program did not decide do not count."""
    return {one.status, other.status} <= PROGRAMS_OWN and one.value != other.value


def _shown(outcome: Outcome) -> str:
    return outcome.status if outcome.value is None else f"{outcome.value:g}"


_SIBLINGS: WeakKeyDictionary[Sandbox, tuple[Sandbox, ...]] = WeakKeyDictionary()


def _siblings(sandbox: Sandbox) -> tuple[Sandbox, ...]:
    """Sandboxes with other hash seeds, kept until the process ends."""
    if sandbox not in _SIBLINGS:
        _SIBLINGS[sandbox] = tuple(sandbox.sibling(hash_seed=seed) for seed in HASH_SEEDS)
    return _SIBLINGS[sandbox]
