"""What the words of a command line mean, and the command itself."""

from __future__ import annotations

import math
from argparse import ArgumentTypeError
from importlib import metadata
from typing import TYPE_CHECKING

import pytest

import aioconnect
from aioconnect.cli import _COMMANDS, main
from aioconnect.cli.arguments import Override, override, pause, span

from ..support.needs import needs
from .running import run

if TYPE_CHECKING:
    from collections.abc import Callable


def test_a_time_is_a_number_with_a_unit_and_seconds_without() -> None:
    """As every tool of this kind reads them."""
    table = {
        "500ms": 0.5,
        "2s": 2.0,
        "1m": 60.0,
        "1h": 3600.0,
        "3": 3.0,
        "1.5": 1.5,
        ".25s": 0.25,
        "2.": 2.0,
        "none": math.inf,
    }
    assert {text: span(text) for text in table} == table


def test_what_is_no_time_is_refused() -> None:
    """Python's ``float`` would take several of these, and mean something else."""
    table = [
        "",
        "s",
        "-1",
        "+1",
        "1 s",
        "1e3",
        "inf",
        "nan",
        "1d",
        "1_0",
        "\u0661",
        "1s\n",
        "0",
        "0ms",
    ]
    assert [text for text in table if not _is_refused(span, text)] == []


def test_a_pause_may_be_nothing_or_for_ever() -> None:
    """Zero is as short as the race allows; ``none`` is asyncio's None."""
    assert pause("0") == 0
    assert pause("250ms") == 0.25
    assert pause("none") is None


def test_an_override_is_written_as_curl_has_it() -> None:
    """Host, port, and addresses; IPv6 in brackets, or nobody knows where the port ends."""
    assert override("db:80:10.0.0.5") == Override("db", 80, ("10.0.0.5",))
    assert override("db:80:[::1]") == Override("db", 80, ("::1",))
    both = override("db:80:[fe80::1%eth0],10.0.0.5")
    assert both == Override("db", 80, ("fe80::1%eth0", "10.0.0.5"))


def test_what_is_no_override_is_refused() -> None:
    """Before anything is looked up or dialled."""
    table = [
        "",
        "db",
        "db:80",
        "db:80:",
        "db:80:,",
        "db:80:[10.0.0.5]",
        "db:80:::1",
        "db:80:[::1",
        "db:80:name",
        "db:0:10.0.0.5",
        "10.0.0.1:80:10.0.0.5",
        "[::1]:80:10.0.0.5",
        "a b:80:10.0.0.5",
    ]
    assert [text for text in table if not _is_refused(override, text)] == []


def _is_refused(read: Callable[[str], object], text: str) -> bool:
    try:
        read(text)
    except ArgumentTypeError:
        return True
    return False


@needs("installed")
def test_the_command_and_the_module_are_the_same() -> None:
    """``aioconnect`` on the path calls what ``python -m aioconnect`` calls."""
    (entry,) = metadata.entry_points(group="console_scripts", name="aioconnect")
    assert entry.load() is main
    done = run("--version")
    assert (done.returncode, done.stdout) == (0, f"aioconnect {aioconnect.__version__}\n")


@pytest.mark.parametrize("command", [[], ["check"], ["demo"]])
def test_help_fits_a_terminal_and_names_the_exit_codes(
    command: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Help is a result: it goes to stdout, with exit code 0."""
    monkeypatch.setenv("COLUMNS", "100")
    assert main([*command, "--help"]) == 0
    output = capsys.readouterr()
    assert output.err == ""
    assert all(len(line) <= 100 for line in output.out.splitlines())
    assert "exit code" in output.out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "aioconnect: a command is missing: check, wait, demo"),
        (["chek", "db:80"], "aioconnect: 'chek' is no command: did you mean check?"),
        (["ping"], "aioconnect: 'ping' is no command: the commands are check, wait, demo"),
        (["db:80"], "aioconnect: 'db:80' is no command: write aioconnect check db:80"),
        (
            ["me:secret@db:80"],
            "aioconnect: the first word is the command: write aioconnect check TARGET",
        ),
        (["-t", "1", "check", "db:80"], "aioconnect: no option -t stands before the command"),
        (["check"], "aioconnect check: no TARGET, and no FILE with targets"),
        (["check", "db"], "aioconnect check: target 1: 'db' has no port: write host:port"),
        (["check", "db", "80"], "aioconnect check: target 1: 'db 80' is written db:80"),
        (["check", "::1", "80"], "aioconnect check: target 1: '::1 80' is written [::1]:80"),
        (
            ["check", "a", "1", "b", "2", "c:3"],
            "aioconnect check: target 1: 'a 1' is written a:1; target 3: 'b 2' is written b:2",
        ),
        (
            ["check", "db:80", "81"],
            "aioconnect check: target 2: '81' is a port without a host: write host:port",
        ),
        (["check", "-x", "db:80"], "aioconnect check: unrecognized arguments: -x"),
        (["demo", "now"], "aioconnect demo: unrecognized arguments: now"),
    ],
)
def test_a_usage_error_is_one_line_that_says_what_to_write(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """And where the help is; exit code 2."""
    assert main(words) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err == f"{said} (--help says more)\n"


def test_every_command_is_in_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    """With what it does."""
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    for name, what in _COMMANDS.items():
        assert f"  {name:8}{what}" in shown
