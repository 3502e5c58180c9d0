"""From an error response to what is done about it: another attempt, one row's failure, or the end of a batch."""

from __future__ import annotations

import re

from graders.endpoints.capabilities import is_unsupported
from graders.endpoints.complaint import Complaint
from graders.errors import GradeError, ModelRefusal, ModelServerError, ModelStop

#: Of the delay between attempts, in seconds, before jitter: the first bound, and the last.
BASE_S, MOST_S = 0.5, 30.0
NOT_ASKED = "the deadline passed before the model could be asked"
#: The content of one row was refused. "flagged" alone may be said of an account.
_FILTERED = re.compile(
    r"content[_ ](?:filter|policy|management policy)|responsible_?ai|moderation|safety (?:system|filter|polic)"
    r"|(?:input|prompt|content|message|text|request)\b[^.]{0,40}\bflagged"
)
_NO_QUOTA = re.compile(
    r"insufficient_quota|billing|credit balance|insufficient credit|exceeded your current quota"
)


class Retry(Exception):
    """This attempt brought nothing; another may.

    Attributes:
        pause_s: The server's own lower bound for the wait.
        at_once: Nothing is waited for: the server works, its answer was of no use.
    """

    def __init__(self, trouble: str, pause_s: float = 0.0, *, at_once: bool = False) -> None:
        super().__init__(trouble)
        self.pause_s = pause_s
        self.at_once = at_once


class CapabilityLearned(Exception):
    """Something was found that the server does not take: the request is made anew without it."""


class OutOfTime(ModelServerError):
    """The deadline of one caller; another who waits for the same answer may have more time."""


def final_failure(
    complaint: Complaint, message: str, *, proven: bool, last_try: bool = False, hint: str = ""
) -> GradeError | None:
    """The error that ends the question; None when another attempt may help.

    Args:
        message: What the error says: the complaint, without secrets.
        proven: This model has answered before, so that a 403 or 404 is about this one question.
        last_try: The server has been waited for as often as it may be.
        hint: What may be wrong with the address, for a 404.
    """
    status, said = complaint.status, complaint.said.lower()
    if status in (400, 403, 422) and _FILTERED.search(said):
        return ModelRefusal(message)
    # a server that names a time expects to answer then, whatever else it says about plans and billing
    spent = last_try and complaint.field("code") == "insufficient_quota"
    if status in (403, 429) and complaint.says_when and not spent:
        return None
    if status in (400, 402, 403, 429) and _NO_QUOTA.search(said):
        return ModelStop(f"{message}; the endpoint has no quota left for this key")
    if status in (401, 402) or (status == 403 and not proven):
        return ModelStop(f"{message}; check the key that graders.toml names for this endpoint")
    if status == 404 and not proven:
        return ModelStop(f"{message}; check base_url and the model's name in graders.toml{hint}")
    if is_unsupported(complaint):
        return ModelServerError(message)
    if status in (408, 409, 425, 429) or status >= 500:
        return None
    return ModelServerError(message)


def redacted(message: str, secret: str) -> str:
    """Servers quote the key they refuse."""
    return message.replace(secret, "***") if secret else message


def not_admitted(trouble: str, wait_s: float, left_s: float, timeout_s: float) -> GradeError:
    """The failure of a question whose deadline comes before its next attempt may start.

    Args:
        wait_s: How long the endpoint wants no request; 0 where it does not say.
        left_s: Until the question's deadline.
        timeout_s: What a fresh question has.
    """
    if not wait_s:
        return OutOfTime(trouble)
    message = f"{trouble}; the endpoint wants no request for another {wait_s:.3g} s"
    if wait_s > timeout_s:
        # then no fresh question has the time either
        return ModelStop(message)
    return OutOfTime(f"{message}, and only {max(0.0, left_s):.3g} s are left")


def backoff_s(tries: int, jitter: float) -> float:
    """The delay after so many tries, with full jitter: anywhere up to a bound that doubles.

    Args:
        jitter: From 0 to 1.
    """
    return jitter * min(MOST_S, BASE_S * 2.0 ** (max(1, tries) - 1))
