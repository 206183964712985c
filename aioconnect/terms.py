"""The terms in which a failure is told: how far it came, why, what would help, and when.

They stand below errors and events, so that an error can have events in its log and an event an
error.
"""

from __future__ import annotations

import enum
from typing import Any, Literal, TypeAlias

Stage: TypeAlias = Literal[
    "resolve",
    "policy",
    "socket",
    "bind",
    "connect",
    "verify",
    "proxy",
    "handshake",
    "tls",
    "wait",
    "breaker",
]
"""Where an attempt stood: name look-up, address policy, ``socket()``, ``bind()``, ``connect()``,
the check of the finished connection, a proxy's handshake, the caller's own (``handshake=``), the
TLS handshake, the wait between rounds, a breaker."""


SaidBy: TypeAlias = Literal["kernel", "option", "hook"]
"""Who said what went wrong, which decides what its number means: the kernel about the address, or
at the stage ``"bind"`` about the local address; the kernel about a socket option; a function of
the caller's (``socket_factory``, ``address_policy``, a resolver, a retry policy)."""


class Help(enum.Flag):
    """What can help after a failure; what the race and the retry policies go by.

    Not "is it temporary?", which nobody can answer for EHOSTUNREACH, but "what would help?".
    """

    NOTHING = 0
    """Nothing without a change by a person: stop."""
    SAME = 1
    """The same address, later."""
    OTHER = 2
    """Another address, now."""
    LOCAL = 4
    """Something of this host must become free (descriptors, ports, buffers): do not blame the
    peer."""
    RESOLVE = 8
    """Asking for the name again, later."""


class Cause:
    """A row of the table: what one cause is called, raises, and what can be done about it.

    Args:
        code: the cause as one lower-snake-case word.
        type: the class that it raises.
        help: what can help.
        phrase: what happened, which a list of addresses follows: ``"refused by"``.  In braces:
            ``{at}`` for the addresses where they do not stand last, ``{words}`` for the error's
            own words where they do not follow a colon at the end, ``{about}`` for the option or
            the local address that it is about, ``{seconds}`` for how long it took and ``{after}``
            for ``retry_after``.
        hint: a question or an advice.
        rank: place in the order of dominance: the lowest decides what a failed call raises.
        alone: the phrase where no address follows; default: without the preposition at its end.
        speaks: whether the error's own words say more than the phrase.
    """

    __slots__ = ("alone", "code", "help", "hint", "phrase", "rank", "speaks", "type")

    def __init__(
        self,
        code: str,
        type: type[Any],
        help: Help,
        phrase: str,
        hint: str,
        rank: int = 8,
        *,
        alone: str = "",
        speaks: bool = False,
    ) -> None:
        self.code = code
        self.type = type
        self.help = help
        self.phrase = phrase
        self.hint = hint
        self.rank = rank
        self.alone = alone
        self.speaks = speaks

    def but(self, **changes: Any) -> Cause:
        """Return a row like this one with some columns changed."""
        row = Cause(self.code, self.type, self.help, self.phrase, self.hint, self.rank)
        row.alone, row.speaks = self.alone, self.speaks
        for name, value in changes.items():
            setattr(row, name, value)
        return row

    def __reduce__(self) -> tuple[Any, ...]:
        return _row, ({name: getattr(self, name) for name in self.__slots__},)


def _row(columns: dict[str, Any]) -> Cause:
    return Cause(**columns)


_MOST_ITEMS = 8
_MOST_CHARACTERS = 300


def _brief(value: object) -> str:
    """Write a value for a log line: a name server's answer may have thousands of addresses."""
    if isinstance(value, tuple) and len(value) > _MOST_ITEMS:
        shown = ", ".join(map(_brief, value[:_MOST_ITEMS]))
        return f"({shown}, and {len(value) - _MOST_ITEMS} more)"
    if isinstance(value, str | bytes) and len(value) > _MOST_CHARACTERS:
        return f"{value[:_MOST_CHARACTERS]!r}..."
    return repr(value)


class Event:
    """Something that happened: ``at`` is its instant on ``time.monotonic()``."""

    __slots__ = ("at", "target")

    def __init__(self, at: float, target: str) -> None:
        self.at = at
        self.target = target

    @classmethod
    def _fields(cls) -> list[str]:
        """Name the fields of this class, those of its bases first."""
        return [name for base in reversed(cls.__mro__) for name in getattr(base, "__slots__", ())]

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}={_brief(getattr(self, name))}" for name in self._fields())
        return f"{type(self).__name__}({fields})"

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in self._fields())

    __hash__ = None  # type: ignore[assignment]  # the error inside has no value to hash by

    def __getstate__(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self._fields()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            setattr(self, name, value)
