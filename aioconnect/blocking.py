"""The same without an event loop: the blocking twin, by poll(2).

The decisions, the attempts and the errors are those of the asynchronous side; only the waiting
differs.
"""

from __future__ import annotations

from socket import SOCK_STREAM
from time import monotonic
from typing import TYPE_CHECKING, Any

from . import resolving, signatures
from .call import Call
from .checks import take_proxy
from .chosen import Chosen, reached, with_options
from .own_socket import OwnSocket, check_address
from .patience import as_given, checked, patient
from .polling import PollDriver
from .targets import parse_all
from .wait import check_socket

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterable, Sequence
    from typing import Unpack

    from .address_policy import AddressPolicyLike
    from .events import Event
    from .options import ConnectOptions, Options, TargetOptions
    from .resolve.base import Resolver
    from .stages import StageSpec
    from .targets import Endpoint, Handshake, Target, TargetLike

__all__ = [
    "Dialer",
    "connect",
    "connect_wait",
    "resolve_addresses",
    "sock_connect",
    "wait_until_ready",
]


@signatures.blocking_connect
def connect(
    target: TargetLike | Sequence[TargetLike],
    port: int | None = None,
    **options: Unpack[ConnectOptions],
) -> socket.socket:
    """Connect as :func:`aioconnect.connect` does, and block until it is done.

    Args:
        target: as for :func:`aioconnect.connect`.
        port: 1 to 65535.

    Options:
        timeout: seconds for the whole call: names, attempts, back-off and TLS (default 30).
        attempt_timeout: seconds for one attempt at one address (default None).
        retry: what happens when every address has failed (default None).
        budget: a ``retry.Budget``, shared by all calls that it is given to (default None).
        breaker: a ``retry.Breaker``, shared by all calls that it is given to (default None).
        resolver: the resolver that looks names up (default None).
        family: ``AF_INET`` or ``AF_INET6`` to use one family only; 0 is both (default 0).
        type: the type of the socket (default ``SOCK_STREAM``).
        local_addr: the local address to bind (default None).
        happy_eyeballs_delay: seconds between the starts of two attempts (default 0.25).
        resolution_delay: seconds that IPv4 addresses wait for IPv6 ones (default 0.05).
        max_concurrent: attempts that may be open at a time (default 6).
        interleave: addresses of the first family that come first (default 1).
        max_addresses: addresses of one name that may be dialled (default 32).
        socket_options: ``(level, name, value)`` for each ``setsockopt`` (default none).
        socket_factory: called with a ``getaddrinfo`` 5-tuple for each attempt (default None).
        address_policy: which addresses may be dialled (default None).
        allowed_names: the targets that may be looked up and dialled (default None).
        proxy: the proxy to connect through, as a URL or a ``Proxy`` (default None).
        handshake: called with each connected socket and its 5-tuple (default None).
        on_event: called with each event (``aioconnect.events``) (default None).

    Returns:
        A connected *blocking* socket without a time-out, close-on-exec; the caller owns it.

    Raises:
        ConnectError: no connection.
        InvalidTarget: a target that means nothing, before any I/O.
        ValueError, TypeError: other bad input, before any I/O.
    """
    dialer = with_options(options)  # first: it takes a proxy's password out of this frame
    return _dial(parse_all(target, port), dialer)


def _dial(
    targets: Sequence[Target], options: Options, stages: Sequence[StageSpec] = ()
) -> socket.socket:
    driver = PollDriver()
    call = Call(driver, reached(targets, options), options, stages)
    driver.drive(call)
    if call.error is not None:
        raise call.take_error()
    sock: socket.socket = call.result
    sock.setblocking(True)
    return sock


@signatures.blocking_wait_until_ready
def wait_until_ready(
    target: TargetLike | Sequence[TargetLike],
    port: int | None = None,
    *,
    timeout: float | None = 60.0,
    check: Handshake | None = None,
    all: bool = False,
    **options: Unpack[TargetOptions],
) -> float:
    """Wait until a target accepts connections, and block until it does.

    As :func:`aioconnect.wait_until_ready`, with the same options.

    Args:
        target: as for :func:`aioconnect.connect`.
        port: 1 to 65535.
        timeout: seconds; None waits for ever.
        check: what the server must say, too; as there.
        all: wait for each target of a list, one after the other; else for any of them.

    Options:
        attempt_timeout: seconds for one attempt at one address (default 5).
        retry: what happens when every address has failed (default again until timeout).
        budget: a ``retry.Budget``, shared by all calls that it is given to (default None).
        breaker: a ``retry.Breaker``, shared by all calls that it is given to (default None).
        resolver: the resolver that looks names up (default None).
        family: ``AF_INET`` or ``AF_INET6`` to use one family only; 0 is both (default 0).
        type: the type of the socket (default ``SOCK_STREAM``).
        local_addr: the local address to bind (default None).
        happy_eyeballs_delay: seconds between the starts of two attempts (default 0.25).
        resolution_delay: seconds that IPv4 addresses wait for IPv6 ones (default 0.05).
        max_concurrent: attempts that may be open at a time (default 6).
        interleave: addresses of the first family that come first (default 1).
        max_addresses: addresses of one name that may be dialled (default 32).
        socket_options: ``(level, name, value)`` for each ``setsockopt`` (default none).
        socket_factory: called with a ``getaddrinfo`` 5-tuple for each attempt (default None).
        address_policy: which addresses may be dialled (default None).
        allowed_names: the targets that may be looked up and dialled (default None).
        proxy: the proxy to connect through, as a URL or a ``Proxy`` (default None).
        handshake: called with each connected socket and its 5-tuple (default None).
        on_event: called with each event (``aioconnect.events``) (default None).

    Returns:
        The seconds that it took.  The connection that proved it was closed.

    Raises:
        ConnectError: the last error, when the time is up or waiting cannot help.
        InvalidTarget: a target that means nothing, before any I/O.
        ValueError, TypeError: other bad input, before any I/O.
    """
    if "proxy" in options:
        take_proxy(options)
    return _wait(as_given({**options, "timeout": timeout}), target, port, check, all)


def _wait(options: Options, target: Any, port: Any, check: Handshake | None, every: bool) -> float:
    stages = checked(check)
    targets = parse_all(target, port)
    started = monotonic()
    for some in [[each] for each in targets] if every else [targets]:
        left = options.replace(timeout=max(options.timeout - (monotonic() - started), 0.001))
        _dial(some, left, stages).close()
    return monotonic() - started


def resolve_addresses(
    target: TargetLike | Sequence[TargetLike],
    port: int | None = None,
    *,
    timeout: float | None = 30.0,
    resolver: Resolver | None = None,
    family: int = 0,
    type: int = SOCK_STREAM,
    max_addresses: int = 32,
    address_policy: AddressPolicyLike | None = None,
    allowed_names: Iterable[str] | None = None,
    on_event: Callable[[Event], object] | None = None,
) -> list[Endpoint]:
    """Look up the addresses that :func:`connect` would dial, and dial none.

    As :func:`aioconnect.resolve_addresses`, with the same arguments and errors.
    """
    options = Chosen(
        timeout=timeout,
        resolver=resolver,
        family=family,
        type=type,
        max_addresses=max_addresses,
        address_policy=address_policy,
        allowed_names=allowed_names,
        on_event=on_event,
    )
    return resolving.resolve_blocking(options, target, port)


class Dialer(Chosen):
    """Options to connect with, without a loop; those of :class:`aioconnect.Dialer`.

    Immutable, and shareable between threads.

    Example:
        >>> dialer = Dialer(timeout=5)
        >>> dialer.replace(timeout=1).timeout
        1.0

    Options:
        timeout: seconds for the whole call: names, attempts, back-off and TLS (default 30).
        attempt_timeout: seconds for one attempt at one address (default None).
        retry: what happens when every address has failed (default None).
        budget: a ``retry.Budget``, shared by all calls that it is given to (default None).
        breaker: a ``retry.Breaker``, shared by all calls that it is given to (default None).
        resolver: the resolver that looks names up (default None).
        family: ``AF_INET`` or ``AF_INET6`` to use one family only; 0 is both (default 0).
        type: the type of the socket (default ``SOCK_STREAM``).
        local_addr: the local address to bind (default None).
        happy_eyeballs_delay: seconds between the starts of two attempts (default 0.25).
        resolution_delay: seconds that IPv4 addresses wait for IPv6 ones (default 0.05).
        max_concurrent: attempts that may be open at a time (default 6).
        interleave: addresses of the first family that come first (default 1).
        max_addresses: addresses of one name that may be dialled (default 32).
        socket_options: ``(level, name, value)`` for each ``setsockopt`` (default none).
        socket_factory: called with a ``getaddrinfo`` 5-tuple for each attempt (default None).
        address_policy: which addresses may be dialled (default None).
        allowed_names: the targets that may be looked up and dialled (default None).
        proxy: the proxy to connect through, as a URL or a ``Proxy`` (default None).
        handshake: called with each connected socket and its 5-tuple (default None).
        on_event: called with each event (``aioconnect.events``) (default None).

    Raises:
        TypeError: an unknown option, or a value of a wrong type.
        ValueError: a value out of its range, or two options that contradict each other.
    """

    @signatures.blocking_dialer
    def __init__(self, **options: Unpack[ConnectOptions]) -> None:
        if "proxy" in options:
            take_proxy(options)
        super().__init__(**options)

    def connect(
        self, target: TargetLike | Sequence[TargetLike], port: int | None = None
    ) -> socket.socket:
        """Connect as :func:`connect` does, with these options."""
        return _dial(parse_all(target, port), self)

    def wait_until_ready(
        self,
        target: TargetLike | Sequence[TargetLike],
        port: int | None = None,
        *,
        timeout: float | None = 60.0,
        check: Handshake | None = None,
        all: bool = False,
    ) -> float:
        """Wait until a target accepts connections, as :func:`wait_until_ready` does.

        ``timeout`` is for the whole wait, that of the dialer is not used; ``retry`` and
        ``attempt_timeout`` are the patient ones unless the dialer has its own.  A policy of its own
        is asked about all that waiting may help, a name that does not exist yet among it.
        """
        return _wait(patient(self.replace(timeout=timeout)), target, port, check, all)

    def resolve_addresses(
        self, target: TargetLike | Sequence[TargetLike], port: int | None = None
    ) -> list[Endpoint]:
        """Look up the addresses that a connect would dial; see :func:`resolve_addresses`."""
        return resolving.resolve_blocking(self, target, port)


def connect_wait(sock: socket.socket, *, timeout: float | None = None) -> None:
    """Wait until a pending non-blocking connect on ``sock`` has completed.

    As :func:`aioconnect.connect_wait`, with poll(2).  The socket stays the caller's.

    Args:
        sock: the caller's socket.
        timeout: seconds; None waits as long as the kernel does.

    Raises:
        ConnectError: it failed, nothing was pending, or the time was up.

    Source: connect(2), EINPROGRESS.
    """
    _wait_for(sock, None, timeout)


def sock_connect(
    sock: socket.socket,
    address: Any,
    *,
    timeout: float | None = None,
    address_policy: AddressPolicyLike | None = None,
) -> None:
    """Connect the caller's own socket to one numeric address, and block until it is done.

    As :func:`aioconnect.sock_connect`; the socket may be blocking, and is left as it was.

    Args:
        sock: the caller's socket; never closed here.
        address: a numeric socket address, or a path.
        timeout: seconds; None waits as long as the kernel does.
        address_policy: as for :func:`aioconnect.connect`; what it denies is not dialled.

    Raises:
        ConnectError: it could not be connected.
        InvalidTarget: a target that means nothing, before any I/O.
        ValueError, TypeError: other bad input, before any I/O.

    Source: connect(2).
    """
    check_socket(sock)
    address = check_address(sock, address, address_policy)
    before = sock.gettimeout()
    if before == 0 or sock.fileno() == -1:
        _wait_for(sock, address, timeout)
        return
    sock.setblocking(False)
    try:
        _wait_for(sock, address, timeout)
    finally:
        if sock.fileno() != -1:
            sock.settimeout(before)


def _wait_for(sock: socket.socket, address: Any, timeout: float | None) -> None:
    driver = PollDriver()
    own = OwnSocket(driver, sock, address, timeout)
    driver.drive(own)
    if own.error is not None:
        raise own.take_error()
