"""What a cache keeps, for how long, and who waits for what; its clock is the test's."""

from __future__ import annotations

import asyncio
import random
import socket
import sys
import threading
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aioconnect import errors
from aioconnect.resolve import Answer, Cache, StaticResolver, answers, base, cache, threads

from ..support.loops import LOOPS
from .test_threads import V4, V6, Heard

NONAME, AGAIN, NODATA = socket.EAI_NONAME, socket.EAI_AGAIN, answers.EAI_NODATA
FAMILIES = answers.FAMILIES


class Clock:
    """Stands still until a test moves it."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """Say the time."""
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    fake = Clock()
    monkeypatch.setattr(cache, "monotonic", fake)
    return fake


class Upstream:
    """A resolver that says what it is told to, when it is told to."""

    def __init__(self, ttl: float | None = 60.0) -> None:
        self.asked: list[tuple[str, int]] = []
        self.ended: list[str] = []
        self.forgotten: list[str] = []
        self.ttl = ttl
        self.error: BaseException | None = None
        self.errors: dict[int, BaseException] = {}
        self.ttls: dict[int, float] = {}
        self.gate: asyncio.Event | None = None
        self.closed = False

    async def lookup(self, name: str, family: int, /) -> Answer:
        """Count the question, wait at the gate if there is one, answer its number."""
        self.asked.append((name, family))
        number = len(self.asked)
        try:
            if self.gate is not None:
                await self.gate.wait()
            self.ended.append("answered")
        except asyncio.CancelledError:
            self.ended.append("cancelled")
            raise
        error = self.errors.get(family, self.error)
        if error is not None:
            raise error
        text = f"fd00::{number:x}" if family == V6 else f"10.0.{number >> 8}.{number & 255}"
        ttl = self.ttls.get(family, self.ttl)
        return Answer((text,), ttl, "canonical.test", "dns", 0.1)

    def forget(self, name: str) -> None:
        """Note it."""
        self.forgotten.append(name)

    async def aclose(self) -> None:
        """Note it."""
        self.closed = True


def failure(number: int) -> socket.gaierror:
    return socket.gaierror(number, "said so")


def peek(kept: Cache, name: str, family: int) -> Answer | None:
    answers = kept.peek_name(name, (family,))
    return None if answers is None else answers[0]


async def whole(
    kept: Cache, name: str = "a.test", families: tuple[int, ...] = FAMILIES
) -> list[tuple[str, ...]]:
    return [answer.addresses async for answer in kept.lookup_name(name, families)]


async def addresses(kept: Cache, name: str = "a.test", family: int = V4) -> tuple[str, ...]:
    return (await kept.lookup(name, family)).addresses


# How long -----------------------------------------------------------------------------------------


async def test_an_answer_is_served_until_its_time_to_live_is_over(clock: Clock) -> None:
    """To the instant; what is left of it is said."""
    upstream = Upstream(ttl=60)
    kept = Cache(upstream)
    first = await kept.lookup("a.test", V4)
    assert (first.source, first.ttl, first.duration) == ("dns", 60, 0.1)
    clock.now += 59.5
    second = await kept.lookup("a.test", V4)
    assert second.addresses == first.addresses
    assert (second.source, second.ttl, second.duration) == ("cache", 0.5, 0.0)
    assert second.canonical == "canonical.test"
    clock.now += 0.5
    assert await addresses(kept) == ("10.0.0.2",)


@pytest.mark.parametrize(
    ("ttl", "options", "kept_for"),
    [
        (60, {"max_ttl": 10}, 10),
        (1, {"min_ttl": 5}, 5),
        (0, {"min_ttl": 5}, 5),
        (2**31, {}, 300),
        (None, {}, 30),
        (None, {"default_ttl": 7, "max_ttl": 1}, 7),
    ],
)
async def test_the_time_to_live_is_clamped(
    ttl: float | None, options: dict[str, float], kept_for: float, clock: Clock
) -> None:
    """Between min_ttl and max_ttl; an answer without one has default_ttl."""
    upstream = Upstream(ttl)
    kept = Cache(upstream, **options)  # type: ignore[arg-type]
    await addresses(kept)
    clock.now += kept_for - 0.001
    await addresses(kept)
    assert len(upstream.asked) == 1
    clock.now += 0.001
    await addresses(kept)
    assert len(upstream.asked) == 2


@pytest.mark.parametrize("options", [{}, {"default_ttl": 0.0}])
async def test_ttl_zero_is_not_kept(options: dict[str, float], clock: Clock) -> None:
    """The answer may change with each question; nor is the one before it kept on."""
    upstream = Upstream(ttl=None if options else 5)
    kept = Cache(upstream, **options)  # type: ignore[arg-type]
    await addresses(kept)
    clock.now += 10
    upstream.ttl = None if options else 0
    for _ in range(3):
        await addresses(kept)
        assert peek(kept, "a.test", V4) is None
    assert len(upstream.asked) == 4
    assert len(kept) == 0


@pytest.mark.parametrize("number", [NONAME, answers.EAI_NODATA])
async def test_that_there_is_none_is_kept_for_a_moment(number: int, clock: Clock) -> None:
    """The same error, built anew for each, and for each family by itself."""
    upstream = Upstream()
    upstream.error = failure(number)
    kept = Cache(upstream, negative_ttl=3)
    seen = []
    for _ in range(3):
        with pytest.raises(errors.NameNotResolved) as info:
            await kept.lookup("a.test", V4)
        assert info.value.errno == number
        assert peek(kept, "a.test", V4) is None
        seen.append(info.value)
    assert len({id(error) for error in seen}) == 3
    assert len(upstream.asked) == 1
    upstream.error = None
    assert await addresses(kept, family=V6) == ("fd00::2",)
    clock.now += 3
    assert await addresses(kept) == ("10.0.0.3",)


@pytest.mark.parametrize("error", [failure(AGAIN), failure(socket.EAI_FAIL), OSError(24, "files")])
async def test_that_asking_failed_is_not_kept(error: OSError, clock: Clock) -> None:
    """The next call asks again at once."""
    upstream = Upstream()
    upstream.error = error
    kept = Cache(upstream)
    for _ in range(2):
        with pytest.raises(errors.ConnectError):
            await kept.lookup("a.test", V4)
    assert len(upstream.asked) == 2
    assert len(kept) == 0


# A name is kept whole ---------------------------------------------------------------------------


async def test_both_families_are_kept_together(clock: Clock) -> None:
    """As they were found, in libc's order if it has sorted them."""
    upstream = Upstream()
    kept = Cache(upstream)
    assert await whole(kept) == [("fd00::1",), ("10.0.0.2",)]
    answers = kept.peek_name("A.test", FAMILIES)
    assert answers is not None
    assert [answer.addresses for answer in answers] == [("fd00::1",), ("10.0.0.2",)]
    assert await whole(kept) == [("fd00::1",), ("10.0.0.2",)]
    assert len(upstream.asked) == 2
    assert kept.peek_name("a.test", (V4,)) is None, "IPv4 alone is another question"


async def test_when_the_time_of_one_family_is_up_both_are_asked_anew(clock: Clock) -> None:
    """Otherwise the families could be of two searches."""
    upstream = Upstream()
    upstream.ttls = {V6: 10, V4: 60}
    kept = Cache(upstream)
    await whole(kept)
    clock.now += 9.9
    assert kept.peek_name("a.test", FAMILIES) is not None
    clock.now += 0.1
    assert kept.peek_name("a.test", FAMILIES) is None
    assert await whole(kept) == [("fd00::3",), ("10.0.0.4",)]


@pytest.mark.parametrize("number", [NONAME, NODATA])
async def test_a_family_that_is_absent_is_kept_as_long_as_the_other(
    number: int, clock: Clock
) -> None:
    """Most names have one family: they are not asked for again every few seconds."""
    upstream = Upstream(ttl=60)
    upstream.errors = {V6: failure(number)}
    kept = Cache(upstream, negative_ttl=3)
    assert await whole(kept) == [(), ("10.0.0.2",)]
    clock.now += 59.9
    answers = kept.peek_name("a.test", FAMILIES)
    assert answers is not None
    assert [answer.addresses for answer in answers] == [(), ("10.0.0.2",)]


async def test_a_name_of_which_one_family_failed_is_kept_for_a_moment(clock: Clock) -> None:
    """A name server's trouble with AAAA is not remembered as an absence."""
    upstream = Upstream(ttl=60)
    upstream.errors = {V6: failure(AGAIN)}
    kept = Cache(upstream, negative_ttl=3)
    assert await whole(kept) == [("10.0.0.2",)]
    clock.now += 2.9
    assert kept.peek_name("a.test", FAMILIES) is not None
    clock.now += 0.1
    assert kept.peek_name("a.test", FAMILIES) is None


async def test_that_a_whole_name_is_absent_is_kept_for_a_moment(clock: Clock) -> None:
    """What was said of IPv4 alone says nothing of both, and the other way round."""
    upstream = Upstream()
    upstream.error = failure(NODATA)
    kept = Cache(upstream, negative_ttl=3)
    for _ in range(2):
        with pytest.raises(errors.NameNotResolved) as info:
            await whole(kept)
        assert info.value.code == "no_data"
    assert len(upstream.asked) == 2
    clock.now += 3
    upstream.error = None
    assert await whole(kept) == [("fd00::3",), ("10.0.0.4",)]


async def test_an_answer_is_handed_on_as_it_comes() -> None:
    """A family that is slow does not hold up the other, whoever waits."""
    upstream = Upstream()
    kept = Cache(upstream)
    slow = asyncio.Event()
    ask = upstream.lookup

    async def lookup(name: str, family: int, /) -> Answer:
        if family == V6:
            await slow.wait()
        return await ask(name, family)

    upstream.lookup = lookup  # type: ignore[method-assign]
    first = kept.lookup_name("a.test", FAMILIES)
    assert (await anext(first)).addresses == ("10.0.0.1",)
    second = kept.lookup_name("a.test", FAMILIES)
    assert (await anext(second)).addresses == ("10.0.0.1",)
    slow.set()
    for search in (first, second):
        assert [answer.addresses async for answer in search] == [("fd00::2",)]
    assert len(upstream.asked) == 2


async def test_of_a_thousand_addresses_no_more_are_kept_than_are_of_use() -> None:
    """A name server's answer may have thousands, for as many names as it likes."""

    class Many:
        async def lookup(self, name: str, family: int, /) -> Answer:
            return Answer(tuple(f"10.0.{n >> 8}.{n & 255}" for n in range(1000)))

    kept = Cache(Many())
    assert len((await kept.lookup("a.test", V4)).addresses) == 1000
    assert len((await kept.lookup("a.test", V4)).addresses) == cache.MOST_ADDRESSES


async def test_what_a_name_waits_for_is_said_through_the_cache() -> None:
    """A search that waits for a thread is not the target's fault."""

    class Waiting(Upstream):
        def lacking(self, name: str) -> Any:
            return base.not_resolved(socket.EAI_MEMORY, "no thread", name, V4)

    lacking = base.lacking(Cache(Waiting()), "a.test")
    assert lacking is not None
    assert lacking.help == errors.Help.LOCAL
    assert base.lacking(Cache(Upstream()), "a.test") is None


async def test_case_does_not_matter(clock: Clock) -> None:
    """RFC 4343; a final dot does: it keeps the search domains out."""
    upstream = Upstream()
    kept = Cache(upstream)
    await addresses(kept, "A.Test")
    await addresses(kept, "a.test")
    assert len(upstream.asked) == 1
    await addresses(kept, "a.test.")
    assert len(upstream.asked) == 2


# Forgetting ---------------------------------------------------------------------------------------


async def test_a_forgotten_name_is_asked_for_again(clock: Clock) -> None:
    """However it was asked for, and nothing else; the resolver inside forgets too."""
    upstream = Upstream()
    kept = Cache(upstream)
    for name in ("a.test", "b.test"):
        for families in ((V4,), (V6,), FAMILIES):
            await whole(kept, name, families)
    kept.forget("A.test")
    for families in ((V4,), (V6,), FAMILIES):
        assert kept.peek_name("a.test", families) is None
        assert kept.peek_name("b.test", families) is not None
    assert upstream.forgotten == ["A.test"]
    assert await addresses(kept) == ("10.0.0.9",)


async def test_that_a_name_is_absent_is_forgotten_too(clock: Clock) -> None:
    """It may be there by now."""
    upstream = Upstream()
    upstream.error = failure(NONAME)
    kept = Cache(upstream, stale_if_error=60)
    with pytest.raises(errors.NameNotResolved):
        await kept.lookup("a.test", V4)
    upstream.error = None
    kept.forget("a.test")
    assert await addresses(kept) == ("10.0.0.2",)


async def test_an_answer_on_its_way_counts_as_old_when_forgotten() -> None:
    """It is given to who waits for it, and neither kept nor waited for by who comes later."""
    upstream = Upstream()
    kept = Cache(upstream)
    upstream.gate = asyncio.Event()
    early = asyncio.create_task(kept.lookup("a.test", V4))
    await asyncio.sleep(0)
    kept.forget("a.test")
    late = asyncio.create_task(kept.lookup("a.test", V4))
    await asyncio.sleep(0)
    upstream.gate.set()
    assert (await early).addresses == ("10.0.0.1",)
    assert (await late).addresses == ("10.0.0.2",)
    answer = peek(kept, "a.test", V4)
    assert answer is not None
    assert answer.addresses == ("10.0.0.2",)


# Stale if error -----------------------------------------------------------------------------------


async def test_an_old_answer_is_better_than_none_if_wanted(clock: Clock) -> None:
    """For so many seconds after its end, when asking fails; then it is asked again soon."""
    upstream = Upstream(ttl=60)
    kept = Cache(upstream, stale_if_error=100, negative_ttl=3)
    await addresses(kept)
    upstream.error = failure(AGAIN)
    clock.now += 60
    assert await addresses(kept) == ("10.0.0.1",)
    assert len(upstream.asked) == 2
    clock.now += 2.9
    assert await addresses(kept) == ("10.0.0.1",)
    assert len(upstream.asked) == 2, "a server in trouble is not asked at once again"
    clock.now += 0.1
    assert await addresses(kept) == ("10.0.0.1",)
    assert len(upstream.asked) == 3
    clock.now += 97
    with pytest.raises(errors.NameNotResolved):
        await kept.lookup("a.test", V4)


async def test_it_is_not_wanted_by_default(clock: Clock) -> None:
    """An old answer is served to those only who said so."""
    upstream = Upstream(ttl=60)
    kept = Cache(upstream)
    await addresses(kept)
    upstream.error = failure(AGAIN)
    clock.now += 60
    with pytest.raises(errors.NameNotResolved):
        await kept.lookup("a.test", V4)


@pytest.mark.parametrize("number", [NONAME, answers.EAI_NODATA])
async def test_an_authority_ends_an_old_answer(number: int, clock: Clock) -> None:
    """That the name is gone is an answer, not an error."""
    upstream = Upstream(ttl=60)
    kept = Cache(upstream, stale_if_error=100)
    await addresses(kept)
    upstream.error = failure(number)
    clock.now += 60
    for _ in range(2):
        with pytest.raises(errors.NameNotResolved) as info:
            await kept.lookup("a.test", V4)
        assert info.value.errno == number


async def test_a_forgotten_answer_still_serves_if_asking_fails(clock: Clock) -> None:
    """While the network is away both connecting and asking fail; afterwards it may be right."""
    upstream = Upstream(ttl=60)
    kept = Cache(upstream, stale_if_error=10)
    await addresses(kept)
    upstream.error = failure(AGAIN)
    kept.forget("a.test")
    assert peek(kept, "a.test", V4) is None
    assert await addresses(kept) == ("10.0.0.1",)
    clock.now += 10
    with pytest.raises(errors.NameNotResolved):
        await kept.lookup("a.test", V4)


# Bounds -------------------------------------------------------------------------------------------


async def test_the_least_recently_used_answer_goes_first() -> None:
    """Used by peek or by lookup."""
    upstream = Upstream()
    kept = Cache(upstream, size=3)
    for name in ("a", "b", "c"):
        await addresses(kept, name)
    assert peek(kept, "a", V4) is not None
    await addresses(kept, "b")
    await addresses(kept, "d")
    assert peek(kept, "c", V4) is None
    for name in ("a", "b", "d"):
        assert peek(kept, name, V4) is not None


@pytest.mark.slow
async def test_ten_thousand_names_and_as_many_who_give_up_leave_no_more() -> None:
    """Nothing of the questions themselves stays."""
    upstream = Upstream()
    kept = Cache(upstream, size=50)
    for number in range(2000):
        await addresses(kept, f"n{number}.test")
    upstream.gate = asyncio.Event()
    tasks = [asyncio.create_task(kept.lookup(f"m{number}.test", V4)) for number in range(10_000)]
    await asyncio.sleep(0)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    for _ in range(3):
        await asyncio.sleep(0)
    assert len(kept) == 50
    assert not kept._asking
    assert not kept._flights.of(asyncio.get_running_loop())
    assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.mark.parametrize(
    "options",
    [{"size": 0}, {"min_ttl": 2, "max_ttl": 1}, {"negative_ttl": -1}, {"max_ttl": float("nan")}],
)
def test_bounds_that_make_no_sense_are_refused(options: dict[str, Any]) -> None:
    """At once, not at the first answer."""
    with pytest.raises(ValueError, match=r"size|times"):
        Cache(Upstream(), **options)


# One look-up for all ------------------------------------------------------------------------------


async def test_asked_a_thousand_times_at_once_it_asks_once() -> None:
    """All get the answer."""
    upstream = Upstream()
    kept = Cache(upstream)
    answers = await asyncio.gather(*(kept.lookup("a.test", V4) for _ in range(1000)))
    assert len(upstream.asked) == 1
    assert {answer.addresses for answer in answers} == {("10.0.0.1",)}


async def test_the_first_may_leave_and_the_others_still_get_the_answer() -> None:
    """The shared look-up belongs to nobody."""
    upstream = Upstream()
    upstream.gate = asyncio.Event()
    kept = Cache(upstream)
    tasks = [asyncio.create_task(kept.lookup("a.test", V4)) for _ in range(3)]
    await asyncio.sleep(0)
    tasks[0].cancel()
    with pytest.raises(asyncio.CancelledError):
        await tasks[0]
    upstream.gate.set()
    assert [(await task).addresses for task in tasks[1:]] == [("10.0.0.1",)] * 2
    assert upstream.ended == ["answered"]


async def test_the_last_who_leaves_ends_the_look_up() -> None:
    """Within three turns of the loop nothing is left of it; who comes then begins another."""
    upstream = Upstream()
    upstream.gate = asyncio.Event()
    kept = Cache(upstream)
    tasks = [asyncio.create_task(kept.lookup("a.test", V4)) for _ in range(3)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    for task in tasks:
        task.cancel()
    await asyncio.sleep(0)
    later = asyncio.create_task(kept.lookup("a.test", V4))
    for _ in range(3):
        await asyncio.sleep(0)
    assert all(task.cancelled() for task in tasks)
    assert upstream.ended == ["cancelled"]
    upstream.gate.set()
    assert (await later).addresses == ("10.0.0.2",)
    assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.mark.parametrize("turns", range(6))
async def test_cancelling_at_every_turn_comes_out_as_cancelling(turns: int) -> None:
    """However far the look-up has come; nothing is left."""
    upstream = Upstream()
    upstream.gate = asyncio.Event()
    kept = Cache(upstream)
    task = asyncio.create_task(kept.lookup("a.test", V4))
    for turn in range(turns):
        if turn == 2:
            upstream.gate.set()
        await asyncio.sleep(0)
    done_before = task.done()
    task.cancel()
    (outcome,) = await asyncio.gather(task, return_exceptions=True)
    assert isinstance(outcome, Answer if done_before else asyncio.CancelledError)
    for _ in range(3):
        await asyncio.sleep(0)
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert not kept._asking


async def test_each_waiter_raises_an_error_of_their_own() -> None:
    """A shared exception would collect the tracebacks of all."""
    upstream = Upstream()
    upstream.error = failure(AGAIN)
    kept = Cache(upstream)
    outcomes = await asyncio.gather(
        *(kept.lookup("a.test", V4) for _ in range(5)), return_exceptions=True
    )
    assert len(upstream.asked) == 1
    assert len({id(outcome) for outcome in outcomes}) == 5
    for outcome in outcomes:
        assert isinstance(outcome, errors.NameNotResolved)
        assert outcome.code == "try_again"


async def test_an_exception_of_the_resolver_comes_out_unchanged() -> None:
    """It is a mistake in it, not a failed look-up; and nobody waits for ever."""
    upstream = Upstream()
    upstream.error = ZeroDivisionError("mine")
    kept = Cache(upstream)
    with pytest.raises(ZeroDivisionError, match="mine"):
        await kept.lookup("a.test", V4)


async def test_a_resolver_that_cancels_itself_is_a_failure_of_the_look_up() -> None:
    """Who was not cancelled does not see a cancellation."""
    upstream = Upstream()
    upstream.error = asyncio.CancelledError()
    kept = Cache(upstream)
    with pytest.raises(errors.NameNotResolved) as info:
        await kept.lookup("a.test", V4)
    assert info.value.code == "try_again"


if sys.version_info >= (3, 12):

    def test_an_eager_task_may_be_done_before_it_is_waited_for() -> None:
        """With eager_task_factory the look-up may answer while it is being begun."""

        async def main() -> tuple[str, ...]:
            asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
            return await addresses(Cache(Upstream()))

        assert asyncio.run(main()) == ("10.0.0.1",)


# Around other resolvers, loops and threads --------------------------------------------------------


async def test_what_the_resolver_inside_has_at_hand_is_at_hand() -> None:
    """A mapping inside a cache answers without a turn of the loop."""
    kept = Cache(StaticResolver({"db": "10.1.1.1"}))
    answer = peek(kept, "db", V4)
    assert answer is not None
    assert answer.source == "static"
    assert (await kept.lookup("db", V4)).addresses == ("10.1.1.1",)
    assert len(kept) == 0


async def test_closing_closes_the_resolver_inside() -> None:
    """What is kept stays: it needs nothing."""
    upstream = Upstream()
    kept = Cache(upstream)
    await addresses(kept)
    await kept.aclose()
    assert upstream.closed
    assert peek(kept, "a.test", V4) is not None


def test_it_works_without_a_loop(clock: Clock) -> None:
    """The blocking driver's look-ups fill the same cache, and hear of absence from it."""
    upstream = Upstream()
    kept = Cache(upstream)
    heard = Heard()
    threads.submit_name(kept, "a.test", (V4,), heard)
    heard.wait(2)
    threads.submit_name(kept, "a.test", (V4,), heard).cancel()
    first, end, second, other_end = heard.wait(4)
    assert isinstance(first, Answer)
    assert isinstance(second, Answer)
    assert (first.source, second.source) == ("dns", "cache")
    assert (end, other_end) == (None, None)
    upstream.error = failure(NONAME)
    for number in (5, 6):
        threads.submit_name(kept, "absent.test", (V4,), heard)
        assert isinstance(heard.wait(number)[-1], errors.NameNotResolved)
    assert len(upstream.asked) == 2


@pytest.mark.parametrize("loop", LOOPS)
def test_loops_share_what_is_kept_and_nothing_else(loop: str) -> None:
    """A look-up that a loop was closed upon does not hold up the next loop."""
    upstream = Upstream()
    kept = Cache(upstream)

    async def give_up() -> None:
        upstream.gate = asyncio.Event()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await kept.lookup("a.test", V4)
        upstream.gate = None

    for expected in (2, 2):
        with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
            if not peek(kept, "a.test", V4):
                runner.run(give_up())
            assert runner.run(addresses(kept)) == (f"10.0.0.{expected}",)


def test_a_look_up_on_its_way_ends_with_its_loop() -> None:
    """Nothing outlives the loop: ``asyncio.run`` returns, and the question ended."""
    upstream = Upstream()
    kept = Cache(upstream)

    async def main() -> None:
        upstream.gate = asyncio.Event()
        _tasks.append(asyncio.create_task(kept.lookup("a.test", V4)))
        await asyncio.sleep(0.01)

    _tasks: list[asyncio.Task[Answer]] = []
    asyncio.run(main())
    assert upstream.ended == ["cancelled"]
    assert _tasks[0].cancelled()
    assert not kept._asking


def test_threads_may_use_it_together() -> None:
    """Each with its own loop, each asking, forgetting and peeking as it likes."""
    kept = Cache(Upstream(ttl=60), size=8)
    broken: list[BaseException] = []

    async def use(seed: int) -> None:
        chance = random.Random(seed)
        for _ in range(400):
            name = f"n{chance.randrange(16)}.test"
            if chance.random() < 0.2:
                kept.forget(name)
            elif chance.random() < 0.5:
                peek(kept, name, V4)
            else:
                assert (await kept.lookup(name, V4)).addresses

    def run(seed: int) -> None:
        try:
            asyncio.run(use(seed))
        except BaseException as exc:
            broken.append(exc)

    users = [threading.Thread(target=run, args=(seed,)) for seed in range(4)]
    for user in users:
        user.start()
    for user in users:
        user.join()
    assert not broken
    assert len(kept) <= 8
    assert not kept._asking


# A model ------------------------------------------------------------------------------------------

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("ask"), st.sampled_from("ab"), st.sampled_from([0, 1, 5, None])),
        st.tuples(st.just("fail"), st.sampled_from("ab"), st.sampled_from([NONAME, AGAIN])),
        st.tuples(st.just("wait"), st.just(""), st.sampled_from([1, 2, 4, 40])),
        st.tuples(st.just("forget"), st.sampled_from("ab"), st.none()),
    ),
    max_size=30,
)


@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(steps=STEPS)
def test_it_never_serves_what_it_must_not(steps: list[Any], clock: Clock) -> None:
    """Against a model: what is served was answered since the last forget, and holds still."""
    upstream = Upstream()
    kept = Cache(upstream, default_ttl=30, negative_ttl=3)
    until: dict[str, tuple[float, str | int]] = {}  # the instant, and the address or the error

    async def one(kind: str, name: str, argument: Any) -> None:
        if kind == "wait":
            clock.now += argument
            return
        if kind == "forget":
            kept.forget(name)
            until.pop(name, None)
            return
        upstream.error = failure(argument) if kind == "fail" else None
        upstream.ttl = argument if kind == "ask" else None
        before = len(upstream.asked)
        outcome: str | int
        try:
            outcome = (await kept.lookup(name, V4)).addresses[0]
        except errors.NameNotResolved as exc:
            outcome = exc.errno or 0
        expected = until.get(name, (0.0, 0))
        if clock.now < expected[0]:
            assert outcome == expected[1]
            assert len(upstream.asked) == before
            return
        assert len(upstream.asked) == before + 1
        if kind == "ask":
            until[name] = (clock.now + (30 if argument is None else argument), outcome)
        elif argument == NONAME:
            until[name] = (clock.now + 3, NONAME)

    async def main() -> None:
        for step in steps:
            await one(*step)

    asyncio.run(main())
