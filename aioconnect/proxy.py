"""Proxies as values: what is written in ``proxy=``, and what the environment says.

No text that this file makes shows a user name or a password: neither a ``repr``, nor the message
of an error, nor the local variables of a frame that raises one.  So nothing of a text that could
not be taken apart is shown, and the frame that raises has forgotten it.

Sources: RFC 3986, section 3.2 (authority); RFC 1929 (lengths); RFC 7617 (no colon in a user name).
"""

from __future__ import annotations

import os
import re
import socket
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import unquote_to_bytes

from .targets import Target, parse_host

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Self

__all__ = ["EnvironmentProxies", "Proxy"]

_SCHEMES = ("socks5h", "socks5", "http")
_SOCKS_PORT = 1080
_MOST_CREDENTIAL = 255
_PORT = re.compile(r"[0-9]{1,5}", re.ASCII)
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")


class Proxy:
    """A proxy to connect through: ``Proxy("socks5h://user:password@proxy.internal:1080")``.

    Args:
        url: ``socks5h://host:port`` (the proxy resolves names), ``socks5://host:port`` (names are
            resolved here, and each address is an attempt) or ``http://host:port`` (CONNECT; the
            proxy resolves names).  The port of a SOCKS proxy is 1080 if it is left out.  User name
            and password may stand before the host, percent-encoded: ``user:p%40ss@``.
        username, password: given apart, as they are.

    Immutable, hashable, compared by value.  Nothing that prints it shows user name or password,
    and one that has them is not pickled.

    Raises:
        ValueError: what is written can't be a proxy; the message shows nothing of it that might be
            a password.
        TypeError: not a text.
    """

    __slots__ = ("credentials", "scheme", "target")

    scheme: str
    """``"socks5h"``, ``"socks5"`` or ``"http"``."""
    target: Target
    """Where it listens."""
    credentials: tuple[bytes, bytes] | None
    """User name and password, or None."""

    def __new__(cls, url: str, *, username: str | None = None, password: str | None = None) -> Self:
        """Take the URL apart."""
        found = _parse(url, username, password)
        del url, username, password  # what a traceback can show of this frame
        if isinstance(found, Exception):
            raise found
        self = super().__new__(cls)
        for name, value in zip(("scheme", "target", "credentials"), found, strict=True):
            object.__setattr__(self, name, value)
        return self

    @property
    def host(self) -> str:
        """Return its name or address."""
        return self.target.host

    @property
    def port(self) -> int:
        """Return its port."""
        return self.target.port

    @property
    def resolves(self) -> bool:
        """Whether it looks names up itself: then a target's name goes to it as it is."""
        return self.scheme != "socks5"

    def _choose(self, target: Target, kind: int) -> Proxy | None:
        """Return the proxy for a target: itself."""
        return self

    def __str__(self) -> str:
        return f"{self.scheme}://{self.target.text}"

    def __repr__(self) -> str:
        hidden = " with credentials" if self.credentials else ""
        return f"<{type(self).__name__} {self}{hidden}>"

    def _key(self) -> tuple[Any, ...]:
        return self.scheme, self.host, self.port, self.credentials

    def __eq__(self, other: object) -> bool:
        return self._key() == other._key() if isinstance(other, Proxy) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._key())

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"{type(self).__name__} is immutable")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"{type(self).__name__} is immutable")

    def __copy__(self) -> Proxy:
        return self

    def __deepcopy__(self, memo: object) -> Proxy:
        return self

    def __reduce__(self) -> tuple[Callable[[str], Proxy], tuple[str]]:
        if self.credentials:
            raise TypeError("a proxy with a password is not pickled: make it where it is used")
        return type(self), (str(self),)


_Parts = tuple[str, Target, tuple[bytes, bytes] | None]


def _parse(url: object, username: object, password: object) -> _Parts | Exception:
    """Take a URL apart; the error is returned, since a frame that raises keeps what it was given.

    Raising in here, and catching it there, would leave it in the ``__context__`` of another.
    """
    for what, value in (("url", url), ("username", username), ("password", password)):
        if not isinstance(value, str) and (value is not None or what == "url"):
            return TypeError(f"{what} of a proxy is a str, not {type(value).__name__}")
    assert isinstance(url, str)
    scheme, separator, rest = url.partition("://")
    scheme = scheme.lower()
    if not separator:
        return ValueError("a proxy is written scheme://host:port, with socks5h, socks5 or http")
    if scheme == "https":
        return ValueError("a proxy that itself speaks TLS (https://) is not supported")
    if scheme not in _SCHEMES:
        return ValueError("the scheme of a proxy is socks5h, socks5 or http")
    if not rest.isprintable() or " " in rest:
        return ValueError("a control character or a space in the URL of a proxy")
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    if "@" in rest[len(authority) :] or authority.count("@") > 1:
        return ValueError("write @ / ? # in a proxy's user name or password as %40 %2F %3F %23")
    if rest[len(authority) :] not in ("", "/"):
        return ValueError("a proxy has no path: write scheme://host:port")
    target = _parse_authority(scheme, authority.rpartition("@")[2])
    if isinstance(target, Exception):
        return target
    credentials = _parse_credentials(scheme, authority, username, password)
    if isinstance(credentials, Exception):
        return credentials
    return scheme, target, credentials


def _parse_authority(scheme: str, text: str) -> Target | Exception:
    if text.startswith("["):
        host, bracket, port = text[1:].partition("]")
        if not bracket or ":" not in host or (port and not port.startswith(":")):
            return ValueError("the host of a proxy: brackets stand around an IPv6 address")
        host, port = host.replace("%25", "%"), port[1:] if port else ""
        colon = text.endswith(":") or bool(port)
    else:
        host, colon_found, port = text.partition(":")
        colon = bool(colon_found)
        if ":" in port:
            return ValueError("the host of a proxy: brackets stand around an IPv6 address")
    if not colon:
        if scheme == "http":
            return ValueError("an http proxy needs a port: programs differ on what is meant")
        port = str(_SOCKS_PORT)
    if not _PORT.fullmatch(port) or not 0 < int(port) < 65536:
        return ValueError("the port of a proxy is not a number between 1 and 65535")
    try:
        return parse_host(host, int(port))
    except ValueError as exc:
        said = str(exc)
    return ValueError(f"the host of a proxy: {said}")


def _parse_credentials(
    scheme: str, authority: str, username: Any, password: Any
) -> tuple[bytes, bytes] | Exception | None:
    information, at, _ = authority.rpartition("@")
    if at:
        if username is not None or password is not None:
            return ValueError("user name and password of a proxy are given twice")
        if _BAD_ESCAPE.search(information):
            return ValueError("write % in a proxy's user name or password as %25")
        name, _, word = information.partition(":")
        pair = unquote_to_bytes(name), unquote_to_bytes(word)
    elif username is not None:
        pair = username.encode("utf-8", "replace"), (password or "").encode("utf-8", "replace")
    elif password is not None:
        return ValueError("a password of a proxy without a user name")
    else:
        return None
    if scheme == "http":
        if b":" in pair[0]:
            return ValueError("a user name for an http proxy has no colon")
    elif not pair[0]:
        return ValueError("an empty user name for a SOCKS proxy")
    elif len(pair[0]) > _MOST_CREDENTIAL or len(pair[1]) > _MOST_CREDENTIAL:
        return ValueError("user name and password for a SOCKS proxy have at most 255 bytes each")
    return pair


# The environment ----------------------------------------------------------------------------------


class EnvironmentProxies:
    """What the environment says, read once: ``proxy="env"``.

    ``all_proxy`` is for every target; ``https_proxy`` goes before it for port 443, and is for
    nothing else.  A text without a scheme means ``http://``.  ``no_proxy`` lists what is dialled
    directly: ``*`` for everything, a domain with all below it (``example.com``, ``.example.com``,
    ``*.example.com``), an address, a network (``10.0.0.0/8``); ``:port`` may follow a domain or an
    address.  Names are not looked up for it.  Of a variable in small and in capital letters, the
    former counts.

    Raises:
        ValueError: what a variable says can't be a proxy; the message names the variable.
    """

    __slots__ = ("_all", "_https", "_no_proxy")

    _all: Proxy | None
    _https: Proxy | None
    _no_proxy: tuple[str, ...]

    def __new__(cls, environ: Mapping[str, str] = os.environ) -> Self:
        """Read the variables."""
        every, https = _read_proxy(environ, "all_proxy"), _read_proxy(environ, "https_proxy")
        entries = _read(environ, "no_proxy")[1].replace(",", " ").split()
        del environ  # what a traceback can show of this frame
        for found in (every, https):
            if isinstance(found, Exception):
                raise found
        self = super().__new__(cls)
        self._all, self._https = every, https
        self._no_proxy = tuple(entry.lower() for entry in entries)
        return self

    def _choose(self, target: Target, kind: int) -> Proxy | None:
        """Return the proxy for a target, or None if it is to be dialled directly.

        The environment speaks of TCP: Unix sockets and datagrams are none of its business.
        """
        if target.family == socket.AF_UNIX or kind != socket.SOCK_STREAM:
            return None
        proxy = (self._https or self._all) if target.port == 443 else self._all
        if proxy is None or any(_matches(entry, target) for entry in self._no_proxy):
            return None
        return proxy

    def __repr__(self) -> str:
        return (
            f"<{type(self).__name__} all_proxy={self._all!s} https_proxy={self._https!s}"
            f" no_proxy={','.join(self._no_proxy)!r}>"
        )

    def _key(self) -> tuple[Any, ...]:
        return self._all, self._https, self._no_proxy

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, EnvironmentProxies):
            return NotImplemented
        return self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())


def _read(environ: Mapping[str, str], name: str) -> tuple[str, str]:
    for each in (name, name.upper()):
        if text := environ.get(each, "").strip():
            return each, text
    return name, ""


def _read_proxy(environ: Mapping[str, str], name: str) -> Any:
    """Return the proxy that a variable names, None, or the error."""
    name, text = _read(environ, name)
    if not text:
        return None
    try:
        return Proxy(text if "://" in text else f"http://{text}")
    except ValueError as exc:
        said = str(exc)
    return ValueError(f"{name}: {said}")


def _matches(entry: str, target: Target) -> bool:
    """Whether an entry of ``no_proxy`` is about a target."""
    if entry == "*":
        return True
    import ipaddress  # only where something is listed

    host = target.host.partition("%")[0]
    if target.family and "/" in entry:
        try:
            return ipaddress.ip_address(host) in ipaddress.ip_network(entry, strict=False)
        except ValueError:
            return False
    listed, port = _split_port(entry)
    if port and port != target.port:
        return False
    if target.family:
        try:
            return ipaddress.ip_address(host) == ipaddress.ip_address(listed)
        except ValueError:
            return False
    suffix = listed.removeprefix("*").strip(".")
    name = host.lower().rstrip(".")
    return bool(suffix) and (name == suffix or name.endswith("." + suffix))


def _split_port(entry: str) -> tuple[str, int]:
    if entry.startswith("["):
        host, _, port = entry[1:].partition("]")
        port = port.removeprefix(":")
    elif entry.count(":") == 1:
        host, _, port = entry.partition(":")
    else:
        return entry, 0
    # A port that is none matches no target.
    return host, (int(port) if _PORT.fullmatch(port) else -1) if port else 0
