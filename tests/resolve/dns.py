"""A name server that does what a test tells it: over UDP and TCP, right, wrong, late or never."""

from __future__ import annotations

import heapq
import itertools
import selectors
import socket
import struct
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

A, CNAME, SOA, TXT, AAAA = 1, 5, 6, 16, 28
FAMILIES = {A: socket.AF_INET, AAAA: socket.AF_INET6}
NOERROR, FORMERR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED = range(6)


@dataclass(frozen=True)
class Question:
    """What a client asked, and how often it asked this before."""

    id: int
    name: str
    type: int
    raw: bytes
    tcp: bool = False
    edns: bool = False
    times: int = 0

    @property
    def family(self) -> int:
        """The address family that is asked for."""
        return FAMILIES[self.type]


def read_question(packet: bytes, *, tcp: bool) -> Question:
    number, _, _, _, _, additional = struct.unpack("!6H", packet[:12])
    labels, at = [], 12
    while packet[at]:
        labels.append(packet[at + 1 : at + 1 + packet[at]].decode("latin-1"))
        at += 1 + packet[at]
    end = at + 5
    (kind,) = struct.unpack("!H", packet[at + 1 : at + 3])
    return Question(number, ".".join(labels), kind, packet[12:end], tcp, additional > 0)


def encode_name(name: str) -> bytes:
    labels = [label.encode("latin-1") for label in name.split(".") if label]
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"


def record(name: str, kind: int, data: bytes, ttl: int = 300) -> bytes:
    return encode_name(name) + struct.pack("!HHIH", kind, 1, ttl, len(data)) + data


def address(name: str, text: str, ttl: int = 300) -> bytes:
    family = socket.AF_INET6 if ":" in text else socket.AF_INET
    return record(name, AAAA if ":" in text else A, socket.inet_pton(family, text), ttl)


def alias(name: str, target: str, ttl: int = 300) -> bytes:
    return record(name, CNAME, encode_name(target), ttl)


def authority(zone: str, minimum: int = 300) -> bytes:
    data = encode_name("ns." + zone) + encode_name("root." + zone)
    return record(zone, SOA, data + struct.pack("!5I", 1, 60, 60, 60, minimum), minimum)


def reply(
    question: Question,
    answers: Iterable[bytes] = (),
    *,
    rcode: int = NOERROR,
    authorities: Iterable[bytes] = (),
    truncated: bool = False,
    number: int | None = None,
) -> bytes:
    answers, authorities = list(answers), list(authorities)
    flags = 0x8180 | rcode | (0x0200 if truncated else 0)
    header = struct.pack(
        "!6H",
        question.id if number is None else number,
        flags,
        1,
        len(answers),
        len(authorities),
        0,
    )
    return header + question.raw + b"".join(answers + authorities)


@dataclass(frozen=True)
class Send:
    """One packet to send after ``delay`` seconds; ``stranger``: from another port."""

    packet: bytes
    delay: float = 0.0
    stranger: bool = False


@dataclass(frozen=True)
class HangUp:
    """Close the TCP connection without a word, after ``delay`` seconds."""

    delay: float = 0.0


@dataclass
class Server:
    """A thread that serves ``script`` on one address, UDP and TCP."""

    script: Callable[[Question], Iterable[Send | HangUp]]
    host: str = "127.0.0.1"
    port: int = 0
    asked: Counter[tuple[str, int]] = field(default_factory=Counter)
    over_tcp: Counter[tuple[str, int]] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._udp, self._listener = self._bound()
        self.port = self._udp.getsockname()[1]
        self._stranger = socket.socket(self._udp.family, socket.SOCK_DGRAM)
        self._stranger.bind((self.host, 0))
        self._wake, self._woken = socket.socketpair()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._udp, selectors.EVENT_READ)
        self._selector.register(self._woken, selectors.EVENT_READ)
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._connections: dict[socket.socket, bytes] = {}
        self._later: list[tuple[float, int, Send | HangUp, socket.socket, object]] = []
        self._numbers = itertools.count()
        self._broken: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="name server", daemon=True)
        self._thread.start()

    def _bound(self) -> tuple[socket.socket, socket.socket]:
        """Return a UDP and a TCP socket on the same port, which may take some tries to find."""
        for tries in itertools.count(1):
            family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
            udp = socket.socket(family, socket.SOCK_DGRAM)
            try:
                udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
                udp.bind((self.host, self.port))
                address = udp.getsockname()[:2]
                return udp, socket.create_server(address, family=family, backlog=64)
            except OSError:
                udp.close()
                if tries == 50:
                    raise
        raise AssertionError

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._wake.send(b"!")
        self._thread.join()
        for sock in (
            *self._connections,
            self._listener,
            self._udp,
            self._stranger,
            self._wake,
            self._woken,
        ):
            sock.close()
        self._selector.close()
        if self._broken is not None:
            raise self._broken

    @property
    def text(self) -> str:
        """The address as a resolver takes it."""
        return f"{self.host}:{self.port}"

    def times(self, name: str, kind: int | None = None) -> int:
        """How often a name was asked for."""
        kinds = (A, AAAA) if kind is None else (kind,)
        return sum(self.asked[name, kind] for kind in kinds)

    def _run(self) -> None:
        try:
            self._serve()
        except Exception as exc:
            self._broken = exc

    def _serve(self) -> None:
        while True:
            timeout = max(0.0, self._later[0][0] - time.monotonic()) if self._later else None
            for key, _ in self._selector.select(timeout):
                sock = key.fileobj
                if sock is self._woken:
                    return
                if sock is self._udp:
                    self._read_datagrams()
                elif sock is self._listener:
                    connection, _ = self._listener.accept()
                    self._connections[connection] = b""
                    self._selector.register(connection, selectors.EVENT_READ)
                else:
                    self._read_stream(sock)  # type: ignore[arg-type]
            while self._later and self._later[0][0] <= time.monotonic():
                _, _, what, sock, peer = heapq.heappop(self._later)
                self._send(what, sock, peer)

    def _read_datagrams(self) -> None:
        while True:
            try:
                packet, peer = self._udp.recvfrom(4096, socket.MSG_DONTWAIT)
            except OSError:
                return
            self._answer(packet, self._udp, peer)

    def _read_stream(self, sock: socket.socket) -> None:
        try:
            data = sock.recv(4096)
        except OSError:
            data = b""
        if not data:
            self._hang_up(sock)
            return
        buffer = self._connections[sock] + data
        while len(buffer) >= 2 and len(buffer) >= 2 + int.from_bytes(buffer[:2], "big"):
            size = int.from_bytes(buffer[:2], "big")
            packet, buffer = buffer[2 : 2 + size], buffer[2 + size :]
            self._connections[sock] = buffer
            self._answer(packet, sock, None)
            if sock not in self._connections:
                return
        self._connections[sock] = buffer

    def _hang_up(self, sock: socket.socket) -> None:
        del self._connections[sock]
        self._selector.unregister(sock)
        sock.close()

    def _answer(self, packet: bytes, sock: socket.socket, peer: object) -> None:
        question = read_question(packet, tcp=peer is None)
        key = (question.name.lower(), question.type)
        times = self.asked[key]
        self.asked[key] += 1
        self.over_tcp[key] += question.tcp
        question = Question(
            question.id,
            question.name,
            question.type,
            question.raw,
            question.tcp,
            question.edns,
            times,
        )
        for what in self.script(question):
            if what.delay:
                when = time.monotonic() + what.delay
                heapq.heappush(self._later, (when, next(self._numbers), what, sock, peer))
            else:
                self._send(what, sock, peer)

    def _send(self, what: Send | HangUp, sock: socket.socket, peer: object) -> None:
        if peer is None:
            if sock not in self._connections:
                return
            try:
                if isinstance(what, Send):
                    sock.sendall(len(what.packet).to_bytes(2, "big") + what.packet)
                    return
            except OSError:
                pass  # the client hung up
            self._hang_up(sock)
        elif isinstance(what, Send):
            sender = self._stranger if what.stranger else self._udp
            sender.sendto(what.packet, peer)  # type: ignore[arg-type]
