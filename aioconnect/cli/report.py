"""What ``check`` says of each target: a line for people, or an object for programs."""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeAlias

from ..errors import format_host, safe
from .console import GREEN, RED, printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..errors import ConnectError
    from ..events import Attempt
    from .console import Console

__all__ = ["JsonReport", "NoReport", "Outcome", "Report", "TextReport"]

SCHEMA = 1
"""The version of the JSON: new keys may come without a change, what is there stays as it is."""

_FAMILIES = {
    int(socket.AF_INET): "ipv4",
    int(socket.AF_INET6): "ipv6",
    int(socket.AF_UNIX): "unix",
}
_WIDEST_TARGET = 40


Socket: TypeAlias = socket.socket


class Outcome(NamedTuple):
    """What became of one target.  Instants are seconds on ``time.monotonic()``."""

    target: str
    """As it was given."""
    socket: Socket | None
    """Connected, and to be closed by whoever receives this; None if there is an error."""
    error: ConnectError | None
    started: float
    ended: float


class Report(Protocol):
    """Says one thing about each outcome."""

    def add(self, outcome: Outcome) -> None:
        """Say what became of a target; the socket stays the caller's."""
        ...


class TextReport:
    """One line for each target, in columns: what, which, where or why, how long or what to do."""

    def __init__(self, console: Console, targets: Sequence[str]) -> None:
        self._console = console
        shown = [safe(target) for target in targets]
        self._target_width = min(max(map(len, shown), default=0), _WIDEST_TARGET)
        self._third_width = len("connection_refused") if len(shown) > 1 else 0

    def add(self, outcome: Outcome) -> None:
        """Print the line."""
        error = outcome.error
        if error is None:
            word, third = self._console.paint("ok", GREEN) + "  ", format_host(_peer(outcome))
            rest = _duration(outcome.ended - outcome.started)
        else:
            word, third = self._console.paint("fail", RED), error.code
            rest = printable(str(error).removeprefix(f"cannot connect to {error.target}: "))
        target = f"{safe(outcome.target):{self._target_width}}"
        self._console.result(f"{word} {target}  {third:{self._third_width}}  {rest}")


class JsonReport:
    """One JSON object on a line of its own for each target."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def add(self, outcome: Outcome) -> None:
        """Print the object."""
        error = outcome.error
        found: dict[str, Any] = {
            "schema": SCHEMA,
            "target": outcome.target,
            "ok": error is None,
            "duration_ms": _ms(outcome.ended - outcome.started),
        }
        if error is None:
            peer = _peer(outcome)
            assert outcome.socket is not None
            found |= _place(peer, outcome.socket.family)
        else:
            found["error"] = {
                "type": error.code,
                "errno": error.errno,
                "stage": error.stage,
                "message": str(error),
                "hint": error.hint,
                "attempt_count": error.count,
                "attempts": [_attempt(each, outcome.started) for each in error.attempts],
            }
        self._console.result(json.dumps(found))


class NoReport:
    """Nothing: the exit code says it."""

    def add(self, outcome: Outcome) -> None:
        """Print nothing."""


def _peer(outcome: Outcome) -> Any:
    assert outcome.socket is not None
    try:
        return outcome.socket.getpeername()
    except OSError:  # it connected, and was reset since
        return None


def _place(address: Any, family: int) -> dict[str, Any]:
    """Say where an address is: a path has no port, a name has no family yet."""
    place: dict[str, Any] = {"address": None if address is None else format_host(address)}
    if isinstance(address, tuple):
        place["port"] = address[1]
    if family:
        place["family"] = _FAMILIES.get(family, str(int(family)))
    return place


def _attempt(attempt: Attempt, started: float) -> dict[str, Any]:
    return {
        **_place(attempt.address, attempt.family),
        "stage": attempt.stage,
        "start_ms": _ms(attempt.started - started),
        "end_ms": _ms(attempt.ended - started),
        "error": {"type": attempt.error.code, "errno": attempt.errno},
    }


def _ms(seconds: float) -> float:
    return round(max(seconds, 0.0) * 1000, 3)


def _duration(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms" if seconds < 1 else f"{seconds:.2f} s"
