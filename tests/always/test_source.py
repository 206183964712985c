"""A source that is given: what one attempt holds of it does not block the next.

A port is shared by attempts at different destinations.  The file of a Unix socket goes with the
socket that is spent, and only if it is that socket's.
"""

from __future__ import annotations

import errno
import os
import socket
import time
from typing import TYPE_CHECKING, Any

import pytest

import aioconnect
from aioconnect import events, retry
from aioconnect.resolve import StaticResolver

from ..support.apis import APIS, Api
from ..support.needs import needs
from ..support.networks import Namespace, namespace
from ..support.servers import full_backlog, listen
from ..support.threads import later

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SILENT, REFUSED, LIVE = ("127.0.0.9", 7000), ("127.0.0.8", 7000), ("127.0.0.2", 7000)
PORT = 45_000


@pytest.fixture(params=APIS)
def api(request: pytest.FixtureRequest) -> Iterator[Api]:
    """Give the library on each loop, and blocking."""
    with Api(request.param) as api:
        yield api


# A port -------------------------------------------------------------------------------------------


@pytest.fixture
def network() -> Iterator[Namespace]:
    """Move into a network in which one address is silent and one listens."""
    with namespace() as network, listen(LIVE):
        network.nft(f"ip daddr {SILENT[0]} drop")
        yield network


@needs("netns", "nftables")
@pytest.mark.parametrize("port", [0, PORT])
def test_a_fixed_port_does_not_slow_the_race(network: Namespace, api: Api, port: int) -> None:
    """A live address behind a silent one is reached at the race's own pace."""
    told: list[events.Event] = []
    options: dict[str, Any] = {"local_addr": ("127.0.0.1", port), "timeout": 20}
    with api.connect([SILENT, LIVE], on_event=told.append, **options) as sock:
        assert sock.getpeername() == LIVE
        assert port in (0, sock.getsockname()[1])
    started = [event.at for event in told if type(event) is events.AttemptStarted]
    assert len(started) == 2
    assert started[1] - started[0] >= 0.25
    assert not [event for event in told if isinstance(event, events.AttemptFailed)]


@needs("netns", "nftables")
@pytest.mark.parametrize(
    "options",
    [
        {"happy_eyeballs_delay": None, "attempt_timeout": 0.1},
        {"happy_eyeballs_delay": 0},
        {"max_concurrent": 1, "attempt_timeout": 0.1},
        {"socket_options": [(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)]},
        {"happy_eyeballs_delay": 0.05, "socket_factory": lambda e: socket.socket(*e[:3])},
    ],
    ids=["one after the other", "all at once", "one slot", "SO_REUSEADDR", "a factory"],
)
def test_a_fixed_port_is_no_address_in_use(
    network: Namespace, api: Api, options: dict[str, Any]
) -> None:
    """Whatever is tried before and beside."""
    local = ("127.0.0.1", PORT)
    targets = [SILENT, REFUSED, LIVE]
    with api.connect(targets, local_addr=local, timeout=20, **options) as sock:
        assert (sock.getpeername(), sock.getsockname()) == (LIVE, local)


@needs("netns", "nftables")
def test_a_name_with_a_silent_address_is_reached_from_a_fixed_port(
    network: Namespace, api: Api
) -> None:
    """As several targets are."""
    names = StaticResolver({"db.test": [SILENT[0], LIVE[0]]})
    local = ("127.0.0.1", PORT)
    with api.connect("db.test", 7000, resolver=names, local_addr=local, timeout=20) as sock:
        assert (sock.getpeername(), sock.getsockname()) == (LIVE, local)


@needs("netns")
def test_a_fixed_port_can_be_dialled_from_in_each_round(api: Api) -> None:
    """The socket of the round before is gone."""
    with namespace(), socket.socket() as server:
        server.bind(LIVE)
        with later(0.2, server.listen):
            sock = api.connect(
                LIVE, local_addr=("127.0.0.1", PORT), retry=retry.constant(0.05), timeout=20
            )
        with sock:
            assert sock.getsockname() == ("127.0.0.1", PORT)


@needs("netns")
def test_a_second_connection_to_the_same_destination_needs_another_port(api: Api) -> None:
    """The four numbers of a connection are its name; the first one is not disturbed."""
    local = ("127.0.0.1", PORT)
    with namespace(), listen(LIVE), api.connect(LIVE, local_addr=local) as sock:
        error = api.fails(LIVE, local_addr=local, timeout=5)
        assert error.errno in (errno.EADDRNOTAVAIL, errno.EADDRINUSE)
        assert sock.getpeername() == LIVE


# A path -------------------------------------------------------------------------------------------


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Be in a directory of one's own, whose paths are short."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_file_of_a_spent_socket_is_removed(api: Api, here: Path) -> None:
    """So the next call can have its name."""
    for _ in range(2):
        error = api.fails("unix:nobody", local_addr="mine", timeout=5)
        assert isinstance(error, aioconnect.PathNotFound)
        assert not os.listdir()


def test_a_path_can_be_dialled_from_in_each_round(api: Api, here: Path) -> None:
    """The file of the round before is gone; the winner's stays, as its address."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("server")
        with later(0.2, server.listen):
            sock = api.connect(
                "unix:server", local_addr="mine", retry=retry.constant(0.05), timeout=20
            )
        with sock:
            assert sock.getsockname() == "mine"
            assert sorted(os.listdir()) == ["mine", "server"]


def test_a_path_can_be_dialled_from_at_each_try_and_each_target(api: Api, here: Path) -> None:
    """A full backlog is tried again, and another target beside it."""
    with (
        full_backlog("full"),
        listen("server"),
        api.connect(["unix:full", "unix:server"], local_addr="mine", timeout=20) as sock,
    ):
        assert sock.getpeername() == "server"
        assert sock.getsockname() == "mine"
    os.unlink("mine")
    with full_backlog("full2"):
        error = api.fails("unix:full2", local_addr="mine", timeout=0.1)
        assert isinstance(error, aioconnect.BacklogFull)
    assert "mine" not in os.listdir()


def test_a_file_of_somebody_elses_is_left_alone(api: Api, here: Path) -> None:
    """One that was there before, and one that took the name since."""
    with listen("theirs"):
        error = api.fails("unix:nobody", local_addr="theirs", timeout=5)
        assert error.stage == "bind"
        assert error.errno == errno.EADDRINUSE
        assert os.path.exists("theirs")

    def policy(ctx: retry.Context) -> retry.Stop:
        return retry.Stop()

    def replace(endpoint: Any) -> socket.socket:
        class Replacing(socket.socket):
            def connect_ex(self, address: Any) -> int:
                os.unlink("mine")
                (here / "mine").write_text("somebody else's")
                return super().connect_ex(address)

        return Replacing(*endpoint[:3])

    error = api.fails("unix:nobody", local_addr="mine", socket_factory=replace, timeout=5)
    assert isinstance(error, aioconnect.PathNotFound)
    assert (here / "mine").read_text() == "somebody else's"


def test_where_the_program_has_moved_meanwhile_the_right_file_is_removed(
    api: Api, here: Path
) -> None:
    """A relative name is one of the directory in which it was bound."""
    other = here / "other"
    other.mkdir()
    (other / "mine").write_text("not a socket")

    def moving(endpoint: Any) -> socket.socket:
        class Moving(socket.socket):
            def connect_ex(self, address: Any) -> int:
                os.chdir(other)
                return super().connect_ex(address)

        return Moving(*endpoint[:3])

    api.fails("unix:nobody", local_addr="mine", socket_factory=moving, timeout=5)
    assert os.listdir(here) == ["other"]
    assert (other / "mine").exists()


def test_the_file_goes_when_the_call_runs_out_of_time_in_a_pause(api: Api, here: Path) -> None:
    """Between two tries there is none either."""
    seen: list[list[str]] = []

    def policy(ctx: retry.Context) -> retry.Retry:
        seen.append(os.listdir())
        return retry.Retry(0.02)

    started = time.monotonic()
    api.fails("unix:nobody", local_addr="mine", retry=policy, timeout=0.2)
    assert time.monotonic() - started < 10
    assert len(seen) >= 2
    assert not any(seen)
    assert not os.listdir()
