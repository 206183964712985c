"""How far a check has come: one line on a terminal, gone when it ends."""

from __future__ import annotations

import asyncio
from collections import deque
from time import monotonic
from typing import TYPE_CHECKING

from .console import OutputLost
from .summary import per_second

if TYPE_CHECKING:
    from typing import Self

    from .console import Console
    from .summary import Summary

__all__ = ["Progress", "status"]

INTERVAL = 0.1
"""Seconds between two drawings; nobody reads faster."""

PATIENCE = 0.3
"""Seconds before the first one: what ends by then needs none."""

WINDOW = 10.0
"""Seconds over which the rate is taken, so that it follows what is slow or fast now."""


BAR = 20
"""Columns of the bar."""


class Progress:
    """Shows how far the summary has come; use it with ``with``, in a running loop.

    Args:
        console: where to.
        summary: what has been done.
        total: how many targets there are, None if nobody knows.
    """

    def __init__(self, console: Console, summary: Summary, total: int | None) -> None:
        self._console = console
        self._summary = summary
        self._total = total
        self._history: deque[tuple[float, int]] = deque([(monotonic(), 0)])
        self._timer: asyncio.TimerHandle | None = None

    def __enter__(self) -> Self:
        self._draw_in(PATIENCE)
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._console.end_status()

    def _draw_in(self, seconds: float) -> None:
        self._timer = asyncio.get_running_loop().call_later(seconds, self._draw)

    def _draw(self) -> None:
        summary, history = self._summary, self._history
        now = monotonic()
        history.append((now, summary.done))
        while history[0][0] < now - WINDOW:
            history.popleft()
        then, done = history[0]
        rate = (summary.done - done) / (now - then) if now > then else 0.0
        try:
            self._console.status(status(summary.done, summary.failed, rate, self._total))
        except OutputLost:
            return  # the next result hears of it, too
        self._draw_in(INTERVAL)


def status(done: int, failed: int, rate: float, total: int | None) -> str:
    """Say how far it has come: done, failed, rate, and the time left if that can be known."""
    if total is None or total < done:  # somebody has made the file longer
        return f"{done} done, {failed} failed, {per_second(rate)}"
    said = f"{done} of {total} done, {failed} failed, {per_second(rate)}"
    if rate:
        said = f"{said}, {_duration((total - done) / rate)} left"
    drawn = "=" * (BAR * done // total if total else 0)
    return f"{said}  [{drawn:{BAR}}]"  # last, for a narrow terminal


def _duration(seconds: float) -> str:
    whole = round(seconds)
    if whole < 100:
        return f"{whole} s"
    minutes, seconds = divmod(whole, 60)
    if minutes < 100:
        return f"{minutes} min {seconds} s"
    return "{} h {} min".format(*divmod(minutes, 60))
