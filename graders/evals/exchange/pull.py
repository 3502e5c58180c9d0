"""Downloads all evals of an account into a folder: from OpenAI, Azure, or a server of this project.

    FOLDER/eval_ID.jsonl      an eval, unchanged
    FOLDER/evalrun_ID.jsonl   a run and its output items, a line each
    FOLDER/files/ID           the content of a file with a run's rows

A file is complete or absent, so that an interrupted pull continues.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from graders.jsontext import dumps, loads

TIMEOUT_S = 60.0
ATTEMPTS = 5
PAGE = 100
_ID = re.compile(r"[A-Za-z0-9_-]{1,100}")
AGAIN = (408, 409, 429, 500, 502, 503, 504)


class PullError(Exception):
    """Raised when the API cannot be read; the message has its response."""


class AccountClient:
    """A client for one account of an API."""

    def __init__(
        self,
        base_url: str,
        key: str,
        *,
        azure: bool = False,
        api_version: str = "",
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        """
        Args:
            base_url: The address up to `/v1`.
            azure: Whether to send the key as `api-key`.
            api_version: Azure's API version, where its address requires one.
        """
        import httpx2

        secret = {"api-key": key} if azure else {"authorization": f"Bearer {key}"}
        headers = secret if key else {}
        query = {"api-version": api_version} if api_version else {}
        self._client = httpx2.Client(
            base_url=base_url.rstrip("/"),
            headers={**headers, "aoai-evals": "preview"},
            params=query,
            timeout=TIMEOUT_S,
        )
        self._sleep = sleep

    def get(self, path: str, **query: Any) -> bytes:
        """The body of one response.

        Raises:
            PullError: there is no response, or it is an error for which a retry does not help.
        """
        import httpx2

        trouble = ""
        for attempt in range(ATTEMPTS):
            if attempt:
                self._sleep(min(30.0, 2.0**attempt))
            try:
                answer = self._client.get(path, params=query)
            except httpx2.HTTPError as error:
                trouble = str(error) or type(error).__name__
                continue
            if answer.status_code == 200:
                body: bytes = answer.content
                return body
            trouble = f"{answer.status_code}: {answer.text[:300]}"
            if answer.status_code not in AGAIN:
                break
        raise PullError(f"GET {path} gave {trouble}")

    def all(self, path: str) -> Iterator[dict[str, Any]]:
        """The objects of a list, page by page."""
        query: dict[str, Any] = {"limit": PAGE}
        while True:
            page = loads(self.get(path, **query))
            yield from page["data"]
            if not page.get("has_more") or not page["data"]:
                return
            query["after"] = page["data"][-1]["id"]

    def close(self) -> None:
        self._client.close()


def pull(account: AccountClient, folder: Path, report: Callable[[str], object]) -> dict[str, int]:
    """Download everything; returns the numbers of downloaded evals, runs, items and files.

    Runs that had ended when they were downloaded are not downloaded again.

    Args:
        report: Called with a line of progress for each run, and for each file that cannot be downloaded.

    Raises:
        PullError: the API cannot be read; downloaded files stay, and another pull continues.
    """
    (folder / "files").mkdir(parents=True, exist_ok=True)
    new = {"evals": 0, "runs": 0, "items": 0, "files": 0}
    for one in account.all("/evals"):
        _write(_place(folder, one["id"]), [one])
        new["evals"] += 1
        for run in account.all(f"/evals/{one['id']}/runs"):
            target = _place(folder, run["id"])
            if _has_ended(target):
                continue
            items = list(account.all(f"/evals/{one['id']}/runs/{run['id']}/output_items"))
            _write(target, [run, *items])
            new["runs"] += 1
            new["items"] += len(items)
            new["files"] += _file_of(account, run, folder / "files", report)
            report(f"{run['id']}: {len(items)} items")
    return new


def _place(folder: Path, object_id: str) -> Path:
    """The file of an eval or run. The id is untrusted and must not lead to another folder."""
    if not _ID.fullmatch(object_id):
        raise PullError(f"the API gave an id that is none: {object_id[:80]!r}")
    return folder / f"{object_id}.jsonl"


def _write(target: Path, values: Sequence[Any]) -> None:
    part = target.with_suffix(".part")
    part.write_bytes(b"".join(dumps(value) + b"\n" for value in values))
    os.replace(part, target)


def _has_ended(target: Path) -> bool:
    if not target.exists():
        return False
    with target.open("rb") as file:
        return loads(file.readline()).get("status") in ("completed", "failed", "canceled")


def _file_of(
    account: AccountClient, run: dict[str, Any], folder: Path, report: Callable[[str], object]
) -> int:
    """Download the file with a run's rows; returns 1 when it is new."""
    source = (run.get("data_source") or {}).get("source") or {}
    file_id = source.get("id") if source.get("type") == "file_id" else None
    if not isinstance(file_id, str) or not _ID.fullmatch(file_id) or (folder / file_id).exists():
        return 0
    try:
        content = account.get(f"/files/{file_id}/content")
    except PullError as error:
        report(f"{file_id} cannot be downloaded: {error}")
        return 0
    (folder / file_id).write_bytes(content)
    return 1
