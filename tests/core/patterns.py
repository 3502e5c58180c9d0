"""The regular expressions of the sources, and the texts that are worst for each. test_linear.py measures them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

Text = Callable[[int], Any]


@dataclass(frozen=True)
class Pattern:
    """How an expression is used, and the texts that are worst for it.

    Attributes:
        texts: Each from its length.
        how: The method; that of the call where the expression stands in one.
        names: Values of names in the expression that are no globals of its module.
    """

    texts: Sequence[Text]
    how: str = "finditer"
    names: dict[str, Any] = field(default_factory=dict)


def run(piece: str, end: str = "", start: str = "") -> Text:
    """A piece again and again, between a start and an end."""
    return lambda n: start + piece * (n // len(piece)) + end


BRACES = [run(" ", start="{{"), run(" ", start="{{a"), run(" ", start="{{a."), run("{{a "), run("{{ "), run("{"),
          run(" ", start="{{item."), run(".a", " ", "{{item"), run("[1]", " ", "{{item"), run("a", start="{{ item."),
          run("a", "!}}", "{{item."), run("{{item.a")]  # fmt: skip
WORDS = [run("a"), run("1"), run(" "), run("_"), run("a "), run("a1"), run("a", "!")]
DIGITS = [run("1"), run("1,"), run("1."), run(".1"), run("1", "e"), run("1e"), run("1e+")]
UNSEEN = [run("\x00"), run("\u202e"), run("a"), run("a\x00")]

#: Module and name of an expression, or of the function in which it stands -> how it could be attacked.
PATTERNS: dict[str, Pattern] = {
    "graders.adapters.decoded:__init__": Pattern(
        [run("</s>", "x"), run("<")], names={"token": "</s>|<pad>"}
    ),
    "graders.adapters.decoded:_LOOKALIKE": Pattern(
        [run("</s>", "x"), run("</s> ", "x"), run(" ", "x", "<pad>"), run("<|"), run("<|a|>", "x"), run("<｜")]
    ),
    "graders.calibration.bias:_decorated": Pattern([run("\n"), run(" ", "x"), run("#"), run("*"), run("# "), run(" \n"), run(" ", "x", "#")]),
    "graders.attack.families.far:prompt_numbers": Pattern(DIGITS),
    "graders.attack.families.far:quotes": Pattern([run("."), run(" ", "x", "."), run(". "), run(" ")]),
    "graders.attack.families.near:_AROUND_FRACTION": Pattern(
        [run("\\frac{1}{2}", " "), run("\\frac"), run("\\frac{"), run("1", start="\\frac{"), run("\\frac{1}{"), run("a", " ")],
        "fullmatch",
    ),
    "graders.attack.families.near:_DATE": Pattern([run("1"), run("1/"), run("2024-"), run("1.1.")]),
    "graders.attack.families.near:_LONG_DATE": Pattern(
        [run("jan "), run("jan"), run("may 1 ", "x"), run("a", start="may "), run("1999", start="may "), run("2024-01-")]
    ),
    "graders.attack.families.near:_NUMBER": Pattern([*DIGITS, run(",111", "a", "1"), run("1", "a"), run("-1")]),
    "graders.attack.families.near:_THOUSANDS": Pattern([run(" 111", "x", "1"), run("1")], "fullmatch"),
    "graders.attack.families.near:negation": Pattern([run("a1"), run("1"), run("a ")]),
    "graders.attack.families.near:negation#2": Pattern([run("1"), run("1 ", "x"), run(" ", "x", "1"), run("n'"), run("withou ")]),
    "graders.attack.families.near:notation": Pattern([run("\\"), run("\\dfra"), run("a")]),
    "graders.attack.families.near:notation#2": Pattern([run("\\"), run("a", start="\\"), run("{}")]),
    "graders.attack.families.near:notation#3": Pattern([*DIGITS, run(" ", "x", "1"), run(" ", "x", "1,"), run("1, ")]),
    "graders.attack.families.near:notation#4": Pattern([run("a-"), run(" ", "!", "a-"), run("- "), run(" -")]),
    "graders.attack.families.near:notation#5": Pattern([run("a")]),
    "graders.attack.families.near:notation#6": Pattern([run("aa1"), run("1")]),
    "graders.attack.families.near:parts": Pattern([run(","), run(",1"), run(",111"), run(" an"), run(" and "), run(" ")]),
    "graders.attack.families.near:units": Pattern(
        [run("1 ", "!"), run(" ", "!", "1"), run("1", "!"), run("a", "!", "1"), run("1 a"), run(" ", "a")]
    ),
    "graders.attack.families.near:units#2": Pattern([run("1", "!", "$"), run("1,", "!", "$"), run("$")]),
    "graders.attack.families.near:year_alone": Pattern([run("1"), run("1999"), run("1999 ")]),
    "graders.attack.families.structured:_CONDITION": Pattern(
        [run("where "), run("a", start="where "), run("group ", start="where "), run("where limit "), run("a")]
    ),
    "graders.attack.families.structured:_code": Pattern([run("`"), run("```"), run("``", start="```\n"), run("```python")]),
    "graders.attack.families.structured:_code#2": Pattern(
        [run("def a(\n"), run("def\n"), run(" ", start="def"), run("a", start="def "), run(" ", start="def a"),
         run("def ", start="def a("), run("\n")]
    ),
    "graders.attack.families.structured:query_cut": Pattern([run("count "), run(" ", start="count"), run("limi "), run("max")]),
    "graders.attack.families.structured:query_order": Pattern(
        [run("order by "), run("order by a"), run("a", "!", "order by "), run(".", start="order by ")]
    ),
    "graders.attack.families.wrong:CODE": Pattern([run("\n"), run(" "), run(" \n"), run("``a"), run("define\n"), run("\t", "x")]),
    "graders.attack.families.wrong:SQL": Pattern([run("\n"), run(" ", "x"), run("a")]),
    "graders.attack.families.wrong:_MARKS": Pattern(
        [run("<answer>"), run("<answer><final>"), run("a", start="<answer>"), run("</answer", start="<answer>"), run("<")]
    ),
    "graders.attack.families.wrong:_MARKS#2": Pattern(
        [run("\\boxed{"), run("{a}", start="\\boxed{"), run("\\boxed{a}", start="\\boxed{"), run("{{}", start="\\boxed{"),
         run("{{a}}", start="\\boxed{"), run("\\boxed{{a}")]
    ),
    "graders.attack.families.wrong:_MARKS#3": Pattern(
        [run("#"), run("####\n"), run(" ", "x", "####a"), run(" ", start="####a"), run("\n", start="####"), run("#### a "), run("A:\n"),
         run(" ", "x", "A:a")]
    ),
    "graders.attack.families.wrong:_MARKS#4": Pattern(
        [run("answer a ", "\n\nx y"), run("answer is: a\n"), run("answer "), run(" ", "x\ny", "answer a"), run(" ", start="answer"),
         run("a ", "\ny", "answer "), run(".", "\ny", "answer "), run(". ", "\ny", "answer "), run("\n", "y", "answer a")]
    ),
    "graders.attack.families.wrong:_LABELLED": Pattern(
        [run("\na: x"), run("x", "\n", "a: "), run(" ", "\n", "a: x"), run(".", "\n", "a: x"), run("x .", "\n", "a: "), run(" ", start="a:"), run("a ")]
    ),
    "graders.attack.families.wrong:_last_place": Pattern([run("a"), run("a "), run("aab")], names={"words": r"(?<!\w)" + "a" * 20 + r"b(?!\w)"}),
    "graders.attack.families.wrong:_last_place#2": Pattern([run("a"), run("a "), run("aab")], names={"words": r"(?<!\w)" + "a" * 20 + r"b(?!\w)"}),
    "graders.attack.families.wrong:has_answer": Pattern([run("a"), run("a "), run("aab.1")], names={"one": "a" * 20 + "b"}),
    "graders.attack.families.wording:_ASKS_FOR_CAPITALS": Pattern([run("cap"), run("capital "), run("upper"), run("upper ")]),
    "graders.attack.families.wording:_ASKS_FOR_SMALL_LETTERS": Pattern([run("small "), run("lower"), run("lower-")]),
    "graders.attack.families.wording:_SOURCE": Pattern([run("["), run("[1"), run("1", start="["), run("[12")], "findall"),
    "graders.session.rows:_THOUSANDS": Pattern([run(",111", "x", "1"), run("1", "x", "1,111."), run("1")], "fullmatch"),
    "graders.attack.probes:REFUSAL_WORDS": Pattern([run("don"), run("can"), run("u"), run("unknow"), run("I")]),
    "graders.attack.probes:_NUMBER": Pattern(DIGITS),
    "graders.attack.probes:_WORD": Pattern(WORDS),
    "graders.attack.probes:without_answer": Pattern([run("a"), run("aab")], names={"answer": "a" * 20 + "b"}),
    "graders.mutation.mutants:_ITEM_FIELD": Pattern([run(" ", start="{{"), run("{{ "), run("{{item.a "), run("a", start="{{item."), run(" ", start="{{item.a")]),
    "graders.mutation.mutants:_TOKEN": Pattern([run("1"), run("1."), run("a"), run("a("), run("min"), run("min ")]),
    "graders.session.programs:_IMPORT": Pattern([run("a", start="from "), run("a.", start="import "), run("from ")], "fullmatch"),
    "graders.attack.seeds:_GROUP": Pattern([run("("), run("(a"), run("(?"), run("a", start="(?:"), run("()*"), run("*", start="()")]),
    "graders.attack.seeds:_LITERAL": Pattern(
        [run('\\"'), run('\\"', start='"'), run('"'), run("\"'"), run("\\", start="'"), run("r"), run(' "a\n'), run("\\'\\\"")]
    ),
    "graders.attack.seeds:_NUMBER": Pattern([*DIGITS, run("1", "a"), run("1", "a", "1.")]),
    "graders.attack.seeds:_VARIABLE": Pattern(BRACES, "split"),
    "graders.attack.seeds:_numbered": Pattern([run("(?"), run("a", start="(?"), run("(?a"), run("\\"), run("-"), run("-?")]),
    "graders.attack.seeds:_numbered#2": Pattern([run("["), run("a", start="["), run("[]"), run("*", start="[]"), run("[0-9")]),
    "graders.attack.seeds:_numbered#3": Pattern([run("\\"), run("0-"), run("0")]),
    "graders.attack.seeds:_numbered#4": Pattern([run("\\d{"), run("1", start="\\d{"), run("\\d{1,"), run("\\")]),
    "graders.attack.seeds:_numbered#5": Pattern([run("\\"), run("\\s"), run("+", start="\\s")]),
    "graders.attack.seeds:_numbered#6": Pattern([run("("), run("(?P<a"), run("a", start="(?P<"), run("\\"), run(")"), run("*")]),
    "graders.attack.seeds:_numbered#7": Pattern([run("\\"), run("\\a")]),
    "graders.attack.seeds:_matched_by": Pattern([run("\\"), run("*", start="\\s"), run(".*?"), run("."), run("^")]),
    "graders.attack.seeds:_matched_by#2": Pattern([run("\\"), run("\\a"), run("a")]),
    "graders.endpoints.capabilities:_RATE_LIMIT": Pattern([run("rate"), run("too many "), run("42")]),
    "graders.endpoints.capabilities:_UNSUPPORTED": Pattern([run("un"), run("not "), run("extra "), run("unrecogni")]),
    "graders.endpoints.complaint:_NAME": Pattern(WORDS),
    "graders.endpoints.complaint:_QUOTED": Pattern([run("'"), run("'a"), run("a", start="'"), run("['a."), run("a")]),
    "graders.endpoints.complaint:_WAIT": Pattern(
        [run("retry in "), run(" ", start="retry in"), run("1", start="retry in "), run("1 ", start="retry in "),
         run("1s ", start="retry in "), run("1s", "!", "retry in "), run("1.", start="retry in ")]
    ),
    "graders.endpoints.concurrency:_DURATION": Pattern([*DIGITS, run("1m"), run("1s1"), run("1.1s")]),
    "graders.endpoints.failures:_FILTERED": Pattern(
        [run("content "), run("input"), run("input "), run("safety "), run("a", start="prompt "), run("text a ")]
    ),
    "graders.endpoints.failures:_NO_QUOTA": Pattern([run("insufficient "), run("credit "), run("exceeded your ")]),
    "graders.config.harmless:_is_below": Pattern([run("/"), run("../"), run("a")], "split"),
    "graders.config.harmless:_LOOPBACK_URL": Pattern(
        [run("a", "!", "http://127.0.0.1/"), run("1", "!", "http://localhost:"), run("http://")], "fullmatch"
    ),
    "graders.config.harmless:_key": Pattern(WORDS),
    "graders.evals.comparison:_UUID": Pattern([run("-0"), run("-"), run("-01234567"), run("a")]),
    "graders.fields:_WORD_BREAK": Pattern([*WORDS, run("!")], "sub"),
    "graders.formula.parser:_BLANK": Pattern([run(" ", "!")], "match"),
    "graders.formula.parser:_NUMBER": Pattern(DIGITS, "match"),
    "graders.formula.parser:_WORD": Pattern(WORDS, "match"),
    "graders.formula.parser:continues": Pattern(WORDS),
    "graders.jsontext:_EXPONENT": Pattern([lambda n: b"1" * n, lambda n: b"1e" * (n // 2), lambda n: b"e-" * (n // 2)], "search"),
    "graders.judges.quality:expected_score": Pattern(
        [run('"k"'), run(" ", start='"k"'), run('"k" : '), run("1", start='"k":'), run('"')], names={"key": "k"}
    ),
    "graders.judges.reading:_ESCAPE": Pattern([run("\\"), run("\\u00"), run("\\(")]),
    "graders.judges.reading:_THINK": Pattern(
        [run(" "), run("<think>"), run("a", start="<think>"), run("</think", start="<think>")], "sub"
    ),
    "graders.evals.exchange.pull:_ID": Pattern(WORDS, "fullmatch"),
    "graders.kinds.messages:_MARKUP": Pattern([run("<"), run("</"), run("<start_of_tur"), run("["), run("[/")]),
    "graders.metrics.rouge:_WORD": Pattern(WORDS),
    "graders.metrics.tokens:_RULES": Pattern([run("."), run(".,"), run("1."), run("1-"), run("a."), run("-")]),
    "graders.metrics.tokens:_UNICODE": Pattern(WORDS),
    "graders.preflight.graders:_without_blanks": Pattern(BRACES),
    "graders.report.format:_UNSEEN": Pattern(UNSEEN),
    "graders.report.junit:xml_text": Pattern(UNSEEN),
    "graders.report.format:_CONTROL": Pattern(UNSEEN),
    "graders.report.format:_MARKS": Pattern([run("`"), run("\\"), run("a")]),
    "graders.server.openapi:_by_endpoint": Pattern([run("{"), run("{a"), run("a", start="{")]),
    "graders.server.resources.completions:_METADATA": Pattern([run("metadata["), run("a"), run("[")], "fullmatch"),
    "graders.server.forwarding:PASSED": Pattern([run("x-ratelimit-"), run("a"), run("retry-after")], "fullmatch"),
    "graders.spec.positions:_BLANK": Pattern([run(" ", "!")], "match"),
    "graders.spec.positions:_SCALAR": Pattern(WORDS, "match"),
    "graders.spec.positions:_STEP_END": Pattern([run("."), run("[1]"), run("a")]),
    "graders.stats.reasons:_VARYING": Pattern([run("'"), run('"'), run("1"), run("1.")], "sub"),
    "graders.stats.gather:_CONTENT_ID": Pattern([run("a"), run("1", "!", "#")], "fullmatch"),
    "graders.template.mistakes:_BRACES": Pattern(BRACES),
    "graders.template.mistakes:_PATH": Pattern([run(".a", "!"), run("[1]", "!"), run("a", "{", "."), run(".")], "match"),
    "graders.template:_STEP": Pattern([run(".a"), run("[1"), run("[1]"), run("."), run("1", start="[")]),
    "graders.template:_VARIABLE": Pattern(BRACES),
    "graders.template.mistakes:_WORD": Pattern(WORDS, "match"),
    "graders.tuning.add_model:_HEADER": Pattern(
        [run(" ", start="[tuning.models]"), run("#", start="[tuning.models]"), run("[tuning.models]x")]
    ),
    "graders.tuning.wire:model_name": Pattern([run("a"), run("."), run("a.")]),
}  # fmt: skip

#: Expressions that see no text of anybody else's.
NOT_OURS = {
    "graders.pages.document:_IMPORT": "reads our own scripts",
    "graders.pages.document:_EXPORT": "reads our own scripts",
    "graders.pages.document:_PLACE": "reads our own page, before the data is put in",
    "graders_sandbox.jail.loading:compile_patterns": "a program's own expression, inside of the jail and timed",
    "graders_sandbox.jail.template:warm_up": "a fixed text",
}
