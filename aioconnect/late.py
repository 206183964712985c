"""Look-ups that outlive the round that asked: what they answer joins the next round.

A round that another may follow does not wait ten seconds for the family that never answers, when
all addresses that it knows have failed.  The look-up goes on meanwhile: a service that is only
there on the family that answers slowly is reached all the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from .driver import Driven
    from .errors import ConnectError
    from .resolve.base import Answer

__all__ = ["Late"]


class _Name(Protocol):
    """What is known of one name in a round; see ``lookups.py``."""

    awaited: list[int]
    ticket: Any

    @property
    def host(self) -> str: ...


class Late:
    """The look-ups that earlier rounds have begun, and their answers since.

    Args:
        follows: tells from the instant and the error whether another dial follows one that has
            failed; for one who dials again with a call of its own.

    Attributes:
        driven: the call that is told of answers; without one they are kept.
    """

    __slots__ = ("_answers", "driven", "follows")

    def __init__(self, follows: Callable[[float, ConnectError], bool] | None = None) -> None:
        self.follows = follows
        self.driven: Driven | None = None
        self._answers: dict[_Name, list[Answer]] = {}

    def put(self, item: tuple[Any, Any]) -> None:
        """Pass on what a look-up says; see :meth:`~aioconnect.driver.Driven.put`."""
        if self.driven is not None:
            self.driven.put(item)
        else:
            self.take(*item)

    def wake(self) -> None:
        """Wake whoever waits for the call."""
        if self.driven is not None:
            self.driven.wake()

    def keep(self, names: Iterable[_Name]) -> None:
        """Take over the look-ups of a round; of each host only the oldest goes on."""
        for name in names:
            if name.ticket is None:
                continue
            if not name.awaited or any(name.host == other.host for other in self._answers):
                name.ticket.cancel()
            else:
                self._answers[name] = []

    def take(self, name: Any, answer: Answer | BaseException | None) -> None:
        """Take in what a look-up of an earlier round says between two rounds."""
        answers = self._answers.get(name)
        if answers is None:
            return
        if answer is not None and not isinstance(answer, BaseException):
            answers.append(answer)
            return
        name.ticket = None  # the next round asks by itself, and learns what is wrong
        if not answers:
            del self._answers[name]

    def answers(self, host: str) -> list[Answer]:
        """Return what was answered for a host since the last round, and forget it."""
        found: list[Answer] = []
        for name, answers in [*self._answers.items()]:
            if name.host == host:
                found += answers
                answers.clear()
                if name.ticket is None:
                    del self._answers[name]
        return found

    def leave(self) -> Sequence[Any]:
        """Forget all look-ups; return the tickets of those that have not ended."""
        names, self._answers = self._answers, {}
        return [name.ticket for name in names if name.ticket is not None]
