"""Items of several runs side by side, for the table of a comparison."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from graders.evals.comparison import ALL, base_name, item_keys
from graders.store import RunRecord, Store


@dataclass(frozen=True, slots=True)
class PairedItem:
    """An item that every run has finished.

    Attributes:
        numbers: Its number in each run.
        verdicts: Whether it passed in each run; None for an error.
    """

    numbers: tuple[int, ...]
    verdicts: tuple[bool | None, ...]

    @property
    def flipped(self) -> bool:
        """Whether any run's verdict differs from the first one's; errors do not count."""
        first, *others = self.verdicts
        return first is not None and any(other is not None and other != first for other in others)


def paired_items(store: Store, runs: Sequence[RunRecord], criterion: str = ALL) -> list[PairedItem]:
    """The items that all runs have finished, paired by content, in the first run's order.

    Args:
        criterion: Name of the criterion whose verdicts are used; ALL: the item's status.
    """
    first, *others = (item_keys(store, run) for run in runs)
    verdicts = [_verdicts(store, run, criterion) for run in runs]
    rows = []
    for key, n in first.items():
        numbers = (n, *(keys[key] for keys in others if key in keys))
        if len(numbers) == len(runs):
            rows.append(
                PairedItem(
                    numbers, tuple(found.get(place) for found, place in zip(verdicts, numbers, strict=True))
                )
            )
    return rows


def _verdicts(store: Store, run: RunRecord, criterion: str) -> dict[int, bool | None]:
    if criterion == ALL:
        return store.items.statuses(run.number)
    for place, one in enumerate(run.criteria):
        if base_name(one.name) == criterion:
            return store.items.verdicts(run.number, place)
    return {}
