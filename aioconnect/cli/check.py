"""Connect to all targets at the same time, and print a line for each as its outcome is known.

A target is host:port, [IPv6]:port, unix:/path or unix:@name; a port is always needed.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from time import monotonic
from typing import TYPE_CHECKING

from ..dialer import Dialer, check_family
from ..errors import ConnectError
from ..targets import parse
from .arguments import add_connect_options, add_output_options, connect_options
from .report import JsonReport, NoReport, Outcome, TextReport

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import AsyncGenerator, Sequence

    from ..targets import Target
    from .arguments import Override
    from .console import Console
    from .report import Report

__all__ = ["EPILOG", "add_arguments", "run"]

EPILOG = """\
times: 500ms, 2s, 1m, 1h; a number alone is seconds
exit code: 0 all were reached, 1 not all were, 2 usage (nothing was dialled), 130 Ctrl-C

  aioconnect check db.example:5432 [::1]:8080 unix:/run/app.sock
  aioconnect check --json -t 2s --resolve db.example:5432:10.0.0.5 db.example:5432
"""

TIMEOUT = 10.0
"""Seconds for each target; less than the library's 30, for somebody is waiting."""


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("target", nargs="+", metavar="TARGET", help="host:port or unix:/path")
    add_connect_options(parser, timeout=TIMEOUT)
    add_output_options(parser, formats=True)


def run(parser: ArgumentParser, given: Namespace, console: Console) -> int:
    """Check the targets, and return the exit code."""
    dialer = Dialer(**connect_options(given))
    problems = [_problem(text, dialer) for text in given.target]
    if any(problems):
        parser.error("; ".join(f"target {n}: {p}" for n, p in enumerate(problems, 1) if p))
    report: Report
    if given.json:
        report = JsonReport(console)
    elif given.quiet:
        report = NoReport()
    else:
        report = TextReport(console, given.target)
    reached = asyncio.run(_check(given.target, dialer, given.resolve, report))
    return 0 if reached == len(given.target) else 1


def _problem(text: str, dialer: Dialer) -> str:
    """Say why a target cannot be dialled as it is written; empty if it can."""
    try:
        check_family([parse(text)], dialer)
    except ValueError as exc:
        return str(exc)
    return ""


async def _check(
    targets: Sequence[str], dialer: Dialer, overrides: Sequence[Override], report: Report
) -> int:
    """Report every target; returns how many were reached."""
    reached = 0
    async with aclosing(_outcomes(targets, dialer, overrides)) as outcomes:
        async for outcome in outcomes:
            try:
                report.add(outcome)
            finally:
                if outcome.socket is not None:
                    outcome.socket.close()
                    reached += 1
    return reached


async def _outcomes(
    targets: Sequence[str], dialer: Dialer, overrides: Sequence[Override]
) -> AsyncGenerator[Outcome]:
    """Dial all at once; each outcome comes when it is known, with a socket for its receiver."""
    tasks = [
        asyncio.create_task(_dial(text, _with_names(dialer, parse(text), overrides)))
        for text in targets
    ]
    try:
        for outcome in asyncio.as_completed(tasks):
            yield await outcome
    finally:
        for task in tasks:
            task.cancel()
        for left in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(left, Outcome) and left.socket is not None:
                left.socket.close()


async def _dial(target: str, dialer: Dialer) -> Outcome:
    started = monotonic()
    try:
        sock = await dialer.connect(target)
    except ConnectError as exc:
        return Outcome(target, None, exc, started, monotonic())
    return Outcome(target, sock, None, started, monotonic())


def _with_names(dialer: Dialer, target: Target, overrides: Sequence[Override]) -> Dialer:
    """Give a target the addresses that ``--resolve`` has for it, and for its port only."""
    if target.name is None:
        return dialer
    addresses = [
        address
        for host, port, given in overrides
        if port == target.port and host.lower() == target.name.lower()
        for address in given
    ]
    if not addresses:
        return dialer
    from ..resolve import StaticResolver

    return dialer.replace(resolver=StaticResolver({target.name: addresses}))
