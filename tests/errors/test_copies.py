"""Copies of an error, and what it refers to."""

from __future__ import annotations

import copy
import errno
import gc
import pickle
import weakref
from typing import Any

import pytest

from aioconnect.causes import from_exception
from aioconnect.errors import ConnectError

from ..support.error_table import V4
from .made import specimens

COPIERS = {
    "pickle": lambda error: pickle.loads(pickle.dumps(error)),
    "pickle-0": lambda error: pickle.loads(pickle.dumps(error, 0)),
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
}


@pytest.mark.parametrize("copier", COPIERS.values(), ids=COPIERS)
def test_copies_say_and_hold_all_that_the_original_does(copier: Any) -> None:
    """Pickle (to a parent process), copy and deepcopy keep fields, attempts, cause and text."""
    for error in specimens().values():
        again = copier(error)
        assert again is not error
        assert_alike(again, error)


FIELDS = (
    *("errno", "strerror", "args", "code", "hint", "help", "target", "address", "family", "stage"),
    *("count", "elapsed", "stopped", "retry_after", "__notes__", "verify_code", "verify_message"),
    *("reason", "library", "words"),
    "__suppress_context__",
)


def assert_alike(again: Any, error: ConnectError) -> None:
    """Compare all that a caller can see of two errors, and of their attempts and causes."""
    assert type(again) is type(error)
    assert str(again) == str(error)
    for field in FIELDS:
        assert getattr(again, field, None) == getattr(error, field, None), field
    assert len(again.attempts) == len(error.attempts)
    for one, other in zip(again.attempts, error.attempts, strict=True):
        for field in ("at", "target", "number", "round", "address", "family", "stage", "started"):
            assert getattr(one, field) == getattr(other, field), field
        assert (one.ended, one.errno, one.tries) == (other.ended, other.errno, other.tries)
        assert_alike(one.error, other.error)
    if error.__cause__ is None:
        assert again.__cause__ is None
        return
    assert type(again.__cause__) is type(error.__cause__)
    if not isinstance(error.__cause__, ExceptionGroup):  # what a function of the caller's raised
        assert again.__cause__.args == error.__cause__.args
        return
    assert again.__cause__.message == error.__cause__.message
    for one, other in zip(again.__cause__.exceptions, error.__cause__.exceptions, strict=True):
        assert_alike(one, other)


class Unpicklable(OSError):
    """What a caller's function may raise."""

    def __reduce__(self) -> Any:
        raise TypeError("cannot pickle this")


def test_an_error_can_be_pickled_whatever_a_callers_function_raised() -> None:
    """What cannot be pickled is left out; its words stay.  A copy in this process keeps it."""
    original = Unpicklable(errno.EIO, "the tunnel is down")
    error = from_exception(original, stage="socket", address=V4, said_by="hook")
    again = pickle.loads(pickle.dumps(error))
    assert again.__cause__ is None
    assert str(again) == str(error)
    assert "the tunnel is down" in str(again)
    assert copy.copy(error).__cause__ is original


def test_an_error_leaves_no_reference_cycle() -> None:
    """When the last reference goes it is gone, with all its attempts, without the collector."""
    names = list(specimens())  # what is cached is cached now
    gc.collect()
    gc.disable()
    try:
        for name in names:
            try:
                raise specimens()[name]
            except ConnectError as error:
                parts = [error, *(each.error for each in error.attempts)]
                left = [weakref.ref(part) for part in parts]
                text = str(error)
            del parts
            assert text
            assert [reference() for reference in left] == [None] * len(left), name
        assert gc.collect() == 0
    finally:
        gc.enable()
