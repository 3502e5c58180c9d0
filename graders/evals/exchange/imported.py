"""Writes imported runs to the store, some items at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from graders.evals.sources import new_item
from graders.jsontext import dumps
from graders.store import FinishedItem, ItemScore, ModelUsage, NewItem, Store

#: Items added to the store in one transaction.
CHUNK = 2000


class ExchangeError(ValueError):
    """Raised for invalid input of an import; the message says where it is and what was expected."""


@dataclass(slots=True)
class ImportCounts:
    """The counts of an import. `known`: runs that were in the store already."""

    evals: int = 0
    runs: int = 0
    items: int = 0
    known: int = 0


class ImportedRun:
    """A run during its import.

    Attributes:
        number: The run's number in the store.
        places: Criterion's name -> its index.
    """

    def __init__(self, store: Store, counts: ImportCounts, number: int, criteria: Sequence[str]) -> None:
        self.number = number
        self.places = {name: place for place, name in enumerate(criteria)}
        self._store = store
        self._counts = counts
        self._n_rows = 0
        self._items: list[tuple[NewItem, FinishedItem]] = []
        self._usage: list[ModelUsage] = []

    def add_criterion(self, name: str) -> None:
        """Add a criterion, unless it is known."""
        if name not in self.places:
            self.places[name] = len(self.places)
            self._store.runs.add_criterion(self.number, self.places[name], name)

    def append(
        self,
        item: Mapping[str, Any],
        *,
        sample: str | None,
        shown: str,
        results: Sequence[Mapping[str, Any]],
        status: str,
        created_at: int,
        item_id: str | None = None,
    ) -> None:
        """Add the next item.

        Args:
            sample: The sample in the graders' form, as JSON text; None without one.
            shown: The wire's `sample`, as JSON text.
            results: The wire's `results`.
        """
        new = new_item(item, sample, shown, item_id)
        scores = tuple(_scores(results, self.places))
        n = self._n_rows + len(self._items)
        self._items.append((new, FinishedItem(n, created_at, status, shown, as_text(results), scores)))
        if len(self._items) >= CHUNK:
            self.flush()

    def add_usage(self, usage: Iterable[ModelUsage]) -> None:
        """Add tokens to the run's counts."""
        self._usage += usage

    def flush(self, *, last: bool = False) -> None:
        """Write the appended items to the store."""
        self._store.items.add_finished(self.number, self._n_rows, self._items, self._usage, last=last)
        self._n_rows += len(self._items)
        self._counts.items += len(self._items)
        self._items, self._usage = [], []


def _scores(results: Sequence[Mapping[str, Any]], places: Mapping[str, int]) -> Iterator[ItemScore]:
    for one in results:
        place, error = places.get(one["name"]), one.get("error")
        if place is None:
            continue
        if error:
            yield ItemScore(place, None, False, error.get("code") or "other_error")
        else:
            yield ItemScore(place, one.get("score"), bool(one["passed"]))


def as_text(value: Any) -> str:
    """JSON text in the store's form."""
    return dumps(value).decode()


class RunImports:
    """The runs of one import.

    Attributes:
        counts: The counts so far.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._runs: dict[str, ImportedRun | None] = {}
        self.counts = ImportCounts()

    def __contains__(self, run_id: str) -> bool:
        return run_id in self._runs

    def __iter__(self) -> Iterator[str]:
        return iter(self._runs)

    def __getitem__(self, run_id: str) -> ImportedRun | None:
        """A run of this import; None when it was in the store before. Raises KeyError."""
        return self._runs[run_id]

    def begin(
        self,
        run_id: str,
        eval_id: str,
        *,
        created_at: int,
        source: Any,
        criteria: Sequence[str],
        name: str = "",
        model: str | None = None,
        metadata: str = "{}",
    ) -> ImportedRun | None:
        """Begin a run; returns None when it is in the store already.

        Raises:
            ExchangeError: its eval does not exist.
        """
        known = self._store.runs.get(run_id)
        if known is not None and known.status != "importing":
            self.counts.known += 1
            self._runs[run_id] = None
            return None
        if known is not None:
            # an earlier import was interrupted: start again
            self._store.runs.delete(run_id, known.eval_id)
        number = self._store.runs.add(
            run_id=run_id,
            eval_id=eval_id,
            created_at=created_at,
            name=name,
            model=model,
            metadata=metadata,
            data_source=as_text(source),
            criteria=criteria,
            status="importing",
        )
        if number is None:
            raise ExchangeError(f"run {run_id} belongs to eval {eval_id}, which has to come before it")
        run = self._runs[run_id] = ImportedRun(self._store, self.counts, number, criteria)
        return run

    def end(self, run_id: str, status: str = "completed", error: str | None = None) -> None:
        """Set a run's final status after its last item."""
        run = self._runs[run_id]
        if run is None:
            return
        run.flush(last=True)
        self._store.runs.end_import(run.number, status, error)
        self.counts.runs += 1
