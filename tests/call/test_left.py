"""Calls that are left in the middle of their rounds: in a pause, in a trial, in a look-up."""

from __future__ import annotations

import asyncio
import errno
import gc
import signal
import socket
import threading
import time
import weakref
from contextlib import ExitStack
from typing import Any

import pytest

import aioconnect
import aioconnect.blocking
from aioconnect import ConnectError, events, retry
from aioconnect.resolve import Answer

from ..support.servers import black_hole, listen, refusing
from ..support.threads import later


async def test_a_cancelled_pause_gives_everything_back() -> None:
    """The token, the permit; and the cancellation comes out."""
    budget, breaker = retry.Budget(1), retry.Breaker(2, open_for=30)
    asleep = asyncio.Event()

    def on_event(event: events.Event) -> None:
        if isinstance(event, events.RetryScheduled):
            asleep.set()

    with refusing() as address:
        key = "{}:{}".format(*address)
        call = aioconnect.connect(
            address,
            retry=retry.constant(20),
            budget=budget,
            breaker=breaker,
            timeout=60,
            on_event=on_event,
        )
        task = asyncio.create_task(call)
        await asyncio.wait_for(asleep.wait(), 10)
        assert budget.tokens(key) == 0.0
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert budget.tokens(key) == 1.0
        assert breaker.state(key, time.monotonic()) == "closed"


async def test_a_cancelled_trial_is_given_back() -> None:
    """The next one who asks is let through."""
    breaker = retry.Breaker(1, open_for=30)
    with black_hole() as dead:
        key = "{}:{}".format(*dead)
        breaker.failure(key, time.monotonic() - 100)
        task = asyncio.create_task(aioconnect.connect(dead, breaker=breaker, timeout=60))
        await asyncio.sleep(0.02)
        assert isinstance(breaker.admit(key, time.monotonic()), float)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert breaker.state(key, time.monotonic()) == "half-open"
        permit = breaker.admit(key, time.monotonic())
        assert isinstance(permit, retry.Permit)
        assert permit.trial


@pytest.mark.parametrize(
    "policy",
    [
        retry.forever(),
        retry.on(BaseException),
        retry.on(lambda error: True) | retry.forever(),
        retry.constant(0.01),
        retry.constant(5),
    ],
    ids=repr,
)
async def test_no_policy_delays_a_cancellation(policy: retry.Policy) -> None:
    """A time limit around the call ends it on time, whatever the policy retries, and how fast."""
    started = time.monotonic()
    with refusing() as address, pytest.raises(TimeoutError) as caught:
        async with asyncio.timeout(0.1):
            await aioconnect.connect(address, retry=policy, timeout=6)
    assert time.monotonic() - started < 3
    assert not isinstance(caught.value, ConnectError)


@pytest.mark.parametrize("what", [asyncio.CancelledError, KeyboardInterrupt, SystemExit])
def test_a_policy_cannot_ask_for_what_is_no_error(what: type[BaseException]) -> None:
    """It is said when the policy is made."""
    with pytest.raises(TypeError, match="no connection error is a"):
        retry.on(what)  # type: ignore[arg-type]


@pytest.mark.slow
async def test_a_look_up_that_comes_late_does_not_hold_up_the_loop() -> None:
    """Its answer comes in the pause after its round, and is for nobody."""

    class Names:
        async def lookup(self, name: str, family: int) -> Answer:
            if family == socket.AF_INET:
                return Answer(("127.0.0.1",))
            await asyncio.sleep(0.05)
            raise socket.gaierror(socket.EAI_NONAME, "at last")

    attempts = 0

    def factory(endpoint: Any) -> socket.socket:
        nonlocal attempts
        attempts += 1
        if attempts < 3:
            raise OSError(errno.EMFILE, "too many open files")
        return socket.socket(*endpoint[:3])

    async def count_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0.01)

    turns = 0
    counter = asyncio.create_task(count_turns())
    with listen() as server:
        sock = await aioconnect.connect(
            "db.test",
            server.getsockname()[1],
            resolver=Names(),
            socket_factory=factory,
            retry=retry.constant(0.5),
            resolution_delay=0.0,
            timeout=20,
        )
        sock.close()
    counter.cancel()
    assert turns >= 40, "in a second"


def test_an_interrupted_pause_gives_everything_back_when_blocking() -> None:
    """The exception of a signal handler comes out of poll(2) and out of the call."""
    budget = retry.Budget(1)
    main = threading.get_ident()

    class Interrupted(BaseException):
        pass

    def handler(number: int, frame: Any) -> None:
        raise Interrupted

    def policy(ctx: retry.Context) -> retry.Retry:
        timers.enter_context(later(0.1, lambda: signal.pthread_kill(main, signal.SIGUSR1)))
        return retry.Retry(20)

    before = signal.signal(signal.SIGUSR1, handler)
    try:
        with ExitStack() as timers, refusing() as address:
            with pytest.raises(Interrupted):
                aioconnect.blocking.connect(address, retry=policy, budget=budget, timeout=60)
            assert budget.tokens("{}:{}".format(*address)) == 1.0
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_rounds_leave_no_garbage() -> None:
    """An error of several rounds is gone with its last reference, and the call with it."""
    with refusing() as address, refusing() as other:
        policy = retry.attempts(3) & retry.constant(0)
        gc.collect()
        gc.disable()
        try:
            try:
                aioconnect.blocking.connect([address, other], retry=policy)
            except ConnectError as exc:
                gone, count = weakref.ref(exc), exc.count
            assert count == 6
            assert gone() is None
        finally:
            gc.enable()
