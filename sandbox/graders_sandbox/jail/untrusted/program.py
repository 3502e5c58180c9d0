"""The child that runs a model's code, driven by the sample (client.py). The sample trusts nothing here."""

from __future__ import annotations

import _socket
import io
import json
import os
import sys
import types
from collections.abc import Callable

from graders_sandbox import seeding

from . import messages
from .plain import decode, encode

#: False, since importing typing would add pages that each fork copies.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

    Json = Any

#: Of one value from the child, as text.
ANSWER_MAX = 16 * 1024**2
#: Of the code, in tracebacks.
_NAME = "<untrusted>"
#: The code's.
MODULE = "untrusted_program"
#: The child's only descriptor.
_CHANNEL = 3


def prepare() -> None:
    """In the template of these children: what each of them would do first."""
    sys.addaudithook(_open)


def serve() -> NoReturn:
    """Answer requests on _CHANNEL until the other side closes it, as a jailed child."""
    channel = _socket.socket(fileno=_CHANNEL)
    space: dict[str, Any] = {}
    while True:
        try:
            question = messages.receive(channel)
        except EOFError:
            os._exit(0)
        messages.send(channel, answer(space, question))


def answer(space: dict[str, Any], question: bytes) -> bytes:
    """Do what is asked, with the names of the code that was loaded into this space."""
    number, kind, *request = json.loads(question)
    try:
        return json.dumps([number, "value", _ACTS[kind](space, *request)]).encode()
    except _Unreadable as error:
        return json.dumps([number, "unreadable", str(error)]).encode()
    except SystemExit as error:
        os._exit(error.code & 0xFF if isinstance(error.code, int) else error.code is not None)
    except BaseException as error:
        return json.dumps([number, "error", _described(error)]).encode()


def _open(event: str, arguments: tuple[object, ...]) -> None:
    """Prevent Python from opening a source's file to show a line of a SyntaxError, which could end the process."""
    if event == "open" and arguments[0] == _NAME:
        raise FileNotFoundError


class _Unreadable(Exception):
    """Raised for a returned value that is not plain data."""


def _load(space: dict[str, Any], code: str, seed: int) -> None:
    seeding.seed(seed)
    module = types.ModuleType(MODULE)
    sys.modules[module.__name__] = module
    exec(compile(code, _NAME, "exec", dont_inherit=True), module.__dict__)
    space.update(module.__dict__)


def _call(space: dict[str, Any], name: str, args: Json, kwargs: Json) -> Json:
    if name not in space:
        raise NameError(f"the code does not define {name}")
    value = space[name](*decode(args), **decode(kwargs))
    try:
        return encode(value)
    except (TypeError, RecursionError) as error:
        raise _Unreadable(f"{name} returned {type(value).__name__}: {error}") from None


def _program(space: dict[str, Any], code: str, seed: int, stdin: str) -> Json:
    seeding.seed(seed)
    module = types.ModuleType("__main__")
    sys.modules["__main__"] = module
    sys.stdin = io.TextIOWrapper(io.BytesIO(stdin.encode("utf-8", "surrogatepass")), encoding="utf-8")
    written = io.BytesIO()
    sys.stdout = io.TextIOWrapper(written, encoding="utf-8", errors="backslashreplace", write_through=True)
    try:
        exec(compile(code, _NAME, "exec", dont_inherit=True), module.__dict__)
    except SystemExit as error:
        if error.code:
            raise
    return written.getvalue()[: ANSWER_MAX // 8].decode("utf-8", "backslashreplace")


_ACTS: dict[str, Callable[..., Json]] = {"load": _load, "call": _call, "program": _program}


def _described(error: BaseException) -> list[str]:
    try:
        return [type(error).__name__, str(error)[:2000]]
    except BaseException:
        return ["Exception", "the exception could not be printed"]
