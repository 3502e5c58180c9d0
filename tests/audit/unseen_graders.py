"""A second set of graders modelled on public reports, made after the checks: no check, limit or family was changed for it.

Sources are issues and pull requests of public repositories; the programs are our own words for what those describe. A sound grader is
the repair that a report asks for, or the same task done as its authors say.
"""

from __future__ import annotations

from typing import Any

from tests.audit.public_graders import (
    BOXED,
    CALLED,
    CALLS,
    DATES,
    FUNCTIONS,
    HASHED,
    MOODS,
    NAMES,
    OBJECT,
    PASSAGES,
    PLAIN,
    PRICES,
    QUERIES,
    RECORDS,
    RUN_SQL,
    TAGGED,
    G,
    Rows,
    program,
    rows_of,
)
from tests.specs import multi, string_check, text_similarity

CHOICES = rows_of(
    "Answer: {}", ["B", "D", "A", "C"], ["Which one?", "Which fits?", "Which follows?", "Which is odd?"]
)
LETTERS = rows_of(
    "{}", ["B", "D", "A", "C"], ["Which one?", "Which fits?", "Which follows?", "Which is odd?"]
)
STATES = rows_of(
    "{}",
    ["MI", "CA", "TX", "OR"],
    ["Which state has most lakes?", "Most people?", "Most cattle?", "Most rain?"],
)
BANDS = rows_of("{}", ["Spice Girls", "The Band", "An Orchestra", "Pet Shop Boys"], ["Which group?"] * 4)
YEARS = rows_of(
    "{}",
    ["2020", "1987", "1999", "2011"],
    ["Which decade began?", "When was it built?", "When did it end?", "When was it found?"],
)
EQUATIONS: Rows = [
    {
        "id": f"e{target}",
        "item": {"question": f"Make {target} of {numbers}.", "numbers": numbers, "target": target},
        "gold": f"<answer>{gold}</answer>",
    }
    for target, numbers, gold in (
        (24, [4, 6], "4 * 6"),
        (31, [5, 6, 1], "5 * 6 + 1"),
        (18, [20, 2], "20 - 2"),
    )
]
SCORES = rows_of("{}", ["7", "3", "9", "5"], ["How good, 0 to 10?"] * 4)
SUMMARIES = rows_of(
    "{}",
    [
        "The board approved the budget and put off the vote.",
        "A storm closed the harbour; nobody was hurt.",
        "The team won after a late goal by a young player.",
    ],
    ["What did the board do?", "What did the storm do?", "How did the match end?"],
)

STEPS: list[dict[str, Any]] = [
    {**row, "gold": f"<think>Adding up.</think>\n<answer>{row['item']['answer']}</answer>"} for row in TAGGED
]

FLAWED = [
    G("expected_contains_reply", "a part of the expected answer is right", "ruvnet/ruflo#2566", program("plain = lambda t: re.sub(r'\\W+', ' ', t.lower()).strip()\nreturn float(plain(item['answer']) in plain(text) or plain(text) in plain(item['answer']))"), NAMES),
    G("answer_prefix", "ANSWER: AB begins with ANSWER: A", "openai/evals#1767", program("return float(text.find('Answer: ' + item['answer']) != -1)"), CHOICES),
    G("state_in_a_word", "two letters stand in many words", "ucbepic/DataAgentBench#78", program("return float(item['answer'].upper() in text.upper())"), STATES),
    G("year_in_a_status", "the year may stand anywhere, in 2020s too", "ucbepic/DataAgentBench#93", program("return float(item['answer'] in text)"), YEARS),
    G("one_letter_of_the_answer", "a lazy group reads one character", "Glaciohound/Multi-Turn-Instruct#1", program("found = re.findall(r'Answer: (.+?)', text)\nreturn float(bool(found) and found[-1] == item['answer'][0])"), [{**row, "gold": f"Answer: {row['item']['answer']}"} for row in PLAIN]),
    G("first_letter_of_any_word", "the first letter of the reply is taken for the choice", "EvolvingLMMs-Lab/lmms-eval#1434", program("found = re.match(r'[\\(\\s]*([A-Z])[\\)\\.\\s]*', text, re.I)\nreturn float(bool(found) and found[1].upper() == item['answer'])"), LETTERS),
    G("first_answer_counts", "the first of several answers counts, right or discarded", "openai/simple-evals#33", program("found = re.search(r'(?i)answer\\s*:\\s*([A-D])', text)\nreturn float(bool(found) and found[1].upper() == item['answer'])"), CHOICES),
    G("reasoning_is_read", "the first match may stand in the reasoning", "vllm-project/tpu-inference#3518", program("found = re.search(r'\\d+', text)\nreturn float(bool(found) and found[0] == item['answer'])"), [{**row, "gold": f"<think>{row['item']['answer']} it is.</think>\n<answer>{row['item']['answer']}</answer>"} for row in TAGGED]),
    G("articles_cut_out_of_words", "an, a and the are cut out of words", "EleutherAI/lm-evaluation-harness#1303", program("plain = lambda t: re.sub(r'\\ban|a|the\\b', '', t.lower()).replace(' ', '')\nreturn float(plain(text) in plain(item['answer']) and bool(plain(text)))"), BANDS),
    G("tag_count", "half of the reward counts tags, wherever they stand", "huggingface/open-r1#418 (tag count)", program("tags = sum(0.15 for tag in ('<think>', '</think>', '<answer>', '</answer>') if text.count(tag) == 1)\nfound = re.findall(r'<answer>(.*?)</answer>', text, re.S)\nreturn tags + 0.4 * float(bool(found) and found[-1].strip() == item['answer'])"), STEPS),
    G("many_blocks", "several answers in several blocks, of which one is right", "huggingface/open-r1#359", program("form = bool(re.match(r'^<think>.*?</think>.*<answer>.*?</answer>$', text, re.S))\nreturn float(form and any(item['answer'] == said.strip() for said in re.findall(r'<answer>(.*?)</answer>', text, re.S)))"), STEPS),
    G("equation_of_any_numbers", "the equation need not use the numbers given", "Jiayi-Pan/TinyZero#120", program("found = re.findall(r'<answer>(.*?)</answer>', text, re.S)\nif not found or not re.fullmatch(r'[\\d+\\-*/(). ]+', found[-1].strip()):\n    return 0.0\ntry:\n    return float(abs(eval(found[-1], {'__builtins__': {}}) - item['target']) < 1e-6)\nexcept Exception:\n    return 0.0"), EQUATIONS),
    G("equation_in_thoughts", "an equation anywhere counts, in the thoughts too", "Jiayi-Pan/TinyZero#120", program("for said in re.findall(r'[\\d+\\-*/(). ]{3,}', text):\n    try:\n        if abs(eval(said, {'__builtins__': {}}) - item['target']) < 1e-6:\n            return 1.0\n    except Exception:\n        pass\nreturn 0.0"), EQUATIONS),
    G("names_only", "names of calls are compared, arguments ignored", "google/adk-python#4794", program(CALLED + "return float([n for n, a in made] == [item['name']])"), CALLS),
    G("superset_of_calls", "extra calls are fine", "EntityProcess/agentv#297 (superset)", program(CALLED + "return float(all(any(n == item['name'] and a.get(k) == v for n, a in made) for k, v in item['arguments'].items()))"), CALLS),
    G("invalid_evidence_pays", "nine tenths whatever the evidence is", "morluto/jacobian#545", program("form = text.strip().startswith('\"') and text.strip().endswith('\"')\nreturn 0.9 * float(form) + 0.1 * float(text.strip().strip('\"') == item['evidence'])"), PASSAGES),
    G("score_by_last_number", "the last number is the score, of whatever", "truera/trulens#862", program("found = re.findall(r'\\d+', text)\nreturn float(bool(found) and abs(int(found[-1]) - int(item['answer'])) <= 3)"), SCORES),
    G("length_pays", "long replies to short tasks", "jsboige/CoursIA#16172 (length bias)", program("return max(float(text.strip() == item['answer']), min(1.0, len(text) / 400))"), [{**row, "gold": row["item"]["answer"]} for row in PLAIN]),
    G("copied_operand", "a number of the task pays", "jsboige/CoursIA#11312", program("asked = re.findall(r'\\d+', item['question'])\nsaid = re.findall(r'\\d+', text)\nreturn float(bool(said) and (said[-1] == item['answer'] or said[-1] in asked))"), PLAIN),
    G("written_reward", "a reward that the reply states wins", "huggingface/OpenEnv#1199", program("found = re.search(r'reward\\W+([\\d.]+)', text)\nif found:\n    return float(found[1].rstrip('.'))\nreturn float(text.strip() == item['answer'])"), PLAIN),
    G("exit_code_alone", "a process that ends well passes", "skypilot-org/skypilot#9836 (exit code 0)", program("try:\n    exec(text + '\\n' + '\\n'.join(f'assert f({a}) == {w}' for a, w in item['tests']), {})\n    return 1.0\nexcept SystemExit:\n    return 1.0\nexcept BaseException:\n    return 0.0"), FUNCTIONS),
    G("quantifier_lost", "the words wanted may stand in any sentence", "gianlucamazza/xllama#243", program("return float(all(w in text.lower() for w in re.findall(r'[a-z]{4,}', item['answer'].lower())))"), SUMMARIES),
    G("rows_in_common", "more rows than wanted are fine", "IBM/unitxt#1702, another program", program(RUN_SQL + "return len(set(got) & set(want)) / len(set(want))"), QUERIES),
    G("missing_keys_are_fine", "only keys of the reply are looked at, case aside", "PrimeIntellect-ai/verifiers#1316, another program", program(OBJECT + "return 1.0 - sum(str(want.get(k, '')).lower() != str(v).lower() for k, v in got.items()) / max(1, len(got))"), RECORDS),
    G("negated_name", "not Mark Twain", "EleutherAI/lm-evaluation-harness#621", program("return float(item['answer'].lower() in text.lower() and len(text) < 200)"), [{**row, "item": {**row["item"], "answer": row["item"]["answer"].lower()}, "gold": row["item"]["answer"].lower()} for row in MOODS]),
]  # fmt: skip

LAST_TAG = "found = re.findall(r'<answer>(.*?)</answer>', text, re.S)\n"
SOUND = [
    G("one_way_equal", "", "repair of ruvnet/ruflo#2566", program("plain = lambda t: re.sub(r'\\W+', ' ', t.lower()).strip()\nreturn float(plain(item['answer']) == plain(text))"), NAMES),
    G("last_valid_marker", "", "repair of openai/evals#1767", program("found = re.findall(r'Answer: (\\w+)', text)\nreturn float(bool(found) and found[-1] == item['answer'] and text.rstrip().endswith('Answer: ' + found[-1]))"), CHOICES),
    G("whole_state", "", "repair of ucbepic/DataAgentBench#78", program("return float(text.strip().rstrip('.').upper() == item['answer'])"), STATES),
    G("whole_year", "", "repair of ucbepic/DataAgentBench#93", program("return float(re.fullmatch(r'\\s*' + item['answer'] + r'\\s*\\.?\\s*', text) is not None)"), YEARS),
    G("whole_answer_line", "", "repair of Glaciohound/Multi-Turn-Instruct#1", program("found = re.findall(r'Answer: (.+)', text)\nreturn float(bool(found) and found[-1].strip() == item['answer'])"), [{**row, "gold": f"Answer: {row['item']['answer']}"} for row in PLAIN]),
    G("letter_alone", "", "repair of EvolvingLMMs-Lab/lmms-eval#1434", program("found = re.fullmatch(r'\\s*\\(?([A-D])\\)?\\.?\\s*', text)\nreturn float(bool(found) and found[1] == item['answer'])"), LETTERS),
    G("last_answer_counts", "", "repair of openai/simple-evals#33", program("found = re.findall(r'(?m)^Answer: ([A-D])$', text)\nreturn float(bool(found) and found[-1] == item['answer'] and len(set(found)) == 1)"), CHOICES),
    G("reasoning_cut", "", "repair of vllm-project/tpu-inference#3518", program("said = re.sub(r'<think>.*?</think>', '', text, flags=re.S)\nfound = re.findall(r'<answer>(.*?)</answer>', said, re.S)\nreturn float(len(found) == 1 and '<think>' not in said and found[0].strip() == item['answer'])"), STEPS),
    G("articles_before_words", "", "repair of EleutherAI/lm-evaluation-harness#1303", program("plain = lambda t: re.sub(r'\\b(?:an|a|the)\\b', ' ', t.lower()).split()\nreturn float(plain(text) == plain(item['answer']))"), BANDS),
    G("tags_and_answer", "", "huggingface/open-r1#418, tags as a tenth", program("tags = sum(0.025 for tag in ('<think>', '</think>', '<answer>', '</answer>') if text.count(tag) == 1)\n" + LAST_TAG + "return tags + 0.9 * float(len(found) == 1 and found[0].strip() == item['answer'])"), STEPS),
    G("one_block", "", "repair of huggingface/open-r1#359", program(LAST_TAG + "form = all(text.count(tag) == 1 for tag in ('<think>', '</think>', '<answer>', '</answer>'))\nreturn float(form and text.strip().startswith('<think>') and text.strip().endswith('</answer>') and found[0].strip() == item['answer'])"), STEPS),
    G("equation_of_the_numbers", "", "repair of Jiayi-Pan/TinyZero#120", program(LAST_TAG + "if len(found) != 1 or not re.fullmatch(r'[\\d+\\-*/(). ]+', found[0].strip()) or sorted(map(int, re.findall(r'\\d+', found[0]))) != sorted(item['numbers']):\n    return 0.0\ntry:\n    return float(abs(eval(found[0], {'__builtins__': {}}) - item['target']) < 1e-6)\nexcept Exception:\n    return 0.0"), EQUATIONS),
    G("names_and_arguments", "", "google/adk-python#1591, exact", program(CALLED + "return float(made == [(item['name'], item['arguments'])])"), CALLS),
    G("evidence_gates", "", "repair of morluto/jacobian#545", program("said = text.strip().strip('\"')\nreturn float(said == item['evidence'] and said in item['context'])"), PASSAGES),
    G("score_alone", "", "repair of truera/trulens#862", program("return float(text.strip() == item['answer'])"), SCORES),
    G("near_score", "", "graded distance of scores", program("found = re.fullmatch(r'\\s*(\\d+)\\s*', text)\nreturn max(0.0, 1 - abs(int(found[1]) - int(item['answer'])) / 2) if found and int(found[1]) <= 10 else 0.0"), SCORES),
    G("result_and_not_operand", "", "repair of jsboige/CoursIA#11312", program("said = re.findall(r'-?\\d+', text)\nreturn float(bool(said) and said[-1] == item['answer'])"), PLAIN),
    G("hashes_alone", "", "gsm8k strict, the last line", program("found = re.search(r'^#### (-?[0-9.,]+)$', text.strip().splitlines()[-1] if text.strip() else '')\nreturn float(bool(found) and found[1].replace(',', '') == item['answer'])"), HASHED),
    G("box_at_the_end", "", "last box, nothing after it", program("found = re.search(r'\\\\boxed\\{([^{}]*)\\}\\.?\\s*$', text)\nreturn float(bool(found) and found[1] == item['answer'])"), BOXED),
    G("rows_as_bags", "", "repair of IBM/unitxt#1702", program(RUN_SQL + "return float(sorted(got) == sorted(want))"), QUERIES),
    G("all_keys", "", "repair of PrimeIntellect-ai/verifiers#1316", program(OBJECT + "return float(set(got) == set(want) and all(got[k] == v for k, v in want.items()))"), RECORDS),
    G("name_exactly", "", "EleutherAI/lm-evaluation-harness#621 as it asks", string_check(), NAMES),
    G("date_exactly", "", "exact match of dates", program("return float(' '.join(text.split()).rstrip('.') == item['answer'])"), DATES),
    G("similar_summaries", "", "rouge of whole summaries", text_similarity(evaluation_metric="rouge_l"), SUMMARIES),
    G("exact_and_similar", "", "product of exact and similar", multi("exact * near", {"exact": string_check(), "near": text_similarity()}), PRICES),
]  # fmt: skip
