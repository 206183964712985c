"""The network that the tests stand on: servers, peers that misbehave, namespaces of their own.

Everything here is a context manager that leaves nothing behind: no descriptor, no thread, no
process, no namespace.  A network namespace belongs to a *thread*: :func:`namespace` moves the
calling one, and every socket, loop-driven or blocking, that this thread makes inside is in it.
Threads started inside are in it too; those started before are not, so dial literal addresses.
"""

from __future__ import annotations

import asyncio
import ctypes
import errno
import fcntl
import os
import platform
import resource
import select
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import pytest

import aioconnect
import aioconnect.blocking

from .conftest import LOOPS
from .support.needs import need, skip

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager

NOBODY = 65534
"""A user that owns nothing."""

for _make in LOOPS.values():
    _make().close()  # with the first loop libuv opens a pipe, which it keeps for the process


# The ways to call the library ---------------------------------------------------------------------

APIS = (*LOOPS, "blocking")


class Api:
    """The three functions of the library, called on one loop or blocking, from synchronous code.

    A test that is not a coroutine can change namespace, limits or user around a call without
    asking when the loop runs what.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._runner: asyncio.Runner | None = None
        self._around: Callable[[], AbstractContextManager[None]] = nullcontext

    def __enter__(self) -> Self:
        if self.name in LOOPS:
            self._runner = asyncio.Runner(loop_factory=LOOPS[self.name])
            self._runner.get_loop()  # its descriptors are open before a test counts or limits them
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._runner is not None:
            self._runner.close()

    @contextmanager
    def during(self, context: Callable[[], AbstractContextManager[None]]) -> Iterator[None]:
        """Enter this context around each call; within the loop, which may need what it forbids."""
        self._around = context
        try:
            yield
        finally:
            self._around = nullcontext

    def connect(self, *args: Any, **options: Any) -> socket.socket:
        """Call ``connect``."""
        return self._call("connect", *args, **options)

    def sock_connect(self, *args: Any, **options: Any) -> None:
        """Call ``sock_connect``."""
        return self._call("sock_connect", *args, **options)

    def connect_wait(self, *args: Any, **options: Any) -> None:
        """Call ``connect_wait``."""
        return self._call("connect_wait", *args, **options)

    def fails(self, *args: Any, **options: Any) -> aioconnect.ConnectError:
        """Call ``connect`` and return the error that it must raise."""
        with pytest.raises(aioconnect.ConnectError) as caught:
            self.connect(*args, **options).close()
        return caught.value

    def together(self, dials: Sequence[tuple[tuple[Any, ...], dict[str, Any]]]) -> list[Any]:
        """Call ``connect`` for each at the same time; return what each returned or raised."""
        if self._runner is None:
            with ThreadPoolExecutor(len(dials)) as pool:
                futures = [pool.submit(self.connect, *args, **kw) for args, kw in dials]
            return [future.exception() or future.result() for future in futures]

        async def gather() -> list[Any]:
            calls = [aioconnect.connect(*args, **kw) for args, kw in dials]
            return await asyncio.gather(*calls, return_exceptions=True)

        return self._runner.run(gather())

    def _call(self, function: str, *args: Any, **options: Any) -> Any:
        if self._runner is None:
            with self._around():
                return getattr(aioconnect.blocking, function)(*args, **options)

        async def call() -> Any:
            with self._around():
                return await getattr(aioconnect, function)(*args, **options)

        return self._runner.run(call())


# Servers ------------------------------------------------------------------------------------------


def family_of(address: Any) -> socket.AddressFamily:
    """Tell the family of a numeric address as Python writes it."""
    if isinstance(address, str | bytes):
        return socket.AF_UNIX
    return socket.AF_INET6 if ":" in address[0] else socket.AF_INET


def need_family_of(address: Any) -> None:
    """Skip the test where the family of an address is not to be had."""
    if family_of(address) == socket.AF_INET6:
        need("ipv6")


@contextmanager
def listen(
    address: Any = ("127.0.0.1", 0), *, type: int = socket.SOCK_STREAM, backlog: int = 128
) -> Iterator[socket.socket]:
    """Give a listening socket (a bound one for datagrams); the kernel accepts on its behalf."""
    need_family_of(address)
    with socket.socket(family_of(address), type) as sock:
        if sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
        if type != socket.SOCK_DGRAM:
            sock.listen(backlog)
        yield sock


@contextmanager
def refusing(address: Any = ("127.0.0.1", 0)) -> Iterator[Any]:
    """Give an address that refuses: bound, so that nobody else takes it, and not listening."""
    need_family_of(address)
    with socket.socket(family_of(address)) as sock:
        sock.bind(address)
        yield sock.getsockname()


def closed_port(host: str = "127.0.0.1") -> int:
    """Return a port that was free a moment ago."""
    with refusing((host, 0)) as address:
        return int(address[1])


@contextmanager
def resetting(address: Any = ("127.0.0.1", 0)) -> Iterator[Any]:
    """Give the address of a server that accepts and resets each connection at once."""
    with listen(address) as server:

        def serve() -> None:
            with suppress(OSError):  # the listener was shut down: the test is over
                while True:
                    connection, _ = server.accept()
                    linger = struct.pack("ii", 1, 0)
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                    connection.close()

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield server.getsockname()
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()


@contextmanager
def full_backlog(address: Any, *, type: int = socket.SOCK_STREAM) -> Iterator[socket.socket]:
    """Give a listening Unix socket whose backlog is full: ``accept`` on it makes room for one."""
    with listen(address, type=type, backlog=0) as server, ExitStack() as fillers:
        while True:
            filler = fillers.enter_context(socket.socket(server.family, type))
            filler.setblocking(False)
            try:
                filler.connect(address)
            except BlockingIOError:
                break
        yield server


@contextmanager
def black_hole(host: str = "127.0.0.1") -> Iterator[Any]:
    """Give a TCP address that never answers a SYN, without any privilege.

    Linux drops the SYNs to a listener whose accept queue is full.  In a namespace,
    :meth:`Namespace.nft` with a ``drop`` does it more plainly.
    """
    with listen((host, 0), backlog=0) as server, ExitStack() as fillers:
        while True:
            filler = fillers.enter_context(socket.socket(server.family))
            filler.setblocking(False)
            filler.connect_ex(server.getsockname())
            if not select.select([], [filler], [], 0.2)[1]:
                break
        yield server.getsockname()


# Namespaces ---------------------------------------------------------------------------------------

_CLONE_NEWNET = 0x40000000


def _libc(function: str, *args: Any) -> int:
    result = int(getattr(ctypes.CDLL(None, use_errno=True), function)(*args))
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{function}: {os.strerror(number)}")
    return result


def _run(*command: str, stdin: str | None = None) -> str:
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
            _libc("unshare", _CLONE_NEWNET)
            try:
                self.descriptor = _open_own_namespace()
                _run("ip", "link", "set", "lo", "up")
            finally:
                _libc("setns", here, _CLONE_NEWNET)
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
            _libc("setns", self.descriptor, _CLONE_NEWNET)
            yield
        finally:
            _libc("setns", here, _CLONE_NEWNET)
            os.close(here)

    def ip(self, *commands: str) -> None:
        """Run each as an ``ip`` command: ``"route add blackhole 10.1.0.0/16"``."""
        with self.inside():
            _run("ip", "-batch", "-", stdin="\n".join(commands))

    def nft(self, rules: str) -> None:
        """Add filter rules to the chain of all packets that leave: ``"ip daddr 10.1.1.1 drop"``."""
        need("nftables")
        chain = "type filter hook output priority 0;"
        with self.inside():
            _run("nft", "-f", "-", stdin=f"table inet t {{\nchain c {{\n{chain}\n{rules}\n}}\n}}\n")

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


# Limits, users, sandboxes -------------------------------------------------------------------------


@contextmanager
def few_descriptors(spare: int = 0) -> Iterator[None]:
    """Let this process open exactly ``spare`` more descriptors (RLIMIT_NOFILE)."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    held = [os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC) for _ in range(spare + 1)]
    limit = max(held)
    for descriptor in held:
        os.close(descriptor)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@contextmanager
def other_user() -> Iterator[None]:
    """Do what follows as the user nobody, without any capability."""
    need("root")
    os.setegid(NOBODY)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)


@contextmanager
def open_directory() -> Iterator[Path]:
    """Give a new directory that any user may enter (pytest's ``tmp_path`` lets only its owner)."""
    path = Path(tempfile.mkdtemp(prefix="aioconnect-"))
    path.chmod(0o755)
    try:
        yield path
    finally:
        shutil.rmtree(path)


@contextmanager
def read_only_file_system(path: Path, *files: str) -> Iterator[None]:
    """Mount an empty read-only file system at ``path``, with these files in it."""
    need("root", "mount")
    command = ["mount", "-t", "tmpfs", "tmpfs", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        skip("a mount", done.stderr.strip())
    try:
        for name in files:
            (path / name).touch()
        _run("mount", "-o", "remount,ro", str(path))
        yield
    finally:
        _run("umount", str(path))


@contextmanager
def immutable(path: Path) -> Iterator[None]:
    """Make a file immutable, as ``chattr +i`` does."""
    need("root")
    descriptor = os.open(path, os.O_RDONLY)
    set_flags, immutable_flag = 0x40086602, 0x10  # FS_IOC_SETFLAGS, FS_IMMUTABLE_FL
    try:
        try:
            fcntl.ioctl(descriptor, set_flags, struct.pack("l", immutable_flag))
        except OSError as exc:
            skip("immutable files", str(exc))
        try:
            yield
        finally:
            fcntl.ioctl(descriptor, set_flags, struct.pack("l", 0))
    finally:
        os.close(descriptor)


_SYSCALLS = {
    "x86_64": {"socket": 41, "connect": 42, "bind": 49},
    "aarch64": {"socket": 198, "bind": 200, "connect": 203},
}


def sandboxed(
    function: Callable[[], Any], syscall: str, number: int, *, first_argument: int | None = None
) -> Any:
    """Call ``function`` in a thread to which the kernel answers ``syscall`` with ``number``.

    This is seccomp(2), what systemd's ``SystemCallFilter=`` and ``RestrictAddressFamilies=`` and
    every container runtime use.  A filter cannot be taken off a thread, hence the thread.  With
    ``first_argument`` only calls with that first argument fail.
    """
    numbers = _SYSCALLS.get(platform.machine())
    if numbers is None or not sys.platform.startswith("linux"):
        skip("seccomp", "the numbers of this machine's system calls are not known")
    matches = [(0x20, 0, 0, 0), (0x15, 0, 1, numbers[syscall])]  # load the call's number, compare
    if first_argument is not None:
        matches = [(0x20, 0, 0, 0), (0x15, 0, 3, numbers[syscall])]
        matches += [(0x20, 0, 0, 16), (0x15, 0, 1, first_argument)]
    program = [*matches, (0x06, 0, 0, 0x00050000 | number), (0x06, 0, 0, 0x7FFF0000)]
    instructions = ctypes.create_string_buffer(
        b"".join(struct.pack("HBBI", *instruction) for instruction in program)
    )
    filter_ = ctypes.create_string_buffer(
        struct.pack("HxxxxxxP", len(program), ctypes.addressof(instructions))
    )

    def run() -> Any:
        no_new_privileges, set_seccomp, mode_filter = 38, 22, 2
        _libc("prctl", no_new_privileges, 1, 0, 0, 0)
        try:
            _libc("prctl", set_seccomp, mode_filter, filter_, 0, 0)
        except OSError as exc:
            if exc.errno in (errno.EINVAL, errno.ENOSYS, errno.EPERM):
                skip("seccomp", str(exc))
            raise
        return function()

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(run).result()
