"""The attempts of one call as a table, printed while they happen.

Rows stand in the order of the starts.  A row is printed when its attempt has ended and every
earlier one too, so that a table never has to be drawn twice.
"""

from __future__ import annotations

import errno
import socket
from typing import TYPE_CHECKING, Any

from ..events import (
    AttemptCancelled,
    AttemptFailed,
    AttemptStarted,
    Connected,
    Event,
    LookupFailed,
    LookupStarted,
    LookupSucceeded,
    RetryScheduled,
)
from ..text import format_address, safe
from .console import BOLD, DIM, GREEN, RED, YELLOW

if TYPE_CHECKING:
    from .console import Console

    _OneOfAnAttempt = AttemptFailed | Connected | AttemptCancelled

__all__ = ["Timeline"]

_RECORDS = {int(socket.AF_INET): "A", int(socket.AF_INET6): "AAAA"}
_NOT_ENDED = ""


class _Row:
    __slots__ = ("colour", "ended", "result", "started", "what")

    def __init__(self, started: float, what: str) -> None:
        self.started = started
        self.what = what
        self.ended = started
        self.result = _NOT_ENDED
        self.colour = DIM

    def end(self, at: float, result: str, colour: str) -> None:
        self.ended, self.result, self.colour = at, result, colour


class Timeline:
    """Observes one call (give it as ``on_event``) and prints what happens.

    Args:
        console: where to.
        started: the instant from which the milliseconds count.
        width: of the column with the addresses.
        indent: what stands before each line.
    """

    def __init__(self, console: Console, started: float, *, width: int, indent: str) -> None:
        self._console = console
        self._started = started
        self._width = width
        self._indent = indent
        self._rows: list[_Row] = []
        self._open: dict[Any, _Row] = {}
        self._winner = ""
        heading = f"{'start':>8}  {'end':>8}  {'address':{width}}  result"
        console.result(indent + console.paint(heading, BOLD))

    def __call__(self, event: Event) -> None:
        """Take one event."""
        if isinstance(event, AttemptFailed):
            self._end(event, event.at, _why(event), RED)
        elif isinstance(event, Connected):
            self._winner = format_address(event.address)
            self._end(event, event.at, "connected", GREEN)
        elif isinstance(event, AttemptCancelled):
            why = f"closed: {self._winner} was faster" if self._winner else "closed"
            self._end(event, event.at, why, YELLOW)
        elif isinstance(event, AttemptStarted):
            self._begin(event.number, event.at, format_address(event.address))
        elif isinstance(event, LookupSucceeded):
            found = safe(", ".join(event.addresses)) or "no address"
            self._end_lookup(event, f"{found} ({event.source})", DIM)
        elif isinstance(event, LookupFailed):
            self._end_lookup(event, event.error.code, RED)
        elif isinstance(event, LookupStarted):
            record = _RECORDS.get(event.family, "")
            self._begin((event.name, event.family), event.at, f"{safe(event.name)} {record}")
        elif isinstance(event, RetryScheduled):
            pause = _Row(event.at, "")
            pause.end(event.at + event.delay, f"pause before round {event.round + 1}", DIM)
            self._rows.append(pause)
        self._print()

    def finish(self) -> None:
        """Print what has not ended, too."""
        for row in self._open.values():
            row.end(row.started, "not ended", YELLOW)
        self._open.clear()
        self._print()

    def _begin(self, key: Any, at: float, what: str) -> None:
        row = self._open[key] = _Row(at, what)
        self._rows.append(row)

    def _end(self, event: _OneOfAnAttempt, at: float, result: str, colour: str) -> None:
        row = self._open.pop(event.number, None)
        if row is not None:
            row.end(at, result, colour)

    def _end_lookup(self, event: LookupSucceeded | LookupFailed, result: str, colour: str) -> None:
        row = self._open.pop((event.name, event.family), None)
        if row is not None:
            row.end(event.at, result, colour)

    def _print(self) -> None:
        while self._rows and self._rows[0].result != _NOT_ENDED:
            row = self._rows.pop(0)
            started, ended = (
                f"{1000 * (at - self._started):8.1f}" for at in (row.started, row.ended)
            )
            result = self._console.paint(row.result, row.colour)
            self._console.result(
                f"{self._indent}{started}  {ended}  {row.what:{self._width}}  {result}"
            )


def _why(failed: AttemptFailed) -> str:
    """Say a failure in two words: the code that logs and JSON have, and the kernel's name."""
    number = failed.errno
    if number is None:
        return failed.error.code
    return f"{failed.error.code} ({errno.errorcode.get(number, number)})"
