"""What holds around every test: both loops, no leaked descriptor, no skip that nobody sees.

What a test needs of the machine is in ``support/needs.py``; the programs that it starts get what
is in ``support/children.py``.
"""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import sys
import threading
import time
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any

import hypothesis  # loaded before gc.freeze: its plug-in looks at its referrers
import pytest

from aioconnect.resolve import background

from .support import sweep
from .support.account import descriptors, name_of
from .support.children import ROOT, give_default_signals
from .support.loops import LOOPS
from .support.needs import check, need

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

QUICK_ROWS = 2
"""How many rows of a test ``make quick`` tries."""

give_default_signals()

if not os.access(ROOT, os.W_OK):  # where Hypothesis would keep its examples
    hypothesis.settings.register_profile("closed", hypothesis.settings(), database=None)
    hypothesis.settings.load_profile("closed")


def pytest_report_header() -> str:
    """Say which part of the sweeps runs."""
    return "sweeps: whole" if sweep.WHOLE else f"sweeps: the sample of seed {sweep.SEED}"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add what ``make quick`` asks for."""
    parser.addoption("--quick", action="store_true", help="each quick test, with a few of its rows")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Refuse a need that is not in the vocabulary, also where its test does not run.

    Whatever needs something is for the environments of ``.ci/environment`` too.
    """
    for item in items:
        for name in _needs(item):
            check(name)
            item.add_marker("environment")
    if config.getoption("--quick"):
        quick = _quick(items)
        config.hook.pytest_deselected(items=[item for item in items if item not in quick])
        items[:] = [item for item in items if item in quick]


def _quick(items: Sequence[pytest.Item]) -> set[pytest.Item]:
    """Return what takes little time on any machine, with a sample of its rows if they are many."""
    rows = defaultdict(list)
    for item in items:
        if not any(item.get_closest_marker(mark) for mark in ("slow", "environment")):
            rows[item.nodeid.partition("[")[0]].append(item)
    return {item for of_one in rows.values() for item in sweep.sample(of_one, QUICK_ROWS)}


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test whose needs are not met, before its fixtures are made."""
    need(*_needs(item))


def _needs(item: pytest.Item) -> Iterator[str]:
    for mark in item.iter_markers("needs"):
        yield from mark.args


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


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Count the skipped tests by what they need."""
    reasons = Counter(
        report.longrepr[2].removeprefix("Skipped: ")
        for report in terminalreporter.stats.get("skipped", ())
        if isinstance(report.longrepr, tuple)
    )
    if reasons:
        terminalreporter.section("skipped, by reason")
        for reason, number in reasons.most_common():
            terminalreporter.line(f"{number:5} {reason}")


@pytest.fixture(scope="session", autouse=True)
def resolvers_have_their_loop() -> None:
    """Begin the one loop on which blocking calls ask resolvers, and keep it busy.

    It would outlive the first test that needs it by some seconds, and be taken for its leak.
    """
    begun = threading.Event()

    class Silent:
        async def lookup(self, name: str, family: int) -> Any:
            begun.set()
            await asyncio.Event().wait()

    background.LOOP.submit(Silent(), "silent.test", (socket.AF_INET,), lambda _: None)
    assert begun.wait(20)


LINGER = 3.0
"""Seconds that a closed aiodns resolver and the loop of the blocking side may take."""


def lingers() -> bool:
    """Whether something is being closed by a thread that is not ours to wait for."""
    names = {thread.name for thread in threading.enumerate()}
    return "aioconnect-resolver-loop" in names or "aiodns" in sys.modules


@pytest.fixture(autouse=True)
def no_descriptor_is_left() -> Iterator[None]:
    """Compare the open descriptors by inode before and after each test."""
    before = descriptors()
    yield
    gc.collect()
    after = descriptors()
    deadline = time.monotonic() + LINGER
    while not after.items() <= before.items() and lingers() and time.monotonic() < deadline:
        time.sleep(0.01)
        after = descriptors()
    left = {fd: name_of(fd) for fd in after if after[fd] != before.get(fd)}
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
