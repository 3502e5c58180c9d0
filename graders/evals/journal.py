"""What the rows of a run have brought and the store does not have yet: kept by commits, some rows at a time.

A row takes two of them: its sample, which may have cost money, and then its results.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeAlias

from graders.evals.criteria import Outcome
from graders.samples import Sample
from graders.store import ModelUsage

CHUNK = 512  # rows finished in one transaction
COMMIT_S = 0.05  # between commits at most: what is there within it is kept together

#: Runs work on a thread, with its arguments.
OnThread: TypeAlias = Callable[..., Awaitable[Any]]


@dataclass(slots=True)
class GradedRow:
    """A row whose answers are there: the criteria that ask nobody are still to come.

    Attributes:
        shown: The wire's sample, as JSON text.
        outcomes: By the criterion's place.
    """

    n: int
    item: Mapping[str, Any]
    sample: Sample
    shown: str
    outcomes: dict[int, Outcome]


class Journal:
    """Used on one event loop; commits work on threads, one after the other."""

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
            keep_samples: Commits samples, each as (number, sample, shown), and what they cost.
            finish: Grades what is still to be graded of rows, and commits them.
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
        """What a question to the sampler cost."""
        self._usage.append(usage)

    def add_sample(self, n: int, sample: str, shown: str) -> None:
        """A row's sample, as JSON texts of what graders read and of what the wire shows."""
        self._samples.append((n, sample, shown))

    def add_row(self, row: GradedRow, most_waiting: float) -> None:
        """A row whose answers are all there; a commit is due at once when more than `most_waiting` wait for one."""
        self._graded.append(row)
        if len(self._graded) > most_waiting:
            self._due.set()

    async def keep(self) -> None:
        """Commit what is there, again and again."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(COMMIT_S):
                    await self._due.wait()
            self._due.clear()
            await asyncio.shield(self.commit())

    async def commit(self) -> None:
        """Commit all that is there; what another commit has under way is in the store then, too."""
        async with self._committing:
            samples, self._samples = self._samples, []
            usage, self._usage = self._usage, []
            graded, self._graded = self._graded, []
            if samples or usage:
                await self._on_thread(self._keep_samples, samples, usage)
            for start in range(0, len(graded), CHUNK):
                await self._on_thread(self._finish, graded[start : start + CHUNK])
        self._committed(len(graded))
