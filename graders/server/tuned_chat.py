"""Chat completions of tuned models: from our own process, or from a vLLM server that loads the adapter."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from graders.config.tuning import tuning_config
from graders.evals.requests import InvalidRequest
from graders.jsontext import dumps
from graders.server.errors import ApiError, JsonResponse, overloaded
from graders.server.forwarding import Keep, http_client, passed_on, sent
from graders.server.request import ClientGone, cancelled_with_client
from graders.store import Store
from graders.tuning.chat import ChatCompletion, ChatRequest, read_chat
from graders.tuning.generators import GeneratorFailed, Generators, RefusedPrompt, TooManyRequests
from graders.tuning.models import Model, Models
from graders.tuning.wire import is_model_name

if TYPE_CHECKING:
    import httpx2

    from graders.config.config import Config


class TunedChat:
    """Answers of the models that a server has tuned."""

    def __init__(self, store: Store, configuration: Config) -> None:
        config = tuning_config(configuration)
        self._routing = configuration
        self._models = Models(store, config)
        self._generators = Generators(config, store.home)
        # address of a vLLM server, if one is configured
        self._address = config.generator.rstrip("/") if isinstance(config.generator, str) else None
        self._client: httpx2.AsyncClient | None = None

    def find(self, name: str) -> Model | None:
        return self._models.find(name)

    def is_own(self, name: str) -> bool:
        """Whether only this server can answer for a name, even if the model is deleted, so that no endpoint is asked.

        A name given by this server is never forwarded, since [models] may route it back here. Another tuned model's
        name is forwarded only if [models] has an entry or a pattern for it.
        """
        if is_model_name(name):
            return True
        return name.startswith("ft:") and self._routing.route(name) is self._routing.routes["*"]

    async def answer(
        self, request: Request, body: Mapping[str, Any], model: Model, keep: Keep | None
    ) -> Response:
        """
        Args:
            body: The request's body.
            keep: Called with the completion, streamed or not.

        Raises:
            ApiError: 400 the request is invalid, 404 the model is deleted, 429 too many requests wait, 500 the process
                failed, 502 the vLLM server cannot be reached or refuses the adapter.
            ClientGone: the client left.
        """
        if self._address is not None:
            return passed_on(await self._from_vllm(self._address, body, model), "chat", keep)
        try:
            chat = read_chat(body)
        except InvalidRequest as error:
            raise ApiError(400, str(error), param=error.param, code=error.code) from None
        completion = ChatCompletion(model.name, chat.n)
        messages = self._messages(model, chat)
        if not chat.stream:
            await cancelled_with_client(request, _collect(messages, completion))
            whole = completion.whole()
            if keep:
                await keep(whole)
            return JsonResponse(whole)
        # errors before the first message become a response with a status
        first = await cancelled_with_client(request, anext(messages))
        events = _events(first, messages, completion, chat, keep)
        return StreamingResponse(events, media_type="text/event-stream")

    async def _messages(self, model: Model, chat: ChatRequest) -> AsyncGenerator[Mapping[str, Any]]:
        try:
            async with aclosing(self._generators.answer(model, chat.message())) as messages:
                async for message in messages:
                    yield message
        except TooManyRequests as error:
            raise overloaded(str(error)) from None
        except RefusedPrompt as error:
            status = 404 if error.code == "model_not_found" else 400
            raise ApiError(status, str(error), param="messages", code=error.code) from None
        except GeneratorFailed as error:
            raise ApiError(500, str(error), type="server_error", code="generator_failed") from None

    async def _from_vllm(self, address: str, body: Mapping[str, Any], model: Model) -> httpx2.Response:
        """vLLM's response. The adapter is loaded first if vLLM does not have it yet or was restarted."""
        self._client = self._client or http_client()

        async def ask(path: str, content: Mapping[str, Any]) -> httpx2.Response:
            assert self._client is not None
            request = self._client.build_request("POST", address + path, json=dict(content))
            return await sent(self._client, request, model.name)

        answer = await ask("/chat/completions", body)
        if answer.status_code == 404 and model.adapter is not None:
            await answer.aclose()
            adapter = {"lora_name": model.name, "lora_path": str(model.adapter)}
            loaded = await ask("/load_lora_adapter", adapter)
            refusal = (await loaded.aread()).decode(errors="replace")
            await loaded.aclose()
            if loaded.status_code != 200:
                text = (
                    f"The server at {address} does not load the adapter: {refusal[:400]}. vLLM does with --enable-lora and "
                    "VLLM_ALLOW_RUNTIME_LORA_UPDATING=True, where it sees the store's folder."
                )
                raise ApiError(502, text, type="server_error", code="adapter_not_loaded")
            answer = await ask("/chat/completions", body)
        return answer

    async def close(self) -> None:
        if self._client is not None:
            await self._client.aclose()
        await self._generators.close()


async def _collect(messages: AsyncIterator[Mapping[str, Any]], completion: ChatCompletion) -> None:
    async for message in messages:
        for _ in completion.feed(message):
            pass


async def _events(
    first: Mapping[str, Any],
    messages: AsyncIterator[Mapping[str, Any]],
    completion: ChatCompletion,
    chat: ChatRequest,
    keep: Keep | None,
) -> AsyncIterator[bytes]:
    """The stream of server-sent events."""
    for chunk in (*completion.start(), *completion.feed(first)):
        yield _event(chunk)
    try:
        async for message in messages:
            for chunk in completion.feed(message):
                yield _event(chunk)
    except ApiError:
        # the process broke off within its answer, so this stream breaks off too
        raise ClientGone from None
    if keep:
        await keep(completion.whole())
    if chat.include_usage:
        yield _event(completion.usage_chunk())
    yield b"data: [DONE]\n\n"


def _event(chunk: Mapping[str, Any]) -> bytes:
    return b"data: " + dumps(chunk) + b"\n\n"
