"""The table of attempts: which row stands where, and when it is printed."""

from __future__ import annotations

import errno
import socket

import pytest

from aioconnect import causes, events
from aioconnect.cli.console import Console
from aioconnect.cli.timeline import Timeline

V6, V4 = ("::1", 80, 0, 0), ("127.0.0.1", 80)


class Page(Console):
    """Keeps the lines."""

    def __init__(self) -> None:
        super().__init__()
        self.colour = False
        self.lines: list[str] = []

    def result(self, line: str = "") -> None:
        """Keep one."""
        self.lines.append(line)


class Table:
    """A table, read as its rows: start, end, address, result."""

    def __init__(self) -> None:
        self._page = Page()
        self.tell = Timeline(self._page, 100.0, width=14, indent="")
        assert self._page.lines.pop().split() == ["start", "end", "address", "result"]

    def new_rows(self) -> list[tuple[str, str, str]]:
        """Return the rows printed since the last time: the span, what, the result."""
        lines, self._page.lines = self._page.lines, []
        return [(line[:18].strip(), line[20:34].strip(), line[36:]) for line in lines]


@pytest.fixture
def table() -> Table:
    return Table()


def started(at: float, number: int, address: object) -> events.AttemptStarted:
    return events.AttemptStarted(at, "db:80", number, 1, address, 0)


def connected(at: float, number: int, address: object) -> events.Connected:
    return events.Connected(at, "db:80", number, 1, address, 0, local=None, elapsed=0.0, stages={})


def refused(at: float, number: int, address: object, since: float) -> events.AttemptFailed:
    error = causes.from_errno(errno.ECONNREFUSED, stage="connect", address=address)
    return events.AttemptFailed(at, "db:80", error, since, number, 1, address, 0, stage="connect")


def test_a_failed_attempt_says_the_code_and_the_kernels_name(table: Table) -> None:
    """Both words can be searched for: one in our documents, one in everybody's."""
    table.tell(started(100.0, 1, V4))
    assert table.new_rows() == []
    table.tell(refused(100.0125, 1, V4, 100.0))
    assert table.new_rows() == [
        ("0.0      12.5", "127.0.0.1:80", "connection_refused (ECONNREFUSED)")
    ]


def test_rows_stand_in_the_order_of_the_starts(table: Table) -> None:
    """The winner's row waits for that of the attempt which began before it."""
    table.tell(started(100.0, 1, V6))
    table.tell(started(100.25, 2, V4))
    table.tell(connected(100.251, 2, V4))
    assert table.new_rows() == []
    table.tell(events.AttemptCancelled(100.252, "db:80", 1, 1, V6, 0))
    assert table.new_rows() == [
        ("0.0     252.0", "[::1]:80", "closed: 127.0.0.1:80 was faster"),
        ("250.0     251.0", "127.0.0.1:80", "connected"),
    ]


def test_a_pause_between_rounds_is_a_row(table: Table) -> None:
    """It is printed when it begins: who watches knows what is being waited for."""
    error = causes.from_errno(errno.ECONNREFUSED, stage="connect")
    table.tell(events.RetryScheduled(100.5, "db:80", 1, 0.25, error))
    assert table.new_rows() == [("500.0     750.0", "", "pause before round 2")]


def test_look_ups_are_rows(table: Table) -> None:
    """One for each family, with the addresses and where they are from."""
    v6, v4 = socket.AF_INET6, socket.AF_INET
    table.tell(events.LookupStarted(100.0, "db:80", "db", v6))
    table.tell(events.LookupStarted(100.0, "db:80", "db", v4))
    found = events.LookupSucceeded(
        100.002, "db:80", "db", v4, addresses=("10.0.0.5",), source="dns", duration=0.002
    )
    table.tell(found)
    error = causes.from_exception(socket.gaierror(socket.EAI_AGAIN, "later"), stage="resolve")
    table.tell(events.LookupFailed(100.004, "db:80", "db", v6, error=error))
    assert table.new_rows() == [
        ("0.0       4.0", "db AAAA", "try_again"),
        ("0.0       2.0", "db A", "10.0.0.5 (dns)"),
    ]


def test_what_a_resolver_answers_is_escaped(table: Table) -> None:
    """Its text may be anybody's."""
    table.tell(events.LookupStarted(100.0, "db:80", "db\x1b[2J", socket.AF_INET))
    table.tell(
        events.LookupSucceeded(
            100.0,
            "db:80",
            "db\x1b[2J",
            socket.AF_INET,
            addresses=("\x1b[31m",),
            source="dns",
            duration=0.0,
        )
    )
    ((_, what, result),) = table.new_rows()
    assert "\x1b" not in what + result


def test_what_has_not_ended_is_shown_at_the_end(table: Table) -> None:
    """No row is lost when a call is left."""
    table.tell(started(100.0, 1, V6))
    table.tell(started(100.1, 2, V4))
    table.tell(refused(100.2, 2, V4, 100.1))
    assert table.new_rows() == []
    table.tell.finish()
    assert [row[2] for row in table.new_rows()] == [
        "not ended",
        "connection_refused (ECONNREFUSED)",
    ]
