"""What a resolver is: one name and one family in, one answer out.

Anything with the method ``lookup`` plugs in.  A resolver may have more, and then it is used:

- ``peek(name, family) -> Answer | None``: what is at hand without I/O, for a name that then
  costs neither a task nor a turn of the loop;
- ``absent(name, family) -> bool``: that there is no such address is known without I/O;
- ``forget(name) -> None``: what is kept of that name may be old (every address of it failed to
  connect); the next ``lookup`` asks again.  Who has it says that it keeps what it learns;
- ``submit(name, family, done) -> ticket``: the same look-up for programs without a loop, see
  :func:`aioconnect.resolve.threads.submit`;
- ``aclose()``: give back what is kept for the running loop.
"""

from __future__ import annotations

import copy
import socket
from typing import TYPE_CHECKING, Protocol

from ..causes import from_exception
from ..errors import ConnectError
from ..text import safe

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = ["Answer", "Resolver"]

EAI_NODATA: int = getattr(socket, "EAI_NODATA", socket.EAI_NONAME)
"""The name exists, but has no address of that family.  Some systems have no number for it."""


class Answer:
    """The addresses of one family that a name has.

    Attributes:
        addresses: numeric text, in the order answered; IPv6 link-local with ``%scope``.
        ttl: seconds for which the answer holds; None if the source does not say.
        canonical: the name at the end of the aliases, None if there are none or it is unknown.
        source: ``"literal"``, ``"hosts"``, ``"static"``, ``"cache"``, ``"dns"`` or ``"system"``.
        duration: seconds from the question to the answer.
    """

    __slots__ = ("addresses", "canonical", "duration", "source", "ttl")

    def __init__(
        self,
        addresses: tuple[str, ...],
        ttl: float | None = None,
        canonical: str | None = None,
        source: str = "system",
        duration: float = 0.0,
    ) -> None:
        self.addresses = addresses
        self.ttl = ttl
        self.canonical = canonical
        self.source = source
        self.duration = duration

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.__slots__)
        return f"Answer({fields})"


class Resolver(Protocol):
    """Looks up names."""

    async def lookup(self, name: str, family: int, /) -> Answer:
        """Look up one name for one family.

        Args:
            name: a host name in ASCII; never an address, which needs no resolver.
            family: ``socket.AF_INET`` or ``socket.AF_INET6``.

        Returns:
            An answer with at least one address.

        Raises:
            OSError: there is none; a ``socket.gaierror`` says why (``EAI_NODATA``: not of this
                family).  The resolvers here raise :class:`~aioconnect.NameNotResolved`.
        """
        ...


def failure(exc: OSError, name: str, family: int, duration: float = 0.0) -> ConnectError:
    """Build the error of a look-up: a ``ConnectError`` that is also the built-in of ``exc``."""
    return from_exception(
        exc, stage="resolve", target=safe(name), address=name, family=family, elapsed=duration
    )


def not_resolved(
    number: int, text: str, name: str, family: int, duration: float = 0.0
) -> ConnectError:
    """Build the error for an ``EAI_*`` number."""
    return failure(socket.gaierror(number, text), name, family, duration)


def again(error: BaseException) -> BaseException:
    """Return a copy to raise: one error raised by many would collect all their tracebacks."""
    return copy.copy(error) if isinstance(error, ConnectError) else error


def check_name(name: str) -> None:
    """Refuse what no host is called and what C would cut short (getaddrinfo stops at NUL)."""
    if not name or not name.isascii() or "\0" in name:
        raise socket.gaierror(socket.EAI_NONAME, "not a host name in ASCII")


# The optional methods, for a resolver that stands around another one ------------------------------


def peek(resolver: object, name: str, family: int) -> Answer | None:
    """Return what the resolver has at hand, if it can be asked so."""
    method: Callable[[str, int], Answer | None] | None = getattr(resolver, "peek", None)
    return None if method is None else method(name, family)


def absent(resolver: object, name: str, family: int) -> bool:
    """Tell whether the resolver knows, without asking, that there is no such address."""
    method: Callable[[str, int], bool] | None = getattr(resolver, "absent", None)
    return method is not None and method(name, family)


def forget(resolver: object, name: str) -> None:
    """Tell the resolver to forget the name, if it keeps anything."""
    method: Callable[[str], None] | None = getattr(resolver, "forget", None)
    if method is not None:
        method(name)


async def aclose(resolver: object) -> None:
    """Close the resolver, if it can be closed."""
    method: Callable[[], Awaitable[None]] | None = getattr(resolver, "aclose", None)
    if method is not None:
        await method()
