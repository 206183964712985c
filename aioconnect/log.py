"""What has failed in a call, and who observes what happens in it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from . import attempt as io
from . import events
from .errors import KEPT_ATTEMPTS, AttemptFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .errors import ConnectError
    from .race import Attempt
    from .targets import Target

__all__ = ["Log", "emit", "logger"]

logger = logging.getLogger("aioconnect")
logger.addHandler(logging.NullHandler())  # a program that set up no logging sees nothing


class Log:
    """The failed attempts of a call, with its events.

    Args:
        targets: of the first round, in its order.
        hook: ``on_event``, or None.
        debug: events are logged as debug messages.
    """

    __slots__ = ("_debug", "_entries", "_hook", "_unwritten", "observed", "round", "targets")

    def __init__(
        self,
        targets: Sequence[Target],
        hook: Callable[[events.Event], object] | None,
        debug: bool,
    ) -> None:
        self.targets = targets
        self.round = 1
        self._hook = hook
        self._debug = debug
        self.observed = debug or hook is not None
        self._entries: tuple[AttemptFailed, ...] = ()
        self._unwritten: Any = ()  # of this round; a list from the first one

    @property
    def attempts(self) -> tuple[AttemptFailed, ...]:
        """Return every attempt that has failed, in the order of the failures.

        An entry is written when it is asked for: most calls in which an attempt fails connect in
        the end, and then nobody asks.
        """
        if self._unwritten:
            unwritten, self._unwritten = self._unwritten, ()
            entries = [
                each if type(each) is AttemptFailed else self._written(each) for each in unwritten
            ]
            self._entries = (*self._entries, *entries)
        return self._entries

    def failed(self, attempt: Attempt) -> None:
        """Record a failed attempt of this round."""
        if self._unwritten:
            self._unwritten.append(attempt)
        else:
            self._unwritten = [attempt]
        if self.observed:
            self.emit(self.last())

    def last(self) -> AttemptFailed:
        """Return the entry of the attempt that has just failed."""
        last: Any = self._unwritten[-1]
        if type(last) is not AttemptFailed:
            last = self._unwritten[-1] = self._written(last)
        return last  # type: ignore[no-any-return]

    def add(self, entry: AttemptFailed) -> None:
        """Record a failure that is no attempt: a policy's own, say."""
        self._entries = (*self.attempts, entry)

    def of_round(self) -> list[AttemptFailed]:
        """Return what has failed in this round."""
        return [failed for failed in self.attempts if failed.round == self.round]

    def rewrite(self, failures: Sequence[AttemptFailed]) -> None:
        """Put ``failures`` in the place of this round's entries; the newest are kept."""
        kept = [failed for failed in self.attempts if failed.round != self.round]
        self._entries = tuple([*kept, *failures][-KEPT_ATTEMPTS:])

    def facts(self, now: float, attempt: Attempt) -> tuple[Any, ...]:
        """Return what every event of an attempt says."""
        family, _, _, _, address = attempt.endpoint
        return now, self.targets[attempt.target].text, attempt.number, self.round, address, family

    def started(self, attempt: Attempt) -> None:
        """Tell the observer that an attempt is about to begin."""
        self.emit(events.AttemptStarted(*self.facts(attempt.started, attempt)))

    def connected(
        self, won: Attempt, now: float, began: float, local: Any, ended: Sequence[tuple[Any, float]]
    ) -> None:
        """Tell the observer which attempt has won.

        Args:
            won: the attempt.
            now: the instant.
            began: the instant at which the call began.
            local: the socket's own address.
            ended: each stage, with the instant at which it was done.
        """
        stages, since = {}, won.started
        for stage, instant in ended:
            stages[stage] = instant - since
            since = instant
        facts = self.facts(now, won)
        self.emit(events.Connected(*facts, local=local, elapsed=now - began, stages=stages))

    def handshake(self, attempt: Attempt, now: float, error: ConnectError | None = None) -> None:
        """Tell the observer that the stage of an attempt has begun, or has failed."""
        facts, stage = self.facts(now, attempt), attempt.stages.name
        if error is None:
            self.emit(events.HandshakeStarted(*facts, stage=stage))
        else:
            self.emit(events.HandshakeFailed(*facts, stage=stage, error=error))

    def emit(self, event: events.Event) -> None:
        """Log an event, and tell the observer."""
        if self._debug:
            logger.debug("%r", event)
        if self._hook is not None:
            _tell(self._hook, event)

    def _written(self, attempt: Attempt) -> AttemptFailed:
        error = io.error_of(attempt)
        attempt.error = None
        # By position: this is on the path of every refused connect.
        family, _, _, _, address = attempt.endpoint
        return AttemptFailed(
            attempt.ended,
            self.targets[attempt.target].text,
            error,
            attempt.started,
            attempt.number,
            self.round,
            address,
            family,
            error.stage,
            attempt.tries,
        )


def emit(hook: Callable[[events.Event], object] | None, event: events.Event) -> None:
    """Log an event, and tell the observer, outside a call."""
    logger.debug("%r", event)
    if hook is not None:
        _tell(hook, event)


def _tell(hook: Callable[[events.Event], object], event: events.Event) -> None:
    """Tell the observer; an ``Exception`` in it is logged."""
    try:
        hook(event)
    except Exception:
        logger.exception("on_event failed for %r; the call goes on", event)
