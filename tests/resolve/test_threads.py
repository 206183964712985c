"""The threads for libc: few, bounded, shared by who asks the same, and left alone by who left."""

from __future__ import annotations

import asyncio
import errno
import logging
import re
import resource
import socket
import threading
import time
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from aioconnect import errors
from aioconnect.resolve import Answer, per_loop, threads
from aioconnect.resolve.system import getaddrinfo
from aioconnect.resolve.threads import Lookups, Ticket

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

V4, V6 = int(socket.AF_INET), int(socket.AF_INET6)

LOOP = "aioconnect-resolver-loop"


class Libc:
    """Stands in for getaddrinfo: names that begin with "hung" hang until released."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, int]] = []
        self.flags: set[int] = set()
        self.threads: set[str] = set()
        self.release = threading.Event()
        self.at_once = 0
        self.most_at_once = 0
        self._lock = threading.Lock()

    def __call__(
        self, host: str, port: None, family: int, type: int, proto: int, flags: int
    ) -> list[Any]:
        """Answer as ``socket.getaddrinfo`` does."""
        with self._lock:
            self.asked.append((host, family))
            self.flags.add(flags)
            self.threads.add(threading.current_thread().name)
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            if host.startswith("hung"):
                assert self.release.wait(20)
            if host.startswith("absent"):
                raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
            if host.startswith("full"):
                raise OSError(errno.EMFILE, "Too many open files")
            if host.startswith("both"):
                return [
                    (socket.AF_INET6, type, 6, "", ("fe80::1", 0, 0, 3)),
                    (socket.AF_INET, type, 6, "", ("10.0.0.1", 0)),
                    (socket.AF_INET, type, 6, "", ("10.0.0.1", 0)),
                ]
            both = [(V4, type, 6, "", ("10.0.0.1", 0)), (V6, type, 6, "", ("::1", 0, 0, 0))]
            return [info for info in both if family in (0, info[0])]
        finally:
            with self._lock:
                self.at_once -= 1


@pytest.fixture
def libc(monkeypatch: pytest.MonkeyPatch) -> Iterator[Libc]:
    fake = Libc()
    monkeypatch.setattr(socket, "getaddrinfo", fake)
    yield fake
    fake.release.set()
    for lookups in [thing for thing in per_loop._renewables if isinstance(thing, Lookups)]:
        until(lambda lookups=lookups: not lookups._jobs)  # or the rest would ask the real libc


def submit(
    lookups: Lookups, name: str, family: int, done: Callable[[Any], None], flags: int = 0
) -> Ticket:
    """Look a name up as the system's resolver does."""
    ask = partial(getaddrinfo, name, family, flags)
    return lookups.call((name, family, flags), name, family, ask, done)


class Heard:
    """What the callbacks were called with."""

    def __init__(self) -> None:
        self.outcomes: list[Any] = []
        self._more = threading.Condition()

    def __call__(self, outcome: Any) -> None:
        """Note an outcome, in any thread."""
        with self._more:
            self.outcomes.append(outcome)
            self._more.notify_all()

    def wait(self, number: int = 1) -> list[Any]:
        """Wait until ``number`` outcomes came; return all."""
        with self._more:
            assert self._more.wait_for(lambda: len(self.outcomes) >= number, 10)
        return self.outcomes


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def ours() -> list[str]:
    return [
        t.name for t in threading.enumerate() if re.fullmatch(r"aioconnect-resolver-\d+", t.name)
    ]


def test_the_same_question_asked_a_thousand_times_at_once_is_asked_once(libc: Libc) -> None:
    """All hear the one answer."""
    lookups, heard = Lookups(), Heard()
    for _ in range(1000):
        submit(lookups, "hung.test", V4, heard)
    libc.release.set()
    answers = heard.wait(1000)
    assert libc.asked == [("hung.test", V4)]
    assert {id(answer) for answer in answers} == {id(answers[0])}


def test_questions_differ_by_name_family_and_flags(libc: Libc) -> None:
    """Only the very same question is shared."""
    lookups, heard = Lookups(), Heard()
    submit(lookups, "hung.test", V4, heard)
    submit(lookups, "hung.test", V6, heard)
    submit(lookups, "hung.test", V4, heard, socket.AI_NUMERICSERV)
    submit(lookups, "hung.other", V4, heard)
    libc.release.set()
    heard.wait(4)
    assert len(libc.asked) == 4


def test_the_threads_are_bounded_and_end_when_idle(libc: Libc) -> None:
    """However many names are asked for at once."""
    lookups, heard = Lookups(6, idle=0.05), Heard()
    before = len(ours())
    for number in range(200):
        submit(lookups, f"hung{number}.test", (V4, V6)[number % 2], heard)
    until(lambda: libc.at_once == 6)
    assert len(ours()) == before + 6
    libc.release.set()
    heard.wait(200)
    assert libc.most_at_once == 6
    until(lambda: len(ours()) <= before)
    submit(lookups, "again.test", V4, heard)
    heard.wait(201)


def test_threads_are_made_only_when_needed(libc: Libc) -> None:
    """One question after the other takes one thread."""
    lookups, heard = Lookups(), Heard()
    for number in range(1, 20):
        submit(lookups, f"a{number}.test", V4, heard)
        heard.wait(number)
        until(lambda: bool(lookups._idle))
    assert len(libc.threads) == 1


def test_the_oldest_question_is_asked_first(libc: Libc) -> None:
    """Across the families too."""
    lookups, heard = Lookups(1), Heard()
    submit(lookups, "hung.test", V4, heard)
    until(lambda: libc.at_once == 1)
    order = [("a.test", V4), ("b.test", V6), ("c.test", V6), ("d.test", V4)]
    for name, family in order:
        submit(lookups, name, family, heard)
    libc.release.set()
    heard.wait(5)
    assert libc.asked[1:] == order


def test_a_question_that_nobody_waits_for_leaves_the_queue(libc: Libc) -> None:
    """It is never asked, unless another one still waits for it."""
    lookups, heard = Lookups(1), Heard()
    submit(lookups, "hung.test", V4, heard)
    until(lambda: libc.at_once == 1)
    left = [submit(lookups, f"left{number}.test", V4, heard) for number in range(100)]
    submit(lookups, "left7.test", V4, heard)
    for ticket in left:
        ticket.cancel()
        ticket.cancel()  # twice does no harm
    libc.release.set()
    heard.wait(2)
    until(lambda: bool(lookups._idle))
    assert libc.asked == [("hung.test", V4), ("left7.test", V4)]
    assert len(heard.outcomes) == 2


def test_who_left_a_running_look_up_is_not_called(libc: Libc) -> None:
    """The others are."""
    lookups, stayed, left = Lookups(), Heard(), Heard()
    ticket = submit(lookups, "hung.test", V4, left)
    submit(lookups, "hung.test", V4, stayed)
    until(lambda: libc.at_once == 1)
    ticket.cancel()
    libc.release.set()
    stayed.wait()
    assert not left.outcomes


def test_giving_up_ten_thousand_times_leaves_nothing(libc: Libc) -> None:
    """Neither questions nor threads: only what libc will not give back."""
    lookups, heard = Lookups(4), Heard()
    before = len(ours())
    for number in range(10_000):
        submit(lookups, f"hung{number}.test", (V4, V6)[number % 2], heard).cancel()
    assert len(ours()) <= before + 4
    assert len(lookups._jobs) <= 4, "those in libc's hands"
    assert not lookups._queued
    libc.release.set()
    until(lambda: not lookups._jobs)
    assert not heard.outcomes


def test_each_who_asked_gets_an_error_of_their_own(libc: Libc) -> None:
    """One exception raised by many would collect all their tracebacks."""
    lookups, heard = Lookups(), Heard()
    submit(lookups, "hung.test", V4, lambda _: None)
    for _ in range(3):
        submit(lookups, "absent.test", V4, heard)
    libc.release.set()
    outcomes = heard.wait(3)
    assert len({id(error) for error in outcomes}) >= len(libc.asked) - 1
    for error in outcomes:
        assert isinstance(error, errors.NameNotResolved)
        assert isinstance(error, socket.gaierror)
        assert (error.code, error.errno, error.stage) == (
            "host_not_found",
            socket.EAI_NONAME,
            "resolve",
        )
        assert error.__traceback__ is None
        assert "absent.test" in str(error)


def test_what_comes_is_of_the_family_asked_for_without_doubles(libc: Libc) -> None:
    """A library that replaces getaddrinfo may give both; the scope id stays with its address."""
    assert [a.addresses for a in getaddrinfo("both.test", V4)] == [("10.0.0.1",)]
    assert [a.addresses for a in getaddrinfo("both.test", V6)] == [("fe80::1%3",)]


def test_both_families_come_with_their_places_in_libcs_order(libc: Libc) -> None:
    """Which goes by what only libc can see; a family that is missing is known to be."""
    six, four = getaddrinfo("a.test", 0)
    assert (six.addresses, six.places) == (("::1",), (1,))
    assert (four.addresses, four.places) == (("10.0.0.1",), (0,))
    assert getaddrinfo("a.test", V4)[0].places is None


def test_the_canonical_name_is_asked_for(libc: Libc) -> None:
    """AI_CANONNAME keeps glibc off a path on which a silent server is "no such name"."""
    getaddrinfo("a.test", V4, socket.AI_ADDRCONFIG)
    assert libc.flags == {socket.AI_ADDRCONFIG | socket.AI_CANONNAME}


@pytest.mark.parametrize("name", ["", "a\0b.test", "ä.test", "a..test", "x" * 64 + ".test"])
def test_what_no_host_is_called_is_no_name(name: str) -> None:
    """NUL above all: C would ask for what stands before it."""
    heard = Heard()
    submit(Lookups(), name, V4, heard)
    (error,) = heard.wait()
    assert isinstance(error, errors.NameNotResolved)
    assert error.code in ("host_not_found", "try_again")


@contextmanager
def no_descriptor_left() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_want_of_descriptors_is_not_blamed_on_the_name() -> None:
    """Without a descriptor libc says that the name or its server is at fault."""
    heard = Heard()
    with no_descriptor_left():
        submit(Lookups(), "some.test", V4, heard)
        (error,) = heard.wait()
    assert isinstance(error, errors.TooManyOpenFiles)


def test_an_errno_of_the_system_keeps_its_class(libc: Libc) -> None:
    """EAI_SYSTEM reaches Python as the OSError behind it."""
    heard = Heard()
    submit(Lookups(), "full.test", V4, heard)
    (error,) = heard.wait()
    assert isinstance(error, errors.TooManyOpenFiles)


@pytest.mark.parametrize("running", [0, 1])
def test_no_new_thread_can_be_started(
    running: int, libc: Libc, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The threads that are there do the work; if there is none, an error says so."""
    lookups, heard = Lookups(), Heard()
    if running:
        submit(lookups, "hung.test", V4, heard)
        until(lambda: libc.at_once == 1)

    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as context:
        context.setattr(threading.Thread, "start", refuse)
        submit(lookups, "a.test", V4, heard)
        submit(lookups, "b.test", V6, heard)
    libc.release.set()
    outcomes = heard.wait(2 + running)
    if running:
        assert all(isinstance(outcome, tuple) for outcome in outcomes)
    else:
        for error in outcomes:
            assert isinstance(error, errors.NameNotResolved)
            assert error.errno == socket.EAI_MEMORY
            assert error.help == errors.Help.LOCAL
    submit(lookups, "later.test", V4, heard)
    assert isinstance(heard.wait(3 + running)[-1], tuple)


def test_a_callback_that_fails_harms_nobody(libc: Libc, caplog: pytest.LogCaptureFixture) -> None:
    """It is logged; the others hear, and the thread goes on."""
    lookups, heard = Lookups(1), Heard()

    def broken(_: object) -> None:
        raise LookupError("broken")

    with caplog.at_level(logging.ERROR, "aioconnect.resolve"):
        submit(lookups, "hung.test", V4, broken)
        submit(lookups, "hung.test", V4, heard)
        libc.release.set()
        heard.wait()
        submit(lookups, "a.test", V4, heard)
        heard.wait(2)
    assert "hung.test" in caplog.text
    assert len(libc.threads) == 1


def test_there_is_a_thread() -> None:
    """Without one nothing would ever be asked."""
    with pytest.raises(ValueError, match="at least one"):
        Lookups(0)


# Names that hang ----------------------------------------------------------------------------------


def test_names_that_hang_do_not_keep_good_ones_out(libc: Libc) -> None:
    """What has run for a while no longer counts: more threads are made for the others."""
    lookups, hung, heard = Lookups(2, prompt=0.05), Heard(), Heard()
    for number in range(20):
        submit(lookups, f"hung{number}.test", V4, hung)
    submit(lookups, "good.test", V4, heard)
    heard.wait()
    assert libc.at_once == 20
    assert not hung.outcomes


def test_the_names_that_hang_are_bounded_too(libc: Libc) -> None:
    """Then a name waits, and if it has waited for long that is something this host lacks."""
    lookups, hung, heard = Lookups(2, prompt=0.05, most_hung=4), Heard(), Heard()
    for number in range(20):
        submit(lookups, f"hung{number}.test", V4, hung)
    until(lambda: libc.at_once == 6)
    submit(lookups, "good.test", V4, heard)
    (error,) = heard.wait()
    assert isinstance(error, errors.NameNotResolved)
    assert error.errno == socket.EAI_MEMORY
    assert error.help == errors.Help.LOCAL
    assert libc.at_once == 6
    libc.release.set()
    submit(lookups, "later.test", V4, heard)
    until(lambda: len(heard.outcomes) == 2)


def test_a_name_that_waits_for_a_thread_says_what_is_lacking(libc: Libc) -> None:
    """When its time is up before it was begun, the target is not to blame."""
    lookups = Lookups(1)
    submit(lookups, "hung.test", V4, lambda _: None)
    until(lambda: libc.at_once == 1)
    submit(lookups, "waits.test", V4, lambda _: None)
    lacking = lookups.lacking("waits.test")
    assert lacking is not None
    assert lacking.help == errors.Help.LOCAL
    assert lookups.lacking("hung.test") is None
    assert lookups.lacking("other.test") is None


# Without a loop -----------------------------------------------------------------------------------


class Slow:
    """A resolver with nothing but the one method."""

    def __init__(self) -> None:
        self.loops: set[asyncio.AbstractEventLoop] = set()
        self.cancelled = threading.Event()

    async def lookup(self, name: str, family: int, /) -> Answer:
        """Answer after a turn of the loop."""
        self.loops.add(asyncio.get_running_loop())
        await asyncio.sleep(0)
        if name == "broken":
            raise ZeroDivisionError("broken")
        if name == "absent":
            raise socket.gaierror(socket.EAI_NONAME, "no")
        if name == "hung":
            try:
                await asyncio.sleep(20)
            except asyncio.CancelledError:
                self.cancelled.set()
                raise
        return Answer(("::1",) if family == V6 else ("10.0.0.1",))


@pytest.mark.parametrize(
    ("name", "expected"),
    [("fine", type(None)), ("absent", errors.NameNotResolved), ("broken", ZeroDivisionError)],
)
def test_any_resolver_can_be_asked_without_a_loop(name: str, expected: type) -> None:
    """Its coroutines run on a loop in a thread; each answer is handed on, then the end."""
    heard = Heard()
    threads.submit_name(Slow(), name, (V6, V4), heard)
    until(lambda: bool(heard.outcomes) and not isinstance(heard.outcomes[-1], Answer))
    *answers, end = heard.outcomes
    assert isinstance(end, expected)
    found = [answer.addresses for answer in answers if answer.addresses]
    assert found == ([("::1",), ("10.0.0.1",)] if name == "fine" else [])


def test_searches_without_a_loop_share_one() -> None:
    """A resolver may keep much for each loop."""
    others = set(threading.enumerate())  # of a resolver that another test has left to its clean-up
    resolver, heard = Slow(), Heard()
    tickets = [
        threads.submit_name(resolver, "hung", (V4,), heard),
        *[threads.submit_name(resolver, f"n{n}.test", (V4,), heard) for n in range(50)],
    ]
    heard.wait(100)
    assert len(resolver.loops) == 1
    tickets[0].cancel()
    assert resolver.cancelled.wait(10)
    until(lambda: all(t.name != LOOP for t in set(threading.enumerate()) - others))
    assert len(heard.outcomes) == 100, "who left hears no more"
