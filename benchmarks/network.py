"""Networks that do what a benchmark needs: a namespace of its own, a black hole, a round trip.

Everything here is made inside a network namespace that belongs to one worker process, and goes
when that process ends: nothing of the machine's own network is changed, and no packet leaves it.
The kernel may come without netem, so the delay is made in user space, between two TUN devices.
"""

from __future__ import annotations

import contextlib
import fcntl
import heapq
import json
import os
import select
import shutil
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import servers

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

UNSHARE = ["unshare", "--net", "--mount", "--"]

# RFC 2544 and RFC 3849 keep these for benchmarks and for documentation; inside the namespace
# they lead into a device that nobody reads.
BLACK_HOLE_V4, BLACK_HOLE_V6 = "198.18.0.1", "2001:db8::1"
NEAR, FAR = "198.19.0.1", "198.19.0.2"

_TUNSETIFF = 0x400454CA
_IFF_TUN, _IFF_NO_PI = 0x0001, 0x1000


def why_no_namespace() -> str | None:
    """Return why no network namespace can be made here, or None if one can."""
    if sys.platform != "linux":
        return "needs Linux"
    if os.geteuid() != 0:
        return "needs root"
    missing = [name for name in ("unshare", "ip") if shutil.which(name) is None]
    if missing:
        return f"needs {' and '.join(missing)}"
    if subprocess.run([*UNSHARE, "true"], capture_output=True).returncode != 0:
        return "may not make a network namespace"
    return None


def why_no_tun() -> str | None:
    """Return why no TUN device can be made here, or None if one can."""
    if reason := why_no_namespace():
        return reason
    return None if os.path.exists("/dev/net/tun") else "needs /dev/net/tun"


def prepare_namespace() -> None:
    """Bring the loopback of a fresh namespace up, with room for many connections."""
    _ip("link set lo up")
    for name, value in (
        ("core/somaxconn", servers.BACKLOG),
        ("ipv4/tcp_max_syn_backlog", servers.BACKLOG),
        ("ipv4/ip_local_port_range", "1024 65535"),
    ):
        with contextlib.suppress(OSError):
            Path("/proc/sys/net", name).write_text(str(value))


def replace_file(path: str, text: str, directory: Path) -> None:
    """Put a file with that text in the place of `path`, for this process and its children."""
    stand_in = directory / Path(path).name
    stand_in.write_text(text)
    subprocess.run(["mount", "--bind", str(stand_in), path], check=True)


@contextlib.contextmanager
def black_hole() -> Iterator[None]:
    """Lead the black-hole addresses into a device that nobody reads, while the block lasts.

    The device's queue is filled before anything is measured, so that each packet has the same
    fate: dropped by the device, without an error for the sender.
    """
    device = _open_tun("hole", queue=64)
    _ip("addr add 198.18.255.1/16 dev hole")
    _ip("-6 addr add 2001:db8::ffff/64 dev hole nodad")
    _ip("link set hole up")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as filler:
        for _ in range(128):
            filler.sendto(b"", (BLACK_HOLE_V4, 9))
    try:
        yield
    finally:
        os.close(device)


@contextlib.contextmanager
def far_side(
    round_trip: float, *, core: int | None, programs: Path
) -> Iterator[tuple[int, FarSide]]:
    """Run an accept loop behind a round trip of `round_trip` seconds, at the address FAR.

    Gives its port, and what counts there.
    """
    near = _open_tun("near")
    _connect_tun("near", NEAR, FAR)
    command = ["unshare", "--net", "--", sys.executable, "-m", "benchmarks.network"]
    command += [str(near), str(round_trip), str(programs), str(-1 if core is None else core)]
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        pass_fds=[near],
        cwd=servers.HERE.parent,
    )
    try:
        assert process.stdout is not None
        first = json.loads(process.stdout.readline())
        os.close(near)
        yield first["port"], FarSide(process, first["language"])
    finally:
        process.communicate(timeout=10)


class FarSide:
    """What counts behind the delay: the accept loop and the process that carries the packets."""

    def __init__(self, process: subprocess.Popen[bytes], language: str) -> None:
        self.process = process
        self.language = language

    def counts(self) -> tuple[int, float]:
        """Return how many were accepted, and the seconds of CPU of both processes together."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(b"?")
        self.process.stdin.flush()
        answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        return answer["accepted"], answer["cpu"]


def dropped(device: str = "") -> int:
    """Return how many packets this namespace's devices, or one of them, have dropped."""
    total = 0
    with contextlib.suppress(OSError):
        for line in Path("/proc/net/dev").read_text().splitlines()[2:]:
            name, counters = line.split(":")
            fields = counters.split()
            if device in ("", name.strip()):
                total += int(fields[3]) + int(fields[11])
    return total


def overflows() -> int:
    """Return how often a full accept queue has cost a connection in this namespace."""
    with contextlib.suppress(OSError):
        lines = Path("/proc/net/netstat").read_text().splitlines()
        names, values = lines[0].split(), lines[1].split()
        return int(values[names.index("ListenOverflows")])
    return 0


def _ip(words: str) -> None:
    subprocess.run(["ip", *words.split()], check=True, capture_output=True)


def _open_tun(name: str, *, queue: int = 32768) -> int:
    """Make the TUN device `name` in this namespace and return its descriptor."""
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(device, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _IFF_TUN | _IFF_NO_PI))
    # The default of 500 packets would drop some of a thousand connects that start together.
    _ip(f"link set {name} txqueuelen {queue}")
    return device


def _connect_tun(name: str, own: str, other: str) -> None:
    _ip(f"addr add {own} peer {other} dev {name}")
    _ip(f"link set {name} up")


def _serve_far_side(near: int, round_trip: float, programs: Path, core: int | None) -> None:
    """Hold the far namespace: its device, the delay and the accept loop, until the input ends."""
    servers.raise_descriptor_limit()
    prepare_namespace()
    far = _open_tun("far")
    _connect_tun("far", FAR, NEAR)
    half = round(round_trip / 2 * 1e6)
    program = programs / "delay"
    if program.exists():
        command = [str(program)]
        language = "C"
    else:
        command = [sys.executable, "-m", "benchmarks.network", "delay"]
        language = "Python"
    command += map(str, (near, far, half))
    delay = servers.start(command, core=core, descriptors=[near, far], language=language)
    listener = servers.listen(socket.AF_INET, (FAR, 0))
    with servers.accept_loop([listener], core=core, programs=programs) as server:
        languages = dict.fromkeys((server.language, language))
        first = {"port": listener.getsockname()[1], "language": " and ".join(languages)}
        print(json.dumps(first), flush=True)
        while os.read(sys.stdin.fileno(), 1):
            accepted, cpu = server.counts()
            answer = {"accepted": accepted, "cpu": cpu + delay.counts()[1]}
            print(json.dumps(answer), flush=True)
    delay.stop()


def _delay(devices: Sequence[int], microseconds: int) -> None:
    """Do what delay.c does."""
    waiting: list[tuple[float, int, int, bytes]] = []
    forwarded = 0
    control = sys.stdin.fileno()
    while True:
        timeout = max(0.0, waiting[0][0] - time.monotonic()) if waiting else None
        ready, _, _ = select.select([*devices, control], [], [], timeout)
        for descriptor in ready:
            if descriptor == control:
                if not os.read(control, 1):
                    return
                print(forwarded, servers.cpu_microseconds(), flush=True)
                continue
            other = devices[1 - devices.index(descriptor)]
            for _ in range(64):
                try:
                    packet = os.read(descriptor, 2048)
                except BlockingIOError:
                    break
                forwarded += 1
                due = time.monotonic() + microseconds / 1e6
                heapq.heappush(waiting, (due, forwarded, other, packet))
        while waiting and waiting[0][0] <= time.monotonic():
            _, _, other, packet = heapq.heappop(waiting)
            os.write(other, packet)


if __name__ == "__main__":
    if sys.argv[1] == "delay":
        _delay([int(sys.argv[2]), int(sys.argv[3])], int(sys.argv[4]))
    else:
        given_core = int(sys.argv[4])
        _serve_far_side(
            int(sys.argv[1]),
            float(sys.argv[2]),
            Path(sys.argv[3]),
            None if given_core < 0 else given_core,
        )
