"""What the demo shows: six servers, and for each the code that dials it and what comes of it."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .. import retry
from ..dialer import Dialer
from ..resolve import StaticResolver
from . import loopback

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from contextlib import AbstractContextManager

__all__ = ["SCENES", "Scene"]


@dataclass(frozen=True, slots=True)
class Scene:
    """A server that runs, the code that dials it, and what should come of it."""

    title: str
    shows: str
    code: str
    target: str
    dialer: Dialer = field(default_factory=Dialer)
    error: type[OSError] | None = None
    note: str = ""


@contextmanager
def healthy() -> Generator[Scene]:
    """Connect to a server that accepts."""
    with loopback.accepting() as port:
        yield Scene(
            title="A healthy server",
            shows="One attempt, and a connected socket that is yours.",
            code=f"""\
                sock = await aioconnect.connect("127.0.0.1", {port})
                print("connected to", sock.getpeername())
                sock.close()""",
            target=f"127.0.0.1:{port}",
        )


@contextmanager
def refuses() -> Generator[Scene]:
    """Connect to a port on which nobody listens."""
    with loopback.refusing() as port:
        yield Scene(
            title="A server that refuses",
            shows="The error is the built-in one, and says what to look at.",
            code=f"""\
                try:
                    sock = await aioconnect.connect("127.0.0.1", {port})
                except ConnectionRefusedError as error: print(error)""",
            target=f"127.0.0.1:{port}",
            error=ConnectionRefusedError,
        )


@contextmanager
def never_answers() -> Generator[Scene]:
    """Connect to a server that drops every packet."""
    with loopback.silent() as port:
        yield Scene(
            title="A server that never answers",
            shows="The call ends when its timeout does; left alone the kernel tries for minutes.",
            code=f"""\
                try:
                    sock = await aioconnect.connect("127.0.0.1", {port}, timeout=1)
                except TimeoutError as error: print(error)""",
            target=f"127.0.0.1:{port}",
            dialer=Dialer(timeout=1),
            error=TimeoutError,
        )


@contextmanager
def comes_up_late() -> Generator[Scene]:
    """Connect to a server that is still starting."""
    with loopback.refusing_at_first(2) as port:
        policy = retry.exponential(0.2, cap=0.8)
        yield Scene(
            title="A server that comes up after two seconds",
            shows="A retry policy dials again, with growing pauses, until the timeout at most.",
            code=f"""\
                from aioconnect import retry
                patience = retry.exponential(0.2, cap=0.8)
                sock = await aioconnect.connect("127.0.0.1", {port}, retry=patience, timeout=10)""",
            target=f"127.0.0.1:{port}",
            dialer=Dialer(retry=policy, timeout=10),
        )


@contextmanager
def unix_socket() -> Generator[Scene]:
    """Connect to a path."""
    with loopback.accepting_on_path() as path:
        yield Scene(
            title="A Unix socket",
            shows="A path instead of a host and a port; everything else is the same.",
            code=f"""\
                sock = await aioconnect.connect("unix:{path}")
                print("connected to", sock.getpeername())
                sock.close()""",
            target=f"unix:{path}",
        )


@contextmanager
def dead_ipv6() -> Generator[Scene]:
    """Connect to a name whose first address is dead."""
    with loopback.dead_and_alive() as (dead, alive, port):
        has_ipv6 = ":" in dead
        kinds = ("IPv6", "IPv4") if has_ipv6 else ("first", "second")
        note = f"This host has no IPv6: {dead} plays the dead address."
        yield Scene(
            title="A name with a dead {} and a live {} address".format(*kinds),
            shows="Happy Eyeballs: the next address is tried a quarter of a second later.",
            code=f"""\
                from aioconnect.resolve import StaticResolver
                names = StaticResolver({{"app.example": ["{dead}", "{alive}"]}})
                sock = await aioconnect.connect("app.example", {port}, resolver=names)""",
            target=f"app.example:{port}",
            dialer=Dialer(resolver=StaticResolver({"app.example": [dead, alive]})),
            note="" if has_ipv6 else note,
        )


SCENES: tuple[Callable[[], AbstractContextManager[Scene]], ...] = (
    healthy,
    refuses,
    never_answers,
    comes_up_late,
    unix_socket,
    dead_ipv6,
)
