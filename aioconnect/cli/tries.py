"""The attempts of targets that are being dialled, until there is a result."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from ..events import AttemptCancelled, AttemptFailed, AttemptStarted, Connected

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..events import Event

__all__ = ["CLOSED", "NO_ANSWER", "Tries", "Try"]

NO_ANSWER = "no_answer"
"""Another address was faster, though it began later."""

CLOSED = "closed"
"""Another address was faster, which had begun before: nothing is wrong with this one."""


class Try(NamedTuple):
    """One attempt at one address."""

    address: Any
    family: int
    started: float
    ended: float
    error: str
    """The code of what was wrong, ``NO_ANSWER``, ``CLOSED``; empty if it connected."""
    errno: int | None


class Tries:
    """What the events say of each target's attempts.

    Two targets that are written alike, and dialled at the same time, are one here.
    """

    def __init__(self) -> None:
        self._begun: dict[str, dict[int, float]] = {}
        self._ended: dict[str, list[tuple[int, Try]]] = {}
        self._won: dict[str, int] = {}

    def observe(self, event: Event) -> None:
        """Take one event."""
        if isinstance(event, AttemptStarted):
            self._begun.setdefault(event.target, {})[event.number] = event.at
        elif isinstance(event, AttemptFailed):
            if event.number and event.stage != "resolve":
                self._end(event, event.ended, event.error.code, event.errno)
        elif isinstance(event, Connected):
            self._won[event.target] = event.number
            self._end(event, event.at, "", None)
        elif isinstance(event, AttemptCancelled):
            self._end(event, event.at, CLOSED, None)

    def take(self, targets: Iterable[str]) -> list[Try]:
        """Return the attempts of targets, in the order of their starts, and forget them.

        Args:
            targets: all that one call has dialled, as its events write them.
        """
        winner = 0
        found: list[tuple[int, Try]] = []
        for target in targets:
            self._begun.pop(target, None)
            winner = max(winner, self._won.pop(target, 0))
            found += self._ended.pop(target, ())
        tries = [
            tried._replace(error=NO_ANSWER) if tried.error == CLOSED and number < winner else tried
            for number, tried in found
        ]
        tries.sort(key=_start_of)
        return tries

    def _end(
        self,
        event: AttemptFailed | AttemptCancelled | Connected,
        ended: float,
        error: str,
        errno: int | None,
    ) -> None:
        started = self._begun.get(event.target, {}).get(event.number, ended)
        tried = Try(event.address, event.family, started, ended, error, errno)
        self._ended.setdefault(event.target, []).append((event.number, tried))


def _start_of(tried: Try) -> float:
    return tried.started
