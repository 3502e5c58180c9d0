"""The rows of the threat matrix, and the form of an attack on a row.

An attack's body is the body of a function of `item` (`AttackTargets.item`) that runs inside a sample. It returns the
number of the error that it met, THROUGH if it succeeded, NOTHING if there was nothing to find, or UNCHANGED if a call
reported success and changed nothing; `reason` names outcomes. An attack that fails for another reason than the expected
one, such as a NameError, counts as not held.
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
    60: "numbers and names that a folder keeps",
    61: "what a process keeps",
    62: "what the interpreter keeps",
    63: "who is at the other end of a socket",
    64: "memory of the kernel's",
    65: "calls that came with newer kernels",
    66: "output that looks like a result",
    67: "answers of a model's code that are not plain",
}


@dataclass(frozen=True, slots=True)
class AttackCase:
    """An attack with one sample.

    Attributes:
        row: A key of ROWS.
        name: The attempted access.
        expect: The expected reason, with "or" between alternatives; by tier where tiers differ. The attack is not made
            in a tier that is missing here.
        body: The code that runs inside; see above.
        timeout_s: The sample's wall time.
        source: A whole program in place of a body.
        item: The sample's item in place of that of the targets.
        known: Tiers in which it is known to succeed; the README states the consequence.
        machine: The only machine type on which it is made, "" for all.
        default_limits: Whether it is made under the default limits and not the small ones; slow.
        small_limits: Whether it fills small limits; under the default ones another attack of its row takes its place.
        costly: Whether it takes a second of processor time, and so is one of the slow ones.
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
    small_limits: bool = False
    costly: bool = False

    @property
    def title(self) -> str:
        return f"{self.row}: {self.name}"

    def expected(self, tier: str) -> tuple[str, ...]:
        """The reasons that count as held; empty where the attack cannot be made."""
        text = self.expect if isinstance(self.expect, str) else self.expect.get(tier, "")
        return tuple(text.split(" or ")) if text else ()


def by_tier(full: str, landlock: str, ns: str, strict: str) -> dict[str, str]:
    return {FULL: full, LANDLOCK: landlock, NS: ns, STRICT: strict}


NO_SOCKET = "EPERM"
#: Of files that are not mounted, not granted, or not reachable by any path.
HIDDEN = by_tier("ENOENT", "EACCES", "ENOENT", "EPERM")
#: Of files that some machines lack.
MAYBE = by_tier("ENOENT", "EACCES or ENOENT", "ENOENT", "EPERM")
#: Of files that may be read and not changed. An ordinary user meets the file's mode before the mount's.
READ_ONLY = by_tier("EROFS or EACCES", "EACCES", "EROFS or EACCES", "EPERM")
FILES = (FULL, LANDLOCK, NS)


def here(reason: str | dict[str, str], strict: str = "EPERM") -> dict[str, str]:
    """For attempts in the own folder, which the strict tier does not have."""
    if isinstance(reason, str):
        reason = dict.fromkeys(FILES, reason)
    return {**reason, STRICT: strict}


def raw(row: int, calls: dict[str, object], expect: str = "EPERM") -> list[AttackCase]:
    """System calls with arguments of 0: `name: number` or `name: (on x86_64, on aarch64)`."""
    return [
        AttackCase(
            row,
            name,
            expect,
            f"return met(call, {numbers!r}, 0, 0, 0, 0, 0, 0)",
            machine="x86_64" if isinstance(numbers, tuple) and numbers[1] is None else "",
        )
        for name, numbers in calls.items()
    ]
