"""Graders of texts and of rules for them."""

from __future__ import annotations

import re

from tests.audit.public_graders import Rows, rows_of
from tests.audit.reported.grading import Item, flawed, flawed_spec, sound, sound_spec
from tests.audit.unseen_graders import SUMMARIES
from tests.specs import multi, string_check, text_similarity

VERSIONS = rows_of(
    "{}",
    ["v2.14.1", "v3.0.2", "v1.9.7"],
    ["Which runs in payments?", "Which runs in search?", "Which runs in mail?"],
)
POSITIONS = rows_of("{}", ["1", "3", "4", "2"], ["Which file has the secret?"] * 4)
CHINESE = rows_of("{}", ["天气", "北京", "无法提供"], ["今天问什么？", "首都是哪里？", "能提供吗？"])
SPACED = rows_of(
    "<think>\nAdd them.\n</think>\n<answer>\n{}\n</answer>",
    ["42", "300", "127"],
    ["18 + 24?", "60 times 5?", "Half of 254?"],
)
CAPITALS = rows_of(
    "{}",
    ["OSLO IS COLD", "LIMA IS DRY", "CAIRO IS HOT"],
    ["In capitals: Oslo is cold.", "In capitals: Lima is dry.", "In capitals: Cairo is hot."],
)
RULED: Rows = [
    {
        "id": word,
        "item": {"question": f"Repeat: the {word} is calm.", "rule": "keywords:existence", "word": word},
        "gold": f"The {word} is calm.",
    }
    for word in ("harbour", "market", "valley")
]
LENGTHS: Rows = [
    {
        "id": place,
        "item": {"question": f"Tell of {place} in 12 words or more.", "rules": [["words", 12], ["words", 2]]},
        "gold": f"In {place} the days are long, the nights are short and people sing.",
    }
    for place in ("Rome", "Bergen", "Quito")
]
CHECKPOINTS: Rows = [
    {
        "id": f"c{answer}",
        "item": {"question": asked, "answer": answer, "checkpoints": checkpoints},
        "gold": f"First {checkpoints[0]}, then {checkpoints[1]}.\nAnswer: {answer}",
    }
    for asked, answer, checkpoints in (
        ("Open doors of 100?", "10", ["count the divisors", "keep the squares"]),
        ("Sum of 1 to 20?", "210", ["pair the ends", "halve the product"]),
        ("Days in 3 weeks?", "21", ["take a week", "multiply by three"]),
    )
]
NEEDED: Rows = [
    {"id": word, "item": {"question": f"Which {word}?", "answer": answer}, "gold": answer}
    for word, answer in (("river", "the Danube"), ("peak", "the Eiger"), ("lake", "Lake Como"))
]
QUOTED = rows_of(
    "{}",
    ["Never give up.", "Less is more.", "Know yourself."],
    ["What did she say?", "What did he say?", "What did they say?"],
)

flawed_spec(
    "marker_anywhere",
    VERSIONS,
    "open-cluster/oc-control-plane#18",
    "a marker counts in a denial and in a list",
    string_check(operation="ilike"),
)
sound_spec("marker_alone", VERSIONS, "repair of open-cluster/oc-control-plane#18", string_check())
flawed_spec(
    "digit_in_a_number",
    POSITIONS,
    "PrimeIntellect-ai/verifiers#763",
    "1 is found in 21",
    string_check(operation="like"),
)
sound_spec("near_quote", QUOTED, "mistralai/mistral-evals#19, similarity of short texts", text_similarity())
sound_spec(
    "near_version",
    VERSIONS,
    "exact and similar, of which the smaller counts",
    multi("min(same, near)", {"same": string_check(), "near": text_similarity()}),
)
sound_spec(
    "same_summary", SUMMARIES, "rouge of summaries, bigrams", text_similarity(evaluation_metric="rouge_2")
)


@flawed(SUMMARIES, "AI-Colleagues/orcheo#252", "F1 of distinct words, in whatever order and number")
def f1_of_distinct_words(text: str, item: Item) -> float:
    got, want = set(text.lower().split()), set(item["answer"].lower().split())
    common = len(got & want)
    return 2 * common / (len(got) + len(want)) if common else 0.0


@sound(SUMMARIES, "repair of AI-Colleagues/orcheo#252, by the order too")
def words_in_their_order(text: str, item: Item) -> float:
    return float(text.lower().split() == item["answer"].lower().split())


@flawed(
    CHINESE,
    "langfuse/langfuse-docs#3315",
    "of a word in another script nothing is left, and nothing is in every text",
)
def other_scripts_are_cut(text: str, item: Item) -> float:
    def plain(value: str) -> str:
        return re.sub(r"[^a-z0-9]+", " ", value.lower()).strip()

    return float(plain(item["answer"]) in plain(text))


@sound(CHINESE, "repair of langfuse/langfuse-docs#3315")
def other_scripts_are_kept(text: str, item: Item) -> float:
    return float(text.strip(" 。.") == item["answer"])


@flawed(SPACED, "huggingface/open-r1#616", "a second block is a part of the first")
def second_block_in_the_first(text: str, item: Item) -> float:
    found = re.fullmatch(r"<think>\n(.*?)\n</think>\n<answer>\n(.*?)\n</answer>", text.strip(), re.S)
    return float(found is not None and item["answer"] in found[2].split("\n"))


@sound(SPACED, "repair of huggingface/open-r1#616")
def each_tag_once(text: str, item: Item) -> float:
    found = re.fullmatch(r"<think>(.*?)</think>\s*<answer>(.*?)</answer>", text.strip(), re.S)
    once = all(text.count(tag) == 1 for tag in ("<think>", "</think>", "<answer>", "</answer>"))
    return float(found is not None and once and found[2].strip() == item["answer"])


@flawed(SPACED, "huggingface/open-r1#237", "thoughts of several lines get nothing")
def thoughts_on_one_line(text: str, item: Item) -> float:
    found = re.match(r"<think>.*?</think>\s*<answer>\s*(.*?)\s*</answer>$", text)
    return float(found is not None and found[1] == item["answer"])


@flawed(
    CAPITALS, "thinking-machines-lab/tinker-cookbook#898", "a capital at the start of each word is enough"
)
def title_is_capitals(text: str, item: Item) -> float:
    same = text.strip().lower() == item["answer"].lower()
    return float(same and all(word[0].isupper() for word in text.split()))


@sound(CAPITALS, "repair of thinking-machines-lab/tinker-cookbook#898")
def all_in_capitals(text: str, item: Item) -> float:
    return float(text.isupper() and " ".join(text.split()) == item["answer"])


@flawed(RULED, "confident-ai/deepeval#3063", "a rule that is not known holds")
def unknown_rules_hold(text: str, item: Item) -> float:
    if item["rule"] == "keywords:must_include":
        return float(item["word"] in text.lower())
    if item["rule"] == "keywords:must_not_include":
        return float(item["word"] not in text.lower())
    return 1.0


@sound(RULED, "repair of confident-ai/deepeval#3063, for a sentence to be repeated")
def rule_is_read(text: str, item: Item) -> float:
    return float(
        item["rule"] == "keywords:existence" and text.strip().lower() == f"the {item['word']} is calm."
    )


@flawed(
    LENGTHS, "thinking-machines-lab/tinker-cookbook#894", "of two rules with one name the last alone is kept"
)
def last_rule_alone(text: str, item: Item) -> float:
    held = {}
    for name, least in item["rules"]:
        held[name] = len(text.split()) >= least
    return float(sum(held.values())) / len(held)


@flawed(CHECKPOINTS, "noonghunna/benchlocal-cli#102", "words of the way there outweigh the answer")
def checkpoints_outweigh(text: str, item: Item) -> float:
    right = text.strip().endswith(f"Answer: {item['answer']}")
    passed = sum(point in text for point in item["checkpoints"]) / len(item["checkpoints"])
    return 0.3 * float(right) + 0.7 * passed


@sound(CHECKPOINTS, "repair of noonghunna/benchlocal-cli#102")
def answer_decides(text: str, item: Item) -> float:
    found = re.findall(r"(?m)^Answer: (.*)$", text)
    return float(found == [item["answer"]] and text.strip().endswith(f"Answer: {item['answer']}"))


@flawed(NEEDED, "confident-ai/deepeval#3165", "an empty pattern matches everything")
def empty_pattern(text: str, item: Item) -> float:
    return float(re.search(item.get("pattern", ""), text) is not None)


@sound(NEEDED, "repair of confident-ai/deepeval#3165")
def pattern_of_the_answer(text: str, item: Item) -> float:
    return float(re.fullmatch(rf"(?i)\s*{re.escape(item['answer'])}\s*", text) is not None)
