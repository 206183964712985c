"""Options to connect with, again and again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import engine, signatures
from .checks import take_proxy
from .chosen import reached
from .supervising import Supervising
from .targets import parse_all

if TYPE_CHECKING:
    import asyncio
    import socket
    from collections.abc import Callable, Sequence
    from typing import Self, TypeVar, Unpack

    from .targets import Endpoint, Handshake, TargetLike
    from .typed import ConnectionOptions, ConnectOptions, StreamOptions

    ProtocolT = TypeVar("ProtocolT", bound=asyncio.BaseProtocol)

__all__ = ["Dialer"]


class Dialer(Supervising):
    """Options to connect with, again and again: immutable, shareable between tasks and loops.

    Example:
        >>> dialer = Dialer(timeout=5, happy_eyeballs_delay=0.1)
        >>> dialer.replace(timeout=1).timeout
        1.0

    Options:
        timeout: seconds for the whole call: names, attempts, back-off and TLS.  None is no limit.
            Default 30.
        attempt_timeout: seconds for one attempt at one address.  None is 10 s where another address
            or another round can follow, else what is left of ``timeout``; infinity is no limit of
            its own.  Default None.
        retry: what happens when every address has failed.  A policy of ``aioconnect.retry``, or a
            function that is called as one; True for the default policy; a number of rounds in all;
            or None for one round.  Default None.
        budget: a ``retry.Budget``, shared by all calls that it is given to.  Default None.
        breaker: a ``retry.Breaker``, shared by all calls that it is given to.  Default None.
        resolver: the resolver that looks names up.  None is the system's (``getaddrinfo``, in
            threads of its own).  No resolver is asked for ``localhost`` (RFC 6761).  Default None.
        family: ``AF_INET`` or ``AF_INET6`` to use one family only; 0 is both.  Default 0.
        type: the type of the socket.  ``SOCK_STREAM``, ``SOCK_DGRAM`` for connected datagrams, or
            ``SOCK_SEQPACKET`` over Unix sockets.  Default ``SOCK_STREAM``.
        local_addr: the local address to bind.  ``(numeric host, port)``, port 0 for any; one per
            family in a list; or a path for Unix sockets.  An address without one of its family is
            not dialled.  Default None.
        happy_eyeballs_delay: seconds between the starts of two attempts.  None is strictly one
            after the other; less than 0.01, also 0, counts as 0.01 (RFC 8305, section 5).  Default
            0.25.
        resolution_delay: seconds that IPv4 addresses wait for IPv6 ones.  RFC 8305, section 3.
            Default 0.05.
        max_concurrent: attempts that may be open at a time.  Further addresses wait.  Default 6.
        interleave: addresses of the first family that come first.  The First Address Family Count
            of RFC 8305, section 4.  Default 1.
        max_addresses: addresses of one name that may be dialled.  The best of them; up to 8, and no
            more than half, of the family that comes second.  Default 32.
        socket_options: ``(level, name, value)`` for each ``setsockopt``.  They are set before the
            socket is bound and connected.  Default none.
        socket_factory: called with a ``getaddrinfo`` 5-tuple for each attempt.  It returns an
            unconnected socket, which the library then owns; an ``OSError`` from it is a failed
            attempt.  Default None.
        address_policy: which addresses may be dialled.  An ``AddressPolicy``, or a function that is
            called with the numeric endpoint of each attempt, which has the ``name`` that was looked
            up.  None, True and a ``Verdict`` that allows are a yes; everything else is a no.
            Default None.
        allowed_names: the targets that may be looked up and dialled.  Names, ``*.example.com``,
            ``*`` for any name, addresses, ``unix:/path``; behind a proxy too.  Default None.
        proxy: the proxy to connect through, as a URL or a ``Proxy``.
            ``socks5h://user:password@host:port`` (the proxy resolves names), ``socks5://`` (they
            are resolved here), ``http://`` (CONNECT).  The text ``"env"`` reads ``ALL_PROXY`` and
            ``NO_PROXY``; without it the environment is not read.  Default None.
        handshake: called with each connected socket and its 5-tuple.  It returns a generator that
            speaks over the socket, and yields 1 to wait until it can read, 4 until it can write;
            then the attempt is done.  An ``OSError`` from it is a failed attempt.  Default None.
        on_event: called with each event (``aioconnect.events``).  It only observes: an
            ``Exception`` in it is logged and dropped.  Default None.

    Raises:
        TypeError: an unknown option, or a value of a wrong type.
        ValueError: a value out of its range, or two options that contradict each other.
    """

    @signatures.dialer
    def __init__(self, **options: Unpack[ConnectOptions]) -> None:
        if "proxy" in options:
            take_proxy(options)
        super().__init__(**options)

    @signatures.replace
    def replace(  # type: ignore[override]  # Options takes any keyword
        self, **changes: Unpack[ConnectOptions]
    ) -> Self:
        """Return a copy with some options changed; the others stay.

        Options:
            timeout: seconds for the whole call: names, attempts, back-off and TLS.
            attempt_timeout: seconds for one attempt at one address.
            retry: what happens when every address has failed.
            budget: a ``retry.Budget``, shared by all calls that it is given to.
            breaker: a ``retry.Breaker``, shared by all calls that it is given to.
            resolver: the resolver that looks names up.
            family: ``AF_INET`` or ``AF_INET6`` to use one family only; 0 is both.
            type: the type of the socket.
            local_addr: the local address to bind.
            happy_eyeballs_delay: seconds between the starts of two attempts.
            resolution_delay: seconds that IPv4 addresses wait for IPv6 ones.
            max_concurrent: attempts that may be open at a time.
            interleave: addresses of the first family that come first.
            max_addresses: addresses of one name that may be dialled.
            socket_options: ``(level, name, value)`` for each ``setsockopt``.
            socket_factory: called with a ``getaddrinfo`` 5-tuple for each attempt.
            address_policy: which addresses may be dialled.
            allowed_names: the targets that may be looked up and dialled.
            proxy: the proxy to connect through, as a URL or a ``Proxy``.
            handshake: called with each connected socket and its 5-tuple.
            on_event: called with each event (``aioconnect.events``).

        Raises:
            TypeError, ValueError: as for :class:`Dialer`.
        """
        if "proxy" in changes:
            take_proxy(changes)
        changed: Self = super().replace(**changes)
        return changed

    async def connect(
        self, target: TargetLike | Sequence[TargetLike], port: int | None = None
    ) -> socket.socket:
        """Connect as :func:`connect` does, with these options."""
        call = await engine.dial(reached(parse_all(target, port), self), self)
        return call.result  # type: ignore[no-any-return]

    async def wait_until_ready(
        self,
        target: TargetLike | Sequence[TargetLike],
        port: int | None = None,
        *,
        timeout: float | None = 60.0,
        check: Handshake | None = None,
        all: bool = False,
    ) -> float:
        """Wait until a target accepts connections, as :func:`aioconnect.wait_until_ready` does.

        ``timeout`` is for the whole wait, that of the dialer is not used; ``retry`` and
        ``attempt_timeout`` are the patient ones unless the dialer has its own.  A policy of its own
        is asked about all that waiting may help, a name that does not exist yet among it.
        """
        from .patience import patient
        from .ready import wait_with

        return await wait_with(patient(self.replace(timeout=timeout)), target, port, check, all)

    async def resolve_addresses(
        self, target: TargetLike | Sequence[TargetLike], port: int | None = None
    ) -> list[Endpoint]:
        """Look up what a connect would dial; see :func:`aioconnect.resolve_addresses`."""
        from .resolving import resolve_with

        return await resolve_with(self, target, port)

    @signatures.dialer_open_connection
    async def open_connection(
        self,
        host: TargetLike | Sequence[TargetLike] | None = None,
        port: int | str | None = None,
        **keywords: Unpack[StreamOptions],
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Open a stream connection as :func:`aioconnect.open_connection`, with these options.

        An option that is given replaces that of the dialer for this call.

        Args:
            host: as for :func:`aioconnect.open_connection`.
            port: as for :func:`aioconnect.open_connection`.

        Options:
            ssl: a context for TLS, True for the default one, None for no TLS (default None).
            server_hostname: the name that the certificate must have, also sent as SNI (default
                None).
            ssl_handshake_timeout: seconds for the TLS handshake alone, within ``attempt_timeout``
                and ``timeout`` (default None).
            ssl_shutdown_timeout: seconds for the end of TLS when the transport is closed (default
                None).
            sock: a connected stream socket, which is taken over; then without host and port
                (default None).
            proto: 0 or ``IPPROTO_TCP``, which are the same (default 0).
            flags: ``AI_*`` flags for ``getaddrinfo``; not used with a ``resolver`` or without a
                name (default 0).
            all_errors: True gives the error a group as ``__cause__`` also when only one attempt
                failed (default False).
            limit: bytes that the stream reader buffers before it stops reading; ``open_connection``
                only (default 65536).
            timeout: seconds for the whole call: names, attempts, back-off and TLS.
            attempt_timeout: seconds for one attempt at one address.
            retry: what happens when every address has failed.
            budget: a ``retry.Budget``, shared by all calls that it is given to.
            breaker: a ``retry.Breaker``, shared by all calls that it is given to.
            resolver: the resolver that looks names up.
            family: ``AF_INET`` or ``AF_INET6`` to use one family only; 0 is both.
            type: the type of the socket.
            local_addr: the local address to bind.
            happy_eyeballs_delay: seconds between the starts of two attempts.
            resolution_delay: seconds that IPv4 addresses wait for IPv6 ones.
            max_concurrent: attempts that may be open at a time.
            interleave: addresses of the first family that come first.
            max_addresses: addresses of one name that may be dialled.
            socket_options: ``(level, name, value)`` for each ``setsockopt``.
            socket_factory: called with a ``getaddrinfo`` 5-tuple for each attempt.
            address_policy: which addresses may be dialled.
            allowed_names: the targets that may be looked up and dialled.
            proxy: the proxy to connect through, as a URL or a ``Proxy``.
            handshake: called with each connected socket and its 5-tuple.
            on_event: called with each event (``aioconnect.events``).

        Returns:
            ``(reader, writer)``; the caller closes the writer.

        Raises:
            ConnectError, ValueError, TypeError: as :func:`aioconnect.open_connection`.
        """
        from . import streams

        return await streams.open_with(self, host, port, keywords)

    @signatures.dialer_create_connection
    async def create_connection(
        self,
        protocol_factory: Callable[[], ProtocolT],
        host: TargetLike | Sequence[TargetLike] | None = None,
        port: int | str | None = None,
        **keywords: Unpack[ConnectionOptions],
    ) -> tuple[asyncio.Transport, ProtocolT]:
        """Create a transport as :func:`aioconnect.create_connection`, with these options.

        An option that is given replaces that of the dialer for this call.

        Args:
            protocol_factory: called without arguments; returns an asyncio protocol.
            host: as for :func:`aioconnect.open_connection`.
            port: as for :func:`aioconnect.open_connection`.

        Options:
            ssl: a context for TLS, True for the default one, None for no TLS (default None).
            server_hostname: the name that the certificate must have, also sent as SNI (default
                None).
            ssl_handshake_timeout: seconds for the TLS handshake alone, within ``attempt_timeout``
                and ``timeout`` (default None).
            ssl_shutdown_timeout: seconds for the end of TLS when the transport is closed (default
                None).
            sock: a connected stream socket, which is taken over; then without host and port
                (default None).
            proto: 0 or ``IPPROTO_TCP``, which are the same (default 0).
            flags: ``AI_*`` flags for ``getaddrinfo``; not used with a ``resolver`` or without a
                name (default 0).
            all_errors: True gives the error a group as ``__cause__`` also when only one attempt
                failed (default False).
            timeout: seconds for the whole call: names, attempts, back-off and TLS.
            attempt_timeout: seconds for one attempt at one address.
            retry: what happens when every address has failed.
            budget: a ``retry.Budget``, shared by all calls that it is given to.
            breaker: a ``retry.Breaker``, shared by all calls that it is given to.
            resolver: the resolver that looks names up.
            family: ``AF_INET`` or ``AF_INET6`` to use one family only; 0 is both.
            type: the type of the socket.
            local_addr: the local address to bind.
            happy_eyeballs_delay: seconds between the starts of two attempts.
            resolution_delay: seconds that IPv4 addresses wait for IPv6 ones.
            max_concurrent: attempts that may be open at a time.
            interleave: addresses of the first family that come first.
            max_addresses: addresses of one name that may be dialled.
            socket_options: ``(level, name, value)`` for each ``setsockopt``.
            socket_factory: called with a ``getaddrinfo`` 5-tuple for each attempt.
            address_policy: which addresses may be dialled.
            allowed_names: the targets that may be looked up and dialled.
            proxy: the proxy to connect through, as a URL or a ``Proxy``.
            handshake: called with each connected socket and its 5-tuple.
            on_event: called with each event (``aioconnect.events``).

        Returns:
            ``(transport, protocol)``; the caller closes the transport.

        Raises:
            ConnectError, ValueError, TypeError: as :func:`aioconnect.create_connection`.
        """
        from . import streams

        return await streams.create_with(self, protocol_factory, host, port, keywords)
