"""Leaving: what was not handed out is closed, and nothing keeps a run alive."""

from __future__ import annotations

import asyncio
import errno
import gc
import random
import socket
import sys
import weakref
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

import aioconnect
from aioconnect import events, retry

from ..support.account import without_collector
from ..support.loops import LOOPS
from ..support.sockets import slow
from .running import (
    MAX,
    AsyncSource,
    HookError,
    LateSource,
    Open,
    OutOfPaperError,
    Refusing,
    Source,
    Turns,
    asking,
    collect,
    end,
    turns,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aioconnect.many import ConnectMany

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("how", ["break", "raise", "cancel", "return at once"])
@pytest.mark.parametrize("ordered", [False, True], ids=["as they come", "ordered"])
async def test_leaving_closes_what_was_not_handed_out(
    how: str, ordered: bool, dead: tuple[str, int], server: tuple[str, int]
) -> None:
    """Connected, pending, waiting for its turn: all but what was handed out."""
    opened = Open(socket.socket)
    targets = [server, dead, server, server, dead, *[server] * 10]
    many = aioconnect.connect_many(
        targets, limit=12, ordered=ordered, socket_factory=opened, retry=True
    )
    kept: list[socket.socket] = []

    async def run() -> None:
        async with many as results:
            if how == "return at once":
                return
            async for result in results:
                assert result.socket is not None
                kept.append(result.socket)
                if how == "break":
                    break
                if how == "raise":
                    raise HookError
                await turns(3)
                if len(kept) == (1 if ordered else 3):
                    await asyncio.sleep(60)

    task = asyncio.create_task(run())
    if how == "cancel":
        await turns(100)
        task.cancel()
    done, _ = await asyncio.wait([task], timeout=MAX)
    assert done
    assert task.cancelled() == (how == "cancel")
    if not task.cancelled():
        assert isinstance(task.exception(), HookError) == (how == "raise")
    assert opened.open == len(kept)
    for sock in kept:
        assert sock.getpeername() == server
        sock.close()


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, SystemExit])
async def test_leaving_closes_everything_whatever_a_hook_raises(
    interrupt: type[BaseException], dead: tuple[str, int]
) -> None:
    """An observer that is told of a cancelled attempt, and is interrupted, hinders no other."""
    opened = Open(socket.socket)

    def observe(event: Any) -> None:
        if isinstance(event, events.AttemptCancelled):
            raise interrupt

    many = aioconnect.connect_many([dead] * 5, socket_factory=opened, on_event=observe)
    await many.__aenter__()
    task = asking(many)
    await turns()
    assert opened.open == 5
    await end(task)
    with pytest.raises(interrupt):
        await many.__aexit__(None, None, None)
    assert opened.open == 0


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # of the coroutine that nobody ended
@pytest.mark.parametrize("kind", LOOPS)
def test_a_loop_that_is_closed_while_it_dials_is_no_error(
    kind: str, dead: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was pending is closed when it is collected, and nothing is said."""
    said: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", said.append)
    loop = LOOPS[kind]()
    loop.set_exception_handler(lambda loop, context: None)
    task = loop.create_task(collect(aioconnect.connect_many([dead], target_timeout=60)))
    loop.run_until_complete(asyncio.sleep(0.01))
    loop.close()
    del task
    gc.collect()
    assert said == []


# What keeps it alive ------------------------------------------------------------------------------


def alive(server: tuple[str, int], dead: tuple[str, int]) -> dict[str, tuple[Any, dict[str, Any]]]:
    """Return runs of all sorts, each with a source and the options."""

    def raises() -> Iterator[Any]:
        yield server
        raise OutOfPaperError

    def names() -> tuple[Any, dict[str, Any]]:
        targets = [("a.test", server[1])] * 5
        return Source(targets), {"family": socket.AF_INET, "resolver": Turns(random.Random(1))}

    short = {"target_timeout": 0.01}
    lack = errno.EMFILE
    return {
        "connected": (Source([server] * 3), {}),
        "asynchronous": (LateSource([server] * 3), {"limit": 1}),
        "pending": (Source([server] * 3), {"socket_factory": slow}),
        "timed out": (Source([dead] * 3), short),
        "in order": (Source([dead, server, server]), {"ordered": True, **short}),
        "deadline": (AsyncSource([dead] * 30), {"timeout": 0.01, "per_host": 2}),
        "names": names(),
        "lists": (Source([[dead, server]] * 3), {"happy_eyeballs_delay": 0.001}),
        "raises": (Source(raises()), {}),
        "raises, asynchronous": (AsyncSource(raises()), {}),
        "lacking": (Source([server]), {"socket_factory": Refusing({server[1]: [lack]})}),
        "tried again": (
            Source([server]),
            {
                "socket_factory": Refusing({server[1]: [errno.ECONNREFUSED]}),
                "retry": retry.attempts(2) & retry.constant(0.0),
            },
        ),
    }


@pytest.mark.parametrize("how", ["end", "break", "cancel"])
async def test_nothing_keeps_it_or_its_source_alive(
    how: str, server: tuple[str, int], dead: tuple[str, int]
) -> None:
    """Without the garbage collector: so a source ends when its caller lets go of it."""
    with without_collector():
        for name in alive(server, dead):
            source, options = alive(server, dead)[name]
            many = aioconnect.connect_many(source, **options)
            task = asyncio.create_task(run_until(how, many))
            if how == "cancel":
                await turns(3)
                task.cancel()
            done, _ = await asyncio.wait([task], timeout=MAX)
            assert done
            assert task.cancelled() or task.exception() is None
            del task, done
            await turns(5)
            left = weakref.ref(source), weakref.ref(many)
            del source
            assert left[0]() is None, name
            del many, options
            assert left[1]() is None, name


async def run_until(how: str, many: ConnectMany) -> None:
    """Run to the end, or to the first result."""
    with suppress(OutOfPaperError):
        async with many as results:
            async for result in results:
                if result.socket is not None:
                    result.socket.close()
                if how == "break":
                    break
