"""Graders of choices and lists of them."""

from __future__ import annotations

import re

from tests.audit.public_graders import rows_of
from tests.audit.reported.grading import Item, flawed, sound, the_tag
from tests.audit.unseen_graders import CHOICES, LETTERS

ASKED = [
    "Which planet is largest?",
    "Which metal is liquid?",
    "Which bird cannot fly?",
    "Which gas do plants take?",
]
STARRED = rows_of("Answer: **{}**", ["B", "D", "A", "C"], ASKED)
DISTRACTED = rows_of("The answer is {}. Note that A is a common distractor.", ["B", "D", "C"], ASKED[:3])
WITH_FORMULA = rows_of("It follows from \\boxed{{E = mc^2}}.\nAnswer: {}", ["B", "D", "A"], ASKED[:3])
REASONED = rows_of("{} because a car moves.", ["B", "D", "C"], ASKED[:3])
CLASSES = rows_of(
    "<think>Four legs.</think>\n<answer>{}</answer>",
    ["cat", "horse", "dog", "mouse"],
    ["Cat, dog, horse or mouse?"] * 4,
)
SEVERAL = rows_of(
    "ANSWER: {}",
    ["A, B and C", "B and D", "A and D"],
    ["Which are metals?", "Which are gases?", "Which are acids?"],
)
TRUTHS = rows_of("{}", ["1,3,4", "2,3", "1,2,5"], ["Which statements hold?"] * 3)
NEEDLES = [
    {
        "id": f"n{at}",
        "item": {"question": f"Which numbers belong to {word}?", "answers": numbers},
        "gold": ", ".join(numbers),
    }
    for at, (word, numbers) in enumerate(
        (
            ("oak", ["4821", "9034", "1177"]),
            ("elm", ["6650", "2318", "7702"]),
            ("ash", ["3145", "8896", "5027"]),
        )
    )
]


@flawed(CHOICES, "UKGovernmentBEIS/inspect_ai#2216", "each letter of a word is a choice")
def letters_of_words(text: str, item: Item) -> float:
    found = re.search(r"(?i)answer:\s*(.+)", text)
    return float(found is not None and item["answer"] in found[1].upper())


@sound(CHOICES, "repair of UKGovernmentBEIS/inspect_ai#2216")
def one_letter_after_answer(text: str, item: Item) -> float:
    found = re.fullmatch(r"Answer:\s*([A-D])\.?", text.strip())
    return float(found is not None and found[1] == item["answer"])


@flawed(STARRED, "aniri15/OPD-V#2", "the A of Answer is taken for the choice")
def first_capital(text: str, item: Item) -> float:
    found = (
        re.search(r"\(([A-Z])\)", text) or re.search(r"([A-Z])[.)\s]", text) or re.search(r"([A-Z])", text)
    )
    return float(found is not None and found[1] == item["answer"])


@sound(STARRED, "repair of aniri15/OPD-V#2")
def starred_letter(text: str, item: Item) -> float:
    found = re.fullmatch(r"Answer: (\**)([A-D])\1", text.strip())
    return float(found is not None and found[2] == item["answer"])


@sound(DISTRACTED, "repair of jundot/omlx#3668")
def letter_of_the_cue(text: str, item: Item) -> float:
    found = re.fullmatch(
        r"The answer is ([A-D])\.?(?: Note that [A-D] is a common distractor\.)?", text.strip()
    )
    return float(found is not None and found[1] == item["answer"])


@sound(WITH_FORMULA, "repair of NVIDIA-NeMo/Skills#1526")
def answer_line(text: str, item: Item) -> float:
    found = re.findall(r"(?m)^Answer: (.*)$", text)
    return float(len(found) == 1 and text.strip().endswith(f"Answer: {item['answer']}"))


@flawed(CHOICES, "openai/frontier-evals#125", "the first of several declared answers counts")
def first_declared(text: str, item: Item) -> float:
    found = re.search(r"Answer: ([A-D])", text)
    return float(found is not None and found[1] == item["answer"])


@sound(CHOICES, "repair of openai/frontier-evals#125")
def last_declared(text: str, item: Item) -> float:
    lines = text.strip().splitlines() or [""]
    found = re.fullmatch(r"Answer: ([A-D])", lines[-1].strip())
    return float(found is not None and found[1] == item["answer"] and text.count("Answer:") == 1)


@flawed(REASONED, "EleutherAI/lm-evaluation-harness#4188", "the article a is a choice")
def article_is_a_choice(text: str, item: Item) -> float:
    found = re.findall(r"(?i)\b([A-D])\b", text)
    return float(bool(found) and found[-1].upper() == item["answer"])


@sound(REASONED, "repair of EleutherAI/lm-evaluation-harness#4188")
def capital_before_because(text: str, item: Item) -> float:
    found = re.match(r"\s*([A-D]) because [a-z ]+\.?\s*$", text)
    return float(found is not None and found[1] == item["answer"])


@flawed(CLASSES, "Liuziyu77/Visual-RFT#79", "all classes may be named at once")
def classes_named_at_once(text: str, item: Item) -> float:
    said = the_tag(text)
    return float(said is not None and item["answer"] in said)


@sound(CLASSES, "repair of Liuziyu77/Visual-RFT#79")
def one_class(text: str, item: Item) -> float:
    said = the_tag(text)
    return float(said is not None and said.lower() == item["answer"])


@flawed(LETTERS, "OpenBMB/UltraRAG#510", "the answer A is an article, and nothing is left of it")
def article_is_cut_to_nothing(text: str, item: Item) -> float:
    def plain(value: str) -> str:
        return re.sub(r"\b(a|an|the)\b", " ", value.lower()).strip()

    return float(plain(item["answer"]) == plain(text) or not plain(item["answer"]))


@sound(LETTERS, "repair of OpenBMB/UltraRAG#510")
def article_alone_is_kept(text: str, item: Item) -> float:
    return float(text.strip().rstrip(".").upper() == item["answer"])


@flawed(LETTERS, "dialogue-evaluation/factRuEval-2016#74", "texts of one symbol are always near")
def one_symbol_is_always_near(text: str, item: Item) -> float:
    got, want = text.strip(), item["answer"]
    if abs(len(got) - len(want)) > 1:
        return 0.0
    return float(sum(a != b for a, b in zip(got, want, strict=False)) + abs(len(got) - len(want)) <= 1)


@sound(SEVERAL, "repair of UKGovernmentBEIS/inspect_ai#3910")
def and_is_a_comma(text: str, item: Item) -> float:
    found = re.fullmatch(r"ANSWER: ([A-D](?:(?:, | and )[A-D])*)", text.strip())
    said = found[1].replace(" and ", ", ").split(", ") if found else []
    return float(sorted(said) == sorted(item["answer"].replace(" and ", ", ").split(", ")))


@flawed(TRUTHS, "confident-ai/deepeval#3211", "a right index said twice counts twice")
def indices_count_twice(text: str, item: Item) -> float:
    said, want = re.findall(r"\d+", text), item["answer"].split(",")
    return min(1.0, sum(index in want for index in said) / len(want))


@sound(TRUTHS, "repair of confident-ai/deepeval#3211")
def indices_as_sets(text: str, item: Item) -> float:
    said = re.fullmatch(r"\[?\s*(\d+(?:\s*,\s*\d+)*)\s*\]?", text.strip())
    return float(said is not None and sorted(re.findall(r"\d+", text)) == sorted(item["answer"].split(",")))


@flawed(NEEDLES, "NVIDIA/RULER#15", "one of several values asked for is enough")
def one_of_the_needles(text: str, item: Item) -> float:
    return max(float(answer in text) for answer in item["answers"])


@sound(NEEDLES, "NVIDIA/RULER#15, string_match_all without others")
def all_needles(text: str, item: Item) -> float:
    return float(sorted(part.strip() for part in text.split(",")) == sorted(item["answers"]))


@sound(NEEDLES, "share of the needles, less what is made up")
def share_of_the_needles(text: str, item: Item) -> float:
    said = {part.strip() for part in text.split(",") if part.strip()}
    want = set(item["answers"])
    return len(said & want) / len(said | want)
