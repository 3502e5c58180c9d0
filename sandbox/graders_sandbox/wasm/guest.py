"""Runs inside the WebAssembly interpreter: grades one row of standard input and writes one result frame.

Only its text is used, as the interpreter's `-c`. The interpreter is a fresh one for each row, so nothing carries over.
Standard output carries the frame alone; what the program prints goes to standard error.

A program that needs what this machine does not have (a package, a thread, a process, a file to write) would score
differently here than in another tier. Such a row is refused with an R frame, whatever the program made of the failure.
"""

import errno
import json
import os
import struct
import sys
import types

NAME = "grader_program"
FRAME_MAX = 4000
ROW = struct.Struct("<QI")
LARGEST = sys.float_info.max
#: WASI says O_RDONLY by a bit of its own, so that O_RDWR holds it too.
WRITING = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND
IMPORTERS = ("_frozen_importlib", "_frozen_importlib_external", "importlib._bootstrap", "importlib._bootstrap_external")
missing = []


class Hooks:
    """First among the finders: calls a hook with a module when the program has loaded it."""

    def __init__(self, hooks):
        self.hooks = hooks

    def find_spec(self, name, path, target=None):
        if name not in self.hooks:
            return None
        specs = (finder.find_spec(name, path, target) for finder in sys.meta_path if finder is not self)
        spec = next(filter(None, specs), None)
        if spec is not None:
            spec.loader = HookedLoader(spec.loader, self.hooks[name])
        return spec

    def apply(self):
        """To the modules that are there already."""
        for name, hook in self.hooks.items():
            if name in sys.modules:
                hook(sys.modules[name])


class HookedLoader:
    """A loader that calls a hook afterwards. The loader of the library's zip file serves many modules."""

    def __init__(self, loader, hook):
        self.loader = loader
        self.hook = hook

    def __getattr__(self, name):
        return getattr(self.loader, name)

    def exec_module(self, module):
        self.loader.exec_module(module)
        self.hook(module)


def seeded(seed, bits):
    return lambda module: module.seed(seed & bits)


def refusing(what, *names):
    """Replaces functions and constructors of a module by one that is refused as every other tier refuses it."""

    def refuse(*arguments, **options):
        missing.append(what)
        raise PermissionError(errno.EPERM, f"the tier wasm has no {what}")

    def hook(module):
        for name in names:
            owner, _, attribute = name.rpartition(".")
            setattr(getattr(module, owner) if owner else module, attribute, refuse)

    return hook


class Absent:
    """Stands last among the finders: records modules that the program imports, other tiers have, and this one has not."""

    def __init__(self, elsewhere):
        self.elsewhere = elsewhere

    def find_spec(self, name, path, target=None):
        top = name.partition(".")[0]
        if top in self.elsewhere or top in sys.stdlib_module_names:
            frame = sys._getframe(1)
            while frame is not None and frame.f_globals.get("__name__") in IMPORTERS:
                frame = frame.f_back
            if frame is not None and frame.f_globals.get("__name__") == NAME:
                missing.append("the module " + name)
        return None


def lacking(error):
    """What this machine lacks when the program ended by an exception that says so; "" for any other."""
    if isinstance(error, AttributeError) and isinstance(error.obj, types.ModuleType):
        module = error.obj.__name__
        if module.partition(".")[0] in sys.stdlib_module_names:
            return f"{module}.{error.name}"
    if isinstance(error, OSError) and error.errno in (errno.ENOSYS, errno.ENOTSUP):
        return f"a call of the system ({error.strerror})"
    return ""


def watch(event, arguments):
    """Record what only another tier can do."""
    if event == "open" and arguments[2] & WRITING:
        missing.append("files that can be written")
    elif event in ("_thread.start_new_thread", "_thread.start_joinable_thread"):
        missing.append("threads")
    elif event == "sqlite3.connect" and arguments[0] != ":memory:":
        missing.append("files that can be written")
    elif event in ("os.mkdir", "os.rename", "os.symlink", "os.link"):
        missing.append("files that can be written")


def valued(value):
    kind = type(value)
    if kind is not float:
        numpy = sys.modules.get("numpy")
        if kind is int or kind is bool or (
            numpy is not None and isinstance(value, (numpy.floating, numpy.integer, numpy.bool_))
        ):
            try:
                value = float(value)
            except OverflowError:
                return b"Bgrade returned an integer too large for a float"
        else:
            return b"Bgrade returned a " + kind.__name__.encode("utf-8", "backslashreplace")[:200] + b", expected a number"
    if not abs(value) <= LARGEST:
        return b"B" + f"grade returned {value!r}, expected a finite number".encode()
    return struct.pack("<cd", b"V", value)


def described(error):
    try:
        name = type(error).__name__
        if isinstance(error, MemoryError):
            return b"MemoryError\0the program ran out of memory"
        import traceback

        trace = error.__traceback__
        while trace is not None and trace.tb_frame.f_globals is globals():
            trace = trace.tb_next
        if isinstance(error, RecursionError):
            text = f"RecursionError: {error}"
        else:
            text = "".join(traceback.format_exception(type(error), error, trace, limit=-20))
        most = FRAME_MAX - 300
        data = text.encode("utf-8", "backslashreplace")
        if len(data) > most:
            data = data[: most // 2] + b"\n... cut ...\n" + data[-(most // 2) + 20 :]
        return name.encode("utf-8", "backslashreplace")[:200] + b"\0" + data
    except BaseException:
        return b"Exception\0the exception could not be printed"


def grade(row_text, source, seed):
    stage = b"p"
    try:
        row = json.loads(row_text)
        hooks = Hooks(
            {
                "random": seeded(seed, 0xFFFFFFFFFFFFFFFF),
                "numpy.random": seeded(seed, 0xFFFFFFFF),
                "socket": refusing("sockets", "socket.__init__", "socketpair"),
                "subprocess": refusing("processes", "Popen.__init__"),
            }
        )
        sys.meta_path.insert(0, hooks)
        hooks.apply()
        stage = b"c"
        code = compile(source, "<grader>", "exec", dont_inherit=True)
        stage = b"i"
        module = types.ModuleType(NAME)
        sys.modules[NAME] = module
        exec(code, module.__dict__)
        stage = b"g"
        function = module.__dict__.get("grade")
        if function is None:
            raise NameError("the source does not define grade(sample, item)")
        return valued(function(row["sample"], row["item"]))
    except BaseException as error:
        if what := lacking(error):
            missing.append(what)
        return b"E" + stage + described(error)


def main():
    write, leave = os.write, os._exit
    data = sys.stdin.buffer.read()
    elsewhere_length, = struct.unpack_from("<I", data)
    elsewhere = frozenset(data[4 : 4 + elsewhere_length].decode().split())
    at = 4 + elsewhere_length
    seed, length = ROW.unpack_from(data, at)
    at += ROW.size
    source = data[at + length :].decode("utf-8", "surrogatepass")
    sys.stdout = sys.stderr
    sys.meta_path.append(Absent(elsewhere))
    sys.addaudithook(watch)
    frame = grade(data[at : at + length].decode(), source, seed)
    if missing:
        frame = b"R" + ", ".join(dict.fromkeys(missing)).encode()[:1000]
    write(1, frame)
    leave(0)


main()
