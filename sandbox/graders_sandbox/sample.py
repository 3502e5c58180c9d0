"""The child: one sample, from the fork to os._exit. Runs in the template's image, jailed before it reads its payload.

Kept short on purpose: after a fork every object that is touched copies a page, and those copies are the largest cost
of a sample.
"""

from __future__ import annotations

import _random
import _signal  # type: ignore[import-not-found]
import json
import math
import os
import random
import resource
import socket
import struct
import sys
import types
from collections.abc import Mapping, Sequence

from . import protocol, untrusted
from .linux import sys as kernel
from .linux.seccomp import SampleFilter

TYPE_CHECKING = False  # without typing, whose pages each fork would copy
if TYPE_CHECKING:
    from typing import Any, NoReturn

#: The only descriptors a sample has beside 0-2, which are /dev/null. An idle child has its channel in RESULT's place.
RESULT, PAYLOAD, REQUEST = 3, 4, 5

_CHUNK = 64 * 1024  # of a payload, read at once
NAME = "grader_program"  # the module's __name__, so that a main block does not run
#: What json.loads does with a text, without the regular expressions around it: here each touched page is a copy.
_scan = json.JSONDecoder().scan_once  # type: ignore[attr-defined]  # public, and missing from the stubs
WORK = struct.Struct("<II")  # to an idle child: source, count; + descriptors in RESULT's order


class Jail:
    """What every child of one template goes through, worked out once in the template.

    Args:
        rules: A descriptor of Landlock's rules for each slot; () where there are none.
        filters: The seccomp filter of a child with a slot, and that of one without; None for no jail at all.
        template_bytes: The template's address space.
        limits: Of `Limits`, by name.
        processes: How many of the user's there may be; 0 where others of this user would count.
        parent: The server's pid where children must be told to end with it; 0 where its namespace does that.
    """

    def __init__(
        self,
        *,
        rules: Sequence[int],
        filters: tuple[SampleFilter, SampleFilter] | None,
        template_bytes: int,
        limits: Mapping[str, Any],
        processes: int,
        parent: int,
    ) -> None:
        self.tie = kernel.prepared("prctl", kernel.PR_SET_PDEATHSIG, int(_signal.SIGKILL), 0, 0, 0)
        self.domains = [kernel.prepared("landlock_restrict_self", descriptor, 0) for descriptor in rules]
        self.filters = filters
        self.template_bytes = template_bytes
        self.limits = limits
        self.parent = parent
        cpu = max(1, round(limits["cpu_s"]))
        self.own = [(resource.RLIMIT_CPU, (cpu, cpu + 1))]  # its signal first, then the end
        if processes:
            self.own.append((resource.RLIMIT_NPROC, (processes, processes)))

    def prepare(self) -> None:
        """In the template: limits that it can live with itself, so that its children have them already."""
        for which, amount in (
            (resource.RLIMIT_AS, self.template_bytes + self.limits["memory_bytes"]),
            (resource.RLIMIT_FSIZE, self.limits["disk_bytes"]),
            (resource.RLIMIT_NOFILE, max(self.limits["descriptors"], REQUEST + 1)),  # with less it gets none
            (resource.RLIMIT_CORE, 0),
        ):
            resource.setrlimit(which, (amount, amount))

    def enter(self, slot: int, descriptors: Sequence[int], memory_bytes: int) -> None:
        """In the child: go in for good.

        Args:
            slot: Whose folder it may use; below 0 for none.
            descriptors: They become 3, 4, ...; the others are closed.
            memory_bytes: Address space beyond the template; 0 for the sample's usual.

        Raises:
            OSError: a layer could not be set up.
        """
        if self.parent:
            if self.tie():
                raise OSError("prctl")
            if os.getppid() != self.parent:  # it went before we could be tied to it
                os._exit(0)
        if self.filters is None:
            os.setsid()  # without a jail it may start processes: they end as a group
        if slot >= 0 and self.domains and self.domains[slot]():
            raise OSError("Landlock")
        # They came in this order at the lowest free numbers: none is overwritten by one before it.
        for at, descriptor in enumerate(descriptors, RESULT):
            if descriptor != at:
                os.dup2(descriptor, at)
        os.closerange(RESULT + len(descriptors), 65536)
        for which, amounts in self.own:
            resource.setrlimit(which, amounts)
        if memory_bytes:
            amount = self.template_bytes + memory_bytes
            resource.setrlimit(resource.RLIMIT_AS, (amount, amount))
        if self.filters is not None:
            filter = self.filters[slot < 0]
            filter.aim(os.getpid())
            filter.load()


def await_work(codes: Mapping[int, types.CodeType]) -> NoReturn:
    """As a jailed idle child: wait for a sample on RESULT, then grade it."""
    with socket.socket(fileno=RESULT) as channel:
        message, received = protocol.receive(channel, WORK.size)
        if not message:
            os._exit(0)
        source, count = WORK.unpack(message)
        channel.detach()
    # They came as 4, 5, 6 in RESULT's order, since nothing else was open: each moves down by one.
    for at, descriptor in enumerate(received, RESULT):
        os.dup2(descriptor, at)
    os.closerange(RESULT + len(received), 128)
    grade(codes[source], count, len(received) > 2)


def grade(code: types.CodeType, count: int, may_ask: bool) -> NoReturn:
    """Grade the rows on PAYLOAD and leave."""
    write, leave = (
        os.write,
        os._exit,
    )  # programs patch modules; it would only be their own sample, but say why
    write(RESULT, protocol.JAILED)
    if may_ask:
        untrusted.connect(REQUEST)
    parts = []
    while part := os.read(PAYLOAD, _CHUNK):
        parts.append(part)
    os.close(PAYLOAD)
    data = b"".join(parts)
    if count == 1:
        write(RESULT, _frame(code, data[protocol.ROW.size :], protocol.ROW.unpack_from(data)[0], None))
        leave(0)
    at = 0
    module: types.ModuleType | None = None
    for _ in range(count):
        seed, length = protocol.ROW.unpack_from(data, at)
        at += protocol.ROW.size
        if module is None:
            module = types.ModuleType(NAME)
        frame = _frame(code, data[at : at + length], seed, module)
        at += length
        frame = protocol.LENGTH.pack(len(frame)) + frame
        while frame:
            frame = frame[write(RESULT, frame) :]
    leave(0)


def _frame(code: types.CodeType, row_text: bytes, seed: int, module: types.ModuleType | None) -> bytes:
    """What became of one row. A module that several rows share is run by the first."""
    stage = b"p"
    try:
        row, _ = _scan(row_text.decode(), 0)
        _seed(seed)
        stage = b"i"
        if module is None:
            module = types.ModuleType(NAME)
        if NAME not in sys.modules or sys.modules[NAME] is not module:
            sys.modules[NAME] = module
            had_numpy, seeded = "numpy" in sys.modules, "numpy.random" in sys.modules
            exec(code, module.__dict__)
            if (
                not had_numpy and "numpy" in sys.modules
            ):  # something came with it that was not loaded before the fork
                __import__("numpy.random")
            if not seeded and "numpy.random" in sys.modules:
                _seed(seed)
        stage = b"g"
        grade = module.__dict__.get("grade")
        if grade is None:
            raise NameError("the source does not define grade(sample, item)")
        return _valued(grade(row["sample"], row["item"]))
    except BaseException as error:
        if stage == b"i":
            sys.modules.pop(NAME, None)  # so that a row that shares this process runs it for itself
        return b"E" + stage + _described(error)


def _seed(seed: int) -> None:
    """Reproducible randomness, in whatever is loaded already."""
    _random.Random.seed(random._inst, seed)  # what random.seed does with an int
    random._inst.gauss_next = None  # type: ignore[attr-defined]
    if (numpy_random := sys.modules.get("numpy.random")) is not None:
        numpy_random.seed(seed & 0xFFFFFFFF)


def _valued(value: object) -> bytes:
    kind = type(value)
    if kind is not float:
        if kind is int or kind is bool or _numpy_number(value):
            try:
                value = float(value)  # type: ignore[arg-type]  # a number, by the line above
            except OverflowError:
                return b"B" + b"grade returned an integer too large for a float"
        else:
            name = kind.__name__.encode("utf-8", "backslashreplace")[:200]
            return b"Bgrade returned a " + name + b", expected a number"
    if not math.isfinite(value):  # type: ignore[arg-type]  # a float by now
        return b"B" + f"grade returned {value!r}, expected a finite number".encode()
    return protocol.VALUE.pack(b"V", value)


def _numpy_number(value: object) -> bool:
    numpy = sys.modules.get("numpy")
    return numpy is not None and isinstance(value, (numpy.floating, numpy.integer, numpy.bool_))


def _described(error: BaseException) -> bytes:
    """The exception's class, NUL, and its traceback without our own frames."""
    try:
        name = (
            "DiskFull"
            if isinstance(error, OSError) and error.errno in (27, 28, 122)
            else type(error).__name__
        )
        if isinstance(error, MemoryError):
            return name.encode() + b"\0the program ran out of memory"
        import traceback

        trace = error.__traceback__
        while trace is not None and trace.tb_frame.f_globals is globals():
            trace = trace.tb_next
        if isinstance(error, RecursionError):
            text = f"RecursionError: {error}"
        else:
            text = "".join(traceback.format_exception(type(error), error, trace, limit=-20))
        return name.encode("utf-8", "backslashreplace")[:200] + b"\0" + _short(text)
    except BaseException:  # a hostile __str__: the class is all that can be said
        return b"Exception\0the exception could not be printed"


def _short(text: str) -> bytes:
    most = protocol.FRAME_MAX - 300
    data = text.encode("utf-8", "backslashreplace")
    if len(data) > most:
        data = data[: most // 2] + b"\n... cut ...\n" + data[-(most // 2) + 20 :]
    return data
