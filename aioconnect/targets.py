"""What a person may dial: parsing and validation, before any I/O.

The same text must mean the same thing everywhere.  ``getaddrinfo`` takes ``0x7f.1``, ``127.1``,
``2130706433`` and full-width digits for 127.0.0.1, cuts a host at NUL on one loop, and wraps a
port modulo 65536; each of these has been a way around somebody's allow-list.  Here they are
``InvalidTarget``, the same on both loops, and nothing was looked up or opened.

Sources: RFC 1123 section 2.1 and RFC 2181 section 11 (names), UTS 46 (internationalised names),
RFC 4007 section 11 (scope ids), RFC 6943 section 3.1.1 (ambiguous IPv4 spellings), unix(7).
"""

from __future__ import annotations

import os
import re
import socket
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeAlias

from .causes import not_a_target
from .international import (
    MOST_BYTES,
    MOST_CHARACTERS,
    NO_JOINERS,
    name_key,
    shown_host,
    to_ascii,
)
from .text import safe

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

__all__ = [
    "AnyTarget",
    "Endpoint",
    "Handshake",
    "Target",
    "TargetLike",
    "endpoint",
    "parse",
    "parse_all",
    "parse_host",
]

Endpoint: TypeAlias = tuple[int, int, int, str, Any]
"""What ``getaddrinfo`` gives: family, type, protocol, canonical name, sockaddr."""

Handshake: TypeAlias = (
    "Callable[[socket.socket, Endpoint], Generator[int | tuple[int, float], None, object]]"
)
"""What ``handshake=`` takes; :mod:`aioconnect.handshake` says what it does."""

TargetLike: TypeAlias = "str | tuple[str, int] | tuple[str, int, int, int | str]"
"""One target: ``"host:port"``, ``"[v6%scope]:port"``, ``"unix:/path"``, ``"unix:@abstract"``, a
host with the port beside it, or a tuple as the socket module has it."""

AnyTarget: TypeAlias = "TargetLike | Sequence[TargetLike]"
"""One target, or a list of several that are raced."""

_AF_INET, _AF_INET6, _AF_UNIX = int(socket.AF_INET), int(socket.AF_INET6), int(socket.AF_UNIX)

_STREAM = int(socket.SOCK_STREAM)
_PROTO = {_STREAM: int(socket.IPPROTO_TCP), int(socket.SOCK_DGRAM): int(socket.IPPROTO_UDP)}
"""Named, not left to the kernel: asyncio sets TCP_NODELAY only where it reads IPPROTO_TCP."""

_LABELS = re.compile(r"(?:[A-Za-z0-9_-]{1,63}\.)*[A-Za-z0-9_-]{1,63}\.?", re.ASCII)
_NUMERIC_LABEL = re.compile(r"(?:[0-9]+|0[xX][0-9A-Fa-f]*)\Z", re.ASCII)
_SCOPE = re.compile(r"[^\s/%:\[\]\x00-\x1f]{1,15}")
_PORT = re.compile(r"[0-9]{1,5}", re.ASCII)
_NAMED = 8
"""How many targets of a list a text names."""

_KEPT = len("unix:") + 108
"""Characters of a text that is parsed once for many calls.  A Unix socket's path has at most 108
bytes; a longer one can never be connected, and a stranger's is not kept."""


def endpoint(family: int, kind: int, address: Any) -> Endpoint:
    """Return an address as ``getaddrinfo`` does: family, type, protocol, "", sockaddr."""
    return family, kind, 0 if family == _AF_UNIX else _PROTO.get(kind, 0), "", address


class Target:
    """One parsed target.  Immutable; shared freely.

    Attributes:
        text: how it is printed.
        host: the host or path as it was meant, without brackets; what TLS verifies.
        name: the name to look up, or None if there is an address already.
        port: the port, 0 for a Unix socket.
        family: the address family, 0 for a name.
        address: the socket address, None for a name.  An IPv6 scope is a number, or the
            interface's name, which is looked up when it is dialled.
        needs_lookup: whether there is something in ``names``.
    """

    __slots__ = ("_stream", "address", "family", "host", "name", "needs_lookup", "port", "text")

    def __init__(self, text: str, host: str, port: int, family: int, address: Any) -> None:
        self.text = text
        self.host = host
        self.name = None if family else host
        self.port = port
        self.family = family
        self.address = address
        self.needs_lookup = not family
        self._stream = (endpoint(family, _STREAM, address),)

    def endpoints(self, kind: int) -> tuple[Endpoint, ...]:
        """Return the address of a target that is no name, for sockets of type ``kind``."""
        if kind == _STREAM:
            return self._stream
        return (endpoint(self.family, kind, self.address),)

    @property
    def key(self) -> str:
        """What is dialled, in one form: ``DB.test:80`` and ``db.test.:80`` are the same."""
        return self.text if self.family else f"{name_key(self.host)}:{self.port}"

    @property
    def dialled(self) -> Target:
        """Return what is dialled to reach it: itself, or a proxy."""
        return self

    @property
    def meant(self) -> Target:
        """Return what is to be reached: itself, or what is behind a proxy."""
        return self

    @property
    def names(self) -> tuple[Target, ...]:
        """Return what has to be looked up before there is an address to dial."""
        return () if self.family else (self,)

    def join(self, found: Sequence[Sequence[Endpoint]], kind: int) -> Sequence[Endpoint]:
        """Return what to dial, of the addresses that were found for each of ``names``."""
        return found[0]

    def __repr__(self) -> str:
        return f"<Target {self.text}>"


def shown(target: object) -> str:
    """Write what was given as a target: bounded, and without what may be a password in it."""
    if isinstance(target, str):
        _, at, host = target.rpartition("@")
        return f"'{safe(f'***@{host}' if at and not target.startswith('unix:') else target)}'"
    if isinstance(target, tuple | list):
        texts = [shown(each) for each in target[:_NAMED]]
        more = ["..."] if len(target) > _NAMED else []
        inside = ", ".join(texts + more)
        return f"[{inside}]" if isinstance(target, list) else f"({inside})"
    small = isinstance(target, int) and abs(target) < 2**64  # Python refuses to write large ones
    return repr(target) if small else type(target).__name__


def parse_all(
    target: TargetLike | Sequence[TargetLike], port: int | None = None
) -> tuple[Target, ...]:
    """Parse what ``connect`` takes: one target, or a list of several.

    Raises:
        InvalidTarget: it cannot mean anything, or could mean two things.
        TypeError: it is of a wrong type.
    """
    if isinstance(target, str):
        return (_parse_text(target) if port is None else parse_host(target, port),)
    if isinstance(target, list):
        if not target:
            raise not_a_target("an empty list of targets")
        return tuple([parse(each, port) for each in target])
    return (parse(target, port),)  # type: ignore[arg-type]  # a tuple is one target


def parse(target: TargetLike, port: int | None = None) -> Target:
    """Parse one target.  With ``port``, ``target`` is a host and nothing else."""
    if isinstance(target, str):
        return _parse_text(target) if port is None else parse_host(target, port)
    if isinstance(target, tuple):
        if port is not None:
            raise TypeError("a tuple has its port inside: no second port beside it")
        return parse_host(*target) if len(target) == 2 else _parse_tuple(target)
    raise TypeError(_no_target(target))


@lru_cache(maxsize=256, typed=True)  # typed: True is not port 1
def parse_host(host: str, port: int) -> Target:
    """Parse a host and a port given separately."""
    if isinstance(port, bool) or not isinstance(port, int):
        raise TypeError(_no_port(port))
    if not 0 < port < 65536:
        raise not_a_target(f"port {port} is not between 1 and 65535")
    if not isinstance(host, str):
        raise TypeError(f"a host is a str, not {type(host).__name__}")
    if ":" in host:
        return _parse_ipv6(host, port)
    try:
        socket.inet_pton(_AF_INET, host)
    except (OSError, ValueError):
        pass
    else:
        return Target(f"{host}:{port}", host, port, _AF_INET, (host, port))
    name = _check_name(host)
    return Target(f"{safe(name)}:{port}", name, port, 0, None)


def _parse_text(text: str) -> Target:
    return _parse_once(text) if len(text) <= _KEPT else _parse_once.__wrapped__(text)


@lru_cache(maxsize=256)
def _parse_once(text: str) -> Target:
    if text.startswith("unix:"):
        return _parse_path(text[5:])
    if "://" in text:
        raise not_a_target("a target is host:port or unix:/path, not a URL")
    _refuse_user_information(text)
    host, colon, digits = text.rpartition(":")
    if not colon or not _PORT.fullmatch(digits):
        raise not_a_target(_without_port(text))
    if host.startswith("["):
        if not host.endswith("]"):
            raise not_a_target(f"{shown_host(text)}: brackets must close before the port")
        host = host[1:-1]
        if ":" not in host:
            raise not_a_target(f"{shown_host(text)}: only an IPv6 address stands in brackets")
    elif ":" in host:
        raise not_a_target(f"{shown_host(text)} is ambiguous: write [IPv6 address]:port")
    return parse_host(host, int(digits))


def _no_target(value: object) -> str:
    said = f"a target is a str, a tuple or a list of them, not {type(value).__name__}"
    return f'{said}: write f"unix:{{path}}"' if isinstance(value, os.PathLike) else said


def _no_port(value: object) -> str:
    said = f"a port is an int, not {type(value).__name__}"
    if isinstance(value, str) and not value.isdecimal():
        return f"{said}: a tuple is (host, port), and several targets are a list"
    return said


def _without_port(text: str) -> str:
    """Say what is wrong with a text that does not end with a port."""
    shown = shown_host(text)
    words = text.split()
    if _is_path(text):
        return f"{shown} is a path: write unix:{safe(text)}"
    if text.startswith("~/"):
        return f"{shown} is a path: write unix: and the path in full"
    if len(words) == 2 and _PORT.fullmatch(words[1]):
        return f"{shown} has a space: write {safe(_beside(words[0]))}:{words[1]}"
    if text.isdecimal():
        return f"{shown} is a port without a host: write host:port"
    if ":" in text and not text.endswith("]"):
        return f"{shown}: the port is not a number between 1 and 65535"
    return f"{shown} has no port: write host:port" if words else "an empty target"


def _is_path(text: str) -> bool:
    return text.startswith(("/", "./", "../"))


def _beside(host: str) -> str:
    """Return a host as it stands before a port."""
    return f"[{host}]" if ":" in host and not host.startswith("[") else host


def _parse_tuple(target: tuple[Any, ...]) -> Target:
    if len(target) not in (3, 4):
        raise ValueError(f"a target tuple has two to four elements, not {len(target)}")
    host: str = target[0]
    port, flowinfo, scope = (*target[1:], 0)[:3]
    parsed = parse_host(host, port)
    if parsed.family != _AF_INET6:
        raise not_a_target("a tuple of more than host and port is an IPv6 socket address")
    if isinstance(scope, str):  # an interface's name
        if parsed.address[3]:
            raise not_a_target("the scope is given twice: in the host and beside it")
        parsed, scope = parse_host(f"{host}%{scope}", port), 0
    for what, value, most in (("flow label", flowinfo, 2**20), ("scope id", scope, 2**32)):
        if isinstance(value, bool) or not isinstance(value, int):
            raise TypeError(f"an IPv6 {what} is an int, not {type(value).__name__}")
        if not 0 <= value < most:
            raise not_a_target(f"IPv6 {what} {value} is out of range")
    if scope and parsed.address[3]:
        raise not_a_target("the scope is given twice: in the host and beside it")
    address = (parsed.address[0], port, flowinfo, scope or parsed.address[3])
    text = f"[{address[0]}%{address[3]}]:{port}" if address[3] else parsed.text
    return Target(text, host, port, _AF_INET6, address)


def _parse_path(path: str) -> Target:
    if not path or path == "@":
        raise not_a_target("unix: needs a path, or @name for an abstract socket")
    if "\0" in path:
        raise not_a_target("a NUL in the path of a Unix socket")
    try:
        os.fsencode(path)
    except UnicodeEncodeError:
        raise not_a_target("a path that no file can have") from None
    address = "\0" + path[1:] if path.startswith("@") else path
    return Target(f"unix:{safe(path)}", path, 0, _AF_UNIX, address)


def _parse_ipv6(host: str, port: int) -> Target:
    if host.startswith("unix:"):
        raise not_a_target("a Unix socket has no port: give unix:/path alone")
    _refuse_user_information(host)
    bare, percent, zone = host.partition("%")
    try:
        socket.inet_pton(_AF_INET6, bare)
    except (OSError, ValueError):
        raise not_a_target(_not_ipv6(host)) from None
    scope: int | str = 0
    if percent:
        if zone.isascii() and zone.isdecimal():
            scope = int(zone) if len(zone) <= 10 else 2**32
            if scope >= 2**32:
                raise not_a_target(f"{shown_host(host)}: the scope id is out of range")
        elif _SCOPE.fullmatch(zone) and zone.isprintable():
            scope = zone
        else:
            raise not_a_target(f"{shown_host(host)}: no interface can have that name")
    return Target(f"[{safe(host)}]:{port}", host, port, _AF_INET6, (bare, port, 0, scope))


def _not_ipv6(host: str) -> str:
    """Say what a host is that has a colon, and is no IPv6 address; it was given beside a port."""
    shown = shown_host(host)
    if "://" in host:
        return "a target is a host and a port, not a URL"
    before, _, digits = host.rpartition(":")
    if _PORT.fullmatch(digits) and (":" not in before or before.endswith("]")):
        return f"{shown} has a port already: give the host alone, or no second port"
    if host.startswith("["):
        return f"{shown}: beside a port, an IPv6 address has no brackets"
    return f"{shown} is not an IPv6 address"


def _check_name(host: str) -> str:
    """Return the name as it goes to a resolver, in ASCII."""
    if not host:
        raise not_a_target("an empty host")
    _refuse_user_information(host)
    if len(host) > MOST_CHARACTERS:  # what a stranger gives may have megabytes
        raise not_a_target(f"{shown_host(host)}: a name has at most {MOST_BYTES} bytes")
    # UTS 46 allows a joiner where a script needs it.
    plain = host if host.isascii() else host.translate(NO_JOINERS)
    if not plain.isprintable() or " " in host:
        raise not_a_target(f"{shown_host(host)}: a control character or a space in a host")
    if not host.isascii() and len(host) <= MOST_BYTES:
        host = to_ascii(host)
    if len(host.rstrip(".")) > MOST_BYTES:
        raise not_a_target(f"{shown_host(host)}: a name has at most {MOST_BYTES} bytes")
    if not _LABELS.fullmatch(host):
        if _is_path(host):
            raise not_a_target(
                f"{shown_host(host)} is a path: write unix:{safe(host)}, without a port"
            )
        if host.startswith("["):
            raise not_a_target(f"{shown_host(host)}: brackets belong to host:port, around IPv6")
        if any(len(label) > 63 for label in host.split(".")):
            raise not_a_target(f"{shown_host(host)}: a label of a name has at most 63 bytes")
        raise not_a_target(f"{shown_host(host)} is not a host name")
    if _NUMERIC_LABEL.match(host.rstrip(".").rpartition(".")[2]):
        # No top-level domain is a number: it is an IPv4 address in a spelling that programs
        # read differently (RFC 6943, section 3.1.1).
        raise not_a_target(f"{shown_host(host)}: write an IPv4 address as four decimal numbers")
    return host


def _refuse_user_information(text: str) -> None:
    if text.startswith("@"):
        raise not_a_target("an abstract Unix socket is written unix:@name")
    if "@" in text:  # not shown: it may hold a password
        raise not_a_target("user information (something before @) does not belong in a target")
