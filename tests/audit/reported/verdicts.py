"""Graders that read a verdict."""

from __future__ import annotations

import re

from tests.audit.public_graders import rows_of
from tests.audit.reported.grading import Item, flawed, sound

CLAIMS = ["Oslo lies in Norway.", "Fish have fur.", "Ice floats.", "Two and two are five."]
ONE_WORD = rows_of("{}", ["correct", "incorrect", "correct", "incorrect"], CLAIMS)
A_OR_B = rows_of("{}", ["A", "B", "A", "B"], [f"{claim} A for correct, B for incorrect." for claim in CLAIMS])
EXPLAINED = rows_of(
    "The page suggests SUCCESS at first.\nFinal verdict: {}",
    ["NOT SUCCESS", "SUCCESS", "NOT SUCCESS"],
    ["Was the form sent?", "Was the book ordered?", "Was the seat chosen?"],
)
GRADES = rows_of(
    "The steps are sound.\nGRADE: {}",
    ["C", "I", "C"],
    ["Grade the first.", "Grade the second.", "Grade the third."],
)
BILLS = rows_of(
    "{}",
    ["The bill was saved.", "The vendor bill was created.", "The last bill was saved."],
    ["What happened?"] * 3,
)
SEVERITIES = rows_of(
    "Severity: {}",
    ["low", "high", "medium"],
    ["How bad is a typo?", "How bad is a leak?", "How bad is a delay?"],
)


@flawed(ONE_WORD, "anthropics/claude-cookbooks#497", "correct is a part of incorrect")
def correct_in_incorrect(text: str, item: Item) -> float:
    said = "correct" if "correct" in text.lower() else "incorrect"
    return float(said == item["answer"])


@sound(ONE_WORD, "repair of anthropics/claude-cookbooks#497")
def verdict_alone(text: str, item: Item) -> float:
    return float(text.strip().lower().rstrip(".") == item["answer"])


@flawed(A_OR_B, "PrimeIntellect-ai/verifiers#1573", "Actually begins with A")
def begins_with_a(text: str, item: Item) -> float:
    upper = text.strip().upper()
    said = "A" if upper.startswith("A") or "[CORRECT]" in upper else "B" if upper.startswith("B") else None
    return float(said == item["answer"])


@sound(A_OR_B, "repair of PrimeIntellect-ai/verifiers#1573")
def letter_or_label(text: str, item: Item) -> float:
    labels = {"A": "A", "[CORRECT]": "A", "B": "B", "[INCORRECT]": "B"}
    return float(labels.get(text.strip().upper()) == item["answer"])


@flawed(EXPLAINED, "OpenWebRL/OpenWebRL#5", "the first verdict named counts, in the reasoning too")
def first_verdict_named(text: str, item: Item) -> float:
    found = re.search(r"\b(NOT SUCCESS|SUCCESS)\b", text)
    return float(found is not None and found[1] == item["answer"])


@sound(EXPLAINED, "repair of OpenWebRL/OpenWebRL#5")
def final_verdict(text: str, item: Item) -> float:
    lines = text.strip().splitlines() or [""]
    return float(lines[-1].strip() == f"Final verdict: {item['answer']}" and text.count("Final verdict") == 1)


@flawed(GRADES, "UKGovernmentBEIS/inspect_ai#4697", "where the last grade is none, an earlier mention counts")
def earlier_grade(text: str, item: Item) -> float:
    found = re.match(r"(?s).*GRADE: ([CI])", text)
    return float(found is not None and found[1] == item["answer"])


@sound(GRADES, "repair of UKGovernmentBEIS/inspect_ai#4697")
def only_grade(text: str, item: Item) -> float:
    found = re.findall(r"GRADE: (.*)", text)
    return float(
        len(found) == 1 and found[0].strip() == item["answer"] and text.strip().endswith(found[0].strip())
    )


@flawed(BILLS, "heypinchy/pinchy#731", "a denial is read as the claim")
def denial_is_a_claim(text: str, item: Item) -> float:
    return float(re.search(r"\bbill\b.*\b(saved|created)\b", text) is not None)


@sound(BILLS, "repair of heypinchy/pinchy#731")
def claim_as_it_stands(text: str, item: Item) -> float:
    return float(" ".join(text.split()) == item["answer"])


@flawed(
    SEVERITIES, "open-compass/opencompass#2598", "the first label in a sentence counts, wherever it stands"
)
def first_label_anywhere(text: str, item: Item) -> float:
    found = re.search(r"low|medium|high", text.lower())
    return float(found is not None and found[0] == item["answer"])


@sound(SEVERITIES, "repair of open-compass/opencompass#2598")
def anchored_label(text: str, item: Item) -> float:
    return float(re.fullmatch(rf"(?i)severity: {item['answer']}\.?", text.strip()) is not None)
