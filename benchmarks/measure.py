"""Taking one sample: run one contender in one way, on a fresh loop, and say what it cost.

A sample is a dictionary of figures per connect. Wall and CPU are in microseconds; the CPU is that
of this process, user and system, all threads. The garbage collector runs before each measured
stretch, and within it as in any program, unless it is asked not to.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import socket
import stat
import statistics
import time
import tracemalloc
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from .contenders import Contender, Endpoint, forget_sample, once

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Sample = dict[str, float]


@dataclass(frozen=True, slots=True)
class Way:
    """How a sample is taken: what is done how often."""

    #: "sequential", "together", "timeout", "cancel" or "memory"
    mode: str
    count: int
    #: Each connect is expected to fail.
    fails: bool = False
    #: How many connects go before, unmeasured: a loop makes things once, a thread for names.
    warm_up: int = 3


def take(candidate: Contender, endpoint: Endpoint, way: Way) -> Sample:
    """Run `candidate` once in that way and return what it cost."""
    forget_sample()
    with candidate.setting():
        if candidate.blocks:
            return _take_blocking(candidate, endpoint, way)
        if candidate.loop == "trio":
            return _take_on_trio(candidate, endpoint, way)
        with asyncio.Runner(loop_factory=_loop_factory(candidate, endpoint)) as runner:
            return runner.run(_take_on_asyncio(candidate, endpoint, way))


class Stretch:
    """A measured stretch: between `begin` and `end` nothing but the contender should run."""

    #: The garbage collector is on, as in programs. What it costs depends on how many objects
    #: a contender keeps, and on what else the process holds.
    collecting = True

    def begin(self) -> None:
        """Start both clocks, with the garbage collected beforehand."""
        gc.collect()
        if not self.collecting:
            gc.disable()
        self.cpu = time.process_time()
        self.wall = time.perf_counter()

    def end(self, count: int) -> Sample:
        """Stop both clocks and return what each of `count` connects took."""
        wall = time.perf_counter() - self.wall
        cpu = time.process_time() - self.cpu
        gc.enable()
        return {"wall_us": wall / count * 1e6, "cpu_us": cpu / count * 1e6}


def _take_blocking(candidate: Contender, endpoint: Endpoint, way: Way) -> Sample:
    if way.mode == "timeout":
        return _hold_open(endpoint, way.count)
    connect_and_close = once(candidate, endpoint)
    stretch = Stretch()
    if way.fails:
        _fail_often(connect_and_close, way.warm_up)
        stretch.begin()
        _fail_often(connect_and_close, way.count)
    else:
        for _ in range(way.warm_up):
            connect_and_close()
        each = _each(candidate, endpoint, way) or [connect_and_close] * way.count
        stretch.begin()
        for connect_and_close in each:
            connect_and_close()
    return stretch.end(way.count)


def _each(candidate: Contender, endpoint: Endpoint, way: Way) -> list[Callable[[], Any]]:
    """Return what connects to each of an endpoint's names, if it has several."""
    hosts = endpoint.hosts[: way.count]
    return [once(candidate, replace(endpoint, host=host, hosts=())) for host in hosts]


def _fail_often(connect_and_close: Callable[[], None], count: int) -> None:
    failed = 0
    for _ in range(count):
        try:
            connect_and_close()
        except OSError:
            failed += 1
    _check_failures(failed, count)


def _check_failures(failed: int, count: int) -> None:
    if failed != count:
        raise AssertionError(f"{count - failed} of {count} connects did not fail")


def _hold_open(endpoint: Endpoint, count: int) -> Sample:
    """Begin `count` connects that nobody answers, hold all of them, close them: the floor."""
    family, address = endpoint.addresses[0]
    stretch = Stretch()
    stretch.begin()
    pending = []
    for _ in range(count):
        sock = socket.socket(family, socket.SOCK_STREAM)
        sock.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            sock.connect(address)
        pending.append(sock)
    for sock in pending:
        sock.close()
    return stretch.end(count)


def _loop_factory(
    candidate: Contender, endpoint: Endpoint
) -> Callable[[], asyncio.AbstractEventLoop]:
    if candidate.loop == "uvloop":
        import uvloop

        base: Any = uvloop.Loop
    else:
        base = asyncio.SelectorEventLoop
    if not endpoint.answered:
        return base  # type: ignore[no-any-return]

    class AnsweringLoop(base):  # type: ignore[misc]
        """A loop whose look-ups cost nothing: the scenario is about what follows them."""

        async def getaddrinfo(self, host: str, port: int, **options: Any) -> list[Any]:
            if host in (endpoint.host, endpoint.host.encode()):  # anyio asks in bytes
                return _records(endpoint)
            # uvloop's sock_connect asks for numeric addresses too.
            found: list[Any] = await super().getaddrinfo(host, port, **options)
            return found

    return AnsweringLoop


def _records(endpoint: Endpoint) -> list[tuple[int, int, int, str, Any]]:
    return [
        (family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", address)
        for family, address in endpoint.addresses
    ]


async def _take_on_asyncio(candidate: Contender, endpoint: Endpoint, way: Way) -> Sample:
    connect_and_close = once(candidate, endpoint)
    if way.mode in ("timeout", "cancel", "memory"):
        with _leftovers() as sample:
            sample |= await _MODES[way.mode](connect_and_close, endpoint.timeout, way.count)
            await _settle()
            sample["tasks_left"] = len(asyncio.all_tasks()) - 1
        return sample
    stretch = Stretch()
    attempt = _expect_failure(connect_and_close) if way.fails else connect_and_close
    for _ in range(way.warm_up):
        await attempt()
    await _settle()
    each = _each(candidate, endpoint, way) or [attempt] * way.count
    stretch.begin()
    if way.mode == "sequential":
        for _ in range(way.count):
            await attempt()
    else:
        create_task = asyncio.get_running_loop().create_task
        for task in [create_task(attempt()) for attempt in each]:
            await task
    # A transport is closed one turn of the loop after it was told to: that is part of the cost.
    await asyncio.sleep(0)
    sample = stretch.end(way.count)
    await _settle()
    return sample


def _expect_failure(connect_and_close: Callable[[], Any]) -> Callable[[], Any]:
    async def attempt() -> None:
        try:
            await connect_and_close()
        except Exception:  # each library has its own class, not always an OSError
            return
        raise AssertionError("a connect that should fail did not")

    return attempt


async def _settle() -> None:
    """Let transports close: asyncio takes a turn or two of the loop for that, uvloop three."""
    for _ in range(5):
        await asyncio.sleep(0)


async def _time_out(
    connect_and_close: Callable[[], Any], timeout: float | None, count: int
) -> Sample:
    """Start `count` tasks whose connects nobody answers, and wait until each has given up."""
    assert timeout is not None
    late: list[float] = []

    async def give_up() -> None:
        started = time.monotonic()
        try:
            await connect_and_close()
        except Exception:  # each library has its own class, not always a TimeoutError
            late.append(time.monotonic() - started - timeout)

    create_task = asyncio.get_running_loop().create_task
    stretch = Stretch()
    stretch.begin()
    for task in [create_task(give_up()) for _ in range(count)]:
        await task
    sample = stretch.end(count)
    return sample | _lateness(late, count)


def _lateness(late: list[float], count: int) -> Sample:
    _check_failures(len(late), count)
    if min(late) < -0.05:
        raise AssertionError(f"gave up {-min(late):.3f} s early: not for its timeout")
    return {"late_median_ms": statistics.median(late) * 1e3, "late_max_ms": max(late) * 1e3}


async def _cancel(
    connect_and_close: Callable[[], Any], timeout: float | None, count: int
) -> Sample:
    """Start `count` tasks whose connects nobody answers, cancel all of them; measure the latter."""
    create_task = asyncio.get_running_loop().create_task
    stretch = Stretch()
    stretch.begin()
    tasks = [create_task(connect_and_close()) for _ in range(count)]
    await _until_pending(count)
    start = stretch.end(count)
    stretch.begin()
    for task in tasks:
        task.cancel()
    cancelled = 0
    for task in tasks:
        try:
            await task
        except asyncio.CancelledError:
            cancelled += 1
    sample = stretch.end(count)
    if cancelled != count:
        raise AssertionError(f"{count - cancelled} of {count} tasks swallowed their cancellation")
    return sample | {"start_cpu_us": start["cpu_us"]}


async def _weigh(connect_and_close: Callable[[], Any], timeout: float | None, count: int) -> Sample:
    """Start `count` tasks whose connects nobody answers, and see what each holds."""
    create_task = asyncio.get_running_loop().create_task
    with _traced_memory() as held:
        tasks = [create_task(connect_and_close()) for _ in range(count)]
        await _until_pending(count)
        sample = {"bytes": held() / count}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return sample


_MODES = {"timeout": _time_out, "cancel": _cancel, "memory": _weigh}


async def _until_pending(count: int) -> None:
    """Return when `count` sockets are open, and each has had a turn of the loop."""
    for _ in range(10_000):
        await asyncio.sleep(0)
        if descriptors() >= count:
            await _settle()
            return
    raise AssertionError(f"fewer than {count} connects are pending")


def descriptors() -> int:
    """Return about how many descriptors are open, at once: the lowest free one tells."""
    lowest_free = os.dup(0)
    os.close(lowest_free)
    return lowest_free


@contextlib.contextmanager
def _traced_memory() -> Iterator[Callable[[], int]]:
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]

    def held() -> int:
        gc.collect()
        return tracemalloc.get_traced_memory()[0] - before

    try:
        yield held
    finally:
        tracemalloc.stop()


@contextlib.contextmanager
def _leftovers() -> Iterator[Sample]:
    """Give the sample, and add to it how many sockets are open that were not before."""
    sample: Sample = {}
    before = open_sockets()
    yield sample
    sample["sockets_left"] = len(open_sockets() - before)


def open_sockets() -> set[int]:
    """Return the inodes of the sockets that this process has open."""
    inodes = set()
    for name in os.listdir("/dev/fd"):
        with contextlib.suppress(OSError):
            status = os.fstat(int(name))
            if stat.S_ISSOCK(status.st_mode):
                inodes.add(status.st_ino)
    return inodes


def _take_on_trio(candidate: Contender, endpoint: Endpoint, way: Way) -> Sample:
    import trio

    class Resolver(trio.abc.HostnameResolver):
        """What AnsweringLoop is for asyncio."""

        async def getaddrinfo(self, *_: Any) -> list[Any]:
            return _records(endpoint)

        async def getnameinfo(self, *_: Any) -> tuple[str, str]:
            raise NotImplementedError

    async def main() -> Sample:
        if endpoint.answered:
            trio.socket.set_custom_hostname_resolver(Resolver())
        connect_and_close = once(candidate, endpoint)
        if way.mode in ("timeout", "cancel", "memory"):
            with _leftovers() as sample:
                sample |= await _TRIO_MODES[way.mode](
                    connect_and_close, endpoint.timeout, way.count
                )
                for _ in range(5):
                    await trio.lowlevel.checkpoint()
            return sample
        stretch = Stretch()
        attempt = _expect_failure(connect_and_close) if way.fails else connect_and_close
        for _ in range(way.warm_up):
            await attempt()
        each = _each(candidate, endpoint, way) or [attempt] * way.count
        stretch.begin()
        if way.mode == "sequential":
            for _ in range(way.count):
                await attempt()
        else:
            async with trio.open_nursery() as nursery:
                for attempt in each:
                    nursery.start_soon(attempt)
        return stretch.end(way.count)

    return trio.run(main)


async def _time_out_on_trio(
    connect_and_close: Callable[[], Any], timeout: float, count: int
) -> Sample:
    import trio

    late: list[float] = []

    async def give_up() -> None:
        started = time.monotonic()
        try:
            await connect_and_close()
        except Exception:  # trio's own is no OSError
            late.append(time.monotonic() - started - timeout)

    stretch = Stretch()
    stretch.begin()
    async with trio.open_nursery() as nursery:
        for _ in range(count):
            nursery.start_soon(give_up)
    sample = stretch.end(count)
    return sample | _lateness(late, count)


async def _cancel_on_trio(
    connect_and_close: Callable[[], Any], timeout: float, count: int
) -> Sample:
    import trio

    start: Sample = {}
    stretch = Stretch()
    stretch.begin()
    async with trio.open_nursery() as nursery:
        for _ in range(count):
            nursery.start_soon(connect_and_close)
        await _until_pending_on_trio(count)
        start = stretch.end(count)
        stretch.begin()
        nursery.cancel_scope.cancel()
    sample = stretch.end(count)
    return sample | {"start_cpu_us": start["cpu_us"]}


async def _weigh_on_trio(
    connect_and_close: Callable[[], Any], timeout: float, count: int
) -> Sample:
    import trio

    sample: Sample = {}
    async with trio.open_nursery() as nursery:
        with _traced_memory() as held:
            for _ in range(count):
                nursery.start_soon(connect_and_close)
            await _until_pending_on_trio(count)
            sample = {"bytes": held() / count}
        nursery.cancel_scope.cancel()
    return sample


async def _until_pending_on_trio(count: int) -> None:
    import trio

    for _ in range(10_000):
        await trio.lowlevel.checkpoint()
        if descriptors() >= count:
            for _ in range(5):
                await trio.lowlevel.checkpoint()
            return
    raise AssertionError(f"fewer than {count} connects are pending")


_TRIO_MODES = {"timeout": _time_out_on_trio, "cancel": _cancel_on_trio, "memory": _weigh_on_trio}
