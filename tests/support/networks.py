"""Networks of their own: namespaces, cables, filters, and a peer in user space.

A network namespace belongs to a *thread*: :func:`namespace` moves the calling one, and every
socket, loop-driven or blocking, that this thread makes inside is in it.  Threads started inside are
in it too; those started before are not, so dial literal addresses.  Everything here is a context
manager that leaves nothing behind: no descriptor, no thread, no process, no namespace.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import select
import socket
import struct
import subprocess
import sys
import threading
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from .needs import need

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_CLONE_NEWNET = 0x40000000


def libc(function: str, *args: Any) -> int:
    """Call a function of libc that says by -1 that it has failed."""
    result = int(getattr(ctypes.CDLL(None, use_errno=True), function)(*args))
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{function}: {os.strerror(number)}")
    return result


def run(*command: str, stdin: str | None = None) -> str:
    """Run a command that must not fail, and return what it wrote."""
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr.strip()}"
    return done.stdout


class Namespace:
    """A network namespace, empty but for a loopback interface that is up."""

    def __init__(self) -> None:
        """Make it; the calling thread stays where it is."""
        self._stack = ExitStack()
        here = _open_own_namespace()
        try:
            libc("unshare", _CLONE_NEWNET)
            try:
                self.descriptor = _open_own_namespace()
                run("ip", "link", "set", "lo", "up")
            finally:
                libc("setns", here, _CLONE_NEWNET)
        finally:
            os.close(here)
        self._stack.callback(os.close, self.descriptor)

    def close(self) -> None:
        """Let go of it; it goes when the last socket in it is closed."""
        self._stack.close()

    @contextmanager
    def inside(self) -> Iterator[None]:
        """Move the calling thread into it; what is opened here stays in it afterwards."""
        here = _open_own_namespace()
        try:
            libc("setns", self.descriptor, _CLONE_NEWNET)
            yield
        finally:
            libc("setns", here, _CLONE_NEWNET)
            os.close(here)

    def ip(self, *commands: str) -> None:
        """Run each as an ``ip`` command: ``"route add blackhole 10.1.0.0/16"``."""
        with self.inside():
            run("ip", "-batch", "-", stdin="\n".join(commands))

    def nft(self, rules: str) -> None:
        """Add filter rules to the chain of all packets that leave: ``"ip daddr 10.1.1.1 drop"``."""
        need("nftables")
        chain = "type filter hook output priority 0;"
        with self.inside():
            run("nft", "-f", "-", stdin=f"table inet t {{\nchain c {{\n{chain}\n{rules}\n}}\n}}\n")

    def sysctl(self, name: str, value: object) -> None:
        """Write ``/proc/sys/net/<name>`` of this namespace."""
        with self.inside():
            Path("/proc/sys/net", name).write_text(str(value))

    def remote(self) -> Namespace:
        """Make a second namespace, the host on the other side of a cable.

        Here is 10.66.0.1 and fd66::1 on ``near``; there 10.66.0.2 and fd66::2 on ``far``.  It is
        closed with this one.
        """
        need("veth")
        other = Namespace()
        self._stack.callback(other.close)
        there = f"/proc/{os.getpid()}/fd/{other.descriptor}"
        self.ip(
            f"link add near type veth peer name far netns {there}",
            "address add 10.66.0.1/24 dev near",
            "address add fd66::1/64 dev near nodad",
            "link set near up",
        )
        other.ip(
            "address add 10.66.0.2/24 dev far",
            "address add fd66::2/64 dev far nodad",
            "link set far up",
        )
        return other


def _open_own_namespace() -> int:
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


@contextmanager
def namespace() -> Iterator[Namespace]:
    """Move the calling thread into a new network namespace, and back at the end.

    Skips the test, saying why, where that cannot be done.
    """
    need("netns")
    made = Namespace()
    try:
        with made.inside():
            yield made
    finally:
        made.close()


# A peer in user space -----------------------------------------------------------------------------


class Syn(NamedTuple):
    """A SYN that came to a :class:`TunPeer`, and the packets that answer it."""

    packet: bytes
    source: bytes
    target: bytes
    source_port: int
    target_port: int
    number: int

    def tcp(self, flags: int, *, sequence: int = 0) -> bytes:
        """Return a segment from the target: its flags, its sequence number after our ISN."""
        header = struct.pack(
            "!HHIIBBHHH",
            self.target_port,
            self.source_port,
            (_ISN + sequence) & 0xFFFFFFFF,
            (self.number + 1) & 0xFFFFFFFF,
            5 << 4,
            flags,
            65535,
            0,
            0,
        )
        return self._ip(socket.IPPROTO_TCP, header, checksum_at=16)

    def icmp(self, type: int, code: int) -> bytes:
        """Return an ICMP (ICMPv6) error about this SYN."""
        if len(self.source) == 4:
            body = struct.pack("!BBHI", type, code, 0, 0) + self.packet[:28]
            body = body[:2] + struct.pack("!H", _checksum(body)) + body[4:]
            return self._ip(socket.IPPROTO_ICMP, body)
        body = struct.pack("!BBHI", type, code, 0, 1280 if type == 2 else 0) + self.packet
        return self._ip(socket.IPPROTO_ICMPV6, body, checksum_at=2)

    def _ip(self, protocol: int, body: bytes, checksum_at: int | None = None) -> bytes:
        if checksum_at is not None:
            pseudo = self.target + self.source + struct.pack("!II", len(body), protocol)
            total = struct.pack("!H", _checksum(pseudo + body))
            body = body[:checksum_at] + total + body[checksum_at + 2 :]
        if len(self.source) == 16:
            header = struct.pack("!IHBB", 6 << 28, len(body), protocol, 64)
            return header + self.target + self.source + body
        length = 20 + len(body)
        fields = [0x45, 0, length, 0, 0, 64, protocol, 0, self.target, self.source]
        fields[7] = _checksum(struct.pack("!BBHHHBBH4s4s", *fields))
        return struct.pack("!BBHHHBBH4s4s", *fields) + body


FIN, SYN, RST, ACK = 0x01, 0x02, 0x04, 0x10
_ISN = 1_000_000


def _checksum(data: bytes) -> int:
    """Return the Internet checksum (RFC 1071)."""
    total = sum(struct.unpack(f"!{(len(data) + 1) // 2}H", data + bytes(len(data) % 2)))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


class TunPeer:
    """Hosts at the far end of a TUN device, which answer each SYN with the packets they are told.

    All of 10.77.0.0/16 and fd77::/64 but the first address lies behind it; a host that was told
    nothing stays silent.
    """

    def __init__(self, namespace: Namespace) -> None:
        need("tun")
        self._answers: dict[bytes, Callable[[Syn], list[bytes]]] = {}
        self._stop_reader, self._stop_writer = os.pipe()
        self._device = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
        tun_without_header = 0x1001
        with namespace.inside():
            request = struct.pack("16sH22x", b"wire", tun_without_header)
            fcntl.ioctl(self._device, 0x400454CA, request)  # TUNSETIFF
        namespace.ip(
            "address add 10.77.0.1/16 dev wire",
            "address add fd77::1/64 dev wire nodad",
            "link set wire up",
        )
        # While the interpreter's lock is held nobody can look at a socket between two packets.
        self._write = ctypes.PyDLL(None, use_errno=True).write
        self._thread = threading.Thread(target=self._serve, name="tun peer")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        os.close(self._stop_writer)
        self._thread.join()
        os.close(self._stop_reader)
        os.close(self._device)

    def answer(self, host: str, reply: Callable[[Syn], list[bytes]]) -> None:
        """Answer each SYN to ``host`` with the packets that ``reply`` makes, back to back."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._answers[socket.inet_pton(family, host)] = reply

    def _serve(self) -> None:
        while True:
            ready, _, _ = select.select([self._device, self._stop_reader], [], [])
            if self._stop_reader in ready:
                return
            syn = _parse(os.read(self._device, 65536))
            if syn is not None and syn.target in self._answers:
                packets = self._answers[syn.target](syn)
                for packet in packets:
                    self._write(self._device, packet, len(packet))


def _parse(packet: bytes) -> Syn | None:
    if packet[0] >> 4 == 4:
        start, protocol = (packet[0] & 15) * 4, packet[9]
        source, target = packet[12:16], packet[16:20]
    else:
        start, protocol = 40, packet[6]
        source, target = packet[8:24], packet[24:40]
    if protocol != socket.IPPROTO_TCP or packet[start + 13] & (SYN | ACK) != SYN:
        return None
    source_port, target_port, number = struct.unpack_from("!HHI", packet, start)
    return Syn(packet, source, target, source_port, target_port, number)


@contextmanager
def switch_interval(seconds: float) -> Iterator[None]:
    """Set how long a thread keeps the interpreter's lock when another one wants it."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(seconds)
    try:
        yield
    finally:
        sys.setswitchinterval(before)
