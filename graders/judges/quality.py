"""Verdicts by vote, and expected scores from token probabilities. Off unless configured; recorded in provenance."""

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

#: Number of whole numbers 0..9, which every tokenizer has as single tokens ("10" is often two).
MOST_GRID = 10


def decide(answers: Sequence[ModelReply | GradeError]) -> ModelReply:
    """The median score, or the label with the most votes, of several answers to one question.

    Raises:
        GradeError: one answer is a ModelStop; at least half of the votes failed (the first failure is raised); two
            labels tie for the most votes.
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
    """The median, and the range of the votes."""
    numbers = [float(value) for value in values]
    return statistics.median(numbers), max(numbers) - min(numbers)


def _label(values: Sequence[float | str]) -> tuple[str, float]:
    """The label with the most votes, and the fraction of votes for other labels."""
    (label, most), *others = Counter(map(str, values)).most_common()
    if others and others[0][1] == most:
        raise ModelParseError(f"the judge's votes are split: {', '.join(map(str, values))}")
    return label, 1 - most / len(values)


def grid_of(verdict: Verdict) -> tuple[int, ...]:
    """The whole numbers of a score's range, if they are within 0..9; else ()."""
    low, high = verdict.range
    if verdict.labels or low != int(low) or high != int(high) or not 0 <= low < high < MOST_GRID:
        return ()
    return tuple(range(int(low), int(high) + 1))


@dataclass(frozen=True, slots=True)
class ExpectedScore:
    """An expected score: the mean over the possible answers of the judge.

    Attributes:
        value: The mean of the grid under the token probabilities, normalised over the grid.
        mass: The total probability of the grid before normalising: near 1 if the judge answered the question.
    """

    value: float
    mass: float


def expected_score(
    text: str, logprobs: Any, grid: Sequence[int], key: str = "result"
) -> ExpectedScore | None:
    """The expected score at the token of the result; None where the log-probabilities do not give it.

    Args:
        text: The whole answer.
        logprobs: chat.completion's `choices[0].logprobs.content`.
        grid: The possible scores.
        key: The result's key, at its last position in the answer, since reasoning may mention it earlier.
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
        # a token may be a part of a character, so bytes are compared
        raw = token.get("bytes")
        end += len(raw if isinstance(raw, list) else shown.encode("utf-8", "replace"))
        if end > at:
            if shown.strip() != sampled:
                # the digit shares a token with other text, or the tokens do not match the text
                return None
            return _expected(token.get("top_logprobs"), grid)
    return None


def _expected(top: Any, grid: Sequence[int]) -> ExpectedScore | None:
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
    return ExpectedScore(
        math.fsum(value * weight for value, weight in weights.items()) / mass, min(1.0, mass)
    )
