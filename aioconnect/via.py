"""Targets behind a proxy: what is dialled is the proxy, what is meant is the target.

A call knows nothing of it.  Its targets give it the endpoints of the proxy, and each endpoint
knows where the tunnel leads that is made when it is connected.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

from .checks import proxy_and_policy
from .targets import Target

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Self

    from .proxy import EnvironmentProxies, Proxy
    from .targets import Endpoint

__all__ = ["Tunnelled", "Via", "via"]


class Tunnelled(tuple[int, int, int, str, Any]):  # noqa: SLOT001  # a tuple has none
    """The endpoint of a proxy, as ``getaddrinfo`` gives it, and where the tunnel leads.

    Args:
        endpoint: the proxy's.
        proxy: what listens there.
        host, port: what it is asked for.
        destination: the endpoint of the target, if its address is known here.
    """

    proxy: Proxy
    host: str
    port: int
    destination: Endpoint | None

    def __new__(
        cls, endpoint: Endpoint, proxy: Proxy, host: str, port: int, destination: Endpoint | None
    ) -> Self:
        """Make it of the proxy's endpoint."""
        self = super().__new__(cls, endpoint)
        self.proxy, self.host, self.port, self.destination = proxy, host, port, destination
        return self

    # Through one address of a proxy each address of the target is another attempt.

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Tunnelled) and self.destination != other.destination:
            return False
        return super().__eq__(other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = tuple.__hash__


class Via(Target):
    """A target that is reached through a proxy."""

    __slots__ = ("behind", "proxy")

    behind: Target
    """The target itself."""

    def __init__(self, target: Target, proxy: Proxy) -> None:
        text = f"{target.text} through {proxy.target.text}"
        super().__init__(text, target.host, target.port, target.family, target.address)
        self.behind = target
        self.proxy = proxy
        self.needs_lookup = bool(self.names)

    @property
    def key(self) -> str:
        """What is dialled, in one form."""
        return f"{self.behind.key} through {self.proxy.target.key}"

    @property
    def dialled(self) -> Target:
        """Return the proxy."""
        return self.proxy.target

    @property
    def meant(self) -> Target:
        """Return the target itself."""
        return self.behind

    @property
    def names(self) -> tuple[Target, ...]:
        """Return the proxy, if it is a name, and with ``socks5://`` the target, if it is one."""
        own = () if self.proxy.resolves else self.behind.names
        return (*self.proxy.target.names, *own)

    def endpoints(self, kind: int) -> tuple[Endpoint, ...]:
        """Return the proxy's address, if nothing has to be looked up."""
        return tuple(self.join((), kind))

    def join(self, found: Sequence[Sequence[Endpoint]], kind: int) -> Sequence[Endpoint]:
        """Return what to dial: for each address of the target, each of the proxy's."""
        rest = list(found)
        proxies = rest.pop(0) if self.proxy.target.names else self.proxy.target.endpoints(kind)
        if self.proxy.resolves:
            return [Tunnelled(each, self.proxy, self.host, self.port, None) for each in proxies]
        destinations = rest[0] if rest else self.behind.endpoints(kind)
        return [
            Tunnelled(endpoint, self.proxy, destination[4][0], self.port, destination)
            for destination in destinations
            for endpoint in proxies
        ]


def via(
    targets: Sequence[Target],
    proxy: Proxy | EnvironmentProxies,
    kind: int,
    *,
    judged: bool = False,
) -> tuple[Target, ...]:
    """Return each target as it is reached: through its proxy, if it has one.

    Args:
        targets: what is meant.
        proxy: the proxy, or where to look for it.
        kind: the type of the socket.
        judged: a policy has to see each address, so no proxy may look names up.

    Raises:
        ValueError: no proxy can reach it.
    """
    return tuple([_via(target, proxy._choose(target, kind), judged) for target in targets])


def _via(target: Target, proxy: Proxy | None, judged: bool) -> Target:
    if proxy is None:
        return target
    if judged:  # one of the environment is known only now
        proxy_and_policy(proxy)
    if target.family == socket.AF_UNIX:
        raise ValueError(f"{target.text}: a proxy cannot reach a Unix socket")
    if target.family == socket.AF_INET6 and target.address[3]:
        raise ValueError(f"{target.text}: a proxy does not know an interface of this host")
    return Via(target, proxy)
