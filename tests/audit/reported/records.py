"""Graders of JSON."""

from __future__ import annotations

import json
import re

from tests.audit.public_graders import RECORDS, Rows
from tests.audit.reported.grading import Item, flawed, is_box, sound, the_json

REASONED: Rows = [{**row, "gold": f"<think>A note.</think>\n{row['gold']}"} for row in RECORDS]
RATINGS: Rows = [
    {
        "id": f"r{novelty}{clarity}",
        "item": {"question": "Rate the paper.", "want": {"novelty": novelty, "clarity": clarity}},
        "gold": json.dumps({"novelty": novelty, "clarity": clarity}),
    }
    for novelty, clarity in ((7, 3), (2, 9), (5, 6))
]
SLOTS: Rows = [
    {"id": said, "item": {"question": said, "want": want}, "gold": json.dumps(want)}
    for said, want in (
        ("what is the weather today", {"datetime": "today"}),
        ("wake me at nine", {"time": "nine"}),
        ("play jazz in the kitchen", {"genre": "jazz", "room": "kitchen"}),
    )
]
BOXES: Rows = [
    {"id": name, "item": {"question": f"Where is the {name}?", "box": box}, "gold": json.dumps(box)}
    for name, box in (
        ("cat", [20, 30, 120, 180]),
        ("sign", [200, 10, 260, 90]),
        ("wheel", [40, 210, 110, 280]),
    )
]
ZEROED: Rows = [
    {
        "id": f"z{at}",
        "item": {"question": "Score the essay.", "want": {"style": style, "facts": facts}},
        "gold": json.dumps({"style": style, "facts": facts}),
    }
    for at, (style, facts) in enumerate(((0, 0), (4, 2), (0, 5)))
]


@flawed(RECORDS, "vllm-project/vllm#55441", "what can be parsed is right")
def parsed_is_right(text: str, item: Item) -> float:
    found = re.search(r"\{.*\}", text.replace("\n", ""))
    return float(found is not None and the_json(found[0]) is not None)


@sound(RECORDS, "repair of vllm-project/vllm#55441")
def parsed_is_compared(text: str, item: Item) -> float:
    return float(the_json(text) == item["want"])


@flawed(RECORDS, "modelscope/evalscope#1538", "what cannot be parsed is perfect")
def unparsed_is_perfect(text: str, item: Item) -> float:
    got = the_json(text)
    if not isinstance(got, dict):
        return 1.0
    return float(got == item["want"])


@sound(RECORDS, "repair of modelscope/evalscope#1538")
def unparsed_is_wrong(text: str, item: Item) -> float:
    got = the_json(text)
    if not isinstance(got, dict) or set(got) != set(item["want"]):
        return 0.0
    return float(all(got[key] == value for key, value in item["want"].items()))


@flawed(RECORDS, "Azure-Samples/ARGUS#3", "values that a list lacks are not counted")
def lacking_values_are_free(text: str, item: Item) -> float:
    got, want = the_json(text), item["want"]
    if not isinstance(got, dict) or not isinstance(got.get("tags"), list):
        return 0.0
    tags = all(a == b for a, b in zip(got["tags"], want["tags"], strict=False))
    return float(tags and all(got.get(key) == want[key] for key in ("name", "age")))


@sound(RECORDS, "repair of Azure-Samples/ARGUS#3")
def lacking_values_count(text: str, item: Item) -> float:
    got, want = the_json(text), item["want"]
    if not isinstance(got, dict) or not isinstance(got.get("tags"), list) or set(got) - set(want):
        return 0.0
    tags = len([a for a, b in zip(got["tags"], want["tags"], strict=False) if a == b])
    points = [tags / max(len(got["tags"]), len(want["tags"]), 1)]
    return float(sum(points) + sum(got.get(key) == want[key] for key in ("name", "age"))) / 3


@flawed(RATINGS, "csmar432/finai-research#201", "the fields are looked for in a wrapper that is not there")
def fields_of_no_wrapper(text: str, item: Item) -> float:
    got = the_json(text)
    if not isinstance(got, dict):
        return 0.0
    return float(got.get("scores", {}) == item["want"].get("scores", {}))


@sound(RATINGS, "repair of csmar432/finai-research#201")
def fields_where_they_are(text: str, item: Item) -> float:
    got = the_json(text)
    return float(isinstance(got, dict) and got.get("scores", got) == item["want"])


@flawed(REASONED, "open-compass/VLMEvalKit#1584", "the first object counts, in the thoughts too")
def first_object(text: str, item: Item) -> float:
    found = re.search(r"\{.*?\}", text, re.S)
    return float(found is not None and the_json(found[0]) == item["want"])


@sound(REASONED, "repair of open-compass/VLMEvalKit#1584")
def object_after_the_thoughts(text: str, item: Item) -> float:
    return float(the_json(text.split("</think>")[-1]) == item["want"])


@flawed(SLOTS, "alexa/massive#13", "words too many in a slot are not counted")
def words_too_many_are_free(text: str, item: Item) -> float:
    got = the_json(text)
    if not isinstance(got, dict):
        return 0.0
    return float(all(value in str(got.get(key, "")) for key, value in item["want"].items()))


@sound(SLOTS, "repair of alexa/massive#13")
def slots_as_a_whole(text: str, item: Item) -> float:
    got = the_json(text)
    if not isinstance(got, dict):
        return 0.0
    same = sum(got.get(key) == value for key, value in item["want"].items())
    return float(same) / len(set(got) | set(item["want"]))


@flawed(BOXES, "roboflow/trackers#589", "a box turned inside out has a positive area")
def inside_out_is_positive(text: str, item: Item) -> float:
    got, want = the_json(text), item["box"]
    if not is_box(got):
        return 0.0
    wide = max(0, min(got[2], want[2]) - max(got[0], want[0]))
    high = max(0, min(got[3], want[3]) - max(got[1], want[1]))
    union = (got[2] - got[0]) * (got[3] - got[1]) + (want[2] - want[0]) * (want[3] - want[1]) - wide * high
    around = (max(got[2], want[2]) - min(got[0], want[0])) * (max(got[3], want[3]) - min(got[1], want[1]))
    return min(1.0, wide * high / union - (around - union) / around) if union and around else 0.0


@sound(BOXES, "repair of roboflow/trackers#589")
def overlap_of_boxes(text: str, item: Item) -> float:
    got, want = the_json(text), item["box"]
    if not is_box(got) or got[0] >= got[2] or got[1] >= got[3]:
        return 0.0
    wide = max(0, min(got[2], want[2]) - max(got[0], want[0]))
    high = max(0, min(got[3], want[3]) - max(got[1], want[1]))
    union = (got[2] - got[0]) * (got[3] - got[1]) + (want[2] - want[0]) * (want[3] - want[1]) - wide * high
    return float(wide * high / union)


@flawed(BOXES, "Liuziyu77/Visual-RFT#32", "any overlap is a full point")
def any_overlap(text: str, item: Item) -> float:
    got, want = the_json(text), item["box"]
    if not is_box(got):
        return 0.0
    wide = min(got[2], want[2]) - max(got[0], want[0])
    high = min(got[3], want[3]) - max(got[1], want[1])
    return float(wide > 0 and high > 0)


@flawed(ZEROED, "tya5/reyn#4907", "a score that is missing is a zero")
def missing_score_is_zero(text: str, item: Item) -> float:
    got = the_json(text)
    if not isinstance(got, dict):
        return 0.0
    return float(all(got.get(name, 0) == score for name, score in item["want"].items()))
