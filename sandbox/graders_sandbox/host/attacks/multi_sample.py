"""Attacks with more than one sample, or on the host itself. Each has a function that returns the reason."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable

from graders_sandbox.host.attacks.attempt import CLEAN, MultiSampleAttack, program_of, reason_of
from graders_sandbox.host.attacks.siblings import SIBLINGS
from graders_sandbox.host.sandbox import Sandbox

from .carryover import CARRYOVER, after
from .matrix import FULL, LANDLOCK, NS, STRICT
from .prelude import PRELUDE
from .targets import AttackTargets


def _links_in_the_way(sandbox: Sandbox, targets: AttackTargets) -> str:
    """Links in a folder that is cleared must not be followed."""
    mode = os.stat(targets.folder).st_mode
    os.chmod(targets.folder, 0o755)
    try:
        body = "os.makedirs('a/b')\nfor name in ('a/link', 'a/b/link', 'link'):\n    os.symlink(item['folder'], name)\nreturn 1.0"
        clean = after(body, "assert os.listdir('.') == []\nreturn 1.0")(sandbox, targets)
        changed = os.stat(targets.folder).st_mode & 0o7777 != 0o755 or not os.path.exists(targets.file)
        return "a link was followed" if changed else clean
    finally:
        os.chmod(targets.folder, mode & 0o7777)


def _text(source: str) -> Callable[[Sandbox, AttackTargets], str]:
    """An attack by the texts of an outcome that a program chooses."""

    def drive(sandbox: Sandbox, targets: AttackTargets) -> str:
        outcome = sandbox.run(program_of(source), {}, targets.item())
        texts = {"text": outcome.text, "error_type": outcome.error_type}
        for name, text in texts.items():
            if len(text) > 4200:
                return f"{name} has {len(text)} characters"
            bad = [c for c in text if not c.isprintable() and not (c == "\n" and name == "text")]
            if bad:
                return f"{name} holds {bad[0]!r}"
            text.encode()
        return "clean" if outcome.status in ("grader_error", "bad_return") else reason_of(outcome)

    return drive


def _deep_item(sandbox: Sandbox, targets: AttackTargets) -> str:
    """An item deeper than the interpreter's stack is an error of this sample, or is refused at once."""
    item: list[object] = []
    for _ in range(200_000):
        item = [item]
    try:
        outcome = sandbox.run(CLEAN, {}, item)
    except (RecursionError, ValueError) as error:
        return f"the caller's {type(error).__name__}"
    finally:
        # freed level by level, since freeing it at once would recurse as deep
        while item:
            item = item.pop()  # type: ignore[assignment]  # lists all the way down
    return reason_of(outcome)


def _deep_enough_item(sandbox: Sandbox, targets: AttackTargets) -> str:
    """The deepest item that the host can write must not harm the child."""
    outcome = sandbox.run(CLEAN, {}, json.loads("[" * 500 + "]" * 500))
    return reason_of(outcome)


def _many_hostile(sandbox: Sandbox, targets: AttackTargets) -> str:
    """Crashes and exits under load do not affect other samples."""
    hostile = [
        program_of(body) for body in ("ctypes.string_at(0)", "os._exit(3)", "os.write(3, b'x')\nos._exit(0)")
    ]
    good = [sandbox.submit(program_of("return item['n']"), {}, {"n": n}) for n in range(10)]
    bad = [sandbox.submit(source, {}, {}) for source in hostile * 3]
    good += [sandbox.submit(program_of("return item['n']"), {}, {"n": n}) for n in range(10, 20)]
    values = [future.result().value for future in good]
    if any(future.result().ok for future in bad):
        return "a hostile sample has a value"
    return "own scores" if values == [float(n) for n in range(20)] else f"wrong scores: {values}"


#: A grader of a model's code that keeps its answers out of the code's reach. `f` must return the item's `expected`.
_JUDGE = """
from graders_sandbox import run_untrusted

def grade(sample, item):
    verdict = run_untrusted(item["code"], [{"call": "f", "args": [], "expect": item["expected"]}], timeout=10)
    (result,) = verdict.results
    if result.status != "passed":
        raise RuntimeError(f"{result.status}: {result.text}")
    return verdict.score
"""


def by_a_model(body: str, expected: float = -1.0) -> Callable[[Sandbox, AttackTargets], str]:
    """An attack by a model's code under `run_untrusted`, which returns `expected` if it was held."""

    def drive(sandbox: Sandbox, targets: AttackTargets) -> str:
        code = PRELUDE + "\ndef f():\n" + "".join(f"    {line}\n" for line in body.strip().splitlines())
        item = {"code": code, "expected": expected, "answer": targets.secret, "host": os.getpid()}
        return reason_of(sandbox.run(_JUDGE, {"output_text": targets.secret}, item))

    return drive


def _ends_a_loop(sandbox: Sandbox, targets: AttackTargets) -> str:
    """A test that iterates over cases must not be passed by an exception that ends the iteration."""
    test = "assert all(map(lambda n: f(n) == n, [1, 2]))"
    source = _JUDGE.replace('[{"call": "f", "args": [], "expect": item["expected"]}]', f"{test!r}, entry='f'")
    return reason_of(sandbox.run(source, {}, {"code": "def f(n):\n    raise StopIteration\n"}))


def against_the_source(body: str) -> Callable[[Sandbox, AttackTargets], str]:
    """As `by_a_model`, on constants of the grader's own source, where tests often stand."""

    def drive(sandbox: Sandbox, targets: AttackTargets) -> str:
        code = PRELUDE + "\ndef f():\n" + "".join(f"    {line}\n" for line in body.strip().splitlines())
        source = f"TESTS = [{targets.secret!r}]\n{_JUDGE}"
        return reason_of(sandbox.run(source, {}, {"code": code, "expected": -1.0}))

    return drive


_HOST = """
import os, sys, threading, time
sys.path[:0] = {path!r}
from graders_sandbox import Sandbox
sandbox = Sandbox(tier={tier!r}, in_flight=3)
source = "import time\\ndef grade(sample, item):\\n    open('f', 'w').write('x') if item else None\\n    time.sleep(600)\\n"
assert sandbox.tier
for _ in range(3):
    sandbox.submit(source, {{}}, {files!r})
print("running", flush=True)
time.sleep(600)
"""


def _host_dies(sandbox: Sandbox, targets: AttackTargets) -> str:
    """When the host is killed while samples run, all processes of the sandbox end."""
    tier = sandbox.tier
    with tempfile.TemporaryDirectory(prefix="graders-attack-") as folder:
        source = _HOST.format(path=sys.path, tier=tier, files=tier != STRICT)
        host = subprocess.Popen(
            [sys.executable, "-c", source],
            stdout=subprocess.PIPE,
            env={**os.environ, "TMPDIR": folder},
        )
        assert host.stdout is not None
        with host.stdout as out:
            if out.readline() != b"running\n":
                return "the host did not start"
        ends = time.monotonic() + 10
        while len(below := _descendants(host.pid)) < 4 and time.monotonic() < ends:
            time.sleep(0.02)
        host.send_signal(signal.SIGKILL)
        host.wait()
        if len(below) < 4:
            return f"only {len(below)} processes were running"
        ends = time.monotonic() + 5
        while (left := [pid for pid in below if _alive(pid)]) and time.monotonic() < ends:
            time.sleep(0.02)
        return f"{len(left)} processes still run" if left else "nothing left"


def _descendants(pid: int) -> list[int]:
    found: list[int] = []
    parents = {pid}
    processes = {int(name): _parent(int(name)) for name in os.listdir("/proc") if name.isdigit()}
    while parents:
        parents = {child for child, parent in processes.items() if parent in parents}
        found += parents
    return found


def _parent(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return int(file.read().rpartition(")")[2].split()[1])
    except (OSError, IndexError):
        return 0


def _alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except (OSError, IndexError):
        return False


_WITH_FILES = (FULL, LANDLOCK, NS)
MULTI_SAMPLE_ATTACKS: list[MultiSampleAttack] = [
    *SIBLINGS,
    *CARRYOVER,
    MultiSampleAttack(13, "links in the way of what clears the folder", "value 1", _links_in_the_way, _WITH_FILES),
    MultiSampleAttack(46, "patched modules", "value 1", after("json.loads = struct.pack = os.write = None\nmath.isfinite = lambda value: True\nreturn 1.0", "import graders_sandbox.protocol as wire\nassert json.loads('1') == 1 and math.isfinite(1) and wire.VALUE\nreturn 1.0")),
    MultiSampleAttack(49, "escape codes, NUL, surrogates", "clean", _text("raise ValueError('\\x1b[31m\\x00\\ud800\\u202e\\r\\x07\\x9b' * 20)")),
    MultiSampleAttack(49, "a long text", "clean", _text("raise ValueError('x' * 10_000_000)")),
    MultiSampleAttack(49, "the name of a class", "clean", _text("raise type('A\\nB\\x1b[31m\\u202e', (Exception,), {})('x')")),
    MultiSampleAttack(49, "the name of a result's class", "clean", _text("return type('A\\nB\\x1b[31m', (), {})()")),
    MultiSampleAttack(49, "a source line", "clean", _text("x = '\\x1b[31m'; raise ValueError(x)")),
    MultiSampleAttack(50, "an item", "the caller's RecursionError or the caller's ValueError or payload RecursionError", _deep_item),
    MultiSampleAttack(50, "an item that is just not too deep", "value 1 or payload RecursionError", _deep_enough_item),
    MultiSampleAttack(52, "a counter in a module", "value 1", after("json.count = getattr(json, 'count', 0) + 1\nreturn 1.0", "return getattr(json, 'count', 0) + 1")),
    MultiSampleAttack(52, "a module that another grader imported", "value 1", after("import wave\nreturn 1.0", "assert 'wave' not in sys.modules\nreturn 1.0")),
    MultiSampleAttack(52, "patched arithmetic", "value 1", after("math.sqrt = lambda x: 99.0\nreturn 1.0", "return math.sqrt(1.0)")),
    MultiSampleAttack(52, "builtins", "value 3", after("import builtins\nbuiltins.len = lambda x: 99\nreturn 1.0", "return len('abc')")),
    MultiSampleAttack(52, "the environment", "value 1", after("os.environ['POISON'] = 'x'\nlibc.setenv(b'POISON', b'x', 1)\nreturn 1.0", "assert 'POISON' not in os.environ\nlibc.getenv.restype = ctypes.c_char_p\nassert libc.getenv(b'POISON') is None\nreturn 1.0")),
    MultiSampleAttack(52, "the template's memory", "value 1", after("ctypes.memmove(id(json.__name__) + 48, b'POISON', 0)\njson.__name__ = 'poison'\nreturn 1.0", "assert json.__name__ == 'json'\nreturn 1.0")),
    MultiSampleAttack(52, "files", "value 1", after("fill('.', 50, 10)\nos.makedirs('a/b/c')\nos.symlink('/', 'a/link')\nreturn 1.0", "assert os.listdir('.') == [], os.listdir('.')\nreturn 1.0"), _WITH_FILES),
    MultiSampleAttack(52, "folders that nobody may enter", "value 1", after("os.makedirs('a/b')\nopen('a/b/f', 'w').close()\nos.mkdir('a/c', 0)\nos.mkdir('d', 0o300)\nopen('d/f', 'w').close()\nreturn 1.0", "assert os.listdir('.') == [], os.listdir('.')\nreturn 1.0", ("value", "disk")), _WITH_FILES),
    MultiSampleAttack(52, "a chain of folders", "value 1", after("for _ in range(380):\n    os.mkdir('d')\n    os.chdir('d')\nopen('end', 'w').close()\nreturn 1.0", "assert os.listdir('.') == [], os.listdir('.')\nreturn 1.0", ("value", "disk")), _WITH_FILES),
    MultiSampleAttack(52, "folders beyond the longest path", "value 1", after("for _ in range(60):\n    os.mkdir('d' * 200)\n    os.chdir('d' * 200)\nopen('end', 'w').close()\nreturn 1.0", "assert os.listdir('.') == [], os.listdir('.')\nreturn 1.0", ("value", "disk")), _WITH_FILES),
    MultiSampleAttack(52, "locks on shared files", "value 1", after("file = open(json.__file__)\nfcntl.flock(file, fcntl.LOCK_EX)\nreturn 1.0", "file = open(json.__file__)\nfcntl.flock(file, fcntl.LOCK_EX)\nreturn 1.0"), _WITH_FILES),
    MultiSampleAttack(52, "the state of /dev/null", "value 1", after("for fd in (0, 1, 2):\n    fcntl.fcntl(fd, fcntl.F_SETFL, fcntl.fcntl(fd, fcntl.F_GETFL) | os.O_NONBLOCK | os.O_APPEND)\nos.close(0)\nreturn 1.0", "assert os.read(0, 10) == b'' and os.write(1, b'x') == 1\nreturn 1.0")),
    MultiSampleAttack(53, "an earlier sample and item in memory", "NOTHING", after("assert 'SECRET' in repr(item)\nreturn 1.0", "assert not memory(rb'[S]ECRET-[0-9a-f]{32}')\nreturn NOTHING")),
    MultiSampleAttack(53, "the harness's frames", "NOTHING", after("return 1.0", "frame = sys._getframe()\nwhile frame:\n    for name, held in frame.f_locals.items():\n        assert not re.search('[S]ECRET-[0-9a-f]{32}', str(held)[:1_000_000]), name\n    frame = frame.f_back\nreturn NOTHING")),
    MultiSampleAttack(41, "among others", "own scores", _many_hostile),
    MultiSampleAttack(58, "the answer, by a model's code, in memory", "value 1", by_a_model("assert not memory(rb'[S]ECRET-[0-9a-f]{32}')\nreturn NOTHING")),
    MultiSampleAttack(58, "the answer, by a model's code, in frames", "value 1", by_a_model("frame = sys._getframe()\nwhile frame:\n    for name, held in frame.f_locals.items():\n        assert not re.search('[S]ECRET-[0-9a-f]{32}', str(held)[:1_000_000]), name\n    frame = frame.f_back\nreturn NOTHING")),
    MultiSampleAttack(58, "descriptors of a model's code", "value 1", by_a_model("found = [fd for fd in range(1024) if met(fcntl.fcntl, fd, fcntl.F_GETFD) == THROUGH]\nassert found == [0, 1, 2, 3], found\nreturn NOTHING")),
    MultiSampleAttack(58, "a model's code against the sample's process", "value 1", by_a_model("pids = [pid for pid in range(max(1, os.getpid() - 40), os.getpid() + 40) if pid != os.getpid()]\nreturn all_met([(os.kill, pid, 9) for pid in pids] + [(call, (302, 261), pid, 0, struct.pack('QQ', 0, 0), None) for pid in pids])", -1001.0)),
    MultiSampleAttack(58, "a socket for a model's code", "value 1", by_a_model("return met(socket.socket)", -1001.0)),
    MultiSampleAttack(58, "a process for a model's code", "value 1", by_a_model("return met(os.fork)", -1001.0)),
    MultiSampleAttack(58, "asking the server for a child", "value 1", by_a_model("import graders_sandbox.jail.untrusted.client as u\nassert u._server is None\nreturn met(os.write, 5, bytes(17))", -1009.0)),
    MultiSampleAttack(58, "the grader's source, by a model's code, in memory", "value 1", against_the_source("assert not memory(rb'[S]ECRET-[0-9a-f]{32}')\nreturn NOTHING")),
    MultiSampleAttack(58, "the grader's constants, by a model's code, in frames", "value 1", against_the_source("frame = sys._getframe()\nwhile frame:\n    for held in (*frame.f_locals.values(), *frame.f_globals.values()):\n        found = [getattr(held, name, None) for name in dir(held) if not name.startswith('__')]\n        assert not re.search('[S]ECRET-[0-9a-f]{32}', repr([held, found])), held\n        assert not any(isinstance(thing, types.CodeType) and thing.co_filename == '<grader>' for thing in (held, *found)), held\n    frame = frame.f_back\nreturn NOTHING")),
    MultiSampleAttack(58, "the grader's constants, by a model's code, among all objects", "value 1", against_the_source("for thing in gc.get_objects():\n    for held in thing if isinstance(thing, (list, tuple)) else ():\n        assert not (isinstance(held, str) and re.match('[S]ECRET-[0-9a-f]{32}', held))\nreturn NOTHING")),
    MultiSampleAttack(58, "the end of a test's loop, by a model's code", "grade RuntimeError", _ends_a_loop),
    MultiSampleAttack(58, "a forged answer of a model's code", "grade RuntimeError", by_a_model("import json\ntext = json.dumps([99, 'value', -1.0]).encode()\nos.write(3, struct.pack('<I', len(text)) + text)\nreturn 0.0")),
    MultiSampleAttack(67, "an object that equals all", "grade RuntimeError", by_a_model("class Any:\n    def __eq__(self, other):\n        return True\n    __hash__ = None\nreturn Any()")),
    MultiSampleAttack(67, "a number that equals all", "grade RuntimeError", by_a_model("class Any(float):\n    def __eq__(self, other):\n        return True\n    __hash__ = None\nreturn Any(7)")),
    MultiSampleAttack(67, "a list that equals all", "grade RuntimeError", by_a_model("class Any(list):\n    def __eq__(self, other):\n        return True\nreturn Any()")),
    MultiSampleAttack(67, "no answer", "grade RuntimeError", by_a_model("os._exit(0)")),
    MultiSampleAttack(67, "the exit code of an unjailed child", "grade RuntimeError", by_a_model("os._exit(70)")),
    MultiSampleAttack(67, "exceptions that are not Exceptions", "grade RuntimeError", by_a_model("raise type('Odd', (BaseException,), {'__str__': lambda self: os._exit(0)})")),
    MultiSampleAttack(67, "a value of the harness's own", "grade RuntimeError", by_a_model("import graders_sandbox.jail.untrusted.program as own\nreturn own")),
    MultiSampleAttack(67, "a list that holds itself", "grade RuntimeError", by_a_model("x = []\nx.append(x)\nreturn x")),
    MultiSampleAttack(67, "a deep list", "grade RuntimeError", by_a_model("x = []\nfor _ in range(100_000):\n    x = [x]\nreturn x")),
    MultiSampleAttack(67, "a text of 100 MB", "grade RuntimeError", by_a_model("return 'x' * 100_000_000")),
    MultiSampleAttack(67, "not a number", "grade RuntimeError", by_a_model("return math.nan", expected=-1.0)),
    MultiSampleAttack(67, "two answers", "grade RuntimeError", by_a_model("text = json.dumps([0, 'value', -1.0]).encode()\nfor fd in (1, 2, 3, 4, 5):\n    try:\n        os.write(fd, struct.pack('<I', len(text)) + text)\n    except OSError:\n        pass\nos._exit(0)")),
    MultiSampleAttack(57, "killed while samples run", "nothing left", _host_dies),
]  # fmt: skip
