"""What a resolver must be, said in its own name when it is not."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Any

import pytest

import aioconnect
from aioconnect.resolve import Answer
from aioconnect.resolve.base import lookup_name

if TYPE_CHECKING:
    from collections.abc import Callable

V4, V6 = int(socket.AF_INET), int(socket.AF_INET6)


def resolver(returns: Callable[[int], Any], *, waits: bool = True) -> Any:
    """Make a resolver whose look-up returns or raises something."""

    class Names:
        async def waited_for(self, name: str, family: int, /) -> Any:
            return returns(family)

        def at_once(self, name: str, family: int, /) -> Any:
            return returns(family)

        lookup = waited_for if waits else at_once

    return Names()


def raising(error: BaseException) -> Callable[[int], Any]:
    def answer(family: int) -> Any:
        raise error

    return answer


async def search(names: Any, families: tuple[int, ...]) -> list[Answer]:
    """Look a name up."""
    return [answer async for answer in lookup_name(names, "db.test", families)]


WRONG: dict[str, tuple[Any, type[BaseException], str]] = {
    "a list": (
        resolver(lambda family: ["127.0.0.1"]),
        TypeError,
        "Names.lookup returned list, not an Answer",
    ),
    "None": (
        resolver(lambda family: None),
        TypeError,
        "Names.lookup returned NoneType, not an Answer",
    ),
    "no coroutine": (
        resolver(lambda family: Answer(("127.0.0.1",)), waits=False),
        TypeError,
        "Names.lookup must be `async def`: it returned Answer",
    ),
    "no coroutine, and a list": (
        resolver(lambda family: ["127.0.0.1"], waits=False),
        TypeError,
        "Names.lookup must be `async def`: it returned list",
    ),
    "a number": (
        resolver(lambda family: Answer((2130706433,))),  # type: ignore[arg-type]
        TypeError,
        "Names.lookup returned an address of type int, not str",
    ),
    "a name": (
        resolver(lambda family: Answer(("localhost",))),
        aioconnect.NameNotResolved,
        "Names.lookup returned 'localhost', which is no numeric IPv4 address",
    ),
    "an address of the other family": (
        resolver(lambda family: Answer(("::1",))),
        aioconnect.NameNotResolved,
        "Names.lookup returned '::1', which is no numeric IPv4 address",
    ),
}


@pytest.mark.parametrize("what", WRONG)
async def test_what_a_resolver_must_return_is_said(what: str) -> None:
    """Whose method it is, what it did, and what it should do."""
    names, error, words = WRONG[what]
    with pytest.raises(error) as caught:
        await search(names, (V4,))
    said = caught.value.args[-1] if isinstance(caught.value, OSError) else str(caught.value)
    assert said.removeprefix("the name server failed for db.test: ") == words


@pytest.mark.parametrize("what", WRONG)
async def test_a_call_says_the_same(what: str) -> None:
    """With a loop and without."""
    names, error, words = WRONG[what]
    with pytest.raises(error) as caught:
        await aioconnect.connect("db.test", 80, resolver=names, family=V4)
    assert words in str(caught.value)
    with pytest.raises(error) as caught:
        await asyncio.to_thread(
            aioconnect.blocking.connect, "db.test", 80, resolver=names, family=V4
        )
    assert words in str(caught.value)


@pytest.mark.parametrize("what", [what for what in WRONG if WRONG[what][1] is TypeError])
async def test_a_mistake_is_no_answer_that_there_is_no_name(what: str) -> None:
    """Of both families asked for, it ends the search."""
    names, error, words = WRONG[what]
    with pytest.raises(error) as caught:
        await search(names, (V6, V4))
    assert str(caught.value) == words


async def test_what_a_resolver_says_of_its_own_is_kept() -> None:
    """It knows why there is no such name; the error of a call says it too."""
    names = resolver(raising(socket.gaierror(socket.EAI_NONAME, "not in the table of hosts")))
    with pytest.raises(socket.gaierror, match="not in the table of hosts"):
        await search(names, (V6, V4))
    with pytest.raises(aioconnect.NameNotResolved, match="no such name: not in the table of hosts"):
        await aioconnect.connect("db.test", 80, resolver=names)
