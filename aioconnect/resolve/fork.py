"""After a fork the child makes its own: locks, threads and channels of the parent are dead there.

Only the forking thread goes on in the child.  A lock that another thread held stays locked for
ever, worker threads are gone, and what belonged to the parent's loops belongs to nobody.
"""

from __future__ import annotations

import os
import weakref
from typing import Protocol

__all__ = ["renew_in_child"]


class Renewable(Protocol):
    """Something that must begin anew in a forked child."""

    def renew(self) -> None:
        """Drop locks, threads and what was kept for the parent's loops."""


_objects: weakref.WeakSet[Renewable] = weakref.WeakSet()


def renew_in_child(thing: Renewable) -> None:
    """Call ``thing.renew()`` in each child forked from now on, while it lives."""
    _objects.add(thing)


def _renew_all() -> None:
    for thing in tuple(_objects):
        thing.renew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_all)
