"""What a results file says: one pass over it into arrays, and the figures worth reading.

    summary = summarise(gather("results.jsonl"))
    summary.mean.value, summary.mean.low, summary.mean.high

Failed rows are never in a mean: they are counted, and `bounds` says how far they could move it. Rows of one item (ids
`x`, `x#2`, `x#3`, or rows with the same group field) are not independent; intervals are made over items.
"""

from __future__ import annotations

import math
from array import array
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from graders.fields import field_of
from graders.jsontext import loads
from graders.results.read import Header, ResultsError, parse_header
from graders.stats.estimates import (
    Estimate,
    Floats,
    Ints,
    correlation,
    mean,
    number_or_none,
    pass_at_k,
    pass_hat_k,
    pass_rate,
)
from graders.usage import Usage

CHUNK_ROWS = 4096  # lines read at a time
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
BARS = 20  # of a histogram of continuous rewards
DISTINCT_BARS = 11  # up to so many different rewards get a bar each,
OFTEN = 3  # if each stands for so many rows on average
MOVED_ROWS = 10_000  # rows for which the formula is computed anew to see what a sub-reward moves
ROW = b',"row":'  # where a result line's numbers end and its texts begin


# --- one pass over the file ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Columns:
    """A results file as arrays. The rows of a line's number n stand at its line n + 2.

    Attributes:
        places: Number of each scored row in the file, from 0; int array of shape [scored].
        rewards: float array of shape [scored].
        subs: multi only: key -> float array of shape [scored].
        items: Which item each scored row belongs to, 0 to n_items - 1; None where every row is its own.
        grouping: How rows were told to be of one item, in words.
        failed_places: Number of each failed row in the file; int array of shape [failed].
        flags: Flag -> failed rows that have it.
        seconds: Of the rows that tell it, failed ones included.
        usage: Judge model -> its tokens.
        labels: The label field of each scored row, None where it has none; [] when no label was asked for.
        ids: Of all rows, failed ones included; [] when they were not asked for.
    """

    header: Header
    places: Ints
    rewards: Floats
    subs: Mapping[str, Floats]
    items: Ints | None
    grouping: str
    failed_places: Ints
    flags: Mapping[str, int]
    seconds: Floats
    usage: Mapping[str, Usage]
    labels: Sequence[Any]
    ids: Sequence[str]


def gather(
    path: str | Path, *, group: str | None = None, label: str | None = None, ids: bool = False
) -> Columns:
    """Read a results file into arrays: some 40 bytes a row, and 8 more for each sub-reward.

    Args:
        group: A field of the data rows, or a path into it; rows with the same value are of one item. Without it, the
            ids say which rows are.
        label: A field of the data rows that holds a human's verdict.
        ids: Whether to keep the ids, some 60 bytes a row more.

    Raises:
        ResultsError: the file cannot be read, or a field is asked for and no row has it.
    """
    header, lines = open_lines(path)
    reader = _Reader(header, group, label, ids)
    for lines_read, chunk in lines:
        try:
            reader.read(chunk, lines_read)
        except (ValueError, TypeError, KeyError) as error:
            what = f"there is no {error}" if isinstance(error, KeyError) else str(error)
            last = lines_read + 1 + len(chunk)
            raise ResultsError(
                f"{path}: not a result line among lines {lines_read + 2} to {last}: {what}"
            ) from None
    return reader.columns(str(path))


def open_lines(path: str | Path) -> tuple[Header, Iterator[tuple[int, list[bytes]]]]:
    """The header, and the result lines in chunks, each with the number of its first row; a torn last line is left out.

    Raises:
        ResultsError: there is no such file, or it has no header.
    """
    try:
        file = Path(path).open("rb")  # noqa: SIM115  # closed when the lines have been read
        first = file.readline()
    except OSError as error:
        raise ResultsError(f"cannot read {path}: {error.strerror}") from None
    try:
        header = parse_header(first, str(path))
    except ResultsError:
        file.close()
        raise

    def chunks() -> Iterator[tuple[int, list[bytes]]]:
        done = 0
        with file:
            while chunk := list(islice(file, CHUNK_ROWS)):
                if not chunk[-1].endswith(b"\n"):
                    chunk.pop()
                yield done, chunk
                done += len(chunk)

    return header, chunks()


def numbers_of(lines: list[bytes]) -> list[dict[str, Any]]:
    """Result lines without their data rows, which are most of them and are not parsed."""
    try:
        rows: list[dict[str, Any]] = loads(
            b"[" + b"},".join([line[: line.find(ROW)] for line in lines]) + b"}]"
        )
    except ValueError:  # lines without a data row, or with a sub-reward named "row" before it
        rows = list(map(loads, lines))
    return rows


class _Reader:
    def __init__(self, header: Header, group: str | None, label: str | None, ids: bool) -> None:
        self.header, self.group, self.label = header, group, label
        self.places, self.failed_places = array("q"), array("q")
        self.rewards, self.seconds = array("d"), array("d")
        self.subs: dict[str, array[float]] = {key: array("d") for key in header.spec.get("graders", {})}
        self.names = array("q")  # hashes of what says which item a row is of, of scored and failed rows
        self.bases = array("q")  # and of the id that `x#2` repeats, if there is an `x`
        self.scored = array("b")
        self.flags: Counter[str] = Counter()
        self.usage: defaultdict[str, Usage] = defaultdict(Usage)
        self.labels: list[Any] = []
        self.ids: list[str] | None = [] if ids else None
        self.found = {field: False for field in (group, label) if field}

    def read(self, lines: list[bytes], first: int) -> None:
        rows = list(map(loads, lines)) if self.found else numbers_of(lines)
        ok = [row["ok"] for row in rows]
        if all(ok):
            scored = rows
            self.places.extend(range(first, first + len(rows)))
        else:
            scored = [row for row in rows if row["ok"]]
            for place, row in enumerate(rows, first):
                (self.places if row["ok"] else self.failed_places).append(place)
                self.flags.update(row.get("flags", ()))
        self.scored.extend(ok)
        self.rewards.extend([row["reward"] for row in scored])
        for key, column in self.subs.items():
            column.extend([row["sub_rewards"][key] for row in scored])
        if self.label:
            self.labels += [self._field(row, self.label) for row in scored]
        if self.ids is not None:
            self.ids += [row["id"] for row in rows]
        self._name(rows)
        for row in rows:
            if "seconds" in row:
                self.seconds.append(row["seconds"])
                for model, used in row.get("usage", {}).items():
                    self.usage[model] += Usage(
                        used["prompt_tokens"],
                        used["completion_tokens"],
                        used["total_tokens"],
                        used["cached_tokens"],
                    )

    def _name(self, rows: list[dict[str, Any]]) -> None:
        if self.group:
            values = ((row, self._field(row, self.group)) for row in rows)
            names = [row["id"] if value is None else f"={value!r}" for row, value in values]
        else:
            names = [row["id"] for row in rows]
        hashes = list(map(hash, names))
        self.names.extend(hashes)
        bases = hashes
        if not self.group and "#" in "".join(names):
            bases = [hash(_base(name)) for name in names]
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
        items, repeated = self._items()
        grouping = "each row is an item of its own"
        if repeated:
            told = f"the same '{self.group}'" if self.group else "ids x, x#2, x#3 are repeats of one item"
            grouping = f"{len(np.unique(items)):,} items ({told})"
        return Columns(
            self.header,
            np.array(self.places, np.int64),
            np.array(self.rewards, np.float64),
            {key: np.array(column, np.float64) for key, column in self.subs.items()},
            items if repeated else None,
            grouping,
            np.array(self.failed_places, np.int64),
            dict(self.flags.most_common()),
            np.array(self.seconds, np.float64),
            dict(self.usage),
            self.labels,
            self.ids or [],
        )

    def _items(self) -> tuple[Ints, bool]:
        """The item of each scored row, numbered as they first come, and whether one has several rows."""
        names, bases = np.array(self.names, np.int64), np.array(self.bases, np.int64)
        repeats = names != bases
        if repeats.any():  # `x#2` repeats `x` only where there is an `x`; else it is just its name
            there = np.isin(bases, names[~repeats])
            names = np.where(repeats & there, bases, names)
        names = names[np.array(self.scored, bool)]
        _, first, items = np.unique(names, return_index=True, return_inverse=True)
        order = np.empty(len(first), np.int64)
        order[np.argsort(first)] = np.arange(len(first))
        return order[items], len(first) < len(names)


def _base(id: str) -> str:
    base, _, times = id.rpartition("#")
    return base if base and times.isdigit() else id


# --- figures ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar of a histogram: how many values lie in [low, high); in the last one, and where both are equal, at most high."""

    low: float
    high: float
    n: int


@dataclass(frozen=True, slots=True)
class Spread:
    """How rewards are spread.

    Attributes:
        mean: With its interval.
        sd: Standard deviation over rows, of the sample (n - 1); NaN for one row.
        quantiles: Part of the rows -> value, for QUANTILES.
        bars: A histogram.
    """

    mean: Estimate
    sd: float
    least: float
    most: float
    quantiles: Mapping[str, float]
    bars: tuple[Bar, ...]


@dataclass(frozen=True, slots=True)
class Sub:
    """One grader of a multi.

    Attributes:
        passed: By its own pass_threshold; None without one.
        moves: What it does to the total: the mean absolute change of the formula's value when this sub-reward is
            replaced by its own mean in every row. 0 where the total does not depend on it in these rows.
        correlation: Pearson's r with the total; NaN where either does not vary.
    """

    key: str
    type: str
    spread: Spread
    passed: Estimate | None
    moves: float
    correlation: float


@dataclass(frozen=True, slots=True)
class Repeats:
    """What k samples of one item do, over the items that have at least k scored rows.

    Attributes:
        any_of_k: pass@k: the chance that at least one of them passes.
        all_of_k: pass^k: the chance that all of them pass.
    """

    k: int
    any_of_k: Estimate
    all_of_k: Estimate


@dataclass(frozen=True, slots=True)
class Bounds:
    """Where the mean over all rows lies, if the failed ones had got the least or the most.

    Attributes:
        range: How far a reward was taken to reach, in words.
    """

    low: float
    high: float
    range: str


@dataclass(frozen=True, slots=True)
class Latency:
    """Seconds from sending a row's questions off to its result, over the rows that tell it."""

    n: int
    p50: float
    p90: float
    p99: float
    most: float
    bars: tuple[Bar, ...]


@dataclass(frozen=True, slots=True)
class Spent:
    """Tokens of one judge model; `cost` in the price table's currency, None without a price."""

    model: str
    prompt_tokens: int | None
    completion_tokens: int | None
    cached_tokens: int | None
    cost: float | None


@dataclass(frozen=True, slots=True)
class Summary:
    """The figures of a results file.

    Attributes:
        items: Items that the scored rows belong to; `grouping` says how that was told.
        flags: Flag -> failed rows, most first. A row may have several.
        rewards: None when no row was scored.
        threshold: What a row has to reach to pass: the spec's pass_threshold, 1 for a grader that only gives 0 and 1,
            else None.
        passed: The part of the scored rows that passed; None without a threshold.
        repeats: For k = 1, 2, 4 ... as far as at least half of the items have k rows; () without repeats or threshold.
        bounds: None when no row was scored or none failed.
    """

    header: Header
    rows: int
    scored: int
    failed: int
    items: int
    grouping: str
    flags: Mapping[str, int]
    rewards: Spread | None
    threshold: float | None
    passed: Estimate | None
    subs: tuple[Sub, ...]
    repeats: tuple[Repeats, ...]
    bounds: Bounds | None
    latency: Latency | None
    spent: tuple[Spent, ...]

    @property
    def coverage(self) -> float:
        """The part of the rows that was scored; 1.0 of none."""
        return self.scored / self.rows if self.rows else 1.0

    @property
    def cost(self) -> float | None:
        """Of all judges; None when there are none, or one has no price."""
        costs = [spent.cost for spent in self.spent]
        return None if not costs or None in costs else math.fsum(cost for cost in costs if cost is not None)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON; numbers that do not exist are null."""
        made = to_json(self)
        made["header"] = {name: made["header"][name] for name in ("name", "type", "digest", "engine", "data")}
        return {**made, "coverage": self.coverage, "cost": self.cost}


def to_json(value: Any) -> Any:
    """A value of this module, of `compare` or of `labels` as plain JSON."""
    if isinstance(value, Header):
        return value.to_json()
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_json(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): to_json(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_json(inner) for inner in value]
    return number_or_none(value)


@np.errstate(over="ignore", invalid="ignore")  # the variance of 1e200 is shown as unknown
def summarise(
    columns: Columns, price: Callable[[str, Usage], float | None] = lambda model, usage: None
) -> Summary:
    """The figures of a results file.

    Args:
        price: What a judge model's tokens cost; None when it has no price.
    """
    spec, rewards, items = columns.header.spec, columns.rewards, columns.items
    scored, failed = len(rewards), len(columns.failed_places)
    threshold = threshold_of(spec, rewards)
    passed = rewards >= threshold if threshold is not None and scored else None
    return Summary(
        header=columns.header,
        rows=scored + failed,
        scored=scored,
        failed=failed,
        items=scored if items is None else len(np.unique(items)),
        grouping=columns.grouping,
        flags=columns.flags,
        rewards=_spread(rewards, items, reward_range(spec)) if scored else None,
        threshold=threshold,
        passed=None if passed is None else pass_rate(passed, items),
        subs=_subs(columns) if scored else (),
        repeats=() if passed is None or items is None else _repeats(passed, items),
        bounds=_bounds(spec, rewards, failed) if scored and failed else None,
        latency=_latency(columns.seconds) if len(columns.seconds) else None,
        spent=tuple(
            Spent(model, used.prompt_tokens, used.completion_tokens, used.cached_tokens, price(model, used))
            for model, used in columns.usage.items()
        ),
    )


def reward_range(spec: Mapping[str, Any]) -> tuple[float, float] | None:
    """The least and the most that a spec's reward can be; None for formulas and programs, which say nothing about it."""
    if spec.get("type") in ("python", "multi"):
        return None
    low, high = spec.get("range") or (0, 1)
    return float(low), float(high)


def threshold_of(spec: Mapping[str, Any], rewards: Floats) -> float | None:
    """What a row has to reach to pass: the spec's pass_threshold; 1 where all rewards are 0 or 1; else None."""
    given = spec.get("pass_threshold")
    if given is not None:
        return float(given)
    return 1.0 if bool(np.all((rewards == 0) | (rewards == 1))) else None


def _spread(values: Floats, items: Ints | None, span: tuple[float, float] | None = None) -> Spread:
    found = np.quantile(values, QUANTILES)
    return Spread(
        mean(values, items),
        float(values.std(ddof=1)) if len(values) > 1 else math.nan,
        float(values.min()),
        float(values.max()),
        {f"{part:g}": float(value) for part, value in zip(QUANTILES, found, strict=True)},
        histogram(values, span),
    )


def histogram(values: Floats, span: tuple[float, float] | None = None) -> tuple[Bar, ...]:
    """A bar for each value where they are few and come often, else BARS even steps, or one bar where none fit between.

    Two bars stand for 0 and 1 where those are all values. The steps go over `span`, else over 0 to 1, else over the
    values themselves: the first of these that holds them all.
    """
    distinct, counts = np.unique(values, return_counts=True)
    seen = dict(zip(distinct[:DISTINCT_BARS].tolist(), counts[:DISTINCT_BARS].tolist(), strict=True))
    if seen.keys() <= {0.0, 1.0}:
        return tuple(Bar(value, value, seen.get(value, 0)) for value in (0.0, 1.0))
    if len(distinct) <= min(DISTINCT_BARS, len(values) // OFTEN):
        return tuple(Bar(value, value, n) for value, n in seen.items())
    least, most = float(values.min()), float(values.max())
    spans = (span or (0.0, 1.0), (0.0, 1.0), (least, most))
    low, high = next((low, high) for low, high in spans if low <= least and most <= high)
    edges = np.linspace(low, high, BARS + 1)
    if not bool(
        np.all(edges[1:] > edges[:-1])
    ):  # a single value, or values too close for a step between them
        return (Bar(least, most, len(values)),)
    counts, _ = np.histogram(values, edges)
    return tuple(
        Bar(float(start), float(end), int(n))
        for start, end, n in zip(edges[:-1], edges[1:], counts, strict=True)
    )


def _subs(columns: Columns) -> tuple[Sub, ...]:
    made = []
    moves = _moves(columns)
    for key, values in columns.subs.items():
        spec = columns.header.spec["graders"][key]
        threshold = spec.get("pass_threshold")
        made.append(
            Sub(
                key,
                spec["type"],
                _spread(values, columns.items, reward_range(spec)),
                None if threshold is None else pass_rate(values >= threshold, columns.items),
                moves[key],
                correlation(values, columns.rewards),
            )
        )
    return tuple(made)


def _moves(columns: Columns) -> dict[str, float]:
    """For each key of a multi, see Sub.moves; over at most MOVED_ROWS rows, evenly taken from the file."""
    from graders.errors import FormulaError
    from graders.formula import Formula

    keys = tuple(columns.subs)
    if not keys:
        return {}
    formula = Formula(columns.header.spec["calculate_output"], keys)
    step = max(1, len(columns.rewards) // MOVED_ROWS)
    totals = columns.rewards[::step].tolist()
    rows = list(zip(*(values[::step].tolist() for values in columns.subs.values()), strict=True))
    moved = {}
    for place, (key, values) in enumerate(columns.subs.items()):
        middle, changes = float(values.mean()), []
        for total, row in zip(totals, rows, strict=True):
            try:
                changes.append(abs(formula.value((*row[:place], middle, *row[place + 1 :])) - total))
            except FormulaError:  # no such value at the mean, a division by zero say
                continue
        moved[key] = math.fsum(changes) / len(changes) if changes else math.nan
    return moved


def _repeats(passed: Any, items: Ints) -> tuple[Repeats, ...]:
    sizes = np.bincount(items)
    passes = np.bincount(items, passed).astype(np.int64)
    made = []
    for k in _ks(sizes):
        enough = sizes >= k
        pairs = list(zip(sizes[enough].tolist(), passes[enough].tolist(), strict=True))
        estimates = []
        for chance in (pass_at_k, pass_hat_k):
            known = {pair: chance(*pair, k) for pair in set(pairs)}
            estimates.append(mean(np.array([known[pair] for pair in pairs])))
        made.append(Repeats(k, *estimates))
    return tuple(made)


def _ks(sizes: Any) -> list[int]:
    """1, 2, 4 ... while at least half of the items have so many rows, and the number that all of the largest have."""
    ks, k = [], 1
    while (sizes >= k).mean() >= 0.5:
        ks.append(k)
        k *= 2
    most = int(sizes.max())
    return ks if most in ks or (sizes >= most).mean() < 0.5 else [*ks, most]


def _bounds(spec: Mapping[str, Any], rewards: Floats, failed: int) -> Bounds:
    span = reward_range(spec)
    if span is None:
        low, high = min(0.0, float(rewards.min())), max(1.0, float(rewards.max()))
        words = f"{low:g} to {high:g}: 0 to 1 and what the scored rows got, since the spec does not say"
    else:
        (low, high), words = span, f"{span[0]:g} to {span[1]:g}, by the spec"
    n, total = len(rewards) + failed, float(rewards.sum())
    return Bounds((total + failed * low) / n, (total + failed * high) / n, words)


def _latency(seconds: Floats) -> Latency:
    p50, p90, p99 = np.quantile(seconds, (0.5, 0.9, 0.99))
    shown = seconds[seconds <= p99]  # one row that took minutes would hide all others
    return Latency(len(seconds), float(p50), float(p90), float(p99), float(seconds.max()), histogram(shown))


# --- gates --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Gate:
    """A demand on a run.

    Attributes:
        name: What it is about.
        verdict: "met", "failed", or "inconclusive" when the rows do not suffice to tell.
        text: What was wanted and what was found.
    """

    name: str
    verdict: str
    text: str

    @property
    def met(self) -> bool:
        return self.verdict == "met"


def gates(summary: Summary, fail_under: float | None = None, min_coverage: float | None = None) -> list[Gate]:
    """What the demands come to.

    Args:
        fail_under: The mean reward is surely at least this: the whole interval is. Inconclusive when the interval
            reaches over it, failed when all of it lies below.
        min_coverage: At least this part of the rows was scored.
    """
    made = []
    if min_coverage is not None:
        made.append(
            Gate(
                "coverage",
                "met" if summary.coverage >= min_coverage else "failed",
                f"{summary.scored:,} of {summary.rows:,} rows scored ({summary.coverage:.4g}), wanted {min_coverage:g}",
            )
        )
    if fail_under is not None:
        made.append(_mean_gate(summary, fail_under))
    return made


def _mean_gate(summary: Summary, wanted: float) -> Gate:
    if summary.rewards is None:
        return Gate("mean reward", "inconclusive", f"no row was scored, wanted at least {wanted:g}")
    found = summary.rewards.mean
    if found.low >= wanted:
        verdict = "met"
    elif found.high < wanted:
        verdict = "failed"
    else:
        verdict = "inconclusive"
    text = f"{found.value:.4g}, {found.between()}, wanted at least {wanted:g}"
    if verdict == "inconclusive":
        text += "; more rows would tell"
    return Gate("mean reward", verdict, text)
