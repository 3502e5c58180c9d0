"""Programs for the sandbox that hold a grader's source: they run it in other circumstances, or read it.

Each gets the source in its item. It says what it saw in the one number a program may return, or in the text of an
exception, which is bounded. So no source is parsed on this side of the wall.
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

#: Watches what the program opens, and whether a sample that is a program is run in its process.
WATCH = (
    _LOAD
    + """
import json, os, sys

CANARY = "graders.canary"
OWN = [sys.prefix, sys.base_prefix, *sys.path, "/usr/share/zoneinfo", "/etc/localtime", "/dev/", "/sys/", "/usr/lib", "/lib"]
OWN += os.environ.get("NLTK_DATA", "").split(":")
MACHINE = ("/proc/cpuinfo", "/proc/meminfo", "/proc/stat")

class Seen(Exception):
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
    raise Seen(json.dumps(watch.seen))
"""
)

#: What a program's text says: about where it looks beside its arguments, which of the item's `golds` stand in it, its
#: imports, and whether anything in it hashes. Parsed, not run. The exception's text has at most 4 kB.
READ = """
import ast, json, warnings

FRAMES = set(
    "_getframe _current_frames currentframe f_back f_locals tb_frame gi_frame cr_frame ag_frame getouterframes "
    "getinnerframes inspect.stack inspect.trace get_objects get_referrers".split()
)
ENVIRONMENT = {"environ", "environb", "getenv", "getenvb"}
SETTERS = {"setdefault", "update", "pop", "clear"}  # of os.environ: they put settings in, no gold comes out
HASHING = {"set", "frozenset", "hash", "id"}
MOST = 20  # of each list, at most LONGEST characters each
LONGEST = 60

class Seen(Exception):
    pass

def name_of(node):
    if isinstance(node, ast.Attribute):
        of_inspect = isinstance(node.value, ast.Name) and node.value.id == "inspect"
        return f"inspect.{node.attr}" if of_inspect and node.attr in ("stack", "trace") else node.attr
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.alias):
        return node.name
    if isinstance(node, ast.Constant) and (node.value in FRAMES or node.value == "__main__"):
        return node.value  # by getattr
    return ""

def places(nodes):
    written = {
        id(n.value)
        for n in nodes
        if (isinstance(n, ast.Subscript) and not isinstance(n.ctx, ast.Load))
        or (isinstance(n, ast.Attribute) and n.attr in SETTERS)
    }
    compared = {id(side) for n in nodes if isinstance(n, ast.Compare) for side in n.comparators}  # if __name__ == "__main__"
    for node in nodes:
        name = name_of(node)
        if name in FRAMES:
            yield "frames", name
        elif name in ENVIRONMENT and id(node) not in written and not isinstance(node, ast.alias):
            yield "environment", name
        elif name in ("__main__", "ctypes") and id(node) not in compared:
            yield "process", name

def imports(nodes):
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (f"import {alias.name}" for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module not in (None, "__future__") and not node.level:
            yield f"import {node.module}"
            yield from (f"from {node.module} import {alias.name}" for alias in node.names if alias.name != "*")

def bounded(values):
    return [v for v in dict.fromkeys(values) if len(str(v)) <= LONGEST][:MOST]

def grade(sample, item):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        nodes = list(ast.walk(ast.parse(item["source"])))
    texts = {
        str(n.value).strip().lower() for n in nodes if isinstance(n, ast.Constant) and isinstance(n.value, (str, int, float))
    }
    raise Seen(json.dumps({
        "places": bounded(places(nodes)),
        "imports": bounded(imports(nodes)),
        "known": sum(gold in texts for gold in item["golds"]),
        "hashes": any(
            isinstance(n, (ast.Set, ast.SetComp)) or (isinstance(n, ast.Name) and n.id in HASHING) for n in nodes
        ),
    }))
"""

#: Small changes of a program, as places in its text and what to put there: [start, end, text, line, kind], in the order of
#: the text. Parsed, not run; behind the first `skip`, as many as the text of an exception holds.
MUTATE = r"""
import ast, json, re, warnings

SWAPPED = {
    ast.Eq: "!=", ast.NotEq: "==", ast.Lt: "<=", ast.LtE: "<", ast.Gt: ">=", ast.GtE: ">", ast.In: "not in",
    ast.NotIn: "in", ast.Is: "is not", ast.IsNot: "is",
}
CLEANING = {
    "strip", "lstrip", "rstrip", "lower", "upper", "casefold", "title", "rstrip", "removeprefix", "removesuffix", "replace",
}
LOOSER = {"fullmatch": "search", "match": "search"}
ROOM = 3000  # characters
LONGEST = 400

class Seen(Exception):
    pass

def changes(tree, source, at):
    def text(node):
        return source[at(node.lineno, node.col_offset):at(node.end_lineno, node.end_col_offset)]

    def whole(node, new, kind):
        return at(node.lineno, node.col_offset), at(node.end_lineno, node.end_col_offset), new, node.lineno, kind

    for node in ast.walk(tree):
        if isinstance(node, ast.Compare) and len(node.ops) == 1 and type(node.ops[0]) in SWAPPED:
            new = f"{text(node.left)} {SWAPPED[type(node.ops[0])]} {text(node.comparators[0])}"
            yield whole(node, new, "comparison swapped")
        elif isinstance(node, ast.BoolOp):
            word = " or " if isinstance(node.op, ast.And) else " and "
            yield whole(node, word.join(f"({text(value)})" for value in node.values), "and, or swapped")
            for value in node.values:
                rest = [f"({text(other)})" for other in node.values if other is not value]
                now = " and " if isinstance(node.op, ast.And) else " or "
                yield whole(node, f"({now.join(rest)})", "condition dropped")
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            yield whole(node, f"({text(node.operand)})", "not dropped")
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            name, of = node.func.attr, node.func.value
            if isinstance(of, ast.Name) and of.id == "re":
                if name in LOOSER:
                    yield whole(node.func, f"re.{LOOSER[name]}", "weaker regex")
                if name == "sub" and len(node.args) > 2:
                    yield whole(node, text(node.args[2]), "normalisation dropped")
                pattern = node.args[0] if node.args else None
                if isinstance(pattern, ast.Constant) and isinstance(pattern.value, str):
                    bare = re.sub(r"^\^|\\[AbZ]|\$$", "", pattern.value)
                    if bare != pattern.value:
                        yield whole(pattern, repr(bare), "weaker regex")
                    if "+" in pattern.value:
                        yield whole(pattern, repr(pattern.value.replace("+", "*")), "weaker regex")
            elif name in CLEANING:
                yield whole(node, text(of), "normalisation dropped")
        elif isinstance(node, ast.Return) and node.value is not None:
            for value in ("1.0", "0.0"):
                if text(node.value) not in (value, value[0]):
                    yield whole(node.value, value, "constant returned")
        elif isinstance(node, ast.Constant) and type(node.value) in (int, float):
            yield whole(node, f"({text(node)} + 1)", "constant changed")

def grade(sample, item):
    source = item["source"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tree = ast.parse(source)
    lines = source.splitlines(keepends=True)
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line))

    def at(line, column):
        return starts[line - 1] + len(lines[line - 1].encode()[:column].decode())

    found = sorted({c for c in changes(tree, source, at) if len(c[2]) <= LONGEST})
    page, room = [], ROOM
    for change in found[item["skip"]:]:
        room -= len(json.dumps(change)) + 2
        if room < 0:
            break
        page.append(change)
    raise Seen(json.dumps({"changes": page, "of": len(found)}))
"""
