"""The error of a whole call, from those of its attempts."""

from __future__ import annotations

import errno
import itertools

import pytest

from aioconnect.causes import combine, from_errno, from_exception
from aioconnect.errors import ConnectionRefused

from ..support.error_table import LOCAL, NOTHING, OTHER, SAME, V4
from .made import failed

DOMINANCE = [
    ["ECONNREFUSED"],
    ["ECONNRESET", "ECONNABORTED", "EPIPE", "ENETRESET"],
    ["ETIMEDOUT", "timer"],
    ["EACCES", "EPERM"],
    ["EHOSTUNREACH", "EHOSTDOWN", "ENONET", "ENOPROTOOPT"],
    ["ENETUNREACH", "ENETDOWN"],
    ["EADDRNOTAVAIL", "EADDRINUSE", "EAFNOSUPPORT", "EINVAL"],
    ["EMFILE", "ENOBUFS", "EPROTO", "EOPNOTSUPP", "EBADF"],
]
"""The order of dominance: refused, reset, timed out, permission, host, network, family or
address, anything else."""


@pytest.mark.parametrize("place", range(len(DOMINANCE) - 1))
def test_the_stronger_cause_decides_whatever_the_order(place: int) -> None:
    """Class, errno, code, hint and address are those of the dominant attempt."""
    weaker = [name for rank in DOMINANCE[place + 1 :] for name in rank]
    for strong, weak in itertools.product(DOMINANCE[place], weaker):
        alone = failed(strong)
        for names in ([strong, weak], [weak, strong], [weak, strong, weak]):
            error = failed(*names)
            assert type(error) is type(alone), names
            assert (error.errno, error.code) == (alone.errno, alone.code), names
            assert error.hint == alone.hint, names
            assert error.address == (f"10.0.0.{names.index(strong) + 1}", 5432), names


def test_causes_that_are_all_alike_are_that_cause() -> None:
    """Nothing is lost by there being several addresses: class and errno stay."""
    for name in itertools.chain(*DOMINANCE):
        one, three = failed(name), failed(name, name, name)
        assert type(three) is type(one), name
        assert (three.errno, three.code, three.help) == (one.errno, one.code, one.help), name


def test_of_equals_the_newest_decides() -> None:
    """The latest of the strongest causes is what a person would see now."""
    error = failed("ECONNREFUSED", "ENETUNREACH", "ECONNREFUSED", "EHOSTUNREACH")
    assert error.address == ("10.0.0.3", 5432)


def test_what_can_help_any_attempt_can_help_the_call() -> None:
    """A refused address may answer later, and a lack of descriptors may end."""
    assert failed("ECONNREFUSED", "EMFILE").help == SAME | OTHER | LOCAL
    assert failed("EISCONN", "EISCONN").help == NOTHING


def test_one_attempt_has_no_group_as_its_cause() -> None:
    """Several causes are a group; one is the error itself, and stays in the log."""
    one, two = failed("ECONNREFUSED"), failed("ECONNREFUSED", "ETIMEDOUT")
    assert one.__cause__ is None
    assert [type(a.error) for a in one.attempts] == [ConnectionRefused]
    assert isinstance(two.__cause__, ExceptionGroup)
    assert list(two.__cause__.exceptions) == [a.error for a in two.attempts]


def test_attempts_are_kept_in_the_order_of_their_starts_and_counted_exactly() -> None:
    """Only the newest 64 are kept, and ``count`` knows of all."""
    error = failed(*["ECONNREFUSED"] * 100)
    assert error.count == 100
    assert [a.number for a in error.attempts] == list(range(37, 101))
    assert "100 attempts" in str(error)
    assert isinstance(error.__cause__, ExceptionGroup)
    assert len(error.__cause__.exceptions) == 64


def test_a_log_that_was_cut_short_keeps_its_exact_count() -> None:
    """The caller of ``combine`` may have dropped the oldest already."""
    error = combine(failed("ECONNREFUSED", "ETIMEDOUT").attempts, target="db", elapsed=1, count=9)
    assert error.count == 9
    assert "9 attempts" in str(error)


def test_the_errors_of_attempts_are_built_and_not_raised() -> None:
    """They have no traceback, and so hold no frame and no local of the call."""
    error = failed("ECONNREFUSED", "ETIMEDOUT")
    assert all(a.error.__traceback__ is None for a in error.attempts)
    from_a_raised_one = from_exception(_raised(), stage="socket", address=V4)
    assert from_a_raised_one.__traceback__ is None
    assert from_a_raised_one.__cause__ is None
    assert from_a_raised_one.__context__ is None


def _raised() -> OSError:
    try:
        raise OSError(errno.ECONNREFUSED, "refused")
    except OSError as exc:
        return exc


def test_the_group_can_be_taken_apart_with_except_star() -> None:
    """``error.group()`` has the error of each attempt, each the built-in that it is."""
    error = failed("ECONNREFUSED", "ETIMEDOUT", "timer", "EACCES")
    group = error.group()
    assert group is not None
    caught: dict[str, int] = {}
    try:
        raise group
    except* ConnectionRefusedError as refused:
        caught["refused"] = len(refused.exceptions)
    except* TimeoutError as late:
        caught["late"] = len(late.exceptions)
    except* OSError as others:
        caught["others"] = len(others.exceptions)
    assert caught == {"refused": 1, "late": 2, "others": 1}


def test_an_error_without_attempts_has_no_group() -> None:
    """The error of a single attempt is not a group of itself."""
    assert from_errno(errno.ECONNREFUSED, stage="connect", address=V4).group() is None
