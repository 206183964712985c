"""A failed attempt, and the error of an attempt or a call.

An error has the failed attempts in its log, and a failed attempt has its error: they define each
other, so they are in one file.  ``errors`` and ``events`` offer them.
"""

from __future__ import annotations

import os
from functools import cached_property
from typing import TYPE_CHECKING, Any

from .sentence import Fact, describe, sentence
from .terms import Cause, Event, Help, Stage
from .text import format_address, format_host, format_seconds

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self, TypedDict, Unpack

    from .terms import SaidBy

    class Where(TypedDict, total=False):
        """What is known of a failure beside its number."""

        stage: Stage
        target: str
        address: Any
        family: int
        elapsed: float
        said_by: SaidBy


KEPT_ATTEMPTS = 64
"""How many failed attempts an error keeps, the newest."""


class AttemptFailed(Event):
    """An attempt that failed, as an event and as one entry of ``ConnectError.attempts``.

    For a failed name look-up ``address`` is the name and ``stage`` is ``"resolve"``.

    Args:
        at: the instant of the failure (also ``ended``).
        target: what was dialled.
        error: the attempt's own :class:`ConnectError`.
        started: the instant at which the attempt began.
        number: which of the call's attempts it was, from 1; default 0: nothing was dialled.
        round: which pass over all addresses it was in, from 1; default 0.
        address, family, stage: where it went, and how far it came; default: what the error says.
        tries: the sockets it took: more than one when a Unix socket's backlog was full, or TCP
            connected to itself; default 1.
    """

    __slots__ = ("address", "error", "family", "number", "round", "stage", "started", "tries")

    def __init__(
        self,
        at: float,
        target: str,
        error: ConnectError,
        started: float,
        number: int = 0,
        round: int = 0,
        address: Any = None,
        family: int = 0,
        stage: Stage | None = None,
        tries: int = 1,
    ) -> None:
        if stage is None:
            address, family, stage = error.address, error.family, error.stage
        self.at = at
        self.target = target
        self.number = number
        self.round = round
        self.address = address
        self.family = family
        self.stage: Stage = stage
        self.started = started
        self.error = error
        self.tries = tries

    @property
    def ended(self) -> float:
        """Return the instant of the failure."""
        return self.at

    @property
    def errno(self) -> int | None:
        """Return the error number, None for our own time limits."""
        return self.error.errno


class ConnectError(OSError):
    """A connection could not be established.

    Every error that leaves the library is one, and also the built-in that its cause has
    (PEP 3151): ``except ConnectionRefusedError`` and ``except TimeoutError`` work.

    Attributes:
        code: the cause as one lower-snake-case word, e.g. ``"connection_refused"``.
        errno: the kernel's number; the ``EAI_*`` number for a name; None for our own time limit.
        target: what was dialled, as text that is safe to print.
        address: the address the deciding attempt went to; None if it did not get that far.
        family: that address's family (``socket.AF_*``), 0 if there is none.
        stage: how far it came: ``"resolve"``, ``"socket"``, ``"bind"``, ``"connect"``, ...
        help: what can help (:class:`Help`).
        hint: a question or an advice for the person who reads this at night.
        strerror: the cause with its address, ``"refused by 10.0.0.1:5432"``; ``args`` are
            ``(errno, strerror)``.
        words: what the kernel, a resolver, the peer or a caller's function said itself.
        attempts: each :class:`AttemptFailed`, in the order of their starts;
            empty on the error of a single attempt.  At most 64 are kept, the newest.
        count: how many addresses were dialled, also in attempts no longer kept.
        elapsed: seconds from the start of the call (of the attempt) to the failure.
        stopped: why no further round was begun (``"attempts"``, ``"deadline"``, ...), or None.
        retry_after: seconds after which a breaker lets the next attempt through, or None.
        status: what a proxy answered (the status of HTTP, the reply of SOCKS), or None.

    If several attempts failed, class and errno are those of the dominant cause (all alike: that
    one; else refused, reset, timed out, permission, host, network, family or address, anything
    else), and ``__cause__`` is an ``ExceptionGroup`` of all of them.
    """

    address: Any = None
    family: int = 0
    stage: Stage = "connect"
    attempts: tuple[AttemptFailed, ...] = ()
    count: int = 0
    elapsed: float = 0.0
    stopped: str | None = None
    retry_after: float | None = None
    status: int | None = None

    # An error is built on the path of every refused connect, and most are never looked at: what
    # follows from the others is found out when it is asked for.  ``OSError`` keeps the number and
    # the words of whoever said it; ``args`` and ``strerror`` stand before its own.

    _cause: Cause | None = None
    _about: str = ""
    _words: str | None = None
    _speaks: bool = False

    @cached_property
    def code(self) -> str:
        """The cause as one word."""
        return self.cause().code

    @cached_property
    def hint(self) -> str:
        """A question or an advice."""
        return self.cause().hint

    @cached_property
    def help(self) -> Help:
        """What can help."""
        return self.cause().help

    @cached_property
    def target(self) -> str:
        """What was dialled."""
        return (format_host if self.stage == "resolve" else format_address)(self.address)

    if not TYPE_CHECKING:  # to which they are the plain attributes of the built-in bases

        @property
        def strerror(self) -> str:
            """The cause with its address, for programs that print this alone."""
            given: str | None = self.__dict__.get("_strerror")
            return describe(self._facts(), format_address) if given is None else given

        @strerror.setter
        def strerror(self, given: str) -> None:
            self._strerror = given

        @property
        def args(self) -> tuple[Any, ...]:
            """``errno`` and ``strerror``, always both."""
            given: tuple[Any, ...] | None = self.__dict__.get("_args")
            return (self.errno, self.strerror) if given is None else given

        @args.setter
        def args(self, given: tuple[Any, ...]) -> None:
            self._args = given

    @property
    def words(self) -> str:
        """What the kernel, a resolver, the peer or a caller's function said itself."""
        if self._words is not None:
            return self._words
        raw = raw_args(self)
        words = str(raw[1] if len(raw) > 1 else raw[0] if raw else "")
        return words if words or self.errno is None else os.strerror(self.errno)

    def cause(self) -> Cause:
        """Return the row of the table that this error has."""
        if self._cause is None:  # somebody else made it
            self._cause = _row_of(type(self), self.errno)
        return self._cause

    def __str__(self) -> str:
        """Say in one line: target, cause, addresses, count, time, hint."""
        return sentence(
            self.target,
            self._facts(),
            count=self.count,
            elapsed=self.elapsed,
            stopped=self.stopped,
            hint=self.hint,
        )

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(repr, self.args))})"

    def _facts(self) -> list[Fact]:
        """Return what happened at each address, the dominant cause first."""
        entries = [(a.error, a.address) for a in self.attempts] or [(self, self.address)]
        entries.sort(key=lambda entry: rank(entry[0]))
        return [error._fact(address) for error, address in entries]

    def _fact(self, address: Any) -> Fact:
        cause = self.cause()
        if self.stage == "resolve" and isinstance(address, str):
            address = (address,)  # a name, not the path of a socket
        return self._filled(cause.phrase), self._filled(cause.alone), self._own_words(), address

    def _filled(self, phrase: str) -> str:
        if "{" in phrase:
            phrase = phrase.replace(" {about}", f" {self._about}" if self._about else "")
            phrase = phrase.replace("{seconds}", format_seconds(self.elapsed))
            phrase = phrase.replace("{after}", format_seconds(self.retry_after or 0.0))
        return phrase

    def _own_words(self) -> str:
        """Return the words where they say more than the phrase: a peer's, or a caller's."""
        words = self.words
        if self.cause().speaks:
            return words or type(self).__name__
        ours = "stage" in self.__dict__ and not self._speaks
        return "" if ours or (self.errno and words == os.strerror(self.errno)) else words

    def __copy__(self) -> Self:
        again = type(self)(*raw_args(self))
        again.__dict__.update(self.__dict__)
        if self.__cause__ is not None:
            again.__cause__ = self.__cause__
        return again

    def __reduce__(self) -> tuple[Any, ...]:
        """Keep everything through pickle and copy; the cause is rebuilt from the attempts."""
        cause = None if self.attempts[1:] else self.__cause__
        return _rebuild, (type(self), raw_args(self), dict(self.__dict__), _picklable(cause))

    def group(self) -> ExceptionGroup[ConnectError] | None:
        """Return the errors of all kept attempts as a group, or None if there are none."""
        errors = [attempt.error for attempt in self.attempts]
        return ExceptionGroup(f"cannot connect to {self.target}", errors) if errors else None


raw_args: Callable[[BaseException], tuple[Any, ...]] = vars(BaseException)["args"].__get__
"""What an exception was made with; the ``args`` of ours are made when they are asked for."""


def rank(error: ConnectError) -> int:
    """Return the error's place in the order of dominance."""
    return error.cause().rank


def _picklable(cause: BaseException | None) -> BaseException | None:
    """Return what a caller's function raised, unless a pickle of the error would fail of it."""
    if cause is not None:
        import pickle

        try:
            pickle.loads(pickle.dumps(cause))  # noqa: S301  # our own, made just now
        except Exception:
            return None
    return cause


def _rebuild(
    cls: type[ConnectError],
    raw: tuple[Any, ...],
    state: dict[str, Any],
    cause: BaseException | None,
) -> ConnectError:
    error = cls(*raw)
    error.__dict__.update(state)
    if len(error.attempts) > 1:
        cause = error.group()
    if cause is not None:
        error.__cause__ = cause
    return error


# What ``causes`` knows.  It leans on this file, so it comes here when it is loaded, which is when
# the package is, and not the other way round.

_row_of: Callable[[type[ConnectError], int | None], Cause]
_from_errno: Callable[..., ConnectError]
_from_exception: Callable[..., ConnectError]


def know(
    row_of: Callable[[type[ConnectError], int | None], Cause],
    from_errno: Callable[..., ConnectError],
    from_exception: Callable[..., ConnectError],
) -> None:
    """Take the functions that find a row and build an error."""
    global _row_of, _from_errno, _from_exception
    _row_of, _from_errno, _from_exception = row_of, from_errno, from_exception


def from_errno(number: int, **where: Unpack[Where]) -> ConnectError:
    """Build the error that an attempt has for a number of the kernel's.

    Args:
        number: the errno.
        where: ``stage`` (default ``"connect"``), ``address`` and ``family``, which decide with
            the number what it means; ``target``, ``elapsed`` (seconds), ``said_by``.
    """
    return _from_errno(number, **{"stage": "connect", **where})


def from_exception(exc: OSError, **where: Unpack[Where]) -> ConnectError:
    """Build the error that an attempt has for an ``OSError``: by its type, then by its number.

    Args:
        exc: what was raised; of a :class:`ConnectError` it is a copy.
        where: as in :func:`from_errno`.
    """
    return _from_exception(exc, **{"stage": "connect", **where})
