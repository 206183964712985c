"""Instants that somebody waits for, nearly all of which are taken back before they come.

A program waits with few different time limits, and begins to wait in the order of its clock: so
the instants of one limit come in order, and a queue that is appended to and cut anywhere (a
``dict``) holds them at a third of the cost of a heap.  An instant goes to the queue whose last
one is closest before it.  Where a program has many limits, more than ``QUEUES`` of them at a
time, what fits into no queue goes to a heap.

No clock and no timer: whoever has them asks ``first`` when to come back, and ``due`` who is due.
"""

from __future__ import annotations

import heapq
from math import inf
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["QUEUES", "Instants", "Waits"]

QUEUES = 16
"""How many queues there may be: each of them is looked at to find the first instant."""


class Waits(Protocol):
    """Who waits for an instant, one at a time."""

    slot: Any
    """Where the instant is kept; None if there is none.  Only this file looks at it."""

    def wake(self) -> None:
        """Be told that the instant has come."""


class Instants:
    """The instants of many who wait, each for one."""

    __slots__ = ("_count", "_heap", "_queues", "_void", "earliest")

    def __init__(self) -> None:
        self.earliest = inf
        """No instant is earlier than this; those that were may have been taken back."""
        self._queues: list[_Queue] = []
        self._heap: list[list[Any]] = []  # [instant, tie-breaker, who waits or None]
        self._void = 0  # entries of the heap whose owner waits no longer
        self._count = 0

    def add(self, when: float, waits: Waits) -> None:
        """Let ``waits`` be due at ``when``; it waits for no other instant."""
        if when < self.earliest:
            self.earliest = when
        best = None
        for queue in self._queues:
            if queue.last <= when and (best is None or queue.last > best.last):
                best = queue
        if best is None:
            if len(self._queues) >= QUEUES:
                self._add_to_heap(when, waits)
                return
            best = _Queue()
            self._queues.append(best)
        waits.slot = best
        best[waits] = best.last = when

    def _add_to_heap(self, when: float, waits: Waits) -> None:
        self._count += 1
        entry = [when, self._count, waits]
        waits.slot = entry
        heapq.heappush(self._heap, entry)

    def cancel(self, waits: Waits) -> None:
        """Take back the instant of ``waits``, if it has one."""
        slot, waits.slot = waits.slot, None
        if slot is None:
            return
        if type(slot) is _Queue:
            slot.pop(waits, None)
            if not slot:
                slot.last = -inf  # it takes any instant now
        else:
            slot[2] = None
            self._void += 1
            if self._void > 64 and self._void * 2 > len(self._heap):
                self._heap = [entry for entry in self._heap if entry[2] is not None]
                heapq.heapify(self._heap)
                self._void = 0

    def first(self) -> float:
        """Return the earliest instant; infinity if nobody waits."""
        when = inf
        for queue in self._queues:
            for instant in queue.values():
                if instant < when:
                    when = instant
                break
        heap = self._heap
        while heap and heap[0][2] is None:
            heapq.heappop(heap)
            self._void -= 1
        return min(when, heap[0][0]) if heap else when

    def due(self, now: float) -> Iterator[Waits]:
        """Take out, one by one, who waits for ``now`` or earlier.

        What is raised while one is served loses none: that one, too, is due again.
        """
        for queue in tuple(self._queues):
            for waits, when in queue.until(now):
                served = waits.slot is not queue
                if served:
                    queue.pop(waits, None)  # it was left behind by what was raised
                    continue
                try:
                    self.cancel(waits)
                    yield waits
                    served = True
                finally:
                    if not served and waits.slot is None:
                        self.add(when, waits)
            if not queue and len(self._queues) > 1:
                self._queues.remove(queue)
        while self._heap and self._heap[0][0] <= now:
            when, _, waits = self._heap[0]
            if waits is None:
                heapq.heappop(self._heap)
                self._void -= 1
                continue
            served = False
            try:
                self.cancel(waits)
                yield waits
                served = True
            finally:
                if not served and waits.slot is None:
                    self.add(when, waits)
        self.earliest = self.first()

    def __len__(self) -> int:
        return sum(map(len, self._queues)) + len(self._heap) - self._void


class _Queue(dict[Any, float]):
    """Who waits, with the instant: in the order of their instants."""

    __slots__ = ("last",)

    def __init__(self) -> None:
        self.last = -inf

    def until(self, now: float) -> list[tuple[Any, float]]:
        """Return who waits for ``now`` or earlier, with the instants."""
        due = []
        for entry in self.items():
            if entry[1] > now:
                break
            due.append(entry)
        return due
