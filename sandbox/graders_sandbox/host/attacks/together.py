"""Attacks that need more than one sample, or the host itself: each a function that returns a reason."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass

from graders_sandbox.host.sandbox import Sandbox
from graders_sandbox.limits import Outcome

from .cases import FULL, LANDLOCK, NS, PRELUDE, STRICT, TIERS
from .scene import Scene

_HEAD = PRELUDE + "\ndef grade(sample, item):\n"


def _program(body: str) -> str:
    return _HEAD + "".join(f"    {line}\n" for line in body.strip().splitlines())


CLEAN = _program("return 1.0")


@dataclass(frozen=True, slots=True)
class Together:
    """An attack with several samples.

    Attributes:
        row, name, expect: As of Attack; the same reason in every tier in which it can be made.
        drive: Makes the attempt.
        tiers: Where it can be made.
    """

    row: int
    name: str
    expect: str
    drive: Callable[[Sandbox, Scene], str]
    tiers: tuple[str, ...] = TIERS

    @property
    def title(self) -> str:
        return f"{self.row}: {self.name}"

    def expected(self, tier: str) -> tuple[str, ...]:
        return tuple(self.expect.split(" or ")) if tier in self.tiers else ()


def _reason(outcome: Outcome) -> str:
    from . import reason

    return reason(outcome)


# --- two samples at once ---

#: Runs beside the attackers; says 1.0 when nothing happened to it. It works until its time is over.
_VICTIM = _program("""
marker = item['marker']
threads = [threading.Thread(target=time.sleep, args=(item['lasts_s'],), daemon=True) for _ in range(2)]
for thread in threads:
    thread.start()
limits = [resource.getrlimit(which) for which in range(16)]
if item['files']:
    open('kept', 'w').write(marker)
ends = time.monotonic() + item['lasts_s']
while time.monotonic() < ends:
    time.sleep(0.02)
assert [resource.getrlimit(which) for which in range(16)] == limits
if item['files']:
    assert os.listdir('.') == ['kept'], os.listdir('.')
    assert open('kept').read() == marker
assert all(thread.is_alive() for thread in threads) or time.monotonic() >= ends
return 1.0
""")


def beside(body: str, tries: int = 2) -> Callable[[Sandbox, Scene], str]:
    """An attack while another sample is under way: the reason of the attackers if they agree and the other is well."""

    def drive(sandbox: Sandbox, scene: Scene) -> str:
        files = sandbox.tier != STRICT
        victim_item = {"marker": scene.secret, "lasts_s": 0.25, "files": files}
        attack = _program(body)
        alone = sandbox.tier == NS  # one sample at a time there
        victim = sandbox.submit(_VICTIM, scene.secret, victim_item)
        if not alone:
            time.sleep(0.05)  # so that the other has begun
        reasons = {_reason(sandbox.run(attack, {}, scene.item())) for _ in range(tries)}
        ended = victim.result()
        if ended.value != 1.0:
            return f"the other sample was hurt: {ended.status} {ended.text[-300:]}"
        if len(reasons) > 1:
            reasons.discard("ENOENT")  # one of them found nothing to attack
        return " and ".join(sorted(reasons))

    return drive


#: Every folder that may be another sample's. The own one is left out by its number, not by looking.
_FOLDERS = """
parent, own = os.path.dirname(TMP), os.path.basename(TMP)
others = [f'{parent}/{number}' for number in range(64) if str(number) != own]
def real(acts):
    # a folder that does not exist says nothing; at least one must, and all that do must refuse
    errors = [met(*act) for act in acts]
    errors = [error for error in errors if error != number(errno.ENOENT)] or [number(errno.ENOENT)]
    assert len(set(errors)) == 1, errors
    return errors[0]
"""
_PIDS = "pids = [pid for pid in range(max(1, os.getpid() - 40), os.getpid() + 40) if pid != os.getpid()]\n"

SIBLINGS = [
    Together(54, "listing its folder", "EACCES or ENOENT", beside(_FOLDERS + "return real([(os.listdir, other) for other in others])"), (FULL, LANDLOCK, NS)),
    Together(54, "reading its file", "EACCES or ENOENT", beside(_FOLDERS + "return real([(open, other + '/kept') for other in others])"), (FULL, LANDLOCK, NS)),
    Together(54, "writing its file", "EACCES or ENOENT", beside(_FOLDERS + "return real([(open, other + '/kept', 'w') for other in others])"), (FULL, LANDLOCK, NS)),
    Together(54, "adding a file", "EACCES or EROFS or ENOENT", beside(_FOLDERS + "return real([(open, other + '/new', 'w') for other in others])"), (FULL, LANDLOCK, NS)),
    Together(54, "deleting its file", "EACCES or ENOENT", beside(_FOLDERS + "return real([(os.unlink, other + '/kept') for other in others])"), (FULL, LANDLOCK, NS)),
    Together(54, "moving its file", "EXDEV or EACCES or ENOENT", beside(_FOLDERS + "return real([(os.rename, other + '/kept', 'mine') for other in others])"), (FULL, LANDLOCK, NS)),
    Together(54, "linking to its file", "EACCES or ENOENT", beside(_FOLDERS + "def act(other):\n    if os.path.lexists('link'):\n        os.unlink('link')\n    os.symlink(other + '/kept', 'link')\n    open('link')\nreturn real([(act, other) for other in others])"), (FULL, LANDLOCK, NS)),
    Together(54, "a hard link to its file", "EXDEV or EACCES or ENOENT", beside(_FOLDERS + "return real([(os.link, other + '/kept', 'hard') for other in others])"), (FULL, LANDLOCK, NS)),
    Together(54, "removing its folder", "EACCES or EBUSY or EROFS or ENOENT", beside(_FOLDERS + "return real([(os.rmdir, other) for other in others])"), (FULL, LANDLOCK, NS)),
    Together(54, "its folder, where paths are refused", "EPERM", beside("return all_met([(os.listdir, '.'), (open, 'kept'), (os.unlink, 'kept')])"), (STRICT,)),
    Together(54, "signals", "EPERM", beside(_PIDS + "return all_met([(os.kill, pid, signal.SIGKILL) for pid in pids])")),
    Together(54, "signals to its threads", "EPERM", beside(_PIDS + "return all_met([(call, (234, 131), pid, tid, 9) for pid in pids for tid in (pid, pid + 1)])")),
    Together(54, "its limits", "EPERM", beside(_PIDS + "return all_met([(call, (302, 261), pid, 7, struct.pack('QQ', 0, 0), None) for pid in pids])")),
    Together(54, "ptrace", "EPERM", beside(_PIDS + "return all_met([(call, (101, 117), 16, pid, 0, 0) for pid in pids])")),
    Together(54, "its memory", "EPERM", beside(_PIDS + "local = struct.pack('QQ', ctypes.addressof(ctypes.create_string_buffer(8)), 8)\nreturn all_met([(call, (310, 270), pid, local, 1, local, 1, 0) for pid in pids])")),
    Together(54, "/proc", "EACCES or ENOENT or EPERM", beside("return all_met([(open, '/proc/%d/%s' % (os.getpid(), name), 'rb') for name in ('mem', 'maps', 'environ')])")),
    Together(54, "its result's pipe", "EACCES or ENOENT or EPERM", beside(_PIDS + "errors = {met(os.open, f'/proc/{pid}/fd/{fd}', os.O_WRONLY) for pid in pids for fd in (3, 4, 5)} - {number(errno.ENOENT)} or {number(errno.ENOENT)}\nassert len(errors) == 1, errors\nreturn errors.pop()")),
    Together(54, "its folder by way of /proc", "EACCES or ENOENT or EPERM", beside("return met(os.listdir, '/proc/%d/cwd' % (os.getpid() - 1))")),
    Together(54, "its processor time", "EPERM", beside(_PIDS + "return all_met([(os.setpriority, os.PRIO_PROCESS, pid, 19) for pid in pids] + [(os.sched_setaffinity, pid, [0]) for pid in pids])")),
    Together(54, "its lists of locks", "EPERM or EACCES or ESRCH", beside("buffer = ctypes.create_string_buffer(16)\npointer = ctypes.addressof(buffer)\nfor pid in (os.getppid(),):\n    return met(call, (274, 100), pid, pointer, pointer + 8)")),
    Together(53, "its sample and item in memory", "NOTHING", beside("assert not memory(rb'[S]ECRET-[0-9a-f]{32}')\nreturn NOTHING", tries=2)),
]  # fmt: skip


# --- one sample after another ---


def after(poison: str, body: str, first: tuple[str, ...] = ("value",)) -> Callable[[Sandbox, Scene], str]:
    """An attack on the samples that come after it; `first` are the statuses that it may end with itself."""

    def drive(sandbox: Sandbox, scene: Scene) -> str:
        item = {**scene.item(), "secret": scene.secret}
        poisoned: list[Future[Outcome]] = [
            sandbox.submit(_program(poison), scene.secret, item) for _ in range(2 * sandbox.in_flight)
        ]
        for future in poisoned:
            if future.result().status not in first:
                return f"the first sample: {future.result().text[-300:]}"
        item.pop("secret")
        second = [sandbox.submit(_program(body), {}, item) for _ in range(2 * sandbox.in_flight)]
        return " and ".join(sorted({_reason(future.result()) for future in second}))

    return drive


def _links_in_the_way(sandbox: Sandbox, scene: Scene) -> str:
    """What clears folders away must not follow links."""
    mode = os.stat(scene.folder).st_mode
    os.chmod(scene.folder, 0o755)
    try:
        body = "os.makedirs('a/b')\nfor name in ('a/link', 'a/b/link', 'link'):\n    os.symlink(item['folder'], name)\nreturn 1.0"
        clean = after(body, "assert os.listdir('.') == []\nreturn 1.0")(sandbox, scene)
        changed = os.stat(scene.folder).st_mode & 0o7777 != 0o755 or not os.path.exists(scene.file)
        return "a link was followed" if changed else clean
    finally:
        os.chmod(scene.folder, mode & 0o7777)


def _text(source: str) -> Callable[[Sandbox, Scene], str]:
    """What an outcome says, when a program chose the words."""

    def drive(sandbox: Sandbox, scene: Scene) -> str:
        outcome = sandbox.run(_program(source), {}, scene.item())
        texts = {"text": outcome.text, "error_type": outcome.error_type}
        for name, text in texts.items():
            if len(text) > 4200:
                return f"{name} has {len(text)} characters"
            bad = [c for c in text if not c.isprintable() and not (c == "\n" and name == "text")]
            if bad:
                return f"{name} holds {bad[0]!r}"
            text.encode()
        return "clean" if outcome.status in ("grader_error", "bad_return") else _reason(outcome)

    return drive


def _deep_item(sandbox: Sandbox, scene: Scene) -> str:
    """An item that is deeper than the interpreter's stack: an error of this sample, or of the caller at once."""
    item: list[object] = []
    for _ in range(200_000):
        item = [item]
    try:
        outcome = sandbox.run(CLEAN, {}, item)
    except (RecursionError, ValueError) as error:
        return f"the caller's {type(error).__name__}"
    finally:
        while item:  # or freeing it would be deep, too
            item = item.pop()  # type: ignore[assignment]  # lists all the way down
    return _reason(outcome)


def _deep_enough_item(sandbox: Sandbox, scene: Scene) -> str:
    """The deepest item that the host can still write must not harm the child."""
    outcome = sandbox.run(CLEAN, {}, json.loads("[" * 500 + "]" * 500))
    return _reason(outcome)


def _many_hostile(sandbox: Sandbox, scene: Scene) -> str:
    """Crashes and exits under load hurt no neighbour."""
    hostile = [
        _program(body) for body in ("ctypes.string_at(0)", "os._exit(3)", "os.write(3, b'x')\nos._exit(0)")
    ]
    good = [sandbox.submit(_program("return item['n']"), {}, {"n": n}) for n in range(10)]
    bad = [sandbox.submit(source, {}, {}) for source in hostile * 3]
    good += [sandbox.submit(_program("return item['n']"), {}, {"n": n}) for n in range(10, 20)]
    values = [future.result().value for future in good]
    if any(future.result().ok for future in bad):
        return "a hostile sample has a value"
    return "own scores" if values == [float(n) for n in range(20)] else f"wrong scores: {values}"


#: A grader of a model's code, as it should be written. The code's `f` must return what item expects.
_JUDGE = """
from graders_sandbox import run_untrusted

def grade(sample, item):
    verdict = run_untrusted(item["code"], [{"call": "f", "args": [], "expect": item["expected"]}], timeout=10)
    (result,) = verdict.results
    if result.status != "passed":
        raise RuntimeError(f"{result.status}: {result.text}")
    return verdict.score
"""


def by_a_model(body: str, expected: float = -1.0) -> Callable[[Sandbox, Scene], str]:
    """An attack from the second child, where `run_untrusted` runs code; 1.0 when it got what was expected of it."""

    def drive(sandbox: Sandbox, scene: Scene) -> str:
        code = PRELUDE + "\ndef f():\n" + "".join(f"    {line}\n" for line in body.strip().splitlines())
        item = {"code": code, "expected": expected, "answer": scene.secret, "host": os.getpid()}
        return _reason(sandbox.run(_JUDGE, {"output_text": scene.secret}, item))

    return drive


def _ends_a_loop(sandbox: Sandbox, scene: Scene) -> str:
    """A test that runs through cases must not be passed by an exception that ends its iteration."""
    test = "assert all(map(lambda n: f(n) == n, [1, 2]))"
    source = _JUDGE.replace('[{"call": "f", "args": [], "expect": item["expected"]}]', f"{test!r}, entry='f'")
    return _reason(sandbox.run(source, {}, {"code": "def f(n):\n    raise StopIteration\n"}))


def against_the_source(body: str) -> Callable[[Sandbox, Scene], str]:
    """As `by_a_model`, against what the grader's own source holds: tests are often written there."""

    def drive(sandbox: Sandbox, scene: Scene) -> str:
        code = PRELUDE + "\ndef f():\n" + "".join(f"    {line}\n" for line in body.strip().splitlines())
        source = f"TESTS = [{scene.secret!r}]\n{_JUDGE}"
        return _reason(sandbox.run(source, {}, {"code": code, "expected": -1.0}))

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


def _host_dies(sandbox: Sandbox, scene: Scene) -> str:
    """The host is killed while samples run: its processes end, and its folders are swept by the next sandbox."""
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
            return f"only {len(below)} processes were under way"
        ends = time.monotonic() + 5
        while (left := [pid for pid in below if _alive(pid)]) and time.monotonic() < ends:
            time.sleep(0.02)
        return f"{len(left)} processes live on" if left else "nothing left"


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
TOGETHER: list[Together] = [
    *SIBLINGS,
    Together(13, "links in the way of what clears the folder", "value 1", _links_in_the_way, _WITH_FILES),
    Together(46, "patched modules", "value 1", after("json.loads = struct.pack = os.write = None\nmath.isfinite = lambda value: True\nreturn 1.0", "import graders_sandbox.protocol as wire\nassert json.loads('1') == 1 and math.isfinite(1) and wire.VALUE\nreturn 1.0")),
    Together(49, "escape codes, NUL, surrogates", "clean", _text("raise ValueError('\\x1b[31m\\x00\\ud800\\u202e\\r\\x07\\x9b' * 20)")),
    Together(49, "a long text", "clean", _text("raise ValueError('x' * 10_000_000)")),
    Together(49, "the name of a class", "clean", _text("raise type('A\\nB\\x1b[31m\\u202e', (Exception,), {})('x')")),
    Together(49, "the name of a result's class", "clean", _text("return type('A\\nB\\x1b[31m', (), {})()")),
    Together(49, "a source line", "clean", _text("x = '\\x1b[31m'; raise ValueError(x)")),
    Together(50, "an item", "the caller's RecursionError or the caller's ValueError or payload RecursionError", _deep_item),
    Together(50, "an item that is just not too deep", "value 1 or payload RecursionError", _deep_enough_item),
    Together(52, "a counter in a module", "value 1", after("json.count = getattr(json, 'count', 0) + 1\nreturn 1.0", "return getattr(json, 'count', 0) + 1")),
    Together(52, "a module that another grader imported", "value 1", after("import wave\nreturn 1.0", "assert 'wave' not in sys.modules\nreturn 1.0")),
    Together(52, "patched arithmetic", "value 1", after("math.sqrt = lambda x: 99.0\nreturn 1.0", "return math.sqrt(1.0)")),
    Together(52, "builtins", "value 3", after("import builtins\nbuiltins.len = lambda x: 99\nreturn 1.0", "return len('abc')")),
    Together(52, "the environment", "value 1", after("os.environ['POISON'] = 'x'\nlibc.setenv(b'POISON', b'x', 1)\nreturn 1.0", "assert 'POISON' not in os.environ\nlibc.getenv.restype = ctypes.c_char_p\nassert libc.getenv(b'POISON') is None\nreturn 1.0")),
    Together(52, "the template's memory", "value 1", after("ctypes.memmove(id(json.__name__) + 48, b'POISON', 0)\njson.__name__ = 'poison'\nreturn 1.0", "assert json.__name__ == 'json'\nreturn 1.0")),
    Together(52, "files", "value 1", after("fill('.', 50, 10)\nos.makedirs('a/b/c')\nos.symlink('/', 'a/link')\nreturn 1.0", "assert os.listdir('.') == [], os.listdir('.')\nreturn 1.0"), _WITH_FILES),
    Together(52, "folders that nobody may enter", "value 1", after("os.makedirs('a/b')\nopen('a/b/f', 'w').close()\nos.mkdir('a/c', 0)\nos.mkdir('d', 0o300)\nopen('d/f', 'w').close()\nreturn 1.0", "assert os.listdir('.') == [], os.listdir('.')\nreturn 1.0", ("value", "disk")), _WITH_FILES),
    Together(52, "a chain of folders", "value 1", after("for _ in range(380):\n    os.mkdir('d')\n    os.chdir('d')\nopen('end', 'w').close()\nreturn 1.0", "assert os.listdir('.') == [], os.listdir('.')\nreturn 1.0", ("value", "disk")), _WITH_FILES),
    Together(52, "folders beyond the longest path", "value 1", after("for _ in range(60):\n    os.mkdir('d' * 200)\n    os.chdir('d' * 200)\nopen('end', 'w').close()\nreturn 1.0", "assert os.listdir('.') == [], os.listdir('.')\nreturn 1.0", ("value", "disk")), _WITH_FILES),
    Together(52, "locks on shared files", "value 1", after("file = open(json.__file__)\nfcntl.flock(file, fcntl.LOCK_EX)\nreturn 1.0", "file = open(json.__file__)\nfcntl.flock(file, fcntl.LOCK_EX)\nreturn 1.0"), _WITH_FILES),
    Together(52, "the state of /dev/null", "value 1", after("for fd in (0, 1, 2):\n    fcntl.fcntl(fd, fcntl.F_SETFL, fcntl.fcntl(fd, fcntl.F_GETFL) | os.O_NONBLOCK | os.O_APPEND)\nos.close(0)\nreturn 1.0", "assert os.read(0, 10) == b'' and os.write(1, b'x') == 1\nreturn 1.0")),
    Together(53, "an earlier sample and item in memory", "NOTHING", after("assert 'SECRET' in repr(item)\nreturn 1.0", "assert not memory(rb'[S]ECRET-[0-9a-f]{32}')\nreturn NOTHING")),
    Together(53, "the harness's frames", "NOTHING", after("return 1.0", "frame = sys._getframe()\nwhile frame:\n    for name, held in frame.f_locals.items():\n        assert not re.search('[S]ECRET-[0-9a-f]{32}', str(held)[:1_000_000]), name\n    frame = frame.f_back\nreturn NOTHING")),
    Together(41, "among others", "own scores", _many_hostile),
    Together(58, "the answer, by a model's code, in memory", "value 1", by_a_model("assert not memory(rb'[S]ECRET-[0-9a-f]{32}')\nreturn NOTHING")),
    Together(58, "the answer, by a model's code, in frames", "value 1", by_a_model("frame = sys._getframe()\nwhile frame:\n    for name, held in frame.f_locals.items():\n        assert not re.search('[S]ECRET-[0-9a-f]{32}', str(held)[:1_000_000]), name\n    frame = frame.f_back\nreturn NOTHING")),
    Together(58, "descriptors of a model's code", "value 1", by_a_model("found = [fd for fd in range(1024) if met(fcntl.fcntl, fd, fcntl.F_GETFD) == THROUGH]\nassert found == [0, 1, 2, 3], found\nreturn NOTHING")),
    Together(58, "a model's code against the sample's process", "value 1", by_a_model("pids = [pid for pid in range(max(1, os.getpid() - 40), os.getpid() + 40) if pid != os.getpid()]\nreturn all_met([(os.kill, pid, 9) for pid in pids] + [(call, (302, 261), pid, 0, struct.pack('QQ', 0, 0), None) for pid in pids])", -1001.0)),
    Together(58, "a socket for a model's code", "value 1", by_a_model("return met(socket.socket)", -1001.0)),
    Together(58, "a process for a model's code", "value 1", by_a_model("return met(os.fork)", -1001.0)),
    Together(58, "asking the server for a child", "value 1", by_a_model("import graders_sandbox.jail.client as u\nassert u._server is None\nreturn met(os.write, 5, bytes(17))", -1009.0)),
    Together(58, "the grader's source, by a model's code, in memory", "value 1", against_the_source("assert not memory(rb'[S]ECRET-[0-9a-f]{32}')\nreturn NOTHING")),
    Together(58, "the grader's constants, by a model's code, in frames", "value 1", against_the_source("frame = sys._getframe()\nwhile frame:\n    for held in (*frame.f_locals.values(), *frame.f_globals.values()):\n        found = [getattr(held, name, None) for name in dir(held) if not name.startswith('__')]\n        assert not re.search('[S]ECRET-[0-9a-f]{32}', repr([held, found])), held\n        assert not any(isinstance(thing, types.CodeType) and thing.co_filename == '<grader>' for thing in (held, *found)), held\n    frame = frame.f_back\nreturn NOTHING")),
    Together(58, "the grader's constants, by a model's code, among all objects", "value 1", against_the_source("for thing in gc.get_objects():\n    for held in thing if isinstance(thing, (list, tuple)) else ():\n        assert not (isinstance(held, str) and re.match('[S]ECRET-[0-9a-f]{32}', held))\nreturn NOTHING")),
    Together(58, "the end of a test's loop, by a model's code", "grade RuntimeError", _ends_a_loop),
    Together(58, "a forged answer of a model's code", "grade RuntimeError", by_a_model("import json\ntext = json.dumps([99, 'value', -1.0]).encode()\nos.write(3, struct.pack('<I', len(text)) + text)\nreturn 0.0")),
    Together(57, "killed while samples run", "nothing left", _host_dies),
]  # fmt: skip
