"""Build the synonym index that METEOR reads, from the database files of WordNet 3.0.

    python scripts/build_wordnet_index.py FOLDER [-o graders/metrics/data/wordnet-3.0.zlib]

FOLDER holds index.*, data.* and *.exc for noun, verb, adj and adv: /usr/share/wordnet of Debian's package
wordnet-base, or corpora/wordnet of nltk's data. The same files give the same bytes.

The index is text, compressed with zlib: blocks parted by a blank line, one entry a line. Block 1 holds lemmas and
block 2 their synonyms, line by line; blocks 3 to 6 hold the exception lists of noun, verb, adjective and adverb.
A synonym entry has one field for each part of speech (noun|verb|adjective|adverb, empty ones at the end left out):
the words of all synsets of that lemma, "=" for the lemma itself. Words with capitals or "_" are left out: METEOR
compares them with lower-case single tokens, so that they could never match. A field is empty where the lemma is not
in that part of speech or has nothing to offer there, which looks the same from outside.
"""

from __future__ import annotations

import argparse
import re
import sys
import zlib
from pathlib import Path

PARTS = ("noun", "verb", "adj", "adv")
DEFAULT = Path(__file__).parent.parent / "graders" / "metrics" / "data" / "wordnet-3.0.zlib"
# synsets of WordNet 3.0, wnstats(7WN)
SIZES = {"noun": 82115, "verb": 13767, "adj": 18156, "adv": 3621}


def synsets(folder: Path, part: str) -> dict[str, list[str]]:
    """Byte offset, as in the file -> the words of that synset (wndb(5WN)), without the marker of adjectives."""
    words: dict[str, list[str]] = {}
    for line in (folder / f"data.{part}").read_text("ascii").splitlines():
        # lines that begin with a blank are the licence
        if not line.startswith(" "):
            offset, _, _, count, *rest = line.split("|")[0].split()
            words[offset] = [re.sub(r"\(\w+\)$", "", word) for word in rest[: 2 * int(count, 16) : 2]]
    return words


def lemmas(folder: Path, part: str) -> dict[str, list[str]]:
    """Lemma, in lower case with "_" for spaces -> the offsets of its synsets."""
    found: dict[str, list[str]] = {}
    for line in (folder / f"index.{part}").read_text("ascii").splitlines():
        if not line.startswith(" "):
            lemma, _, count, *rest = line.split()
            found[lemma] = rest[-int(count) :]
    return found


def exceptions(folder: Path, part: str) -> list[str]:
    """Lines of the exception list: an inflected form and its base forms. The last line for a form counts."""
    lines = (folder / f"{part}.exc").read_text("ascii").splitlines()
    return sorted({line.split()[0]: " ".join(line.split()) for line in lines if line.strip()}.values())


def build(folder: Path) -> bytes:
    """The whole index, uncompressed.

    Raises:
        ValueError: the files are not those of WordNet 3.0.
    """
    fields: dict[str, list[str]] = {}
    for at, part in enumerate(PARTS):
        words = synsets(folder, part)
        if len(words) != SIZES[part]:
            raise ValueError(f"{folder}/data.{part} has {len(words)} synsets; WordNet 3.0 has {SIZES[part]}")
        for lemma, offsets in lemmas(folder, part).items():
            usable = {w for o in offsets for w in words[o] if "_" not in w and w == w.lower()}
            if usable:
                entry = ["=" if word == lemma else word for word in sorted(usable)]
                fields.setdefault(lemma, [""] * len(PARTS))[at] = " ".join(entry)
    names = sorted(fields)
    blocks = [names, ["|".join(fields[name]).rstrip("|") for name in names]]
    blocks += [exceptions(folder, part) for part in PARTS]
    return "\n\n".join("\n".join(block) for block in blocks).encode("ascii")


def main() -> int:
    parser = argparse.ArgumentParser(description="Build METEOR's synonym index from WordNet 3.0.")
    parser.add_argument("folder", type=Path, help="where index.noun, data.noun, noun.exc ... are")
    parser.add_argument("-o", "--output", type=Path, default=DEFAULT)
    args = parser.parse_args()
    try:
        text = build(args.folder)
    except (OSError, ValueError) as error:
        print(f"build_wordnet_index: {error}", file=sys.stderr)
        return 1
    args.output.write_bytes(zlib.compress(text, 9))
    print(
        f"{args.output}: {args.output.stat().st_size:,} bytes ({len(text):,} uncompressed)", file=sys.stderr
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
