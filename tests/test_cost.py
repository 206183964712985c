"""What a connect costs, in figures that repeat exactly: system calls and instructions.

Each is the difference of two runs of different length, so that what a program does once falls
out.  No load and no clock changes them, so they can be held in a test where times cannot.
Instructions are held as a ratio to a bare connect in the same interpreter.  The same code differs
by up to a tenth with its place in memory: the median of three folders counts.
"""

from __future__ import annotations

import compileall
import re
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from typing import NamedTuple

import pytest

import aioconnect

from .support import children
from .support.needs import needs
from .support.servers import listen
from .support.sweep import WHOLE

FEW, MANY = 20, 120

PROGRAM = """
import asyncio, os, select, socket, sys
import aioconnect, aioconnect.attempt

port, bare, ours, look = *map(int, sys.argv[1:4]), sys.argv[4]
poll = select.poll()

def connect():
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    sock.connect_ex(("127.0.0.1", port))
    poll.register(sock, select.POLLOUT)
    poll.poll()
    poll.unregister(sock)
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
    sock.close()

async def main():
    for _ in range(bare):
        connect()
    for _ in range(ours):
        (await aioconnect.connect("127.0.0.1", port)).close()

aioconnect.attempt.SECOND_LOOK = look == "at once"
asyncio.run(main())
"""


class Times(NamedTuple):
    """How often the program connects: without the library, and with it."""

    bare: int
    ours: int


def run(command: list[str], port: int, times: Times, look: str, folder: Path | None = None) -> None:
    """Run the program under a tool, with the package that is in a folder."""
    arguments = [sys.executable, "-P", "-c", PROGRAM, str(port), *map(str, times), look]
    where = None if folder is None else {"PYTHONPATH": str(folder), "PYTHONHASHSEED": "0"}
    children.run([*command, *arguments], check=True, timeout=100, text=False, env=where)


@needs("strace")
@pytest.mark.parametrize(
    ("look", "most"),
    [
        # socket, connect, connect (the second look), getsockname, close; and one getpid, which
        # asking for the running loop is on 3.11
        ("at once", 6.2),
        # socket, connect, epoll_ctl twice, epoll_wait three times (the loop's, ours, the loop's),
        # getsockopt, getpeername, getsockname, close; and the getpid
        ("waiting", 12.2),
    ],
)
def test_system_calls(look: str, most: float, tmp_path: Path) -> None:
    """As few as connect(2) and the checks of its outcome need."""
    counted = []
    with listen(backlog=256) as server:
        for connects in (FEW, MANY):
            out = tmp_path / f"calls-{connects}"
            port = server.getsockname()[1]
            run(["strace", "-f", "-o", str(out)], port, Times(0, connects), look)
            counted.append(len(out.read_text().splitlines()))
    each = (counted[1] - counted[0]) / (MANY - FEW)
    assert 4.9 <= each <= most, f"{each} system calls for a connect"


RATIOS = {"at once": 2.35, "waiting": 6.95}
"""Instructions of a connect over those of a bare one, measured on 3.11; newer ones have fewer."""


@needs("valgrind")
@pytest.mark.slow
@pytest.mark.sweep
@pytest.mark.timeout(300)
@pytest.mark.parametrize("look", RATIOS if WHOLE else ["at once"])
def test_instructions(look: str, tmp_path: Path) -> None:
    """A connect costs no more than a tenth above what it did; a quarter, in a single folder."""
    folders = [tmp_path / ("copy" * length) for length in ((1, 2, 5) if WHOLE else (2,))]
    for folder in folders:
        shutil.copytree(Path(aioconnect.__file__).parent, folder / "aioconnect")
        compileall.compile_dir(folder, quiet=2)  # or the first run would, and be the longer one
    with ThreadPoolExecutor(2) as pool:
        bare = pool.submit(instructions, Times(MANY, FEW), look, folders[0])
        few = [pool.submit(instructions, Times(FEW, FEW), look, each) for each in folders]
        many = [pool.submit(instructions, Times(FEW, MANY), look, each) for each in folders]
        each_bare = bare.result() - few[0].result()
        each_ours = median(
            long.result() - short.result() for long, short in zip(many, few, strict=True)
        )
    ratio = each_ours / each_bare
    assert ratio <= RATIOS[look] * (1.1 if WHOLE else 1.25), (
        f"{ratio:.2f} times the instructions of a bare connect"
    )


def instructions(times: Times, look: str, folder: Path) -> int:
    """Count what a run takes in user space, with a listener whose backlog has room for all."""
    out = folder / f"instructions-{times.bare}-{times.ours}"
    tool = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}"]
    with listen(backlog=256) as server:
        run(tool, server.getsockname()[1], times, look, folder)
    found = re.search(r"^(?:summary|totals): (\d+)", out.read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1])
