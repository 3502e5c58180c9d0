"""Runs inside the WebAssembly interpreter: grades one row and writes one result frame.

Its code and that of modules shared with the Linux jails is precompiled (worker.py). The interpreter is new for each
row, so nothing carries over. Standard output has the frame alone; prints go to standard error.

A program that needs a feature which is missing here (a module, a thread, a process, a socket, a file to write) would
score differently than in another tier. Such a row is refused with an R frame, whatever the program's result.
"""

from __future__ import annotations

import errno
import os
import struct
import sys
import types

from graders_sandbox import frames, protocol, seeding

#: Without typing, which would have to be loaded for each row.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, NoReturn

#: In WASI O_RDONLY is a bit, which O_RDWR contains too.
_WRITING = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_IMPORTERS = (
    "_frozen_importlib",
    "_frozen_importlib_external",
    "importlib._bootstrap",
    "importlib._bootstrap_external",
)
#: Plotting libraries, which need matplotlib's data folder, which is missing here.
_PLOTTING = ("matplotlib", "mpl_toolkits", "pylab", "seaborn")
_FILES, _THREADS = "files that can be written", "threads"
_LACKING_EVENTS = {
    "os.mkdir": _FILES,
    "os.rename": _FILES,
    "os.symlink": _FILES,
    "os.link": _FILES,
    "_thread.start_new_thread": _THREADS,
    "_thread.start_joinable_thread": _THREADS,
}
_COUNT = struct.Struct("<I")
#: Missing features that the program requested, in order.
_lacking: list[str] = []


#: Module -> (the feature, its refused functions).
_REFUSED = {
    "socket": ("sockets", "socket.__init__", "socketpair"),
    "subprocess": ("processes", "Popen.__init__"),
}


class _AbsenceFinder:
    """The last finder: records imported modules that other tiers have and this one lacks."""

    def __init__(self, elsewhere: frozenset[str]) -> None:
        self._names = elsewhere | sys.stdlib_module_names

    def find_spec(self, name: str, path: Sequence[str] | None, target: object = None) -> None:
        if name.partition(".")[0] not in self._names:
            return
        if _importing() == frames.NAME:
            _lacking.append(f"the module {name}")


class _RefusalFinder:
    """A finder that makes processes and sockets fail as in other tiers, and records that they were requested."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: object = None) -> Any:
        if name not in _REFUSED:
            return None
        specs = (finder.find_spec(name, path) for finder in sys.meta_path if finder is not self)
        spec = next(filter(None, specs), None)
        if spec is not None and spec.loader is not None:
            load = spec.loader.exec_module

            def exec_module(module: types.ModuleType) -> None:
                load(module)
                if module.__name__ == name:
                    self.apply(module)

            spec.loader.exec_module = exec_module  # type: ignore[method-assign]  # of this one interpreter
        return spec

    def apply(self, module: types.ModuleType) -> None:
        what, *names = _REFUSED[module.__name__]
        for name in names:
            owner, _, attribute = name.rpartition(".")
            setattr(getattr(module, owner) if owner else module, attribute, _refuse(what))

    def install(self) -> None:
        for name in _REFUSED:
            if name in sys.modules:
                self.apply(sys.modules[name])
        sys.meta_path.insert(0, self)


class _UnusableFinder:
    """The first finder: refuses modules of the library that need missing files.

    Attributes:
        wanted: The last requested module.
    """

    wanted = ""

    def find_spec(self, name: str, path: Sequence[str] | None, target: object = None) -> None:
        if name.partition(".")[0] in _PLOTTING:
            _UnusableFinder.wanted = name
            if _importing() == frames.NAME:
                _lacking.append(f"the module {name}")
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def _importing() -> object:
    """The name of the module whose import statement runs."""
    frame: types.FrameType | None = sys._getframe(2)
    while frame is not None and frame.f_globals.get("__name__") in _IMPORTERS:
        frame = frame.f_back
    return None if frame is None else frame.f_globals.get("__name__")


def _refuse(what: str) -> Callable[..., NoReturn]:
    def refuse(*arguments: object, **options: object) -> NoReturn:
        _lacking.append(what)
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    return refuse


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    """The audit hook."""
    if event == "open":
        if arguments[2] & _WRITING:
            _lacking.append(_FILES)
    elif event == "sqlite3.connect":
        if arguments[0] != ":memory:":
            _lacking.append(_FILES)
    elif event in _LACKING_EVENTS:
        _lacking.append(_LACKING_EVENTS[event])


def _missing_feature(error: BaseException) -> str:
    """The missing feature behind an exception that ended a program; "" for other exceptions."""
    if isinstance(error, AttributeError) and isinstance(error.obj, types.ModuleType):
        module = error.obj.__name__
        if module.partition(".")[0] in sys.stdlib_module_names:
            return f"{module}.{error.name}"
    if isinstance(error, ImportError) and _UnusableFinder.wanted:
        return f"the module {_UnusableFinder.wanted}"
    if isinstance(error, OSError) and error.errno in (errno.ENOSYS, errno.ENOTSUP):
        return f"a call of the system ({error.strerror})"
    return ""


def _run(source: str, row: bytes, seed: int) -> bytes:
    try:
        code = compile(source, "<grader>", "exec", dont_inherit=True)
    except BaseException as error:
        return b"Ec" + frames.described(error)
    return frames.frame_of(
        code, row, seed, None, on_error=lambda error: _lacking.append(_missing_feature(error))
    )


def main(data: bytes) -> NoReturn:
    """Grade one row: the names of packages that are elsewhere, then the row, then the source."""
    write, leave = os.write, os._exit
    (count,) = _COUNT.unpack_from(data)
    at = _COUNT.size + count
    elsewhere = frozenset(data[_COUNT.size : at].decode().split())
    seed, length = protocol.ROW.unpack_from(data, at)
    at += protocol.ROW.size
    row, source = data[at : at + length], protocol.source_text(data[at + length :])
    sys.stdout = sys.stderr
    seeding.install()
    _RefusalFinder().install()
    sys.modules["graders_sandbox"].run_untrusted = _refuse("run_untrusted")  # type: ignore[attr-defined]  # a module's function is replaced
    sys.meta_path.insert(0, _UnusableFinder())
    sys.meta_path.append(_AbsenceFinder(elsewhere))
    sys.addaudithook(_watch)
    frame = _run(source, row, seed)
    if lacking := list(dict.fromkeys(filter(None, _lacking))):
        frame = b"R" + ", ".join(lacking).encode("utf-8", "backslashreplace")[:1000]
    write(1, frame)
    leave(0)
