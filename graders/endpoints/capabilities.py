"""Capabilities: the features that a model behind an endpoint accepts, learned from its error responses.

There are no tables of models and no lists of phrases. Two rules interpret an error by its status and the names in it,
not by its wording: a complaint with a name that occurs only in the request's answer format is about that format, and a
complaint that names a parameter or roles is about these.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from graders.endpoints.complaint import Complaint, plain_name

#: Modes of structured output, best first: by schema, as any JSON object, by instructions in the prompt alone.
STRUCTURED_MODES = ("json_schema", "json_object", "prompt")
#: Consecutive malformed answers after which a server counts as ignoring the schema.
MISSES_A_MODE = 2

#: Optional parameters of a request, with the names that servers use for them in complaints, longest first.
PARAMETERS = {
    "max_completion_tokens": ("max_completion_tokens",),
    "max_output_tokens": ("max_output_tokens",),
    "max_tokens": ("max_tokens",),
    "reasoning_effort": ("reasoning_effort", "reasoning"),
    "top_logprobs": ("top_logprobs",),
    "logprobs": ("logprobs",),
    "temperature": ("temperature",),
    "top_p": ("top_p",),
    "seed": ("seed",),
    "stream": ("stream",),
    "store": ("store",),
}
#: Parameters that the client itself adds and that do not affect answers: any complaint about them removes them.
_OURS = frozenset({"top_logprobs", "logprobs", "stream", "store"})
#: Role features that a server may lack, in the order in which they are tried (see `wire.fit_roles`).
ROLES = ("developer", "system", "repeated_roles")
#: Names for the answer's format in complaints, beside the request's own.
_FORMAT_NAMES = frozenset(
    map(
        plain_name,
        ("response_format", "response_schema", "json_schema", "json_object", "structured", "grammar"),
    )
)

#: Statuses that are about the request. Some servers also answer 500 for unsupported features.
_ABOUT_THE_REQUEST = (400, 404, 415, 422, 501)
_UNSUPPORTED = re.compile(
    r"support|unrecogni[sz]ed|unknown|unexpected|not (?:permitted|allowed|available|implemented|compatible)"
    r"|incompatible|unavailable|extra (?:inputs|fields)|input should be|only the default|does not accept"
)
_RATE_LIMIT = re.compile(r"rate.?limit|\b429\b|too many requests")

#: The largest number of capabilities that one endpoint can refuse.
MOST_LESSONS = len(STRUCTURED_MODES) + len(PARAMETERS) + len(ROLES)


@dataclass(slots=True)
class EndpointCapabilities:
    """The features that one model behind one endpoint accepts, shared by all of its callers.

    Attributes:
        mode: Index into STRUCTURED_MODES of the present mode.
        adaptive: Whether the mode may change; False where the configuration names one.
        proven: Whether a request in this mode has had a valid answer.
        misses: Consecutive malformed answers.
        refused: Parameters and roles that the server refuses: names of PARAMETERS and ROLES.
        stopped: The reason why it is not asked before `stopped_until` of the clock, since no call could succeed.
    """

    mode: int = 0
    adaptive: bool = True
    proven: bool = False
    misses: int = 0
    refused: frozenset[str] = frozenset()
    stopped: str = ""
    stopped_until: float = 0.0

    @property
    def can_step_down(self) -> bool:
        return self.adaptive and self.mode + 1 < len(STRUCTURED_MODES)

    def refuse(self, name: str) -> None:
        """Record that the server refuses a parameter or a role; later requests omit it."""
        self.refused |= {name}

    def refuse_mode(self, mode: int) -> bool:
        """Record that the server refuses a mode. Returns False when no other mode is left."""
        if not self.adaptive or mode + 1 >= len(STRUCTURED_MODES):
            return False
        # otherwise another question has recorded it meanwhile
        if self.mode == mode:
            self.mode, self.proven, self.misses = mode + 1, False, 0
        return True

    def record_answer(self, mode: int) -> None:
        """Record a valid answer in a mode."""
        # other questions abandoned this mode, but it works
        if self.adaptive and mode < self.mode and not self.proven:
            self.mode = mode
        if self.mode == mode:
            self.proven, self.misses = True, 0

    def record_miss(self, mode: int) -> bool:
        """Record a malformed answer in a mode. Returns True when the next request uses another mode."""
        if self.mode != mode and self.adaptive:
            return True
        self.misses += 1
        if self.proven or not self.can_step_down or self.misses < MISSES_A_MODE:
            return False
        self.mode, self.misses = mode + 1, 0
        return True


def refused_feature(complaint: Complaint, body: Mapping[str, Any], *, proven: bool) -> str:
    """The feature of a request that a server refuses: "mode", a name of PARAMETERS or ROLES, or "" for none.

    Args:
        body: The request's body, since only features in it can be refused.
        proven: Whether the server has answered such a request before, so that a 500 is a temporary failure.
    """
    if not (complaint.status in _ABOUT_THE_REQUEST or (complaint.status == 500 and not proven)):
        return ""
    unsupported = bool(_UNSUPPORTED.search(complaint.text.lower()))
    # the error's `param` takes precedence over other names in the message
    for names in (complaint.parameter, complaint.names):
        if names and _names_the_format(names, complaint.quoted, body):
            return "mode"
        for parameter, spellings in PARAMETERS.items():
            named = any(plain_name(spelling) in names for spelling in spellings)
            if named and (unsupported or parameter in _OURS) and _is_sent(parameter, body):
                return parameter
        if names & {"role", "roles"}:
            return next((change for change in ROLES if _changes(change, body)), "")
    return ""


def is_unsupported(complaint: Complaint) -> bool:
    """Whether an error with a 5xx status says that the request is unsupported, so that a retry is useless."""
    text = complaint.text.lower()
    says_so = "support" in text and not _RATE_LIMIT.search(text)
    return complaint.status == 501 or (complaint.status == 500 and says_so)


def _names_the_format(names: frozenset[str], quoted: frozenset[str], body: Mapping[str, Any]) -> bool:
    """Whether a complaint names the answer's format, or quotes a key that occurs only in it."""
    answer_format = body.get("response_format") or body.get("text")
    if answer_format is None:
        return False
    if names & _FORMAT_NAMES:
        return True
    others = frozenset(_keys({k: v for k, v in body.items() if v is not answer_format}))
    return bool(quoted & (frozenset(_keys(answer_format)) - others))


def _keys(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield plain_name(str(key))
            yield from _keys(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _keys(inner)


def _is_sent(parameter: str, body: Mapping[str, Any]) -> bool:
    return ("reasoning" if parameter == "reasoning_effort" and "input" in body else parameter) in body


def _changes(change: str, body: Mapping[str, Any]) -> bool:
    """Whether a change of roles would change this request."""
    roles = [message.get("role") for message in body.get("messages") or body.get("input") or ()]
    if change == "repeated_roles":
        return any(role == after for role, after in pairwise(roles))
    return change in roles
