"""The consequences of an error response: a retry, the failure of one row, or the end of a batch."""

from __future__ import annotations

import re

from graders.endpoints.capabilities import is_unsupported
from graders.endpoints.complaint import Complaint
from graders.errors import GradeError, ModelRefusal, ModelServerError, ModelStop

#: First and largest bound of the delay between attempts, in seconds, before jitter.
BASE_S, MOST_S = 0.5, 30.0
NOT_ASKED = "the deadline passed before the model could be asked"
#: Messages that refuse the content of one row. "flagged" alone may be about an account.
_FILTERED = re.compile(
    r"content[_ ](?:filter|policy|management policy)|responsible_?ai|moderation|safety (?:system|filter|polic)"
    r"|(?:input|prompt|content|message|text|request)\b[^.]{0,40}\bflagged"
)
_NO_QUOTA = re.compile(
    r"insufficient_quota|billing|credit balance|insufficient credit|exceeded your current quota"
)


class Retry(Exception):
    """Raised when an attempt failed and another may succeed.

    Attributes:
        pause_s: The server's lower bound for the wait.
        at_once: Whether to retry without waiting, since the server works and only the answer was unusable.
    """

    def __init__(self, trouble: str, pause_s: float = 0.0, *, at_once: bool = False) -> None:
        super().__init__(trouble)
        self.pause_s = pause_s
        self.at_once = at_once


class CapabilityLearned(Exception):
    """Raised after a capability was disabled; the caller rebuilds the request and tries again."""


class OutOfTime(ModelServerError):
    """Raised at the deadline of one caller; others that wait for the same answer may have more time."""


def final_failure(
    complaint: Complaint, message: str, *, proven: bool, last_try: bool = False, hint: str = ""
) -> GradeError | None:
    """The error that ends the question; None when another attempt may help.

    Args:
        message: The complaint without secrets.
        proven: Whether the model has answered before, so that a 403 or 404 is about this one question.
        last_try: Whether no further attempt is allowed.
        hint: A likely mistake in the address, for a 404.
    """
    status, text = complaint.status, complaint.text.lower()
    if status in (400, 403, 422) and _FILTERED.search(text):
        return ModelRefusal(message)
    # a server that names a time expects to answer then, even if the message is about plans and billing
    spent = last_try and complaint.field("code") == "insufficient_quota"
    if status in (403, 429) and complaint.says_when and not spent:
        return None
    if status in (400, 402, 403, 429) and _NO_QUOTA.search(text):
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
    """The message without the secret: servers quote the key that they refuse."""
    return message.replace(secret, "***") if secret else message


def not_admitted(trouble: str, wait_s: float, left_s: float, timeout_s: float) -> GradeError:
    """The failure of a question whose deadline comes before its next attempt may start.

    Args:
        wait_s: Seconds for which the endpoint accepts no request; 0 when unknown.
        left_s: Seconds until the question's deadline.
        timeout_s: Seconds that a new question has.
    """
    if not wait_s:
        return OutOfTime(trouble)
    message = f"{trouble}; the endpoint wants no request for another {wait_s:.3g} s"
    if wait_s > timeout_s:
        # a new question would not have enough time either
        return ModelStop(message)
    return OutOfTime(f"{message}, and only {max(0.0, left_s):.3g} s are left")


def backoff_s(tries: int, jitter: float) -> float:
    """The delay after a number of attempts, with full jitter: between 0 and a bound that doubles.

    Args:
        jitter: From 0 to 1.
    """
    return jitter * min(MOST_S, BASE_S * 2.0 ** (max(1, tries) - 1))
