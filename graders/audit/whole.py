"""Reward checks of a grader as a whole: its scale, errors, latency and determinism."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Mapping

from graders.attack import probes
from graders.audit.programs import clock, hash_seeds
from graders.errors import FormulaError, PythonRuntimeError, PythonServerError
from graders.formula import Formula
from graders.session.findings import Finding
from graders.session.rows import CheckRow
from graders.session.session import AuditSession, GradedSample, row_ids

BEST = 0.9  # of what a gold can get at all
WAVER = 0.25  # of the scale, between repeats of a judge


#: Difference that must not matter -> changed forms of the gold.
BLINDNESS: Mapping[str, Callable[[str], tuple[str, ...]]] = {
    "whitespace": lambda text: (f"  {text}", f"{text}\n", f"\t{text} \n\n"),
    "case": lambda text: (text.upper(), text.lower(), text.swapcase()),
}


def blind(session: AuditSession) -> Iterator[Finding]:
    """The claimed differences, outer white space or case, do not change the gold's reward."""
    for claim in sorted(session.settings.blind_to):
        changed = [
            (row, text) for row in session.recognised() if row.text for text in BLINDNESS[claim](row.text)
        ]
        lower = [one for one, share in session.shares(changed) if abs(share - 1) > 0.01]
        if lower:
            message = f"said to be blind to {claim}, but the gold gets {lower[0].result.reward:g} when only that changes"
            yield Finding("blind", message, row_ids(lower), lower[0].sample)


def deterministic(session: AuditSession) -> Iterator[Finding]:
    """The same sample gets the same reward: repeated, with another id, in another process, hash seed and time."""
    rows = session.rows[: 4 if session.judged else 12]
    pairs = [pair for row in rows for pair in ((row, row.gold), (row, session.wrong(row)))]
    first = session.grade(pairs)
    tolerance = WAVER * (session.scale[1] - session.scale[0]) if session.judged else 0.0
    for again in range(session.settings.repeats):
        results = session.run(pairs, row_id=f"{{}}#{again}" if again else "{}")
        for one, result in zip(first, results, strict=True):
            if abs(result.reward - one.result.reward) > tolerance or result.ok != one.result.ok:
                message = f"the same sample got {one.result.reward:g} and then {result.reward:g}"
                yield Finding("deterministic", message, (one.row.id,), one.sample)
                return
    yield from hash_seeds(session)
    yield from clock(session)


def spread(session: AuditSession) -> Iterator[Finding]:
    """Good and bad samples of a group get different rewards, since training learns nothing from equal ones."""
    groups: dict[str, list[CheckRow]] = {}
    for row in session.rows:
        if row.group is not None:
            groups.setdefault(row.group, []).append(row)
    for name, rows in groups.items():
        golds = session.grade((row, row.gold) for row in rows)
        bads = session.grade(
            (row, sample) for row in rows for sample in (row.bad or (session.wrong(row), ""))
        )
        rewards = [one.result.reward for one in (*golds, *bads) if one.result.ok]
        if len(rewards) > 1 and max(rewards) - min(rewards) < 1e-6:
            message = f"all {len(rewards)} samples of group {name!r}, good and bad, get {rewards[0]:g}"
            yield Finding("spread", message, tuple(row.id for row in rows), bads[0].sample if bads else None)


def members(session: AuditSession) -> Iterator[Finding]:
    """Each member of a multi affects the total."""
    formula = session.grader.spec.formula()
    if formula is None:
        return
    _ordinary(session)
    changes = (str.upper, str.lower, str.swapcase, "{}.".format, "It is {}.".format, lambda text: text[:-1])
    session.grade((row, change(row.text)) for row in session.rows if row.text for change in changes)
    keys = formula.names
    vectors = {
        tuple(one.result.sub_rewards[key] for key in keys) for one in session.graded if one.result.sub_rewards
    }
    for at, key in enumerate(keys):
        constants = {vector[at] for vector in vectors} | {0.0, 1.0}
        if any(
            all(_value(formula, _with(vector, at, constant)) == _value(formula, vector) for vector in vectors)
            for constant in constants
        ):
            seen = sorted({vector[at] for vector in vectors})
            gives = (
                f"gives {seen[0]:g} to every sample"
                if len(seen) == 1
                else f"gives {seen[0]:g} to {seen[-1]:g}"
            )
            message = f"{key!r} never moves the total of {formula.text!r} (it {gives})"
            yield Finding("members", message, severity="note")


def failed(session: AuditSession) -> Iterator[Finding]:
    """Golds are graded without an error, so are plain wrong answers; and a failed row gets no reward."""
    _ordinary(session)
    lost = [one for one in session.golds() if not one.result.ok]
    if lost:
        message = f"the gold answer cannot be graded: {_failure_text(lost[0])}"
        yield Finding("failed", message, row_ids(lost), lost[0].sample)
    else:
        others = session.grade((row, other.gold) for row, other in session.others())
        raised = [
            one for one in others if any(isinstance(f, PythonRuntimeError) for f in one.result.failures)
        ]
        if raised:
            message = f"a wrong answer of the right form is an error instead of a low reward: {_failure_text(raised[0])}"
            yield Finding("failed", message, row_ids(raised), raised[0].sample)
    odd = session.grade(
        (row, s) for row in session.rows for s in (probes.NOTHING, *probes.BLANK, *probes.JUNK)
    )
    unpunished = [one for one in odd if any(isinstance(f, PythonRuntimeError) for f in one.result.failures)]
    if unpunished and not lost:
        message = f"a blank or odd answer is an error and no low reward, so that it is not punished: {_failure_text(unpunished[0])}"
        yield Finding("failed", message, row_ids(unpunished), unpunished[0].sample)
    paid = [one for one in session.graded if not one.result.ok and session.height(one.result.reward) >= BEST]
    if paid:
        message = f"a failed row scores {paid[0].result.reward:g}: {_failure_text(paid[0])}"
        yield Finding("failed", message, row_ids(paid), paid[0].sample)
    ended = [
        one for one in session.graded if any(isinstance(f, PythonServerError) for f in one.result.failures)
    ]
    if ended:
        yield Finding(
            "failed",
            f"a sample brought the program down: {_failure_text(ended[0])}",
            row_ids(ended),
            ended[0].sample,
        )
    yield from _failing_member(session)


def _failing_member(session: AuditSession) -> Iterator[Finding]:
    """A failed member of a multi, which counts 0, must not give a wrong answer the top reward."""
    formula = session.grader.spec.formula()
    if formula is None:
        return
    for at, key in enumerate(formula.names):
        for one in session.grade((row, session.wrong(row)) for row in session.rows):
            vector = tuple(one.result.sub_rewards.values())
            without = _value(formula, _with(vector, at, 0.0)) if one.result.ok and vector else None
            if without is not None and one.level < 0.5 and session.height(without) >= BEST:
                message = f"when {key!r} fails it counts 0, and a wrong answer then gets {without:g}"
                yield Finding("failed", message, (one.row.id,), one.sample)
                break


def latency(session: AuditSession) -> Iterator[Finding]:
    """Half of the golds are graded within the budget, and none takes ten times as long."""
    session.run(
        [(session.rows[0], session.rows[0].gold)]
    )  # starts the sandbox or the connection, which is not counted
    budget = session.settings.latency_s * (10 if session.judged else 1)
    for rows in (session.rows[:8], session.rows[:4]):  # again, since a busy machine is not the grader's fault
        seconds = sorted(session.run([(row, row.gold)])[0].execution_time for row in rows)
        middle, most = statistics.median(seconds), seconds[-1]
        if middle <= budget and most <= 10 * budget:
            return
    message = f"a row takes {middle:.2g} s (median) and up to {most:.2g} s; the budget is {budget:g} s"
    yield Finding(
        "latency",
        f"{message}; only {' and '.join(WHEN_SLOW)} are checked beside it",
        tuple(row.id for row in rows),
    )


#: Checks that are still run when a row takes too long, since the others would take minutes.
WHEN_SLOW = ("gold", "permuted")


def in_range(session: AuditSession) -> Iterator[Finding]:
    """Every reward is a finite number on the scale, whatever the sample."""
    _ordinary(session)
    low, high = session.scale
    if session.undeclared:
        message = (
            f"golds use a scale from {low:g} to {high:g} that nothing declares; say scale=({low:g}, {high:g})"
        )
        yield Finding("in_range", message, severity="note")
    out = [
        one for one in session.graded if one.result.ok and not low - 1e-9 <= one.result.reward <= high + 1e-9
    ]
    if out:
        message = f"a reward of {out[0].result.reward:g} is outside {low:g} to {high:g}"
        yield Finding("in_range", message, row_ids(out), out[0].sample)
    no_number = [one for one in session.graded if any(_no_number(failure) for failure in one.result.failures)]
    if no_number:
        message = f"the reward is not a finite number: {_failure_text(no_number[0])}"
        yield Finding("in_range", message, row_ids(no_number), no_number[0].sample)


def _ordinary(session: AuditSession) -> None:
    """Grade plausible model outputs, so that a check that runs alone has samples."""
    session.grade(
        pair
        for row in session.rows
        for pair in (
            (row, row.gold),
            *((row, s) for s in (*row.bad, probes.NOTHING, *probes.BLANK, *probes.JUNK, *probes.REFUSALS)),
            (row, session.wrong(row)),
            (row, probes.THOROUGH),
            (row, probes.FILLER),
            (row, probes.LONG_FILLER),
        )
    )


def _failure_text(one: GradedSample) -> str:
    failure = one.result.failures[0]
    return f"{failure.flag}: {str(failure).strip().splitlines()[-1] if str(failure).strip() else type(failure).__name__}"


def _no_number(failure: Exception) -> bool:
    return isinstance(failure, FormulaError) or (
        isinstance(failure, PythonRuntimeError) and str(failure).startswith("grade returned")
    )


def _with(vector: tuple[float, ...], at: int, value: float) -> tuple[float, ...]:
    return (*vector[:at], value, *vector[at + 1 :])


def _value(formula: Formula, vector: tuple[float, ...]) -> float | None:
    try:
        return round(formula.value(vector), 9)
    except FormulaError:
        return None
