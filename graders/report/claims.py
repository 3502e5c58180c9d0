"""The claims file: findings of audits about a grader, which reports show beside its results.

Each audit command writes its own claim (`--claims FILE`) and keeps the others; `grader report --claims FILE` reads
them. A claim holds for the spec, settings and models that it was made with, and expires when they change.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from graders.report.binding import Binding, binding
from graders.results.read import Header, ResultsError
from graders.stats.agreement.correction import rogan_gladen
from graders.stats.estimates import Estimate, pass_rate
from graders.stats.facts import model_of
from graders.stats.resampling import Floats, Ints

#: The key that marks a claims file, and its value, the version of the format.
MARK, VERSION = "graders_claims", 1


@dataclass(frozen=True, slots=True)
class GraderClaim:
    """One claim of a claims file, checked against results.

    Attributes:
        name: "audit", "attack", "mutation" or "calibration".
        grader: The name of the grader that it is about; "" where it has none.
        text: The finding, in words.
        expired: The changes since then, a phrase each; () where the claim still holds.
        corrected: The estimated pass rate by people, computed from the grader's pass rate and its error rates; None
            where the claim has no error rates, or has expired.
    """

    name: str
    grader: str
    text: str
    expired: tuple[str, ...]
    corrected: Estimate | None = None

    @property
    def text_as_of_now(self) -> str:
        """The claim as text, with a note where it has expired."""
        text = self.text
        if self.expired:
            text = f"expired, since it was made with another {' and '.join(self.expired)}: {text}"
        if self.corrected is not None:
            text += f"; pass rate corrected for the grader's errors {self.corrected.value:.4g}, {self.corrected.between()}"
        return text


def claims_about(
    path: str | Path, header: Header, models: Collection[str], rewards: Floats, items: Ints | None
) -> tuple[GraderClaim, ...]:
    """The claims of a file, checked against a results file.

    Args:
        models: The models that answered in these results.
        rewards, items: Columns of the scored rows, as in `stats.gather`.

    Raises:
        ResultsError: the file cannot be read, or has another form.
    """
    spec = model_of(header.spec)
    now = None if spec is None else binding(spec, header.provenance, models)

    def passed_from(threshold: float) -> Estimate | None:
        return pass_rate(rewards >= threshold, items) if len(rewards) else None

    return tuple(claims_of(path, now, passed_from))


def claims_of(
    path: str | Path, now: Binding | None, passed_from: Callable[[float], Estimate | None]
) -> Iterator[GraderClaim]:
    """The claims of a file, compared with the present binding.

    Args:
        now: The binding of the rewards; None if it is unknown.
        passed_from: A threshold -> the part of the rows that pass from there on; None where that is not known.

    Raises:
        ResultsError: the file cannot be read, or has another form.
    """
    for name, part in _read(path).items():
        try:
            made_on, text = Binding.from_json(part["binding"]), str(part["text"])
            expired = ("spec",) if now is None else tuple(made_on.changes(now))
            corrected = None if expired else _corrected(part, passed_from)
        except (KeyError, TypeError, ValueError) as error:
            raise ResultsError(
                f"{path}: the part '{name}' of this claims file cannot be read: {error}"
            ) from None
        yield GraderClaim(name, made_on.name, text, expired, corrected)


def write_claim(path: str | Path, name: str, text: str, made_on: Binding, **more: Any) -> None:
    """Write one claim to a new or existing file, replacing an older one of its name.

    Raises:
        ResultsError: the file exists and is not a claims file.
        OSError: it cannot be written.
    """
    parts = _read(path) if os.path.exists(path) else {}
    parts = {**parts, name: {"text": text, "binding": made_on.to_json(), **more}}
    temporary = Path(f"{path}.tmp")
    temporary.write_text(
        json.dumps({MARK: VERSION, **parts}, indent=2, default=repr) + "\n", encoding="utf-8"
    )
    os.replace(temporary, path)


def _read(path: str | Path) -> Mapping[str, Mapping[str, Any]]:
    try:
        found = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ResultsError(f"cannot read {path}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise ResultsError(f"{path} is no claims file: {error}") from None
    if not isinstance(found, dict) or found.get(MARK) != VERSION:
        raise ResultsError(
            f"{path} is no claims file; `grader calibrate --claims` and `grader attack --claims` write one"
        )
    return {name: part for name, part in found.items() if isinstance(part, dict)}


def _corrected(part: Mapping[str, Any], passed_from: Callable[[float], Estimate | None]) -> Estimate | None:
    sensitivity, specificity = _rate(part.get("sensitivity")), _rate(part.get("specificity"))
    if part.get("threshold") is None or sensitivity is None or specificity is None:
        return None
    passed = passed_from(float(part["threshold"]))
    return None if passed is None else rogan_gladen(passed, sensitivity, specificity)


def _rate(found: Mapping[str, Any] | None) -> Estimate | None:
    if found is None:
        return None
    value, low, high = (float(found[name]) for name in ("value", "low", "high"))
    return Estimate(value, low, high, int(found["n"]), int(found["items"]), "")
