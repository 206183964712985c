"""SOCKS 5 over a socket pair: what is sent, what answers mean, that no more is read."""

from __future__ import annotations

import errno
from itertools import combinations, pairwise
from typing import TYPE_CHECKING, Any

import pytest

from aioconnect import (
    AccessDenied,
    ConnectError,
    ConnectionRefused,
    Help,
    HostUnreachable,
    NetworkUnreachable,
    PeerClosed,
    ProxyError,
    TimedOut,
)
from aioconnect.handshake import socks5
from aioconnect.proxy import Proxy

from ..support.handshaking import CLOSE, Outcome, converse

if TYPE_CHECKING:
    from collections.abc import Iterable

OPEN = Proxy("socks5h://proxy.test:1080")
LOCKED = Proxy("socks5h://me:hunter2@proxy.test:1080")

NONE, PASSWORD = b"\x05\x00", b"\x05\x02"
ACCEPTED = b"\x01\x00"
IPV4 = b"\x05\x00\x00\x01\x0a\x00\x00\x01\x1f\x90"
IPV6 = b"\x05\x00\x00\x04" + bytes(15) + b"\x01\x1f\x90"
NAME = b"\x05\x00\x00\x03\x0abind.local\x1f\x90"
NO_NAME = b"\x05\x00\x00\x03\x00\x1f\x90"
BANNER = b"220 the server speaks first\r\n"


def speak(
    *script: bytes | None, proxy: Proxy = OPEN, host: str = "db.test", after: bytes = b""
) -> Outcome:
    return converse(lambda sock: socks5.tunnel(sock, proxy, host, 5432), script, after=after)


def pieces(answer: bytes, cuts: Iterable[int]) -> list[bytes]:
    edges = [0, *cuts, len(answer)]
    return [answer[a:b] for a, b in pairwise(edges) if a < b]


# What is sent ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "destination"),
    [
        ("db.test", b"\x03\x07db.test"),
        ("localhost", b"\x03\x09localhost"),
        ("n" * 63 + ".test", b"\x03\x44" + b"n" * 63 + b".test"),
        ("192.0.2.7", b"\x01\xc0\x00\x02\x07"),
        ("2001:db8::7", b"\x04\x20\x01\x0d\xb8" + bytes(11) + b"\x07"),
    ],
)
def test_a_name_goes_as_it_is_and_an_address_as_its_bytes(host: str, destination: bytes) -> None:
    """Greeting and request, as RFC 1928 writes them."""
    outcome = speak(NONE, IPV4, host=host)
    assert outcome.error is None
    assert outcome.sent == b"\x05\x01\x00" + b"\x05\x01\x00" + destination + b"\x15\x38"


def test_credentials_are_offered_and_sent_when_they_are_asked_for() -> None:
    """User name and password, as RFC 1929 writes them."""
    outcome = speak(PASSWORD, ACCEPTED, IPV4, proxy=LOCKED)
    assert outcome.error is None
    assert outcome.sent == (
        b"\x05\x02\x00\x02\x01\x02me\x07hunter2\x05\x01\x00\x03\x07db.test\x15\x38"
    )


def test_credentials_are_kept_where_nobody_asks_for_them() -> None:
    """A proxy that needs none does not hear them."""
    outcome = speak(NONE, IPV4, proxy=LOCKED)
    assert outcome.error is None
    assert b"hunter2" not in outcome.sent


def test_user_name_and_password_may_be_as_long_as_the_protocol_allows() -> None:
    """255 bytes each, counted after they were encoded."""
    proxy = Proxy("socks5://proxy.test", username="é" * 127 + "x", password="p" * 255)
    outcome = speak(PASSWORD, ACCEPTED, IPV4, proxy=proxy)
    assert outcome.error is None
    assert b"\x01\xff" + b"\xc3\xa9" * 127 + b"x\xff" + b"p" * 255 in outcome.sent


# What is read ---------------------------------------------------------------------------------


@pytest.mark.parametrize("answer", [IPV4, IPV6, NAME, NO_NAME], ids=["v4", "v6", "name", "empty"])
@pytest.mark.parametrize("method", [NONE, PASSWORD + ACCEPTED], ids=["open", "password"])
def test_answers_in_any_two_cuts_leave_the_servers_first_words(
    method: bytes, answer: bytes
) -> None:
    """All that the proxy says may come in any pieces, joined to each other and to the server's."""
    proxy = LOCKED if method != NONE else OPEN
    whole = method + answer + BANNER
    for cuts in combinations(range(len(method + answer) + 2), 2):
        outcome = speak(*pieces(whole, cuts), proxy=proxy)
        assert (outcome.error, outcome.unread) == (None, BANNER), cuts


def test_a_byte_at_a_time_costs_one_wait_for_each() -> None:
    """No busy loop: it waits as often as something comes."""
    whole = PASSWORD + ACCEPTED + NAME
    outcome = speak(*pieces(whole, range(len(whole))), proxy=LOCKED, after=BANNER)
    assert (outcome.error, outcome.unread, outcome.waits) == (None, BANNER, len(whole))


@pytest.mark.parametrize("proxy", [OPEN, LOCKED], ids=["open", "password"])
def test_a_proxy_that_closes_at_any_byte_has_failed(proxy: Proxy) -> None:
    """The socket of a broken handshake is never taken for a tunnel."""
    whole = (NONE if proxy is OPEN else PASSWORD + ACCEPTED) + NAME
    for sent in range(len(whole)):
        outcome = speak(*pieces(whole[:sent], []), CLOSE, proxy=proxy)
        assert isinstance(outcome.error, PeerClosed), sent


# What the answers mean ------------------------------------------------------------------------

REPLIES: list[tuple[int, type[ConnectError], type[OSError], int | None, str]] = [
    (1, ProxyError, OSError, None, "general failure, says the proxy"),
    (2, AccessDenied, PermissionError, errno.EACCES, "not allowed by its rules, says the proxy"),
    (3, NetworkUnreachable, OSError, errno.ENETUNREACH, "no route to the network, says the proxy"),
    (4, HostUnreachable, OSError, errno.EHOSTUNREACH, "no route to the host, says the proxy"),
    (5, ConnectionRefused, ConnectionRefusedError, errno.ECONNREFUSED, "refused, says the proxy"),
    (6, TimedOut, TimeoutError, errno.ETIMEDOUT, "no answer, says the proxy"),
    (7, ProxyError, OSError, None, "command not supported, says the proxy"),
    (8, ProxyError, OSError, None, "address type not supported, says the proxy"),
    (9, ProxyError, OSError, None, "SOCKS reply 9, says the proxy"),
    (255, ProxyError, OSError, None, "SOCKS reply 255, says the proxy"),
]


@pytest.mark.parametrize(("reply", "type", "builtin", "number", "text"), REPLIES)
def test_each_reply_has_its_class(
    reply: int, type: type[ConnectError], builtin: type[OSError], number: int | None, text: str
) -> None:
    """RFC 1928, section 6; a number is known to the caller as ``status``."""
    for answer in (bytes((5, reply, 0, 1)) + bytes(6), bytes((5, reply, 0, 0))):
        error: Any = speak(NONE, answer).error
        assert isinstance(error, type)
        assert isinstance(error, builtin)
        assert (error.errno, error.status, error.stage) == (number, reply, "proxy")
        assert text in str(error)


def test_every_other_reply_is_a_failure_of_the_proxys() -> None:
    """No reply but 0 is a tunnel."""
    for reply in range(9, 256):
        assert isinstance(speak(NONE, bytes((5, reply, 0, 1)) + bytes(6)).error, ProxyError)


@pytest.mark.parametrize(
    ("proxy", "script", "text"),
    [
        (LOCKED, [PASSWORD, b"\x01\x01"], "user name or password not accepted"),
        (LOCKED, [PASSWORD, b"\x01\xff"], "user name or password not accepted"),
        (OPEN, [b"\x05\xff"], "authentication required"),
        (LOCKED, [b"\x05\xff"], "another authentication required"),
    ],
)
def test_a_proxy_that_does_not_let_us_in_denies_access(
    proxy: Proxy, script: list[bytes], text: str
) -> None:
    """A person must do something: the same again does not help."""
    error: Any = speak(*script, proxy=proxy).error
    assert isinstance(error, AccessDenied)
    assert error.help == Help.NOTHING
    assert f"{text}, says the proxy" in str(error)
    assert "hunter2" not in str(error) + repr(error)


@pytest.mark.parametrize(
    ("script", "text"),
    [
        ([b"HTTP/1.1 400 Bad Request\r\n\r\n"], "not an answer of SOCKS 5"),
        ([b"\x15\x03\x01\x00\x02"], "not an answer of SOCKS 5"),
        ([b"\x04\x00"], "not an answer of SOCKS 5"),
        ([b"\x05\x01"], "authentication method 1 was not offered"),
        ([b"\x05\x02"], "authentication method 2 was not offered"),
        ([NONE, b"\x04\x00\x00\x01"], "not an answer of SOCKS 5"),
        ([NONE, b"\x05\x00\x00\x02"], "address type 2 in the answer"),
    ],
)
def test_what_is_no_socks_is_named_so(script: list[bytes], text: str) -> None:
    """Another protocol on that port is not waited for."""
    error: Any = speak(*script).error
    assert isinstance(error, ProxyError)
    assert (error.status, error.help) == (None, Help.NOTHING)
    assert f"{text}, from the proxy" in str(error)
    assert "does a proxy of that kind listen on that port?" in str(error)


def test_the_status_of_a_password_counts_whatever_stands_before_it() -> None:
    """Some servers answer with the version of SOCKS instead of 1."""
    assert speak(PASSWORD, b"\x05\x00", IPV4, proxy=LOCKED).error is None
