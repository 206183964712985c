"""With tenacity or stamina: theirs around ours, and theirs as ours."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from aioconnect import errors, retry

from ..support.needs import needs
from ..test_docs import EXAMPLES
from .virtual import REFUSED, TIMED_OUT, Call, round_of


class Flaky:
    """A dial that is refused a few times before it connects."""

    def __init__(self, failures: int) -> None:
        self.left = failures
        self.tried = 0

    async def __call__(self) -> str:
        """Connect, or not yet."""
        self.tried += 1
        await asyncio.sleep(0)
        if self.left:
            self.left -= 1
            raise round_of(REFUSED, TIMED_OUT)
        return "connected"


@needs("stamina")
def test_stamina_retries_our_errors_by_the_class_of_their_cause() -> None:
    """As it does those of any other library, and raises ours when it gives up."""
    import stamina

    patiently = stamina.retry(
        on=ConnectionRefusedError, attempts=3, wait_initial=0, wait_max=0, wait_jitter=0
    )

    async def connect(dial: Flaky) -> str:
        return await dial()

    dial = Flaky(2)
    assert asyncio.run(patiently(connect)(dial)) == "connected"
    assert dial.tried == 3
    with pytest.raises(errors.ConnectionRefused, match="refused by"):
        asyncio.run(patiently(connect)(Flaky(9)))


@needs("tenacity")
def test_tenacity_retries_our_errors_by_the_class_of_their_cause() -> None:
    """And keeps its hands off the others."""
    import tenacity

    refused = tenacity.AsyncRetrying(
        retry=tenacity.retry_if_exception_type(ConnectionRefusedError),
        stop=tenacity.stop_after_attempt(3),
        reraise=True,
    )
    dial = Flaky(2)
    assert asyncio.run(refused(dial)) == "connected"
    assert dial.tried == 3
    with pytest.raises(errors.ConnectionRefused):
        asyncio.run(refused(Flaky(9)))
    only_timeouts = refused.copy(retry=tenacity.retry_if_exception_type(TimeoutError))
    dial = Flaky(1)
    with pytest.raises(errors.ConnectionRefused):
        asyncio.run(only_timeouts(dial))
    assert dial.tried == 1


def from_tenacity(*arguments: Any) -> retry.Policy:
    """Return what the recipe of the page makes of a wait and a stop."""
    (example,) = [example for example in EXAMPLES if "def from_tenacity" in example.code]
    names: dict[str, Any] = {"__name__": "recipe"}
    exec(compile(example.code, "docs/retry.md", "exec", dont_inherit=True), names)
    policy = names["from_tenacity"](*arguments)
    assert isinstance(policy, retry.Policy)
    return policy


@needs("tenacity")
def test_a_wait_and_a_stop_of_tenacity_are_a_policy() -> None:
    """With the delays that tenacity itself would sleep, and its combinations."""
    import tenacity

    wait = tenacity.wait_chain(*[tenacity.wait_fixed(n) for n in (1, 2)]) + tenacity.wait_fixed(0.5)
    stop = tenacity.stop_after_attempt(5) | tenacity.stop_after_delay(60)
    slept: list[float] = []

    def refuse() -> None:
        raise REFUSED

    with pytest.raises(errors.ConnectionRefused):
        tenacity.Retrying(wait=wait, stop=stop, sleep=slept.append, reraise=True)(refuse)
    assert from_tenacity(wait, stop).preview() == slept == [1.5, 2.5, 2.5, 2.5]


@needs("tenacity")
def test_tenacity_sees_our_instants_and_our_error() -> None:
    """Its stops by time count from the start of the call; its waits by exception see ours."""
    import tenacity

    policy = from_tenacity(tenacity.wait_fixed(2), tenacity.stop_after_delay(5))
    call = Call(policy, started=1000.0)
    assert [call.fail(now) for now in (1001.0, 1004.9, 1005.0)] == [
        retry.Retry(2),
        retry.Retry(2),
        retry.Stop("attempts"),
    ]
    before = from_tenacity(tenacity.wait_fixed(2), tenacity.stop_before_delay(5))
    call = Call(before, started=1000.0)
    assert call.fail(1002.9) == retry.Retry(2)
    assert call.fail(1003.1) == retry.Stop("attempts")
    by_error = from_tenacity(tenacity.wait_exception(lambda e: 7 if e.errno == 111 else 1))
    assert Call(by_error).fail(0.0, REFUSED) == retry.Retry(7)
    assert Call(by_error).fail(0.0, TIMED_OUT) == retry.Retry(1)


@needs("tenacity")
def test_what_is_wrapped_keeps_our_rules() -> None:
    """Our deadline holds, and it combines with our blocks."""
    import tenacity

    policy = from_tenacity(tenacity.wait_fixed(2)) & retry.attempts(4)
    assert policy.preview() == [2.0, 2.0, 2.0]
    assert policy.preview(timeout=5.0) == [2.0, 2.0]
