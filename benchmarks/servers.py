"""The processes that the contenders connect to: an accept loop, and a server that speaks TLS.

Each is a process of its own on a core of its own. The accept loop is `accept.c`, compiled when
the benchmark starts; where there is no C compiler, or no epoll, the same loop runs in Python.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import selectors
import shutil
import socket
import ssl
import struct
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

HERE = Path(__file__).parent
# The kernel's default limit is 4096; inside a namespace of its own the script raises it.
BACKLOG = 16384
# Reset instead of TIME_WAIT. The server's sockets carry it, never the contenders': the client
# closes first, as clients do, and the reset that answers its FIN frees both ends at once. So a
# port is free again after one exchange, and no contender pays a system call for that.
NO_TIME_WAIT = struct.pack("ii", 1, 0)


def raise_descriptor_limit() -> int:
    """Allow this process as many descriptors as it may have, and return how many those are."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 65536 if hard == resource.RLIM_INFINITY else hard
    if soft != resource.RLIM_INFINITY and soft < wanted:
        # macOS has a lower limit beside the one that it reports.
        for limit in (wanted, 10240):
            with contextlib.suppress(ValueError, OSError):
                resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
                break
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return sys.maxsize if soft == resource.RLIM_INFINITY else soft


def compile_c(name: str, directory: Path) -> Path | None:
    """Compile `name`.c from this folder into `directory`; None if that cannot be done here."""
    compiler = shutil.which("cc")
    if compiler is None or sys.platform != "linux":
        return None
    program = directory / name
    done = subprocess.run(
        [compiler, "-O2", "-o", str(program), str(HERE / f"{name}.c")], capture_output=True
    )
    return program if done.returncode == 0 else None


def listen(family: int, address: object) -> socket.socket:
    """Return a non-blocking listening socket for the accept loop."""
    listener = socket.socket(family, socket.SOCK_STREAM)
    if family != socket.AF_UNIX:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_TIME_WAIT)
    listener.bind(address)  # type: ignore[arg-type]
    listener.listen(BACKLOG)
    listener.setblocking(False)
    return listener


@dataclass(slots=True)
class Server:
    """A running server process, which answers each byte on its input with a line of counts."""

    process: subprocess.Popen[bytes]
    language: str

    def counts(self) -> tuple[int, float]:
        """Return how many it has served, and the seconds of CPU that it has used."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(b"?")
        self.process.stdin.flush()
        served, microseconds = self.process.stdout.readline().split()
        return int(served), int(microseconds) / 1e6

    def stop(self) -> None:
        """Ask the process to end, by closing its input, and wait until it has."""
        try:
            self.process.communicate(timeout=5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def start(
    command: Sequence[str], *, core: int | None, descriptors: Sequence[int] = (), language: str
) -> Server:
    """Start a server process on `core`, with `descriptors` open in it."""
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        pass_fds=descriptors,
        cwd=HERE.parent,
    )
    if core is not None:
        os.sched_setaffinity(process.pid, {core})
    return Server(process, language)


@contextlib.contextmanager
def accept_loop(
    listeners: Sequence[socket.socket], *, core: int | None, programs: Path
) -> Iterator[Server]:
    """Run the accept loop over `listeners` until the block is left."""
    program = programs / "accept"
    descriptors = [listener.fileno() for listener in listeners]
    if program.exists():
        command = [str(program)]
        language = "C"
    else:
        command = [sys.executable, "-m", "benchmarks.servers", "accept"]
        language = "Python"
    command += map(str, descriptors)
    server = start(command, core=core, descriptors=descriptors, language=language)
    try:
        yield server
    finally:
        server.stop()


@contextlib.contextmanager
def tls_server(listener: socket.socket, certificate: Path, *, core: int | None) -> Iterator[Server]:
    """Run a server that shakes hands over TLS on `listener` until the block is left."""
    command = [sys.executable, "-m", "benchmarks.servers", "tls", str(listener.fileno())]
    command.append(str(certificate))
    server = start(command, core=core, descriptors=[listener.fileno()], language="Python")
    try:
        yield server
    finally:
        server.stop()


def make_certificate(directory: Path) -> Path | None:
    """Write a certificate for localhost, its key above it; None where openssl is not there."""
    program = shutil.which("openssl")
    if program is None:
        return None
    both = directory / "localhost.pem"
    key = directory / "key.pem"
    request = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
    request += " -subj /CN=localhost -addext subjectAltName=DNS:localhost,IP:127.0.0.1,IP:::1"
    done = subprocess.run(
        [program, *request.split(), "-keyout", str(key), "-out", str(both)], capture_output=True
    )
    if done.returncode != 0:
        return None
    both.write_bytes(key.read_bytes() + both.read_bytes())
    return both


def cpu_microseconds() -> int:
    """Return the CPU that this process has used, as a server reports it."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return round((usage.ru_utime + usage.ru_stime) * 1e6)


def _serve_accept(descriptors: Sequence[int]) -> None:
    """Do what accept.c does, on any POSIX system."""
    selector = selectors.DefaultSelector()
    for descriptor in descriptors:
        selector.register(socket.socket(fileno=descriptor), selectors.EVENT_READ, "listener")
    selector.register(sys.stdin.fileno(), selectors.EVENT_READ, "control")
    accepted = 0
    while True:
        for key, _ in selector.select():
            if key.data == "listener":
                while True:
                    try:
                        connection, _ = key.fileobj.accept()  # type: ignore[union-attr]
                    except OSError:
                        break
                    connection.setblocking(False)
                    selector.register(connection, selectors.EVENT_READ, "connection")
                    accepted += 1
            elif key.data == "connection":
                selector.unregister(key.fileobj)
                key.fileobj.close()  # type: ignore[union-attr]
            else:
                if not os.read(sys.stdin.fileno(), 1):
                    return
                print(accepted, cpu_microseconds(), flush=True)


async def _serve_tls(descriptor: int, certificate: str) -> None:
    """Shake hands with every client, and close when it does."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    accepted = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal accepted
        accepted += 1
        with contextlib.suppress(OSError):
            await reader.read()
        writer.transport.abort()

    listener = socket.socket(fileno=descriptor)
    server = await asyncio.start_server(serve, sock=listener, ssl=context, backlog=BACKLOG)
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()

    def answer() -> None:
        if os.read(sys.stdin.fileno(), 1):
            print(accepted, cpu_microseconds(), flush=True)
        else:
            ended.set()

    loop.add_reader(sys.stdin.fileno(), answer)
    await ended.wait()
    server.close()


if __name__ == "__main__":
    raise_descriptor_limit()
    if sys.argv[1] == "accept":
        _serve_accept([int(word) for word in sys.argv[2:]])
    else:
        asyncio.run(_serve_tls(int(sys.argv[2]), sys.argv[3]))
