"""OpenTelemetry: an event `gen_ai.evaluation.result` for each row, and for each member of a multi.

By the semantic conventions for generative AI (events): `gen_ai.evaluation.name`, `.score.value`, `.score.label`,
`.explanation`, `gen_ai.response.id`, and `error.type` in place of a score where the row failed. A data row's
`trace_id` and `span_id` (hex) make the event a child of the operation that was graded.

The SDK's settings give the destination: the logger provider of the program, else OTLP over HTTP to
OTEL_EXPORTER_OTLP_ENDPOINT.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from opentelemetry import trace
from opentelemetry._logs import LogRecord, get_logger_provider
from opentelemetry.sdk._logs import LoggerProvider

from graders._version import __version__
from graders.results.read import Header, ResultRow, read_results
from graders.stats.gather import gather
from graders.stats.summary import summarise

EVENT = "gen_ai.evaluation.result"
#: Characters of an explanation.
EXPLAINED_MAX = 2000


def export(results: str | Path, *, project: str | None = None, name: str | None = None) -> str:
    """See `graders.exporters.export`."""
    header, rows = read_results(results)
    threshold = summarise(gather(results)).threshold
    provider = get_logger_provider()
    own = not isinstance(provider, LoggerProvider)
    if own:
        provider = _otlp_provider()
    assert isinstance(provider, LoggerProvider)
    logger = provider.get_logger(project or "graders", __version__)
    n = 0
    for row in rows:
        context = _operation(row.row)
        for attributes in _evaluations(row, header, name or header.name, threshold):
            logger.emit(LogRecord(event_name=EVENT, attributes=attributes, context=context))
            n += 1
    arrived = provider.force_flush()
    if own:
        provider.shutdown()
    return f"{n:,} OpenTelemetry events" + ("" if arrived else ", of which some did not leave in time")


def _otlp_provider() -> LoggerProvider:
    from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
    from opentelemetry.sdk._logs.export import BatchLogRecordProcessor

    provider = LoggerProvider()
    provider.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter()))
    return provider


def _evaluations(
    row: ResultRow, header: Header, name: str, threshold: float | None
) -> Iterator[dict[str, Any]]:
    """The attributes of a row's events: its own, then its members'."""
    shared = {"graders.row.id": row.id, "graders.digest": header.digest, "graders.type": header.type}
    response_id = row.sample.get("id") if isinstance(row.sample, Mapping) else None
    if isinstance(response_id, str):
        shared["gen_ai.response.id"] = response_id
    whole: dict[str, Any] = {**shared, "gen_ai.evaluation.name": name}
    if row.reward is None:
        whole["error.type"] = row.flags[0]
    else:
        whole["gen_ai.evaluation.score.value"] = row.reward
        if threshold is not None:
            whole["gen_ai.evaluation.score.label"] = "pass" if row.reward >= threshold else "fail"
    if explanation := _explanation(row):
        whole["gen_ai.evaluation.explanation"] = explanation
    yield whole
    for key, value in row.sub_rewards.items():
        yield {**shared, "gen_ai.evaluation.name": f"{name}.{key}", "gen_ai.evaluation.score.value": value}
    for key, flag in row.failed_members.items():
        yield {**shared, "gen_ai.evaluation.name": f"{name}.{key}", "error.type": flag}


def _explanation(row: ResultRow) -> str:
    """The row's errors, else the judge's answer; "" without either."""
    judge = row.provenance.get("judge")
    text = judge.get("text") if isinstance(judge, Mapping) else None
    return ("; ".join(row.errors) or (text if isinstance(text, str) else ""))[:EXPLAINED_MAX]


def _operation(row: Mapping[str, Any]) -> Any:
    """The context of the span in a data row's `trace_id` and `span_id`; None without them."""
    try:
        trace_id, span_id = int(row["trace_id"], 16), int(row["span_id"], 16)
    except (KeyError, TypeError, ValueError):
        return None
    span = trace.SpanContext(trace_id, span_id, is_remote=True, trace_flags=trace.TraceFlags(1))
    return trace.set_span_in_context(trace.NonRecordingSpan(span)) if span.is_valid else None
