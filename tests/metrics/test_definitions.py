"""Numbers that users may compare with, where each comes from; and the options beyond the wire."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

import pytest

import graders
from graders.metrics import METRICS, bind
from graders.metrics.limits import MEMO_REFERENCES, ReferenceMemo, WordMemo
from graders.metrics.porter import stem
from graders.metrics.synonyms import INDEX, wordnet
from graders.metrics.tokens import ROUGE, lower_13a, tokens_13a
from graders.models import Config
from tests.metrics.pairs import GRID, fragments, grid, prose, repeats
from tests.specs import text_similarity

GOLDEN: list[Any] = [
    # metric, options, hypothesis, reference, score
    # by definition
    pytest.param("fuzzy_match", {}, "", "", 1.0, id="two empty texts"),
    pytest.param("fuzzy_match", {}, "kitten", "sitting", 8 / 13, id="2 * 4 / (6 + 7)"),
    pytest.param("fuzzy_match", {}, "Hello", "hello", 0.8, id="case counts"),
    pytest.param("fuzzy_match", {"processor": "default"}, "Hello!", "hello", 1.0, id="but not after the processor"),
    pytest.param("rouge_1", {}, "the cat", "the cat sat", 0.8, id="2 * (1 * 2/3) / (1 + 2/3)"),
    pytest.param("rouge_1", {"measure": "recall"}, "the cat", "the cat sat", 2 / 3, id="recall"),
    pytest.param("rouge_1", {"measure": "precision"}, "the cat", "the cat sat", 1.0, id="precision"),
    pytest.param("rouge_5", {}, "a b c d", "a b c d", 0.0, id="no run of five words"),
    pytest.param("rouge_1", {}, "你好", "你好", 0.0, id="rouge sees a to z and 0 to 9 only"),
    pytest.param("rouge_1", {"tokenizer": "unicode"}, "你好 世界", "你好", 2 / 3, id="or letters of all scripts"),
    pytest.param("rouge_l", {"tokenizer": "char"}, "你好", "你们好", 0.8, id="or characters"),
    pytest.param("meteor", {}, "hello", "hello", 0.5, id="1 - .5 / 1"),
    pytest.param("meteor", {}, "a b c d", "a b c d", 1 - 0.5 / 64, id="1 - .5 / 4 ** 3"),
    pytest.param("bleu", {}, "!!!", "!!!", 1.0, id="three tokens"),
    pytest.param("bleu", {"effective_order": False}, "a b c", "a b c", 0.0, id="no run of four tokens"),
    pytest.param("gleu", {}, "a b c d", "a b c d", 1.0, id="all of 10 n-grams"),
    # a paper's example: Lin 2004, section 3, sentences S1 to S4 (beta = 1)
    pytest.param("rouge_l", {}, "police kill the gunman", "police killed the gunman", 0.75, id="Lin 2004: S2"),
    pytest.param("rouge_l", {}, "the gunman kill police", "police killed the gunman", 0.5, id="Lin 2004: S3"),
    pytest.param("rouge_l", {}, "the gunman police killed", "police killed the gunman", 0.5, id="Lin 2004: S4"),
    # nltk 3.10.4's own documentation of sentence_gleu (hyp1 against ref1a: 0.4393..., rounded there)
    pytest.param(
        "gleu", {"tokenizer": "split"},
        "It is a guide to action which ensures that the military always obeys the commands of the party",
        "It is a guide to action that ensures that the military will forever heed Party commands",
        0.4393939393939394, id="nltk's documentation of sentence_gleu",
    ),
    # nltk 3.10.4's own documentation of single_meteor_score (0.6944, rounded there)
    pytest.param(
        "meteor", {"tokenizer": "split"},
        "It is a guide to action which ensures that the military always obeys the commands of the party",
        "It is a guide to action that ensures that the military will forever heed Party commands",
        0.6944444444444445, id="nltk's documentation of single_meteor_score",
    ),
    # computed with sacrebleu 2.6.0, sentence_bleu()
    pytest.param("bleu", {}, "the dogs were running", "the dog runs", 0.15973, id="sacrebleu 2.6.0"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "options", "hypothesis", "reference", "wanted"), GOLDEN)
def test_metrics_give_the_numbers_of_their_sources(
    name: str, options: dict[str, Any], hypothesis: str, reference: str, wanted: float
) -> None:
    """Each metric gives the numbers of its sources."""
    score = bind(name, options).score(hypothesis, reference)

    assert score == pytest.approx(wanted, abs=5e-5 if name == "bleu" else 1e-12)


def test_fuzzy_match_equals_the_published_score() -> None:
    """The one score of the hosted service that is published with its texts: fuzzy_match, 0.6117136659436009.

    Source: Microsoft's documentation "Azure OpenAI graders", November 2025, the fifth row of its data. Those texts
    have 185 and 276 characters, 141 of them in common in order, which is all that the ratio depends on.
    """
    assert bind("fuzzy_match").score("a" * 141 + "b" * 44, "a" * 141 + "c" * 135) == 0.6117136659436009


def test_the_documented_odd_texts_hold() -> None:
    """docs/metrics.md: every row with texts in it is computed here."""
    lines = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text().splitlines()
    start = next(at for at, line in enumerate(lines) if line.startswith("| input / reference |"))
    names = [cell.strip() for cell in lines[start].split("|")[2:-1]]
    rows = [line for line in lines[start + 2 : lines.index("", start)] if "`" in line]
    assert len(rows) >= 6

    for row in rows:
        texts, *cells = [cell.strip() for cell in row.split("|")[1:-1]]
        hypothesis, reference = re.findall("`([^`]*)`", texts)
        for name, cell in zip(names, cells, strict=True):
            wanted = float(cell.split(" ")[0].strip("*"))
            assert round(bind(name).score(hypothesis, reference), 4) == wanted, (texts, name)


# --- options ------------------------------------------------------------------------------------------------------

CHOICES = [
    *product(["fuzzy_match"], [{"scorer": s, "processor": p} for s in ("ratio", "qratio", "wratio", "token_set_ratio", "token_sort_ratio", "partial_ratio") for p in ("none", "default")]),
    *product(["bleu"], [{"tokenizer": t} for t in ("intl", "zh", "char", "none")]),
    *product(["bleu"], [{"smoothing": s, "effective_order": e, "lowercase": e} for s in ("floor", "add-k", "none") for e in (True, False)]),
    *product(["gleu", "meteor"], [{"tokenizer": t} for t in ("split", "nltk")]),
    *product(["rouge_1", "rouge_3", "rouge_l"], [{"stemmer": True}, {"measure": "recall"}, {"tokenizer": "unicode", "stemmer": True}, {"tokenizer": "char", "measure": "precision"}]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "options", "speed"),
    [
        (*choice, speed)
        for choice in CHOICES
        for speed in (True, False)
        if speed or choice[0].startswith(("rouge", "gleu"))
    ],
    ids=str,
)
def test_options_equal_the_reference(
    name: str,
    options: dict[str, Any],
    speed: bool,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    """Every choice is held to the reference library as the default is."""
    if name == "meteor":
        request.getfixturevalue("wordnet_corpus")
    if not speed:
        monkeypatch.setitem(sys.modules, "rouge_score_rs", None)
    ours, plain = bind(name, options), bind(name, options, "reference")
    rows = grid()[::31] + repeats(20, 3) + fragments(30, 3) + prose(10, 12, 3)

    wanted = [plain.score(*pair) for pair in rows]

    assert [ours.score(*pair) for pair in rows] == wanted
    assert list(ours.scores(*zip(*rows, strict=True))) == wanted
    assert all(
        f"{key}={str(value).lower() if isinstance(value, bool) else value}" in ours.provenance["options"]
        for key, value in options.items()
    )


def test_options_come_from_the_configuration_only() -> None:
    """Options come from graders.toml alone; results name them and the implementation."""
    config = Config({"metrics": {"implementation": "reference", "rouge_l": {"stemmer": True}}})
    grader = graders.compile(
        text_similarity(evaluation_metric="rouge_l"), backends=graders.Backends(config=config)
    )

    result = grader.run("the dogs running", {"answer": "the dog runs"})

    assert result.reward == 1.0
    assert result.provenance["metric"] == {
        "metric": "rouge_l",
        "implementation": "rouge-score",
        "version": "0.1.2",
        "reference": "rouge-score 0.1.2",
        "options": "stemmer=true tokenizer=rouge-score measure=fmeasure",
    }
    with pytest.raises(graders.SpecError, match="Unknown parameter: 'stemmer'"):
        graders.compile(text_similarity(stemmer=True))


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ({"rouge_l": {"stemer": True}}, "metrics.rouge_l.stemer: unknown option; the options are stemmer, tokenizer, measure. Did you mean 'stemmer'?"),
        ({"rouge_l": {"stemmer": 1}}, "metrics.rouge_l.stemmer: expected one of false, true, found 1"),
        ({"rouge_l": {"tokenizer": "13a"}}, "metrics.rouge_l.tokenizer: expected one of rouge-score, unicode, char, found 13a"),
        ({"implementaton": "reference"}, "metrics.implementaton: unknown key; the keys are implementation, fuzzy_match, bleu"),
        ({"rouge_l": True}, "metrics.rouge_l: expected a table of options, found True"),
        ({"implementation": "quick"}, "metrics.implementation: expected one of fast, reference, found 'quick'"),
    ],
)  # fmt: skip
def test_wrong_options_are_refused(table: dict[str, Any], says: str) -> None:
    """At compile, with what would be right."""
    with pytest.raises(graders.SpecError) as refused:
        graders.compile(
            text_similarity(evaluation_metric="rouge_l"),
            backends=graders.Backends(config=Config({"metrics": table})),
        )

    assert says in str(refused.value)


# --- tokens, stems, synonyms ----------------------------------------------------------------------------------------


def texts() -> Sequence[str]:
    return [text for pair in (*fragments(600, 5), *prose(60, 40, 5)) for text in pair] + GRID


def test_tokens_are_sacrebleus() -> None:
    """13a word by word from memory is 13a over the whole text."""
    from sacrebleu.tokenizers.tokenizer_13a import Tokenizer13a

    tokenize = Tokenizer13a()
    for text in texts():
        wanted = tokenize(text.rstrip()).split()
        assert tokens_13a(text) == wanted
        assert lower_13a(text) == [token.lower() for token in wanted]


def test_tokens_are_rouge_scores() -> None:
    """One translation table does what three substitutions do."""
    from rouge_score.tokenizers import DefaultTokenizer

    tokenize = DefaultTokenizer(use_stemmer=False).tokenize
    for text in texts():
        assert ROUGE["rouge-score"](text) == tokenize(text)


ENDINGS = """
    s es ies ied ed eed ing y ly ational tional enci anci izer bli alli entli eli ousli ization ation ator alism iveness
    fulness ousness aliti iviti biliti fulli logi icate ative alize iciti ical ful ness ance ence er able ible ant ement
    ment ent ion sion ou ism ate iti ous ive ize e ll *d
"""
BEGINNINGS = "a y b fl tr tro happ fizz hopp troubl siz rel ad orac yoy sky oy eee"


@pytest.mark.parametrize("step", [17, pytest.param(1, marks=pytest.mark.slow)])
def test_stems_are_nltks(step: int) -> None:
    """Words of WordNet, and every ending behind every beginning, twice."""
    from nltk.stem.porter import PorterStemmer

    wanted = PorterStemmer().stem
    words = [
        one + two + three
        for one in ("", *BEGINNINGS.split())
        for two in ("", *ENDINGS.split())
        for three in ("", "s", "ing", "ed", "ly", "Y")
    ]
    for word in [*words, *list(wordnet().entries)[::step], *GRID]:
        assert stem(word) == wanted(word), word


@pytest.mark.parametrize("step", [60, pytest.param(8, marks=pytest.mark.slow)])
def test_synonyms_are_wordnets(step: int, wordnet_corpus: None) -> None:
    """Synonyms of lemmas and inflections are the words of all synsets that nltk finds in the real corpus."""
    from nltk.corpus import wordnet as corpus

    lemmas = sorted({lemma for lemma in corpus.all_lemma_names() if "_" not in lemma})
    irregular = [word for forms in wordnet().exceptions for word in forms]
    for word in [f + ending for f in lemmas[::step] for ending in ("", "s", "ing", "er")] + irregular[::step]:
        names = {lemma.name() for synset in corpus.synsets(word) for lemma in synset.lemmas()}
        assert wordnet().synonyms(word) == {
            name for name in names if "_" not in name and name == name.lower()
        }, word


@pytest.mark.slow
def test_the_index_is_built_from_the_corpus(wordnet_corpus: None) -> None:
    """The script makes the very bytes that are shipped: about 1 MB."""
    import zlib

    from scripts.build_wordnet_index import build
    from tests.metrics.corpus import WORDNET

    assert zlib.decompress(INDEX.read_bytes()) == build(WORDNET)
    assert INDEX.stat().st_size < 1_000_000
    assert (INDEX.parent / "WORDNET-LICENSE.txt").read_text().count("Princeton University") >= 3


# --- what is kept, and what is loaded -------------------------------------------------------------------------------


def test_references_are_prepared_once() -> None:
    """References are prepared once, from their second use on, in bounded memory."""
    made: list[str] = []

    def prepare(text: str) -> str:
        made.append(text)
        return text.upper()

    prepared = ReferenceMemo(prepare)

    for _ in range(5):
        assert prepared("a") == "A"
    assert made == ["a", "a"]

    for number in range(3 * MEMO_REFERENCES):
        prepared(f"{number}")
        prepared(f"{number}")
    assert len(prepared._kept) <= MEMO_REFERENCES

    for number in range(10):
        prepared("x" * 90_000 + f"{number}")
        prepared("x" * 90_000 + f"{number}")
    assert sum(map(len, prepared._kept)) <= 200_000


def test_words_are_remembered_in_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """The memo starts anew when it is full, and never keeps long words."""
    monkeypatch.setattr("graders.metrics.limits.MEMO_WORDS", 100)
    memo = WordMemo(len)

    for number in range(1000):
        assert memo["x" * (number % 200)] == number % 200
        assert memo[f"{number}"] == len(f"{number}")

    assert len(memo) <= 100
    assert max(map(len, memo)) <= 64


@pytest.mark.parametrize("name", METRICS)
def test_a_metric_imports_only_what_it_needs(name: str) -> None:
    """No reference library, unless it is the implementation: they take up to a second to import."""
    code = (
        f"import sys; from graders.metrics import bind; bind({name!r}).score('the dogs ran', 'a dog runs')\n"
        "print([m for m in ('nltk', 'sacrebleu', 'rouge_score', 'numpy', 'pydantic') if m in sys.modules])"
    )

    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert run.stdout.strip() == "[]"
