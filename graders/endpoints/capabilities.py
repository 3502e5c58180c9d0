"""The features that a model behind an endpoint was found to accept, and how an error response is read for them.

Nothing is looked up in tables of models. Two rules read an error instead of lists of phrases: a complaint that names
what only the request's answer format holds is about that format, and a complaint that names a parameter or speaks of
roles is about that parameter, or those roles. Both look at the status and at names, not at wording.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from graders.endpoints.complaint import Complaint, plain_name

#: The ways to ask for an answer of a given form, best first: by schema, as any JSON object, in the prompt alone.
STRUCTURED_MODES = ("json_schema", "json_object", "prompt")
#: Answers in a row that do not have the form, before a server counts as one that ignores the schema.
MISSES_A_MODE = 2

#: Parameters of a request that can be left out, with the names that servers complain under, longest first.
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
#: Those that a client adds by itself: no answer changes without them, so that any complaint will do.
_OURS = frozenset({"top_logprobs", "logprobs", "stream", "store"})
#: Changes of a request's roles, in the order in which they are tried (see `wire.fit_roles`).
ROLES = ("developer", "system", "repeated_roles")
#: Names that a complaint may have for the answer's format beside the request's own.
_FORMAT_NAMES = frozenset(
    map(
        plain_name,
        ("response_format", "response_schema", "json_schema", "json_object", "structured", "grammar"),
    )
)

#: Statuses that speak of the request. 500: some servers answer it for what they do not support.
_ABOUT_THE_REQUEST = (400, 404, 415, 422, 501)
_UNSUPPORTED = re.compile(
    r"support|unrecogni[sz]ed|unknown|unexpected|not (?:permitted|allowed|available|implemented|compatible)"
    r"|incompatible|unavailable|extra (?:inputs|fields)|input should be|only the default|does not accept"
)
_RATE_LIMIT = re.compile(r"rate.?limit|\b429\b|too many requests")

#: The most that one endpoint can teach.
MOST_LESSONS = len(STRUCTURED_MODES) + len(PARAMETERS) + len(ROLES)


@dataclass(slots=True)
class EndpointCapabilities:
    """The features that one model behind one endpoint accepts; shared by everything that asks it.

    Attributes:
        mode: Index into STRUCTURED_MODES of the way to ask for structured answers.
        adaptive: Whether the mode may change; False where the configuration names one.
        proven: A request has brought a valid answer in this mode.
        misses: Answers in a row that did not have the form.
        refused: Parameters and roles that the server does not take: names of PARAMETERS and ROLES.
        stopped: Why it is not asked until `stopped_until` of the clock: no call could succeed.
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
        """Leave a parameter or a role out from now on."""
        self.refused |= {name}

    def refuse_mode(self, mode: int) -> bool:
        """The server refused this mode. False when no other is left to try."""
        if not self.adaptive or mode + 1 >= len(STRUCTURED_MODES):
            return False
        # else another question has found it out meanwhile
        if self.mode == mode:
            self.mode, self.proven, self.misses = mode + 1, False, 0
        return True

    def record_answer(self, mode: int) -> None:
        """A valid answer came in this mode."""
        # others gave up on this mode, but it does work
        if self.adaptive and mode < self.mode and not self.proven:
            self.mode = mode
        if self.mode == mode:
            self.proven, self.misses = True, 0

    def record_miss(self, mode: int) -> bool:
        """An answer in this mode did not have the form. True when the next request goes out in another mode."""
        if self.mode != mode and self.adaptive:
            return True
        self.misses += 1
        if self.proven or not self.can_step_down or self.misses < MISSES_A_MODE:
            return False
        self.mode, self.misses = mode + 1, 0
        return True


def refused_feature(complaint: Complaint, body: Mapping[str, Any], *, proven: bool) -> str:
    """The part of a request that a server does not take: "mode", a name of PARAMETERS or ROLES, or "" when it is neither.

    Args:
        body: The request's, so that only what was sent can be refused.
        proven: Whether the server has answered such a request before, so that a 500 is a failure that passes.
    """
    if not (complaint.status in _ABOUT_THE_REQUEST or (complaint.status == 500 and not proven)):
        return ""
    unsupported = bool(_UNSUPPORTED.search(complaint.said.lower()))
    # what the error names as its parameter goes before what it also mentions
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
    """Whether an error with a server's status says that asking again is of no use."""
    said = complaint.said.lower()
    says_so = "support" in said and not _RATE_LIMIT.search(said)
    return complaint.status == 501 or (complaint.status == 500 and says_so)


def _names_the_format(names: frozenset[str], quoted: frozenset[str], body: Mapping[str, Any]) -> bool:
    """Whether a complaint names the answer's format, or in quotes a key that nothing else in the request has."""
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
