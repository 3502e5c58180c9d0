"""Every input of the corpus, and small changes of each, keep the targets' promises; run.py looks for new ones."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.fuzz.targets import TARGETS

CORPUS = Path(__file__).parent / "corpus"
CHANGES = 20


def changed(data: bytes, rng: random.Random) -> bytes:
    """The input with a part taken out, doubled, or overwritten."""
    at = rng.randrange(len(data) + 1)
    to = min(len(data), at + rng.choice((1, 2, 8, 64)))
    middle = rng.choice((b"", data[at:to] * 2, rng.randbytes(to - at), bytes([rng.randrange(256)])))
    return data[:at] + middle + data[to:]


def test_every_target_has_a_corpus() -> None:
    assert sorted(path.name for path in CORPUS.iterdir()) == sorted(TARGETS)


@pytest.mark.parametrize(
    "path", sorted(CORPUS.rglob("*.*")), ids=lambda path: f"{path.parent.name}/{path.name}"
)
def test_targets_keep_their_promises_over_the_corpus(path: Path) -> None:
    target, data = TARGETS[path.parent.name], path.read_bytes()
    rng = random.Random(path.name)

    target(data)
    for _ in range(CHANGES):
        target(changed(data, rng))
