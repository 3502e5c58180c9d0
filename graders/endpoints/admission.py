"""One request's way through what an endpoint's callers share: whether it is asked at all, the limits, and the budget."""

from __future__ import annotations

from graders.endpoints.concurrency import NotAdmitted
from graders.endpoints.endpoint import Endpoint
from graders.endpoints.failures import NOT_ASKED, not_admitted
from graders.endpoints.spending import cost_of
from graders.errors import ModelStop
from graders.usage import Usage


class Admission:
    """A place among the requests in flight, and a part of the budget. After `enter`, `release` is called once.

    Args:
        expected: An estimate of the request's usage.
    """

    __slots__ = ("_endpoint", "_reserved", "_spent", "_tokens", "_usage")

    def __init__(self, endpoint: Endpoint, expected: Usage) -> None:
        price = endpoint.price
        self._endpoint = endpoint
        self._tokens = expected.n_tokens if endpoint.route.tokens_per_minute else 0
        self._reserved = cost_of(expected, price) if price is not None and endpoint.budget.max_cost else 0.0
        # a request that ends without a whole response may have cost something, too
        self._spent = self._reserved
        self._usage = Usage()

    async def enter(self, deadline: float) -> None:
        """Wait for a place until `deadline`, of the endpoint's clock.

        Raises:
            ModelStop: there is no price for a limit on cost, the budget is spent, or the endpoint refused the key or quota.
            GradeError: no place gets free in time.
        """
        endpoint = self._endpoint
        if endpoint.price is None and endpoint.budget.max_cost:
            raise ModelStop(
                f'there is a limit on cost but no price: add [prices."{endpoint.model}"] with input and output '
                "to graders.toml"
            )
        self._check_stopped()
        try:
            await endpoint.limiter.enter(deadline, self._tokens)
        except NotAdmitted as refused:
            left_s = deadline - endpoint.timing.clock()
            raise not_admitted(NOT_ASKED, refused.wait_s, left_s, endpoint.route.timeout_s) from None
        try:
            # while this one waited, another may have learned that there is no use
            self._check_stopped()
            await endpoint.budget.reserve(self._reserved)
        except BaseException:
            endpoint.limiter.release()
            raise

    def _check_stopped(self) -> None:
        capabilities = self._endpoint.capabilities
        if capabilities.stopped and self._endpoint.timing.clock() < capabilities.stopped_until:
            raise ModelStop(capabilities.stopped)

    def refund(self) -> None:
        """Record a complete response, which costs nothing unless it is an answer."""
        self._spent = 0.0

    def charge(self, usage: Usage) -> None:
        """Record the usage of a response that is an answer."""
        price = self._endpoint.price
        self._usage = usage
        self._spent = self._reserved
        if price is not None and usage.prompt_tokens is not None:
            self._spent = cost_of(usage, price)

    def release(self) -> None:
        """Release the place and the unused part of the reservation."""
        limiter = self._endpoint.limiter
        limiter.release()
        if self._tokens and self._usage.total_tokens is not None:
            limiter.settle(self._tokens, self._usage.total_tokens)
        self._endpoint.budget.settle(self._reserved, self._spent)
