"""The attempts of targets that are being dialled, until there is a result."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from ..events import AttemptCancelled, AttemptFailed, AttemptStarted, Connected

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..events import Event

__all__ = ["Tries", "Try"]


class Try(NamedTuple):
    """One attempt at one address."""

    address: Any
    family: int
    started: float
    ended: float
    error: str
    """The code of what was wrong; ``no_answer`` if another address was faster, though it began
    later; empty if nothing was."""
    errno: int | None


class Tries:
    """What the events say of each target's attempts.

    Two targets that are written alike, and dialled at the same time, are one here.
    """

    def __init__(self) -> None:
        self._begun: dict[str, dict[int, float]] = {}
        self._ended: dict[str, list[Try]] = {}
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
        elif isinstance(event, AttemptCancelled) and event.number < self._won.get(event.target, 0):
            self._end(event, event.at, "no_answer", None)

    def take(self, targets: Iterable[str]) -> list[Try]:
        """Return the attempts of targets, in the order of their starts, and forget them."""
        found: list[Try] = []
        for target in targets:
            self._begun.pop(target, None)
            self._won.pop(target, None)
            found += self._ended.pop(target, ())
        found.sort(key=_start_of)
        return found

    def _end(
        self,
        event: AttemptFailed | AttemptCancelled | Connected,
        ended: float,
        error: str,
        errno: int | None,
    ) -> None:
        started = self._begun.get(event.target, {}).get(event.number, ended)
        tried = Try(event.address, event.family, started, ended, error, errno)
        self._ended.setdefault(event.target, []).append(tried)


def _start_of(tried: Try) -> float:
    return tried.started
