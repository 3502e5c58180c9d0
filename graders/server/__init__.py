"""The service's endpoints, and a few of our own, as an ASGI application.

    from graders.server import app
    application = app(token="...")            # uvicorn, or any ASGI server
    graders.server.serving.serve(...)         # as `grader serve`: bounded connections, graceful shutdown

Each endpoint translates a request to a call of Grader. See docs/serving.md.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, BinaryIO

from graders.server.limits import Limits

if TYPE_CHECKING:
    from graders.engine.backends import Backends
    from graders.server.application import Application
    from graders.server.service import Recording
    from graders.store import Store

__all__ = ["Limits", "app"]


def app(
    *,
    backends: Backends | None = None,
    token: str | None = None,
    limits: Limits | None = None,
    strict: bool = False,
    access_log: BinaryIO | None = None,
    store: Store | None = None,
    recording: Recording | None = None,
    tuning: bool = False,
    claims: Sequence[str] = (),
) -> Application:
    """The application.

    Args:
        backends: Who answers judges' questions, runs python graders and embeds; None: what graders.toml and the
            environment say, made for this application and closed with it.
        token: What clients send as API key; None or "": nothing is asked for, and only loopback names are answered.
        limits: None: the defaults.
        strict: Refuse specs that the hosted service would refuse.
        access_log: Where a line of JSON for each request goes, without anything that requests hold; None: nowhere.
        store: Where files, evals and runs are kept; None: those paths answer 404. It is its owner's to close, who also
            holds its claim: this application executes its runs.
        tuning: Take fine-tuning jobs, which needs a store.
        claims: Claims files (`grader calibrate --claims FILE`), whose parts the pages show beside the rates of the
            criteria that they are about.
        recording: Forward /v1/chat/completions and /v1/responses, and keep them in the store; None: do not.
    """
    from graders.engine.backends import Backends
    from graders.server.application import Application
    from graders.server.log import AccessLog
    from graders.server.resources import resources
    from graders.server.service import Service

    limits = limits or Limits()
    own = backends is None
    service = Service(
        backends or Backends.from_env(),
        limits,
        strict=strict,
        store=store,
        recording=recording,
        tuning=tuning,
        claims=claims,
        resources=resources,
    )

    log = AccessLog(access_log) if access_log else None

    @asynccontextmanager
    async def lifespan(application: object) -> AsyncIterator[None]:
        try:
            service.start()
            yield
        finally:
            await service.stop()
            service.close()
            if own:
                service.shared.close()
            if log:
                log.flush()

    return Application(service, token=token, log=log, lifespan=lifespan)
