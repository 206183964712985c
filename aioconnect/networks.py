"""Networks as numbers, and what is said of an address by the networks around it, in one bisection.

Networks are disjoint or nested, never else.  So a list of them cuts the address space into
intervals within which one of them is decisive; the intervals are computed once, and an address is
looked up among their beginnings.  That takes as long for two networks as for ten thousand.
"""

from __future__ import annotations

import re
import socket
from typing import TYPE_CHECKING, NamedTuple, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Block", "intervals", "number"]

_Said = TypeVar("_Said")

_AF_INET, _AF_INET6 = int(socket.AF_INET), int(socket.AF_INET6)
_LENGTH = re.compile(r"[0-9]{1,3}", re.ASCII)
_BITS = {_AF_INET: 32, _AF_INET6: 128}


def number(family: int, address: str) -> int:
    """Return a numeric address as a number.

    Raises:
        ValueError: it is no address of that family.
    """
    try:
        return int.from_bytes(socket.inet_pton(family, address), "big")
    except OSError as exc:
        raise ValueError(str(exc)) from None


class Block(NamedTuple):
    """A network.

    Attributes:
        family: ``AF_INET`` or ``AF_INET6``.
        first: its first address, as a number.
        length: how many leading bits all its addresses have in common.
    """

    family: int
    first: int
    length: int

    @property
    def last(self) -> int:
        """Its last address, as a number."""
        return self.first | (1 << _BITS[self.family] - self.length) - 1

    @classmethod
    def read(cls, text: str) -> Block:
        """Read ``"address/length"``, or an address, which is a network of one.

        Raises:
            ValueError: it is neither, or has bits set behind its length.
        """
        address, slash, digits = text.partition("/")
        family = _AF_INET6 if ":" in address else _AF_INET
        width = _BITS[family]
        try:
            first = number(family, address)
        except ValueError:
            raise ValueError(f"{text[:64]!r} is not a network or an address") from None
        if not slash:
            digits = str(width)
        length = int(digits) if _LENGTH.fullmatch(digits) else width + 1
        if length > width:
            raise ValueError(f"{text[:64]!r}: the length is a number of bits, up to {width}")
        if first & (1 << width - length) - 1:
            raise ValueError(f"{text!r} has bits set behind its length")
        return cls(family, first, length)

    def __str__(self) -> str:
        packed = self.first.to_bytes(_BITS[self.family] // 8, "big")
        return f"{socket.inet_ntop(self.family, packed)}/{self.length}"


def intervals(
    rows: Iterable[tuple[Block, int, _Said]],
) -> tuple[list[int], list[_Said]]:
    """Cut the address space of one family where what is said of an address changes.

    Args:
        rows: networks of one family, each with its rank and with what it says.  The highest rank
            is decisive, and of that the smallest network.  One of them covers all.

    Returns:
        The beginnings of the intervals, in order, and what is said within each.
    """
    begins: list[int] = []
    said: list[_Said] = []
    around: list[tuple[Block, int, _Said]] = []  # the networks that the sweep is within

    def cut(at: int) -> None:
        _, _, decisive = max(around, key=lambda row: (row[1], row[0].length))
        if begins and begins[-1] == at:
            said[-1] = decisive
        else:
            begins.append(at)
            said.append(decisive)

    def leave(before: int | None) -> None:
        while around and (before is None or around[-1][0].last < before):
            last = around.pop()[0].last
            if around and around[-1][0].last > last:
                cut(last + 1)

    for row in sorted(rows, key=lambda row: row[0]):  # outer networks before inner ones
        leave(row[0].first)
        around.append(row)
        cut(row[0].first)
    leave(None)
    return begins, said
