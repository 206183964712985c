"""Connect to six servers that the demo starts itself, and show each attempt as it happened.

Nothing but this host's loopback interface is used, and no privilege is needed.
"""

from __future__ import annotations

import asyncio
import textwrap
from contextlib import ExitStack
from time import monotonic
from typing import TYPE_CHECKING, Final

from ..errors import ConnectError
from ..text import format_address
from .arguments import add_output_options
from .console import BOLD, DIM, GREEN, RED, YELLOW, printable
from .timeline import Timeline

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from .console import Console
    from .scenes import Scene

__all__ = ["EPILOG", "add_arguments", "run"]

EPILOG = "It takes about five seconds.\nexit code: 0 each connection ended as it should, 1 not"

_INDENT: Final = "   "
_CODE_INDENT: Final = "   | "
_WIDTH: Final = 96


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_output_options(parser)


def run(parser: ArgumentParser, given: Namespace, console: Console) -> int:
    """Show all scenes, and return the exit code."""
    return asyncio.run(_show_all(console))


async def _show_all(console: Console) -> int:
    from .scenes import SCENES  # with all that it needs: the other commands do not

    started = monotonic()
    console.result(
        f"{len(SCENES)} connections to servers on this host, good and bad."
        " Times are milliseconds since the call."
    )
    ended_well = 0
    for number, make in enumerate(SCENES, 1):
        console.result()
        with ExitStack() as stack:
            try:
                scene = stack.enter_context(make())
            except OSError as exc:
                name = make.__name__.replace("_", " ")
                console.result(console.paint(f"{number}. {name}: cannot be shown here", YELLOW))
                console.result(f"{_INDENT}{printable(str(exc))}")
                continue
            ended_well += await _show(number, scene, console)
    console.result()
    console.result(
        f"{ended_well} of {len(SCENES)} connections ended as they should"
        f", in {monotonic() - started:.1f} s."
    )
    return 0 if ended_well == len(SCENES) else 1


async def _show(number: int, scene: Scene, console: Console) -> bool:
    """Show one scene; returns whether it ended as it should."""
    console.result(console.paint(f"{number}. {scene.title}", BOLD))
    for text in filter(None, (scene.shows, scene.note)):
        console.result(_INDENT + text)
    console.result()
    for line in textwrap.dedent(scene.code).splitlines():
        console.result(_CODE_INDENT + console.paint(line, DIM))
    console.result()

    started = monotonic()
    timeline = Timeline(console, started, width=max(22, len(scene.target)), indent=_INDENT)
    try:
        sock = await scene.dialer.replace(on_event=timeline).connect(scene.target)
    except ConnectError as error:
        timeline.finish()
        console.result()
        _show_error(error, console)
        return scene.error is not None and isinstance(error, scene.error)
    with sock:
        timeline.finish()
        console.result()
        console.result(
            _INDENT
            + console.paint("connected", GREEN)
            + f" to {format_address(sock.getpeername())}"
            + f" after {1000 * (monotonic() - started):.1f} ms"
        )
    return scene.error is None


def _show_error(error: ConnectError, console: Console) -> None:
    """Print an error as its user gets it: its class, the built-in that it also is, its text."""
    builtin = next(base for base in type(error).__mro__ if base.__module__ == "builtins").__name__
    article = "an" if builtin[0] in "AEIOU" else "a"
    console.result(
        _INDENT + console.paint(type(error).__name__, RED) + f", which is {article} {builtin}:"
    )
    for line in textwrap.wrap(printable(str(error)), _WIDTH - len(_INDENT)):
        console.result(_INDENT + line)
