"""The console: results and a status on one terminal."""

from __future__ import annotations

import errno
import io
import os
import select
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from aioconnect.cli.console import Console, OutputLost

from .running import PATIENCE, screen

if TYPE_CHECKING:
    from collections.abc import Generator


class Shown:
    """What a terminal has got; it comes a moment after it was written."""

    def __init__(self, master: int) -> None:
        self.output = b""
        self._master = master

    def wait_for(self, lines: list[str]) -> None:
        """Read until these lines stand on the screen."""
        while screen(self.output) != lines:
            ready, _, _ = select.select([self._master], [], [], PATIENCE)
            assert ready, f"{screen(self.output)} instead of {lines}"
            self.output += os.read(self._master, 65536)


@contextmanager
def terminal(monkeypatch: pytest.MonkeyPatch) -> Generator[tuple[Console, Shown]]:
    """Give a console on a terminal, and what that shows."""
    master, slave = os.openpty()
    monkeypatch.setenv("TERM", "xterm")
    with open(master, "rb"), open(slave, "w") as writer:
        monkeypatch.setattr("sys.stdout", writer)
        monkeypatch.setattr("sys.stderr", writer)
        yield Console(), Shown(master)


def test_results_above_a_status_are_written_when_it_is_drawn_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A thousand results a second are ten drawings, and leave no part of the status behind."""
    with terminal(monkeypatch) as (console, shown):
        console.result("zero")
        shown.wait_for(["zero"])
        console.status("a long status, longer than the results")
        shown.wait_for(["zero", "a long status, longer than the results"])
        console.result("one")
        console.result("two")
        console.status("short")
        shown.wait_for(["zero", "one", "two", "short"])
        assert shown.output.count(b"\x1b[K") == 3
        console.result("three")
        console.end_status()
        console.result("four")
        shown.wait_for(["zero", "one", "two", "three", "four"])


def test_a_status_that_was_not_drawn_needs_no_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """What ends soon leaves no escape sequence on the terminal."""
    with terminal(monkeypatch) as (console, shown):
        console.end_status()
        console.result("one")
        shown.wait_for(["one"])
        assert b"\x1b" not in shown.output


def test_results_that_cannot_be_written_below_a_status_are_not_kept_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The timer that draws hears of it first, and the next result too."""

    class Gone(io.StringIO):
        def isatty(self) -> bool:
            return True

        def write(self, text: str) -> int:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    with terminal(monkeypatch):
        monkeypatch.setattr("sys.stdout", Gone())
        console = Console()
        console.status("0 done")
        console.result("one")
        for again in (lambda: console.status("1 done"), lambda: console.result("two")):
            with pytest.raises(OutputLost) as lost:
                again()
            assert lost.value.code == os.EX_IOERR
