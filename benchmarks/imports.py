"""What importing costs: a fresh interpreter for each sample, the packages in turns."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from typing import TYPE_CHECKING, Any

from . import servers

if TYPE_CHECKING:
    from collections.abc import Callable

#: What is imported, as its users import it: with the loop that it needs anyway.
STATEMENTS = {
    "(nothing)": "pass",
    "asyncio": "import asyncio",
    "aioconnect": "import asyncio, aioconnect",
    "aiohappyeyeballs": "import asyncio, aiohappyeyeballs",
    "anyio": "import asyncio, anyio, anyio._backends._asyncio",
    "uvloop": "import asyncio, uvloop",
    "trio": "import trio",
    "httpcore": "import asyncio, httpcore, anyio, anyio._backends._asyncio",
    "aiohttp": "import asyncio, aiohttp",
}


def measure(rounds: int, progress: Callable[[str], None]) -> dict[str, Any]:
    """Start an interpreter for each statement, `rounds` times, and return a scenario."""
    skipped, samples = [], {}
    with tempfile.TemporaryDirectory(prefix="aioconnect-bench-") as cache:
        # The first run compiles, once for all of them, wherever they are installed.
        variables = os.environ | {"PYTHONPYCACHEPREFIX": cache, "PYTHONDONTWRITEBYTECODE": ""}
        for name in STATEMENTS:
            if not _start(name, variables):
                skipped.append({"contender": name, "reason": "does not import"})
            else:
                samples[name] = []
        for number in range(rounds):
            for name, taken in samples.items():
                progress(f"round {number + 1} of {rounds}: {name}")
                taken.append({"round": number, **_start(name, variables)})
    properties = {"loop": "", "gives": "", "blocks": False}
    return {
        "title": "Importing, whole process",
        "figure": "cpu_ms",
        "floor": "asyncio",
        "note": "A fresh interpreter each time, with what its users import beside it.",
        "contenders": {name: properties | {"ours": name == "aioconnect"} for name in samples},
        "skipped": skipped,
        "samples": samples,
    }


def _start(name: str, variables: dict[str, str]) -> dict[str, float]:
    """Return how many milliseconds an interpreter took, or nothing if it failed."""
    cpu = _cpu_of_children()
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", STATEMENTS[name]],
        capture_output=True,
        cwd=servers.HERE.parent,
        env=variables,
    )
    wall = time.perf_counter() - started
    taken = {"cpu_ms": (_cpu_of_children() - cpu) * 1e3, "wall_ms": wall * 1e3}
    return taken if done.returncode == 0 else {}


def _cpu_of_children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
