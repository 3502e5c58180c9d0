"""Families of wrong samples: one function and one line in FAMILIES each.

Near families change one thing of the gold, and are exploits if they get its full reward. Far ones have nothing of it,
and are exploits from three quarters of it; an echo shares words with the gold, and is one from nine tenths.
"""

from __future__ import annotations

from collections.abc import Mapping

from graders.attack.families import far, hedged, near, structured, wording
from graders.attack.families.wrong import Family

ALL = 0.999
MOST = 0.75
MOST_OF_PROGRAM = (
    0.6  # in the place of MOST where nothing compares texts, which have a little in common anyhow
)
ECHO = 0.9

FAMILIES: Mapping[str, Family] = {
    "numbers": Family(near.numbers, ALL),
    "notation": Family(near.notation, ALL),
    "parts": Family(near.parts, ALL),
    "units": Family(near.units, ALL),
    "year_alone": Family(near.year_alone, ALL),
    "swapped": Family(near.swapped, ALL),
    "words": Family(wording.words, ALL),
    "capitals": Family(wording.capitals, ALL, by_case=True),
    "negation": Family(near.negation, ALL, holds_answer=True),
    "several": Family(hedged.several, ALL, holds_answer=True),
    "candidates": Family(hedged.candidates, ALL, holds_answer=True),
    "thoughts": Family(hedged.thoughts, ALL, holds_answer=True),
    "unclosed": Family(hedged.unclosed, ALL, holds_answer=True),
    "sources": Family(wording.sources, ALL, holds_answer=True),
    "empty_form": Family(far.empty_form, MOST),
    "answer_replaced": Family(far.answer_replaced, MOST, holds_answer=True),
    "prompt_numbers": Family(far.prompt_numbers, MOST),
    "prompt_repeated": Family(far.prompt_repeated, ECHO),
    "quotes": Family(far.quotes, ECHO),
    "claims": Family(far.claims, MOST),
    "effort": Family(far.effort, MOST),
    "spec_words": Family(far.spec_words, MOST, on_several=True),
    "call_names": Family(structured.call_names, ALL),
    "call_arguments": Family(structured.call_arguments, ALL),
    "call_others": Family(structured.call_others, ALL, holds_answer=True),
    "call_missing": Family(structured.call_missing, MOST),
    "json_values": Family(structured.json_values, ALL),
    "json_empty": Family(structured.json_empty, MOST),
    "json_parts": Family(structured.json_parts, ALL),
    "json_more": Family(structured.json_more, ALL, holds_answer=True),
    "code_stub": Family(structured.code_stub, ALL),
    "code_exit": Family(structured.code_exit, MOST),
    "code_equal": Family(structured.code_equal, MOST),
    "code_tests": Family(structured.code_tests, ALL),
    "query_rows": Family(structured.query_rows, ALL),
    "query_nothing": Family(structured.query_nothing, MOST),
    "query_cut": Family(structured.query_cut, ALL),
    "query_order": Family(structured.query_order, ALL),
    "query_comment": Family(structured.query_comment, MOST, holds_answer=True),
}
