"""The table of errors, row by row: class, built-in, code, what helps, what it says, the hint."""

from __future__ import annotations

import errno
import itertools
import os
import re
import socket
from typing import TYPE_CHECKING, Any, get_args

import pytest

from aioconnect import retry
from aioconnect.causes import from_errno, from_exception
from aioconnect.errors import ConnectError
from aioconnect.terms import SaidBy, Stage

from ..support.error_table import (
    OTHER,
    ROWS,
    SAME,
    TABLE,
    UNIX,
    V4,
    V6,
    Row,
    family_of,
    public_class,
    reference,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

KINDS = ["connect", "socket", "bind", "option", "hook:policy", "hook:socket", "hook:resolve"]
KINDS += ["hook:wait", "tls", "-"]


@pytest.mark.parametrize("kind", KINDS)
def test_each_row_is_what_it_says(kind: str) -> None:
    """Whoever said it, of whatever address: the row's class, code, help, words and hint."""
    rows = [row for row in TABLE if row.where.split()[0] == kind]
    assert rows
    for row in rows:
        error = row.error()
        assert public_class(error) is row.type, row.id
        assert isinstance(error, row.builtin), f"{row.id} is no {row.builtin.__name__}"
        assert (error.code, error.help) == (row.code, row.help), row.id
        assert (error.strerror, error.hint) == (row.says, row.hint), row.id
        if row.numbered:
            assert error.errno == getattr(errno, row.errno)
            assert (error.stage, error.address) == (row.stage, row.address)
            assert error.family == row.family


def test_every_row_has_its_kind() -> None:
    """None is left out above."""
    assert {row.where.split()[0] for row in TABLE} == set(KINDS)


def test_the_page_has_every_code_and_class_of_the_table() -> None:
    """Each once, with what it means and what helps."""
    listed = [(code, name) for code, name, _, _ in reference()]
    assert set(listed) == {(row.code, row.type.__name__) for row in TABLE}
    assert len(listed) == len(set(listed))
    assert all(meaning and helps for _, _, meaning, helps in reference())


def test_every_code_can_be_named_to_a_policy() -> None:
    """``on(...)`` knows the codes, and so does the table."""
    for row in TABLE:
        retry.on(row.code)


STAGES = get_args(Stage)
SPEAKERS = get_args(SaidBy)
NAMES = sorted(set(errno.errorcode.values()))


UNFINISHED = re.compile(r"[{}]|,:|: :|\b(to|by|for|from|at|of|with|reach)( \(|:|$)")


def everything(address: Any) -> Iterator[tuple[str, ConnectError]]:
    """Build an error for every number, stage and speaker."""
    for stage, said_by, name in itertools.product(STAGES, SPEAKERS, NAMES):
        error = from_errno(
            getattr(errno, name),
            stage=stage,
            said_by=said_by,
            address=address,
            family=family_of(address),
        )
        yield f"{name} at {stage} by {said_by}", error


@pytest.mark.parametrize("address", [V4, V6, UNIX], ids=["v4", "v6", "unix"])
def test_every_errno_of_the_system_is_classified_whoever_says_it(address: Any) -> None:
    """No number comes out without a class, a code in one word, a hint and a sentence."""
    for name, error in everything(address):
        assert re.fullmatch(r"[a-z][a-z0-9_]*", error.code), name
        assert error.hint, name
        assert error.errno is not None
        assert str(error).isprintable(), name
        assert not UNFINISHED.search(str(error)), name
        assert str(error).startswith("cannot connect to "), name


@pytest.mark.parametrize("address", [V4, V6, UNIX], ids=["v4", "v6", "unix"])
def test_what_is_said_of_an_option_or_a_source_blames_no_path_and_no_peer(address: Any) -> None:
    """An unknown option value is no missing file, and a privileged port no firewall."""
    for name, error in everything(address):
        if "at socket by option" in name:
            assert not isinstance(error, FileNotFoundError | NotADirectoryError), name
        if "at bind by kernel" in name or "at socket by option" in name:
            assert not re.search("firewall|route|blackhole|peer", error.hint), name


@pytest.mark.parametrize("address", [V4, UNIX], ids=["v4", "unix"])
@pytest.mark.parametrize("stage", ["connect", "socket"])
def test_every_errno_keeps_the_built_in_that_python_gives_it(address: Any, stage: Stage) -> None:
    """Whatever ``OSError(number)`` is by PEP 3151, the library's error is that too."""
    missing = {}
    for name in NAMES:
        number = getattr(errno, name)
        where: Any = {"stage": stage, "address": address, "family": family_of(address)}
        builtin = type(OSError(number, ""))
        made = from_errno(number, **where)
        raised = from_exception(OSError(number, "so it is"), said_by="hook", **where)
        for error in (made, raised):
            if not isinstance(error, builtin):
                missing[name] = f"{type(error).__name__} is no {builtin.__name__}"
    assert missing == {}


def test_an_unknown_number_has_the_documented_default() -> None:
    """A number that no system has yet is ``other``, and worth another try."""
    error = from_errno(99999, stage="connect", address=V4, family=socket.AF_INET)
    assert (type(error), error.code, error.errno) == (ConnectError, "other", 99999)
    assert error.help == SAME | OTHER
    assert os.strerror(99999) in str(error)


def test_every_row_of_a_number_has_its_own_name() -> None:
    """No row stands twice in the table."""
    names = [row.id for row in TABLE]
    assert len(names) == len(set(names))
    assert all(isinstance(row, Row) for row in ROWS)
