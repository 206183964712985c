"""The end of a check: how many were reached, and why the others were not, by cause."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any

from ..events import SlowedDown
from .console import printable

if TYPE_CHECKING:
    from ..errors import ConnectError
    from ..events import Event

__all__ = ["Summary", "per_second"]

_LACKING = {
    "too_many_open_sockets": "descriptors ran out",
    "no_buffer_space_available": "kernel buffers ran out",
    "address_not_available": "local ports ran out",
}
_LIMIT = "; or lower --limit"


class _Cause:
    """What went wrong several times: how often, and for the first one of them the advice."""

    __slots__ = ("count", "example", "hint")

    def __init__(self, example: str, hint: str) -> None:
        self.count = 0
        self.example = example
        self.hint = hint


class Summary:
    """Counts what became of the targets; what it keeps does not grow with their number.

    Attributes:
        reached: how many targets were.
        failed: how many were not.
        ending: why there may be more that were never tried; empty if there are none.
    """

    def __init__(self) -> None:
        self.reached = 0
        self.failed = 0
        self.ending = ""
        self._causes: dict[str, _Cause] = {}
        self._lacking: dict[str, _Cause] = {}
        self._started = self._ended = monotonic()

    @property
    def done(self) -> int:
        """How many targets have a result."""
        return self.reached + self.failed

    def add(self, target: str, error: ConnectError | None) -> None:
        """Count the result of a target."""
        if error is None:
            self.reached += 1
        else:
            self.failed += 1
            _count(self._causes, target, error)

    def observe(self, event: Event) -> None:
        """Count how often something of this host was lacking."""
        if isinstance(event, SlowedDown):
            _count(self._lacking, event.target, event.error)

    def end(self, ending: str) -> None:
        """Stop the clock."""
        self._ended = monotonic()
        self.ending = ending

    def lines(self) -> list[str]:
        """Say it for a person: the totals, the causes, what was lacking."""
        totals = (
            f"{self.reached} reached, {self.failed} failed,"
            f" {self._seconds:.1f} s, {per_second(self._rate)}"
        )
        lines = [f"{totals}; {self.ending}" if self.ending else totals]
        causes = _most_frequent_first(self._causes)
        width = max((len(code) for code, _ in causes), default=0)
        digits = len(str(self.failed))
        lines += [
            f"  {cause.count:{digits}} {code:{width}}  e.g. {cause.example}: {cause.hint}"
            for code, cause in causes
        ]
        for code, cause in _most_frequent_first(self._lacking):
            times = "once" if cause.count == 1 else f"{cause.count} times"
            lines.append(f"slowed down {times}: {_LACKING.get(code, code)}: {cause.hint}{_LIMIT}")
        return [printable(line) for line in lines]

    def as_json(self) -> dict[str, Any]:
        """Say it for a program."""
        return {
            "reached": self.reached,
            "failed": self.failed,
            "complete": not self.ending,
            "duration_ms": round(self._seconds * 1000, 3),
            "rate_per_s": round(self._rate, 3),
            "causes": [
                {
                    "type": code,
                    "count": cause.count,
                    "example": cause.example,
                    "hint": cause.hint,
                }
                for code, cause in _most_frequent_first(self._causes)
            ],
            "slowed_down": [
                {"type": code, "count": cause.count, "hint": cause.hint}
                for code, cause in _most_frequent_first(self._lacking)
            ],
        }

    @property
    def _seconds(self) -> float:
        return self._ended - self._started

    @property
    def _rate(self) -> float:
        return self.done / self._seconds if self._seconds > 0 else 0.0


def _count(causes: dict[str, _Cause], target: str, error: ConnectError) -> None:
    cause = causes.get(error.code)
    if cause is None:
        cause = causes[error.code] = _Cause(target, error.hint)
    cause.count += 1


def _most_frequent_first(causes: dict[str, _Cause]) -> list[tuple[str, _Cause]]:
    return sorted(causes.items(), key=lambda each: -each[1].count)


def per_second(rate: float) -> str:
    """Say a rate for a person."""
    return f"{rate:.0f}/s" if rate >= 10 else f"{rate:.1f}/s"
