"""Wait until servers are ready, then say so, or become a command.

A target is host:port, [IPv6]:port, unix:/path or unix:@name. A server that is not up yet, a
name that does not exist yet and a path that is not there yet are waited for. Ready is what
accepts a connection and does not hang up at once, or what --tls, --http or --expect says.
"""

from __future__ import annotations

import asyncio
import json
import os
from time import monotonic
from typing import TYPE_CHECKING, Any

from .. import readiness
from ..dialer import Dialer
from ..errors import ConnectError
from ..events import RetryScheduled
from ..targets import parse
from .arguments import add_output_options, span
from .console import DIM, GREEN, RED, printable

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Coroutine, Sequence

    from ..targets import Handshake
    from .console import Console

__all__ = ["EPILOG", "TAKES_COMMAND", "add_arguments", "run"]

TAKES_COMMAND = True
"""The words after ``--`` are a command, and not for the parser."""

EPILOG = """\
times: 500ms, 2s, 1m, 1h, none; a number alone is seconds

Each target has a line on stdout when it is ready, with what was in its way, or when the time
is up, with its last error. With -- COMMAND that goes to stderr, and then the command takes the
place of this one.

exit code: 0 ready, 1 waiting cannot help, 2 usage (nothing was dialled), 124 the time was up,
126 or 127 COMMAND cannot be run, else that of COMMAND; 130 Ctrl-C

  aioconnect wait db:5432 cache:6379 -t 30s -- ./server
  aioconnect wait --http /health api:8080
  aioconnect wait --any db1:5432 db2:5432
  aioconnect wait --gone old:8080
"""

ALL_WITHIN = 60.0
"""Seconds for all targets."""

OUT_OF_TIME, NOT_EXECUTABLE, NO_COMMAND = 124, 126, 127

LOOK_AGAIN = 0.25
"""Seconds between two looks whether a server is gone."""

LOOK = 2.0
"""Seconds for one such look: who says nothing for so long is not there."""

KEPT_CAUSES = 6


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("target", nargs="+", metavar="TARGET", help="host:port or unix:/path")
    parser.add_argument(
        "-t",
        "--timeout",
        type=span,
        default=ALL_WITHIN,
        metavar="TIME",
        help=f"for all targets together (default {ALL_WITHIN:g}s)",
    )
    parser.add_argument("--any", action="store_true", help="one of the targets is enough")
    group = parser.add_argument_group("what ready means")
    group.add_argument("--gone", action="store_true", help="wait until nobody accepts any more")
    group.add_argument("--tls", action="store_true", help="a TLS handshake, with what follows")
    said = group.add_mutually_exclusive_group()
    said.add_argument("--http", metavar="PATH", help="a GET is answered with a status below 400")
    said.add_argument("--expect", metavar="TEXT", help="it speaks first, and says this")
    add_output_options(parser, formats=True)


def run(parser: ArgumentParser, given: Namespace, console: Console) -> int:
    """Wait, and return the exit code, or become the command."""
    for n, text in enumerate(given.target, 1):
        try:
            parse(text)
        except ValueError as exc:
            parser.error(f"target {n}: {exc}")
    if given.gone and (given.tls or given.http or given.expect):
        parser.error("--gone asks for nothing: not with --tls, --http or --expect")
    try:
        check = _check(given)
    except ValueError as exc:
        parser.error(str(exc))
    say = _Say(console, given)
    waits = [_Wait(text, check, given, say) for text in given.target]
    code = asyncio.run(_wait(waits, given))
    return _become(given.command, console) if code == 0 and given.command else code


def _check(given: Namespace) -> Handshake:
    """Return what a server must say."""
    tls = True if given.tls else None
    if given.http is not None:
        return readiness.http(given.http, ssl=tls)
    if given.expect is not None:
        return readiness.banner(os.fsencode(given.expect), ssl=tls)
    return readiness.tls() if tls else readiness.stays_open()


def _become(command: Sequence[str], console: Console) -> int:
    """Let the command take the place of this process; return only if it cannot be run."""
    console.finish()
    try:
        os.execvp(command[0], [*command])  # noqa: S606  # it was asked for
    except OSError as exc:
        console.remark(f"aioconnect: {printable(command[0])}: {exc.strerror}")
        return NO_COMMAND if isinstance(exc, FileNotFoundError) else NOT_EXECUTABLE


async def _wait(waits: Sequence[_Wait], given: Namespace) -> int:
    """Wait for all, or for any, and return the exit code."""
    tasks = [asyncio.ensure_future(each.ended()) for each in waits]
    codes: list[int] = []
    try:
        for done in asyncio.as_completed(tasks):
            codes.append(await done)
            if given.any and codes[-1] == 0:
                return 0
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return min(codes) if given.any else max(codes)


class _Wait:
    """The wait for one target.

    Args:
        text: the target.
        check: what it must say.
        given: the words of the command line.
        say: told how it goes.
    """

    def __init__(self, text: str, check: Handshake, given: Namespace, say: _Say) -> None:
        self.text = text
        self.causes: list[tuple[str, int]] = []
        self._check = check
        self._given = given
        self._say = say
        self._dialer = Dialer(on_event=self._observe)

    async def ended(self) -> int:
        """Wait to the end, say how it was, and return the exit code."""
        started = monotonic()
        error: OSError | None = None
        try:
            await (self._gone() if self._given.gone else self._ready())
        except ConnectError as exc:
            error = exc.with_traceback(None)
            self._add(exc)
        except TimeoutError as exc:
            error = exc.with_traceback(None)
        self._say.ended(self, error, monotonic() - started)
        if error is None:
            return 0
        stopped = getattr(error, "stopped", None)
        return OUT_OF_TIME if stopped == "deadline" or isinstance(error, TimeoutError) else 1

    def _ready(self) -> Coroutine[Any, Any, float]:
        return self._dialer.wait_until_ready(
            self.text, timeout=self._given.timeout, check=self._check
        )

    async def _gone(self) -> None:
        """Look again and again until nobody accepts."""
        deadline = monotonic() + self._given.timeout
        quiet = Dialer(timeout=LOOK)
        while True:
            try:
                (await quiet.connect(self.text)).close()
            except ConnectError as exc:
                if not exc.attempts or exc.stage in ("policy", "socket", "bind"):
                    raise
                return
            if monotonic() >= deadline:
                raise TimeoutError("it still accepts connections")
            self._add_text("still there")
            await asyncio.sleep(LOOK_AGAIN)

    def _observe(self, event: object) -> None:
        if isinstance(event, RetryScheduled):
            self._add(event.error)

    def _add(self, error: ConnectError) -> None:
        self._add_text(error.code.replace("_", " "))

    def _add_text(self, cause: str) -> None:
        """Keep what was in the way, each run of the same with its length."""
        if self.causes and self.causes[-1][0] == cause:
            self.causes[-1] = cause, self.causes[-1][1] + 1
        else:
            self.causes.append((cause, 1))
            del self.causes[:-KEPT_CAUSES]
        self._say.changed(self)

    def way(self) -> str:
        """Say what was in the way, in its order."""
        return " > ".join([cause if n == 1 else f"{cause} x{n}" for cause, n in self.causes])


class _Say:
    """Tells a person, or a program, how the waits go."""

    def __init__(self, console: Console, given: Namespace) -> None:
        self._console = console
        self._given = given
        self._waiting = dict.fromkeys(given.target, "")
        self._shows = console.takes_status and not (given.json or given.quiet)

    def changed(self, wait: _Wait) -> None:
        """Draw on a terminal what is waited for, and what is in the way."""
        if wait.text in self._waiting:
            self._waiting[wait.text] = wait.causes[-1][0]
        self._draw()

    def ended(self, wait: _Wait, error: OSError | None, seconds: float) -> None:
        """Say how one wait has ended."""
        self._waiting.pop(wait.text, None)
        given, console = self._given, self._console
        ready = "gone" if given.gone else "ready"
        if given.quiet:
            return
        if given.json:
            found: dict[str, Any] = {"target": wait.text, "ok": error is None}
            found |= {"seconds": round(seconds, 3), "causes": [list(each) for each in wait.causes]}
            if error is not None:
                found["message"] = str(error)
            if isinstance(error, ConnectError):
                found |= {"type": error.code, "hint": error.hint}
            self._write(json.dumps(found))
            return
        name = printable(wait.text)
        if error is None:
            way = f"{wait.way()} > " if wait.causes else ""
            line = f"{console.paint(ready, GREEN)}  {name}  {way}{ready} after {seconds:.1f} s"
        else:
            line = f"{console.paint('fail', RED)}   {name}  {console.paint(wait.way(), DIM)}"
            line += f"\n        {printable(str(error))}"
        self._write(line)
        self._draw()

    def _draw(self) -> None:
        if not self._shows:
            return
        if self._waiting:
            shown = [
                f"{printable(text)} ({cause})" if cause else printable(text)
                for text, cause in self._waiting.items()
            ]
            self._console.status(f"waiting for {', '.join(shown)}")
        else:
            self._console.end_status()

    def _write(self, line: str) -> None:
        if self._given.command:
            self._console.end_status()
            self._console.remark(line)
        else:
            self._console.result(line)
