"""Real servers from Debian, each one foreground command, in one network namespace.

The names of :data:`NAMES` are known to the dialer's resolver alone, so that no thread is asked;
127.0.0.9 swallows every packet.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import trustme

from tests.support import children
from tests.support.needs import need, postgres
from tests.support.networks import Namespace

if TYPE_CHECKING:
    from collections.abc import Iterator

SILENT = "127.0.0.9"
NAMES = {
    "db.test": ["127.0.0.1"],
    "dead.test": [SILENT, "127.0.0.1"],
    "silent.test": [SILENT],
    "wrong.test": ["127.0.0.1"],  # no certificate is for it
    "denied.test": ["127.0.0.3"],
}

_WEBSOCKETS = """
import asyncio, ssl, sys
from websockets.asyncio.server import serve

async def echo(websocket):
    async for message in websocket:
        await websocket.send(message)

async def main():
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(sys.argv[1], sys.argv[2])
    async with serve(echo, "0.0.0.0", 8081), serve(echo, "0.0.0.0", 8444, ssl=context):
        await asyncio.Event().wait()

asyncio.run(main())
"""

_NGINX = """\
daemon off;
pid {directory}/nginx.pid;
error_log stderr;
events {{}}
http {{
    access_log off;
    server {{
        listen 8080;
        listen 8443 ssl;
        ssl_certificate {directory}/cert.pem;
        ssl_certificate_key {directory}/key.pem;
        location / {{ return 200 "here"; }}
    }}
}}
"""

_SSHD = """\
Port 2222
HostKey {directory}/host_key
PidFile none
AuthorizedKeysFile {directory}/user_key.pub
StrictModes no
UsePAM no
PermitRootLogin yes
"""


class Server(NamedTuple):
    """How to start a server: its command, the port that it is seen by, what it needs, its user."""

    command: str
    port: int
    needs: str = ""
    user: str | None = None


SERVERS = {
    "redis": Server(
        "redis-server --bind 0.0.0.0 --protected-mode no --port 6379 --tls-port 6380"
        " --tls-cert-file {directory}/cert.pem --tls-key-file {directory}/key.pem"
        " --tls-ca-cert-file {directory}/ca.pem --tls-auth-clients no --save '' --dir {directory}",
        6379,
        "redis-server",
    ),
    "postgres": Server(
        "{postgres}/postgres -D {directory}/postgres -h 0.0.0.0 -k '' -c fsync=off"
        " -c shared_buffers=8MB -c ssl=on -c ssl_cert_file={directory}/cert.pem"
        " -c ssl_key_file={directory}/postgres.pem",
        5432,
        "postgres of Debian",
        "postgres",
    ),
    "mariadb": Server(
        "mariadbd --no-defaults --datadir={directory}/mariadb --bind-address=0.0.0.0 --port=3306"
        " --socket={directory}/mariadb/socket --pid-file={directory}/mariadb/pid"
        " --skip-grant-tables --skip-name-resolve",
        3306,
        "mariadbd",
        "mysql",
    ),
    "memcached": Server("memcached -u nobody -l 0.0.0.0 -p 11211", 11211, "memcached"),
    "nginx": Server("nginx -c {directory}/nginx.conf", 8080, "nginx"),
    "sshd": Server("/usr/sbin/sshd -D -e -f {directory}/sshd.conf", 2222, "sshd"),
    "nats": Server("nats-server -a 0.0.0.0 -p 4222", 4222, "nats-server"),
    "websockets": Server(
        "{python} {directory}/echo.py {directory}/cert.pem {directory}/key.pem", 8444
    ),
}


class Servers:
    """Those servers that a test has asked for, and the namespace that they are in."""

    def __init__(self, stack: ExitStack) -> None:
        self.network = Namespace()
        stack.callback(self.network.close)
        self.network.nft(f"ip daddr {SILENT} drop")
        self.directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        self.directory.chmod(0o755)
        authority = trustme.CA()
        certificate = authority.issue_cert("db.test", "dead.test", "localhost")
        authority.cert_pem.write_to_path(self.directory / "ca.pem")
        certificate.private_key_pem.write_to_path(self.directory / "key.pem")
        for blob in certificate.cert_chain_pems:
            blob.write_to_path(self.directory / "cert.pem", append=True)
        files = {"nginx.conf": _NGINX, "sshd.conf": _SSHD}
        for name, text in files.items():
            (self.directory / name).write_text(text.format(directory=self.directory))
        (self.directory / "echo.py").write_text(_WEBSOCKETS)
        self._running: dict[str, ExitStack] = {}
        stack.callback(self._stop_all)

    def start(self, name: str) -> None:
        """Start a server unless it runs, and wait until it listens."""
        if name in self._running:
            return
        need(*filter(None, [SERVERS[name].needs]))
        self._prepare(name)
        with ExitStack() as stack:
            stack.enter_context(self._run(SERVERS[name], self.directory / f"{name}.out"))
            self._running[name] = stack.pop_all()

    def stop(self, name: str) -> None:
        """Stop a server, and wait until it is gone."""
        if name in self._running:
            self._running.pop(name).close()

    def _stop_all(self) -> None:
        for name in list(self._running):
            self.stop(name)

    def _prepare(self, name: str) -> None:
        """Make, once, what is not a plain file."""
        if name == "sshd" and not (self.directory / "user_key").exists():
            Path("/run/sshd").mkdir(exist_ok=True)
            for key in ("host_key", "user_key"):
                path = str(self.directory / key)
                self._do("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path)
        data = self.directory / "postgres"
        if name == "postgres" and not data.exists():
            key = self.directory / "postgres.pem"
            key.write_bytes((self.directory / "key.pem").read_bytes())
            key.chmod(0o600)
            data.mkdir(0o700)
            self._do("chown", "postgres", str(key), str(data))
            command = f"{postgres()}/initdb -A trust -N -U me -D {data}".split()
            self._do(*command, user="postgres", cwd="/")
        data = self.directory / "mariadb"
        if name == "mariadb" and not data.exists():
            data.mkdir(0o700)
            self._do("chown", "mysql", str(data))
            command = f"mariadb-install-db --no-defaults --datadir={data}".split()
            self._do(*command, user="mysql", cwd="/")

    def _do(self, *command: str, **options: Any) -> None:
        done = children.run(command, **options)
        assert done.returncode == 0, f"{command}: {done.stderr}"

    @contextmanager
    def _run(self, server: Server, said: Path) -> Iterator[None]:
        command = server.command.format(
            directory=self.directory, python=sys.executable, postgres=postgres()
        )
        with self.network.inside(), said.open("wb") as out, ExitStack() as stack:
            process = stack.enter_context(
                children.started(
                    ["sh", "-c", f"exec {command}"],
                    stdout=out,
                    stderr=out,
                    stdin=subprocess.DEVNULL,
                    user=server.user,
                    cwd="/",
                )
            )
            ends = stack.pop_all()
        with ends:
            assert self._listens(process, server), f"{command}: {said.read_text()}"
            try:
                yield
            finally:
                # With connections open nginx and postgres would wait for their clients.
                process.send_signal(2 if server.user == "postgres" else 15)

    def _listens(self, process: subprocess.Popen[bytes], server: Server) -> bool:
        for _ in range(400):
            if process.poll() is not None:
                return False
            with self.network.inside(), socket.socket() as sock:
                if sock.connect_ex(("127.0.0.1", server.port)) == 0:
                    return True
            time.sleep(0.02)
        return False
