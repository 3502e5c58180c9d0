"""/pages/...: JSON for the pages that the service's own endpoints lack or would need many requests for."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.responses import Response

from graders.evals.claims import KnownClaims
from graders.evals.comparison import ALL, NotComparable, compare_runs
from graders.evals.criteria import thresholds
from graders.evals.exchange.imported import ExchangeError
from graders.evals.exchange.importing import import_lines
from graders.evals.requests import NotFound
from graders.evals.side_by_side import PairedItem, paired_items
from graders.evals.summaries import comparison_summary, eval_summary, item_summary, run_summary
from graders.server.errors import ApiError, JsonResponse
from graders.server.lists import JsonTextResponse, choice_of, cursor_of
from graders.server.multipart import read_form
from graders.server.resources import Resource
from graders.server.routing import Routes, get
from graders.server.service import Service
from graders.store import Cursor, EvalRecord, ItemFilter, RunRecord, Store
from graders.store.tables.filters import VERDICTS
from graders.store.tables.search import position
from graders.tuning.folders import jobs_folder
from graders.tuning.rollouts import read_rollouts

T = TypeVar("T")

#: Runs shown of each eval in the list of evals.
TREND = 20
PAGE = 50
PAGE_MOST = 100
#: Numbers of runs that can be compared at once.
SIDES = range(2, 4 + 1)
#: Seconds per request for indexing items; the page repeats the request until all are searchable.
WORDS_S = 0.3
#: Steps shown in a job's curves.
STEPS = 500
STATUSES = ("pass", "fail", "error")


class PageDataResource(Resource):
    """Data of the pages: lists with statistics, filtered items, comparisons, curves; and imports."""

    def __init__(self, service: Service) -> None:
        super().__init__(service)
        self._claims = KnownClaims(service.claims, service.shared.backends)

    def routes(self) -> Routes:
        return {
            "/pages/evals": get(self.page_evals),
            "/pages/evals/{eval_id}": get(self.page_eval),
            "/pages/runs/{run_id}": get(self.page_run),
            "/pages/runs/{run_id}/items": get(self.page_items),
            "/pages/comparison": get(self.page_comparison),
            "/pages/imports": {"POST": self.page_import},
            "/pages/jobs/{job_id}/metrics": get(self.page_job_metrics),
            "/pages/jobs/{job_id}/samples": get(self.page_job_samples),
        }

    async def page_evals(self, request: Request) -> Response:
        """Evals, the newest first, each with its last runs: `?after=EVAL_ID&limit=`."""
        cursor = cursor_of(request, limit=PAGE, order="desc")
        store = self.service.store

        def read() -> dict[str, Any]:
            page = store.evals.page(cursor)
            last = Cursor(limit=TREND, descending=True)
            shown = [eval_summary(one, store.runs.page(one.id, last, source=False).rows) for one in page.rows]
            return {"data": shown, "has_more": page.has_more}

        return JsonResponse(await self._in_store(read))

    async def page_eval(self, request: Request) -> Response:
        """An eval's runs in figures, the newest first: `?after=RUN_ID&limit=`."""
        eval_id = request.path_params["eval_id"]
        cursor = cursor_of(request, limit=PAGE, order="desc")
        store, config = self.service.store, self.service.config

        def read() -> dict[str, Any]:
            record = self._eval(eval_id)
            page = store.runs.page(eval_id, cursor, source=False)
            return {
                "id": record.id,
                "name": record.name,
                "created_at": record.created_at,
                "testing_criteria": json.loads(record.testing_criteria),
                "thresholds": thresholds(record.testing_criteria),
                "claims": self._claims.of(record.testing_criteria),
                "data": [run_summary(run, config) for run in page.rows],
                "has_more": page.has_more,
            }

        return JsonResponse(await self._in_store(read))

    async def page_run(self, request: Request) -> Response:
        """A run in figures, with what is known of its graders."""

        def read() -> dict[str, Any]:
            run = self._run(request.path_params["run_id"])
            claims = self._claims.of(self._eval(run.eval_id).testing_criteria, run)
            return {**run_summary(run, self.service.config), "claims": claims}

        return JsonResponse(await self._in_store(read))

    async def page_items(self, request: Request) -> Response:
        """A run's finished items: `?status=&criterion=PLACE&verdict=&low=&high=&sort=score&q=WORDS&after=&limit=`.

        `after` is the `next` of the answer before. `searchable` says how many items have been searched for words.
        """
        wanted, after = _filter_of(request), _position_of(request)
        limit = cursor_of(request, limit=PAGE, most=PAGE_MOST).limit
        store = self.service.store

        def read() -> dict[str, Any]:
            run = self._run(request.path_params["run_id"])
            searchable = store.search.add_words(run.number, WORDS_S) if wanted.text else None
            page = store.search.page(run.number, run.id, wanted, limit, after)
            return {
                "data": [item_summary(one) for one in page.rows],
                "next": json.dumps(position(page.rows[-1], wanted)) if page.has_more else None,
                "searchable": searchable,
            }

        return JsonResponse(await self._in_store(read))

    async def page_comparison(self, request: Request) -> Response:
        """Two to four runs, paired by item: `?run_id=A&run_id=B&criterion=NAME&only=flips&start=&figures=no|only`.

        Figures take longer than the items, so the page asks for the two apart.
        """
        query = request.query_params
        run_ids = query.getlist("run_id")
        if len(run_ids) not in SIDES or len(set(run_ids)) < len(run_ids):
            raise ApiError(400, "Name two to four different runs: run_id=A&run_id=B.", param="run_id")
        only = choice_of(request, "only", ("flips",))
        start = _whole(query.get("start", "0"), "start")
        criterion = query.get("criterion") or ALL
        figures = choice_of(request, "figures", ("no", "only"))
        store, config = self.service.store, self.service.config

        def read() -> dict[str, Any]:
            runs = [self._run(run_id) for run_id in run_ids]
            answer: dict[str, Any] = {"runs": [run_summary(run, config) for run in runs]}
            if figures != "only":
                rows = paired_items(store, runs, criterion)
                shown = [row for row in rows if row.flipped] if only else rows
                part = shown[start : start + PAGE]
                answer |= {
                    "data": _pairs(store, runs, part),
                    "n_items": len(rows),
                    "n_shown": len(shown),
                }
            if figures != "no":
                compared = (compare_runs(store, runs[0], other) for other in runs[1:])
                answer["comparisons"] = comparison_summary(compared)
            return answer

        return JsonResponse(await self._in_store(read))

    async def page_import(self, request: Request) -> Response:
        """Import evals and runs: a form with the `file` that `grader evals import` takes."""
        form = await read_form(request, self.service.limits, self.service.store.files.upload)
        assert form.upload is not None
        upload = form.upload

        def take() -> dict[str, Any]:
            path, content_hash = upload.finish()
            with path.open("rb") as lines:
                found = import_lines(self.service.store, lines, Path(form.filename).stem, content_hash)
            newest = self.service.store.evals.page(Cursor(limit=1, descending=True)).rows
            return {**asdict(found), "eval_id": newest[0].id if newest and found.evals else None}

        try:
            return JsonResponse(await self._in_store(take))
        finally:
            await self.service.in_store(form.discard)

    async def page_job_metrics(self, request: Request) -> Response:
        """The metrics of a job's steps, in their order; of a long job, those of some steps."""
        found = await self._in_store(
            lambda: self.service.store.jobs.step_metrics(request.path_params["job_id"])
        )
        every = max(1, -(-len(found) // STEPS))
        # the last step and those with a validation are always included
        kept = [
            text
            for n, text in enumerate(found)
            if n % every == 0 or n + 1 == len(found) or '"validating":true' in text
        ]
        return JsonTextResponse(f'{{"data":[{",".join(kept)}]}}')

    async def page_job_samples(self, request: Request) -> Response:
        """The samples of a reinforcement job's last batch with their rewards, of training and of validation."""
        job_id, store = request.path_params["job_id"], self.service.store

        def read() -> list[str]:
            if store.jobs.get(job_id) is None:
                raise NotFound("job", job_id)
            return read_rollouts(jobs_folder(store) / job_id)

        return JsonTextResponse(f'{{"data":[{",".join(await self._in_store(read))}]}}')

    def _eval(self, eval_id: str) -> EvalRecord:
        record = self.service.store.evals.get(eval_id)
        if record is None:
            raise NotFound("eval", eval_id)
        return record

    def _run(self, run_id: str) -> RunRecord:
        run = self.service.store.runs.get(run_id, source=False)
        if run is None:
            raise NotFound("run", run_id)
        return run

    async def _in_store(self, work: Callable[[], T]) -> T:
        """The result of `work`, run on a thread.

        Raises:
            ApiError: 404 or 400.
        """
        try:
            return await self.service.in_store(work)
        except NotFound as error:
            raise ApiError(404, str(error)) from None
        except ExchangeError as error:
            raise ApiError(400, str(error), param="file") from None
        except NotComparable as error:
            raise ApiError(400, str(error), param="run_id") from None


def _pairs(store: Store, runs: list[RunRecord], rows: list[PairedItem]) -> list[dict[str, Any]]:
    """Paired items with the beginnings of their texts in each run."""
    items = [
        store.search.some(run.number, run.id, [row.numbers[place] for row in rows])
        for place, run in enumerate(runs)
    ]
    return [
        {
            "verdicts": row.verdicts,
            "items": [item_summary(found[n]) for found, n in zip(items, row.numbers, strict=True)],
        }
        for row in rows
    ]


def _filter_of(request: Request) -> ItemFilter:
    query = request.query_params
    criterion = query.get("criterion")
    return ItemFilter(
        status=choice_of(request, "status", STATUSES),
        criterion=None if criterion is None else _whole(criterion, "criterion"),
        verdict=choice_of(request, "verdict", tuple(VERDICTS)),
        low=_number_of(request, "low"),
        high=_number_of(request, "high"),
        by_score=choice_of(request, "sort", ("score",)) is not None,
        text=query.get("q", ""),
    )


def _position_of(request: Request) -> list[float]:
    text = request.query_params.get("after", "[]")
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    if not isinstance(value, list) or not all(isinstance(one, (int, float)) for one in value):
        raise ApiError(400, "Invalid value for 'after': expected the 'next' of a page.", param="after")
    return value


def _number_of(request: Request, name: str) -> float | None:
    text = request.query_params.get(name)
    if text is None:
        return None
    try:
        return float(text)
    except ValueError:
        raise ApiError(400, f"Invalid type for {name!r}: expected a number.", param=name) from None


def _whole(text: str, name: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise ApiError(400, f"Invalid type for {name!r}: expected a number from 0.", param=name)
    return int(text)
