"""What goes in and what comes out, as values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

#: Strongest first. "unsandboxed" is not one of them: it must be asked for.
TIERS = ("linux-full", "linux-landlock", "linux-ns", "linux-strict")
#: Another kind of wall, neither stronger nor weaker: an interpreter of its own, on every system (extra `[wasm]`). It is taken
#: where no Linux tier works, or when it is asked for.
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
    """No tier, or none as strong as required, works here; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one sample may use. The defaults mirror the hosted service where it says.

    Attributes:
        source_bytes: Of the program (hosted: 256 kB).
        wall_s: From the fork to the result (hosted: 2 min).
        cpu_s: Of the sample's process.
        memory_bytes: Address space beyond the preloaded template (hosted: 2 GB).
        disk_bytes: In the sample's own folder, all files together (hosted: 1 GB).
        inodes: Files and folders in it.
        descriptors: Open at once.
        threads: Of the sample's user inside the sandbox; only where namespaces give it a user of its own.
        payload_bytes: Of sample and item as JSON.
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
    """What became of one sample.

    Attributes:
        status: "value"; or the program's doing: "grader_error" (it raised), "bad_return" (not a finite number),
            "timeout", "memory", "disk", "crash" (a signal), "no_result" (it left without one), "protocol" (it wrote
            something else than a result); or ours: "infrastructure", after the retries.
        value: A finite float; None unless status is "value".
        tier: What held it; "" when nothing ran.
        stage: Where a grader_error came up: "compile", "import" (the module's top level), "grade" or "payload".
        error_type: The exception's class, or the signal's name.
        text: A traceback or an explanation, control characters escaped, at most 4 kB.
        wall_s, cpu_s: From the fork on.
        attempts: 1 unless infrastructure failed under it.
        samples_per_process: 1; more when it shared its process with others, as the caller allowed.
        printed: What the program printed first, control characters escaped, at most 8 kB; also when it was ended. Not of code
            that `run_untrusted` ran, nor what C libraries write.
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
        """The tier, and that the process was shared where it was."""
        shared = (
            f", {self.samples_per_process} samples in one process" if self.samples_per_process > 1 else ""
        )
        return self.tier + shared
