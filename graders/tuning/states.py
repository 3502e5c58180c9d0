"""The states of a fine-tuning job, as a table: which event leads from where to where. No clock and no I/O.

`validating_files` -> `queued` -> `running` -> `succeeded`, `failed` or `cancelled`; `paused` in between as often as
wanted. The status changes at once when a client asks; the supervisor then ends the process that trains.
"""

from __future__ import annotations

from collections.abc import Mapping

ENDED = ("succeeded", "failed", "cancelled")
STATUSES = ("validating_files", "queued", "running", "paused", *ENDED)

#: Event -> status before -> status after. What is not here cannot happen.
TRANSITIONS: Mapping[str, Mapping[str, str]] = {
    "validated": {"validating_files": "queued"},
    "start": {"queued": "running"},
    "succeed": {"running": "succeeded"},
    "fail": {"validating_files": "failed", "queued": "failed", "running": "failed"},
    # the process that trained it is gone, this server's or the machine's end included
    "lose": {"running": "queued"},
    "pause": {"queued": "paused", "running": "paused"},
    "resume": {"paused": "queued"},
    "cancel": {
        "validating_files": "cancelled",
        "queued": "cancelled",
        "running": "cancelled",
        "paused": "cancelled",
    },
}


class NoTransition(ValueError):
    """An event that cannot happen to a job with this status."""

    def __init__(self, event: str, status: str) -> None:
        wanted = " or ".join(TRANSITIONS[event])
        super().__init__(f"Cannot {event} a job with status '{status}'; it has to be {wanted}.")
        self.event = event
        self.status = status


def after(event: str, status: str) -> str:
    """The status that an event leads to.

    Raises:
        NoTransition: it cannot happen now.
    """
    try:
        return TRANSITIONS[event][status]
    except KeyError:
        raise NoTransition(event, status) from None
