"""What the hooks of a caller raise: an observer, a policy, a factory, a resolver."""

from __future__ import annotations

import asyncio
import errno
import socket
from typing import TYPE_CHECKING, Any

import pytest

import aioconnect
from aioconnect import events, retry
from aioconnect.resolve import Answer

from ..support.servers import refusing
from ..support.sockets import Slow
from .running import MAX, HookError, Refusing, collect, take

if TYPE_CHECKING:
    from aioconnect.many import ConnectResult

pytestmark = pytest.mark.slow


async def test_an_observer_that_raises_is_logged(
    server: tuple[str, int], caplog: pytest.LogCaptureFixture
) -> None:
    """It only observes: the run goes on."""

    def observe(event: Any) -> None:
        raise HookError

    results = await collect(aioconnect.connect_many([server] * 3, on_event=observe))
    assert [result.error for result in results] == [None] * 3
    assert "on_event failed" in caplog.text


class At:
    """A hook that raises when it is called for the n-th time."""

    def __init__(self, number: int, raised: BaseException) -> None:
        self.number = number
        self.raised = raised
        self.calls = 0

    def __call__(self, *args: Any) -> Any:
        """Count, or raise."""
        self.calls += 1
        if self.calls == self.number:
            raise self.raised

    def make(self, endpoint: Any) -> socket.socket:
        """Make a socket."""
        self()
        return Slow(*endpoint[:3])

    async def lookup(self, name: str, family: int) -> Answer:
        """Answer."""
        self()
        return Answer(("127.0.0.1",))

    def decide(self, ctx: retry.Context) -> retry.Retry:
        """Try again."""
        self()
        return retry.Retry(0.0)


@pytest.mark.parametrize("ordered", [False, True], ids=["as they come", "ordered"])
@pytest.mark.parametrize("per_host", [None, 1])
@pytest.mark.parametrize("what", ["policy", "factory", "resolver", "retry"])
@pytest.mark.parametrize("number", [1, 2, 3])
async def test_what_a_hook_raises_comes_out_unchanged(
    number: int, what: str, per_host: int | None, ordered: bool, server: tuple[str, int]
) -> None:
    """In place of the result of its target; all the others can still be had."""
    hook = At(number, HookError())
    with refusing() as nobody:
        target: Any = nobody if what == "retry" else server
        options: dict[str, Any] = {
            "policy": {"address_policy": hook},
            "factory": {"socket_factory": hook.make},
            "resolver": {"resolver": hook, "family": socket.AF_INET},
            "retry": {"retry": retry.attempts(2) & hook.decide},
        }[what]
        if what == "resolver":
            target = ("a.test", server[1])
        many = aioconnect.connect_many(
            [target] * 5, limit=3, per_host=per_host, ordered=ordered, **options
        )
        came: list[ConnectResult] = []
        async with many as results, asyncio.timeout(MAX):
            with pytest.raises(HookError) as caught:
                await take(results, came)
            assert caught.value is hook.raised
            came += [result async for result in results]
    assert len({result.index for result in came}) == len(came) == 4
    if ordered:
        assert [result.index for result in came] == sorted(result.index for result in came)
    for result in came:
        assert (result.socket is None) == (what == "retry")
        if result.socket is not None:
            result.socket.close()


async def test_an_os_error_of_a_hook_is_the_targets(server: tuple[str, int]) -> None:
    """As everywhere: a failed stage of that attempt."""
    hook = At(2, PermissionError("not that one"))
    results = await collect(aioconnect.connect_many([server] * 3, address_policy=hook))
    failed = [result for result in results if result.error is not None]
    assert [result.index for result in failed] == [1]
    assert isinstance(failed[0].error, PermissionError)


async def test_an_observer_that_is_interrupted_loses_no_target(server: tuple[str, int]) -> None:
    """It was told that something lacks; the target waits all the same."""
    factory = Refusing({server[1]: [errno.EMFILE]})
    hook = At(1, KeyboardInterrupt())

    def observe(event: Any) -> None:
        if isinstance(event, events.SlowedDown):
            hook()

    many = aioconnect.connect_many([server] * 2, socket_factory=factory, on_event=observe)
    interrupted = 0
    came = []
    async with many as results:
        while True:
            try:
                async for result in results:
                    came.append(result.index)
                    assert result.socket is not None
                    result.socket.close()
                break
            except KeyboardInterrupt:
                interrupted += 1
    assert interrupted == 1
    assert sorted(came) == [0, 1]
