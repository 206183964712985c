"""The order in which to dial: destination address selection (RFC 6724, section 6).

A rule compares two destinations by what is known of them and of the source address that this
host would use for each.  That address is found by connecting a UDP socket, which sends nothing
and fails if there is no route, and is kept for some seconds.

Of the ten rules, 1, 2, 5, 6, 8, 9 and 10 are here.  Not seen from here are deprecated source
addresses (rule 3), home addresses (4) and native transports (7).  Rule 9, the longest matching
prefix, is for IPv6 only: for IPv4 it would undo the name server's round-robin.  Alternating
between the families is not the subject here but of :mod:`aioconnect.race` (RFC 8305, section 4).
"""

from __future__ import annotations

import errno
import socket
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeAlias

from ..targets import endpoint
from .rfc6724 import PolicyTable, number, system

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from ..targets import Endpoint
    from .answers import Answer

__all__ = [
    "PolicyTable",
    "arranged",
    "share_of_other_family",
    "sort",
    "sorted_for_dialling",
    "source_of",
]

_AF_INET, _AF_INET6 = int(socket.AF_INET), int(socket.AF_INET6)

KEEP_SOURCES = 5.0
"""Seconds for which a source address is kept: names answer again and again, routes change."""

_MOST_KEPT = 1024

AddrInfo: TypeAlias = tuple[Any, ...]
"""(family, type, proto, canonical name, socket address), as getaddrinfo gives it."""


_MOST_ADDRESSES_KEPT = 32
"""Addresses of an answer whose order is kept: a name server's may have thousands."""

OTHER_FAMILY = 8
"""Addresses that the less preferred family keeps, if it has them, when an answer is cut."""

MOST_SORTED = 256
"""Addresses of a family that are looked at: for each a socket is made."""


def arranged(
    answers: Sequence[Answer], port: int, kind: int, max_addresses: int
) -> tuple[Endpoint, ...]:
    """Return the addresses of one name in the order to dial.

    Args:
        answers: what is known of the name so far, each answer of a different family.
        port: the port to dial.
        kind: the type of the sockets, ``socket.SOCK_STREAM`` for instance.
        max_addresses: how many addresses are returned at most.

    Returns:
        Each address once.  The order is libc's where libc has sorted the answer (all that have
        addresses have ``places``), otherwise that of :func:`sorted_for_dialling`.  It is cut to
        ``max_addresses``, of which up to 8 belong to the family that is less preferred.

    For one address, for IPv4 alone and for libc's order no I/O is done.  The order of up to
    32 addresses is kept for ``KEEP_SOURCES`` seconds.
    """
    key: tuple[Any, ...]
    if len(answers) == 2:  # nearly always, and on the path of every name at hand
        key = (port, kind, max_addresses, answers[0].key, answers[1].key)
    else:
        key = (port, kind, max_addresses, *[answer.key for answer in answers])
    known = _orders.get(key)
    now = monotonic()
    if known is not None and now < known[0]:
        return known[1]
    found = [(answer, _endpoints(answer, port, kind)) for answer in answers if answer.addresses]
    infos = list(dict.fromkeys([each for _, endpoints in found for each in endpoints]))
    sure = True
    if found and all(answer.places is not None for answer, _ in found):
        places: dict[Endpoint, int] = {}
        for answer, endpoints in found:
            for each, place in zip(endpoints, answer.places or (), strict=False):
                places.setdefault(each, place)
        infos.sort(key=places.__getitem__)
    else:
        infos, sure = _sorted(infos)
    arranged = tuple(_cut(infos, max_addresses))
    if sure and sum([len(answer.addresses) for answer in answers]) <= _MOST_ADDRESSES_KEPT:
        if len(_orders) >= _MOST_KEPT:
            _orders.clear()
        _orders[key] = (now + KEEP_SOURCES, arranged)
    return arranged


_orders: dict[tuple[Any, ...], tuple[float, tuple[Endpoint, ...]]] = {}


def _endpoints(answer: Answer, port: int, kind: int) -> list[Endpoint]:
    family, addresses = answer.family, answer.addresses[:MOST_SORTED]
    if family == _AF_INET:
        return [endpoint(family, kind, (text, port)) for text in addresses]
    endpoints = []
    for text in addresses:
        bare, _, zone = text.partition("%")
        scope = int(zone) if zone.isdecimal() else zone or 0
        endpoints.append(endpoint(family, kind, (bare, port, 0, scope)))
    return endpoints


def share_of_other_family(most: int) -> int:
    """Return how many of ``most`` addresses the less preferred family keeps, if it has them."""
    return min(OTHER_FAMILY, most // 2)


def _cut(infos: list[Endpoint], most: int) -> Iterable[Endpoint]:
    """Return the first ``most``, of which some belong to the family that does not come first."""
    if len(infos) <= most:
        return infos
    first = infos[0][0]
    others = [info for info in infos if info[0] != first][: share_of_other_family(most)]
    left = most - len(others)
    kept: list[Endpoint] = []
    reserved = set(others)
    for info in infos:
        if info in reserved:
            kept.append(info)
        elif left:
            kept.append(info)
            left -= 1
    return kept


def sorted_for_dialling(infos: list[AddrInfo]) -> list[AddrInfo]:
    """Return the addresses in the order of this host's policy.

    Args:
        infos: getaddrinfo 5-tuples of IPv4 and IPv6, in the order in which they were answered.

    Returns:
        The same in a new order; ``infos`` itself if there is nothing to change.  For a single
        address, or IPv4 only, no I/O is done.

    It never fails: addresses whose source cannot be found out keep their order.

    Source: RFC 6724, section 6.
    """
    return _sorted(infos)[0]


def _sorted(infos: list[AddrInfo]) -> tuple[list[AddrInfo], bool]:
    """Return the addresses in order, and whether that is sure; not for lack of a descriptor."""
    if len(infos) < 2:
        return infos, True
    families = {info[0] for info in infos}
    if families == {_AF_INET} or not families <= {_AF_INET, _AF_INET6}:
        return infos, True
    try:
        order = _order([_numeric(info) for info in infos])
    except OSError:
        return infos, False
    return [infos[index] for index in order], True


def sort(
    addresses: Sequence[tuple[int, str]],
    *,
    policy: PolicyTable | None = None,
    source: Callable[[int, str], str | None] | None = None,
) -> list[tuple[int, str]]:
    """Sort destinations, the best first.

    Args:
        addresses: family and numeric text (``%scope`` allowed), in the order answered.
        policy: the table to go by; None is this host's.
        source: says for a destination which address this host would use to reach it, None if
            there is no way; by default :func:`source_of`.  With a function that does no I/O
            this one does none.

    Returns:
        The same addresses; those that no rule tells apart keep their order.

    Source: RFC 6724, section 6.
    """
    return [addresses[index] for index in _order(addresses, policy, source)]


def _order(
    addresses: Sequence[tuple[int, str]],
    policy: PolicyTable | None = None,
    source: Callable[[int, str], str | None] | None = None,
) -> list[int]:
    if policy is None:
        policy = system()
    if source is None:
        source = source_of
    keys: list[tuple[int, ...]] = []
    matching: list[int] = []  # bits, for rule 9
    for family, text in addresses:
        destination = number(family, text)
        own = source(family, text)
        scope = policy.scope(destination)
        precedence = policy.precedence(destination)
        if own is None:
            # Rule 1: avoid unusable destinations.  Nothing is known of their source.
            keys.append((1, 0, 0, -precedence, scope))
            matching.append(0)
            continue
        address = number(family, own)
        keys.append(
            (
                0,
                policy.scope(address) != scope,  # rule 2: prefer matching scope
                policy.label(address) != policy.label(destination),  # rule 5: matching label
                -precedence,  # rule 6: prefer higher precedence
                scope,  # rule 8: prefer smaller scope
            )
        )
        matching.append(_common_prefix(address, destination))
    order = sorted(range(len(addresses)), key=keys.__getitem__)  # rule 10: stable
    # Rule 9 tells addresses of one family apart, so it cannot be part of the key: among
    # destinations that are equal so far, it orders the IPv6 ones on the places that they have.
    start = 0
    for end in range(1, len(order) + 1):
        if end == len(order) or keys[order[end]] != keys[order[start]]:
            places = [at for at in range(start, end) if addresses[order[at]][0] == _AF_INET6]
            best = sorted((order[at] for at in places), key=lambda index: -matching[index])
            for at, index in zip(places, best, strict=True):
                order[at] = index
            start = end
    return order


def _common_prefix(source: int, destination: int) -> int:
    # RFC 6724, section 2.2: up to the length of the source's prefix, which is not known here;
    # 64 is what a prefix on a link has (RFC 4291, section 2.5.1).
    return min(64, 128 - (source ^ destination).bit_length())


_sources: dict[tuple[int, str], tuple[float, str | None]] = {}


def source_of(family: int, address: str) -> str | None:
    """Return the address that this host would use to reach ``address``.

    Args:
        family: ``socket.AF_INET`` or ``socket.AF_INET6``.
        address: numeric text, with ``%scope`` if it is link-local.

    Returns:
        Numeric text without scope id; None if there is no way there.  It is kept for
        ``KEEP_SOURCES`` seconds.

    Raises:
        OSError: it could not be found out: no descriptor, no memory.
    """
    now = monotonic()
    known = _sources.get((family, address))
    if known is not None and now < known[0]:
        return known[1]
    own = _ask_for_source(family, address)
    if len(_sources) >= _MOST_KEPT:
        _sources.clear()
    _sources[family, address] = (now + KEEP_SOURCES, own)
    return own


_NOT_FOUND_OUT = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM))


def _ask_for_source(family: int, address: str) -> str | None:
    bare, _, scope = address.partition("%")
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as sock:
            # Any port does; 0 would be refused by some systems.
            if family == _AF_INET:
                sock.connect((bare, 9))
            else:
                sock.connect((bare, 9, 0, _scope_id(scope)))
            return str(sock.getsockname()[0]).partition("%")[0]
    except OSError as exc:
        if exc.errno in _NOT_FOUND_OUT:
            raise
        return None  # no route, no address of that family, an unknown interface, forbidden


def _scope_id(scope: str) -> int:
    if not scope:
        return 0
    return int(scope) if scope.isdecimal() else socket.if_nametoindex(scope)


def _numeric(info: AddrInfo) -> tuple[int, str]:
    address = info[4]
    text = str(address[0])
    if len(address) > 3 and address[3] and "%" not in text:
        text = f"{text}%{address[3]}"
    return info[0], text
