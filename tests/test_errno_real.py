"""Every cause that Linux can be made to give is given by a real socket, to each of the functions.

Nothing is patched: routes, filters, ICMP messages, limits, modes and users make the kernel say
what it says, inside network namespaces where the network is concerned.  What a row of the table
must look like stands in ``test_errors.py``; here is that it comes out so, with its address and
stage, on asyncio, on uvloop and without a loop.

What cannot be made is in ``NOT_PRODUCED`` at the end, each with the reason, and is answered by
seccomp(2) instead: the number then comes from the kernel, though not for its usual cause.
"""

from __future__ import annotations

import asyncio
import errno
import gc
import os
import re
import select
import socket
import subprocess
import time
import weakref
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

import aioconnect
import aioconnect.blocking
from aioconnect import (
    AttemptTimedOut,
    BacklogFull,
    ConnectError,
    ConnectionRefused,
    DeadlineExceeded,
    Help,
    TooManyOpenFiles,
)

from .support.apis import APIS, Api
from .support.error_table import ROWS, TABLE, Row, public_class
from .support.limits import (
    few_descriptors,
    immutable,
    open_directory,
    other_user,
    read_only_file_system,
    sandboxed,
)
from .support.needs import needs
from .support.networks import (
    ACK,
    FIN,
    RST,
    SYN,
    Namespace,
    Syn,
    TunPeer,
    namespace,
    switch_interval,
)
from .support.servers import black_hole, family_of, full_backlog, listen, refusing, resetting

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

PRODUCED: set[str] = set()
"""The rows of the table that a test of this file makes the kernel produce."""


def produces(*names: str) -> Callable[[Any], Any]:
    """Note that the test below makes the kernel answer with these numbers."""
    PRODUCED.update(names)
    return lambda test: test


def row(name: str, hint: str = "") -> Row:
    """Find the row of the table for an errno; ``hint`` tells those of one number apart."""
    return next(row for row in ROWS if row.errno == name and hint in row.hint)


def check(
    error: ConnectError,
    expected: Row,
    *,
    address: Any,
    stage: str = "connect",
    alone: bool = False,
    raised: bool = False,
) -> None:
    """Compare an error with its row.

    ``alone`` for the functions that make no attempts' log, ``raised`` if a function of the
    caller's raised what failed.
    """
    assert public_class(error) is expected.type
    assert isinstance(error, expected.builtin)
    assert error.errno == getattr(errno, expected.errno)
    assert error.code == expected.code
    assert error.help == expected.help
    assert expected.hint in error.hint
    assert error.stage == stage
    assert error.address == address
    assert error.elapsed >= 0
    assert error.hint in str(error)
    assert str(error).isprintable()
    if alone:
        assert error.attempts == ()
        return
    if address is not None:
        assert error.family == family_of(address)
    assert error.count == 1
    (attempt,) = error.attempts
    assert (attempt.address, attempt.stage, attempt.errno) == (address, stage, error.errno)
    assert attempt.started <= attempt.ended
    assert attempt.ended - attempt.started <= error.elapsed
    assert (error.__cause__ is not None) == raised
    assert "1 attempt" in str(error)
    shown = address[0] if isinstance(address, tuple) else address.replace("\0", "@")
    assert shown[:80] in str(error)


@pytest.fixture(params=APIS)
def api(request: pytest.FixtureRequest) -> Iterator[Api]:
    """Call the library on asyncio, on uvloop, and blocking."""
    with Api(request.param) as api:
        yield api


@pytest.fixture
def directory() -> Iterator[Path]:
    """Give a directory that every user may enter."""
    with open_directory() as path:
        yield path


@contextmanager
def caller_socket(address: Any, type: int = socket.SOCK_STREAM) -> Iterator[socket.socket]:
    """Give a socket as a caller of ``sock_connect`` has it."""
    with socket.socket(family_of(address), type) as sock:
        sock.setblocking(False)
        yield sock


def sock_connect_fails(
    api: Api, address: Any, timeout: float | None = 10, **options: Any
) -> ConnectError:
    """Connect a caller's own socket in vain; it must still be open, and the caller's."""
    with caller_socket(address, **options) as sock:
        with pytest.raises(ConnectError) as caught:
            api.sock_connect(sock, address, timeout=timeout)
        assert sock.fileno() != -1
    return caught.value


# Routes and interfaces ----------------------------------------------------------------------------


class Case(NamedTuple):
    """A network that is set up in an empty namespace, an address, and what comes of dialling it."""

    id: str
    row: Row
    address: Any
    setup: Callable[[Namespace], object] = lambda _: None


def ip(*commands: str) -> Callable[[Namespace], None]:
    """Make a set-up of these commands of iproute2."""
    return lambda network: network.ip(*commands)


def ip_beside_a_remote(*commands: str) -> Callable[[Namespace], None]:
    """Make a set-up of a second host behind a cable, and commands of iproute2."""

    def setup(network: Namespace) -> None:
        network.remote()
        network.ip(*commands)

    return setup


def without_ipv6(network: Namespace) -> None:
    """Switch IPv6 off, as containers do."""
    network.sysctl("ipv6/conf/all/disable_ipv6", 1)


def with_a_silent_link(network: Namespace) -> None:
    """Plug in a cable behind which one host answers; give up soon on all others."""
    network.remote()
    for protocol in ("ipv4", "ipv6"):
        network.sysctl(f"{protocol}/neigh/near/retrans_time_ms", 100)


def with_a_route_but_no_source(network: Namespace) -> None:
    """Leave a route to fd66::/64, and no IPv6 address to reach it from."""
    network.remote()
    network.sysctl("ipv6/conf/near/addr_gen_mode", 1)
    network.ip("link set near down", "link set near up")
    network.ip("route replace fd66::/64 dev near", "address del ::1/128 dev lo")
    listing = subprocess.run(["ip", "-6", "addr"], capture_output=True, text=True, check=True)
    for address in re.findall(r"inet6 (\S+)", listing.stdout):
        network.ip(f"address del {address} dev near")


NETWORK = [
    Case("no-route", row("ENETUNREACH"), ("10.1.0.1", 80)),
    Case("no-route6", row("ENETUNREACH"), ("fd01::1", 80, 0, 0)),
    Case("multicast", row("ENETUNREACH"), ("224.0.0.1", 80), ip("route add default dev lo")),
    Case("throw", row("ENETUNREACH"), ("10.1.0.1", 80), ip("route add throw 10.1.0.0/16")),
    Case("throw6", row("ENETUNREACH"), ("fd01::1", 80, 0, 0), ip("route add throw fd01::/16")),
    Case(
        "link-down",
        row("ENETUNREACH"),
        ("10.66.0.2", 80),
        ip_beside_a_remote("link set near down"),
    ),
    Case(
        "unreachable",
        row("EHOSTUNREACH"),
        ("10.1.0.1", 80),
        ip("route add unreachable 10.1.0.0/16"),
    ),
    Case(
        "unreachable6",
        row("EHOSTUNREACH"),
        ("fd01::1", 80, 0, 0),
        ip("route add unreachable fd01::/16"),
    ),
    Case("no-arp-answer", row("EHOSTUNREACH"), ("10.66.0.9", 80), with_a_silent_link),
    Case("no-nd-answer", row("EHOSTUNREACH"), ("fd66::9", 80, 0, 0), with_a_silent_link),
    Case(
        "prohibit",
        row("EACCES", "firewall"),
        ("10.1.0.1", 80),
        ip("route add prohibit 10.1.0.0/16"),
    ),
    Case(
        "prohibit6",
        row("EACCES", "firewall"),
        ("fd01::1", 80, 0, 0),
        ip("route add prohibit fd01::/16"),
    ),
    Case(
        "prohibit-rule",
        row("EACCES", "firewall"),
        ("127.0.0.9", 80),
        ip(
            "rule add pref 10 table local",
            "rule add pref 5 to 127.0.0.9 prohibit",
            "rule del pref 0",
        ),
    ),
    Case(
        "ipsec-block",
        row("EPERM"),
        ("10.66.0.2", 80),
        ip_beside_a_remote("xfrm policy add dir out dst 10.66.0.2/32 action block"),
    ),
    Case(
        "ipsec-block6",
        row("EPERM"),
        ("fd66::2", 80, 0, 0),
        ip_beside_a_remote("xfrm policy add dir out dst fd66::2/128 action block"),
    ),
    Case(
        "blackhole",
        row("EINVAL", "blackhole"),
        ("10.1.0.1", 80),
        ip("route add blackhole 10.1.0.0/16"),
    ),
    Case(
        "blackhole6",
        row("EINVAL", "blackhole"),
        ("fd01::1", 80, 0, 0),
        ip("route add blackhole fd01::/16"),
    ),
    Case("no-scope", row("EINVAL", "fe80"), ("fe80::1", 80, 0, 0)),
    Case("ipv6-off", row("EADDRNOTAVAIL", "family"), ("fd01::1", 80, 0, 0), without_ipv6),
    Case("ipv6-off-loopback", row("EADDRNOTAVAIL", "family"), ("::1", 80, 0, 0), without_ipv6),
    Case(
        "no-source6",
        row("EADDRNOTAVAIL", "family"),
        ("fd66::2", 80, 0, 0),
        with_a_route_but_no_source,
    ),
    Case("nobody-listens", row("ECONNREFUSED", "listening"), ("127.0.0.1", 80)),
    Case("nobody-listens6", row("ECONNREFUSED", "listening"), ("::1", 80, 0, 0)),
    Case(
        "nobody-listens-there",
        row("ECONNREFUSED", "listening"),
        ("10.66.0.2", 80),
        ip_beside_a_remote(),
    ),
]
produces(*(case.row.errno for case in NETWORK))


@needs("netns")
@pytest.mark.parametrize("case", NETWORK, ids=lambda case: case.id)
def test_what_routes_and_interfaces_answer(api: Api, case: Case) -> None:
    """The route, the link or the host answers, and the error says which and what to look at."""
    with namespace() as network:
        case.setup(network)
        error = api.fails(*case.address[:2], timeout=10)
        check(error, case.row, address=case.address)
        error = sock_connect_fails(api, case.address)
        check(error, case.row, address=case.address, alone=True)


# Filters ------------------------------------------------------------------------------------------

REJECTIONS = {
    "tcp reset": "ECONNREFUSED",
    "icmp type net-unreachable": "ENETUNREACH",
    "icmp type host-unreachable": "EHOSTUNREACH",
    "icmp type prot-unreachable": "ENOPROTOOPT",
    "icmp type port-unreachable": "ECONNREFUSED",
    "icmp type net-prohibited": "ENETUNREACH",
    "icmp type host-prohibited": "EHOSTUNREACH",
    "icmp type admin-prohibited": "EHOSTUNREACH",
    "icmpv6 type no-route": "ENETUNREACH",
    "icmpv6 type admin-prohibited": "EACCES",
    "icmpv6 type addr-unreachable": "EHOSTUNREACH",
    "icmpv6 type port-unreachable": "ECONNREFUSED",
    "icmpv6 type policy-fail": "EACCES",
    "icmpv6 type reject-route": "EACCES",
}


@produces(*REJECTIONS.values())
@needs("netns")
def test_what_a_filter_rejects_with(api: Api) -> None:
    """Each code that nftables can reject with, all dialled at the same time."""
    cases: list[tuple[str, Any, Row]] = []
    rules = []
    with namespace() as network:
        network.remote()
        for number, (reject, name) in enumerate(REJECTIONS.items(), 16):
            if reject.startswith("icmpv6"):
                address: Any = (f"fd66::{number}", 80, 0, 0)
                rules.append(f"ip6 daddr {address[0]} reject with {reject}")
                network.ip(f"neighbour add {address[0]} lladdr 02:00:00:00:00:01 dev near")
            else:
                address = (f"10.66.0.{number}", 80)
                protocol = "tcp dport 80" if reject == "tcp reset" else ""
                rules.append(f"ip daddr {address[0]} {protocol} reject with {reject}")
            cases.append((reject, address, row(name)))
        network.nft("\n".join(rules))
        dials = [((address[0], address[1]), {"timeout": 10}) for _, address, _ in cases]
        errors = api.together(dials)
    for error, (_, address, expected) in zip(errors, cases, strict=True):
        check(error, expected, address=address)


USER_TIMEOUT = (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 100)
"""Give up at the first retransmission after 0.1 s, which comes after one second."""


@produces("ETIMEDOUT")
@needs("netns")
def test_the_kernel_gives_up_on_what_a_filter_drops(api: Api) -> None:
    """Without a limit of ours, or before it, the kernel's ETIMEDOUT comes."""
    addresses = [("127.0.0.9", 80), ("fd01::9", 80, 0, 0)]
    with namespace() as network:
        network.nft("ip daddr 127.0.0.9 drop\nip6 daddr fd01::9 drop")
        network.ip("address add fd01::9/128 dev lo nodad")
        errors = api.together(
            [
                (("127.0.0.9", 80), {"timeout": None, "socket_options": [USER_TIMEOUT]}),
                (("fd01::9", 80), {"timeout": 20, "socket_options": [USER_TIMEOUT]}),
            ]
        )
    for error, address in zip(errors, addresses, strict=True):
        check(error, row("ETIMEDOUT"), address=address)
        assert error.elapsed >= 0.9


@produces("ETIMEDOUT")
@needs("netns")
@pytest.mark.parametrize("api", APIS[:1], indirect=True)
def test_the_kernel_gives_up_after_the_retransmissions_that_were_asked_for(api: Api) -> None:
    """Set for the socket (TCP_SYNCNT) or for the namespace, it is the same ETIMEDOUT."""
    retries = (socket.IPPROTO_TCP, socket.TCP_SYNCNT, 1)
    with namespace() as network:
        network.sysctl("ipv4/tcp_syn_linear_timeouts", 0)
        network.sysctl("ipv4/tcp_syn_retries", 1)
        network.nft("ip daddr 127.0.0.9 drop")
        errors = api.together(
            [
                (("127.0.0.9", 80), {"timeout": 20, "socket_options": [retries]}),
                (("127.0.0.9", 81), {"timeout": None}),
            ]
        )
    for port, error in zip((80, 81), errors, strict=True):
        check(error, row("ETIMEDOUT"), address=("127.0.0.9", port))
        assert error.elapsed >= 2.5


@needs("netns")
def test_the_kernel_gives_up_on_a_callers_socket_too(api: Api) -> None:
    """``sock_connect`` without a time limit waits for as long as the kernel does."""
    with namespace() as network, caller_socket(("127.0.0.9", 80)) as sock:
        network.nft("ip daddr 127.0.0.9 drop")
        sock.setsockopt(*USER_TIMEOUT)
        with pytest.raises(ConnectError) as caught:
            api.sock_connect(sock, ("127.0.0.9", 80))
    check(caught.value, row("ETIMEDOUT"), address=("127.0.0.9", 80), alone=True)
    assert caught.value.elapsed >= 0.9


# ICMP and TCP from a peer -------------------------------------------------------------------------

ICMP = {
    "net-unreachable": (3, 0, "ENETUNREACH"),
    "host-unreachable": (3, 1, "EHOSTUNREACH"),
    "protocol-unreachable": (3, 2, "ENOPROTOOPT"),
    "port-unreachable": (3, 3, "ECONNREFUSED"),
    "source-route-failed": (3, 5, "EOPNOTSUPP"),
    "net-unknown": (3, 6, "ENETUNREACH"),
    "host-unknown": (3, 7, "EHOSTDOWN"),
    "host-isolated": (3, 8, "ENONET"),
    "net-prohibited": (3, 9, "ENETUNREACH"),
    "host-prohibited": (3, 10, "EHOSTUNREACH"),
    "net-tos": (3, 11, "ENETUNREACH"),
    "host-tos": (3, 12, "EHOSTUNREACH"),
    "admin-prohibited": (3, 13, "EHOSTUNREACH"),
    "precedence-violation": (3, 14, "EHOSTUNREACH"),
    "precedence-cutoff": (3, 15, "EHOSTUNREACH"),
    "time-exceeded": (11, 0, "EHOSTUNREACH"),
    "parameter-problem": (12, 0, "EPROTO"),
}
ICMP6 = {
    "no-route": (1, 0, "ENETUNREACH"),
    "admin-prohibited": (1, 1, "EACCES"),
    "beyond-scope": (1, 2, "EHOSTUNREACH"),
    "address-unreachable": (1, 3, "EHOSTUNREACH"),
    "port-unreachable": (1, 4, "ECONNREFUSED"),
    "policy-fail": (1, 5, "EACCES"),
    "reject-route": (1, 6, "EACCES"),
    "source-routing-error": (1, 7, "EPROTO"),
    "time-exceeded": (3, 0, "EHOSTUNREACH"),
    "parameter-problem": (4, 0, "EPROTO"),
}


@produces(*(name for _, _, name in (*ICMP.values(), *ICMP6.values())))
@needs("netns")
@pytest.mark.parametrize("version", [4, 6])
def test_what_icmp_says(api: Api, version: int) -> None:
    """Each message that a router or a host can send about a SYN."""
    messages = ICMP if version == 4 else ICMP6
    prefix = "10.77.1." if version == 4 else "fd77::1:"
    with namespace() as network, TunPeer(network) as peer:
        addresses: list[Any] = []
        for number, (kind, code, _) in enumerate(messages.values(), 10):
            host = f"{prefix}{number}"
            addresses.append((host, 80) if version == 4 else (host, 80, 0, 0))
            peer.answer(host, lambda syn, kind=kind, code=code: [syn.icmp(kind, code)])
        errors = api.together([((a[0], a[1]), {"timeout": 10}) for a in addresses])
    for error, address, (_, _, name) in zip(errors, addresses, messages.values(), strict=True):
        check(error, row(name), address=address)


SEGMENTS: dict[str, tuple[str, Callable[[Syn], list[bytes]]]] = {
    "refused": ("ECONNREFUSED", lambda syn: [syn.tcp(RST | ACK)]),
    "accepted-and-reset": (
        "ECONNRESET",
        lambda syn: [syn.tcp(SYN | ACK), syn.tcp(RST | ACK, sequence=1)],
    ),
    "accepted-closed-and-reset": (
        "EPIPE",
        lambda syn: [
            syn.tcp(SYN | ACK),
            syn.tcp(FIN | ACK, sequence=1),
            syn.tcp(RST | ACK, sequence=2),
        ],
    ),
}


@produces(*(name for name, _ in SEGMENTS.values()))
@needs("netns")
@pytest.mark.parametrize("segments", SEGMENTS)
def test_what_a_peer_answers_in_the_handshake(api: Api, segments: str) -> None:
    """A reset that arrives before anybody has looked at the new connection is not success."""
    name, reply = SEGMENTS[segments]
    with one_core(), namespace() as network, TunPeer(network) as peer, switch_interval(1):
        for host in ("10.77.0.9", "fd77::9"):
            peer.answer(host, reply)
            address: Any = (host, 80) if "." in host else (host, 80, 0, 0)
            error = until_it_fails(partial(api.fails, host, 80, timeout=10))
            check(error, row(name), address=address)
            error = until_it_fails(partial(sock_connect_fails, api, address))
            check(error, row(name), address=address, alone=True)


@contextmanager
def one_core() -> Iterator[None]:
    """Let this thread, and those it starts, run on one core, and interrupt nobody to wake up.

    So all segments of an answer are there when who waits for the first one looks.
    """
    cores, policy = os.sched_getaffinity(0), os.sched_getscheduler(0)
    os.sched_setaffinity(0, {min(cores)})
    os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    try:
        yield
    finally:
        os.sched_setscheduler(0, policy, os.sched_param(0))
        os.sched_setaffinity(0, cores)


def until_it_fails(dial: Callable[[], ConnectError]) -> ConnectError:
    """Dial until the reset was there in time: somebody may look between it and the SYN-ACK."""
    for _ in range(20):
        with suppress(pytest.fail.Exception):
            return dial()
    pytest.fail("a connect that was reset is a success, again and again")


@produces("ECONNRESET", "EPIPE")
@needs("netns")
@pytest.mark.parametrize("segments", SEGMENTS)
def test_a_finished_connect_is_reported_to_who_waits_for_it(api: Api, segments: str) -> None:
    """``connect_wait`` on a socket whose connect failed long ago says how."""
    name, reply = SEGMENTS[segments]
    with namespace() as network, TunPeer(network) as peer:
        peer.answer("10.77.0.9", reply)
        with caller_socket(("10.77.0.9", 80)) as sock:
            assert sock.connect_ex(("10.77.0.9", 80)) == errno.EINPROGRESS
            poll = select.poll()
            poll.register(sock, 0)
            assert poll.poll(5000), "the peer did not answer"
            with pytest.raises(ConnectError) as caught:
                api.connect_wait(sock, timeout=10)
            assert sock.fileno() != -1
    check(caught.value, row(name), address=None, stage="wait", alone=True)


@produces("ECONNABORTED")
@needs("ss")
@pytest.mark.parametrize("function", ["connect", "sock_connect", "connect_wait"])
def test_a_connection_that_an_administrator_kills_was_aborted(api: Api, function: str) -> None:
    """``ss --kill`` (and Android, when the network changes) aborts what is in flight."""
    address = ("10.77.0.9", 80)

    def kill(syn: Syn) -> list[bytes]:
        command = ["ss", "--tcp", "--kill", "dst", "10.77.0.9"]
        subprocess.run(command, capture_output=True, check=False)
        return []

    with namespace() as network, TunPeer(network) as peer, caller_socket(address) as sock:
        peer.answer("10.77.0.9", kill)
        if function == "connect":
            error = api.fails(*address, timeout=10)
        elif function == "sock_connect":
            error = sock_connect_fails(api, address)
        else:
            assert sock.connect_ex(address) == errno.EINPROGRESS
            with pytest.raises(ConnectError) as caught:
                api.connect_wait(sock, timeout=10)
            error = caught.value
    check(
        error,
        row("ECONNABORTED"),
        address=None if function == "connect_wait" else address,
        stage="wait" if function == "connect_wait" else "connect",
        alone=function != "connect",
    )


@produces("ECONNABORTED")
def test_a_spent_socket_is_not_connected_again(api: Api) -> None:
    """Linux says ECONNABORTED when the error of the last connect was read already."""
    with refusing() as refused, caller_socket(refused) as sock:
        with pytest.raises(ConnectionRefused):
            api.sock_connect(sock, refused, timeout=10)
        with pytest.raises(ConnectError) as caught:
            api.sock_connect(sock, refused, timeout=10)
    assert caught.value.errno in (errno.ECONNABORTED, errno.ECONNREFUSED)


def test_a_server_that_accepts_and_resets_never_surprises(api: Api) -> None:
    """Either it was connected, which it was, or the reset was seen: nothing else."""
    with resetting() as address:
        for _ in range(50):
            try:
                sock = api.connect(*address, timeout=10)
            except ConnectError as error:
                check(error, row("ECONNRESET"), address=address)
            else:
                sock.close()


# Our own limits -----------------------------------------------------------------------------------


def test_our_own_limits_have_no_errno(api: Api) -> None:
    """The limit of an attempt, and of the call, are told apart from the kernel's."""
    with black_hole() as address:
        attempt = api.fails(*address, timeout=10, attempt_timeout=0.1)
        call = api.fails(*address, timeout=0.1)
        own = sock_connect_fails(api, address, timeout=0.1)
        with caller_socket(address) as sock:
            assert sock.connect_ex(address) == errno.EINPROGRESS
            with pytest.raises(ConnectError) as caught:
                api.connect_wait(sock, timeout=0.1)
    assert type(attempt) is AttemptTimedOut
    assert attempt.help == Help.SAME | Help.OTHER
    for error in (call, own, caught.value):
        assert type(error) is DeadlineExceeded
        assert error.help == Help.NOTHING
    for error in (attempt, call, own, caught.value):
        assert isinstance(error, TimeoutError)
        assert (error.errno, error.code) == (None, "timed_out")
        assert "firewall" in error.hint
        assert error.elapsed >= 0.1
    for error in (attempt, call):
        assert (error.stage, error.address, error.count) == ("connect", address, 1)
        assert [a.errno for a in error.attempts] == [None]


# Local addresses and ports ------------------------------------------------------------------------


LOCAL = {"127.0.0.1": "127.0.0.1", "::1": "::1", "10.66.0.2": "10.66.0.1", "fd66::2": "fd66::1"}


@produces("EADDRNOTAVAIL")
@needs("netns")
@pytest.mark.parametrize("host", LOCAL)
def test_a_narrow_port_range_is_exhausted(api: Api, host: str) -> None:
    """When each local port is in use to that destination, it says so, and how to widen it."""
    with namespace() as network:
        remote = network.remote() if "66" in host else network
        with remote.inside(), listen((host, 80)) as server, network.inside():
            network.sysctl("ipv4/ip_local_port_range", "40000 40001")
            for local in ({}, {"local_addr": (LOCAL[host], 0)}):
                with api.connect(host, 80, **local), api.connect(host, 80, **local):
                    error = api.fails(host, 80, timeout=5, **local)
                check(error, row("EADDRNOTAVAIL", "range"), address=server.getsockname())
                network.sysctl("ipv4/ip_local_port_range", "40002 40003")


@produces("EADDRNOTAVAIL")
@needs("netns")
def test_a_connection_that_exists_cannot_be_made_twice(api: Api) -> None:
    """A fixed local port serves one connection to a destination, even with SO_REUSEADDR."""
    with namespace() as network, listen(("127.0.0.1", 80)):
        options = {
            "local_addr": ("127.0.0.1", 7000),
            "socket_options": [(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)],
        }
        network.sysctl("ipv4/ip_local_port_range", "40000 40001")
        with api.connect("127.0.0.1", 80, **options):
            error = api.fails("127.0.0.1", 80, timeout=5, **options)
    check(error, row("EADDRNOTAVAIL", "range"), address=("127.0.0.1", 80))


@produces("EADDRNOTAVAIL")
@pytest.mark.parametrize(
    "local", ["192.0.2.1", pytest.param("2001:db8::1", marks=needs("ipv6 sockets"))]
)
def test_a_foreign_local_address_is_not_available(api: Api, local: str) -> None:
    """``local_addr`` must be an address of this host."""
    address: Any = ("127.0.0.1", 9) if "." in local else ("::1", 9, 0, 0)
    error = api.fails(*address[:2], timeout=5, local_addr=(local, 0))
    check(error, row("EADDRNOTAVAIL", "local_addr"), address=address, stage="bind")


@produces("EADDRINUSE")
def test_a_local_port_that_is_taken_is_in_use(api: Api) -> None:
    """A fixed local port is the caller's choice, and the advice is not to make it."""
    with listen() as taken, listen() as server:
        error = api.fails(*server.getsockname(), timeout=5, local_addr=taken.getsockname())
        check(error, row("EADDRINUSE", "source port"), address=server.getsockname(), stage="bind")


@produces("EADDRINUSE")
def test_a_local_path_that_is_taken_is_in_use(api: Api, directory: Path) -> None:
    """A Unix socket binds a path that does not exist yet."""
    path = str(directory / "server")
    with listen(path):
        error = api.fails(f"unix:{path}", timeout=5, local_addr=path)
        assert (error.errno, error.code) == (errno.EADDRINUSE, "address_already_in_use")
        assert (error.stage, error.address) == ("bind", path)


@produces("EACCES")
@needs("netns")
def test_a_privileged_local_port_is_denied(api: Api) -> None:
    """Only the administrator binds a port below 1024."""
    with namespace(), refusing(("127.0.0.1", 8000)) as address, other_user():
        error = api.fails(*address, timeout=5, local_addr=("127.0.0.1", 80))
    assert isinstance(error, PermissionError)
    assert (error.errno, error.code, error.stage) == (errno.EACCES, "access_denied", "bind")


@produces("EINVAL")
@needs("netns")
def test_a_loopback_source_cannot_reach_another_host(api: Api) -> None:
    """Bound to 127.0.0.1, no other host can be dialled."""
    with namespace() as network:
        network.remote()
        error = api.fails("10.66.0.2", 80, timeout=5, local_addr=("127.0.0.1", 0))
    check(error, row("EINVAL", "blackhole"), address=("10.66.0.2", 80))
    assert "loopback source" in error.hint


@produces("EAFNOSUPPORT")
@needs("ipv6 sockets")
def test_an_address_without_a_local_one_of_its_family_is_not_dialled(api: Api) -> None:
    """A local IPv4 address cannot reach an IPv6 one."""
    error = api.fails("::1", 9, timeout=5, local_addr=("127.0.0.1", 0))
    check(error, row("EAFNOSUPPORT", "local_addr"), address=("::1", 9, 0, 0), stage="bind")


# Sockets that cannot be made ----------------------------------------------------------------------


@produces("EMFILE")
def test_a_process_without_descriptors_is_told_so(api: Api) -> None:
    """RLIMIT_NOFILE stops the race: another address cannot help."""
    with refusing() as address:
        targets = [address, ("127.0.0.2", address[1]), ("127.0.0.3", address[1])]
        with api.during(lambda: few_descriptors(0)):
            error = api.fails(targets, timeout=5)
    check(error, row("EMFILE"), address=address, stage="socket")


@produces("EMFILE")
@pytest.mark.parametrize("spare", [1, 2, 3])
def test_hardly_any_descriptors_are_success_or_a_connect_error(api: Api, spare: int) -> None:
    """Whatever needs a descriptor, and whichever is the one too many, only our errors come out."""
    with black_hole() as silent, listen() as server, caller_socket(silent) as sock:
        targets = [silent, server.getsockname()]
        with api.during(lambda: few_descriptors(spare)):
            try:
                api.connect(targets, timeout=0.4, happy_eyeballs_delay=0.05).close()
            except ConnectError as error:
                numbers = {error.errno, *(attempt.errno for attempt in error.attempts)}
                assert numbers <= {errno.EMFILE, None}
            with pytest.raises(ConnectError) as caught:
                api.sock_connect(sock, silent, timeout=0.1)
        assert caught.value.errno in (errno.EMFILE, None)


@produces("EMFILE")
@pytest.mark.parametrize("function", ["connect", "sock_connect", "connect_wait"])
def test_a_first_wait_without_descriptors_is_a_lack_of_descriptors(api: Api, function: str) -> None:
    """If the loop's poller cannot be made, the error is EMFILE and not one of the socket."""
    with black_hole() as silent, caller_socket(silent) as sock:
        if function == "connect":
            with api.during(lambda: few_descriptors(1)):
                error = api.fails(*silent, timeout=0.2)
        elif function == "sock_connect":
            with api.during(lambda: few_descriptors(0)), pytest.raises(ConnectError) as caught:
                api.sock_connect(sock, silent, timeout=0.2)
            error = caught.value
        else:
            sock.connect_ex(silent)
            with api.during(lambda: few_descriptors(0)), pytest.raises(ConnectError) as caught:
                api.connect_wait(sock, timeout=0.2)
            error = caught.value
    if api.name == "blocking":  # poll(2) needs no descriptor
        assert type(error) is DeadlineExceeded
    else:
        assert type(error) is TooManyOpenFiles
        assert error.errno == errno.EMFILE


@produces("EAFNOSUPPORT")
def test_a_family_that_is_forbidden_is_not_supported(api: Api) -> None:
    """The ``RestrictAddressFamilies=`` of systemd is a seccomp filter that says EAFNOSUPPORT."""
    error = sandboxed(
        lambda: _fails_alone(api.name, "::1", 9),
        "socket",
        errno.EAFNOSUPPORT,
        first_argument=socket.AF_INET6,
    )
    check(error, row("EAFNOSUPPORT"), address=("::1", 9, 0, 0), stage="socket")


def _fails_alone(name: str, *args: Any, timeout: float = 5) -> ConnectError:
    """Fail to connect on a loop of this thread's own."""
    with Api(name) as api:
        return api.fails(*args, timeout=timeout)


SCTP, MPTCP = 132, 262
FACTORIES = {
    "EPROTONOSUPPORT": (socket.SOCK_STREAM, SCTP),
    "ESOCKTNOSUPPORT": (socket.SOCK_SEQPACKET, 0),
    "ENOPROTOOPT": (socket.SOCK_STREAM, MPTCP),
}


@produces(*FACTORIES)
@needs("netns")
@pytest.mark.parametrize("name", FACTORIES)
def test_a_protocol_that_the_kernel_does_not_speak(api: Api, name: str) -> None:
    """A socket factory asks for it, the kernel refuses, and the stage says that nothing left."""
    kind, protocol = FACTORIES[name]
    with namespace() as network:
        network.sysctl("mptcp/enabled", 0)
        error = api.fails(
            "127.0.0.1",
            80,
            timeout=5,
            socket_factory=lambda endpoint: socket.socket(endpoint[0], kind, protocol),
        )
    expected = row(name, "option" if name == "ENOPROTOOPT" else "")
    check(error, expected, address=("127.0.0.1", 80), stage="socket", raised=True)


@produces("ENOPROTOOPT")
def test_an_option_that_the_kernel_does_not_know(api: Api) -> None:
    """Not the peer refuses the protocol, but this host the option."""
    with refusing() as address:
        option = (socket.IPPROTO_TCP, 9999, 1)
        error = api.fails(*address, timeout=5, socket_options=[option])
    check(error, row("ENOPROTOOPT", "option"), address=address, stage="socket")


@produces("EPERM")
def test_an_option_that_only_the_administrator_may_set(api: Api) -> None:
    """SO_MARK needs a capability."""
    with refusing() as address, other_user():
        option = (socket.SOL_SOCKET, socket.SO_MARK, 1)
        error = api.fails(*address, timeout=5, socket_options=[option])
    assert isinstance(error, PermissionError)
    assert (error.errno, error.code, error.stage) == (errno.EPERM, "access_denied", "socket")


@produces("ENODEV")
def test_an_interface_that_does_not_exist(api: Api) -> None:
    """SO_BINDTODEVICE takes the name of an interface that is there."""
    with refusing() as address:
        option = (socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"gone0\0")
        error = api.fails(*address, timeout=5, socket_options=[option])
    check(error, row("ENODEV"), address=address, stage="socket")


@produces("ENODEV")
@needs("netns")
def test_an_interface_that_is_gone(api: Api) -> None:
    """The socket was bound to an interface that has been removed since."""
    address = ("10.66.0.2", 80)
    with namespace() as network, caller_socket(address) as sock:
        network.remote()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"near\0")
        network.ip("link del near")
        with pytest.raises(ConnectError) as caught:
            api.sock_connect(sock, address, timeout=5)
    check(caught.value, row("ENODEV"), address=address, alone=True)


@needs("netns")
def test_a_scope_that_no_interface_has(api: Api) -> None:
    """A name of an interface that does not exist is ENODEV, whoever looks it up."""
    with namespace():
        error = api.fails("fe80::1%gone0", 80, timeout=5)
    assert (error.errno, error.code) == (errno.ENODEV, "network_down")
    assert "interface" in error.hint


@produces("EPERM")
def test_a_sandbox_forbids_to_connect(api: Api) -> None:
    """A seccomp filter answers ``connect`` with EPERM, as container runtimes set it up."""
    error = sandboxed(lambda: _fails_alone(api.name, "127.0.0.1", 9), "connect", errno.EPERM)
    check(error, row("EPERM"), address=("127.0.0.1", 9))


@produces("EACCES")
def test_a_datagram_to_a_broadcast_address_is_denied(api: Api) -> None:
    """SO_BROADCAST says that one means it."""
    address = ("127.255.255.255", 9)
    error = api.fails(*address, timeout=5, type=socket.SOCK_DGRAM)
    check(error, row("EACCES", "firewall"), address=address)
    option = (socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    api.connect(*address, timeout=5, type=socket.SOCK_DGRAM, socket_options=[option]).close()


# Unix sockets -------------------------------------------------------------------------------------


NO_SOCKET = next(row for row in TABLE if row.errno == "not a socket")._replace(errno="ECONNREFUSED")


class PathCase(NamedTuple):
    """A path in a directory, and what comes of dialling it."""

    id: str
    row: Row
    make: Callable[[Path], str]


def _stale(directory: Path) -> str:
    with listen(str(directory / "stale")) as server:
        return str(server.getsockname())


def _regular(directory: Path) -> str:
    (directory / "file").touch()
    return str(directory / "file")


def _loop(directory: Path) -> str:
    (directory / "loop").symlink_to("loop")
    return str(directory / "loop")


def _long_link(directory: Path) -> str:
    (directory / "link").symlink_to("x" * 300)
    return str(directory / "link")


def _through_a_file(directory: Path) -> str:
    return _regular(directory) + "/socket"


PATHS = [
    PathCase("stale", row("ECONNREFUSED", "left-over"), _stale),
    PathCase("regular-file", NO_SOCKET, _regular),
    PathCase("directory", NO_SOCKET, str),
    PathCase("device", NO_SOCKET, lambda _: "/dev/null"),
    PathCase("abstract", row("ECONNREFUSED", "under that name"), lambda _: "\0aioconnect nobody"),
    PathCase("missing", row("ENOENT"), lambda directory: str(directory / "missing")),
    PathCase("missing-directory", row("ENOENT"), lambda directory: f"{directory}/missing/socket"),
    PathCase("through-a-file", row("ENOTDIR"), _through_a_file),
    PathCase("loop", row("ELOOP"), _loop),
    PathCase("long-link", row("ENAMETOOLONG"), _long_link),
    PathCase("long-path", row("ENAMETOOLONG"), lambda directory: f"{directory}/{'x' * 108}"),
]


@produces(*(case.row.errno for case in PATHS))
@pytest.mark.parametrize("case", PATHS, ids=lambda case: case.id)
def test_what_a_path_answers(api: Api, directory: Path, case: PathCase) -> None:
    """Each thing that a path can be but a listening socket."""
    address = case.make(directory)
    error = api.fails(f"unix:{address}".replace("\0", "@"), timeout=5)
    check(error, case.row, address=address)
    check(sock_connect_fails(api, address), case.row, address=address, alone=True)


@produces("EPROTOTYPE")
def test_a_server_of_another_type(api: Api, directory: Path) -> None:
    """A stream cannot reach a datagram socket, nor the other way round."""
    stream, datagram = str(directory / "stream"), str(directory / "datagram")
    with listen(stream), listen(datagram, type=socket.SOCK_DGRAM):
        for path, kind in ((datagram, socket.SOCK_STREAM), (stream, socket.SOCK_DGRAM)):
            error = api.fails(f"unix:{path}", timeout=5, type=kind)
            check(error, row("EPROTOTYPE"), address=path)
            error = sock_connect_fails(api, path, type=kind)
            check(error, row("EPROTOTYPE"), address=path, alone=True)


@produces("EACCES")
def test_another_users_socket_is_denied(api: Api, directory: Path) -> None:
    """unix(7): connecting needs write permission on the socket, and search on the way to it."""
    path = str(directory / "socket")
    hidden = directory / "hidden"
    hidden.mkdir(mode=0o700)
    with listen(path), listen(str(hidden / "socket")):
        os.chmod(path, 0o600)
        with other_user():
            for address in (path, str(hidden / "socket")):
                error = api.fails(f"unix:{address}", timeout=5)
                check(error, row("EACCES", "socket file"), address=address)
        api.connect(f"unix:{path}", timeout=5).close()


@produces("EROFS")
def test_a_file_on_a_read_only_file_system(api: Api, directory: Path) -> None:
    """A file there, unlike a socket, cannot be written to."""
    (directory / "mount").mkdir()
    with read_only_file_system(directory / "mount", "file"):
        address = str(directory / "mount" / "file")
        check(api.fails(f"unix:{address}", timeout=5), row("EROFS"), address=address)


@produces("EPERM")
def test_an_immutable_file(api: Api, directory: Path) -> None:
    """Nobody writes to an immutable file, not even the administrator."""
    address = _regular(directory)
    with immutable(directory / "file"):
        error = api.fails(f"unix:{address}", timeout=5)
    expected = row("EACCES", "socket file")._replace(errno="EPERM")
    check(error, expected, address=address)


@produces("EAGAIN")
def test_a_backlog_that_stays_full(api: Api, directory: Path) -> None:
    """EAGAIN is no progress: it is tried again until the deadline, as one attempt."""
    path = str(directory / "socket")
    with full_backlog(path):
        error = api.fails(f"unix:{path}", timeout=0.1)
        own = sock_connect_fails(api, path, timeout=0.1)
    assert type(error) is BacklogFull
    check(error, row("EAGAIN", "accepting"), address=path)
    check(own, row("EAGAIN", "accepting"), address=path, alone=True)


# The caller's own socket --------------------------------------------------------------------------


@produces("EISCONN")
def test_a_socket_that_is_connected_already(api: Api) -> None:
    """One socket, one connect; also if it listens."""
    with listen() as server, listen() as other:
        address = server.getsockname()
        with caller_socket(address) as sock:
            api.sock_connect(sock, address, timeout=5)
            for again in (address, other.getsockname()):
                with pytest.raises(ConnectError) as caught:
                    api.sock_connect(sock, again, timeout=5)
                check(caught.value, row("EISCONN"), address=again, alone=True)
            assert sock.getpeername() == address
        other.setblocking(False)
        with pytest.raises(ConnectError) as caught:
            api.sock_connect(other, address, timeout=5)
        check(caught.value, row("EISCONN"), address=address, alone=True)


@produces("EISCONN")
def test_a_unix_socket_that_is_connected_already(api: Api, directory: Path) -> None:
    """The same for Unix sockets."""
    path = str(directory / "socket")
    with listen(path), caller_socket(path) as sock:
        api.sock_connect(sock, path, timeout=5)
        with pytest.raises(ConnectError) as caught:
            api.sock_connect(sock, path, timeout=5)
        check(caught.value, row("EISCONN"), address=path, alone=True)


@produces("EALREADY")
@needs("netns")
def test_a_socket_that_is_connecting_to_another_address(api: Api) -> None:
    """What the kernel is dialling is not what was asked for: no success when that answers."""
    dialled, asked = ("10.77.0.9", 80), ("10.77.0.8", 80)

    def answer_late(syn: Syn) -> list[bytes]:
        time.sleep(0.2)
        return [syn.tcp(SYN | ACK)]

    with namespace() as network, TunPeer(network) as peer, caller_socket(dialled) as sock:
        peer.answer(dialled[0], answer_late)
        assert sock.connect_ex(dialled) == errno.EINPROGRESS
        with pytest.raises(ConnectError) as caught:
            api.sock_connect(sock, asked, timeout=1)
        check(caught.value, row("EALREADY"), address=asked, alone=True)
        api.connect_wait(sock, timeout=5)
        assert sock.getpeername() == dialled


@produces("EALREADY")
async def test_two_waits_for_one_socket() -> None:
    """The second is told so, the first goes on."""
    with black_hole() as silent, caller_socket(silent) as sock:
        first = asyncio.create_task(aioconnect.sock_connect(sock, silent, timeout=5))
        await asyncio.sleep(0.05)
        with pytest.raises(ConnectError) as caught:
            await aioconnect.connect_wait(sock, timeout=1)
        check(caught.value, row("EALREADY"), address=None, stage="wait", alone=True)
        assert not first.done()
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first


@produces("EBADF")
def test_a_socket_that_was_closed(api: Api) -> None:
    """Closed by its object, or its descriptor closed behind its back."""
    with refusing() as address:
        closed = socket.socket()
        closed.close()
        with pytest.raises(ConnectError) as caught:
            api.sock_connect(closed, address, timeout=5)
        check(caught.value, row("EBADF"), address=address, alone=True)
        with pytest.raises(ConnectError) as caught:
            api.connect_wait(closed, timeout=5)
        check(caught.value, row("EBADF"), address=None, stage="wait", alone=True)
        for function, expected in (("sock_connect", address), ("connect_wait", None)):
            with caller_socket(address) as sock, api.during(lambda: closed_behind(sock)):
                arguments = (sock,) if expected is None else (sock, address)
                with pytest.raises(ConnectError) as caught:
                    getattr(api, function)(*arguments, timeout=5)
                stage = "wait" if expected is None else "connect"
                check(caught.value, row("EBADF"), address=expected, stage=stage, alone=True)


@contextmanager
def closed_behind(sock: socket.socket) -> Iterator[None]:
    """Close a socket's descriptor without the object's knowledge."""
    os.close(sock.fileno())
    try:
        yield
    finally:
        sock.detach()


@produces("ENOTSOCK")
def test_a_descriptor_that_is_no_socket(api: Api) -> None:
    """A file that was put where the socket was."""
    with refusing() as address, caller_socket(address) as sock, open(os.devnull, "rb") as file:
        os.dup2(file.fileno(), sock.fileno(), inheritable=False)
        with pytest.raises(ConnectError) as caught:
            api.sock_connect(sock, address, timeout=5)
        check(caught.value, row("ENOTSOCK"), address=address, alone=True)
        with pytest.raises(ConnectError) as caught:
            api.connect_wait(sock, timeout=5)
        check(caught.value, row("ENOTSOCK"), address=None, stage="wait", alone=True)


@produces("EOPNOTSUPP")
@needs("linux", "root")
def test_a_socket_that_cannot_be_connected(api: Api) -> None:
    """A packet socket has no peers."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sock:
        sock.setblocking(False)
        with pytest.raises(ConnectError) as caught:
            api.sock_connect(sock, ("lo", 0), timeout=5)
    check(caught.value, row("EOPNOTSUPP", "listening"), address=("lo", 0), alone=True)


@produces("ENOTCONN")
@pytest.mark.parametrize("kind", ["fresh", "listening", "unix", "bound"])
def test_a_socket_on_which_no_connect_is_pending(api: Api, kind: str) -> None:
    """Nothing would ever come: it is told at once, and not waited for."""
    family = socket.AF_UNIX if kind == "unix" else socket.AF_INET
    with socket.socket(family) as sock:
        sock.setblocking(False)
        if kind in ("bound", "listening"):
            sock.bind(("127.0.0.1", 0))
        if kind == "listening":
            sock.listen()
        with pytest.raises(ConnectError) as caught:
            api.connect_wait(sock, timeout=5)
    check(caught.value, row("ENOTCONN"), address=None, stage="wait", alone=True)
    assert caught.value.elapsed < 4


# Several causes at once ---------------------------------------------------------------------------


@needs("netns")
def test_several_causes_are_all_told_and_the_strongest_decides(api: Api) -> None:
    """One call, five addresses, five answers: class and errno of one, log and group of all."""
    with namespace() as network, TunPeer(network) as peer:
        network.ip("route add prohibit 10.3.0.0/16", "route add blackhole 10.4.0.0/16")
        peer.answer("10.77.0.9", lambda syn: [syn.icmp(3, 1)])
        targets = [
            ("10.4.0.1", 80),
            ("10.3.0.1", 80),
            ("10.77.0.9", 80),
            ("10.1.0.1", 80),
            ("127.0.0.1", 80),
            ("10.77.0.8", 80),
        ]
        error = api.fails(targets, timeout=0.4, happy_eyeballs_delay=0.01)
    assert type(error) is ConnectionRefused
    assert (error.errno, error.address) == (errno.ECONNREFUSED, ("127.0.0.1", 80))
    assert error.count == 6
    assert [a.address for a in error.attempts] == targets
    assert [a.errno for a in error.attempts] == [
        errno.EINVAL,
        errno.EACCES,
        errno.EHOSTUNREACH,
        errno.ENETUNREACH,
        errno.ECONNREFUSED,
        None,
    ]
    group = error.group()
    assert group is not None
    refused, others = group.split(ConnectionRefusedError)
    assert refused is not None
    assert others is not None
    assert (len(refused.exceptions), len(others.exceptions)) == (1, 5)
    assert isinstance(error.__cause__, ExceptionGroup)
    assert error.elapsed >= 0.4
    assert all(a.address[0] in str(error) for a in error.attempts[:5])
    assert "6 attempts" in str(error)


async def test_a_failed_connect_leaves_no_cycle_around_its_error() -> None:
    """The error goes with its last reference, and takes nothing of the call along."""
    with refusing() as address, caller_socket(address) as sock:
        gc.collect()
        gc.disable()
        try:
            for call in (
                lambda: aioconnect.connect(*address, timeout=5),
                lambda: aioconnect.connect([address, ("127.0.0.2", address[1])], timeout=5),
                lambda: aioconnect.sock_connect(sock, address, timeout=5),
            ):
                try:
                    await call()
                except ConnectError as error:
                    left = [
                        weakref.ref(each) for each in (error, *(a.error for a in error.attempts))
                    ]
                assert [reference() for reference in left] == [None] * len(left)
        finally:
            gc.enable()


def test_a_failed_blocking_connect_leaves_no_cycle_around_its_error() -> None:
    """The same without a loop."""
    with refusing() as address, caller_socket(address) as sock:
        gc.collect()
        gc.disable()
        try:
            for call in (
                lambda: aioconnect.blocking.connect(*address, timeout=5),
                lambda: aioconnect.blocking.connect([address, ("127.0.0.2", address[1])]),
                lambda: aioconnect.blocking.sock_connect(sock, address, timeout=5),
            ):
                try:
                    call()
                except ConnectError as error:
                    left = [
                        weakref.ref(each) for each in (error, *(a.error for a in error.attempts))
                    ]
                assert [reference() for reference in left] == [None] * len(left)
        finally:
            gc.enable()


# What Linux cannot be made to say -----------------------------------------------------------------

NOT_PRODUCED = {
    "ENETRESET": "no path from TCP's handshake to it; only keep-alives of other systems say it",
    "ENETDOWN": "for IP, Linux says ENETUNREACH when the interface is down (tested above), and "
    "ENODEV when it is gone; only packet, CAN and Bluetooth sockets say ENETDOWN",
    "ENXIO": "no socket call says it; a device's open() does",
    "EINPROGRESS": "it is the beginning of a connect and never its end",
    "EINTR": "a non-blocking connect does not sleep, so no signal can interrupt it",
    "EIO": "it takes a file system on a broken disk",
    "EPFNOSUPPORT": "Linux says EAFNOSUPPORT instead",
    "EMSGSIZE": "an ICMP 'fragmentation needed' lowers TCP's segment size and fails nothing",
    "EDESTADDRREQ": "it is for send(); connect() always has an address",
    "EFAULT": "Python passes no bad pointer",
    "ENFILE": "the file table is the whole machine's, and root may exceed it",
    "ENOBUFS": "it takes a kernel without memory",
    "ENOMEM": "it takes a kernel without memory",
    "ESHUTDOWN": "it is for send() after shutdown(), and never an answer to connect()",
    "EXDEV": "it stands in the table for every number that no socket call says",
}
"""The rows that no network, file, limit or user makes Linux give to a connecting socket, and why.

Two causes of rows above are not producible here either: EAGAIN and EADDRINUSE from ``connect`` for
want of a port, which BSD systems say; Linux says EADDRNOTAVAIL.
"""

OF_CALLS = [row for row in ROWS if row.where.split()[0] in ("socket", "bind", "connect")]
"""What the kernel says of an address or a local address."""

UNFINISHED = {"EINPROGRESS", "EINTR", "EALREADY", "EAGAIN"}
"""What connect(2) may answer while it goes on, and what was mistaken for that."""


def test_every_row_of_the_table_is_produced_or_its_absence_is_explained() -> None:
    """A row added to the table is added here too."""
    rows = {row.errno for row in OF_CALLS}
    assert rows - PRODUCED == set(NOT_PRODUCED)
    assert rows >= PRODUCED


SANDBOXED = sorted({row.errno for row in OF_CALLS} - UNFINISHED)


@pytest.mark.parametrize("syscall", ["socket", "connect"])
def test_what_the_kernel_answers_for_other_causes_is_told_too(api: Api, syscall: str) -> None:
    """Each number of the table, answered to ``socket`` or ``connect`` by a seccomp filter."""
    address = ("127.0.0.1", 9)
    for name in SANDBOXED:
        number = getattr(errno, name)
        error = sandboxed(lambda: _fails_alone(api.name, *address), syscall, number)
        alike = [row for row in OF_CALLS if row.errno == name and row.family == socket.AF_INET]
        expected = next((row for row in alike if row.stage == syscall), None)
        assert error.errno == number, name
        assert error.stage == syscall, name
        assert error.address == address, name
        if expected is not None:
            check(error, expected, address=address, stage=syscall)


@pytest.mark.parametrize("name", sorted(UNFINISHED))
def test_an_answer_that_looks_like_progress_is_never_success(
    api: Api, directory: Path, name: str
) -> None:
    """``connect`` did nothing and said that it goes on: no socket without a peer is returned."""
    path = str(directory / "socket")
    with listen() as server, listen(path):
        for target in (server.getsockname(), f"unix:{path}"):
            error = sandboxed(
                lambda target=target: _fails_alone(api.name, target, timeout=0.2),
                "connect",
                getattr(errno, name),
            )
            assert error.stage in ("connect", "verify")
