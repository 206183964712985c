"""What each option accepts, and the plain form in which it is kept.

A check takes the option's name and the value that was given.  It returns what is kept: seconds as
floats, no limit as infinity, an address with its family, a list as a tuple.  Everything else is a
``TypeError`` or a ``ValueError`` that names the option.
"""

from __future__ import annotations

import math
import socket
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from . import causes
from .targets import parse
from .text import safe

if TYPE_CHECKING:
    from collections.abc import Callable

    from .allowed_names import AllowedNames
    from .proxy import EnvironmentProxies, Proxy

__all__ = [
    "allowed_names",
    "count",
    "delay",
    "family",
    "function",
    "having",
    "limit",
    "local_addr",
    "optional_span",
    "policy",
    "proxy",
    "proxy_and_type",
    "socket_options",
    "socket_type",
    "span",
    "take_proxy",
]

LEAST_DELAY = 0.010
"""Seconds between two starts at least (RFC 8305, section 5: MUST NOT be less than 10 ms)."""


def span(name: str, value: object) -> float:
    """Return seconds: a number that is not negative; infinity is allowed."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} is seconds as a number, not {value!r}")
    try:
        seconds = float(value)
    except OverflowError:
        raise ValueError(f"{name}: too large a number; infinity says it") from None
    if math.isnan(seconds) or seconds < 0:
        raise ValueError(f"{name}={value!r}: a time is not negative, and not NaN")
    return seconds


def limit(name: str, value: object) -> float:
    """Return seconds, infinity for None."""
    return math.inf if value is None else span(name, value)


def optional_span(name: str, value: object) -> float | None:
    """Return seconds, or None."""
    return None if value is None else span(name, value)


def delay(name: str, value: object) -> float | None:
    """Return seconds between two starts, None for no end."""
    seconds = limit(name, value)
    return None if seconds == math.inf else max(seconds, LEAST_DELAY)


def one_of(name: str, value: Any, *allowed: str) -> Any:
    """Return one of some words."""
    if value not in allowed:
        raise ValueError(f"{name}={value!r}: one of {', '.join(map(repr, allowed))}")
    return value


def count(name: str, value: object) -> int:
    """Return a whole number of at least 1."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} is a whole number, not {value!r}")
    if value < 1:
        raise ValueError(f"{name}={value!r}: at least 1")
    return int(value)


def family(name: str, value: object) -> int:
    """Return 0, ``AF_INET`` or ``AF_INET6``."""
    if isinstance(value, bool) or value not in (0, socket.AF_INET, socket.AF_INET6):
        raise ValueError(f"family={value!r}: AF_INET, AF_INET6 or 0 for both")
    return int(value)  # type: ignore[call-overload, no-any-return]


def socket_type(name: str, value: object) -> int:
    """Return the type of a socket that can be connected."""
    if isinstance(value, bool) or value not in (
        socket.SOCK_STREAM,
        socket.SOCK_DGRAM,
        getattr(socket, "SOCK_SEQPACKET", 5),
    ):
        raise ValueError(f"type={value!r}: SOCK_STREAM or SOCK_DGRAM")
    return int(value)  # type: ignore[call-overload, no-any-return]


def local_addr(name: str, value: Any) -> tuple[tuple[int, Any], ...] | None:
    """Return the local addresses to bind, each with its family."""
    if value is None:
        return None
    if value == ():
        raise ValueError("local_addr is empty")
    # A tuple is one address, unless it holds addresses.
    one = isinstance(value, str) or (isinstance(value, tuple) and not isinstance(value[0], tuple))
    given = [value] if one or not isinstance(value, Iterable) else value
    checked = [_local(each) for each in given]
    if not checked:
        raise ValueError("local_addr is empty")
    return tuple(checked)


def _local(value: Any) -> tuple[int, Any]:
    if isinstance(value, str):
        if not value or "\0" in value[1:]:
            raise ValueError("local_addr: a path is not empty and has no NUL")
        if said := _no_path(value):
            raise ValueError(f"local_addr={value!r}: {said}")
        return int(socket.AF_UNIX), value
    if not isinstance(value, tuple) or len(value) not in (2, 4):
        raise TypeError(f"local_addr is (host, port), a path as str, or a list, not {value!r}")
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
    except TypeError as exc:
        raise TypeError(f"local_addr: {exc}") from None
    except ValueError as exc:  # an option is the program's, and no target
        raise ValueError(f"local_addr: {exc}") from None
    if target.name is not None:
        raise ValueError(f"local_addr: {safe(target.name)!r} is not a numeric address")
    return target.family, (host, port, *rest)


def _no_path(text: str) -> str:
    """Say what a text is that was hardly meant as the path of a Unix socket; "" if it was."""
    if text.startswith("unix:"):
        return "write the path without unix:"
    if text.startswith("@"):
        return f"an abstract name begins with a NUL: write {chr(0) + text[1:]!r}"
    before, _, digits = text.rpartition(":")
    for host, port in ((text, "0"), (before, digits)):
        host = host.removeprefix("[").removesuffix("]")
        try:
            is_address = parse((host, 1)).name is None
        except ValueError:
            continue
        if is_address and port.isascii() and port.isdecimal():
            return f"write {(host, int(port))!r}"
    return ""


def _items(name: str, value: Any) -> tuple[Any, ...]:
    try:
        return tuple(value)
    except TypeError:
        raise TypeError(f"{name} is a list, not {value!r}") from None


def socket_options(name: str, value: Any) -> tuple[Any, ...]:
    """Return ``(level, name, value)`` tuples that ``setsockopt`` takes."""
    if value is None:
        return ()
    given = _items(name, value)
    for each in given:
        if not isinstance(each, tuple | list) or len(each) != 3:
            raise TypeError(f"socket_options: {each!r} is not (level, name, value)")
        level, option, setting = each
        if not (isinstance(level, int) and isinstance(option, int)):
            raise TypeError(f"socket_options: level and name are numbers in {each!r}")
        if not isinstance(setting, int | bytes | bytearray):
            raise TypeError(f"socket_options: the value is an int or bytes in {each!r}")
        if any(isinstance(n, int) and not -(2**31) <= n < 2**32 for n in each):
            raise ValueError(f"socket_options: a number in {each!r} is too large for C")
    return tuple(tuple(each) for each in given)


def function(name: str, value: Any) -> Any:
    """Return what can be called, or None."""
    if value is not None and not callable(value):
        raise TypeError(f"{name} is not callable: {value!r}")
    return value


def allowed_names(name: str, value: Any) -> AllowedNames | None:
    """Return compiled patterns."""
    if value is None:
        return None
    try:
        from .allowed_names import AllowedNames  # loaded on first use
    except OSError as exc:  # no descriptor to load it with
        raise causes.from_exception(exc, stage="policy") from None
    return value if isinstance(value, AllowedNames) else AllowedNames(value)


def policy(name: str, value: Any) -> Any:
    """Return a function that answers at once, or None."""
    if value is None:
        return None
    if isinstance(value, type):
        raise TypeError(f"{name} is an object, not a class: {value!r}")
    if not callable(value):
        raise TypeError(f"{name} is not callable: {value!r}")
    try:
        from . import address_policy  # loaded on first use
    except OSError as exc:  # no descriptor to load it with
        raise causes.from_exception(exc, stage="policy") from None
    if address_policy.is_asynchronous(value):
        raise TypeError(f"{name} answers at once: it is no async function, as {value!r} is")
    return value


def proxy(name: str, value: Any) -> Proxy | EnvironmentProxies | None:
    """Return the proxy that a URL or ``"env"`` means."""
    if value is None:
        return None
    try:
        from .proxy import EnvironmentProxies, Proxy  # loaded on first use
    except OSError as exc:  # no descriptor to load it with
        raise causes.from_exception(exc, stage="proxy") from None

    if isinstance(value, Proxy | EnvironmentProxies):
        return value
    if value == "env":
        return EnvironmentProxies()
    kind, given = type(value), [value]
    del value  # a traceback can show the local variables of this frame
    if kind is not str:
        given.clear()
        raise TypeError(f'{name} is a URL, a Proxy, "env" or None, not {kind.__name__}')
    return Proxy(given.pop())


def take_proxy(options: Any) -> None:
    """Put the proxy in the place of what means it, in the keywords of a function.

    They are a local variable of that function, and a traceback can show those; so what may hold
    a password goes before anything else can fail.
    """
    options["proxy"] = proxy("proxy", options.pop("proxy"))


def proxy_and_policy(proxy: Proxy | EnvironmentProxies) -> None:
    """Refuse a policy on addresses that only the proxy will know."""
    from .proxy import Proxy

    if isinstance(proxy, Proxy) and proxy.resolves:
        raise ValueError(
            "address_policy cannot judge what a proxy looks up: use socks5://, or say with "
            "allowed_names what may be asked of it"
        )


def proxy_and_type(proxy: Proxy | EnvironmentProxies, kind: int) -> None:
    """Refuse a proxy beside a type that none takes."""
    from .proxy import Proxy

    if isinstance(proxy, Proxy) and kind != socket.SOCK_STREAM:
        raise ValueError("proxy and type contradict each other: no proxy takes datagrams")


def having(*methods: str) -> Callable[[str, Any], Any]:
    """Return the check for an object with these methods, or None."""

    def check(name: str, value: Any) -> Any:
        if isinstance(value, type):
            raise TypeError(f"{name} is an object, not a class: {value!r}")
        if value is not None and not all(callable(getattr(value, m, None)) for m in methods):
            raise TypeError(f"{name} needs {' and '.join(m + '()' for m in methods)}: {value!r}")
        return value

    return check
