"""Progress of a command: one line on stderr."""

from __future__ import annotations

import os
import sys
import time

import click

#: Pauses between lines where stderr is not a terminal: the first, doubled each time, and the longest.
FIRST_PAUSE_S, LAST_PAUSE_S = 5.0, 60.0
#: Moves the cursor to the first column and clears the line.
_CLEAR = "\r\x1b[K"


class ProgressLine:
    """A line that is updated on a terminal; in a log, lines with growing pauses.

    Args:
        quiet: Whether to print nothing.
        logged: Whether to print lines where stderr is not a terminal.
    """

    def __init__(self, *, quiet: bool = False, logged: bool = True) -> None:
        self._terminal = sys.stderr.isatty() and not quiet
        self._logged = logged and not quiet
        self._shown_at = time.monotonic()
        self._pause_s = FIRST_PAUSE_S

    def show(self, text: object) -> None:
        """Show the present progress; may be called often and from any thread."""
        if self._terminal:
            columns = os.get_terminal_size(2).columns
            sys.stderr.write(f"{_CLEAR}{str(text)[: columns - 1]}")
            sys.stderr.flush()
        elif self._logged and time.monotonic() - self._shown_at > self._pause_s:
            self._shown_at = time.monotonic()
            self._pause_s = min(LAST_PAUSE_S, 2 * self._pause_s)
            click.echo(str(text), err=True)

    def clear(self) -> None:
        """Clear the line before other output."""
        if self._terminal:
            sys.stderr.write(_CLEAR)
            sys.stderr.flush()
