"""A sample's client of the child that runs a model's code (program.py), which the server starts.

The child's clock runs while its answer is waited for, and while the folder is emptied that an earlier child has
filled. It does not run while the server starts a child or is itself late: what is ours to do costs no test anything.
The server ends a child whose time is over, and with it the wait for its answer.
"""

from __future__ import annotations

import _socket
import builtins
import json
import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress

from graders_sandbox import protocol, seeding

from . import messages
from .plain import decode, encode
from .program import ANSWER_MAX

#: False, since importing typing would add pages that each fork copies.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Literal

    Failure = Literal["error", "timeout", "memory", "disk", "crash", "exit", "unreadable"]

#: A child that has ended is no end of the sample.
_NO_SIGNAL = _socket.MSG_NOSIGNAL
# to the server, inside a sample that may ask
_server: _socket.socket | None = None


def connect(descriptor: int) -> None:
    """Set the socket for requests, in a sample."""
    global _server
    _server = _socket.socket(fileno=descriptor)


class ChildEnded(Exception):
    """Raised when the child has ended, or its answer is not plain data."""

    def __init__(self, status: Failure, text: str) -> None:
        super().__init__(text)
        self.status = status


class UntrustedError(Exception):
    """The code's exception. Its class derives from the built-in one that the code raised, too, as tests may expect."""


class ServerLost(BaseException):
    """Raised when the server accepts no more requests. A BaseException, which neither tests nor libraries catch."""


class Child:
    """The child that runs the code, started when needed, and again after it ended.

    Args:
        code: A module's source.
        timeout: Seconds for all of its answers.
        memory_bytes: Address space beyond the template's.

    Raises:
        RuntimeError: this process is not a sample that may request children.
    """

    def __init__(self, code: str, timeout: float, memory_bytes: int) -> None:
        if _server is None:
            raise RuntimeError(
                "run_untrusted works only inside grade(sample, item) of a source that imports it from graders_sandbox and "
                "runs in a sandbox"
            )
        self._server = _server
        self._code = code
        self._left = timeout
        self._memory_bytes = memory_bytes
        self._channel: _socket.socket | None = None
        self._number = 0
        # the code does not load, and will not the next time
        self._broken: UntrustedError | None = None

    def ready(self) -> None:
        """Load the code. Raises its exception."""
        if self._broken is not None:
            raise self._broken
        if self._channel is None:
            self._start()
            try:
                self._ask(["load", self._code, seeding.now()])
            except UntrustedError as error:
                self._broken = error
                raise

    def call(self, name: str, args: list[Any], kwargs: dict[str, Any]) -> Any:
        self.ready()
        return self._ask(["call", name, encode(args), encode(kwargs)])

    def function(self, name: str) -> Callable[..., Any]:
        def candidate(*args: Any, **kwargs: Any) -> Any:
            return self.call(name, list(args), kwargs)

        candidate.__name__ = candidate.__qualname__ = name
        return candidate

    def program(self, stdin: str) -> str:
        """The output of the code as a program with this input, in a fresh child."""
        self.stop()
        self._start()
        try:
            written = self._ask(["program", self._code, seeding.now(), stdin])
        finally:
            self.stop()
        if not isinstance(written, str):
            raise ChildEnded("unreadable", "the child did not answer with a text")
        return written

    def stop(self) -> ChildEnded | None:
        """End the child, if there is one; returns its ending."""
        if self._channel is None:
            return None
        self._channel.close()
        self._channel = None
        reply, _ = self._request(protocol.ASK.pack(b"K", 0.0, 0))
        return _ending(reply)

    def _start(self) -> None:
        if self._left <= 0:
            raise ChildEnded("timeout", "no time was left")
        reply, descriptors = self._request(protocol.ASK.pack(b"U", self._left, self._memory_bytes))
        self._left -= protocol.TOLD.unpack(reply)[-1]
        if reply[:1] == b"X":
            raise _ending(reply)
        if len(descriptors) != 1:
            raise RuntimeError("the grader has no descriptor left for a child: it holds too many files open")
        self._channel = _socket.socket(fileno=descriptors[0])

    def _request(self, request: bytes) -> tuple[bytes, Any]:
        """The server's answer, without a time-out: the server never refuses a request, but it may end this sample."""
        try:
            self._server.sendall(request, _NO_SIGNAL)
            reply, descriptors = protocol.receive(self._server, protocol.TOLD.size)
        except OSError as error:
            raise ServerLost(f"the sandbox server does not answer: {error}") from None
        if len(reply) != protocol.TOLD.size:
            raise ServerLost("the sandbox server takes no more requests of this sample")
        return reply, descriptors

    def _ask(self, request: list[Any]) -> Any:
        """One answer of the child. Raises ChildEnded when there is none, UntrustedError when the code raised."""
        assert self._channel is not None
        self._number += 1
        started = time.monotonic()
        try:
            messages.send(self._channel, json.dumps([self._number, *request]).encode())
            kind, value = self._answer(self._channel, ends=started + self._left)
        except TimeoutError:
            self.stop()
            raise ChildEnded("timeout", "it ran longer than the time for all tests") from None
        except (OSError, EOFError):
            ended = self.stop()
            raise ended or ChildEnded("exit", "the child left") from None
        except (ValueError, TypeError, RecursionError, MemoryError, OverflowError) as error:
            self.stop()
            raise ChildEnded("unreadable", f"what the child wrote is not an answer: {error}") from None
        finally:
            self._left -= time.monotonic() - started
        if kind == "error":
            if value[0] == "MemoryError":
                raise ChildEnded("memory", "it ran out of memory")
            raise _exception(*value)
        if kind == "unreadable":
            raise ChildEnded("unreadable", protocol.clean(value))
        return value

    def _answer(self, channel: _socket.socket, ends: float) -> tuple[str, Any]:
        number, kind, value = json.loads(messages.receive(channel, ANSWER_MAX))
        if number != self._number or type(number) is not int:
            raise ValueError("it belongs to another question")
        if kind == "value":
            return kind, decode(value, ends)
        if kind == "error":
            name, text = value
            return kind, (str(name), str(text))
        if kind == "unreadable":
            return kind, str(value)
        raise ValueError("it is of an unknown kind")


def _ending(reply: bytes) -> ChildEnded:
    """The ending of a child, from the server's message."""
    _, status, ended, _ = protocol.TOLD.unpack(reply)
    if ended == protocol.BY_DEADLINE:
        return ChildEnded("timeout", "it ran longer than the time for all tests")
    if ended == protocol.BY_DISK:
        return ChildEnded("disk", "it left more on disk than its limit")
    if not os.WIFSIGNALED(status):
        return ChildEnded("exit", f"it left with exit code {os.WEXITSTATUS(status)}")
    number = os.WTERMSIG(status)
    if number != signal.SIGKILL:
        return ChildEnded("crash", f"it was ended by signal {number}")
    if ended == protocol.BY_HOST:
        return ChildEnded("exit", "it closed its channel")
    return ChildEnded("memory", "it was killed by the kernel, out of memory")


#: Exceptions that the code's exception must not claim to be: a for loop, all() or map() would take them for the end of
#: an iterator, and a test would pass because it ends early.
_NOT_CLAIMED = ("StopIteration", "StopAsyncIteration")
_CLAIMED: dict[str, type[UntrustedError]] = {}


def _exception(name: str, text: str) -> UntrustedError:
    """An exception of the class that the child names, if that is a built-in class that handlers may expect."""
    claimed = None if name in _NOT_CLAIMED else getattr(builtins, name, None)
    kind = _CLAIMED.get(name, UntrustedError)
    if kind is UntrustedError and isinstance(claimed, type) and issubclass(claimed, Exception):
        # a layout that does not mix
        with suppress(TypeError):
            kind = _CLAIMED[name] = type(name, (UntrustedError, claimed), {"__str__": Exception.__str__})
    message = protocol.clean(f"{name}: {text}" if text else name)
    try:
        return kind(message)
    except TypeError:
        # one that wants more than a text, such as UnicodeDecodeError
        return UntrustedError(message)
