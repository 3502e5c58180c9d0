"""Programs for the sandbox that run a grader's source under other circumstances.

Each gets the source in its item. It reports by the one number that a program may return, or by the text of an
exception, which is bounded.
"""

from __future__ import annotations

_LOAD = """
def load(source):
    module = {"__name__": "grader_program"}
    exec(compile(source, "<program>", "exec"), module)
    return module["grade"]
"""

#: One process for many rows: the number of the first whose value differs from the one it gets alone, else -1.
REMEMBERING = (
    _LOAD
    + """
def grade(sample, item):
    program = load(item["source"])
    for number, (sample, row, alone) in enumerate(item["rows"]):
        try:
            value = float(program(sample, row))
        except Exception:
            value = None
        if value != alone:
            return number
    return -1
"""
)

#: The program at another time of day and year.
CLOCK = (
    _LOAD
    + """
import datetime, time

def shift_clocks(seconds):
    now, now_ns = time.time, time.time_ns
    time.time = lambda: now() + seconds
    time.time_ns = lambda: now_ns() + int(seconds * 1e9)
    for name in ("monotonic", "perf_counter", "process_time"):
        setattr(time, name, lambda f=getattr(time, name): f() + seconds)
        setattr(time, name + "_ns", lambda f=getattr(time, name + "_ns"): f() + int(seconds * 1e9))
    for name in ("localtime", "gmtime", "ctime"):
        setattr(time, name, lambda at=None, f=getattr(time, name): f(time.time() if at is None else at))
    strftime = time.strftime
    time.strftime = lambda form, at=None: strftime(form, time.localtime() if at is None else at)
    real_date, real_datetime = datetime.date, datetime.datetime

    class AnyDate(type):
        def __instancecheck__(cls, value):
            return isinstance(value, real_date)

    class AnyDatetime(type):
        def __instancecheck__(cls, value):
            return isinstance(value, real_datetime)

    class Date(real_date, metaclass=AnyDate):
        @classmethod
        def today(cls):
            return cls.fromtimestamp(time.time())

    class Datetime(real_datetime, metaclass=AnyDatetime):
        @classmethod
        def now(cls, tz=None):
            return cls.fromtimestamp(time.time(), tz)

        @classmethod
        def today(cls):
            return cls.now()

        @classmethod
        def utcnow(cls):
            return cls.now(datetime.timezone.utc).replace(tzinfo=None)

    datetime.date, datetime.datetime = Date, Datetime

def grade(sample, item):
    shift_clocks(item["seconds"])
    return load(item["source"])(sample, item["item"])
"""
)

#: Records the files that the program opens, and whether it runs a sample that is a program in its own process.
WATCH = (
    _LOAD
    + """
import json, os, sys

CANARY = "graders.canary"
OWN = [sys.prefix, sys.base_prefix, *sys.path, "/usr/share/zoneinfo", "/etc/localtime", "/dev/", "/sys/", "/usr/lib", "/lib"]
OWN += os.environ.get("NLTK_DATA", "").split(":")
MACHINE = ("/proc/cpuinfo", "/proc/meminfo", "/proc/stat")

class Observation(Exception):
    pass

class Watch:
    def __init__(self):
        self.seen, self.made, self.busy = {}, set(), False

    def hook(self, event, args):
        if self.busy:
            return
        self.busy = True
        try:
            if event == CANARY:
                self.seen.setdefault("run", self.sample)
            elif event == "open":
                self.opened(*args[:3])
            elif event == "os.mkdir":
                self.made.add(str(args[0]))
            elif event in ("os.listdir", "os.scandir") and not isinstance(args[0], int) and self.of_program():
                self.read(args[0] or ".")
        finally:
            self.busy = False

    def opened(self, path, mode, flags):
        if not isinstance(path, (str, bytes)):
            return
        path = os.fsdecode(path)
        if (isinstance(mode, str) and set(mode) & set("wax+")) or flags & (os.O_WRONLY | os.O_RDWR):
            self.made.add(path)
        elif self.of_program():
            self.read(path)

    def read(self, path):
        path = os.fsdecode(path) if isinstance(path, (str, bytes)) else str(path)
        if path in (".", "", *MACHINE) or any(path.startswith(own) for own in [*OWN, *self.made] if own):
            return
        self.seen.setdefault("file", path)

    def of_program(self):
        frame = sys._getframe(2)
        while frame is not None:
            name = frame.f_code.co_filename
            if name.startswith("<frozen importlib") or name.endswith("linecache.py"):
                return False
            if name == "<program>":
                return True
            frame = frame.f_back
        return False

def grade(sample, item):
    watch = Watch()
    sys.addaudithook(watch.hook)
    stat = os.stat  # not audited; os.path.exists and Path.exists go through it

    def watched(path, *args, **options):
        watch.hook("os.listdir", (path,))
        return stat(path, *args, **options)

    os.stat = watched
    program = None
    for sample, row in item["rows"]:
        watch.sample = sample["output_text"]
        try:
            program = program or load(item["source"])
            program(sample, row)
        except BaseException:
            pass
    watch.busy = True
    raise Observation(json.dumps(watch.seen))
"""
)
