"""CPython's own tests of asyncio hold on a loop that dials through a dialer."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest

from .support import children
from .support.needs import needs
from .support.sweep import sample

pytestmark = [
    needs("netns", "unshare", "CPython's tests"),  # some dial addresses that are somebody's
    pytest.mark.slow,
    pytest.mark.timeout(900),
]

MODULES = [
    "test_streams",
    "test_events",
    "test_sock_lowlevel",
    "test_ssl",
    "test_sendfile",
    "test_server",
    "test_buffered_proto",
]

OTHERWISE = {
    "test_create_connection_local_addr_in_use": "the address is 127.0.0.1:5432, not a tuple",
    "test_create_server_ssl_match_failed": "certificate not accepted: the verify message",
    "test_create_server_ssl_verify_failed": "certificate not accepted: the verify message",
    "test_create_unix_server_ssl_verify_failed": "certificate not accepted: the verify message",
    "test_create_connection_ssl_slow_handshake": "a limit of the handshake is a TimeoutError",
    "test_handshake_timeout_handler_leak": "it looks in the turn in which the call ends; a "
    "handshake that is left is gone three turns later",
}
"""What is otherwise on purpose: the test, and what we say or do."""


def outcome(whose: str, module: str) -> dict[str, Any]:
    """Run a module in a network of its own."""
    command = f"ip link set lo up && {sys.executable} -m tests.support.cpython {whose} {module}"
    done = children.run(["unshare", "-n", "sh", "-c", command], timeout=800)
    assert done.returncode == 0, done.stderr[-2000:]
    said: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return said


@pytest.mark.sweep
@pytest.mark.parametrize("module", sample(MODULES, 2))
def test_what_holds_on_the_plain_loop_holds_on_ours(module: str) -> None:
    """But for what is otherwise on purpose, which is named here."""
    plain, ours = outcome("plain", module), outcome("ours", module)
    assert ours["ran"] == plain["ran"] > 0
    newly = {
        test: said
        for test, said in ours["failed"].items()
        if test not in plain["failed"] and test.rpartition(".")[2] not in OTHERWISE
    }
    assert newly == {}
