"""The options that every way of connecting takes: one name, one meaning, one default each."""

from __future__ import annotations

import builtins
import math
import socket
from typing import TYPE_CHECKING, Any, TypeAlias, TypedDict

from .targets import Endpoint, parse
from .text import safe

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from .events import Event
    from .resolve.base import Resolver
    from .retry import Breaker, Budget, Policy

    LocalAddress: TypeAlias = tuple[str, int] | str
    SocketOption: TypeAlias = tuple[int, int, int | bytes]

__all__ = ["ConnectOptions", "Options", "TargetOptions", "check_count", "check_limit", "check_span"]

LEAST_DELAY = 0.010
"""Seconds between two starts at least (RFC 8305, section 5: MUST NOT be less than 10 ms)."""


class TargetOptions(TypedDict, total=False):
    """The options but ``timeout``, for functions that have a ``timeout`` of their own."""

    attempt_timeout: float | None
    retry: Policy | Callable[..., Any] | bool | int | None
    budget: Budget | None
    breaker: Breaker | None
    resolver: Resolver | None
    family: int
    type: int
    local_addr: LocalAddress | Iterable[LocalAddress] | None
    happy_eyeballs_delay: float | None
    resolution_delay: float
    max_concurrent: int
    interleave: int
    socket_options: Iterable[SocketOption] | None
    socket_factory: Callable[[Endpoint], socket.socket] | None
    address_policy: Callable[[Endpoint], object] | None
    on_event: Callable[[Event], object] | None


class ConnectOptions(TargetOptions, total=False):
    """The options as keywords, for type checkers (PEP 692); :class:`Options` explains each."""

    timeout: float | None


class Options:
    """A validated, immutable set of options; equal and hashable by value.

    Raises:
        TypeError: an unknown option, or a value of a wrong type.
        ValueError: a value out of its range, or two options that contradict each other.
    """

    timeout: float = 30.0
    """Seconds for the whole call: names, attempts, back-off, TLS.  None is no limit."""

    attempt_timeout: float | None = None
    """Seconds for one attempt at one address.  None is 10 s where another address or another
    round can follow, else what is left of ``timeout``; infinity is no limit of its own."""

    retry: Policy | None = None
    """What happens when every address has failed: a policy of ``aioconnect.retry``, True for the
    default policy, a number of rounds in all, or None for one round."""

    budget: Budget | None = None
    """A retry budget (``aioconnect.retry.Budget``) shared by everything that it is given to."""

    breaker: Breaker | None = None
    """A circuit breaker (``aioconnect.retry.Breaker``) shared likewise."""

    resolver: Resolver | None = None
    """Who looks names up; None is the system's resolver (``getaddrinfo``, in our threads).  It is
    never asked for ``localhost`` (RFC 6761)."""

    family: int = 0
    """``AF_INET`` or ``AF_INET6`` to use one family only; 0 is both."""

    type: int = int(socket.SOCK_STREAM)
    """``SOCK_STREAM``, or ``SOCK_DGRAM`` for a connected datagram socket."""

    local_addr: tuple[tuple[int, Any], ...] | None = None
    """The local address to bind: ``(numeric host, port)``, port 0 for any; or one per family in
    a list; or a path for Unix sockets.  An address without one of its family is not dialled."""

    happy_eyeballs_delay: float | None = 0.25
    """Seconds between the starts of two attempts (RFC 8305, section 5).  None is strictly one
    after the other; less than 0.01, also 0, counts as 0.01."""

    resolution_delay: float = 0.05
    """Seconds that IPv4 addresses wait for IPv6 ones (RFC 8305, section 3)."""

    max_concurrent: int = 6
    """How many attempts may be open at a time, whatever the name server answers."""

    interleave: int = 1
    """How many addresses of the first family come first ("First Address Family Count")."""

    socket_options: tuple[SocketOption, ...] = ()
    """``(level, name, value)`` for each ``setsockopt`` before the socket is bound and connected."""

    socket_factory: Callable[[Endpoint], socket.socket] | None = None
    """Called with a ``getaddrinfo`` 5-tuple for each attempt; returns an unconnected socket, which
    the library then owns.  An ``OSError`` from it is a failed attempt."""

    address_policy: Callable[[Endpoint], object] | None = None
    """Called with the 5-tuple that is about to be dialled, whoever named it; an ``OSError`` from
    it (``PermissionError``, say) forbids this address."""

    on_event: Callable[[Event], object] | None = None
    """Called with each :class:`~aioconnect.events.Event`.  It only observes: an ``Exception`` in
    it is logged and dropped."""

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
            type(self)(family=new.family, local_addr=_addresses(new.local_addr))
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


# The checks --------------------------------------------------------------------------------------


def check_span(name: str, value: object) -> float:
    """Return a number that is not negative; infinity is allowed."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} is seconds as a number, not {value!r}")
    try:
        seconds = float(value)
    except OverflowError:
        raise ValueError(f"{name}: too large a number; infinity says it") from None
    if math.isnan(seconds) or seconds < 0:
        raise ValueError(f"{name}={value!r}: a time is not negative, and not NaN")
    return seconds


def check_limit(name: str, value: object) -> float:
    """Return seconds, infinity for None."""
    return math.inf if value is None else check_span(name, value)


def _optional_span(name: str, value: object) -> float | None:
    return None if value is None else check_span(name, value)


def _delay(name: str, value: object) -> float | None:
    span = math.inf if value is None else check_span(name, value)
    return None if span == math.inf else max(span, LEAST_DELAY)


def check_count(name: str, value: object) -> int:
    """Return a whole number of at least 1."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} is a whole number, not {value!r}")
    if value < 1:
        raise ValueError(f"{name}={value!r}: at least 1")
    return int(value)


def _family(name: str, value: object) -> int:
    if isinstance(value, bool) or value not in (0, socket.AF_INET, socket.AF_INET6):
        raise ValueError(f"family={value!r}: AF_INET, AF_INET6 or 0 for both")
    return int(value)  # type: ignore[call-overload, no-any-return]


def _type(name: str, value: object) -> int:
    if isinstance(value, bool) or value not in (
        socket.SOCK_STREAM,
        socket.SOCK_DGRAM,
        getattr(socket, "SOCK_SEQPACKET", 5),
    ):
        raise ValueError(f"type={value!r}: SOCK_STREAM or SOCK_DGRAM")
    return int(value)  # type: ignore[call-overload, no-any-return]


def _local_addr(name: str, value: Any) -> tuple[tuple[int, Any], ...] | None:
    if value is None:
        return None
    if value == ():
        raise ValueError("local_addr is empty")
    # A tuple is one address, unless it holds addresses.
    one = isinstance(value, str) or (isinstance(value, tuple) and not isinstance(value[0], tuple))
    checked = [_local(each) for each in ([value] if one else _items(name, value))]
    if not checked:
        raise ValueError("local_addr is empty")
    return tuple(checked)


def _local(value: Any) -> tuple[int, Any]:
    if isinstance(value, str):
        if not value or "\0" in value[1:]:
            raise ValueError("local_addr: a path is not empty and has no NUL")
        return int(socket.AF_UNIX), value
    if not isinstance(value, tuple) or len(value) not in (2, 4):
        raise TypeError("local_addr is (host, port), a path, or a list of these")
    host, port, *rest = value
    if isinstance(port, bool) or not isinstance(port, int):
        raise TypeError(f"local_addr: a port is an int, not {port!r}")
    if not 0 <= port < 65536:
        raise ValueError(f"local_addr: port {port} is not between 0 and 65535")
    if any(isinstance(each, str) for each in rest):
        raise TypeError(
            "local_addr: a scope id is an int; write a name into the host: fe80::1%eth0"
        )
    if host in (None, ""):
        host = "0.0.0.0"  # noqa: S104  # any local address; nothing listens
    try:
        target = parse((host, port or 1, *rest))  # a target has no port 0, a local address may
    except (TypeError, ValueError) as exc:
        raise type(exc)(f"local_addr: {exc}") from None
    if target.name is not None:
        raise ValueError(f"local_addr: {safe(target.name)!r} is not a numeric address")
    return target.family, (host, port, *rest)


def _addresses(local_addr: Iterable[tuple[int, Any]]) -> list[Any]:
    return [address for _, address in local_addr]


def _items(name: str, value: Any) -> tuple[Any, ...]:
    try:
        return tuple(value)
    except TypeError:
        raise TypeError(f"{name} is a list, not {value!r}") from None


def _socket_options(name: str, value: Any) -> tuple[Any, ...]:
    if value is None:
        return ()
    options = _items(name, value)
    for each in options:
        if not isinstance(each, tuple | list) or len(each) != 3:
            raise TypeError(f"socket_options: {each!r} is not (level, name, value)")
        level, option, setting = each
        if not (isinstance(level, int) and isinstance(option, int)):
            raise TypeError(f"socket_options: level and name are numbers in {each!r}")
        if not isinstance(setting, int | bytes | bytearray):
            raise TypeError(f"socket_options: the value is an int or bytes in {each!r}")
        if any(isinstance(n, int) and not -(2**31) <= n < 2**32 for n in each):
            raise ValueError(f"socket_options: a number in {each!r} is too large for C")
    return tuple(tuple(each) for each in options)


def _callable(name: str, value: Any) -> Any:
    if value is not None and not callable(value):
        raise TypeError(f"{name} is not callable: {value!r}")
    return value


def _with(*methods: str) -> Callable[[str, Any], Any]:
    def check(name: str, value: Any) -> Any:
        if isinstance(value, builtins.type):
            raise TypeError(f"{name} is an object, not a class: {value!r}")
        if value is not None and not all(callable(getattr(value, m, None)) for m in methods):
            raise TypeError(f"{name} needs {' and '.join(m + '()' for m in methods)}: {value!r}")
        return value

    return check


_CHECKS: dict[str, Callable[[str, Any], Any]] = {
    "timeout": check_limit,
    "attempt_timeout": _optional_span,
    "retry": _callable,  # Dialer makes a policy of what is none yet
    "budget": _with("reserve", "release", "success"),
    "breaker": _with("admit", "success", "failure", "release"),
    "resolver": _with("lookup"),
    "family": _family,
    "type": _type,
    "local_addr": _local_addr,
    "happy_eyeballs_delay": _delay,
    "resolution_delay": check_span,
    "max_concurrent": check_count,
    "interleave": check_count,
    "socket_options": _socket_options,
    "socket_factory": _callable,
    "address_policy": _callable,
    "on_event": _callable,
}


_DEFAULTS = {name: getattr(Options, name) for name in _CHECKS}
