"""What a process and its loop hold at an instant: descriptors, tasks, timers, instants."""

from __future__ import annotations

import gc
import os
import stat
import sys
import warnings
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterator


def name_of(fd: int) -> str:
    """Say what a descriptor is of."""
    try:
        return os.readlink(f"/proc/self/fd/{fd}")
    except FileNotFoundError:  # a thread has closed it just now
        return "closed"


def descriptors() -> dict[int, tuple[int, int]]:
    """Return every open descriptor of this process with its device and inode."""
    found = {}
    for name in os.listdir("/proc/self/fd" if sys.platform == "linux" else "/dev/fd"):
        try:
            status = os.fstat(int(name))
        except OSError:
            continue  # the descriptor of the listing itself
        if stat.S_ISDIR(status.st_mode):
            continue
        found[int(name)] = (status.st_dev, status.st_ino)
    return found


class Account(NamedTuple):
    """What a process and its loop hold at an instant."""

    descriptors: frozenset[tuple[int, tuple[int, int]]]
    """With device and inode: a number that was closed and given out again is seen."""
    polled: frozenset[tuple[int, str]]
    """What every epoll of this process watches, from the kernel."""
    watched: frozenset[int]
    """What the poller of the loop waits for: descriptors."""
    tasks: frozenset[asyncio.Task[Any]]
    timers: frozenset[asyncio.TimerHandle]
    instants: int
    """How many wait for an instant of the poller of the loop."""
    slots: int
    """How many wait for their turn to connect."""

    def difference(self, before: Account) -> dict[str, Any]:
        """Name what is more, or less, than before."""
        found = {}
        for name, now, then in zip(self._fields, self, before, strict=True):
            if isinstance(now, int):
                if now != then:
                    found[name] = [f"{then} before, {now} now"]
                continue
            if now - then:
                found[f"{name} left"] = sorted(map(repr, now - then))
            if then - now:
                found[f"{name} lost"] = sorted(map(repr, then - now))
        return found


def polled() -> Iterator[tuple[int, str]]:
    """List what each epoll of this process watches: its descriptor, and a line of proc(5)."""
    for name in os.listdir("/proc/self/fd") if sys.platform == "linux" else ():
        with suppress(OSError):  # the descriptor of the listing itself
            if os.readlink(f"/proc/self/fd/{name}") == "anon_inode:[eventpoll]":
                with open(f"/proc/self/fdinfo/{name}") as lines:
                    for line in lines:
                        if line.startswith("tfd:"):
                            yield int(name), line.strip()


@contextmanager
def without_collector() -> Iterator[None]:
    """Keep the garbage collector off, so that it hides nothing.

    Not frozen here: ``gc.unfreeze`` would undo what conftest.py did for the whole session.
    """
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.collect()


@contextmanager
def no_warnings() -> Iterator[None]:
    """Fail if anything warns, also from a finaliser."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    assert not caught, [str(warning.message) for warning in caught]
