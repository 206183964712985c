"""Connect to many targets at a time, and print a line for each as its outcome is known.

A target is host:port, [IPv6]:port, unix:/path or unix:@name; a port is always needed.
A file has one target a line; blank lines, and comments from a # that begins a line or
follows a space, are skipped. Files and standard input are read as there is room for more.
"""

from __future__ import annotations

import asyncio
import os
from contextlib import ExitStack, aclosing, closing, suppress
from itertools import pairwise
from time import monotonic
from typing import TYPE_CHECKING

from ..chosen import reached
from ..dialer import Dialer
from ..events import SlowedDown
from ..many import connect_many
from ..targets import parse, parse_all
from ..text import safe
from .arguments import (
    add_connect_options,
    add_many_options,
    add_output_options,
    connect_options,
)
from .console import OutputLost, printable
from .progress import Progress
from .report import JsonReport, NoReport, Outcome, TextReport
from .sources import Sources, shown_file
from .summary import Summary
from .tries import Tries

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import AsyncGenerator, Sequence

    from ..events import Event
    from ..many import AnyTarget, ConnectMany
    from ..targets import TargetLike
    from .arguments import Override
    from .console import Console
    from .report import Report
    from .sources import Given

__all__ = ["EPILOG", "add_arguments", "run"]

EPILOG = """\
times: 500ms, 2s, 1m, 1h, none; a number alone is seconds

stdout has the results, in the order in which they are known. A line of a file that is no
target is a failed result with its number. stderr has the progress, on a terminal, and at the
end a summary: how many were reached, and each cause of failure with an example and a hint.
With --json the summary is the last object on stdout. One TARGET alone has no summary.

exit code: 0 all were reached, 1 not all were, or --total ended it, 2 usage, or no target at
all (nothing was dialled), 74 a file could not be read to its end, 130 Ctrl-C

  aioconnect check db.example:5432 [::1]:8080 unix:/run/app.sock
  aioconnect check --json -t 2s --resolve db.example:5432:10.0.0.5 db.example:5432
  aioconnect check -f hosts.txt --limit 500 --rate 200 --per-host 2 --total 10m
  list-hosts | aioconnect check - | grep ^fail
"""

TIMEOUT = 10.0
"""Seconds for each target; less than the library's 30, for somebody is waiting."""

_STALLED = 0.02
"""Seconds that writing a result takes when somebody does not read."""


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "target",
        nargs="*",
        metavar="TARGET",
        help="host:port or unix:/path; '-' for those on standard input",
    )
    parser.add_argument(
        "-f",
        "--file",
        action="append",
        default=[],
        metavar="FILE",
        help="the targets in a file, '-' is standard input; may be repeated",
    )
    add_connect_options(parser, timeout=TIMEOUT)
    add_many_options(parser)
    add_output_options(parser, formats=True)


def run(parser: ArgumentParser, given: Namespace, console: Console) -> int:
    """Check the targets, and return the exit code."""
    if not given.target and not given.file:
        parser.error("no TARGET, and no FILE with targets")
    meaning = _Meaning(given.resolve, Dialer(**connect_options(given)))
    problems = ["" if text == "-" else meaning.of(text)[1] for text in given.target]
    for n, (host, port) in enumerate(pairwise(given.target)):
        target = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        if problems[n] and problems[n + 1] and port.isdecimal() and not meaning.of(target)[1]:
            problems[n : n + 2] = [f"{printable(f'{host} {port}')!r} is written {target}", ""]
    if any(problems):
        parser.error("; ".join(f"target {n}: {p}" for n, p in enumerate(problems, 1) if p))
    try:
        sources = Sources(given.target, given.file)
    except OSError as exc:
        parser.error(f"cannot read {shown_file(str(exc.filename))}: {exc.strerror}")
    except ValueError as exc:
        parser.error(str(exc))
    report: Report
    if given.json:
        report = JsonReport(console)
    elif given.quiet:
        report = NoReport()
    else:
        alone = sources.one_word
        report = TextReport(console, given.target, alone=alone, verbose=given.verbose)
    with closing(sources):
        check = _Check(sources, meaning, report, console)
        code = check.run(given)
    if code is None:
        parser.error("no target in what was given")
    return code


class _Meaning:
    """What is dialled for a text: the addresses that ``--resolve`` has for it, or the text."""

    def __init__(self, overrides: Sequence[Override], dialer: Dialer) -> None:
        self._dialer = dialer
        self._addresses: dict[tuple[str, int], list[TargetLike]] = {}
        for host, port, addresses in overrides:
            known = self._addresses.setdefault((_key(host), port), [])
            known += [(address, port) for address in addresses]

    def of(self, text: str) -> tuple[AnyTarget, str]:
        """Return what to dial, and why it cannot be dialled as it is written; empty if it can."""
        dialled: AnyTarget = text
        try:
            target = parse(text)
            known = target.name and self._addresses.get((_key(target.name), target.port))
            if known:
                family = self._dialer.family
                fitting = [each for each in known if family in (0, parse(each).family)]
                dialled = fitting or known  # of which the refusal names the first
            reached(parse_all(dialled), self._dialer)
        except ValueError as exc:
            return dialled, str(exc)
        return dialled, ""


class _Check:
    """One run of the command."""

    def __init__(
        self, sources: Sources, meaning: _Meaning, report: Report, console: Console
    ) -> None:
        self._sources = sources
        self._meaning = meaning
        self._report = report
        self._console = console
        self._summary = Summary()
        self._unfinished: dict[int, tuple[Given, bool]] = {}
        self._slowed = False
        self._tries = Tries()

    def run(self, options: Namespace) -> int | None:
        """Dial everything, and return the exit code; None if there was nothing to dial."""
        try:
            asyncio.run(self._dial(options))
        except KeyboardInterrupt:
            self._console.interrupted()
            with suppress(OutputLost):  # Ctrl-C has ended the other programs of the pipe, too
                self._end(f"interrupted with {len(self._unfinished)} unfinished")
            raise
        sources, summary = self._sources, self._summary
        if sources.problems:
            self._end("not everything could be read")
            for problem in sources.problems:
                self._console.remark(f"aioconnect: {problem}")
            return os.EX_IOERR
        if not sources.complete:
            self._end("--total ended it before all were tried")
            return 1
        if summary.done == 0:
            return None
        self._end()
        return 1 if summary.failed else 0

    def _end(self, ending: str = "") -> None:
        self._summary.end(ending)
        if not self._sources.one_word:  # whose line says everything
            self._report.end(self._summary)

    async def _dial(self, options: Namespace) -> None:
        with ExitStack() as stack:
            if self._shows_progress(options):
                progress = Progress(self._console, self._summary, self._sources.count())
                stack.enter_context(progress)
            chosen = connect_options(options)
            chosen["on_event"] = self._observe
            async with (
                aclosing(self._targets()) as targets,
                connect_many(
                    targets,
                    limit=options.limit,
                    per_host=options.per_host,
                    rate=options.rate,
                    ordered=options.ordered,
                    timeout=options.total,
                    target_timeout=options.timeout,
                    **chosen,
                ) as results,
            ):
                await self._take(results)

    def _observe(self, event: Event) -> None:
        """Count what is lacking; if nothing can be dialled for it, say so once, meanwhile."""
        if isinstance(event, SlowedDown) and event.limit == 1 and not self._slowed:
            self._slowed = True
            self._console.end_status()
            said = printable(str(event.error))
            self._console.remark(f"aioconnect: waiting for what this host lacks: {said}")
        self._summary.observe(event)
        self._tries.observe(event)

    def _shows_progress(self, options: Namespace) -> bool:
        if options.json or options.quiet or not self._console.takes_status:
            return False
        return not self._sources.reads_terminal()  # what somebody types stands there

    async def _targets(self) -> AsyncGenerator[AnyTarget]:
        """Give what is to be dialled, and remember for whom until there is a result."""
        index = 0
        async for given in self._sources:
            target, problem = self._meaning.of(given.text)
            self._unfinished[index] = given, not problem
            index += 1
            yield target  # also what is none: its result says why

    async def _take(self, results: ConnectMany) -> None:
        """Report each result, and close its socket."""
        async for result in results:
            tries = self._tries.take(_texts(result.target))
            outcome = Outcome(*self._unfinished.pop(result.index), result, tries)
            if result.error is not None and isinstance(result.target, list):
                result.error.target = safe(outcome.given.text)  # dialled was what it stands for
            began = monotonic()
            try:
                self._summary.add(outcome.name, result.error)
                self._report.add(outcome)
            finally:
                if result.socket is not None:
                    result.socket.close()
            if monotonic() - began > _STALLED:
                # What came meanwhile has come in time: the loop hears of it within two turns,
                # before a time limit is looked at.
                await asyncio.sleep(0)
                await asyncio.sleep(0)


def _texts(target: AnyTarget) -> list[str]:
    """Return what events call the targets that were dialled."""
    with suppress(ValueError):
        return [each.text for each in parse_all(target)]
    return []


def _key(name: str) -> str:
    return name.lower().removesuffix(".")
