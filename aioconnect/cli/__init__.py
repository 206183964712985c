"""The command line: ``aioconnect check``, ``aioconnect wait`` and ``aioconnect demo``.

Results go to stdout, everything that is said about them to stderr, so that a pipe carries
results only.  What a name or an address contains is escaped before it reaches a terminal.

Exit codes:

====  ==========================================================
0     all that was asked for was reached
1     not all of it was
124   wait: the time was up
126   wait: the command cannot be run; 127 if there is none
2     the command line is wrong, or names no target; nothing was dialled
74    stdout cannot be written to, or a list not read to its end (``EX_IOERR`` of sysexits.h)
130   interrupted (the program dies of SIGINT, which shells call 130)
141   whoever read the output has closed the pipe (128 + SIGPIPE)
====  ==========================================================
"""

from __future__ import annotations

import argparse
import logging
import signal
import sys
from importlib import import_module
from typing import TYPE_CHECKING, NoReturn, Protocol, cast

from .. import __version__
from .console import Console, OutputLost, printable

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]

_COMMANDS = {
    "check": "connect to targets, and say which can be reached",
    "wait": "wait until targets are ready, then run a command",
    "demo": "show good and bad servers on this host, the attempts, and the errors",
}

_EPILOG = "\n".join(
    [
        "commands:",
        *(f"  {name:8}{what}" for name, what in _COMMANDS.items()),
        "",
        "aioconnect COMMAND --help says more.",
        "exit code: 0 all was reached, 1 not all, 2 usage, 130 Ctrl-C",
    ]
)


class Command(Protocol):
    """What the module of a command has; its docstring is the description in the help."""

    EPILOG: str
    """What stands at the end of the help."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the arguments; ``--no-color`` is always one."""
        ...

    def run(
        self, parser: argparse.ArgumentParser, given: argparse.Namespace, console: Console
    ) -> int:
        """Do it, and return the exit code; ``parser.error`` ends it for a wrong argument."""
        ...


_SILENT = logging.NullHandler()
"""Without any handler, logging prints the library's warnings to stderr; the commands say
themselves what happened."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    Args:
        arguments: the words after the command's name; default ``sys.argv[1:]``.
    """
    logging.getLogger("aioconnect").addHandler(_SILENT)
    console = Console()
    try:
        code = _run(arguments, console)
        console.finish()
    except KeyboardInterrupt:
        console.interrupted()
        if arguments is None:  # of the signal, so that a shell ends its loop, too
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            signal.raise_signal(signal.SIGINT)
        return 130
    except OutputLost as lost:
        return lost.code
    return code


class Parser(argparse.ArgumentParser):
    """Says in one line what is wrong, and where the help is: usage would bury it."""

    def error(self, message: str) -> NoReturn:
        """Exit with code 2."""
        self.exit(2, f"{self.prog}: {message} (--help says more)\n")


def _run(arguments: Sequence[str] | None, console: Console) -> int:
    try:
        name, words = _command(sys.argv[1:] if arguments is None else arguments)
        command = cast("Command", import_module(f".{name}", __name__))  # and none of the others
        parser = Parser(
            prog=f"aioconnect {name}",
            description=command.__doc__,
            epilog=command.EPILOG,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        command.add_arguments(parser)
        after: Sequence[str] = ()
        if getattr(command, "TAKES_COMMAND", False) and "--" in words:
            place = list(words).index("--")
            words, after = words[:place], words[place + 1 :]
            if not after:
                parser.error("a command is missing after --")
        # Intermixed: options may stand between targets, as with the tools that people know.
        given = parser.parse_intermixed_args(words)
        given.command = after
        console.colour = console.colour and not given.no_color
        return command.run(parser, given, console)
    except SystemExit as done:  # argparse has printed its message, or the help
        return done.code if isinstance(done.code, int) else 1


def _command(arguments: Sequence[str]) -> tuple[str, Sequence[str]]:
    """Return the name of the command, and the words after it."""
    name = arguments[0] if arguments else ""
    if name not in _COMMANDS:
        _without_command(name, arguments)
    return name, arguments[1:]


def _without_command(name: str, arguments: Sequence[str]) -> NoReturn:
    """Print the help or the version, or what is wrong, and exit."""
    parser = Parser(
        prog="aioconnect",
        usage="aioconnect [-h] [--version] COMMAND ...",
        description="Connect, and say what happened on the way.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"aioconnect {__version__}")
    parser.parse_known_args(arguments)
    if not name:
        parser.error(f"a command is missing: {', '.join(_COMMANDS)}")
    if name.startswith("-"):
        parser.error(f"no option {printable(name)} stands before the command")
    parser.error(_no_command(name))


def _no_command(name: str) -> str:
    """Say what a word in the place of the command may have been meant to be."""
    if "@" in name:  # not shown: it may hold a password
        return "the first word is the command: write aioconnect check TARGET"
    shown = printable(name)
    if ":" in name:
        return f"{shown!r} is no command: write aioconnect check {shown}"
    import difflib

    near = difflib.get_close_matches(name, _COMMANDS, n=1)
    meant = f"did you mean {near[0]}?" if near else f"the commands are {', '.join(_COMMANDS)}"
    return f"{shown!r} is no command: {meant}"
