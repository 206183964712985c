"""The bounds that the project has set itself, and where a run stands against each of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from . import figures

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Results = dict[str, Any]


class Found(NamedTuple):
    """A measured value, and what it was measured against."""

    value: float
    against: str = ""
    #: It was to be wall time, and is CPU time, because the core was not free.
    by_cpu: bool = False


@dataclass(frozen=True, slots=True)
class Bound:
    """One bound: what is measured must be `limit` or less."""

    what: str
    against: str
    subject: str
    limit: float
    find: Callable[[Results], Found | None]
    aim: float | None = None
    unit: str = figures.TIMES

    @property
    def loop(self) -> str:
        """The loop that ours ran on; empty where there is none."""
        return self.subject.partition("[")[2].rstrip("]")


class Row(NamedTuple):
    """A bound with what this run says of it; `found` is None where it was not measured."""

    bound: Bound
    found: Found | None

    @property
    def met(self) -> bool | None:
        """Whether the bound holds."""
        return None if self.found is None else self.found.value <= self.bound.limit


def judge(results: Results) -> list[Row]:
    """Return each bound beside what was measured."""
    return [Row(bound, bound.find(results)) for bound in BOUNDS]


def _on_both(name: str) -> Iterator[tuple[str, str]]:
    for loop in ("asyncio", "uvloop"):
        yield f"{name} [{loop}]", loop


def _times(
    scenario: str, subject: str, reference: str | figures.Chosen, figure: str = "wall_us"
) -> Callable[[Results], Found | None]:
    """Return what finds how many times `reference` the subject costs.

    The reference is a contender's key, or what chooses those of which the best counts.
    """

    def find(results: Results) -> Found | None:
        measured = results["scenarios"].get(scenario)
        if measured is None:
            return None
        # Nothing on a loopback is waited for: where others had the core, CPU is the better clock.
        by_cpu = figure == "wall_us" and figures.is_crowded(measured)
        clock = "cpu_us" if by_cpu else figure
        if isinstance(reference, str):
            other: str | None = reference
        else:
            other = figures.best(measured, clock, reference)
        if other is None:
            return None
        found = figures.ratio(measured, subject, other, clock)
        return found and Found(found.median, other, by_cpu)

    return find


def _socket_peer(properties: dict[str, Any]) -> bool:
    return figures.is_peer(properties) and properties["gives"] == "socket"


def _peer_on(loop: str) -> figures.Chosen:
    return lambda properties: figures.is_peer(properties) and properties["loop"] == loop


def _kibibytes(subject: str) -> Callable[[Results], Found | None]:
    def find(results: Results) -> Found | None:
        measured = results["scenarios"].get("memory")
        found = measured and figures.spread(measured, subject, "bytes")
        return Found(found.median / 1024) if found else None

    return find


def _worst(scenario: str, subject: str, *names: str) -> Callable[[Results], Found | None]:
    """Return what finds the largest sum of those figures in any round."""

    def find(results: Results) -> Found | None:
        measured = results["scenarios"].get(scenario)
        if measured is None:
            return None
        worst = [figures.largest(measured, subject, name) for name in names]
        known = [value for value in worst if value is not None]
        return Found(sum(known)) if known else None

    return find


def _growth(subject: str) -> Callable[[Results], Found | None]:
    """Return what finds by how many percent more than the floor the subject's cost grows."""

    def find(results: Results) -> Found | None:
        few = results["scenarios"].get("black-holed-1000")
        many = results["scenarios"].get("black-holed-16000")
        if few is None or many is None:
            return None
        medians = [
            figures.spread(scenario, key, "cpu_us")
            for key in (subject, "bare connect")
            for scenario in (few, many)
        ]
        if None in medians:
            return None
        ours_few, ours_many, bare_few, bare_many = (found.median for found in medians)  # type: ignore[union-attr]
        return Found((ours_many / ours_few) / (bare_many / bare_few) * 100 - 100, "bare connect")

    return find


def _import_cost(results: Results) -> Found | None:
    measured = results["scenarios"].get("import")
    if measured is None:
        return None
    found = figures.difference(measured, "aioconnect", "asyncio", "cpu_ms")
    return Found(found.median, "asyncio") if found else None


def _bounds() -> Iterator[Bound]:
    bare = "bare connect"
    blocking = "socket.create_connection"
    uvloop_native = "loop.create_connection [uvloop]"

    one = "one after the other, TCP literal"
    for key, _ in _on_both("aioconnect.connect"):
        yield Bound(one, "bare", key, 1.35, _times("sequential", key, bare), aim=1.25)
        against = "blocking create_connection(timeout=)"
        yield Bound(one, against, key, 1.0, _times("sequential", key, blocking))
        against = "the best asynchronous peer that gives a socket"
        yield Bound(one, against, key, 0.5, _times("sequential", key, _socket_peer))
        against = "uvloop's create_connection"
        yield Bound(one, against, key, 0.75, _times("sequential", key, uvloop_native))

    miss = "the same when the second look finds nothing"
    for key, loop in _on_both("aioconnect.connect, no second look"):
        limit = 2.5 if loop == "asyncio" else 2.1
        yield Bound(miss, "bare", key, limit, _times("sequential", key, bare))
        same = f"loop.sock_connect [{loop}]"
        against = "loop.sock_connect on the same loop"
        yield Bound(miss, against, key, 0.75, _times("sequential", key, same))

    for key, _ in _on_both("aioconnect.connect"):
        yield Bound("Unix socket", "bare", key, 1.4, _times("sequential-unix", key, bare))
    for key, _ in _on_both("aioconnect.connect"):
        yield Bound("refused", "bare", key, 1.6, _times("refused", key, bare))
    for key, _ in _on_both("aioconnect.connect"):
        what = "two addresses, first refused"
        against = "the blocking loop over both"
        yield Bound(what, against, key, 1.3, _times("first-refused", key, bare))
        against = "the best peer"
        yield Bound(what, against, key, 0.5, _times("first-refused", key, figures.is_peer))
    for key, _ in _on_both("aioconnect.connect"):
        what = "1000 tasks started together on loopback"
        against = "bare, one after the other"
        yield Bound(what, against, key, 1.75, _times("together-1000", key, bare))

    what = "1000 in flight at a round trip of 10 ms, CPU"
    far = "round-trip-10ms-1000"
    for key, loop in _on_both("aioconnect.connect"):
        for name in ("loop.sock_connect", "aiohappyeyeballs"):
            peer = f"{name} [{loop}]"
            against = f"{name} on the same loop"
            yield Bound(what, against, key, 0.7, _times(far, key, peer, "cpu_us"))
        if loop == "uvloop":
            against = "uvloop's create_connection"
            yield Bound(what, against, key, 1.3, _times(far, key, uvloop_native, "cpu_us"))

    for key, loop in _on_both("aioconnect.open_connection"):
        limit = 0.75 if loop == "asyncio" else 1.3
        peer = f"asyncio.open_connection [{loop}]"
        against = "asyncio.open_connection on the same loop"
        yield Bound("open_connection", against, key, limit, _times("sequential", key, peer))

    for key, _ in _on_both("aioconnect.connect"):
        what = "localhost by name, server on both families"
        find = _times("localhost", key, figures.is_peer)
        yield Bound(what, "the best peer", key, 0.25, find)

    for key, _ in _on_both("aioconnect.connect"):
        yield Bound(
            "held by a pending connect, with its task", "", key, 3, _kibibytes(key), unit="KiB"
        )
    for count in (10_000, 16_000):
        what = f"{count // 1000} 000 black-holed, 1 s timeout"
        name = f"black-holed-{count}"
        for key, loop in _on_both("aioconnect.connect"):
            limit = 0.65 if loop == "asyncio" else 0.75
            find = _times(name, key, _peer_on(loop), "cpu_us")
            yield Bound(f"{what}, CPU", "the best peer on the same loop", key, limit, find)
            find = _worst(name, key, "late_max_ms")
            yield Bound(f"{what}, the latest", "", key, 100, find, unit="ms")

    for key, _ in _on_both("aioconnect.connect"):
        name = "cancelled-10000"
        find = _times(name, key, figures.is_peer, "cpu_us")
        yield Bound("cancelled while they connect, CPU", "the best peer", key, 1.0, find)
        find = _worst(name, key, "sockets_left", "tasks_left")
        yield Bound("cancelled while they connect, left behind", "", key, 0, find, unit="left")

    for key, _ in _on_both("aioconnect.connect"):
        what = "growth of the cost from 1000 to 16 000 in flight"
        yield Bound(what, "more than bare", key, 20, _growth(key), unit="%")

    yield Bound("import, CPU", "over import asyncio", "aioconnect", 15, _import_cost, unit="ms")


BOUNDS = list(_bounds())
