"""Checks for ``wait_until_ready``: what a server must say before it counts as ready.

That a port accepts proves little: docker-proxy accepts for a container that does not listen yet,
and hangs up.  A check is a handshake (:mod:`aioconnect.handshake`): a function from the connected
socket and the endpoint to a generator, so that it runs in an event loop, without one, and in
``aioconnect wait``.
"""

from __future__ import annotations

import errno
import math
from typing import TYPE_CHECKING, Any

from .handshake import READ, send_all
from .text import safe

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from socket import socket
    from ssl import SSLContext, SSLObject

    from .targets import Handshake

    Steps = Generator[Any, None, bytes]

__all__ = ["banner", "http", "sends", "stays_open", "tls"]

MOST = 65536
"""Bytes of an answer that are looked at."""

THE_REST = 0.5
"""Seconds within which the rest of an answer follows its beginning."""


def stays_open(seconds: float = 0.1) -> Handshake:
    """Check that the server does not hang up for so long.

    Raises:
        ValueError, TypeError: this is no positive number of seconds.
    """
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        raise TypeError(f"seconds is a number, not {seconds!r}")
    if not 0 < seconds < math.inf:
        raise ValueError(f"seconds is positive and finite, not {seconds!r}")

    def check(sock: socket, endpoint: Any) -> Generator[Any, None, None]:
        yield READ, seconds
        try:
            hung_up = not sock.recv(1)
        except BlockingIOError:
            return
        if hung_up:
            raise OSError(errno.EPROTO, "it accepted, and hung up")

    return check


def tls(ssl: SSLContext | bool | None = None, server_hostname: str | None = None) -> Handshake:
    """Check that a TLS handshake succeeds.

    Args:
        ssl: the context; None, or True, is the default one.
        server_hostname: the name that the certificate must have; None is the target's.
    """
    return _over(_context(ssl or True), server_hostname, None)


def http(
    path: str = "/",
    status: int | None = None,
    *,
    ssl: SSLContext | bool | None = None,
    server_hostname: str | None = None,
) -> Handshake:
    """Check that a GET is answered, with ``status`` or (None) with any below 400.

    Args:
        path: what is asked for.
        status: 100 to 599.
        ssl: the context for HTTPS, True for the default one; None is plain HTTP.
        server_hostname: the name to ask for; None is the target's.

    Raises:
        ValueError: the path or the status cannot be.
    """
    if not path.startswith("/") or not path.isascii() or not path.isprintable() or " " in path:
        raise ValueError(f"path begins with a slash, and is ASCII without spaces, not {path!r}")
    if status is not None and not 100 <= status <= 599:
        raise ValueError(f"status is 100 to 599, not {status!r}")

    def ask(wire: _Wire, name: str) -> Generator[Any, None, None]:
        host = f"[{name}]" if ":" in name else name
        request = f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
        yield from wire.send(request.encode("ascii", "replace"))
        said = yield from _until(wire, lambda said: b"\n" in said)
        line = said.partition(b"\n")[0].decode("latin-1").split()
        if len(line) < 2 or not line[0].startswith("HTTP/") or not line[1].isdecimal():
            raise OSError(errno.EPROTO, f"it does not answer in HTTP, but {_shown(said)}")
        got = int(line[1])
        if got != status if status is not None else got >= 400:
            raise OSError(errno.EPROTO, f"it answers {got}")

    return _over(_context(ssl), server_hostname, ask)


def banner(
    text: bytes, *, ssl: SSLContext | bool | None = None, server_hostname: str | None = None
) -> Handshake:
    """Check that the server speaks first, and that ``text`` is in what it says.

    Args:
        text: what must be there.
        ssl: the context for TLS, True for the default one; None is a plain connection.
        server_hostname: the name that the certificate must have; None is the target's.
    """
    return sends(b"", text, ssl=ssl, server_hostname=server_hostname)


def sends(
    data: bytes,
    text: bytes,
    *,
    ssl: SSLContext | bool | None = None,
    server_hostname: str | None = None,
) -> Handshake:
    """Check that the server answers ``data`` with something that ``text`` is in.

    Args:
        data: what is sent.
        text: what must be in the answer.
        ssl: the context for TLS, True for the default one; None is a plain connection.
        server_hostname: the name that the certificate must have; None is the target's.

    Raises:
        ValueError: ``text`` is empty, or too long.
        TypeError: these are no bytes.
    """
    for given in data, text:
        if not isinstance(given, bytes):
            raise TypeError(f"bytes are sent and expected, not {given!r}")
    if not 0 < len(text) < MOST:
        raise ValueError(f"text has 1 to {MOST - 1} bytes, not {len(text)}")

    def ask(wire: _Wire, name: str) -> Generator[Any, None, None]:
        yield from wire.send(data)
        said = yield from _until(wire, lambda said: text in said)
        if text not in said:
            raise OSError(errno.EPROTO, f"it says {_shown(said)}, without {_shown(text)}")

    return _over(_context(ssl), server_hostname, ask)


# What they are made of ----------------------------------------------------------------------------


def _context(given: SSLContext | bool | None) -> SSLContext | None:
    """Return the context that is meant.

    Raises:
        TypeError: it is none.
    """
    if given is None or given is False:
        return None
    import ssl

    if given is True:
        return ssl.create_default_context()
    if not isinstance(given, ssl.SSLContext):
        raise TypeError(f"ssl is an SSLContext, True or None, not {given!r}")
    return given


def _over(
    context: SSLContext | None,
    server_hostname: str | None,
    ask: Callable[[_Wire, str], Generator[Any, None, None]] | None,
) -> Handshake:
    """Return a check over a plain connection, or one with TLS."""

    def check(sock: socket, endpoint: Any) -> Generator[Any, None, None]:
        name = server_hostname or getattr(endpoint, "name", None) or _host(endpoint[4])
        wire: _Wire = _Plain(sock)
        if context is not None:
            wire = secure = _Secure(sock, context, name)
            yield from secure.shake_hands()
        if ask is not None:
            yield from ask(wire, name)

    return check


def _host(address: Any) -> str:
    return "localhost" if isinstance(address, str | bytes) else str(address[0]).partition("%")[0]


def _until(wire: _Wire, enough: Callable[[bytes], bool]) -> Steps:
    """Receive until it is enough, nothing follows, or it is too much."""
    said = b""
    while not enough(said) and len(said) < MOST:
        more = yield from wire.receive(THE_REST if said else math.inf)
        if not more:
            break
        said += more
    return said


def _shown(said: bytes) -> str:
    """Return the beginning of what a peer says, fit to be printed."""
    if not said:
        return "nothing, and closes"
    return f"'{safe(said[:40].strip().decode('latin-1'))}'"


class _Wire:
    """What a check speaks over."""

    def send(self, data: bytes) -> Generator[Any, None, None]:
        raise NotImplementedError

    def receive(self, within: float) -> Steps:
        raise NotImplementedError


class _Plain(_Wire):
    def __init__(self, sock: socket) -> None:
        self._sock = sock

    def send(self, data: bytes) -> Generator[Any, None, None]:
        yield from send_all(self._sock, data)

    def receive(self, within: float) -> Steps:
        """Receive something; nothing if the peer closes, or says nothing for so long."""
        waited = False
        while True:
            try:
                return self._sock.recv(4096)
            except BlockingIOError:
                if waited and within < math.inf:
                    return b""
                yield READ, within
                waited = True


class _Secure(_Wire):
    """TLS over memory BIOs: the socket is read and written here."""

    def __init__(self, sock: socket, context: SSLContext, name: str) -> None:
        import ssl

        self._plain = _Plain(sock)
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._wants_more = ssl.SSLWantReadError
        self._ended = (ssl.SSLZeroReturnError, ssl.SSLEOFError)
        self._object: SSLObject = context.wrap_bio(
            self._incoming, self._outgoing, server_hostname=name
        )

    def shake_hands(self) -> Generator[Any, None, None]:
        yield from self._do(self._object.do_handshake, math.inf)

    def send(self, data: bytes) -> Generator[Any, None, None]:
        if data:
            yield from self._do(lambda: self._object.write(data), math.inf)

    def receive(self, within: float) -> Steps:
        try:
            received = yield from self._do(lambda: self._object.read(4096), within)
        except self._ended:
            return b""
        return bytes(received)

    def _do(self, step: Callable[[], Any], within: float) -> Generator[Any, None, Any]:
        while True:
            try:
                done = step()
            except self._wants_more:
                yield from self._plain.send(self._outgoing.read())
                received = yield from self._plain.receive(within)
                if received:
                    self._incoming.write(received)
                else:
                    self._incoming.write_eof()
            else:
                yield from self._plain.send(self._outgoing.read())
                return done
