"""A checked set of options, which is a value."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import checks
from .checks import count as check_count
from .checks import limit as check_limit
from .checks import span as check_span
from .keywords import KEYWORDS, OPTIONS

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Mapping

    from .allowed_names import AllowedNames
    from .errors import ConnectError
    from .events import Event
    from .proxy import EnvironmentProxies, Proxy
    from .resolve.base import Resolver
    from .retry import Breaker, Budget, Policy
    from .targets import Endpoint, Handshake
    from .typed import ConnectOptions, SocketOption, TargetOptions

__all__ = [
    "ConnectOptions",
    "Options",
    "TargetOptions",
    "check_count",
    "check_limit",
    "check_span",
]


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
    """A ``retry.Budget``, shared by all calls that it is given to."""

    breaker: Breaker | None
    """A ``retry.Breaker``, shared by all calls that it is given to."""

    resolver: Resolver | None
    """The resolver that looks names up.  None is the system's (``getaddrinfo``, in threads of its
    own).  No resolver is asked for ``localhost`` (RFC 6761)."""

    family: int
    """``AF_INET`` or ``AF_INET6`` to use one family only; 0 is both."""

    type: int
    """The type of the socket.  ``SOCK_STREAM``, ``SOCK_DGRAM`` for connected datagrams, or
    ``SOCK_SEQPACKET`` over Unix sockets."""

    local_addr: tuple[tuple[int, Any], ...] | None
    """The local address to bind.  ``(numeric host, port)``, port 0 for any; one per family in a
    list; or a path for Unix sockets.  An address without one of its family is not dialled."""

    happy_eyeballs_delay: float | None
    """Seconds between the starts of two attempts.  None is strictly one after the other; less than
    0.01, also 0, counts as 0.01 (RFC 8305, section 5)."""

    resolution_delay: float
    """Seconds that IPv4 addresses wait for IPv6 ones.  RFC 8305, section 3."""

    max_concurrent: int
    """Attempts that may be open at a time.  Further addresses wait."""

    interleave: int
    """Addresses of the first family that come first.  The First Address Family Count of RFC 8305,
    section 4."""

    max_addresses: int
    """Addresses of one name that may be dialled.  The best of them; up to 8, and no more than half,
    of the family that comes second."""

    socket_options: tuple[SocketOption, ...]
    """``(level, name, value)`` for each ``setsockopt``.  They are set before the socket is bound
    and connected."""

    socket_factory: Callable[[Endpoint], socket.socket] | None
    """Called with a ``getaddrinfo`` 5-tuple for each attempt.  It returns an unconnected socket,
    which the library then owns; an ``OSError`` from it is a failed attempt."""

    address_policy: Callable[[Any], object] | None
    """Which addresses may be dialled.  An ``AddressPolicy``, or a function that is called with the
    numeric endpoint of each attempt, which has the ``name`` that was looked up.  None, True and a
    ``Verdict`` that allows are a yes; everything else is a no."""

    allowed_names: AllowedNames | None
    """The targets that may be looked up and dialled.  Names, ``*.example.com``, ``*`` for any name,
    addresses, ``unix:/path``; behind a proxy too."""

    proxy: Proxy | EnvironmentProxies | None
    """The proxy to connect through, as a URL or a ``Proxy``.  ``socks5h://user:password@host:port``
    (the proxy resolves names), ``socks5://`` (they are resolved here), ``http://`` (CONNECT).  The
    text ``"env"`` reads ``ALL_PROXY`` and ``NO_PROXY``; without it the environment is not read."""

    handshake: Handshake | None
    """Called with each connected socket and its 5-tuple.  It returns a generator that speaks over
    the socket, and yields 1 to wait until it can read, 4 until it can write; then the attempt is
    done.  An ``OSError`` from it is a failed attempt."""

    on_event: Callable[[Event], object] | None
    """Called with each event (``aioconnect.events``).  It only observes: an ``Exception`` in it is
    logged and dropped."""

    # End of what is generated.

    # Derived: somebody observes or is asked (a hook, a breaker, a budget, a handshake, a proxy, a
    # list of names).
    hooked = False
    # Derived: sockets are judged, made, set or bound in the caller's own way.
    custom = False
    # Derived: the function that asks the address policy, if there is one.
    denial: Callable[[Any, Endpoint, str | None], ConnectError | None]

    def __init__(self, **options: Any) -> None:
        fields = self.__dict__
        fields.update(_DEFAULTS)  # found at once in the instance: they are read for each call
        if "proxy" in options:
            checks.take_proxy(options)
        for name, value in options.items():
            check = _CHECKS.get(name)
            if check is None:
                raise TypeError(_unknown(name))
            fields[name] = check(name, value)
        self._check_contradictions()
        self._derive()

    def _derive(self) -> None:
        # Two flags instead of eight questions for each call, which are a twentieth of a connect.
        fields = self.__dict__
        hooks = self.on_event, self.breaker, self.budget, self.handshake, self.proxy
        asked = self.allowed_names
        fields["hooked"] = asked is not None or any(hook is not None for hook in hooks)
        if self.address_policy is not None:
            from .address_policy import denial  # its check has loaded it

            fields["denial"] = denial
        fields["custom"] = bool(
            self.socket_options
            or self.address_policy is not None
            or self.socket_factory is not None
            or self.local_addr is not None
        )

    def replace(self, **changes: Any) -> Any:
        """Return a copy with some options changed."""
        if "proxy" in changes:
            checks.take_proxy(changes)
        new = type(self)(**changes)
        new.__dict__.update({n: v for n, v in self.__dict__.items() if n not in changes})
        new._derive()
        new._check_contradictions()
        return new

    def _check_contradictions(self) -> None:
        local = self.local_addr
        if local is not None and self.family and all(f != self.family for f, _ in local):
            raise ValueError("family and local_addr contradict each other")
        if self.proxy is not None:
            checks.proxy_and_type(self.proxy, self.type)
            if self.address_policy is not None and self.allowed_names is None:
                checks.proxy_and_policy(self.proxy)

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
        fields = self.__dict__
        return {
            name: fields[name]
            for name, default in _DEFAULTS.items()
            if fields.get(name, default) != default  # it may be looked at half made, in a traceback
        }

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={value!r}" for name, value in sorted(self._set().items()))
        return f"{type(self).__name__}({shown})"


_CHECKS = {option.name: option.check for option in OPTIONS if option.check is not None}
_DEFAULTS = {option.name: _CHECKS[option.name](option.name, option.default) for option in OPTIONS}

for _name, _default in _DEFAULTS.items():
    setattr(Options, _name, _default)


_ELSEWHERE = {
    "attempts": "retry",
    "backoff": "retry",
    "connect_timeout": "attempt_timeout",
    "deadline": "timeout",
    "delay": "happy_eyeballs_delay",
    "dns": "resolver",
    "local_address": "local_addr",
    "max_attempts": "retry",
    "max_retries": "retry",
    "nameservers": "resolver",
    "retry_policy": "retry",
    "source_address": "local_addr",
    "total_timeout": "timeout",
    "tries": "retry",
}
"""What other libraries call an option of ours."""


def _unknown(name: str) -> str:
    """Say what an unknown option may have been meant to be."""
    said = f"unknown option {name!r}"
    if name in [keyword.name for keyword in KEYWORDS]:
        return f"{said}: it is one of open_connection and create_connection only"
    if name in ("host", "port", "target"):
        return f"{said}: it is an argument of the call"
    import difflib

    near = [_ELSEWHERE[name]] if name in _ELSEWHERE else difflib.get_close_matches(name, _CHECKS)
    if near:
        return f"{said}: did you mean {near[0]!r}?"
    return f"{said}; there are: {', '.join(sorted(_CHECKS))}"


if not TYPE_CHECKING:  # or every name would exist for a type checker

    def __getattr__(name: str) -> object:
        if name in ("ConnectOptions", "TargetOptions"):  # each costs a tenth of a millisecond
            from . import typed

            return getattr(typed, name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
