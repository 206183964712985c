"""State by key, for the objects that a process shares: locked, bounded, safe after a fork."""

from __future__ import annotations

import os
from threading import Lock
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

State = TypeVar("State")


def listed(texts: Sequence[str], count: int) -> str:
    """List the newest of so many things, for a ``repr``."""
    return ", ".join(texts) + (f" and {count - len(texts)} more" if count > len(texts) else "")


class Keyed(Generic[State]):
    """What is known of at most ``most`` keys; the one not used for longest is forgotten first.

    A context manager that holds the lock: everything else is called inside it.
    """

    __slots__ = ("_lock", "_most", "_pid", "_states")

    def __init__(self, most: int) -> None:
        if most < 1:
            raise ValueError(f"keys: at least 1, not {most!r}")
        self._most = most
        self._states: dict[Hashable, State] = {}
        self._lock = Lock()
        self._pid = os.getpid()

    def __enter__(self) -> Keyed[State]:
        if self._pid != os.getpid():
            # A thread of the parent may have held the lock when this child was forked; it will
            # never give it back here.
            self._lock = Lock()
            self._pid = os.getpid()
        self._lock.acquire()
        return self

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def __len__(self) -> int:
        return len(self._states)

    def get(self, key: Hashable) -> State | None:
        """Return what is known of a key, which is thereby the one used last."""
        state = self._states.pop(key, None)
        if state is not None:
            self._states[key] = state
        return state

    def put(self, key: Hashable, state: State) -> None:
        """Know this of a key."""
        self._states.pop(key, None)
        self._states[key] = state
        if len(self._states) > self._most:
            del self._states[next(iter(self._states))]

    def newest(self, most: int = 3) -> list[tuple[Hashable, State]]:
        """Return the keys that were used last, with what is known of each."""
        return list(self._states.items())[: -most - 1 : -1]

    def forget(self, key: Hashable) -> None:
        """Know nothing of a key."""
        self._states.pop(key, None)
