"""The pipe between the trainer and its supervisor: JSON lines on standard input and output.

The pipe is the trainer's lease: when input ends, the trainer finishes its step, saves and exits.
"""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
from collections.abc import Mapping, Sequence
from typing import Any


class PipeClosed(Exception):
    """Raised when the supervisor has ended."""


class Pipe:
    """The trainer's end of the pipe. Sending is thread-safe.

    Standard output is reserved for messages; the output of libraries is redirected to standard error.

    Attributes:
        stop: Set when the supervisor requests a stop, or has ended.
        save: Set when it requests a checkpoint.
        cancelled: Numbers of cancelled requests for text.
    """

    def __init__(self) -> None:
        self._out = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
        os.dup2(2, 1)
        sys.stdout = sys.stderr
        self._lock = threading.Lock()
        self._started: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._rewards: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._requests: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._asked = 0
        self.cancelled: set[int] = set()
        self.stop = threading.Event()
        self.save = threading.Event()
        threading.Thread(target=self._read, name="pipe", daemon=True).start()

    def send(self, kind: str, **fields: Any) -> None:
        """Send one message.

        Raises:
            PipeClosed: The supervisor is gone.
        """
        line = json.dumps({"type": kind, **fields}, ensure_ascii=False, allow_nan=False)
        try:
            with self._lock:
                self._out.write(line + "\n")
        except OSError as error:
            self.stop.set()
            raise PipeClosed("the supervisor is gone") from error

    def started(self) -> dict[str, Any]:
        """Wait for the start message.

        Raises:
            PipeClosed: Input ended before it.
        """
        message = self._started.get()
        if message is None:
            raise PipeClosed("input ended before a start message")
        return message

    def request(self) -> dict[str, Any] | None:
        """Wait for the next request for text that is not cancelled; None when input has ended."""
        while (message := self._requests.get()) is not None:
            if message["number"] not in self.cancelled:
                return message
        return None

    def rewards(
        self, samples: Sequence[object], items: Sequence[Mapping[str, Any]], *, split: str, step: int
    ) -> list[float | None]:
        """The rewards of samples, in order; None for a sample that could not be graded.

        Args:
            samples: The models' texts or messages.
            items: One for each sample.
            split: "train" or "valid".
            step: Their step.

        Raises:
            PipeClosed: The supervisor is gone.
        """
        self._asked += 1
        self.send("rewards", number=self._asked, split=split, step=step, samples=samples, items=items)
        answer = self._rewards.get()
        if answer is None:
            raise PipeClosed("input ended while rewards were asked for")
        values: list[float | None] = answer["values"]
        if answer["number"] != self._asked or len(values) != len(samples):
            raise ValueError(
                f"the answer to rewards {self._asked} has number {answer['number']} and {len(values)} values "
                f"for {len(samples)} samples"
            )
        return values

    def _read(self) -> None:
        with os.fdopen(os.dup(0), encoding="utf-8") as lines:
            for line in lines:
                message = json.loads(line)
                match message["type"]:
                    case "start" | "serve" | "convert":
                        self._started.put(message)
                    case "generate":
                        self._requests.put(message)
                    case "cancel":
                        self.cancelled.add(message["number"])
                    case "rewards":
                        self._rewards.put(message)
                    case "save":
                        self.save.set()
                    case "stop":
                        self.stop.set()
        self.stop.set()
        for waiting in (self._started, self._rewards, self._requests):
            waiting.put(None)
