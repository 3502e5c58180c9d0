"""The reader: finds out what a source imports and whether it compiles, so that no host process parses it.

A separate process, which forks a child for each source. The child, confined by seccomp (no file, no socket, no other
process) and by limits of time and memory, parses the source and writes a bounded answer. Nothing of the source runs.
Without seccomp only the limits confine it, but no tier works there either, so no source will run.
"""

from __future__ import annotations

import _socket
import ast
import json
import os
import re
import select
import signal
import sys
import warnings

from graders_sandbox import protocol
from graders_sandbox.linux import seccomp
from graders_sandbox.linux import sys as kernel

#: False, since importing typing would add pages that each fork copies.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, NoReturn

CPU_S = 5  # for one source: 256 kB of ordinary text take a fifth of a second
WALL_S = 20.0
MEMORY_BYTES = 1 << 30
IDLE_S = 60.0  # without a source, after which the reader leaves; it starts again when it is wanted
NAMES_BYTES = 32_000  # of all module names together, as they are sent
PATTERNS_BYTES = 16_000  # of all patterns together, as they are sent
RESOURCES_BYTES = 4_000  # of all files and corpora together, as they are sent
ANSWER_BYTES = 64_000
_MISTAKE_MAX = 2000

#: Function of re -> index of its flags argument; the pattern is the first one.
_FLAGS_AT = {
    "compile": 1,
    "search": 2,
    "match": 2,
    "fullmatch": 2,
    "findall": 2,
    "finditer": 2,
    "split": 3,
    "sub": 4,
    "subn": 4,
}
#: Name in nltk -> the data that a program needs to use it. A name in nltk.corpus needs the corpus of that name.
_CORPORA = {
    "word_tokenize": "punkt_tab",
    "sent_tokenize": "punkt_tab",
    "pos_tag": "averaged_perceptron_tagger_eng",
    "WordNetLemmatizer": "wordnet",
    "meteor_score": "wordnet",
    "single_meteor_score": "wordnet",
}
_FLAGS = {name: int(flag) for name, flag in re.RegexFlag.__members__.items() if flag is not re.DEBUG}


def read(source: bytes) -> dict[str, Any]:
    """The answer about one source: the mistake that prevents grading ("" if none is found), modules, patterns."""
    try:
        tree = parsed(source)
    except SyntaxError as error:
        return _answer(f"The source does not compile: {error.msg}, line {error.lineno}.")
    except (ValueError, RecursionError, MemoryError) as error:
        return _answer(f"The source does not compile: {error or type(error).__name__}.")
    names: set[str] = set()
    patterns: dict[tuple[str, int], None] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Call) and (pattern := _pattern(node)) is not None:
            patterns[pattern] = None
    return _answer(_mistake(tree), sorted(names), list(patterns), _advice(tree), _resources(tree, names))


def _answer(
    mistake: str,
    names: list[str] | None = None,
    patterns: list[tuple[str, int]] | None = None,
    advice: str = "",
    resources: list[tuple[str, str]] | None = None,
) -> dict[str, Any]:
    """A bounded answer. Lists that are too long are omitted, since they only save time."""

    def bounded(values: list[Any] | None, most: int) -> list[Any]:
        return values if values and len(json.dumps(values)) <= most else []

    return {
        "mistake": mistake[:_MISTAKE_MAX],
        "advice": advice[:_MISTAKE_MAX],
        "names": bounded(names, NAMES_BYTES),
        "patterns": bounded(patterns, PATTERNS_BYTES),
        "resources": bounded(resources, RESOURCES_BYTES),
    }


def parsed(source: bytes) -> ast.Module:
    """The syntax tree of a source.

    Raises:
        SyntaxError, ValueError, MemoryError, RecursionError: it does not compile.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an odd escape in the user's text is not our warning
        return ast.parse(protocol.source_text(source))


def _mistake(tree: ast.Module) -> str:
    """The mistake that prevents grading with this source; "" when none is visible without running it."""
    bound = {name for node in tree.body for name in _bound_names(node)}
    functions = [
        n for n in tree.body if isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef)) and n.name == "grade"
    ]
    if not functions:
        # defined in an if, imported or assigned: only running it tells
        if {"grade", "*"} & bound:
            return ""
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and any(getattr(n, "name", "") == "grade" for n in node.body):
                return f"grade is a method of {node.name}; it has to be a function of the module: grade(sample, item)."
        return "The source does not define grade(sample, item)."
    grade = functions[-1]
    if isinstance(grade, ast.AsyncFunctionDef):
        return "grade must be a plain function, not async."
    arguments = grade.args
    positional = len(arguments.posonlyargs) + len(arguments.args)
    needed = positional - len(arguments.defaults)
    needs_keyword = any(default is None for default in arguments.kw_defaults)
    if needed > 2 or needs_keyword or (positional < 2 and arguments.vararg is None):
        return f"grade takes (sample, item): two positional parameters, not {ast.unparse(arguments)!r}."
    return ""


def _advice(tree: ast.Module) -> str:
    """A probable mistake in `grade` that does not prevent grading; "" without one."""
    grade = next(
        (n for n in reversed(tree.body) if isinstance(n, ast.FunctionDef) and n.name == "grade"), None
    )
    if grade is None:
        return ""
    names = [argument.arg for argument in (*grade.args.posonlyargs, *grade.args.args)]
    if names[:2] == ["item", "sample"]:
        return "grade is called with the sample first and the item second; here its parameters are (item, sample)."
    if grade.returns is not None and ast.unparse(grade.returns) in ("str", "dict", "list", "tuple", "None"):
        return f"grade has to return a number; here it says that it returns {ast.unparse(grade.returns)}."
    if len(names) > 1 and _reads_sample_of(grade, names[1]):
        return (
            f"grade looks for the output in {names[1]}['sample'], as code evaluators of Foundry do; here it is in the "
            f"first parameter: {names[0]}['output_text']."
        )
    return ""


def _reads_sample_of(grade: ast.FunctionDef, item: str) -> bool:
    """Whether a function reads `item["sample"]`, and an output_text somewhere."""
    found = set()
    for node in ast.walk(grade):
        match node:
            case ast.Subscript(value=ast.Name(id=name), slice=ast.Constant(value="sample")) if name == item:
                found.add("sample")
            case ast.Call(
                func=ast.Attribute(value=ast.Name(id=name), attr="get"),
                args=[ast.Constant(value="sample"), *_],
            ) if name == item:
                found.add("sample")
            case ast.Constant(value="output_text"):
                found.add("output_text")
    return len(found) == 2


def _bound_names(node: ast.stmt) -> Iterator[str]:
    """The names that a top-level statement other than a plain function may bind."""
    if isinstance(node, ast.ClassDef):
        yield node.name
        return
    for inner in ast.walk(node):
        if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store):
            yield inner.id
        elif isinstance(inner, (ast.Import, ast.ImportFrom)):
            yield from (alias.asname or alias.name for alias in inner.names)
        elif isinstance(inner, (ast.FunctionDef, ast.ClassDef)):
            yield inner.name


def _resources(tree: ast.Module, imported: set[str]) -> list[tuple[str, str]]:
    """Files with literal names that are opened for reading, and nltk's corpora."""
    found = {("corpus", name.split(".")[2]) for name in imported if name.startswith("nltk.corpus.")}
    of_nltk = {name.rpartition(".")[2] for name in imported if name.startswith("nltk.")}
    found |= {("corpus", _CORPORA[name]) for name in of_nltk & _CORPORA.keys()}
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Name(id="open"), args=[ast.Constant(value=str(path))]):
                found.add(("file", path))
            case ast.Call(
                func=ast.Attribute(value=ast.Name(id="nltk"), attr="download"),
                args=[ast.Constant(value=str(name)), *_],
            ):
                found.add(("corpus", name))
            case ast.Attribute(value=ast.Name(id="nltk"), attr=name) if name in _CORPORA:
                found.add(("corpus", _CORPORA[name]))
            case ast.Attribute(value=ast.Attribute(value=ast.Name(id="nltk"), attr="corpus"), attr=name):
                found.add(("corpus", name))
    return sorted((kind, name[:200]) for kind, name in found)


def _pattern(call: ast.Call) -> tuple[str, int] | None:
    """The literal pattern and flags of a call such as re.search(r"...", text, re.I); None for any other call."""
    match call:
        case ast.Call(
            func=ast.Attribute(value=ast.Name(id="re"), attr=name), args=[ast.Constant(value=str(text)), *_]
        ) if name in _FLAGS_AT:
            at = _FLAGS_AT[name]
            flags_given = [call.args[at]] if len(call.args) > at else []
            flags_given += [keyword.value for keyword in call.keywords if keyword.arg == "flags"]
            flags = _flags(flags_given[0]) if flags_given else 0
            return None if flags is None else (text, flags)
    return None


def _flags(node: ast.expr) -> int | None:
    """The value of a flags expression such as re.I | re.M; None for one that is unknown before it runs."""
    match node:
        case ast.Attribute(value=ast.Name(id="re"), attr=name):
            return _FLAGS.get(name)
        case ast.BinOp(op=ast.BitOr()):
            left, right = _flags(node.left), _flags(node.right)
            return None if left is None or right is None else left | right
        case ast.Constant(value=0):
            return 0
    return None


# --- the process ---


def main() -> None:
    """Serve the host on the socket in the first argument, until it closes or IDLE_S have passed without a source."""
    control = _socket.socket(fileno=int(sys.argv[1]))
    read(b"import re\ndef grade(sample):\n    re.search('x', sample, re.I)\n")  # what is used is loaded now
    child_filter = _lock()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # children are not waited for
    reader = os.getpid()
    while select.select([control], [], [], IDLE_S)[0]:
        message, descriptors = protocol.receive(control, 1)
        if not message:
            break
        source, answer = descriptors
        if not os.fork():
            _serve(source, answer, reader, child_filter)
        os.close(source)
        os.close(answer)
    os._exit(0)


def _lock() -> seccomp.SampleFilter | None:
    """Load the seccomp filter; returns a child's filter, or None without seccomp."""
    if not kernel.NR:
        return None
    try:
        kernel.drop_capabilities()
        kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
        seccomp.load(seccomp.server_filter())
    except OSError:
        return None
    return seccomp.SampleFilter(paths="refused", reserved_exit=protocol.NOT_JAILED)


def _serve(source: int, answer: int, reader: int, child_filter: seccomp.SampleFilter | None) -> NoReturn:
    """Read one source and answer, in a child."""
    try:
        import resource  # not on every system, and then there are no limits

        if kernel.NR:
            kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != reader:
                os._exit(0)
        resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S))
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        signal.setitimer(signal.ITIMER_REAL, WALL_S)  # the end of this process
        if child_filter is not None:
            child_filter.pid.value = os.getpid()
            if child_filter.load():
                os._exit(protocol.NOT_JAILED)
        text = os.pread(source, os.lseek(source, 0, os.SEEK_END), 0)
        os.write(answer, json.dumps(read(text)).encode())
    finally:
        os._exit(0)
