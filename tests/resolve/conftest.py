"""What holds around the tests of this folder."""

from __future__ import annotations

import pycares
import pytest


@pytest.fixture(scope="session", autouse=True)
def pycares_thread() -> None:
    """Begin the one thread by which pycares destroys channels: it stays for the process."""
    pycares.Channel(sock_state_cb=lambda *_: None).close()
