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
import socket
from typing import TYPE_CHECKING, Any, TypeAlias

from . import causes
from .address_rules import PREFIX, PolicyArguments, Rules, Verdict
from .named_endpoint import NamedEndpoint
from .networks import number

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from .address_rules import Network
    from .errors import ConnectError
    from .targets import Endpoint

__all__ = ["AddressPolicy", "AddressPolicyLike", "NamedEndpoint", "Verdict"]

_AF_INET, _AF_INET6, _AF_UNIX = int(socket.AF_INET), int(socket.AF_INET6), int(socket.AF_UNIX)
_IP = (_AF_INET, _AF_INET6)
_STREAM = int(socket.SOCK_STREAM)
_STREAMS = frozenset((_STREAM, int(getattr(socket, "SOCK_SEQPACKET", 5))))

_NO_ADDRESS = Verdict(False, "not a numeric address")
_NO_STREAM = Verdict(False, "a datagram socket")
_ZONE = Verdict(False, "an IPv6 zone")


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

    __slots__ = ("_given", "_ports", "_rules")

    _given: PolicyArguments
    _ports: frozenset[int] | None
    _rules: Rules

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
        return cls._of(PolicyArguments.checked(True, allow, deny, nat64, ports, datagram))

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
        return cls._of(PolicyArguments.checked(False, allow, deny, nat64, ports, datagram))

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
        if type not in _STREAMS and not self._given.datagram:
            return _NO_STREAM
        if address.startswith(PREFIX):
            return self._rules.path(address[len(PREFIX) :])
        if "%" in address:
            return _ZONE
        try:
            if ":" in address:
                verdict = self._rules.ipv6(number(_AF_INET6, address))
            else:
                verdict = self._rules.ipv4(number(_AF_INET, address))
        except ValueError:
            return _NO_ADDRESS
        ports = self._ports
        if ports is not None and port not in ports and verdict.allowed:
            return Verdict(False, "no port" if port is None else f"port {port}")
        return verdict

    def __call__(self, endpoint: Endpoint) -> Verdict:
        """Judge an endpoint, as ``getaddrinfo`` writes it: this is how an attempt asks."""
        family, kind, _, _, address = endpoint
        if family == _AF_UNIX:
            path = os.fsdecode(address)
            if path.startswith("@"):
                path = "./" + path  # a file; the abstract socket @name has a NUL there
            return self.check(PREFIX + path.replace("\0", "@", 1), type=kind)
        if family not in _IP or (family == _AF_INET6) is not (":" in address[0]):
            return _NO_ADDRESS
        if len(address) > 3 and address[3]:
            return _ZONE
        return self.check(address[0], address[1], type=kind)

    # A value -------------------------------------------------------------------------------------

    @classmethod
    def _of(cls, given: PolicyArguments) -> AddressPolicy:
        self = object.__new__(cls)
        fill = object.__setattr__
        fill(self, "_given", given)
        fill(self, "_rules", Rules(given))
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


# What is asked ------------------------------------------------------------------------------------


AddressPolicyLike: TypeAlias = "Callable[[NamedEndpoint], Verdict | bool | str | None]"
"""What ``address_policy=`` takes."""


def is_asynchronous(policy: object) -> bool:
    """Tell whether calling a policy would only begin something that has to be awaited."""
    from inspect import isasyncgenfunction, iscoroutinefunction

    functions = (policy, getattr(policy, "__call__", None))  # noqa: B004  # the bound method
    return any(iscoroutinefunction(each) or isasyncgenfunction(each) for each in functions)


def denial(
    policy: Callable[[Any], object], endpoint: Endpoint, name: str | None
) -> ConnectError | None:
    """Ask a policy about what is about to be dialled; return the error if that is not allowed.

    Args:
        policy: what was given as ``address_policy``.
        endpoint: what is about to be dialled.
        name: what was looked up for it, if anything was.

    Raises:
        Exception: of the policy, if it is no ``OSError``.
    """
    family, _, _, _, address = endpoint
    try:
        # Ours needs no name, and reads every spelling: half of the time is saved.
        ours = type(policy) is AddressPolicy
        words = refusal(policy, endpoint if ours else NamedEndpoint.of(endpoint, name))
    except OSError as exc:
        return causes.from_exception(exc, stage="policy", address=address, family=family)
    return None if words is None else denied(words, address=address, family=family)


def denied(rule: str, *, address: Any = None, family: int = 0, target: str = "") -> ConnectError:
    """Build the error for what a policy denies: ``rule`` is why, in its words."""
    error = causes.from_exception(
        PermissionError(errno.EACCES, rule),
        stage="policy",
        address=address,
        family=family,
        target=target,
    )
    error.__cause__, error.__suppress_context__ = None, False  # nobody has raised that
    return error


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
