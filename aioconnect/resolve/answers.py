"""What a search brings: an answer whose addresses are checked, or an error that says why not."""

from __future__ import annotations

import copy
import socket
from typing import TYPE_CHECKING

from ..causes import from_exception
from ..errors import ConnectError
from ..text import safe

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..terms import SaidBy

__all__ = [
    "ABSENT",
    "EAI_NODATA",
    "FAMILIES",
    "Answer",
    "again",
    "check",
    "check_name",
    "checked",
    "failure",
    "is_zone_text",
    "most_telling",
    "not_resolved",
]

EAI_NODATA: int = getattr(socket, "EAI_NODATA", socket.EAI_NONAME)
"""The name exists, but has no address of that family.  Some systems have no number for it."""

ABSENT = frozenset((socket.EAI_NONAME, EAI_NODATA))
"""What an authority said; all other errors are failures to reach one."""

FAMILIES = (int(socket.AF_INET6), int(socket.AF_INET))
"""What a name is asked for, unless the caller wants one family only."""


class Answer:
    """The addresses of one family that a name has.

    Attributes:
        addresses: numeric text, in the order answered; IPv6 link-local with ``%scope``.  Empty if
            it is known that the name has none of that family.
        ttl: seconds for which the answer holds; None if the source does not say.
        canonical: the name at the end of the aliases, None if there are none or it is unknown.
        source: ``"literal"``, ``"hosts"``, ``"static"``, ``"cache"``, ``"dns"`` or ``"system"``.
        duration: seconds from the question to the answer.
        family: ``socket.AF_INET`` or ``socket.AF_INET6``; 0 where the question says it.
        places: where each address stands in the order of the whole answer, both families
            together, if the source has sorted it (``getaddrinfo`` with ``AF_UNSPEC``); else
            None.
    """

    __slots__ = (
        "addresses",
        "canonical",
        "checked",
        "duration",
        "family",
        "key",
        "places",
        "source",
        "ttl",
    )

    def __init__(
        self,
        addresses: tuple[str, ...],
        ttl: float | None = None,
        canonical: str | None = None,
        source: str = "system",
        duration: float = 0.0,
        *,
        family: int = 0,
        places: tuple[int, ...] | None = None,
    ) -> None:
        self.addresses = addresses
        self.ttl = ttl
        self.canonical = canonical
        self.source = source
        self.duration = duration
        self.family = family
        self.places = places
        self.checked = False
        self.key = (family, addresses, places)  # what is dialled depends on

    def __repr__(self) -> str:
        names = ("addresses", "ttl", "canonical", "source", "duration", "family", "places")
        return f"Answer({', '.join([f'{name}={getattr(self, name)!r}' for name in names])})"


def checked(
    addresses: tuple[str, ...],
    family: int,
    ttl: float | None = None,
    canonical: str | None = None,
    source: str = "system",
    duration: float = 0.0,
    places: tuple[int, ...] | None = None,
) -> Answer:
    """Return an answer that nobody needs to check: its source gives numeric addresses only."""
    answer = Answer(addresses, ttl, canonical, source, duration, family=family, places=places)
    answer.checked = True
    return answer


# What an answer must be ---------------------------------------------------------------------------


def check(resolver: object, method: str, answer: Answer, family: int, name: str) -> Answer:
    """Return a checked answer: what is dialled is a numeric address, and nothing else.

    ``socket.connect`` would look up any other text, on the thread of the loop, and what a policy
    judges would not be what is dialled.

    Args:
        resolver: whose answer it is.
        method: which method returned it.
        answer: what that method returned.
        family: what it was asked for; 0 where the answer must say it.
        name: the name.

    Raises:
        ConnectError: an address is none of that family.
        TypeError: it is no answer.
    """
    whose = f"{type(resolver).__name__}.{method}"
    if not isinstance(answer, Answer):
        raise TypeError(f"{whose} returned {type(answer).__name__}, not an Answer")
    family = family or answer.family
    if answer.checked and answer.family == family:
        return answer
    if family not in FAMILIES:
        raise TypeError(f"{whose} returned an Answer without its family")
    return checked(
        tuple([_numeric(text, family, whose, name) for text in answer.addresses]),
        family,
        answer.ttl,
        answer.canonical,
        answer.source,
        answer.duration,
        answer.places,
    )


def _numeric(text: str, family: int, whose: str, name: str) -> str:
    """Return a numeric address in its one spelling."""
    if not isinstance(text, str):
        raise TypeError(f"{whose} returned an address of type {type(text).__name__}, not str")
    bare, percent, zone = text.partition("%")
    try:
        packed = socket.inet_pton(family, bare)
        if percent and not _is_zone(zone, family):
            raise ValueError
    except (OSError, ValueError):
        kind = "IPv6" if family == socket.AF_INET6 else "IPv4"
        said = f"{whose} returned '{safe(text)}', which is no numeric {kind} address"
        raise not_resolved(socket.EAI_FAIL, said, name, family) from None
    return socket.inet_ntop(family, packed) + percent + zone


def _is_zone(zone: str, family: int) -> bool:
    """Whether an IPv6 zone is a number of 32 bits or an interface (RFC 4007, section 11)."""
    if family != socket.AF_INET6 or not is_zone_text(zone):
        return False
    try:
        return zone.isdecimal() or bool(socket.if_nametoindex(zone))
    except OSError:
        return False


def is_zone_text(zone: str) -> bool:
    """Whether a text can be an IPv6 zone: a number of 32 bits, or an interface's name."""
    if zone.isascii() and zone.isdecimal():
        return len(zone) <= 10 and int(zone) < 2**32
    return 0 < len(zone) < 16 and zone.isprintable() and not set(zone) & set(" /%")


# Errors -------------------------------------------------------------------------------------------


def failure(
    exc: OSError, name: str, family: int, duration: float = 0.0, said_by: SaidBy = "kernel"
) -> ConnectError:
    """Build the error of a look-up: a ``ConnectError`` that is also the built-in of ``exc``."""
    return from_exception(
        exc,
        stage="resolve",
        target=safe(name),
        address=name,
        family=family,
        elapsed=duration,
        said_by=said_by,
    )


def not_resolved(
    number: int, text: str, name: str, family: int, duration: float = 0.0
) -> ConnectError:
    """Build the error for an ``EAI_*`` number."""
    return failure(socket.gaierror(number, text), name, family, duration)


def again(error: BaseException) -> BaseException:
    """Return a copy to raise: one error raised by many would collect all their tracebacks."""
    return copy.copy(error) if isinstance(error, ConnectError) else error


def most_telling(errors: Iterable[OSError]) -> OSError:
    """Return the error that says most of a name of which nothing was found.

    What this host lacks comes first, then a failure to ask (the name may exist), then that the
    name exists without such an address, then that there is none.
    """
    return min(errors, key=_telling)


def _telling(error: OSError) -> int:
    if not isinstance(error, socket.gaierror):
        return 0
    if error.errno == socket.EAI_NONAME:
        return 4
    if error.errno == EAI_NODATA:
        return 3
    return 1 if error.errno == socket.EAI_MEMORY else 2


def check_name(name: str) -> None:
    """Refuse what no host is called and what C would cut short (getaddrinfo stops at NUL)."""
    if not name or not name.isascii() or "\0" in name:
        raise socket.gaierror(socket.EAI_NONAME, "not a host name in ASCII")
