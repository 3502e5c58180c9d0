"""nltk's WordNet corpus, put together from Debian's files: what METEOR's index is compared with."""

from __future__ import annotations

import shutil
from pathlib import Path

WORDNET = Path("/usr/share/wordnet")
MISSING = "WordNet 3.0 is not here: apt-get install wordnet-base wordnet-sense-index"
PARTS = {"noun": 1, "verb": 2, "adj": 3, "adv": 4}
#: lexnames(5WN), in the order of their numbers. Debian has the page, but not the file, which nltk's reader wants.
LEXNAMES = [
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


def installed() -> bool:
    return (WORDNET / "data.noun").exists() and (WORDNET / "index.sense").exists()


def use_corpus(root: Path) -> None:
    """Fill an nltk_data folder with the corpus, and let nltk look there first."""
    import nltk

    corpus = root / "corpora" / "wordnet"
    corpus.mkdir(parents=True)
    for file in WORDNET.iterdir():
        if file.name.startswith(("data.", "index.")) or file.suffix == ".exc":
            # nltk refuses links, hard ones too
            shutil.copyfile(file, corpus / file.name)
    lines = [f"{n:02}\t{name}\t{PARTS[name.partition('.')[0]]}\n" for n, name in enumerate(LEXNAMES)]
    (corpus / "lexnames").write_text("".join(lines))
    (root / "corpora" / "omw-1.4").mkdir()
    nltk.data.path.insert(0, str(root))
