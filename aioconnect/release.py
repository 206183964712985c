"""Closing what an attempt has: its socket while that is connecting, or its stages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import attempt as io

if TYPE_CHECKING:
    import socket

    from .driver import Driver
    from .race import Attempt
    from .stages import Stages

__all__ = ["close_all", "close_attempt"]


def close_attempt(driver: Driver, attempt: Attempt) -> bool:
    """Close what an attempt has; False if it has nothing."""
    sock: socket.socket | None = attempt.sock
    stages: Stages | None = attempt.stages
    attempt.sock = attempt.stages = None
    try:
        if sock is not None:
            driver.unwatch(sock)
    finally:
        if sock is not None:
            io.close(sock)
        if stages is not None:
            stages.close()
    return sock is not None or stages is not None


def close_all(driver: Driver, running: list[Attempt], cancelled: list[Attempt]) -> None:
    """Close what these attempts have, and add those that had something to ``cancelled``."""
    while running:
        try:
            if close_attempt(driver, running[0]):
                cancelled.append(running[0])
            del running[0]
        except BaseException:  # of one close: the others follow all the same
            del running[0]
            close_all(driver, running, cancelled)
            raise
