"""A judge on loopback that answers what a case says, over the real wire; the server is graders.models.ScriptedJudge."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from graders.judges.scripted import ReceivedRequest, Step, completion
from graders.models import ScriptedJudge


class Judge:
    """The server's script and record.

    Attributes:
        config: Path of a graders.toml that sends every model here.
    """

    def __init__(self, server: ScriptedJudge, config: Path) -> None:
        self.config = config
        self._server = server

    def answer(self, reply: str | dict[str, Any]) -> None:
        """From now on answer with this text, or with {"refusal": text}."""
        refusal = reply.get("refusal") if isinstance(reply, dict) else None
        content = None if refusal else reply

        def respond(received: ReceivedRequest) -> Step:
            return Step(body=completion(received, content, refusal=refusal))

        self._server.clear()
        self._server.default = respond

    def messages(self) -> list[dict[str, Any]]:
        """The messages of the first request since `answer`; [] when none came."""
        received = self._server.received
        return list(received[0].json["messages"]) if received else []


@contextmanager
def judge_server() -> Iterator[Judge]:
    """A running judge; ends with the block."""
    with TemporaryDirectory() as folder, ScriptedJudge() as server:
        config = Path(folder, "graders.toml")
        config.write_text(f'[models."*"]\nbase_url = "{server.base_url}"\nstructured = "json_schema"\n')
        yield Judge(server, config)
