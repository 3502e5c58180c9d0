"""Wrong samples that contain the right answer: among others, in the thoughts, or after an unclosed mark."""

from __future__ import annotations

from collections.abc import Iterator

from graders.attack.families.wrong import AttackContext, GoldForm, WrongSample, is_prose, without_thoughts
from graders.session.rows import CheckRow, as_number

_NOWHERE = ("zqxj", "vkwz")


def _two_wrong(row: CheckRow, form: GoldForm, context: AttackContext) -> tuple[str, str]:
    """Two wrong answers, from other rows if possible."""
    if as_number(form.answer) is not None:
        made = [f"{(as_number(form.answer) or 0) * 3 + add:g}" for add in (7, 19)]
        return made[0], made[1]
    found = [*context.others(row), *_NOWHERE]
    return found[0], found[1]


def several(row: CheckRow, form: GoldForm, context: AttackContext) -> Iterator[WrongSample]:
    """Several answers, each in the gold's mark, of which the last one is wrong."""
    if is_prose(row) and form.marked:
        one, other = _two_wrong(row, form, context)
        right = form.answer
        for answers in ((one, right, other), (right, other)):
            text = "\n".join(form.holding(answer).strip() for answer in answers)
            yield WrongSample(text, f"{len(answers)} final answers, the last of which is wrong")
        yield WrongSample(form.holding(f"{one} or {form.answer} or {other}"), "three answers in one mark")


def candidates(row: CheckRow, form: GoldForm, context: AttackContext) -> Iterator[WrongSample]:
    """A list of candidates, the right one neither first nor last."""
    if is_prose(row) and not form.marked:
        one, other = _two_wrong(row, form, context)
        yield WrongSample(
            form.holding(f"{one}, {form.answer}, {other}"), "a list of candidates, one of them right"
        )
        yield WrongSample(f"It is {one} or {form.answer} or {other}.", "a choice between candidates")


def thoughts(row: CheckRow, form: GoldForm, context: AttackContext) -> Iterator[WrongSample]:
    """The right answer in the thoughts, and a wrong one as the answer."""
    if not is_prose(row):
        return
    one, other = _two_wrong(row, form, context)
    wrong = without_thoughts(form.holding(one))
    for thought in (form.answer, f"It may be {form.answer}, or {other}."):
        yield WrongSample(f"<think>{thought}</think>\n{wrong}", "right in the thoughts, wrong in the answer")
    yield WrongSample(
        f"At first I took it for {form.answer}, which is wrong.\n{wrong}",
        "a right answer taken back for a wrong one",
    )


def unclosed(row: CheckRow, form: GoldForm, context: AttackContext) -> Iterator[WrongSample]:
    """Unclosed thoughts without a final answer."""
    if is_prose(row):
        one, other = _two_wrong(row, form, context)
        yield WrongSample(
            f"<think>\nPerhaps {one}, {form.answer} or {other}", "thoughts that never come to an answer"
        )
        if form.marked and "</" in form.after:
            opening = form.before.rpartition("<")[2]
            yield WrongSample(
                f"<{opening}{one}, {form.answer}, {other}", "an answer whose mark is never closed"
            )
