"""The line that a person reads."""

from __future__ import annotations

import errno
import socket
import ssl
import traceback
from typing import Any

import pytest

from aioconnect import sentence, text
from aioconnect.causes import combine, from_errno, from_exception

from ..support.error_table import V4, V6
from .made import attempt, failed


def test_the_sentence_says_target_addresses_cause_count_seconds_and_hint() -> None:
    """One line that a person can act on at night."""
    attempts = [
        attempt(from_errno(errno.ECONNREFUSED, stage="connect", address=address))
        for address in (V4, V6)
    ]
    assert str(combine(attempts, target="db.internal:5432", elapsed=7.44)) == (
        "cannot connect to db.internal:5432: refused by 10.0.0.1 and 2001:db8::1 "
        "(2 attempts, 7.4 s): is the server listening on that port?"
    )


SENTENCES = [
    (["ECONNREFUSED"], ["refused by 10.0.0.1", "(1 attempt, 7.4 s)"]),
    (["ECONNREFUSED", "ETIMEDOUT"], ["refused by 10.0.0.1", "no answer from 10.0.0.2"]),
    (["ETIMEDOUT", "ECONNREFUSED"], ["refused by 10.0.0.2; no answer from 10.0.0.1"]),
    (["timer", "timer", "timer"], ["no answer from 10.0.0.1, 10.0.0.2 and 10.0.0.3"]),
    (["ENETUNREACH"] * 9, ["10.0.0.4 and 5 more", "(9 attempts"]),
    (["EMFILE"], ["no descriptor left", "RLIMIT_NOFILE"]),
]


@pytest.mark.parametrize(("names", "expected"), SENTENCES, ids=lambda value: str(value)[:40])
def test_the_sentence_joins_what_is_alike(names: list[str], expected: list[str]) -> None:
    """Each cause is said once, the dominant first, with the addresses it was met at."""
    text = str(failed(*names))
    assert text.startswith("cannot connect to db.internal:5432: ")
    assert all(part in text for part in expected), text
    assert text.endswith(failed(*names).hint)
    assert "\n" not in text


def test_an_address_that_is_the_target_is_not_said_twice() -> None:
    """Who dialled a literal address knows it."""
    text = str(failed("ECONNREFUSED", target="10.0.0.1:5432"))
    assert text.startswith("cannot connect to 10.0.0.1:5432: refused (1 attempt, ")


def test_the_sentence_says_why_no_further_round_was_begun() -> None:
    """Whether the policy, the deadline or the breaker ended it."""
    for reason, words in sentence.STOPPED.items():
        attempts = failed("ECONNREFUSED").attempts
        error = combine(attempts, target="db", elapsed=1, stopped=reason)
        assert f"1.0 s; {words})" in str(error)
        assert error.stopped == reason


HOSTILE = {
    "escape": "evil\x1b[31m\x1b]0;title\x07",
    "newline": "evil\nERROR root: pwned\r\n",
    "long": "a" * 5000,
    "separators": "evil\u2028\u2029\x85\u202e",
    "surrogate": "evil\udcff",
    "nul": "evil\x00.example",
}


@pytest.mark.parametrize("hostile", HOSTILE.values(), ids=HOSTILE)
def test_host_text_cannot_write_to_a_terminal_or_a_log(hostile: str) -> None:
    """A host comes from a URL: it is escaped and capped in everything printed."""
    for family, address in [
        (socket.AF_INET, hostile),  # a name that was looked up
        (socket.AF_INET, (hostile, 80)),
        (socket.AF_UNIX, f"/{hostile}"),
        (socket.AF_UNIX, f"\0{hostile}"),
        (socket.AF_UNIX, hostile.encode("utf-8", "surrogatepass")),
    ]:
        error = from_errno(errno.ECONNREFUSED, stage="connect", address=address, family=family)
        whole = combine([attempt(error)] * 20, target=error.target, elapsed=1)
        for shown in (str(error), str(whole), error.target, str(whole.__cause__)):
            assert shown.isprintable()
            assert shown.isascii()
            assert len(shown) < 600
        assert len("".join(traceback.format_exception(whole))) < 60_000


@pytest.mark.parametrize("hostile", HOSTILE.values(), ids=HOSTILE)
def test_text_from_elsewhere_cannot_write_to_a_terminal_or_a_log(hostile: str) -> None:
    """What a resolver, a factory or a TLS peer made an exception say is escaped and capped too."""
    for kind in (OSError, ssl.SSLError, socket.gaierror):
        for original in (kind(12345, hostile), kind(hostile)):
            error = from_exception(original, stage="tls", address=V4, family=socket.AF_INET)
            whole = combine([attempt(error)], target="db:1", elapsed=1)
            for shown in (str(error), str(whole)):
                assert shown.isprintable(), kind
                assert len(shown) < 600, kind


def test_a_scope_is_shown_with_its_address() -> None:
    """Two link-local addresses are told apart by their interface."""
    error = from_errno(
        errno.EHOSTUNREACH, stage="connect", address=("fe80::1", 80, 0, 3), family=socket.AF_INET6
    )
    assert error.target == "[fe80::1%3]:80"


def test_a_zone_is_escaped_with_its_address() -> None:
    """A name of an interface comes from a target, too."""
    address = ("fe80::1", 80, 0, "\u0440\u0430\x1b[31m")
    error = from_errno(errno.ENODEV, stage="socket", address=address, family=socket.AF_INET6)
    for shown in (str(error), error.target, error.strerror):
        assert shown.isascii()
        assert shown.isprintable()


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0.0000003, "0.1 ms"),
        (0.0001, "0.1 ms"),
        (0.00094, "0.9 ms"),
        (0.0099, "9.9 ms"),
        (0.00996, "10 ms"),
        (0.0251, "25 ms"),
        (0.0994, "99 ms"),
        (0.0996, "0.1 s"),
        (0.5, "0.5 s"),
        (7.44, "7.4 s"),
        (3600, "3600.0 s"),
    ],
)
def test_a_short_time_is_said_in_milliseconds(seconds: float, shown: str) -> None:
    """Never ``0.0 s``."""
    assert f"(1 attempt, {shown})" in str(failed("ECONNREFUSED", elapsed=seconds))


def test_no_time_is_said_where_none_has_passed() -> None:
    """An error that nobody timed says nothing of it."""
    error = from_errno(errno.ECONNREFUSED, stage="connect", address=V4)
    assert str(error) == (
        "cannot connect to 10.0.0.1:5432: refused: is the server listening on that port?"
    )


def test_the_text_of_an_error_has_a_bound_whatever_failed() -> None:
    """Sixty-four causes, each in words of its own, are not a page."""
    attempts = [
        attempt(from_exception(OSError(f"{number} " * 400), stage="socket", address=V4), number)
        for number in range(64)
    ]
    error = combine(attempts, target="db.internal:5432", elapsed=1)
    for shown in (str(error), error.strerror):
        assert len(shown) < 5000
        assert "56 other causes" in shown


def test_an_address_that_is_only_like_the_target_is_said() -> None:
    """10.0.0.1 is not 10.0.0.11, though its text is inside it."""
    assert "refused by 10.0.0.1 (" in str(failed("ECONNREFUSED", target="110.0.0.1:5432"))
    assert "refused (" in str(failed("ECONNREFUSED", target="10.0.0.1:5432"))


@pytest.mark.parametrize(
    ("option", "name"),
    [
        ((socket.IPPROTO_TCP, socket.TCP_NODELAY, 1), "TCP_NODELAY"),
        ((socket.SOL_SOCKET, socket.SO_REUSEADDR, 1), "SO_REUSEADDR"),
        ((socket.IPPROTO_IP, socket.IP_TTL, 999), "IP_TTL"),
        ((socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1), "IPV6_V6ONLY"),
        ((socket.IPPROTO_TCP, 9999, 1), "9999 of level 6"),
        ((250, 3, b"x"), "3 of level 250"),
        ("no option", ""),
    ],
)
def test_a_socket_option_is_named(option: Any, name: str) -> None:
    """As the socket module calls it; by its numbers where it has no name there."""
    assert text.format_option(option) == name
