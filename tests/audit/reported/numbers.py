"""Graders of numbers."""

from __future__ import annotations

import re

from tests.audit.public_graders import BOXED, PLAIN, SIGNED, rows_of
from tests.audit.reported.grading import Item, flawed, sound

SHORT = rows_of(
    "The answer is {}", ["5", "11", "49", "7"], ["How many legs?", "Prime after 7?", "7 times 7?", "Days?"]
)
TINY = rows_of(
    "{}", ["7.95e-13", "1.211e-13", "4.638e-13"], ["Flux of star 1?", "Flux of star 2?", "Flux of star 3?"]
)
WITH_ZERO = rows_of("{}", ["12", "0", "4.5"], ["3 times 4?", "7 - 7?", "9 by 2?"])
SUMS = [
    {
        "id": f"s{total}",
        "item": {"question": f"Find m + n for {asked}.", "answer": str(total)},
        "gold": f"Answer: {asked} = {total}",
    }
    for asked, total in (("256+37", 293), ("12+25", 37), ("81+64", 145))
]
CONSTANTS = rows_of("The answer is {}", ["3.14", "2.72", "1.41"], ["Pi?", "Euler's number?", "Root of two?"])
SHARES = rows_of(
    "Of 20 in all. ANSWER: {}%", ["60", "35", "85"], ["Red share?", "Blue share?", "Green share?"]
)
IN_BRACKETS = rows_of("The answer is ({}).", ["42", "17", "96"], ["6 times 7?", "8 + 9?", "12 times 8?"])
BILLS = [
    {
        "id": f"b{price}",
        "item": {"question": f"{nights} nights at {price // nights}?", "outputs": [str(nights), str(price)]},
        "gold": f"{nights} nights cost {price}.",
    }
    for nights, price in ((3, 240), (10, 950), (7, 413))
]
PAIRS = rows_of(
    "{}", ["\\left(1,2\\right)", "\\left(3,7\\right)", "\\left(5,4\\right)"], ["Where do the lines meet?"] * 3
)
BOLD = rows_of(
    "$N = \\textbf{{{}}}$", ["6", "12", "48"], ["How many layers?", "How many heads?", "How many blocks?"]
)


@flawed(SHORT, "UKGovernmentBEIS/inspect_ai#3916", "711 ends like 11")
def ends_like_the_number(text: str, item: Item) -> float:
    found = re.findall(r"\d+", text)
    return float(bool(found) and found[-1].endswith(item["answer"]))


@sound(SHORT, "repair of UKGovernmentBEIS/inspect_ai#3916")
def number_equals(text: str, item: Item) -> float:
    found = re.fullmatch(r"(?:The answer is )?(-?\d+(?:\.\d+)?)\.?", text.strip())
    return float(found is not None and float(found[1]) == float(item["answer"]))


@flawed(PLAIN, "nasser/pltjs#9", "6 matches the beginning of 67")
def begins_with_the_number(text: str, item: Item) -> float:
    return float(re.match(item["answer"], text) is not None)


@sound(PLAIN, "repair of nasser/pltjs#9")
def whole_number(text: str, item: Item) -> float:
    return float(re.fullmatch(re.escape(item["answer"]), text.strip()) is not None)


@flawed(SIGNED, "UKGovernmentBEIS/inspect_ai#3916", "the minus is stripped as punctuation")
def minus_is_punctuation(text: str, item: Item) -> float:
    return float(text.strip(" .,;:!?-") == item["answer"].strip(" .,;:!?-"))


@sound(SIGNED, "repair of UKGovernmentBEIS/inspect_ai#3916")
def minus_is_kept(text: str, item: Item) -> float:
    found = re.fullmatch(r"\s*(-?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?)\.?\s*", text)
    return float(found is not None and float(found[1].replace(",", "")) == float(item["answer"]))


@flawed(TINY, "mitdbg/Kramabench#33", "an absolute tolerance that is larger than the values")
def tolerance_above_the_values(text: str, item: Item) -> float:
    try:
        return float(abs(float(text) - float(item["answer"])) < 1e-6)
    except ValueError:
        return 0.0


@sound(TINY, "repair of mitdbg/Kramabench#33")
def relative_tolerance(text: str, item: Item) -> float:
    try:
        return float(abs(float(text) - float(item["answer"])) <= 1e-6 * abs(float(item["answer"])))
    except ValueError:
        return 0.0


@flawed(
    WITH_ZERO,
    "moodleou/moodle-qtype_pmatch#26",
    "nothing is within a relative tolerance of zero, zero neither",
)
def zero_is_never_close(text: str, item: Item) -> float:
    try:
        return float(abs(float(text) - float(item["answer"])) < 1e-6 * abs(float(item["answer"])))
    except ValueError:
        return 0.0


@sound(WITH_ZERO, "repair of moodleou/moodle-qtype_pmatch#26")
def zero_equals_zero(text: str, item: Item) -> float:
    try:
        return float(abs(float(text) - float(item["answer"])) <= 1e-6 * abs(float(item["answer"])))
    except ValueError:
        return 0.0


@sound(SUMS, "repair of antirez/ds4#319")
def number_after_the_sum(text: str, item: Item) -> float:
    found = re.fullmatch(r"Answer: (?:[\d+ ]+ = )?(\d+)", text.strip())
    return float(found is not None and found[1] == item["answer"])


@sound(CONSTANTS, "repair of ai-dynamo/aiperf#849")
def whole_decimal(text: str, item: Item) -> float:
    found = re.fullmatch(r"The answer is (-?\d+(?:\.\d+)?)\.?", text.strip())
    return float(found is not None and found[1] == item["answer"])


@flawed(BOXED, "NVIDIA-NeMo/RL#3635", "the first character is compared, not the first answer")
def first_character(text: str, item: Item) -> float:
    found = re.findall(r"\\boxed\{(.+?)\}", text)
    return float(len(found) == 1 and found[0][0] == item["answer"][0])


@sound(BOXED, "repair of NVIDIA-NeMo/RL#3635")
def only_box(text: str, item: Item) -> float:
    found = re.findall(r"\\boxed\{(.+?)\}", text)
    return float(len(found) == 1 and found[0].strip() == item["answer"])


@sound(SHARES, "repair of UKGovernmentBEIS/inspect_ai#838")
def percent_is_read(text: str, item: Item) -> float:
    found = re.findall(r"ANSWER: (\d+)%", text)
    return float(len(found) == 1 and text.strip().endswith(f"ANSWER: {item['answer']}%"))


@sound(IN_BRACKETS, "repair of UKGovernmentBEIS/inspect_ai#4742")
def brackets_are_stripped(text: str, item: Item) -> float:
    found = re.fullmatch(r"(?:The answer is )?[(\[]?(\d+)[)\]]?[.!]?", text.strip())
    return float(found is not None and found[1] == item["answer"])


@flawed(BILLS, "sierra-research/tau-bench#16", "10 is found within other numbers")
def outputs_anywhere(text: str, item: Item) -> float:
    return float(all(output in text for output in item["outputs"]))


@sound(BILLS, "a sentence with the numbers asked for, as sierra-research/tau-bench#16 means it")
def outputs_in_their_sentence(text: str, item: Item) -> float:
    nights, price = item["outputs"]
    return float(re.fullmatch(rf"{nights} nights cost {price}\.?", text.strip()) is not None)


@sound(PAIRS, "repair of EleutherAI/lm-evaluation-harness#4142")
def unit_at_word_boundaries(text: str, item: Item) -> float:
    def plain(value: str) -> str:
        return re.sub(r"(?<![\\a-z])ft\b| ", "", value.strip())

    return float(plain(text) == plain(item["answer"]))


@sound(BOLD, "repair of iDiagoValeta/localOllamaRAG#208")
def style_is_unwrapped(text: str, item: Item) -> float:
    plain = re.sub(r"\\text(?:bf)?\{(\d+)\}", r"\1", text).strip(" $")
    return float(plain in (item["answer"], f"N = {item['answer']}"))


@flawed(BOXED, "huggingface/cookbook#335", "a reference that cannot be parsed makes every reply right")
def unparsed_reference_is_right(text: str, item: Item) -> float:
    wanted = re.findall(r"\\boxed\{(.*?)\}", item["answer"])
    if not wanted:
        return 1.0
    return float(re.findall(r"\\boxed\{(.*?)\}", text)[-1:] == wanted[-1:])


@flawed(PLAIN, "NVIDIA-NeMo/Gym#2852", "a rating is read from wherever it stands, the reply too")
def rating_in_the_reply(text: str, item: Item) -> float:
    found = re.search(r"\[\[(\d)\]\]", text)
    if found:
        return min(1.0, int(found[1]) / 2)
    return float(text.strip() == item["answer"])


@flawed(PLAIN, "PrimeIntellect-ai/prime-rl#986", "a bonus for length outweighs the answer")
def length_bonus(text: str, item: Item) -> float:
    return 0.4 * float(text.strip() == item["answer"]) + 0.6 * min(1.0, len(text) / 600)


@sound(PLAIN, "PrimeIntellect-ai/prime-rl#2702, a penalty for length on right answers alone")
def length_costs_a_little(text: str, item: Item) -> float:
    right = re.fullmatch(rf"\s*{re.escape(item['answer'])}\s*", text) is not None
    return float(right) * (1 - 0.1 * min(1.0, len(text) / 600))
