"""The options that every way of connecting takes: one name, one meaning, one default each.

``OPTIONS`` is the one table.  From it come the checks and the defaults here, the signatures that
``help()`` and editors show (:mod:`.signatures`), and what is written into the sources by
``python -m tests.support.generated``: the attributes of :class:`Options`, the list in each
docstring, the keywords that type checkers know (:mod:`.typed`), and ``docs/reference.md``.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

from . import checks
from .checks import count as check_count
from .checks import limit as check_limit
from .checks import span as check_span

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .events import Event
    from .resolve.base import Resolver
    from .retry import Breaker, Budget, Policy
    from .targets import Endpoint
    from .typed import ConnectOptions, SocketOption, TargetOptions

__all__ = [
    "KEYWORDS",
    "OPTIONS",
    "ConnectOptions",
    "Option",
    "Options",
    "TargetOptions",
    "check_count",
    "check_limit",
    "check_span",
]


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
# tests.support.generated`; tests/test_forgotten.py says what else it needs: an effect in each way
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
        "a retry budget (``aioconnect.retry.Budget``), shared by all calls that it is given to.",
    ),
    Option(
        "breaker",
        "Breaker | None",
        None,
        checks.having("admit", "success", "failure", "release"),
        "a circuit breaker (``aioconnect.retry.Breaker``), shared by all calls that it is given "
        "to.",
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
        "``SOCK_STREAM``, or ``SOCK_DGRAM`` for a connected datagram socket.  Over Unix sockets "
        "also ``SOCK_SEQPACKET``.",
    ),
    Option(
        "local_addr",
        "LocalAddress | Iterable[LocalAddress] | None",
        None,
        checks.local_addr,
        "the local address to bind: ``(numeric host, port)``, port 0 for any.  Or one per family "
        "in a list, or a path for Unix sockets.  An address without one of its family is not "
        "dialled.",
        kept="tuple[tuple[int, Any], ...] | None",
    ),
    Option(
        "happy_eyeballs_delay",
        "float | None",
        0.25,
        checks.delay,
        "between the starts of two attempts (RFC 8305, section 5).  None is strictly one after "
        "the other; less than 0.01, also 0, counts as 0.01.",
        unit="seconds",
    ),
    Option(
        "resolution_delay",
        "float",
        0.05,
        checks.span,
        "that IPv4 addresses wait for IPv6 ones (RFC 8305, section 3).",
        unit="seconds",
    ),
    Option(
        "max_concurrent",
        "int",
        6,
        checks.count,
        "that may be open at a time, whatever the name server answers.",
        unit="attempts",
    ),
    Option(
        "interleave",
        "int",
        1,
        checks.count,
        'of the first family that come first ("First Address Family Count", RFC 8305, section 4).',
        unit="addresses",
    ),
    Option(
        "socket_options",
        "Iterable[SocketOption] | None",
        (),
        checks.socket_options,
        "``(level, name, value)`` for each ``setsockopt``, before the socket is bound.",
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
        "Callable[[Endpoint], object] | None",
        None,
        checks.function,
        "called with the 5-tuple that is about to be dialled, whoever named it.  An ``OSError`` "
        "from it (``PermissionError``, say) forbids this address.",
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
        "for the TLS handshake alone, within ``timeout``.  None is asyncio's 60.",
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


class Options:
    """A validated, immutable set of options; equal and hashable by value.

    :class:`~aioconnect.Dialer` is one that can connect; its docstring explains each option.  The
    attributes are in plain form: seconds as floats, no limit as infinity, lists as tuples.

    Raises:
        TypeError: an unknown option, or a value of a wrong type.
        ValueError: a value out of its range, or two options that contradict each other.
    """

    # Generated from OPTIONS.

    timeout: float
    """Seconds for the whole call: names, attempts, back-off and TLS.  None is no limit."""

    attempt_timeout: float | None
    """Seconds for one attempt at one address.  None is 10 s where another address or another round
    can follow, else what is left of ``timeout``; infinity is no limit of its own."""

    retry: Policy | None
    """What happens when every address has failed.  A policy of ``aioconnect.retry``, or a function
    that is called as one; True for the default policy; a number of rounds in all; or None for one
    round."""

    budget: Budget | None
    """A retry budget (``aioconnect.retry.Budget``), shared by all calls that it is given to."""

    breaker: Breaker | None
    """A circuit breaker (``aioconnect.retry.Breaker``), shared by all calls that it is given to."""

    resolver: Resolver | None
    """The resolver that looks names up.  None is the system's (``getaddrinfo``, in threads of its
    own).  No resolver is asked for ``localhost`` (RFC 6761)."""

    family: int
    """``AF_INET`` or ``AF_INET6`` to use one family only; 0 is both."""

    type: int
    """``SOCK_STREAM``, or ``SOCK_DGRAM`` for a connected datagram socket.  Over Unix sockets also
    ``SOCK_SEQPACKET``."""

    local_addr: tuple[tuple[int, Any], ...] | None
    """The local address to bind: ``(numeric host, port)``, port 0 for any.  Or one per family in a
    list, or a path for Unix sockets.  An address without one of its family is not dialled."""

    happy_eyeballs_delay: float | None
    """Seconds between the starts of two attempts (RFC 8305, section 5).  None is strictly one after
    the other; less than 0.01, also 0, counts as 0.01."""

    resolution_delay: float
    """Seconds that IPv4 addresses wait for IPv6 ones (RFC 8305, section 3)."""

    max_concurrent: int
    """Attempts that may be open at a time, whatever the name server answers."""

    interleave: int
    """Addresses of the first family that come first ("First Address Family Count", RFC 8305,
    section 4)."""

    socket_options: tuple[SocketOption, ...]
    """``(level, name, value)`` for each ``setsockopt``, before the socket is bound."""

    socket_factory: Callable[[Endpoint], socket.socket] | None
    """Called with a ``getaddrinfo`` 5-tuple for each attempt.  It returns an unconnected socket,
    which the library then owns; an ``OSError`` from it is a failed attempt."""

    address_policy: Callable[[Endpoint], object] | None
    """Called with the 5-tuple that is about to be dialled, whoever named it.  An ``OSError`` from
    it (``PermissionError``, say) forbids this address."""

    on_event: Callable[[Event], object] | None
    """Called with each event (``aioconnect.events``).  It only observes: an ``Exception`` in it is
    logged and dropped."""

    # End of what is generated.

    def __init__(self, **options: Any) -> None:
        fields = self.__dict__
        fields.update(_DEFAULTS)  # found at once in the instance: they are read for each call
        for name, value in options.items():
            check = _CHECKS.get(name)
            if check is None:
                raise TypeError(f"unknown option {name!r}; there are: {', '.join(sorted(_CHECKS))}")
            fields[name] = check(name, value)
        local = self.local_addr
        if local is not None and self.family and all(f != self.family for f, _ in local):
            raise ValueError("family and local_addr contradict each other")

    def replace(self, **changes: Any) -> Any:
        """Return a copy with some options changed."""
        new = type(self)(**changes)
        new.__dict__.update({n: v for n, v in self.__dict__.items() if n not in changes})
        if new.local_addr is not None and new.family:
            type(self)(family=new.family, local_addr=checks.plain_addresses(new.local_addr))
        return new

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{type(self).__name__} is immutable: use replace({name}=...)")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"{type(self).__name__} is immutable")

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return self._set() == other._set()

    def __hash__(self) -> int:
        return hash(frozenset(self._set().items()))

    def _set(self) -> Mapping[str, Any]:
        """Return what differs from the defaults."""
        return {
            name: value for name, value in self.__dict__.items() if value != getattr(Options, name)
        }

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={value!r}" for name, value in sorted(self._set().items()))
        return f"{type(self).__name__}({shown})"


_CHECKS = {option.name: option.check for option in OPTIONS if option.check is not None}
_DEFAULTS = {option.name: _CHECKS[option.name](option.name, option.default) for option in OPTIONS}

for _name, _default in _DEFAULTS.items():
    setattr(Options, _name, _default)


if not TYPE_CHECKING:  # or every name would exist for a type checker

    def __getattr__(name: str) -> object:
        if name in ("ConnectOptions", "TargetOptions"):  # each costs a tenth of a millisecond
            from . import typed

            return getattr(typed, name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
