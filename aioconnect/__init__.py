"""Connection establishment for asyncio.

``await connect("db.internal", 5432)`` gets from a name and a port to a connected socket: it
resolves, races the addresses (Happy Eyeballs), keeps its deadline, and fails with an error that a
person can act on.  Everything public is here; ``aioconnect.blocking`` and ``aioconnect.retry``
load on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .dialer import Dialer, connect
from .engine import connect_wait, sock_connect
from .errors import (
    AccessDenied,
    AddressFamilyNotSupported,
    AddressInUse,
    AddressNotAvailable,
    AttemptTimedOut,
    BacklogFull,
    CertificateError,
    CircuitOpen,
    ConnectError,
    ConnectionAborted,
    ConnectionRefused,
    ConnectionReset,
    DeadlineExceeded,
    Help,
    HostUnreachable,
    InvalidAddress,
    NameNotResolved,
    NetworkDown,
    NetworkUnreachable,
    NoBuffers,
    NotADirectory,
    NotConnected,
    PathNotFound,
    PathUnusable,
    PeerClosed,
    PortsExhausted,
    ProtocolError,
    SocketBusy,
    SocketUnusable,
    TimedOut,
    TLSError,
    TooManyOpenFiles,
    WrongSocketType,
)
from .streams import create_connection, open_connection

if TYPE_CHECKING:
    from . import blocking, retry
    from .address_policy import AddressPolicy, Verdict
    from .many import connect_many
    from .ready import wait_until_ready

__version__ = "0.1.0"

__all__ = [
    "AccessDenied",
    "AddressFamilyNotSupported",
    "AddressInUse",
    "AddressNotAvailable",
    "AddressPolicy",
    "AttemptTimedOut",
    "BacklogFull",
    "CertificateError",
    "CircuitOpen",
    "ConnectError",
    "ConnectionAborted",
    "ConnectionRefused",
    "ConnectionReset",
    "DeadlineExceeded",
    "Dialer",
    "Help",
    "HostUnreachable",
    "InvalidAddress",
    "NameNotResolved",
    "NetworkDown",
    "NetworkUnreachable",
    "NoBuffers",
    "NotADirectory",
    "NotConnected",
    "PathNotFound",
    "PathUnusable",
    "PeerClosed",
    "PortsExhausted",
    "ProtocolError",
    "SocketBusy",
    "SocketUnusable",
    "TLSError",
    "TimedOut",
    "TooManyOpenFiles",
    "Verdict",
    "WrongSocketType",
    "blocking",
    "connect",
    "connect_many",
    "connect_wait",
    "create_connection",
    "open_connection",
    "retry",
    "sock_connect",
    "wait_until_ready",
]


_LAZY = {
    "AddressPolicy": "address_policy",
    "Verdict": "address_policy",
    "connect_many": "many",
    "wait_until_ready": "ready",
}


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name in ("blocking", "retry"):
        return import_module(f".{name}", __name__)
    if name in _LAZY:
        return getattr(import_module(f".{_LAZY[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
