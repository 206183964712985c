"""What a call tells whoever observes it, and its logger."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from aioconnect import events, retry

from .running import EVERYTHING, run

if TYPE_CHECKING:
    import pytest

CONNECTED = """
LookupStarted(at=0.0, target='db.test:80', family=2, name='db.test')
LookupFailed(at=0.25, target='db.test:80', family=2, name='db.test', error=NameNotResolved(-3, 'no
    answer from the name server for db.test: as scripted'))
RetryScheduled(at=0.25, target='db.test:80', delay=0.32383276483316237, error=NameNotResolved(-3,
    'no answer from the name server for db.test: as scripted'), round=1)
LookupStarted(at=0.5738327648331624, target='db.test:80', family=2, name='db.test')
LookupSucceeded(at=0.6988327648331624, target='db.test:80', family=2, name='db.test',
    addresses=('192.0.2.1', '192.0.2.2'), duration=0.125, source='dns')
AttemptStarted(at=0.6988327648331624, target='db.test:80', address=('192.0.2.1', 80), family=2,
    number=1, round=2)
AttemptFailed(at=0.7613327648331624, target='db.test:80', address=('192.0.2.1', 80),
    error=ConnectionRefused(111, 'refused by 192.0.2.1:80'), family=2, number=1, round=2,
    stage='connect', started=0.6988327648331624, tries=1)
AttemptStarted(at=0.7613327648331624, target='db.test:80', address=('192.0.2.2', 80), family=2,
    number=2, round=2)
AttemptFailed(at=2.2613327648331625, target='db.test:80', address=('192.0.2.2', 80),
    error=AttemptTimedOut(None, 'no answer from 192.0.2.2:80'), family=2, number=2, round=2,
    stage='connect', started=0.7613327648331624, tries=1)
RetryScheduled(at=2.2613327648331625, target='db.test:80', delay=0.575424586962251,
    error=ConnectionRefused(111, 'refused by 192.0.2.1:80; no answer from 192.0.2.2:80'), round=2)
LookupStarted(at=2.8367573517954137, target='db.test:80', family=2, name='db.test')
LookupSucceeded(at=2.9617573517954137, target='db.test:80', family=2, name='db.test',
    addresses=('192.0.2.1', '192.0.2.2'), duration=0.125, source='dns')
AttemptStarted(at=2.9617573517954137, target='db.test:80', address=('192.0.2.1', 80), family=2,
    number=3, round=3)
AttemptFailed(at=2.9617573517954137, target='db.test:80', address=('192.0.2.1', 80),
    error=TooManyOpenFiles(24, 'no descriptor left for 192.0.2.1:80'), family=2, number=3, round=3,
    stage='socket', started=2.9617573517954137, tries=1)
RetryScheduled(at=2.9617573517954137, target='db.test:80', delay=1.6509344730398539,
    error=TooManyOpenFiles(24, 'no descriptor left for 192.0.2.1:80'), round=3)
LookupStarted(at=4.6126918248352675, target='db.test:80', family=2, name='db.test')
LookupSucceeded(at=4.7376918248352675, target='db.test:80', family=2, name='db.test',
    addresses=('192.0.2.2', '192.0.2.1'), duration=0.125, source='dns')
AttemptStarted(at=4.7376918248352675, target='db.test:80', address=('192.0.2.2', 80), family=2,
    number=4, round=4)
AttemptStarted(at=5.2376918248352675, target='db.test:80', address=('192.0.2.1', 80), family=2,
    number=5, round=4)
Connected(at=5.3626918248352675, target='db.test:80', address=('192.0.2.1', 80), family=2, number=5,
    round=4, elapsed=5.3626918248352675, local=('192.0.2.100', 50000),
    stages={'connect': 0.125})
AttemptCancelled(at=5.3626918248352675, target='db.test:80', address=('192.0.2.2', 80), family=2,
    number=4, round=4)
"""

GAVE_UP = """
AttemptStarted(at=0.0, target='192.0.2.1:80', address=('192.0.2.1', 80), family=2, number=1,
    round=1)
AttemptFailed(at=0.0625, target='192.0.2.1:80', address=('192.0.2.1', 80),
    error=ConnectionRefused(111, 'refused by 192.0.2.1:80'), family=2, number=1, round=1,
    stage='connect', started=0.0, tries=1)
RetryScheduled(at=0.0625, target='192.0.2.1:80', delay=0.23796462709189137,
    error=ConnectionRefused(111, 'refused by 192.0.2.1:80'), round=1)
AttemptStarted(at=0.30046462709189137, target='192.0.2.1:80', address=('192.0.2.1', 80), family=2,
    number=2, round=2)
AttemptFailed(at=2.0, target='192.0.2.1:80', address=('192.0.2.1', 80), error=DeadlineExceeded(None,
    'no answer in time from 192.0.2.1:80'), family=2, number=2, round=2, stage='connect',
    started=0.30046462709189137, tries=1)
GaveUp(at=2.0, target='192.0.2.1:80', error=ConnectionRefused(111, 'refused by 192.0.2.1:80; no
    answer in time from 192.0.2.1:80'), reason='deadline')
"""


def test_the_log_of_a_seed_is_the_same_everywhere() -> None:
    """On every Python, to the last digit of every delay that was drawn."""
    names = "db.test EAI_AGAIN 0.25, a b 0.125, a b 0.125, b a 0.125"
    peers = "a refused 0.0625, no-descriptor, connects 0.125; b never"
    outcome = run(
        f"{names}; {peers}",
        "db.test",
        seed=7,
        retry=True,
        timeout=10,
        attempt_timeout=1.5,
        happy_eyeballs_delay=0.5,
    )
    assert list(map(repr, outcome.told)) == unbroken(CONNECTED)
    policy = retry.exponential(1, jitter="full")
    outcome = run("a refused 0.0625, never", "a", seed=3, retry=policy, timeout=2)
    assert list(map(repr, outcome.told)) == unbroken(GAVE_UP)


def unbroken(log: str) -> list[str]:
    """Join the lines that were broken to fit the page."""
    return log.strip().replace("\n    ", " ").splitlines()


def test_the_delays_are_those_of_a_preview() -> None:
    """What a policy would do is what it does."""
    told = run("a refused", "a", seed=5, retry=retry.DEFAULT).told
    delays = [event.delay for event in told if isinstance(event, events.RetryScheduled)]
    assert delays == retry.DEFAULT.preview(9, seed=5)


def test_every_decision_goes_to_the_logger_too(caplog: pytest.LogCaptureFixture) -> None:
    """At DEBUG, whether anybody else observes or not; and one WARNING for each pause."""
    world = "a refused 0.25, reset, connects"
    with caplog.at_level(logging.DEBUG, "aioconnect"):
        told = run(world, "a", retry=retry.constant(2)).told
        records = [record for record in caplog.records if record.levelno == logging.DEBUG]
        assert [record.getMessage() for record in records] == list(map(repr, told))
        caplog.clear()
        run(world, "a", retry=3, observed=False)
        assert sum(record.levelno == logging.DEBUG for record in caplog.records) == len(told)
    caplog.clear()
    with caplog.at_level(logging.INFO, "aioconnect"):
        run(world, "a", retry=retry.constant(2))
    assert {(record.name, record.levelname) for record in caplog.records} == {
        ("aioconnect", "WARNING")
    }
    refused, reset = [record.getMessage() for record in caplog.records]
    assert refused.startswith("cannot connect to 192.0.2.1:80: refused (1 attempt, 0.2 s)")
    assert refused.endswith("; round 2 in 2.00 s")
    assert reset.startswith("cannot connect to 192.0.2.1:80: reset (1 attempt)")
    assert reset.endswith("; round 3 in 2.00 s")


def test_an_observer_that_fails_changes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """Whatever event it fails on: the call goes on, and the logger has the traceback."""
    row = "db.test EAI_AGAIN, a; a refused 0.25, connects 0.25"

    def on_event(event: events.Event) -> None:
        raise RuntimeError("the disk is full")

    undisturbed = run(row, "db.test", retry=EVERYTHING)
    caplog.clear()
    outcome = run(row, "db.test", retry=EVERYTHING, on_event=on_event)
    assert outcome.log == undisturbed.log
    broken = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert len(broken) == len(outcome.told)
    assert all(record.exc_info for record in broken)


def test_one_event_for_each_attempt_and_one_at_the_end() -> None:
    """Whoever counts them gets it right."""
    outcome = run(
        "a never; b refused 0.125, refused, refused 0.5; c reset",
        *"abc",
        retry=retry.attempts(3) & retry.constant(0.5),
        attempt_timeout=1,
    )
    begun = [e.number for e in outcome.told if type(e) is events.AttemptStarted]
    ended = [e.number for e in outcome.told if type(e) is events.AttemptFailed]
    assert begun == list(range(1, 10))
    assert sorted(ended) == begun
    assert [type(event) for event in outcome.told].count(events.GaveUp) == 1
    last = outcome.told[-1]
    assert isinstance(last, events.GaveUp)
    assert outcome.error is not None
    assert str(last.error) == str(outcome.error)
    assert list(last.error.attempts) == list(outcome.error.attempts)
