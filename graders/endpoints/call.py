"""One question to an endpoint, with the attempts that it takes.

This class has what all kinds of questions share: limits, budget, keys, one HTTP exchange at a time, retries within a
deadline, and the meaning of error responses. A subclass makes the request and reads the answer.
"""

from __future__ import annotations

import logging
import ssl
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from graders.endpoints.admission import Admission
from graders.endpoints.capabilities import MOST_LESSONS, refused_feature
from graders.endpoints.complaint import Complaint, complaint_of
from graders.endpoints.contract import Reply
from graders.endpoints.endpoint import Endpoint
from graders.endpoints.failures import (
    CapabilityLearned,
    OutOfTime,
    Retry,
    backoff_s,
    final_failure,
    not_admitted,
    redacted,
)
from graders.endpoints.wire import NotAnAnswer, NotSendable
from graders.errors import GradeError, ModelServerError, ModelStop
from graders.jsontext import request_body
from graders.usage import Usage

_log = logging.getLogger(__name__)

#: Seconds for which an endpoint that refused the key or the quota is not asked again.
STOPPED_S = 30.0


class ParsedResponse(Protocol):
    """The parsed response of status 200."""

    @property
    def usage(self) -> Usage: ...
    @property
    def model(self) -> str: ...


P = TypeVar("P", bound=ParsedResponse)
R = TypeVar("R")


class EndpointCall(ABC, Generic[P, R]):
    """One question with its attempts. Used once.

    Attributes:
        endpoint: The endpoint.
        attempts: Number of requests so far; `lessons` of them disabled a capability.
        usage: Tokens over all attempts that reported them.
        seconds: Duration of all exchanges, without waiting for a free place or between attempts.
        answered_by: The model that the server says it used; "" when unknown.
    """

    #: The beginning of messages about attempts.
    subject: ClassVar[str] = ""

    def __init__(self, endpoint: Endpoint, deadline: float) -> None:
        """`deadline`: of the endpoint's clock."""
        self.endpoint = endpoint
        self.attempts = 0
        self.lessons = 0
        self.usage = Usage()
        self.seconds = 0.0
        self.answered_by = ""
        self._deadline = deadline
        self._request_id = ""
        self._started = endpoint.timing.clock()

    # --- what a kind of question says ---

    @abstractmethod
    def body(self) -> dict[str, Any]:
        """The request's body, by the endpoint's capabilities. Raises NotSendable."""

    @abstractmethod
    def expected_tokens(self) -> Usage:
        """An estimate of the question's usage, for limits and budgets."""

    @abstractmethod
    def parse(self, reply: Reply) -> P:
        """Parse a response of status 200. Raises NotAnAnswer."""

    @abstractmethod
    def accept(self, parsed: P, body: Mapping[str, Any]) -> R:
        """The result in a parsed response. Raises Retry when a retry may help, else GradeError."""

    @abstractmethod
    def form(self) -> Mapping[str, Any]:
        """The part of provenance that describes the request's form."""

    def review(self, complaint: Complaint, body: Mapping[str, Any], message: str) -> Exception | None:
        """The exception for an error response with a special meaning for this kind of question; None: the common one."""
        if self.lessons >= MOST_LESSONS:
            return None
        capabilities = self.endpoint.capabilities
        feature = refused_feature(complaint, body, proven=capabilities.proven)
        if not feature or feature == "mode":
            return None
        capabilities.refuse(feature)
        return CapabilityLearned(feature)

    # --- what they share ---

    async def answer(self) -> R:
        """
        Raises:
            GradeError: with usage and provenance of the attempts.
        """
        try:
            while True:
                try:
                    return await self._attempt()
                except CapabilityLearned as lesson:
                    self.lessons += 1
                    _log.info("%s does not take: %s", self.endpoint.route.origin, lesson)
                except Retry as retry:
                    _log.info("%s, attempt %d: %s", self.endpoint.route.origin, self.attempts, retry)
                    await self._wait(retry)
        except GradeError as error:
            raise error.replace(
                usage=self.usage if self.usage != Usage() else None,
                model=self.answered_by or self.endpoint.route.model or self.endpoint.model,
                provenance=self.provenance(),
                seconds=self.seconds,
            ) from error.__cause__

    def provenance(self) -> dict[str, Any]:
        """Endpoint, form, attempts and seconds so far."""
        endpoint = self.endpoint
        provenance: dict[str, Any] = {
            "endpoint": endpoint.route.endpoint or endpoint.route.origin,
            **self.form(),
            "attempts": self.attempts,
            "latency_s": round(endpoint.timing.clock() - self._started, 6),
        }
        if self._request_id:
            provenance["request_id"] = self._request_id
        return provenance

    @property
    def tries(self) -> int:
        """Attempts that count, without those that disabled a capability."""
        return self.attempts - self.lessons

    @property
    def _left_s(self) -> float:
        return self._deadline - self.endpoint.timing.clock()

    @property
    def is_last_try(self) -> bool:
        return self.tries >= self.endpoint.route.max_attempts

    async def _attempt(self) -> R:
        endpoint, timing = self.endpoint, self.endpoint.timing
        try:
            body = self.body()
        except NotSendable as error:
            raise ModelServerError(str(error)) from None
        data = request_body(body)
        headers, secret = await endpoint.headers()
        admission = Admission(endpoint, self.expected_tokens())
        await admission.enter(self._deadline)
        sent_at = timing.clock()
        try:
            self.attempts += 1
            endpoint.totals.calls += 1
            endpoint.totals.retries += self.attempts > 1
            reply = await self._post(headers, data, sent_at)
            self._request_id = reply.headers.get("x-request-id", "")
            admission.refund()
            if reply.status != 200:
                raise self._failure(complaint_of(reply), body, sent_at, secret)
            try:
                parsed = self.parse(reply)
            except NotAnAnswer as error:
                if error.status:
                    raise self._failure(complaint_of(reply, error.status), body, sent_at, secret) from None
                raise Retry(redacted(str(error), secret)) from None
            admission.charge(parsed.usage)
            endpoint.limiter.succeeded()
            endpoint.totals.answered(timing.clock() - sent_at, parsed.usage, endpoint.price)
        finally:
            _log.debug(
                "%s, attempt %d: %.3f s", endpoint.route.origin, self.attempts, timing.clock() - sent_at
            )
            self.seconds += timing.clock() - sent_at
            admission.release()
        self.usage += parsed.usage
        self.answered_by = parsed.model or self.answered_by
        return self.accept(parsed, body)

    async def _post(self, headers: Mapping[str, str], data: bytes, sent_at: float) -> Reply:
        endpoint = self.endpoint
        timeout_s = min(endpoint.route.attempt_timeout_s, max(0.001, self._left_s))
        try:
            return await endpoint.transport.post(endpoint.url, headers, data, timeout_s)
        except TimeoutError:
            # too many concurrent requests make a server too slow for all of them
            endpoint.limiter.overloaded(sent_at)
            raise Retry(f"no answer within {timeout_s:.3g} s") from None
        except ssl.SSLCertVerificationError as error:
            raise ModelStop(
                f"the certificate of {endpoint.route.origin} is not trusted: {error.verify_message}; name your own "
                "authority's certificates in SSL_CERT_FILE"
            ) from None
        except OSError as error:
            raise Retry(f"no response: {error}") from None

    def _failure(
        self, complaint: Complaint, body: Mapping[str, Any], sent_at: float, secret: str
    ) -> Exception:
        """The exception for an error response."""
        endpoint = self.endpoint
        message = redacted(str(complaint), secret)
        if self._request_id:
            message += f" (request {self._request_id})"
        found = self.review(complaint, body, message)
        if found is not None:
            return found
        capabilities = endpoint.capabilities
        failure = final_failure(
            complaint,
            message,
            proven=capabilities.proven,
            last_try=self.is_last_try,
            hint=endpoint.route.address_hint,
        )
        if isinstance(failure, ModelStop):
            capabilities.stopped = str(failure)
            capabilities.stopped_until = endpoint.timing.clock() + STOPPED_S
        if failure is not None:
            return failure
        pause = complaint.wait_s(time.time())
        if complaint.status == 429:
            pause = pause or self._backoff()
            endpoint.limiter.throttled(sent_at, pause)
        return Retry(message, pause)

    async def _wait(self, retry: Retry) -> None:
        """Wait until the next attempt; raises when there is none."""
        timing = self.endpoint.timing
        if self.is_last_try:
            attempts = "1 attempt" if self.tries == 1 else f"{self.tries} attempts"
            raise ModelServerError(f"{self.subject}{retry}; gave up after {attempts}")
        if retry.at_once:
            return
        delay = max(retry.pause_s, self._backoff())
        if timing.clock() + delay >= self._deadline:
            if retry.pause_s:
                trouble = f"{self.subject}{retry}"
                raise not_admitted(trouble, retry.pause_s, self._left_s, self.endpoint.route.timeout_s)
            raise OutOfTime(f"{self.subject}{retry}; no time is left for another attempt")
        await timing.sleep(delay)

    def _backoff(self) -> float:
        return backoff_s(self.tries, self.endpoint.timing.jitter())
