"""/v1/graders/batch: many rows of one spec, graded on a thread by `Grader.run_batch`, results streamed in order."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from graders.errors import GradeError
from graders.fields import detect_fields, item_of, sample_of
from graders.jsontext import dumps, has_more_values, loads
from graders.server.errors import ApiError
from graders.server.limits import CancellableBackends, Limits
from graders.server.metrics import Gauge
from graders.server.request import (
    CALL,
    JSON,
    NDJSON,
    Call,
    parameters,
    read_body,
    read_json,
    require_media_type,
    typed,
)
from graders.server.resources import Resource
from graders.server.routing import Routes
from graders.spec.wording import wrong_type

if TYPE_CHECKING:
    from graders.engine.grader import Grader
    from graders.server.service import Service

#: Bytes of a local grader's results that are sent together; others are sent one by one.
FLUSH_BYTES = 64 * 1024
PARAMETERS = ("grader", "rows", "merge")


def read(body: bytes, media_type: str, limits: Limits) -> tuple[dict[str, Any], Iterable[Any]]:
    """The request's parameters and its rows.

    In NDJSON the first line is the request without its rows, and every other line is a row, parsed when its turn comes.

    Raises:
        ApiError: 400.
    """
    if media_type == NDJSON:
        first, _, rest = body.partition(b"\n")
        head = parameters(read_json(first, limits), PARAMETERS, ("grader",))
        return _checked(head), _lines(rest, limits.json_values)
    whole = parameters(read_json(body, limits), PARAMETERS, ("grader", "rows"))
    return _checked(whole), typed(whole, "rows", list, "an array")


def _checked(head: dict[str, Any]) -> dict[str, Any]:
    typed(head, "merge", (bool, type(None)), "a boolean")
    return head


def _lines(text: bytes, most_values: int) -> Iterator[Any]:
    """The JSON of every line that is not blank; for an invalid or too large line, the error."""
    at = 0
    while at < len(text):
        end = text.find(b"\n", at)
        end = len(text) if end < 0 else end
        line, at = text[at:end], end + 1
        if has_more_values(line, most_values):
            yield ValueError(f"the row has more than {most_values} values")
        elif line.strip():
            try:
                yield loads(line)
            except ValueError as error:
                yield error


def as_row(row: Any, number: int) -> Mapping[str, Any]:
    """A row for run_batch: its id becomes text, and a row without one gets its number, from 0.

    A value that is not a row becomes a row with an unreadable sample, so that it is flagged at its position.
    """
    if not isinstance(row, dict):
        reason = row if isinstance(row, ValueError) else ValueError(wrong_type("row", "an object", row))
        return {"id": str(number), "sample": reason, "item": {}}
    row_id = row.get("id", number)
    fields = detect_fields(row, samples=False)
    return {
        "sample": sample_of(row, fields),
        "item": item_of(row, fields),
        "id": row_id if isinstance(row_id, str) else json.dumps(row_id),
    }


class BatchResource(Resource):
    """POST /v1/graders/batch."""

    def __init__(self, service: Service) -> None:
        super().__init__(service)
        self.threads = ThreadPoolExecutor(service.limits.batches, thread_name_prefix="graders-batch")
        self.n_batches = 0

    def routes(self) -> Routes:
        return {"/v1/graders/batch": {"POST": self.batch}}

    def gauges(self) -> Iterable[Gauge]:
        yield Gauge("graders_batches_under_way", "Batches.", lambda: self.n_batches)

    async def batch(self, request: Request) -> Response:
        """Many rows."""
        service = self.service
        if self.n_batches >= service.limits.batches:
            raise service.refused("batches", f"{self.n_batches} batches are under way")
        # released when the last line has been sent
        self.n_batches += 1
        try:
            media_type = require_media_type(request.scope[CALL], JSON, NDJSON)
            body = await read_body(request, service.limits, service.buffered)
            head, rows = await service.off_loop(len(body), read, body, media_type, service.limits)
            backends = CancellableBackends(service.shared, service.limits.timeout_s)
            grader = await service.graders.make(head["grader"], backends)
        except BaseException:
            self.n_batches -= 1
            raise
        return BatchResponse(self, grader, backends, rows, head.get("merge"))

    def close(self) -> None:
        self.threads.shutdown(wait=False, cancel_futures=True)


class BatchResponse(Response):
    """An NDJSON response: for each row its `id` and the run endpoint's fields, in the rows' order.

    The client's pace bounds the grading, and a client that leaves ends it. When no later row can be graded (a judge
    refuses the key), the last line is the service's error body.
    """

    media_type = NDJSON

    def __init__(
        self,
        resource: BatchResource,
        grader: Grader,
        backends: CancellableBackends,
        rows: Iterable[Any],
        merge: bool | None,
    ) -> None:
        """
        Args:
            backends: The grader's backends, cancelled when the client leaves.
            rows: JSON values, an iterator.
        """
        super().__init__(headers={"cache-control": "no-store", "x-accel-buffering": "no"})
        del self.headers["content-length"]
        self._resource = resource
        self._grader = grader
        self._backends = backends
        self._rows = rows
        self._merge = merge
        self._gone = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        loop = asyncio.get_running_loop()
        call: Call = scope[CALL]

        def put(lines: list[bytes]) -> None:
            """Send lines from the grading thread, and wait until there is room for more."""
            message = {"type": "http.response.body", "body": b"".join(lines), "more_body": True}
            asyncio.run_coroutine_threadsafe(_send(send, message), loop).result()

        leaving = asyncio.ensure_future(self._watch(receive))
        try:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            await loop.run_in_executor(self._resource.threads, self._grade, call, put)
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            self._resource.n_batches -= 1
            self._cancel()
            leaving.cancel()

    async def _watch(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._cancel()

    def _cancel(self) -> None:
        self._gone = True
        self._backends.cancel()

    def _grade(self, call: Call, put: Callable[[list[bytes]], None]) -> None:
        """Grade the rows, on a thread, until the client leaves."""
        lines: list[bytes] = []
        n_bytes = 0
        flush_bytes = 1 if self._grader.kind.n_asks else FLUSH_BYTES
        try:
            window = self._resource.service.limits.batch_window
            for result in self._grader.run_batch(self._wanted(), merge=self._merge, window=window):
                if self._gone:
                    return
                self._resource.service.graded(call, self._grader, result)
                line = dumps({"id": result.id, **result.to_wire()}) + b"\n"
                lines.append(line)
                n_bytes += len(line)
                if n_bytes >= flush_bytes:
                    put(lines)
                    lines, n_bytes = [], 0
        except GradeError as error:
            # no later row can be graded
            lines.append(_last_line(error))
        except BaseException:
            if not self._gone:
                raise
            return
        if lines and not self._gone:
            put(lines)

    def _wanted(self) -> Iterator[Mapping[str, Any]]:
        for number, row in enumerate(self._rows):
            if self._gone:
                return
            yield as_row(row, number)


def _last_line(error: GradeError) -> bytes:
    problem = ApiError(400, str(error), type="invalid_request_error", code=error.flag)
    return problem.body() + b"\n"


async def _send(send: Send, message: dict[str, Any]) -> None:
    await send(message)
