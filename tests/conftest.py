"""What holds around every test: both loops, no leaked descriptor, no skip that nobody sees."""

from __future__ import annotations

import asyncio
import gc
import os
import stat
import sys
import threading
from typing import TYPE_CHECKING

import hypothesis  # noqa: F401  # loaded before gc.freeze: its plug-in looks at its referrers
import pytest
import uvloop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.SelectorEventLoop,
    "uvloop": uvloop.new_event_loop,
}


# libuv opens its process-wide signal pipe with the first loop, and keeps it.
uvloop.new_event_loop().close()


def pytest_collection_finish(session: pytest.Session) -> None:
    """Leave what is there now out of every later collection: it makes them cheap."""
    gc.collect()
    gc.freeze()


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Run every asynchronous test on asyncio and on uvloop."""
    return LOOPS


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Iterator[pytest.TestReport]:
    """With AIOCONNECT_NO_SKIPS set (as .ci/run does) a skipped test is a failed one."""
    report: pytest.TestReport = yield
    if report.skipped and not hasattr(report, "wasxfail") and os.environ.get("AIOCONNECT_NO_SKIPS"):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was skipped, and nothing may be here: {report.longrepr}"
    return report


def descriptors() -> dict[int, tuple[int, int]]:
    """Return every open descriptor of this process with its device and inode."""
    found = {}
    for name in os.listdir("/proc/self/fd" if sys.platform == "linux" else "/dev/fd"):
        try:
            status = os.fstat(int(name))
        except OSError:
            continue  # the descriptor of the listing itself
        if stat.S_ISDIR(status.st_mode):
            continue
        found[int(name)] = (status.st_dev, status.st_ino)
    return found


@pytest.fixture(autouse=True)
def no_descriptor_is_left() -> Iterator[None]:
    """Compare the open descriptors by inode before and after each test."""
    before = descriptors()
    yield
    gc.collect()
    after = descriptors()
    left = {fd: os.readlink(f"/proc/self/fd/{fd}") for fd in after if after[fd] != before.get(fd)}
    assert not left, f"descriptors left open: {left}"
    lost = [fd for fd in before if fd not in after]
    assert not lost, f"descriptors closed that were not ours: {lost}"


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    """No thread but the resolver's own bounded daemons outlives a test."""
    before = set(threading.enumerate())
    yield
    left = [
        thread
        for thread in threading.enumerate()
        if thread not in before and not thread.name.startswith("aioconnect-")
    ]
    for thread in left:
        thread.join(2)
    assert not [thread for thread in left if thread.is_alive()]
