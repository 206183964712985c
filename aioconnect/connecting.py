"""``connect``: a name and a port in, a connected socket out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import engine, signatures
from .chosen import DEFAULTS, reached, with_options
from .targets import parse_all

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence
    from typing import Unpack

    from .targets import Target, TargetLike
    from .typed import ConnectOptions

__all__ = ["connect"]


@signatures.connect
async def connect(
    target: TargetLike | Sequence[TargetLike],
    port: int | None = None,
    **options: Unpack[ConnectOptions],
) -> socket.socket:
    """Connect to a target: resolve it, race its addresses, return the first that connects.

    Args:
        target: with ``port`` a host: a name, an IPv4 or an IPv6 address (``fe80::1%eth0``).
            Without: ``"host:port"``, ``"[v6%scope]:port"``, ``"unix:/path"``,
            ``"unix:@abstract"``, or a ``(host, port)`` tuple.  A *list* of these is several
            targets, raced in the order given; the first that connects wins.
        port: 1 to 65535.

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

    Returns:
        A connected socket, non-blocking and close-on-exec.  The caller owns it and closes it:
        ``with await connect(...) as sock``.

    Raises:
        ConnectError: no connection; it is also the built-in of its cause
            (``ConnectionRefusedError``, ``TimeoutError``, ``socket.gaierror``, ...).
        InvalidTarget: a target that means nothing, before any I/O.
        ValueError, TypeError: other bad input, before any I/O.

    Cancelled, it closes everything that it opened, and ``CancelledError`` comes out.

    Sources: connect(2), RFC 8305, RFC 6724.
    """
    dialer = with_options(options) if options else DEFAULTS
    targets: Sequence[Target] = parse_all(target, port)
    if dialer.family or dialer.proxy is not None:
        targets = reached(targets, dialer)
    call = await engine.dial(targets, dialer)
    return call.result  # type: ignore[no-any-return]
