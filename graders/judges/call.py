"""One question to a judge: its request body, and the one valid verdict in the response."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from graders.ask import ModelAsk, ModelReply
from graders.endpoints.call import EndpointCall
from graders.endpoints.capabilities import MOST_LESSONS, STRUCTURED_MODES, refused_feature
from graders.endpoints.complaint import Complaint
from graders.endpoints.contract import Reply
from graders.endpoints.endpoint import Endpoint
from graders.endpoints.failures import CapabilityLearned, Retry
from graders.endpoints.spending import answer_tokens, prompt_tokens
from graders.endpoints.wire import Completion, read_completion
from graders.errors import GradeError, ModelExceededMaxTokens, ModelParseError, ModelRefusal
from graders.judges.quality import expected_score, grid_of
from graders.judges.reading import read_verdict
from graders.judges.request import RequestForm, body_of, mode_of, not_applied
from graders.usage import Usage
from graders.verdict import AmbiguousVerdict, parse_error

#: Repeated questions after an answer without a verdict, where the schema is known to work.
REASKS = 1
#: Groq's code for a malformed answer, an error of the model and not of the request.
_NO_VERDICT_CODE = "json_validate_failed"


class JudgeCall(EndpointCall[Completion, ModelReply]):
    """One request for a verdict, with its attempts."""

    def __init__(self, endpoint: Endpoint, ask: ModelAsk, deadline: float) -> None:
        super().__init__(endpoint, deadline)
        self._ask = ask
        self._reasked = 0
        self._form = self._current_form()

    def _current_form(self) -> RequestForm:
        """The form that the endpoint accepts, by its present capabilities."""
        capabilities, route = self.endpoint.capabilities, self.endpoint.route
        mode = STRUCTURED_MODES[capabilities.mode]
        grid: tuple[int, ...] = ()
        if (
            route.expected_score != "off"
            and not {"logprobs", "top_logprobs"} & capabilities.refused
            and route.api == "chat"
        ):
            grid = grid_of(self._ask.verdict)
        key = "result" if mode == "json_schema" else _made_up_key(self._ask)
        return RequestForm(mode, key, capabilities.refused, grid)

    def body(self) -> dict[str, Any]:
        self._form = self._current_form()
        return body_of(self._ask, self.endpoint.route, self._form)

    def form(self) -> Mapping[str, Any]:
        dropped = not_applied(self._ask, self.endpoint.route, self._form.refused)
        return {"structured": self._form.mode, **({"dropped": dropped} if dropped else {})}

    def expected_tokens(self) -> Usage:
        return Usage(prompt_tokens(self._ask), answer_tokens(self._ask))

    def parse(self, reply: Reply) -> Completion:
        return read_completion(reply.body, self.endpoint.route.api)

    def review(self, complaint: Complaint, body: Mapping[str, Any], message: str) -> Exception | None:
        if complaint.field("code") == _NO_VERDICT_CODE:
            return self._miss(message) or ModelParseError(f"the judge gave no verdict: {message}")
        capabilities = self.endpoint.capabilities
        if (
            self.lessons < MOST_LESSONS
            and refused_feature(complaint, body, proven=capabilities.proven) == "mode"
            and capabilities.refuse_mode(STRUCTURED_MODES.index(mode_of(body)))
        ):
            return CapabilityLearned("mode")
        return super().review(complaint, body, message)

    def accept(self, parsed: Completion, body: Mapping[str, Any]) -> ModelReply:
        """The valid verdict in an answer."""
        self._check_limit(parsed, body)
        if parsed.refusal:
            raise ModelRefusal(f"the judge refused: {parsed.refusal[:500]}")
        if parsed.finish_reason == "content_filter":
            raise ModelRefusal(f"the judge's content filter ended the answer: {parsed.text[:200]!r}")
        verdict = self._verdict(parsed)
        self.endpoint.capabilities.record_answer(STRUCTURED_MODES.index(self._form.mode))
        provenance = self.provenance()
        route = self.endpoint.route
        low, high = self._ask.verdict.range
        if route.out_of_range == "error" and isinstance(verdict, float) and not low <= verdict <= high:
            raise ModelParseError(
                f"the judge's number {verdict:g} is outside [{low:g}, {high:g}]", parsed.text
            )
        if route.expected_score != "off" and isinstance(verdict, float):
            verdict = self._expected(verdict, parsed, provenance)
        self.endpoint.totals.answers += 1
        model = parsed.model or route.model or self._ask.model
        return ModelReply(verdict, parsed.text, model, self.usage, provenance, self.seconds)

    def _check_limit(self, parsed: Completion, body: Mapping[str, Any]) -> None:
        """If the server ignored the token limit, use the limit's older name from now on."""
        limit, used = body.get("max_completion_tokens"), parsed.usage.completion_tokens
        if limit and used is not None and used > limit:
            self.endpoint.capabilities.refuse("max_completion_tokens")

    def _verdict(self, parsed: Completion) -> float | str:
        """
        Raises:
            Retry: there is no verdict, and a repeated question may help.
            ModelParseError: there is no verdict.
        """
        form, cut = self._form, parsed.finish_reason in ("length", "incomplete", "failed", "cancelled")
        # a truncated text is a verdict only as a whole: the missing part could have been another verdict
        tolerant = form.mode != "json_schema" and not cut
        try:
            return read_verdict(parsed.text, self._ask.verdict, key=form.key, tolerant=tolerant)
        except AmbiguousVerdict as error:
            if cut:
                raise self._cut_off(parsed) from None
            failure = parse_error(error, parsed.text)
            if parsed.elsewhere:
                failure = ModelParseError(
                    f"{failure}; {parsed.elsewhere}: let the server put the answer into `content` (a reasoning or "
                    "tool-call parser may take it away), or allow more tokens"
                )
            # an empty text does not show that the server ignores the schema
            again = self._miss("the judge's answer was no verdict", counts=bool(parsed.text.strip()))
            raise (again or failure) from None

    def _cut_off(self, parsed: Completion) -> GradeError:
        used = parsed.usage.completion_tokens
        kind = ModelExceededMaxTokens if parsed.finish_reason == "length" else ModelParseError
        return kind(
            f"the judge's answer was cut off ({parsed.finish_reason}) after {used if used is not None else 'some'} "
            "tokens; a higher max_completions_tokens may help",
            parsed.text,
        )

    def _miss(self, trouble: str, *, counts: bool = True) -> Retry | None:
        """Record an answer without a verdict. Returns a Retry when a repeated question may help."""
        if self.is_last_try:
            return None
        capabilities, mode = self.endpoint.capabilities, STRUCTURED_MODES.index(self._form.mode)
        if counts and capabilities.record_miss(mode):
            self._reasked = 0
            return Retry("the server ignores the schema", at_once=True)
        if self._reasked < REASKS:
            self._reasked += 1
            return Retry(trouble, at_once=True)
        return None

    def _expected(self, sampled: float, parsed: Completion, provenance: dict[str, Any]) -> float:
        """The expected score, where the log-probabilities give it; else the sampled one."""
        form = self._form
        found = expected_score(parsed.text, parsed.logprobs, form.grid, form.key) if form.grid else None
        if found is not None:
            provenance["expected_score"] = {"sampled": sampled, "mass": round(found.mass, 6)}
            return found.value
        if self.endpoint.route.expected_score == "required":
            raise ModelParseError(
                f"an expected score is required, but the judge {self._reason_for_none()}", parsed.text
            )
        provenance["expected_score"] = None
        return sampled

    def _reason_for_none(self) -> str:
        """The reason why there is no expected score."""
        if self._form.grid:
            return "gave no usable log-probabilities"
        if grid_of(self._ask.verdict):
            return "refuses log-probabilities"
        low, high = self._ask.verdict.range
        return f"was asked for [{low:g}, {high:g}], not whole numbers within 0..9"


def _made_up_key(ask: ModelAsk) -> str:
    """A key for the result that no sample can guess, the same for equal questions."""
    texts = repr((ask.messages, ask.verdict)).encode("utf-8", "backslashreplace")
    return f"result_{hashlib.sha256(texts).hexdigest()[:8]}"
