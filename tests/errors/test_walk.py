"""No row of the table of causes is left unread: each is in ``errors.txt``, with its sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aioconnect import table_kernel, table_others, table_proxies
from aioconnect.terms import Cause

from ..support.error_table import TABLE

if TYPE_CHECKING:
    from collections.abc import Iterator

UNREAD = {
    "table_kernel._PATH": "the others of its kind are made of it",
    "table_others._RAISED": "the others of its kind are made of it",
    "table_kernel.TABLE['EEXIST']": "no connect says it, but a hook may raise the built-in",
    "table_kernel.TABLE['EISDIR']": "likewise",
    "table_kernel.TABLE['ESRCH']": "likewise",
    "table_kernel.TABLE['ECHILD']": "likewise",
    "table_others.EAI_TABLE['EAI_PROTOCOL']": "of the BSDs",
}
"""Rows that no error of the list has, and why."""

Columns = tuple[Any, ...]


def columns(cause: Cause) -> Columns:
    """Return what makes a row what it is."""
    return cause.code, cause.type, cause.help, cause.phrase, cause.hint


def rows(value: object, name: str) -> Iterator[tuple[str, Cause]]:
    """Find the rows in a constant, also in the tables within tables."""
    if isinstance(value, Cause):
        yield name, value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from rows(inner, f"{name}[{key!r}]")
    elif isinstance(value, tuple | list | frozenset):
        for inner in value:
            yield from rows(inner, name)


def every_row() -> dict[Columns, list[str]]:
    """Return all rows, each with the names under which it is found."""
    found: dict[Columns, list[str]] = {}
    for module in (table_kernel, table_others, table_proxies):
        for constant, value in vars(module).items():
            for name, cause in rows(value, f"{module.__name__.partition('.')[2]}.{constant}"):
                found.setdefault(columns(cause), []).append(name)
    return found


def read() -> set[Columns]:
    """Return the rows of which an error is in the list."""
    causes = [row.error()._cause for row in TABLE]
    return {columns(cause) for cause in causes if cause is not None}


def test_every_row_is_read_or_its_absence_is_explained() -> None:
    """A row added to the table is added to ``errors.txt``, and its sentence read aloud."""
    there = read()
    unread = {names[0] for row, names in every_row().items() if row not in there}
    assert unread == set(UNREAD)


def test_the_walk_finds_the_rows() -> None:
    """Those of the kernel's numbers, of names, of TLS, of time limits and of hooks."""
    names = {name.partition("[")[0] for names in every_row().values() for name in names}
    assert {"table_kernel.TABLE", "table_others.EAI_TABLE", "table_others.TLS"} <= names
    assert {"table_others.DEADLINES", "table_others.HOOK_FAILED"} <= names
    assert {"table_proxies.BY_PROXY", "table_proxies.OF_HANDSHAKE"} <= names
