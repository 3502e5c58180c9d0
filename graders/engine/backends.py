"""Backends: judges, the sandbox and an embedder, which answer asks. The only layer with networks, processes and clocks.

Every ask becomes a Future of an Answer: the reply, or a GradeError in its place. Sync callers wait for it, async
callers await it, and a batch keeps many in flight.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, wait
from functools import partial
from typing import TYPE_CHECKING, Any

from graders.ask import (
    Answer,
    Ask,
    CodeAsk,
    EmbedAsk,
    EndpointAsk,
    ModelAsk,
    SampleAsk,
)
from graders.engine.embedding import EmbeddingQueue
from graders.engine.futures import answer_of, cancel, left
from graders.engine.programs import submit_programs
from graders.engine.remote import RemoteAsk, RemoteQueue
from graders.errors import (
    GradeError,
)

if TYPE_CHECKING:
    from graders.embed import Embedder
    from graders.endpoints.grader import EndpointGraders
    from graders.endpoints.spending import ModelTotals
    from graders.models import Config, ModelClient
    from graders.sampling.contract import SampleClient
    from graders.spec.options import Options
    from graders_sandbox import Sandbox


class Backends:
    """The resources that compiled graders share. Cheap to make: each starts at its first ask. Thread-safe.

    Args:
        models: The client for ModelAsk: a ModelClient, any function, or an openai client (see
            graders.judges.callables); None: as configured, read at the first ask.
        sandbox: The sandbox for python graders; None: as configured.
        embedder: The embedder for cosine; None: as configured (by default there is none).
        sampler: The client for SampleAsk, a SampleClient; None: as configured.
        cache: Path of a file that keeps judges' verdicts; None: no cache.
        config: Path of graders.toml; None: GRADERS_CONFIG, else found upward from the working directory.
        unsandboxed: Run python graders without a jail. Only for programs that you wrote; marks every result.
    """

    def __init__(
        self,
        *,
        models: Any = None,
        sandbox: Sandbox | None = None,
        embedder: Embedder | None = None,
        sampler: SampleClient | None = None,
        cache: str | None = None,
        config: str | Config | None = None,
        unsandboxed: bool = False,
    ) -> None:
        if models is not None and not hasattr(models, "answer"):
            from graders.judges.callables import client_of

            models = client_of(models)
        self._models: ModelClient | None = models
        self._sandbox = sandbox
        self._embedder = embedder
        self._sampler = sampler
        self._endpoint_graders: EndpointGraders | None = None
        self._cache = cache
        self._config = config
        self._unsandboxed = unsandboxed
        given = {"models": models, "sandbox": sandbox, "embedder": embedder, "sampler": sampler}
        self._given = [name for name, part in given.items() if part is not None]
        self._remote = RemoteQueue(self._client_for)
        self._embedding = EmbeddingQueue(lambda: self.embedder)
        self._lock = threading.RLock()

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled as the constructor's arguments: configuration, cache and whether there is a sandbox."""
        if self._given:
            raise TypeError(
                f"Backends with {' and '.join(self._given)} of their own cannot be pickled: say in graders.toml what "
                "they are, or make them in the process that uses them"
            )
        made = partial(type(self), cache=self._cache, config=self._config, unsandboxed=self._unsandboxed)
        return made, ()

    @classmethod
    def from_env(cls) -> Backends:
        """The backends that graders.toml and the environment configure."""
        return cls()

    # --- the parts, made when first needed ---

    @property
    def config(self) -> Config:
        """The configuration. Raises ConfigError when its file is not valid."""
        with self._lock:
            if self._config is None or isinstance(self._config, str):
                from graders.models import load_config

                self._config = load_config(self._config)
            return self._config

    @property
    def options(self) -> Options:
        """The configuration's options for compiling graders. Raises ValueError when it is not valid."""
        from graders.metrics import options_in
        from graders.spec.options import Options

        metrics = self.config.table("metrics")
        return Options(
            metrics=metrics.get("implementation", "fast"),
            metric_options=options_in(metrics),
            values=self.config.table("templates").get("values", "json"),
            judge_steps=self.config.table("judge").get("steps", True),
            harden=self.config.table("judge").get("harden", False),
        )

    @property
    def models(self) -> ModelClient:
        config = self.config
        with self._lock:
            if self._models is None:
                from graders.models import connect

                self._models = connect(config, cache=self._cache)
            return self._models

    @property
    def sampler(self) -> SampleClient:
        """The client for the models of an eval; it shares limits, connections and budget with the judges."""
        models, config = self.models, self.config
        with self._lock:
            if self._sampler is None:
                from graders.sampling import RecordedSampler, Sampler

                endpoints = getattr(models, "endpoints", None)
                # a transport that the caller passed for judges is not used for other models
                if endpoints is not None and endpoints.has_given_transport:
                    endpoints = None
                self._sampler = Sampler(config, endpoints)
                if recording := config.table("sampler").get("recording"):
                    self._sampler = RecordedSampler(config.path_of(recording), self._sampler)
            return self._sampler

    @property
    def endpoint_graders(self) -> EndpointGraders:
        """The client for graders behind addresses of their own."""
        config = self.config
        with self._lock:
            if self._endpoint_graders is None:
                from graders.endpoints.grader import EndpointGraders

                self._endpoint_graders = EndpointGraders(config)
            return self._endpoint_graders

    @property
    def asked(self) -> Mapping[str, ModelTotals]:
        """Totals of the judges so far, for each model that specs name; {} before the first question."""
        totals = getattr(self._models, "totals", None)
        return totals.models if totals is not None else {}

    @property
    def sandbox(self) -> Sandbox:
        """The sandbox. Raises ValueError when the configuration's [sandbox] table is not valid."""
        if self._sandbox is None:
            table = dict(self.config.table("sandbox"))
            with self._lock:
                if self._sandbox is None:
                    from graders_sandbox import Limits, Sandbox

                    limits = Limits(**table.pop("limits", {}))
                    self._sandbox = Sandbox(limits=limits, **{"unsandboxed": self._unsandboxed, **table})
        return self._sandbox

    @property
    def has_embedder(self) -> bool:
        return self._embedder is not None or bool(self.config.table("embeddings"))

    @property
    def embedder(self) -> Embedder:
        """The embedder. Raises ValueError or ImportError when the configuration's [embeddings] table cannot be used."""
        if self._embedder is None:
            config = self.config
            with self._lock:
                if self._embedder is None:
                    from graders.embed import embedder_from

                    self._embedder = embedder_from(config)
        return self._embedder

    # --- asking ---

    def submit(
        self, asks: Sequence[Ask | GradeError], *, deadline: float | None = None
    ) -> list[Future[Answer]]:
        """Submit asks, together where that is cheaper (texts to embed); one Future for each, in order.

        Args:
            asks: A GradeError among them is its own answer.
            deadline: time.monotonic() seconds after which the caller no longer waits.
        """
        futures: list[Future[Answer]] = [Future() for _ in asks]
        remote: list[tuple[RemoteAsk, Future[Answer]]] = []
        coded: list[tuple[CodeAsk, Future[Answer]]] = []
        embeds: list[tuple[EmbedAsk, Future[Answer]]] = []
        for ask, future in zip(asks, futures, strict=True):
            if isinstance(ask, GradeError):
                future.set_result(ask)
            elif isinstance(ask, (ModelAsk, SampleAsk, EndpointAsk)):
                remote.append((ask, future))
            elif isinstance(ask, CodeAsk):
                coded.append((ask, future))
            else:
                embeds.append((ask, future))
        if coded:
            submit_programs(lambda: self.sandbox, coded, deadline)
        if remote:
            self._remote.submit(remote, deadline)
        if embeds:
            self._embedding.submit(embeds)
        return futures

    def fetch(self, asks: Sequence[Ask | GradeError], *, deadline: float | None = None) -> list[Answer]:
        """All answers, in order. An interrupt cancels the asks in flight.

        An ask without an answer LATE_S after the deadline is cancelled: its answer is an UnresponsiveReward.
        """
        futures = self.submit(asks, deadline=deadline)
        try:
            if deadline is not None:
                wait(futures, left(deadline))
            return [answer_of(future, deadline) for future in futures]
        except BaseException:
            cancel(futures)
            raise

    async def afetch(
        self, asks: Sequence[Ask | GradeError], *, deadline: float | None = None
    ) -> list[Answer]:
        """As fetch. Cancelling the caller cancels the asks in flight."""
        import asyncio

        futures = self.submit(asks, deadline=deadline)
        try:
            waiting = [asyncio.wrap_future(future) for future in futures]
            if waiting:
                await asyncio.wait(waiting, timeout=None if deadline is None else left(deadline))
            return [answer_of(future, deadline) for future in futures]
        except BaseException:
            cancel(futures)
            raise

    def _client_for(self, kind: type[RemoteAsk]) -> Any:
        """The client for asks of this type."""
        if kind is EndpointAsk:
            return self.endpoint_graders
        return self.models if kind is ModelAsk else self.sampler

    def interrupt(self) -> None:
        """Cancel the questions to judges that are in flight: their answers are Interrupted."""
        self._remote.interrupt()

    def close(self) -> None:
        """Close connections, and end sandbox processes and threads."""
        with self._lock:
            clients = [self._models, self._sampler, self._endpoint_graders]
            sandbox, embedder = self._sandbox, self._embedder
        self._remote.close(client for client in clients if client is not None)
        if sandbox is not None:
            sandbox.close()
        end = getattr(embedder, "close", None)
        if end is not None:
            end()
        self._embedding.close()

    def __enter__(self) -> Backends:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
