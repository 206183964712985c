"""What is measured: the table of scenarios.

A scenario is one question. All contenders that can answer it take turns within one process, round
by round, so that what happens to the machine meanwhile happens to all of them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from . import names, network, places
from .measure import Way

if TYPE_CHECKING:
    from collections.abc import Callable

    from .contenders import Contender

#: In a quick run, and where a sample takes seconds: each way to connect once.
CORE = {
    "aioconnect.connect",
    "aioconnect.open_connection",
    "bare connect",
    "loop.sock_connect",
    "loop.create_connection",
    "asyncio.open_connection",
    "aiohappyeyeballs",
    "anyio.connect_tcp",
    "trio.socket",
    "trio.open_tcp_stream",
}
QUICK = CORE | {
    "aioconnect.connect, no second look",
    "aioconnect.create_connection",
    "socket.create_connection",
    "loop.create_unix_connection",
    "asyncio.open_unix_connection",
    "anyio.connect_unix",
    "trio.open_unix_socket",
}


def _everyone(_: Contender) -> bool:
    return True


def _as_shipped(candidate: Contender) -> bool:
    """Leave out what only shows a part of ours."""
    return "no second look" not in candidate.name


def _races(candidate: Contender) -> bool:
    return candidate.races and _as_shipped(candidate)


def _waits(candidate: Contender) -> bool:
    return not candidate.blocks and _as_shipped(candidate)


def _core(candidate: Contender) -> bool:
    """Leave out anyio on uvloop and trio as well: a sample of it takes seconds."""
    repeated = candidate.needs == "anyio" and candidate.loop != "asyncio"
    return candidate.name in CORE and not repeated


def _core_that_waits(candidate: Contender) -> bool:
    return _core(candidate) and not candidate.blocks


def _largest(candidate: Contender) -> bool:
    """Leave out anyio: at this size it takes ten seconds and more for a sample."""
    return _core(candidate) and candidate.needs != "anyio"


@dataclass(frozen=True, slots=True)
class Scenario:
    """One question."""

    name: str
    #: "{count}" in it stands for how many make a sample.
    title: str
    way: Way
    place: places.Making
    rounds: int
    #: Seconds after which no further round is begun.
    budget: float
    #: The contender that the others are divided by.
    floor: str = "bare connect"
    #: The figure that the table and the plot show.
    figure: str = "wall_us"
    #: Which contenders take part, of those that can.
    chosen: Callable[[Contender], bool] = _as_shipped
    #: Why it cannot run here, or None.
    obstacle: Callable[[], str | None] = lambda: None
    #: In --quick: how many in a sample, and rounds; no rounds leave it out.
    quick_count: int = 0
    quick_rounds: int = 0
    #: What a reader must know to read its figures.
    note: str = ""

    @property
    def heading(self) -> str:
        """The title, with its count."""
        count = self.way.count
        return self.title.format(count=f"{count // 1000} 000" if count >= 10_000 else count)

    def quick(self) -> Scenario:
        """Return the same question, asked less often, and of fewer."""
        count = self.quick_count or self.way.count
        return replace(
            self,
            way=replace(self.way, count=count),
            rounds=self.quick_rounds,
            budget=self.budget / 4,
            chosen=lambda candidate: candidate.name in QUICK and self.chosen(candidate),
        )


def _black_holed(count: int, *, rounds: int, budget: float, quick_rounds: int = 0) -> Scenario:
    return Scenario(
        name=f"black-holed-{count}",
        title="{count} connects that nobody answers, with a timeout of 1 s",
        way=Way("timeout", count),
        place=places.black_hole(1.0),
        rounds=rounds,
        budget=budget,
        figure="cpu_us",
        chosen=_largest if count > 10_000 else _core,
        obstacle=network.why_no_tun,
        quick_rounds=quick_rounds,
        note="The floor begins the same connects without a loop, holds all of them, and closes "
        "them. Ours keeps the time itself; the others stand in their loop's own timeout.",
    )


def _together(
    count: int,
    *,
    rounds: int,
    budget: float,
    quick_rounds: int = 0,
    chosen: Callable[[Contender], bool] = _as_shipped,
) -> Scenario:
    return Scenario(
        name=f"together-{count}",
        title="{count} tasks started together, TCP to 127.0.0.1",
        way=Way("together", count),
        place=places.tcp_v4,
        rounds=rounds,
        budget=budget,
        quick_rounds=quick_rounds,
        chosen=chosen,
        note="The floor, which blocks, connects as often, one after the other.",
    )


SCENARIOS = [
    Scenario(
        name="sequential",
        title="One after the other, TCP to 127.0.0.1",
        way=Way("sequential", 100),
        place=places.tcp_v4,
        rounds=50,
        budget=50,
        chosen=_everyone,
        quick_rounds=9,
    ),
    Scenario(
        name="sequential-v6",
        title="One after the other, TCP to ::1",
        way=Way("sequential", 100),
        place=places.tcp_v6,
        rounds=15,
        budget=20,
        obstacle=places.no_ipv6,
    ),
    Scenario(
        name="sequential-unix",
        title="One after the other, Unix socket",
        way=Way("sequential", 100),
        place=places.unix,
        rounds=30,
        budget=20,
        quick_rounds=7,
    ),
    Scenario(
        name="refused",
        title="Refused, TCP to 127.0.0.1",
        way=Way("sequential", 100, fails=True),
        place=places.refused,
        rounds=30,
        budget=25,
        quick_rounds=5,
    ),
    Scenario(
        name="first-refused",
        title="Two addresses, the first refused",
        way=Way("sequential", 60),
        place=places.first_refused,
        rounds=25,
        budget=25,
        obstacle=places.no_ipv6,
        quick_rounds=5,
        note="::1 refuses, 127.0.0.1 accepts. Contenders that take a name are told both addresses "
        "at no cost, through their loop; uvloop's own create_connection looks names up in C and "
        "cannot be told.",
    ),
    Scenario(
        name="first-dead",
        title="Two addresses, the first never answers",
        way=Way("sequential", 1, warm_up=0),
        place=places.first_dead,
        rounds=3,
        budget=25,
        floor="",
        chosen=_races,
        obstacle=network.why_no_tun,
        note="Those that race, each with a delay of 250 ms before the second address.",
    ),
    Scenario(
        name="localhost",
        title="localhost by name, a server on both families",
        way=Way("sequential", 50),
        place=places.localhost,
        rounds=20,
        budget=25,
        floor="socket.create_connection",
        obstacle=places.no_ipv6,
        quick_rounds=5,
        note="Each connect looks the name up: aiohttp's cache is off.",
    ),
    Scenario(
        name="localhost-1000",
        title="{count} tasks to localhost by name, started together",
        way=Way("together", 1000),
        place=places.localhost,
        rounds=4,
        budget=30,
        floor="socket.create_connection",
        obstacle=places.no_ipv6,
        note="The floor, which blocks, connects as often, one after the other.",
    ),
    Scenario(
        name="name-cached",
        title="One name again and again, from a name server or a cache",
        way=Way("sequential", 50),
        place=names.one_name,
        rounds=12,
        budget=25,
        floor="socket.create_connection",
        obstacle=network.why_no_namespace,
        note="The name server is on the loopback: a question costs little more than its threads.",
    ),
    Scenario(
        name="names-1000",
        title="{count} different names at once, from a name server",
        way=Way("together", 1000),
        place=names.many_names(1000),
        rounds=4,
        budget=40,
        floor="socket.create_connection",
        obstacle=network.why_no_namespace,
        note="The floor, which blocks, does as much, one after the other. The CPU is that of all "
        "threads.",
    ),
    _together(100, rounds=20, budget=20),
    _together(1000, rounds=9, budget=40, quick_rounds=3),
    _together(10_000, rounds=3, budget=50, chosen=_core),
    Scenario(
        name="round-trip-1ms",
        title="One after the other, round trip of 1 ms",
        way=Way("sequential", 20, warm_up=1),
        place=places.behind(0.001),
        rounds=7,
        budget=20,
        obstacle=network.why_no_tun,
    ),
    Scenario(
        name="round-trip-1ms-1000",
        title="{count} tasks started together, round trip of 1 ms",
        way=Way("together", 1000, warm_up=1),
        place=places.behind(0.001),
        rounds=4,
        budget=30,
        figure="cpu_us",
        floor="",
        chosen=_waits,
        obstacle=network.why_no_tun,
    ),
    Scenario(
        name="round-trip-10ms",
        title="One after the other, round trip of 10 ms",
        way=Way("sequential", 5, warm_up=1),
        place=places.behind(0.010),
        rounds=4,
        budget=15,
        obstacle=network.why_no_tun,
    ),
    Scenario(
        name="round-trip-10ms-1000",
        title="{count} tasks started together, round trip of 10 ms",
        way=Way("together", 1000, warm_up=1),
        place=places.behind(0.010),
        rounds=9,
        budget=40,
        figure="cpu_us",
        floor="",
        chosen=_waits,
        obstacle=network.why_no_tun,
        quick_rounds=3,
    ),
    _black_holed(1000, rounds=3, budget=60, quick_rounds=1),
    _black_holed(4000, rounds=2, budget=60),
    _black_holed(10_000, rounds=3, budget=90),
    _black_holed(16_000, rounds=3, budget=90),
    Scenario(
        name="cancelled-10000",
        title="{count} tasks cancelled while they connect",
        way=Way("cancel", 10_000),
        place=places.black_hole(30.0),
        rounds=3,
        budget=50,
        figure="cpu_us",
        floor="",
        chosen=_core_that_waits,
        obstacle=network.why_no_tun,
        quick_count=1000,
        quick_rounds=3,
        note="The cost of the cancellation; what the start cost stands beside it.",
    ),
    Scenario(
        name="memory",
        title="What each of {count} pending connects holds, with its task",
        way=Way("memory", 10_000),
        place=places.black_hole(30.0),
        rounds=1,
        budget=60,
        figure="bytes",
        floor="",
        chosen=_core_that_waits,
        obstacle=network.why_no_tun,
        quick_count=1000,
        quick_rounds=1,
        note="By tracemalloc: Python's memory and libuv's, not the kernel's.",
    ),
    Scenario(
        name="tls",
        title="A TLS handshake on top, TCP to 127.0.0.1",
        way=Way("sequential", 10),
        place=places.tls,
        rounds=15,
        budget=20,
        floor="socket.create_connection",
        obstacle=places.no_certificate,
        note="The server signs with ECDSA P-256; the wall time holds its half of the handshake.",
    ),
]


def find(name: str) -> Scenario:
    """Return the scenario of that name."""
    for scenario in SCENARIOS:
        if scenario.name == name:
            return scenario
    raise KeyError(name)
