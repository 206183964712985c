"""Text and addresses, made fit to be printed."""

from __future__ import annotations

from typing import Any


def safe(text: str, most: int = 100) -> str:
    """Make host text fit for a log or a terminal: ASCII, no control characters, capped."""
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
            host = f"{host}%{address[3]}"
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
