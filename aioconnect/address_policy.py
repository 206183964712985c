"""Which addresses may be dialled: the guard of programs that dial what strangers name.

A policy is asked about the numeric address of each attempt, after the look-up and right before
the socket is made: no name server can change its answer in between.  A policy is any callable
with one argument, the endpoint; :class:`AddressPolicy` is one that is right for the public
internet.

``ipaddress.ip_address(x).is_global`` is not.  It is True for multicast, for NAT64 of loopback and
of the metadata address of clouds, for segment routing, and in some versions for 6to4 of loopback.
An IPv6 address can hold an IPv4 address, which a kernel, a gateway or a relay unpacks and dials.
Here both must be allowed, the IPv6 address and what it holds:

=============================  ======================  ===================================
form                           the IPv4 address        source
=============================  ======================  ===================================
``::ffff:0:0/96``, mapped      the last 32 bits        RFC 4291, section 2.5.5.2
``::/96``, compatible          the last 32 bits        RFC 4291, section 2.5.5.1
``::ffff:0:0:0/96``            the last 32 bits        RFC 2765, section 2.1 (translated)
``64:ff9b::/96``               the last 32 bits        RFC 6052, section 2.1 (NAT64)
``64:ff9b:1::/48``             the last 32 bits        RFC 8215 (NAT64 for local use)
prefixes in ``nat64=``         behind the prefix       RFC 6052, section 2.2
``2002::/16``                  behind the prefix       RFC 3056, section 2 (6to4)
``2001::/32``                  behind the prefix: the  RFC 4380, section 4 (Teredo)
                               server; the last 32
                               bits, inverted: the
                               client
``[02]00:5efe`` in bits 64-95  the last 32 bits        RFC 5214, section 6.1 (ISATAP)
=============================  ======================  ===================================

A mapped address is dialled as IPv4: only what it holds is judged.  A policy fails closed: None,
True and a :class:`Verdict` that allows are a yes, everything else is a no.
"""

from __future__ import annotations

import errno
import os
import re
import socket
from bisect import bisect_right
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from .networks import Block, intervals, number

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

    from .targets import Endpoint

    Network: TypeAlias = str | IPv4Address | IPv4Network | IPv6Address | IPv6Network

__all__ = ["AddressPolicy", "AddressPolicyLike", "NamedEndpoint", "Verdict"]

_AF_INET, _AF_INET6, _AF_UNIX = int(socket.AF_INET), int(socket.AF_INET6), int(socket.AF_UNIX)
_STREAM = int(socket.SOCK_STREAM)
_CONNECTED = frozenset((_STREAM, int(getattr(socket, "SOCK_SEQPACKET", 5))))

_LAST_32 = 0xFFFFFFFF
_MAPPED = 0xFFFF  # ::ffff:0:0/96, without its last 32 bits
_ISATAP = 0x00005EFE
_ISATAP_BITS = 0xFDFFFFFF  # the universal/local bit may be set

_NAT64_LENGTHS = (32, 40, 48, 56, 64, 96)
_OCTET_U = 0xFF << 56  # bits 64 to 71, which RFC 6052 wants to be zero

_UNIX = "unix:"


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


_NO_ADDRESS = Verdict(False, "not a numeric address")
_NO_STREAM = Verdict(False, "a datagram socket")
_NO_PATH = Verdict(False, "a Unix socket")
_DOTS = Verdict(False, "a Unix path with . or .. in it")
_ZONE = Verdict(False, "an IPv6 zone")
_NO_NAT64 = Verdict(False, "not an address of its NAT64 prefix")
_NOT_NAMED = Verdict(False, "not named")


class AddressPolicy:
    """An immutable rule about addresses, for ``address_policy=``.

    ``AddressPolicy.public()`` and ``AddressPolicy.only(...)`` make one.  A policy is a value:
    equal rules are equal and hashable, and it can be pickled and shared between threads.

    Example::

        policy = AddressPolicy.public(ports={80, 443})
        assert policy.check("192.0.2.1", 80).rule == "192.0.2.0/24 (documentation, TEST-NET-1)"
        assert policy.check("64:ff9b::7f00:1", 80).rule == "NAT64 of 127.0.0.0/8 (loopback)"
        sock = await aioconnect.connect(text, port, address_policy=policy)
    """

    __slots__ = ("_given", "_ipv4", "_ipv6", "_paths", "_ports")

    _given: _Given
    _ipv4: _Table
    _ipv6: _Table
    _paths: list[tuple[re.Pattern[str], Verdict]]
    _ports: frozenset[int] | None

    def __init__(self) -> None:
        raise TypeError("use AddressPolicy.public() or AddressPolicy.only(...)")

    @classmethod
    def public(
        cls,
        *,
        nat64: Iterable[Network] = (),
        allow: Iterable[Network] = (),
        deny: Iterable[Network] = (),
        ports: Iterable[int] | None = None,
        datagram: bool = False,
    ) -> AddressPolicy:
        """Allow what IANA calls globally reachable: the public internet.

        Everything else is denied: private, local, shared, reserved and multicast addresses, IPv6
        blocks that IANA has assigned to nobody, IPv6 zones, Unix sockets, datagrams.  The
        registries are data of this version (``aioconnect.special_addresses``).

        Args:
            nat64: the prefixes of NAT64 gateways in your network, of 32, 40, 48, 56, 64 or 96
                bits (RFC 6052).  Such an address is allowed if the IPv4 address in it is allowed.
                ``64:ff9b::/96`` is known.
            allow: networks, addresses and ``"unix:/path"`` that are allowed too.
            deny: networks, addresses and ``"unix:/path"`` that are denied too, even if ``allow``
                names them.  List your own public addresses here if a service behind them trusts
                your own hosts.
            ports: the allowed ports; None allows every port.  Unix sockets have none.
            datagram: True allows datagram sockets (``type=SOCK_DGRAM``) too.

        ``*`` in a Unix path matches any characters but a slash: ``"unix:/run/app/*"``.  Paths are
        compared as text: a path with a ``.`` or ``..`` component is always denied, and symbolic
        links are not followed.

        Raises:
            ValueError: an entry is not a network, or has bits set behind its length.
            TypeError: an argument has a wrong type.
        """
        return cls._of(_Given.checked(True, allow, deny, nat64, ports, datagram))

    @classmethod
    def only(
        cls,
        *allow: Network,
        nat64: Iterable[Network] = (),
        deny: Iterable[Network] = (),
        ports: Iterable[int] | None = None,
        datagram: bool = False,
    ) -> AddressPolicy:
        """Allow what is named, and nothing else.

        Args:
            allow: networks, addresses and ``"unix:/path"``, as in ``public``.
            nat64: as in ``public``; also for ``64:ff9b::/96``, which is not allowed by itself.
                An IPv6 address that holds an IPv4 address in another form is allowed if both
                are named.
            deny: exceptions, as in ``public``.
            ports: as in ``public``.
            datagram: as in ``public``.

        Raises:
            ValueError: nothing is named, an entry is not a network, or it has bits set behind
                its length.
            TypeError: an argument has a wrong type.
        """
        if not allow:
            raise ValueError("AddressPolicy.only() without an address would allow nothing")
        return cls._of(_Given.checked(False, allow, deny, nat64, ports, datagram))

    def check(self, address: str, port: int | None = None, *, type: int = _STREAM) -> Verdict:
        """Judge one address.  Nothing is looked up or opened.

        Args:
            address: a numeric address, ``"unix:/path"`` or ``"unix:@name"``.  Anything else is
                denied.
            port: the port.  None is denied by a policy that names ports, except for Unix sockets.
            type: the socket type.  ``SOCK_STREAM`` and ``SOCK_SEQPACKET`` are streams, all others
                are datagrams.

        Raises:
            TypeError: the address is not a str.
        """
        if not isinstance(address, str):
            raise TypeError(f"an address is a str, not {address.__class__.__name__}")
        if type not in _CONNECTED and not self._given.datagram:
            return _NO_STREAM
        if address.startswith(_UNIX):
            return self._judge_path(address[len(_UNIX) :])
        if "%" in address:
            return _ZONE
        try:
            if ":" in address:
                verdict = self._judge_ipv6(number(_AF_INET6, address))
            else:
                verdict = self._judge_ipv4(number(_AF_INET, address))
        except ValueError:
            return _NO_ADDRESS
        ports = self._ports
        if ports is not None and port not in ports and verdict.allowed:
            return Verdict(False, "no port" if port is None else f"port {port}")
        return verdict

    def __call__(self, endpoint: Endpoint) -> None:
        """Refuse an endpoint that is not allowed, as an attempt asks it.

        Raises:
            PermissionError: it is not allowed.
        """
        verdict = self._judge(endpoint)
        if not verdict.allowed:
            raise PermissionError(errno.EACCES, verdict.rule)

    def _judge(self, endpoint: Endpoint) -> Verdict:
        family, kind, _, _, address = endpoint
        if family == _AF_UNIX:
            path = os.fsdecode(address)
            if path.startswith("@"):
                path = "./" + path  # a file; the abstract socket @name has a NUL there
            return self.check(_UNIX + path.replace("\0", "@", 1), type=kind)
        if (family == _AF_INET6) is not (":" in address[0]):
            return _NO_ADDRESS
        if len(address) > 3 and address[3]:
            return _ZONE
        return self.check(address[0], address[1], type=kind)

    def _judge_ipv4(self, address: int) -> Verdict:
        begins, verdicts = self._ipv4
        return verdicts[bisect_right(begins, address) - 1][0]

    def _judge_ipv6(self, address: int) -> Verdict:
        if address >> 32 == _MAPPED:  # the kernel sends IPv4
            return self._judge_ipv4(address & _LAST_32)
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
            inner = self._judge_ipv4(inside)
            if not inner.allowed:
                return Verdict(False, f"{words} of {inner.rule}")
        return verdict

    def _judge_path(self, path: str) -> Verdict:
        if _has_dots(path):
            return _DOTS
        for pattern, verdict in self._paths:
            if pattern.fullmatch(path):
                return verdict
        return _NO_PATH

    # A value -------------------------------------------------------------------------------------

    @classmethod
    def _of(cls, given: _Given) -> AddressPolicy:
        self = object.__new__(cls)
        fill = object.__setattr__
        fill(self, "_given", given)
        ipv4, ipv6 = _tables(given.registries, given.allow, given.deny, given.nat64)
        fill(self, "_ipv4", ipv4)
        fill(self, "_ipv6", ipv6)
        fill(self, "_paths", _paths(given.allow, given.deny))
        fill(self, "_ports", None if given.ports is None else frozenset(given.ports))
        return self

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError("an AddressPolicy is immutable")

    def __delattr__(self, name: str) -> None:
        raise AttributeError("an AddressPolicy is immutable")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, AddressPolicy) and self._given == other._given

    def __hash__(self) -> int:
        return hash(self._given)

    def __reduce__(self) -> tuple[Any, ...]:
        return AddressPolicy._of, (self._given,)

    def __repr__(self) -> str:
        return f"AddressPolicy.{self._given!r}"


def _has_dots(path: str) -> bool:
    return any(part in (".", "..") for part in path.split("/"))


# What is asked ------------------------------------------------------------------------------------


class NamedEndpoint(tuple[int, int, int, str, Any]):  # noqa: SLOT001  # a tuple can have none
    """The endpoint that a policy is asked about: ``getaddrinfo``'s 5-tuple, and the name.

    The address is numeric and in one spelling, that of ``inet_ntop``; an IPv6 scope is a number.
    What is dialled is this very tuple.

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
        if family != _AF_UNIX:
            host = socket.inet_ntop(family, socket.inet_pton(family, address[0]))
            address = (host, *address[1:])
        self = cls((family, kind, protocol, canonical_name, address))
        self.name = name
        return self


AddressPolicyLike: TypeAlias = "Callable[[NamedEndpoint], Verdict | bool | str | None]"
"""What ``address_policy=`` takes."""


def is_asynchronous(policy: object) -> bool:
    """Tell whether calling a policy would only begin something that has to be awaited."""
    from inspect import isasyncgenfunction, iscoroutinefunction

    functions = (policy, getattr(policy, "__call__", None))  # noqa: B004  # the bound method
    return any(iscoroutinefunction(each) or isasyncgenfunction(each) for each in functions)


def refusal(policy: Callable[[Any], object], endpoint: Endpoint) -> str | None:
    """Ask a policy about an endpoint; return None if it allows it, else why not, in its words.

    Exceptions of the policy come out unchanged.
    """
    answer = policy(endpoint)
    if answer is None or answer is True:
        return None
    if isinstance(answer, Verdict):
        return None if answer.allowed is True else str(answer.rule)
    if isinstance(answer, str) and answer:
        return answer
    close = getattr(answer, "close", None)  # a coroutine that nobody will ever await
    if hasattr(answer, "__await__") and callable(close):
        close()
    return f"the policy answered {type(answer).__name__}" if answer else "the policy said no"


# Reading what a program gives ---------------------------------------------------------------------


class _Given(NamedTuple):
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
    ) -> _Given:
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
        _pattern(what, text) if text.startswith(_UNIX) else str(_network(what, text))
        for text in _texts(what, values)
    )


def _pattern(what: str, text: str) -> str:
    path = text[len(_UNIX) :]
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
    if block.family == _AF_INET6 and block.length >= 96 and block.first >> 32 == _MAPPED:
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
        networks = [text for text in texts if not text.startswith(_UNIX)]
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
            _pattern_of(text[len(_UNIX) :]),
            _named(text, allowed),
        )
        for texts, allowed in ((deny, False), (allow, True))
        for text in texts
        if text.startswith(_UNIX)
    ]


def _pattern_of(path: str) -> re.Pattern[str]:
    abstract = "" if path.startswith("@") else "(?!@)"  # "*" is any file here, not any socket
    return re.compile(abstract + "[^/]*".join(map(re.escape, path.split("*"))))


def _named(text: str, allowed: bool) -> Verdict:
    return Verdict(allowed, f"{text} ({'allow' if allowed else 'deny'})")
