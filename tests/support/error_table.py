"""The table of errors: what each cause becomes, by class, stage, family and who said it.

The rows are in ``errors.txt``, to be read aloud.  ``python -m tests.support.error_table`` writes
them as a page has them; :func:`reference` gives the same as values.
"""

from __future__ import annotations

import errno
import socket
import ssl
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from aioconnect import errors
from aioconnect.address_policy import denied
from aioconnect.causes import (
    circuit_open,
    closed_early,
    connected_to_itself,
    from_errno,
    from_exception,
    from_proxy,
    not_a_socket,
    not_a_target,
    timed_out,
)
from aioconnect.errors import ConnectError, Help

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

V4 = ("10.0.0.1", 5432)
V6 = ("2001:db8::1", 5432, 0, 0)
UNIX = "/run/db.sock"
NOTHING, SAME, OTHER, LOCAL, RESOLVE = Help.NOTHING, Help.SAME, Help.OTHER, Help.LOCAL, Help.RESOLVE

ADDRESSES: dict[str, Any] = {
    "v4": V4,
    "v6": V6,
    "unix": UNIX,
    "abstract": "\0name",
    "link-local": ("fe80::1", 80, 0, 0),
    "scoped": ("fe80::1", 80, 0, 3),
}
SOURCES: dict[str, Any] = {
    "v4": ("10.9.9.9", 80),
    "v6": ("fd00::9", 80, 0, 0),
    "unix": "/run/me.sock",
}
OPTIONS: dict[str, Any] = {
    "v4": (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 0),
    "v6": (socket.IPPROTO_IPV6, socket.IPV6_TCLASS, 999),
    "unix": (socket.IPPROTO_TCP, 250, 1),
}

BUILTINS: dict[str, type[Exception]] = {
    "-": OSError,
    "gaierror": socket.gaierror,
    "SSLError": ssl.SSLError,
    "SSLCertVerificationError": ssl.SSLCertVerificationError,
}


def family_of(address: Any) -> int:
    """Return the family of an address."""
    if isinstance(address, str):
        return int(socket.AF_UNIX)
    return int(socket.AF_INET6 if ":" in address[0] else socket.AF_INET)


class Row(NamedTuple):
    """One cause, who said it of what, and what it becomes."""

    errno: str
    where: str
    type: type[ConnectError]
    builtin: type[Exception]
    code: str
    help: Help
    says: str
    hint: str

    @property
    def id(self) -> str:
        """The row's name in the report."""
        return f"{self.errno} {self.where}"

    @property
    def numbered(self) -> bool:
        """Whether it is a number of the kernel's."""
        return self.where != "-"

    @property
    def stage(self) -> str:
        """How far it came."""
        stage = self.where.split()[0].removeprefix("hook:")
        return "socket" if stage == "option" else stage

    @property
    def address(self) -> Any:
        """What was dialled."""
        return ADDRESSES[self.where.split()[1]]

    @property
    def family(self) -> int:
        """The family of the address."""
        return family_of(self.address)

    def error(self) -> ConnectError:
        """Build the error for this row, as an attempt does."""
        if not self.numbered:
            return MAKERS[self.errno]()
        number = getattr(errno, self.errno)
        said_by, family, *bound = self.where.split()
        where: dict[str, Any] = {
            "stage": self.stage,
            "address": self.address,
            "family": self.family,
            "bound": bool(bound),
        }
        if said_by == "option":
            where |= {"said_by": "option", "about": OPTIONS[family]}
        if said_by == "bind":
            where["about"] = SOURCES[family]
        if said_by.startswith("hook:"):
            where["said_by"] = "hook"
            return from_exception(OSError(number, "its own words"), **where)
        return from_errno(number, **where)


def _name(name: str) -> Callable[[], ConnectError]:
    original = socket.gaierror(getattr(socket, name), "Name or service not known")
    return lambda: from_exception(
        original, stage="resolve", target="db.internal:5432", address="db.internal"
    )


def _tls(original: OSError) -> Callable[[], ConnectError]:
    return lambda: from_exception(original, stage="tls", address=V4, family=socket.AF_INET)


def _refused_certificate() -> ssl.SSLCertVerificationError:
    said = "Hostname mismatch, certificate is not valid for 'db.internal'."
    original = ssl.SSLCertVerificationError(
        1, f"[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: {said} (_ssl.c:1006)"
    )
    original.verify_code, original.verify_message = 62, said
    return original


def _proxy(original: OSError) -> Callable[[], ConnectError]:
    return lambda: from_exception(original, stage="proxy", address=V4, family=socket.AF_INET)


def _late(address: Any = V4, **where: Any) -> Callable[[], ConnectError]:
    return lambda: timed_out(**where, address=address, elapsed=0.5)


MAKERS: dict[str, Callable[[], ConnectError]] = {
    **{
        name: _name(name)
        for name in (
            *("EAI_NONAME", "EAI_AGAIN", "EAI_NODATA", "EAI_FAIL", "EAI_FAMILY"),
            *("EAI_SERVICE", "EAI_SOCKTYPE", "EAI_BADFLAGS", "EAI_MEMORY"),
            *("EAI_OVERFLOW", "EAI_SYSTEM"),
        )
        if hasattr(socket, name)
    },
    "EAI unknown": lambda: from_exception(
        socket.gaierror(-999, "Unknown error"), stage="resolve", address="db.internal"
    ),
    "TLS wrong version": _tls(
        ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number (_ssl.c:1006)")
    ),
    "TLS end of file": _tls(ssl.SSLEOFError(8, "EOF occurred in violation of protocol")),
    "TLS certificate": _tls(_refused_certificate()),
    "limit attempt": _late(whole=False, stage="connect"),
    "limit call connect": _late(whole=True, stage="connect"),
    "limit call wait": _late(whole=True, stage="wait"),
    "limit call socket": _late(whole=True, stage="socket"),
    "limit call resolve": _late("db.internal", whole=True, stage="resolve"),
    "limit call tls": _late(whole=True, stage="tls"),
    "limit attempt tls": _late(whole=False, stage="tls"),
    "limit call proxy": _late(whole=True, stage="proxy"),
    "limit attempt proxy": _late(whole=False, stage="proxy"),
    "limit call handshake": _late(whole=True, stage="handshake"),
    "limit attempt handshake": _late(whole=False, stage="handshake"),
    "proxy: SOCKS 1": _proxy(from_proxy("failed", "general failure", status=1)),
    "proxy: SOCKS 2": _proxy(from_proxy("forbidden", "not allowed by its rules", status=2)),
    "proxy: SOCKS 3": _proxy(from_proxy("network", "no route to the network", status=3)),
    "proxy: SOCKS 4": _proxy(from_proxy("host", "no route to the host", status=4)),
    "proxy: SOCKS 5": _proxy(from_proxy("refused", "refused", status=5)),
    "proxy: HTTP 403": _proxy(from_proxy("rejected", "403 Forbidden", status=403)),
    "proxy: HTTP 407": _proxy(from_proxy("credentials", "407 Who are you", status=407)),
    "proxy: HTTP 504": _proxy(from_proxy("timed_out", "504 Gateway Timeout", status=504)),
    "proxy: no HTTP": _proxy(from_proxy("protocol", "not an answer of HTTP")),
    "proxy: reset": _proxy(ConnectionResetError(errno.ECONNRESET, "Connection reset by peer")),
    "closed early": _proxy(closed_early()),
    "hook: handshake": lambda: from_exception(
        OSError("its own words"),
        stage="handshake",
        address=V4,
        family=socket.AF_INET,
        said_by="hook",
    ),
    "itself": lambda: connected_to_itself(address=V4, family=socket.AF_INET),
    "not a socket": lambda: not_a_socket(address="/etc", family=socket.AF_UNIX),
    "not a target": lambda: not_a_target("'db' has no port"),
    "breaker": lambda: circuit_open("db.internal:5432", 2.5),
    "a name": lambda: denied("no rule allows 'db.internal'", target="db.internal:5432"),
}
"""The causes that are no number of the kernel's."""


def _rows() -> Iterator[Row]:
    lines = Path(__file__).with_name("errors.txt").read_text(encoding="utf-8").splitlines()
    rows = iter([line for line in lines if line and not line.startswith("#")])
    for line in rows:
        cause, where, cls, builtin, code, helps = line.split("  ")
        wanted = Help.NOTHING
        for one in helps.split("|"):
            wanted |= Help[one.upper()]
        yield Row(
            cause,
            where,
            getattr(errors, cls),
            BUILTINS.get(builtin) or getattr(sys.modules["builtins"], builtin),
            code,
            wanted,
            next(rows).strip(),
            next(rows).strip(),
        )


TABLE = list(_rows())
ROWS = [row for row in TABLE if row.numbered]


def public_class(error: ConnectError) -> type[ConnectError]:
    """Find the class that callers can name; a rare cause may have one of its own below it."""
    return next(each for each in type(error).__mro__ if each.__name__ in errors.__all__)


# The page -----------------------------------------------------------------------------------------

_HELPS = {
    SAME: "the same address later",
    OTHER: "another address",
    LOCAL: "a resource of this host becoming free",
    RESOLVE: "a new look-up later",
}


def reference() -> list[tuple[str, str, str, str]]:
    """Return for each code and class: the code, the class, what it means, what helps.

    What it means is the row's own sentence, with ``ADDRESS`` for the address, and its hint.
    """
    found: dict[tuple[str, str], tuple[str, str, str, str]] = {}
    for row in TABLE:
        meaning = row.says.removesuffix(": its own words")
        for shown in ("10.0.0.1:5432", "[2001:db8::1]:5432", "unix:/run/db.sock", "db.internal"):
            meaning = meaning.replace(shown, "ADDRESS")
        helps = " or ".join(text for flag, text in _HELPS.items() if row.help & flag)
        said = (row.code, row.type.__name__, f"{meaning}: {row.hint}", helps or "nothing")
        found.setdefault(said[:2], said)
    return sorted(found.values())


def markdown() -> str:
    """Write the table as a page has it."""
    lines = ["| code | class | what it means | what helps |", "|---|---|---|---|"]
    lines += [
        f"| `{code}` | `{name}` | {meaning} | {helps} |"
        for code, name, meaning, helps in reference()
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(markdown())
