"""What happened during a call, and when: the values that ``on_event`` observes.

The attempt log of a :class:`~aioconnect.ConnectError` is made of the same values: each failed
attempt is an :class:`AttemptFailed`.  All instants are seconds on ``time.monotonic()``.

They are plain slotted classes, not dataclasses: they are made on the hot path when somebody
observes, and a frozen dataclass costs several times as much to build.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .errors import AttemptFailed
from .terms import Event, Stage

if TYPE_CHECKING:
    from .errors import ConnectError

__all__ = [
    "AttemptCancelled",
    "AttemptFailed",
    "AttemptStarted",
    "Connected",
    "Event",
    "GaveUp",
    "HandshakeFailed",
    "HandshakeStarted",
    "LookupFailed",
    "LookupStarted",
    "LookupSucceeded",
    "RetryScheduled",
    "SlowedDown",
    "Stage",
]


class _OfName(Event):
    """What every event of a look-up says."""

    __slots__ = ("family", "name")

    def __init__(self, at: float, target: str, name: str, family: int) -> None:
        super().__init__(at, target)
        self.name = name
        self.family = family


class LookupStarted(_OfName):
    """A resolver was asked for the addresses of one family of ``name``."""

    __slots__ = ()


class LookupSucceeded(_OfName):
    """Addresses came: ``addresses`` (text), from ``source``, after ``duration`` seconds."""

    __slots__ = ("addresses", "duration", "source")

    def __init__(
        self,
        at: float,
        target: str,
        name: str,
        family: int,
        *,
        addresses: tuple[str, ...],
        source: str,
        duration: float,
    ) -> None:
        super().__init__(at, target, name, family)
        self.addresses = addresses
        self.source = source
        self.duration = duration


class LookupFailed(_OfName):
    """No address of this family: ``error`` says why."""

    __slots__ = ("error",)

    def __init__(
        self, at: float, target: str, name: str, family: int, *, error: ConnectError
    ) -> None:
        super().__init__(at, target, name, family)
        self.error = error


class _OfAttempt(Event):
    """What every event of an attempt says.

    ``number`` counts the attempts of the call from 1, ``round`` the passes over all addresses
    from 1; ``family`` is the address family.
    """

    __slots__ = ("address", "family", "number", "round")

    def __init__(
        self, at: float, target: str, number: int, round: int, address: Any, family: int
    ) -> None:
        super().__init__(at, target)
        self.number = number
        self.round = round
        self.address = address
        self.family = family


class AttemptStarted(_OfAttempt):
    """A fresh socket is about to be connected to ``address``.

    ``number`` counts the attempts of the call from 1, ``round`` the passes over all addresses
    from 1; ``family`` is the address family.
    """

    __slots__ = ()


class AttemptCancelled(_OfAttempt):
    """An attempt was closed because another one won, or because the call was left."""

    __slots__ = ()


class _OfHandshake(_OfAttempt):
    """What every event of a handshake says."""

    __slots__ = ("stage",)

    def __init__(
        self,
        at: float,
        target: str,
        number: int,
        round: int,
        address: Any,
        family: int,
        *,
        stage: Stage,
    ) -> None:
        super().__init__(at, target, number, round, address, family)
        self.stage = stage


class HandshakeStarted(_OfHandshake):
    """A connected attempt goes on with ``stage``: ``"proxy"``, ``"handshake"`` or ``"tls"``."""

    __slots__ = ()


class HandshakeFailed(_OfHandshake):
    """It failed, by ``error``, or its time was up; :class:`AttemptFailed` follows."""

    __slots__ = ("error",)

    def __init__(
        self,
        at: float,
        target: str,
        number: int,
        round: int,
        address: Any,
        family: int,
        *,
        stage: Stage,
        error: ConnectError,
    ) -> None:
        super().__init__(at, target, number, round, address, family, stage=stage)
        self.error = error


class Connected(_OfAttempt):
    """This attempt won; the others are cancelled right after.

    ``local`` is the socket's own address, ``elapsed`` the seconds of the call, ``stages`` those of
    each stage of the attempt: ``{"connect": 0.021, "tls": 0.043}``.
    """

    __slots__ = ("elapsed", "local", "stages")

    def __init__(
        self,
        at: float,
        target: str,
        number: int,
        round: int,
        address: Any,
        family: int,
        *,
        local: Any,
        elapsed: float,
        stages: dict[Stage, float],
    ) -> None:
        super().__init__(at, target, number, round, address, family)
        self.local = local
        self.elapsed = elapsed
        self.stages = stages


class RetryScheduled(Event):
    """A round failed and another follows ``delay`` seconds after ``at``, because of ``error``."""

    __slots__ = ("delay", "error", "round")

    def __init__(
        self, at: float, target: str, round: int, delay: float, error: ConnectError
    ) -> None:
        super().__init__(at, target)
        self.round = round
        self.delay = delay
        self.error = error


class GaveUp(Event):
    """The call ends without a connection: ``error`` is what it raises, ``reason`` why it stops."""

    __slots__ = ("error", "reason")

    def __init__(self, at: float, target: str, reason: str, error: ConnectError) -> None:
        super().__init__(at, target)
        self.reason = reason
        self.error = error


class SlowedDown(Event):
    """``connect_many`` met a local limit (descriptors, ports, buffers) and dials less for now.

    ``error`` says which, ``limit`` is how many it lets be in flight from here on.
    """

    __slots__ = ("error", "limit")

    def __init__(self, at: float, target: str, limit: int, error: ConnectError) -> None:
        super().__init__(at, target)
        self.limit = limit
        self.error = error
