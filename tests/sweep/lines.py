"""Raise something at a line of the package, just before it runs."""

from __future__ import annotations

import linecache
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import aioconnect

if TYPE_CHECKING:
    from types import FrameType

PACKAGE = str(Path(aioconnect.__file__).parent)


class Place(NamedTuple):
    """A line of the package, and which of the times that it runs."""

    file: str
    line: int
    function: str
    time: int

    def __str__(self) -> str:
        name = Path(self.file).relative_to(PACKAGE)
        return f"{name}:{self.line} ({self.function}), time {self.time}"


class Lines:
    """Count the lines that run in this thread; at a place, raise.

    Args:
        place: where; None raises nothing.
        raised: what; it is raised once.
    """

    def __init__(
        self, place: Place | None = None, raised: type[BaseException] = MemoryError
    ) -> None:
        self.counts: Counter[tuple[str, int, str]] = Counter()
        self.happened = False
        self._place = place
        self._where = None if place is None else place[:3]
        self._raised = raised

    def __enter__(self) -> Self:
        self._before = sys.gettrace()
        sys.settrace(self._called)
        return self

    def __exit__(self, *exc_info: object) -> None:
        sys.settrace(self._before)

    def _called(self, frame: FrameType, event: str, arg: Any) -> Any:
        code = frame.f_code
        if code.co_filename.startswith(PACKAGE) and code.co_name != "<module>":
            return self._ran
        return None

    def _ran(self, frame: FrameType, event: str, arg: Any) -> Any:
        if event == "line":
            code = frame.f_code
            where = code.co_filename, frame.f_lineno, code.co_name
            self.counts[where] += 1
            if (
                self._place is not None
                and where == self._where
                and self.counts[where] == self._place.time
                and not self.happened
            ):
                self.happened = True
                raise self._raised(f"at {self._place}")
        return self._ran

    def places(self) -> list[Place]:
        """Return the lines that ran, the first and the last time of each.

        Without those that say ``try:``: nothing is raised there but by who traces, and CPython's
        table of handlers has a hole at each that stands in another.
        """
        return [
            Place(*where, time)
            for where, count in self.counts.items()
            if linecache.getline(*where[:2]).strip() != "try:"
            for time in dict.fromkeys((1, count))
        ]
