"""How this host resolves names: nsswitch.conf, resolv.conf and host.conf, read as glibc does.

nsswitch.conf says which sources are asked, and in which order; resolv.conf which name servers,
and by which full names; host.conf whether one line of the hosts file counts or all of them.  Each
file is read again when it has changed.

A source of nsswitch.conf concerns only the names that it may own: ``mdns4_minimal`` those under
``.local``, ``myhostname`` the name of this host, and so on.  So the usual line of a desktop,
``mdns4_minimal [NOTFOUND=return] dns``, asks DNS for a plain name.  Two things can be asked from
here: the hosts file, and DNS (for ``dns`` and ``resolve``).  A name that another source may own,
and every name where the line has an action that we do not follow, belongs to ``getaddrinfo`` as a
whole.

Measured against glibc 2.36.  Sources: nsswitch.conf(5), resolv.conf(5), host.conf(5),
nss-resolve(8), nss-myhostname(8), nss-mymachines(8); RFC 6762, section 22.1.
"""

from __future__ import annotations

import errno
import os
import re
import socket
import sys
import time
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = [
    "DNS",
    "HOSTS",
    "NOT_FOUND",
    "SHORTAGES",
    "SYSTEM",
    "UNAVAILABLE",
    "KeptFile",
    "ResolvConf",
    "Step",
    "every_line_counts",
    "full_names",
    "resolv_conf",
    "steps",
]

Content = TypeVar("Content")

SHORTAGES = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM))
"""What this host lacks for a moment: it says nothing about a file or a name."""

SETTLED = 50_000_000
"""Nanoseconds after which a change is over: within one tick of the kernel's clock (4 to 10 ms)
a file may change twice and have the same times."""

SMALL = 65536
"""Bytes up to which a file is read on the thread of a loop."""


class KeptFile(Generic[Content]):
    """What a file says, kept until the file changes.

    Args:
        path: where it is.
        read: makes a value of its content; of ``b""`` if there is no such file, or it must not be
            read.

    A file is the same as long as its device, inode, size and both times are.  One that has just
    changed is not kept, nor one that could not be opened.  Several threads may use it.
    """

    __slots__ = ("_kept", "_path", "_read", "wanted")

    def __init__(self, path: str, read: Callable[[bytes], Content]) -> None:
        self._path = path
        self._read = read
        self._kept: tuple[tuple[int, ...], Content] | None = None
        self.wanted = False
        """Whether somebody did not wait for a large file to be read."""

    def value(self) -> Content:
        """Return what the file says now.

        Raises:
            OSError: there is no descriptor, or no memory, to read it with.
        """
        value = self.at_hand()
        return self._load() if value is None else value

    def at_hand(self) -> Content | None:
        """Return what the file says now; None if it must be read and is large.

        Raises:
            OSError: as above.
        """
        try:
            status = os.stat(self._path)
        except OSError as exc:
            return self._unreadable(exc)
        kept = self._kept
        if kept is not None and kept[0] == _identity(status):
            return kept[1]
        if status.st_size <= SMALL:
            return self._load()
        self.wanted = True
        return None

    def _load(self) -> Content:
        try:
            with open(self._path, "rb") as file:
                status = os.fstat(file.fileno())
                now = time.time_ns()
                data = file.read()
        except OSError as exc:
            return self._unreadable(exc)
        value = self._read(data)
        self.wanted = False
        settled = abs(now - max(status.st_mtime_ns, status.st_ctime_ns)) > SETTLED
        self._kept = (_identity(status), value) if settled else None
        return value

    def _unreadable(self, exc: OSError) -> Content:
        if exc.errno in SHORTAGES:
            raise exc
        return self._read(b"")


def _identity(status: os.stat_result) -> tuple[int, ...]:
    return (
        status.st_dev,
        status.st_ino,
        status.st_size,
        status.st_mtime_ns,
        status.st_ctime_ns,
    )


# nsswitch.conf: who is asked ----------------------------------------------------------------------

HOSTS, DNS, SYSTEM = "hosts", "dns", "system"
"""What a step asks; ``getaddrinfo`` is asked for the whole name, and is the last step."""

NOT_FOUND, UNAVAILABLE = "notfound", "unavail"
"""What a source says if it has no address: its status in nsswitch.conf(5)."""

_STATUSES = frozenset(("success", NOT_FOUND, UNAVAILABLE, "tryagain"))


class Step(NamedTuple):
    """One source to ask."""

    asks: str
    """``HOSTS``, ``DNS`` or ``SYSTEM``."""
    ends: frozenset[str]
    """The statuses after which no further step is taken."""


def steps(name: str) -> tuple[Step, ...]:
    """Return whom to ask for a name, one after the other until one has it.

    Raises:
        OSError: nsswitch.conf cannot be read for lack of a descriptor or of memory.
    """
    return _WHOLE if sys.platform != "linux" else _nsswitch.value().steps(name)


_WHOLE = (Step(SYSTEM, frozenset()),)


class _Source(NamedTuple):
    name: str
    ends: frozenset[str]


class _Sources:
    """The ``hosts:`` line of an nsswitch.conf."""

    def __init__(self, data: bytes) -> None:
        self._sources = _parse_sources(data)
        names = {source.name for source in self._sources or ()}
        self._has_myhostname = "myhostname" in names
        self._has_resolve = "resolve" in names
        self._known: dict[tuple[bool, bool, bool, bool], tuple[Step, ...]] = {}

    def steps(self, name: str) -> tuple[Step, ...]:
        if self._sources is None:
            return _WHOLE
        bare = name.removesuffix(".").lower()
        one_label = "." not in bare
        kind = (
            one_label,
            bare.endswith(".local") or bare == "local",
            self._has_myhostname and _is_own_name(bare),
            self._has_resolve and os.path.exists(RESOLVED),
        )
        known = self._known.get(kind)
        if known is None:
            known = self._known[kind] = tuple(self._steps(*kind))
        if one_label and "HOSTALIASES" in os.environ:  # hostname(7): only libc reads that file
            return tuple(_WHOLE[0] if step.asks is DNS else step for step in known)
        return known

    def _steps(self, one_label: bool, local: bool, own: bool, resolved: bool) -> Iterable[Step]:
        for source in self._sources or ():
            if source.name == "files":
                yield Step(HOSTS, source.ends)
                if NOT_FOUND in source.ends:
                    return
            elif source.name == "resolve" and not resolved:
                if UNAVAILABLE in source.ends:
                    return
            elif source.name == "resolve":
                # It reads the hosts file before it asks DNS.
                yield Step(HOSTS, frozenset())
                yield Step(DNS, source.ends)
            elif source.name == "dns":
                yield Step(DNS, source.ends)
            elif _may_own(source.name, one_label=one_label, local=local, own=own):
                yield from _WHOLE
                return


RESOLVED = "/run/systemd/resolve/io.systemd.Resolve"
"""The socket of systemd-resolved; where there is none, ``resolve`` is unavailable."""


def _may_own(source: str, *, one_label: bool, local: bool, own: bool) -> bool:
    if source.startswith("mdns") and source.endswith("_minimal"):
        return local
    if source in ("mymachines", "wins") or source.startswith("libvirt"):
        return one_label
    return own if source == "myhostname" else True


def _is_own_name(bare: str) -> bool:
    """Whether nss-myhostname knows the name."""
    if bare in ("localhost", "localhost.localdomain", "gateway", "_gateway", "_outbound"):
        return True
    return (
        bare.endswith((".localhost", ".localhost.localdomain"))
        or bare == socket.gethostname().removesuffix(".").lower()
    )


_ENTRY = re.compile(r"\[([^\]]*)\]|([^\s\[\]]+)")
_ACTION = re.compile(r"(!?)\s*(\w+)\s*=\s*(\w+)", re.ASCII)


def _parse_sources(data: bytes) -> tuple[_Source, ...] | None:
    """Return the sources of the ``hosts:`` line; None if it does what we do not follow."""
    found = None
    for line in data.decode("utf-8", "replace").splitlines():
        database, colon, rest = line.partition("#")[0].partition(":")
        if colon and database.strip() == "hosts":
            found = rest
    if found is None:
        found = "files dns"
    sources: list[_Source] = []
    for criteria, name in _ENTRY.findall(found):
        if name:
            sources.append(_Source(name, frozenset()))
            continue
        ends = _ends(criteria)
        if ends is None or not sources:
            return None
        sources[-1] = _Source(sources[-1].name, ends)
    return tuple(sources)


def _ends(criteria: str) -> frozenset[str] | None:
    """Return the statuses that end the search; None if success does not, or answers are merged."""
    ends: set[str] = {"success"}
    for negated, status, action in _ACTION.findall(criteria.lower()):
        if status not in _STATUSES or action not in ("return", "continue"):
            return None
        statuses = _STATUSES - {status} if negated else {status}
        ends = ends | statuses if action == "return" else ends - statuses
    return frozenset(ends - {"success"}) if "success" in ends else None


_nsswitch = KeptFile("/etc/nsswitch.conf", _Sources)


# resolv.conf: which servers, and by which names ---------------------------------------------------

MAX_SERVERS = 3


class ResolvConf(NamedTuple):
    """What resolv.conf(5) says, with the environment's changes."""

    servers: tuple[str, ...]
    """Addresses, IPv6 link-local ones with ``%interface``."""
    search: tuple[str, ...]
    ndots: int
    timeout: int
    attempts: int
    rotate: bool
    tcp: bool
    no_aaaa: bool
    no_tld_query: bool

    @property
    def patience(self) -> float:
        """Seconds until glibc gives up on servers that are silent."""
        return patience(len(self.servers), self.timeout, self.attempts)


def resolv_conf() -> ResolvConf:
    """Return what resolv.conf says now.

    Raises:
        OSError: it cannot be read for lack of a descriptor or of memory.
    """
    return _resolv_conf.value()


def patience(servers: int, timeout: float, attempts: int) -> float:
    """Return the seconds until a question is given up that no server answers.

    The first server has ``timeout`` seconds; of the others each has twice as long as the one
    before, divided by how many there are.  This happens ``attempts`` times.
    """
    others = [max(1.0, timeout * (1 << place) / servers) for place in range(1, servers)]
    return attempts * (timeout + sum(others))


def full_names(name: str, conf: ResolvConf) -> list[tuple[str, bool]]:
    """Return the names to ask DNS for, one after the other until one is known.

    Returns:
        Names without a final dot, and whether each is of the search list.  The name as it stands
        may come twice: of the list, which has the root, and at the end in case it is not reached.

    Source: resolv.conf(5), ``search`` and ``ndots``.
    """
    bare = name.removesuffix(".")
    if bare != name:
        return [(bare, False)]
    dots = name.count(".")
    names = [(name, False)] if dots >= conf.ndots else []
    for domain in conf.search:
        domain = domain.removeprefix(".").removesuffix(".")
        names.append((f"{name}.{domain}" if domain else name, True))
    if dots < conf.ndots and (dots or not conf.no_tld_query):
        names.append((name, False))
    return names


def _parse_resolv_conf(data: bytes) -> ResolvConf:
    servers: list[str] = []
    search: list[str] | None = None
    options: list[str] = []
    for line in data.decode("utf-8", "surrogateescape").split("\n"):
        keyword, *words = line.replace("\t", " ").split(" ")
        words = [word for word in words if word]
        if keyword == "nameserver" and words:
            server = _server(words[0])
            if server is not None and len(servers) < MAX_SERVERS:
                servers.append(server)
        elif keyword == "search" and words:
            search = words
        elif keyword == "domain" and words:
            search = words[:1]
        elif keyword == "options":
            options += words
    local_domain = os.environ.get("LOCALDOMAIN")
    if local_domain is not None:
        search = local_domain.split()
    if search is None:
        _, dot, domain = socket.gethostname().partition(".")
        search = [domain] if dot else []
    options += os.environ.get("RES_OPTIONS", "").split()
    numbers = {"ndots": 1, "timeout": 5, "attempts": 2}
    for option in options:
        key, colon, value = option.partition(":")
        if colon and key in numbers:
            numbers[key] = min(_leading_number(value), _MOST[key])
    return ResolvConf(
        servers=tuple(servers) or ("127.0.0.1",),
        search=tuple(search),
        ndots=numbers["ndots"],
        timeout=max(1, numbers["timeout"]),
        attempts=max(1, numbers["attempts"]),
        rotate="rotate" in options,
        tcp="use-vc" in options,
        no_aaaa="no-aaaa" in options,
        no_tld_query="no-tld-query" in options,
    )


_MOST = {"ndots": 15, "timeout": 30, "attempts": 5}


def _server(word: str) -> str | None:
    """Return a server's address; what is none is skipped, as glibc does."""
    bare, percent, zone = word.partition("%")
    try:
        if not percent and ":" not in word:
            return socket.inet_ntoa(socket.inet_aton(word))
        bare = socket.inet_ntop(socket.AF_INET6, socket.inet_pton(socket.AF_INET6, bare))
    except (OSError, ValueError):
        return None
    return f"{bare}%{zone}" if zone else bare


def _leading_number(text: str) -> int:
    digits = re.match(r"\s*\+?(\d{1,9})", text, re.ASCII)
    return int(digits[1]) if digits else 0


_resolv_conf = KeptFile("/etc/resolv.conf", _parse_resolv_conf)


# host.conf: how many lines of the hosts file count ------------------------------------------------


def every_line_counts() -> bool:
    """Whether all lines of the hosts file with a name count, or only the first.

    Raises:
        OSError: host.conf cannot be read for lack of a descriptor or of memory.
    """
    if _multi_of_environment is not None:
        return _multi_of_environment
    return _host_conf.value()


_MULTI = re.compile(rb"^[ \t]*multi[ \t]+(on|off)", re.IGNORECASE | re.MULTILINE)


def _parse_host_conf(data: bytes) -> bool:
    said = _MULTI.findall(data)
    return bool(said) and said[-1].lower() == b"on"


def _of_environment() -> bool | None:
    said = os.environ.get("RESOLV_MULTI", "").lower()
    return True if said.startswith("on") else False if said.startswith("off") else None


# As glibc, which reads both once in a process.
_multi_of_environment = _of_environment()
_host_conf = KeptFile(os.environ.get("RESOLV_HOST_CONF", "/etc/host.conf"), _parse_host_conf)
