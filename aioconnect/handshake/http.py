"""HTTP CONNECT: a tunnel to a name or an address, through a web proxy.

Nothing says how long the header of an answer is, and what follows its blank line is the target's.
So the header is looked at (``MSG_PEEK``) before it is read: where no blank line ends in what is
there, joined to what was read before, all of it is header, else what stands up to the blank line.
What was looked at is always read, so that a header that comes byte by byte wakes this code once
for each byte, and not all the time.

Sources: RFC 9110, sections 9.3.6 (CONNECT) and 15.2 (interim answers); RFC 9112, section 2.2
(a bare LF ends a line too); RFC 7617 (Basic).
"""

from __future__ import annotations

import re
from base64 import b64encode
from typing import TYPE_CHECKING

from .. import causes
from ..text import safe
from . import Hidden, peek, send_all

if TYPE_CHECKING:
    import socket
    from collections.abc import Generator

    from ..proxy import Proxy

__all__ = ["tunnel"]

MOST_HEADER = 16384
"""Bytes of header at most, those of interim answers included."""

_START = b"HTTP/1."
_STATUS_LINE = re.compile(rb"HTTP/1\.[0-9] ([0-9]{3})(?: ([^\r\n]*))?\r?\n")

_CAUSES = {401: "credentials", 407: "credentials", 408: "failed", 429: "failed", 504: "timed_out"}
"""The row of the table of causes; tinyproxy says 401 where others say 407."""


def tunnel(sock: socket.socket, proxy: Proxy, host: str, port: int) -> Generator[int, None, None]:
    """Ask the proxy at the other end of ``sock`` for a connection to ``host``, a name or address.

    Raises:
        ConnectError: the proxy cannot connect, does not want to, or does not speak HTTP.
    """
    yield from send_all(sock, _request(proxy, host, port))
    left = MOST_HEADER
    while True:
        header = yield from _receive_header(sock, left)
        left -= len(header)
        status, reason = _read_status(header)
        if 200 <= status < 300:
            return
        if not 100 <= status < 200 or status == 101:  # nobody has asked to switch protocols
            break
    text = f"{status} {reason}" if reason else f"status {status}"
    cause = _CAUSES.get(status, "rejected" if status < 500 else "failed")
    raise causes.from_proxy(cause, text, status=status)


def _request(proxy: Proxy, host: str, port: int) -> Hidden:
    authority = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    request = f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n".encode("ascii")
    if proxy.credentials:
        request += b"Proxy-Authorization: Basic %b\r\n" % b64encode(b":".join(proxy.credentials))
    return Hidden(request + b"\r\n")


def _receive_header(sock: socket.socket, most: int) -> Generator[int, None, bytes]:
    """Receive the header of one answer up to its blank line, and nothing beyond."""
    header = bytearray()
    while not header.endswith((b"\n\r\n", b"\n\n")):
        if len(header) >= most:
            raise causes.from_proxy("protocol", f"no end of the header in {MOST_HEADER} bytes")
        seen = yield from peek(sock, most - len(header))
        if not seen:
            said = _STATUS_LINE.match(header)
            if said is not None and said[1] >= b"300":
                break  # it has said why; a success without a blank line is none
            raise causes.closed_early()
        header += sock.recv(_count_header(header[-2:], seen))
        if not header.startswith(_START[: len(header)]):
            raise causes.from_proxy("protocol", "not an answer of HTTP")
    return bytes(header)


def _count_header(last: bytearray, seen: bytes) -> int:
    """Return how many of the bytes ``seen``, which came after ``last``, are of the header."""
    joined = last + seen
    ends = [at + len(end) for end in (b"\n\r\n", b"\n\n") if (at := joined.find(end)) >= 0]
    return min(ends) - len(last) if ends else len(seen)


def _read_status(header: bytes) -> tuple[int, str]:
    match = _STATUS_LINE.match(header)
    if match is None:
        raise causes.from_proxy("protocol", "not a status line of HTTP")
    return int(match[1]), safe((match[2] or b"").decode("latin-1").strip())
