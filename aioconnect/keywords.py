"""Every keyword of the functions that connect: one name, one meaning, one default each.

``OPTIONS`` are those that every way of connecting takes, ``KEYWORDS`` those of asyncio's two
beside them.  From these tables come the checks and the defaults of :class:`~.options.Options`, the
signatures that ``help()`` and editors show (:mod:`.signatures`), and what is written by ``python
-m tests.support.generated``: the attributes of ``Options``, the list in each docstring, the
keywords that type checkers know (:mod:`.typed`), and ``docs/reference.md``.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

from . import checks

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["KEYWORDS", "OPTIONS", "Option"]


class Option:
    """A row of the table.

    Attributes:
        name: the keyword.
        type: what it accepts, as an annotation says it.
        default: what it is if it is not given.
        check: makes its plain form of what was given, or refuses it; None leaves that to asyncio.
        meaning: its first sentence is enough for a list; begins in the middle if it has a unit.
        unit: what a number of it counts.
        kept: the type of the plain form, if that is another.
    """

    __slots__ = ("check", "default", "kept", "meaning", "name", "type", "unit")

    def __init__(
        self,
        name: str,
        type: str,
        default: object,
        check: Callable[[str, Any], Any] | None,
        meaning: str,
        *,
        unit: str = "",
        kept: str = "",
    ) -> None:
        self.name = name
        self.type = type
        self.default = default
        self.check = check
        self.meaning = meaning
        self.unit = unit
        self.kept = kept or type

    def __repr__(self) -> str:
        return f"<Option {self.name}>"


# A new option is a row here, and its check in checks.py.  Then run `python -m
# tests.support.generated`; tests/test_effects.py says what else it needs: an effect in each way
# of connecting.

OPTIONS = (
    Option(
        "timeout",
        "float | None",
        30.0,
        checks.limit,
        "for the whole call: names, attempts, back-off and TLS.  None is no limit.",
        unit="seconds",
        kept="float",
    ),
    Option(
        "attempt_timeout",
        "float | None",
        None,
        checks.optional_span,
        "for one attempt at one address.  None is 10 s where another address or another round can "
        "follow, else what is left of ``timeout``; infinity is no limit of its own.",
        unit="seconds",
    ),
    Option(
        "retry",
        "PolicyLike | bool | int | None",
        None,
        checks.function,  # Dialer makes a policy of what is none yet
        "what happens when every address has failed.  A policy of ``aioconnect.retry``, or a "
        "function that is called as one; True for the default policy; a number of rounds in all; "
        "or None for one round.",
        kept="Policy | None",
    ),
    Option(
        "budget",
        "Budget | None",
        None,
        checks.having("reserve", "release", "success"),
        "a ``retry.Budget``, shared by all calls that it is given to.",
    ),
    Option(
        "breaker",
        "Breaker | None",
        None,
        checks.having("admit", "success", "failure", "release"),
        "a ``retry.Breaker``, shared by all calls that it is given to.",
    ),
    Option(
        "resolver",
        "Resolver | None",
        None,
        checks.having("lookup"),
        "the resolver that looks names up.  None is the system's (``getaddrinfo``, in threads of "
        "its own).  No resolver is asked for ``localhost`` (RFC 6761).",
    ),
    Option(
        "family",
        "int",
        0,
        checks.family,
        "``AF_INET`` or ``AF_INET6`` to use one family only; 0 is both.",
    ),
    Option(
        "type",
        "int",
        socket.SOCK_STREAM,
        checks.socket_type,
        "the type of the socket.  ``SOCK_STREAM``, ``SOCK_DGRAM`` for connected datagrams, or "
        "``SOCK_SEQPACKET`` over Unix sockets.",
    ),
    Option(
        "local_addr",
        "LocalAddress | Iterable[LocalAddress] | None",
        None,
        checks.local_addr,
        "the local address to bind.  ``(numeric host, port)``, port 0 for any; one per family in "
        "a list; or a path for Unix sockets.  An address without one of its family is not dialled.",
        kept="tuple[tuple[int, Any], ...] | None",
    ),
    Option(
        "happy_eyeballs_delay",
        "float | None",
        0.25,
        checks.delay,
        "between the starts of two attempts.  None is strictly one after the other; less than "
        "0.01, also 0, counts as 0.01 (RFC 8305, section 5).",
        unit="seconds",
    ),
    Option(
        "resolution_delay",
        "float",
        0.05,
        checks.span,
        "that IPv4 addresses wait for IPv6 ones.  RFC 8305, section 3.",
        unit="seconds",
    ),
    Option(
        "max_concurrent",
        "int",
        6,
        checks.count,
        "that may be open at a time.  Further addresses wait.",
        unit="attempts",
    ),
    Option(
        "interleave",
        "int",
        1,
        checks.count,
        "of the first family that come first.  The First Address Family Count of RFC 8305, "
        "section 4.",
        unit="addresses",
    ),
    Option(
        "max_addresses",
        "int",
        32,
        checks.count,
        "of one name that may be dialled.  The best of them; up to 8, and no more than half, of "
        "the family that comes second.",
        unit="addresses",
    ),
    Option(
        "socket_options",
        "Iterable[SocketOption] | None",
        (),
        checks.socket_options,
        "``(level, name, value)`` for each ``setsockopt``.  They are set before the socket is "
        "bound and connected.",
        kept="tuple[SocketOption, ...]",
    ),
    Option(
        "socket_factory",
        "Callable[[Endpoint], socket.socket] | None",
        None,
        checks.function,
        "called with a ``getaddrinfo`` 5-tuple for each attempt.  It returns an unconnected "
        "socket, which the library then owns; an ``OSError`` from it is a failed attempt.",
    ),
    Option(
        "address_policy",
        "AddressPolicyLike | None",
        None,
        checks.policy,
        "which addresses may be dialled.  An ``AddressPolicy``, or a function that is called with "
        "the numeric endpoint of each attempt, which has the ``name`` that was looked up.  None, "
        "True and a ``Verdict`` that allows are a yes; everything else is a no.",
        kept="Callable[[Any], object] | None",
    ),
    Option(
        "allowed_names",
        "Iterable[str] | None",
        None,
        checks.allowed_names,
        "the targets that may be looked up and dialled.  Names, ``*.example.com``, ``*`` for any "
        "name, addresses, ``unix:/path``; behind a proxy too.",
        kept="AllowedNames | None",
    ),
    Option(
        "proxy",
        "ProxyLike | None",
        None,
        checks.proxy,
        "the proxy to connect through, as a URL or a ``Proxy``.  "
        "``socks5h://user:password@host:port`` (the proxy resolves names), ``socks5://`` (they "
        'are resolved here), ``http://`` (CONNECT).  The text ``"env"`` reads ``ALL_PROXY`` and '
        "``NO_PROXY``; without it the environment is not read.",
        kept="Proxy | EnvironmentProxies | None",
    ),
    Option(
        "handshake",
        "Handshake | None",
        None,
        checks.function,
        "called with each connected socket and its 5-tuple.  It returns a generator that speaks "
        "over the socket, and yields 1 to wait until it can read, 4 until it can write; then the "
        "attempt is done.  An ``OSError`` from it is a failed attempt.",
    ),
    Option(
        "on_event",
        "Callable[[Event], object] | None",
        None,
        checks.function,
        "called with each event (``aioconnect.events``).  It only observes: an ``Exception`` in it "
        "is logged and dropped.",
    ),
)

KEYWORDS = (
    Option(
        "ssl",
        "SSLContext | bool | None",
        None,
        None,
        "a context for TLS, True for the default one, None for no TLS.",
    ),
    Option(
        "server_hostname",
        "str | None",
        None,
        None,
        "the name that the certificate must have, also sent as SNI.  None is the host of the "
        "target that won; with ``sock`` or a Unix socket there is none.",
    ),
    Option(
        "ssl_handshake_timeout",
        "float | None",
        None,
        None,
        "for the TLS handshake alone, within ``attempt_timeout`` and ``timeout``.  None is no "
        "limit of its own.",
        unit="seconds",
    ),
    Option(
        "ssl_shutdown_timeout",
        "float | None",
        None,
        None,
        "for the end of TLS when the transport is closed.  None is asyncio's 30.",
        unit="seconds",
    ),
    Option(
        "sock",
        "socket.socket | None",
        None,
        None,
        "a connected stream socket, which is taken over; then without host and port.",
    ),
    Option("proto", "int", 0, None, "0 or ``IPPROTO_TCP``, which are the same."),
    Option(
        "flags",
        "int",
        0,
        None,
        "``AI_*`` flags for ``getaddrinfo``; not used with a ``resolver`` or without a name.",
    ),
    Option(
        "all_errors",
        "bool",
        False,
        None,
        "True gives the error a group as ``__cause__`` also when only one attempt failed.",
    ),
    Option(
        "limit",
        "int",
        2**16,
        None,
        "that the stream reader buffers before it stops reading; ``open_connection`` only.",
        unit="bytes",
    ),
)
"""asyncio's keywords of ``create_connection`` and ``open_connection`` beside the options."""
