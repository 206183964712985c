"""Names from a mapping: for tests, and for ``--resolve host:port:addr``."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

from ..international import name_key
from . import base
from .answers import EAI_NODATA, FAMILIES, Answer, checked, is_zone_text, not_resolved
from .base import only_answer
from .threads import NO_TICKET, submit_name

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Mapping, Sequence

    from ..errors import ConnectError
    from .base import Put, Resolver

__all__ = ["StaticResolver"]


class StaticResolver:
    """Answers from a mapping, without I/O.

    Args:
        names: for each name its address, or its addresses in the order to be answered: numeric
            text of either family, IPv6 link-local with ``%scope``.  Case, a final dot and the
            spelling of an internationalised name (``müller.test``, ``xn--mller-kva.test``) do not
            matter.
        fallback: who is asked for all other names; None: they do not exist.

    Raises:
        ValueError: an address is none, or a name cannot be one.
    """

    def __init__(
        self, names: Mapping[str, str | Iterable[str]], fallback: Resolver | None = None
    ) -> None:
        self._answers: dict[str, dict[int, Answer]] = {}
        for name, addresses in names.items():
            listed = (addresses,) if isinstance(addresses, str) else tuple(addresses)
            by_family: dict[int, list[str]] = {family: [] for family in FAMILIES}
            for text in listed:
                family, address = _numeric(text)
                by_family[family].append(address)
            self._answers[name_key(name)] = {
                family: checked(tuple(texts), family, source="static")
                for family, texts in by_family.items()
            }
        self._fallback = fallback

    def __repr__(self) -> str:
        count = len(self._answers)
        names = next(iter(self._answers)) if count == 1 else f"{count} names"
        else_ask = "" if self._fallback is None else f", else {self._fallback!r}"
        return f"<StaticResolver of {names}{else_ask}>"

    async def lookup(self, name: str, family: int, /) -> Answer:
        """Look up one name for one family; see :meth:`.base.Resolver.lookup`."""
        return await only_answer(self.lookup_name(name, (family,)))

    def lookup_name(self, name: str, families: Sequence[int], /) -> AsyncIterator[Answer]:
        """Search for a name; see :func:`.base.lookup_name`."""
        if self._fallback is not None and name_key(name) not in self._answers:
            return base.lookup_name(self._fallback, name, families)
        return self._search(name, families)

    async def _search(self, name: str, families: Sequence[int]) -> AsyncIterator[Answer]:
        for answer in self._found(name, families):
            yield answer

    def submit_name(self, name: str, families: Sequence[int], put: Put, /) -> Any:
        """Search without a loop; see :func:`.threads.submit_name`."""
        if self._fallback is not None and name_key(name) not in self._answers:
            return submit_name(self._fallback, name, families, put)
        try:
            answers = self._found(name, families)
        except OSError as exc:
            put(exc)
        else:
            for answer in answers:
                put(answer)
            put(None)
        return NO_TICKET

    def peek_name(self, name: str, families: Sequence[int], /) -> tuple[Answer, ...] | None:
        """Return what the mapping has of the name."""
        answers = self._answers.get(name_key(name))
        if answers is None:
            return base.peek_name(self._fallback, name, families)
        found = tuple([answers[family] for family in families])
        return found if any(answer.addresses for answer in found) else None

    def forget(self, name: str, /) -> None:
        """Tell the fallback to forget the name; the mapping stays."""
        base.forget(self._fallback, name)

    def lacking(self, name: str, /) -> ConnectError | None:
        """Return what this host lacks if the fallback's search has not begun."""
        return base.lacking(self._fallback, name)

    async def aclose(self) -> None:
        """Close the fallback, if it can be closed."""
        await base.aclose(self._fallback)

    def _found(self, name: str, families: Sequence[int]) -> list[Answer]:
        answers = self._answers.get(name_key(name))
        if answers is None:
            raise not_resolved(socket.EAI_NONAME, "not in the mapping", name, families[0])
        found = [answers[family] for family in families]
        if not any(answer.addresses for answer in found):
            said = "no such address in the mapping"
            raise not_resolved(EAI_NODATA, said, name, families[0])
        return found


def _numeric(text: str) -> tuple[int, str]:
    """Return the family and the one spelling of an address."""
    bare, percent, zone = text.partition("%")
    family = FAMILIES[0] if ":" in text else FAMILIES[1]
    try:
        address = socket.inet_ntop(family, socket.inet_pton(family, bare))
        if percent and (family == socket.AF_INET or not is_zone_text(zone)):
            raise ValueError
    except (OSError, ValueError):
        raise ValueError(f"{text!r} is not a numeric address") from None
    return family, address + percent + zone
