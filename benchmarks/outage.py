"""How retry policies behave when everything fails at once: the simulation behind the defaults.

A thousand clients lose the same server at the instant 0; it is away for a minute; each tries to
come back by its policy, with its own seed.  In virtual time, so it takes seconds.

    python -m benchmarks.outage             # the tables, and plots/outage.svg and .png
    python -m benchmarks.outage --no-plot   # the tables; needs nothing but aioconnect

Three questions, three tables:

1. *The field*: what do the back-offs of well-known libraries do to the server?  Load (attempts per
   client), spread (the fullest 100 ms of the second half of the outage over their mean; and the
   fullest 100 ms after the first, as a share of the clients), and how long a client takes to
   notice that the server is back.
2. *The default*: which exponential back-off?  Of those that spread (peak over mean at most 2, no
   100 ms with more than 30 % of the clients), ride out a restart of 3 s in five rounds (for 99 %
   of the clients), and find a server that was away for less than a second within a second (for
   90 %), the one with the fewest attempts.
3. *The budget*: by how much do five attempts per call multiply the load of clients with one call a
   second, and what do they gain when 5 % of all attempts fail at random?
"""

from __future__ import annotations

import argparse
import errno
import heapq
import math
import random
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

from aioconnect import retry
from aioconnect.causes import from_errno
from aioconnect.events import AttemptFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from matplotlib.axes import Axes

CLIENTS = 1000
OUTAGE = 60.0
SLOT = 0.1

REFUSED = from_errno(errno.ECONNREFUSED, stage="connect", target="server:1")


class Call:
    """One call of one client: what its policy is told, and what it decides."""

    def __init__(self, policy: retry.Policy, rng: Callable[[], float], started: float) -> None:
        self.policy = policy
        self.rng = rng
        self.started = started
        self.failures = 0
        self.delay = 0.0
        self.state: object = None

    def fail(self, now: float) -> float | None:
        """Fail a round; return the instant of the next one, None if there is none."""
        self.failures += 1
        last = AttemptFailed(now, "", REFUSED, now, self.failures, self.failures)
        ctx = retry.Context(
            failures=self.failures,
            last=last,
            error=REFUSED,
            started=self.started,
            now=now,
            previous_delay=self.delay,
            state=self.state,
            rng=self.rng,
        )
        decision = retry.decide(self.policy, ctx, attempt_needs=0.0)
        if isinstance(decision, retry.Stop):
            return None
        self.delay, self.state = decision.delay, decision.state
        return now + decision.delay


# 1. The field ------------------------------------------------------------------------------------


def stamina(ctx: retry.Context) -> retry.Retry:
    """Add jitter, then clamp the sum to 5 s, as stamina 26 does."""
    return retry.Retry(min(5.0, 0.1 * 2 ** min(ctx.failures - 1, 60) + ctx.rng()))


def websockets(ctx: retry.Context) -> retry.Retry:
    """Draw the first delay, and no other, as websockets 17 does."""
    if ctx.failures == 1:
        return retry.Retry(5 * ctx.rng())
    return retry.Retry(min(90.0, 3.1 * 1.618 ** min(ctx.failures - 2, 60)))


def redis(ctx: retry.Context) -> retry.Retry:
    """Draw full jitter, then clamp it to 1 s, as redis-py 8 does."""
    return retry.Retry(min(1.0, ctx.rng() * 0.01 * 2 ** min(ctx.failures, 60)))


def grpc(ctx: retry.Context) -> retry.Retry:
    """Go from 1 s by 1.6 to 120 s, then 20 % more or less, as gRPC does."""
    return retry.Retry(min(120.0, 1.6 ** min(ctx.failures - 1, 60)) * (0.8 + 0.4 * ctx.rng()))


FIELD: dict[str, retry.PolicyLike] = {
    "doubling, no jitter": retry.exponential(0.1, cap=5, jitter=None),
    "2 s constant (nats-py)": retry.constant(2),
    "stamina": stamina,
    "websockets": websockets,
    "redis-py": redis,
    "gRPC": grpc,
    "full jitter": retry.exponential(0.1, cap=5, jitter="full"),
    "decorrelated jitter": retry.exponential(0.1, cap=5, jitter="decorrelated"),
    "equal jitter": retry.exponential(0.1, cap=5, jitter="equal"),
    "aioconnect, retry=n": retry.policy(10**6) or retry.forever(),
    "aioconnect, RECONNECT": retry.RECONNECT,
}


class Herd(NamedTuple):
    """What an outage looked like from the server's side."""

    attempts: float
    """Per client."""
    fullest: float
    """Of all slots but the first, as a share of the clients."""
    peak: float
    """The fullest slot of the second half over their mean."""
    median: float
    """Seconds from the end of the outage until half of the clients were back."""
    slowest: float
    """The same for 99 %."""
    slots: list[int]


def herd(policy: retry.PolicyLike, *, seed: int = 0) -> Herd:
    """Let a thousand clients go through an outage, each by the policy, without end."""
    lifted = retry.policy(policy)
    assert lifted is not None
    slots = [0] * round(OUTAGE / SLOT)
    back: list[float] = []
    for client in range(CLIENTS):
        rng = random.Random(seed * CLIENTS + client).random
        call, now = Call(lifted, rng, 0.0), 0.0
        while now < OUTAGE:
            slots[int(now / SLOT)] += 1
            following = call.fail(now)
            assert following is not None, "a policy that ends cannot be compared"
            now = following
        back.append(now - OUTAGE)
    back.sort()
    late = slots[len(slots) // 2 :]
    return Herd(
        sum(slots) / CLIENTS,
        max(slots[1:]) / CLIENTS,
        max(late) * len(late) / sum(late),
        back[CLIENTS // 2],
        back[CLIENTS * 99 // 100],
        slots,
    )


# 2. The default ----------------------------------------------------------------------------------


def ride_out(policy: retry.Policy, away: Callable[[int], float]) -> list[float]:
    """Return how late the clients find a server that was away; inf for those that gave up."""
    late: list[float] = []
    for client in range(CLIENTS):
        call, now = Call(policy, random.Random(client).random, 0.0), 0.0
        while now < away(client):
            now = call.fail(now) or math.inf
        late.append(now - away(client))
    return sorted(late)


def candidates() -> list[retry.Policy]:
    """Return the back-offs among which the default is chosen."""
    return [
        retry.exponential(base, factor=factor, cap=5, jitter=jitter, first=first)
        for jitter in ("equal", "full", "decorrelated")
        for base in (0.1, 0.2, 0.5, 1.0)
        for factor in (1.6, 2, 3)
        for first in (None, 1)
        if jitter != "decorrelated" or factor == 3  # it has no factor
    ]


# 3. The budget -----------------------------------------------------------------------------------


class Bucket(Protocol):
    """What a call asks before it retries; :class:`aioconnect.retry.Budget` is one."""

    def reserve(self, key: Hashable, now: float) -> bool:
        """Take a token."""
        ...

    def success(self, key: Hashable, now: float) -> None:
        """Earn some."""
        ...


class NoBudget:
    """Every retry is affordable."""

    def reserve(self, key: Hashable, now: float) -> bool:
        """Say yes."""
        return True

    def success(self, key: Hashable, now: float) -> None:
        """Earn nothing."""


class Quota:
    """20 % of the calls of the last ten seconds and ten retries a second, as in Finagle."""

    def __init__(self) -> None:
        self.retries: list[float] = []

    def reserve(self, key: Hashable, now: float) -> bool:
        """Count the last ten seconds; one call a second makes ten calls."""
        self.retries = [retried for retried in self.retries if retried > now - 10]
        if len(self.retries) >= 0.2 * 10 + 10 * 10:
            return False
        self.retries.append(now)
        return True

    def success(self, key: Hashable, now: float) -> None:
        """Earn nothing."""


def load(make: Callable[[], Bucket], works: float) -> tuple[float, float]:
    """Return attempts per call, and the share of calls that succeed.

    Each client calls once a second for a minute, with five attempts per call and a bucket of its
    own; each attempt succeeds with the probability ``works``.
    """
    tried = done = 0
    for client in range(CLIENTS):
        rng = random.Random(client).random
        bucket = make()
        calls = [
            (second + client / CLIENTS, second, Call(retry.DEFAULT, rng, float(second)))
            for second in range(round(OUTAGE))
        ]
        heapq.heapify(calls)
        while calls:
            now, second, call = heapq.heappop(calls)
            tried += 1
            if rng() < works:
                done += 1
                bucket.success("server", now)
                continue
            following = call.fail(now)
            if following is not None and bucket.reserve("server", now):
                heapq.heappush(calls, (following, second, call))
    total = CLIENTS * round(OUTAGE)
    return tried / total, done / total


BUDGETS: dict[str, Callable[[], Bucket]] = {
    "none": NoBudget,
    "20 % and 10 a second (Finagle)": Quota,
    "retry.Budget()": retry.Budget,
    "retry.Budget(5)": lambda: retry.Budget(5),
    "retry.Budget(10, 0.2)": lambda: retry.Budget(10, 0.2),
}


# The report --------------------------------------------------------------------------------------


def print_field(results: dict[str, Herd]) -> None:
    """Print the first table."""
    print(f"{'the field':<28} attempts  fullest 100 ms  peak/mean  back: 50 %   99 %")
    for name, result in results.items():
        print(
            f"{name:<28} {result.attempts:8.1f}  {result.fullest:13.1%}  {result.peak:9.2f}"
            f"  {result.median:8.2f} s {result.slowest:5.2f} s"
        )


def choose() -> None:
    """Print the second table, fewest attempts first, with a star before those that fit."""
    rows: list[tuple[float, str]] = []
    for backoff in candidates():
        result = herd(backoff)
        five = retry.attempts(5) & backoff
        restart = ride_out(five, lambda client: 3.0)
        outlasting = sum(late < math.inf for late in restart) / CLIENTS
        found = ride_out(five, lambda client: (client + 0.5) / CLIENTS)[CLIENTS * 9 // 10]
        fits = result.peak <= 2 and result.fullest <= 0.3 and outlasting >= 0.99 and found <= 1
        row = (
            f"{'*' if fits else ' '} {backoff!r:<58} {result.attempts:8.1f}  {result.fullest:13.1%}"
        )
        rows.append(
            (result.attempts, f"{row}  {result.peak:9.2f}  {outlasting:9.1%}  {found:7.2f} s")
        )
    print(f"\n  {'candidates':<58} attempts  fullest 100 ms  peak/mean  rides 3 s  found in")
    for _, row in sorted(rows):
        print(row)
    print(f"chosen: {retry.DEFAULT!r}")


def print_budgets() -> None:
    """Print the third table."""
    print(f"\n{'the budget':<32} load when all fails  load at 5 % failure  successes at 5 %")
    for name, make in BUDGETS.items():
        outage, _ = load(make, 0.0)
        attempts, successes = load(make, 0.95)
        print(f"{name:<32} {outage:18.2f}x  {attempts:18.2f}x  {successes:16.2%}")


def plot(results: dict[str, Herd], path: Path) -> None:
    """Draw the load over time for three of them, and load against spread for all."""
    import matplotlib as mpl

    from .plots import OURS, PEER, STYLE

    mpl.use("agg")
    with mpl.rc_context(STYLE):
        from matplotlib import pyplot as plt

        figure = plt.figure(figsize=(9.6, 5.4), layout="constrained")
        grid = figure.add_gridspec(3, 2, width_ratios=[1.7, 1])
        shown = {"doubling, no jitter": PEER, "stamina": PEER, "aioconnect, retry=n": OURS}
        for row, (name, colour) in enumerate(shown.items()):
            axes = figure.add_subplot(grid[row, 0])
            _over_time(axes, name, results[name], colour)
            axes.tick_params(labelbottom=row == 2)
        axes.set_xlabel("seconds since the outage began")
        axes = figure.add_subplot(grid[:, 1])
        for name, result in results.items():
            ours = name.startswith("aioconnect")
            left = name in ("equal jitter", "websockets")
            axes.scatter(result.attempts, result.peak, color=OURS if ours else PEER, zorder=3)
            axes.annotate(
                name,
                (result.attempts, result.peak),
                (-6 if left else 6, 0),
                textcoords="offset points",
                ha="right" if left else "left",
                va="center",
                fontsize=8,
                color=OURS if ours else "#000000",
            )
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.minorticks_off()
        axes.set_xticks([5, 10, 20, 50, 100], ["5", "10", "20", "50", "100"])
        axes.set_yticks([1, 2, 5, 10, 20, 50], ["1", "2", "5", "10", "20", "50"])
        axes.set_xlim(2.2, 260)
        axes.set_ylim(1, 70)
        axes.axhline(2, color=OURS, linewidth=0.6, linestyle=(0, (4, 3)), zorder=0)
        axes.set_title("load and herd", loc="left", fontsize=10)
        axes.set_xlabel("attempts per client during the outage")
        axes.set_ylabel("fullest 100 ms over mean, second half")
        figure.suptitle("A thousand clients lose a server for a minute", fontsize=11)
        path.parent.mkdir(exist_ok=True)
        figure.savefig(path.with_suffix(".svg"), metadata={"Date": None})
        figure.savefig(path.with_suffix(".png"), dpi=150)
        plt.close(figure)
    print(f"\ndrawn: {path.name}")


def _over_time(axes: Axes, name: str, result: Herd, colour: str) -> None:
    axes.bar(
        [slot * SLOT for slot in range(len(result.slots))],
        result.slots,
        width=SLOT,
        align="edge",
        color=colour,
        edgecolor=colour,
        linewidth=0.3,
    )
    axes.set_xlim(0, OUTAGE)
    axes.set_ylim(0, CLIENTS)
    axes.set_ylabel("attempts in 100 ms")
    axes.set_title(
        f"{name}: {result.attempts:.0f} attempts per client, peak {result.peak:.1f} times the mean",
        loc="left",
        fontsize=10,
    )


def main() -> None:
    """Print the tables and draw the plot."""
    parser = argparse.ArgumentParser(description="Simulate retry policies in an outage.")
    parser.add_argument("--no-plot", action="store_true", help="only the tables")
    arguments = parser.parse_args()
    results = {name: herd(policy) for name, policy in FIELD.items()}
    print_field(results)
    choose()
    print_budgets()
    if not arguments.no_plot:
        plot(results, Path(__file__).parent / "plots" / "outage")


if __name__ == "__main__":
    main()
