"""The race of one target, drawn to scale: who was dialled when, and what came of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..text import format_address, safe
from .console import GREEN, RED, YELLOW
from .tries import CLOSED, NO_ANSWER

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .console import Console
    from .tries import Try

__all__ = ["bar", "race"]

COLUMNS = 40
"""Columns for the time from the first start to the last end."""

_WORDS = {
    "": ("connected", GREEN),
    CLOSED: ("closed, another was faster", YELLOW),
    NO_ANSWER: ("no answer yet, closed", RED),
}


def race(tries: Sequence[Try], begin: float, console: Console) -> list[str]:
    """Return a line for each attempt: the address, its time to scale, the end, milliseconds.

    Args:
        tries: in the order of their starts.
        begin: the instant at which the call began.
        console: says whether there are colours.
    """
    if not tries:
        return []
    whole = max(max(tried.ended for tried in tries) - begin, 1e-6)
    names = [safe(format_address(tried.address)) for tried in tries]
    width = max(map(len, names))
    lines = []
    for name, tried in zip(names, tries, strict=True):
        started, ended = tried.started - begin, tried.ended - begin
        word, colour = _WORDS.get(tried.error, (tried.error, RED))
        drawn = bar(started / whole, ended / whole, "+" if not tried.error else "x")
        span = f"{started * 1000:.1f} to {ended * 1000:.1f} ms"
        lines.append(f"      {name:{width}}  |{drawn}|  {console.paint(word, colour)}, {span}")
    return lines


def bar(start: float, end: float, mark: str, width: int = COLUMNS) -> str:
    """Draw an attempt: dashes while it lasts, then its mark; always one column at least.

    Args:
        start, end: 0 is the beginning of the call, 1 the end of its last attempt.
        mark: how it ended.
        width: columns for all of the time.
    """
    last = min(max(round(end * width) - 1, 0), width - 1)
    first = min(max(round(start * width), 0), last)
    return f"{' ' * first}{'-' * (last - first)}{mark}".ljust(width)
