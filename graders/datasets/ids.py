"""Row ids: the data's own, else a hash of the item; a repeated id gets an occurrence number.

An item consists of its question and its reference: messages before the answer belong to it, the answer does not.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from graders.datasets.rows import Chunk, DataRow, UnreadableRow
from graders.fields import FieldMap, field_of, item_of, sample_of

#: Bytes of an id made from content. Collision probability for a million rows: 3e-8; a collision gets the suffix `#2`.
DIGEST_BYTES = 8
#: Number of ids kept as texts; beyond, 8 bytes of each are kept.
SMALL = 50_000
#: Slots of the first hash table, which is never more than half full.
TABLE_MIN = 1 << 17
#: Version of the rule for ids made from content. Scheme 1, of files of 0.1, ignores the messages before an answer.
ID_SCHEME = 2
#: Fields of an item that hold its question. Rows with equal items that have one of these are repeats of one question.
QUESTION_FIELDS = (
    "question", "prompt", "problem", "query", "instruction", "instructions", "input", "messages", "task", "text",
    "document", "passage", "context", "conversation",
)  # fmt: skip


def _unnamed(value: object) -> str:
    return type(value).__name__


_canonical = json.JSONEncoder(sort_keys=True, separators=(",", ":"), default=_unnamed).encode


class IdSet:
    """A set of texts in 8 to 24 bytes each.

    Beyond SMALL texts only 64-bit hashes are kept, in one open-addressed table that is looked up a chunk at a time.
    Two different texts then count as one with a probability of n^2 / 2^65 (3e-8 for a million); the hashes are
    seeded anew in every process.
    """

    def __init__(self) -> None:
        self._texts: set[str] = set()
        # int64 array, a power of two long, 0 where free
        self._table: Any = None
        self._n = 0

    def __len__(self) -> int:
        return len(self._texts) if self._table is None else self._n

    def add_new(self, texts: Sequence[str]) -> bool:
        """Add the texts if all are new and distinct; returns whether they were added."""
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
        """Insert distinct hashes if none of them is in the table; returns whether they were inserted."""
        import numpy as np

        if (self._n + len(hashes)) * 2 > len(self._table):
            old, self._n = self._table[self._table != 0], 0
            self._table = np.zeros(len(self._table) * 4, np.int64)
            self._insert(old)
        table, mask = self._table, np.int64(len(self._table) - 1)
        n = len(hashes)
        places = hashes & mask
        # slots of the inserted hashes, to undo the insertion if one turns out to be known
        taken: list[Any] = []
        while len(hashes):
            there = table[places]
            if (there == hashes).any():
                for some in taken:
                    table[some] = 0
                return False
            free = there == 0
            wanted = places[free]
            # of several hashes with the same slot, the last one stays
            table[wanted] = hashes[free]
            left = table[places] != hashes
            taken.append(wanted)
            hashes, places = hashes[left], (places[left] + 1) & mask
        self._n += n
        return True


def _hashes(texts: Sequence[str]) -> Any:
    import numpy as np

    hashes = np.fromiter(map(hash, texts), np.int64, len(texts))
    # 0 marks a free slot
    hashes[hashes == 0] = 1
    return hashes


class IdAssigner:
    """Assigns an id to each row of a dataset, given the chunks in order. The same data gets the same ids.

    Attributes:
        unnamed: Rows so far whose id was made from their content.
        sharing: The rows among them whose item an earlier row has too.
    """

    def __init__(self, field_map: FieldMap, scheme: int = ID_SCHEME) -> None:
        # the id identifies the row of the data, so fields added to the item do not count
        self._field_map = replace(field_map, item_map={})
        self._scheme = scheme
        self._seen = IdSet()
        self._times: dict[str, int] = {}
        self.unnamed = 0
        self.sharing = 0

    def __len__(self) -> int:
        """The number of rows that have an id."""
        return len(self._seen)

    def names(self, chunk: Chunk) -> list[str]:
        """The ids of a chunk's rows, distinct from each other and from all earlier ones."""
        ids = self._own_ids(chunk.rows)
        own = ids is not None
        if ids is None:
            ids = [self._id(row) for row in chunk.rows]
        if not self._seen.add_new(ids):
            given = ids
            ids = self.numbered(ids)
            if not own:
                self.sharing += sum(map(str.__ne__, given, ids))
        return ids

    def _own_ids(self, rows: list[DataRow]) -> list[str] | None:
        """The data's own ids if every row has a text or whole number as one (the usual case, at C speed), else None."""
        field = self._field_map.id
        try:
            ids: list[Any] = [row[field] for row in rows]  # type: ignore[index]  # TypeError for UnreadableRow
        except (KeyError, TypeError):
            return None
        kinds = set(map(type, ids))
        if kinds == {int}:
            return list(map(str, ids))
        return ids if kinds == {str} and "" not in ids else None

    def _id(self, row: DataRow) -> str:
        fields = row.fields if isinstance(row, UnreadableRow) else row
        if own := own_id(fields, self._field_map):
            return own
        self.unnamed += 1
        return content_id(row.raw) if isinstance(row, UnreadableRow) else content_id(self._identity(row))

    def _identity(self, row: Mapping[str, Any]) -> Any:
        """The item with its question and without the answer, so that two models' outputs for one item share an id."""
        sample = sample_of(row, self._field_map)
        item: Any = item_of(row, self._field_map)
        if item is row:
            root = self._field_map.sample.partition(".")[0].partition("[")[0]
            item = {key: value for key, value in row.items() if key not in (root, self._field_map.sample)}
        question = question_of(sample) if self._scheme > 1 else None
        if question:
            return {"item": item, "messages": question}
        return item or sample

    def numbered(self, ids: list[str]) -> list[str]:
        """Each id unchanged the first time, then ID#2, ID#3 ..., skipping ids that the data itself has."""
        before = dict(zip(ids, map(int, self._seen.contains(ids)), strict=True))
        for row_id in before.keys() & self._times.keys():
            before[row_id] = self._times[row_id]
        times = dict(before)
        names = []
        for row_id in ids:
            times[row_id] = n = times[row_id] + 1
            names.append(_nth(row_id, n))
        # the data itself has an id like `x#2`
        if not self._seen.add_new(names):
            times, names = before, []
            for row_id in ids:
                n = times[row_id] + 1
                while not self._seen.add_new((_nth(row_id, n),)):
                    n += 1
                times[row_id] = n
                names.append(_nth(row_id, n))
        self._times.update((row_id, n) for row_id, n in times.items() if n > 1)
        return names


def _nth(row_id: str, n: int) -> str:
    return row_id if n == 1 else f"{row_id}#{n}"


def question_of(sample: Any) -> Any:
    """The messages before the answer if the sample is a conversation or an export with one; else None."""
    if isinstance(sample, Mapping):
        return sample.get("input") if isinstance(sample.get("output"), list) else None
    if not isinstance(sample, list):
        return None
    roles = [message.get("role") if isinstance(message, Mapping) else None for message in sample]
    answer = len(roles) - 1 - roles[::-1].index("assistant") if "assistant" in roles else 0
    return sample[:answer] or None


def has_question(row: Mapping[str, Any], field_map: FieldMap) -> bool:
    """Whether a row contains its question, so that rows with equal items are repeats of one question."""
    return names_question(row, field_map) or bool(question_of(sample_of(row, field_map)))


def names_question(row: Mapping[str, Any], field_map: FieldMap) -> bool:
    """Whether a field of the item has the name of a question."""
    item = item_of(row, field_map)
    return isinstance(item, Mapping) and any(
        item.get(name) for name in QUESTION_FIELDS if name != field_map.sample
    )


def own_id(row: Mapping[str, Any], field_map: FieldMap) -> str:
    """The data's own id of a row, as text; "" when it has none."""
    value = field_of(row, field_map.id, None) if field_map.id else None
    if value is None or isinstance(value, str):
        return value or ""
    return str(value) if isinstance(value, int) else _canonical(value)


def content_id(content: Any) -> str:
    """An id made from bytes or any JSON value, the same for equal content in any order of keys."""
    from hashlib import blake2b

    data = content if isinstance(content, bytes) else _canonical(content).encode()
    return blake2b(data, digest_size=DIGEST_BYTES).hexdigest()


def shared_items(ids: IdAssigner, question: bool) -> str:
    """A note about rows without ids whose item an earlier row has too; "" when there are none."""
    if not ids.sharing:
        return ""
    meaning = (
        "they count as repeats of one question"
        if question
        else "no field says what was asked, so they count as repeats only where every item has as many"
    )
    return (
        f"{ids.sharing:,} of {len(ids):,} rows have no id and the same item as a row before (named ID#2, ID#3, ...): "
        f"{meaning}. Give rows an id, name it with --id-field, or say what is one item with --group"
    )
