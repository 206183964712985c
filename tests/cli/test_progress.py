"""The progress: what it says, where it is shown, and that nothing of it stays."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import threading
import time
from typing import TYPE_CHECKING

import pytest

from aioconnect.cli import loopback
from aioconnect.cli.progress import status

from ..support import children
from .running import COMMAND, PATIENCE, on_terminal, screen

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

pytestmark = pytest.mark.environment

DRAWING = re.compile(rb"\r(\d[^\r]*)\x1b\[K\r")


@pytest.fixture
def server() -> Generator[str]:
    with loopback.accepting() as port:
        yield f"127.0.0.1:{port}"


@pytest.fixture(scope="module")
def silent() -> Generator[str]:
    with loopback.silent() as port:
        yield f"127.0.0.1:{port}"


def drawings(output: bytes) -> list[str]:
    """Return each progress that was drawn."""
    return [each.decode() for each in DRAWING.findall(output)]


def test_it_says_done_failed_rate_and_time_left() -> None:
    """The time left is there when the number of targets is known, and something moves."""
    none, half = f"  [{' ' * 20}]", f"  [{'=' * 10}{' ' * 10}]"
    table = {
        status(0, 0, 0.0, 10): f"0 of 10 done, 0 failed, 0.0/s{none}",
        status(5, 1, 2.5, 10): f"5 of 10 done, 1 failed, 2.5/s, 2 s left{half}",
        status(99, 0, 50.0, 90_000): f"99 of 90000 done, 0 failed, 50/s, 29 min 58 s left{none}",
        status(1, 0, 0.1, 10_000): f"1 of 10000 done, 0 failed, 0.1/s, 27 h 46 min left{none}",
        status(7, 2, 30.0, None): "7 done, 2 failed, 30/s",
        status(11, 0, 30.0, 10): "11 done, 0 failed, 30/s",
    }
    assert list(table) == list(table.values())


def test_a_terminal_shows_progress_below_the_results_and_nothing_of_it_at_the_end(
    server: str, tmp_path: Path
) -> None:
    """The results and the summary are all that stays, each on a line of its own."""
    (tmp_path / "list").write_text(f"{server}\n" * 10 + "# no target\nbad\n")
    words = ["check", "--rate", "12", "--no-color", "-f", str(tmp_path / "list")]
    started = time.monotonic()
    with on_terminal(*words) as terminal:
        assert terminal.end() == 1
    elapsed = time.monotonic() - started
    drawn = drawings(terminal.output)
    assert all(re.match(r"\d+ of 11 done, [01] failed, ", each) for each in drawn)
    assert any(re.search(r" s left  \[=+ *\]$", each) for each in drawn)
    done = [int(each.split()[0]) for each in drawn]
    assert done == sorted(done)
    assert 3 <= len(drawn) <= 10 * elapsed
    *results, totals, cause = screen(terminal.output)
    assert [line.split()[0] for line in results] == ["ok"] * 10 + ["fail"]
    assert totals.startswith("10 reached, 1 failed, ")
    assert cause.startswith("  1 invalid_target  e.g. line 12 of ")


def test_results_wait_for_the_next_drawing_and_no_longer(server: str, silent: str) -> None:
    """A target that hangs keeps no other one's line back, on a terminal either."""
    words = ["--rate", "2", "-t", "20", silent, server, silent]
    with on_terminal("check", *words) as terminal:
        terminal.wait_for(b"0 of 3 done")
        terminal.wait_for(b" ms\r\n")
        terminal.wait_for(b"1 of 3 done")


def test_the_number_of_targets_in_a_pipe_is_not_known(server: str) -> None:
    """There is progress, without a time left, while standard input is open."""
    reading, writing = os.pipe()
    with on_terminal("check", "-", stdin=reading) as terminal:
        os.close(reading)
        os.write(writing, f"{server}\n".encode())
        terminal.wait_for(b"\r1 done, 0 failed, ")
        os.close(writing)
        assert terminal.end() == 0
    assert not any("left" in each or "of" in each for each in drawings(terminal.output))


def test_progress_fits_a_narrow_terminal(silent: str) -> None:
    """A line that is broken in two cannot be drawn over."""
    with on_terminal("check", "-t", "500ms", silent, silent, columns=17) as terminal:
        terminal.end()
    drawn = drawings(terminal.output)
    assert drawn[0] == "0 of 2 done, 0 f"
    assert {len(each) for each in drawn} == {16}


def test_results_in_a_pipe_are_written_at_once_beside_the_progress(
    server: str, silent: str
) -> None:
    """``| tee`` and a progress on the terminal: the pipe has no part of it, and waits for none."""
    reading, writing = os.pipe()
    words = ["--rate", "2", "-t", "20", silent, server, silent]
    with on_terminal("check", *words, stdout=writing) as terminal, open(reading) as results:
        os.close(writing)
        terminal.wait_for(b"0 of 3 done")
        assert results.readline().startswith(f"ok   {server}")
        terminal.wait_for(b"1 of 3 done")
        terminal.press(b"\x03")
        assert terminal.end() == -signal.SIGINT
        assert results.read() == ""


def test_nobody_gets_a_progress_that_is_not_wanted(silent: str) -> None:
    """Quiet is quiet, JSON is for programs, and a dumb terminal can draw nothing twice."""
    plain = ["check", "-t", "500ms", silent, silent]
    with (
        on_terminal(*plain, "-q") as quiet,
        on_terminal(*plain, "--json") as json,
        on_terminal(*plain, env={"TERM": "dumb"}) as dumb,
    ):
        for terminal in (quiet, json, dumb):
            assert terminal.end() == 1
            assert b"done" not in terminal.output
            assert b"\x1b" not in terminal.output


def test_who_types_targets_sees_what_he_types(server: str) -> None:
    """Standard input is the terminal: no progress is drawn over it."""
    with on_terminal("check", "--no-color", "-") as terminal:
        terminal.press(f"{server}\n".encode())
        terminal.wait_for(b"ok ")
        time.sleep(0.5)
        terminal.press(b"\x04")
        assert terminal.end() == 0
    assert drawings(terminal.output) == []


def test_a_pipe_gets_no_progress(silent: str) -> None:
    """Stderr is a pipe, even if stdout is a terminal."""
    master, slave = os.openpty()
    done = children.run(
        [*COMMAND, "check", "-t", "500ms", silent, silent],
        stdout=slave,
        stderr=subprocess.PIPE,
        timeout=PATIENCE,
        text=False,
    )
    os.close(master)
    os.close(slave)
    assert b"done" not in done.stderr
    assert b"\r" not in done.stderr


def test_ctrl_c_erases_the_progress_and_keeps_the_results(server: str, silent: str) -> None:
    """What was found until then is there, with its summary."""
    words = ["--rate", "4", "-t", "20", "--no-color", server, silent, server, silent]
    with on_terminal("check", *words) as terminal:
        terminal.wait_for(b"2 of 4 done")
        terminal.press(b"\x03")
        assert terminal.end() == -signal.SIGINT
    first, second, summary = screen(terminal.output)
    assert first.startswith("ok ")
    assert second.startswith("ok ")
    assert summary.startswith("2 reached, 0 failed, ")
    assert " interrupted with " in summary


def test_a_terminal_that_goes_away_ends_it(server: str, silent: str) -> None:
    """A hang-up while results wait for the next drawing leaves no process behind."""
    with on_terminal("check", "--rate", "5", "-t", "20", silent, *[server] * 9) as terminal:
        terminal.wait_for(b"1 of 10 done")
        threading.Timer(0.2, terminal.hang_up).start()
        assert terminal.process.wait(PATIENCE / 2) != 0
