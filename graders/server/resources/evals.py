"""/v1/evals: evals, their runs and output items."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from functools import cached_property
from typing import TypeVar

from starlette.requests import Request
from starlette.responses import Response

from graders.evals.regrading import regrade
from graders.evals.requests import InvalidRequest, NotFound
from graders.evals.runner import ROWS, Runner
from graders.evals.service import Evals
from graders.evals.wire import eval_text, item_text, run_text, without_nulls
from graders.server.errors import ApiError, JsonResponse
from graders.server.limits import CancellableBackends
from graders.server.lists import JsonTextResponse, choice_of, cursor_of, list_response
from graders.server.metrics import Gauge
from graders.server.resources import Resource
from graders.server.routing import Routes, api, get
from graders.server.service import Service
from graders.store import RunRecord

T = TypeVar("T")

RUN_STATUSES = ("queued", "in_progress", "completed", "canceled", "failed")
#: An item's status in a query -> in the store. The service's prose and schema differ in the spelling; error is ours.
ITEM_STATUSES = {"pass": "pass", "passed": "pass", "fail": "fail", "failed": "fail", "error": "error"}
RUN = "/evals/{eval_id}/runs/{run_id}"


class EvalResource(Resource):
    """Evals in the store; their runs are executed in the background."""

    def __init__(self, service: Service) -> None:
        super().__init__(service)
        self._runner: Runner | None = None

    def routes(self) -> Routes:
        return api(
            {
                "/evals": {**get(self.list_evals), "POST": self.create_eval},
                "/evals/{eval_id}": {
                    **get(self.get_eval),
                    "POST": self.update_eval,
                    "DELETE": self.delete_eval,
                },
                "/evals/{eval_id}/runs": {**get(self.get_eval_runs), "POST": self.create_eval_run},
                # cancelling: the service's document and its Node client use the run's own path, its Python client one
                # below it
                RUN: {
                    **get(self.get_eval_run),
                    "POST": self.cancel_eval_run,
                    "DELETE": self.delete_eval_run,
                },
                f"{RUN}/cancel": {"POST": self.cancel_eval_run},
                f"{RUN}/regrade": {"POST": self.regrade_eval_run},
                f"{RUN}/output_items": get(self.get_eval_run_output_items),
                f"{RUN}/output_items/{{output_item_id}}": get(self.get_eval_run_output_item),
            }
        )

    @cached_property
    def _evals(self) -> Evals:
        service = self.service
        backends = CancellableBackends(service.shared, service.limits.timeout_s)
        return Evals(service.store, backends, strict=service.strict)

    @cached_property
    def _nulls(self) -> bool:
        """Whether fields are null where the service's are; else they are filled, for clients that accept no null."""
        nulls: bool = self.service.config.table("evals").get("nulls", True)
        return nulls

    def start(self) -> None:
        if self.service.has_store:
            rows = self.service.config.table("evals").get("in_flight", ROWS)
            self._runner = Runner(self.service.store, self._evals.backends, rows=rows)

    def gauges(self) -> Iterable[Gauge]:
        if self._runner is not None:
            yield Gauge("graders_runs_under_way", "Runs of evals.", self._runner.under_way)

    def close(self) -> None:
        if self._runner is not None:
            self._runner.close()

    # --- evals ---

    async def create_eval(self, request: Request) -> Response:
        """Create an eval."""
        body = await self.service.value(request)
        record = await self._in_store(lambda: self._evals.create(body))
        return JsonTextResponse(eval_text(record), 201)

    async def list_evals(self, request: Request) -> Response:
        """List evals."""
        cursor = cursor_of(request)
        by_update = choice_of(request, "order_by", ("created_at", "updated_at")) == "updated_at"
        page = await self._in_store(lambda: self.service.store.evals.page(cursor, by_update=by_update))
        return list_response(map(eval_text, page.rows), [record.id for record in page.rows], page.has_more)

    async def get_eval(self, request: Request) -> Response:
        """Get an eval."""
        eval_id = request.path_params["eval_id"]
        return JsonTextResponse(eval_text(await self._in_store(lambda: self._evals.get(eval_id))))

    async def update_eval(self, request: Request) -> Response:
        """Update an eval's name or metadata."""
        body, eval_id = await self.service.value(request), request.path_params["eval_id"]
        return JsonTextResponse(eval_text(await self._in_store(lambda: self._evals.update(eval_id, body))))

    async def delete_eval(self, request: Request) -> Response:
        """Delete an eval with its runs."""
        eval_id = request.path_params["eval_id"]
        await self._in_store(lambda: self._evals.delete(eval_id))
        self._wake()
        return JsonResponse({"object": "eval.deleted", "deleted": True, "eval_id": eval_id})

    # --- runs ---

    async def create_eval_run(self, request: Request) -> Response:
        """Create a run."""
        body, eval_id = await self.service.value(request), request.path_params["eval_id"]
        run = await self._in_store(lambda: self._evals.create_run(eval_id, body))
        self._wake()
        return JsonTextResponse(self._run_text(run, request), 201)

    async def get_eval_runs(self, request: Request) -> Response:
        """List an eval's runs."""
        eval_id, cursor = request.path_params["eval_id"], cursor_of(request)
        status = choice_of(request, "status", RUN_STATUSES)
        await self._in_store(lambda: self._evals.get(eval_id))
        page = await self._in_store(lambda: self.service.store.runs.page(eval_id, cursor, status))
        texts = [self._run_text(run, request) for run in page.rows]
        return list_response(texts, [run.id for run in page.rows], page.has_more)

    async def get_eval_run(self, request: Request) -> Response:
        """Get a run."""
        return JsonTextResponse(self._run_text(await self._run(request), request))

    async def cancel_eval_run(self, request: Request) -> Response:
        """Cancel a run; one that has ended stays as it is. Once this is answered, nothing more is asked for it."""
        eval_id, run_id = request.path_params["eval_id"], request.path_params["run_id"]
        run = await self._in_store(lambda: self._evals.cancel_run(eval_id, run_id))
        if self._runner is not None:
            await asyncio.wrap_future(self._runner.cancel(run.number))
        return JsonTextResponse(self._run_text(run, request))

    async def regrade_eval_run(self, request: Request) -> Response:
        """Grade a run's samples again, as a run of a new eval: by `testing_criteria`, or by the same ones."""
        body, run = await self.service.value(request), await self._run(request)
        criteria = body.get("testing_criteria") if isinstance(body, dict) else body
        made = await self._in_store(lambda: regrade(self._evals, run, criteria))
        self._wake()
        return JsonTextResponse(self._run_text(made, request), 201)

    async def delete_eval_run(self, request: Request) -> Response:
        """Delete a run with its output items."""
        eval_id, run_id = request.path_params["eval_id"], request.path_params["run_id"]
        await self._in_store(lambda: self._evals.delete_run(eval_id, run_id))
        self._wake()
        return JsonResponse({"object": "eval.run.deleted", "deleted": True, "run_id": run_id})

    # --- output items ---

    async def get_eval_run_output_items(self, request: Request) -> Response:
        """List a run's output items, in the order of its data."""
        cursor = cursor_of(request)
        wanted = choice_of(request, "status", tuple(ITEM_STATUSES))
        status = None if wanted is None else ITEM_STATUSES[wanted]
        run = await self._run(request, source=False)
        page = await self._in_store(lambda: self.service.store.items.page(run.number, run.id, cursor, status))
        texts = [self._filled(item_text(item, run.id, run.eval_id)) for item in page.rows]
        return list_response(texts, [item.id for item in page.rows], page.has_more)

    async def get_eval_run_output_item(self, request: Request) -> Response:
        """Get an output item."""
        item_id = request.path_params["output_item_id"]
        run = await self._run(request, source=False)
        item = await self._in_store(lambda: self.service.store.items.get(run.number, run.id, item_id))
        if item is None:
            raise ApiError(404, str(NotFound("output item", item_id)))
        return JsonTextResponse(self._filled(item_text(item, run.id, run.eval_id)))

    # --- for all of them ---

    async def _in_store(self, work: Callable[[], T]) -> T:
        """The result of `work`, run on a thread.

        Raises:
            ApiError: 404 or 400.
        """
        try:
            return await self.service.in_store(work)
        except NotFound as error:
            raise ApiError(404, str(error)) from None
        except InvalidRequest as error:
            raise ApiError(400, str(error), param=error.param or None, code=error.code) from None

    async def _run(self, request: Request, *, source: bool = True) -> RunRecord:
        """The run that a request's path names; its data source is read where `source` says so."""
        eval_id, run_id = request.path_params["eval_id"], request.path_params["run_id"]
        return await self._in_store(lambda: self._evals.get_run(eval_id, run_id, source=source))

    def _run_text(self, run: RunRecord, request: Request) -> str:
        origin = f"{request.url.scheme}://{request.headers.get('host', '')}"
        return self._filled(run_text(run, origin))

    def _filled(self, text: str) -> str:
        return text if self._nulls else without_nulls(text)

    def _wake(self) -> None:
        if self._runner is not None:
            self._runner.wake()
