"""Facts of a source, which a jailed reader parses (jail/reader.py), never the host."""

from __future__ import annotations

import atexit
import json
import os
import select
import socket
import subprocess
import sys
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

from graders_sandbox import protocol
from graders_sandbox.host import descriptors
from graders_sandbox.host.spawn import spawn
from graders_sandbox.limits import SandboxUnavailable

from .imports import NOTHING_TO_LOAD, ImportPlan, not_installed, to_load

#: Sources whose facts are remembered.
KEPT = 256
#: Attempts for one source at which the reader ends.
TRIES = 3
#: Seconds for a killed reader to end.
DEATH_S = 0.5
#: Seconds for an answer; more than the reader takes for any source.
ANSWER_S = 30.0
ANSWER_BYTES = 64_000


@dataclass(frozen=True, slots=True)
class SourceFacts:
    """Facts of a source that are known without running it.

    Attributes:
        mistake: A mistake that prevents grading, such as a syntax error with its line; "" when none is visible.
        to_load: Modules to preload for its samples.
        patterns: Literal regular expressions in calls of re, with their flags.
        advice: A probable mistake in grade's signature; "" without one.
        missing: Modules that it imports anywhere, also behind try, and that are not installed here.
        packages: Top-level modules outside of the standard library that it imports anywhere.
        resources: ("file", path) for files that it opens by a literal path to read, ("corpus", name) for nltk's data.
    """

    mistake: str = ""
    to_load: ImportPlan = NOTHING_TO_LOAD
    patterns: tuple[tuple[str, int], ...] = ()
    advice: str = ""
    missing: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    resources: tuple[tuple[str, str], ...] = ()


UNREADABLE = SourceFacts("The source does not compile: the compiler crashed or took too long on it.")
#: The facts of a source without imports, which need not be read before its server compiles it.
IMPORTS_NOTHING = SourceFacts()


class Reader:
    """The reader's process, started when a source has to be read. Thread-safe.

    Call `forget` in a forked child.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None

    def begin(self, source: str) -> int:
        """Start reading a source; returns a descriptor of the answer, which is empty when the source could not be read.

        Raises:
            SandboxUnavailable: this Python cannot be started.
            OSError: no descriptor or process could be had.
        """
        text = descriptors.memory(source.encode("utf-8", "surrogatepass"))
        answer, write = os.pipe()
        try:
            with self._lock:
                try:
                    protocol.send(self._started(), b"R", [text, write])
                except ConnectionError:
                    # the reader ended after its idle time, or was killed
                    self._stop()
                    protocol.send(self._started(), b"R", [text, write])
        except BaseException:
            os.close(answer)
            raise
        finally:
            os.close(text)
            os.close(write)
        return answer

    def _started(self) -> socket.socket:
        if self._control is None:
            ours, theirs = socket.socketpair()
            try:
                self._process = spawn(
                    "graders_sandbox.jail.reader", theirs.fileno(), environment={}, stderr=subprocess.DEVNULL
                )
            except BaseException:
                ours.close()
                raise
            finally:
                theirs.close()
            self._control = ours
        return self._control

    def _stop(self) -> None:
        if self._control is not None:
            self._control.close()
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self._control = self._process = None

    @property
    def has_ended(self) -> bool:
        """Whether the process has ended, and with it any reading."""
        with self._lock:
            return self._process is None or self._process.poll() is not None

    def ends_within(self, seconds: float) -> bool:
        """As `has_ended`, after waiting: a killed process does not end at once."""
        with self._lock:
            if self._process is None:
                return True
            try:
                self._process.wait(seconds)
            except subprocess.TimeoutExpired:
                return False
            return True

    def close(self) -> None:
        """End the process. The next source to read starts it again."""
        with self._lock:
            self._stop()

    def forget(self) -> None:
        """Release the process without ending it, in a forked child."""
        self._lock = threading.Lock()
        if self._control is not None:
            self._control.close()
        if self._process is not None:
            # not a child of this process: it must not be waited for
            self._process.returncode = 0
        self._control = self._process = None


_known: OrderedDict[str, SourceFacts] = OrderedDict()
_known_lock = threading.Lock()
_reader = Reader()


def known(source: str) -> SourceFacts | None:
    """The remembered facts of a source; None when it has to be read."""
    with _known_lock:
        facts = _known.get(source)
        if facts is not None:
            _known.move_to_end(source)
        return facts


def known_facts(source: str) -> SourceFacts | None:
    """The facts of a source that was read before or imports nothing; None when it has to be read."""
    return known(source) or (None if "import" in source else IMPORTS_NOTHING)


def settle(source: str, answer: bytes) -> SourceFacts | None:
    """Remember and return the facts in a reader's answer; None when it is empty."""
    facts = _facts(source, answer)
    if facts is not None:
        with _known_lock:
            _known[source] = facts
            while len(_known) > KEPT:
                _known.popitem(last=False)
    return facts


def read_source(source: str) -> SourceFacts:
    """The facts of a source: whether it compiles, and what it imports.

    It is parsed in a separate process behind seccomp, never here. The first call starts that process, in some 50 ms.

    Raises:
        SandboxUnavailable: this Python cannot be started, or there is no jail for a reader on this system.
        OSError: no descriptor or process could be had.
    """
    if not sys.platform.startswith("linux"):
        raise SandboxUnavailable(
            "a source is parsed in a jail only, and that one needs Linux; its first row says what is wrong"
        )
    facts = known(source)
    for _ in range(TRIES):
        if facts is not None:
            return facts
        facts = settle(source, _answer(_reader.begin(source)))
        if facts is None and not _reader.ends_within(DEATH_S):
            break
    return facts or UNREADABLE


def _answer(descriptor: int) -> bytes:
    """The complete answer of a reader's child; b"" when it takes too long."""
    end = time.monotonic() + ANSWER_S
    written = b""
    try:
        while len(written) <= ANSWER_BYTES and (left := end - time.monotonic()) > 0:
            if select.select([descriptor], [], [], left)[0]:
                data = os.read(descriptor, ANSWER_BYTES)
                if not data:
                    return written
                written += data
        return b""
    finally:
        os.close(descriptor)


def _facts(source: str, answer: bytes) -> SourceFacts | None:
    """The facts in an answer, checked strictly, since a hostile source may control the reader's child."""
    if len(answer) > ANSWER_BYTES:
        return UNREADABLE
    try:
        match json.loads(answer):
            case {
                "mistake": str(mistake),
                "names": list(names),
                "patterns": list(patterns),
                "advice": str(advice),
                "resources": list(resources),
            }:
                imported = [name for name in names if isinstance(name, str) and _is_module_name(name)]
                return SourceFacts(
                    protocol.clean(mistake),
                    to_load(imported, source),
                    tuple((text, flags) for text, flags in map(_pattern, patterns)),
                    protocol.clean(advice),
                    not_installed(imported),
                    tuple(sorted({name.partition(".")[0] for name in imported} - sys.stdlib_module_names)),
                    tuple(map(_resource, resources)),
                )
    except (ValueError, RecursionError):
        return None if not answer else UNREADABLE
    return UNREADABLE


def _is_module_name(text: str) -> bool:
    return all(part.isidentifier() for part in text.split("."))


def _pattern(value: Any) -> tuple[str, int]:
    match value:
        case [str(text), int(flags)]:
            return text, flags
    raise ValueError("not a pattern and its flags")


def _resource(value: Any) -> tuple[str, str]:
    match value:
        case [("file" | "corpus") as kind, str(name)]:
            return kind, protocol.clean(name)
    raise ValueError("not a resource")


def _forget() -> None:
    global _known_lock
    _known_lock = threading.Lock()
    _reader.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
atexit.register(_reader.close)
