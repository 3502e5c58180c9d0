"""Checks of python graders that need more than samples: the program is run in other circumstances, and read.

Both happen in the sandbox, by the programs of harnesses.py.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

from graders.audit.golds import CheckRow
from graders.audit.harnesses import CLOCK, READ, REMEMBERING, WATCH
from graders.audit.probe import Bench, Finding
from graders.audit.probes import corrupted
from graders.row import Row
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
    1.0, 30.0, 60.0, _DAY_S / 2, *(31 * months * _DAY_S for months in range(1, 7)), 3652 * _DAY_S, -3652 * _DAY_S,
)  # fmt: skip

_CANARY = "__import__('sys').audit('graders.canary')"
_BARE_CANARY = (
    "[c for c in ().__class__.__base__.__subclasses__() if c.__name__ == 'catch_warnings'][0]()._module"
    ".__builtins__['__import__']('sys').audit('graders.canary')"
)
_LINES_CANARY = "import sys\nsys.audit('graders.canary')\n"
_CANARIES = (
    _CANARY, _BARE_CANARY, _LINES_CANARY, f"```python\n{_LINES_CANARY}```", f"```\n{_LINES_CANARY}```",
    f"<answer>{_CANARY}</answer>", f"<code>{_LINES_CANARY}</code>", f"Answer: {_CANARY}", f"#### {_CANARY}",
    f"\\boxed{{{_CANARY}}}", f"{_CANARY} = 1", f"answer = {_CANARY}",
)  # fmt: skip

#: Kind of a place in a source -> what a program does there.
_PLACES = {
    "frames": "looks into its callers' frames or memory",
    "environment": "reads the environment",
    "process": "looks into the process that runs it",
}
_IMPORT = re.compile(r"(?:from [\w.]+ )?import [\w.]+")


@dataclass(frozen=True, slots=True)
class Program:
    """A python grader of the spec, and what the sandbox read in it. A source that does not parse says nothing.

    Attributes:
        key: Its key in a multi; "" for the spec itself.
        places: (a key of _PLACES, the name) where it looks beside its arguments.
        imports: Its import statements.
        n_known: How many of the rows' golds stand in it as constants.
        hashes: Whether it uses sets or hashes.
    """

    key: str
    source: str
    places: tuple[tuple[str, str], ...] = ()
    imports: tuple[str, ...] = ()
    n_known: int = 0
    hashes: bool = False

    @property
    def called(self) -> str:
        """What a message about it begins with."""
        return f"{self.key}: " if self.key else ""


_READ: WeakKeyDictionary[Bench, list[Program]] = WeakKeyDictionary()


def programs(bench: Bench) -> list[Program]:
    """The python graders of the spec, read once a bench."""
    if bench not in _READ:
        spec = bench.grader.spec
        sources = {key: grader.program() for key, grader in (spec.members() or {"": spec}).items()}
        _READ[bench] = [_read(bench, key, source) for key, source in sources.items() if source is not None]
    return _READ[bench]


def _read(bench: Bench, key: str, source: str) -> Program:
    item = {"source": source, "golds": sorted(_golds(bench))}
    match seen(bench.grader.backends.sandbox.submit(READ, Row("", {}).sample.complete(), item).result()):
        case {"places": list(places), "imports": list(imports), "known": int(known), "hashes": bool(hashes)}:
            return Program(
                key,
                source,
                tuple(place for place in map(_place, places) if place is not None),
                tuple(line for line in imports if isinstance(line, str) and _IMPORT.fullmatch(line)),
                known,
                hashes,
            )
    return Program(key, source)


def _place(read: Any) -> tuple[str, str] | None:
    match read:
        case [str(kind), str(name)] if kind in _PLACES:
            return kind, name
    return None


def _golds(bench: Bench) -> set[str]:
    """The rows' golds and answers as a program may have them written in it."""
    return {text.strip().lower() for row in bench.rows for text in (row.text, *row.answers) if text.strip()}


def hash_seeds(bench: Bench) -> Iterator[Finding]:
    """A python grader gives the same in other processes with other hash seeds."""
    pairs = _pairs(bench)
    for program in programs(bench):
        alone = _outcomes(bench.grader.backends.sandbox, program.source, pairs)
        for sandbox in _siblings(bench.grader.backends.sandbox)[: len(HASH_SEEDS) if program.hashes else 1]:
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


def clock(bench: Bench) -> Iterator[Finding]:
    """A python grader gives the same at any time of the day and the year."""
    for program in programs(bench):
        if "time" not in program.source and "date" not in program.source:
            continue
        pairs = [pair for row in bench.rows[:2] for pair in ((row, row.gold), (row, bench.wrong(row)))]
        sandbox = bench.grader.backends.sandbox
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


def remembering(bench: Bench) -> Iterator[Finding]:
    """A python grader carries nothing from one row to the next: in one process it gives what it gives alone."""
    for program in programs(bench):
        sandbox = bench.grader.backends.sandbox
        pairs = _pairs(bench)
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
            sandbox, REMEMBERING, program, [(bench.rows[0], "", {"rows": [rows[at] for at in orders]})]
        )
        if outcome.value is not None and outcome.value >= 0:
            row, sample = pairs[orders[int(outcome.value)]]
            message = f"{program.called}a row's reward changes when other rows were graded before it in the same process"
            yield Finding("remembering", message, (row.id,), sample)


def peeking(bench: Bench) -> Iterator[Finding]:
    """A python grader has the gold from its item alone, and a sample cannot get at it: no frames, files, environment."""
    for program in programs(bench):
        for kind, name in program.places:
            what = f"{_PLACES[kind]} ({name})"
            yield Finding(
                "peeking",
                f"{program.called}the program {what}; the gold answer may come from sample and item only",
            )
        pairs = _pairs(bench)
        texts = [*_CANARIES, *(text.replace(a, _CANARY) for _, text, a in _places(bench.rows[:3]))]
        pairs += [(row, text) for row in bench.rows[:2] for text in texts]
        rows = [(_sample(row, sample), row.item) for row, sample in pairs]
        (outcome,) = _harnessed(
            bench.grader.backends.sandbox, WATCH, program, [(bench.rows[0], "", {"rows": rows})]
        )
        found = seen(outcome)
        if "file" in found:
            message = f"{program.called}the program reads {found['file']!r}; the gold answer may come from sample and item only"
            yield Finding("peeking", message)
        if "run" in found:
            message = (
                f"{program.called}a sample that is a program is run in the grader's own process, where it can read the gold "
                "answer in the frames (item) and return it; graders_sandbox.run_untrusted runs it apart"
            )
            yield Finding("peeking", message, (), found["run"])


def hardcoded(bench: Bench) -> Iterator[Finding]:
    """A python grader has no answers of its own: a row that it has not seen, made of two rows, is graded like any other."""
    if bench.judged:
        return
    n_golds = len(_golds(bench))
    for program in programs(bench):
        if program.n_known < max(2, n_golds / 3):
            continue
        for row, other in bench.others(1):
            asked = {name: value for name, value in row.item.items() if name in _QUESTIONS}
            mixed = CheckRow(
                f"{other.id}?{row.id}", {**other.item, **asked}, other.gold, other.text, (), (), None, ()
            )
            (result,) = bench.run([(mixed, other.gold)])
            if asked and bench.level(result) < 0.5:
                message = (
                    f"{program.called}the program has the rows' answers written into it, and gives {result.reward:g} to a "
                    f"right answer under the question of row {row.id!r}"
                )
                yield Finding("hardcoded", message, (other.id,), other.gold)
                return


_QUESTIONS = ("id", "prompt", "question", "query", "instruction", "problem", "task", "input", "messages")


def _places(rows: Sequence[CheckRow]) -> list[tuple[CheckRow, str, str]]:
    return [(row, row.text, answer) for row in rows for answer in row.answers if answer in row.text]


def _pairs(bench: Bench) -> list[tuple[CheckRow, Any]]:
    """Right, wrong and half right answers."""
    return [
        (row, sample)
        for row in bench.rows[:ROWS]
        for sample in (row.gold, bench.wrong(row), *corrupted(row.text)[:1])
    ]


def _sample(row: CheckRow, sample: Any) -> dict[str, Any]:
    return Row(sample, row.item).sample.complete()


def _outcomes(sandbox: Sandbox, source: str, pairs: Sequence[tuple[CheckRow, Any]]) -> list[Outcome]:
    """What a program gives to samples, each in a process of its own."""
    futures = [
        sandbox.submit(source, _sample(row, sample), row.item, key=str(row.id)) for row, sample in pairs
    ]
    return [future.result() for future in futures]


def _harnessed(
    sandbox: Sandbox, harness: str, program: Program, jobs: Sequence[tuple[CheckRow, Any, dict[str, Any]]]
) -> list[Outcome]:
    """What a harness says about a program."""
    if program.imports:
        # a function that is never called, so that the sandbox loads the modules before the jail closes
        harness += "\ndef wanted():\n" + "".join(f"    {line}\n" for line in program.imports)
    futures = [
        sandbox.submit(harness, _sample(row, sample), {**fields, "source": program.source}, key=str(row.id))
        for row, sample, fields in jobs
    ]
    return [future.result() for future in futures]


def _differ(one: Outcome, other: Outcome) -> bool:
    """Whether a program gave different things; where something else ended it, nothing is known."""
    return {one.status, other.status} <= PROGRAMS_OWN and one.value != other.value


def seen(outcome: Outcome) -> dict[str, Any]:
    """What a harness says in the text of its exception; {} where it says nothing."""
    if outcome.error_type != "Seen":
        return {}
    line = outcome.text.strip().rpartition("Seen: ")[2]
    try:
        seen = json.loads(line)
    except ValueError:
        return {}
    return seen if isinstance(seen, dict) else {}


def _shown(outcome: Outcome) -> str:
    return outcome.status if outcome.value is None else f"{outcome.value:g}"


_SIBLINGS: WeakKeyDictionary[Sandbox, tuple[Sandbox, ...]] = WeakKeyDictionary()


def _siblings(sandbox: Sandbox) -> tuple[Sandbox, ...]:
    """Sandboxes with other hash seeds, kept as long as this one; they end with the process."""
    if sandbox not in _SIBLINGS:
        _SIBLINGS[sandbox] = tuple(sandbox.sibling(hash_seed=seed) for seed in HASH_SEEDS)
    return _SIBLINGS[sandbox]
