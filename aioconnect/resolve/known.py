"""What is known of a name without asking anybody: ``localhost``, and the hosts file.

**localhost** and everything under it is loopback (RFC 6761, section 6.3: name resolution APIs
should always return the loopback address for ``localhost.`` and for names falling within it, and
should not send queries for them).  Neither ``/etc/hosts`` nor the host's addresses are looked at:
a host without IPv6 fails its attempt at ``::1`` in the same microsecond, and the race goes on
with ``127.0.0.1``.

**The hosts file** is read as glibc's source ``files`` reads it.  A name that it has is known for
both families: the addresses that its lines give, and that there are no others.  Nothing else is
asked then, so an address that DNS has for the same name is never dialled.  The text is kept, not
an index of it: a block list has a hundred thousand names of which a program asks for a few, and
finding one takes less than a millisecond.  What was found is remembered.

Measured against glibc 2.36.  Sources: RFC 6761; hosts(5), host.conf(5).
"""

from __future__ import annotations

import re
import socket
from typing import TYPE_CHECKING

from .answers import Answer, checked
from .base import peek_name
from .config import HOSTS, KeptFile, every_line_counts, steps

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["HOSTS_FILE", "Hosts", "at_hand", "is_localhost", "localhost", "peek_hosts"]

_AF_INET, _AF_INET6 = int(socket.AF_INET), int(socket.AF_INET6)
_MAPPED = bytes(10) + b"\xff\xff"

REMEMBERED = 1024
"""Names of which it is remembered what was found."""


def at_hand(resolver: object, name: str, families: Sequence[int]) -> tuple[Answer, ...] | None:
    """Return the answers for a whole name if they are at hand.

    Args:
        resolver: its ``peek_name`` is used, if it has one.
        name: a host name in ASCII.
        families: ``(AF_INET6, AF_INET)``, or one of them.

    Returns:
        An answer for each family, in the order of ``families``, at least one of them with
        addresses; None if a look-up has to tell (also where it is known that there is nothing:
        the look-up says why).
    """
    answers = localhost(name, families)
    return answers if answers is not None else peek_name(resolver, name, families)


def localhost(name: str, families: Sequence[int]) -> tuple[Answer, ...] | None:
    """Return the loopback addresses if ``name`` is ``localhost`` or ends in ``.localhost``.

    Args:
        name: a host name; case and a final dot do not matter.
        families: ``(AF_INET6, AF_INET)``, or one of them.

    Returns:
        An answer for each family; None if a resolver has to be asked.

    Source: RFC 6761, section 6.3.
    """
    if not is_localhost(name):
        return None
    if len(families) == 2:
        return _BOTH
    return (_LOOPBACK[families[0]],)


def is_localhost(name: str) -> bool:
    """Whether a name is ``localhost`` or ends in ``.localhost``."""
    if name == "localhost":
        return True
    # One look at the end first: nearly all names are others.
    if name[-1:] not in ("t", "T", "."):
        return False
    bare = name.removesuffix(".").lower()
    return bare == "localhost" or bare.endswith(".localhost")


_BOTH = (
    checked(("::1",), _AF_INET6, source="literal"),
    checked(("127.0.0.1",), _AF_INET, source="literal"),
)
_LOOPBACK = {answer.family: answer for answer in _BOTH}


# The hosts file -----------------------------------------------------------------------------------


def peek_hosts(name: str, families: Sequence[int]) -> tuple[Answer, ...] | None:
    """Return what the hosts file has for a name, if it is asked first for that name.

    Args:
        name: a host name in ASCII.
        families: ``(AF_INET6, AF_INET)``, or one of them.

    Returns:
        An answer for each family, at least one with addresses; None if a look-up has to tell
        (another source comes first, the name is not there, or the file must be read and is
        large).
    """
    try:
        first = steps(name)
        if not first or first[0].asks is not HOSTS:
            return None
        hosts = HOSTS_FILE.at_hand()
        return None if hosts is None else hosts.answers(name, families)
    except OSError:
        return None  # the look-up says what is lacking


class Hosts:
    """The content of a hosts file."""

    __slots__ = ("_remembered", "_text")

    def __init__(self, data: bytes) -> None:
        # One kind of blank, no comments, no upper case; a line feed on either side of each line.
        if b"#" in data:
            data = _REMARK.sub(b"", data)
        self._text = b"\n" + data.lower().translate(_BLANKS) + b"\n"
        self._remembered: dict[tuple[str, int, bool], tuple[Answer, ...] | None] = {}

    def answers(self, name: str, families: Sequence[int]) -> tuple[Answer, ...] | None:
        """Return an answer for each family, or None if there is no address of any.

        For one family alone glibc goes on to the next source if the file has addresses of the
        other one only, and takes an IPv4 address also from ``::ffff:a.b.c.d`` and ``::1``.

        Raises:
            OSError: host.conf cannot be read for lack of a descriptor or of memory.
        """
        family = families[0] if len(families) == 1 else 0
        key = (name, family, every_line_counts())
        try:
            return self._remembered[key]
        except KeyError:
            pass
        found = self._find(*key)
        answers = None
        if any(found.values()):
            answers = tuple(
                [checked(tuple(found[each]), each, source="hosts") for each in families]
            )
        if len(self._remembered) >= REMEMBERED:
            self._remembered.clear()
        self._remembered[key] = answers
        return answers

    def _find(self, name: str, family: int, every: bool) -> dict[int, list[str]]:
        found: dict[int, list[str]] = {_AF_INET6: [], _AF_INET: []}
        for line in self._lines(name):
            address = _address(line, family)
            if address is None:
                continue
            of_family = found[address[0]]
            if address[1] not in of_family:
                of_family.append(address[1])
            if not every:
                break
        return found

    def _lines(self, name: str) -> Iterator[bytes]:
        """Return the lines that have the name, or the alias."""
        text = self._text
        word = name.lower().encode()
        seen = -1
        for at in sorted({*_places(text, b" " + word + b" "), *_places(text, b" " + word + b"\n")}):
            start = text.rindex(b"\n", 0, at + 1) + 1
            line = text[start : text.index(b"\n", at + 1)]
            # What begins a line is its address, whatever it looks like.
            if start != seen and word in line.split()[1:]:
                seen = start
                yield line


_REMARK = re.compile(rb"#[^\n]*")
_BLANKS = bytes.maketrans(b"\t\v\f\r", b"    ")


def _places(text: bytes, word: bytes) -> Iterator[int]:
    at = text.find(word)
    while at >= 0:
        yield at
        at = text.find(word, at + 1)


def _address(line: bytes, family: int) -> tuple[int, str] | None:
    """Return the family and the address of a line; None if it has none that counts."""
    try:
        word = line.split(None, 1)[0].decode("ascii")
        own = _AF_INET6 if ":" in word else _AF_INET
        packed = socket.inet_pton(own, word)
    except (OSError, ValueError):
        return None
    if family == _AF_INET and own == _AF_INET6:
        if packed.startswith(_MAPPED):
            return _AF_INET, socket.inet_ntop(_AF_INET, packed[12:])
        if packed == bytes(15) + b"\1":
            return _AF_INET, "127.0.0.1"
        return None
    if family and family != own:
        return None
    return own, socket.inet_ntop(own, packed)


HOSTS_FILE = KeptFile("/etc/hosts", Hosts)
