"""RFC 6724's policy table: which addresses this host prefers (section 2.1).

A table of prefixes with a precedence and a label, that an administrator may replace in
/etc/gai.conf.  IPv4 addresses are looked up as IPv4-mapped ones (``::ffff:a.b.c.d``).

Sources: RFC 6724, sections 2.1, 3.1 and 3.2; gai.conf(5).
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, TypeAlias

from .config import KeptFile

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["PolicyTable"]

PRECEDENCES = {
    "::1/128": 50,
    "::/0": 40,
    "::ffff:0:0/96": 35,
    "2002::/16": 30,
    "2001::/32": 5,
    "fc00::/7": 3,
    "::/96": 1,
    "fec0::/10": 1,
    "3ffe::/16": 1,
}
LABELS = {
    "::1/128": 0,
    "::/0": 1,
    "::ffff:0:0/96": 4,
    "2002::/16": 2,
    "2001::/32": 5,
    "fc00::/7": 13,
    "::/96": 3,
    "fec0::/10": 11,
    "3ffe::/16": 12,
}
SCOPES4 = {"::ffff:169.254.0.0/112": 2, "::ffff:127.0.0.0/104": 2, "::ffff:0.0.0.0/96": 14}

_LINK_LOCAL, _SITE_LOCAL, _GLOBAL = 2, 5, 14

_Rows: TypeAlias = tuple[tuple[int, int, int], ...]


class PolicyTable:
    """Precedence, label and scope of addresses.

    Args:
        precedences: prefix to precedence; by default the table of RFC 6724.
        labels: prefix to label; by default the table of RFC 6724.
        scopes4: prefix to scope, for IPv4; by default loopback and 169.254/16 are link-local.

    A prefix is written ``address/length``; the longest one that matches counts.

    Raises:
        ValueError: a prefix is none.
    """

    __slots__ = ("_labels", "_precedences", "_scopes4")

    def __init__(
        self,
        precedences: Mapping[str, int] = PRECEDENCES,
        labels: Mapping[str, int] = LABELS,
        scopes4: Mapping[str, int] = SCOPES4,
    ) -> None:
        self._precedences = _rows(precedences)
        self._labels = _rows(labels)
        self._scopes4 = _rows(scopes4)

    @classmethod
    def parse(cls, text: str) -> PolicyTable:
        """Read the text of a gai.conf.

        Lines of one kind (``precedence``, ``label``, ``scopev4``) replace the whole default
        table of that kind; lines that make no sense are skipped, as libc does.
        """
        tables: dict[str, dict[str, int]] = {"precedence": {}, "label": {}, "scopev4": {}}
        for line in text.splitlines():
            words = line.partition("#")[0].split()
            if len(words) != 3 or words[0] not in tables:
                continue
            try:
                _row(words[1], 0)
                tables[words[0]][words[1]] = int(words[2])
            except ValueError:
                continue
        return cls(
            tables["precedence"] or PRECEDENCES,
            tables["label"] or LABELS,
            tables["scopev4"] or SCOPES4,
        )

    def precedence(self, address: int) -> int:
        """Return the precedence of an address (see :func:`number`); more is better."""
        return _find(self._precedences, address)

    def label(self, address: int) -> int:
        """Return the label: addresses with the same one belong together."""
        return _find(self._labels, address)

    def scope(self, address: int) -> int:
        """Return the scope, as a number of RFC 4291, section 2.7."""
        if address >> 32 == 0xFFFF:
            return _find(self._scopes4, address)
        if address >> 120 == 0xFF:  # multicast says its scope itself
            return (address >> 112) & 0xF
        # RFC 6724, section 3.1: loopback is link-local.
        if address >> 118 == 0x3FA or address == 1:
            return _LINK_LOCAL
        return _SITE_LOCAL if address >> 118 == 0x3FB else _GLOBAL


def system() -> PolicyTable:
    """Return this host's table: /etc/gai.conf's where there is one, else RFC 6724's.

    The file is read again when it has changed.

    Raises:
        OSError: it cannot be read for lack of a descriptor or of memory.
    """
    return _gai_conf.value()


def number(family: int, address: str) -> int:
    """Return an address as a number of 128 bits, IPv4 as IPv4-mapped; the scope id is dropped.

    Raises:
        OSError: it is no numeric address of that family.
    """
    packed = socket.inet_pton(family, address.partition("%")[0])
    value = int.from_bytes(packed, "big")
    return value if family == socket.AF_INET6 else value | 0xFFFF << 32


def _rows(table: Mapping[str, int]) -> _Rows:
    return tuple(sorted((_row(prefix, value) for prefix, value in table.items())))


def _row(prefix: str, value: int) -> tuple[int, int, int]:
    """Return (bits that do not count, the bits that do, value); sorted, the longest come first."""
    address, slash, length = prefix.partition("/")
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    width = 128 if family == socket.AF_INET6 else 32
    try:
        bits = number(family, address)
    except OSError:
        raise ValueError(f"{prefix!r} is not a prefix") from None
    shift = width - int(length) if slash else 0
    if not 0 <= shift <= width:
        raise ValueError(f"{prefix!r} is not a prefix")
    return shift, bits >> shift, value


def _find(rows: Iterable[tuple[int, int, int]], address: int) -> int:
    for shift, bits, value in rows:
        if address >> shift == bits:
            return value
    return 0


def _read(data: bytes) -> PolicyTable:
    return PolicyTable.parse(data.decode("utf-8", "replace"))


_gai_conf = KeptFile("/etc/gai.conf", _read)
