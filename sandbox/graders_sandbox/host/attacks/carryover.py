"""Attacks on later samples: state that a sample leaves in files, modules, the interpreter and its process."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future

from graders_sandbox.host.sandbox import Sandbox
from graders_sandbox.limits import Outcome

from .attempt import MultiSampleAttack, program_of, reason_of
from .matrix import FILES, FULL, NS, TIERS
from .targets import AttackTargets


def after(
    poison: str, body: str, first: tuple[str, ...] = ("value",)
) -> Callable[[Sandbox, AttackTargets], str]:
    """An attack on the samples after it; `first` has the statuses with which the attacking samples may end."""

    def drive(sandbox: Sandbox, targets: AttackTargets) -> str:
        item = {**targets.item(), "secret": targets.secret}
        poisoned: list[Future[Outcome]] = [
            sandbox.submit(program_of(poison), targets.secret, item) for _ in range(2 * sandbox.in_flight)
        ]
        for future in poisoned:
            if future.result().status not in first:
                return f"the first sample: {future.result().text[-300:]}"
        item.pop("secret")
        second = [sandbox.submit(program_of(body), {}, item) for _ in range(2 * sandbox.in_flight)]
        return " and ".join(sorted({reason_of(future.result()) for future in second}))

    return drive


#: Changes by one sample that no later sample may find. Sources: the state of a process in setpriority(2),
#: getitimer(2), sigprocmask(2) and umask(2), and Python's own settings.
UNDONE: list[tuple[int, str, str, str, tuple[str, ...]]] = [
    # row, what is changed, how, what finds the change, tiers
    (60, "times of the own folder", "os.utime('.', ns=(7_000_000_001, 9_000_000_002))",
        "found = os.stat('.')\nassert found.st_mtime_ns == 0 and found.st_atime_ns != 7_000_000_001, found", FILES),
    (60, "the size of the own folder", "for n in range(390):\n    open(f'{n:0200d}', 'w').close()",
        "assert os.stat('.').st_size <= 4096, os.stat('.')", (FULL, NS)),
    (60, "the mode of the own folder", "os.chmod('.', 0o711)", "assert os.stat('.').st_mode & 0o7777 == 0o700, oct(os.stat('.').st_mode)", FILES),
    (60, "the sticky and the group bit of the own folder", "os.chmod('.', 0o3700)", "assert os.stat('.').st_mode & 0o7777 == 0o700, oct(os.stat('.').st_mode)", FILES),
    (60, "links on the own folder", "for n in range(50):\n    os.mkdir(str(n))", "assert os.stat('.').st_nlink <= 2, os.stat('.')", FILES),
    (60, "names of bytes, newlines and dots", "for name in (b'\\xff\\xfe', b'a\\nb', b'...', b' ', b'-rf'):\n    os.close(os.open(name, os.O_CREAT | os.O_WRONLY))", "assert os.listdir('.') == [], os.listdir('.')", FILES),
    (60, "files that are locked and mapped", "held = open('f', 'w+b')\nheld.truncate(4096)\nfcntl.flock(held, fcntl.LOCK_EX)\nsys.kept = mmap.mmap(held.fileno(), 4096)", "assert os.listdir('.') == []", FILES),
    (61, "the mask of new files", "os.umask(0o777)", "assert os.umask(0o22) != 0o777", TIERS),
    (61, "timers", "signal.setitimer(signal.ITIMER_REAL, 30)\nsignal.setitimer(signal.ITIMER_VIRTUAL, 30)", "assert signal.getitimer(signal.ITIMER_REAL) == signal.getitimer(signal.ITIMER_VIRTUAL) == (0.0, 0.0)", TIERS),
    (61, "handlers of signals", "for number in (10, 12, 15, 13, 14):\n    signal.signal(number, signal.SIG_IGN)", "assert {signal.getsignal(number) for number in (10, 12, 15, 14)} == {signal.SIG_DFL}", TIERS),
    (61, "blocked signals", "signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())", "assert not signal.pthread_sigmask(signal.SIG_BLOCK, [])", TIERS),
    (61, "signals that are pending", "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])\nos.kill(os.getpid(), signal.SIGUSR1)", "assert not signal.sigpending()", TIERS),
    (61, "the thread's name", "call((157, 167), 15, b'POISON', 0, 0, 0)", "name = ctypes.create_string_buffer(16)\ncall((157, 167), 16, name, 0, 0, 0)\nassert name.value != b'POISON'", TIERS),
    (61, "the working folder", "os.mkdir('d')\nos.chdir('d')", "assert os.getcwd() == os.path.realpath(TMP), os.getcwd()", FILES),
    (61, "the time zone", "os.environ['TZ'] = 'POISON-7'\ntime.tzset()", "assert 'POISON' not in time.tzname", TIERS),
    (61, "the locale", "import locale\nlocale.setlocale(locale.LC_ALL, 'C')", "import locale\nassert locale.setlocale(locale.LC_CTYPE) != 'C'", TIERS),
    (61, "the rounding of floats", "libc.fesetround(0x400 if X86 else 0x800000)", "assert float('0.1') + float('0.2') == 0.30000000000000004", TIERS),
    (62, "the recursion limit and the switch interval", "sys.setrecursionlimit(50)\nsys.setswitchinterval(9.0)", "assert sys.getrecursionlimit() == 1000 and sys.getswitchinterval() < 1", TIERS),
    (62, "the collector", "gc.disable()\ngc.set_threshold(1)", "assert gc.isenabled() and gc.get_threshold()[0] > 1", TIERS),
    (62, "importers", "class Finder:\n    def find_spec(self, *a):\n        raise OSError('poison')\nsys.meta_path.insert(0, Finder())\nsys.path.insert(0, '/poison')", "assert '/poison' not in sys.path\nassert not any(type(finder).__name__ == 'Finder' for finder in sys.meta_path)", TIERS),
    (62, "hooks of the interpreter", "sys.settrace(lambda *a: None)\nsys.setprofile(lambda *a: None)\nsys.excepthook = sys.unraisablehook = None\nsys.addaudithook(lambda *a: None)", "assert sys.gettrace() is sys.getprofile() is None and callable(sys.excepthook)", TIERS),
    (62, "codecs and warnings", "import codecs, warnings\ncodecs.register(lambda name: None)\nwarnings.simplefilter('error')", "import codecs, warnings\nassert not any(f[0] == 'error' for f in warnings.filters)", TIERS),
    (62, "the context of decimals", "decimal.getcontext().prec = 1\ndecimal.DefaultContext.prec = 1", "assert decimal.getcontext().prec == 28", TIERS),
    (62, "a seed", "random.seed(1)\nrandom.Random.random = lambda self: 0.25", "assert random.Random().random() != 0.25", TIERS),
    (62, "compiled patterns", "re.compile('poison').__class__\nre._cache.clear() if hasattr(re, '_cache') else None\nre.search = None", "assert re.search('a', 'a')", TIERS),
    (62, "classes that all share", "class Odd(dict):\n    pass\ntypes.SimpleNamespace.__doc__\nuuid.UUID.__eq__ = lambda a, b: True\nfractions.Fraction.__add__ = None", "assert fractions.Fraction(1, 2) + fractions.Fraction(1, 2) == 1 and uuid.UUID(int=1) != uuid.UUID(int=2)", TIERS),
]  # fmt: skip
CARRYOVER = [
    MultiSampleAttack(row, name, "value 1", after(f"{change}\nreturn 1.0", f"{check}\nreturn 1.0"), tiers)
    for row, name, change, check, tiers in UNDONE
]
