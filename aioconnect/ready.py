"""Wait for a server to come up: what every compose file and test suite needs."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any, cast

from . import errors, retry
from .dialer import connect

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Unpack

    from .options import TargetOptions
    from .targets import TargetLike

__all__ = ["wait_until_ready"]

ATTEMPT_TIMEOUT = 5.0
"""Seconds for one attempt: a host that boots answers the SYN that comes after it is up."""


def _may_come(error: errors.ConnectError) -> bool:
    """Tell whether waiting can help: all but what is wrong on this side.

    A name that does not exist yet, a path that is not there yet and a permission that is not set
    yet look the same as wrong ones; the time limit tells them apart.
    """
    return not isinstance(
        error,
        errors.SocketUnusable
        | errors.WrongSocketType
        | errors.AddressFamilyNotSupported
        | errors.DeadlineExceeded,
    )


async def wait_until_ready(
    target: TargetLike | Sequence[TargetLike],
    port: int | None = None,
    *,
    timeout: float | None = 60.0,
    **options: Unpack[TargetOptions],
) -> float:
    """Wait until a target accepts connections.

    It outlasts a server that is not up yet, a name that does not exist yet and a Unix path that
    is not there yet; it tries again after a tenth of a second at first, a second later.

    Args:
        target: as for :func:`~aioconnect.connect`.
        port: 1 to 65535.
        timeout: seconds; None waits for ever.
        **options: as for :func:`~aioconnect.connect`.  ``attempt_timeout`` is 5 s by default;
            ``retry`` replaces the policy.

    Returns:
        The seconds that it took.  The connection that proved it was closed.

    Raises:
        ConnectError: the last error, when the time is up or waiting cannot help.
        ValueError, TypeError: bad input, before any I/O.
    """
    policy = retry.on(_may_come) & retry.exponential(0.1, factor=1.5, cap=1.0, jitter="equal")
    chosen: dict[str, Any] = {"retry": policy, "attempt_timeout": ATTEMPT_TIMEOUT, **options}
    started = monotonic()
    sock = await connect(target, port, **cast("TargetOptions", chosen), timeout=timeout)
    sock.close()
    return monotonic() - started
