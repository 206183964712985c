"""A ``DNSResolver`` of aiodns as the queries need it: quiet, and right in a forked child.

Sources: aiodns 4; pycares 5.
"""

from __future__ import annotations

import logging
import socket
import threading
import weakref
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

from ..about import DISTRIBUTION
from .per_loop import renew_in_child
from .threads import check_descriptors

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

    from .per_loop import Mailbox

__all__ = ["FIRST_TRY", "Settings", "ares", "close_resolver", "make_resolver"]

try:
    aiodns: Any = import_module("aiodns")
    pycares: Any = import_module("pycares")
    ares: Any = import_module("pycares.errno")
except ImportError as exc:
    raise ImportError(f"aiodns is missing: install {DISTRIBUTION}[aiodns]") from exc

TRIES = 8
FIRST_TRY = 1.25
"""Seconds after which c-ares asks again.  What is answered later is lost with it."""


class Settings(NamedTuple):
    """How to ask."""

    servers: tuple[str, ...]
    first_try: float
    rotate: bool
    tcp: bool
    patience: float
    generation: int
    """Of what was forgotten: an older query is not joined."""


class _QuietLoop:
    """The loop as a ``DNSResolver`` sees it.

    c-ares calls from a thread of its own.  Its answers go through the mailbox, which wakes the
    loop once for many, and says nothing if it was closed.
    """

    def __init__(self, loop: AbstractEventLoop, mailbox: Mailbox) -> None:
        self._loop = weakref.ref(loop)
        self.call_soon_threadsafe = mailbox.put

    def __getattr__(self, name: str) -> Any:
        loop = self._loop()
        if loop is None or (loop.is_closed() and name.startswith("remove_")):
            return _nothing  # the loop's descriptors and timers are gone with it
        return getattr(loop, name)


def _nothing(*_: object) -> None:
    pass


def make_resolver(loop: AbstractEventLoop, mailbox: Mailbox, settings: Settings) -> Any:
    """Return a ``DNSResolver`` that answers by the mailbox.

    Raises:
        OSError: there can be none for lack of a descriptor.
    """
    check_descriptors()
    _making.quiet = True
    try:
        return aiodns.DNSResolver(
            list(settings.servers),
            _QuietLoop(loop, mailbox),
            timeout=settings.first_try,
            tries=TRIES,
            rotate=settings.rotate,
            flags=pycares.ARES_FLAG_USEVC | pycares.ARES_FLAG_EDNS if settings.tcp else None,
        )
    except pycares.AresError as exc:
        check_descriptors()
        raise socket.gaierror(socket.EAI_MEMORY, str(exc)) from None
    finally:
        _making.quiet = False


def close_resolver(resolver: Any) -> None:
    """Close a ``DNSResolver``; its queries end."""
    with suppress(StopIteration):  # it awaits nothing
        resolver.close().send(None)


_making = threading.local()


def _is_loud(_: logging.LogRecord) -> bool:
    # Without a free inotify instance aiodns warns, and works all the same.
    return not getattr(_making, "quiet", False)


logging.getLogger("aiodns").addFilter(_is_loud)


class _ShutdownThread:
    """The thread by which pycares destroys channels: a forked child must start its own."""

    def renew(self) -> None:
        # It has no public name (pycares#239).
        former = getattr(pycares, "_shutdown_manager", None)
        if former is not None:
            pycares._shutdown_manager = type(former)()


_shutdown_thread = _ShutdownThread()
renew_in_child(_shutdown_thread)
