"""Small changes of a program, found by a program in the sandbox, since the host never parses sources."""

from __future__ import annotations

from collections.abc import Iterator

from graders.session.programs import read_by
from graders_sandbox import Sandbox

#: Largest number of pages of a program's changes; a page has some forty.
MOST_PAGES = 20


def program_changes(source: str, sandbox: Sandbox) -> Iterator[tuple[str, str, int]]:
    """(kind, the changed source, its line) of each change. Only places in the text are taken from the sandbox."""
    skip = 0
    for _ in range(MOST_PAGES):
        item = {"source": source, "skip": skip}
        page = read_by(MUTATE, sandbox, item).get("changes")
        if not isinstance(page, list) or not page:
            return
        skip += len(page)
        for change in page:
            match change:
                case [int(start), int(end), str(text), int(line), str(kind)] if (
                    0 <= start < end <= len(source)
                ):
                    yield kind, source[:start] + text + source[end:], line


#: A program that lists small changes of a source: [start, end, text, line, kind], in the order of the text. It parses
#: the source without running it, and lists the changes after the first `skip` that fit into the text of an exception.
MUTATE = r"""
import ast, json, re, warnings

SWAPPED = {
    ast.Eq: "!=", ast.NotEq: "==", ast.Lt: "<=", ast.LtE: "<", ast.Gt: ">=", ast.GtE: ">", ast.In: "not in",
    ast.NotIn: "in", ast.Is: "is not", ast.IsNot: "is",
}
CLEANING = {
    "strip", "lstrip", "rstrip", "lower", "upper", "casefold", "title", "rstrip", "removeprefix", "removesuffix", "replace",
}
LOOSER = {"fullmatch": "search", "match": "search"}
ROOM = 3000  # characters
LONGEST = 400

class Observation(Exception):
    pass

def changes(tree, source, at):
    def text(node):
        return source[at(node.lineno, node.col_offset):at(node.end_lineno, node.end_col_offset)]

    def whole(node, new, kind):
        return at(node.lineno, node.col_offset), at(node.end_lineno, node.end_col_offset), new, node.lineno, kind

    for node in ast.walk(tree):
        if isinstance(node, ast.Compare) and len(node.ops) == 1 and type(node.ops[0]) in SWAPPED:
            new = f"{text(node.left)} {SWAPPED[type(node.ops[0])]} {text(node.comparators[0])}"
            yield whole(node, new, "comparison swapped")
        elif isinstance(node, ast.BoolOp):
            word = " or " if isinstance(node.op, ast.And) else " and "
            yield whole(node, word.join(f"({text(value)})" for value in node.values), "and, or swapped")
            for value in node.values:
                rest = [f"({text(other)})" for other in node.values if other is not value]
                now = " and " if isinstance(node.op, ast.And) else " or "
                yield whole(node, f"({now.join(rest)})", "condition dropped")
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            yield whole(node, f"({text(node.operand)})", "not dropped")
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            name, of = node.func.attr, node.func.value
            if isinstance(of, ast.Name) and of.id == "re":
                if name in LOOSER:
                    yield whole(node.func, f"re.{LOOSER[name]}", "weaker regex")
                if name == "sub" and len(node.args) > 2:
                    yield whole(node, text(node.args[2]), "normalisation dropped")
                pattern = node.args[0] if node.args else None
                if isinstance(pattern, ast.Constant) and isinstance(pattern.value, str):
                    bare = re.sub(r"^\^|\\[AbZ]|\$$", "", pattern.value)
                    if bare != pattern.value:
                        yield whole(pattern, repr(bare), "weaker regex")
                    if "+" in pattern.value:
                        yield whole(pattern, repr(pattern.value.replace("+", "*")), "weaker regex")
            elif name in CLEANING:
                yield whole(node, text(of), "normalisation dropped")
        elif isinstance(node, ast.Return) and node.value is not None:
            for value in ("1.0", "0.0"):
                if text(node.value) not in (value, value[0]):
                    yield whole(node.value, value, "constant returned")
        elif isinstance(node, ast.Constant) and type(node.value) in (int, float):
            yield whole(node, f"({text(node)} + 1)", "constant changed")

def grade(sample, item):
    source = item["source"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tree = ast.parse(source)
    lines = source.splitlines(keepends=True)
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line))

    def at(line, column):
        return starts[line - 1] + len(lines[line - 1].encode()[:column].decode())

    found = sorted({c for c in changes(tree, source, at) if len(c[2]) <= LONGEST})
    page, room = [], ROOM
    for change in found[item["skip"]:]:
        room -= len(json.dumps(change)) + 2
        if room < 0:
            break
        page.append(change)
    raise Observation(json.dumps({"changes": page, "of": len(found)}))
"""
