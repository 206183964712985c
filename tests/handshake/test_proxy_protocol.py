"""The PROXY protocol's header, byte for byte as its specification has it."""

from __future__ import annotations

import pytest

from aioconnect.handshake.proxy_protocol import send_proxy_v2

from ..support.handshaking import converse

SIGNATURE = b"\x0d\x0a\x0d\x0a\x00\x0d\x0a\x51\x55\x49\x54\x0a"


@pytest.mark.parametrize(
    ("source", "destination", "header"),
    [
        (
            ("203.0.113.7", 40000),
            ("192.0.2.1", 443),
            b"\x21\x11\x00\x0c\xcb\x00\x71\x07\xc0\x00\x02\x01\x9c\x40\x01\xbb",
        ),
        (
            ("2001:db8::1", 1),
            ("::2", 65535),
            b"\x21\x21\x00\x24\x20\x01\x0d\xb8" + bytes(11) + b"\x01" + bytes(15) + b"\x02"
            b"\x00\x01\xff\xff",
        ),
    ],
)
def test_the_header_goes_first_and_nothing_is_waited_for(
    source: tuple[str, int], destination: tuple[str, int], header: bytes
) -> None:
    """The server does not answer it: what it says stays for the caller."""
    outcome = converse(
        lambda sock: send_proxy_v2(source, destination)(sock, (2, 1, 6, "", destination)),
        [],
        after=b"220 ready",
    )
    assert outcome == (None, SIGNATURE + header, b"220 ready", 0)


@pytest.mark.parametrize(
    ("source", "destination"),
    [
        (("203.0.113.7", 1), ("::1", 1)),
        (("client.test", 1), ("192.0.2.1", 1)),
    ],
)
def test_addresses_that_cannot_be_written_are_refused_at_once(
    source: tuple[str, int], destination: tuple[str, int]
) -> None:
    """Before anything is dialled."""
    with pytest.raises(ValueError, match="two numeric addresses of one family"):
        send_proxy_v2(source, destination)
