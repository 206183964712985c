"""Names from a mapping: for tests, and for ``--resolve host:port:addr``."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

from .base import EAI_NODATA, Answer, absent, aclose, forget, not_resolved, peek

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from .base import Resolver
    from .threads import Done

__all__ = ["StaticResolver"]


class StaticResolver:
    """Answers from a mapping, without I/O.

    Args:
        names: for each name its address, or its addresses in the order to be answered: numeric
            text of either family, IPv6 link-local with ``%scope``.  Case and a final dot in a
            name do not matter.
        fallback: who is asked for all other names; None: they do not exist.

    Raises:
        ValueError: an address is none.
    """

    def __init__(
        self, names: Mapping[str, str | Iterable[str]], fallback: Resolver | None = None
    ) -> None:
        self._answers: dict[str, dict[int, Answer]] = {}
        for name, addresses in names.items():
            listed = (addresses,) if isinstance(addresses, str) else tuple(addresses)
            by_family: dict[int, list[str]] = {}
            for text in listed:
                by_family.setdefault(_family(text), []).append(text)
            self._answers[_key(name)] = {
                family: Answer(tuple(texts), source="static") for family, texts in by_family.items()
            }
        self._fallback = fallback

    async def lookup(self, name: str, family: int, /) -> Answer:
        """Look up one name for one family; see :meth:`.base.Resolver.lookup`."""
        if self._fallback is not None and _key(name) not in self._answers:
            return await self._fallback.lookup(name, family)
        return self._answer(name, family)

    def submit(self, name: str, family: int, done: Done) -> Any:
        """Look up without a loop; see :func:`.threads.submit`."""
        from . import threads

        if self._fallback is not None and _key(name) not in self._answers:
            return threads.submit(self._fallback, name, family, done)
        outcome: Answer | BaseException
        try:
            outcome = self._answer(name, family)
        except OSError as exc:
            outcome = exc
        done(outcome)
        return threads.NO_TICKET

    def peek(self, name: str, family: int) -> Answer | None:
        """Return the answer if the mapping has one."""
        answers = self._answers.get(_key(name))
        if answers is not None:
            return answers.get(family)
        return peek(self._fallback, name, family)

    def absent(self, name: str, family: int) -> bool:
        """Tell whether the mapping has the name, but no such address."""
        answers = self._answers.get(_key(name))
        if answers is not None:
            return family not in answers
        return absent(self._fallback, name, family)

    def forget(self, name: str) -> None:
        """Tell the fallback to forget the name; the mapping stays."""
        forget(self._fallback, name)

    async def aclose(self) -> None:
        """Close the fallback, if it can be closed."""
        await aclose(self._fallback)

    def _answer(self, name: str, family: int) -> Answer:
        answers = self._answers.get(_key(name))
        if answers is None:
            raise not_resolved(socket.EAI_NONAME, "not in the mapping", name, family)
        answer = answers.get(family)
        if answer is None:
            raise not_resolved(EAI_NODATA, "no such address in the mapping", name, family)
        return answer


def _key(name: str) -> str:
    return name.lower().removesuffix(".")


def _family(text: str) -> int:
    bare, percent, _ = text.partition("%")
    for family in (socket.AF_INET6, socket.AF_INET):
        try:
            socket.inet_pton(family, bare)
        except (OSError, ValueError):
            continue
        if family == socket.AF_INET6 or not percent:
            return family
    raise ValueError(f"{text!r} is not a numeric address")
