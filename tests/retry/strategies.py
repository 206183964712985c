"""Policies for property tests: every block, and any combination of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import strategies as st

from aioconnect import retry

if TYPE_CHECKING:
    import random

SECONDS = st.floats(0.001, 20.0)
JITTER = st.sampled_from(["full", "equal", None])


@st.composite
def exponentials(draw: st.DrawFn) -> retry.Policy:
    """Draw an exponential back-off, with each jitter."""
    base = draw(SECONDS)
    cap = base + draw(SECONDS)
    return retry.exponential(
        base,
        draw(st.floats(1.0, 4.0)),
        cap,
        jitter=draw(st.sampled_from(["full", "equal", "decorrelated", None])),
        first=draw(st.none() | st.floats(0.0, cap)),
    )


BY_NAME: dict[str, st.SearchStrategy[retry.Policy]] = {
    "attempts": st.builds(retry.attempts, st.integers(1, 8)),
    "constant": st.builds(retry.constant, SECONDS, jitter=JITTER),
    "exponential": exponentials(),
    "fibonacci": st.builds(retry.fibonacci, SECONDS, cap=st.just(20.0), jitter=JITTER),
    "forever": st.just(retry.forever()),
    "linear": st.builds(retry.linear, SECONDS, cap=st.just(20.0), jitter=JITTER),
    "never": st.just(retry.never()),
    "on": st.just(retry.on(ConnectionRefusedError, "timed_out")),
    "schedule": st.builds(retry.schedule, st.lists(st.floats(0.0, 20.0), max_size=5)),
    "within": st.builds(retry.within, SECONDS),
}
"""A strategy for each block; a test compares it with ``retry.__all__``."""

BLOCKS = st.one_of(*BY_NAME.values())


def _pairs(policies: st.SearchStrategy[retry.Policy]) -> st.SearchStrategy[retry.Policy]:
    return st.one_of(
        st.builds(lambda p, q: p & q, policies, policies),
        st.builds(lambda p, q: p | q, policies, policies),
        st.builds(lambda p, q: p >> q, policies, policies),
    )


POLICIES = st.recursive(BLOCKS, _pairs, max_leaves=5)


def random_policy(rng: random.Random, leaves: int = 5) -> retry.Policy:
    """Return any policy, as ``POLICIES`` does, a hundred times faster and without shrinking."""
    if leaves > 1 and rng.random() < 0.6:
        left = rng.randint(1, leaves - 1)
        p, q = random_policy(rng, left), random_policy(rng, leaves - left)
        return rng.choice([lambda: p & q, lambda: p | q, lambda: p >> q])()
    base, cap = rng.uniform(0.001, 20), rng.uniform(20, 40)
    jitter = rng.choice(["full", "equal", None])
    blocks = [
        lambda: retry.attempts(rng.randint(1, 8)),
        lambda: retry.within(base),
        lambda: retry.on(ConnectionRefusedError, "timed_out"),
        retry.forever,
        retry.never,
        lambda: retry.constant(base, jitter=jitter),
        lambda: retry.linear(base, cap=cap, jitter=jitter),
        lambda: retry.fibonacci(base, cap=cap, jitter=jitter),
        lambda: retry.schedule(rng.uniform(0, 20) for _ in range(rng.randint(0, 5))),
        lambda: retry.exponential(base, rng.uniform(1, 4), cap, jitter=jitter, first=base / 2),
        lambda: retry.exponential(base, cap=cap, jitter="decorrelated"),
        lambda: retry.forever() & (lambda ctx: retry.Retry(base, "start")),
        lambda: retry.forever() & (lambda ctx: retry.Retry(base, latest=ctx.started + cap)),
    ]
    return rng.choice(blocks)()
