"""How long an attempt may take, and how long is waited between two tries of one.

Pure arithmetic of the race (``race.py``), used also where an attempt needs no race.
"""

from __future__ import annotations

from math import ceil

__all__ = ["DEFAULT_ATTEMPT_TIMEOUT", "LEAST_SHARE", "first_wait", "limit", "pause"]

DEFAULT_ATTEMPT_TIMEOUT = 10.0
"""Seconds for one attempt where something else can follow and the caller said nothing."""
LEAST_SHARE = 2.0
"""Seconds that a fair share of the time left is not cut below (as Go's partial deadline)."""


def first_wait(
    now: float,
    deadline: float,
    attempt_timeout: float | None,
    addresses: int,
    slots: int,
    more_rounds: bool,
    delay: float | None,
) -> float:
    """Return what :meth:`Race.next` says right after the first of all addresses has started.

    So a call needs no race before something fails, or a second address is due.
    """
    if delay is None:
        slots = 1
    until = limit(now, deadline, attempt_timeout, addresses, slots, more_rounds)
    if addresses > 1 and slots > 1 and delay is not None:
        return min(until, now + delay, deadline)
    return min(until, deadline)


def limit(
    now: float,
    deadline: float,
    attempt_timeout: float | None,
    unstarted: int,
    slots: int,
    follows: bool,
) -> float:
    """Compute the instant until which an attempt that starts ``now`` may take.

    ``unstarted`` addresses, this one included, share what is left among ``slots``; ``follows``:
    other addresses or another round may come as well.
    """
    until = deadline
    if unstarted > slots:
        left = max(deadline - now, 0.0)
        share = max(left / ceil(unstarted / slots), LEAST_SHARE)
        if share < left:
            until = now + share
    if attempt_timeout is None:
        if not follows and unstarted < 2:
            return until
        attempt_timeout = DEFAULT_ATTEMPT_TIMEOUT
    latest = now + attempt_timeout
    return min(until, latest)


def pause(tries: int) -> float:
    """Return the seconds before the next try at a full backlog: 1 ms, growing to 0.1 s."""
    return min(0.001 * 2.0 ** min(tries - 1, 10), 0.1)
