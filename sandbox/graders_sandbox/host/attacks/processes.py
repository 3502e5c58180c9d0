"""Attacks on other processes, privileges and the kernel: rows 14 to 39."""

from __future__ import annotations

from .matrix import FILES, HIDDEN, LANDLOCK, MAYBE, STRICT, AttackCase, by_tier, here, raw

#: System calls that no grader needs and that weaken another protection or the kernel. Numbers: x86_64, aarch64.
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
    AttackCase(14, "fifo", "EPERM", "return met(os.mkfifo, 'fifo')"),
    AttackCase(14, "device", "EPERM", "return met(os.mknod, 'device', 0o020666, os.makedev(1, 1))"),
    AttackCase(14, "chroot", "EPERM", "return met(os.chroot, '.')"),
    *raw(14, {
        "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "fsopen": 430, "fsconfig": 431, "fsmount": 432,
        "fspick": 433, "open_tree": 428, "move_mount": 429, "mount_setattr": 442,
    }),
    AttackCase(15, "unshare", "EPERM", "return all_met([(call, (272, 97), flag) for flag in (0x10000000, 0x20000, 0x40000000, 0x20000000)])"),
    AttackCase(15, "clone into a user namespace", "EPERM", "return met(call, (56, 220), 0x10000000 | 17, 0, 0, 0, 0)"),
    AttackCase(15, "a thread in new namespaces", "EPERM", "return all_met([(call, (56, 220), flag | 0x10f00, 0, 0, 0, 0) for flag in (0x10000000, 0x20000, 0x40000000, 0x20000000, 0x80, 0x4000000, 0x8000000, 0x2000000)])"),
    AttackCase(15, "clone3", "ENOSYS", "return met(call, 435, struct.pack('8Q', 0x10000000, 0, 0, 0, 17, 0, 0, 0), 64)"),
    AttackCase(16, "become another user", "EPERM", "return all_met([(os.setuid, 0), (os.setgid, 0), (os.setgroups, [0]), (os.setresuid, 0, 0, 0), (os.setresgid, 0, 0, 0), (os.setreuid, 0, 0)])"),
    AttackCase(16, "the file system's user", "EPERM", "return met(call, (122, 151), 0)"),
    AttackCase(16, "take capabilities", "EPERM", "return met(call, (126, 91), struct.pack('II', 0x20080522, 0), struct.pack('6I', *[0xffffffff] * 6))"),
    AttackCase(16, "have capabilities", "NOTHING", """
state = ctypes.create_string_buffer(24)
call((125, 90), struct.pack('II', 0x20080522, 0), state)
assert state.raw == bytes(24), state.raw
return NOTHING"""),
    AttackCase(16, "take back no_new_privs, keep capabilities", "EPERM", "return all_met([(call, (157, 167), option, 1, 0, 0, 0) for option in (38, 8, 28, 47, 24)])"),
    AttackCase(16, "another filter in place of this", "EPERM", "return all_met([(call, (157, 167), 22, 0, 0, 0, 0), (call, (317, 277), 0, 0, 0)])"),
    AttackCase(17, "execv", "EPERM", "return met(os.execv, '/bin/sh', ['sh', '-c', 'exit 0'])"),
    AttackCase(17, "execv of Python", "EPERM", "return met(os.execv, sys.executable or '/usr/bin/python3', ['python'])"),
    AttackCase(17, "a program of one's own", here("EPERM"), "def act():\n    open('program', 'w').write('#!/bin/sh\\n')\n    os.execv('program', ['program'])\nreturn met(act)"),
    AttackCase(17, "execveat", "EPERM", "return met(call, (322, 281), 0, b'', None, None, 0x1000)"),
    AttackCase(17, "subprocess", "EPERM", "return met(subprocess.run, ['/bin/true'])"),
    AttackCase(17, "posix_spawn", "EPERM", "return met(os.posix_spawn, '/bin/true', ['true'], {})"),
    AttackCase(17, "os.system", "NOTHING", "return NOTHING if os.system('exit 0') != 0 else THROUGH"),
    AttackCase(17, "a program in memory", "EPERM", "return all_met([(os.memfd_create, 'x'), (call, (319, 279), b'x', 0)])"),
    AttackCase(17, "an alternative loader", by_tier("EPERM", "EPERM", "EPERM", "EPERM"), "return met(os.execv, '/lib64/ld-linux-x86-64.so.2', ['ld', '/bin/true'])"),
    AttackCase(18, "fork", "EPERM", "return met(os.fork)"),
    AttackCase(18, "the raw calls", "EPERM", "return all_met([(call, number) for number in (57, 58)])", machine="x86_64"),
    AttackCase(18, "clone", "EPERM", "return all_met([(call, (56, 220), flags, 0, 0, 0, 0) for flags in (17, 0, 0x100 | 17, 0x4100 | 17, 0x900 | 17, 0x8000 | 17)])"),
    AttackCase(18, "clone3", "ENOSYS", "return met(call, 435, struct.pack('8Q', 0, 0, 0, 0, 17, 0, 0, 0), 64)"),
    AttackCase(18, "a daemon", "EPERM", "def act():\n    if os.fork() == 0:\n        os.setsid()\n        os.fork()\n        time.sleep(60)\nreturn met(act)"),
    AttackCase(18, "multiprocessing", dict.fromkeys(FILES, "EPERM"), "import multiprocessing\nprocess = multiprocessing.get_context('fork').Process(target=print)\nreturn met(process.start)"),
    AttackCase(18, "a pool of processes", by_tier("ENOENT or EPERM", "EACCES or EPERM", "ENOENT or EPERM", ""), "def act():\n    with concurrent.futures.ProcessPoolExecutor(2) as pool:\n        list(pool.map(abs, [1]))\nreturn met(act)"),
    AttackCase(19, "threads without end", "NOTHING or memory or memory threads", """
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
return THROUGH""", timeout_s=20, small_limits=True),
    AttackCase(19, "threads without end, with small stacks, at the default limits", by_tier("NOTHING", "NOTHING or THROUGH", "NOTHING", "NOTHING or THROUGH"), """
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
    AttackCase(20, "one allocation", "memory MemoryError", "return float(len(bytearray(1 << 34)))"),
    AttackCase(20, "a growing list", "memory MemoryError", "held = []\nwhile True:\n    held.append(bytearray(1 << 24))"),
    AttackCase(20, "a text", "memory MemoryError", "return float(len('x' * (1 << 40)))"),
    AttackCase(20, "mapped", "ENOMEM", "return met(mmap.mmap, -1, 1 << 34)"),
    AttackCase(20, "mapped without reserve", "ENOMEM", "return met(lambda: mmap.mmap(-1, 1 << 34, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x4000))"),
    AttackCase(20, "many mappings", "ENOMEM", "held = []\ndef act():\n    while len(held) < 2000:\n        held.append(mmap.mmap(-1, 1 << 24))\nreturn met(act)"),
    AttackCase(20, "shared mappings", "ENOMEM", "held = []\ndef act():\n    while len(held) < 2000:\n        held.append(mmap.mmap(-1, 1 << 24, flags=mmap.MAP_SHARED | mmap.MAP_ANONYMOUS))\nreturn met(act)"),
    AttackCase(20, "a mapping that grows", "ENOMEM", "block = mmap.mmap(-1, 1 << 20)\nreturn met(block.resize, 1 << 34)"),
    AttackCase(20, "the heap's end", "ENOMEM or NOTHING", "before = libc.sbrk(0)\nreturn NOTHING if libc.sbrk(ctypes.c_long(1 << 32)) == -1 else THROUGH"),
    AttackCase(21, "/dev/shm", HIDDEN, "return met(open, '/dev/shm/graders-attack', 'w')"),
    AttackCase(21, "POSIX shared memory", HIDDEN, "return met(lambda: None if libc.shm_open(b'/graders-attack', os.O_CREAT | os.O_RDWR, 0o600) >= 0 else (_ for _ in ()).throw(OSError(ctypes.get_errno(), '')))"),
    AttackCase(21, "memory files", "EPERM", "return met(os.memfd_create, 'x')"),
    *raw(21, {"shmget": (29, 194), "shmat": (30, 196), "semget": (64, 190), "msgget": (68, 186), "mq_open": (240, 180)}),
    AttackCase(25, "a table of descriptors for one thread", "EPERM", "return all_met([(call, 436, 100, 101, 2), (call, 436, 100, 101, 6), (call, (272, 97), 0x400)])"),
    AttackCase(25, "threads with tables of their own", "EPERM", "return all_met([(call, (56, 220), flags, 0, 0, 0, 0) for flags in (0x10900, 0x10b00, 0x10d00)])"),
    AttackCase(25, "descriptors without end", "EMFILE", "def act():\n    while True:\n        os.dup(0)\nreturn met(act)"),
    AttackCase(25, "pipes without end", "EMFILE", "def act():\n    while True:\n        os.pipe()\nreturn met(act)"),
    AttackCase(25, "larger pipes", "EPERM", "return all_met([(fcntl.fcntl, fd, 1031, 1 << 20) for fd in (3, os.pipe()[0])])"),
    AttackCase(25, "leases and notices on files", "EPERM", "return all_met([(fcntl.fcntl, 0, command, 0) for command in (1024, 1025, 1026)])"),
    AttackCase(26, "print", "value 1", "for _ in range(2000):\n    print('x' * 10_000)\n    print('x' * 10_000, file=sys.stderr)\nreturn 1.0"),
    AttackCase(26, "the descriptors", "value 1", "for _ in range(100):\n    os.write(1, b'x' * (1 << 20))\n    os.write(2, b'x' * (1 << 20))\nreturn 1.0"),
    AttackCase(27, "an endless loop", "timeout wall", "while True:\n    pass", timeout_s=0.3),
    AttackCase(27, "a regular expression", "timeout wall", "return float(bool(re.match('(a+)+$', 'a' * 64 + 'b')))", timeout_s=0.3),
    AttackCase(27, "arithmetic", "timeout wall", "return float(7 ** 7 ** 9)", timeout_s=0.3),
    AttackCase(27, "sleep", "timeout wall", "time.sleep(3600)", timeout_s=0.3),
    AttackCase(27, "waiting for oneself", "timeout wall", "lock = threading.Lock()\nlock.acquire()\nlock.acquire()", timeout_s=0.3),
    AttackCase(27, "reading from an empty pipe", "timeout wall", "os.read(os.pipe()[0], 1)", timeout_s=0.3),
    AttackCase(27, "endless handlers of exceptions", "timeout wall", "while True:\n    try:\n        while True:\n            time.sleep(0.01)\n    except BaseException:\n        pass", timeout_s=0.3),
    AttackCase(27, "processor time", "timeout cpu", "while True:\n    pass", small_limits=True),
    AttackCase(27, "processor time of many threads", "timeout cpu", "def spin():\n    while True:\n        pass\nfor _ in range(4):\n    threading.Thread(target=spin).start()\nspin()", costly=True, small_limits=True),
    AttackCase(28, "all signals ignored", "timeout wall", "for number in signal.valid_signals():\n    try:\n        signal.signal(number, signal.SIG_IGN)\n    except (OSError, ValueError):\n        pass\ntime.sleep(3600)", timeout_s=0.3),
    AttackCase(28, "all signals blocked", "timeout wall", "signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())\ntime.sleep(3600)", timeout_s=0.3),
    AttackCase(28, "processor time with signals ignored", "timeout cpu", "signal.signal(signal.SIGXCPU, signal.SIG_IGN)\nwhile True:\n    pass", costly=True, small_limits=True),
    AttackCase(28, "stopping oneself", "timeout wall", "os.kill(os.getpid(), signal.SIGSTOP)\nreturn 1.0", timeout_s=0.3),
    AttackCase(29, "an endless thread", "value 1", "threading.Thread(target=time.sleep, args=(3600,)).start()\nreturn 1.0"),
    AttackCase(29, "a hook at exit", "value 1", "atexit.register(time.sleep, 3600)\nreturn 1.0"),
    AttackCase(29, "a destructor", "value 1", "class Late:\n    def __del__(self):\n        time.sleep(3600)\nsys.kept = Late()\nreturn 1.0"),
    AttackCase(30, "a session or group of its own", "EPERM", "return all_met([(os.setsid,), (os.setpgid, 0, 0)])"),
    AttackCase(30, "prctl", "EPERM", "return all_met([(call, (157, 167), option, 0, 0, 0, 0) for option in (1, 4, 36, 0x59616d61, 35, 23, 27, 29, 59, 62)])"),
    AttackCase(31, "the parent", "EPERM", "return all_met([(os.kill, os.getppid(), number) for number in (0, 9, 15, 19, 10, 64)])"),
    AttackCase(31, "groups and everybody", "EPERM", "return all_met([(os.kill, pid, 9) for pid in (0, -1, -os.getppid(), -os.getpgid(0) or -1)])"),
    AttackCase(31, "process 1, the host, another process", "EPERM", "return all_met([(os.kill, pid, 9) for pid in (1, item['host'], item['victim'])])"),
    AttackCase(31, "its own number in 64 bits", "EPERM or ESRCH or NOTHING", "call((62, 129), os.getpid() | 1 << 32, 0)\nreturn NOTHING"),
    AttackCase(31, "threads of others", "EPERM", "return all_met([(call, (200, 130), pid, 9) for pid in (os.getppid(), item['victim'])] + [(call, (234, 131), pid, pid, 9) for pid in (os.getppid(), item['victim'], -1)])"),
    AttackCase(31, "queued signals", "EPERM", "return all_met([(call, (129, 138), os.getppid(), 9, bytes(128)), (call, (297, 240), os.getppid(), os.getppid(), 9, bytes(128))])"),
    AttackCase(31, "process descriptors", "EPERM", "return all_met([(os.pidfd_open, os.getppid()), (call, 424, 0, 9, None, 0)])"),
    AttackCase(32, "F_SETOWN", "EPERM", "a, b = socket.socketpair()\nreturn all_met([(fcntl.fcntl, a.fileno(), command, os.getppid()) for command in (8, 10)])"),
    AttackCase(32, "F_SETOWN_EX", "EPERM", "a, b = socket.socketpair()\nreturn met(call, (72, 25), a.fileno(), 15, struct.pack('ii', 1, os.getppid()))"),
    AttackCase(32, "by ioctl", "EPERM", "a, b = socket.socketpair()\nreturn all_met([(fcntl.ioctl, a.fileno(), request, struct.pack('i', os.getppid())) for request in (0x8901, 0x8902, 0x5452)])"),
    AttackCase(33, "of the parent", "EPERM", "return all_met([(call, (302, 261), os.getppid(), 7, None, ctypes.create_string_buffer(16)), (call, (302, 261), os.getppid(), 0, struct.pack('QQ', 0, 0), None)])"),
    AttackCase(33, "of other processes", "EPERM", "return all_met([(call, (302, 261), pid, 7, struct.pack('QQ', 0, 0), None) for pid in (1, item['host'], item['victim'])])"),
    AttackCase(34, "priorities", "EPERM", "return all_met([(os.setpriority, os.PRIO_PROCESS, 0, 19), (os.setpriority, os.PRIO_PROCESS, os.getppid(), 19), (os.setpriority, os.PRIO_USER, 0, 19), (os.nice, 19)])"),
    AttackCase(34, "processors", "EPERM", "return all_met([(os.sched_setaffinity, pid, [0]) for pid in (0, os.getppid(), item['victim'])])"),
    AttackCase(34, "schedulers", "EPERM", "return all_met([(os.sched_setscheduler, 0, os.SCHED_IDLE, os.sched_param(0)), (call, (314, 274), 0, bytes(48), 0), (call, (251, 30), 1, 0, 0), (os.sched_setparam, 0, os.sched_param(0))])"),
    AttackCase(35, "ptrace", "EPERM", "return all_met([(call, (101, 117), request, os.getppid(), 0, 0) for request in (16, 0x4206, 0)])"),
    AttackCase(35, "memory of the parent", "EPERM", "local = struct.pack('QQ', ctypes.addressof(ctypes.create_string_buffer(8)), 8)\nreturn all_met([(call, number, os.getppid(), local, 1, local, 1, 0) for number in ((310, 270), (311, 271))])"),
    *raw(35, {"kcmp": (312, 272), "pidfd_getfd": 438, "process_madvise": 440}),
    AttackCase(36, "memory, processor time, file size, descriptors, core", "EPERM", "return all_met([(call, (302, 261), 0, which, struct.pack('QQ', 1 << 50, 1 << 50), None) for which in (9, 0, 1, 7, 4)])"),
    AttackCase(36, "by the older call", "EPERM", "return all_met([(call, (160, 164), which, struct.pack('QQ', 1 << 50, 1 << 50)) for which in (9, 0, 1, 7, 4)])"),
    *raw(37, RARE),
    AttackCase(37, "numbers that nobody has", "EPERM", "return all_met([(call, number) for number in (470, 500, 511, 600, 999, 1023, 1024, 4096)])"),
    AttackCase(38, "32-bit calls", "crash SIGSYS or crash SIGSEGV", "return float(run_code(0xB8, 20, 0, 0, 0, 0xCD, 0x80, 0xC3))", machine="x86_64"),
    AttackCase(38, "32-bit open", "crash SIGSYS or crash SIGSEGV", "return float(run_code(0xB8, 5, 0, 0, 0, 0x31, 0xDB, 0xCD, 0x80, 0xC3))", machine="x86_64"),
    AttackCase(38, "x32 numbers", "ENOSYS", "return all_met([(call, 0x40000000 | number) for number in (39, 41, 56, 59, 520, 0x3fffffff)])", machine="x86_64"),
    AttackCase(38, "a number below zero", "ENOSYS or EPERM", "return met(call, -1)"),
    AttackCase(38, "raw 64-bit calls by own code", "value 1", """
# socket(2, 1, 0). mov eax, 41; mov edi, 2; mov esi, 1; xor edx, edx; syscall; ret
code = (0xB8, 41, 0, 0, 0, 0xBF, 2, 0, 0, 0, 0xBE, 1, 0, 0, 0, 0x31, 0xD2, 0x0F, 0x05, 0xC3)
if not X86:  # mov x0, 2; mov x1, 1; mov x2, 0; mov x8, 198; svc 0; ret
    code = struct.pack('<6I', 0xD2800040, 0xD2800021, 0xD2800002, 0xD2800008 | 198 << 5, 0xD4000001, 0xD65F03C0)
got = run_code(*code)
return float(got == -errno.EPERM)"""),
    *raw(65, {
        "cachestat": 451, "futex_wake": 454, "futex_wait": 455, "futex_requeue": 456, "lsm_get_self_attr": 459, "lsm_list_modules": 461,
        "setxattrat": 463, "getxattrat": 464, "listxattrat": 465, "removexattrat": 466, "open_tree_attr": 467, "file_getattr": 468, "file_setattr": 469,
    }),
    AttackCase(65, "numbers between the tables", "EPERM", "return all_met([(call, number) for number in range(340, 424)])", machine="x86_64"),
    AttackCase(64, "socket pairs without end", "EMFILE", "held = []\ndef act():\n    while True:\n        held.append(socket.socketpair())\nreturn met(act)"),
    AttackCase(64, "epolls without end", "EMFILE", "held = []\ndef act():\n    while True:\n        held.append(select.epoll())\nreturn met(act)"),
    AttackCase(64, "counters without end", "EMFILE or EPERM", "def act():\n    while True:\n        os.eventfd(0)\nreturn met(act)"),
    AttackCase(64, "timers with descriptors", "EPERM", "return met(call, (283, 85), 1, 0)"),
    AttackCase(64, "full pipes", "EMFILE", "def act():\n    while True:\n        _, end = os.pipe2(os.O_NONBLOCK)\n        try:\n            while True:\n                os.write(end, b'x' * 65536)\n        except BlockingIOError:\n            pass\nreturn met(act)"),
    AttackCase(64, "locks in memory", "ENOMEM or EPERM or EAGAIN or NOTHING", "block = mmap.mmap(-1, 1 << 26)\nif libc.mlock(ctypes.c_void_p(ctypes.addressof(ctypes.c_char.from_buffer(block))), ctypes.c_size_t(1 << 26)) == -1:\n    return number(ctypes.get_errno())\nreturn THROUGH"),
    AttackCase(64, "pages that are locked for ever", "EPERM", "return all_met([(call, (151, 230), 3), (call, (325, 284), 0, 4096, 1)])"),
    AttackCase(39, "typing into a terminal", "EPERM", "return all_met([(fcntl.ioctl, 0, request, b'x') for request in (0x5412, 0x541c, 0x540e, 0x5422)])"),
    AttackCase(39, "devices", HIDDEN, "return all_met([(open, '/dev/' + name) for name in ('tty', 'ptmx')])"),
    *(AttackCase(39, f"/dev/{name}", MAYBE, f"return met(open, '/dev/{name}', 'rb')") for name in ("kmsg", "mem", "console", "kvm", "fuse", "net/tun")),
]  # fmt: skip
