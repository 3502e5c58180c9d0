"""Checks of python graders that need more than samples: the program is run in other circumstances, and read.

The harnesses below are programs for the sandbox. They get the grader's source in their item, run it inside, and say
what they saw in the one number a program may return, or in the text of an exception.
"""

from __future__ import annotations

import ast
import json
import random
import warnings
from collections.abc import Iterator, Sequence
from typing import Any
from weakref import WeakKeyDictionary

from graders.audit.probe import Bench, CheckRow, Finding
from graders.audit.probes import corrupted
from graders.row import Row
from graders_sandbox import Outcome, Sandbox

ROWS = 6  # rows that a program is run on in other circumstances
#: Beside the sandbox's own. More where a program has sets or hashes, since a coin may fall alike on a few rows.
HASH_SEEDS = (1, 2, 3, 4, 5, 6)
HASHING = frozenset(("set", "frozenset", "hash", "id"))

PROGRAMS_OWN = frozenset(("value", "grader_error", "bad_return"))  # outcomes that a program decides itself
ORDERS = 6  # in which rows are graded by one process: each row comes after several others

_LOAD = """
def load(source):
    module = {"__name__": "grader_program"}
    exec(compile(source, "<program>", "exec"), module)
    return module["grade"]
"""

#: One process for many rows: the number of the first whose value differs from the one it gets alone, else -1.
_REMEMBERING = (
    _LOAD
    + """
def grade(sample, item):
    program = load(item["source"])
    for number, (sample, row, alone) in enumerate(item["rows"]):
        try:
            value = float(program(sample, row))
        except Exception:
            value = None
        if value != alone:
            return number
    return -1
"""
)

#: The program at another time of day and year.
_CLOCK = (
    _LOAD
    + """
import datetime, time

def shift_clocks(seconds):
    now, now_ns = time.time, time.time_ns
    time.time = lambda: now() + seconds
    time.time_ns = lambda: now_ns() + int(seconds * 1e9)
    for name in ("monotonic", "perf_counter", "process_time"):
        setattr(time, name, lambda f=getattr(time, name): f() + seconds)
        setattr(time, name + "_ns", lambda f=getattr(time, name + "_ns"): f() + int(seconds * 1e9))
    for name in ("localtime", "gmtime", "ctime"):
        setattr(time, name, lambda at=None, f=getattr(time, name): f(time.time() if at is None else at))
    strftime = time.strftime
    time.strftime = lambda form, at=None: strftime(form, time.localtime() if at is None else at)
    real_date, real_datetime = datetime.date, datetime.datetime

    class AnyDate(type):
        def __instancecheck__(cls, value):
            return isinstance(value, real_date)

    class AnyDatetime(type):
        def __instancecheck__(cls, value):
            return isinstance(value, real_datetime)

    class Date(real_date, metaclass=AnyDate):
        @classmethod
        def today(cls):
            return cls.fromtimestamp(time.time())

    class Datetime(real_datetime, metaclass=AnyDatetime):
        @classmethod
        def now(cls, tz=None):
            return cls.fromtimestamp(time.time(), tz)

        @classmethod
        def today(cls):
            return cls.now()

        @classmethod
        def utcnow(cls):
            return cls.now(datetime.timezone.utc).replace(tzinfo=None)

    datetime.date, datetime.datetime = Date, Datetime

def grade(sample, item):
    shift_clocks(item["seconds"])
    return load(item["source"])(sample, item["item"])
"""
)
_DAY_S = 86_400.0
#: Seconds, minutes, half a day; the other six weekdays, each in another month; ten years on and back, for dates written
#: into a source.
CLOCK_SHIFTS_S = (
    1.0, 30.0, 60.0, _DAY_S / 2, *(31 * months * _DAY_S for months in range(1, 7)), 3652 * _DAY_S, -3652 * _DAY_S,
)  # fmt: skip

#: Watches what the program opens, and whether a sample that is a program is run in its process.
_WATCH = (
    _LOAD
    + """
import json, os, sys

CANARY = "graders.canary"
OWN = [sys.prefix, sys.base_prefix, *sys.path, "/usr/share/zoneinfo", "/etc/localtime", "/dev/", "/sys/", "/usr/lib", "/lib"]
OWN += os.environ.get("NLTK_DATA", "").split(":")
MACHINE = ("/proc/cpuinfo", "/proc/meminfo", "/proc/stat")

class Seen(Exception):
    pass

class Watch:
    def __init__(self):
        self.seen, self.made, self.busy = {}, set(), False

    def hook(self, event, args):
        if self.busy:
            return
        self.busy = True
        try:
            if event == CANARY:
                self.seen.setdefault("run", self.sample)
            elif event == "open":
                self.opened(*args[:3])
            elif event == "os.mkdir":
                self.made.add(str(args[0]))
            elif event in ("os.listdir", "os.scandir") and not isinstance(args[0], int) and self.of_program():
                self.read(args[0] or ".")
        finally:
            self.busy = False

    def opened(self, path, mode, flags):
        if not isinstance(path, (str, bytes)):
            return
        path = os.fsdecode(path)
        if (isinstance(mode, str) and set(mode) & set("wax+")) or flags & (os.O_WRONLY | os.O_RDWR):
            self.made.add(path)
        elif self.of_program():
            self.read(path)

    def read(self, path):
        path = os.fsdecode(path) if isinstance(path, (str, bytes)) else str(path)
        if path in (".", "", *MACHINE) or any(path.startswith(own) for own in [*OWN, *self.made] if own):
            return
        self.seen.setdefault("file", path)

    def of_program(self):
        frame = sys._getframe(2)
        while frame is not None:
            name = frame.f_code.co_filename
            if name.startswith("<frozen importlib") or name.endswith("linecache.py"):
                return False
            if name == "<program>":
                return True
            frame = frame.f_back
        return False

def grade(sample, item):
    watch = Watch()
    sys.addaudithook(watch.hook)
    stat = os.stat  # not audited; os.path.exists and Path.exists go through it

    def watched(path, *args, **options):
        watch.hook("os.listdir", (path,))
        return stat(path, *args, **options)

    os.stat = watched
    program = None
    for sample, row in item["rows"]:
        watch.sample = sample["output_text"]
        try:
            program = program or load(item["source"])
            program(sample, row)
        except BaseException:
            pass
    watch.busy = True
    raise Seen(json.dumps(watch.seen))
"""
)

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

#: Names with which a program looks into its callers' frames or memory, and into the environment.
FRAMES = frozenset(
    ("_getframe", "_current_frames", "currentframe", "f_back", "f_locals", "tb_frame", "gi_frame", "cr_frame", "ag_frame",
     "getouterframes", "getinnerframes", "inspect.stack", "inspect.trace", "get_objects", "get_referrers")
)  # fmt: skip
ENVIRONMENT = frozenset(("environ", "environb", "getenv", "getenvb"))
_SETTERS = frozenset(
    ("setdefault", "update", "pop", "clear")
)  # of os.environ: they put settings in, no gold comes out


def programs(bench: Bench) -> list[tuple[str, str]]:
    """The python graders of the spec: key in a multi ("" for the spec itself) and source."""
    spec = bench.grader.spec
    found = {key: grader.program() for key, grader in (spec.members() or {"": spec}).items()}
    return [(key, source) for key, source in found.items() if source is not None]


def hash_seeds(bench: Bench) -> Iterator[Finding]:
    """A python grader gives the same in other processes with other hash seeds."""
    pairs = _pairs(bench)
    for key, source in programs(bench):
        alone = _outcomes(bench.grader.backends.sandbox, source, pairs)
        for sandbox in _siblings(bench.grader.backends.sandbox)[: len(HASH_SEEDS) if _hashes(source) else 1]:
            for (row, sample), one, other in zip(
                pairs, alone, _outcomes(sandbox, source, pairs), strict=True
            ):
                if _differ(one, other):
                    message = f"{_called(key)}the hash seed changes the reward, from {_shown(one)} to {_shown(other)}"
                    yield Finding(
                        "deterministic",
                        f"{message}: the order of a set, or hash(), decides",
                        (row.id,),
                        sample,
                    )
                    return


def clock(bench: Bench) -> Iterator[Finding]:
    """A python grader gives the same at any time of the day and the year."""
    for key, source in programs(bench):
        if "time" not in source and "date" not in source:
            continue
        pairs = [pair for row in bench.rows[:2] for pair in ((row, row.gold), (row, bench.wrong(row)))]
        sandbox = bench.grader.backends.sandbox
        alone = _outcomes(sandbox, source, pairs)
        for seconds in CLOCK_SHIFTS_S:
            moved = _harnessed(
                sandbox,
                _CLOCK,
                source,
                [(row, sample, {"item": row.item, "seconds": seconds}) for row, sample in pairs],
            )
            for (row, sample), one, other in zip(pairs, alone, moved, strict=True):
                if _differ(one, other):
                    message = f"{_called(key)}the time changes the reward: {_shown(one)} now, {_shown(other)} with the clock moved by {seconds:g} s"
                    yield Finding("deterministic", message, (row.id,), sample)
                    return


def remembering(bench: Bench) -> Iterator[Finding]:
    """A python grader carries nothing from one row to the next: in one process it gives what it gives alone."""
    for key, source in programs(bench):
        sandbox = bench.grader.backends.sandbox
        pairs = _pairs(bench)
        alone = _outcomes(sandbox, source, pairs)
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
            sandbox, _REMEMBERING, source, [(bench.rows[0], "", {"rows": [rows[at] for at in orders]})]
        )
        if outcome.value is not None and outcome.value >= 0:
            row, sample = pairs[orders[int(outcome.value)]]
            message = f"{_called(key)}a row's reward changes when other rows were graded before it in the same process"
            yield Finding("remembering", message, (row.id,), sample)


def peeking(bench: Bench) -> Iterator[Finding]:
    """A python grader has the gold from its item alone, and a sample cannot get at it: no frames, files, environment."""
    for key, source in programs(bench):
        for what in _looks_into(source):
            yield Finding(
                "peeking",
                f"{_called(key)}the program {what}; the gold answer may come from sample and item only",
            )
        pairs = _pairs(bench)
        texts = [*_CANARIES, *(text.replace(a, _CANARY) for _, text, a in _places(bench.rows[:3]))]
        pairs += [(row, text) for row in bench.rows[:2] for text in texts]
        rows = [(_sample(row, sample), row.item) for row, sample in pairs]
        (outcome,) = _harnessed(
            bench.grader.backends.sandbox, _WATCH, source, [(bench.rows[0], "", {"rows": rows})]
        )
        seen = _seen(outcome)
        if "file" in seen:
            message = f"{_called(key)}the program reads {seen['file']!r}; the gold answer may come from sample and item only"
            yield Finding("peeking", message)
        if "run" in seen:
            message = (
                f"{_called(key)}a sample that is a program is run in the grader's own process, where it can read the gold "
                "answer in the frames (item) and return it; graders_sandbox.run_untrusted runs it apart"
            )
            yield Finding("peeking", message, (), seen["run"])


def hardcoded(bench: Bench) -> Iterator[Finding]:
    """A python grader has no answers of its own: a row that it has not seen, made of two rows, is graded like any other."""
    if bench.judged:
        return
    golds = {text.strip().lower() for row in bench.rows for text in (row.text, *row.answers) if text.strip()}
    for key, source in programs(bench):
        known = golds & _constants(source)
        if len(known) < max(2, len(golds) / 3):
            continue
        for row, other in bench.others(1):
            asked = {name: value for name, value in row.item.items() if name in _QUESTIONS}
            mixed = CheckRow(
                f"{other.id}?{row.id}", {**other.item, **asked}, other.gold, other.text, (), (), None, ()
            )
            (result,) = bench.run([(mixed, other.gold)])
            if asked and bench.level(result) < 0.5:
                message = (
                    f"{_called(key)}the program has the rows' answers written into it, and gives {result.reward:g} to a "
                    f"right answer under the question of row {row.id!r}"
                )
                yield Finding("hardcoded", message, (other.id,), other.gold)
                return


_QUESTIONS = ("id", "prompt", "question", "query", "instruction", "problem", "task", "input", "messages")


def _looks_into(source: str) -> list[str]:
    """What a program's text says about where it looks, beside its arguments."""
    tree = _parsed(source)
    written = {
        id(node.value)
        for node in ast.walk(tree)
        if (isinstance(node, ast.Subscript) and not isinstance(node.ctx, ast.Load))
        or (isinstance(node, ast.Attribute) and node.attr in _SETTERS)
    }
    compared = {  # if __name__ == "__main__"
        id(side) for node in ast.walk(tree) if isinstance(node, ast.Compare) for side in node.comparators
    }
    found: dict[str, None] = {}
    for node in ast.walk(tree):
        name = _name(node)
        if name in FRAMES:
            found[f"looks into its callers' frames or memory ({name})"] = None
        elif name in ENVIRONMENT and id(node) not in written and not isinstance(node, ast.alias):
            found[f"reads the environment ({name})"] = None
        elif name in ("__main__", "ctypes") and id(node) not in compared:
            found[f"looks into the process that runs it ({name})"] = None
    return list(found)


def _hashes(source: str) -> bool:
    return any(
        isinstance(node, (ast.Set, ast.SetComp)) or (isinstance(node, ast.Name) and node.id in HASHING)
        for node in ast.walk(_parsed(source))
    )


def _name(node: ast.AST) -> str:
    """The name that a node looks up, also by getattr with a literal."""
    if isinstance(node, ast.Attribute):
        of_inspect = isinstance(node.value, ast.Name) and node.value.id == "inspect"
        return f"inspect.{node.attr}" if of_inspect and node.attr in ("stack", "trace") else node.attr
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.alias):
        return node.name
    if isinstance(node, ast.Constant) and (node.value in FRAMES or node.value == "__main__"):
        return str(node.value)
    return ""


def _constants(source: str) -> set[str]:
    """The texts and numbers written into a source, in lower case."""
    return {
        str(node.value).strip().lower()
        for node in ast.walk(_parsed(source))
        if isinstance(node, ast.Constant) and isinstance(node.value, (str, int, float))
    }


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
    sandbox: Sandbox, harness: str, source: str, jobs: Sequence[tuple[CheckRow, Any, dict[str, Any]]]
) -> list[Outcome]:
    """What a harness says about a program; modules that the program imports are loaded before the jail closes."""
    harness += _imports(source)
    futures = [
        sandbox.submit(harness, _sample(row, sample), {**fields, "source": source}, key=str(row.id))
        for row, sample, fields in jobs
    ]
    return [future.result() for future in futures]


def _imports(source: str) -> str:
    """A function with the program's imports in it, never called: so the sandbox knows what to load."""
    tree = _parsed(source)
    names: dict[str, None] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update((f"import {alias.name}", None) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module not in (None, "__future__") and not node.level:
            names[f"import {node.module}"] = None
            names.update(
                (f"from {node.module} import {alias.name}", None) for alias in node.names if alias.name != "*"
            )
    return "\ndef wanted():\n" + "".join(f"    {name}\n" for name in names) if names else ""


def _parsed(source: str) -> ast.Module:
    """The source's syntax tree; an empty one when it does not parse, which grading it will show."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an odd escape in the user's text is not our warning
        try:
            return ast.parse(source)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return ast.Module([], [])


def _differ(one: Outcome, other: Outcome) -> bool:
    """Whether a program gave different things; where something else ended it, nothing is known."""
    return {one.status, other.status} <= PROGRAMS_OWN and one.value != other.value


def _seen(outcome: Outcome) -> dict[str, str]:
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


def _called(key: str) -> str:
    return f"{key}: " if key else ""


_SIBLINGS: WeakKeyDictionary[Sandbox, tuple[Sandbox, ...]] = WeakKeyDictionary()


def _siblings(sandbox: Sandbox) -> tuple[Sandbox, ...]:
    """Sandboxes with other hash seeds, kept as long as this one; they end with the process."""
    if sandbox not in _SIBLINGS:
        _SIBLINGS[sandbox] = tuple(sandbox.sibling(hash_seed=seed) for seed in HASH_SEEDS)
    return _SIBLINGS[sandbox]
