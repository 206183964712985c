"""Random worlds: what this host is configured for, what DNS says, and what ``getaddrinfo`` gives.

A world is made of a seed: a hosts file, an nsswitch.conf, a search list and ndots, and what the
name server says of each full name.  In a namespace of its own, libc is asked for each name, and
then every resolver, on both loops and without one, has ``connect`` dial it.  A policy takes down
what is dialled and refuses it, so all that would be dialled is seen and nothing is.

``Inner`` is the outer side, ``python -m tests.resolve.worlds`` the inner one.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import socket
import subprocess
import sys
import tempfile
import traceback
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aioconnect
from aioconnect import blocking
from aioconnect.resolve import AiodnsResolver, Cache, SystemResolver

from ..support.children import ROOT, started
from ..support.loops import LOOPS
from .dns import AAAA, NXDOMAIN, REFUSED, SERVFAIL, A, Send, Server, address, authority, reply

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .dns import Question

NAMES = ("db", "db.app", "api.example.test", "db.", "printer.local", "other")
DOMAINS = ("near.test", "far.test", "example.test", "app", ".")
SWITCHES = (
    "hosts: files dns",
    "hosts: files dns",
    "hosts: files dns",
    "# nothing",
    "hosts: dns files",
    "hosts: files",
    "hosts: dns",
    "hosts: files [NOTFOUND=return] dns",
    "hosts: dns [NOTFOUND=return] files",
    "hosts: dns [!UNAVAIL=return] files",
    "hosts: files mdns4_minimal [NOTFOUND=return] dns",
    "hosts: mymachines resolve [!UNAVAIL=return] files myhostname dns",
    "hosts: files myhostname dns",
    "hosts: files [SUCCESS=continue] dns",
    "hosts: files [SUCCESS=merge] dns",
    "hosts: nosuchsource files dns",
    "hosts:\tfiles\tdns # as ever",
)
POSITIVE, NO_NAME, NO_DATA, FAILED, REFUSES, SILENT = (
    "positive",
    "no name",
    "no data",
    "failed",
    "refuses",
    "silent",
)


@dataclass
class World:
    """What one seed stands for."""

    seed: int
    hosts: str = ""
    nsswitch: str = ""
    resolv: str = ""
    multi: bool = True
    family: int = 0
    dns: dict[str, tuple[str, str]] = field(default_factory=dict)
    """What the server says of a full name: for IPv4, for IPv6."""

    @property
    def is_silent(self) -> bool:
        """Whether the server may be silent."""
        return any(SILENT in said for said in self.dns.values())


def world(seed: int) -> World:
    """Make a world."""
    rng = random.Random(seed)
    made = World(seed)
    lines = ["127.0.0.1 localhost", "::1 localhost"]
    for number in range(rng.choice((0, 0, 1, 2, 3, 5))):
        numeric = rng.choice((f"10.9.0.{number}", f"fd09::{number:x}", f"::ffff:10.8.0.{number}"))
        names = rng.sample(NAMES, rng.randint(1, 3))
        lines.append(f"{numeric} {' '.join(names)}")
    made.hosts = "\n".join(lines) + "\n"
    made.multi = rng.random() < 0.6
    made.nsswitch = rng.choice(SWITCHES) + "\n"
    made.family = rng.choice((0, 0, 0, 0, int(socket.AF_INET), int(socket.AF_INET6)))
    searched = rng.sample(DOMAINS, rng.choice((0, 1, 2, 2, 3)))
    ndots = rng.choice((None, 0, 1, 2, 5))
    made.resolv = "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n"
    if searched:
        made.resolv += f"search {' '.join(searched)}\n"
    if ndots is not None:
        made.resolv += f"options ndots:{ndots}\n"
    silent = rng.random() < 0.12
    for name in NAMES:
        bare = name.removesuffix(".")
        for full in (bare, *(f"{bare}.{domain}" for domain in DOMAINS if domain != ".")):
            made.dns[full] = _said(rng, silent=silent)
    return made


def _said(rng: random.Random, *, silent: bool) -> tuple[str, str]:
    whole = rng.random()
    if whole < 0.35:
        return NO_NAME, NO_NAME
    if whole < 0.45:
        return POSITIVE, POSITIVE
    if whole < 0.65:
        return (POSITIVE, NO_DATA) if rng.random() < 0.5 else (NO_DATA, POSITIVE)
    if whole < 0.75:
        both = rng.choice((FAILED, REFUSES, NO_DATA))
        return both, both
    if silent and whole < 0.9:
        # One family is silent; the other is not.
        other = rng.choice((POSITIVE, NO_DATA, NO_NAME))
        return (other, SILENT) if rng.random() < 0.7 else (SILENT, other)
    said = (POSITIVE, NO_NAME, NO_DATA, FAILED)
    return rng.choice(said), rng.choice(said)


# The outer side ----------------------------------------------------------------------------------

INNER = ["unshare", "-m", "-n", sys.executable, "-m", "tests.resolve.worlds"]


def differences(seeds: list[int], *, at_once: int = 4) -> list[str]:
    """Return what is wrong in the worlds of these seeds."""
    with ThreadPoolExecutor(at_once) as pool:
        shares = [seeds[number::at_once] for number in range(at_once)]
        return [text for texts in pool.map(_share, [s for s in shares if s]) for text in texts]


def _share(seeds: list[int]) -> list[str]:
    with started(
        INNER, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as process:
        said, _ = process.communicate(json.dumps(seeds))
    assert process.returncode == 0, said
    wrong: list[str] = json.loads(said.splitlines()[-1])
    return wrong


# The inner side ----------------------------------------------------------------------------------


def main() -> None:
    """Visit the worlds of the seeds that are given."""
    wrong = []
    with ExitStack() as stack:
        stack.enter_context(own_files())
        scripted = Scripted()
        stack.enter_context(Server(scripted, port=53))
        for seed in json.load(sys.stdin):
            scripted.world = world(seed)
            wrong += visit(scripted)
    sys.stdout.write(json.dumps(wrong))


@contextmanager
def own_files() -> Iterator[None]:
    """Bring the loopback interface up, and have files of our own in /etc."""
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    with tempfile.TemporaryDirectory() as folder:
        for name in ("hosts", "nsswitch.conf", "resolv.conf", "host.conf", "gai.conf"):
            path = Path(folder, name)
            path.touch(0o644)
            Path("/etc", name).touch()
            subprocess.run(["mount", "--bind", path, f"/etc/{name}"], check=True)
        yield


class Scripted:
    """The name server of the world that is visited."""

    def __init__(self) -> None:
        self.world = World(0)
        self.negative = False
        self.asked: set[str] = set()

    def __call__(self, question: Question) -> Iterator[Send]:
        """Answer."""
        name = question.name.lower()
        self.asked.add(name)
        said = self.world.dns.get(name, (NO_NAME, NO_NAME))[question.type == AAAA]
        if said == SILENT:
            if not self.negative:
                return
            said = NO_DATA
        if question.type not in (A, AAAA):
            said = NO_DATA
        if said == POSITIVE:
            number = list(self.world.dns).index(name) + 1
            text = f"fd00::{number:x}" if question.type == AAAA else f"10.0.0.{number}"
            yield Send(reply(question, [address(question.name, text)]))
        else:
            rcode = {NO_NAME: NXDOMAIN, FAILED: SERVFAIL, REFUSES: REFUSED}.get(said, 0)
            yield Send(reply(question, rcode=rcode, authorities=[authority("test")]))


def visit(scripted: Scripted) -> list[str]:
    """Return what is wrong in a world."""
    here = scripted.world
    for name, text in {
        "hosts": here.hosts,
        "nsswitch.conf": here.nsswitch,
        "resolv.conf": here.resolv,
        "host.conf": f"multi {'on' if here.multi else 'off'}\n",
    }.items():
        Path("/etc", name).write_text(text)
    scripted.asked = set()
    named = []
    for scripted.negative in (True, False) if here.is_silent else (False,):
        named += together([lambda: witness(here.family)])
    libc_asked, scripted.asked = scripted.asked, set()
    wrong = []
    dialled = together([lambda dial=dial: dial(here.family) for dial in WAYS.values()])
    for way, reached in zip(WAYS, dialled, strict=True):
        for name in NAMES:
            seen = set(reached[name])
            allowed = set().union(*[found[name] for found in named])
            if not seen <= allowed or (not seen and all(found[name] for found in named)):
                said = f"dialled {sorted(seen)}, libc has {sorted(allowed)}"
                wrong.append(f"{way}: {name!r}: {said}: {here}")
    if more := scripted.asked - libc_asked:
        wrong.append(f"asked for {sorted(more)}, unlike libc: {here}")
    return wrong


def together(calls: list[Callable[[], Any]]) -> list[Any]:
    """Call each in a forked child of its own, in which libc has read nothing yet."""
    children = []
    for call in calls:
        reading, writing = os.pipe()
        child = os.fork()
        if not child:
            try:
                os.close(reading)
                with open(writing, "w") as pipe:
                    json.dump(call(), pipe)
            except BaseException:
                traceback.print_exc()
                os._exit(1)
            os._exit(0)
        os.close(writing)
        children.append((child, reading))
    returned = []
    for child, reading in children:
        with open(reading) as pipe:
            said = pipe.read()
        assert os.waitpid(child, 0)[1] == 0, said
        returned.append(json.loads(said))
    return returned


def witness(family: int) -> dict[str, list[str]]:
    """Return what libc has for each name."""

    def one(name: str) -> list[str]:
        try:
            infos = socket.getaddrinfo(name, 80, family, socket.SOCK_STREAM)
        except OSError:
            return []
        return [str(info[4][0]) for info in infos]

    with ThreadPoolExecutor(len(NAMES)) as pool:
        return dict(zip(NAMES, pool.map(one, NAMES), strict=True))


def resolvers() -> dict[str, Callable[[], Any]]:
    """Return a way to make each resolver."""
    return {
        "system": SystemResolver,
        "aiodns": AiodnsResolver,
        "cached system": lambda: Cache(SystemResolver()),
        "cached aiodns": lambda: Cache(AiodnsResolver()),
    }


class Notes:
    """A policy that notes what is dialled, and refuses it."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def __call__(self, endpoint: Any) -> None:
        """Refuse."""
        self.seen.append(endpoint[4][0])
        raise PermissionError


OPTIONS: dict[str, Any] = {"timeout": 12, "happy_eyeballs_delay": 0.01}


def on_a_loop(loop: str, kind: str) -> Callable[[int], dict[str, list[str]]]:
    """Return what dials every name on a loop; a cached one twice."""

    def dial(family: int) -> dict[str, list[str]]:
        resolver = resolvers()[kind]()

        async def one(name: str) -> list[str]:
            notes = Notes()
            for _ in range(2 if "cached" in kind else 1):
                with suppress(OSError):
                    await aioconnect.connect(
                        name, 80, resolver=resolver, family=family, address_policy=notes, **OPTIONS
                    )
            return notes.seen

        async def everything() -> list[list[str]]:
            return await asyncio.gather(*[one(name) for name in NAMES])

        with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
            return dict(zip(NAMES, runner.run(everything()), strict=True))

    return dial


def without_a_loop(kind: str) -> Callable[[int], dict[str, list[str]]]:
    """Return what dials every name by the blocking twin."""

    def dial(family: int) -> dict[str, list[str]]:
        resolver = resolvers()[kind]()

        def one(name: str) -> list[str]:
            notes = Notes()
            with suppress(OSError):
                blocking.connect(
                    name, 80, resolver=resolver, family=family, address_policy=notes, **OPTIONS
                )
            return notes.seen

        with ThreadPoolExecutor(len(NAMES)) as pool:
            return dict(zip(NAMES, pool.map(one, NAMES), strict=True))

    return dial


WAYS = {
    **{
        f"{loop}, {kind}": on_a_loop(loop, kind)
        for loop in LOOPS
        for kind in ("system", "aiodns", "cached system", "cached aiodns")
    },
    **{f"blocking, {kind}": without_a_loop(kind) for kind in ("system", "aiodns")},
}


if __name__ == "__main__":
    main()
