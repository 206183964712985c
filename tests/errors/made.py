"""Errors as a call makes them, for the tests of this folder."""

from __future__ import annotations

import errno
import socket
import ssl
from typing import TYPE_CHECKING, Any

from aioconnect.causes import combine, from_errno, from_exception, timed_out
from aioconnect.errors import ConnectionRefused
from aioconnect.events import AttemptFailed

from ..support.error_table import TABLE, V4, V6

if TYPE_CHECKING:
    from aioconnect.errors import ConnectError


def attempt(error: ConnectError, number: int = 1, *, address: Any = None) -> AttemptFailed:
    """Make the log's entry for a failed attempt."""
    return AttemptFailed(
        at=float(number),
        target="db.internal:5432",
        error=error,
        started=number - 1.0,
        number=number,
        round=1,
        address=error.address if address is None else address,
        family=error.family,
        stage=error.stage,
    )


def failed(*names: str, target: str = "db.internal:5432", elapsed: float = 7.44) -> ConnectError:
    """Combine attempts at 10.0.0.1, 10.0.0.2, ... that failed with these numbers, or our limit."""
    attempts = []
    for number, name in enumerate(names, 1):
        address = (f"10.0.0.{number}", 5432)
        if name == "timer":
            error = timed_out(
                whole=False, stage="connect", address=address, family=int(socket.AF_INET)
            )
        else:
            error = from_errno(
                getattr(errno, name),
                stage="connect",
                address=address,
                family=int(socket.AF_INET),
            )
        attempts.append(attempt(error, number))
    return combine(attempts, target=target, elapsed=elapsed)


def refused_by_a_policy() -> ConnectError:
    """Combine one attempt that the caller's own function refused."""
    said = PermissionError(errno.EACCES, "10.0.0.0/8 is internal: ask the platform team")
    error = from_exception(said, stage="policy", address=V4, family=int(socket.AF_INET))
    return combine([attempt(error)], target="db.internal:5432", elapsed=0.001)


def specimens() -> dict[str, ConnectError]:
    """Make one error of every kind that a call can raise."""
    made = {row.id: row.error() for row in TABLE}
    made["unknown"] = from_errno(99999, stage="connect", address=V4)
    made["one attempt"] = failed("ECONNREFUSED")
    made["several attempts"] = failed("ECONNREFUSED", "timer", "EHOSTUNREACH")
    made["a hundred attempts"] = failed(*["ECONNREFUSED"] * 100)
    made["unknown attempts"] = failed("EPROTO", "EXDEV", "EXDEV")
    made["name"] = from_exception(socket.gaierror(-2, "no"), stage="resolve", address="db")
    certificate = ssl.SSLCertVerificationError(1, "self-signed")
    certificate.verify_code, certificate.verify_message = 18, "self-signed certificate"
    certificate.reason, certificate.library = "CERTIFICATE_VERIFY_FAILED", "SSL"
    made["certificate"] = from_exception(certificate, stage="tls", address=V6)
    made["stopped"] = combine(
        failed("ECONNREFUSED", "timer").attempts,
        target="db",
        elapsed=1,
        stopped="budget",
        retry_after=2.5,
    )
    made["noted"] = failed("ECONNREFUSED", "timer")
    made["noted"].add_note("while starting the worker")
    made["theirs"] = ConnectionRefused(errno.ECONNREFUSED, "made by somebody else")
    made["policy"] = refused_by_a_policy()
    made["changed"] = failed("ECONNREFUSED")
    made["changed"].strerror = "in other words"
    return made
