"""Attacks on results, and programs that are no graders: rows 40 to 59."""

from __future__ import annotations

from .matrix import AttackCase, by_tier

RESULTS = [
    AttackCase(40, "a segmentation fault", "crash SIGSEGV", "ctypes.string_at(0)"),
    AttackCase(40, "abort", "crash SIGABRT", "os.abort()"),
    AttackCase(40, "an illegal instruction", "crash SIGILL", "return float(run_code(*((0x0F, 0x0B) if X86 else (0, 0, 0, 0))))"),
    AttackCase(40, "a signal to oneself", "crash SIGTERM", "os.kill(os.getpid(), signal.SIGTERM)\ntime.sleep(5)"),
    *(
        AttackCase(40, f"saying by {name} {what}", "EPERM", f"return met({act.format(number)})")
        for number, what in ((9, "that the kernel killed for memory"), (24, "that the time is up"), (25, "that the disk is full"))
        for name, act in (
            ("kill", "os.kill, os.getpid(), {}"), ("tgkill", "call, (234, 131), os.getpid(), os.getpid(), {}"),
            ("raise", "signal.raise_signal, {}"), ("a thread's signal", "signal.pthread_kill, threading.get_ident(), {}"),
        )
    ),
    AttackCase(40, "a limit of processor time of one's own", "EPERM", "return met(call, (302, 261), 0, 0, struct.pack('QQ', 1, 1), None)"),
    AttackCase(40, "the same by the older call", "EPERM", "return met(call, (160, 164), 0, struct.pack('QQ', 1, 1))"),
    AttackCase(40, "the same by one's own number", "EPERM", "return met(call, (302, 261), os.getpid(), 0, struct.pack('QQ', 1, 1), None)"),
    AttackCase(40, "a class that is called as a full disk was", "grade DiskFull", "class DiskFull(Exception):\n    pass\nraise DiskFull"),
    AttackCase(40, "a class that is called as a lack of memory", "grade MemoryError", "class MemoryError(Exception):\n    pass\nraise MemoryError"),
    AttackCase(40, "core dumps", "NOTHING", "assert resource.getrlimit(resource.RLIMIT_CORE) == (0, 0)\nreturn NOTHING"),
    AttackCase(41, "os._exit(0)", "no_result", "os._exit(0)"),
    *(AttackCase(41, f"os._exit({code})", "no_result", f"os._exit({code})") for code in (1, 3, 71, 255)),
    *(AttackCase(41, f"the exit code of an unjailed child, {code}", "crash SIGSYS", f"os._exit({code})") for code in (70, 70 + 256)),
    AttackCase(41, "the same by a thread", "crash SIGSYS", "call((60, 93), 70)"),
    AttackCase(41, "the same, after taking back what it wrote", by_tier("ENOENT", "crash SIGSYS or EACCES", "ENOENT", "EPERM"), """
def act():
    result = os.open('/proc/self/fd/3', os.O_RDONLY | os.O_NONBLOCK)
    os.write(3, b'V')
    os.read(result, 1)
    os._exit(70)
return met(act)"""),
    AttackCase(41, "exit_group", "no_result", "call((231, 94), 0)"),
    AttackCase(41, "closing the result's descriptor", "no_result", "os.close(3)\nreturn 1.0"),
    AttackCase(41, "putting another in its place", "no_result", "os.dup2(0, 3)\nreturn 1.0"),
    AttackCase(41, "leaving from __str__", "no_result", "class Loud(Exception):\n    def __str__(self):\n        os._exit(0)\nraise Loud"),
    AttackCase(41, "closing all descriptors", "no_result", "os.closerange(0, 256)\nreturn 1.0"),
    AttackCase(42, "SystemExit", "grade SystemExit", "sys.exit(0)"),
    AttackCase(42, "SystemExit with a number", "grade SystemExit", "raise SystemExit(1.0)"),
    AttackCase(42, "KeyboardInterrupt", "grade KeyboardInterrupt", "raise KeyboardInterrupt"),
    AttackCase(42, "GeneratorExit", "grade GeneratorExit", "raise GeneratorExit"),
    AttackCase(42, "an own BaseException", "grade Own", "class Own(BaseException):\n    pass\nraise Own"),
    AttackCase(42, "a group", "grade ExceptionGroup", "raise ExceptionGroup('x', [ValueError()] * 100)"),
    AttackCase(42, "a cycle of causes", "grade ValueError", "a, b = ValueError(), TypeError()\na.__cause__, b.__cause__ = b, a\nraise a"),
    AttackCase(42, "a __str__ that raises", "grade Bad", "class Bad(Exception):\n    def __str__(self):\n        raise RuntimeError\nraise Bad"),
    AttackCase(42, "recursion", "grade RecursionError", "def deeper():\n    return deeper()\nreturn deeper()"),
    AttackCase(43, "unlimited recursion", "timeout wall or timeout cpu or memory MemoryError or crash SIGSEGV or grade RecursionError", "sys.setrecursionlimit(10**9)\ndef deeper():\n    return deeper()\nreturn deeper()", timeout_s=0.5),
    AttackCase(43, "in C", "crash SIGSEGV or grade RecursionError or memory MemoryError or timeout wall or timeout cpu", "sys.setrecursionlimit(10**9)\nx = []\nfor _ in range(1_000_000):\n    x = [x]\nreturn float(len(repr(x)))", timeout_s=5, costly=True),
    *(
        AttackCase(44, name, "bad_return", body)
        for name, body in (
            ("not a number", "return math.nan"), ("infinity", "return math.inf"), ("minus infinity", "return -math.inf"),
            ("None", "return None"), ("a text", "return '1.0'"), ("bytes", "return b'1'"), ("complex", "return 1j"), ("a list", "return [1.0]"),
            ("a dict", "return {'reward': 1.0}"), ("an integer too large", "return 10 ** 400"), ("a subclass of float", "class F(float):\n    pass\nreturn F(1)"),
            ("a subclass of int", "class I(int):\n    def __float__(self):\n        return 2.0\nreturn I(1)"), ("an object with __float__", "class O:\n    def __float__(self):\n        return 1.0\nreturn O()"),
            ("a decimal", "return decimal.Decimal(1)"), ("a fraction", "return fractions.Fraction(1)"), ("a function", "return grade"), ("a module", "return os"),
            ("a generator", "return (n for n in [1.0])"), ("an exception", "return ValueError(1.0)"), ("a class that lies", "class L:\n    __class__ = float\nreturn L()"),
        )
    ),
    AttackCase(45, "twice", "protocol", "import graders_sandbox.protocol as wire\nos.write(3, wire.VALUE.pack(b'V', 1.0))\nreturn 1.0"),
    AttackCase(45, "10 MB of garbage", "protocol or timeout wall", "os.write(3, b'V' * 10_000_000)\nreturn 1.0", timeout_s=1),
    AttackCase(45, "a flood without end", "protocol or timeout wall", "while True:\n    os.write(3, b'x' * 60_000)", timeout_s=1),
    *(
        AttackCase(45, name, "protocol", f"os.write(3, {frame})\nos._exit(0)")
        for name, frame in (
            ("one byte", "b'V'"), ("half a frame", "FRAME.pack(b'V', 1.0)[:5]"), ("a frame and a byte", "FRAME.pack(b'V', 1.0) + b'x'"), ("not a number", "FRAME.pack(b'V', math.nan)"),
            ("infinity", "FRAME.pack(b'V', math.inf)"), ("an unknown kind", "b'Z' + bytes(8)"), ("an error without a stage", "b'Ezzz'"), ("an error without an end", "b'Eg' + b'x' * 100"),
            ("JSON", "b'{\"value\": 1.0}'"), ("a text", "b'1.0'"),
        )
    ),
    AttackCase(45, "a result and a bad exit", "protocol", "os.write(3, FRAME.pack(b'V', 1.0))\nos._exit(1)"),
    AttackCase(45, "a result and a crash", "crash SIGSEGV", "os.write(3, FRAME.pack(b'V', 1.0))\nctypes.string_at(0)"),
    AttackCase(45, "a result and no end", "timeout wall", "os.write(3, FRAME.pack(b'V', 1.0))\ntime.sleep(60)", timeout_s=0.3),
    AttackCase(66, "a result on standard output", "value 1", "os.write(1, FRAME.pack(b'V', 9.0))\nprint(FRAME.pack(b'V', 9.0).decode('latin-1'))\nreturn 1.0"),
    AttackCase(66, "more than is kept, then a result", "value 1", "print('x' * 1_000_000)\nsys.stderr.write('y' * 1_000_000)\nreturn 1.0"),
    AttackCase(66, "bytes that are no text", "value 1", "sys.stdout.buffer.write(bytes(range(256)) * 10) if hasattr(sys.stdout, 'buffer') else None\nreturn 1.0"),
    AttackCase(66, "an own frame of output, and a result", "value 1", "os.write(3, struct.pack('<cI', b'O', 5) + b'hello')\nreturn 1.0"),
    *(
        AttackCase(66, f"a frame of output {name}", "protocol or no_result", f"os.write(3, {frame})\nos._exit(0)")
        for name, frame in (
            ("that is longer than it is", "struct.pack('<cI', b'O', 60_000) + b'x'"), ("of 4 GB", "struct.pack('<cI', b'O', 0xffffffff)"),
            ("without a length", "b'O\\x01'"), ("and no result", "struct.pack('<cI', b'O', 1) + b'x'"), ("in a frame of output", "struct.pack('<cI', b'O', 9) + FRAME.pack(b'V', 1.0)"),
        )
    ),
    AttackCase(66, "output without end", "timeout wall or protocol or no_result or crash SIGPIPE", "while True:\n    os.write(3, struct.pack('<cI', b'O', 2000) + b'x' * 2000)", timeout_s=1),
    AttackCase(66, "output that is replaced", "value 1", "sys.stdout = sys.stderr = sys.__stdout__ = None\nreturn 1.0"),
    AttackCase(66, "an output that raises", "value 1", "type(sys.stdout).write\nsys.stdout.close()\nreturn 1.0"),
    AttackCase(46, "math.isfinite", "protocol or bad_return", "math.isfinite = lambda value: True\nreturn math.nan"),
    AttackCase(46, "type and isinstance", "bad_return or protocol or grade TypeError or grade AssertionError", "import builtins\nbuiltins.isinstance = lambda *a: True\nreturn None"),
    AttackCase(46, "os.write and os._exit", "value 1", "os.write = os._exit = None\nreturn 1.0"),
    AttackCase(46, "json and struct", "value 1", "json.loads = struct.pack = struct.Struct = None\nreturn 1.0"),
    AttackCase(46, "the harness's module", "value 1 or value 7", "import graders_sandbox.jail.sample as harness\nharness._frame = lambda value: FRAME.pack(b'V', 7.0)\nreturn 1.0"),
    AttackCase(47, "its own and no other's", "value 123", "os.write(3, FRAME.pack(b'V', 123.0))\nos._exit(0)"),
    AttackCase(48, "in place of the result", "protocol", "os.write(3, b\"cos\\nsystem\\n(S'touch pickled'\\ntR.\")\nos._exit(0)"),
    AttackCase(48, "returned", "bad_return", "class P:\n    def __reduce__(self):\n        return os.system, ('true',)\nreturn P()"),
    AttackCase(50, "parsed by the program", "grade RecursionError", "return float(len(json.loads('[' * 200_000)))"),
    AttackCase(55, "patched clocks", "timeout wall", "time.time = time.monotonic = time.perf_counter = lambda: 0.0\nwhile True:\n    time.sleep(0.001)", timeout_s=0.3),
    AttackCase(55, "the system's clock", "EPERM", "return met(time.clock_settime, time.CLOCK_REALTIME, 0)"),
    AttackCase(58, "the server's control socket", "NOTHING", """
for held in list(harness()):
    for found in [held, *getattr(held, '__dict__', {}).values()] if type(held).__module__ in ('__main__', 'graders_sandbox.jail.server') else [held]:
        if isinstance(found, socket.socket):
            assert met(found.send, b'X' * 30) != THROUGH, found
return NOTHING"""),
    AttackCase(58, "the targets' secret in any frame", "NOTHING", "frame = sys._getframe()\nwhile frame:\n    for name, held in frame.f_locals.items():\n        if isinstance(held, (str, bytes, dict, list)) and frame.f_code.co_filename != '<grader>':\n            assert 'SECRET-' not in str(held)[:1_000_000], name\n    frame = frame.f_back\nreturn NOTHING"),
    AttackCase(59, "deep parentheses", "compile RecursionError or compile MemoryError or compile SyntaxError", source="x = " + "(" * 5000 + ")" * 5000),
    AttackCase(59, "a deep expression", "compile RecursionError or compile MemoryError or compile SyntaxError or grade NameError or import RecursionError", source="x = " + "-" * 100_000 + "1"),
    AttackCase(59, "many attributes", "compile RecursionError or compile MemoryError or compile SyntaxError or grade NameError or import AttributeError or import RecursionError", source="x = 1" + ".real" * 40_000),
    AttackCase(59, "a coding cookie", "value 1", source="# coding: latin-1\ndef grade(sample, item):\n    return float(len('é'))\n"),
    *(
        AttackCase(59, f"a chain of {name}, with an import", "compile RecursionError", source=f"import re\ny = {start}{link * 80_000}\ndef grade(sample, item):\n    return 1.0\n", timeout_s=60)
        for name, start, link in (("sums", "1", "+1"), ("calls", "x", "()"), ("names", "x", ".a"))
    ),
    AttackCase(59, "a formatted text that takes seconds to parse", "value 1 or compile The", source="import re\ndef grade(sample, item):\n    return 1.0\nx = lambda a: f'" + "{a}" * 20_000 + "'\n", timeout_s=60),
    AttackCase(59, "an import that leaves", by_tier("import SystemExit", "import SystemExit", "import SystemExit", "import ModuleNotFoundError"), source="import unittest.__main__\ndef grade(sample, item):\n    return 1.0\n"),
    AttackCase(59, "256 kB", "value 1", source="def grade(sample, item):\n    return 1.0\n" + "x = 1\n" * 43_000, timeout_s=60),
    AttackCase(59, "more than 256 kB", "compile SourceTooLarge", source="# " + "x" * 262_144),
    AttackCase(59, "a folded constant", "value 1 or compile MemoryError", source="x = 2 ** 2 ** 2 ** 2 ** 2\ndef grade(sample, item):\n    return float((x if False else 1) or len('x' * 10**9 if False else 'x'))"),
    AttackCase(59, "NUL", "compile SyntaxError or compile ValueError", source="x = 1\0\n"),
    AttackCase(59, "surrogates", "compile SyntaxError or compile UnicodeDecodeError or compile UnicodeEncodeError or compile ValueError", source="x = '\ud800'\n"),
    AttackCase(59, "a foreign encoding", "grade NameError", source="# coding: no-such-encoding\n"),
    AttackCase(59, "tabs and indentation", "compile TabError or compile IndentationError", source="if True:\n        x = 1\n\ty = 2\n"),
]  # fmt: skip

PROGRAMS = [
    AttackCase(56, "an endless top level", "timeout wall", source="while True:\n    pass\n", timeout_s=0.3),
    AttackCase(56, "no grade", "grade NameError or import NameError", source="x = 1\n"),
    AttackCase(56, "too few arguments", "grade TypeError", source="def grade(sample):\n    return 1.0\n"),
    AttackCase(56, "an async grade", "bad_return", source="async def grade(sample, item):\n    return 1.0\n"),
    AttackCase(56, "grade is no function", "grade TypeError", source="grade = 1.0\n"),
    AttackCase(56, "no Python", "compile SyntaxError", source="def grade(:\n"),
    AttackCase(56, "leaving at the top level", "import SystemExit", source="import sys\nsys.exit(0)\n"),
    AttackCase(56, "an exception at the top level", "import ZeroDivisionError", source="1 / 0\n"),
    AttackCase(56, "an import that is not there", "import ModuleNotFoundError", source="import no_such_module_anywhere\n"),
    AttackCase(56, "an empty program", "grade NameError or import NameError", source="\n"),
    AttackCase(56, "a main block", "value 1", source="def grade(sample, item):\n    return 1.0\nif __name__ == '__main__':\n    1 / 0\n"),
    AttackCase(51, "100 MB", "value 1e+08", source="def grade(sample, item):\n    return len(item)\n", item="x" * 100_000_000, timeout_s=100, default_limits=True),
]  # fmt: skip
