"""What the words of a command line mean: durations, overridden names, the options of a call.

Everything is understood, or refused with exit code 2, before anything is dialled.
"""

from __future__ import annotations

import math
import re
import socket
from argparse import ArgumentTypeError
from typing import TYPE_CHECKING, Final, NamedTuple

from ..resolve.known import is_localhost
from ..targets import parse_host
from .console import printable

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from ..options import TargetOptions

__all__ = [
    "Override",
    "add_connect_options",
    "add_many_options",
    "add_output_options",
    "connect_options",
    "count",
    "override",
    "pause",
    "rate",
    "span",
]

_NUMBER: Final = r"(?:[0-9]{1,15}(?:\.[0-9]{0,15})?|\.[0-9]{1,15})"
_DURATION = re.compile(rf"({_NUMBER})(ms|s|m|h)?", re.ASCII)
_RATE = re.compile(_NUMBER, re.ASCII)
_COUNT = re.compile(r"[0-9]{1,15}", re.ASCII)
_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_OVERRIDE = re.compile(r"([^:\[\]]+):([0-9]{1,5}):(.+)", re.ASCII)


class Override(NamedTuple):
    """``--resolve``: what a name stands for on one port."""

    host: str
    port: int
    addresses: tuple[str, ...]


def add_connect_options(parser: ArgumentParser, *, timeout: float) -> None:
    """Add the options that say how to connect to one target."""
    group = parser.add_argument_group("connecting to a target")
    group.add_argument(
        "-t",
        "--timeout",
        type=span,
        default=timeout,
        metavar="TIME",
        help="for each target, from its own start: names and all attempts"
        f" (default {timeout:g}s); for all targets together see --total",
    )
    group.add_argument(
        "--attempt-timeout",
        type=span,
        metavar="TIME",
        help="for one attempt at one address (default 10s while another can follow)",
    )
    group.add_argument(
        "--delay",
        type=pause,
        default=0.25,
        metavar="TIME",
        help="between the starts of two attempts at a target's addresses (default 250ms);"
        " 'none': one after the other",
    )
    families = group.add_mutually_exclusive_group()
    for flag, family in (("-4", socket.AF_INET), ("-6", socket.AF_INET6)):
        families.add_argument(
            flag,
            dest="family",
            action="store_const",
            const=family,
            default=0,
            help=f"use IPv{flag[1]} only",
        )
    group.add_argument(
        "--resolve",
        type=override,
        action="append",
        default=[],
        metavar="HOST:PORT:ADDRESS[,ADDRESS...]",
        help="take these addresses for a name instead of looking it up; IPv6 in brackets;"
        " may be repeated",
    )


def add_many_options(parser: ArgumentParser) -> None:
    """Add the options that say how many targets are dialled, and when."""
    group = parser.add_argument_group("many targets")
    group.add_argument(
        "--total",
        type=span,
        metavar="TIME",
        help="for all targets together: what is in flight then has failed, what is left is not"
        " tried, and the exit code is 1 (default none)",
    )
    group.add_argument(
        "--limit",
        type=count,
        metavar="N",
        help="targets in flight at a time (default: what the limit of open files leaves room for,"
        " 1000 at most)",
    )
    group.add_argument(
        "--per-host", type=count, metavar="N", help="of these, targets on one host or path"
    )
    group.add_argument(
        "--rate", type=rate, metavar="N", help="targets begun in a second, evenly spaced"
    )
    group.add_argument(
        "--ordered",
        action="store_true",
        help="results in the order of the targets, not as they are known",
    )


def add_output_options(parser: ArgumentParser, *, formats: bool = False) -> None:
    """Add the options that say what the output looks like; with ``formats`` also the other ones."""
    group = parser.add_argument_group("output")
    group.add_argument("--no-color", action="store_true", help="no colours (as with NO_COLOR set)")
    if formats:
        others = group.add_mutually_exclusive_group()
        others.add_argument("--json", action="store_true", help="one JSON object a line")
        others.add_argument("-q", "--quiet", action="store_true", help="only the exit code")
        others.add_argument(
            "-v", "--verbose", action="store_true", help="each attempt below its target, to scale"
        )


def connect_options(given: Namespace) -> TargetOptions:
    """Return what the words of ``add_connect_options`` mean, but for the time and the names."""
    return {
        "attempt_timeout": given.attempt_timeout,
        "happy_eyeballs_delay": given.delay,
        "family": given.family,
    }


def span(text: str) -> float:
    """Read a time to wait at most: more than nothing, or ``none`` for no limit."""
    if text == "none":
        return math.inf
    seconds = _duration(text)
    if seconds <= 0:
        raise ArgumentTypeError(f"{text!r} leaves no time at all; 'none' is no limit")
    return seconds


def pause(text: str) -> float | None:
    """Read a time between two starts: 0 is as short as allowed, ``none`` waits for failure."""
    return None if text == "none" else _duration(text)


def count(text: str) -> int:
    """Read a number of things: one at least."""
    if not _COUNT.fullmatch(text) or not int(text):
        raise ArgumentTypeError(f"{printable(text)!r} is not a whole number of at least 1")
    return int(text)


def rate(text: str) -> float:
    """Read a number of things in a second: more than none, and perhaps less than one."""
    if not _RATE.fullmatch(text) or not float(text):
        raise ArgumentTypeError(f"{printable(text)!r} is not a number a second, as 50 or 0.5")
    return float(text)


def override(text: str) -> Override:
    """Read ``host:port:address``, curl's spelling of ``--resolve``."""
    match = _OVERRIDE.fullmatch(text)
    if match is None:
        raise ArgumentTypeError(f"{printable(text)!r} is not HOST:PORT:ADDRESS")
    host, port, rest = match[1], int(match[2]), match[3]
    try:
        named = parse_host(host, port)
        addresses = tuple(_address(each, port) for each in rest.split(","))
    except ValueError as exc:
        raise ArgumentTypeError(str(exc)) from None
    if named.name is None:
        raise ArgumentTypeError(f"{host} is an address already: there is no name to override")
    if is_localhost(named.name):
        raise ArgumentTypeError(f"{host} is always the loopback address (RFC 6761)")
    return Override(named.name, port, addresses)


def _duration(text: str) -> float:
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ArgumentTypeError(
            f"{printable(text)!r} is not a time: write 500ms, 2s, 1m, or a number of seconds"
        )
    return float(match[1]) * _SECONDS[match[2] or "s"]


def _address(text: str, port: int) -> str:
    host = text.removeprefix("[").removesuffix("]")
    if (":" in host) != (text == f"[{host}]"):
        raise ValueError(f"{printable(text)!r}: an IPv6 address, and no other, stands in brackets")
    if parse_host(host, port).name is not None:
        raise ValueError(f"{printable(text)!r} is not an address")
    return host
