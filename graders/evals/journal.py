"""The journal of a run: results of rows that are not in the store yet, committed some rows at a time.

A row takes two commits: its sample, which may have cost money, and then its results.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeAlias

from graders.evals.criteria import CriterionOutcome
from graders.samples import Sample
from graders.store import ModelUsage

#: Rows finished in one transaction.
CHUNK = 512
#: Largest delay of a commit in seconds; rows within it are committed together.
COMMIT_S = 0.05

#: Runs a function with arguments on a thread.
OnThread: TypeAlias = Callable[..., Awaitable[Any]]


@dataclass(slots=True)
class GradedRow:
    """A row with all answers, before it is graded by the local criteria.

    Attributes:
        shown: The wire's sample, as JSON text.
        outcomes: Outcomes by the criterion's index.
    """

    n: int
    item: Mapping[str, Any]
    sample: Sample
    shown: str
    outcomes: dict[int, CriterionOutcome]


class Journal:
    """Used on one event loop; commits run on threads, one after the other."""

    def __init__(
        self,
        on_thread: OnThread,
        *,
        keep_samples: Callable[[Sequence[tuple[int, str, str]], Sequence[ModelUsage]], None],
        finish: Callable[[Sequence[GradedRow]], None],
        committed: Callable[[int], None],
    ) -> None:
        """
        Args:
            keep_samples: Commits samples, each as (number, sample, shown), and their usage.
            finish: Grades rows by the local criteria, and commits them.
            committed: Called with the number of rows that were finished.
        """
        self._on_thread = on_thread
        self._keep_samples = keep_samples
        self._finish = finish
        self._committed = committed
        self._samples: list[tuple[int, str, str]] = []
        self._usage: list[ModelUsage] = []
        self._graded: list[GradedRow] = []
        self._due = asyncio.Event()
        self._committing = asyncio.Lock()

    def add_usage(self, usage: ModelUsage) -> None:
        """Add the usage of a question to the sampler."""
        self._usage.append(usage)

    def add_sample(self, n: int, sample: str, shown: str) -> None:
        """Add a row's sample, as JSON texts of the graders' and of the wire's form."""
        self._samples.append((n, sample, shown))

    def add_row(self, row: GradedRow, most_waiting: float) -> None:
        """Add a row with all answers; a commit is due at once if more than `most_waiting` rows wait for one."""
        self._graded.append(row)
        if len(self._graded) > most_waiting:
            self._due.set()

    async def keep(self) -> None:
        """Commit repeatedly, until cancelled."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(COMMIT_S):
                    await self._due.wait()
            self._due.clear()
            await asyncio.shield(self.commit())

    async def commit(self) -> None:
        """Commit everything in the journal, after any commit in progress."""
        async with self._committing:
            samples, self._samples = self._samples, []
            usage, self._usage = self._usage, []
            graded, self._graded = self._graded, []
            if samples or usage:
                await self._on_thread(self._keep_samples, samples, usage)
            for start in range(0, len(graded), CHUNK):
                await self._on_thread(self._finish, graded[start : start + CHUNK])
        self._committed(len(graded))
