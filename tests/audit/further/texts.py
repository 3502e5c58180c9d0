"""Graders of words and sentences."""

from __future__ import annotations

import re

from tests.audit.further.collected import FURTHER, flawed, sound
from tests.audit.public_graders import NAMES, Rows, rows_of
from tests.audit.reported.grading import Item
from tests.audit.unseen_graders import SUMMARIES
from tests.specs import text_similarity

CAPITALS = rows_of(
    "{}",
    ["Paris", "Ottawa", "Canberra", "Lima"],
    ["Capital of France?", "Of Canada?", "Of Australia?", "Of Peru?"],
)
BRACKETS = rows_of(
    "{}",
    ["valid", "7", "12", "valid"],
    [
        "Where does ()() break?",
        "Where does (()(()( break?",
        "Where does ((()))(()())[ break?",
        "Where does [] break?",
    ],
)
QUALITY = rows_of(
    "The text is {}.",
    ["poor", "excellent", "acceptable"],
    ["How good is the first?", "How good is the second?", "How good is the third?"],
)
THREE_SENTENCES: Rows = [
    {
        "id": word.lower(),
        "item": {
            "question": f"Three sentences of equal length, no word twice, one with {word}.",
            "word": word,
        },
        "gold": f"{word} sat. {second} ran. {third} hid.",
    }
    for word, second, third in (("Cat", "Dog", "Fox"), ("Owl", "Hen", "Bee"), ("Ant", "Cow", "Elk"))
]
PLAIN_WORDS: Rows = [
    {
        "id": place,
        "item": {"question": f"A sentence about {place} with few stop words.", "place": place},
        "gold": f"Quiet {place} sells bread, fish, wool.",
    }
    for place in ("Bergen", "Quito", "Turku")
]
ALTERNATIVES: Rows = [
    {
        "id": river,
        "item": {"question": f"Where does the {river} end?", "acceptable": [sea, ""]},
        "gold": sea,
    }
    for river, sea in (("Danube", "Black Sea"), ("Rhine", "North Sea"), ("Rhone", "Mediterranean"))
]
EXPLAINED: Rows = [
    {
        "id": answer,
        "item": {"question": asked, "answer": answer, "because": because},
        "gold": f"{because}\nAnswer: {answer}",
    }
    for asked, answer, because in (
        ("Stop or go at red?", "stop", "A red light means that others cross."),
        ("Slow or fast in fog?", "slow", "One sees less than the way to halt."),
        ("Left or right of the cone?", "left", "The right lane is closed by works."),
    )
]


@flawed(NAMES, "UKGovernmentBEIS/inspect_ai#4618", "exact means the same set of words")
def exact_as_a_set(text: str, item: Item) -> float:
    def words(value: str) -> set[str]:
        return set(re.sub(r"[^\w\s]", "", value.lower()).split())

    return float(words(text) == words(item["answer"]))


@flawed(CAPITALS, "UKGovernmentBEIS/inspect_ai#5473", "an answer said five times is as good as said once")
def repeats_are_free(text: str, item: Item) -> float:
    got, want = set(text.lower().split()), set(item["answer"].lower().split())
    common = len(got & want)
    return 2 * common / (len(got) + len(want)) if common else 0.0


@sound(CAPITALS, "repair of UKGovernmentBEIS/inspect_ai#5473")
def repeats_are_counted(text: str, item: Item) -> float:
    from collections import Counter

    got, want = Counter(text.lower().strip(". ").split()), Counter(item["answer"].lower().split())
    common = (got & want).total()
    return 2 * common / (got.total() + want.total()) if common else 0.0


@flawed(BRACKETS, "PrimeIntellect-ai/verifiers#1503", "valid is a part of invalid")
def valid_in_invalid(text: str, item: Item) -> float:
    number = re.search(r"\d+", text)
    said = number[0] if number else "valid" if "valid" in text.lower() else ""
    return float(said == item["answer"])


@sound(BRACKETS, "repair of PrimeIntellect-ai/verifiers#1503")
def valid_alone(text: str, item: Item) -> float:
    return float(re.fullmatch(rf"(?i)\s*{item['answer']}\.?\s*", text) is not None)


@flawed(QUALITY, "OpenAgentHQ/openagent-eval#74", "a word of praise counts wherever it stands, denied too")
def praise_anywhere(text: str, item: Item) -> float:
    for word in ("excellent", "acceptable", "poor"):
        if word in text.lower():
            return float(word == item["answer"])
    return 0.0


@sound(QUALITY, "repair of OpenAgentHQ/openagent-eval#74")
def rating_in_its_place(text: str, item: Item) -> float:
    found = re.fullmatch(r"The text is (\w+)\.?", text.strip())
    return float(found is not None and found[1] == item["answer"])


@flawed(THREE_SENTENCES, "modelscope/evalscope#1676", "the words need not differ")
def sentences_may_repeat(text: str, item: Item) -> float:
    sentences = [part.strip() for part in text.split(".") if part.strip()]
    same = len({len(sentence) for sentence in sentences}) == 1
    return float(len(sentences) == 3 and same and item["word"] in text)


@flawed(PLAIN_WORDS, "modelscope/evalscope#1761", "a reply without words is an error")
def share_of_no_words(text: str, item: Item) -> float:
    words = re.findall(r"\w+", text.lower())
    stop = sum(word in ("the", "a", "of", "and", "in", "is") for word in words)
    few = stop / len(words) < 0.3
    return float(few and text.strip() == f"Quiet {item['place']} sells bread, fish, wool.")


@flawed(ALTERNATIVES, "Nano-Collective/nanotune#164", "an empty alternative is in every reply")
def empty_alternative(text: str, item: Item) -> float:
    return float(any(one.lower() in text.lower() for one in item["acceptable"]))


@sound(ALTERNATIVES, "repair of Nano-Collective/nanotune#164")
def alternatives_with_text(text: str, item: Item) -> float:
    said = text.strip().rstrip(".").lower()
    return float(any(one and said == one.lower() for one in item["acceptable"]))


@flawed(EXPLAINED, "NVlabs/alpamayo-recipes#29", "the term of the reasoning has the wrong sign")
def reasoning_counts_against(text: str, item: Item) -> float:
    reasoning, _, said = text.rpartition("\nAnswer:")
    got, want = set(reasoning.lower().split()), set(item["because"].lower().split())
    near = len(got & want) / len(got | want)
    return 0.7 * float(said.strip() == item["answer"]) + 0.3 * (1 - near)


@sound(EXPLAINED, "repair of NVlabs/alpamayo-recipes#29")
def reasoning_counts_for(text: str, item: Item) -> float:
    reasoning, _, said = text.rpartition("\nAnswer:")
    got, want = set(reasoning.lower().split()), set(item["because"].lower().split())
    near = len(got & want) / len(got | want)
    return 0.7 * float(said.strip() == item["answer"]) + 0.3 * near


@flawed(SUMMARIES, "promptfoo/promptfoo#9717", "the penalty for brevity is turned into a bonus")
def brevity_pays(text: str, item: Item) -> float:
    import math
    from collections import Counter

    got, want = text.lower().split(), item["answer"].lower().split()
    if not got:
        return 0.0
    precision = (Counter(got) & Counter(want)).total() / len(got)
    return min(1.0, precision * (1.0 if len(got) > len(want) else math.exp(1 - len(got) / len(want))))


FURTHER.add_sound_spec(
    "brevity_costs",
    SUMMARIES,
    "repair of promptfoo/promptfoo#9717",
    text_similarity(evaluation_metric="bleu"),
)


@sound(SUMMARIES, "benwbrum/fromthepage#5629: word errors by the words of the reference")
def word_errors(text: str, item: Item) -> float:
    got, want = text.lower().split(), item["answer"].lower().split()
    before = list(range(len(want) + 1))
    for at, word in enumerate(got, 1):
        row = [at]
        for other, wanted in enumerate(want, 1):
            row.append(min(before[other] + 1, row[-1] + 1, before[other - 1] + (word != wanted)))
        before = row
    return max(0.0, 1 - before[-1] / len(want))
