"""Build graders/metrics/data/wordnet-3.0-synonyms.z from WordNet's database files.

    python scripts/build_wordnet_index.py /usr/share/wordnet

The folder is that of Debian's wordnet-base 3.0 or of nltk's wordnet corpus (both WordNet 3.0): data.*, index.*, *.exc.
For each part of speech the index holds lemma -> the single lower-case words that share a synset with it, and the
irregular forms. Lines are "lemma TAB words" in order, sections end with form feeds, everything is zlib-compressed.
"""

from __future__ import annotations

import sys
import zlib
from pathlib import Path

PARTS = {"n": "noun", "v": "verb", "a": "adj", "r": "adv"}
OUT = Path(__file__).parent.parent / "graders" / "metrics" / "data" / "wordnet-3.0-synonyms.z"


def synsets(folder: Path, part: str) -> dict[str, list[str]]:
    """Offset -> the synset's words. Format: wndb(5WN)."""
    found: dict[str, list[str]] = {}
    for line in folder.joinpath(f"data.{part}").read_text(encoding="utf-8").splitlines():
        if line.startswith(" "):  # the licence at the top
            continue
        fields = line.split(" ")
        count = int(fields[3], 16)
        words = [fields[4 + 2 * n].partition("(")[0] for n in range(count)]
        found[fields[0]] = words
    return found


def lemmas(folder: Path, part: str) -> dict[str, set[str]]:
    """Lemma -> single lower-case words of its synsets."""
    words = synsets(folder, part)
    found: dict[str, set[str]] = {}
    for line in folder.joinpath(f"index.{part}").read_text(encoding="utf-8").splitlines():
        if line.startswith(" "):
            continue
        fields = line.split()
        offsets = fields[-int(fields[2]) :]
        found[fields[0]] = {w for offset in offsets for w in words[offset] if "_" not in w and w == w.lower()}
    return found


def main() -> None:
    folder = Path(sys.argv[1])
    tables, exceptions = [], []
    for letter, part in PARTS.items():
        lines = [f"{lemma}\t{' '.join(sorted(words))}" for lemma, words in lemmas(folder, part).items()]
        tables.append(letter + "\n" + "\n".join(sorted(lines)))
        irregular: dict[str, str] = {}
        for line in folder.joinpath(f"{part}.exc").read_text(encoding="utf-8").splitlines():
            form, *bases = line.split()
            irregular[form] = " ".join(bases)
        exceptions.append(
            letter + "\n" + "\n".join(sorted(f"{form}\t{bases}" for form, bases in irregular.items()))
        )
    data = zlib.compress(("\f".join(tables) + "\f\f" + "\f".join(exceptions)).encode(), 9)
    OUT.write_bytes(data)
    print(f"{OUT}: {len(data):,} bytes")


if __name__ == "__main__":
    main()
