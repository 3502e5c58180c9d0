"""One pass over a results file into arrays: some 56 bytes a row, and 8 more for each sub-reward."""

from __future__ import annotations

import math
import re
from array import array
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import sub
from pathlib import Path
from typing import Any

import numpy as np

from graders.datasets.ids import names_question
from graders.fields import FieldMap, field_of
from graders.jsontext import loads
from graders.results.read import Header, ResultsError, check_rewards
from graders.stats.chunks import heads_of, numbers_of, open_lines
from graders.stats.items import base_id, numbered, resolved
from graders.stats.reasons import FailureReason, ReasonCounter
from graders.stats.resampling import Floats, Ints
from graders.usage import Usage
from graders.wording import plural

#: Distinct groups or labels that cautions about failures distinguish.
GROUPS_MAX = 50

#: An id made from a row's content, as datasets/ids.py makes them.
_CONTENT_ID = re.compile(r"[0-9a-f]{16}(#\d+)?")


@dataclass(frozen=True, slots=True)
class Columns:
    """A results file as arrays. The row with position n, from 0, is in line n + 2.

    Attributes:
        places: The position of each scored row; int array of shape [scored].
        rewards: float array of shape [scored].
        subs: multi only: key -> float array of shape [scored].
        items: The item of each scored row, 0 to n_items - 1; None where every row is an item of its own.
        all_items: The item of every row by position, failed ones included.
        grouping: The way in which rows of one item were identified, in words.
        failed_places: The position of each failed row; int array of shape [failed].
        flags: Flag -> number of failed rows with it.
        reasons: The distinct reasons of failures, most frequent first.
        lengths: Bytes of each data row, by position; all equal where the file has no texts.
        groups: The group, else the label, of every row by position, if there are at most GROUPS_MAX; else ().
        seconds: Seconds of the rows that have them, failed ones included; without `waited`.
        waited: Seconds that the same rows waited; NaN in files of 0.1, whose `seconds` include the wait.
        usage: Judge model -> its tokens.
        labels: The label field of each scored row, None where it has none; [] when no label was requested.
        ids: The ids of all rows, failed ones included; [] when they were not requested.
        shared: Number of rows with equal items, and of these items, where they are not repeats (see
            `_ResultsReader._are_repeats`); None otherwise.
    """

    header: Header
    places: Ints
    rewards: Floats
    subs: Mapping[str, Floats]
    items: Ints | None
    all_items: Ints | None
    grouping: str
    failed_places: Ints
    flags: Mapping[str, int]
    reasons: Sequence[FailureReason]
    lengths: Ints
    groups: Sequence[str]
    seconds: Floats
    waited: Floats
    usage: Mapping[str, Usage]
    labels: Sequence[Any]
    ids: Sequence[str]
    shared: tuple[int, int] | None


def gather(
    path: str | Path, *, group: str | None = None, label: str | None = None, ids: bool = False
) -> Columns:
    """Read a results file into arrays.

    Args:
        group: A field of the data rows, or a path into it; rows with equal values belong to one item. None: by the
            ids; "": every row is an item of its own.
        label: A field of the data rows that holds a human's verdict.
        ids: Whether to keep the ids, which takes some 60 bytes a row.

    Raises:
        ResultsError: the file cannot be read, or no row has a requested field.
    """
    header, lines = open_lines(path)
    reader = _ResultsReader(header, group, label, ids)
    for lines_read, chunk in lines:
        try:
            reader.read(chunk, lines_read)
        except (ValueError, TypeError, KeyError, OverflowError) as error:
            what = f"there is no {error}" if isinstance(error, KeyError) else str(error)
            last = lines_read + 1 + len(chunk)
            raise ResultsError(
                f"{path}: not a result line among lines {lines_read + 2} to {last}: {what}"
            ) from None
    return reader.columns(str(path))


class _ResultsReader:
    def __init__(self, header: Header, group: str | None, label: str | None, ids: bool) -> None:
        self.header, self.group, self.label = header, group, label
        self.places, self.failed_places, self.lengths = array("q"), array("q"), array("q")
        self.rewards, self.seconds, self.waited = array("d"), array("d"), array("d")
        self.subs: dict[str, array[float]] = {key: array("d") for key in header.spec.get("graders", {})}
        # hashes of each row's item name, scored or failed; and of the id that `x#2` repeats
        self.names, self.bases = array("q"), array("q")
        self.scored = array("b")
        self.flags: Counter[str] = Counter()
        self.reasons = ReasonCounter()
        self.usage: defaultdict[str, Usage] = defaultdict(Usage)
        self.labels: list[Any] = []
        self.groups = _Groups()
        self.ids: list[str] | None = [] if ids else None
        self.found = {field: False for field in (group, label) if field}
        self.content_ids = False
        self.question = False

    def read(self, lines: list[bytes], first: int) -> None:
        heads = heads_of(lines)
        rows = list(map(loads, lines)) if self.found else numbers_of(lines, heads)
        ok = [row["ok"] for row in rows]
        if all(ok):
            scored = rows
            self.places.extend(range(first, first + len(rows)))
        else:
            scored = [row for row in rows if row["ok"]]
            for place, row in enumerate(rows, first):
                (self.places if row["ok"] else self.failed_places).append(place)
                if not row["ok"]:
                    self.flags.update(row.get("flags", ()))
                    self.reasons.add(row)
        if not first and lines:
            self._inspect(loads(lines[0]))
        self.lengths.extend(map(sub, map(len, lines), map(len, heads)))
        self.scored.extend(ok)
        rewards = [row["reward"] for row in scored]
        check_rewards(rewards)
        self.rewards.extend(rewards)
        for key, column in self.subs.items():
            column.extend([row["sub_rewards"][key] for row in scored])
        if self.label:
            self.labels += [self._field(row, self.label) for row in scored]
        if self.group or self.label:
            self.groups.add([self._field(row, self.group or self.label or "") for row in rows])
        if self.ids is not None:
            self.ids += [row["id"] for row in rows]
        self._name(rows)
        for row in rows:
            if "seconds" in row:
                waited = row.get("waited")
                self.seconds.append(row["seconds"] - (waited or 0.0))
                self.waited.append(math.nan if waited is None else waited)
                for model, used in row.get("usage", {}).items():
                    self.usage[model] += Usage(
                        used["prompt_tokens"],
                        used["completion_tokens"],
                        used["total_tokens"],
                        used["cached_tokens"],
                    )

    def _inspect(self, row: Mapping[str, Any]) -> None:
        """Find out whether the first row's id was made from its content, and whether rows contain their question."""
        self.content_ids = _CONTENT_ID.fullmatch(str(row["id"])) is not None
        options = self.header.options
        self.question = options.get("question", False)
        # a file of 0.1, whose items do not include messages
        if "question" not in options:
            fields = FieldMap(**options.get("fields", {}))
            self.question = names_question(row.get("row") or {}, fields)

    def _are_repeats(self, items: Ints | None) -> bool:
        """Whether rows of one item are repeats: samples of one question.

        They are if the user says so by ids or a group. Where ids were made from content, they are if items contain
        their question, or if all items have the same number of rows and there are more items than that number.
        """
        if items is None or self.group is not None or not self.content_ids or self.question:
            return True
        sizes = np.bincount(items)
        return bool((sizes == sizes[0]).all() and len(sizes) > sizes[0])

    def _name(self, rows: list[dict[str, Any]]) -> None:
        if self.group:
            values = ((row, self._field(row, self.group)) for row in rows)
            names = [row["id"] if value is None else f"={value!r}" for row, value in values]
        else:
            names = [row["id"] for row in rows]
        hashes = list(map(hash, names))
        self.names.extend(hashes)
        bases = hashes
        if self.group is None and "#" in "".join(names):
            bases = [hash(base_id(name)) for name in names]
        self.bases.extend(bases)

    def _field(self, row: dict[str, Any], field: str) -> Any:
        value = field_of(row.get("row") or {}, field, None)
        if value is not None:
            self.found[field] = True
        return value

    def columns(self, path: str) -> Columns:
        for field, found in self.found.items():
            if not found and self.scored:
                why = f"no row of {path} has a field '{field}'"
                if not self.header.options.get("texts", True):
                    why = f"{path} was written with --no-texts, so its rows have no field '{field}'"
                raise ResultsError(why)
        names = resolved(np.array(self.names, np.int64), np.array(self.bases, np.int64))
        all_items = numbered(names)
        shared = None
        if all_items is not None and not self._are_repeats(all_items):
            shared = len(all_items), len(np.unique(all_items))
            names, all_items = np.arange(len(names)), None
        items = None
        if all_items is not None:
            items = numbered(names[np.array(self.scored, bool)]) if self.failed_places else all_items
        grouping = "each row is an item of its own"
        if items is not None:
            by = f"the same '{self.group}'" if self.group else "ids x, x#2, x#3 are repeats of one item"
            grouping = f"{plural(len(np.unique(items)), 'item')} ({by})"
        return Columns(
            self.header,
            np.array(self.places, np.int64),
            np.array(self.rewards, np.float64),
            {key: np.array(column, np.float64) for key, column in self.subs.items()},
            items,
            all_items,
            grouping,
            np.array(self.failed_places, np.int64),
            dict(self.flags.most_common()),
            self.reasons.most_common(),
            np.array(self.lengths, np.int64),
            self.groups.texts(),
            np.array(self.seconds, np.float64),
            np.array(self.waited, np.float64),
            dict(self.usage),
            self.labels,
            self.ids or [],
            shared,
        )


class _Groups:
    """The group of each row, as long as there are at most GROUPS_MAX groups."""

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._names: dict[str, str] | None = {}

    def add(self, values: Sequence[Any]) -> None:
        if self._names is None:
            return
        names = self._names
        self._texts += [names.setdefault(text, text) for text in map(_group_text, values)]
        if len(names) > GROUPS_MAX:
            self._texts, self._names = [], None

    def texts(self) -> Sequence[str]:
        return self._texts


def _group_text(value: Any) -> str:
    return "none" if value is None else str(value)[:80]
