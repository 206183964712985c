"""Real proxies, each one foreground command on a host of its own behind a cable.

The test's thread is on a host that reaches nothing but the proxies' host (10.66.0.2).  That host
has a network of its own behind it, 10.67.0.0/24, and alone knows its names:

    server.test    10.67.0.1, where a server speaks first, and then echoes
    dead.test      10.67.0.9, which swallows every packet
    forbidden.test 10.67.0.5, which the rules of danted, squid and tinyproxy forbid
    far.test       10.68.0.1, to which there is a route that says "unreachable"
"""

from __future__ import annotations

import socket
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from . import children
from .needs import need
from .networks import Namespace

if TYPE_CHECKING:
    from collections.abc import Iterator

PROXIES = "10.66.0.2"
USER, PASSWORD = "me", "hunter2"
BANNER = b"220 the server speaks first\r\n"

HOSTS = """\
127.0.0.1 localhost
10.67.0.1 server.test
10.67.0.9 dead.test
10.67.0.5 forbidden.test
10.68.0.1 far.test
"""
SERVER, DEAD, FORBIDDEN, FAR = "10.67.0.1", "10.67.0.9", "10.67.0.5", "10.68.0.1"


class RealProxy(NamedTuple):
    """How one of them is started, and what it can do."""

    scheme: str
    port: int
    command: str
    """``{}`` is the path of its configuration."""
    configuration: str = ""
    locked: bool = False
    """Whether it wants user name and password."""
    forbids: bool = True
    """Whether a rule forbids 10.67.0.5."""

    @property
    def url(self) -> str:
        """Where it listens, with what it wants."""
        user = f"{USER}:{PASSWORD}@" if self.locked else ""
        return f"{self.scheme}://{user}{PROXIES}:{self.port}"


REAL = {
    "microsocks": RealProxy(
        "socks5h",
        1080,
        f"microsocks -i {PROXIES} -p 1080 -u {USER} -P {PASSWORD}",
        locked=True,
        forbids=False,
    ),
    "danted": RealProxy(
        "socks5h",
        1081,
        "danted -f {}",
        f"""\
logoutput: stderr
internal: {PROXIES} port = 1081
external: inner
external.rotation: route
socksmethod: none
clientmethod: none
user.privileged: root
user.unprivileged: nobody
client pass {{ from: 0.0.0.0/0 to: 0.0.0.0/0 }}
socks block {{ from: 0.0.0.0/0 to: {FORBIDDEN}/32 }}
socks pass {{ from: 0.0.0.0/0 to: 0.0.0.0/0 protocol: tcp }}
""",
    ),
    "squid": RealProxy(
        "http",
        3128,
        "squid -N -f {}",
        f"""\
http_port {PROXIES}:3128
acl forbidden dst {FORBIDDEN}
http_access deny forbidden
http_access allow all
hosts_file /etc/hosts
dns_nameservers 127.0.0.1
dns_timeout 1 second
dns_retransmit_interval 100 milliseconds
connect_timeout 1 second
forward_max_tries 1
shutdown_lifetime 0 seconds
cache deny all
cache_mem 0
memory_pools off
access_log none
cache_log /dev/null
cache_store_log none
pid_filename none
pinger_enable off
netdb_filename none
visible_hostname squid.test
""",
    ),
    "tinyproxy": RealProxy(
        "http",
        8888,
        "tinyproxy -d -c {}",
        f"""\
Port 8888
Listen {PROXIES}
Timeout 30
LogLevel Critical
BasicAuth {USER} {PASSWORD}
Filter "{{filter}}"
FilterExtended On
""",
        locked=True,
    ),
}


class ProxyHost:
    """The host behind the cable; ``near`` is the one that the test's thread may enter."""

    def __init__(self, stack: ExitStack) -> None:
        self.near = Namespace()
        stack.callback(self.near.close)
        self.far = self.near.remote()
        self.far.ip(
            "link add inner type veth peer name deep",
            f"address add {SERVER}/24 dev inner",
            "link set inner up",
            "link set deep up",
            f"neighbour add {DEAD} lladdr 02:00:00:00:00:09 dev inner",  # or it is unreachable
            "route add unreachable 10.68.0.0/24",
        )
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        directory.chmod(0o755)
        for name, text in {
            "hosts": HOSTS,
            "nsswitch.conf": "hosts: files\n",
            "resolv.conf": "nameserver 127.0.0.1\n",
            "filter": "forbidden\n10\\.67\\.0\\.5\n",
        }.items():
            Path(directory, name).write_text(text)
        self._directory = directory
        self._stack = stack
        self._running: set[str] = set()
        self.port = stack.enter_context(self._serve())

    def lose(self, address: str) -> None:
        """Have the test's host send every packet to this address into nothing."""
        self.near.ip(f"neighbour replace {address} lladdr 02:00:00:00:00:09 dev near")

    def start(self, name: str) -> RealProxy:
        """Start a proxy, once; skip the test if this machine does not have it."""
        proxy = REAL[name]
        if name not in self._running:
            need(proxy.command.partition(" ")[0])
            self._stack.enter_context(self._run(name, proxy))
            self._running.add(name)
        return proxy

    @contextmanager
    def _run(self, name: str, proxy: RealProxy) -> Iterator[None]:
        path = self._directory / f"{name}.conf"
        path.write_text(proxy.configuration.replace("{filter}", str(self._directory / "filter")))
        mounts = [
            f"mount --bind {self._directory}/{file} /etc/{file}"
            for file in ("hosts", "nsswitch.conf", "resolv.conf")
        ]
        command = " && ".join([*mounts, "exec " + proxy.command.replace("{}", str(path))])
        said = self._directory / f"{name}.out"
        with self.far.inside(), said.open("wb") as out, ExitStack() as stack:
            process = stack.enter_context(
                children.started(
                    ["unshare", "--mount", "sh", "-c", command],
                    stdout=out,
                    stderr=out,
                    stdin=subprocess.DEVNULL,
                )
            )
            ends = stack.pop_all()
        with ends:
            assert self._listens(process, proxy), f"{proxy.command}: {said.read_text()}"
            try:
                yield
            finally:
                process.terminate()

    def _listens(self, process: subprocess.Popen[bytes], proxy: RealProxy) -> bool:
        for _ in range(400):
            if process.poll() is not None:
                return False
            with self.near.inside(), socket.socket() as sock:
                if sock.connect_ex((PROXIES, proxy.port)) == 0:
                    return True
            time.sleep(0.05)
        return False

    @contextmanager
    def _serve(self) -> Iterator[int]:
        """Run the server at server.test, whose descriptors are not ours; give its port."""
        with self.far.inside(), ExitStack() as stack:
            process = stack.enter_context(
                children.started(
                    [sys.executable, "-c", _SERVER, SERVER],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                )
            )
            ends = stack.pop_all()
        with ends:
            assert process.stdin is not None
            assert process.stdout is not None
            try:
                yield int(process.stdout.readline())
            finally:
                process.stdin.close()


_SERVER = f"""
import asyncio, sys

async def serve(reader, writer):
    try:
        writer.write({BANNER!r})
        while data := await reader.read(65536):
            writer.write(data)
    except OSError:
        pass
    writer.close()

async def main():
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
    server = await asyncio.start_server(serve, sys.argv[1], 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)

asyncio.run(main())
"""


@contextmanager
def proxy_host() -> Iterator[ProxyHost]:
    """Make the two hosts."""
    need("veth", "mount namespace")
    with ExitStack() as stack:
        yield ProxyHost(stack)
