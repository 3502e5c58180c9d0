"""Graders modelled on public reward functions and on reports of their flaws; frozen before the checks were changed.

None of the checks' limits was set on these. A flawed grader and its repaired form are both here where the report says how it
was repaired. Sources are issues and files of public repositories; the programs are our own words for what those describe.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from textwrap import dedent
from typing import Any

from tests.specs import multi, python, string_check, text_similarity

Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class PublicGrader:
    """One grader, what is wrong with it ("" where nothing is), and where that is known from."""

    name: str
    flaw: str
    source: str
    spec: dict[str, Any]
    rows: Rows


def program(body: str) -> dict[str, Any]:
    text = dedent(body).strip()
    lines = "\n".join(f"    {line}" for line in text.splitlines())
    head = "import json, re\ndef grade(sample, item):\n    text = sample.get('output_text') or ''\n"
    return python(f"{head}{lines}\n")


def rows_of(form: str, answers: list[Any], questions: list[str]) -> Rows:
    return [
        {"id": f"r{at}", "item": {"question": q, "answer": a}, "gold": form.format(a)}
        for at, (a, q) in enumerate(zip(answers, questions, strict=True))
    ]


ASKED = [
    "Tom has 18 pens and buys 24 more. How many?",
    "A train runs 60 km/h for 5 h. How far?",
    "Half of 254?",
    "7 boxes of 131?",
]
COUNTS = ["42", "300", "127", "917"]
PLAIN = rows_of("{}", COUNTS, ASKED)
HASHED = rows_of("Adding up.\n#### {}", COUNTS, ASKED)
BOXED = rows_of("So we get \\boxed{{{}}}.", COUNTS, ASKED)
TAGGED = rows_of("<think>Adding up.</think>\n<answer>{}</answer>", COUNTS, ASKED)
SIGNED = rows_of(
    "{}", ["-3", "-1234.5", "-17", "-250"], ["From 2 down by 5?", "Loss of 1234.5?", "3 - 20?", "50 - 300?"]
)
PRICES = rows_of(
    "{}",
    ["12.50", "3.75", "199.99", "40.25"],
    ["Price of a book?", "Price of tea?", "Price of a phone?", "Price of a bag?"],
)
PERCENT = rows_of("{}", ["25%", "7.5%", "60%", "12%"], ["Which part, in percent?"] * 4)
LATEX = rows_of(
    "{}",
    ["\\frac{3}{4}", "\\frac{2}{7}", "\\frac{5}{9}", "\\frac{1}{8}"],
    ["3 by 4?", "2 by 7?", "5 by 9?", "1 by 8?"],
)
POINTS = rows_of("{}", ["(2, 4)", "(3, 7)", "(1, 9)", "(5, 8)"], ["Where do they meet?"] * 4)
LISTS = rows_of("{}", ["2, 4, 9", "3, 7, 8", "1, 5, 6", "5, 10, 12"], ["All roots?"] * 4)
DISTANCES = rows_of("{}", ["5 km", "120 km", "42 km", "17 km"], ["How far is it?"] * 4)
DATES = rows_of("{}", ["12 May 1961", "3 June 1987", "20 July 1969", "9 November 1989"], ["When was it?"] * 4)
DOGS = rows_of(
    "<think>Its coat.</think>\n<answer>{}</answer>",
    ["African wild dog", "Border collie", "Grey wolf", "Red fox"],
    ["Which animal?"] * 4,
)
NAMES = rows_of(
    "{}",
    ["Marie Curie", "Isaac Newton", "Ada Lovelace", "Alan Turing"],
    ["Who found radium?", "Who wrote Principia?", "Who wrote the first program?", "Who broke Enigma?"],
)
MOODS = rows_of(
    "{}", ["positive", "negative", "negative", "positive"], ["Lovely!", "Awful.", "Broken.", "Works well."]
)
VERDICTS = rows_of(
    "{}", ["yes", "no", "no", "yes"], ["Is ice cold?", "Is fire cold?", "Do fish walk?", "Do birds fly?"]
)


def call(name: str, /, **arguments: Any) -> dict[str, Any]:
    return {"id": "c1", "type": "function", "function": {"name": name, "arguments": json.dumps(arguments)}}


CALLS: Rows = [
    {
        "id": city,
        "item": {
            "question": f"Weather in {city}?",
            "name": "get_weather",
            "arguments": {"city": city, "days": days},
        },
        "gold": {"output_text": "", "output_tools": [call("get_weather", city=city, days=days)]},
    }
    for city, days in (("Oslo", 3), ("Lima", 5), ("Cairo", 2))
]
RECORDS: Rows = [
    {
        "id": name,
        "item": {"want": {"name": name, "age": age, "tags": tags}, "text": "A note."},
        "gold": json.dumps({"name": name, "age": age, "tags": tags}),
    }
    for name, age, tags in (
        ("Ida", 31, ["red", "tall"]),
        ("Bo", 54, ["blue"]),
        ("Cy", 19, ["green", "short"]),
    )
]
PEOPLE = [["Ann", 31], ["Bob", 54], ["Cid", 19], ["Dan", 40]]
QUERIES: Rows = [
    {
        "id": f"q{low}",
        "item": {"question": f"Names of people over {low}?", "people": PEOPLE, "query": query},
        "gold": query,
    }
    for low in (25, 35, 50)
    for query in [f"SELECT name FROM people WHERE age > {low}"]
]
FUNCTIONS: Rows = [
    {
        "id": name,
        "item": {"question": f"Write f: {name}.", "tests": tests},
        "gold": f"def f(x):\n    return {body}",
    }
    for name, body, tests in (
        ("double", "x * 2", [[2, 4], [5, 10]]),
        ("square", "x * x", [[3, 9], [4, 16]]),
        ("next", "x + 1", [[1, 2], [7, 8]]),
    )
]
PASSAGES: Rows = [
    {
        "id": "p1",
        "item": {
            "question": "How deep is it?",
            "context": "The lake lies in the north. It is 310 metres deep. Boats cross it daily.",
            "evidence": "It is 310 metres deep.",
        },
        "gold": '"It is 310 metres deep."',
    },
    {
        "id": "p2",
        "item": {
            "question": "Who built it?",
            "context": "The tower stands on a hill. Anton Berg built it. It opened in spring.",
            "evidence": "Anton Berg built it.",
        },
        "gold": '"Anton Berg built it."',
    },
    {
        "id": "p3",
        "item": {
            "question": "What do they eat?",
            "context": "The birds come in May. They eat small crabs. They leave in autumn.",
            "evidence": "They eat small crabs.",
        },
        "gold": '"They eat small crabs."',
    },
]

LAST_NUMBER = "found = re.findall(r'-?\\d[\\d,]*(?:\\.\\d+)?', text)\nlast = found[-1].replace(',', '') if found else None\n"
TAG = "found = re.findall(r'<answer>(.*?)</answer>', text, re.S)\nsaid = found[-1].strip() if len(found) == 1 else None\n"
RUN_SQL = (
    "import sqlite3\ndb = sqlite3.connect(':memory:')\ndb.execute('create table people (name text, age int)')\n"
    "db.executemany('insert into people values (?, ?)', item['people'])\n"
    "try:\n    got = db.execute(text).fetchall()\nexcept sqlite3.Error:\n    return 0.0\nwant = db.execute(item['query']).fetchall()\n"
)
CALLED = "calls = sample.get('output_tools') or []\nmade = [(c['function']['name'], json.loads(c['function']['arguments'])) for c in calls]\n"
OBJECT = "try:\n    got = json.loads(text)\nexcept ValueError:\n    return 0.0\nif not isinstance(got, dict):\n    return 0.0\nwant = item['want']\n"

G = PublicGrader
FLAWED = [
    G("either_in_the_other", "an empty answer is part of every reference", "Liuziyu77/Visual-RFT#176", program(TAG + "return float(said is not None and (said.lower() in item['answer'].lower() or item['answer'].lower() in said.lower()))"), DOGS),
    G("two_parse_failures", "two answers that cannot be parsed are equal", "modelscope/ms-swift#9889", program("def value(t):\n    try:\n        return float(t)\n    except ValueError:\n        return None\nreturn float(value(text) == value(item['answer']))"), LATEX),
    G("sign_dropped", "the sign of the reference and the answer is not read", "google-deepmind/proeval#19", program("number = lambda t: (re.findall(r'\\d[\\d,.]*', t) or [''])[-1].rstrip('.')\nreturn float(number(text) == number(item['answer']))"), SIGNED),
    G("scalars_unchecked", "arguments that are no lists or objects only have to be there", "ServiceNow/AU-Harness#31", program(CALLED + "return float(any(n == item['name'] and set(a) == set(item['arguments']) for n, a in made))"), CALLS),
    G("name_only", "only the tool's name is compared", "GoogleChromeLabs/webmcp-tools#263", program(CALLED + "return float(any(n == item['name'] for n, a in made))"), CALLS),
    G("any_call", "one right call among others is enough", "ServiceNow/AU-Harness#31", program(CALLED + "return float((item['name'], item['arguments']) in made)"), CALLS),
    G("superset_of_rows", "the rows wanted may be among others", "IBM/unitxt#1702", program(RUN_SQL + "return float(set(want) <= set(got))"), QUERIES),
    G("any_row", "one row in common is enough", "IBM/unitxt#1604", program(RUN_SQL + "return float(bool(set(want) & set(got)))"), QUERIES),
    G("contained", "the number may stand anywhere", "pytorch/rl#3542 (reward_contained)", program("return float(item['answer'] in text)"), TAGGED),
    G("steps_counted", "half of the reward is for words that look like steps", "huggingface/open-r1#144", program("steps = re.findall(r'(Step \\d+:|^\\d+\\.|First,|Second,|Next,|Finally,)', text, re.M)\n" + "right = float(item['answer'] == text.strip().split()[-1]) if text.strip() else 0.0\nreturn 0.2 * right + 0.8 * min(1.0, len(steps) / 3)"), [{**row, "gold": f"First, read.\nNext, add.\nFinally, {row['gold']}"} for row in PLAIN]),
    G("first_box_of_many", "any of several boxes may be right", "max044/Pyrros recipes/grpo/rewards.py", program("return float(item['answer'] in re.findall(r'\\\\boxed\\{(.*?)\\}', text))"), BOXED),
    G("unclosed_tag", "the tag need not be closed, nor opened", "shape of extract_xml_answer in public GRPO examples", program("said = text.split('<answer>')[-1].split('</answer>')[0]\nreturn float(item['answer'] in said)"), TAGGED),
    G("format_is_most", "the form alone gets seven tenths", "unslothai/unsloth#1761", program("form = bool(re.search(r'<think>.*?</think>\\s*<answer>.*?</answer>', text, re.S))\n" + TAG + "return 0.7 * form + 0.3 * float(said == item['answer'])"), TAGGED),
    G("any_of_the_prompt", "a number of the reply is looked for in any place, separators dropped", "verl-project/verl#2441", program("return float(item['answer'] in re.sub(r'[^0-9]', '', text))"), PLAIN),
    G("digits_run_together", "all but digits is dropped before comparing", "openai/grade-school-math style normalisers", program("digits = lambda t: re.sub(r'[^0-9]', '', t)\nreturn float(digits(text) == digits(item['answer']))"), PRICES),
    G("latex_stripped", "commands and braces are dropped, so a fraction is its digits", "EleutherAI/lm-evaluation-harness#3785", program("plain = lambda t: re.sub(r'\\\\[a-z]+|[{}$ ]', '', t)\nreturn float(plain(text) == plain(item['answer']))"), LATEX),
    G("order_lost", "points are compared as sets", "EleutherAI/lm-evaluation-harness#3785", program("parts = lambda t: sorted(p.strip(' ()') for p in t.split(','))\nreturn float(parts(text) == parts(item['answer']))"), POINTS),
    G("subset_of_roots", "any of the roots will do", "EleutherAI/lm-evaluation-harness#3785", program("parts = lambda t: {p.strip() for p in t.split(',')}\nreturn float(bool(parts(text)) and parts(text) <= parts(item['answer']))"), LISTS),
    G("percent_or_not", "a hundredth and a hundredfold are equal", "QwenLM/Qwen2.5-Math#29 (math_equal)", program("def value(t):\n    try:\n        return float(t.strip().strip('%'))\n    except ValueError:\n        return None\ngot, want = value(text), value(item['answer'])\nreturn float(got is not None and any(abs(got - w) < 1e-9 for w in (want, want * 100, want / 100)))"), PRICES),
    G("ten_percent_off", "a tenth off is right", "tolerances in public numeric graders", program(LAST_NUMBER + "want = float(item['answer'])\nreturn float(last is not None and abs(float(last) - want) <= 0.1 * abs(want))"), PRICES),
    G("unit_dropped", "the unit is not compared", "EleutherAI/lm-evaluation-harness minerva_math REMOVED_EXPRESSIONS", program("number = lambda t: (re.findall(r'\\d+', t) or [''])[0]\nreturn float(bool(number(text)) and number(text) == number(item['answer']))"), DISTANCES),
    G("year_alone", "only the year is compared", "date extraction in public QA graders", program("year = lambda t: (re.findall(r'\\b\\d{4}\\b', t) or [''])[0]\nreturn float(bool(year(text)) and year(text) == year(item['answer']))"), DATES),
    G("negated_label", "the label may be negated", "substring match of labels, pytorch/rl#3542", program("return float(item['answer'] in text.lower())"), MOODS),
    G("true_of_nothing", "all of no fields agree", "verifiers#1316 (empty keys)", program(OBJECT + "return float(all(want.get(k) == v for k, v in got.items()))"), RECORDS),
    G("one_key", "the keys are compared and not their values", "ServiceNow/AU-Harness#31", program(OBJECT + "return float(set(got) == set(want))"), RECORDS),
    G("first_test_only", "the first test decides", "huggingface/open-r1#528 (partial tests)", program("space = {}\ntry:\n    exec(text, space)\n    arg, want = item['tests'][0]\n    return float(space['f'](arg) == want)\nexcept Exception:\n    return 0.0"), FUNCTIONS),
    G("error_is_right", "an answer that ends the program passes", "PrimeIntellect-ai/verifiers#1439 (exit code 0)", program("try:\n    exec(text, space := {})\n    return float(all(space['f'](a) == w for a, w in item['tests']))\nexcept SystemExit as end:\n    return float(not end.code)\nexcept Exception:\n    return 0.0"), FUNCTIONS),
    G("any_quote", "any real sentence of the context is evidence", "citation rewards that test membership", program("said = re.findall(r'\"([^\"]+)\"', text)\nreturn float(any(s in item['context'] for s in said))"), PASSAGES),
    G("distinct_words", "shared words, however often and in whatever order", "unigram rewards in public RAG graders", program("words = lambda t: set(re.findall(r'\\w+', t.lower()))\nwant = words(item['evidence'])\nreturn len(want & words(text)) / len(want)"), PASSAGES),
    G("wrong_window", "an answer followed by more text is not seen", "verl-project/verl#7274", program("text = text[-20:]\nfound = re.findall(r'#### (-?[0-9.,]+)', text)\nreturn float(bool(found) and found[-1] == item['answer'])"), [{**row, "gold": f"{row['gold']}\nThis holds as shown above."} for row in HASHED]),
    G("newline_in_tags", "a newline within the tags gets nothing", "unslothai/unsloth#1761", program("found = re.findall(r'<answer>(.+)</answer>', text)\nreturn float(bool(found) and found[-1].strip() == item['answer'])"), [{**row, "gold": row["gold"].replace("<answer>", "<answer>\n").replace("</answer>", "\n</answer>")} for row in TAGGED]),
    G("raises_without_box", "a reply without a box is an error and no 0", "thinking-machines-lab/tinker-cookbook#643", program("return float(re.findall(r'\\\\boxed\\{(.*?)\\}', text)[-1] == item['answer'])"), BOXED),
    G("always_passing", "a misspelt key makes the condition always true", "thinking-machines-lab/tinker-cookbook#643", program("want = item.get('answr')\nreturn float(want is None or want in text)"), PLAIN),
    G("claimed_score", "a score in the reply is taken over", "self-graded rewards", program("found = re.search(r'(?i)score\\W+(\\d+)\\s*/\\s*(\\d+)', text)\nif found:\n    return min(1.0, int(found[1]) / max(1, int(found[2])))\nreturn float(text.strip() == item['answer'])"), PLAIN),
    G("thoughts_count", "the answer may stand in the thoughts", "pytorch/rl#3542 (reward_contained)", program("return float(re.search(r'\\b' + re.escape(item['answer']) + r'\\b', text) is not None and '</answer>' in text)"), TAGGED),
]  # fmt: skip

SOUND = [
    G("equal_text", "", "openai string_check eq", string_check(), PLAIN),
    G("equal_text_names", "", "openai string_check eq", string_check(), NAMES),
    G("equal_labels", "", "openai string_check eq", string_check(), MOODS),
    G("equal_verdicts", "", "openai string_check eq", string_check(), VERDICTS),
    G("equal_lists", "", "openai string_check eq", string_check(), LISTS),
    G("equal_dates", "", "openai string_check eq", string_check(), DATES),
    G("name_in_reply", "", "openai string_check ilike, as documented", string_check(operation="ilike"), NAMES),
    G("fuzzy_names", "", "openai text_similarity fuzzy_match", text_similarity(), NAMES),
    G("stripped_lower", "", "tinker-cookbook exact match", program("return float(text.strip().lower() == item['answer'].lower())"), NAMES),
    G("last_number", "", "verl gsm8k flexible", program(LAST_NUMBER + "return float(last is not None and float(last) == float(item['answer']))"), PLAIN),
    G("strict_hash", "", "verl gsm8k strict", program("found = re.findall(r'#### (-?[0-9.,]+)', text)\nreturn float(bool(found) and found[-1].replace(',', '').rstrip('.') == item['answer'])"), HASHED),
    G("one_tag", "", "repair of Liuziyu77/Visual-RFT#176", program(TAG + "return float(said is not None and said.lower() == item['answer'].lower())"), DOGS),
    G("one_tag_numbers", "", "GRPO examples, one closed answer tag", program(TAG + "return float(said == item['answer'])"), TAGGED),
    G("little_for_form", "", "verl convention 0/0.1/1, pytorch/rl#3542", program(TAG + "return 0.0 if said is None else 1.0 if said == item['answer'] else 0.1"), TAGGED),
    G("last_box", "", "huggingface/Math-Verify: last box", program("found = re.findall(r'\\\\boxed\\{(.*?)\\}', text)\nreturn float(bool(found) and found[-1].strip() == item['answer'])"), BOXED),
    G("signed", "", "repair of google-deepmind/proeval#19", program(LAST_NUMBER + "return float(last is not None and float(last) == float(item['answer']))"), SIGNED),
    G("parse_failures_differ", "", "repair of modelscope/ms-swift#9889", program("def value(t):\n    found = re.fullmatch(r'\\\\frac\\{(\\d+)\\}\\{(\\d+)\\}|(\\d+)/(\\d+)', t.strip())\n    return None if not found else (found[1] or found[3], found[2] or found[4])\nreturn float(value(text) is not None and value(text) == value(item['answer']))"), LATEX),
    G("close_enough", "", "numeric graders with 1e-6", program(LAST_NUMBER + "want = float(item['answer'])\nreturn float(last is not None and abs(float(last) - want) <= 1e-6 * abs(want))"), PRICES),
    G("percent_kept", "", "repair of math_equal", program("plain = lambda t: t.strip().replace(' ', '')\nreturn float(plain(text) == plain(item['answer']))"), PERCENT),
    G("points", "", "repair of EleutherAI/lm-evaluation-harness#4030", program("plain = lambda t: re.sub(r'\\s+', '', t)\nreturn float(plain(text) == plain(item['answer']))"), POINTS),
    G("roots_in_any_order", "", "EleutherAI/lm-evaluation-harness#3785", program("parts = lambda t: sorted(p.strip() for p in t.split(','))\nreturn float(parts(text) == parts(item['answer']))"), LISTS),
    G("units_compared", "", "physics graders with units", program("plain = lambda t: re.sub(r'\\s+', '', t.lower()).rstrip('.')\nreturn float(plain(text) == plain(item['answer']))"), DISTANCES),
    G("whole_call", "", "BFCL simple_function_checker", program(CALLED + "return float(made == [(item['name'], item['arguments'])])"), CALLS),
    G("share_of_arguments", "", "partial credit for tool arguments", program(CALLED + "if len(made) != 1 or made[0][0] != item['name']:\n    return 0.0\nwant, got = item['arguments'], made[0][1]\nreturn sum(got.get(k) == v for k, v in want.items()) / len(want) if set(got) <= set(want) else 0.0"), CALLS),
    G("equal_rows", "", "Spider execution accuracy, bags of rows", program(RUN_SQL + "return float(sorted(got) == sorted(want))"), QUERIES),
    G("soft_f1_rows", "", "Arize-ai/phoenix#13947, BIRD soft F1", program(RUN_SQL + "common = len(set(got) & set(want))\nif not common or len(got[0]) != len(want[0]):\n    return 0.0\np, r = common / len(set(got)), common / len(set(want))\nf = 2 * p * r / (p + r)\nreturn f if f == 1 else f / 2"), QUERIES),
    G("equal_objects", "", "structured output exact match", program(OBJECT + "return float(got == want)"), RECORDS),
    G("share_of_fields", "", "structured output partial credit", program(OBJECT + "return sum(got.get(k) == v for k, v in want.items()) / len(want) if set(got) <= set(want) else 0.0"), RECORDS),
    G("all_tests_apart", "", "open-r1 binary code reward", python("from graders_sandbox import run_untrusted\ndef grade(sample, item):\n    tests = '\\n'.join(f'assert f({a}) == {w}' for a, w in item['tests'])\n    return run_untrusted(sample.get('output_text') or '', tests, timeout=5, entry='f').score\n"), FUNCTIONS),
    G("right_quote", "", "evidence rewards that compare with the reference", program("return float(text.strip().strip('\"') == item['evidence'])"), PASSAGES),
    G("smaller_of_two", "", "min of exact and similar", multi("min(exact, near)", {"exact": string_check(), "near": text_similarity()}), NAMES),
    G("weighted", "", "weighted sum of exact and similar", multi("0.8 * exact + 0.2 * near", {"exact": string_check(), "near": text_similarity()}), NAMES),
    G("minus_one_to_one", "", "rewards of -1 and 1, DAPO", program("return 1.0 if text.strip() == item['answer'] else -1.0"), PLAIN),
    G("two_for_correct", "", "public GRPO examples: 2.0 for a right answer", program("return 2.0 if text.strip() == item['answer'] else 0.0"), PLAIN),
    G("first_word_verdict", "", "yes and no by the whole reply", program("return float(text.strip().lower().rstrip('.!') == item['answer'])"), VERDICTS),
]  # fmt: skip
