"""Programs of a spec's python graders, with facts that are read in the sandbox, since the host never parses them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

from graders.row import Row
from graders.session.session import AuditSession
from graders_sandbox import Outcome, Sandbox

#: Kind of a place in a source -> its description.
_PLACES = {
    "frames": "looks into its callers' frames or memory",
    "environment": "reads the environment",
    "process": "looks into the process that runs it",
}
_IMPORT = re.compile(r"(?:from [\w.]+ )?import [\w.]+")


@dataclass(frozen=True, slots=True)
class Program:
    """A python grader of the spec with facts of its source; a source that does not parse has none.

    Attributes:
        key: Its key in a multi; "" for the spec itself.
        places: Its accesses beyond its arguments, as "reads the environment (getenv)".
        imports: Its import statements.
        n_known: Number of the rows' golds among its constants.
        hashes: Whether it uses sets or hashes.
    """

    key: str
    source: str
    places: tuple[str, ...] = ()
    imports: tuple[str, ...] = ()
    n_known: int = 0
    hashes: bool = False

    @property
    def called(self) -> str:
        """The beginning of messages about it."""
        return f"{self.key}: " if self.key else ""


_READ: WeakKeyDictionary[AuditSession, list[Program]] = WeakKeyDictionary()


def programs(session: AuditSession) -> list[Program]:
    """The python graders of the spec, read once for each session."""
    if session not in _READ:
        spec = session.grader.spec
        sources = {key: grader.program() for key, grader in (spec.members() or {"": spec}).items()}
        _READ[session] = [
            _read(session, key, source) for key, source in sources.items() if source is not None
        ]
    return _READ[session]


def _read(session: AuditSession, key: str, source: str) -> Program:
    item = {"source": source, "golds": sorted(gold_texts(session))}
    match read_by(READ, session.grader.backends.sandbox, item):
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


def _place(read: Any) -> str | None:
    match read:
        case [str(kind), str(name)] if kind in _PLACES:
            return f"{_PLACES[kind]} ({name})"
    return None


def gold_texts(session: AuditSession) -> set[str]:
    """The rows' golds and answers in the forms that a program may contain."""
    return {text.strip().lower() for row in session.rows for text in (row.text, *row.answers) if text.strip()}


def read_by(reader: str, sandbox: Sandbox, item: Mapping[str, Any]) -> dict[str, Any]:
    """The report of a reader, a program for the sandbox, about the source in `item`; {} without one."""
    return report_of(sandbox.submit(reader, Row("", {}).sample.complete(), dict(item)).result())


def report_of(outcome: Outcome) -> dict[str, Any]:
    """The report in the text of our program's exception; {} without one."""
    if outcome.error_type != "Observation":
        return {}
    line = outcome.text.strip().rpartition("Observation: ")[2]
    try:
        seen = json.loads(line)
    except ValueError:
        return {}
    return seen if isinstance(seen, dict) else {}


#: A program that reports facts of a source: its accesses beyond its arguments, which of the item's `golds` it contains,
#: its imports, and whether it hashes. It parses the source without running it. The report has at most 4 kB.
READ = """
import ast, json, warnings

FRAMES = set(
    "_getframe _current_frames currentframe f_back f_locals tb_frame gi_frame cr_frame ag_frame getouterframes "
    "getinnerframes inspect.stack inspect.trace get_objects get_referrers".split()
)
ENVIRONMENT = {"environ", "environb", "getenv", "getenvb"}
# methods of os.environ that set variables, by which no gold can be read
SETTERS = {"setdefault", "update", "pop", "clear"}
HASHING = {"set", "frozenset", "hash", "id"}
MOST = 20  # of each list, at most LONGEST characters each
LONGEST = 60

class Observation(Exception):
    pass

def name_of(node):
    if isinstance(node, ast.Attribute):
        of_inspect = isinstance(node.value, ast.Name) and node.value.id == "inspect"
        return f"inspect.{node.attr}" if of_inspect and node.attr in ("stack", "trace") else node.attr
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.alias):
        return node.name
    if isinstance(node, ast.Constant) and (node.value in FRAMES or node.value == "__main__"):
        return node.value  # by getattr
    return ""

def places(nodes):
    written = {
        id(n.value)
        for n in nodes
        if (isinstance(n, ast.Subscript) and not isinstance(n.ctx, ast.Load))
        or (isinstance(n, ast.Attribute) and n.attr in SETTERS)
    }
    compared = {id(side) for n in nodes if isinstance(n, ast.Compare) for side in n.comparators}  # if __name__ == "__main__"
    for node in nodes:
        name = name_of(node)
        if name in FRAMES:
            yield "frames", name
        elif name in ENVIRONMENT and id(node) not in written and not isinstance(node, ast.alias):
            yield "environment", name
        elif name in ("__main__", "ctypes") and id(node) not in compared:
            yield "process", name

def imports(nodes):
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (f"import {alias.name}" for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module not in (None, "__future__") and not node.level:
            yield f"import {node.module}"
            yield from (f"from {node.module} import {alias.name}" for alias in node.names if alias.name != "*")

def bounded(values):
    return [v for v in dict.fromkeys(values) if len(str(v)) <= LONGEST][:MOST]

def grade(sample, item):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        nodes = list(ast.walk(ast.parse(item["source"])))
    texts = {
        str(n.value).strip().lower() for n in nodes if isinstance(n, ast.Constant) and isinstance(n.value, (str, int, float))
    }
    raise Observation(json.dumps({
        "places": bounded(places(nodes)),
        "imports": bounded(imports(nodes)),
        "known": sum(gold in texts for gold in item["golds"]),
        "hashes": any(
            isinstance(n, (ast.Set, ast.SetComp)) or (isinstance(n, ast.Name) and n.id in HASHING) for n in nodes
        ),
    }))
"""
