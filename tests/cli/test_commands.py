"""Every command is found, described and tested; a new one is found by itself."""

from __future__ import annotations

import argparse
import importlib
import pkgutil
from pathlib import Path
from typing import Any

import pytest

from aioconnect import cli
from aioconnect.cli import _COMMANDS, main


def modules() -> set[str]:
    """Name the files of the command line that are commands: they can be run."""
    names = [module.name for module in pkgutil.iter_modules(cli.__path__)]
    return {
        name for name in names if hasattr(importlib.import_module(f"{cli.__name__}.{name}"), "run")
    }


def actions(name: str) -> list[argparse.Action]:
    """Return the arguments of a command."""
    parser = argparse.ArgumentParser(add_help=False)
    command: Any = importlib.import_module(f"{cli.__name__}.{name}")
    command.add_arguments(parser)
    return parser._actions


def test_every_command_is_in_the_table_and_has_a_file() -> None:
    """And nothing else is in either."""
    assert set(_COMMANDS) == modules()


@pytest.mark.parametrize("name", _COMMANDS)
def test_a_command_has_help_for_each_argument(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """With its metavariable, what it does, and the exit codes."""
    assert main([name, "--help"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "exit code" in shown
    for action in actions(name):
        assert action.help, action
        assert all(option in shown for option in action.option_strings)


@pytest.mark.parametrize("name", _COMMANDS)
def test_a_command_takes_no_colours_away(name: str) -> None:
    """``--no-color`` is an argument of each: ``main`` looks at it."""
    assert any("--no-color" in action.option_strings for action in actions(name))


@pytest.mark.parametrize("name", _COMMANDS)
def test_a_command_has_its_tests(name: str) -> None:
    """In a file of its name."""
    assert (Path(__file__).parent / f"test_{name}.py").exists()
