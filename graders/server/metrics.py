"""Counters in Prometheus' text format, version 0.0.4."""

from __future__ import annotations

import os
import threading
import time
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import accumulate
from typing import Any, NamedTuple

from graders._version import __version__
from graders.result import FLAGS, RunResult

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
#: Upper bounds of the histogram's buckets, in seconds: from an exact match to a reasoning judge.
BUCKETS = (
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    5.0,
    10.0,
    30.0,
    60.0,
    120.0,
    300.0,
)
#: Names of judges that are counted separately, since requests choose them; the rest counts as "other".
MOST_MODELS = 100

Labels = tuple[tuple[str, str], ...]


class Gauge(NamedTuple):
    """A number that is computed when /metrics is read; a counter if its name ends in _total."""

    name: str
    about: str
    value: Callable[[], float]


class Metrics:
    """The server's counters, for the event loop and the grading threads."""

    def __init__(self) -> None:
        self.started = time.time()
        self.requests: Counter[tuple[str, int]] = Counter()
        self.rows: Counter[str] = Counter()
        self.flags: Counter[str] = Counter(dict.fromkeys(FLAGS, 0))
        self.refused: Counter[str] = Counter()
        self._seconds: dict[str, list[int]] = {}
        self._sum_s: defaultdict[str, float] = defaultdict(float)
        self._outcomes: Counter[str] = Counter()
        self._tokens: Counter[tuple[str, str]] = Counter()
        self._models: set[str] = set()
        self._lock = threading.Lock()

    def request(self, route: str, status: int, seconds: float) -> None:
        """Count one response, or 499 for a client that left before it."""
        self.requests[route, status] += 1
        buckets = self._seconds.get(route)
        if buckets is None:
            buckets = self._seconds[route] = [0] * (len(BUCKETS) + 1)
        buckets[bisect_left(BUCKETS, seconds)] += 1
        self._sum_s[route] += seconds

    def row(self, type: str, result: RunResult) -> None:
        """Count one graded row."""
        with self._lock:
            self.rows[type] += 1
            if result.failures:
                self.flags.update(result.flags)
            for call in result.judge_usage:
                self._count_tokens(call.model, call.usage.to_wire())

    def _count_tokens(self, model: str, usage: Mapping[str, int | None]) -> None:
        if model not in self._models:
            if len(self._models) >= MOST_MODELS:
                model = "other"
            self._models.add(model)
        for kind in ("prompt_tokens", "completion_tokens", "cached_tokens"):
            self._tokens[model, kind.removesuffix("_tokens")] += usage[kind] or 0

    def sandbox(self, outcome: str) -> None:
        """Count one finished python grader."""
        with self._lock:
            self._outcomes[outcome] += 1

    def text(self, gauges: Iterable[Gauge] = ()) -> str:
        """All metrics as text.

        Args:
            gauges: Further numbers.
        """
        with self._lock:
            return "\n".join([*self._lines(gauges), ""])

    def _lines(self, gauges: Iterable[Gauge]) -> Iterator[str]:
        yield from _family("graders_build_info", "gauge", "The engine.", {(("version", __version__),): 1})
        requests = {
            (("route", route), ("status", str(status))): n for (route, status), n in self.requests.items()
        }
        yield from _family(
            "graders_requests_total",
            "counter",
            "Responses by route and status; 499: the client left.",
            requests,
        )
        yield from self._histogram()
        rows = {(("type", type),): n for type, n in self.rows.items()}
        yield from _family("graders_rows_total", "counter", "Graded rows by grader type.", rows)
        flags = {(("flag", flag),): n for flag, n in self.flags.items()}
        yield from _family(
            "graders_row_failures_total", "counter", "Rows with a flag set; a row may have several.", flags
        )
        tokens = {(("model", model), ("kind", kind)): n for (model, kind), n in self._tokens.items()}
        yield from _family(
            "graders_judge_tokens_total", "counter", "Tokens of judges, by the model of the spec.", tokens
        )
        outcomes = {(("outcome", outcome),): n for outcome, n in self._outcomes.items()}
        yield from _family(
            "graders_sandbox_outcomes_total", "counter", "Python graders by how they ended.", outcomes
        )
        refused = {(("what", what),): n for what, n in self.refused.items()}
        yield from _family(
            "graders_refused_total", "counter", "Requests answered 429, by what was full.", refused
        )
        for name, about, value in (*gauges, *_process(self.started)):
            kind = "counter" if name.endswith("_total") else "gauge"
            yield from _family(name, kind, about, {(): value()})

    def _histogram(self) -> Iterator[str]:
        name = "graders_request_seconds"
        yield f"# HELP {name} From the first byte of the headers read to the last byte of the response sent."
        yield f"# TYPE {name} histogram"
        for route, buckets in self._seconds.items():
            for bound, n in zip((*map(str, BUCKETS), "+Inf"), accumulate(buckets), strict=True):
                yield f"{name}_bucket{_text((('route', route), ('le', bound)))} {n}"
            yield f"{name}_sum{_text((('route', route),))} {self._sum_s[route]:.6f}"
            yield f"{name}_count{_text((('route', route),))} {sum(buckets)}"


def _process(started: float) -> list[Gauge]:
    """Gauges of the process, with the names of Prometheus' client libraries, where the system has them."""
    gauges = [
        Gauge("process_start_time_seconds", "Since the epoch.", lambda: started),
        Gauge("process_cpu_seconds_total", "Of this process, without sandboxes.", time.process_time),
    ]
    if os.path.exists("/proc/self/fd"):
        gauges += [
            Gauge("process_open_fds", "Descriptors open.", lambda: len(os.listdir("/proc/self/fd"))),
            Gauge("process_resident_memory_bytes", "Of this process, without sandboxes.", resident_bytes),
        ]
    return gauges


def resident_bytes() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _family(name: str, kind: str, about: str, values: Mapping[Any, float]) -> Iterator[str]:
    yield f"# HELP {name} {about}"
    yield f"# TYPE {name} {kind}"
    for labels, value in values.items():
        yield f"{name}{_text(labels)} {value}"


def _text(labels: Labels) -> str:
    """{route="run",status="200"}; backslashes, quotes and line ends in values are escaped."""
    if not labels:
        return ""
    escaped = (
        (name, value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")) for name, value in labels
    )
    return "{" + ",".join(f'{name}="{value}"' for name, value in escaped) + "}"
