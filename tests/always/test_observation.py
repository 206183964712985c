"""Whoever observes is told what happens; nobody else pays for it."""

from __future__ import annotations

import asyncio
import logging
import socket
from typing import Any

import pytest

import aioconnect
import aioconnect.blocking
from aioconnect import Dialer, events, retry
from aioconnect.resolve import Answer, StaticResolver

from ..support.servers import listen, refusing
from ..support.sockets import slow
from .hooks import Surprise, raising


async def test_events_tell_what_happened_in_its_order(dead: tuple[str, int]) -> None:
    """Each with its instant, its attempt's number and address."""
    seen: list[events.Event] = []
    with refusing() as address, listen() as server:
        live = server.getsockname()
        dialer = Dialer(on_event=seen.append, happy_eyeballs_delay=0.02)
        with await dialer.connect([address, dead, live]) as sock:
            local = sock.getsockname()
    assert [(type(e).__name__, e.number, e.address) for e in seen] == [
        ("AttemptStarted", 1, address),
        ("AttemptFailed", 1, address),
        ("AttemptStarted", 2, dead),
        ("AttemptStarted", 3, live),
        ("Connected", 3, live),
        ("AttemptCancelled", 2, dead),
    ]
    assert [e.at for e in seen] == sorted(e.at for e in seen)
    assert all(e.round == 1 and e.family == socket.AF_INET for e in seen)
    assert seen[3].at - seen[2].at >= 0.02
    connected = seen[4]
    assert connected.local == local
    assert connected.elapsed >= 0.02


async def test_events_tell_of_names_rounds_and_the_end() -> None:
    """Look-ups, pauses and why it was given up are told too."""
    seen: list[events.Event] = []
    names = StaticResolver({"name.test": ["127.0.0.1"]})
    with refusing() as address:
        dialer = Dialer(
            on_event=seen.append,
            resolver=names,
            retry=retry.attempts(2) & retry.constant(0.01),
        )
        with pytest.raises(ConnectionRefusedError) as raised:
            await dialer.connect("name.test", address[1])
    told = [type(event).__name__ for event in seen if not isinstance(event, events.LookupStarted)]
    assert told == [
        *("AttemptStarted", "AttemptFailed", "RetryScheduled"),
        *("AttemptStarted", "AttemptFailed", "GaveUp"),
    ]
    pause = next(event for event in seen if isinstance(event, events.RetryScheduled))
    second = [event for event in seen if isinstance(event, events.AttemptStarted)][1]
    assert pause.delay == 0.01
    assert second.at >= pause.at + 0.01
    assert second.round == 2
    gave_up = seen[-1]
    assert isinstance(gave_up, events.GaveUp)
    assert str(gave_up.error) == str(raised.value)


async def test_events_tell_of_look_ups() -> None:
    """One begins for each family; each ends with its addresses, or with what was wrong."""
    seen: list[events.Event] = []

    class Half:
        async def lookup(self, name: str, family: int) -> Any:
            """Know IPv4 only."""
            await asyncio.sleep(0)
            if family == socket.AF_INET6:
                raise socket.gaierror(socket.EAI_NONAME, "no IPv6")
            return Answer(("127.0.0.1",), source="dns", duration=0.25)

    resolver: Any = Half()
    with listen() as server:
        port = server.getsockname()[1]
        call = aioconnect.connect("name.test", port, resolver=resolver, on_event=seen.append)
        (await call).close()
    assert [type(event).__name__ for event in seen] == [
        "LookupStarted",
        "LookupStarted",
        "LookupFailed",
        "LookupSucceeded",
        "AttemptStarted",
        "Connected",
    ]
    six, four = socket.AF_INET6, socket.AF_INET
    assert [event.family for event in seen[:4]] == [six, four, six, four]
    failed, succeeded = seen[2:4]
    assert isinstance(failed.error, socket.gaierror)
    assert (succeeded.addresses, succeeded.source, succeeded.duration) == (
        ("127.0.0.1",),
        "dns",
        0.25,
    )


async def test_an_exception_of_an_observer_is_logged_and_dropped(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It changes nothing of the call."""
    with refusing() as address, listen() as server, caplog.at_level(logging.ERROR, "aioconnect"):
        targets = [address, server.getsockname()]
        call = aioconnect.connect(targets, on_event=raising(Surprise("seen")))
        (await call).close()
    assert len(caplog.records) == 4
    assert all(record.exc_info and record.exc_info[0] is Surprise for record in caplog.records)
    assert all(record.name == "aioconnect" for record in caplog.records)


async def test_the_debug_log_is_made_of_the_same_events(caplog: pytest.LogCaptureFixture) -> None:
    """Without an observer too; and above DEBUG nothing is said of a call that connects."""
    with listen() as server:
        address = server.getsockname()
        with caplog.at_level(logging.DEBUG, "aioconnect"):
            (await aioconnect.connect(*address)).close()
        assert [record.getMessage().partition("(")[0] for record in caplog.records] == [
            "AttemptStarted",
            "Connected",
        ]
        caplog.clear()
        with caplog.at_level(logging.INFO, "aioconnect"):
            (await aioconnect.connect(*address)).close()
        assert not caplog.records


async def test_nothing_is_told_when_nobody_observes(monkeypatch: pytest.MonkeyPatch) -> None:
    """No event is even made."""
    monkeypatch.setattr(events.Event, "__init__", raising(Surprise("an event was made")))
    with listen() as server:
        (await aioconnect.connect(*server.getsockname(), socket_factory=slow)).close()
