"""What ``check`` says of each target: a line for people, or an object for programs."""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from ..text import format_host, safe
from .console import GREEN, RED, printable
from .scale import race
from .sources import shown_file
from .tries import CLOSED, Try

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..events import AttemptFailed
    from ..many import ConnectResult
    from .console import Console
    from .sources import Given
    from .summary import Summary

__all__ = ["JsonReport", "NoReport", "Outcome", "Report", "TextReport"]

SCHEMA = 1
"""The version of the JSON: new keys may come without a change, what is there stays as it is."""

_FAMILY_NAMES = {
    int(socket.AF_INET): "ipv4",
    int(socket.AF_INET6): "ipv6",
    int(socket.AF_UNIX): "unix",
}
_WIDEST_TARGET = 40


class Outcome(NamedTuple):
    """What became of one target."""

    given: Given
    is_target: bool
    """Whether it could be dialled as it was written."""
    result: ConnectResult
    tries: Sequence[Try] = ()
    """Its attempts that began, as far as events told; of one that failed its error has them."""

    @property
    def name(self) -> str:
        """Name it for a person; a line that is no target is not worth a repetition."""
        if self.is_target:
            return self.given.text
        return f"line {self.given.line} of {shown_file(self.given.file or '')}"


class Report(Protocol):
    """Says one thing about each outcome, and something at the end."""

    def add(self, outcome: Outcome) -> None:
        """Say what became of a target; the socket stays the caller's."""
        ...

    def end(self, summary: Summary) -> None:
        """Say what became of all of them."""
        ...


class TextReport:
    """One line for each target, in columns: what, which, where or why, how long or what to do.

    Args:
        console: where to.
        targets: those that are known beforehand.
        alone: whether there is one target, and no line below or above.
        verbose: whether its attempts stand below each line.
    """

    def __init__(
        self, console: Console, targets: Sequence[str], *, alone: bool, verbose: bool
    ) -> None:
        self._console = console
        self._verbose = verbose
        self._target_width = 0
        for target in targets:
            self._widen(safe(target))
        self._alone = alone
        self._third_width = 0 if alone else len("connection_refused")

    def add(self, outcome: Outcome) -> None:
        """Print the line."""
        error = outcome.result.error
        if error is None:
            word, third = self._console.paint("ok", GREEN) + "  ", format_host(_peer(outcome))
            rest = _duration(outcome.result.elapsed) + _but(outcome.tries)
        else:
            word, third = self._console.paint("fail", RED), error.code
            rest = str(error).removeprefix(f"cannot connect to {error.target}: ")
            if not self._alone:  # the summary has it once
                rest = rest.removesuffix(f": {error.hint}")
            if not outcome.is_target:
                rest = f"{outcome.name}: {error}"
        target = safe(outcome.given.text)
        self._widen(target)
        self._console.result(
            f"{word} {target:{self._target_width}}  {third:{self._third_width}}  {printable(rest)}"
        )
        if self._verbose:
            for line in race(_tries(outcome), outcome.result.started, self._console):
                self._console.result(line)

    def end(self, summary: Summary) -> None:
        """Print the summary beside the results, not among them."""
        for line in summary.lines():
            self._console.remark(line)

    def _widen(self, target: str) -> None:
        # The targets of a list come one by one.
        self._target_width = max(self._target_width, min(len(target), _WIDEST_TARGET))


class JsonReport:
    """One JSON object on a line of its own for each target, and one for the summary."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def add(self, outcome: Outcome) -> None:
        """Print the object."""
        given, result = outcome.given, outcome.result
        error = result.error
        found: dict[str, Any] = {
            "schema": SCHEMA,
            "target": given.text,
            "ok": error is None,
            "duration_ms": _ms(result.elapsed),
        }
        if given.file is not None:
            found |= {"file": given.file, "line": given.line}
        if error is None:
            peer = _peer(outcome)
            assert result.socket is not None
            found |= _place(peer, result.socket.family)
            found["attempts"] = [
                _tried(each, result.started) for each in outcome.tries if each.error != CLOSED
            ]
        else:
            found["error"] = {
                "type": error.code,
                "errno": error.errno,
                "stage": error.stage,
                "message": str(error),
                "hint": error.hint,
                "attempt_count": error.count,
                "attempts": [_attempt(each, result.started) for each in error.attempts],
            }
        self._console.result(json.dumps(found))

    def end(self, summary: Summary) -> None:
        """Print the last object."""
        self._console.result(json.dumps({"schema": SCHEMA, "summary": summary.as_json()}))


class NoReport:
    """Nothing: the exit code says it."""

    def add(self, outcome: Outcome) -> None:
        """Print nothing."""

    def end(self, summary: Summary) -> None:
        """Print nothing."""


def _tries(outcome: Outcome) -> Sequence[Try]:
    error = outcome.result.error
    if error is None:
        return outcome.tries
    return [
        Try(each.address, each.family, each.started, each.ended, each.error.code, each.errno)
        for each in error.attempts
        if each.address is not None
    ]


def _peer(outcome: Outcome) -> Any:
    assert outcome.result.socket is not None
    try:
        return outcome.result.socket.getpeername()
    except OSError:  # it connected, and was reset since
        return None


def _place(address: Any, family: int) -> dict[str, Any]:
    """Say where an address is: a path has no port, a name has no family yet."""
    place: dict[str, Any] = {"address": None if address is None else format_host(address)}
    if isinstance(address, tuple):
        place["port"] = address[1]
    if family:
        place["family"] = _FAMILY_NAMES.get(family, str(int(family)))
    return place


def _attempt(attempt: AttemptFailed, started: float) -> dict[str, Any]:
    return {
        **_place(attempt.address, attempt.family),
        "stage": attempt.stage,
        "start_ms": _ms(attempt.started - started),
        "end_ms": _ms(attempt.ended - started),
        "error": {"type": attempt.error.code, "errno": attempt.errno},
    }


def _tried(tried: Try, started: float) -> dict[str, Any]:
    return {
        **_place(tried.address, tried.family),
        "stage": "connect",
        "start_ms": _ms(tried.started - started),
        "end_ms": _ms(tried.ended - started),
        "error": {"type": tried.error, "errno": tried.errno} if tried.error else None,
    }


def _but(tries: Sequence[Try]) -> str:
    """Say what was wrong with other addresses of a target that was reached."""
    missed = {tried.address: tried.error for tried in tries if tried.error not in ("", CLOSED)}
    if not missed:
        return ""
    kinds = set(missed.values())
    silent = kinds <= {"no_answer", "timed_out"}
    why = "did not answer" if silent else f"failed ({', '.join(sorted(kinds))})"
    return f", but {len(missed)} of {len({tried.address for tried in tries})} addresses {why}"


def _ms(seconds: float) -> float:
    return round(max(seconds, 0.0) * 1000, 3)


def _duration(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms" if seconds < 1 else f"{seconds:.2f} s"
