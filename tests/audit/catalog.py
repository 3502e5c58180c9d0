"""Graders written by hand, half of them with a planted flaw, and the rows they are checked on.

`test_checks.py` holds the checks to it, and docs/reward-checks.md shows it as a table.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from textwrap import dedent
from typing import Any

from tests.specs import label_model, multi, python, score_model, string_check, text_similarity

Rows = list[dict[str, Any]]


CAPITALS = [
    {"id": "fr", "item": {"answer": "Paris"}, "gold": "Paris", "prompt": "What is the capital of France?"},
    {"id": "jp", "item": {"answer": "Tokyo"}, "gold": "Tokyo", "prompt": "What is the capital of Japan?"},
    {"id": "ca", "item": {"answer": "Ottawa"}, "gold": "Ottawa", "prompt": "What is the capital of Canada?"},
]
REPLIES = [
    {
        "id": "fr",
        "item": {"question": "Which city is the seat of France's government?", "answer": "Paris"},
        "gold": "It is Paris.",
        "bad": ["It is Lyon."],
    },
    {
        "id": "jp",
        "item": {"question": "Where does the Japanese parliament meet?", "answer": "Tokyo"},
        "gold": "The parliament meets in Tokyo.",
        "bad": ["In Osaka, I think."],
    },
    {
        "id": "ca",
        "item": {"question": "Name the capital of Canada.", "answer": "Ottawa"},
        "gold": "Canada's capital is called Ottawa.",
    },
    {
        "id": "pe",
        "item": {"question": "Name the capital of Peru.", "answer": "Lima"},
        "gold": "That would be Lima, on the coast.",
    },
]
SUMS = [
    {
        "id": "s1",
        "item": {"question": "A box holds 6 rows of 7 eggs. How many eggs?", "answer": 42},
        "gold": "6 * 7 = 42\n#### 42",
    },
    {
        "id": "s2",
        "item": {"question": "Ann has 20 coins and loses 3. How many are left?", "answer": 17},
        "gold": "20 - 3 = 17\n#### 17",
    },
    {
        "id": "s3",
        "item": {"question": "Eight teams of 150 people: how many people?", "answer": 1200},
        "gold": "8 * 150 = 1200\n#### 1,200",
    },
    {"id": "s4", "item": {"question": "Half of 9?", "answer": 4.5}, "gold": "9 / 2 = 4.5\n#### 4.5"},
]
NUMBERS = [
    {"id": "n1", "item": {"answer": "4"}, "gold": "4", "prompt": "What is two plus two?"},
    {"id": "n2", "item": {"answer": "12"}, "gold": "12", "prompt": "What is three times four?"},
    {"id": "n3", "item": {"answer": "81"}, "gold": "81", "prompt": "What is nine squared?"},
]
FACTS = [
    {
        "id": "f1",
        "item": {"reference": "Water boils at one hundred degrees Celsius at sea level."},
        "gold": "Water boils at one hundred degrees Celsius at sea level.",
    },
    {
        "id": "f2",
        "item": {"reference": "The mitochondrion turns nutrients into usable chemical energy."},
        "gold": "The mitochondrion turns nutrients into usable chemical energy.",
    },
    {
        "id": "f3",
        "item": {"reference": "Bees tell each other where flowers are by dancing."},
        "gold": "Bees tell each other where flowers are by dancing.",
    },
]
FORMS = [
    {
        "id": "j1",
        "item": {"city": "Oslo", "year": 1952, "text": "The games of 1952 were held in Norway's capital."},
        "gold": json.dumps({"city": "Oslo", "year": 1952}),
    },
    {
        "id": "j2",
        "item": {"city": "Rome", "year": 1960, "text": "In 1960 the Italian capital was host."},
        "gold": json.dumps({"city": "Rome", "year": 1960}),
    },
    {
        "id": "j3",
        "item": {"city": "Seoul", "year": 1988, "text": "Korea's turn came in 1988."},
        "gold": json.dumps({"city": "Seoul", "year": 1988}),
    },
]
CHOICES = [
    {"id": "m1", "item": {"answer": "B"}, "gold": "B", "prompt": "2 + 2?\nA) 3\nB) 4\nC) 5"},
    {
        "id": "m2",
        "item": {"answer": "A"},
        "gold": "A",
        "prompt": "The largest planet?\nA) Jupiter\nB) Mars\nC) Venus",
    },
    {"id": "m3", "item": {"answer": "C"}, "gold": "C", "prompt": "A noble gas?\nA) Oxygen\nB) Iron\nC) Neon"},
]
MOODS = [
    {"id": str(at), "item": {"text": text, "label": label}, "gold": label}
    for at, (text, label) in enumerate(
        (
            ("What a lovely day.", "positive"),
            ("I want my money back.", "negative"),
            ("It broke at once.", "negative"),
            ("Could not be happier.", "positive"),
            ("Never again.", "negative"),
            ("Works like a charm.", "positive"),
        ),
        1,
    )
]
KEYWORDS = [
    {
        "id": "k1",
        "item": {"keywords": ["chlorophyll", "sunlight", "sugar"]},
        "gold": "With chlorophyll, leaves use sunlight to make sugar.",
    },
    {
        "id": "k2",
        "item": {"keywords": ["magma", "pressure", "crust"]},
        "gold": "Magma under pressure breaks through the crust.",
    },
    {
        "id": "k3",
        "item": {"keywords": ["moon", "gravity", "ocean"]},
        "gold": "The moon pulls the ocean by gravity.",
    },
]
EITHER = [
    {"id": "a", "item": {"answer": "Paris"}, "gold": "It is Paris.", "prompt": "Is it Paris or Lyon?"},
    {"id": "b", "item": {"answer": "Tokyo"}, "gold": "It is Tokyo.", "prompt": "Is it Osaka or Tokyo?"},
    {"id": "c", "item": {"answer": "Ottawa"}, "gold": "It is Ottawa.", "prompt": "Is it Ottawa or Toronto?"},
]
GROUPED = [{**row, "group": "g1" if at < 2 else "g2", "bad": ["Atlantis"]} for at, row in enumerate(CAPITALS)]


@dataclass(frozen=True)
class Entry:
    """One grader.

    Attributes:
        about: The flaw, or what makes it sound, in a few words.
        judge: For graders that ask one: from the text of its messages to the verdict.
        options: What check_reward is told beside spec and rows.
    """

    name: str
    about: str
    spec: dict[str, Any]
    rows: Rows
    judge: Callable[[str], float | str] | None = None
    options: dict[str, Any] = field(default_factory=dict)


def program(body: str) -> dict[str, Any]:
    return python(dedent(body).strip() + "\n")


def graded_by(system: str, **fields: Any) -> dict[str, Any]:
    content = f"{system}\nReference: {{{{item.answer}}}}\nReply: <<{{{{sample.output_text}}}}>>"
    return score_model(input=[{"role": "user", "content": content}], **fields)


def _parts(text: str) -> tuple[str, str]:
    """The reference and the reply in a judge's message."""
    reference = text.partition("Reference: ")[2].partition("\n")[0]
    return reference, text.partition("<<")[2].rpartition(">>")[0]


def careful(text: str) -> float:
    reference, reply = _parts(text)
    return 1.0 if reference.lower() in reply.lower() and len(reply) < 200 else 0.0


def obeys(text: str) -> float:
    _reference, reply = _parts(text)
    return 1.0 if "ignore" in reply.lower() else careful(text)


def careful_label(text: str) -> str:
    return "correct" if careful(text) else "wrong"


LABELLED = label_model(
    input=[
        {
            "role": "user",
            "content": "Is it right?\nReference: {{item.answer}}\nReply: <<{{sample.output_text}}>>",
        }
    ],
    labels=["correct", "wrong"],
    passing_labels=["correct"],
)

SOUND = [
    Entry("exact", "equal texts", string_check(), CAPITALS),
    Entry("exact_grouped", "equal texts, with groups", string_check(), GROUPED),
    Entry("exact_swapped", "input and reference the other way round", string_check(input="{{item.answer}}", reference="{{sample.output_text}}"), CAPITALS),
    Entry("exact_choice", "a letter", string_check(), CHOICES),
    Entry("exact_label", "a label that repeats over the rows", string_check(reference="{{item.label}}"), MOODS),
    Entry("contains", "the reply has the name in it", string_check(operation="like"), REPLIES),
    Entry("contains_any_case", "as above, case ignored", string_check(operation="ilike"), REPLIES, options={"blind_to": ["case", "whitespace"]}),
    Entry("json_field", "one field of a JSON reply", string_check(input="{{sample.output_json.city}}", reference="{{item.city}}"), FORMS),
    Entry("fuzzy", "similarity of characters", text_similarity(reference="{{item.reference}}"), FACTS),
    Entry("bleu", "n-gram precision", text_similarity(reference="{{item.reference}}", evaluation_metric="bleu"), FACTS),
    Entry("gleu", "n-gram recall and precision", text_similarity(reference="{{item.reference}}", evaluation_metric="gleu"), FACTS),
    Entry("meteor", "aligned words", text_similarity(reference="{{item.reference}}", evaluation_metric="meteor"), FACTS),
    Entry("meteor_short", "gives 0.5 to equal texts of one word", text_similarity(evaluation_metric="meteor"), CAPITALS),
    Entry("rouge_1", "words in any order, but no more than there are", text_similarity(reference="{{item.reference}}", evaluation_metric="rouge_1"), FACTS),
    Entry("rouge_2", "pairs of words", text_similarity(reference="{{item.reference}}", evaluation_metric="rouge_2"), FACTS),
    Entry("rouge_l", "longest common subsequence", text_similarity(reference="{{item.reference}}", evaluation_metric="rouge_l"), FACTS),
    Entry("last_number", "the number behind the last ####", program("""
        import re
        def grade(sample, item):
            found = re.search(r"####\\s*(-?[\\d,.]+)\\s*$", sample["output_text"])
            if not found:
                return 0.0
            try:
                return 1.0 if abs(float(found[1].replace(",", "")) - float(item["answer"])) < 1e-6 else 0.0
            except ValueError:
                return 0.0
    """), SUMS),
    Entry("any_format_number", "the last number of the reply", program("""
        import re
        def grade(sample, item):
            numbers = re.findall(r"-?\\d[\\d,]*\\.?\\d*", sample["output_text"])
            return float(bool(numbers) and float(numbers[-1].replace(",", "")) == float(item["answer"]))
    """), NUMBERS),
    Entry("close_number", "partial credit by distance", program("""
        import math
        def grade(sample, item):
            try:
                got = float(sample["output_text"])
            except ValueError:
                return 0.0
            return math.exp(-abs(got - float(item["answer"])))
    """), NUMBERS),
    Entry("normalised", "case, articles and punctuation dropped", program("""
        import re
        def normal(text):
            text = re.sub(r"[^\\w\\s]", " ", text.lower())
            return " ".join(w for w in text.split() if w not in ("a", "an", "the"))
        def grade(sample, item):
            return 1.0 if normal(sample["output_text"]) == normal(item["answer"]) else 0.0
    """), CAPITALS, options={"blind_to": ["case", "whitespace"]}),
    Entry("json_fields", "the share of fields that agree", program("""
        import json
        def grade(sample, item):
            try:
                got = json.loads(sample["output_text"])
            except ValueError:
                return 0.0
            if not isinstance(got, dict):
                return 0.0
            return sum(got.get(key) == item[key] for key in ("city", "year")) / 2
    """), FORMS),
    Entry("fuzzy_threshold", "similar enough, else nothing", program("""
        from rapidfuzz import fuzz
        def grade(sample, item):
            return 1.0 if fuzz.ratio(sample["output_text"], item["reference"]) >= 85 else 0.0
    """), FACTS),
    Entry("choice_letter", "the first letter that stands alone", program("""
        import re
        def grade(sample, item):
            found = re.match(r"\\s*\\(?([A-D])\\)?[.:]?\\s*$", sample["output_text"])
            return float(found is not None and found[1] == item["answer"])
    """), CHOICES),
    Entry("writes_a_file", "uses a file of its own", program("""
        import os, tempfile
        def grade(sample, item):
            with tempfile.TemporaryDirectory() as folder:
                path = os.path.join(folder, "reply.txt")
                with open(path, "w") as file:
                    file.write(sample["output_text"])
                with open(path) as file:
                    return float(file.read() == item["answer"])
    """), CAPITALS),
    Entry("weighted", "mostly exact, partly similar", multi("0.7 * exact + 0.3 * near", {"exact": string_check(reference="{{item.reference}}"), "near": text_similarity(reference="{{item.reference}}")}), FACTS),
    Entry("form_and_content", "a little for the form, the rest for the number", multi("0.1 * form + 0.9 * right", {
        "form": program("""
            import re
            def grade(sample, item):
                return float(bool(re.search(r"####\\s*-?[\\d,.]+\\s*$", sample["output_text"])))
        """),
        "right": program("""
            def grade(sample, item):
                tail = sample["output_text"].rpartition("####")[2].strip().replace(",", "")
                try:
                    return float(float(tail) == item["answer"])
                except ValueError:
                    return 0.0
        """),
    }), SUMS),
    Entry("judge", "a judge that compares", graded_by("Is the reply right?"), REPLIES, careful),
    Entry("judge_wide", "a judge with marks from 1 to 5", graded_by("Give 1 to 5.", range=[1, 5]), REPLIES, lambda text: 1.0 + 4.0 * careful(text)),
    Entry("label", "a judge that names a label", LABELLED, REPLIES, careful_label),
]  # fmt: skip

FLAWED = [
    Entry("json_strict", "raises for what is no JSON, so that it is not punished", program("""
        def grade(sample, item):
            got = sample["output_json"]
            return float(got["city"] == item["city"] and got["year"] == item["year"])
    """), FORMS),
    Entry("always_one", "gives 1 to everything", program("def grade(sample, item):\n    return 1.0"), CAPITALS),
    Entry("always_zero", "gives 0 to everything", program("def grade(sample, item):\n    return 0.0"), CAPITALS),
    Entry("same_sides", "compares the reference with itself", string_check(input="{{item.answer}}"), CAPITALS),
    Entry("wrong_field", "compares with the question", string_check(reference="{{item.question}}"), REPLIES),
    Entry("reversed_like", "the reply may be any part of the reference", string_check(operation="like", input="{{item.answer}}", reference="{{sample.output_text}}"), CAPITALS),
    Entry("letter_inside", "a letter anywhere in the reply", string_check(operation="ilike"), CHOICES),
    Entry("digits_inside", "4 is also in 42", string_check(operation="like"), NUMBERS),
    Entry("not_equal", "anything but one text", string_check(operation="ne", reference="I don't know."), CAPITALS),
    Entry("in_the_prompt", "the answer stands in the question", string_check(operation="like"), EITHER),
    Entry("template_sentence", "similarity, where all references are one sentence with a number in it", text_similarity(), [
        {"id": str(n), "item": {"answer": f"The final answer to the question is {n}."}, "gold": f"The final answer to the question is {n}."}
        for n in (18, 35, 72)
    ]),
    Entry("too_fine_metric", "five-grams of one-word references", text_similarity(evaluation_metric="rouge_5"), CAPITALS),
    Entry("answer_in_a_sentence", "similarity of whole replies to one word", text_similarity(), REPLIES),
    Entry("case_claimed", "said to be blind to case, and is not", string_check(), CAPITALS, options={"blind_to": ["case"]}),
    Entry("by_length", "longer is better", program("""
        def grade(sample, item):
            right = item["answer"] in sample["output_text"]
            return max(float(right), min(1.0, len(sample["output_text"]) / 800))
    """), REPLIES),
    Entry("by_keywords", "the share of keywords that occur", program("""
        def grade(sample, item):
            text = sample["output_text"].lower()
            return sum(word in text for word in item["keywords"]) / len(item["keywords"])
    """), KEYWORDS),
    Entry("by_thoroughness", "pays for words that look thorough", program("""
        def grade(sample, item):
            text = sample["output_text"].lower()
            extra = sum(word in text for word in ("therefore", "because", "step", "finally")) / 4
            return 1.0 if item["answer"] in sample["output_text"] else 0.6 * extra
    """), REPLIES),
    Entry("any_number", "any number of the reply may be the answer", program("""
        import re
        def grade(sample, item):
            numbers = re.findall(r"\\d+", sample["output_text"])
            return float(item["answer"] in numbers)
    """), NUMBERS),
    Entry("own_answers", "knows the answers by question", program("""
        ANSWERS = {"Name the capital of Canada.": "Ottawa", "Name the capital of Peru.": "Lima",
                   "Where does the Japanese parliament meet?": "Tokyo",
                   "Which city is the seat of France's government?": "Paris"}
        def grade(sample, item):
            return float(ANSWERS.get(item["question"], "?") in sample["output_text"])
    """), REPLIES),
    Entry("any_known_answer", "any of the answers will do", program("""
        def grade(sample, item):
            return float(sample["output_text"].strip() in {"Paris", "Tokyo", "Ottawa"})
    """), CAPITALS),
    Entry("random_noise", "adds noise", program("""
        import random
        def grade(sample, item):
            return float(sample["output_text"] == item["answer"]) * (0.95 + 0.05 * random.random())
    """), CAPITALS),
    Entry("by_hash", "one word of a set decides, whichever comes first", program("""
        def grade(sample, item):
            words = set(item["reference"].lower().split())
            return 1.0 if next(iter(words)) in sample["output_text"].lower().split() else 0.0
    """), FACTS),
    Entry("by_clock", "right only in the first half of a minute", program("""
        import time
        def grade(sample, item):
            late = time.time() % 60 >= 30
            return float(sample["output_text"] == item["answer"]) * (0.95 if late else 1.0)
    """), CAPITALS),
    Entry("remembers", "a reply counts once", program("""
        SEEN = set()
        def grade(sample, item):
            text = sample["output_text"]
            if text in SEEN:
                return 0.0
            SEEN.add(text)
            return float(text == item["answer"])
    """), CAPITALS),
    Entry("caller_frames", "takes the gold from its caller's frame", program("""
        import sys
        def grade(sample, item):
            row = sys._getframe(1).f_locals.get("row") or {"item": item}
            return float(sample["output_text"] == row["item"]["answer"])
    """), CAPITALS),
    Entry("gold_file", "takes the gold from a file when there is one", program("""
        import json
        def grade(sample, item):
            try:
                with open("answers.json") as file:
                    gold = json.load(file)
            except OSError:
                gold = item
            return float(sample["output_text"] == gold["answer"])
    """), CAPITALS),
    Entry("gold_environment", "takes the gold from the environment when it is there", program("""
        import os
        def grade(sample, item):
            return float(sample["output_text"] == os.environ.get("GOLD", item["answer"]))
    """), CAPITALS),
    Entry("evaluates", "evaluates the reply as Python", program("""
        def grade(sample, item):
            try:
                return float(eval(sample["output_text"]) == int(item["answer"]))
            except Exception:
                return 0.0
    """), NUMBERS),
    Entry("swallows", "cannot read a thousands separator, and gives 0", program("""
        def grade(sample, item):
            try:
                return float(float(sample["output_text"].rpartition("####")[2]) == item["answer"])
            except Exception:
                return 0.0
    """), SUMS),
    Entry("idle_member", "one grader never matters", multi("max(exact, 0.9 * exact * near)", {"exact": string_check(reference="{{item.reference}}"), "near": text_similarity(reference="{{item.reference}}")}), FACTS),
    Entry("obedient_judge", "the judge does what the reply says", graded_by("Is the reply right?"), REPLIES, obeys),
]  # fmt: skip
