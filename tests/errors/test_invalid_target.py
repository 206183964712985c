"""Wrong data in a target: one class, from every function, before anything is asked or opened."""

from __future__ import annotations

import asyncio
import copy
import pickle
import socket
from itertools import product
from typing import TYPE_CHECKING, Any

import pytest

import aioconnect
from aioconnect import Dialer, Help, InvalidTarget, blocking, targets

from ..support.sweep import sample

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

BAD: dict[str, tuple[Any, ...]] = {
    "no port": ("db",),
    "a port that is no number": ("db:http",),
    "port 0": ("127.0.0.1", 0),
    "a port too large": ("127.0.0.1", 65536 + 80),
    "a negative port": ("127.0.0.1", -1),
    "no host": ("", 80),
    "a control character": ("evil\nhost", 80),
    "NUL": ("127.0.0.1\0.evil", 80),
    "a number": ("2130706433", 80),
    "short IPv4": ("127.1", 80),
    "a label too long": ("a" * 64 + ".test", 80),
    "a name too long": (".".join(["a" * 60] * 5), 80),
    "IPv6 without brackets": ("::1:80",),
    "brackets around a name": ("[db]:80",),
    "no IPv6": ("fe80:::1", 80),
    "a zone that no interface has": ("fe80::1%" + "x" * 99, 80),
    "a URL": ("https://db:80",),
    "a password": ("user:secret@db:80",),
    "an empty path": ("unix:",),
    "NUL in a path": ("unix:/tmp/\0",),
    "a tuple with a bad host": (("evil host", 80),),
    "a tuple with a bad port": (("127.0.0.1", 70000),),
    "a flow label too large": (("::1", 80, 2**20, 0),),
    "one of several": (["127.0.0.1:80", "db"],),
    "no target at all": ([],),
}
"""What is given, target and port."""


class Untouched:
    """A resolver, a breaker and a budget that nobody may ask."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return self.asked

    def asked(self, *_: Any, **__: Any) -> Any:
        """Fail the test."""
        raise AssertionError("it was asked")


def options() -> dict[str, Any]:
    """Options that fail the test when anything is asked, told or dialled."""
    nobody = Untouched()
    return {
        "resolver": nobody,
        "breaker": nobody,
        "budget": nobody,
        "retry": nobody.asked,
        "address_policy": nobody.asked,
        "socket_factory": nobody.asked,
        "on_event": nobody.asked,
    }


async def supervised(*target: Any) -> None:
    """Begin to supervise."""
    Dialer(**options()).supervise(*target)


FUNCTIONS: dict[str, Callable[..., Awaitable[Any]]] = {
    "connect": lambda *target: aioconnect.connect(*target, **options()),
    "Dialer.connect": lambda *target: Dialer(**options()).connect(*target),
    "open_connection": lambda *target: aioconnect.open_connection(*target, **options()),
    "create_connection": lambda *target: aioconnect.create_connection(
        asyncio.Protocol, *target, **options()
    ),
    "wait_until_ready": lambda *target: aioconnect.wait_until_ready(*target, timeout=5),
    "supervise": supervised,
    "blocking": lambda *target: asyncio.to_thread(blocking.connect, *target, **options()),
}


def check(error: Any) -> None:
    """Look at everything that a caller may look at."""
    assert type(error) is InvalidTarget
    assert isinstance(error, aioconnect.ConnectError)
    assert isinstance(error, OSError)
    assert isinstance(error, ValueError)
    assert (error.code, error.help, error.errno) == ("invalid_target", Help.NOTHING, None)
    assert (error.attempts, error.count, error.stopped) == ((), 0, None)
    assert error.hint
    assert error.args == (None, str(error))
    assert error.strerror == str(error)
    for shown in (str(error), repr(error)):
        assert shown.isascii()
        assert shown.isprintable()
        assert "secret" not in shown
        assert len(shown) < 500
    for again in (copy.copy(error), pickle.loads(pickle.dumps(error))):
        assert (type(again), str(again), again.code) == (type(error), str(error), error.code)


@pytest.mark.sweep
@pytest.mark.parametrize(("function", "kind"), sample(product(FUNCTIONS, BAD), 80))
async def test_every_function_refuses_it_at_once(function: str, kind: str) -> None:
    """Nothing is looked up, asked, dialled or told of."""
    target = BAD[kind]
    if "connection" in function and len(target) == 1:
        target = (target[0], None)
    with pytest.raises(InvalidTarget) as caught:
        await FUNCTIONS[function](*target)
    check(caught.value)


async def test_one_bad_target_of_many_is_a_result_of_its_own() -> None:
    """The others are dialled."""
    given = [target[0] if len(target) == 1 else target for target in BAD.values()]
    with socket.create_server(("127.0.0.1", 0)) as server:
        good = server.getsockname()
        found = {}
        async with aioconnect.connect_many([*given, good]) as results:
            async for result in results:
                found[result.index] = result
    assert len(found) == len(given) + 1
    last = found.pop(len(given))
    assert last.error is None
    last.socket.close()
    for result in found.values():
        check(result.error)


async def test_an_except_for_connect_errors_keeps_a_bad_target_to_itself() -> None:
    """One channel's bad port ends no other: ``except OSError`` is what programs have."""
    ended = []
    for target in ("127.0.0.1:99999", "db", "127.0.0.1:1"):
        try:
            await aioconnect.connect(target, timeout=5)
        except OSError as error:
            ended.append(type(error))
    assert ended == [InvalidTarget, InvalidTarget, aioconnect.ConnectionRefused]


@pytest.mark.parametrize(
    ("target", "kind"),
    [
        ((5, 80), TypeError),
        (("db", "80"), TypeError),
        (("db", True), TypeError),
        ((None,), TypeError),
        ((("db", 80, 0, 0, 0),), ValueError),
        ((("db", 80), 80), TypeError),
    ],
)
def test_what_only_a_program_gets_wrong_stays_a_plain_error(
    target: tuple[Any, ...], kind: type[Exception]
) -> None:
    """A type, or a shape that no target has."""
    with pytest.raises(kind) as caught:
        targets.parse(*target)
    assert type(caught.value) is kind


def test_a_wrong_option_is_no_wrong_target() -> None:
    """A bad local address is the program's: a plain error that names the option."""
    for value in (("db", 80), ("2130706433", 0), ("fe80:::1", 0)):
        with pytest.raises(ValueError, match="local_addr") as caught:
            Dialer(local_addr=value)
        assert type(caught.value) is ValueError
