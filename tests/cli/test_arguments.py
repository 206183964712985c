"""What the words of a command line mean, and the command itself."""

from __future__ import annotations

import math
from argparse import ArgumentTypeError
from importlib import metadata
from typing import TYPE_CHECKING

import pytest

import aioconnect
from aioconnect.cli import main
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


@pytest.mark.parametrize("words", [[], ["no-such-command"], ["check"]])
def test_a_missing_or_unknown_word_is_a_usage_error(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2, and the usage on stderr."""
    assert main(words) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith("usage: aioconnect")
