"""Counts the questions to judges about a dataset, without asking them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from graders.errors import GradeError
from graders.preflight.rows import NamedRow
from graders.spec.model import SpecModel

if TYPE_CHECKING:
    from graders.ask import ModelAsk
    from graders.endpoints.spending import SpendingEstimate
    from graders.engine.backends import Backends
    from graders.spec.kind import Kind

#: Rows whose questions to judges are counted; the estimate extrapolates to the others.
ESTIMATED = 20_000


class Questions:
    """Counts the questions to judges."""

    def __init__(self, specs: Mapping[str, SpecModel], backends: Backends) -> None:
        self._kinds: list[Kind] = []
        self._asks: list[ModelAsk] = []
        self._rows = 0
        judges = [leaf for spec in specs.values() for leaf in spec.leaves().values() if leaf.judge()]
        if judges:
            import graders

            self._backends = backends
            self._kinds = [graders.compile(leaf, backends=self._backends).kind for leaf in judges]

    def inspect(self, rows: Sequence[NamedRow]) -> None:
        if not self._kinds or self._rows >= ESTIMATED:
            return
        from graders.ask import ModelAsk

        self._rows += len(rows)
        for row in rows:
            for kind in self._kinds:
                try:
                    self._asks += [ask for ask in kind.ask(row.row) if isinstance(ask, ModelAsk)]
                except GradeError:
                    # its missing variable is reported elsewhere
                    continue

    def estimates(self, n_rows: int) -> Mapping[str, SpendingEstimate]:
        """Judge model -> the expected spending for all rows."""
        if not self._asks:
            return {}
        from graders.endpoints.spending import estimate

        scale = max(1.0, n_rows / self._rows)
        return {
            model: replace(
                found,
                calls=round(found.calls * scale),
                prompt_tokens=round(found.prompt_tokens * scale),
                completion_tokens=round(found.completion_tokens * scale),
                cost=None if found.cost is None else found.cost * scale,
            )
            for model, found in estimate(self._backends.config, self._asks).items()
        }
