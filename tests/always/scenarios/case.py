"""What a scenario is: a call, set up, and what comes of it when nobody cancels it."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator


class World(NamedTuple):
    """What is made once for all scenarios."""

    dead: tuple[str, int]
    """An address that never answers."""
    peers: dict[str, tuple[str, int]]
    trusting: ssl.SSLContext
    distrusting: ssl.SSLContext


def nothing() -> None:
    """Do nothing."""


class Case(NamedTuple):
    """One scenario, set up."""

    call: Callable[[], Any]
    """A coroutine function; what it returns is open."""
    ends: type[BaseException] | None = None
    """What comes out when nobody cancels; None for a connection."""
    before: Callable[[], Any] = nothing
    """Makes what a single run needs, before the account is taken."""
    after: Callable[[], Any] = nothing
    """Clears away what a single run leaves at the other end."""
    grace: int = 0
    """Turns that are allowed until all is gone."""
    lingers: float = 0.0
    """Seconds that look-ups may go on after the connection is there."""


SCENARIOS: dict[str, Callable[[World], Any]] = {}


def scenario(function: Callable[[World], Iterator[Case]]) -> Callable[[World], Iterator[Case]]:
    SCENARIOS[function.__name__.replace("_", " ")] = contextmanager(function)
    return function
