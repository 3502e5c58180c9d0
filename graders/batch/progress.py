"""Progress and outcome of a run, and the signals that stop it."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from graders.results.lines import Tally
from graders.wording import plural

if TYPE_CHECKING:
    from graders.stats.figures import Summary
    from graders.usage import Usage

#: Seconds that an interrupted run waits for judges; questions without an answer by then are asked again on resume.
JUDGES_S = 0.25
#: Seconds that an interrupted run waits for the rows in flight; Kubernetes kills after 30.
DRAIN_S = 20.0


@dataclass(frozen=True, slots=True)
class Progress:
    """The progress of a run.

    Attributes:
        rows: Rows in the results file, those of earlier runs included.
        failed: The rows among them with a flag.
        graded: Rows graded by this run.
        total: Rows of the data, known or estimated from the fraction read; None when neither is possible.
        estimated: Whether `total` is an estimate.
        seconds: Seconds since the run began.
        tokens: Judges' tokens in the results file, prompts and answers.
        cost: The judges' cost in this run, by the [prices] table; None without prices.
    """

    rows: int
    failed: int
    graded: int
    total: int | None
    seconds: float
    tokens: int
    cost: float | None
    estimated: bool = False

    def __str__(self) -> str:
        """A line such as `1,234 rows of about 5,000 (24%)  310/s  12 failed  45,678 tokens  cost 0.1234  0:12 left`."""
        about = "about " if self.estimated else ""
        of = f" of {about}{self.total:,} ({self.rows / self.total:.0%})" if self.total else ""
        rate = self.graded / max(self.seconds, 0.001)
        parts = [
            f"{plural(self.rows, 'row')}{of}",
            f"{rate:,.{0 if rate >= 10 else 1}f}/s",
            f"{self.failed:,} failed",
        ]
        if self.tokens:
            parts.append(f"{self.tokens:,} tokens")
        if self.cost is not None:
            parts.append(f"cost {self.cost:.4g}")
        if self.left_s is not None and self.seconds > 1:
            parts.append(f"{_clock(self.left_s)} left")
        return "  ".join(parts)

    @property
    def left_s(self) -> float | None:
        """Remaining seconds at the rate so far; None when unknown."""
        if self.total is None or not self.graded:
            return None
        return max(0, self.total - self.rows) * self.seconds / self.graded


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def notebook_line() -> Callable[[Progress], None] | None:
    """A progress function that updates a line under the running cell; None outside of a notebook's kernel."""
    if "ipykernel" not in sys.modules:
        return None
    from IPython import display, get_ipython

    if not hasattr(get_ipython(), "kernel"):
        return None
    line = display.display(display.Pretty(""), display_id=True)
    return lambda now: line.update(display.Pretty(str(now)))


@dataclass(frozen=True, slots=True)
class Run:
    """The outcome of a run.

    Attributes:
        output: The results file; "-" is standard output.
        tally: Counts over the whole results file, rows of earlier runs included.
        graded: Rows graded by this run.
        unmatched_rows: Rows of the file whose ids the data does not have.
        seconds: Duration of the run.
        interrupted: Whether it was stopped by a signal or by the caller; `resume` grades the missing rows.
        broken: The reason why it could not go on; "" when it could. Graded rows are in the file.
        infrastructure_failures: Trailing rows that failed in the judge or sandbox; rerun them with `retry_failed`.
        notes: Other sentences for the user.
        cost: The judges' cost in this run, by the [prices] table; None without prices.
        narrow_enough: Whether it ended before the end of the data because `until_width` was reached.
    """

    output: str
    tally: Tally
    graded: int
    unmatched_rows: int
    seconds: float
    interrupted: bool
    broken: str
    notes: tuple[str, ...]
    infrastructure_failures: int = 0
    cost: float | None = None
    narrow_enough: bool = False

    def summary(self, price: Callable[[str, Usage], float | None] = lambda model, usage: None) -> Summary:
        """The statistics of the results file: `summary().rewards.mean` has the mean and its 95 % interval.

        Args:
            price: As in `graders.stats.summary.summarise`.

        Raises:
            ResultsError: the results went to standard output, or can no longer be read.
        """
        from graders.stats.gather import gather
        from graders.stats.summary import summarise

        return summarise(gather(self.output), price)

    def to_dict(self) -> dict[str, Any]:
        """The counts for JSON; `mean` is that of the scored rows, None without any."""
        tally = self.tally
        return {
            "output": self.output,
            "rows": tally.rows,
            "scored": tally.scored,
            "failed": tally.failed,
            "mean": tally.total / tally.scored if tally.scored else None,
            "flags": dict(tally.flags),
            "graded": self.graded,
            "seconds": self.seconds,
            "interrupted": self.interrupted,
            "broken": self.broken,
            "notes": list(self.notes),
            "cost": self.cost,
        }

    def _repr_html_(self) -> str:
        from graders.notebook import table
        from graders.results.read import ResultsError

        facts = {
            name: value for name, value in self.to_dict().items() if value not in (None, "", [], {}, False)
        }
        shown = table("Run", facts.items())
        try:
            return shown + self.summary()._repr_html_()
        except ResultsError:
            return shown


class Stop:
    """Turns Ctrl-C and SIGTERM into a stop after the rows in flight; a second signal, or DRAIN_S, stops at once.

    A context manager that installs the signal handlers, in the main thread only. A signal that is ignored stays
    ignored, as for background jobs of a shell without job control. A program may set `requested` itself.

    Attributes:
        cancel_judges: Called after JUDGES_S to cancel the questions to judges that are still in flight.
    """

    def __init__(self, say: Callable[[str], None] = lambda text: None) -> None:
        self.requested = False
        self._say = say
        self._old: dict[int, Any] = {}
        self.cancel_judges: Callable[[], object] = lambda: None
        self._timers: list[threading.Timer] = []

    def __enter__(self) -> Stop:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                if signal.getsignal(number) is not signal.SIG_IGN:
                    self._old[number] = signal.signal(number, self._signalled)
        return self

    def __exit__(self, *exc: object) -> None:
        for timer in self._timers:
            timer.cancel()
        for number, handler in self._old.items():
            signal.signal(number, handler)

    def _signalled(self, number: int, frame: object) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True
        self._say("stopping: waiting for the rows under way; once more stops at once")
        self._timers = [
            threading.Timer(JUDGES_S, self.cancel_judges),
            threading.Timer(DRAIN_S, os.kill, (os.getpid(), signal.SIGINT)),
        ]
        for timer in self._timers:
            timer.daemon = True
            timer.start()
