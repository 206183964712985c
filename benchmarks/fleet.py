"""The process that dials a fleet: one part of `python -m benchmarks.many`.

Each part has a process of its own, in a network namespace of its own where that can be had, on one
core. It reports on standard output, one JSON object a line, as `worker` does.

The targets are spread over the loopback's addresses, 127.0.0.0/8, so that none is dialled twice
within a run; the server resets what its clients close, so that no port is left in TIME_WAIT.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import os
import resource
import socket
import time
import warnings
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aioconnect
from aioconnect import events

from . import measure, network, servers, worker

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

    from aioconnect.many import ConnectMany

    Address = tuple[str, int]
    Run = Callable[[int, int], Any]

#: In flight at most; with those that the consumer keeps it is below a thousand descriptors.
LIMIT = 400
#: How many of the latest connections a consumer keeps open.
KEPT = 500
#: Of the mixture, in percent.
REFUSED, DEAD = 30, 5
#: Seconds after which a dead target is given up.
GIVE_UP = 0.5
#: The same for who dials none, and does not look for a second or more while it makes its tasks.
PATIENT = 30.0

BARE = "bare connect"
OURS = "connect_many"
TASKS = "a task each, loop.sock_connect"
#: Added to the name of a contender that dials the silent ones as well.
SILENT = ", and the silent ones"


def main() -> None:
    """Run the part that the command line names."""
    parser = argparse.ArgumentParser()
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("--directory", type=Path, required=True)
    parser.add_argument("--namespace", action="store_true")
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--contender", default="")
    parser.add_argument("--mixed", action="store_true")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    servers.raise_descriptor_limit()
    if arguments.namespace:
        network.prepare_namespace()
    core = worker.pin()
    listener = servers.listen(socket.AF_INET, ("", 0))
    port = listener.getsockname()[1]
    with listener, servers.accept_loop([listener], core=core, programs=arguments.directory):
        PARTS[arguments.part](arguments, port)


# Targets ------------------------------------------------------------------------------------------


def loopback(count: int, port: int) -> Iterator[Address]:
    """Give targets of which no two have the same address."""
    for number in range(count):
        yield host(number), port


def host(number: int, *, first: int = 127) -> str:
    """Return one of the sixteen million addresses of the loopback, or of another net."""
    return f"{first}.{1 + number // 62500}.{number // 250 % 250}.{number % 250 + 1}"


def mixture(count: int, port: int, refused: int, *, dead: bool) -> Iterator[Address]:
    """Give targets of which three in ten refuse and one in twenty is silent, or is left out."""
    for number in range(count):
        kind = number * 7 % 100  # evenly among the others
        if kind < DEAD:
            if dead:
                yield f"198.18.{number // 250 % 250}.{number % 250 + 1}", 9
        else:
            yield host(number), refused if kind < DEAD + REFUSED else port


def refused_port(stack: contextlib.ExitStack) -> int:
    """Hold a port on which nobody listens: bound, so that nobody else can."""
    holder = stack.enter_context(socket.socket())
    holder.bind(("", 0))
    return int(holder.getsockname()[1])


# Contenders ---------------------------------------------------------------------------------------


def bare(targets: Iterator[Address], counts: dict[str, int]) -> None:
    """Do what there is to be done, and nothing else."""
    for address in targets:
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            sock.connect(address)
        except OSError:
            counts["failed"] += 1
        else:
            counts["connected"] += 1
        sock.close()


async def ours(targets: Iterator[Address], counts: dict[str, int]) -> None:
    """Use the library, with its defaults but for the limit and the time for a dead target."""
    many = aioconnect.connect_many(targets, limit=LIMIT, target_timeout=GIVE_UP)
    await count_and_close(many, counts)


async def by_calls(targets: Iterator[Address], counts: dict[str, int]) -> None:
    """Use the library without its two short cuts for addresses: a call for each target."""
    many = aioconnect.connect_many(targets, limit=LIMIT)
    many._direct = many._plain = False
    await count_and_close(many, counts)


async def by_decisions(targets: Iterator[Address], counts: dict[str, int]) -> None:
    """Use the library without the second of them: no call, but all decisions for each target."""
    many = aioconnect.connect_many(targets, limit=LIMIT)
    many._plain = False
    await count_and_close(many, counts)


async def count_and_close(many: ConnectMany, counts: dict[str, int]) -> None:
    """Take each result as it comes."""
    async with many as results:
        async for result in results:
            if result.socket is None:
                counts["failed"] += 1
            else:
                counts["connected"] += 1
                result.socket.close()


async def tasks(targets: Iterator[Address], counts: dict[str, int]) -> None:
    """Do it the usual way: a task for each target, and a semaphore that lets so many go on."""
    loop = asyncio.get_running_loop()
    room = asyncio.Semaphore(LIMIT)

    async def one(address: Address) -> None:
        async with room:
            sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            sock.setblocking(False)
            try:
                async with asyncio.timeout(PATIENT):
                    await loop.sock_connect(sock, address)
                counts["connected"] += 1
            except OSError:
                counts["failed"] += 1
            finally:
                sock.close()

    await asyncio.gather(*[one(address) for address in targets])


def contenders() -> dict[str, tuple[Any, Any]]:
    """Return who takes part: what it runs, and the loop that it runs on, None for no loop."""
    found: dict[str, tuple[Any, Any]] = {BARE: (bare, None)}
    for name, loop in loops().items():
        found[f"{OURS} [{name}]"] = ours, loop
        found[f"{TASKS} [{name}]"] = tasks, loop
    return found


def loops() -> dict[str, Any]:
    """Return the event loops that are here."""
    found: dict[str, Any] = {"asyncio": asyncio.SelectorEventLoop}
    with contextlib.suppress(ImportError):
        import uvloop

        found["uvloop"] = uvloop.new_event_loop
    return found


def on_loop(loop: Any, coroutine: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine on a fresh loop."""
    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(coroutine)


# What it costs ------------------------------------------------------------------------------------


def cost(arguments: argparse.Namespace, port: int) -> None:
    """All contenders in turn, in one process, target after target connecting."""
    take_turns(
        arguments.rounds,
        arguments.count,
        lambda key: loopback(arguments.count, port),
        lambda key: arguments.count,
        more={
            f"{OURS}, a call each [asyncio]": (by_calls, asyncio.SelectorEventLoop),
            f"{OURS}, all decisions each [asyncio]": (by_decisions, asyncio.SelectorEventLoop),
        },
    )


def mixed(arguments: argparse.Namespace, port: int) -> None:
    """Let three in ten refuse; and one in twenty be silent, but for the floor."""
    with contextlib.ExitStack() as stack:
        refused = refused_port(stack)
        stack.enter_context(network.black_hole())
        count = arguments.count
        answering = count - count * DEAD // 100
        take_turns(
            arguments.rounds,
            answering,
            lambda key: mixture(count, port, refused, dead=key.endswith(SILENT)),
            lambda key: answering - count * REFUSED // 100,
            more={
                f"{key}{SILENT}": value
                for key, value in contenders().items()
                if key.startswith(OURS)
            },
        )


def take_turns(
    rounds: int,
    count: int,
    targets: Callable[[str], Iterator[Address]],
    connected: Callable[[str], int],
    more: dict[str, tuple[Any, Any]],
) -> None:
    """Take a sample of each contender in each round; who begins changes from round to round."""
    chosen = contenders() | more
    keys = list(chosen)
    worker.say(event="begin", contenders=keys)
    busy = worker.others()
    started = time.monotonic()
    gc.collect()
    gc.freeze()
    for number in range(-1, rounds):  # the first is to warm up
        for key in keys[number % len(keys) :] + keys[: number % len(keys)]:
            run, loop = chosen[key]
            counts = {"connected": 0, "failed": 0}
            stretch = measure.Stretch()
            stretch.begin()
            if loop is None:
                run(targets(key), counts)
            else:
                on_loop(loop, run(targets(key), counts))
            sample = stretch.end(count)
            if counts["connected"] != connected(key):
                raise AssertionError(f"{key}: {counts}")
            if number >= 0:
                worker.say(event="sample", contender=key, round=number, **sample)
    others = (worker.others() - busy) / (time.monotonic() - started)
    worker.say(event="end", others=others)


# What it holds ------------------------------------------------------------------------------------


def memory(arguments: argparse.Namespace, port: int) -> None:
    """One contender alone, in a fresh process: resident memory and descriptors on its way.

    The consumer keeps the latest connections open, and the process may have a thousand
    descriptors, not one more.
    """
    run, loop = contenders()[arguments.contender]
    resource.setrlimit(resource.RLIMIT_NOFILE, (1000, 1000))
    with contextlib.ExitStack() as stack:
        targets = loopback(arguments.count, port)
        if arguments.mixed:
            targets = mixture(arguments.count, port, refused_port(stack), dead=True)
            stack.enter_context(network.black_hole())
        watched = Watched(targets, max(arguments.count // 100, 1))
        worker.say(event="begin", contenders=[arguments.contender])
        started, cpu = time.perf_counter(), time.process_time()
        if run is ours:
            many = aioconnect.connect_many(watched, limit=LIMIT, target_timeout=GIVE_UP)
            on_loop(loop, watched.keep(many))
        else:
            on_loop(loop, run(watched, watched.counts))
        watched.look()
    worker.say(
        event="end",
        wall=time.perf_counter() - started,
        cpu=time.process_time() - cpu,
        most_descriptors=watched.most,
        connected=watched.counts["connected"],
        failed=watched.counts["failed"],
    )


class Watched:
    """Targets, and who looks at this process while they are dialled."""

    def __init__(self, targets: Iterator[Address], every: int) -> None:
        self.targets = targets
        self.every = every
        self.given = 0
        self.most = 0
        self.counts: dict[str, int] = Counted(self)
        self.looked = -1

    def __iter__(self) -> Iterator[Address]:
        return self.targets

    async def keep(self, many: ConnectMany) -> None:
        """Take the results, and keep the latest sockets open."""
        kept: deque[socket.socket] = deque()
        async with many as results:
            async for result in results:
                if result.socket is None:
                    self.counts["failed"] += 1
                    continue
                self.counts["connected"] += 1
                kept.append(result.socket)
                if len(kept) > KEPT:
                    kept.popleft().close()
        for sock in kept:
            sock.close()

    def look(self) -> None:
        """Report the resident memory, and see how many descriptors are open."""
        done = sum(self.counts.values())
        self.most = max(self.most, len(os.listdir("/proc/self/fd")) - 1)
        if done != self.looked:
            self.looked = done
            worker.say(event="resident", done=done, mib=round(resident(), 2))


class Counted(dict[str, int]):
    """What became of the targets; now and then it makes somebody look."""

    def __init__(self, watched: Watched) -> None:
        super().__init__(connected=0, failed=0)
        self.watched = watched

    def __setitem__(self, key: str, value: int) -> None:
        """Count, and look."""
        super().__setitem__(key, value)
        if sum(self.values()) % self.watched.every == 0:
            self.watched.look()


def resident() -> float:
    """Return the resident memory of this process, in MiB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


# What it does when something lacks ----------------------------------------------------------------


def lacking(arguments: argparse.Namespace, port: int) -> None:
    """Few local ports, few descriptors, and both: each target has its result."""
    ports = Path("/proc/sys/net/ipv4/ip_local_port_range")
    worker.say(event="begin", contenders=list(loops()))
    for name, loop in loops().items():
        for few_ports, few_descriptors in ((True, False), (False, True), (True, True)):
            ports.write_text("40000 40010" if few_ports else "1024 65535")
            found = {"results": 0, "failed": 0, "slowed": 0}
            # One address when it is about ports: they are counted for each destination.
            targets = iter([("127.0.0.1", port)] * arguments.count)
            if not few_ports:
                targets = loopback(arguments.count, port)
            soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
            started = time.perf_counter()
            with asyncio.Runner(loop_factory=loop) as runner:
                runner.get_loop()
                if few_descriptors:
                    resource.setrlimit(resource.RLIMIT_NOFILE, (50, hard))
                runner.run(keep_some(targets, found))
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            worker.say(
                event="lacking",
                loop=name,
                ports=few_ports,
                descriptors=few_descriptors,
                seconds=time.perf_counter() - started,
                **found,
            )


async def keep_some(targets: Iterator[Address], found: dict[str, int]) -> None:
    """Take the results, and keep five sockets open."""
    kept: deque[socket.socket] = deque()

    def observe(event: events.Event) -> None:
        found["slowed"] += isinstance(event, events.SlowedDown)

    async with aioconnect.connect_many(targets, limit=200, on_event=observe) as results:
        async for result in results:
            found["results"] += 1
            if result.socket is None:
                found["failed"] += 1
                continue
            # A port must be free again when its socket is closed: the server's reset may be late.
            result.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, servers.NO_TIME_WAIT)
            kept.append(result.socket)
            if len(kept) > 5:
                kept.popleft().close()
    for sock in kept:
        sock.close()


# How fast it may go -------------------------------------------------------------------------------


def pace(arguments: argparse.Namespace, port: int) -> None:
    """Keep a rate for so many seconds (``count``); see how evenly the starts are spaced."""
    worker.say(event="begin", contenders=list(loops()))
    for name, loop in loops().items():
        for rate in (50.0, 1000.0, 5000.0):
            starts: list[float] = []
            targets = loopback(round(rate * arguments.count) + 1, port)
            on_loop(loop, at_rate(targets, rate, starts))
            starts.sort()
            took = starts[-1] - starts[0]
            tenths = [0] * (arguments.count * 10 + 2)
            for start in starts:
                tenths[int((start - starts[0]) * 10)] += 1
            worker.say(
                event="pace",
                loop=name,
                rate=rate,
                seconds=took,
                found=(len(starts) - 1) / took,
                least=min(tenths[: arguments.count * 10 - 1]),
                most=max(tenths),
            )


async def at_rate(targets: Iterator[Address], rate: float, starts: list[float]) -> None:
    """Dial at a rate, and note the instant of each start."""
    async with aioconnect.connect_many(targets, rate=rate, limit=LIMIT) as results:
        async for result in results:
            assert result.socket is not None
            result.socket.close()
            starts.append(result.started)


PARTS: dict[str, Callable[[argparse.Namespace, int], None]] = {
    "cost": cost,
    "mixed": mixed,
    "memory": memory,
    "lacking": lacking,
    "pace": pace,
}


if __name__ == "__main__":
    main()
