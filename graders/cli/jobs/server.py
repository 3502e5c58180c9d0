"""The server that jobs are asked of, over HTTP."""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from typing import Any

import click

from graders.cli import BROKEN, NOT_MET

DEFAULT_URL = "http://127.0.0.1:8321/v1"
JOBS = "/fine_tuning/jobs"


class ApiClient:
    """The server that OPENAI_BASE_URL names, asked with OPENAI_API_KEY."""

    def __init__(self) -> None:
        self._url = (os.environ.get("OPENAI_BASE_URL") or DEFAULT_URL).rstrip("/")
        self._key = os.environ.get("OPENAI_API_KEY") or "none"

    def ask(self, path: str, body: Any = None, *, method: str | None = None) -> Any:
        """The JSON answer.

        Raises:
            click.ClickException: the server refuses, or cannot be reached.
        """
        with self._open(path, body, method) as response:
            return json.load(response)

    def content(self, path: str) -> bytes:
        """The answer's bytes; raises as `ask` does."""
        with self._open(path, None, None) as response:
            return bytes(response.read())

    def _open(self, path: str, body: Any, method: str | None) -> Any:
        headers = {"authorization": f"Bearer {self._key}", "content-type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._url + path, data, headers, method=method)
        try:
            return urllib.request.urlopen(request, timeout=300)
        except urllib.error.HTTPError as error:
            raise _RequestRefused(_error_text(error.read()) or f"the server answers {error.code}") from None
        except (OSError, ValueError) as error:
            raise _ServerUnreachable(
                f"{self._url} cannot be asked: {error}; `grader serve --tuning` starts a server, and OPENAI_BASE_URL names "
                "another one"
            ) from None

    def pages(self, path: str, query: Mapping[str, str]) -> Iterator[dict[str, Any]]:
        """Every object of a list."""
        after: dict[str, str] = {}
        while True:
            page = self.ask(f"{path}?{urllib.parse.urlencode({**query, **after, 'limit': '100'})}")
            yield from page["data"]
            if not page["has_more"] or not page["data"]:
                return
            after = {"after": page["data"][-1]["id"]}


class _RequestRefused(click.ClickException):
    exit_code = NOT_MET


class _ServerUnreachable(click.ClickException):
    exit_code = BROKEN


def _error_text(content: bytes) -> str:
    try:
        return str(json.loads(content)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return ""


def path_of(job_id: str) -> str:
    return f"{JOBS}/{urllib.parse.quote(job_id, safe='')}"
