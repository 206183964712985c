"""``check -v``: the race of each target, drawn to scale."""

from __future__ import annotations

import re
from contextlib import ExitStack

import pytest

from aioconnect.cli.scale import bar
from aioconnect.cli.tries import CLOSED, NO_ANSWER, Tries
from aioconnect.events import AttemptCancelled, AttemptStarted, Connected

from ..support.servers import black_hole, closed_port, listen, refusing
from .running import on_terminal, run, screen


@pytest.mark.parametrize(
    ("start", "end", "drawn"),
    [
        (0.0, 1.0, "---------+"),
        (0.0, 0.5, "----+     "),
        (0.5, 1.0, "     ----+"),
        (0.0, 0.0, "+         "),
        (1.0, 1.0, "         +"),
        (0.999, 1.0, "         +"),
        (0.3, 0.3, "  +       "),
        (0.3, 1.7, "   ------+"),
        (-0.1, 0.2, "-+        "),
    ],
)
def test_a_bar_is_as_long_as_its_attempt(start: float, end: float, drawn: str) -> None:
    """Of ten columns; an instant is one, and nothing leaves the frame."""
    assert bar(start, end, "+", 10) == drawn


def test_a_race_is_drawn_below_its_target() -> None:
    """The first address is silent for all of it, the second began 200 ms later and refused."""
    with ExitStack() as stack:
        port = stack.enter_context(black_hole("127.0.0.9"))[1]
        stack.enter_context(refusing(("127.0.0.8", port)))
        stack.enter_context(listen(("127.0.0.1", port)))
        overrides = f"db.test:{port}:127.0.0.9,127.0.0.8,127.0.0.1"
        done = run("check", "-v", "--delay", "200ms", "--resolve", overrides, f"db.test:{port}")
    head, *lines = done.stdout.splitlines()
    assert done.returncode == 0
    assert re.search(r"  2\d\d\.\d ms, but 2 of 3 addresses failed \(.*no_answer\)$", head), head
    rows = [
        re.fullmatch(r" {6}(\S+) +\|(.{40})\|  (.+), ([\d.]+) to ([\d.]+) ms", x) for x in lines
    ]
    found = [(row[1], row[3]) for row in rows if row]
    assert found == [
        (f"127.0.0.9:{port}", "no answer yet, closed"),
        (f"127.0.0.8:{port}", "connection_refused"),
        (f"127.0.0.1:{port}", "connected"),
    ]
    silent, refused, won = [row[2] for row in rows if row]
    assert silent == "-" * 39 + "x"
    assert refused.strip() in ("x", "-x")
    assert won.endswith("+")
    assert float(rows[1][4]) >= 200  # type: ignore[index]


@pytest.mark.parametrize("winner", [1, 2])
def test_who_began_after_the_winner_is_not_called_silent(winner: int) -> None:
    """Nothing is known against it; who began before is what held the call up."""
    tries = Tries()
    for number in (1, 2):
        about = (f"10.0.0.{number}:80", number, 1, (f"10.0.0.{number}", 80), 2)
        tries.observe(AttemptStarted(float(number), *about))
    for number in (3 - winner, winner):  # the loser is closed first
        about = (f"10.0.0.{number}:80", number, 1, (f"10.0.0.{number}", 80), 2)
        if number == winner:
            tries.observe(Connected(5.0, *about, local=None, elapsed=4.0, stages={}))
        else:
            tries.observe(AttemptCancelled(5.0, *about))
    found = tries.take(["10.0.0.1:80", "10.0.0.2:80"])
    assert [each.started for each in found] == [1.0, 2.0]
    assert [each.error for each in found] == (["", CLOSED] if winner == 1 else [NO_ANSWER, ""])


def test_a_target_that_was_not_reached_has_its_rows_too() -> None:
    """The time that was up is the end of the frame."""
    with black_hole() as hole:
        done = run("check", "-v", f"127.0.0.1:{hole[1]}", "-t", "300ms")
    head, line = done.stdout.splitlines()
    assert done.returncode == 1
    assert head.startswith("fail 127.0.0.1:")
    assert re.search(r"\|-{39}x\|  timed_out, 0\.\d to \d{3,}\.\d ms$", line), line


def test_only_one_form_of_output_is_asked_for() -> None:
    """A usage error."""
    done = run("check", "-v", "--json", f"127.0.0.1:{closed_port()}")
    assert done.returncode == 2
    assert "not allowed with argument" in done.stderr


def test_on_a_terminal_the_rows_stand_below_their_target() -> None:
    """Also below a status line, in the order of the results."""
    with refusing() as nobody, listen() as server:
        given = [f"127.0.0.1:{address[1]}" for address in (nobody, server.getsockname())]
        with on_terminal("check", "-v", "--no-color", "--ordered", *given) as terminal:
            terminal.end()
    lines = [line.split("|")[0].split()[0:2] for line in screen(terminal.output)[:4]]
    assert lines[0] == ["fail", given[0]]
    assert lines[1] == [given[0]]
    assert lines[2] == ["ok", given[1]]
    assert lines[3] == [given[1]]
