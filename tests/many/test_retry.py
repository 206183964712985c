"""Once more: the rounds of a retry policy, and what is none of them."""

from __future__ import annotations

import errno
import itertools
from typing import Any

import pytest

import aioconnect
from aioconnect import events, retry

from ..support.servers import listen, refusing
from .running import Refusing, collect

pytestmark = pytest.mark.slow


async def test_a_retry_policy_holds_for_each_target(server: tuple[str, int]) -> None:
    """As many rounds as it allows, for each of them; and the pauses are no time lost for others."""
    fail = errno.ECONNREFUSED
    with listen() as other, refusing() as nobody:
        factory = Refusing({server[1]: [fail, fail], other.getsockname()[1]: [fail] * 9})
        many = aioconnect.connect_many(
            [nobody, other.getsockname(), server],
            retry=retry.attempts(3) & retry.constant(0.01),
            socket_factory=factory,
            ordered=True,
        )
        results = await collect(many)
        assert factory.made == {nobody[1]: 3, other.getsockname()[1]: 3, server[1]: 3}
    assert [result.error is None for result in results] == [False, False, True]
    for result in results[:2]:
        assert result.error is not None
        assert result.error.stopped == "attempts"
        assert [failed.round for failed in result.error.attempts] == [1, 2, 3]
        assert result.elapsed >= 0.02


@pytest.mark.parametrize("lack", [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.EADDRNOTAVAIL])
async def test_what_this_host_lacks_is_no_round_of_the_policy(
    lack: int, server: tuple[str, int]
) -> None:
    """It goes on with the round that it was in, with the rounds that failed behind it."""
    fail = errno.ECONNREFUSED
    factory = Refusing({server[1]: [lack, fail, lack, lack, fail, lack, fail, lack, 0]})
    seen: list[Any] = []
    delays: list[int] = []

    def policy(ctx: retry.Context) -> retry.Retry | retry.Stop:
        delays.append(ctx.failures)
        assert all(failed.errno == fail for failed in ctx.history)
        return retry.Stop("enough") if ctx.failures == 3 else retry.Retry(0.0)

    many = aioconnect.connect_many(
        [server], retry=policy, socket_factory=factory, on_event=seen.append
    )
    (result,) = await collect(many)
    assert delays == [1, 2, 3]
    assert factory.made == {server[1]: 7}
    assert isinstance(result.error, ConnectionRefusedError)
    assert result.error.stopped == "enough"
    assert [(each.round, each.errno) for each in result.error.attempts] == [
        (1, fail),
        (2, fail),
        (3, fail),
    ]
    assert len([event for event in seen if isinstance(event, events.SlowedDown)]) == 4


@pytest.mark.parametrize("options", [{}, {"retry": retry.attempts(2) & retry.constant(0)}])
@pytest.mark.parametrize("addresses", [1, 2])
async def test_a_round_that_lacks_something_counts_no_attempts(
    addresses: int, options: dict[str, Any]
) -> None:
    """The error says how many were dialled, and which: as if nothing had been lacking."""
    asked = itertools.count()

    def lacks(endpoint: Any) -> None:
        if next(asked) < 3:
            raise OSError(errno.EMFILE, "no descriptor")

    with refusing() as one, refusing() as other:
        target = [one, other][:addresses]
        many = aioconnect.connect_many([target], address_policy=lacks, **options)
        (result,) = await collect(many)
    assert result.error is not None
    number = addresses * (2 if options else 1)
    assert result.error.count == number
    assert [each.number for each in result.error.attempts] == [*range(1, number + 1)]
