"""The door: what an attempt does after its connect, in virtual time.

The handshake here says a byte and waits for one.  What its peer does stands in the script: it
``says`` its byte after so long, is ``silent``, ``drips`` other bytes, ``closes`` or ``resets``.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Any

import pytest

from aioconnect import ConnectError, DeadlineExceeded, events, retry
from aioconnect.stages import StageSpec
from aioconnect.wait import READ

from .running import EVERYTHING, Row, cases, lines, run

if TYPE_CHECKING:
    import socket
    from collections.abc import Generator


def greet(sock: socket.socket, endpoint: Any) -> Generator[int, None, None]:
    """Say a byte, and wait for one."""
    sock.send(b"?")
    yield READ
    if not sock.recv(1):
        raise ConnectionResetError(errno.ECONNRESET, "the peer has hung up")


def greet_thrice(sock: socket.socket, endpoint: Any) -> Generator[int, None, None]:
    """Do it three times."""
    for _ in range(3):
        yield from greet(sock, endpoint)


@cases(
    Row(
        "a handshake that succeeds is a connection",
        "a connects 0.1; a/peer says 0.2",
        "a",
        "0 dial a; 0.3 connected a",
    ),
    Row(
        "after a connect at once, too",
        "a connects; a/peer says 0.2",
        "a",
        "0 dial a; 0.2 connected a",
    ),
    Row(
        "when it has connected the delay of the next address begins anew",
        "a connects 0.2; a/peer silent; b connects; b/peer says 0.1",
        "a b",
        "0 dial a; 0.45 dial b; 0.55 connected b; 0.55 closed a",
    ),
    Row(
        "so a peer beyond half a delay does not see two of each connect",
        "a connects 0.2; a/peer says 0.2; b connects",
        "a b",
        "0 dial a; 0.4 connected a",
    ),
    Row(
        "once: a handshake that goes on and on does not keep the next address from its turn",
        "a connects 0.1; a/peer drips 0.2; b connects; b/peer says 0.05",
        "a b",
        "0 dial a; 0.35 dial b; 0.4 connected b; 0.4 closed a",
        {"handshake": lambda sock, endpoint: forever(sock)},
    ),
    Row(
        "each attempt begins it anew, once",
        "a connects 0.1; a/peer silent; b connects 0.2; b/peer silent; c connects; c/peer says",
        "a b c",
        "0 dial a; 0.35 dial b; 0.8 dial c; 0.8 connected c; 0.8 closed a; 0.8 closed b",
    ),
    Row(
        "one that fails is a failed attempt, and the next address starts at once",
        "a connects 0.1; a/peer resets 0.05; b connects; b/peer says 0.1",
        "a b",
        "0 dial a; 0.15 a connection_reset; 0.15 dial b; 0.25 connected b",
    ),
    Row(
        "one whose peer hangs up is a failed attempt",
        "a connects 0.1; a/peer closes 0.05; b connects; b/peer says",
        "a b",
        "0 dial a; 0.15 a connection_reset; 0.15 dial b; 0.15 connected b",
    ),
    Row(
        "one that stalls has the limit of its attempt, which began with its connect",
        "a connects 0.1; a/peer silent; b connects; b/peer says",
        "a b",
        "0 dial a; 1 a timed_out; 1 dial b; 1 connected b",
        {"attempt_timeout": 1, "happy_eyeballs_delay": None},
    ),
    Row(
        "one that drips has it too",
        "a connects 0.1; a/peer drips 0.3; b connects; b/peer says",
        "a b",
        "0 dial a; 1 a timed_out; 1 dial b; 1 connected b",
        {
            "attempt_timeout": 1,
            "happy_eyeballs_delay": None,
            "handshake": lambda sock, endpoint: forever(sock, endpoint),
        },
    ),
    Row(
        "one that stalls ends with the call",
        "a connects 0.1; a/peer silent",
        "a",
        "0 dial a; 2 a timed_out; 2 gave up: attempts",
        {"timeout": 2},
    ),
    Row(
        "a failed one is retried with a fresh socket",
        "a connects 0.1; a/peer resets 0.1, says 0.1",
        "a",
        "0 dial a; 0.2 a connection_reset; 0.2 again in 0.5; 0.7 dial a; 0.9 connected a",
        {"retry": EVERYTHING},
    ),
    Row(
        "of two handshakes the first that is through wins",
        "a connects 0.1; a/peer says 0.5; b connects; b/peer says 0.1",
        "a b",
        "0 dial a; 0.35 dial b; 0.45 connected b; 0.45 closed a",
    ),
    Row(
        "a handshake of several steps goes on where it was",
        "a connects 0.1; a/peer drips 0.1",
        "a",
        "0 dial a; 0.4 connected a",
        {"handshake": greet_thrice},
    ),
    Row(
        "a slot is held until the handshake has ended",
        "a connects; a/peer resets 1; b connects; b/peer says",
        "a b",
        "0 dial a; 1 a connection_reset; 1 dial b; 1 connected b",
        {"max_concurrent": 1},
    ),
)
def test_an_attempt_is_done_when_its_handshake_is(row: Row) -> None:
    """A failure or a stall in it is one of the attempt."""
    options = {"handshake": greet, **row.options}
    assert run(row.world, *row.targets.split(), **options).log == lines(row.log)


def forever(sock: socket.socket, endpoint: Any = None) -> Generator[int, None, None]:
    """Be through when the byte comes from another than the first address; else go on and on."""
    while True:
        yield from greet(sock, endpoint)
        if sock.getpeername()[0] != "192.0.2.1":
            return


def test_what_failed_says_in_which_stage() -> None:
    """In the log of attempts, and in the error; the deadline's, too."""
    error = run("a connects 0.1; a/peer resets 0.1", "a", handshake=greet).error
    assert error is not None
    assert error.stage == error.attempts[0].stage == "handshake"
    assert isinstance(error, ConnectionResetError)
    assert error.attempts[0].address == ("192.0.2.1", 80)
    assert error.attempts[0].ended == pytest.approx(0.2)
    error = run("a connects 0.1; a/peer silent", "a", handshake=greet, timeout=2).error
    assert isinstance(error, DeadlineExceeded)
    assert error.stage == "handshake"


def test_the_policy_counts_a_round_whose_handshake_failed() -> None:
    """And the budget pays for the next one."""
    budget = retry.Budget(2, 0.0)
    outcome = run(
        "a connects; a/peer resets 0.1",
        "a",
        handshake=greet,
        retry=retry.constant(1),
        budget=budget,
        timeout=20,
    )
    assert outcome.log[-1].endswith("gave up: budget")
    assert outcome.error is not None
    assert outcome.error.count == 3
    assert budget.tokens("192.0.2.1:80") == 0.0


@pytest.mark.parametrize("leave", [0.05, 0.1, 0.15, 0.25, 0.4, 0.5, 0.55])
def test_left_in_the_middle_it_leaves_nothing(leave: float) -> None:
    """Whatever runs: a connect, one handshake, two; the generators are closed, too."""
    ended: list[str] = []

    def watched(sock: socket.socket, endpoint: Any) -> Generator[int, None, None]:
        try:
            yield from greet(sock, endpoint)
        finally:
            ended.append(endpoint[4][0])

    outcome = run(
        "a connects 0.1; a/peer silent; b connects 0.1; b/peer silent",
        *"ab",
        handshake=watched,
        leave=leave,
    )
    assert outcome.result is None
    assert len(ended) == (leave > 0.1) + (leave > 0.45)


def test_a_late_limit_of_a_handshake_is_judged_after_a_look() -> None:
    """What came while somebody kept the driver counts; what has not come is late."""
    for timers_first in (False, True):
        options: dict[str, Any] = {"handshake": greet, "timeout": 1, "timers_first": timers_first}
        world = "a connects 0.1; a/peer says {}"
        outcome = run(world.format(0.5), "a", held=(0.25, 2.75), **options)
        assert outcome.log == ["0 dial a", "3 connected a"]
        outcome = run(world.format(5), "a", held=(0.25, 2.75), **options)
        assert outcome.log[1] == "3 a timed_out"


def test_what_a_handshake_raises_comes_out_unchanged() -> None:
    """If it is no ``OSError``: then the program is wrong."""

    class Wrong(Exception):
        pass

    def broken(sock: socket.socket, endpoint: Any) -> Generator[int, None, None]:
        yield from greet(sock, endpoint)
        raise Wrong

    with pytest.raises(Wrong):
        run("a connects; a/peer says 0.1; b never", *"ba", handshake=broken)


# Stages of the library's own ----------------------------------------------------------------------


class Thing:
    """What a stage makes of a socket."""

    def __init__(self, made_of: Any, things: list[Thing]) -> None:
        self.made_of = made_of
        self.closed = 0
        things.append(self)

    def close(self) -> None:
        """Close it, and what it was made of."""
        self.closed += 1
        self.made_of.close()

    def fileno(self) -> int:
        """Return its descriptor."""
        return int(self.made_of.fileno())


def wrapping(things: list[Thing], *, seconds: bool = True, sole: bool = False) -> StageSpec:
    """Return a stage that makes a thing of what it gets, when its peer has said a byte."""

    def begin(given: Any, endpoint: Any) -> Generator[int, None, Thing]:
        sock = given
        while isinstance(sock, Thing):
            sock = sock.made_of
        if seconds:
            yield READ
            sock.recv(1)
        return Thing(given, things)

    return StageSpec("tls", begin, undo=Thing.close, sole=sole)


def test_a_stage_gets_what_the_one_before_has_made() -> None:
    """And the call's result is what the last one made."""
    things: list[Thing] = []
    stages = [wrapping(things, seconds=False), wrapping(things, seconds=False)]
    outcome = run("a connects 0.1; a/peer silent", "a", stages=stages)
    assert outcome.log == ["0 dial a", "0.1 connected a"]
    first, second = things
    assert outcome.result is second
    assert second.made_of is first
    assert outcome.world.open == [first.made_of]
    second.close()


def test_each_stage_closes_its_own() -> None:
    """Of an attempt that loses, that fails, that is left: whatever it has made so far."""
    for leave in (0.05, 0.15, 0.25, 0.35, 0.45, 9.0):
        things: list[Thing] = []
        stages = [wrapping(things, seconds=False), StageSpec("handshake", stall)]
        outcome = run(
            "a connects 0.1; a/peer silent; b connects; b/peer silent",
            *"ab",
            stages=stages,
            leave=leave,
            timeout=0.4,
        )
        assert outcome.result is None
        assert not outcome.world.open
        assert [thing.closed for thing in things] == [1] * len(things)
        assert len(things) == (leave > 0.1) + (leave > 0.35)


def stall(given: Any, endpoint: Any) -> Generator[int, None, Any]:
    """Wait for ever."""
    sock = given.made_of
    sock.recv  # noqa: B018
    while True:
        yield READ


def test_while_a_sole_stage_runs_no_other_address_starts() -> None:
    """The peer is alive: its silence is that of what lies behind it."""
    things: list[Thing] = []
    stages = [wrapping(things, sole=True)]
    outcome = run(
        "a connects 0.1; a/peer says 3; b connects",
        *"ab",
        stages=stages,
    )
    assert outcome.log == ["0 dial a", "3.1 connected a"]
    outcome.result.close()
    outcome = run(
        "a connects 0.1; a/peer silent; b connects; b/peer says",
        *"ab",
        stages=stages,
        attempt_timeout=1,
    )
    assert outcome.log == ["0 dial a", "1 a timed_out", "1 dial b", "1 connected b"]
    outcome.result.close()


def test_when_the_sole_stage_is_done_the_next_address_may_start() -> None:
    """While the stage that follows it goes on."""
    things: list[Thing] = []
    outcome = run(
        "a connects 0.1; a/peer says 3; b never",
        *"ab",
        stages=[wrapping(things, sole=True), StageSpec("handshake", stall)],
        timeout=5,
    )
    assert outcome.log[:2] == ["0 dial a", "3.1 dial b"]


def test_a_driver_without_a_loop_refuses_what_needs_one() -> None:
    """A coroutine as a handshake, in a blocking call, say."""

    async def handshake(sock: socket.socket) -> None:
        raise AssertionError

    def begin(sock: socket.socket, endpoint: Any) -> Any:
        return handshake(sock)

    with pytest.raises(TypeError, match="loop"):
        run("a connects 0.1; a/peer silent", "a", stages=[StageSpec("handshake", begin)])


def test_the_error_of_a_stage_is_the_callers_to_read() -> None:
    """Its own words are kept."""

    def refuse(sock: socket.socket, endpoint: Any) -> Generator[int, None, None]:
        yield from greet(sock, endpoint)
        raise OSError("407 Proxy Authentication Required")

    error = run("a connects; a/peer says 0.1", "a", handshake=refuse).error
    assert isinstance(error, ConnectError)
    assert "407 Proxy Authentication Required" in str(error)


# What an observer hears -----------------------------------------------------------------------


def told(outcome: Any) -> list[str]:
    """Return the events of stages, and how long each stage of the winner took."""
    said = []
    for event in outcome.told:
        if isinstance(event, events.HandshakeFailed):
            said.append(f"{event.at:g} {event.stage} failed: {event.error.code}")
        elif isinstance(event, events.HandshakeStarted):
            said.append(f"{event.at:g} {event.stage} of {event.number}")
        elif isinstance(event, events.Connected):
            said += [f"{stage} {seconds:g}" for stage, seconds in event.stages.items()]
    return said


def test_an_observer_hears_of_each_stage_and_how_long_it_took() -> None:
    """Of one that fails, of one whose time is up, and of the one that wins."""
    outcome = run("a connects 0.125; a/peer says 0.25", "a", handshake=greet)
    assert told(outcome) == ["0.125 handshake of 1", "connect 0.125", "handshake 0.25"]
    assert told(run("a connects 0.5", "a")) == ["connect 0.5"]
    outcome = run("a connects 0.125; a/peer resets 0.25", "a", handshake=greet)
    assert told(outcome) == ["0.125 handshake of 1", "0.375 handshake failed: connection_reset"]
    outcome = run("a connects 0.125; a/peer silent", "a", handshake=greet, timeout=1)
    assert told(outcome) == ["0.125 handshake of 1", "1 handshake failed: timed_out"]
    things: list[Thing] = []
    stages = [wrapping(things, seconds=False)]
    outcome = run("a connects; a/peer says 0.25", "a", handshake=greet, stages=stages)
    assert told(outcome)[:2] == ["0 handshake of 1", "0.25 tls of 1"]
    assert told(outcome)[2:] == ["connect 0", "handshake 0.25", "tls 0"]
    outcome.result.close()
