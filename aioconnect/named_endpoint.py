"""An endpoint that knows the name which was looked up for it."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .targets import Endpoint

__all__ = ["NamedEndpoint"]

_IP = (int(socket.AF_INET), int(socket.AF_INET6))


class NamedEndpoint(tuple[int, int, int, str, Any]):  # noqa: SLOT001  # a tuple can have none
    """What a policy is asked about, and a handshake is given: a 5-tuple, and the name.

    For a policy the address is numeric and in one spelling, that of ``inet_ntop``; an IPv6 scope is
    a number.  What is dialled is this very tuple.

    Attributes:
        name: the name that was looked up; None if the target was an address or a path.
    """

    name: str | None

    @classmethod
    def of(cls, endpoint: Endpoint, name: str | None) -> NamedEndpoint:
        """Write an endpoint in one spelling, and add the name.

        Raises:
            OSError: the address is not numeric.
        """
        family, kind, protocol, canonical_name, address = endpoint
        if family in _IP:
            host = socket.inet_ntop(family, socket.inet_pton(family, address[0]))
            address = (host, *address[1:])
        self = cls((family, kind, protocol, canonical_name, address))
        self.name = name
        return self
