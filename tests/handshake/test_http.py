"""HTTP CONNECT over a socket pair: what is sent, what answers mean, that no more is read."""

from __future__ import annotations

import base64
import errno
import time
from itertools import combinations, pairwise
from typing import TYPE_CHECKING, Any

import pytest

from aioconnect import AccessDenied, ConnectError, Help, PeerClosed, ProxyError, TimedOut
from aioconnect.handshake import http
from aioconnect.proxy import Proxy

from ..support.handshaking import CLOSE, Outcome, converse

if TYPE_CHECKING:
    from collections.abc import Iterable

OPEN = Proxy("http://proxy.test:3128")
LOCKED = Proxy("http://me:hunter2@proxy.test:3128")

PLAIN = b"HTTP/1.1 200 OK\r\n\r\n"
FULL = b"HTTP/1.0 200 Connection established\r\nVia: 1.1 here\r\nContent-Length: 7\r\n\r\n"
BARE = b"HTTP/1.0 200\n\n"
MIXED = b"HTTP/1.1 201 \nA: b\r\n\n"
INTERIM = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n" + PLAIN
BANNER = b"\n\r\n220 the server\r\n\r\nspeaks first"


def speak(
    *script: bytes | None, proxy: Proxy = OPEN, host: str = "db.test", after: bytes = b""
) -> Outcome:
    return converse(lambda sock: http.tunnel(sock, proxy, host, 5432), script, after=after)


def pieces(answer: bytes, cuts: Iterable[int]) -> list[bytes]:
    edges = [0, *cuts, len(answer)]
    return [answer[a:b] for a, b in pairwise(edges) if a < b]


# What is sent ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "authority"),
    [
        ("db.test", b"db.test:5432"),
        ("192.0.2.7", b"192.0.2.7:5432"),
        ("2001:db8::7", b"[2001:db8::7]:5432"),
    ],
)
def test_the_request_names_the_target(host: str, authority: bytes) -> None:
    """RFC 9110, section 9.3.6: the authority, and the same as Host."""
    outcome = speak(PLAIN, host=host)
    assert outcome.error is None
    assert outcome.sent == b"CONNECT %b HTTP/1.1\r\nHost: %b\r\n\r\n" % (authority, authority)


def test_credentials_are_sent_with_the_first_request() -> None:
    """Basic: a proxy that asks for them would close, and the round trip would be lost."""
    outcome = speak(PLAIN, proxy=LOCKED)
    token = base64.b64encode(b"me:hunter2")
    assert b"\r\nProxy-Authorization: Basic " + token + b"\r\n\r\n" in outcome.sent


# What is read ---------------------------------------------------------------------------------

SUCCESSES = {"plain": PLAIN, "bare LF": BARE, "mixed": MIXED, "headers": FULL, "interim": INTERIM}


@pytest.mark.parametrize("answer", SUCCESSES.values(), ids=SUCCESSES)
def test_an_answer_in_any_two_cuts_leaves_the_servers_first_words(answer: bytes) -> None:
    """Split anywhere, joined to what the server says (which begins with line ends)."""
    whole = answer + BANNER
    for cuts in combinations(range(len(answer) + 3), 2):
        outcome = speak(*pieces(whole, cuts))
        assert (outcome.error, outcome.unread) == (None, BANNER), cuts


@pytest.mark.parametrize("answer", SUCCESSES.values(), ids=SUCCESSES)
def test_a_byte_at_a_time_costs_one_wait_for_each(answer: bytes) -> None:
    """No busy loop: it waits as often as something comes."""
    outcome = speak(*pieces(answer, range(len(answer))), after=BANNER)
    assert (outcome.error, outcome.unread, outcome.waits) == (None, BANNER, len(answer))


@pytest.mark.parametrize("answer", SUCCESSES.values(), ids=SUCCESSES)
def test_a_proxy_that_closes_at_any_byte_has_failed(answer: bytes) -> None:
    """The socket of a broken handshake is never taken for a tunnel."""
    for sent in range(len(answer)):
        outcome = speak(*pieces(answer[:sent], []), CLOSE)
        assert isinstance(outcome.error, PeerClosed), sent


def test_a_large_first_word_of_the_server_stays() -> None:
    """More than one look holds comes behind the answer, at once."""
    words = bytes(range(256)) * 200
    assert speak(PLAIN + words).unread == words


# The bound ------------------------------------------------------------------------------------


@pytest.mark.parametrize("interim", [True, False], ids=["interim answers", "one header"])
def test_a_header_without_end_fails_at_the_bound(interim: bool) -> None:
    """Also if it is made of answers that each have an end."""
    piece = b"HTTP/1.1 100 Continue\r\n\r\n" if interim else b"A: bcdefgh\r\n"
    start = b"" if interim else b"HTTP/1.1 200 OK\r\n"
    error: Any = speak(start + piece * (2 * http.MOST_HEADER // len(piece))).error
    assert isinstance(error, ProxyError)
    assert "no end of the header in 16384 bytes, from the proxy" in str(error)


def test_a_header_may_be_as_long_as_the_bound() -> None:
    """With the last byte it is whole; with one more it would not be."""
    start, end = b"HTTP/1.1 200 OK\r\nA: ", b"\r\n\r\n"
    filling = b"x" * (http.MOST_HEADER - len(start + end))
    assert speak(start + filling + end, after=BANNER).unread == BANNER
    assert isinstance(speak(start + filling + b"x" + end).error, ProxyError)


def test_a_header_that_drips_costs_time_in_proportion_to_its_length() -> None:
    """Sixteen thousand waits for sixteen thousand bytes, none of which is looked at again."""
    start = b"HTTP/1.1 200 OK\r\nA: "
    header = start + b"x" * (http.MOST_HEADER - len(start))
    used = time.thread_time()
    outcome = speak(*[header[n : n + 1] for n in range(len(header))])
    assert isinstance(outcome.error, ProxyError)
    assert outcome.waits == http.MOST_HEADER
    assert time.thread_time() - used < 10


# What the answers mean ------------------------------------------------------------------------

_S, _O, _N = Help.SAME, Help.OTHER, Help.NOTHING

STATUSES: list[tuple[int, str, type[ConnectError], type[OSError], int | None, Help]] = [
    (401, "Unauthorized", AccessDenied, PermissionError, errno.EACCES, _N),
    (407, "Proxy Authentication Required", AccessDenied, PermissionError, errno.EACCES, _N),
    (504, "Gateway Timeout", TimedOut, TimeoutError, errno.ETIMEDOUT, _S | _O),
    (403, "Forbidden", ProxyError, OSError, None, _O),
    (404, "Not Found", ProxyError, OSError, None, _O),
    (405, "Method Not Allowed", ProxyError, OSError, None, _O),
    (408, "Request Timeout", ProxyError, OSError, None, _S | _O),
    (429, "Too Many Requests", ProxyError, OSError, None, _S | _O),
    (500, "Unable to connect", ProxyError, OSError, None, _S | _O),
    (502, "Bad Gateway", ProxyError, OSError, None, _S | _O),
    (503, "Service Unavailable", ProxyError, OSError, None, _S | _O),
    (101, "Switching Protocols", ProxyError, OSError, None, _O),
    (302, "Found", ProxyError, OSError, None, _O),
    (999, "", ProxyError, OSError, None, _S | _O),
]


@pytest.mark.parametrize(("status", "reason", "type", "builtin", "number", "help"), STATUSES)
def test_each_status_has_its_class(
    status: int,
    reason: str,
    type: type[ConnectError],
    builtin: type[OSError],
    number: int | None,
    help: Help,
) -> None:
    """What the proxy said stands in the sentence, and its number in ``status``."""
    error: Any = speak(f"HTTP/1.1 {status} {reason}\r\nServer: x\r\n\r\nbody".encode()).error
    assert isinstance(error, type)
    assert isinstance(error, builtin)
    assert (error.errno, error.status, error.stage) == (number, status, "proxy")
    assert error.help == help
    said = f"{status} {reason}" if reason else f"status {status}"
    assert f"{said}, says the proxy" in str(error)


def test_every_success_is_a_tunnel() -> None:
    """RFC 9110: any 2xx; what a header says of a body does not count."""
    for status in range(200, 300):
        assert speak(b"HTTP/1.1 %d x\r\nContent-Length: 9\r\n\r\n" % status).error is None


def test_a_refusal_counts_though_the_proxy_closes_before_its_blank_line() -> None:
    """It has said why; but a success that breaks off is no tunnel."""
    error: Any = speak(b"HTTP/1.0 407 No\r\nServer", CLOSE).error
    assert isinstance(error, AccessDenied)
    assert isinstance(speak(b"HTTP/1.0 200 Yes\r\nServer", CLOSE).error, PeerClosed)


@pytest.mark.parametrize(
    "answer",
    [
        b"\x05\xff",
        b"\x15\x03\x01\x00\x02\x02\x16",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"H",
        b"HTTP/2 200 OK\r\n\r\n",
        b"HTTP/1.1 2000 OK\r\n\r\n",
        b"HTTP/1.1 20\r\n\r\n",
        b"HTTP/1.1\r\n\r\n",
        b"HTTP/1.1 200OK\r\n\r\n",
        b" HTTP/1.1 200 OK\r\n\r\n",
        b"\r\n\r\n",
    ],
)
def test_what_is_no_http_is_named_so_as_soon_as_it_is_seen(answer: bytes) -> None:
    """Nothing waits for the blank line of a protocol that has none."""
    script = [answer, b"elp: not HTTP either"] if answer == b"H" else [answer]
    error: Any = speak(*script).error
    assert isinstance(error, ProxyError)
    assert (error.status, error.help) == (None, Help.NOTHING)
    assert "from the proxy" in str(error)


def test_the_words_of_a_proxy_are_printable_and_bounded() -> None:
    """Escape codes and endless reasons end in front of a terminal."""
    answer = b"HTTP/1.1 500 \x1b[31mred\x07\xff\x00" + b"z" * 1000 + b"\r\n\r\n"
    error: Any = speak(answer).error
    for text in (str(error), str(error.args[-1])):
        assert text.isprintable()
        assert text.isascii()
        assert len(text) < 400
        assert "\\x1b[31mred" in text
