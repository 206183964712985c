"""The options: their defaults, what each takes and refuses, and that a set of them is a value."""

from __future__ import annotations

import asyncio
import copy
import functools
import gc
import inspect
import math
import pickle
import socket
import ssl
import weakref
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from math import inf, nan
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import aioconnect
import aioconnect.blocking
from aioconnect import Dialer, Proxy, retry
from aioconnect.allowed_names import AllowedNames
from aioconnect.chosen import Chosen, with_options
from aioconnect.keywords import OPTIONS
from aioconnect.options import _ELSEWHERE, Options
from aioconnect.proxy import EnvironmentProxies

from .support.account import descriptors
from .support.servers import refusing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

V4, V6, UNIX = int(socket.AF_INET), int(socket.AF_INET6), int(socket.AF_UNIX)
KEEPALIVE = (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)


@pytest.fixture(autouse=True, scope="module")
def no_descriptor_is_left() -> Iterator[None]:
    """Compare the open descriptors once around all of this: it is nearly all arithmetic."""
    before = descriptors()
    yield
    assert descriptors() == before


class NoResolver:
    """Has what a resolver needs, and no use."""

    async def lookup(self, name: str, family: int) -> Any:
        """Look nothing up."""
        raise NotImplementedError


async def asynchronous(endpoint: Any) -> bool:
    """Be a policy that would have to be awaited."""
    return True


async def generating(endpoint: Any) -> Any:
    """Be one that is no policy at all."""
    yield True


class Asynchronous:
    """An object whose call would have to be awaited."""

    async def __call__(self, endpoint: Any) -> bool:
        """Allow, one day."""
        return True


RESOLVER = NoResolver()
BUDGET = retry.Budget()
PUBLIC = aioconnect.AddressPolicy.public()
BREAKER = retry.Breaker()
PROXY = Proxy("socks5h://me:hunter2@p.test:1080")

DEFAULTS: dict[str, Any] = {
    "timeout": 30.0,
    "attempt_timeout": None,
    "retry": None,
    "budget": None,
    "breaker": None,
    "resolver": None,
    "family": 0,
    "type": socket.SOCK_STREAM,
    "local_addr": None,
    "happy_eyeballs_delay": 0.25,
    "resolution_delay": 0.05,
    "max_concurrent": 6,
    "interleave": 1,
    "max_addresses": 32,
    "socket_options": (),
    "socket_factory": None,
    "address_policy": None,
    "allowed_names": None,
    "proxy": None,
    "handshake": None,
    "on_event": None,
}


# The set of them ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "default"), DEFAULTS.items())
def test_each_option_has_its_default(name: str, default: Any) -> None:
    """And the class shows it too, which is where the documentation is read."""
    assert getattr(Dialer(), name) == default
    assert getattr(Dialer, name) == default


def test_the_table_names_every_option_and_no_other() -> None:
    """And so do the attributes that a type checker knows."""
    assert [option.name for option in OPTIONS] == list(DEFAULTS)
    assert list(inspect.get_annotations(Options)) == [*DEFAULTS, "denial"]


UNKNOWN = {
    "retries": "unknown option 'retries': did you mean 'retry'?",
    "timout": "unknown option 'timout': did you mean 'timeout'?",
    "max_concurrency": "unknown option 'max_concurrency': did you mean 'max_concurrent'?",
    "source_address": "unknown option 'source_address': did you mean 'local_addr'?",
    "max_attempts": "unknown option 'max_attempts': did you mean 'retry'?",
    "connect_timeout": "unknown option 'connect_timeout': did you mean 'attempt_timeout'?",
    "ssl": "unknown option 'ssl': it is one of open_connection and create_connection only",
    "port": "unknown option 'port': it is an argument of the call",
    "colour": f"unknown option 'colour'; there are: {', '.join(sorted(DEFAULTS))}",
}


@pytest.mark.parametrize(("name", "words"), UNKNOWN.items())
def test_an_unknown_option_is_refused_and_a_known_one_is_offered(name: str, words: str) -> None:
    """A misspelt option would else be a default that nobody wanted."""
    with pytest.raises(TypeError) as caught:
        Dialer(**{name: 5})
    assert str(caught.value) == words


def test_what_other_libraries_call_an_option_is_none_of_ours() -> None:
    """And stands for one that exists."""
    assert not set(_ELSEWHERE) & set(DEFAULTS)
    assert set(_ELSEWHERE.values()) <= set(DEFAULTS)


def test_options_have_no_positions() -> None:
    """Names only: seventeen of them in a row mean nothing to a reader."""
    with pytest.raises(TypeError):
        Dialer(5)  # type: ignore[call-arg]


# What each takes ----------------------------------------------------------------------------------

LOCALHOST, LOCALHOST6 = ("127.0.0.1", 0), ("::1", 0)

ACCEPTED: list[tuple[str, Any, Any]] = [
    ("timeout", 5, 5.0),
    ("timeout", 0, 0.0),
    ("timeout", 0.001, 0.001),
    ("timeout", None, inf),
    ("timeout", inf, inf),
    ("attempt_timeout", 5, 5.0),
    ("attempt_timeout", 0, 0.0),
    ("attempt_timeout", inf, inf),
    ("attempt_timeout", None, None),
    ("happy_eyeballs_delay", 0.1, 0.1),
    ("happy_eyeballs_delay", 2, 2.0),
    ("happy_eyeballs_delay", 0.01, 0.01),
    ("happy_eyeballs_delay", 0.009, 0.01),
    ("happy_eyeballs_delay", 0, 0.01),
    ("happy_eyeballs_delay", None, None),
    ("happy_eyeballs_delay", inf, None),
    ("resolution_delay", 0, 0.0),
    ("resolution_delay", 1, 1.0),
    ("max_concurrent", 1, 1),
    ("max_concurrent", 1000, 1000),
    ("interleave", 2, 2),
    ("max_addresses", 100, 100),
    ("family", 0, 0),
    ("family", socket.AF_INET, V4),
    ("family", socket.AF_INET6, V6),
    ("type", socket.SOCK_STREAM, int(socket.SOCK_STREAM)),
    ("type", socket.SOCK_DGRAM, int(socket.SOCK_DGRAM)),
    ("local_addr", None, None),
    ("local_addr", LOCALHOST, ((V4, LOCALHOST),)),
    ("local_addr", ("10.0.0.1", 65535), ((V4, ("10.0.0.1", 65535)),)),
    ("local_addr", LOCALHOST6, ((V6, LOCALHOST6),)),
    ("local_addr", ("fe80::1", 0, 0, 2), ((V6, ("fe80::1", 0, 0, 2)),)),
    ("local_addr", ("", 0), ((V4, ("0.0.0.0", 0)),)),
    ("local_addr", (None, 0), ((V4, ("0.0.0.0", 0)),)),
    ("local_addr", [LOCALHOST, LOCALHOST6], ((V4, LOCALHOST), (V6, LOCALHOST6))),
    ("local_addr", (LOCALHOST, LOCALHOST6), ((V4, LOCALHOST), (V6, LOCALHOST6))),
    ("local_addr", "/run/client.sock", ((UNIX, "/run/client.sock"),)),
    ("local_addr", "\0client", ((UNIX, "\0client"),)),
    ("local_addr", [LOCALHOST, "/run/a"], ((V4, LOCALHOST), (UNIX, "/run/a"))),
    ("socket_options", None, ()),
    ("socket_options", [], ()),
    ("socket_options", [KEEPALIVE], (KEEPALIVE,)),
    ("socket_options", (list(KEEPALIVE),), (KEEPALIVE,)),
    ("socket_options", [(1, 25, b"lo\0")], ((1, 25, b"lo\0"),)),
    ("socket_factory", print, print),
    ("socket_factory", None, None),
    ("address_policy", print, print),
    ("address_policy", PUBLIC, PUBLIC),
    ("allowed_names", ["a.test"], AllowedNames(["a.test"])),
    ("allowed_names", AllowedNames(("a", "b")), AllowedNames(("b", "a"))),
    ("proxy", None, None),
    ("proxy", "socks5h://me:hunter2@p.test:1080", PROXY),
    ("proxy", PROXY, PROXY),
    ("proxy", EnvironmentProxies({}), EnvironmentProxies({})),
    ("handshake", print, print),
    ("on_event", print, print),
    ("retry", None, None),
    ("resolver", RESOLVER, RESOLVER),
    ("resolver", None, None),
    ("budget", BUDGET, BUDGET),
    ("budget", None, None),
    ("breaker", BREAKER, BREAKER),
    ("breaker", None, None),
]


@pytest.mark.parametrize(("name", "given", "kept"), ACCEPTED)
def test_an_option_is_kept_in_its_plain_form(name: str, given: Any, kept: Any) -> None:
    """Seconds as floats, no limit as infinity, addresses with their family, lists as tuples."""
    value = getattr(Dialer(**{name: given}), name)
    assert value == kept
    assert type(value) is type(kept)


def test_a_retry_policy_may_be_given_in_short() -> None:
    """True, a number of rounds, a policy or a function: what is kept is a policy."""
    assert Dialer(retry=True).retry == retry.DEFAULT
    assert Dialer(retry=3).retry == retry.policy(3)
    assert Dialer(retry=retry.RECONNECT).retry == retry.RECONNECT
    assert callable(Dialer(retry=lambda context: retry.Stop("no")).retry)


def test_what_is_given_is_read_once_and_not_kept() -> None:
    """A list that its owner changes later, or an iterator, changes nothing here."""
    options = [KEEPALIVE]
    addresses = [LOCALHOST]
    first = Dialer(socket_options=options, local_addr=addresses)
    options.clear()
    addresses.clear()
    assert first == Dialer(socket_options=iter([KEEPALIVE]), local_addr=iter([LOCALHOST]))


# What each refuses --------------------------------------------------------------------------------

BAD_TIMES: dict[str, tuple[Any, type[Exception]]] = {
    "negative": (-1, ValueError),
    "a little below zero": (-1e-9, ValueError),
    "minus infinity": (-inf, ValueError),
    "NaN": (nan, ValueError),
    "beyond floating point": (10**400, ValueError),
    "text": ("5", TypeError),
    "bytes": (b"5", TypeError),
    "True": (True, TypeError),
    "False": (False, TypeError),
    "complex": (1j, TypeError),
    "a decimal": (Decimal(5), TypeError),
    "a fraction": (Fraction(5), TypeError),
    "a timedelta": (timedelta(seconds=5), TypeError),
    "a list": ([5], TypeError),
}
TIMES = ["timeout", "attempt_timeout", "happy_eyeballs_delay", "resolution_delay"]

BAD_COUNTS: dict[str, tuple[Any, type[Exception]]] = {
    "zero": (0, ValueError),
    "negative": (-1, ValueError),
    "None": (None, TypeError),
    "True": (True, TypeError),
    "a float": (2.0, TypeError),
    "infinity": (inf, TypeError),
    "text": ("2", TypeError),
}
COUNTS = ["max_concurrent", "interleave", "max_addresses"]

BAD: list[Any] = [
    *[
        pytest.param(name, value, error, id=f"{name}: {what}")
        for name in TIMES
        for what, (value, error) in BAD_TIMES.items()
    ],
    *[
        pytest.param(name, value, error, id=f"{name}: {what}")
        for name in COUNTS
        for what, (value, error) in BAD_COUNTS.items()
    ],
    *[
        pytest.param(name, value, error, id=f"{name}: {what}")
        for name, what, value, error in [
            ("resolution_delay", "None", None, TypeError),
            ("family", "a Unix socket's", socket.AF_UNIX, ValueError),
            ("family", "unknown", 99, ValueError),
            ("family", "text", "inet", ValueError),
            ("family", "None", None, ValueError),
            ("type", "raw", socket.SOCK_RAW, ValueError),
            ("type", "with flags", socket.SOCK_STREAM | socket.SOCK_NONBLOCK, ValueError),
            ("type", "text", "stream", ValueError),
            ("type", "None", None, ValueError),
            ("retry", "False", False, TypeError),
            ("retry", "zero", 0, ValueError),
            ("retry", "negative", -3, ValueError),
            ("retry", "a float", 2.5, TypeError),
            ("retry", "text", "3", TypeError),
            ("resolver", "no resolver", object(), TypeError),
            ("resolver", "a function", print, TypeError),
            ("budget", "a number", 10, TypeError),
            ("budget", "a breaker", BREAKER, TypeError),
            ("breaker", "a number", 10, TypeError),
            ("breaker", "a budget", BUDGET, TypeError),
            ("socket_factory", "no function", 5, TypeError),
            ("address_policy", "no function", "127.0.0.0/8", TypeError),
            ("address_policy", "a class", aioconnect.AddressPolicy, TypeError),
            ("address_policy", "an asynchronous function", asynchronous, TypeError),
            ("address_policy", "one with arguments", functools.partial(asynchronous), TypeError),
            ("address_policy", "an asynchronous generator", generating, TypeError),
            ("allowed_names", "a text", "a.test", TypeError),
            ("allowed_names", "a number", 5, TypeError),
            ("allowed_names", "a number in a list", [5], TypeError),
            ("allowed_names", "nothing", [], ValueError),
            ("allowed_names", "no name", ["a b"], ValueError),
            ("address_policy", "an asynchronous method", Asynchronous(), TypeError),
            ("proxy", "a number", 1080, TypeError),
            ("proxy", "a pair", ("p.test", 1080), TypeError),
            ("proxy", "no URL", "p.test:1080", ValueError),
            ("proxy", "one that speaks TLS", "https://p.test:443", ValueError),
            ("handshake", "no function", "hello", TypeError),
            ("on_event", "no function", [], TypeError),
            ("socket_options", "a number", 5, TypeError),
            ("socket_options", "text", "abc", TypeError),
            ("socket_options", "one option, not a list", KEEPALIVE, TypeError),
            ("socket_options", "too short", [(1, 2)], TypeError),
            ("socket_options", "too long", [(1, 2, 3, 4, 5)], TypeError),
            ("socket_options", "a level as text", [("SOL_SOCKET", 2, 3)], TypeError),
            ("socket_options", "a value as text", [(1, 2, "lo")], TypeError),
            ("socket_options", "a value beyond a C int", [(1, 2, 2**40)], ValueError),
            ("socket_options", "a fractional value", [(1, 2, 1.5)], TypeError),
            ("local_addr", "a number", 5, TypeError),
            ("local_addr", "bytes", b"/run/a", TypeError),
            ("local_addr", "nothing", "", ValueError),
            ("local_addr", "an empty list", [], ValueError),
            ("local_addr", "an empty tuple", (), ValueError),
            ("local_addr", "a NUL in a path", "/run/a\0b", ValueError),
            ("local_addr", "no port", ("127.0.0.1",), TypeError),
            ("local_addr", "three parts", ("::1", 0, 0), TypeError),
            ("local_addr", "a name", ("localhost", 0), ValueError),
            ("local_addr", "a legacy spelling", ("127.1", 0), ValueError),
            ("local_addr", "full-width digits", ("\uff11\uff12\uff17.0.0.1", 0), ValueError),
            ("local_addr", "a NUL", ("127.0.0.1\0", 0), ValueError),
            ("local_addr", "a NUL in a scope", ("fe80::1%\0", 0), ValueError),
            ("local_addr", "a scope on IPv4", ("127.0.0.1%lo", 0), ValueError),
            ("local_addr", "IPv4 with a scope beside it", ("127.0.0.1", 0, 0, 0), ValueError),
            ("local_addr", "a scope as text", ("fe80::1", 0, 0, "2"), TypeError),
            ("local_addr", "a scope below zero", ("fe80::1", 0, 0, -1), ValueError),
            ("local_addr", "a negative port", ("127.0.0.1", -1), ValueError),
            ("local_addr", "port 65536", ("127.0.0.1", 65536), ValueError),
            ("local_addr", "a port that is true", ("127.0.0.1", True), TypeError),
            ("local_addr", "a port as text", ("127.0.0.1", "0"), TypeError),
            ("local_addr", "a bad one in a list", [LOCALHOST, ("localhost", 0)], ValueError),
        ]
    ],
]


@pytest.mark.parametrize(("name", "value", "error"), BAD)
def test_a_bad_value_is_refused_when_it_is_given(
    name: str, value: Any, error: type[Exception]
) -> None:
    """Not when it is used: that could be much later, and elsewhere.  The error names the option."""
    with pytest.raises(error) as caught:
        Dialer(**{name: value})
    assert type(caught.value) is error
    assert name in str(caught.value)


LOCAL_WORDS: list[tuple[Any, str]] = [
    ("127.0.0.1", "local_addr='127.0.0.1': write ('127.0.0.1', 0)"),
    ("127.0.0.1:4000", "local_addr='127.0.0.1:4000': write ('127.0.0.1', 4000)"),
    ("::1", "local_addr='::1': write ('::1', 0)"),
    ("[::1]:0", "local_addr='[::1]:0': write ('::1', 0)"),
    ("fe80::1%eth0", "local_addr='fe80::1%eth0': write ('fe80::1%eth0', 0)"),
    (["127.0.0.1", "::1"], "local_addr='127.0.0.1': write ('127.0.0.1', 0)"),
    ("unix:/run/a", "local_addr='unix:/run/a': write the path without unix:"),
    ("@a", "local_addr='@a': an abstract name begins with a NUL: write '\\x00a'"),
    (
        Path("/run/a"),
        "local_addr is (host, port), a path as str, or a list, not PosixPath('/run/a')",
    ),
]


@pytest.mark.parametrize(("value", "words"), LOCAL_WORDS)
def test_an_address_that_would_be_a_path_is_refused(value: Any, words: str) -> None:
    """Text alone is the path of a Unix socket; what was meant is said."""
    with pytest.raises((TypeError, ValueError)) as caught:
        Dialer(local_addr=value)
    assert str(caught.value) == words


@pytest.mark.parametrize(
    ("family", "local_addr"),
    [(V4, LOCALHOST6), (V6, LOCALHOST), (V6, "/run/client.sock"), (V4, [LOCALHOST6, "/run/a"])],
)
def test_a_family_without_its_local_address_is_a_contradiction(
    family: int, local_addr: Any
) -> None:
    """Nothing could be dialled with these."""
    with pytest.raises(ValueError, match="contradict"):
        Dialer(family=family, local_addr=local_addr)
    with pytest.raises(ValueError, match="contradict"):
        Dialer(family=family).replace(local_addr=local_addr)
    with pytest.raises(ValueError, match="contradict"):
        Dialer(local_addr=local_addr).replace(family=family)
    assert Dialer(family=family, local_addr=[LOCALHOST, LOCALHOST6]).family == family


# A value ------------------------------------------------------------------------------------------


def test_options_cannot_be_changed() -> None:
    """A set of them is shared by tasks, loops and threads."""
    dialer = Dialer(timeout=5)
    with pytest.raises(AttributeError, match=r"replace\(timeout=\.\.\.\)"):
        dialer.timeout = 6
    with pytest.raises(AttributeError, match="immutable"):
        dialer.whatever = 6  # type: ignore[attr-defined]
    with pytest.raises(AttributeError, match="immutable"):
        del dialer.timeout
    assert dialer.timeout == 5


def test_options_are_equal_by_value() -> None:
    """What was left out equals what was given as its default, and numbers are numbers."""
    assert Dialer() == Dialer(**DEFAULTS)
    assert Dialer(timeout=5) == Dialer(timeout=5.0)
    assert Dialer(timeout=None) == Dialer(timeout=inf)
    assert Dialer(timeout=5) != Dialer(timeout=6)
    assert Dialer(timeout=5) != Dialer(attempt_timeout=5)
    assert Dialer(local_addr=LOCALHOST) == Dialer(local_addr=[LOCALHOST])
    assert Options() != Dialer()
    assert Dialer() != "Dialer()"


def test_options_are_hashable_by_value() -> None:
    """They can be a key, of a cache of dialers, say."""
    given = {"local_addr": [LOCALHOST], "socket_options": [KEEPALIVE], "retry": 3, "timeout": 5}
    assert hash(Dialer(**given)) == hash(Dialer(**given))
    assert hash(Dialer()) == hash(Dialer(**DEFAULTS))
    assert len({Dialer(**given), Dialer(**given), Dialer(), Dialer(timeout=30)}) == 2


def test_the_repr_shows_what_differs_from_the_defaults() -> None:
    """In the order of the alphabet, as the call that makes it."""
    assert repr(Dialer()) == "Dialer()"
    assert repr(Dialer(timeout=30, max_concurrent=2, family=V6)) == (
        f"Dialer(family={V6}, max_concurrent=2)"
    )
    dialer = Dialer(timeout=5, attempt_timeout=1, happy_eyeballs_delay=None)
    assert repr(dialer) == "Dialer(attempt_timeout=1.0, happy_eyeballs_delay=None, timeout=5.0)"
    assert eval(repr(dialer)) == dialer


@pytest.mark.parametrize(
    "copied",
    [copy.copy, copy.deepcopy, lambda value: pickle.loads(pickle.dumps(value))],
    ids=["copy", "deepcopy", "pickle"],
)
def test_a_copy_is_equal(copied: Callable[[Any], Any]) -> None:
    """A program that forks workers sends them its options."""
    dialer = Dialer(timeout=5, local_addr=LOCALHOST, socket_options=[KEEPALIVE])
    again = copied(dialer)
    assert again == dialer
    assert hash(again) == hash(dialer)
    assert type(again) is Dialer
    with pytest.raises(AttributeError):
        again.timeout = 6


# replace ------------------------------------------------------------------------------------------


def test_replace_changes_what_it_names_and_keeps_the_rest() -> None:
    """The original stays as it was."""
    dialer = Dialer(timeout=5, local_addr=[LOCALHOST, LOCALHOST6], max_concurrent=2)
    changed = dialer.replace(timeout=1, interleave=2)
    assert changed == Dialer(
        timeout=1, local_addr=[LOCALHOST, LOCALHOST6], max_concurrent=2, interleave=2
    )
    assert dialer == Dialer(timeout=5, local_addr=[LOCALHOST, LOCALHOST6], max_concurrent=2)


def test_replace_can_go_back_to_a_default() -> None:
    """Also to None."""
    dialer = Dialer(timeout=5, local_addr=LOCALHOST, retry=3, family=V4)
    assert dialer.replace(timeout=30, local_addr=None, retry=None, family=0) == Dialer()


def test_replace_with_nothing_is_an_equal_copy() -> None:
    """And not the same object, which nobody may rely on."""
    dialer = Dialer(timeout=5, on_event=print)
    assert dialer.replace() == dialer


def test_replace_checks_what_it_is_given() -> None:
    """As the constructor does."""
    with pytest.raises(ValueError, match="timeout"):
        Dialer().replace(timeout=-1)
    with pytest.raises(TypeError, match="unknown option"):
        Dialer().replace(time_out=1)  # type: ignore[call-arg]


def test_replace_can_change_two_options_that_contradict_the_old_ones() -> None:
    """Only the result counts."""
    dialer = Dialer(family=V4, local_addr=LOCALHOST)
    changed = dialer.replace(family=V6, local_addr=LOCALHOST6)
    assert (changed.family, changed.local_addr) == (V6, ((V6, LOCALHOST6),))
    with pytest.raises(ValueError, match="contradict"):
        dialer.replace(family=V6)


def test_a_subclass_stays_itself() -> None:
    """A program may give its dialer methods of its own."""

    class Database(Dialer):
        def name(self) -> str:
            return "db.internal"

    database = Database(timeout=5)
    assert type(database.replace(timeout=1)) is Database
    assert database.replace(timeout=1).timeout == 1
    assert database.replace(timeout=1).name() == "db.internal"
    assert repr(database) == "Database(timeout=5.0)"
    assert database != Dialer(timeout=5)


SOME = st.fixed_dictionaries(
    {},
    optional={
        "timeout": st.one_of(st.none(), st.floats(0, inf), st.integers(0, 100)),
        "attempt_timeout": st.one_of(st.none(), st.floats(0, inf)),
        "happy_eyeballs_delay": st.one_of(st.none(), st.floats(0, inf)),
        "max_concurrent": st.integers(1, 100),
        "local_addr": st.sampled_from([None, LOCALHOST, LOCALHOST6, [LOCALHOST, LOCALHOST6]]),
        "socket_options": st.sampled_from([None, [], [KEEPALIVE]]),
    },
)


@given(base=SOME, changes=SOME)
def test_to_replace_is_to_make_with_both(base: dict[str, Any], changes: dict[str, Any]) -> None:
    """``Dialer(**a).replace(**b)`` equals ``Dialer(**{**a, **b})``, and so do their hashes."""
    replaced = Dialer(**base).replace(**changes)
    made = Dialer(**{**base, **changes})
    assert replaced == made
    assert hash(replaced) == hash(made)
    assert repr(replaced) == repr(made)
    assert (made == Dialer(**base)) == (repr(made) == repr(Dialer(**base)))
    assert not math.isnan(made.timeout)


# Through every function ---------------------------------------------------------------------------

HERE = ("127.0.0.1", 1)

ASYNCHRONOUS: dict[str, Callable[..., Any]] = {
    "connect": lambda **options: aioconnect.connect(*HERE, **options),
    "open_connection": lambda **options: aioconnect.open_connection(*HERE, **options),
    "create_connection": lambda **options: aioconnect.create_connection(
        asyncio.Protocol, *HERE, **options
    ),
    "Dialer.open_connection": lambda **options: Dialer().open_connection(*HERE, **options),
    "Dialer.create_connection": lambda **options: Dialer().create_connection(
        asyncio.Protocol, *HERE, **options
    ),
}


@pytest.mark.parametrize("function", ASYNCHRONOUS)
async def test_every_function_checks_its_options(function: str) -> None:
    """They are the same options everywhere."""
    call = ASYNCHRONOUS[function]
    for name in TIMES:
        with pytest.raises(ValueError, match=name):
            await call(**{name: -1})
        with pytest.raises(ValueError, match=name):
            await call(**{name: nan})
        with pytest.raises(TypeError, match=name):
            await call(**{name: "1"})
    with pytest.raises(TypeError, match="unknown option 'time_out'"):
        await call(time_out=1)
    with pytest.raises(ValueError, match="contradict"):
        await call(family=V4, local_addr=LOCALHOST6)


def test_the_blocking_function_checks_its_options() -> None:
    """Likewise."""
    for name in TIMES:
        with pytest.raises(ValueError, match=name):
            aioconnect.blocking.connect(*HERE, **{name: -1})
    with pytest.raises(TypeError, match="unknown option 'time_out'"):
        aioconnect.blocking.connect(*HERE, time_out=1)  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("value", "error"),
    [
        pytest.param(*BAD_TIMES[what], id=what)
        for what in ("negative", "minus infinity", "NaN", "text", "True", "a timedelta")
    ],
)
async def test_the_functions_for_ones_own_socket_check_their_time(
    value: Any, error: type[Exception]
) -> None:
    """``connect_wait`` and ``sock_connect`` take seconds, or None."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        with pytest.raises(error, match="timeout"):
            await aioconnect.connect_wait(ours, timeout=value)
        with pytest.raises(error, match="timeout"):
            await aioconnect.sock_connect(ours, "/nowhere", timeout=value)
        with pytest.raises(error, match="timeout"):
            aioconnect.blocking.connect_wait(ours, timeout=value)
        with pytest.raises(error, match="timeout"):
            aioconnect.blocking.sock_connect(ours, "/nowhere", timeout=value)


@pytest.mark.parametrize(
    ("target", "family"),
    [
        (("127.0.0.1", 80), V6),
        (("::1", 80), V4),
        (("unix:/run/db.sock",), V4),
        (("unix:@db",), V6),
        ((["db.internal:80", "[::1]:80"],), V4),
    ],
)
async def test_an_address_of_another_family_is_a_contradiction(
    target: tuple[Any, ...], family: int
) -> None:
    """One family was asked for, and an address of the other was given."""
    with pytest.raises(ValueError, match="family"):
        await aioconnect.connect(*target, family=family)
    with pytest.raises(ValueError, match="family"):
        await Dialer(family=family).connect(*target)
    with pytest.raises(ValueError, match="family"):
        await aioconnect.open_connection(*target, family=family)
    with pytest.raises(ValueError, match="family"):
        aioconnect.blocking.connect(*target, family=family)
    with pytest.raises(ValueError, match="family"):
        Dialer(family=family).supervise(*target)


CONTRADICTIONS: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "a datagram socket": ({"type": socket.SOCK_DGRAM}, ValueError, "SOCK_STREAM"),
    "another protocol": ({"proto": socket.IPPROTO_UDP}, ValueError, "proto"),
    "a name for TLS without TLS": ({"server_hostname": "a"}, ValueError, "server_hostname"),
    "a handshake's time without TLS": (
        {"ssl_handshake_timeout": 5},
        ValueError,
        "ssl_handshake_timeout",
    ),
    "a shutdown's time without TLS": (
        {"ssl_shutdown_timeout": 5},
        ValueError,
        "ssl_shutdown_timeout",
    ),
}


@pytest.mark.parametrize(
    ("keywords", "error", "match"), CONTRADICTIONS.values(), ids=CONTRADICTIONS
)
async def test_streams_refuse_keywords_that_contradict_each_other(
    keywords: dict[str, Any], error: type[Exception], match: str
) -> None:
    """Before anything is opened."""
    with pytest.raises(error, match=match):
        await aioconnect.open_connection(*HERE, **keywords)
    with pytest.raises(error, match=match):
        await aioconnect.create_connection(asyncio.Protocol, *HERE, **keywords)


async def test_a_socket_and_a_host_contradict_each_other() -> None:
    """As do a socket that is no stream, and TLS over a socket without a name to verify."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        with pytest.raises(ValueError, match="not both"):
            await aioconnect.open_connection(*HERE, sock=ours)
        with pytest.raises(ValueError, match="server_hostname"):
            await aioconnect.open_connection(sock=ours, ssl=ssl.create_default_context())
        assert ours.fileno() != -1, "what was refused stays the caller's"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagram:
        with pytest.raises(ValueError, match="stream"):
            await aioconnect.open_connection(sock=datagram)
        assert datagram.fileno() != -1, "what was refused stays the caller's"


async def test_a_limit_is_of_streams_only() -> None:
    """A transport buffers nothing that could be limited."""
    with pytest.raises(TypeError, match="limit"):
        await aioconnect.create_connection(
            asyncio.Protocol,
            *HERE,
            limit=1024,  # type: ignore[call-arg]
        )


async def test_tls_over_a_path_needs_a_name() -> None:
    """A path is nothing that a certificate could be for."""
    with pytest.raises(ValueError, match="server_hostname"):
        await aioconnect.open_connection("unix:/run/db.sock", ssl=True)


# What calls share ---------------------------------------------------------------------------------


def test_calls_with_the_same_numbers_share_a_dialer() -> None:
    """They are checked once; a number of another type is another number, and checked anew."""
    first = with_options({"timeout": 1, "max_concurrent": 3})
    assert with_options({"timeout": 1, "max_concurrent": 3}) is first
    assert with_options({}) is with_options({})
    assert first == Chosen(timeout=1, max_concurrent=3)
    with pytest.raises(TypeError, match="timeout"):
        with_options({"timeout": True, "max_concurrent": 3})
    with pytest.raises(TypeError, match="max_concurrent"):
        with_options({"timeout": 1, "max_concurrent": 3.0})
    assert with_options({"timeout": 2}).timeout == 2


def test_what_cannot_be_hashed_is_refused_for_what_it_is() -> None:
    """Not for that it cannot be hashed."""
    with pytest.raises(TypeError, match="timeout is seconds as a number") as caught:
        with_options({"timeout": [1]})
    assert caught.value.__context__ is None


def test_a_hook_is_kept_by_nobody() -> None:
    """Only numbers are shared: an object lives no longer than the call that it was given to."""

    class Observer:
        def __call__(self, event: object) -> None: ...

    observer = Observer()
    gone = weakref.ref(observer)
    with pytest.raises(ConnectionRefusedError), refusing() as nobody:
        aioconnect.blocking.connect(*nobody, on_event=observer, timeout=5)
    del observer
    gc.collect()
    assert gone() is None
