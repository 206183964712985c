"""One target of a run: its call, and what it waits for."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from .. import causes
from ..call import Call
from ..errors import Help, NameNotResolved, NoBuffers, PortsExhausted, TooManyOpenFiles

if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Sequence

    from ..driver import Driver
    from ..errors import AttemptFailed, ConnectError
    from ..options import Options
    from ..poller import Alarm
    from ..targets import Target
    from .result import ConnectResult

__all__ = ["EVERYWHERE", "Entry", "host_of"]

EVERYWHERE = (TooManyOpenFiles, NoBuffers, NameNotResolved)
"""What this host lacks for a moment, for everything that is dialled; else for one destination."""


_SHORT_OF = (TooManyOpenFiles, NoBuffers, PortsExhausted)


class Entry(Call):
    """One target, from when it was read until there is its result.

    Args:
        driver: the loop's poller.
        targets: what was read.
        options: those of the run.
        outcome: the result to fill.
        ready: where the entry puts itself when something happened.
        alarm: wakes the run.

    Attributes:
        lack: what this host lacked in the last round.
        queued: it is in ``ready``.
    """

    __slots__ = ("_alarm", "_ready", "hosts", "lack", "outcome", "queued", "waited")

    def __init__(
        self,
        driver: Driver,
        targets: Sequence[Target],
        options: Options,
        outcome: ConnectResult,
        ready: deque[Entry],
        alarm: Alarm,
    ) -> None:
        Call.__init__(self, driver, targets, options)  # super() costs more
        self.slot = None
        self.outcome = outcome
        self._ready = ready
        self._alarm = alarm
        self.hosts: tuple[str, ...] = ()
        self.lack: ConnectError | None = None
        self.queued = False
        self.waited = False

    def wake(self) -> None:
        """Queue for a step."""
        # In this order: what is raised between two lines must not lose the step.
        if not self.queued:
            self._ready.append(self)
            self.queued = True
        self._alarm.wake()

    def round_failed(self, failures: Sequence[AttemptFailed]) -> bool:
        """Let a round not count that failed only because this host lacked something."""
        lacking = [failed for failed in failures if _is_lack(failed.error)]
        if not lacking:
            return False
        elapsed = self._driver.clock() - self.started
        self.lack = causes.combine(lacking, target=self.text, elapsed=elapsed)
        return True

    @property
    def index(self) -> int:
        """Its place in the input."""
        return self.outcome.index

    @property
    def host(self) -> str:
        """The host for which a port may be lacking."""
        return host_of(self._targets[0].dialled)


def _is_lack(error: ConnectError) -> bool:
    """Whether this host lacked something that others give back: not a local address in use."""
    if isinstance(error, NameNotResolved):  # most are about the name, one kind about threads
        return bool(error.cause().help & Help.LOCAL)
    return isinstance(error, _SHORT_OF)


def host_of(target: Target) -> str:
    """Name the host of a target, in one spelling."""
    if target.name is not None:
        return target.name.lower().rstrip(".")
    if target.family == socket.AF_INET6:
        bare, _, _, scope = target.address
        return f"{socket.inet_ntop(target.family, socket.inet_pton(target.family, bare))}%{scope}"
    return target.host
