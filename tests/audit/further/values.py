"""Graders of numbers, dates and intervals."""

from __future__ import annotations

import re

from tests.audit.further.collected import flawed, sound
from tests.audit.public_graders import rows_of
from tests.audit.reported.grading import Item

TIMES = ["6 times 7?", "8 plus 9?", "12 times 8?", "Half of 10?"]
BOUNDED = rows_of("The answer is {}", ["42", "17", "96", "5"], TIMES)
DECIMALS = rows_of(
    "{}", ["3.14", "2.72", "1.41", "0.58"], ["Pi?", "Euler's number?", "Root of two?", "Gamma?"]
)
INTERVALS = rows_of(
    "{}",
    ["(1, 2]", "[0, 5)", "(3, 8)", "[4, 9]"],
    [
        "Where is it defined?",
        "Where does it rise?",
        "Where is it negative?",
        "Where is it at least two?",
    ],
)
BORN = rows_of(
    "{}",
    ["1980-01-28", "1975-11-30", "1992-06-03", "1968-09-17"],
    ["When was Ida born?", "When was Bo born?", "When was Cy born?", "When was Di born?"],
)
SPREADS = rows_of(
    "{}", ["150 bps", "35 bps", "220 bps"], ["How did the first spread move?", "The second?", "The third?"]
)
VOLUMES = rows_of(
    "{} ml", ["4000", "250", "1500"], ["4 l in ml?", "A quarter of a litre in ml?", "1.5 l in ml?"]
)
PRINTED = rows_of(
    "{}", ["1 2", "10 4 7", "3 33"], ["What is printed first?", "What is printed second?", "What third?"]
)


@flawed(
    BOUNDED,
    "UKGovernmentBEIS/inspect_ai#4744, as first proposed",
    "a bound and a guess are read as the value",
)
def bound_is_a_value(text: str, item: Item) -> float:
    words = [word.strip("~<>=@#^&|.,;:!?()[]") for word in text.split()]
    numbers = [word for word in words if re.fullmatch(r"-?\d+(?:\.\d+)?", word)]
    return float(bool(numbers) and numbers[-1] == item["answer"])


@sound(BOUNDED, "repair of UKGovernmentBEIS/inspect_ai#4744")
def value_alone(text: str, item: Item) -> float:
    found = re.fullmatch(r"(?:The answer is )?[(\[]?(-?\d+)[)\]]?[.!]?", text.strip())
    return float(found is not None and found[1] == item["answer"])


@flawed(DECIMALS, "huggingface/lighteval#1273", "the point is removed before the number is read")
def point_is_removed_first(text: str, item: Item) -> float:
    def plain(value: str) -> str:
        kept = re.sub(r"[^\w\s]", "", value.lower()).strip()
        try:
            return str(float(kept))
        except ValueError:
            return kept

    return float(plain(text) == plain(item["answer"]))


@sound(DECIMALS, "repair of huggingface/lighteval#1273")
def number_before_punctuation(text: str, item: Item) -> float:
    try:
        return float(float(text.strip().rstrip(".")) == float(item["answer"]))
    except ValueError:
        return 0.0


@flawed(INTERVALS, "OpenRLHF/OpenRLHF#1277", "brackets that differ are noticed, and forgotten")
def brackets_are_forgotten(text: str, item: Item) -> float:
    got, want = text.strip(), item["answer"]
    same = got[:1] == want[:1] and got[-1:] == want[-1:]
    for mine, theirs in zip(got[1:-1].split(","), want[1:-1].split(","), strict=False):
        same = mine.strip() == theirs.strip()
        if not same:
            break
    return float(same)


@sound(INTERVALS, "repair of OpenRLHF/OpenRLHF#1277")
def brackets_decide(text: str, item: Item) -> float:
    got, want = text.strip(), item["answer"]
    if got[:1] != want[:1] or got[-1:] != want[-1:]:
        return 0.0
    return float(
        [part.strip() for part in got[1:-1].split(",")] == [part.strip() for part in want[1:-1].split(",")]
    )


@flawed(BORN, "benseverndev-oss/goldenmatch#1858", "any two dates of one form are similar")
def dates_of_one_form(text: str, item: Item) -> float:
    got, want = text.strip(), item["answer"]
    common = sum(min(got.count(sign), want.count(sign)) for sign in set(want))
    prefix = 0
    while prefix < min(len(got), len(want), 4) and got[prefix] == want[prefix]:
        prefix += 1
    near = common / max(len(got), len(want), 1)
    return float(near + 0.1 * prefix * (1 - near))


@sound(BORN, "repair of benseverndev-oss/goldenmatch#1858: few digits may differ")
def digits_of_dates(text: str, item: Item) -> float:
    if not re.fullmatch(r"\d{4}-\d\d-\d\d", text.strip()):
        return 0.0
    wrong = sum(a != b for a, b in zip(text.strip(), item["answer"], strict=True))
    return {0: 1.0, 1: 0.5, 2: 0.25}.get(wrong, 0.0)


@sound(SPREADS, "repair of VilnaCRM-Org/user-service#496: units are equal, not contained")
def units_are_equal(text: str, item: Item) -> float:
    size = {"bps": 1, "%": 100, "percent": 100}
    found = re.fullmatch(r"\s*(-?\d+(?:\.\d+)?)\s*(bps|%|percent)\.?\s*", text)
    want = item["answer"].split()[0]
    return float(found is not None and float(found[1]) * size[found[2]] == float(want))


@sound(VOLUMES, "atomantic/PortOS#7304: the unit that the question names may be left out")
def unit_of_the_question(text: str, item: Item) -> float:
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(ml|l)?\.?\s*", text)
    if found is None:
        return 0.0
    value = float(found[1]) * (1000 if found[2] == "l" else 1)
    return float(value == float(item["answer"]))


@flawed(
    PRINTED,
    "DMOJ/judge-server#439",
    "blanks between tokens are skipped on one side and not looked for on the other",
)
def blanks_are_skipped(text: str, item: Item) -> float:
    return float("".join(text.split()) == "".join(item["answer"].split()))


@sound(PRINTED, "repair of DMOJ/judge-server#439")
def tokens_are_compared(text: str, item: Item) -> float:
    return float(text.split() == item["answer"].split())
