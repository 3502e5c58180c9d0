"""The seccomp programs, run by an interpreter of our own: so those of the other architecture are checked as well."""

from __future__ import annotations

import errno
import re
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from graders_sandbox.linux import seccomp
from graders_sandbox.linux import sys as kernel

ALLOW, KILL, DONE = "allow", "kill", "success, and nothing done"
PID = 4242
MACHINES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
#: Where the kernel publishes the numbers: Debian's linux-libc-dev. aarch64 uses the generic table.
HEADERS = {
    "x86_64": ("/usr/include/x86_64-linux-gnu/asm/unistd_64.h", "/usr/include/asm/unistd_64.h"),
    "aarch64": ("/usr/include/asm-generic/unistd.h",),
}
#: Names by which the generic header calls what has one name everywhere else.
RENAMED = "fstat fcntl statfs fstatfs truncate ftruncate lseek sendfile mmap fadvise64"
GENERIC = {"newfstatat": "3264_fstatat", **{name: f"3264_{name}" for name in RENAMED.split()}}
#: Instructions of classic BPF (linux/bpf_common.h), the only ones that the programs have.
LOAD, AND, RETURN = 0x20, 0x54, 0x06
JUMPS: dict[int, Callable[[int, int], bool]] = {
    0x15: lambda accumulator, k: accumulator == k,
    0x35: lambda accumulator, k: accumulator >= k,
    0x45: lambda accumulator, k: bool(accumulator & k),
}


def run(program: bytes, number: int, arguments: tuple[int, ...] = (), arch: int = 0) -> str:
    """What a filter answers to a call: "allow", "kill" or the name of an errno.

    A classic BPF program of the seven instructions that ours are made of, over struct seccomp_data.
    """
    data = struct.pack(
        "=IIQ6Q", number & 0xFFFFFFFF, arch, 0, *(a & (1 << 64) - 1 for a in (*arguments, *[0] * 6)[:6])
    )
    instructions = [struct.unpack_from("=HBBI", program, at) for at in range(0, len(program), 8)]
    at = accumulator = 0
    while True:
        # an IndexError would be a jump out of the program, which the kernel refuses
        code, yes, no, k = instructions[at]
        at += 1
        if code == LOAD:
            assert k % 4 == 0
            assert k < len(data)
            (accumulator,) = struct.unpack_from("=I", data, k)
        elif code == AND:
            accumulator &= k
        elif code in JUMPS:
            met = JUMPS[code](accumulator, k)
            at += yes if met else no
        elif code == RETURN:
            action = k & 0xFFFF0000
            if action == 0x00050000:
                return errno.errorcode[k & 0xFFFF] if k & 0xFFFF else DONE
            return {0x7FFF0000: ALLOW, 0x80000000: KILL}[action]
        else:
            raise AssertionError(f"instruction {code:#x}")


class Filters:
    """Server's and sample's filters of one machine: a call passes when both let it."""

    def __init__(self, machine: str, monkeypatch: pytest.MonkeyPatch, **options: Any) -> None:
        self.numbers = kernel.TABLES[machine]
        self.arch = MACHINES[machine]
        monkeypatch.setattr(seccomp, "NR", self.numbers)
        monkeypatch.setattr(seccomp, "MACHINE", machine)
        monkeypatch.setattr(seccomp, "AUDIT_ARCH", self.arch)
        sample = seccomp.SampleFilter(reserved_exit=70, **options)
        sample.pid.value = PID
        self.server, self.sample = seccomp.server_filter(), bytes(sample._words)

    def __call__(self, call: str | int, *arguments: int, arch: int | None = None) -> str:
        number = self.numbers[call] if isinstance(call, str) else call
        arch = self.arch if arch is None else arch
        server = run(self.server, number, arguments, arch)
        return server if server != ALLOW else run(self.sample, number, arguments, arch)


@pytest.fixture(params=MACHINES)
def machine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


# the flags with which pthread_create calls clone
THREAD = 0x3D0F00
EPERM = "EPERM"
CASES = [
    # call, arguments, answer
    pytest.param("read", (0, 0, 0), ALLOW, id="read"),
    pytest.param("openat", (0, 0, 0o2000000), ALLOW, id="open to read"),
    pytest.param("openat", (0, 0, 0o1102), ALLOW, id="open to write"),
    pytest.param("clone", (THREAD,), ALLOW, id="a thread"),
    pytest.param("clone", (17,), EPERM, id="a process"),
    pytest.param("clone", (THREAD | 0x10000000,), EPERM, id="a thread in a user namespace"),
    pytest.param("clone", (THREAD | 0x80,), EPERM, id="a thread in a time namespace"),
    pytest.param("clone", (THREAD & ~0x400,), EPERM, id="a thread with descriptors of its own"),
    pytest.param("clone", (THREAD & ~0x100,), EPERM, id="a thread with memory of its own"),
    pytest.param("clone", (0,), EPERM, id="clone of nothing"),
    pytest.param("clone3", (0, 64), "ENOSYS", id="clone3"),
    pytest.param("kill", (PID, 15), ALLOW, id="itself"),
    *(
        pytest.param(call, (*who, number), EPERM, id=f"M6 {call} as the kernel does, signal {number}")
        for call, who in (("kill", (PID,)), ("tgkill", (PID, PID)))
        for number in (9, 24, 25, 9 + (1 << 32))
    ),
    pytest.param("kill", (PID + 1, 9), EPERM, id="another"),
    pytest.param("kill", (0, 9), EPERM, id="its group"),
    pytest.param("kill", (-1, 9), EPERM, id="everybody"),
    pytest.param("kill", (-PID, 9), EPERM, id="a group by its number"),
    pytest.param("tgkill", (PID, 1, 10), ALLOW, id="a thread of its own"),
    pytest.param("tgkill", (PID + 1, 1, 9), EPERM, id="a thread of another"),
    pytest.param("tkill", (PID, 9), EPERM, id="tkill"),
    pytest.param("prlimit64", (0, 7, 0, 1), ALLOW, id="its limits"),
    pytest.param("prlimit64", (PID, 7, 1, 0), ALLOW, id="its limits by number"),
    pytest.param("prlimit64", (PID + 1, 7, 1, 0), EPERM, id="limits of another"),
    pytest.param("prlimit64", (0, 0, 0, 4096), ALLOW, id="its limit of processor time, to read it"),
    pytest.param("prlimit64", (0, 0, 4096, 0), EPERM, id="M6 its limit of processor time, to lower it"),
    pytest.param("prlimit64", (PID, 0, 1 << 40, 0), EPERM, id="the same, from an address whose low half is 0"),
    pytest.param("setrlimit", (0, 4096), EPERM, id="the same by the older call"),
    pytest.param("setrlimit", (9, 4096), ALLOW, id="its limit of memory by the older call"),
    pytest.param("prctl", (15,), ALLOW, id="the name of a thread"),
    *(pytest.param("prctl", (option,), EPERM, id=f"prctl {option}") for option in (1, 4, 8, 22, 24, 28, 36, 38, 47, 0x53564D41)),
    pytest.param("socketpair", (1, 1, 0), ALLOW, id="a stream pair"),
    pytest.param("socketpair", (1, 0o2004001, 0), ALLOW, id="a stream pair with flags"),
    pytest.param("socketpair", (1, 2, 0), EPERM, id="a datagram pair"),
    pytest.param("socketpair", (1, 0o2000002, 0), EPERM, id="a datagram pair with flags"),
    pytest.param("socketpair", (1, 5, 0), EPERM, id="a packet pair"),
    pytest.param("socketpair", (2, 1, 0), EPERM, id="an internet pair"),
    pytest.param("socket", (2, 1, 0), EPERM, id="a socket"),
    *(pytest.param("fcntl", (3, command), ALLOW, id=f"fcntl {command}") for command in (0, 1, 2, 3, 4, 1030)),
    *(pytest.param("fcntl", (3, command), EPERM, id=f"fcntl {command}") for command in (8, 10, 15, 1024, 1026, 1031)),
    pytest.param("ioctl", (1, 0x5401), ALLOW, id="is it a terminal"),
    *(pytest.param("ioctl", (1, request), EPERM, id=f"ioctl {request:#x}") for request in (0x5412, 0x8901, 0x5452, 0x40086602, 0x541C, 0x125D)),
    pytest.param("close_range", (3, 9, 0), ALLOW, id="closing"),
    pytest.param("close_range", (3, 9, 2), EPERM, id="unsharing descriptors"),
    pytest.param("exit_group", (0,), ALLOW, id="leaving"),
    pytest.param("exit_group", (70,), KILL, id="leaving as if unjailed"),
    pytest.param("exit_group", (70 + 256,), KILL, id="the same, with more bits"),
    pytest.param("exit", (70,), KILL, id="the same, by the last thread"),
    *(
        pytest.param(call, (), EPERM, id=call)
        for call in (
            "execve", "execveat", "mount", "umount2", "pivot_root", "unshare", "setns", "mount_setattr", "capset", "memfd_create",
            "pidfd_open", "pidfd_send_signal", "chroot", "io_uring_setup", "splice", "tee", "seccomp", "landlock_create_ruleset",
            "landlock_add_rule", "landlock_restrict_self", "sendmsg",
        )
    ),
]  # fmt: skip


@pytest.mark.parametrize(("call", "arguments", "answer"), CASES)
def test_each_call_has_its_answer(
    call: str, arguments: tuple[int, ...], answer: str, machine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each call has its answer on both architectures."""
    filters = Filters(machine, monkeypatch)

    assert filters(call, *arguments) == answer


def test_unnamed_numbers_are_refused(machine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every number that is not in the table is refused: those that the kernel may get later, too."""
    filters = Filters(machine, monkeypatch)
    known = set(filters.numbers.values())

    answers = {number: filters(number) for number in range(1100) if number not in known}

    assert set(answers.values()) == {EPERM}


def test_calls_of_other_architectures_are_killed(machine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls of another architecture kill; on x86_64 those of x32 do not exist."""
    filters = Filters(machine, monkeypatch)

    foreign = [
        0x40000003,
        0x40000028,
        0xC0000015,
        *(arch for name, arch in MACHINES.items() if name != machine),
    ]
    assert {filters("read", arch=arch) for arch in foreign} == {KILL}
    if machine == "x86_64":
        assert {filters(0x40000000 | number) for number in (0, 41, 59, 520, 0x3FFFFFFF)} == {"ENOSYS"}


def test_the_strict_tier_refuses_paths(machine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a file tree and without Landlock no call may name a file; descriptors still work."""
    filters = Filters(machine, monkeypatch, paths="refused", own_root=False)
    by_path = """
        open openat creat stat lstat newfstatat statx access faccessat faccessat2 readlink readlinkat rename renameat
        renameat2 mkdir mkdirat rmdir link linkat unlink unlinkat symlink symlinkat chmod fchmod fchmodat chdir truncate
        utime utimes utimensat statfs
    """

    assert {filters(call) for call in by_path.split() if call in filters.numbers} == {EPERM}
    assert {filters(call) for call in ("read", "write", "fstat", "lseek", "mmap", "ftruncate")} == {ALLOW}


def test_a_path_ends_a_child_without_files(machine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """H6: its score would not be that of tiers that give it files. What libc makes of fstat is refused and no end."""
    filters = Filters(machine, monkeypatch, paths="fatal", own_root=False)

    assert {filters(call) for call in ("openat", "mkdirat", "newfstatat", "unlinkat")} == {KILL}
    assert filters("newfstatat", 3, 0, 0, 0x1000) == filters("statx", 3, 0, 0x1000) == EPERM
    assert {filters(call) for call in ("read", "write", "fstat")} == {ALLOW}


def test_the_container_tier_refuses_calls_that_landlock_allows(
    machine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Modes, times, lengths by path, and truncation by opening to read: no right of Landlock's first versions holds them."""
    filters = Filters(machine, monkeypatch, own_root=False)

    attributes = ["chmod", "fchmod", "fchmodat", "utime", "utimes", "utimensat", "futimesat"]
    assert {filters(call) for call in attributes if call in filters.numbers} == {DONE}
    assert filters("truncate") == EPERM
    assert filters("openat", 0, 0, 0o1000) == EPERM
    assert filters("openat", 0, 0, 0o1001) == ALLOW


def test_every_path_ends_in_an_answer(machine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every call with every single bit of every checked argument is answered by an instruction of the program."""
    filters = Filters(machine, monkeypatch, own_root=False)

    checked = {*seccomp._CHECKED, "open", "openat", "exit", "exit_group"} & filters.numbers.keys()
    for number in (filters.numbers[call] for call in checked):
        for index in range(3):
            for bit in range(32):
                assert filters(number, *([0] * index), 1 << bit)


@pytest.mark.parametrize("machine", MACHINES)
def test_numbers_are_the_kernels(machine: str) -> None:
    """Our table against the headers that the kernel publishes."""
    header = next((Path(path) for path in HEADERS[machine] if Path(path).exists()), None)
    if header is None:
        pytest.skip("the kernel's headers are not here (Debian: linux-libc-dev)")
    text = header.read_text()
    published = {
        name: int(number) for name, number in re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)", text)
    }
    published |= {
        f"3264_{name}": int(number) for name, number in re.findall(r"#define __NR3264_(\w+)\s+(\d+)", text)
    }

    wrong = {}
    for name, number in kernel.TABLES[machine].items():
        found = published.get(GENERIC.get(name, name)) if machine == "aarch64" else published.get(name)
        if found is None and number > 440:
            # the call is newer than these headers
            continue
        if found != number:
            wrong[name] = (number, found)
    assert wrong == {}
    assert len(set(kernel.TABLES[machine].values())) == len(kernel.TABLES[machine])


def test_attack_numbers_are_the_kernels() -> None:
    """The numbers that the attack suite uses for rare calls, likewise."""
    from graders_sandbox.host.attacks.processes import RARE

    for at, machine in enumerate(MACHINES):
        header = next((Path(path) for path in HEADERS[machine] if Path(path).exists()), None)
        if header is None:
            pytest.skip("the kernel's headers are not here (Debian: linux-libc-dev)")
        published = {
            n: int(v) for n, v in re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)", header.read_text())
        }
        for name, numbers in RARE.items():
            number = numbers[at] if isinstance(numbers, tuple) else numbers
            if number is not None and name in published:
                assert published[name] == number, (machine, name)
