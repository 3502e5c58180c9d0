"""Every metric equals its reference library, bit for bit."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graders.errors import GradeError
from graders.metrics import METRICS, bind
from graders.metrics import rouge as rouge_module
from tests.metrics.pairs import pairs

WORDNET = Path("/usr/share/wordnet")  # Debian's wordnet-base and wordnet-sense-index, WordNet 3.0
# lexnames(5WN): number, name, part of speech; nltk's reader wants the file, Debian's package does not have it
_LEXNAMES = [
    "adj.all",
    "adj.pert",
    "adv.all",
    "noun.Tops",
    "noun.act",
    "noun.animal",
    "noun.artifact",
    "noun.attribute",
    "noun.body",
    "noun.cognition",
    "noun.communication",
    "noun.event",
    "noun.feeling",
    "noun.food",
    "noun.group",
    "noun.location",
    "noun.motive",
    "noun.object",
    "noun.person",
    "noun.phenomenon",
    "noun.plant",
    "noun.possession",
    "noun.process",
    "noun.quantity",
    "noun.relation",
    "noun.shape",
    "noun.state",
    "noun.substance",
    "noun.time",
    "verb.body",
    "verb.change",
    "verb.cognition",
    "verb.communication",
    "verb.competition",
    "verb.consumption",
    "verb.contact",
    "verb.creation",
    "verb.emotion",
    "verb.motion",
    "verb.perception",
    "verb.possession",
    "verb.social",
    "verb.stative",
    "verb.weather",
    "adj.ppl",
]
_PART_NUMBER = {"noun": 1, "verb": 2, "adj": 3, "adv": 4}

NAMES = [name for name in METRICS if name != "meteor"]


@pytest.fixture(scope="session")
def wordnet_corpus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """nltk finds a real WordNet corpus while this is in use."""
    if not (WORDNET / "data.noun").exists() or not (WORDNET / "index.sense").exists():
        pytest.skip("WordNet 3.0 is not installed (Debian: wordnet-base and wordnet-sense-index)")
    import nltk

    root = tmp_path_factory.mktemp("nltk_data")
    corpus = root / "corpora" / "wordnet"
    shutil.copytree(WORDNET, corpus, ignore=shutil.ignore_patterns("bin", "pixmaps", "wnres"))
    lines = [f"{n:02d}\t{name}\t{_PART_NUMBER[name.partition('.')[0]]}\n" for n, name in enumerate(_LEXNAMES)]
    (corpus / "lexnames").write_text("".join(lines))
    (root / "corpora" / "omw-1.4").mkdir()
    nltk.data.path.insert(0, str(root))
    yield
    nltk.data.path.remove(str(root))


def same(name: str, count: int, seed: int = 0) -> None:
    """Both implementations give the same float for every pair, one by one and as a batch."""
    fast, plain = bind(name), bind(name, implementation="reference")
    rows = list(pairs(count, seed))

    expected = [score(plain.score, left, right) for left, right in rows]

    assert [score(fast.score, left, right) for left, right in rows] == expected
    batch = [list(fast.scores(*zip(*rows[at : at + 512], strict=True))) for at in range(0, len(rows), 512)]
    assert [value for chunk in batch for value in chunk] == expected


def score(function: Callable[[str, str], float], left: str, right: str) -> float | str:
    try:
        return function(left, right)
    except GradeError as error:
        return type(error).__name__


@pytest.mark.parametrize("name", NAMES)
def test_equals_its_reference(name: str) -> None:
    """On the grid of scripts and punctuation, and some prose."""
    same(name, 2600)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_equals_its_reference_on_many_pairs(name: str) -> None:
    """On 20,000 pairs."""
    same(name, 20_000, seed=1)


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("rouge")])
@pytest.mark.parametrize("count", [2600, pytest.param(20_000, marks=pytest.mark.slow)])
def test_rouge_without_the_speed_extra(name: str, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Our own ROUGE equals rouge-score as well as rouge-score-rs does."""
    monkeypatch.setattr(rouge_module, "_native", lambda kind: None)
    assert bind(name).provenance["implementation"] == "graders"

    same(name, count)


@pytest.mark.parametrize("count", [2600, pytest.param(20_000, marks=pytest.mark.slow)])
@pytest.mark.usefixtures("wordnet_corpus")
def test_meteor_equals_nltk_with_the_real_corpus(count: int) -> None:
    """Our index answers what nltk finds in WordNet."""
    same("meteor", count)


@pytest.mark.slow
@pytest.mark.usefixtures("wordnet_corpus")
def test_synonyms_of_every_lemma() -> None:
    """The index knows, for every single-word lemma and its endings, the synonyms that nltk finds."""
    from nltk.corpus import wordnet

    from graders.metrics.meteor import _index

    index = _index()
    lemmas = sorted({lemma for lemma in wordnet.all_lemma_names() if "_" not in lemma})[::7]
    for lemma in lemmas:
        for word in (lemma, lemma + "s", lemma + "ing"):
            names = {name.name() for synset in wordnet.synsets(word) for name in synset.lemmas()}
            assert index.of(word) == {name for name in names if "_" not in name and name == name.lower()}, (
                word
            )


@settings(max_examples=60)
@given(left=st.text(max_size=80), right=st.text(max_size=80))
@pytest.mark.parametrize("name", NAMES)
def test_any_two_texts(name: str, left: str, right: str) -> None:
    """Hypothesis finds no pair on which they differ, and none outside 0..1."""
    value = score(bind(name).score, left, right)

    assert value == score(bind(name, implementation="reference").score, left, right)
    assert (
        isinstance(value, str) or 0.0 <= value <= 1.0 + 1e-9
    )  # sacrebleu of equal texts is one step above 1
