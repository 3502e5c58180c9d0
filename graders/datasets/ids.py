"""Rows are known by id: the data's own, else a hash of the content; what comes again gets an occurrence number."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from graders.datasets.read import Chunk, DataRow, Unreadable
from graders.results.read import Mapped, field_of, item_of, sample_of

DIGEST_BYTES = (
    8  # of a content id: two of a million rows fall together with probability 3e-8, and are then told apart
)
SMALL = 50_000  # ids kept as they are; beyond, only 8 bytes of each
TABLE_MIN = 1 << 17  # places in the first table; it is never more than half full

_canonical = json.JSONEncoder(sort_keys=True, separators=(",", ":"), default=str).encode


class Seen:
    """A set of texts in 8 to 24 bytes each.

    Beyond SMALL texts only 64-bit hashes are kept, in one open-addressed table that is looked up a chunk at a time.
    Two different texts then count as one with a probability of n^2 / 2^65 (3e-8 for a million); the hashes are
    seeded anew in every process.
    """

    def __init__(self) -> None:
        self._texts: set[str] = set()
        self._table: Any = None  # int64 array, a power of two long, 0 where free
        self._n = 0

    def __len__(self) -> int:
        return len(self._texts) if self._table is None else self._n

    def add_new(self, texts: Sequence[str]) -> bool:
        """Add all of them if all are new and differ; say whether they were added."""
        if len(set(texts)) < len(texts):
            return False
        if self._table is not None:
            return self._insert(_hashes(texts))
        if not self._texts.isdisjoint(texts):
            return False
        self._texts.update(texts)
        if len(self._texts) > SMALL:
            self._pack()
        return True

    def contains(self, texts: Sequence[str]) -> list[bool]:
        """Whether each is in the set."""
        if self._table is None:
            return [text in self._texts for text in texts]
        import numpy as np

        table, mask = self._table, np.int64(len(self._table) - 1)
        hashes = _hashes(texts)
        found = np.zeros(len(hashes), bool)
        left = np.arange(len(hashes))
        places = hashes & mask
        while len(left):
            there = table[places]
            same = there == hashes[left]
            found[left[same]] = True
            go_on = ~same & (there != 0)
            left, places = left[go_on], (places[go_on] + 1) & mask
        answer: list[bool] = found.tolist()
        return answer

    def _pack(self) -> None:
        import numpy as np

        texts, self._texts = self._texts, set()
        self._table = np.zeros(TABLE_MIN, np.int64)
        self._insert(np.unique(_hashes(list(texts))))

    def _insert(self, hashes: Any) -> bool:
        """Put in hashes that differ if none of them is there; say whether they were put in."""
        import numpy as np

        if (self._n + len(hashes)) * 2 > len(self._table):
            old, self._n = self._table[self._table != 0], 0
            self._table = np.zeros(len(self._table) * 4, np.int64)
            self._insert(old)
        table, mask = self._table, np.int64(len(self._table) - 1)
        n = len(hashes)
        places = hashes & mask
        taken: list[Any] = []  # where the new ones went, in case one turns out to be known
        while len(hashes):
            there = table[places]
            if (there == hashes).any():
                for some in taken:
                    table[some] = 0
                return False
            free = there == 0
            wanted = places[free]
            table[wanted] = hashes[free]  # of those that want the same place, the last gets it
            left = table[places] != hashes
            taken.append(wanted)
            hashes, places = hashes[left], (places[left] + 1) & mask
        self._n += n
        return True


def _hashes(texts: Sequence[str]) -> Any:
    import numpy as np

    hashes = np.fromiter(map(hash, texts), np.int64, len(texts))
    hashes[hashes == 0] = 1  # 0 marks a free place
    return hashes


class Namer:
    """Gives each row of a dataset its id. Feed it the chunks in order; the same data gets the same ids."""

    def __init__(self, mapped: Mapped) -> None:
        self._mapped = mapped
        self._seen = Seen()
        self._times: dict[str, int] = {}

    def __len__(self) -> int:
        """How many rows have been named."""
        return len(self._seen)

    def names(self, chunk: Chunk) -> list[str]:
        """The ids of a chunk's rows: different from each other and from all before."""
        ids = self._plain(chunk.rows)
        if ids is None:
            ids = [self._id(row) for row in chunk.rows]
        if not self._seen.add_new(ids):
            ids = self._numbered(ids)
        return ids

    def _plain(self, rows: list[DataRow]) -> list[str] | None:
        """The ids where every row has one that is a text or a whole number: the usual case, at C speed."""
        field = self._mapped.id
        try:
            ids: list[Any] = [row[field] for row in rows]  # type: ignore[index]  # TypeError for Unreadable
        except (KeyError, TypeError):
            return None
        kinds = set(map(type, ids))
        if kinds == {int}:
            return list(map(str, ids))
        return ids if kinds == {str} and "" not in ids else None

    def _id(self, row: DataRow) -> str:
        if isinstance(row, Unreadable):
            return content_id(row.raw)
        return own_id(row, self._mapped) or self._item_id(row)

    def _item_id(self, row: Mapping[str, Any]) -> str:
        """A hash of the item without the sample, so that two models' outputs for one item have one id."""
        content: Any = item_of(row, self._mapped)
        if content is row:
            root = self._mapped.sample.partition(".")[0].partition("[")[0]
            content = {key: value for key, value in row.items() if key not in (root, self._mapped.sample)}
        if not content:
            content = sample_of(row, self._mapped)
        return content_id(content)

    def _numbered(self, ids: list[str]) -> list[str]:
        """Each id itself the first time, then ID#2, ID#3 ..., past those that the data has itself."""
        before = dict(zip(ids, map(int, self._seen.contains(ids)), strict=True))
        for id in before.keys() & self._times.keys():
            before[id] = self._times[id]
        times = dict(before)
        names = []
        for id in ids:
            times[id] = n = times[id] + 1
            names.append(_nth(id, n))
        if not self._seen.add_new(names):  # the data has an id like `x#2` of its own
            times, names = before, []
            for id in ids:
                n = times[id] + 1
                while not self._seen.add_new((_nth(id, n),)):
                    n += 1
                times[id] = n
                names.append(_nth(id, n))
        self._times.update((id, n) for id, n in times.items() if n > 1)
        return names


def _nth(id: str, n: int) -> str:
    return id if n == 1 else f"{id}#{n}"


def own_id(row: Mapping[str, Any], mapped: Mapped) -> str:
    """The id that the data gives a row, as text; "" when it gives none."""
    value = field_of(row, mapped.id, None) if mapped.id else None
    if value is None or isinstance(value, str):
        return value or ""
    return str(value) if isinstance(value, int) else _canonical(value)


def content_id(content: Any) -> str:
    """An id made of bytes, or of any JSON value: the same for equal content, however its keys are ordered."""
    from hashlib import blake2b

    data = content if isinstance(content, bytes) else _canonical(content).encode()
    return blake2b(data, digest_size=DIGEST_BYTES).hexdigest()
