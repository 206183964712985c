"""Connection establishment for asyncio.

``await connect("db.internal", 5432)`` gets from a name and a port to a connected socket: it
resolves, races the addresses (Happy Eyeballs), keeps its deadline, and fails with an error that a
person can act on.  Everything public can be reached from here; what a plain connect does not need
loads on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import errors, events, options, targets
from .connecting import connect
from .dialer import Dialer
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
    InvalidTarget,
    NameNotResolved,
    NetworkDown,
    NetworkUnreachable,
    NoBuffers,
    NotADirectory,
    NotConnected,
    PathNotFound,
    PathUnusable,
    PeerClosed,
    PolicyDenied,
    PortsExhausted,
    ProtocolError,
    ProxyError,
    SocketBusy,
    SocketUnusable,
    TimedOut,
    TLSError,
    TooManyOpenFiles,
    WrongSocketType,
)
from .events import AttemptFailed, Event
from .options import Options
from .streams import create_connection, open_connection
from .targets import Endpoint, TargetLike

if TYPE_CHECKING:
    from . import blocking, many, readiness, resolve, retry, supervise, trio
    from .address_policy import AddressPolicy, NamedEndpoint, Verdict
    from .loops import install, loop_factory
    from .many import ConnectMany, ConnectResult, connect_many
    from .proxy import Proxy
    from .ready import wait_until_ready
    from .resolve import Answer, Resolver
    from .resolving import resolve_addresses
    from .supervise import Supervisor
    from .supervise_streams import StreamSupervisor
    from .typed import ConnectOptions

__version__ = "0.1.0"

__all__ = [
    "AccessDenied",
    "AddressFamilyNotSupported",
    "AddressInUse",
    "AddressNotAvailable",
    "AddressPolicy",
    "Answer",
    "AttemptFailed",
    "AttemptTimedOut",
    "BacklogFull",
    "CertificateError",
    "CircuitOpen",
    "ConnectError",
    "ConnectMany",
    "ConnectOptions",
    "ConnectResult",
    "ConnectionAborted",
    "ConnectionRefused",
    "ConnectionReset",
    "DeadlineExceeded",
    "Dialer",
    "Endpoint",
    "Event",
    "Help",
    "HostUnreachable",
    "InvalidAddress",
    "InvalidTarget",
    "NameNotResolved",
    "NamedEndpoint",
    "NetworkDown",
    "NetworkUnreachable",
    "NoBuffers",
    "NotADirectory",
    "NotConnected",
    "Options",
    "PathNotFound",
    "PathUnusable",
    "PeerClosed",
    "PolicyDenied",
    "PortsExhausted",
    "ProtocolError",
    "Proxy",
    "ProxyError",
    "Resolver",
    "SocketBusy",
    "SocketUnusable",
    "StreamSupervisor",
    "Supervisor",
    "TLSError",
    "TargetLike",
    "TimedOut",
    "TooManyOpenFiles",
    "Verdict",
    "WrongSocketType",
    "blocking",
    "connect",
    "connect_many",
    "connect_wait",
    "create_connection",
    "errors",
    "events",
    "install",
    "loop_factory",
    "many",
    "open_connection",
    "options",
    "readiness",
    "resolve",
    "resolve_addresses",
    "retry",
    "sock_connect",
    "supervise",
    "targets",
    "trio",
    "wait_until_ready",
]

_LAZY_MODULES = frozenset(
    ("blocking", "many", "readiness", "resolve", "retry", "supervise", "trio")
)
_LAZY_NAMES = {
    "AddressPolicy": "address_policy",
    "Answer": "resolve",
    "ConnectMany": "many",
    "ConnectOptions": "typed",
    "ConnectResult": "many",
    "NamedEndpoint": "address_policy",
    "Proxy": "proxy",
    "Resolver": "resolve",
    "StreamSupervisor": "supervise_streams",
    "Supervisor": "supervise",
    "Verdict": "address_policy",
    "connect_many": "many",
    "install": "loops",
    "loop_factory": "loops",
    "resolve_addresses": "resolving",
    "wait_until_ready": "ready",
}
"""What loads on first use."""


if not TYPE_CHECKING:  # or every name would exist for a type checker

    def __getattr__(name: str) -> object:
        from importlib import import_module

        if name in _LAZY_MODULES:
            return import_module(f".{name}", __name__)
        if name in _LAZY_NAMES:
            value = getattr(import_module(f".{_LAZY_NAMES[name]}", __name__), name)
            globals()[name] = value
            return value
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
