"""Whatever a proxy sends: a tunnel or an error of ours, and what was read was needed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aioconnect import ConnectError
from aioconnect.handshake import http, socks5
from aioconnect.proxy import Proxy

from ..support.handshaking import CLOSE, converse

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

PROXIES = {
    "socks5": (socks5.tunnel, Proxy("socks5h://me:hunter2@proxy.test:1080")),
    "http": (http.tunnel, Proxy("http://me:hunter2@proxy.test:3128")),
}

WORDS = [
    *(b"\x05\x00", b"\x05\x02", b"\x01\x00", b"\x05\x00\x00\x01", b"\x05\x05\x00\x03", b"\x00"),
    *(b"HTTP/1.1 ", b"HTTP/1.0 ", b"100 ", b"200", b"407 No", b"\r\n", b"\n", b"\r\n\r\n", b"A: b"),
]
"""What answers are made of, so that some come far."""


def pieces() -> st.SearchStrategy[list[bytes]]:
    """Draw what a proxy sends, in the pieces in which it comes."""
    word = st.one_of(st.sampled_from(WORDS), st.binary(min_size=1, max_size=20))
    return st.lists(word, max_size=12)


@pytest.mark.parametrize("kind", PROXIES)
@given(sent=pieces())
def test_any_bytes_end_in_a_tunnel_or_an_error_of_ours(kind: str, sent: Sequence[bytes]) -> None:
    """In any pieces, with the end of the connection behind them; texts are fit to be printed."""
    tunnel: Callable[..., Any]
    tunnel, proxy = PROXIES[kind]
    outcome = converse(lambda sock: tunnel(sock, proxy, "db.test", 5432), [*sent, CLOSE])
    assert b"".join(sent).endswith(outcome.unread)
    assert outcome.waits <= len(sent) + 1
    if outcome.error is not None:
        assert isinstance(outcome.error, ConnectError)
        assert str(outcome.error).isprintable()
        assert "hunter2" not in str(outcome.error)


@pytest.mark.parametrize("kind", PROXIES)
@given(sent=pieces(), words=st.binary(max_size=40))
def test_a_tunnel_never_depends_on_the_pieces(
    kind: str, sent: Sequence[bytes], words: bytes
) -> None:
    """The same bytes at once, and one by one: the same end, the same bytes left."""
    tunnel: Callable[..., Any]
    tunnel, proxy = PROXIES[kind]
    whole = b"".join(sent) + words
    outcomes = [
        converse(lambda sock: tunnel(sock, proxy, "db.test", 5432), [*script, CLOSE])
        for script in ([whole] if whole else [], [whole[n : n + 1] for n in range(len(whole))])
    ]
    ends = [(type(each.error), str(each.error)) for each in outcomes]
    assert ends[0] == ends[1]
    if outcomes[0].error is None:
        assert outcomes[0].unread == outcomes[1].unread
