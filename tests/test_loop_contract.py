"""``create_connection`` of a loop that dials through a dialer, keyword by keyword.

Each row is asked of the plain loop and of ours, on asyncio and uvloop, by factory and install.
Where the two differ, the row says why, and the difference must be there.
"""

from __future__ import annotations

import asyncio
import inspect
import socket
from typing import Any, NamedTuple

import pytest

from aioconnect import AddressFamilyNotSupported, ConnectError, Dialer, InvalidTarget

from .support.servers import listen
from .test_loops import BASES, WAYS, run

HERE = "127.0.0.1"


class Row(NamedTuple):
    """What is asked, what ours does, and why the plain loop does something else."""

    keywords: dict[str, Any]
    ours: type[BaseException] | None = None
    differs: str = ""


DIGITS = "127.1 is four numbers to inet_aton alone: a policy would have a hole"
NO_PORT = "asyncio dials port 0"
CLEAR = "asyncio fails by what it does with it first, or takes it"

ROWS = {
    "a literal": Row({}),
    "host None": Row({"host": None}),
    "host bytes": Row({"host": b"127.0.0.1"}),
    "host localhost": Row({"host": "localhost", "family": socket.AF_INET}),
    "host empty": Row({"host": ""}, socket.gaierror),
    "host with a blank": Row({"host": "a b"}, socket.gaierror),
    "host in brackets": Row({"host": "[::1]"}, socket.gaierror),
    "host of two numbers": Row({"host": "127.1"}, socket.gaierror, DIGITS),
    "host int": Row({"host": 3}, TypeError),
    "neither": Row({"host": None, "port": None}, ValueError),
    "port digits": Row({"port": str}),
    "port bytes": Row({"port": bytes}),
    "port None": Row({"port": None}, InvalidTarget),
    "port 0": Row({"port": 0}, InvalidTarget),
    "port -1": Row({"port": -1}, InvalidTarget, "an OverflowError there"),
    "port 70000": Row({"port": 70000}, InvalidTarget, "an OverflowError there"),
    "port float": Row({"port": 1.5}, TypeError, "asyncio dials port 1"),
    "port no service": Row({"port": "no-such-service"}, socket.gaierror),
    "ssl False": Row({"ssl": False}),
    "ssl None": Row({"ssl": None}),
    "ssl 0": Row({"ssl": 0}, TypeError, CLEAR),
    "server_hostname None": Row({"server_hostname": None}),
    "server_hostname without ssl": Row({"server_hostname": "x"}, ValueError),
    "ssl, server_hostname ''": Row({"ssl": True, "server_hostname": ""}, ValueError),
    "ssl_handshake_timeout None": Row({"ssl_handshake_timeout": None}),
    "ssl_handshake_timeout without ssl": Row({"ssl_handshake_timeout": 1}, ValueError),
    "ssl_handshake_timeout -1": Row({"ssl": True, "ssl_handshake_timeout": -1}, ValueError),
    "ssl_shutdown_timeout None": Row({"ssl_shutdown_timeout": None}),
    "ssl_shutdown_timeout without ssl": Row({"ssl_shutdown_timeout": 1}, ValueError),
    "ssl_shutdown_timeout -1": Row({"ssl": True, "ssl_shutdown_timeout": -1}, ValueError),
    "family 0": Row({"family": 0}),
    "family AF_INET": Row({"family": socket.AF_INET}),
    "family None": Row({"family": None}, None, "a TypeError there; here it leaves the dialer's"),
    "family of the other kind": Row({"family": socket.AF_INET6}, socket.gaierror),
    "family text": Row({"family": "x"}, ValueError, CLEAR),
    "proto 0": Row({"proto": 0}),
    "proto TCP": Row({"proto": socket.IPPROTO_TCP}),
    "proto None": Row({"proto": None}, None, "a TypeError there; here it is not given"),
    "proto UDP": Row({"proto": socket.IPPROTO_UDP}, ValueError, CLEAR),
    "flags 0": Row({"flags": 0}),
    "flags None": Row({"flags": None}),
    "flags AI_ADDRCONFIG": Row({"flags": socket.AI_ADDRCONFIG | socket.AI_CANONNAME}),
    "flags AI_NUMERICHOST": Row({"flags": socket.AI_NUMERICHOST}),
    "flags text": Row({"flags": "x"}, TypeError, CLEAR),
    "local_addr None": Row({"local_addr": None}),
    "local_addr": Row({"local_addr": (HERE, 0)}),
    "local_addr by name": Row({"local_addr": ("localhost", 0)}),
    "local_addr unknown": Row({"local_addr": ("256.0.0.1", 0)}, socket.gaierror),
    "local_addr text": Row({"local_addr": "x"}, ValueError),
    "local_addr alone": Row({"local_addr": (HERE,)}, ValueError),
    "local_addr of IPv6": Row({"local_addr": ("::1", 0)}, AddressFamilyNotSupported),
    "unknown": Row({"colour": 1}, TypeError),
    "protocol_factory None": Row({"protocol_factory": None}, TypeError),
}

NEW_TO_UVLOOP = {
    "happy_eyeballs_delay None": Row({"happy_eyeballs_delay": None}),
    "happy_eyeballs_delay": Row({"happy_eyeballs_delay": 0.1}),
    "happy_eyeballs_delay -1": Row({"happy_eyeballs_delay": -1}, ValueError, CLEAR),
    "happy_eyeballs_delay text": Row({"happy_eyeballs_delay": "x"}, TypeError),
    "interleave None": Row({"interleave": None}),
    "interleave 2": Row({"interleave": 2}),
    "interleave 0": Row({"interleave": 0}, ValueError, CLEAR),
    "interleave text": Row({"interleave": "x"}, TypeError),
}
"""What uvloop's own does not take, and gets by us."""


NOT_ASKED_OF_THE_PLAIN_LOOP = {
    "ssl, server_hostname ''": "it connects unverified, and waits for the server's hello",
    "ssl_handshake_timeout -1": "it leaves the socket open",
    "ssl_shutdown_timeout -1": "it leaves the socket open",
    "protocol_factory None": "it leaves the socket open",
    "happy_eyeballs_delay text": "it leaves a coroutine that nobody awaits",
}


async def ask(keywords: dict[str, Any]) -> BaseException | None:
    """Return what comes of it."""
    call = {"protocol_factory": asyncio.Protocol, **keywords}
    try:
        transport, _ = await asyncio.get_running_loop().create_connection(**call)
    except Exception as exc:
        return exc
    transport.abort()
    for _ in range(3):
        await asyncio.sleep(0)
    return None


def filled(keywords: dict[str, Any], port: int) -> dict[str, Any]:
    """Fill in the port of the server."""
    text = str(port)
    given = {"host": HERE, "port": port, **keywords}
    given["port"] = {str: text, bytes: text.encode()}.get(given["port"], given["port"])
    return given


def kind(outcome: BaseException | None) -> str:
    """Say what a client would catch."""
    if outcome is None:
        return "connected"
    for each in (OSError, TypeError, ValueError):
        if isinstance(outcome, each):
            return each.__name__
    return type(outcome).__name__


def both(way: str, name: str, row: Row) -> tuple[BaseException | None, BaseException | None]:
    """Ask the plain loop, and ours; the plain one is said to agree where it can't be asked."""
    with listen() as server:
        keywords = filled(row.keywords, server.getsockname()[1])
        ours = run(way, lambda: ask(keywords), Dialer(timeout=10))
        if name in NOT_ASKED_OF_THE_PLAIN_LOOP:
            return ours, ours
        with asyncio.Runner(loop_factory=BASES[way.partition(" by ")[0]]) as runner:
            return runner.run(ask(keywords)), ours


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ROWS)
def test_a_keyword_means_what_it_means_to_the_loop(name: str, way: str) -> None:
    """A good value, None, and bad ones: connected, or an error of the kind that clients catch."""
    row = ROWS[name]
    plain, ours = both(way, name, row)
    assert ours is None if row.ours is None else isinstance(ours, row.ours)
    if not row.differs:
        assert kind(ours) == kind(plain)
    elif way.startswith("asyncio"):  # uvloop is more lenient at times
        assert kind(ours) != kind(plain) or isinstance(plain, OverflowError)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", NEW_TO_UVLOOP)
def test_the_keywords_of_happy_eyeballs(name: str, way: str) -> None:
    """As asyncio has them; uvloop's own ``create_connection`` refuses them all."""
    row = NEW_TO_UVLOOP[name]
    plain, ours = both(way, name, row)
    assert ours is None if row.ours is None else isinstance(ours, row.ours)
    if way.startswith("uvloop") and name not in NOT_ASKED_OF_THE_PLAIN_LOOP:
        assert isinstance(plain, TypeError)
    elif not row.differs:
        assert kind(ours) == kind(plain)


@pytest.mark.parametrize("way", WAYS)
def test_a_socket_is_taken_alone_connected_and_a_stream(way: str) -> None:
    """As on the plain loop, by its own way."""

    async def main() -> None:
        with listen() as server:
            connected = socket.create_connection(server.getsockname(), 10)
            connected.setblocking(False)
            assert await ask({"sock": connected}) is None
            connected.close()
            with socket.socket() as sock, socket.socket(type=socket.SOCK_DGRAM) as datagrams:
                here = {"host": HERE, "port": server.getsockname()[1]}
                assert isinstance(await ask({**here, "sock": sock}), ValueError)
                assert isinstance(await ask({"sock": datagrams}), ValueError)

    run(way, main)


@pytest.mark.parametrize("way", WAYS)
def test_a_dialer_of_one_family_refuses_the_literals_of_the_other(way: str) -> None:
    """By an error that clients take for an address that cannot be had, not by a bare ValueError."""
    dialer = Dialer(family=socket.AF_INET6)

    async def main() -> None:
        outcome = await ask({"host": HERE, "port": 9})
        assert isinstance(outcome, socket.gaierror)
        assert isinstance(outcome, ConnectError)
        assert "not of the family asked for" in str(outcome)

    run(way, main, dialer)


def test_the_table_has_every_keyword_of_the_two_loops() -> None:
    """A keyword that asyncio adds needs a row."""
    asked = {word for row in (*ROWS.values(), *NEW_TO_UVLOOP.values()) for word in row.keywords}
    parameters = inspect.signature(asyncio.SelectorEventLoop.create_connection).parameters
    assert set(parameters) - asked == {"self", "sock", *({"all_errors"} & set(parameters))}
