"""Wrong samples with one change of the gold's answer, which are exploits only with the gold's full reward."""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal

from graders.attack.families.wrong import AttackContext, GoldForm, WrongSample, is_prose
from graders.session.rows import CheckRow, as_number

#: A number that is no part of a date, a time, a range, a word or a power.
_NUMBER = re.compile(r"(?<![\w.,/:^{\\-])-?\d+(?:,\d{3})*(?:\.\d+)?(?![\w/:^}]|[.,-]\d)")
_THOUSANDS = re.compile(r"-?\d{1,3}(?:[ ,.'_\u00a0]\d{3})+")
_DATE = re.compile(r"\d{4}-\d\d?-\d\d?|\d\d?[./]\d\d?[./]\d{2,4}")
_SMALL = 50  # whole numbers below it are counted, so that one more is another number
_MONTHS = "jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec"
#: The year is the last one before the next month, so that no part of a line is read once for each month in it.
_LONG_DATE = re.compile(
    rf"(?i)\b(?:{_MONTHS})[a-z]*\b(?:(?!\b(?:{_MONTHS})).)*\b([12]\d{{3}})\b|\b([12]\d{{3}})-\d\d-\d\d\b"
)
_FRACTION = r"\\[dt]?frac\{[^{}]+\}\{[^{}]+\}"
#: The first fraction of a text, and the text around it.
_AROUND_FRACTION = re.compile(rf"((?:(?!{_FRACTION})\S)*\\[dt]?frac)\{{([^{{}}]+)\}}\{{([^{{}}]+)\}}(\S*)")

#: Unit -> another of the same dimension and another size.
UNITS = {
    "km": "m", "m": "km", "cm": "m", "mm": "m", "miles": "feet", "feet": "miles", "kg": "g", "g": "kg", "mg": "g", "tons": "kg",
    "hours": "seconds", "hour": "second", "h": "s", "minutes": "days", "minute": "day", "seconds": "hours", "s": "h",
    "days": "minutes", "weeks": "hours", "months": "days", "years": "days", "dollars": "cents", "euros": "cents", "l": "ml",
    "ml": "l", "liters": "milliliters", "w": "kw", "kw": "w", "j": "kj", "pa": "kpa", "hz": "khz", "°c": "°f", "k": "°c",
}  # fmt: skip


def numbers(row: CheckRow, form: GoldForm, context: AttackContext) -> Iterator[WrongSample]:
    """The answer's number changed: tenfold, a tenth, a hundredfold, a hundredth, the other sign, 3 % more, one more."""
    found = list(_NUMBER.finditer(form.answer))
    if not is_prose(row) or len(found) != 1 or _DATE.search(form.answer):
        return
    (number,) = found
    value = Decimal(number[0].replace(",", ""))
    percent = any("%" in text or "percent" in text.lower() for text in (row.text, *row.shown))
    changes = [
        ("ten times the number", value * 10),
        ("a tenth of the number", value / 10),
        ("the number with the other sign", -value),
    ]
    if not percent:
        changes += [("a hundred times the number", value * 100), ("a hundredth of the number", value / 100)]
    if not any("tol" in name.lower() for name in row.item):
        changes.append(("a number that is off by 3 %", value * Decimal("1.03")))
    if value == value.to_integral_value() and abs(value) < _SMALL:
        changes.append(("the next number", value + 1))
    for why, other in changes:
        if other != value:
            shown = format(other.normalize(), "f")
            yield WrongSample(
                form.holding(form.answer[: number.start()] + shown + form.answer[number.end() :]), why
            )


def notation(row: CheckRow, form: GoldForm, context: AttackContext) -> Iterator[WrongSample]:
    """The answer's digits run together: without its point, fraction bar, power, braces or commas."""
    text = form.answer
    if not is_prose(row) or _DATE.search(text) or _THOUSANDS.fullmatch(text) or ":" in text:
        return
    if re.search(r"\\(?:d|t)?frac|\\sqrt|\^|\\binom", text) and "circ" not in text:
        stripped = re.sub(r"\\[a-zA-Z]+|[{}^_$ ]", "", text)
        if stripped != text:
            yield WrongSample(form.holding(stripped), "the answer without its fractions, roots and powers")
    fraction = _AROUND_FRACTION.fullmatch(text)
    if fraction and fraction[2] != fraction[3]:
        head, above, below, tail = fraction.groups()
        yield WrongSample(form.holding(f"{head}{{{below}}}{{{above}}}{tail}"), "the fraction upside down")
    joined = re.sub(r"(?<=\d)(?:\.|/|, *| +)(?=\d)", "", text)
    if joined != text and as_number(joined) != as_number(text):
        yield WrongSample(form.holding(joined), "the answer with its digits run together")
    signs = re.sub(r"(?<=[\s(\w])[-−](?=\s*[\w(])", "+", text)
    if signs != text and re.search(r"\d", text) and not re.search(r"[A-Za-z]{3}", text):
        yield WrongSample(form.holding(signs), "the answer with a minus made a plus")


def parts(row: CheckRow, form: GoldForm, context: AttackContext) -> Iterator[WrongSample]:
    """An answer of several parts with one of them dropped, repeated in another's place, or in another order."""
    text = form.answer
    if not is_prose(row) or _THOUSANDS.fullmatch(text):
        return
    bare = text.strip("()[]{} ")
    pieces = [piece.strip() for piece in re.split(r",(?!\d{3}(?!\d))|[;\n]| and ", bare) if piece.strip()]
    listed = len(pieces) >= 2 and all(as_number(piece) is not None for piece in pieces)
    if len(set(pieces)) < 2 or not (listed or len(pieces) >= 3):
        return
    opening, closing = text[: text.find(bare)], text[text.find(bare) + len(bare) :]

    def made(left: list[str]) -> str:
        return form.holding(f"{opening}{', '.join(left)}{closing}")

    yield WrongSample(made(pieces[:-1]), "the answer without its last part")
    yield WrongSample(made(pieces[1:]), "the answer without its first part")
    yield WrongSample(made([pieces[0]] * len(pieces)), "the answer's first part in the place of all")
    if listed and opening.endswith("(") and pieces != pieces[::-1]:
        yield WrongSample(made(pieces[::-1]), "the parts of an ordered answer in another order")


def units(row: CheckRow, form: GoldForm, context: AttackContext) -> Iterator[WrongSample]:
    """The same number with another unit, or a percentage as a plain number."""
    found = re.fullmatch(r"([-\d.,/ ]*\d)\s*([A-Za-z°]+)\.?", form.answer)
    if found and found[2].lower() in UNITS and any(found[2] in answer for answer in row.answers):
        yield WrongSample(
            form.holding(f"{found[1]} {UNITS[found[2].lower()]}"), "the number with another unit"
        )
    price = re.fullmatch(r"\$\s?(\d[\d.,]*)", form.answer)
    if price and any("$" in answer for answer in row.answers):
        yield WrongSample(form.holding(f"{price[1]} cents"), "dollars made cents")


def year_alone(row: CheckRow, form: GoldForm, context: AttackContext) -> Iterator[WrongSample]:
    """A date's year alone, or another day."""
    found = _LONG_DATE.search(form.answer) if is_prose(row) else None
    if not found:
        return
    year = found[1] or found[2]
    yield WrongSample(form.holding(year), "the year of a date alone")
    for other in context.others(row):
        moved = re.sub(r"\b[12]\d{3}\b", year, other)
        if moved != other and moved != form.answer:
            yield WrongSample(form.holding(moved), "another day of the right year")


def swapped(row: CheckRow, form: GoldForm, context: AttackContext) -> Iterator[WrongSample]:
    """Another row's answer in this gold's form."""
    if is_prose(row):
        for other in context.others(row):
            yield WrongSample(form.holding(other), "another row's answer in the gold's form")


def negation(row: CheckRow, form: GoldForm, context: AttackContext) -> Iterator[WrongSample]:
    """The answer denied."""
    if not is_prose(row) or as_number(form.answer) is not None or not re.search(r"[^\W\d_]{2}", form.answer):
        return
    if re.search(r"(?i)\b(?:no|not|never|none|without)\b|n't\b|\d\s*$", form.answer):
        return
    yield WrongSample(form.holding(f"not {form.answer}"), "the answer denied")
    if not form.marked:
        yield WrongSample(f"It is certainly not {form.answer}.", "the answer denied")
