"""The PROXY protocol, version 2: tells a server whose connection it is that arrives.

Not for a proxy, but from one: HAProxy, nginx and others read it in front of everything else.  It
is also an example of a handshake: what its five lines send, the server hears first.

Source: haproxy, doc/proxy-protocol.txt, section 2.2.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from . import send_all

if TYPE_CHECKING:
    from collections.abc import Generator

    from ..targets import Endpoint
    from . import Handshake

__all__ = ["send_proxy_v2"]

_SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
_PROXY = 0x21  # version 2, command PROXY
_TRANSPORTS = {socket.AF_INET: 0x11, socket.AF_INET6: 0x21}  # TCP over IPv4, TCP over IPv6


def send_proxy_v2(source: tuple[str, int], destination: tuple[str, int]) -> Handshake:
    """Make a handshake that names who connects: ``handshake=send_proxy_v2(client, here)``.

    Args:
        source: numeric address and port of the client on whose behalf the connection is made.
        destination: the address and port that the client has connected to; of the same family.

    Raises:
        ValueError: an address is not numeric, or they are of two families.
    """
    header = _header(source, destination)

    def handshake(sock: socket.socket, endpoint: Endpoint) -> Generator[int, None, None]:
        yield from send_all(sock, header)

    return handshake


def _header(source: tuple[str, int], destination: tuple[str, int]) -> bytes:
    for family, code in _TRANSPORTS.items():
        try:
            hosts = b"".join(socket.inet_pton(family, host) for host, _ in (source, destination))
        except OSError:
            continue
        ports = b"".join(port.to_bytes(2, "big") for _, port in (source, destination))
        size = len(hosts + ports).to_bytes(2, "big")
        return _SIGNATURE + bytes((_PROXY, code)) + size + hosts + ports
    raise ValueError("the PROXY protocol takes two numeric addresses of one family")
