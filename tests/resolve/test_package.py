"""The package as it is imported, and what a forked child does with it."""

from __future__ import annotations

import sys

import pytest

from aioconnect import resolve

from ..support import children
from .lab import ROOT


def run(code: str, *arguments: str) -> str:
    done = children.run(
        [sys.executable, "-W", "ignore", "-c", code, *arguments],
        cwd=ROOT,
        timeout=60,
    )
    return done.stdout + done.stderr


def test_every_exported_name_is_there() -> None:
    """Sorted, complete, and shown by dir()."""
    assert sorted(resolve.__all__) == resolve.__all__
    for name in resolve.__all__:
        assert getattr(resolve, name) is not None
    assert set(resolve.__all__) <= set(dir(resolve))


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    """As of any module."""
    with pytest.raises(AttributeError, match="Nothing"):
        _ = resolve.Nothing


def test_importing_the_package_loads_nothing() -> None:
    """Each resolver loads on first use; neither asyncio nor socket does."""
    code = (
        "import sys; import aioconnect; before = set(sys.modules); import aioconnect.resolve;"
        "print(sorted(set(sys.modules) - before - {'aioconnect.resolve'}))"
    )
    assert run(code) == "[]\n"


def test_localhost_and_the_order_load_no_resolver() -> None:
    """What a call to localhost needs is little."""
    code = (
        "import sys; import aioconnect.resolve.known, aioconnect.resolve.order;"
        "print(sorted(m for m in sys.modules if m in ('pycares', 'encodings.idna',"
        " 'aioconnect.resolve.threads', 'aioconnect.resolve.system')))"
    )
    assert run(code) == "[]\n"


FORK = """
import asyncio, os, socket, threading, time
from aioconnect.resolve import Cache, default

release = threading.Event()
def libc(host, port, family, type, proto, flags):
    if host.startswith("hung") and os.getpid() == parent:
        release.wait()
    return [(2, type, 6, "", ("10.0.0.1", 0))]

parent = os.getpid()
socket.getaddrinfo = libc
from aioconnect.resolve import threads
cache = Cache(default())

async def ask(name):
    return (await cache.lookup(name, 2)).addresses

asyncio.run(ask("first.test"))
# Threads that hang in libc, and locks that are held, at the instant of the fork.
for number in range(40):
    default().submit_name(f"hung{number}.test", (10, 2), print)
cache._lock.acquire()
threads.SHARED._lock.acquire()
child = os.fork()
if child == 0:
    assert asyncio.run(ask("first.test")) == ("10.0.0.1",)
    assert asyncio.run(ask("hung1.test")) == ("10.0.0.1",)
    names = [t.name for t in threading.enumerate() if t.name.startswith("aioconnect-")]
    print(1 <= len(names) <= 2, names if len(names) > 2 else "", flush=True)
    os._exit(0)
threads.SHARED._lock.release()
cache._lock.release()
_, status = os.waitpid(child, 0)
print(os.waitstatus_to_exitcode(status), flush=True)
os._exit(0)
"""


def test_a_forked_child_makes_its_own() -> None:
    """Hung threads and held locks of the parent hold up nobody in the child."""
    assert run(FORK) == "True \n0\n"


STUCK = """
import asyncio, socket, sys, threading, time
from aioconnect.resolve import default
entered = threading.Event()
def libc(*arguments):
    entered.set()
    time.sleep(60)
socket.getaddrinfo = libc

async def main():
    task = asyncio.create_task(default().lookup("hung.test", 2))
    await asyncio.to_thread(entered.wait)
    print("asked", flush=True)
    if sys.argv[1] == "leave":
        task.cancel()
    else:
        await asyncio.get_running_loop().run_in_executor(None, time.time)  # it is free
        raise SystemExit(3)

asyncio.run(main())
print("left", flush=True)
"""


@pytest.mark.parametrize(("how", "said"), [("leave", "asked\nleft\n"), ("exit", "asked\n")])
def test_a_hung_look_up_holds_neither_the_executor_nor_the_exit(how: str, said: str) -> None:
    """The program ends while libc still has the name (it would for a minute)."""
    assert run(STUCK, how) == said
