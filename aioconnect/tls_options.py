"""The keywords of TLS, checked before anything is dialled; both loops find their misuse later."""

from __future__ import annotations

from math import inf, isnan
from typing import TYPE_CHECKING, Any

from .targets import parse_host

if TYPE_CHECKING:
    import ssl

__all__ = ["check"]

_ABOUT_TLS = ("server_hostname", "ssl_handshake_timeout", "ssl_shutdown_timeout")


def check(given: dict[str, Any]) -> dict[str, Any]:
    """Return what is said about TLS, for ``loop.create_connection``; empty without ``ssl``.

    Raises:
        ValueError, TypeError: it cannot be meant.
        RuntimeError: this Python has no ``ssl``.
    """
    context = given.get("ssl")
    if context is None or context is False:
        for name in _ABOUT_TLS:
            if name in given:
                raise ValueError(f"{name} is only meaningful with ssl")
        return {}
    try:
        import ssl
    except ImportError:
        raise RuntimeError("ssl: this Python was built without the ssl module") from None
    if context is not True and not isinstance(context, ssl.SSLContext):
        raise TypeError(f"ssl is an SSLContext, True or None, not {context!r}")
    if context is not True and context.protocol == ssl.PROTOCOL_TLS_SERVER:
        raise ValueError("ssl: a context for servers cannot be used by a client")
    checked = dict(given)
    if "server_hostname" in given:
        checked["server_hostname"] = _host(given["server_hostname"], context)
    for name in _ABOUT_TLS[1:]:
        if name in given:
            checked[name] = _limit(name, given[name])
    return checked


def _host(name: object, context: ssl.SSLContext | bool) -> str:
    """Return the name that the certificate must have, in ASCII."""
    if not isinstance(name, str):
        raise TypeError(f"server_hostname is a str, not {type(name).__name__}")
    if not name:
        if context is True or context.check_hostname:  # type: ignore[union-attr]
            raise ValueError(
                "server_hostname='' would leave the name of the certificate unchecked: "
                "for that, give a context whose check_hostname is off"
            )
        return ""
    try:
        return parse_host(name, 443).host.partition("%")[0].rstrip(".")
    except ValueError as exc:
        raise ValueError(f"server_hostname: {exc}") from None


def _limit(name: str, value: object) -> float:
    """Return seconds, more than 0."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} is seconds as a number, not {value!r}")
    if isnan(value) or value <= 0:
        raise ValueError(f"{name}={value!r}: seconds, more than 0")
    return min(float(value), 1e6) if value == inf else float(value)
