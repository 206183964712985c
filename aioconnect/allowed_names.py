"""Which names a program may dial, decided before any of them is looked up.

An address policy judges addresses, so it is asked after the look-up, when the name server has
heard of the name already.  A list of allowed names is asked before.  It is a list of what is
allowed, never of what is not: a name that nobody thought of is denied.

A name is compared as it goes to the resolver: in ASCII, without regard to case or a final dot.
The search list of resolv.conf comes later, so ``"www"`` does not match ``"*.example.com"``.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

from .address_policy import denied
from .targets import parse

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .errors import ConnectError
    from .targets import Target

__all__ = ["AllowedNames"]

_AF_UNIX = int(socket.AF_UNIX)
_NOT_ALLOWED = "not among the allowed names"


class AllowedNames:
    """A compiled, immutable list of patterns; equal and hashable by value.

    Args:
        patterns: each is a name (``"api.example.com"``), all names below one
            (``"*.example.com"``, at any depth, without ``example.com`` itself), any name
            (``"*"``), a numeric address, or ``"unix:/path"``.  A target that is an address or a
            path is allowed only by its own text.

    Raises:
        ValueError: a pattern is empty or is none of these, or there are none.
        TypeError: a pattern is not a str, or the patterns are no list.
    """

    __slots__ = ("_any", "_below", "_exact", "patterns")

    patterns: tuple[str, ...]
    _any: bool
    _below: frozenset[str]
    _exact: frozenset[object]

    def __init__(self, patterns: Iterable[str]) -> None:
        if isinstance(patterns, str | bytes) or not hasattr(patterns, "__iter__"):
            raise TypeError(f"allowed_names is a list of patterns, not {type(patterns).__name__}")
        given = tuple(patterns)
        exact: set[object] = set()
        below: set[str] = set()
        for pattern in given:
            if not isinstance(pattern, str):
                raise TypeError(f"allowed_names: a pattern is a str, not {type(pattern).__name__}")
            if pattern.startswith("*."):
                target = _read(pattern, pattern[2:])
                if target.name is None:
                    raise ValueError(f"allowed_names: {pattern!r}: an address has nothing below it")
                below.add(_plain(target.name))
            elif pattern != "*":
                exact.add(_key(_read(pattern, pattern)))
        if not given:
            raise ValueError("allowed_names is empty: that would allow nothing")
        fill = object.__setattr__
        fill(self, "patterns", given)
        fill(self, "_any", "*" in given)
        fill(self, "_below", frozenset(below))
        fill(self, "_exact", frozenset(exact))

    def denial(self, target: Target) -> ConnectError | None:
        """Return None if a target is allowed, else the error; of a proxy's it is the target."""
        rule = self.refusal(target.meant)
        return None if rule is None else denied(rule, target=target.text)

    def refusal(self, target: Target) -> str | None:
        """Return None if a target is allowed, else why it is not."""
        if _key(target) in self._exact:
            return None
        if target.name is None:
            return _NOT_ALLOWED
        if self._any:
            return None
        _, dot, rest = _plain(target.name).partition(".")
        while dot:
            if rest in self._below:
                return None
            _, dot, rest = rest.partition(".")
        return _NOT_ALLOWED

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError("AllowedNames is immutable")

    def __delattr__(self, name: str) -> None:
        raise AttributeError("AllowedNames is immutable")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, AllowedNames) and set(self.patterns) == set(other.patterns)

    def __hash__(self) -> int:
        return hash(frozenset(self.patterns))

    def __reduce__(self) -> tuple[Any, ...]:
        return AllowedNames, (self.patterns,)

    def __repr__(self) -> str:
        return f"AllowedNames({list(self.patterns)!r})"


def _read(pattern: str, text: str) -> Target:
    if pattern.startswith("unix:"):
        return parse(text)
    try:
        return parse(text, 1)
    except ValueError as exc:
        raise ValueError(f"allowed_names: {exc}") from None


def _plain(name: str) -> str:
    return name.removesuffix(".").lower()


def _key(target: Target) -> object:
    """Return what two targets have in common that mean the same, whatever their ports."""
    if target.name is not None:
        return _plain(target.name)
    if target.family == _AF_UNIX:
        return target.family, target.address
    host, _, *rest = target.address
    return target.family, socket.inet_pton(target.family, host), *rest[1:]
