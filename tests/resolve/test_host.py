"""The everyday, on a host of our own: dnsmasq, the hosts file, search domains, gai.conf, Ctrl-C."""

from __future__ import annotations

import json
import random
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import pytest

from aioconnect.resolve import threads

from ..support.loops import LOOPS
from ..support.needs import needs
from .lab import RESOLV_CONF, Ask, Lab

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = needs("mount namespace", "veth")

RESOLVERS = ("system", "aiodns")


@pytest.fixture(scope="module")
def dnsmasq() -> Iterator[Lab]:
    with Lab("dnsmasq", resolv_conf="nameserver 127.0.0.1\nsearch test\n") as lab:
        yield lab


@pytest.fixture(scope="module")
def scripted() -> Iterator[Lab]:
    with Lab() as lab:
        yield lab


def outcomes(lab: Lab, resolver: str, name: str, **options: Any) -> list[dict[str, Any]]:
    """Ask on both loops; the outcomes are the same but for times."""
    by_loop = []
    for loop in LOOPS:
        (found,) = lab.call("look_up", loop=loop, asks=[asdict(Ask(resolver, name, **options))])
        for outcome in found:
            outcome.pop("took")
            outcome.pop("text", None)  # it says how long it took
            if outcome.get("ttl"):
                outcome["ttl"] = round(outcome["ttl"] / 10) * 10
        by_loop.append(found)
    assert all(found == by_loop[0] for found in by_loop)
    return by_loop[0]


EVERYDAY: list[tuple[str, Any, Any]] = [
    ("both.test", ["fd00::1"], ["10.0.0.1"]),
    ("Both.TEST", ["fd00::1"], ["10.0.0.1"]),
    ("both.test.", ["fd00::1"], ["10.0.0.1"]),
    ("both", ["fd00::1"], ["10.0.0.1"]),  # by the search domain
    ("only4.test", "no_data", ["10.0.0.4"]),
    ("only6.test", ["fd00::6"], "no_data"),
    ("alias.test", ["fd00::9"], ["10.0.0.9"]),
    ("absent.test", "host_not_found", "host_not_found"),
    # /etc/hosts comes first, with its aliases.
    ("in-hosts.fault.test", ["fd01::1"], ["10.1.1.1"]),
    ("hosts-alias", ["fd01::1"], ["10.1.1.1"]),
    ("both.hosts", ["fd01::1"], ["10.1.1.1"]),
]


@pytest.mark.parametrize("resolver", RESOLVERS)
@pytest.mark.parametrize(("name", "six", "four"), EVERYDAY)
def test_the_everyday(name: str, six: Any, four: Any, resolver: str, dnsmasq: Lab) -> None:
    """Both resolvers say the same of a well-behaved name server and of this host's files."""
    found = outcomes(dnsmasq, resolver, name)
    assert [outcome.get("error") or outcome["addresses"] for outcome in found] == [six, four]


@pytest.mark.parametrize("resolver", RESOLVERS)
def test_eight_addresses_all_come(resolver: str, dnsmasq: Lab) -> None:
    """In whatever turn the server gives them."""
    (loop, *_) = LOOPS
    ask = Ask(resolver, "many.test", families=(2,))
    ((outcome,),) = dnsmasq.call("look_up", loop=loop, asks=[asdict(ask)])
    assert sorted(outcome["addresses"]) == [f"10.0.1.{n}" for n in range(1, 9)]


def test_c_ares_says_the_time_to_live_and_where_from(dnsmasq: Lab) -> None:
    """Of an alias the shortest; of the hosts file none."""
    first, _ = outcomes(dnsmasq, "aiodns", "both.test")
    assert (first["ttl"], first["source"], first["canonical"]) == (120, "dns", None)
    first, _ = outcomes(dnsmasq, "aiodns", "alias.test")
    assert (first["ttl"], first["canonical"]) == (0, "end.test")
    first, _ = outcomes(dnsmasq, "aiodns", "both.hosts")
    assert (first["ttl"], first["source"]) == (None, "hosts")


@pytest.mark.parametrize("resolver", RESOLVERS)
def test_three_hundred_names_at_once(resolver: str, dnsmasq: Lab) -> None:
    """Each with both families, each right."""
    for loop in LOOPS:
        asks = [asdict(Ask(resolver, f"n{n}.test")) for n in range(1, 301)]
        found = dnsmasq.call("look_up", loop=loop, asks=asks)
        for n, (six, four) in enumerate(found, start=1):
            assert six["addresses"] == [f"fd02::{n:x}"]
            assert four["addresses"] == [f"10.2.{n >> 8}.{n & 255}"]


@pytest.mark.parametrize("resolver", RESOLVERS)
def test_a_cache_around_it(resolver: str, scripted: Lab) -> None:
    """The name moves: the cache serves what it has, until it is told to forget."""
    for number, loop in enumerate(LOOPS):
        name = f"moves.{resolver}{number}.fault.test"
        ask = Ask(f"cached {resolver}", name, (2,), times=3)
        (found,) = scripted.call("look_up", loop=loop, asks=[asdict(ask)])
        assert [outcome["addresses"] for outcome in found] == [["10.0.0.1"]] * 3
        assert [outcome["source"] for outcome in found][1:] == ["cache"] * 2
        assert scripted.call("times_asked", name=name) == 1
        name = f"moves.{resolver}-forgotten{number}.fault.test"
        ask = Ask(f"cached {resolver}", name, (2,), times=3, forget=True)
        (found,) = scripted.call("look_up", loop=loop, asks=[asdict(ask)])
        assert [outcome["addresses"] for outcome in found] == [
            ["10.0.0.1"],
            ["10.0.0.2"],
            ["10.0.0.2"],
        ]
        assert scripted.call("times_asked", name=name) == 3


@pytest.mark.parametrize("resolver", RESOLVERS)
def test_a_changed_resolv_conf_is_followed(resolver: str, scripted: Lab) -> None:
    """Without a restart: VPNs and suspended laptops change it."""
    (loop, *_) = LOOPS
    ask = asdict(Ask(resolver, "both", (2,)))
    scripted.call("write", name="resolv.conf", text="nameserver 127.0.0.1\nsearch elsewhere.test\n")
    try:
        ((before,),) = scripted.call("look_up", loop=loop, asks=[ask])
        assert before["error"] == "host_not_found"
    finally:
        scripted.call("write", name="resolv.conf", text=RESOLV_CONF)
    ((after,),) = scripted.call("look_up", loop=loop, asks=[ask])
    assert after["addresses"] == ["10.0.0.1"]


# The exit -----------------------------------------------------------------------------------------

HUNG = """
import asyncio, sys, uvloop
from aioconnect.resolve import AiodnsResolver, SystemResolver

async def main():
    resolver = {resolver}()
    print("asking", flush=True)
    await asyncio.gather(*(resolver.lookup("lost.fault.test", family) for family in (10, 2)))

try:
    with asyncio.Runner(loop_factory={loop}) as runner:
        runner.run(main())
except KeyboardInterrupt:
    print("interrupted", flush=True)
    sys.exit(130)
"""


@pytest.mark.parametrize("loop", ["asyncio.SelectorEventLoop", "uvloop.new_event_loop"])
@pytest.mark.parametrize("resolver", ["SystemResolver", "AiodnsResolver"])
def test_ctrl_c_ends_a_program_whose_name_server_is_silent(resolver: str, loop: str) -> None:
    """Within a second, without a traceback; libc would keep it for ten."""
    with Lab(resolv_conf="nameserver 127.0.0.1\n") as lab:
        script = HUNG.format(resolver=resolver, loop=loop)
        seconds, said = lab.call("interrupted", script=script)
    assert said == "asking\ninterrupted\n"
    assert seconds < 1.0


BOUNDED = """
import asyncio, gc, os, threading, time
from aioconnect.resolve import AiodnsResolver, SystemResolver

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")

async def give_up(resolver, first, number):
    for start in range(first, first + number, 500):
        tasks = [
            asyncio.create_task(resolver.lookup(f"lost.n{{n}}.fault.test", (2, 10)[n % 2]))
            for n in range(start, start + 500)
        ]
        await asyncio.sleep(0.002)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

async def main():
    resolver = {resolver}()
    await give_up(resolver, 0, 5000)
    gc.collect()
    memory, threads = resident(), threading.active_count()
    await give_up(resolver, 5000, 10000)
    gc.collect()
    print((resident() - memory) >> 20, threading.active_count())
    print(asyncio.all_tasks() == {{asyncio.current_task()}})

asyncio.run(main())
"""


@pytest.mark.parametrize("resolver", ["SystemResolver", "AiodnsResolver"])
def test_ten_thousand_who_give_up_on_a_silent_server_leave_nothing(
    resolver: str, scripted: Lab
) -> None:
    """Memory (to a few MiB) is where it was, the real libc and c-ares at work.

    What libc does not give back is bounded: threads that hang, which count until they do.
    """
    said = scripted.call("run", script=BOUNDED.format(resolver=resolver))
    (grown, running), (tasks,) = (line.split() for line in said.splitlines())
    assert int(grown) <= 8
    most = threads.THREADS + threads.MOST_HUNG if resolver == "SystemResolver" else 1
    assert int(running) <= most + 2, "and the main one, and the one that looks at the time"
    assert tasks == "True"


# The order ----------------------------------------------------------------------------------------

SORTING = """
import json, socket
from aioconnect.resolve.order import sort

for name in {names!r}:
    infos = socket.getaddrinfo(name, None, 0, socket.SOCK_STREAM)
    libc = [(int(info[0]), info[4][0]) for info in infos]
    asked = []
    for family in (socket.AF_INET6, socket.AF_INET):
        with open("/etc/hosts") as file:
            for line in file:
                words = line.split()
                if words and name in words[1:] and (":" in words[0]) == (family == 10):
                    asked.append((int(family), words[0]))
    print(json.dumps([libc, sort(asked)]))
"""

POOL = [
    "::1",
    "2001:db8::7",
    "2001:db8:5::1",
    "2a00:1::1",
    "2002:c000:201::1",
    "2001::5",
    "fd00::1",
    "fec0::1",
    "3ffe::1",
    "64:ff9b::1",
    "127.0.0.1",
    "203.0.113.77",
    "198.51.100.7",
    "169.254.0.1",
]

GAI = {
    "the RFC's table": """
label ::1/128 0
label ::/0 1
label ::ffff:0:0/96 4
label 2002::/16 2
label 2001::/32 5
label fc00::/7 13
label ::/96 3
label fec0::/10 11
label 3ffe::/16 12
precedence ::1/128 50
precedence ::/0 40
precedence ::ffff:0:0/96 35
precedence 2002::/16 30
precedence 2001::/32 5
precedence fc00::/7 3
precedence ::/96 1
precedence fec0::/10 1
precedence 3ffe::/16 1
""",
}
GAI["IPv4 first"] = GAI["the RFC's table"].replace("::ffff:0:0/96 35", "::ffff:0:0/96 100")


@pytest.mark.parametrize("table", GAI)
def test_the_order_is_libcs(table: str) -> None:
    """The same gai.conf, the same routes, the same addresses: sixty draws of two to eight."""
    chance = random.Random(6724)
    draws = [chance.sample(POOL, chance.randrange(2, 9)) for _ in range(60)]
    hosts = "".join(
        f"{address} draw{number}.hosts\n" for number, draw in enumerate(draws) for address in draw
    )
    names = [f"draw{number}.hosts" for number in range(len(draws))]
    with Lab(hosts=hosts, gai_conf=GAI[table]) as lab:
        said = lab.call("run", script=SORTING.format(names=names))
    lines = said.splitlines()
    assert len(lines) == len(draws), said
    for draw, line in zip(draws, lines, strict=True):
        libc, ours = json.loads(line)
        assert ours == libc, draw
