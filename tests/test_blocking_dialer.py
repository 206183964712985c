"""``blocking.Dialer``: the same frozen options, without a loop."""

from __future__ import annotations

import socket
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

import aioconnect
from aioconnect import blocking, retry
from aioconnect.blocking import Dialer
from aioconnect.resolve import StaticResolver

from .support.servers import listen, refusing

if TYPE_CHECKING:
    from pathlib import Path


def test_it_connects() -> None:
    """The socket blocks."""
    with listen() as server, Dialer(timeout=5).connect(server.getsockname()) as sock:
        assert sock.getpeername() == server.getsockname()
        assert sock.gettimeout() is None


def test_its_options_hold() -> None:
    """A policy, say, and the observer."""
    seen: list[Any] = []
    dialer = Dialer(retry=retry.attempts(2) & retry.constant(0.01), on_event=seen.append)
    with refusing() as nobody, pytest.raises(ConnectionRefusedError) as raised:
        dialer.connect(nobody)
    assert isinstance(raised.value, aioconnect.ConnectError)
    assert raised.value.count == 2
    assert seen


def test_it_is_frozen_and_made_anew_by_replace() -> None:
    """As the one for loops; and the two are not equal."""
    dialer = Dialer(timeout=5, retry=3)
    assert dialer.replace(timeout=1) == Dialer(timeout=1, retry=3)
    assert type(dialer.replace(timeout=1)) is Dialer
    assert hash(dialer) == hash(Dialer(timeout=5, retry=3))
    assert repr(Dialer(timeout=5)) == "Dialer(timeout=5.0)"
    with pytest.raises(AttributeError):
        dialer.timeout = 1
    with pytest.raises(TypeError, match="did you mean 'retry'"):
        Dialer(retries=3)  # type: ignore[call-arg]


@pytest.mark.parametrize("way", [Dialer().wait_until_ready, blocking.wait_until_ready])
def test_it_waits_until_a_server_is_there(way: Any, tmp_path: Path) -> None:
    """And says how long that took."""
    path = str(tmp_path / "server.sock")

    def come_up() -> None:
        time.sleep(0.3)
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(path)
            server.listen()
            server.settimeout(20)
            server.accept()[0].close()

    thread = threading.Thread(target=come_up)
    thread.start()
    try:
        assert way(f"unix:{path}", timeout=20) >= 0.2
    finally:
        thread.join()


@pytest.mark.parametrize("way", [Dialer().wait_until_ready, blocking.wait_until_ready])
def test_a_wait_ends_with_the_last_error_when_the_time_is_up(way: Any) -> None:
    """The time limit is that of the wait."""
    with refusing() as nobody, pytest.raises(ConnectionRefusedError) as raised:
        way(nobody, timeout=0.3)
    assert raised.value.count >= 2  # type: ignore[attr-defined]


def test_a_dialer_with_a_policy_of_its_own_waits_by_that() -> None:
    """It is asked about what waiting may help, a name that does not exist yet among it."""
    with refusing() as nobody, pytest.raises(aioconnect.ConnectError) as raised:
        Dialer(retry=retry.attempts(1)).wait_until_ready(nobody, timeout=60)
    assert (raised.value.count, raised.value.stopped) == (1, "attempts")
    unknown = StaticResolver({})
    with pytest.raises(aioconnect.NameNotResolved) as failed:
        Dialer(retry=retry.attempts(2), resolver=unknown).wait_until_ready("db.test:5432")
    assert failed.value.stopped == "attempts"


async def test_the_dialer_for_loops_waits_too() -> None:
    """With the same rules."""
    with listen() as server:
        assert 0 <= await aioconnect.Dialer().wait_until_ready(server.getsockname()) < 10
    with refusing() as nobody, pytest.raises(aioconnect.ConnectError) as raised:
        await aioconnect.Dialer(retry=retry.attempts(1)).wait_until_ready(nobody, timeout=60)
    assert (raised.value.count, raised.value.stopped) == (1, "attempts")
