"""Values of the sandbox's interface: limits, jobs and outcomes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

#: Tiers, the strongest first. "unsandboxed" is not one of them, since it has to be requested.
TIERS = ("linux-full", "linux-landlock", "linux-ns", "linux-strict")
#: A tier of another kind, neither stronger nor weaker: a separate interpreter, on every system (extra `[wasm]`). It is
#: used where no Linux tier works, or on request.
WASM = "wasm"

Status = Literal[
    "value",
    "grader_error",
    "bad_return",
    "timeout",
    "memory",
    "disk",
    "crash",
    "no_result",
    "protocol",
    "infrastructure",
]


class SandboxUnavailable(RuntimeError):
    """Raised when no tier of the required strength works here; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one sample. The defaults are the hosted service's, where known.

    Attributes:
        source_bytes: Size of the program (hosted: 256 kB).
        wall_s: Seconds from the fork to the result (hosted: 2 min).
        cpu_s: Processor seconds of the sample's process.
        memory_bytes: Address space beyond the preloaded template (hosted: 2 GB).
        disk_bytes: All files in the sample's own folder together (hosted: 1 GB).
        inodes: Files and folders in its folder.
        descriptors: Open descriptors.
        threads: Threads of the sample's user inside the sandbox; only where namespaces give it its own user.
        payload_bytes: Size of sample and item as JSON.
    """

    source_bytes: int = 256 * 1024
    wall_s: float = 120.0
    cpu_s: float = 120.0
    memory_bytes: int = 2 * 1024**3
    disk_bytes: int = 1024**3
    inodes: int = 10_000
    descriptors: int = 128
    threads: int = 64
    payload_bytes: int = 256 * 1024**2


@dataclass(frozen=True, slots=True)
class Job:
    """One sample.

    Attributes:
        source: A module that defines grade(sample, item).
        sample, item: JSON values.
        key: Seeds the sample's randomness together with the run's seed: same key, same stream.
        timeout_s: A shorter wall time than the limits'.
    """

    source: str
    sample: Any
    item: Any
    key: str = ""
    timeout_s: float | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of one sample.

    Attributes:
        status: "value"; or caused by the program: "grader_error" (it raised), "bad_return" (not a finite number),
            "timeout", "memory", "disk", "crash" (a signal), "no_result" (it exited without one), "protocol" (it wrote
            an invalid result); or caused by us: "infrastructure", after the retries.
        value: A finite float; None unless status is "value".
        tier: The tier that it ran in; "" when nothing ran.
        stage: Stage of a grader_error: "compile", "import" (the module's top level), "grade" or "payload".
        error_type: The exception's class, or the signal's name.
        text: A traceback or an explanation, control characters escaped, at most 4 kB.
        wall_s, cpu_s: Seconds from the fork on.
        attempts: Number of attempts; above 1 after infrastructure failures.
        samples_per_process: 1; more when it shared its process with others, as the caller allowed.
        printed: The first 8 kB of the program's output, control characters escaped; also of a killed program. Without
            output of C libraries and of code in `run_untrusted`.
    """

    status: Status
    value: float | None = None
    tier: str = ""
    stage: str = ""
    error_type: str = ""
    text: str = ""
    wall_s: float = 0.0
    cpu_s: float = 0.0
    attempts: int = 1
    samples_per_process: int = 1
    printed: str = ""

    @property
    def ok(self) -> bool:
        return self.status == "value"

    @property
    def held_by(self) -> str:
        """The tier, with a note if the process was shared."""
        shared = (
            f", {self.samples_per_process} samples in one process" if self.samples_per_process > 1 else ""
        )
        return self.tier + shared
