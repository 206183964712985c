"""The results that nobody has taken yet, in the order in which they are handed out."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from .result import peer_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .result import ConnectResult

__all__ = ["AsTheyCome", "InOrder"]


class AsTheyCome:
    """Results in the order in which they come."""

    __slots__ = ("done", "held", "turn")

    def __init__(self) -> None:
        self.done: deque[ConnectResult] = deque()
        """Those that can be handed out."""
        self.held = 0
        """How many wait for their turn."""
        self.turn = -1
        """The index whose turn it is; -1: there are no turns."""

    def add(self, result: ConnectResult) -> None:
        """Take a result."""
        self.done.append(result)

    def lose(self, index: int) -> None:
        """Do without a result."""

    def results(self) -> Iterator[ConnectResult]:
        """Walk over all results that nobody has taken yet."""
        return iter(self.done)

    def window(self, read: int, limit: int) -> int:
        """Return how many more may be read, of ``limit`` that may be ahead of the turn."""
        return limit

    def evict_last(self, wanted: list[object]) -> ConnectResult | None:
        """Take back a connected result that waits for its turn; None if there is none."""
        return None

    def close(self) -> None:
        """Keep no result alive."""
        self.done.clear()


class InOrder(AsTheyCome):
    """Results in the order of the input."""

    __slots__ = ("_held",)

    def __init__(self) -> None:
        super().__init__()
        self._held: dict[int, ConnectResult | None] = {}
        self.turn = 0

    def add(self, result: ConnectResult) -> None:
        """Hold a result until its turn."""
        self._held[result.index] = result
        self._release()

    def lose(self, index: int) -> None:
        """Go on without a result."""
        self._held[index] = None
        self._release()

    def results(self) -> Iterator[ConnectResult]:
        """Walk over all results that nobody has taken yet."""
        yield from self.done
        for result in self._held.values():
            if result is not None:
                yield result

    def window(self, read: int, limit: int) -> int:
        """Return how many more may be read ahead of the turn."""
        return limit + self.turn - len(self.done) - read

    def evict_last(self, wanted: list[object]) -> ConnectResult | None:
        """Take back the last connected result that is held; of those to a wanted address first."""
        waiting = [
            result
            for _, result in sorted(self._held.items(), reverse=True)
            if result is not None and result.socket is not None
        ]
        if not waiting:
            return None
        result = next((each for each in waiting if peer_of(each) in wanted), waiting[0])
        del self._held[result.index]
        self.held = len(self._held)
        return result

    def close(self) -> None:
        """Keep no result alive."""
        super().close()
        self._held.clear()
        self.held = 0

    def _release(self) -> None:
        """Hand out the results whose turn it is."""
        while self.turn in self._held:
            result = self._held.pop(self.turn)
            self.turn += 1
            if result is not None:
                self.done.append(result)
        self.held = len(self._held)
