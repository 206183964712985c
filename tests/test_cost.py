"""What a connect costs, in figures that repeat exactly: system calls and instructions.

Each is the difference of two runs of different length, so that what a program does once falls
out.  No load and no clock changes them, so they can be held in a test where times cannot.
"""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING

import pytest

from .support import children
from .support.needs import needs
from .support.servers import listen

if TYPE_CHECKING:
    from pathlib import Path

FEW, MANY = 20, 120

PROGRAM = """
import asyncio, sys
import aioconnect, aioconnect.attempt

async def main():
    for _ in range(int(sys.argv[2])):
        (await aioconnect.connect("127.0.0.1", int(sys.argv[1]))).close()

aioconnect.attempt.SECOND_LOOK = sys.argv[3] == "look"
asyncio.run(main())
"""


def run(command: list[str], port: int, connects: int, look: str) -> None:
    """Run the program under a tool."""
    arguments = [sys.executable, "-c", PROGRAM, str(port), str(connects), look]
    children.run([*command, *arguments], check=True, timeout=100, text=False)


@needs("strace")
@pytest.mark.parametrize(
    ("look", "most"),
    [
        # socket, connect, connect (the second look), getsockname, close; and one getpid, which
        # asking for the running loop is on 3.11
        pytest.param("look", 6.2, id="at once"),
        # socket, connect, epoll_ctl twice, epoll_wait three times (the loop's, ours, the loop's),
        # getsockopt, getpeername, getsockname, close; and the getpid
        pytest.param("wait", 12.2, id="waiting"),
    ],
)
def test_system_calls(look: str, most: float, tmp_path: Path) -> None:
    """As few as connect(2) and the checks of its outcome need."""
    counted = []
    with listen(backlog=256) as server:
        for connects in (FEW, MANY):
            out = tmp_path / f"calls-{connects}"
            run(["strace", "-f", "-o", str(out)], server.getsockname()[1], connects, look)
            counted.append(len(out.read_text().splitlines()))
    each = (counted[1] - counted[0]) / (MANY - FEW)
    assert 4.9 <= each <= most, f"{each} system calls for a connect"


@needs("valgrind")
@pytest.mark.slow
@pytest.mark.parametrize(
    ("look", "most"),
    [pytest.param("look", 55_000, id="at once"), pytest.param("wait", 150_000, id="waiting")],
)
def test_instructions(look: str, most: int, tmp_path: Path) -> None:
    """In user space, for one connect; with slack for other versions of Python."""
    counted = []
    with listen(backlog=256) as server:
        for connects in (FEW, MANY):
            out = tmp_path / f"instructions-{connects}"
            tool = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}"]
            run(tool, server.getsockname()[1], connects, look)
            found = re.search(r"^(?:summary|totals): (\d+)", out.read_text(), re.MULTILINE)
            assert found is not None
            counted.append(int(found[1]))
    each = (counted[1] - counted[0]) / (MANY - FEW)
    assert each <= most, f"{each:.0f} instructions for a connect"
