"""/v1/fine_tuning/jobs, /v1/fine_tuning/checkpoints and /v1/models, for a server with --tuning."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import TypeVar

from starlette.requests import Request
from starlette.responses import Response

from graders.config.tuning import TuningConfig, tuning_config
from graders.evals.requests import Fields, InvalidRequest
from graders.server.errors import ApiError, JsonResponse, overloaded, unknown_model
from graders.server.limits import CancellableBackends
from graders.server.lists import JsonTextResponse, cursor_of, list_response
from graders.server.resources import Resource
from graders.server.routing import Routes, api, get
from graders.server.service import Service
from graders.store import Cursor
from graders.tuning.models import Models, UndeletableModel
from graders.tuning.requests import InvalidJob
from graders.tuning.service import JobRefused, Jobs, NoJob, TooManyJobs
from graders.tuning.states import NoTransition
from graders.tuning.supervisor import Supervisor
from graders.tuning.wire import checkpoint_text, event_text, job_text, model_wire, permission_text

T = TypeVar("T")

JOB = "/fine_tuning/jobs/{fine_tuning_job_id}"
PERMISSIONS = "/fine_tuning/checkpoints/{checkpoint}/permissions"
#: The wire's words for the order of permissions.
ORDERS = ("ascending", "descending")


class TuningResource(Resource):
    """Fine-tuning jobs in the store; only with `grader serve --tuning`."""

    def __init__(self, service: Service) -> None:
        super().__init__(service)
        self._validating = ThreadPoolExecutor(1, thread_name_prefix="graders-validate")
        self._supervisor: Supervisor | None = None

    def routes(self) -> Routes:
        if not self.service.tuning:
            return {}
        return api(
            {
                "/fine_tuning/jobs": {**get(self.list_fine_tuning_jobs), "POST": self.create_fine_tuning_job},
                JOB: get(self.retrieve_fine_tuning_job),
                f"{JOB}/cancel": {"POST": self.cancel_fine_tuning_job},
                f"{JOB}/pause": {"POST": self.pause_fine_tuning_job},
                f"{JOB}/resume": {"POST": self.resume_fine_tuning_job},
                f"{JOB}/events": get(self.list_fine_tuning_events),
                f"{JOB}/checkpoints": get(self.list_fine_tuning_job_checkpoints),
                PERMISSIONS: {
                    **get(self.list_checkpoint_permissions),
                    "POST": self.create_checkpoint_permission,
                },
                f"{PERMISSIONS}/{{permission_id}}": {"DELETE": self.delete_checkpoint_permission},
                "/models": get(self.list_models),
                "/models/{model}": {**get(self.retrieve_model), "DELETE": self.delete_model},
            }
        )

    @cached_property
    def _config(self) -> TuningConfig:
        return tuning_config(self.service.config)

    @cached_property
    def _jobs(self) -> Jobs:
        config, service = self._config, self.service
        return Jobs(
            service.store,
            config.models,
            strict=service.strict,
            quota_gb=config.quota_gb,
            wandb=config.wandb,
        )

    @cached_property
    def _models(self) -> Models:
        return Models(self.service.store, self._config)

    def start(self) -> None:
        if self.service.tuning:
            service = self.service
            backends = CancellableBackends(service.shared, service.limits.timeout_s)
            self._supervisor = Supervisor(service.store, backends, self._config)
            self._supervisor.start()
            for job_id in self.service.store.jobs.with_status("validating_files"):
                self._validating.submit(self._validate, job_id)

    def close(self) -> None:
        self._validating.shutdown(wait=True, cancel_futures=True)
        if self._supervisor is not None:
            self._supervisor.close()

    def _validate(self, job_id: str) -> None:
        self._jobs.validate(job_id)
        self._wake()

    def _wake(self) -> None:
        if self._supervisor is not None:
            self._supervisor.wake()

    # --- jobs ---

    async def create_fine_tuning_job(self, request: Request) -> Response:
        """Create a fine-tuning job."""
        body = await self.service.value(request)
        job = await self._in_store(lambda: self._jobs.create(body))
        if await self._in_store(lambda: self._jobs.is_small(job)):
            job = await self._in_store(lambda: self._jobs.validate(job.id))
            self._wake()
        else:
            self._validating.submit(self._validate, job.id)
        return JsonTextResponse(job_text(job))

    async def list_fine_tuning_jobs(self, request: Request) -> Response:
        """List fine-tuning jobs, the newest first."""
        query = request.query_params
        pairs = {
            key[len("metadata[") : -1]: value
            for key, value in query.items()
            if key.startswith("metadata[") and key.endswith("]")
        }
        without = query.get("metadata") == "null"
        cursor = _newest_first(request)
        page = await self._in_store(
            lambda: self.service.store.jobs.page(cursor, pairs, without_metadata=without)
        )
        return list_response(map(job_text, page.rows), [job.id for job in page.rows], page.has_more)

    async def retrieve_fine_tuning_job(self, request: Request) -> Response:
        """Retrieve a fine-tuning job."""
        job_id = request.path_params["fine_tuning_job_id"]
        return JsonTextResponse(job_text(await self._in_store(lambda: self._jobs.get(job_id))))

    async def cancel_fine_tuning_job(self, request: Request) -> Response:
        """Cancel a fine-tuning job."""
        return await self._act("cancel", request)

    async def pause_fine_tuning_job(self, request: Request) -> Response:
        """Pause a fine-tuning job."""
        return await self._act("pause", request)

    async def resume_fine_tuning_job(self, request: Request) -> Response:
        """Resume a fine-tuning job."""
        return await self._act("resume", request)

    async def _act(self, action: str, request: Request) -> Response:
        job_id = request.path_params["fine_tuning_job_id"]
        job = await self._in_store(lambda: self._jobs.act(action, job_id))
        self._wake()
        return JsonTextResponse(job_text(job))

    async def list_fine_tuning_events(self, request: Request) -> Response:
        """List a job's events, the newest first."""
        job_id, cursor = request.path_params["fine_tuning_job_id"], _newest_first(request)
        await self._in_store(lambda: self._jobs.get(job_id))
        page = await self._in_store(lambda: self.service.store.jobs.events(job_id, cursor))
        return list_response(map(event_text, page.rows), [event.id for event in page.rows], page.has_more)

    async def list_fine_tuning_job_checkpoints(self, request: Request) -> Response:
        """List a job's checkpoints, the newest first."""
        job_id, cursor = request.path_params["fine_tuning_job_id"], _newest_first(request, limit=10)
        await self._in_store(lambda: self._jobs.get(job_id))
        page = await self._in_store(lambda: self.service.store.jobs.checkpoints(job_id, cursor))
        return list_response(map(checkpoint_text, page.rows), [one.id for one in page.rows], page.has_more)

    # --- permissions ---

    async def create_checkpoint_permission(self, request: Request) -> Response:
        """Let projects use a checkpoint."""
        body, checkpoint = await self.service.value(request), request.path_params["checkpoint"]
        projects = await self._in_store(lambda: _project_ids(body))
        permissions = await self._in_store(lambda: self.service.store.jobs.permit(checkpoint, projects))
        return list_response(map(permission_text, permissions), [one.id for one in permissions], False)

    async def list_checkpoint_permissions(self, request: Request) -> Response:
        """List the projects that may use a checkpoint."""
        project, checkpoint = request.query_params.get("project_id"), request.path_params["checkpoint"]
        cursor = cursor_of(request, limit=10, order=ORDERS[1], orders=ORDERS)
        page = await self._in_store(lambda: self.service.store.jobs.permissions(checkpoint, cursor, project))
        return list_response(map(permission_text, page.rows), [one.id for one in page.rows], page.has_more)

    async def delete_checkpoint_permission(self, request: Request) -> Response:
        """Take a permission back."""
        checkpoint, permission_id = request.path_params["checkpoint"], request.path_params["permission_id"]
        if not await self._in_store(lambda: self.service.store.jobs.forbid(checkpoint, permission_id)):
            raise ApiError(404, f"No such permission: {permission_id[:80]}", param="permission_id")
        return JsonResponse({"id": permission_id, "object": "checkpoint.permission", "deleted": True})

    # --- models ---

    async def list_models(self, request: Request) -> Response:
        """List base models, tuned models and checkpoints."""
        return JsonResponse(
            {
                "object": "list",
                "data": [model_wire(*one) for one in await self._in_store(self._models.listed)],
            }
        )

    async def retrieve_model(self, request: Request) -> Response:
        """Describe a model."""
        model = request.path_params["model"]
        found = dict(await self._in_store(self._models.listed))
        if model not in found:
            raise unknown_model(model)
        return JsonResponse(model_wire(model, found[model]))

    async def delete_model(self, request: Request) -> Response:
        """Delete a tuned model or a checkpoint."""
        model = request.path_params["model"]
        if not await self._in_store(lambda: self._models.delete(model)):
            raise unknown_model(model)
        return JsonResponse({"id": model, "object": "model", "deleted": True})

    async def _in_store(self, work: Callable[[], T]) -> T:
        """The result of `work`, run on a thread.

        Raises:
            ApiError: 400, 404 or 429. Never 409, which clients would retry without a chance of success.
        """
        try:
            return await self.service.in_store(work)
        except InvalidJob as error:
            first = error.problems[0]
            raise ApiError(400, str(error), param=first.path or None, code=first.code) from None
        except JobRefused as error:
            raise ApiError(400, str(error), param=error.param, code=error.code) from None
        except InvalidRequest as error:
            raise ApiError(400, str(error), param=error.param or None, code=error.code) from None
        except UndeletableModel as error:
            raise ApiError(400, str(error), param="model", code="base_model") from None
        except NoTransition as error:
            raise ApiError(400, str(error), code="invalid_state") from None
        except NoJob as error:
            raise ApiError(404, str(error), param="fine_tune_id", code="fine_tune_not_found") from None
        except TooManyJobs as error:
            raise overloaded(str(error)) from None


def _newest_first(request: Request, limit: int = 20) -> Cursor:
    return cursor_of(request, limit=limit, order="desc")


def _project_ids(body: object) -> list[str]:
    projects = Fields(body, "").need("project_ids", list, "an array")
    for project in projects:
        if not isinstance(project, str):
            raise InvalidRequest("Invalid 'project_ids': expected strings.", "project_ids", "invalid_type")
    return projects
