"""SOCKS version 5: a tunnel to a name or an address, through a proxy.

Each answer has a length that is known before its end is read, so that nothing is read that the
target sent right behind it.

Sources: RFC 1928 (SOCKS 5), RFC 1929 (user name and password).
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from .. import causes
from . import Hidden, recv_exactly, send_all

if TYPE_CHECKING:
    from collections.abc import Generator

    from ..errors import ConnectError
    from ..proxy import Proxy

__all__ = ["tunnel"]

_VERSION = 5
_CONNECT = 1
_NO_AUTHENTICATION, _PASSWORD, _NONE_ACCEPTABLE = 0, 2, 0xFF
_TYPE_IPV4, _TYPE_NAME, _TYPE_IPV6 = 1, 3, 4

_REPLIES = {
    1: ("failed", "general failure"),
    2: ("forbidden", "not allowed by its rules"),
    3: ("network", "no route to the network"),
    4: ("host", "no route to the host"),
    5: ("refused", "refused"),
    6: ("timed_out", "no answer"),
    7: ("rejected", "command not supported"),
    8: ("rejected", "address type not supported"),
}
"""RFC 1928, section 6: the row of the table of causes, and what the reply means."""


def tunnel(sock: socket.socket, proxy: Proxy, host: str, port: int) -> Generator[int, None, None]:
    """Ask the proxy at the other end of ``sock`` for a connection to ``host``, a name or address.

    Raises:
        ConnectError: the proxy cannot connect, does not want to, or does not speak SOCKS 5.
    """
    yield from send_all(sock, b"\x05\x02\x00\x02" if proxy.credentials else b"\x05\x01\x00")
    version, method = yield from recv_exactly(sock, 2)
    if version != _VERSION:
        raise _no_socks()
    if method == _PASSWORD and proxy.credentials:
        yield from send_all(sock, _password(*proxy.credentials))
        # Only the status counts: some servers put another version before it.
        _, status = yield from recv_exactly(sock, 2)
        if status:
            raise causes.from_proxy("credentials", "user name or password not accepted")
    elif method == _NONE_ACCEPTABLE:
        wanted = "another authentication" if proxy.credentials else "authentication"
        raise causes.from_proxy("credentials", f"{wanted} required")
    elif method != _NO_AUTHENTICATION:
        raise causes.from_proxy("protocol", f"authentication method {method} was not offered")

    yield from send_all(
        sock, bytes((_VERSION, _CONNECT, 0)) + _destination(host) + port.to_bytes(2, "big")
    )
    version, reply, _, kind = yield from recv_exactly(sock, 4)
    if version != _VERSION:
        raise _no_socks()
    if reply:
        cause, text = _REPLIES.get(reply, ("failed", f"SOCKS reply {reply}"))
        raise causes.from_proxy(cause, text, status=reply)
    # The address that the proxy dials from is of no use here.
    if kind == _TYPE_NAME:
        (length,) = yield from recv_exactly(sock, 1)
    elif kind in (_TYPE_IPV4, _TYPE_IPV6):
        length = 4 if kind == _TYPE_IPV4 else 16
    else:
        raise causes.from_proxy("protocol", f"address type {kind} in the answer")
    yield from recv_exactly(sock, length + 2)


def _password(user: bytes, password: bytes) -> Hidden:
    return Hidden(bytes((1, len(user))) + user + bytes((len(password),)) + password)


def _destination(host: str) -> bytes:
    for kind, family in ((_TYPE_IPV4, socket.AF_INET), (_TYPE_IPV6, socket.AF_INET6)):
        try:
            return bytes((kind,)) + socket.inet_pton(family, host)
        except OSError:
            continue
    name = host.encode("ascii")
    return bytes((_TYPE_NAME, len(name))) + name


def _no_socks() -> ConnectError:
    return causes.from_proxy("protocol", "not an answer of SOCKS 5")
