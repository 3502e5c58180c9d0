"""Judges in the user's process: any function, or an openai client.

Both become the transport of an ordinary Client, so that validation, retries, votes, cache and limits stay the same.
"""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from graders.config.config import Config
from graders.endpoints.contract import Reply, Transport
from graders.errors import GradeError, ModelServerError
from graders.judges.client import Client

#: Concurrent calls of a plain function, each on a thread, unless a setting says otherwise.
MOST_THREADS = 32


def from_callable(function: Callable[[dict[str, Any]], Any], **settings: Any) -> Client:
    """A judge that is a function.

    Args:
        function: Gets the body of a request to /chat/completions (model, messages, response_format, ...) and returns
            the answer's text, a number, a dict with `result`, or a completion (a dict, or an object with model_dump()).
            Plain functions run on threads. ConnectionError and TimeoutError are retried; any other exception becomes
            model_grader_server_error.
        settings: Keys of [judge], such as votes=3 or max_in_flight=4.
    """
    return _client("callable", _FunctionTransport, function, settings)


def from_openai(client: Any, *, api: str = "chat", **settings: Any) -> Client:
    """A judge behind an openai client (OpenAI, AsyncOpenAI, their Azure versions, or objects with the same methods).

    The client's own retries are switched off, since two layers of retries multiply.

    Args:
        client: The client. An asynchronous one is used on another event loop than the caller's: pass one of its own.
        api: "chat" uses client.chat.completions.create, "responses" client.responses.create.
        settings: Keys of [judge].
    """
    if hasattr(client, "with_options"):
        client = client.with_options(max_retries=0)
    create = client.responses.create if api == "responses" else client.chat.completions.create
    return _client("openai client", _SdkTransport, create, {"api": api, **settings})


def client_of(judge: Any) -> Client:
    """The judge client for an openai client or a function.

    Raises:
        TypeError: it is neither.
    """
    if hasattr(judge, "chat"):
        return from_openai(judge)
    if callable(judge):
        return from_callable(judge)
    raise TypeError(
        f"models: expected a ModelClient, a function or an openai client, got {type(judge).__name__}"
    )


def _client(
    name: str,
    transport: Callable[[_FunctionCaller], Transport],
    function: Callable[..., Any],
    settings: Mapping[str, Any],
) -> Client:
    # a placeholder: the transport never uses the address
    endpoint = {"base_url": f"http://{name.replace(' ', '-')}.invalid"}
    if not inspect.iscoroutinefunction(function):
        settings = {"max_in_flight": MOST_THREADS, **settings}
    config = Config({"judge": dict(settings), "endpoints": {name: endpoint}, "models": {"*": name}})
    return Client(config, transport=transport(_FunctionCaller(function, config.route("*").max_in_flight)))


class _FunctionCaller:
    """Calls the user's function: an async one on the loop, others on threads, as many as may be in flight."""

    def __init__(self, function: Callable[..., Any], most: int) -> None:
        self._function = function
        self._most = most
        self._threads: ThreadPoolExecutor | None = None

    async def __call__(self, *args: Any, **named: Any) -> Any:
        if inspect.iscoroutinefunction(self._function):
            return await self._function(*args, **named)
        # not asyncio's own pool, which has few threads, so that waiting calls would time out
        if self._threads is None:
            self._threads = ThreadPoolExecutor(self._most, thread_name_prefix="graders-judge")
        call = partial(self._function, *args, **named)
        result = await asyncio.get_running_loop().run_in_executor(self._threads, call)
        return await result if inspect.isawaitable(result) else result

    def close(self) -> None:
        threads, self._threads = self._threads, None
        if threads is not None:
            threads.shutdown(wait=False, cancel_futures=True)


class _FunctionTransport:
    """A transport around a function."""

    def __init__(self, function: _FunctionCaller) -> None:
        self._function = function

    async def post(self, url: str, headers: Mapping[str, str], body: bytes, timeout_s: float) -> Reply:
        try:
            async with asyncio.timeout(timeout_s):
                answer = await self._function(json.loads(body))
        except (GradeError, OSError):
            # TimeoutError is a subclass
            raise
        except Exception as error:
            raise ModelServerError(f"the judge function raised {type(error).__name__}: {error}") from error
        return Reply(200, {}, json.dumps(_body(answer)).encode())

    async def aclose(self) -> None:
        self._function.close()


def _body(answer: Any) -> Any:
    """The body of a response: a completion unchanged, any other value as the answer of one."""
    if hasattr(answer, "model_dump"):
        answer = answer.model_dump()
    if isinstance(answer, Mapping) and ("choices" in answer or "error" in answer):
        return answer
    if isinstance(answer, (int, float)) and not isinstance(answer, bool):
        answer = {"result": answer}
    text = answer if isinstance(answer, str) or answer is None else json.dumps(answer)
    return {"choices": [{"message": {"role": "assistant", "content": text}, "finish_reason": "stop"}]}


class _SdkTransport:
    """A transport around an openai client's create method."""

    def __init__(self, create: _FunctionCaller) -> None:
        self._create = create

    async def post(self, url: str, headers: Mapping[str, str], body: bytes, timeout_s: float) -> Reply:
        try:
            async with asyncio.timeout(timeout_s):
                answer = await self._create(**json.loads(body), timeout=timeout_s)
        except OSError:
            raise
        except Exception as error:
            return _failed(error)
        # the openai client returns an HTML error page as a str
        if not hasattr(answer, "model_dump"):
            return Reply(200, {}, str(answer).encode())
        return Reply(200, {}, json.dumps(answer.model_dump(warnings=False), default=str).encode())

    async def aclose(self) -> None:
        # the client belongs to the caller and is not closed
        self._create.close()


def _failed(error: Exception) -> Reply:
    """The response for an SDK's exception, read by attributes, which all SDKs of this family share."""
    status, response = getattr(error, "status_code", None), getattr(error, "response", None)
    if isinstance(status, int):
        headers = {str(k).lower(): str(v) for k, v in dict(getattr(response, "headers", {})).items()}
        content = getattr(response, "content", None)
        return Reply(status, headers, content if isinstance(content, bytes) else str(error).encode())
    names = {kind.__name__ for kind in type(error).__mro__}
    if "APITimeoutError" in names:
        raise TimeoutError(str(error)) from error
    # ValueError: a 200 whose body is not JSON
    if "APIConnectionError" in names or isinstance(error, ValueError):
        raise ConnectionError(f"{type(error).__name__}: {error}") from error
    raise ModelServerError(f"the client raised {type(error).__name__}: {error}") from error
