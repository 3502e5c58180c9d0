"""What else can stand behind a judge: any function, or an openai client of yours.

Both become the transport of an ordinary Client, so that validation, retries, votes, cache and limits stay the same.
"""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import Callable, Mapping
from typing import Any

from graders.errors import GradeError, ModelServerError
from graders.models.client import Client
from graders.models.config import Config
from graders.models.transport import Reply, Transport


def from_callable(function: Callable[[dict[str, Any]], Any], **settings: Any) -> Client:
    """A judge that is a function.

    Args:
        function: Gets the request's body as /chat/completions takes it (model, messages, response_format, ...) and
            gives the answer's text, a number, a dict with `result`, or a completion (a dict, or an object with
            model_dump()). Plain functions run on threads. ConnectionError and TimeoutError are tried again; any
            other exception is model_grader_server_error.
        settings: Keys of [judge], such as votes=3 or max_in_flight=4.
    """
    return _client("callable", _Call(function), settings)


def from_openai(client: Any, *, api: str = "chat", **settings: Any) -> Client:
    """A judge behind an openai client (OpenAI, AsyncOpenAI, their Azure kin, or what has the same methods).

    Its own retries are switched off: two layers of them multiply.

    Args:
        client: An asynchronous one is used on another event loop than yours: give it one of its own.
        api: "chat" uses client.chat.completions.create, "responses" client.responses.create.
        settings: Keys of [judge].
    """
    if hasattr(client, "with_options"):
        client = client.with_options(max_retries=0)
    create = client.responses.create if api == "responses" else client.chat.completions.create
    return _client("openai client", _Sdk(create), {"api": api, **settings})


def client_of(judge: Any) -> Client:
    """Whatever can stand behind a judge: an openai client, or a function.

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


def _client(name: str, transport: Transport, settings: Mapping[str, Any]) -> Client:
    # the address is never used: the transport decides where requests go
    endpoint = {"base_url": f"http://{name.replace(' ', '-')}.invalid", "api_key_env": ""}
    tables = {"judge": dict(settings), "endpoints": {name: endpoint}, "models": {"*": name}}
    return Client(Config(tables), transport=transport)


async def _called(function: Callable[..., Any], *args: Any, **named: Any) -> Any:
    if inspect.iscoroutinefunction(function):
        return await function(*args, **named)
    result = await asyncio.to_thread(function, *args, **named)
    return await result if inspect.isawaitable(result) else result


class _Call:
    """A function as a transport."""

    def __init__(self, function: Callable[[dict[str, Any]], Any]) -> None:
        self._function = function

    async def post(self, url: str, headers: Mapping[str, str], body: bytes, timeout_s: float) -> Reply:
        try:
            async with asyncio.timeout(timeout_s):
                answer = await _called(self._function, json.loads(body))
        except (GradeError, OSError):  # TimeoutError is an OSError
            raise
        except Exception as error:
            raise ModelServerError(f"the judge function raised {type(error).__name__}: {error}") from error
        return Reply(200, {}, json.dumps(_body(answer)).encode())

    async def aclose(self) -> None:
        return


def _body(answer: Any) -> Any:
    """A completion as it is; anything less as the answer of one."""
    if hasattr(answer, "model_dump"):
        answer = answer.model_dump()
    if isinstance(answer, Mapping) and ("choices" in answer or "error" in answer):
        return answer
    if isinstance(answer, (int, float)) and not isinstance(answer, bool):
        answer = {"result": answer}
    text = answer if isinstance(answer, str) or answer is None else json.dumps(answer)
    return {"choices": [{"message": {"role": "assistant", "content": text}, "finish_reason": "stop"}]}


class _Sdk:
    """A create method as a transport."""

    def __init__(self, create: Callable[..., Any]) -> None:
        self._create = create

    async def post(self, url: str, headers: Mapping[str, str], body: bytes, timeout_s: float) -> Reply:
        try:
            async with asyncio.timeout(timeout_s):
                answer = await _called(self._create, **json.loads(body), timeout=timeout_s)
        except OSError:
            raise
        except Exception as error:
            return _failed(error)
        if not hasattr(answer, "model_dump"):  # the openai client returns an HTML page as a str
            return Reply(200, {}, str(answer).encode())
        return Reply(200, {}, json.dumps(answer.model_dump(warnings=False), default=str).encode())

    async def aclose(self) -> None:
        return  # the client is its owner's


def _failed(error: Exception) -> Reply:
    """The response behind an SDK's exception. Read by attribute: every SDK of this family names them alike."""
    status, response = getattr(error, "status_code", None), getattr(error, "response", None)
    if isinstance(status, int):
        headers = {str(k).lower(): str(v) for k, v in dict(getattr(response, "headers", {})).items()}
        content = getattr(response, "content", None)
        return Reply(status, headers, content if isinstance(content, bytes) else str(error).encode())
    names = {kind.__name__ for kind in type(error).__mro__}
    if "APITimeoutError" in names:
        raise TimeoutError(str(error)) from error
    if "APIConnectionError" in names or isinstance(
        error, ValueError
    ):  # ValueError: a 200 whose body is not JSON
        raise ConnectionError(f"{type(error).__name__}: {error}") from error
    raise ModelServerError(f"the client raised {type(error).__name__}: {error}") from error
