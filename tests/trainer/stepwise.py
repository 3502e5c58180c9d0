"""The trainer, waiting after each step until somebody has answered it, so that no test depends on who is faster.

The answer is a message `rewards` of any content, which Pipe has a queue for.
"""

import sys
from typing import Any
from unittest.mock import patch

from graders_train import __main__ as program
from graders_train.pipe import Pipe


class StepwisePipe(Pipe):
    def send(self, kind: str, **fields: Any) -> None:
        super().send(kind, **fields)
        # also where a stop was requested meanwhile: an answer that nobody takes would be one to later rewards
        if kind == "step" and self._rewards.get() is None:
            # the end of input is found by whoever looks next, too
            self._rewards.put(None)


with patch.object(program, "Pipe", StepwisePipe):
    sys.exit(program.main())
