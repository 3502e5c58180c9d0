"""Claims of claims files about the criteria of an eval, for display beside their rates."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import graders
from graders.engine.backends import Backends
from graders.engine.grader import Grader
from graders.errors import SpecError
from graders.evals.criteria import thresholds
from graders.report.binding import Binding, binding
from graders.report.claims import GraderClaim, claims_of
from graders.results.read import ResultsError
from graders.stats.estimates import Estimate, wilson_of_few
from graders.store import RunRecord

#: Evals whose criteria are not compiled again when their pages are looked at.
KEPT = 64


class KnownClaims:
    """The claims files that a server was given; each is read anew when it is asked for.

    A claim is shown at a criterion where it holds for it, and where it has expired but is about a grader of its name.
    """

    def __init__(self, paths: Sequence[str], backends: Backends) -> None:
        self.paths = tuple(paths)
        self._backends = backends
        self._bindings = lru_cache(KEPT)(self._bindings_of)

    def of(self, testing_criteria: str, run: RunRecord | None = None) -> list[list[dict[str, Any]]]:
        """For each criterion, its claims as `{"name", "text", "expired"}`.

        Args:
            testing_criteria: JSON, as the store has it.
            run: Whose pass rates are corrected for the grader's errors, where a calibration knows these.
        """
        known = thresholds(testing_criteria)
        if not self.paths:
            return [[] for _ in known]
        models = [] if run is None else [one.model for one in run.usage if one.role == "grader"]
        bindings = self._bindings(testing_criteria, frozenset(models))
        return [
            [] if now is None else self._about(now, _passed_from(run, place, known[place]))
            for place, now in enumerate(bindings)
        ]

    def _bindings_of(self, testing_criteria: str, models: frozenset[str]) -> list[Binding | None]:
        """The binding of each criterion's rewards; None for a criterion that is no grader of ours.

        The models belong to a criterion only if no other criterion asks a judge.
        """
        compiled: list[Grader | None] = []
        for wire in json.loads(testing_criteria):
            try:
                compiled.append(graders.compile(wire, backends=self._backends))
            except SpecError:
                compiled.append(None)
        judged = [one for one in compiled if one is not None and one.spec.asks_judge()]
        return [
            None
            if one is None
            else binding(one.spec, one.identity.provenance, models if judged == [one] else ())
            for one in compiled
        ]

    def _about(self, now: Binding, passed_from: Callable[[float], Estimate | None]) -> list[dict[str, Any]]:
        shown = []
        for path in self.paths:
            try:
                claims = [one for one in claims_of(path, now, passed_from) if _is_about(one, now)]
            except ResultsError as error:
                shown.append({"name": "claims", "text": str(error), "expired": True})
                continue
            shown += [
                {"name": one.name, "text": one.text_as_of_now, "expired": bool(one.expired)} for one in claims
            ]
        return shown


def _is_about(claim: GraderClaim, now: Binding) -> bool:
    return not claim.expired or (claim.grader != "" and claim.grader == now.name)


def _passed_from(
    run: RunRecord | None, place: int, threshold: float | None
) -> Callable[[float], Estimate | None]:
    """The criterion's pass rate, which is known at its own threshold alone."""

    def passed_from(asked: float) -> Estimate | None:
        if run is None or asked != threshold or place >= len(run.criteria):
            return None
        counts = run.criteria[place]
        n = counts.passed + counts.failed
        if not n:
            return None
        low, high = wilson_of_few(counts.passed, n)
        return Estimate(counts.passed / n, low, high, n, n, "Wilson")

    return passed_from
