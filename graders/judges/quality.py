"""One verdict from several answers, or from a distribution of tokens. All off unless configured, all named in the result."""

from __future__ import annotations

import math
import re
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from graders.ask import ModelReply
from graders.errors import GradeError, ModelParseError, ModelStop
from graders.usage import Usage
from graders.verdict import Verdict

#: Whole numbers 0..9: the ones that every tokenizer has as a single token ("10" is often two).
MOST_GRID = 10


def decide(answers: Sequence[ModelReply | GradeError]) -> ModelReply:
    """The median number, or the label with most votes, of several answers to one question.

    Raises:
        GradeError: a ModelStop among them; half of the votes or more failed (the first failure); two labels lead
            with equally many.
    """
    votes = [answer for answer in answers if isinstance(answer, ModelReply)]
    failures = [answer for answer in answers if isinstance(answer, GradeError)]
    usage = Usage()
    for answer in answers:
        usage += answer.usage or Usage()
    values = [vote.verdict for vote in votes]
    provenance: dict[str, Any] = {"votes": values}
    seconds = max(answer.seconds for answer in answers)
    if failures:
        provenance["votes_failed"] = [failure.flag for failure in failures]
    try:
        for failure in failures:
            if isinstance(failure, ModelStop) or 2 * len(votes) <= len(answers):
                raise failure
        chosen, spread = _label(values) if isinstance(values[0], str) else _number(values)
    except GradeError as error:
        model = error.model or (votes[0].model if votes else None)
        raise error.replace(
            usage=usage, model=model, provenance={**error.provenance, **provenance}, seconds=seconds
        ) from error.__cause__
    nearest = next((vote for vote in votes if vote.verdict == chosen), votes[0])
    return ModelReply(
        chosen,
        nearest.text,
        nearest.model,
        usage,
        {**nearest.provenance, **provenance, "spread": spread},
        seconds,
    )


def _number(values: Sequence[float | str]) -> tuple[float, float]:
    """The median, and how far the votes lie apart."""
    numbers = [float(value) for value in values]
    return statistics.median(numbers), max(numbers) - min(numbers)


def _label(values: Sequence[float | str]) -> tuple[str, float]:
    """The label with most votes, and the share of votes that went to others."""
    (label, most), *others = Counter(map(str, values)).most_common()
    if others and others[0][1] == most:
        raise ModelParseError(f"the judge's votes are split: {', '.join(map(str, values))}")
    return label, 1 - most / len(values)


def grid_of(verdict: Verdict) -> tuple[int, ...]:
    """The whole numbers of a score's range, when they are among 0..9; () when there is no such grid."""
    low, high = verdict.range
    if verdict.labels or low != int(low) or high != int(high) or not 0 <= low < high < MOST_GRID:
        return ()
    return tuple(range(int(low), int(high) + 1))


@dataclass(frozen=True, slots=True)
class Expected:
    """A score as the mean over what the judge might have said.

    Attributes:
        value: The mean of the grid under the token probabilities, normalised over the grid.
        mass: The grid's probability in all, before that: near 1 when the judge was answering the question.
    """

    value: float
    mass: float


def expected_score(text: str, logprobs: Any, grid: Sequence[int], key: str = "result") -> Expected | None:
    """The expected score at the token that holds the result; None where the log-probabilities do not say.

    Args:
        text: The whole answer.
        logprobs: chat.completion's `choices[0].logprobs.content`.
        grid: The values that count.
        key: The result's key. Its last place in the answer counts: reasoning may mention it before.
    """
    places = list(re.finditer(rf'"{re.escape(key)}"\s*:\s*(\d)(?!\d|\.)', text))
    if not places or not isinstance(logprobs, list):
        return None
    at, sampled = len(text[: places[-1].start(1)].encode("utf-8", "replace")), places[-1][1]
    end = 0
    for token in logprobs:
        shown = token.get("token") if isinstance(token, dict) else None
        if not isinstance(shown, str):
            return None
        # a token may be part of a character
        raw = token.get("bytes")
        end += len(raw if isinstance(raw, list) else shown.encode("utf-8", "replace"))
        if end > at:
            if shown.strip() != sampled:
                # the digit shares its token with other text, or tokens and text do not belong together
                return None
            return _expected(token.get("top_logprobs"), grid)
    return None


def _expected(top: Any, grid: Sequence[int]) -> Expected | None:
    weights = dict.fromkeys(grid, 0.0)
    for candidate in top if isinstance(top, list) else ():
        if not isinstance(candidate, dict):
            continue
        token, logprob = candidate.get("token"), candidate.get("logprob")
        if isinstance(token, str) and isinstance(logprob, (int, float)) and logprob <= 0:
            digit = token.strip()
            if digit.isdecimal() and len(digit) == 1 and int(digit) in weights:
                weights[int(digit)] += math.exp(logprob)
    mass = math.fsum(weights.values())
    if not mass:
        return None
    return Expected(math.fsum(value * weight for value, weight in weights.items()) / mass, min(1.0, mass))
