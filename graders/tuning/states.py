"""The states of a fine-tuning job, as a table of transitions. No clock and no I/O.

`validating_files` -> `queued` -> `running` -> `succeeded`, `failed` or `cancelled`, with any number of pauses. A
client's request changes the status at once; the supervisor then ends the trainer.
"""

from __future__ import annotations

from collections.abc import Mapping

ENDED = ("succeeded", "failed", "cancelled")
STATUSES = ("validating_files", "queued", "running", "paused", *ENDED)

#: Event -> status before -> status after. Other transitions are impossible.
TRANSITIONS: Mapping[str, Mapping[str, str]] = {
    "validated": {"validating_files": "queued"},
    "start": {"queued": "running"},
    "succeed": {"running": "succeeded"},
    "fail": {"validating_files": "failed", "queued": "failed", "running": "failed"},
    # its trainer has ended, also by the end of the server or machine
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
    """Raised for an event that is impossible in the present status."""

    def __init__(self, event: str, status: str) -> None:
        wanted = " or ".join(TRANSITIONS[event])
        super().__init__(f"Cannot {event} a job with status '{status}'; it has to be {wanted}.")
        self.event = event
        self.status = status


def after(event: str, status: str) -> str:
    """The status after an event.

    Raises:
        NoTransition: the event is impossible in this status.
    """
    try:
        return TRANSITIONS[event][status]
    except KeyError:
        raise NoTransition(event, status) from None
