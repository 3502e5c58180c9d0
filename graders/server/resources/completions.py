"""/v1/chat/completions and /v1/responses: reads logged ones, and with `grader serve --record` forwards new ones.

A request is forwarded unchanged, except for the model's name and the key, along the route of its model in graders.toml;
the response is passed back unchanged, also as a stream. Requests with `store` are logged, without keys, for evals to
read. With `grader serve --tuning` the models of /v1/models answer here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import Response

from graders.errors import ModelStop
from graders.evals.logs import completion_text, is_kept, logged, messages_of
from graders.evals.requests import Fields, InvalidRequest
from graders.jsontext import dumps
from graders.server.errors import ApiError, JsonResponse, unknown_model
from graders.server.forwarding import CONNECT_S, Keep, http_client, passed_on, sent
from graders.server.lists import JsonTextResponse, cursor_of, list_response
from graders.server.resources import Resource
from graders.server.routing import Routes, api, get
from graders.spec.wording import missing
from graders.store import LoggedCompletion
from graders.store.tables.completions import CompletionFilter

if TYPE_CHECKING:
    import httpx2

    from graders.endpoints.endpoint import Endpoints
    from graders.server.service import Service
    from graders.server.tuned_chat import TunedChat

DAY_S = 24 * 3600
PATHS = {"chat": "/chat/completions", "responses": "/responses"}
_METADATA = re.compile(r"metadata\[(.+)\]")


class CompletionResource(Resource):
    """Logged completions, and the proxy that logs them."""

    def __init__(self, service: Service) -> None:
        super().__init__(service)
        self._client: httpx2.AsyncClient | None = None
        self._endpoints: Endpoints | None = None

    @cached_property
    def _tuned(self) -> TunedChat | None:
        if not self.service.tuning:
            return None
        from graders.server.tuned_chat import TunedChat

        return TunedChat(self.service.store, self.service.config)

    def routes(self) -> Routes:
        return api(
            {
                "/chat/completions": {
                    **get(self.list_chat_completions),
                    "POST": self.create_chat_completion,
                },
                "/chat/completions/{completion_id}": {
                    **get(self.get_chat_completion),
                    "POST": self.update_chat_completion,
                    "DELETE": self.delete_chat_completion,
                },
                "/chat/completions/{completion_id}/messages": get(self.get_chat_completion_messages),
                "/responses": {"POST": self.create_response},
                "/responses/{response_id}": {
                    **get(self.get_response),
                    "DELETE": self.delete_response,
                },
                "/responses/{response_id}/input_items": get(self.list_input_items),
            }
        )

    # --- logged ones ---

    async def list_chat_completions(self, request: Request) -> Response:
        """List logged chat completions."""
        cursor = cursor_of(request)
        query = request.query_params
        metadata = [
            (found[1], value) for name, value in query.items() if (found := _METADATA.fullmatch(name))
        ]
        selection = CompletionFilter("chat", query.get("model"), metadata)
        page = await self.service.in_store(self.service.store.completions.page, selection, cursor)
        return list_response(map(completion_text, page.rows), [one.id for one in page.rows], page.has_more)

    async def get_chat_completion(self, request: Request) -> Response:
        """Get a logged chat completion."""
        return JsonTextResponse(completion_text(await self._logged(request, "chat")))

    async def get_chat_completion_messages(self, request: Request) -> Response:
        """List the messages of a logged chat completion."""
        return _messages(await self._logged(request, "chat"))

    async def update_chat_completion(self, request: Request) -> Response:
        """Replace the metadata of a logged chat completion."""
        record = await self._logged(request, "chat")
        try:
            metadata = Fields(await self.service.value(request), "").metadata()
        except InvalidRequest as error:
            raise ApiError(400, str(error), param=error.param, code=error.code) from None
        await self.service.in_store(self.service.store.completions.update, record.id, metadata)
        return JsonTextResponse(completion_text(await self._logged(request, "chat")))

    async def delete_chat_completion(self, request: Request) -> Response:
        """Delete a logged chat completion."""
        completion_id = await self._delete(request, "chat")
        return JsonResponse({"object": "chat.completion.deleted", "id": completion_id, "deleted": True})

    async def get_response(self, request: Request) -> Response:
        """Get a logged response."""
        return JsonTextResponse(completion_text(await self._logged(request, "responses")))

    async def list_input_items(self, request: Request) -> Response:
        """List the input of a logged response."""
        return _messages(await self._logged(request, "responses"))

    async def delete_response(self, request: Request) -> Response:
        """Delete a logged response."""
        response_id = await self._delete(request, "responses")
        return JsonResponse({"object": "response", "id": response_id, "deleted": True})

    async def _logged(self, request: Request, kind: str) -> LoggedCompletion:
        (wanted,) = request.path_params.values()
        record = await self.service.in_store(self.service.store.completions.get, wanted, kind)
        if record is None:
            raise _unknown(kind, wanted)
        return record

    async def _delete(self, request: Request, kind: str) -> str:
        (wanted,) = request.path_params.values()
        if not await self.service.in_store(self.service.store.completions.delete, wanted, kind):
            raise _unknown(kind, wanted)
        return str(wanted)

    # --- new ones ---

    async def create_chat_completion(self, request: Request) -> Response:
        """Forward a chat completion to its model, and keep it when it says `store`."""
        return await self._forward(request, "chat")

    async def create_response(self, request: Request) -> Response:
        """Forward a response to its model, and keep it unless it says not to `store`."""
        return await self._forward(request, "responses")

    async def stop(self) -> None:
        if self._tuned is not None:
            await self._tuned.close()
        if self._client is not None:
            await self._client.aclose()

    async def _forward(self, request: Request, kind: str) -> Response:
        if self.service.recording is None and (self._tuned is None or kind != "chat"):
            text = "This server does not forward requests to models; start it with --record."
            raise ApiError(404, text, code="not_recording")
        body = await self.service.value(request)
        if not isinstance(body, dict) or not isinstance(body.get("model"), str):
            raise ApiError(400, missing("model"), param="model", code="missing_required_parameter")
        keep = self._recorder(kind, body) if self.service.recording and is_kept(kind, body) else None
        if self._tuned is not None:
            model = await self.service.in_store(self._tuned.find, body["model"]) if kind == "chat" else None
            if model is not None:
                return await self._tuned.answer(request, body, model, keep)
            if self.service.recording is None or self._tuned.is_own(body["model"]):
                raise unknown_model(body["model"])
        return passed_on(await self._send(body, kind), kind, keep)

    async def _send(self, body: Mapping[str, Any], kind: str) -> httpx2.Response:
        """Send the request to the model's server and wait for the headers of the response.

        Raises:
            ApiError: the model's server cannot be reached.
        """
        import httpx2

        from graders.endpoints.endpoint import Endpoints

        if self._client is None or self._endpoints is None:
            self._client, self._endpoints = http_client(), Endpoints(self.service.config)
        endpoint = self._endpoints.find(body["model"], operation=PATHS[kind])
        try:
            headers, _ = await endpoint.headers()
        except ModelStop as error:
            raise ApiError(400, str(error), param="model", code="model_not_configured") from None
        headers |= {"accept": "*/*", "accept-encoding": "identity"}
        content = dumps({**body, "model": endpoint.route.model or body["model"]})
        timeout = httpx2.Timeout(endpoint.route.timeout_s, connect=CONNECT_S)
        outgoing = self._client.build_request(
            "POST", endpoint.url, content=content, headers=headers, timeout=timeout
        )
        return await sent(self._client, outgoing, body["model"])

    def _recorder(self, kind: str, body: Mapping[str, Any]) -> Keep:
        service = self.service
        days = service.recording.retention_days if service.recording else None
        lifetime_s = None if days is None else int(days * DAY_S)

        async def keep(answer: Mapping[str, Any]) -> None:
            record = logged(kind, body, answer, lifetime_s)
            await service.in_store(service.store.completions.add, [record])

        return keep


def _messages(record: LoggedCompletion) -> Response:
    messages = messages_of(record)
    return list_response([dumps(one).decode() for one in messages], [one["id"] for one in messages], False)


def _unknown(kind: str, wanted: str) -> ApiError:
    what = "chat completion" if kind == "chat" else "response"
    return ApiError(404, f"No {what} found with id '{wanted[:80]}'.")
