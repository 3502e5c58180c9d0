"""How far a command is: one line on stderr."""

from __future__ import annotations

import os
import sys
import time

import click

#: Between the first two lines where stderr is not a terminal; each further pause is twice as long, up to the last.
FIRST_PAUSE_S, LAST_PAUSE_S = 5.0, 60.0
#: To the first column, and all that is there deleted.
_CLEAR = "\r\x1b[K"


class ProgressLine:
    """A line that renews itself on a terminal; in a log, lines that come ever more rarely.

    Args:
        quiet: Say nothing.
        logged: Whether there are lines where stderr is not a terminal.
    """

    def __init__(self, *, quiet: bool = False, logged: bool = True) -> None:
        self._terminal = sys.stderr.isatty() and not quiet
        self._logged = logged and not quiet
        self._told = time.monotonic()
        self._pause_s = FIRST_PAUSE_S

    def show(self, text: object) -> None:
        """Called as often as there is news, also from another thread."""
        if self._terminal:
            columns = os.get_terminal_size(2).columns
            sys.stderr.write(f"{_CLEAR}{str(text)[: columns - 1]}")
            sys.stderr.flush()
        elif self._logged and time.monotonic() - self._told > self._pause_s:
            self._told = time.monotonic()
            self._pause_s = min(LAST_PAUSE_S, 2 * self._pause_s)
            click.echo(str(text), err=True)

    def clear(self) -> None:
        """Make room for what is said next."""
        if self._terminal:
            sys.stderr.write(_CLEAR)
            sys.stderr.flush()
