"""Text, addresses, options and spans of time, made fit to be printed."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

MOST_TARGETS = 8
"""How many targets a text names; it says how many more there are."""

_OPTION_PREFIXES = {
    int(socket.SOL_SOCKET): "SO_",
    int(socket.IPPROTO_IP): "IP_",
    int(socket.IPPROTO_TCP): "TCP_",
    int(socket.IPPROTO_IPV6): "IPV6_",
}


def safe(text: str, most: int = 100) -> str:
    """Make host text fit for a log or a terminal: ASCII, no control characters, capped."""
    text = text[: most + 1]
    if not text.isascii() or not text.isprintable():
        text = ascii(text)[1:-1]
    return text if len(text) <= most else text[: most - 3] + "..."


def format_host(address: Any) -> str:
    """Format an address without its port, for a sentence."""
    if isinstance(address, tuple):
        if not address:
            return ""
        host = safe(str(address[0]))
        if len(address) >= 4 and address[3] and "%" not in host:
            host = f"{host}%{safe(str(address[3]))}"
        return host
    if isinstance(address, bytes):
        address = address.decode("utf-8", "backslashreplace")
    if isinstance(address, str):
        return safe("@" + address[1:] if address.startswith("\0") else address)
    return "" if address is None else safe(str(address))


def format_address(address: Any) -> str:
    """Format an address with its port: ``10.0.0.1:80``, ``[::1]:80``, ``unix:/path``."""
    host = format_host(address)
    if isinstance(address, tuple) and len(address) >= 2:
        return f"[{host}]:{address[1]}" if ":" in host else f"{host}:{address[1]}"
    return f"unix:{host}" if isinstance(address, str | bytes) and host else host


def format_targets(targets: Sequence[str]) -> str:
    """Join what was dialled: ``a:80, b:80``, at most eight and how many more."""
    more = len(targets) - MOST_TARGETS
    shown = ", ".join(targets[:MOST_TARGETS])
    return f"{shown} and {more} more" if more > 0 else shown


def format_option(option: Any) -> str:
    """Name a socket option, given as ``setsockopt`` takes it: ``TCP_KEEPIDLE``."""
    try:
        level, number = int(option[0]), int(option[1])
    except (TypeError, ValueError, IndexError):
        return ""
    prefix = _OPTION_PREFIXES.get(level)
    if prefix is not None:
        names = [name for name in dir(socket) if name.startswith(prefix)]
        named = [name for name in names if getattr(socket, name) == number]
        if named:
            return min(named, key=len)  # the longer ones belong to other families of sockets
    return f"{number} of level {level}"


def format_seconds(seconds: float) -> str:
    """Write a span of time as a person would: ``0.1 ms``, ``25 ms``, ``7.4 s``."""
    if seconds >= 0.0995:
        return f"{seconds:.1f} s"
    milliseconds = max(seconds * 1000, 0.1)
    return f"{milliseconds:.1f} ms" if milliseconds < 9.95 else f"{milliseconds:.0f} ms"
