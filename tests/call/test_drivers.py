"""Rounds on real sockets: on asyncio, on uvloop and blocking, the same story."""

from __future__ import annotations

import asyncio
import itertools
import math
import socket
import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import pytest

import aioconnect
import aioconnect.blocking
from aioconnect import Dialer, events, retry
from aioconnect.resolve import Answer, Cache, StaticResolver

from ..support.apis import APIS, Api
from ..support.limits import few_descriptors
from ..support.servers import black_hole, listen, refusing
from ..support.threads import later

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture(params=APIS)
def api(request: pytest.FixtureRequest) -> Iterator[Api]:
    """Give the library on each loop, and blocking."""
    with Api(request.param) as api:
        yield api


QUICK = retry.constant(0.05)


def test_a_server_that_comes_up_late(api: Api) -> None:
    """The call outlasts its absence."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        started = time.monotonic()
        with later(0.2, server.listen):
            sock = api.connect(server.getsockname(), retry=QUICK, timeout=20)
        with sock:
            assert time.monotonic() - started >= 0.2
            assert sock.getpeername() == server.getsockname()
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0


class Moving:
    """A name server whose one name moves."""

    def __init__(self, home: str) -> None:
        self.home = StaticResolver({"db.test": home})
        self.asked = 0

    def move(self, home: str) -> None:
        """Move the name."""
        self.home = StaticResolver({"db.test": home})

    async def lookup(self, name: str, family: int) -> Answer:
        """Say where it is."""
        self.asked += 1
        return await self.home.lookup(name, family)


def test_a_server_that_goes_away_and_moves(api: Api) -> None:
    """The answer that a cache keeps is forgotten after a round, and the new home is found."""
    names = Moving("127.0.0.1")
    options: dict[str, Any] = {
        "resolver": Cache(names),
        "family": socket.AF_INET,
        "retry": QUICK,
        "timeout": 20,
    }
    with listen() as old, socket.socket() as new:
        port = old.getsockname()[1]
        new.bind(("127.0.0.2", port))
        for _ in range(2):
            with api.connect("db.test", port, **options) as sock:
                assert sock.getpeername() == ("127.0.0.1", port)
        assert names.asked == 1, "kept"
        old.close()
        new.listen()
        names.move("127.0.0.2")
        with api.connect("db.test", port, **options) as sock:
            assert sock.getpeername() == ("127.0.0.2", port)
        assert names.asked == 2


def test_a_path_that_appears_later(api: Api, tmp_path: Any) -> None:
    """First there is nothing, then a file that nobody listens on, then a server."""
    path = str(tmp_path / "socket")
    codes: list[str] = []

    def policy(ctx: retry.Context) -> retry.Retry:
        codes.append(ctx.error.code)
        if ctx.failures == 2:
            server.bind(path)
        elif ctx.failures == 4:
            server.listen()
        return retry.Retry(0.02)

    with (
        socket.socket(socket.AF_UNIX) as server,
        api.connect(f"unix:{path}", retry=policy, timeout=20) as sock,
    ):
        assert sock.getpeername() == path
    assert codes == ["path_not_found"] * 2 + ["connection_refused"] * 2


def test_descriptors_that_run_out_and_come_back(api: Api) -> None:
    """They are waited for; that costs no token, and opens no breaker."""
    budget, breaker = retry.Budget(1, 0.0), retry.Breaker(1)
    lift: list[Callable[[], None]] = []
    codes: list[str] = []

    @contextmanager
    def no_descriptors() -> Iterator[None]:
        with ExitStack() as limit:
            limit.enter_context(few_descriptors())
            lift.append(limit.close)
            yield

    def policy(ctx: retry.Context) -> retry.Retry:
        codes.append(ctx.error.code)
        if ctx.failures == 3:
            lift.pop()()
        return retry.Retry(0.02)

    with listen() as server, api.during(no_descriptors):
        host, port = server.getsockname()
        api.connect(host, port, retry=policy, budget=budget, breaker=breaker, timeout=20).close()
    assert codes == ["too_many_open_sockets"] * 3
    assert budget.tokens(f"{host}:{port}") == 1.0
    assert breaker.state(f"{host}:{port}", time.monotonic()) == "closed"


def test_each_attempt_has_a_new_socket_and_the_old_one_is_closed_before_the_pause(
    api: Api,
) -> None:
    """Each with the options and the local address that were asked for."""
    made: list[socket.socket] = []
    open_then: list[bool] = []

    def factory(endpoint: Any) -> socket.socket:
        made.append(socket.socket(*endpoint[:3]))
        return made[-1]

    def policy(ctx: retry.Context) -> retry.Retry:
        open_then.append(any(sock.fileno() != -1 for sock in made))
        if ctx.failures == 3:
            server.listen()
        return retry.Retry(0.02)

    with socket.socket() as server, refusing() as other:
        server.bind(("127.0.0.1", 0))
        sock = api.connect(
            [other, server.getsockname()],
            retry=policy,
            socket_factory=factory,
            socket_options=[(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)],
            local_addr=("127.0.0.3", 0),
            timeout=20,
        )
        with sock:
            assert len(made) == len(set(map(id, made))) >= 7
            assert open_then == [False, False, False]
            assert [each.fileno() == -1 for each in made] == [each is not sock for each in made]
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
            assert sock.getsockname()[0] == "127.0.0.3"


def test_a_call_stops_before_its_deadline_rather_than_sleep_past_it(api: Api) -> None:
    """Not after a pause that was bound to be for nothing."""
    started = time.monotonic()
    with refusing() as address:
        error = api.fails(address, retry=retry.constant(20), timeout=20)
    assert time.monotonic() - started < 10
    assert error.stopped == "deadline"
    assert isinstance(error, ConnectionRefusedError)


def test_the_timeout_holds_for_all_rounds_together(api: Api) -> None:
    """Attempts that are never answered, each with its own limit, and pauses between them."""
    with black_hole() as dead:
        error = api.fails(dead, retry=QUICK, attempt_timeout=0.1, timeout=0.5)
    assert 0.4 <= error.elapsed < 1.5
    assert isinstance(error, TimeoutError)
    assert error.stopped == "deadline"
    assert error.count >= 2


def test_changing_the_wall_clock_changes_nothing(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """It leaps by a century, back and forth, whenever somebody looks at it."""
    leaps = itertools.cycle([0.0, 3.2e9])
    monkeypatch.setattr(time, "time", lambda: next(leaps))
    told: list[events.Event] = []
    started = time.monotonic()
    with refusing() as address:
        budget = retry.Budget()
        policy = retry.attempts(4) & retry.constant(0.1)
        error = api.fails(address, retry=policy, budget=budget, timeout=30, on_event=told.append)
    assert 0.3 <= error.elapsed <= time.monotonic() - started < 10
    begun = [event.at for event in told if type(event) is events.AttemptStarted]
    assert all(0.1 <= b - a < 5 for a, b in itertools.pairwise(begun))
    assert error.count == 4


def test_all_drivers_tell_the_same_story(api: Api) -> None:
    """Instants apart: a name that is not there yet, a server that is not up yet."""
    told: list[str] = []

    class Names:
        asked = 0

        async def lookup(self, name: str, family: int) -> Answer:
            self.asked += 1
            if self.asked == 1:
                raise socket.gaierror(socket.EAI_AGAIN, "not yet")
            return Answer(("127.0.0.1",), source="dns")

    def on_event(event: events.Event) -> None:
        where = getattr(event, "address", "")
        code = getattr(getattr(event, "error", None), "code", "")
        told.append(" ".join(filter(None, [type(event).__name__, *where[:1], code])))

    def policy(ctx: retry.Context) -> retry.Retry:
        if ctx.failures == 2:
            server.listen()
        return retry.Retry(0.01)

    with refusing() as first, socket.socket() as server:
        server.bind(("127.0.0.2", 0))
        api.connect(
            [("db.test", first[1]), server.getsockname()],
            retry=policy,
            resolver=Names(),
            family=socket.AF_INET,
            happy_eyeballs_delay=None,
            on_event=on_event,
            timeout=20,
        ).close()
    assert told == [
        "LookupStarted",
        "LookupFailed try_again",
        "AttemptStarted 127.0.0.2",
        "AttemptFailed 127.0.0.2 connection_refused",
        "RetryScheduled connection_refused",
        "LookupStarted",
        "LookupSucceeded",
        "AttemptStarted 127.0.0.1",
        "AttemptFailed 127.0.0.1 connection_refused",
        "AttemptStarted 127.0.0.2",
        "AttemptFailed 127.0.0.2 connection_refused",
        "RetryScheduled connection_refused",
        "LookupStarted",
        "LookupSucceeded",
        "AttemptStarted 127.0.0.1",
        "AttemptFailed 127.0.0.1 connection_refused",
        "AttemptStarted 127.0.0.2",
        "Connected 127.0.0.2",
    ]


def test_a_half_open_breaker_lets_exactly_one_through(api: Api) -> None:
    """Of many at the same time; the others are told when to come again."""
    breaker = retry.Breaker(1, open_for=30)
    with black_hole() as dead:
        key = "{}:{}".format(*dead)
        breaker.failure(key, time.monotonic() - 100)
        assert breaker.state(key, time.monotonic()) == "half-open"
        ends = api.together([((dead,), {"breaker": breaker, "timeout": 0.4})] * 20)
        refused = [error for error in ends if isinstance(error, aioconnect.CircuitOpen)]
        assert len(refused) == 19
        assert sum(isinstance(error, aioconnect.DeadlineExceeded) for error in ends) == 1
        assert all(error.retry_after and 10 < error.retry_after <= 30 for error in refused)
        assert breaker.state(key, time.monotonic()) == "open"


def test_a_breaker_says_truly_when_to_come_again(api: Api) -> None:
    """Before, it is open; then, the call goes through."""
    breaker = retry.Breaker(1, open_for=1.0, rng=lambda: 0.0)
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        address = server.getsockname()
        assert isinstance(api.fails(address, breaker=breaker), ConnectionRefusedError)
        server.listen()
        error = api.fails(address, breaker=breaker)
        assert isinstance(error, aioconnect.CircuitOpen)
        assert error.retry_after is not None
        assert 0 < error.retry_after <= 0.5
        time.sleep(error.retry_after)
        api.connect(address, breaker=breaker).close()
        api.connect(address, breaker=breaker).close()


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, SystemExit])
def test_no_policy_sees_an_interruption(api: Api, interruption: type[BaseException]) -> None:
    """Not even one that retries everything."""
    asked: list[retry.Context] = []

    def everything(ctx: retry.Context) -> retry.Retry:
        asked.append(ctx)
        return retry.Retry()

    def factory(endpoint: Any) -> socket.socket:
        raise interruption

    with refusing() as address, pytest.raises(interruption):
        api.connect(
            address,
            retry=retry.forever() & everything & retry.on(lambda error: True),
            socket_factory=factory,
        )
    assert not asked


@pytest.mark.parametrize(
    ("option", "value", "error", "said"),
    [
        ("retry", False, TypeError, "retry=False: say retry=None"),
        ("retry", 0, ValueError, "retry=0: the first round counts too"),
        ("retry", 1.5, TypeError, "retry=1.5: expected None, True, a number"),
        ("retry", "always", TypeError, "retry='always': expected None, True, a number"),
        ("retry", retry.exponential, TypeError, r"when it is called: exponential\(...\)"),
        ("retry", retry.Retry, TypeError, "is a class"),
        ("budget", 10, TypeError, r"budget needs reserve\(\)"),
        ("budget", retry.Budget, TypeError, "budget.*not a class"),
        ("breaker", True, TypeError, r"breaker needs admit\(\)"),
        ("breaker", retry.Breaker, TypeError, "breaker.*not a class"),
        ("timeout", -1, ValueError, "timeout=-1"),
        ("attempt_timeout", math.nan, ValueError, "attempt_timeout=nan"),
        ("on_event", "log", TypeError, "on_event is not callable"),
    ],
)
def test_what_is_given_wrongly_is_said_before_anything_is_dialled(
    option: str, value: Any, error: type[Exception], said: str
) -> None:
    """By every way in, in a sentence that names the option."""
    options: dict[str, Any] = {option: value}

    def factory(endpoint: Any) -> socket.socket:
        raise AssertionError(endpoint)

    with pytest.raises(error, match=said):
        Dialer(**options)
    with pytest.raises(error, match=said):
        aioconnect.blocking.connect("127.0.0.1:9", socket_factory=factory, **options)
    with pytest.raises(error, match=said):
        asyncio.run(aioconnect.connect("127.0.0.1:9", socket_factory=factory, **options))
