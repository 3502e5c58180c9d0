"""The fixture of a running server, for tests of clients."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from graders.pytest_plugin.state import STATE

if TYPE_CHECKING:
    pass


class GraderServer:
    """A running `grader serve`.

    Attributes:
        base_url: The base URL for clients, with /v1.
    """

    def __init__(self, base_url: str) -> None:
        self.base_url = base_url

    def client(self, **options: Any) -> Any:
        """An openai client of this server (needs the package openai)."""
        openai = pytest.importorskip("openai")
        return openai.OpenAI(base_url=self.base_url, api_key="none", **options)


@pytest.fixture(scope="session")
def grader_server(request: pytest.FixtureRequest) -> Iterator[GraderServer]:
    """A server on a free port of loopback, for the whole run."""
    import socket
    import threading
    import time

    import uvicorn

    from graders.engine.backends import Backends
    from graders.server import app

    state = request.config.stash[STATE]
    backends = Backends(config=state.option("--grader-config", "grader_config"))
    with socket.create_server(("127.0.0.1", 0)) as listener, backends:
        server = uvicorn.Server(uvicorn.Config(app(backends=backends), log_config=None, ws="none"))
        thread = threading.Thread(
            target=server.run, kwargs={"sockets": [listener]}, name="grader-server", daemon=True
        )
        thread.start()
        while not server.started and thread.is_alive():
            time.sleep(0.005)
        if not server.started:
            raise RuntimeError("the grader server did not start; its log says why")
        yield GraderServer(f"http://127.0.0.1:{listener.getsockname()[1]}/v1")
        server.should_exit = True
        thread.join(10)
