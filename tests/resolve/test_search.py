"""The search of a name in DNS: when it goes on, when it ends, what an answer says.

Tables measured with glibc 2.36; the same is tried against it in ``test_worlds.py``.
"""

from __future__ import annotations

import socket
from types import SimpleNamespace
from typing import Any

import pytest

from aioconnect.resolve.config import _parse_resolv_conf
from aioconnect.resolve.search import Search, Status, has_answer, read

V4, V6 = int(socket.AF_INET), int(socket.AF_INET6)
NX, EMPTY, FAILED = Status.NO_NAME, Status.NO_DATA, Status.SERVER_FAILED
REFUSED, FORMERR, BAD, SILENT = (
    Status.REFUSED,
    Status.FORMAT_ERROR,
    Status.MALFORMED,
    Status.SILENT,
)

LIST = b"search near.test far.test\n"


def visited(name: str, text: bytes, said: dict[str, dict[int, Status]]) -> list[str]:
    """Return the full names that are asked for when each step says what it says."""
    search, seen = Search(name, _parse_resolv_conf(text)), []
    while (full := search.next()) is not None:
        seen.append(full)
        search.failed(said.get(full, {V4: NX, V6: NX}))
    return seen


@pytest.mark.parametrize(
    ("four", "six", "goes_on"),
    [
        # For IPv4, for IPv6, and whether the next domain is asked.
        (NX, NX, True),
        (EMPTY, EMPTY, True),
        (NX, EMPTY, True),
        (FAILED, FAILED, True),
        (FAILED, NX, True),
        (EMPTY, FAILED, True),
        (SILENT, SILENT, False),
        (REFUSED, REFUSED, False),
        (REFUSED, SILENT, False),
        (FORMERR, FORMERR, False),
        (BAD, BAD, False),
        # One family was answered: what is silent has nothing.
        (NX, SILENT, True),
        (EMPTY, SILENT, True),
        (SILENT, NX, True),
        (SILENT, EMPTY, True),
        (NX, REFUSED, True),
        (REFUSED, EMPTY, True),
        (FAILED, SILENT, True),
        (SILENT, FAILED, True),
        (FAILED, REFUSED, True),
        (REFUSED, FAILED, False),
        (FORMERR, NX, False),
        (NX, FORMERR, True),
        (EMPTY, FORMERR, False),
    ],
)
def test_what_ends_the_list(four: Status, six: Status, goes_on: bool) -> None:
    """Then only the name as it stands is still asked for."""
    seen = visited("db", LIST, {"db.near.test": {V4: four, V6: six}})
    assert seen == ["db.near.test", *(["db.far.test"] if goes_on else []), "db"]


@pytest.mark.parametrize("status", Status)
def test_one_family_alone_goes_by_its_own_answer(status: Status) -> None:
    """As glibc with a family."""
    seen = visited("db", LIST, {"db.near.test": {V6: status}})
    assert ("db.far.test" in seen) == (status in (NX, EMPTY, FAILED))


@pytest.mark.parametrize("status", Status)
def test_the_name_as_it_stands_does_not_end_the_list_before_it_begins(status: Status) -> None:
    """With at least ndots dots it comes first: the list follows whatever became of it."""
    seen = visited("api.example", LIST, {"api.example": {V4: status, V6: status}})
    assert seen == ["api.example", "api.example.near.test", "api.example.far.test"]


@pytest.mark.parametrize(
    ("text", "said", "seen"),
    [
        (b"search near.test .\n", {}, ["db.near.test", "db"]),
        (b"search . near.test\n", {}, ["db", "db.near.test"]),
        (b"search . near.test\n", {"db": SILENT}, ["db"]),
        (b"search near.test . far.test\n", {"db.near.test": SILENT}, ["db.near.test", "db"]),
        (b"search near.test\noptions ndots:0\n", {}, ["db", "db.near.test"]),
        (b"search near.test\noptions no-tld-query\n", {}, ["db.near.test"]),
        (b"search near.test\noptions ndots:5\n", {"db.near.test": SILENT}, ["db.near.test", "db"]),
        (b"", {}, ["db"]),
    ],
)
def test_the_root_and_the_name_as_it_stands(
    text: bytes, said: dict[str, Status], seen: list[str]
) -> None:
    """A dot in the list is a domain like any other; it is asked for once."""
    steps = {full: {V4: status, V6: status} for full, status in said.items()}
    assert visited("db", text, steps) == seen


def test_a_name_with_a_final_dot_is_complete() -> None:
    """And is asked for without it."""
    assert visited("db.", LIST, {}) == ["db"]


@pytest.mark.parametrize(
    ("statuses", "answered"),
    [
        ({V4: NX, V6: SILENT}, True),
        ({V4: REFUSED, V6: EMPTY}, True),
        ({V4: FORMERR, V6: FORMERR}, True),
        ({V4: FAILED, V6: FAILED}, False),
        ({V4: SILENT, V6: REFUSED}, False),
        ({V6: FAILED}, False),
    ],
)
def test_the_status_for_nsswitch_conf(statuses: dict[int, Status], answered: bool) -> None:
    """NOTFOUND if a server answered, else UNAVAIL."""
    assert has_answer(statuses) is answered


# What an answer says ------------------------------------------------------------------------------


def a(name: str, text: str, ttl: int = 300) -> Any:
    kind = 28 if ":" in text else 1
    return SimpleNamespace(name=name, type=kind, ttl=ttl, data=SimpleNamespace(addr=text))


def cname(name: str, target: str, ttl: int = 300) -> Any:
    return SimpleNamespace(name=name, type=5, ttl=ttl, data=SimpleNamespace(cname=target))


ONE = a("db.test", "10.0.0.1")

TAKEN: dict[str, tuple[list[Any], tuple[str, ...], float, str | None]] = {
    "an address": ([ONE], ("10.0.0.1",), 300, None),
    "whatever its case": ([a("DB.Test", "10.0.0.1")], ("10.0.0.1",), 300, None),
    "two": (
        [a("db.test", "10.0.0.2", 60), a("db.test", "10.0.0.1", 30)],
        ("10.0.0.2", "10.0.0.1"),
        30,
        None,
    ),
    "twice the same": ([ONE, ONE], ("10.0.0.1",), 300, None),
    "an alias": (
        [cname("db.test", "End.test.", 20), a("end.test", "10.0.0.1")],
        ("10.0.0.1",),
        20,
        "End.test",
    ),
    "an alias behind": (
        [a("end.test", "10.0.0.1"), cname("db.test", "end.test")],
        ("10.0.0.1",),
        300,
        "end.test",
    ),
    "two aliases": (
        [cname("db.test", "m.test"), cname("m.test", "e.test"), a("e.test", "10.0.0.1")],
        ("10.0.0.1",),
        300,
        "e.test",
    ),
    "the highest bit": ([a("db.test", "10.0.0.1", 2**31)], ("10.0.0.1",), 0, None),
    "the longest": ([a("db.test", "10.0.0.1", 2**31 - 1)], ("10.0.0.1",), 2**31 - 1, None),
    "the highest bit of an alias": (
        [cname("db.test", "e.test", 2**32 - 1), a("e.test", "10.0.0.1")],
        ("10.0.0.1",),
        0,
        "e.test",
    ),
    "not of another owner": ([a("other.test", "10.6.6.6"), ONE], ("10.0.0.1",), 300, None),
    "not of another type": ([a("db.test", "fd00::1"), ONE], ("10.0.0.1",), 300, None),
}


@pytest.mark.parametrize("what", TAKEN)
def test_the_addresses_of_the_name_at_the_end_of_the_aliases(what: str) -> None:
    """In the server's order, each once; the shortest time to live counts."""
    records, *expected = TAKEN[what]
    answer = read("db.test", V4, records)
    assert not isinstance(answer, Status)
    assert [answer.addresses, answer.ttl, answer.canonical] == expected
    assert answer.checked


@pytest.mark.parametrize(
    "records",
    [
        [],
        [a("other.test", "10.0.0.1")],
        [a("db.test", "fd00::1")],
        [cname("db.test", "nowhere.test")],
        [cname("db.test", "db.test"), a("other.test", "10.0.0.1")],
        [cname("db.test", "b.test"), cname("b.test", "db.test")],
        [cname("x.test", "y.test"), a("y.test", "10.0.0.1")],
    ],
)
def test_an_answer_without_an_address_of_the_name(records: list[Any]) -> None:
    """Aliases that go in circles too."""
    assert read("db.test", V4, records) is Status.NO_DATA
