"""Figures that repeat exactly: user-space instructions and system calls for each connect.

Each is the difference of two runs of different length, so that what a program does once falls
out. Instructions are callgrind's, system calls strace's. No other process or load changes them,
which makes them the figures to compare between machines and days.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from . import contenders, measure, servers

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

FEW, MANY = 20, 120
LONGEST = 300


def count(directory: Path, wanted: str, progress: Callable[[str], None]) -> dict[str, Any]:
    """Return for each contender what a connect to a literal TCP address takes."""
    tools = {"instructions": ("valgrind", _instructions), "system_calls": ("strace", _system_calls)}
    counted: dict[str, Any] = {"skipped": {}, "figures": {}}
    listener = servers.listen(socket.AF_INET, ("127.0.0.1", 0))
    port = listener.getsockname()[1]
    with (
        listener,
        servers.accept_loop([listener], core=None, programs=directory),
        ThreadPoolExecutor(os.cpu_count()) as pool,
    ):
        for figure, (tool, run) in tools.items():
            if shutil.which(tool) is None:
                counted["skipped"][figure] = f"needs {tool}"
                continue
            waiting = {
                candidate.key: [pool.submit(run, candidate.key, n, port) for n in (FEW, MANY)]
                for candidate in contenders.CONTENDERS
                if _takes_part(candidate, wanted)
            }
            for key, (few, many) in waiting.items():
                progress(f"{figure}: {key}")
                totals = few.result(), many.result()
                if None not in totals:
                    each = (totals[1] - totals[0]) / (MANY - FEW)
                    counted["figures"].setdefault(key, {})[figure] = round(each, 1)
    return counted


def _takes_part(candidate: contenders.Contender, wanted: str) -> bool:
    unix_only = "unix" in candidate.name
    return not unix_only and wanted in candidate.key and not contenders.why_missing(candidate)


def _run(
    tool: list[str], key: str, times: int, port: int
) -> subprocess.CompletedProcess[str] | None:
    command = [*tool, sys.executable, "-m", "benchmarks.exact", key, str(times), str(port)]
    # The order of a set of strings would change from run to run, and the instructions with it.
    variables = os.environ | {"PYTHONHASHSEED": "0"}
    with contextlib.suppress(subprocess.TimeoutExpired):
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=LONGEST,
            cwd=servers.HERE.parent,
            env=variables,
        )
        if done.returncode == 0:
            return done
    return None


def _instructions(key: str, times: int, port: int) -> int | None:
    tool = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"]
    done = _run(tool, key, times, port)
    found = done and re.search(r"Collected : (\d+)", done.stderr)
    return int(found[1]) if found else None


def _system_calls(key: str, times: int, port: int) -> int | None:
    done = _run(["strace", "--follow-forks", "--summary-only"], key, times, port)
    found = done and re.search(r"^100\.00 +\S+ +\S+ +(\d+)", done.stderr, re.MULTILINE)
    return int(found[1]) if found else None


def _connect(key: str, times: int, port: int) -> None:
    """Be the program that is counted."""
    addresses = ((socket.AF_INET, ("127.0.0.1", port)),)
    endpoint = contenders.Endpoint("127.0.0.1", port, addresses=addresses)
    measure.take(contenders.find(key), endpoint, measure.Way("sequential", times))


if __name__ == "__main__":
    _connect(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
