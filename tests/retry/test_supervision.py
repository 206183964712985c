"""When a connection that should always be there is dialled again."""

from __future__ import annotations

import errno
import random
import socket
import ssl
from typing import Any

import pytest

import aioconnect
from aioconnect import ConnectError, retry
from aioconnect.causes import from_exception, timed_out

from .virtual import NO_SUCH_NAME, REFUSED, attempt, round_of

DOUBLING = retry.exponential(1, 2, 60, jitter=None)


def supervise(policy: retry.Policy = DOUBLING, now: float = 0.0, **options) -> retry.Supervision:
    options.setdefault("rng", random.Random(1).random)
    return retry.Supervision(policy, now=now, **options)


def test_it_begins_with_a_dial() -> None:
    """At once."""
    supervision = supervise(now=100.0)
    assert supervision.next_dial == 100.0
    assert supervision.state == "waiting"


def test_failed_dials_back_off() -> None:
    """By the policy: 1, 2, 4 s after each failure."""
    supervision = supervise()
    assert [supervision.failed(now, REFUSED) for now in (0.5, 2.0, 4.5)] == [1.5, 4.0, 8.5]
    assert supervision.next_dial == 8.5
    assert supervision.failures == 3


def test_while_it_is_connected_nothing_is_due() -> None:
    """Not even by waking."""
    supervision = supervise()
    supervision.connected(0.5)
    assert supervision.next_dial is None
    assert supervision.wake(1.0) is None
    assert supervision.postpone(9.0) is None
    assert supervision.state == "connected"


def test_a_loss_is_the_first_failure_of_an_outage() -> None:
    """It has the policy's first delay: whoever was connected to that server lost it too."""
    supervision = supervise()
    supervision.connected(0.0)
    assert supervision.lost(3600.0) == 3601.0
    assert supervision.failures == 1


def test_ten_seconds_of_life_reset_the_back_off() -> None:
    """Exactly ten; less does not."""
    for life, failures, dial in ((9.999, 4, 8.0), (10.0, 1, 1.0)):
        supervision = supervise()
        for _ in range(3):
            supervision.failed(0.0, REFUSED)
        supervision.connected(100.0)
        assert supervision.lost(100.0 + life) == pytest.approx(100.0 + life + dial)
        assert supervision.failures == failures


def test_healthy_resets_the_back_off() -> None:
    """However short the life; but only while there is a connection."""
    supervision = supervise()
    for _ in range(3):
        supervision.failed(0.0, REFUSED)
    supervision.healthy(0.0)
    assert supervision.failures == 3
    supervision.connected(10.0)
    assert supervision.failures == 3
    supervision.healthy(10.1)
    assert supervision.failures == 0
    assert supervision.lost(10.2) == 11.2


def test_connecting_resets_nothing() -> None:
    """A server that accepts and resets is backed off from as one that refuses."""
    supervision = supervise()
    dials, now = [], 0.0
    for _ in range(5):
        supervision.connected(now)
        now = supervision.lost(now + 0.5)
        dials.append(now)
    assert dials == [1.5, 4.0, 8.5, 17.0, 33.5]


@pytest.mark.parametrize(
    "policy",
    [retry.RECONNECT, retry.constant(0), retry.constant(0.1), retry.forever(), DOUBLING],
    ids=repr,
)
@pytest.mark.parametrize("waking", [False, True])
def test_a_server_that_accepts_and_resets_is_dialled_at_most_20_times_a_minute(
    policy: retry.Policy, waking: bool
) -> None:
    """Whatever the policy, and whoever wakes it: in no minute of an hour more than that."""
    supervision = supervise(policy, wake_interval=0.01)
    dials: list[float] = []
    now = 0.0
    while now < 3600:
        dials.append(now)
        supervision.connected(now + 0.001)
        supervision.lost(now + 0.002)
        if waking:
            for number in range(5):
                supervision.wake(now + 0.003 + number)
        following = supervision.next_dial
        assert following is not None
        now = following
    most = max(
        sum(first <= dial < first + 60 for dial in dials[index : index + 40])
        for index, first in enumerate(dials)
    )
    assert most <= 20
    assert len(dials) > 60, "but it goes on"


def test_the_limit_is_for_servers_that_do_not_hold() -> None:
    """Where the program says that each connection was good, nothing is limited."""
    supervision = supervise(retry.constant(0.1))
    now = 0.0
    for _ in range(100):
        supervision.connected(now)
        supervision.healthy(now)
        assert supervision.lost(now) == now + 0.1
        now += 0.1


def test_waking_brings_the_dial_forward() -> None:
    """To now."""
    supervision = supervise()
    for _ in range(5):
        supervision.failed(0.0, REFUSED)
    assert supervision.next_dial == 16.0
    assert supervision.wake(3.0) == 3.0
    assert supervision.next_dial == 3.0


def test_waking_never_puts_a_dial_off() -> None:
    """It may be due before."""
    supervision = supervise()
    supervision.failed(0.0, REFUSED)
    assert supervision.wake(1.5) == 1.0


def test_waking_does_not_reset_the_back_off() -> None:
    """The delay after the next failure is what it would have been."""
    supervision = supervise()
    for _ in range(3):
        supervision.failed(0.0, REFUSED)
    supervision.wake(1.0)
    assert supervision.failed(1.0, REFUSED) == 9.0


def test_waking_helps_once_per_least_interval() -> None:
    """Dials that it brought forward are at least that far apart."""
    supervision = supervise(retry.constant(100), wake_interval=5.0)
    woken, now = [], 0.0
    supervision.failed(0.0, REFUSED)
    while now < 30:
        if supervision.wake(now) == now:
            woken.append(now)
            supervision.failed(now, REFUSED)
        now += 0.25
    assert woken == [0.0, 5.0, 10.0, 15.0, 20.0, 25.0]


def test_a_waking_that_comes_too_early_is_not_lost() -> None:
    """The dial comes when the interval is over."""
    supervision = supervise(retry.constant(100), wake_interval=5.0)
    supervision.failed(0.0, REFUSED)
    assert supervision.wake(1.0) == 1.0
    supervision.failed(1.0, REFUSED)
    assert supervision.wake(2.0) == 6.0
    assert supervision.wake(3.0) == 6.0


def test_waking_while_dialling_spends_nothing() -> None:
    """The dial is under way already."""
    supervision = supervise(retry.constant(100), wake_interval=5.0)
    assert supervision.wake(0.5) == 0.0
    supervision.failed(1.0, REFUSED)
    assert supervision.wake(2.0) == 2.0


def test_a_dial_can_be_put_off() -> None:
    """Because a breaker is open or a budget empty; that no waking changes."""
    supervision = supervise()
    supervision.failed(0.0, REFUSED)
    assert supervision.postpone(30.0) == 30.0
    assert supervision.wake(2.0) == 30.0
    assert supervision.postpone(20.0) == 30.0
    assert supervision.failed(30.5, REFUSED) == 32.5


def test_what_nothing_helps_ends_it() -> None:
    """A name that does not exist is not dialled for ever."""
    supervision = supervise()
    assert supervision.failed(0.5, NO_SUCH_NAME) == retry.Stop("permanent")
    assert supervision.state == "stopped"
    assert supervision.next_dial is None
    assert supervision.wake(1.0) is None


def test_a_policy_may_end_it() -> None:
    """Its failures and its time count from the beginning of the outage."""
    supervision = supervise(retry.attempts(2) & retry.constant(1))
    assert supervision.failed(0.0, REFUSED) == 1.0
    supervision.connected(1.0)
    supervision.healthy(1.0)
    assert supervision.lost(500.0) == 501.0
    assert supervision.failed(501.0, REFUSED) == retry.Stop("attempts")

    supervision = supervise(retry.within(10) & retry.constant(4))
    supervision.connected(0.0)
    assert supervision.lost(1000.0) == 1004.0
    assert supervision.failed(1004.0, REFUSED) == 1008.0
    assert supervision.failed(1008.0, REFUSED) == retry.Stop("deadline")


def test_the_policy_sees_what_happened() -> None:
    """Each dial's attempts, the loss as one, the state it returned, the delay before."""
    seen: list[retry.Context] = []

    def watch(ctx: retry.Context) -> retry.Retry:
        seen.append(ctx)
        return retry.Retry(2.0, state=len(seen))

    policy = retry.policy(watch)
    assert policy is not None
    supervision = supervise(policy, target="db:5432")
    supervision.failed(1.0, round_of(REFUSED, REFUSED))
    supervision.connected(4.0)
    supervision.lost(5.0)
    supervision.failed(8.0, REFUSED)
    assert [ctx.failures for ctx in seen] == [1, 2, 3]
    assert [len(ctx.history) for ctx in seen] == [2, 3, 4]
    assert [ctx.state for ctx in seen] == [None, 1, 2]
    assert [ctx.previous_delay for ctx in seen] == [0.0, 2.0, 2.0]
    assert [ctx.started for ctx in seen] == [0.0, 0.0, 0.0]
    lost = seen[1].last
    assert (lost.started, lost.at, lost.error.code) == (4.0, 5.0, "connection_reset")
    assert isinstance(lost.error, ConnectionResetError)
    assert "db:5432" in str(lost.error)


def test_a_new_outage_begins_anew() -> None:
    """The policy finds nothing of the one before: no state, no delay, no history."""
    seen: list[retry.Context] = []
    policy = retry.policy(lambda ctx: seen.append(ctx) or retry.Retry(2.0, state="mine"))
    assert policy is not None
    supervision = supervise(policy)
    supervision.failed(1.0, REFUSED)
    supervision.failed(4.0, REFUSED)
    supervision.connected(7.0)
    supervision.lost(700.0)
    last = seen[-1]
    assert (last.failures, last.started, last.state, last.previous_delay) == (1, 700.0, None, 0.0)
    assert last.history == (last.last,)


def test_a_loss_keeps_its_own_error() -> None:
    """Whatever the program saw: an error of the kernel is classified as on connecting."""
    supervision = supervise()
    seen = []
    policy = retry.policy(lambda ctx: seen.append(ctx.error.code) or retry.Retry(1))
    assert policy is not None
    supervision = supervise(policy)
    supervision.connected(0.0)
    supervision.lost(1.0, TimeoutError("no heartbeat"))
    assert seen == ["timed_out"]


def test_history_is_bounded_and_failures_are_exact() -> None:
    """After a thousand failures, too."""
    lengths = []
    policy = retry.policy(lambda ctx: lengths.append(len(ctx.history)) or retry.Retry(1))
    assert policy is not None
    supervision = supervise(policy)
    for number in range(1000):
        supervision.failed(float(number), round_of(REFUSED, REFUSED, REFUSED))
    assert max(lengths) == 64
    assert supervision.failures == 1000


def test_the_default_pace_is_that_of_reconnecting() -> None:
    """It never ends."""
    supervision = retry.Supervision(now=0.0, rng=lambda: 0.5)
    dials = []
    now = 0.0
    for _ in range(7):
        following = supervision.failed(now, REFUSED)
        assert isinstance(following, float)
        dials.append(following - now)
        now = following
    assert dials == [0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 15.0]
    assert attempt().started == 0.0


# What nothing helps, and what may come right ------------------------------------------------------


def failed_with(error: OSError) -> ConnectError:
    """Return the error of a dial whose one attempt failed so."""
    return round_of(from_exception(error, stage="connect", target="db:5432"))


FOR_EVER = retry.constant(1)
NUMBERS = sorted(errno.errorcode)
CERTIFICATE = ssl.SSLCertVerificationError(1, "certificate verify failed")
UNKNOWN = [socket.gaierror(number, "?") for number in (socket.EAI_NONAME, socket.EAI_NODATA)]


@pytest.mark.parametrize("first", ["fail", "wait"])
@pytest.mark.parametrize("connected", [False, True], ids=["before", "after"])
def test_what_the_kernel_says_never_ends_what_never_gives_up(connected: bool, first: Any) -> None:
    """A route, an address or a permission may come: each errno, before and after the first."""
    for number in NUMBERS:
        supervision = supervise(FOR_EVER, first=first)
        if connected:
            supervision.connected(0.0)
            supervision.lost(0.5)
        error = failed_with(OSError(number, "?"))
        assert supervision.failed(2.0, error) == 3.0, errno.errorcode[number]


@pytest.mark.parametrize("exception", [*UNKNOWN, CERTIFICATE], ids=["name", "data", "certificate"])
def test_the_first_connection_decides_what_a_wrong_name_means(exception: OSError) -> None:
    """Before it, somebody has written it wrong; afterwards, somebody else has broken it."""
    error = failed_with(exception)
    assert supervise(FOR_EVER).failed(1.0, error) == retry.Stop("permanent")
    assert supervise(FOR_EVER, first="wait").failed(1.0, error) == 2.0
    supervision = supervise(FOR_EVER)
    supervision.connected(0.0)
    supervision.lost(0.5)
    assert supervision.failed(2.0, error) == 3.0


def test_a_wrong_name_among_others_does_not_end_it() -> None:
    """Another address of the list may come."""
    error = round_of(from_exception(UNKNOWN[0], stage="resolve"), REFUSED)
    assert supervise(FOR_EVER).failed(1.0, error) == 2.0


def test_what_an_address_policy_denies_ends_it() -> None:
    """At any time: the program itself forbids it."""
    for first in ("fail", "wait"):
        supervision = supervise(FOR_EVER, first=first)
        supervision.connected(0.0)
        supervision.lost(0.5)
        denied = round_of(aioconnect.PolicyDenied(13, "forbidden"))
        assert supervision.failed(2.0, denied) == retry.Stop("permanent")


def test_a_dial_that_was_out_of_time_does_not_end_it() -> None:
    """Its time limit is that of one dial."""
    late = round_of(timed_out(whole=True, stage="connect"))
    assert supervise(FOR_EVER).failed(30.0, late) == 31.0


def test_a_policy_that_ends_still_does() -> None:
    """What may come right is its business."""
    supervision = supervise(retry.attempts(2) & FOR_EVER)
    error = failed_with(OSError(errno.EACCES, "?"))
    assert supervision.failed(1.0, error) == 2.0
    assert supervision.failed(2.5, error) == retry.Stop("attempts")


def test_a_connection_is_healthy_when_it_said_so_or_lived() -> None:
    """Until then a name that accepts may have moved."""
    supervision = supervise()
    supervision.connected(5.0)
    assert [supervision.is_healthy(now) for now in (5.0, 14.9, 15.0)] == [False, False, True]
    supervision.lost(6.0)
    supervision.connected(7.0)
    supervision.healthy(7.5)
    assert supervision.is_healthy(7.5)
    supervision.lost(8.0)
    supervision.connected(9.0)
    assert not supervision.is_healthy(9.0)
