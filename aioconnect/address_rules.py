"""The rules of an address policy: read from its arguments, and compiled into intervals.

Whatever is said of an address, by a registry, by ``allow`` or by ``deny``, is said of a block of
addresses.  The blocks are flattened once (see :mod:`.networks`); to judge an address is a
bisection, another one for each IPv4 address that it holds, and no loop over the rules.
"""

from __future__ import annotations

import re
import socket
from bisect import bisect_right
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from .networks import Block, intervals

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

    Network: TypeAlias = str | IPv4Address | IPv4Network | IPv6Address | IPv6Network

_AF_INET, _AF_INET6 = int(socket.AF_INET), int(socket.AF_INET6)

_LAST_32 = 0xFFFFFFFF
_MAPPED_96 = 0xFFFF  # ::ffff:0:0/96, without its last 32 bits
_ISATAP = 0x00005EFE
_ISATAP_BITS = 0xFDFFFFFF  # the universal/local bit may be set

_NAT64_LENGTHS = (32, 40, 48, 56, 64, 96)
_OCTET_U = 0xFF << 56  # bits 64 to 71, which RFC 6052 wants to be zero

PREFIX = "unix:"
"""How the path of a Unix socket begins in text."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a policy says of one address; true in a condition if the address is allowed.

    Attributes:
        allowed: True if the address may be dialled.
        rule: what decided, in words: ``"127.0.0.0/8 (loopback)"``, ``"NAT64 of 10.0.0.0/8
            (private use)"``, ``"port 22"``.
    """

    allowed: bool
    rule: str

    def __bool__(self) -> bool:
        return self.allowed


_NO_PATH = Verdict(False, "a Unix socket")
_CLIMBS = Verdict(False, "a Unix path with . or .. in it")
_NO_NAT64 = Verdict(False, "not an address of its NAT64 prefix")
_NOT_NAMED = Verdict(False, "not named")


class Rules:
    """Compiled rules: what they say of addresses, as numbers, and of paths."""

    __slots__ = ("_ipv4", "_ipv6", "_paths")

    def __init__(self, given: PolicyArguments) -> None:
        self._ipv4, self._ipv6 = _tables(given.registries, given.allow, given.deny, given.nat64)
        self._paths = _paths(given.allow, given.deny)

    def ipv4(self, address: int) -> Verdict:
        """Judge an IPv4 address."""
        begins, verdicts = self._ipv4
        return verdicts[bisect_right(begins, address) - 1][0]

    def ipv6(self, address: int) -> Verdict:
        """Judge an IPv6 address, and every IPv4 address that it holds."""
        if address >> 32 == _MAPPED_96:  # the kernel sends IPv4
            return self.ipv4(address & _LAST_32)
        begins, verdicts = self._ipv6
        verdict, form = verdicts[bisect_right(begins, address) - 1]
        if form is None:
            if address >> 32 & _ISATAP_BITS != _ISATAP:
                return verdict
            form = _isatap
        held = form(address)
        if held is None:
            return _NO_NAT64
        for words, inside in held:
            inner = self.ipv4(inside)
            if not inner.allowed:
                return Verdict(False, f"{words} of {inner.rule}")
        return verdict

    def path(self, path: str) -> Verdict:
        """Judge the path of a Unix socket, ``@name`` for an abstract one."""
        if _has_dots(path):
            return _CLIMBS
        for pattern, verdict in self._paths:
            if pattern.fullmatch(path):
                return verdict
        return _NO_PATH


def _has_dots(path: str) -> bool:
    return any(part in (".", "..") for part in path.split("/"))


# Reading what a program gives ---------------------------------------------------------------------


class PolicyArguments(NamedTuple):
    """The arguments of a policy, checked and in one spelling."""

    registries: bool
    allow: tuple[str, ...]
    deny: tuple[str, ...]
    nat64: tuple[str, ...]
    ports: tuple[int, ...] | None
    datagram: bool

    @classmethod
    def checked(
        cls,
        registries: bool,
        allow: Iterable[Network],
        deny: Iterable[Network],
        nat64: Iterable[Network],
        ports: Iterable[int] | None,
        datagram: bool,
    ) -> PolicyArguments:
        """Check them.

        Raises:
            ValueError, TypeError: as ``AddressPolicy.public`` says.
        """
        if not isinstance(datagram, bool):
            raise TypeError(f"datagram is True or False, not {datagram!r}")
        return cls(
            registries,
            _spelled("allow", allow),
            _spelled("deny", deny),
            _nat64(nat64),
            _checked_ports(ports),
            datagram,
        )

    def __repr__(self) -> str:
        shown = [] if self.registries else [repr(each) for each in self.allow]
        fields = [("nat64", self.nat64), ("deny", self.deny)]
        if self.registries:
            fields.insert(1, ("allow", self.allow))
        shown += [f"{name}={list(value)!r}" for name, value in fields if value]
        if self.ports is not None:
            shown.append(f"ports={list(self.ports)!r}")
        if self.datagram:
            shown.append("datagram=True")
        return f"{'public' if self.registries else 'only'}({', '.join(shown)})"


def _texts(what: str, values: Iterable[Network]) -> list[str]:
    # A network of ipaddress is iterable too, address by address.
    listed = hasattr(values, "__iter__") and not hasattr(values, "max_prefixlen")
    if isinstance(values, str) or not listed:
        raise TypeError(f"{what} is a list of networks, not {values!r}")
    texts = []
    for each in values:
        if not isinstance(each, str) and not hasattr(each, "max_prefixlen"):
            raise TypeError(f"{what}: a network is a str, not {type(each).__name__}")
        texts.append(str(each))
    return texts


def _spelled(what: str, values: Iterable[Network]) -> tuple[str, ...]:
    return tuple(
        _pattern(what, text) if text.startswith(PREFIX) else str(_network(what, text))
        for text in _texts(what, values)
    )


def _pattern(what: str, text: str) -> str:
    path = text[len(PREFIX) :]
    if not path or path == "@" or "\0" in path:
        raise ValueError(f"{what}: unix: needs a path, or @name for an abstract socket")
    if _has_dots(path):
        raise ValueError(f"{what}: a path with . or .. in it is never allowed")
    return text


def _network(what: str, text: str) -> Block:
    try:
        block = Block.read(text)
    except ValueError as exc:
        raise ValueError(f"{what}: {exc}") from None
    if block.family == _AF_INET6 and block.length >= 96 and block.first >> 32 == _MAPPED_96:
        raise ValueError(f"{what}: {text!r}: write the IPv4 network, which means both spellings")
    return block


def _nat64(values: Iterable[Network]) -> tuple[str, ...]:
    blocks = [_network("nat64", text) for text in _texts("nat64", values)]
    for block in blocks:
        if block.family != _AF_INET6 or block.length not in _NAT64_LENGTHS:
            raise ValueError(f"nat64: {block} is no IPv6 prefix of 32, 40, 48, 56, 64 or 96 bits")
        if block.first & _OCTET_U:
            raise ValueError(f"nat64: {block}: bits 64 to 71 are zero (RFC 6052, section 2.2)")
    return tuple(str(block) for block in blocks)


def _checked_ports(ports: Iterable[int] | None) -> tuple[int, ...] | None:
    if ports is None:
        return None
    if isinstance(ports, str | bytes) or not hasattr(ports, "__iter__"):
        raise TypeError(f"ports is a set of numbers, not {ports!r}")
    checked = set()
    for port in ports:
        if isinstance(port, bool) or not isinstance(port, int):
            raise TypeError(f"ports: a port is an int, not {port!r}")
        if not 0 < port < 65536:
            raise ValueError(f"ports: {port} is not between 1 and 65535")
        checked.add(port)
    if not checked:
        raise ValueError("ports is empty: that would allow nothing")
    return tuple(sorted(checked))


# What an IPv6 address holds -----------------------------------------------------------------------

if TYPE_CHECKING:
    _Form: TypeAlias = Callable[[int], tuple[tuple[str, int], ...] | None]
    """Which IPv4 addresses an IPv6 address holds, each with the words for how; None if its prefix
    is one that holds IPv4 addresses, but the rest cannot be one."""


def _last_32(words: str) -> _Form:
    return lambda number: ((words, number & _LAST_32),)


def _6to4(number: int) -> tuple[tuple[str, int], ...]:
    return (("6to4", number >> 80 & _LAST_32),)


def _teredo(number: int) -> tuple[tuple[str, int], ...]:
    server, client = number >> 64 & _LAST_32, number & _LAST_32 ^ _LAST_32
    return ("Teredo server", server), ("Teredo client", client)


def _behind(length: int) -> _Form:
    """Return the form of a NAT64 prefix: IPv4 stands behind it, but bits 64 to 71 are left out."""
    if length == 96:
        return _last_32("NAT64")
    shift = 120 - length - 32

    def form(number: int) -> tuple[tuple[str, int], ...] | None:
        if number & _OCTET_U:
            return None
        without = number >> 64 << 56 | number & (1 << 56) - 1
        return (("NAT64", without >> shift & _LAST_32),)

    return form


_isatap = _last_32("ISATAP")

_FORMS: tuple[tuple[str, _Form | None], ...] = (
    ("::/0", None),
    ("::/96", _last_32("IPv4-compatible form")),
    ("::/128", None),  # the unspecified address, and loopback, are what they are
    ("::1/128", None),
    ("::ffff:0:0:0/96", _last_32("IPv4-translated form")),
    ("64:ff9b::/96", _last_32("NAT64")),
    ("64:ff9b:1::/48", _last_32("NAT64")),
    ("2001::/32", _teredo),
    ("2002::/16", _6to4),
)


# The compiled tables ------------------------------------------------------------------------------

_REGISTRY, _ALLOW, _DENY = 0, 1, 2
"""Who says something of a block.  The later beats the earlier, whatever their lengths."""

if TYPE_CHECKING:
    _Table: TypeAlias = tuple[list[int], list[tuple[Verdict, _Form | None]]]
    """The beginnings of intervals, and the verdict on each and the form of its addresses."""


@lru_cache(maxsize=8)  # for programs that make the same policy again for each request
def _tables(
    registries: bool, allow: tuple[str, ...], deny: tuple[str, ...], nat64: tuple[str, ...]
) -> tuple[_Table, _Table]:
    said = _registered() if registries else [(text, _NOT_NAMED) for text in ("0.0.0.0/0", "::/0")]
    rows = [(Block.read(text), _REGISTRY, verdict) for text, verdict in said]
    forms = [(Block.read(text), _REGISTRY, form) for text, form in _FORMS]
    for text in nat64:
        block = Block.read(text)
        rows.append((block, _ALLOW, Verdict(True, f"{text} (nat64)")))
        forms.append((block, _ALLOW, _behind(block.length)))
    for rank, texts in ((_ALLOW, allow), (_DENY, deny)):
        networks = [text for text in texts if not text.startswith(PREFIX)]
        rows += [(Block.read(text), rank, _named(text, rank == _ALLOW)) for text in networks]
    begins, verdicts = intervals(row for row in rows if row[0].family == _AF_INET)
    begins6, verdicts6 = intervals(row for row in rows if row[0].family == _AF_INET6)
    shaped, shapes = intervals(forms)
    both = sorted({*begins6, *shaped})
    return (begins, [(verdict, None) for verdict in verdicts]), (
        both,
        [
            (verdicts6[bisect_right(begins6, at) - 1], shapes[bisect_right(shaped, at) - 1])
            for at in both
        ],
    )


def _registered() -> list[tuple[str, Verdict]]:
    from . import special_addresses as iana

    public = Verdict(True, "public")
    return [
        ("0.0.0.0/0", public),
        ("::/0", Verdict(False, f"not in {iana.IPV6_UNICAST}")),
        (iana.IPV6_UNICAST, Verdict(False, "not assigned by IANA")),
        *((block, public) for block in iana.IPV6_ASSIGNED),
        *(
            (block, Verdict(reachable, f"{block} ({name})"))
            for block, name, reachable in (*iana.IPV4, *iana.IPV6)
        ),
    ]


def _paths(allow: tuple[str, ...], deny: tuple[str, ...]) -> list[tuple[re.Pattern[str], Verdict]]:
    return [
        (
            _pattern_of(text[len(PREFIX) :]),
            _named(text, allowed),
        )
        for texts, allowed in ((deny, False), (allow, True))
        for text in texts
        if text.startswith(PREFIX)
    ]


def _pattern_of(path: str) -> re.Pattern[str]:
    abstract = "" if path.startswith("@") else "(?!@)"  # "*" is any file here, not any socket
    return re.compile(abstract + "[^/]*".join(map(re.escape, path.split("*"))))


def _named(text: str, allowed: bool) -> Verdict:
    return Verdict(allowed, f"{text} ({'allow' if allowed else 'deny'})")
