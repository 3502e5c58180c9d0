"""The attacks, as data: what is attempted, and the exact reason that must come back.

Rows are those of the package's threat matrix (`ROWS`). An attack's body is the body of a function of `item`
(`Scene.item`) that runs inside a sample. It returns the number of the error that it met, THROUGH when it succeeded,
NOTHING when there was nothing to be had, or UNCHANGED when success was claimed of what did not happen; `reason` says how
outcomes are named. Failing for another reason than the expected one, a NameError for instance, counts as not held.
"""

from __future__ import annotations

from dataclasses import dataclass

FULL, LANDLOCK, NS, STRICT = TIERS = ("linux-full", "linux-landlock", "linux-ns", "linux-strict")

ROWS = {
    1: "IPv4: connect, bind, listen, DNS",
    2: "IPv6",
    3: "unix sockets of the host by path",
    4: "abstract unix sockets",
    5: "abstract sockets through a socket pair",
    6: "vsock, netlink, packet and raw sockets",
    7: "io_uring",
    8: "leaked descriptors",
    9: "files of the host",
    10: "secrets in the environment",
    11: "/proc of other processes",
    12: "writing outside the own folder",
    13: "links and renames out of the own folder",
    14: "devices, fifos, mounts, chroot",
    15: "nested namespaces",
    16: "other users, capabilities",
    17: "executing programs",
    18: "new processes",
    19: "a bomb of threads",
    20: "a bomb of memory",
    21: "memory outside the limit: shared memory, queues",
    22: "one large file",
    23: "many files",
    24: "many inodes",
    25: "descriptors and pipes",
    26: "a flood of output",
    27: "endless programs",
    28: "signals ignored, stopped",
    29: "threads and exit hooks that do not end",
    30: "sessions and parent-death signal",
    31: "signals to others",
    32: "signals through descriptor owners",
    33: "limits of other processes",
    34: "priority and processors",
    35: "ptrace and memory of other processes",
    36: "raising the own limits",
    37: "rare system calls",
    38: "foreign instruction sets",
    39: "terminals and devices",
    40: "crashes, core dumps",
    41: "leaving without a result",
    42: "exceptions that are not Exceptions",
    43: "unlimited recursion",
    44: "results that are no numbers",
    45: "two results, garbage",
    46: "a patched interpreter",
    47: "forging the own result",
    48: "pickled results",
    49: "hostile text",
    50: "deep JSON",
    51: "large samples",
    52: "poisoning later samples",
    53: "other samples' data in memory",
    54: "samples side by side",
    55: "false clocks",
    56: "programs that are no graders",
    57: "a host that dies",
    58: "the harness seen from inside",
    59: "the compiler",
}


@dataclass(frozen=True, slots=True)
class Attack:
    """One attempt.

    Attributes:
        row: Of ROWS.
        name: What is attempted.
        expect: The reason that must come back, "or" between alternatives; by tier where tiers differ. A tier that is
            missing cannot make the attempt.
        body: What runs inside, see above.
        timeout_s: The sample's wall time.
        source: A whole program instead of a body.
        item: The sample's item instead of the scene's.
        known: Tiers in which the attempt is known to succeed, with the consequence that the README states.
        machine: Only for this machine, "" for all.
        default_limits: Under the default limits instead of small ones; slow.
        costly: Takes a second of processor time, so only among the slow ones.
    """

    row: int
    name: str
    expect: str | dict[str, str]
    body: str = ""
    timeout_s: float = 20.0
    source: str = ""
    item: object = None
    known: tuple[str, ...] = ()
    machine: str = ""
    default_limits: bool = False
    costly: bool = False

    @property
    def title(self) -> str:
        return f"{self.row}: {self.name}"

    def expected(self, tier: str) -> tuple[str, ...]:
        """The reasons that count as held; empty where the attempt cannot be made."""
        text = self.expect if isinstance(self.expect, str) else self.expect.get(tier, "")
        return tuple(text.split(" or ")) if text else ()


def by_tier(full: str, landlock: str, ns: str, strict: str) -> dict[str, str]:
    return {FULL: full, LANDLOCK: landlock, NS: ns, STRICT: strict}


#: The start of every program.
PRELUDE = r'''
import asyncio, atexit, concurrent.futures, ctypes, decimal, encodings.idna, errno, fcntl, fractions, functools, gc, json, math, mmap, os
import platform, random, re, resource, select, shutil, signal, socket, struct, subprocess, sys, tempfile, termios, threading
import time, traceback, types, uuid

THROUGH, NOTHING, UNCHANGED = 0.0, -1.0, -2.0
TMP = os.environ.get("TMPDIR", ".")
X86 = platform.machine() == "x86_64"
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long


def call(numbers, *arguments):
    """A raw call; numbers: on x86_64, on aarch64."""
    number = numbers[0 if X86 else 1] if isinstance(numbers, tuple) else numbers
    converted = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    if libc.syscall(ctypes.c_long(number), *converted) == -1:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def number(error):
    """An error as a value that no score looks like."""
    return -1000.0 - error


def met(act, *arguments, **named):
    """The number of the error that the act meets; THROUGH when it succeeds."""
    try:
        act(*arguments, **named)
    except OSError as error:
        return number(error.errno)
    return THROUGH


def changing(path, act):
    """As met; UNCHANGED when the act claims success and the file is as it was."""
    def facts():
        found = os.stat(path)
        return found.st_mode, found.st_mtime_ns
    try:
        before = facts()
        act()
        return UNCHANGED if facts() == before else THROUGH
    except OSError as error:
        return number(error.errno)


def all_met(acts):
    """The one error that all acts meet. The first that does not raises."""
    errors = [met(*act) for act in acts]
    for error, act in zip(errors, acts):
        if error != errors[0]:
            raise AssertionError(f"{act}: {error}, and {acts[0]}: {errors[0]}")
    return errors[0]


def memory(pattern):
    """Matches of a pattern of bytes in all memory that can be found from here."""
    read, write = os.pipe2(os.O_NONBLOCK)
    starts = {id(o) for o in gc.get_objects()} | {id(f) for f in vars().values()} | {id(sys), id(b""), id(())}
    starts |= {ctypes.addressof(ctypes.c_char.in_dll(libc, "environ")), ctypes.cast(libc.malloc, ctypes.c_void_p).value}
    starts |= {ctypes.addressof(ctypes.create_string_buffer(size)) for size in (100, 10_000, 1_000_000)}
    write_at = libc.write
    write_at.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t]

    def bytes_at(address, length):
        write_at(write, address, length)
        try:  # also where nothing can be read: before Linux 6.14 that leaves an empty page in the pipe, until it is full
            return os.read(read, length)
        except BlockingIOError:
            return b""

    seen, found, size = set(), [], 0
    for start in sorted(starts):
        for step in (1, -1):
            page = start // 65536 * 65536
            while page not in seen and page > 0 and size < 1 << 29:
                seen.add(page)
                got = bytes_at(page, 65536)
                if not got:
                    if step > 0:  # the block may begin with a hole
                        for small in range(page, page + 65536, 4096):
                            found += re.findall(pattern, bytes_at(small, 4096))
                    break
                found += re.findall(pattern, got)
                size += len(got)
                page += step * 65536
    os.close(read)
    os.close(write)
    if size < 1 << 20:
        raise AssertionError(f"only {size} bytes of memory could be looked at")
    return found


def run_code(*code):
    """Run machine code in memory of our own: written before it may be executed, or aarch64 would run what was there."""
    block = mmap.mmap(-1, 4096)
    block.write(bytes(code))
    address = ctypes.addressof(ctypes.c_char.from_buffer(block))
    if libc.mprotect(ctypes.c_void_p(address), ctypes.c_size_t(4096), mmap.PROT_READ | mmap.PROT_EXEC):
        raise OSError(ctypes.get_errno(), "mprotect")
    return ctypes.CFUNCTYPE(ctypes.c_long)(address)()


def fill(folder, files, size, name="f"):
    """Files of this size; the error that ends it, or THROUGH when all are there."""
    for number in range(files):
        with open(f"{folder}/{name}{number}", "wb") as file:
            file.write(b"x" * size)
    return THROUGH


def harness():
    """The frames and the objects that the program can see of what runs it."""
    frame = sys._getframe()
    while frame:
        yield from frame.f_locals.values()
        frame = frame.f_back
    yield from gc.get_objects()


FRAME = struct.Struct("<cd")  # the wire's, see the package's protocol module
'''

NO_SOCKET = "EPERM"
#: What is not mounted, or not granted, or not reachable by any path.
HIDDEN = by_tier("ENOENT", "EACCES", "ENOENT", "EPERM")
#: What some machines do not have.
MAYBE = by_tier("ENOENT", "EACCES or ENOENT", "ENOENT", "EPERM")
#: What may be read and not changed. For an ordinary user the file's mode comes before the mount's.
READ_ONLY = by_tier("EROFS or EACCES", "EACCES", "EROFS or EACCES", "EPERM")
FILES = (FULL, LANDLOCK, NS)


def _here(reason: str | dict[str, str], strict: str = "EPERM") -> dict[str, str]:
    """For attempts in the own folder, which the strict tier does not have."""
    if isinstance(reason, str):
        reason = dict.fromkeys(FILES, reason)
    return {**reason, STRICT: strict}


NETWORK = [
    Attack(1, "connect TCP", NO_SOCKET, "return met(socket.create_connection, ('127.0.0.1', item['tcp']), 2)"),
    Attack(1, "send UDP", NO_SOCKET, "return met(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', item['udp'])))"),
    Attack(1, "listen", NO_SOCKET, "return met(socket.create_server, ('127.0.0.1', 0))"),
    Attack(1, "the raw call", NO_SOCKET, "return met(call, (41, 198), 2, 1, 0)"),
    Attack(1, "multipath TCP", NO_SOCKET, "return met(socket.socket, socket.AF_INET, socket.SOCK_STREAM, 262)"),
    Attack(1, "resolve a name", "NOTHING", "try:\n    socket.getaddrinfo('example.com', 80)\nexcept socket.gaierror:\n    return NOTHING\nreturn THROUGH"),
    Attack(1, "a client of asyncio", NO_SOCKET, "return met(asyncio.run, asyncio.wait_for(asyncio.open_connection('127.0.0.1', item['tcp']), 2))"),
    Attack(2, "connect TCP", NO_SOCKET, "return met(lambda: socket.socket(socket.AF_INET6, socket.SOCK_STREAM).connect(('::1', item['tcp6'])))"),
    Attack(2, "UDP", NO_SOCKET, "return met(socket.socket, socket.AF_INET6, socket.SOCK_DGRAM)"),
    Attack(2, "listen", NO_SOCKET, "return met(lambda: socket.create_server(('::', 0), family=socket.AF_INET6))"),
    Attack(3, "connect", NO_SOCKET, "return met(lambda: socket.socket(socket.AF_UNIX).connect(item['socket']))"),
    Attack(3, "connect one end of a pair", "EPERM", "a, b = socket.socketpair()\npath = item['socket'].encode()\nreturn met(call, (42, 203), a.fileno(), struct.pack('H', 1) + path, 2 + len(path))"),
    Attack(3, "bind one end of a pair", "EPERM", "a, b = socket.socketpair()\nreturn met(call, (49, 200), a.fileno(), struct.pack('H', 1) + b'own', 5)"),
    Attack(3, "accept on one end of a pair", "EPERM", "a, b = socket.socketpair()\nreturn all_met([(call, (50, 201), a.fileno(), 1), (call, (43, 202), a.fileno(), None, None), (call, (288, 242), a.fileno(), None, None, 0)])"),
    Attack(4, "connect", NO_SOCKET, "return met(lambda: socket.socket(socket.AF_UNIX).connect('\\0' + item['abstract']))"),
    Attack(4, "listen", NO_SOCKET, "return met(lambda: socket.socket(socket.AF_UNIX).bind('\\0own'))"),
    Attack(4, "send a datagram", NO_SOCKET, "return met(lambda: socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b'x', '\\0' + item['abstract'] + '-datagram'))"),
    Attack(5, "a pair of datagram sockets", "EPERM", "return met(lambda: socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)[0].sendto(b'x', '\\0' + item['abstract'] + '-datagram'))"),
    Attack(5, "the same with flags", "EPERM", "return all_met([(socket.socketpair, socket.AF_UNIX, socket.SOCK_DGRAM | flag) for flag in (socket.SOCK_CLOEXEC, socket.SOCK_NONBLOCK)])"),
    Attack(5, "a pair of packet sockets", "EPERM", "return met(socket.socketpair, socket.AF_UNIX, socket.SOCK_SEQPACKET)"),
    Attack(5, "a pair of raw sockets", "EPERM", "return met(socket.socketpair, socket.AF_UNIX, socket.SOCK_RAW)"),
    Attack(5, "pairs of other families", "EPERM", "return all_met([(call, (53, 199), family, 1, 0, ctypes.create_string_buffer(8)) for family in (2, 10, 16, 17, 30, 40)])"),
    Attack(5, "a stream pair with an address", "EISCONN or EPERM", "return met(lambda: socket.socketpair()[0].sendto(b'x', '\\0' + item['abstract']))"),
    Attack(5, "many messages with an address", "EPERM", "a, b = socket.socketpair()\nreturn met(call, (307, 269), a.fileno(), bytes(64), 1, 0)"),
    *(
        Attack(6, name, NO_SOCKET, f"return met(call, (41, 198), {family}, {kind}, {protocol})")
        for name, family, kind, protocol in (
            ("vsock", 40, 1, 0), ("netlink route", 16, 3, 0), ("netlink audit", 16, 3, 9), ("netlink uevents", 16, 3, 15),
            ("packet", 17, 3, 0x0300), ("raw IP", 2, 3, 1), ("ping", 2, 2, 1), ("crypto", 38, 5, 0), ("bluetooth", 31, 3, 1),
            ("express data path", 44, 3, 0), ("CAN", 29, 3, 1), ("TIPC", 30, 1, 0), ("key", 15, 3, 2), ("SMC", 43, 1, 0),
        )
    ),
    *(Attack(7, name, "EPERM", f"return met(call, {number}, 8, bytes(120), 0, 0, 0, 0)") for name, number in (("set up", 425), ("enter", 426), ("register", 427))),
]  # fmt: skip

FILES_OF_THE_HOST = [
    Attack(8, "which descriptors are open", "NOTHING", """
found = [fd for fd in range(4096) if met(fcntl.fcntl, fd, fcntl.F_GETFD) == THROUGH]
assert found == [0, 1, 2, 3], found
return NOTHING"""),
    Attack(8, "input, output and errors lead nowhere", "NOTHING", "assert os.read(0, 100) == b'' and os.write(1, b'x') == os.write(2, b'x') == 1\nreturn NOTHING"),
    Attack(8, "reading from the result's descriptor", "EBADF", "return met(os.read, 3, 100)"),
    Attack(8, "descriptors over the result's descriptor", "ENOTSOCK or EPERM", "return met(call, (46, 211), 3, bytes(56), 0)"),
    Attack(8, "passing descriptors through an own pair", "EPERM", "a, b = socket.socketpair()\nreturn met(socket.send_fds, a, [b'x'], [0])"),
    Attack(8, "changing what the shared /dev/null is", by_tier("EROFS or EPERM", "UNCHANGED", "EROFS or EPERM", "EPERM"), "results = {changing(fd, lambda: os.fchmod(fd, 0)) for fd in (0, 1, 2)}\nassert len(results) == 1, results\nreturn results.pop()"),
    Attack(8, "changing the times of the shared /dev/null", by_tier("EROFS or EPERM or EACCES", "UNCHANGED or EACCES", "EROFS or EPERM or EACCES", "EPERM"), "results = {changing(fd, lambda: os.utime(fd, (1, 1))) for fd in (0, 1, 2)}\nassert len(results) == 1, results\nreturn results.pop()"),
    Attack(9, "a file of this user", HIDDEN, "return met(open, item['file'])"),
    Attack(9, "its folder", HIDDEN, "return met(os.listdir, item['folder'])"),
    Attack(9, "/etc/passwd", HIDDEN, "return met(open, '/etc/passwd')"),
    Attack(9, "other files below /etc", HIDDEN, "return all_met([(open, '/etc/' + name) for name in ('group', 'hosts', 'resolv.conf')])"),
    Attack(9, "keys of this user", HIDDEN, "return all_met([(open, item['folder'] + '/../' + os.path.basename(item['folder']) + '/secret'), (open, item['file'])])"),
    Attack(9, "the home folder", by_tier("ENOENT or EACCES", "EACCES", "ENOENT or EACCES or NOTHING", "EPERM"), """
for name in ('.ssh', '.bash_history', '.aws', '.netrc', '.gitconfig', '.profile', '.bashrc', '.cache', '.config'):
    assert met(os.listdir, os.path.join(item['home'], name)) != THROUGH, name
    assert met(open, os.path.join(item['home'], name)) != THROUGH, name
try:
    found = os.listdir(item['home'])
except OSError as error:
    return number(error.errno)
return NOTHING if len(found) <= 1 else THROUGH"""),
    Attack(9, "listing /", by_tier("EACCES", "EACCES", "NOTHING", "EPERM"), """
try:
    found = os.listdir('/')
except OSError as error:
    return number(error.errno)
assert not {'proc', 'sys', 'home', 'boot', 'var', 'opt'} & set(found), found
return NOTHING"""),
    Attack(9, "listing the folder of temporary files", by_tier("EACCES", "EACCES", "NOTHING", "EPERM"), """
import sys
parent = os.path.dirname(TMP) or '/tmp'
try:
    found = os.listdir(parent)
except OSError as error:
    return number(error.errno)
python = [path[len(parent) + 1:].partition('/')[0] for path in (*sys.path, sys.prefix) if path.startswith(parent + '/')]
assert set(found) <= {os.path.basename(TMP), *python}, found
return NOTHING"""),
    Attack(9, "through many ..", HIDDEN, "return met(open, '../' * 40 + item['file'][1:])"),
    Attack(9, "relative to a descriptor of /", HIDDEN, """
try:
    root = os.open('/', os.O_PATH | os.O_DIRECTORY)
except OSError as error:
    return number(error.errno)
return met(functools.partial(os.open, item['file'][1:], os.O_RDONLY, dir_fd=root))"""),
    Attack(9, "openat2", "EPERM or ENOSYS", "return met(call, 437, -100, item['file'].encode(), struct.pack('QQQ', 0, 0, 0), 24)"),
    Attack(9, "a copy by the kernel", HIDDEN, "return met(shutil.copyfile, item['file'], 'copy')"),
    Attack(9, "entering a folder and listing it", by_tier("ENOENT", "EACCES", "ENOENT", "EPERM"), "def act():\n    os.chdir(item['folder'])\n    os.listdir('.')\nreturn met(act)"),
    Attack(9, "extended attributes", by_tier("ENOENT", "EPERM or ENOTSUP", "ENOENT", "EPERM or ENOTSUP"), "return all_met([(os.listxattr, item['file']), (os.getxattr, item['file'], 'user.x')])"),
    Attack(9, "whether a file is there, and its size", by_tier("ENOENT", "THROUGH or EACCES", "ENOENT", "EPERM"), "return met(os.stat, item['file'])", known=(LANDLOCK,)),
    Attack(9, "services and sockets below /run and /var", by_tier("ENOENT", "EACCES", "ENOENT", "EPERM"), "return all_met([(os.listdir, '/run'), (os.listdir, '/var')])"),
    Attack(10, "os.environ", "NOTHING", "assert item['variable'] not in os.environ\nassert set(os.environ) <= {'HOME', 'LANG', 'LC_CTYPE', 'NLTK_DATA', 'TMPDIR', 'PYTHONHASHSEED', 'JE_ARROW_MALLOC_CONF', 'PYTHONDONTWRITEBYTECODE', 'JOBLIB_MULTIPROCESSING'} | {n for n in os.environ if n.endswith('_NUM_THREADS') or n in ('OPENBLAS_CORETYPE', 'OPENBLAS_L2_SIZE', 'NVPL_BLAS_DEBUG_CPU_TYPE')}, set(os.environ)\nreturn NOTHING"),
    Attack(10, "the C library's environment", "NOTHING", """
environ = ctypes.POINTER(ctypes.c_char_p).in_dll(libc, 'environ')
at = 0
while environ[at]:
    assert b'SECRET' not in environ[at], environ[at]
    at += 1
return NOTHING"""),
    Attack(10, "/proc/self/environ", HIDDEN, "return met(open, '/proc/self/environ')"),
    Attack(10, "any trace of the secret in memory", "NOTHING", "assert not memory(rb'[S]ECRET-[0-9a-f]{32}')\nreturn NOTHING"),
    *(
        Attack(11, name, MAYBE, f"return met(open, {path}, 'rb')")
        for name, path in (
            ("the parent's environment", "f'/proc/{os.getppid()}/environ'"), ("the parent's memory", "f'/proc/{os.getppid()}/mem'"),
            ("the own memory", "'/proc/self/mem'"), ("the own maps", "'/proc/self/maps'"), ("process 1", "'/proc/1/status'"),
            ("the root of process 1", "'/proc/1/root/etc/passwd'"), ("the host's command line", "f'/proc/{item[\"host\"]}/cmdline'"),
            ("the host's memory", "f'/proc/{item[\"host\"]}/mem'"), ("the root of another process", "f'/proc/{item[\"victim\"]}/root/etc/passwd'"),
            ("mounts", "'/proc/self/mounts'"), ("settings of the kernel", "'/proc/sys/kernel/hostname'"), ("symbols of the kernel", "'/proc/kallsyms'"),
            ("the kernel's crash trigger", "'/proc/sysrq-trigger'"), ("control groups", "'/sys/fs/cgroup/cgroup.procs'"),
        )
    ),
    Attack(11, "listing /proc and /sys", HIDDEN, "return all_met([(os.listdir, '/proc'), (os.listdir, '/sys')])"),
    Attack(11, "links of another process", by_tier("ENOENT", "EACCES", "ENOENT", "EPERM"), "return all_met([(os.readlink, f'/proc/{item[\"victim\"]}/{name}') for name in ('exe', 'cwd', 'root')])"),
    Attack(11, "the descriptors of others by path", by_tier("ENOENT", "EACCES", "ENOENT", "EPERM"), "return all_met([(os.open, f'/proc/{pid}/fd/{fd}', os.O_RDWR) for pid in (os.getppid(), item['host'], item['victim']) for fd in (0, 1, 2)])"),
    Attack(12, "a new file in another folder", HIDDEN, "return met(open, item['folder'] + '/new', 'w')"),
    Attack(12, "a new folder", HIDDEN, "return met(os.mkdir, item['folder'] + '/new')"),
    Attack(12, "an existing file", HIDDEN, "return met(open, item['file'], 'r+')"),
    Attack(12, "truncating by opening", by_tier("ENOENT", "EPERM or EACCES", "ENOENT", "EPERM"), "return met(os.open, item['file'], os.O_RDONLY | os.O_TRUNC)"),
    Attack(12, "truncating by path", by_tier("ENOENT", "EACCES or EPERM", "ENOENT", "EPERM"), "return met(os.truncate, item['file'], 0)"),
    Attack(12, "deleting", by_tier("ENOENT", "EACCES", "ENOENT", "EPERM"), "return met(os.unlink, item['file'])"),
    Attack(12, "deleting a folder", by_tier("ENOENT or EROFS", "EACCES or ENOTEMPTY", "ENOENT or EROFS", "EPERM"), "return met(os.rmdir, item['folder'])"),
    Attack(12, "the mode of a file of this user", by_tier("ENOENT", "UNCHANGED or EACCES", "ENOENT", "EPERM"), "return changing(item['file'], lambda: os.chmod(item['file'], 0o777))"),
    Attack(12, "the mode of a folder of this user", by_tier("ENOENT", "UNCHANGED or EACCES", "ENOENT", "EPERM"), "return changing(item['folder'], lambda: os.chmod(item['folder'], 0o777))"),
    Attack(12, "fchmodat2", "EPERM or ENOSYS", "return met(call, 452, -100, item['file'].encode(), 0o777, 0)"),
    Attack(12, "the times of a file of this user", by_tier("ENOENT", "UNCHANGED or EACCES", "ENOENT", "EPERM"), "return changing(item['file'], lambda: os.utime(item['file'], (1, 1)))"),
    Attack(12, "the owner of a file", "EPERM", "return all_met([(os.chown, item['file'], 0, 0), (os.lchown, item['file'], 0, 0), (os.fchown, 0, 0, 0)])"),
    Attack(12, "extended attributes of a file", "EPERM", "return all_met([(os.setxattr, item['file'], 'user.x', b'x'), (os.removexattr, item['file'], 'user.x')])"),
    Attack(12, "Python's library", READ_ONLY, "return met(open, json.__file__, 'a')"),
    Attack(12, "truncating Python's library by opening", by_tier("EROFS or EACCES", "EPERM or EACCES", "EROFS or EACCES", "EPERM"), "return met(os.open, json.__file__, os.O_RDONLY | os.O_TRUNC)"),
    Attack(12, "a module among Python's", READ_ONLY, "return met(open, os.path.dirname(json.__file__) + '/made.py', 'w')"),
    Attack(12, "compiled modules", READ_ONLY, "return met(open, os.path.dirname(json.__file__) + '/__pycache__/made.pyc', 'wb')"),
    Attack(12, "deleting from Python's library", READ_ONLY, "return met(os.unlink, json.__file__)"),
    Attack(12, "renaming Python's library", by_tier("EROFS or EACCES or EXDEV", "EACCES or EXDEV", "EROFS or EACCES or EXDEV", "EPERM"), "return met(os.rename, json.__file__, json.__file__ + '.old')"),
    Attack(12, "the mode of Python's library", by_tier("EROFS or EPERM", "UNCHANGED or EACCES", "EROFS or EPERM", "EPERM"), "return changing(json.__file__, lambda: os.chmod(json.__file__, 0o777))"),
    Attack(12, "the mode of Python's library by descriptor", by_tier("EROFS or EPERM", "UNCHANGED or EACCES", "EROFS or EPERM", "EPERM"), "def act():\n    with open(json.__file__) as file:\n        os.fchmod(file.fileno(), 0o777)\nreturn changing(json.__file__, act)"),
    Attack(12, "attributes of Python's library", by_tier("EPERM", "EPERM", "EPERM", "EPERM"), "def act():\n    with open(json.__file__) as file:\n        fcntl.ioctl(file.fileno(), 0x40086602, struct.pack('l', 0x10))\nreturn met(act)"),
    Attack(12, "a file in /, in /tmp, in /dev/shm", by_tier("EROFS or EACCES", "EACCES", "EROFS or EACCES", "EPERM"), "return all_met([(open, '/made', 'w'), (open, '/tmp/graders-attack-made', 'w')])"),
    Attack(13, "reading through a symbolic link", HIDDEN, "def act():\n    os.symlink(item['file'], 'link')\n    open('link')\nreturn met(act)"),
    Attack(13, "writing through a symbolic link", HIDDEN, "def act():\n    os.symlink(item['file'], 'link')\n    open('link', 'w')\nreturn met(act)"),
    Attack(13, "creating through a dangling link", HIDDEN, "def act():\n    os.symlink(item['folder'] + '/new', 'link')\n    open('link', 'w')\nreturn met(act)"),
    Attack(13, "a hard link to a file of this user", by_tier("ENOENT", "EXDEV or EACCES", "ENOENT", "EPERM"), "return met(os.link, item['file'], 'link')"),
    Attack(13, "a hard link to Python's library", by_tier("EXDEV or EACCES or EPERM", "EXDEV or EACCES or EPERM", "EXDEV or EPERM", "EPERM"), "return met(os.link, json.__file__, 'link')"),
    Attack(13, "a hard link by descriptor", by_tier("ENOENT or EXDEV or EPERM", "ENOENT or EXDEV or EACCES or EPERM", "ENOENT or EXDEV or EPERM", "EPERM"), "def act():\n    with open(json.__file__) as file:\n        call((265, 37), file.fileno(), b'', -100, b'link', 0x1000)\nreturn met(act)"),
    Attack(13, "moving a file out", by_tier("ENOENT", "EXDEV or EACCES", "ENOENT", "EPERM"), "def act():\n    open('mine', 'w').close()\n    os.rename('mine', item['folder'] + '/new')\nreturn met(act)"),
    Attack(13, "moving a file in", by_tier("ENOENT", "EXDEV or EACCES", "ENOENT", "EPERM"), "return met(os.rename, item['file'], 'mine')"),
    Attack(13, "exchanging files", by_tier("ENOENT", "EXDEV or EACCES", "ENOENT", "EPERM"), "def act():\n    open('mine', 'w').close()\n    call((316, 276), -100, b'mine', -100, item['file'].encode(), 2)\nreturn met(act)"),
    Attack(13, "moving the own folder away", by_tier("EBUSY or EACCES or EROFS or EXDEV", "EACCES or EXDEV", "EBUSY or EACCES or EROFS or EXDEV", "EPERM"), "return met(os.rename, TMP, TMP + '-moved')"),
    Attack(13, "replacing the own folder by a link", by_tier("EBUSY or EACCES or EROFS", "EACCES", "EBUSY or EACCES or EROFS", "EPERM"), "def act():\n    os.rmdir(TMP)\n    os.symlink(item['folder'], TMP)\nreturn met(act)"),
]  # fmt: skip


def _raw(row: int, calls: dict[str, object], expect: str = "EPERM") -> list[Attack]:
    """System calls with arguments of 0: `name: number` or `name: (on x86_64, on aarch64)`."""
    return [
        Attack(
            row, name, expect, f"return met(call, {numbers!r}, 0, 0, 0, 0, 0, 0)",
            machine="x86_64" if isinstance(numbers, tuple) and numbers[1] is None else "",
        )
        for name, numbers in calls.items()
    ]  # fmt: skip


#: System calls that no grader needs, each a way past some other protection or into the kernel. Numbers: x86_64, aarch64.
RARE = {
    "keyctl": (250, 219), "add_key": (248, 217), "request_key": (249, 218), "bpf": (321, 280), "perf_event_open": (298, 241),
    "userfaultfd": (323, 282), "kexec_load": (246, 104), "kexec_file_load": (320, 294), "init_module": (175, 105),
    "finit_module": (313, 273), "delete_module": (176, 106), "syslog": (103, 116), "personality": (135, 92),
    "modify_ldt": (154, None), "name_to_handle_at": (303, 264), "open_by_handle_at": (304, 265), "quotactl": (179, 60),
    "swapon": (167, 224), "swapoff": (168, 225), "clock_settime": (227, 112), "settimeofday": (164, 170),
    "adjtimex": (159, 171), "clock_adjtime": (305, 266), "setns": (308, 268), "inotify_init1": (294, 26),
    "fanotify_init": (300, 262), "vmsplice": (278, 75), "memfd_secret": 447, "mbind": (237, 235),
    "set_mempolicy": (238, 237), "migrate_pages": (256, 238), "move_pages": (279, 239), "acct": (163, 89),
    "reboot": (169, 142), "sethostname": (170, 161), "setdomainname": (171, 162), "iopl": (172, None),
    "ioperm": (173, None), "io_setup": (206, 0), "timer_create": (222, 107), "quotactl_fd": 443, "seccomp": (317, 277),
    "landlock_create_ruleset": 444, "landlock_restrict_self": 446, "remap_file_pages": (216, 234), "process_mrelease": 448,
    "lsm_set_self_attr": 460, "mseal": 462, "statmount": 457, "listmount": 458, "map_shadow_stack": 453,
    "set_mempolicy_home_node": 450, "recvmmsg": (299, 243), "splice": (275, 76), "tee": (276, 77),
}  # fmt: skip

PROCESSES = [
    Attack(14, "fifo", "EPERM", "return met(os.mkfifo, 'fifo')"),
    Attack(14, "device", "EPERM", "return met(os.mknod, 'device', 0o020666, os.makedev(1, 1))"),
    Attack(14, "chroot", "EPERM", "return met(os.chroot, '.')"),
    *_raw(14, {
        "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "fsopen": 430, "fsconfig": 431, "fsmount": 432,
        "fspick": 433, "open_tree": 428, "move_mount": 429, "mount_setattr": 442,
    }),
    Attack(15, "unshare", "EPERM", "return all_met([(call, (272, 97), flag) for flag in (0x10000000, 0x20000, 0x40000000, 0x20000000)])"),
    Attack(15, "clone into a user namespace", "EPERM", "return met(call, (56, 220), 0x10000000 | 17, 0, 0, 0, 0)"),
    Attack(15, "a thread in new namespaces", "EPERM", "return all_met([(call, (56, 220), flag | 0x10f00, 0, 0, 0, 0) for flag in (0x10000000, 0x20000, 0x40000000, 0x20000000, 0x80, 0x4000000, 0x8000000, 0x2000000)])"),
    Attack(15, "clone3", "ENOSYS", "return met(call, 435, struct.pack('8Q', 0x10000000, 0, 0, 0, 17, 0, 0, 0), 64)"),
    Attack(16, "become another user", "EPERM", "return all_met([(os.setuid, 0), (os.setgid, 0), (os.setgroups, [0]), (os.setresuid, 0, 0, 0), (os.setresgid, 0, 0, 0), (os.setreuid, 0, 0)])"),
    Attack(16, "the file system's user", "EPERM", "return met(call, (122, 151), 0)"),
    Attack(16, "take capabilities", "EPERM", "return met(call, (126, 91), struct.pack('II', 0x20080522, 0), struct.pack('6I', *[0xffffffff] * 6))"),
    Attack(16, "have capabilities", "NOTHING", """
state = ctypes.create_string_buffer(24)
call((125, 90), struct.pack('II', 0x20080522, 0), state)
assert state.raw == bytes(24), state.raw
return NOTHING"""),
    Attack(16, "take back no_new_privs, keep capabilities", "EPERM", "return all_met([(call, (157, 167), option, 1, 0, 0, 0) for option in (38, 8, 28, 47, 24)])"),
    Attack(16, "another filter in place of this", "EPERM", "return all_met([(call, (157, 167), 22, 0, 0, 0, 0), (call, (317, 277), 0, 0, 0)])"),
    Attack(17, "execv", "EPERM", "return met(os.execv, '/bin/sh', ['sh', '-c', 'exit 0'])"),
    Attack(17, "execv of Python", "EPERM", "return met(os.execv, sys.executable or '/usr/bin/python3', ['python'])"),
    Attack(17, "a program of one's own", _here("EPERM"), "def act():\n    open('program', 'w').write('#!/bin/sh\\n')\n    os.execv('program', ['program'])\nreturn met(act)"),
    Attack(17, "execveat", "EPERM", "return met(call, (322, 281), 0, b'', None, None, 0x1000)"),
    Attack(17, "subprocess", "EPERM", "return met(subprocess.run, ['/bin/true'])"),
    Attack(17, "posix_spawn", "EPERM", "return met(os.posix_spawn, '/bin/true', ['true'], {})"),
    Attack(17, "os.system", "NOTHING", "return NOTHING if os.system('exit 0') != 0 else THROUGH"),
    Attack(17, "a program in memory", "EPERM", "return all_met([(os.memfd_create, 'x'), (call, (319, 279), b'x', 0)])"),
    Attack(17, "an alternative loader", by_tier("EPERM", "EPERM", "EPERM", "EPERM"), "return met(os.execv, '/lib64/ld-linux-x86-64.so.2', ['ld', '/bin/true'])"),
    Attack(18, "fork", "EPERM", "return met(os.fork)"),
    Attack(18, "the raw calls", "EPERM", "return all_met([(call, number) for number in (57, 58)])", machine="x86_64"),
    Attack(18, "clone", "EPERM", "return all_met([(call, (56, 220), flags, 0, 0, 0, 0) for flags in (17, 0, 0x100 | 17, 0x4100 | 17, 0x900 | 17, 0x8000 | 17)])"),
    Attack(18, "clone3", "ENOSYS", "return met(call, 435, struct.pack('8Q', 0, 0, 0, 0, 17, 0, 0, 0), 64)"),
    Attack(18, "a daemon", "EPERM", "def act():\n    if os.fork() == 0:\n        os.setsid()\n        os.fork()\n        time.sleep(60)\nreturn met(act)"),
    Attack(18, "multiprocessing", dict.fromkeys(FILES, "EPERM"), "import multiprocessing\nprocess = multiprocessing.get_context('fork').Process(target=print)\nreturn met(process.start)"),
    Attack(18, "a pool of processes", by_tier("ENOENT or EPERM", "EACCES or EPERM", "ENOENT or EPERM", ""), "def act():\n    with concurrent.futures.ProcessPoolExecutor(2) as pool:\n        list(pool.map(abs, [1]))\nreturn met(act)"),
    Attack(19, "threads without end", "NOTHING or memory or memory threads", """
threading.stack_size(1 << 17)  # the least on aarch64
lock = threading.Lock()
lock.acquire()
import _thread
started = 0
try:
    while started < 3000:
        _thread.start_new_thread(lock.acquire, ())
        started += 1
except RuntimeError:
    assert started < 1000, started
    return NOTHING
time.sleep(1)
return THROUGH""", timeout_s=20),
    Attack(19, "threads without end, with small stacks, at the default limits", by_tier("NOTHING", "NOTHING or THROUGH", "NOTHING", "NOTHING or THROUGH"), """
threading.stack_size(1 << 16)
import _thread
started = 0
try:
    while started < 3000:
        _thread.start_new_thread(time.sleep, (9,))
        started += 1
except RuntimeError:
    assert started < 1000, started
    return NOTHING
return THROUGH""", timeout_s=60, default_limits=True, known=(LANDLOCK, STRICT)),
    Attack(20, "one allocation", "memory MemoryError", "return float(len(bytearray(1 << 34)))"),
    Attack(20, "a growing list", "memory MemoryError", "held = []\nwhile True:\n    held.append(bytearray(1 << 24))"),
    Attack(20, "a text", "memory MemoryError", "return float(len('x' * (1 << 40)))"),
    Attack(20, "mapped", "ENOMEM", "return met(mmap.mmap, -1, 1 << 34)"),
    Attack(20, "mapped without reserve", "ENOMEM", "return met(lambda: mmap.mmap(-1, 1 << 34, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x4000))"),
    Attack(20, "many mappings", "ENOMEM", "held = []\ndef act():\n    while len(held) < 2000:\n        held.append(mmap.mmap(-1, 1 << 24))\nreturn met(act)"),
    Attack(20, "shared mappings", "ENOMEM", "held = []\ndef act():\n    while len(held) < 2000:\n        held.append(mmap.mmap(-1, 1 << 24, flags=mmap.MAP_SHARED | mmap.MAP_ANONYMOUS))\nreturn met(act)"),
    Attack(20, "a mapping that grows", "ENOMEM", "block = mmap.mmap(-1, 1 << 20)\nreturn met(block.resize, 1 << 34)"),
    Attack(20, "the heap's end", "ENOMEM or NOTHING", "before = libc.sbrk(0)\nreturn NOTHING if libc.sbrk(1 << 30) == -1 else THROUGH"),
    Attack(21, "/dev/shm", HIDDEN, "return met(open, '/dev/shm/graders-attack', 'w')"),
    Attack(21, "POSIX shared memory", HIDDEN, "return met(lambda: None if libc.shm_open(b'/graders-attack', os.O_CREAT | os.O_RDWR, 0o600) >= 0 else (_ for _ in ()).throw(OSError(ctypes.get_errno(), '')))"),
    Attack(21, "memory files", "EPERM", "return met(os.memfd_create, 'x')"),
    *_raw(21, {"shmget": (29, 194), "shmat": (30, 196), "semget": (64, 190), "msgget": (68, 186), "mq_open": (240, 180)}),
    Attack(25, "a table of descriptors for one thread", "EPERM", "return all_met([(call, 436, 100, 101, 2), (call, 436, 100, 101, 6), (call, (272, 97), 0x400)])"),
    Attack(25, "threads with tables of their own", "EPERM", "return all_met([(call, (56, 220), flags, 0, 0, 0, 0) for flags in (0x10900, 0x10b00, 0x10d00)])"),
    Attack(25, "descriptors without end", "EMFILE", "def act():\n    while True:\n        os.dup(0)\nreturn met(act)"),
    Attack(25, "pipes without end", "EMFILE", "def act():\n    while True:\n        os.pipe()\nreturn met(act)"),
    Attack(25, "larger pipes", "EPERM", "return all_met([(fcntl.fcntl, fd, 1031, 1 << 20) for fd in (3, os.pipe()[0])])"),
    Attack(25, "leases and notices on files", "EPERM", "return all_met([(fcntl.fcntl, 0, command, 0) for command in (1024, 1025, 1026)])"),
    Attack(26, "print", "value 1", "for _ in range(2000):\n    print('x' * 10_000)\n    print('x' * 10_000, file=sys.stderr)\nreturn 1.0"),
    Attack(26, "the descriptors", "value 1", "for _ in range(100):\n    os.write(1, b'x' * (1 << 20))\n    os.write(2, b'x' * (1 << 20))\nreturn 1.0"),
    Attack(27, "an endless loop", "timeout wall", "while True:\n    pass", timeout_s=0.3),
    Attack(27, "a regular expression", "timeout wall", "return float(bool(re.match('(a+)+$', 'a' * 64 + 'b')))", timeout_s=0.3),
    Attack(27, "arithmetic", "timeout wall", "return float(7 ** 7 ** 9)", timeout_s=0.3),
    Attack(27, "sleep", "timeout wall", "time.sleep(3600)", timeout_s=0.3),
    Attack(27, "waiting for oneself", "timeout wall", "lock = threading.Lock()\nlock.acquire()\nlock.acquire()", timeout_s=0.3),
    Attack(27, "reading from an empty pipe", "timeout wall", "os.read(os.pipe()[0], 1)", timeout_s=0.3),
    Attack(27, "endless handlers of exceptions", "timeout wall", "while True:\n    try:\n        while True:\n            time.sleep(0.01)\n    except BaseException:\n        pass", timeout_s=0.3),
    Attack(27, "processor time", "timeout cpu", "while True:\n    pass"),
    Attack(27, "processor time of many threads", "timeout cpu", "def spin():\n    while True:\n        pass\nfor _ in range(4):\n    threading.Thread(target=spin).start()\nspin()", costly=True),
    Attack(28, "all signals ignored", "timeout wall", "for number in signal.valid_signals():\n    try:\n        signal.signal(number, signal.SIG_IGN)\n    except (OSError, ValueError):\n        pass\ntime.sleep(3600)", timeout_s=0.3),
    Attack(28, "all signals blocked", "timeout wall", "signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())\ntime.sleep(3600)", timeout_s=0.3),
    Attack(28, "processor time with signals ignored", "timeout cpu", "signal.signal(signal.SIGXCPU, signal.SIG_IGN)\nwhile True:\n    pass", costly=True),
    Attack(28, "stopping oneself", "timeout wall", "os.kill(os.getpid(), signal.SIGSTOP)\nreturn 1.0", timeout_s=0.3),
    Attack(29, "an endless thread", "value 1", "threading.Thread(target=time.sleep, args=(3600,)).start()\nreturn 1.0"),
    Attack(29, "a hook at exit", "value 1", "atexit.register(time.sleep, 3600)\nreturn 1.0"),
    Attack(29, "a destructor", "value 1", "class Late:\n    def __del__(self):\n        time.sleep(3600)\nsys.kept = Late()\nreturn 1.0"),
    Attack(30, "a session or group of its own", "EPERM", "return all_met([(os.setsid,), (os.setpgid, 0, 0)])"),
    Attack(30, "prctl", "EPERM", "return all_met([(call, (157, 167), option, 0, 0, 0, 0) for option in (1, 4, 36, 0x59616d61, 35, 23, 27, 29, 59, 62)])"),
    Attack(31, "the parent", "EPERM", "return all_met([(os.kill, os.getppid(), number) for number in (0, 9, 15, 19, 10, 64)])"),
    Attack(31, "groups and everybody", "EPERM", "return all_met([(os.kill, pid, 9) for pid in (0, -1, -os.getppid(), -os.getpgid(0) or -1)])"),
    Attack(31, "process 1, the host, another process", "EPERM", "return all_met([(os.kill, pid, 9) for pid in (1, item['host'], item['victim'])])"),
    Attack(31, "its own number in 64 bits", "EPERM or ESRCH or NOTHING", "call((62, 129), os.getpid() | 1 << 32, 0)\nreturn NOTHING"),
    Attack(31, "threads of others", "EPERM", "return all_met([(call, (200, 130), pid, 9) for pid in (os.getppid(), item['victim'])] + [(call, (234, 131), pid, pid, 9) for pid in (os.getppid(), item['victim'], -1)])"),
    Attack(31, "queued signals", "EPERM", "return all_met([(call, (129, 138), os.getppid(), 9, bytes(128)), (call, (297, 240), os.getppid(), os.getppid(), 9, bytes(128))])"),
    Attack(31, "process descriptors", "EPERM", "return all_met([(os.pidfd_open, os.getppid()), (call, 424, 0, 9, None, 0)])"),
    Attack(32, "F_SETOWN", "EPERM", "a, b = socket.socketpair()\nreturn all_met([(fcntl.fcntl, a.fileno(), command, os.getppid()) for command in (8, 10)])"),
    Attack(32, "F_SETOWN_EX", "EPERM", "a, b = socket.socketpair()\nreturn met(call, (72, 25), a.fileno(), 15, struct.pack('ii', 1, os.getppid()))"),
    Attack(32, "by ioctl", "EPERM", "a, b = socket.socketpair()\nreturn all_met([(fcntl.ioctl, a.fileno(), request, struct.pack('i', os.getppid())) for request in (0x8901, 0x8902, 0x5452)])"),
    Attack(33, "of the parent", "EPERM", "return all_met([(call, (302, 261), os.getppid(), 7, None, ctypes.create_string_buffer(16)), (call, (302, 261), os.getppid(), 0, struct.pack('QQ', 0, 0), None)])"),
    Attack(33, "of other processes", "EPERM", "return all_met([(call, (302, 261), pid, 7, struct.pack('QQ', 0, 0), None) for pid in (1, item['host'], item['victim'])])"),
    Attack(34, "priorities", "EPERM", "return all_met([(os.setpriority, os.PRIO_PROCESS, 0, 19), (os.setpriority, os.PRIO_PROCESS, os.getppid(), 19), (os.setpriority, os.PRIO_USER, 0, 19), (os.nice, 19)])"),
    Attack(34, "processors", "EPERM", "return all_met([(os.sched_setaffinity, pid, [0]) for pid in (0, os.getppid(), item['victim'])])"),
    Attack(34, "schedulers", "EPERM", "return all_met([(os.sched_setscheduler, 0, os.SCHED_IDLE, os.sched_param(0)), (call, (314, 274), 0, bytes(48), 0), (call, (251, 30), 1, 0, 0), (os.sched_setparam, 0, os.sched_param(0))])"),
    Attack(35, "ptrace", "EPERM", "return all_met([(call, (101, 117), request, os.getppid(), 0, 0) for request in (16, 0x4206, 0)])"),
    Attack(35, "memory of the parent", "EPERM", "local = struct.pack('QQ', ctypes.addressof(ctypes.create_string_buffer(8)), 8)\nreturn all_met([(call, number, os.getppid(), local, 1, local, 1, 0) for number in ((310, 270), (311, 271))])"),
    *_raw(35, {"kcmp": (312, 272), "pidfd_getfd": 438, "process_madvise": 440}),
    Attack(36, "memory, processor time, file size, descriptors, core", "EPERM", "return all_met([(call, (302, 261), 0, which, struct.pack('QQ', 1 << 50, 1 << 50), None) for which in (9, 0, 1, 7, 4)])"),
    Attack(36, "by the older call", "EPERM", "return all_met([(call, (160, 164), which, struct.pack('QQ', 1 << 50, 1 << 50)) for which in (9, 0, 1, 7, 4)])"),
    *_raw(37, RARE),
    Attack(37, "numbers that nobody has", "EPERM", "return all_met([(call, number) for number in (470, 500, 511, 600, 999, 1023, 1024, 4096)])"),
    Attack(38, "32-bit calls", "crash SIGSYS or crash SIGSEGV", "return float(run_code(0xB8, 20, 0, 0, 0, 0xCD, 0x80, 0xC3))", machine="x86_64"),
    Attack(38, "32-bit open", "crash SIGSYS or crash SIGSEGV", "return float(run_code(0xB8, 5, 0, 0, 0, 0x31, 0xDB, 0xCD, 0x80, 0xC3))", machine="x86_64"),
    Attack(38, "x32 numbers", "ENOSYS", "return all_met([(call, 0x40000000 | number) for number in (39, 41, 56, 59, 520, 0x3fffffff)])", machine="x86_64"),
    Attack(38, "a number below zero", "ENOSYS or EPERM", "return met(call, -1)"),
    Attack(38, "raw 64-bit calls by own code", "value 1", """
# socket(2, 1, 0). mov eax, 41; mov edi, 2; mov esi, 1; xor edx, edx; syscall; ret
code = (0xB8, 41, 0, 0, 0, 0xBF, 2, 0, 0, 0, 0xBE, 1, 0, 0, 0, 0x31, 0xD2, 0x0F, 0x05, 0xC3)
if not X86:  # mov x0, 2; mov x1, 1; mov x2, 0; mov x8, 198; svc 0; ret
    code = struct.pack('<6I', 0xD2800040, 0xD2800021, 0xD2800002, 0xD2800008 | 198 << 5, 0xD4000001, 0xD65F03C0)
got = run_code(*code)
return float(got == -errno.EPERM)"""),
    Attack(39, "typing into a terminal", "EPERM", "return all_met([(fcntl.ioctl, 0, request, b'x') for request in (0x5412, 0x541c, 0x540e, 0x5422)])"),
    Attack(39, "devices", HIDDEN, "return all_met([(open, '/dev/' + name) for name in ('tty', 'ptmx')])"),
    *(Attack(39, f"/dev/{name}", MAYBE, f"return met(open, '/dev/{name}', 'rb')") for name in ("kmsg", "mem", "console", "kvm", "fuse", "net/tun")),
]  # fmt: skip

LIMITS = [
    Attack(22, "writing past the limit", _here("EFBIG or ENOSPC"), "with_room = b'x' * (1 << 20)\ndef act():\n    with open('f', 'wb', buffering=0) as file:\n        for _ in range(64):\n            file.write(with_room)\nreturn met(act)"),
    Attack(22, "the same, not caught", _here("disk OSError", "grade PermissionError"), "with open('f', 'wb') as file:\n    for _ in range(64):\n        file.write(b'x' * (1 << 20))\nreturn 1.0"),
    Attack(22, "a hole", _here("EFBIG"), "def act():\n    with open('f', 'wb', buffering=0) as file:\n        file.seek(1 << 35)\n        file.write(b'x')\nreturn met(act)"),
    Attack(22, "a length", _here("EFBIG"), "def act():\n    with open('f', 'wb') as file:\n        os.ftruncate(file.fileno(), 1 << 35)\nreturn met(act)"),
    Attack(22, "allocation", _here("EFBIG or ENOSPC or EPERM"), "def act():\n    with open('f', 'wb') as file:\n        os.posix_fallocate(file.fileno(), 0, 1 << 30)\nreturn met(act)"),
    Attack(22, "a copy within the kernel", _here("EFBIG or ENOSPC or disk"), "def act():\n    with open('f', 'wb') as file:\n        file.write(b'x' * (1 << 20))\n    with open('f', 'rb') as source, open('g', 'wb') as target:\n        for _ in range(64):\n            os.copy_file_range(source.fileno(), target.fileno(), 1 << 20, 0)\nreturn met(act)"),
]  # fmt: skip


def _disk(row: int, name: str, body: str, full: str = "ENOSPC", ns: str = "") -> Attack:
    """Filling the own folder; without a file system of its own, the watcher ends it."""
    return Attack(
        row,
        name,
        {FULL: full, LANDLOCK: f"disk or {full}", NS: ns or full},
        body + "\ntime.sleep(4)\nreturn THROUGH",
    )


# The small limits: 16 MB, 400 inodes. In the container tier the watcher looks 20 times a second.
DISK = [
    _disk(23, "many files", "if error := met(fill, '.', 200, 1 << 20):\n    return error"),
    _disk(23, "in a deep folder", """
def act():
    for _ in range(60):
        os.mkdir('d' * 200)
        os.chdir('d' * 200)
    fill('.', 200, 1 << 20)
if error := met(act):
    return error"""),
    _disk(23, "in a folder that cannot be listed", "os.mkdir('d', 0o300)\nif error := met(fill, 'd', 200, 1 << 20):\n    return error"),
    _disk(23, "in deleted files that stay open", """
held = []
def act():
    for number in range(40):
        held.append(open('f', 'wb', buffering=0))
        os.unlink('f')
        held[-1].write(b'x' * (4 << 20))
if error := met(act):
    return error"""),
    _disk(23, "in files without a name", """
held = []
def act():
    for number in range(40):
        held.append(open(os.open('.', os.O_TMPFILE | os.O_RDWR), 'wb', buffering=0))
        held[-1].write(b'x' * (4 << 20))
if error := met(act):
    return error"""),
    _disk(23, "in deleted files that stay mapped", """
held = []
def act():
    for number in range(40):
        with open('f', 'w+b', buffering=0) as file:
            os.unlink('f')
            file.write(b'x' * (4 << 20))
            # as mmap.mmap does, but without keeping a descriptor
            call((9, 222), None, 4096, 1, 1, file.fileno(), 0)
if error := met(act):
    return error"""),
    _disk(23, "in folders that never stay in one place", """
os.mkdir('d0')
def move():
    at = 0
    while True:
        os.rename(f'd{at}', f'd{at + 1}')
        at += 1
error = met(fill, 'd0', 15, 1 << 20)
os.mkdir('e')
error = error or met(fill, 'e', 1, 1 << 19)
threading.Thread(target=move, daemon=True).start()
for number in range(100):
    try:
        error = error or met(fill, 'e', number, 1 << 20)
    except ValueError:
        pass
if error:
    return error"""),
    _disk(23, "through mapped pages", """
held = []
def act():
    for number in range(40):
        with open(f'f{number}', 'w+b', buffering=0) as file:
            os.ftruncate(file.fileno(), 4 << 20)
            with mmap.mmap(file.fileno(), 4 << 20) as block:
                for at in range(0, 4 << 20, 4096):
                    block[at] = 1
if error := met(act):
    return error""", full="ENOSPC or crash SIGBUS"),
    _disk(24, "files", "if error := met(fill, '.', 2000, 0):\n    return error"),
    _disk(24, "folders", "def act():\n    for number in range(2000):\n        os.mkdir(str(number))\nif error := met(act):\n    return error"),
    _disk(24, "links", "def act():\n    for number in range(2000):\n        os.symlink('x', str(number))\nif error := met(act):\n    return error"),
    _disk(24, "a chain of folders", "def act():\n    for number in range(2000):\n        os.mkdir('d')\n        os.chdir('d')\nif error := met(act):\n    return error"),
    Attack(23, "1.2 GB", {FULL: "ENOSPC", LANDLOCK: "disk or ENOSPC", NS: "ENOSPC"}, "if error := met(fill, '.', 19, 1 << 26):\n    return error\ntime.sleep(4)\nreturn THROUGH", timeout_s=100, default_limits=True),
    Attack(22, "1.2 GB", _here("EFBIG or ENOSPC"), "block = b'x' * (1 << 24)\ndef act():\n    with open('f', 'wb', buffering=0) as file:\n        for _ in range(75):\n            file.write(block)\nreturn met(act)", timeout_s=100, default_limits=True),
    Attack(24, "60,000", {FULL: "ENOSPC", LANDLOCK: "disk or ENOSPC", NS: "ENOSPC"}, "if error := met(fill, '.', 60_000, 0):\n    return error\ntime.sleep(4)\nreturn THROUGH", timeout_s=100, default_limits=True),
    Attack(20, "2.5 GB, touched", "memory MemoryError", "held = []\nwhile len(held) < 160:\n    held.append(b'x' * (1 << 24))\nreturn THROUGH", timeout_s=100, default_limits=True),
    Attack(43, "until memory or time ends", "timeout wall or memory MemoryError or crash SIGSEGV or timeout cpu", "sys.setrecursionlimit(10**9)\ndef deeper():\n    return deeper()\nreturn deeper()", timeout_s=20, default_limits=True),
]  # fmt: skip

RESULTS = [
    Attack(40, "a segmentation fault", "crash SIGSEGV", "ctypes.string_at(0)"),
    Attack(40, "abort", "crash SIGABRT", "os.abort()"),
    Attack(40, "an illegal instruction", "crash SIGILL", "return float(run_code(*((0x0F, 0x0B) if X86 else (0, 0, 0, 0))))"),
    Attack(40, "a signal to oneself", "crash SIGTERM", "os.kill(os.getpid(), signal.SIGTERM)\ntime.sleep(5)"),
    *(
        Attack(40, f"saying by {name} {what}", "EPERM", f"return met({act.format(number)})")
        for number, what in ((9, "that the kernel killed for memory"), (24, "that the time is up"), (25, "that the disk is full"))
        for name, act in (
            ("kill", "os.kill, os.getpid(), {}"), ("tgkill", "call, (234, 131), os.getpid(), os.getpid(), {}"),
            ("raise", "signal.raise_signal, {}"), ("a thread's signal", "signal.pthread_kill, threading.get_ident(), {}"),
        )
    ),
    Attack(40, "a limit of processor time of one's own", "EPERM", "return met(call, (302, 261), 0, 0, struct.pack('QQ', 1, 1), None)"),
    Attack(40, "the same by the older call", "EPERM", "return met(call, (160, 164), 0, struct.pack('QQ', 1, 1))"),
    Attack(40, "the same by one's own number", "EPERM", "return met(call, (302, 261), os.getpid(), 0, struct.pack('QQ', 1, 1), None)"),
    Attack(40, "a class that is called as a full disk was", "grade DiskFull", "class DiskFull(Exception):\n    pass\nraise DiskFull"),
    Attack(40, "a class that is called as a lack of memory", "grade MemoryError", "class MemoryError(Exception):\n    pass\nraise MemoryError"),
    Attack(40, "core dumps", "NOTHING", "assert resource.getrlimit(resource.RLIMIT_CORE) == (0, 0)\nreturn NOTHING"),
    Attack(41, "os._exit(0)", "no_result", "os._exit(0)"),
    *(Attack(41, f"os._exit({code})", "no_result", f"os._exit({code})") for code in (1, 3, 71, 255)),
    *(Attack(41, f"the exit code of an unjailed child, {code}", "crash SIGSYS", f"os._exit({code})") for code in (70, 70 + 256)),
    Attack(41, "the same by a thread", "crash SIGSYS", "call((60, 93), 70)"),
    Attack(41, "the same, after taking back what it wrote", by_tier("ENOENT", "crash SIGSYS or EACCES", "ENOENT", "EPERM"), """
def act():
    result = os.open('/proc/self/fd/3', os.O_RDONLY | os.O_NONBLOCK)
    os.write(3, b'V')
    os.read(result, 1)
    os._exit(70)
return met(act)"""),
    Attack(41, "exit_group", "no_result", "call((231, 94), 0)"),
    Attack(41, "closing the result's descriptor", "no_result", "os.close(3)\nreturn 1.0"),
    Attack(41, "putting another in its place", "no_result", "os.dup2(0, 3)\nreturn 1.0"),
    Attack(41, "leaving from __str__", "no_result", "class Loud(Exception):\n    def __str__(self):\n        os._exit(0)\nraise Loud"),
    Attack(41, "closing all descriptors", "no_result", "os.closerange(0, 256)\nreturn 1.0"),
    Attack(42, "SystemExit", "grade SystemExit", "sys.exit(0)"),
    Attack(42, "SystemExit with a number", "grade SystemExit", "raise SystemExit(1.0)"),
    Attack(42, "KeyboardInterrupt", "grade KeyboardInterrupt", "raise KeyboardInterrupt"),
    Attack(42, "GeneratorExit", "grade GeneratorExit", "raise GeneratorExit"),
    Attack(42, "an own BaseException", "grade Own", "class Own(BaseException):\n    pass\nraise Own"),
    Attack(42, "a group", "grade ExceptionGroup", "raise ExceptionGroup('x', [ValueError()] * 100)"),
    Attack(42, "a cycle of causes", "grade ValueError", "a, b = ValueError(), TypeError()\na.__cause__, b.__cause__ = b, a\nraise a"),
    Attack(42, "a __str__ that raises", "grade Bad", "class Bad(Exception):\n    def __str__(self):\n        raise RuntimeError\nraise Bad"),
    Attack(42, "recursion", "grade RecursionError", "def deeper():\n    return deeper()\nreturn deeper()"),
    Attack(43, "unlimited recursion", "timeout wall or timeout cpu or memory MemoryError or crash SIGSEGV or grade RecursionError", "sys.setrecursionlimit(10**9)\ndef deeper():\n    return deeper()\nreturn deeper()", timeout_s=0.5),
    Attack(43, "in C", "crash SIGSEGV or grade RecursionError or memory MemoryError or timeout wall or timeout cpu", "sys.setrecursionlimit(10**9)\nx = []\nfor _ in range(1_000_000):\n    x = [x]\nreturn float(len(repr(x)))", timeout_s=5, costly=True),
    *(
        Attack(44, name, "bad_return", body)
        for name, body in (
            ("not a number", "return math.nan"), ("infinity", "return math.inf"), ("minus infinity", "return -math.inf"),
            ("None", "return None"), ("a text", "return '1.0'"), ("bytes", "return b'1'"), ("complex", "return 1j"), ("a list", "return [1.0]"),
            ("a dict", "return {'reward': 1.0}"), ("an integer too large", "return 10 ** 400"), ("a subclass of float", "class F(float):\n    pass\nreturn F(1)"),
            ("a subclass of int", "class I(int):\n    def __float__(self):\n        return 2.0\nreturn I(1)"), ("an object with __float__", "class O:\n    def __float__(self):\n        return 1.0\nreturn O()"),
            ("a decimal", "return decimal.Decimal(1)"), ("a fraction", "return fractions.Fraction(1)"), ("a function", "return grade"), ("a module", "return os"),
            ("a generator", "return (n for n in [1.0])"), ("an exception", "return ValueError(1.0)"), ("a class that lies", "class L:\n    __class__ = float\nreturn L()"),
        )
    ),
    Attack(45, "twice", "protocol", "import graders_sandbox.protocol as wire\nos.write(3, wire.VALUE.pack(b'V', 1.0))\nreturn 1.0"),
    Attack(45, "10 MB of garbage", "protocol or timeout wall", "os.write(3, b'V' * 10_000_000)\nreturn 1.0", timeout_s=1),
    Attack(45, "a flood without end", "protocol or timeout wall", "while True:\n    os.write(3, b'x' * 60_000)", timeout_s=1),
    *(
        Attack(45, name, "protocol", f"os.write(3, {frame})\nos._exit(0)")
        for name, frame in (
            ("one byte", "b'V'"), ("half a frame", "FRAME.pack(b'V', 1.0)[:5]"), ("a frame and a byte", "FRAME.pack(b'V', 1.0) + b'x'"), ("not a number", "FRAME.pack(b'V', math.nan)"),
            ("infinity", "FRAME.pack(b'V', math.inf)"), ("an unknown kind", "b'Z' + bytes(8)"), ("an error without a stage", "b'Ezzz'"), ("an error without an end", "b'Eg' + b'x' * 100"),
            ("JSON", "b'{\"value\": 1.0}'"), ("a text", "b'1.0'"),
        )
    ),
    Attack(45, "a result and a bad exit", "protocol", "os.write(3, FRAME.pack(b'V', 1.0))\nos._exit(1)"),
    Attack(45, "a result and a crash", "crash SIGSEGV", "os.write(3, FRAME.pack(b'V', 1.0))\nctypes.string_at(0)"),
    Attack(45, "a result and no end", "timeout wall", "os.write(3, FRAME.pack(b'V', 1.0))\ntime.sleep(60)", timeout_s=0.3),
    Attack(46, "math.isfinite", "protocol or bad_return", "math.isfinite = lambda value: True\nreturn math.nan"),
    Attack(46, "type and isinstance", "bad_return or protocol or grade TypeError or grade AssertionError", "import builtins\nbuiltins.isinstance = lambda *a: True\nreturn None"),
    Attack(46, "os.write and os._exit", "value 1", "os.write = os._exit = None\nreturn 1.0"),
    Attack(46, "json and struct", "value 1", "json.loads = struct.pack = struct.Struct = None\nreturn 1.0"),
    Attack(46, "the harness's module", "value 1 or value 7", "import graders_sandbox.jail.sample as harness\nharness._frame = lambda value: FRAME.pack(b'V', 7.0)\nreturn 1.0"),
    Attack(47, "its own and no other's", "value 123", "os.write(3, FRAME.pack(b'V', 123.0))\nos._exit(0)"),
    Attack(48, "in place of the result", "protocol", "os.write(3, b\"cos\\nsystem\\n(S'touch pickled'\\ntR.\")\nos._exit(0)"),
    Attack(48, "returned", "bad_return", "class P:\n    def __reduce__(self):\n        return os.system, ('true',)\nreturn P()"),
    Attack(50, "parsed by the program", "grade RecursionError", "return float(len(json.loads('[' * 200_000)))"),
    Attack(55, "patched clocks", "timeout wall", "time.time = time.monotonic = time.perf_counter = lambda: 0.0\nwhile True:\n    time.sleep(0.001)", timeout_s=0.3),
    Attack(55, "the system's clock", "EPERM", "return met(time.clock_settime, time.CLOCK_REALTIME, 0)"),
    Attack(58, "the server's control socket", "NOTHING", """
for held in list(harness()):
    for found in [held, *getattr(held, '__dict__', {}).values()] if type(held).__module__ in ('__main__', 'graders_sandbox.jail.server') else [held]:
        if isinstance(found, socket.socket):
            assert met(found.send, b'X' * 30) != THROUGH, found
return NOTHING"""),
    Attack(58, "the scene's secret in any frame", "NOTHING", "frame = sys._getframe()\nwhile frame:\n    for name, held in frame.f_locals.items():\n        if isinstance(held, (str, bytes, dict, list)) and frame.f_code.co_filename != '<grader>':\n            assert 'SECRET-' not in str(held)[:1_000_000], name\n    frame = frame.f_back\nreturn NOTHING"),
    Attack(59, "deep parentheses", "compile RecursionError or compile MemoryError or compile SyntaxError", source="x = " + "(" * 5000 + ")" * 5000),
    Attack(59, "a deep expression", "compile RecursionError or compile MemoryError or compile SyntaxError or grade NameError or import RecursionError", source="x = " + "-" * 100_000 + "1"),
    Attack(59, "many attributes", "compile RecursionError or compile MemoryError or compile SyntaxError or grade NameError or import AttributeError or import RecursionError", source="x = 1" + ".real" * 40_000),
    Attack(59, "a coding cookie", "value 1", source="# coding: latin-1\ndef grade(sample, item):\n    return float(len('é'))\n"),
    *(
        Attack(59, f"a chain of {name}, with an import", "compile RecursionError", source=f"import re\ny = {start}{link * 80_000}\ndef grade(sample, item):\n    return 1.0\n", timeout_s=60)
        for name, start, link in (("sums", "1", "+1"), ("calls", "x", "()"), ("names", "x", ".a"))
    ),
    Attack(59, "a formatted text that takes seconds to parse", "value 1 or compile The", source="import re\ndef grade(sample, item):\n    return 1.0\nx = lambda a: f'" + "{a}" * 20_000 + "'\n", timeout_s=60),
    Attack(59, "an import that leaves", by_tier("import SystemExit", "import SystemExit", "import SystemExit", "import ModuleNotFoundError"), source="import unittest.__main__\ndef grade(sample, item):\n    return 1.0\n"),
    Attack(59, "256 kB", "value 1", source="def grade(sample, item):\n    return 1.0\n" + "x = 1\n" * 43_000, timeout_s=60),
    Attack(59, "more than 256 kB", "compile SourceTooLarge", source="# " + "x" * 262_144),
    Attack(59, "a folded constant", "value 1 or compile MemoryError", source="x = 2 ** 2 ** 2 ** 2 ** 2\ndef grade(sample, item):\n    return float((x if False else 1) or len('x' * 10**9 if False else 'x'))"),
    Attack(59, "NUL", "compile SyntaxError or compile ValueError", source="x = 1\0\n"),
    Attack(59, "surrogates", "compile SyntaxError or compile UnicodeDecodeError or compile UnicodeEncodeError or compile ValueError", source="x = '\ud800'\n"),
    Attack(59, "a foreign encoding", "grade NameError", source="# coding: no-such-encoding\n"),
    Attack(59, "tabs and indentation", "compile TabError or compile IndentationError", source="if True:\n        x = 1\n\ty = 2\n"),
]  # fmt: skip

PROGRAMS = [
    Attack(56, "an endless top level", "timeout wall", source="while True:\n    pass\n", timeout_s=0.3),
    Attack(56, "no grade", "grade NameError or import NameError", source="x = 1\n"),
    Attack(56, "too few arguments", "grade TypeError", source="def grade(sample):\n    return 1.0\n"),
    Attack(56, "an async grade", "bad_return", source="async def grade(sample, item):\n    return 1.0\n"),
    Attack(56, "grade is no function", "grade TypeError", source="grade = 1.0\n"),
    Attack(56, "no Python", "compile SyntaxError", source="def grade(:\n"),
    Attack(56, "leaving at the top level", "import SystemExit", source="import sys\nsys.exit(0)\n"),
    Attack(56, "an exception at the top level", "import ZeroDivisionError", source="1 / 0\n"),
    Attack(56, "an import that is not there", "import ModuleNotFoundError", source="import no_such_module_anywhere\n"),
    Attack(56, "an empty program", "grade NameError or import NameError", source="\n"),
    Attack(56, "a main block", "value 1", source="def grade(sample, item):\n    return 1.0\nif __name__ == '__main__':\n    1 / 0\n"),
    Attack(51, "100 MB", "value 1e+08", source="def grade(sample, item):\n    return len(item)\n", item="x" * 100_000_000, timeout_s=100, default_limits=True),
]  # fmt: skip

ATTACKS: list[Attack] = [*NETWORK, *FILES_OF_THE_HOST, *PROCESSES, *LIMITS, *DISK, *RESULTS, *PROGRAMS]


def program() -> str:
    """One program with every attack's body in it; item["attack"] says which runs."""
    functions = [
        f"def attack_{number}(item):\n" + "\n".join("    " + line for line in attack.body.splitlines())
        for number, attack in enumerate(ATTACKS)
        if attack.body
    ]
    return (
        PRELUDE
        + "\n\n".join(functions)
        + "\n\ndef grade(sample, item):\n    return globals()[f'attack_{item[\"attack\"]}'](item)\n"
    )
