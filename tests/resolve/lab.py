"""A process in namespaces of its own, in which the system's resolver asks our name servers.

It has its own network (loopback, and one interface with addresses that nothing answers), its own
/etc/resolv.conf, /etc/hosts, /etc/nsswitch.conf and /etc/gai.conf, and does what it is told by
lines of JSON.  ``Lab`` is the outer side, ``python -m tests.resolve.lab`` the inner one.
"""

from __future__ import annotations

import asyncio
import errno
import json
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from aioconnect.resolve import AiodnsResolver, Cache, SystemResolver, rfc6724
from aioconnect.resolve.base import lookup_name
from aioconnect.resolve.known import Hosts

from ..support import children
from ..support.children import PATIENCE, ROOT, started
from ..support.loops import LOOPS
from ..support.needs import need
from .behaviours import BEHAVIOURS, script
from .dns import Server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .dns import HangUp, Question, Send

V4, V6 = int(socket.AF_INET), int(socket.AF_INET6)

INNER = ["unshare", "-m", "-n", sys.executable, "-m", "tests.resolve.lab"]

RESOLV_CONF = "nameserver 127.0.0.1\nsearch fault.test\noptions timeout:1 attempts:2\n"
HOSTS = """\
127.0.0.1 localhost
::1 localhost
10.1.1.1 in-hosts.fault.test hosts-alias both.hosts
fd01::1 in-hosts.fault.test hosts-alias both.hosts
10.1.1.2 only4.hosts
10.1.1.3 nxdomain.fault.test
"""
FILES = {
    "resolv.conf": RESOLV_CONF,
    "hosts": HOSTS,
    "nsswitch.conf": "hosts: files dns\n",
    "gai.conf": "",
    "host.conf": "multi on\n",
}


class Lab:
    """The outer side: call the inner side's functions."""

    def __init__(self, server: str = "scripted", **files: str) -> None:
        need("mount namespace", "veth", *(["dnsmasq"] if server == "dnsmasq" else []))
        self._server = server
        self._files = files

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            command = [*INNER, self._server]
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
            self._process = stack.enter_context(started(command, cwd=ROOT, text=True, **pipes))
            stack.callback(self._process.wait, PATIENCE)
            stack.callback(self._process.stdin.close)  # it then undoes its mounts, and ends
            for name, text in self._files.items():
                self.call("write", name=name.replace("_", "."), text=text)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stack.close()
        assert self._process.returncode == 0 or exc_info[0], "the lab ended with an error"

    def call(self, function: str, **arguments: Any) -> Any:
        """Call one of ``FUNCTIONS`` inside."""
        self._process.stdin.write(json.dumps([function, arguments]) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, f"the lab ended in {function}"
        answer = json.loads(line)
        assert "raised" not in answer, answer["raised"]
        return answer["returned"]


# The inner side ----------------------------------------------------------------------------------

FUNCTIONS: dict[str, Callable[..., Any]] = {}


def function(inner: Callable[..., Any]) -> Callable[..., Any]:
    FUNCTIONS[inner.__name__] = inner
    return inner


RESOLVERS: dict[str, Callable[[], Any]] = {
    "system": SystemResolver,
    "aiodns": AiodnsResolver,
    "cached system": lambda: Cache(SystemResolver()),
    "cached aiodns": lambda: Cache(AiodnsResolver()),
}


@function
def write(name: str, text: str) -> None:
    """Write one of the files that this process sees in /etc."""
    # In place: it is the file that is mounted.
    Path("/etc", name).write_text(text)


@dataclass(frozen=True)
class Ask:
    """Questions to one resolver of their own: each family, ``times`` times one after the other."""

    resolver: str
    name: str
    families: tuple[int, ...] = (int(socket.AF_INET6), int(socket.AF_INET))
    times: int = 1
    forget: bool = False
    """Whether the resolver is told to forget the name in between."""


@function
def look_up(loop: str, asks: list[dict[str, Any]], timeout: float = 20.0) -> list[Any]:
    """Ask everything at once; return for each :class:`Ask` the outcomes in its order."""

    async def one(ask: Ask) -> list[dict[str, Any]]:
        resolver = RESOLVERS[ask.resolver]()
        outcomes: list[dict[str, Any]] = []
        for number in range(ask.times):
            if number and ask.forget and hasattr(resolver, "forget"):
                resolver.forget(ask.name)
            outcomes += await asyncio.gather(*(asked(resolver, ask.name, f) for f in ask.families))
        if hasattr(resolver, "aclose"):
            await resolver.aclose()
        return outcomes

    async def asked(resolver: Any, name: str, family: int) -> dict[str, Any]:
        began = time.monotonic()
        try:
            async with asyncio.timeout(timeout):
                answer = await resolver.lookup(name, family)
        except OSError as exc:
            return {
                "error": getattr(exc, "code", type(exc).__name__),
                "gaierror": isinstance(exc, socket.gaierror),
                "text": str(exc),
                "took": time.monotonic() - began,
            }
        return {
            "addresses": list(answer.addresses),
            "ttl": answer.ttl,
            "canonical": answer.canonical,
            "source": answer.source,
            "took": time.monotonic() - began,
        }

    async def everything() -> list[Any]:
        return await asyncio.gather(*(one(Ask(**ask)) for ask in asks))

    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        return runner.run(everything())


@function
def search(loop: str, resolver: str, name: str, families: list[int]) -> list[Any]:
    """Search for a name; return family, addresses, seconds of each answer, or what was raised."""

    async def look() -> list[Any]:
        began, found = time.monotonic(), []
        asked = RESOLVERS[resolver]()
        try:
            async for answer in lookup_name(asked, name, families):
                took = time.monotonic() - began
                found.append([answer.family, list(answer.addresses), took])
        except OSError as exc:
            found.append([getattr(exc, "code", ""), str(exc), time.monotonic() - began])
        return found

    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        return runner.run(look())


@function
def interrupted(script: str) -> list[Any]:
    """Run a program here, press Ctrl-C when it says so; return seconds and what it said."""
    with started(
        [sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=ROOT,
    ) as process:
        first = process.stdout.readline()
        time.sleep(0.3)  # so that the query is on its way
        began = time.monotonic()
        process.send_signal(signal.SIGINT)
        said = process.stdout.read()
        process.wait()
        return [time.monotonic() - began, first + said]


@function
def run(script: str, env: dict[str, str] | None = None) -> str:
    """Run a program here; return what it said."""
    done = children.run([sys.executable, "-c", script], cwd=ROOT, env=env)
    return done.stdout + done.stderr


@function
def peek(resolver: str, name: str) -> list[list[str]] | None:
    """Return the addresses of each family that are known without asking."""
    time.sleep(0.1)  # a file that has just changed is not kept
    answers = RESOLVERS[resolver]().peek_name(name, (V6, V4))
    return None if answers is None else [list(answer.addresses) for answer in answers]


@contextmanager
def no_descriptor_left() -> Iterator[None]:
    """Run the block with no descriptor free."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@function
def precedence(address: str, lacking: bool = False) -> int | str | None:
    """Return the precedence of an address in this host's table, or the errno's name."""
    value = rfc6724.number(socket.AF_INET6, address)
    with no_descriptor_left() if lacking else nullcontext():
        try:
            return rfc6724.system().precedence(value)
        except OSError as exc:
            return errno.errorcode[exc.errno or 0]


@function
def compare_hosts(texts: list[str]) -> list[str]:
    """Return where our reading of hosts files differs from libc's."""
    wrong = []
    for text in texts:
        write("hosts", text)
        ours = Hosts(text.encode())
        for name in ("a", "b.test", "B.TEST", "b.test.", "c", "d", "e", "a.b"):
            for families in ((V6, V4), (V6,), (V4,)):
                family = 0 if len(families) == 2 else families[0]
                try:
                    infos = socket.getaddrinfo(name, 80, family, socket.SOCK_STREAM)
                except OSError:
                    infos = []
                libc = {info[4][0] for info in infos}
                found = {a for each in ours.answers(name, families) or () for a in each.addresses}
                if found != libc:
                    wrong.append(f"{text!r}: {name!r}, {family}: {found}, libc has {libc}")
    return wrong


@function
def misbehave(label: str) -> None:
    """Have the scripted server do what this label says for every name that has it second."""
    _second[:] = [label] if label else []


_second: list[str] = []


def by_second_label(question: Question) -> Iterator[Send | HangUp]:
    """Answer as the second label says, if the test asked for that."""
    labels = question.name.lower().split(".")
    if _second and labels[1:2] == _second:
        return BEHAVIOURS[_second[0]](question)
    return script(question)


_server: list[Server] = []


@function
def times_asked(name: str) -> int:
    """How often the scripted name server was asked for the name, either family."""
    return _server[0].times(name)


@contextmanager
def dnsmasq() -> Iterator[None]:
    """Serve the everyday: this is the name server of many routers and hosts."""
    options = [
        "--host-record=both.test,10.0.0.1,fd00::1,120",
        "--host-record=only4.test,10.0.0.4",
        "--host-record=only6.test,fd00::6",
        "--host-record=end.test,10.0.0.9,fd00::9",
        "--cname=alias.test,end.test,30",
        *(f"--host-record=many.test,10.0.1.{n}" for n in range(1, 9)),
        *(f"--host-record=n{n}.test,10.2.{n >> 8}.{n & 255},fd02::{n:x}" for n in range(1, 301)),
        "--local=/test/",
    ]
    fixed = "--no-daemon --no-resolv --no-hosts --conf-file=/dev/null --pid-file= --user=root"
    process = subprocess.Popen(
        ["dnsmasq", *fixed.split(), "--listen-address=127.0.0.1", "--bind-interfaces", *options],
        stderr=subprocess.DEVNULL,
    )
    try:
        while process.poll() is None:
            with socket.socket() as sock:
                if sock.connect_ex(("127.0.0.1", 53)) == 0:
                    break
            time.sleep(0.05)
        assert process.returncode is None, "dnsmasq does not start"
        yield
    finally:
        process.kill()
        process.wait()


def main() -> None:
    def do(command: str) -> None:
        subprocess.run(command.split(), check=True)

    for command in (
        "ip link set lo up",
        "ip link add near type veth peer name far",
        "ip link set far up",
        "ip address add 192.0.2.1/24 dev near",
        "ip address add 2001:db8::1/64 dev near nodad",
        "ip link set near up",
        "ip route add default via 192.0.2.2",
        "ip -6 route add default via 2001:db8::2",
    ):
        do(command)
    with ExitStack() as stack:
        directory = stack.enter_context(tempfile.TemporaryDirectory())
        for name, text in FILES.items():
            path = Path(directory, name)
            path.write_text(text)
            path.chmod(0o644)
            Path("/etc", name).touch()
            do(f"mount --bind {path} /etc/{name}")
            stack.callback(do, f"umount -l /etc/{name}")
        if sys.argv[1] == "scripted":
            _server.append(stack.enter_context(Server(by_second_label, port=53)))
        else:
            stack.enter_context(dnsmasq())
        for line in sys.stdin:
            name, arguments = json.loads(line)
            answer: dict[str, Any]
            try:
                answer = {"returned": FUNCTIONS[name](**arguments)}
            except Exception as exc:
                answer = {"raised": repr(exc)}
            sys.stdout.write(json.dumps(answer) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
