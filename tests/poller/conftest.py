"""What the tests of this folder share."""

from __future__ import annotations

import errno
import select
import socket
from typing import TYPE_CHECKING

import pytest

from ..support.servers import black_hole

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def dead() -> Iterator[tuple[str, int]]:
    """Give an address that never answers."""
    with black_hole() as address:
        yield address


@pytest.fixture(params=["epoll", "add_writer"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Wait by epoll, and as on a system that has none."""
    if request.param == "add_writer":
        monkeypatch.delattr(select, "epoll")
    return str(request.param)


@pytest.fixture
def pending(dead: tuple[str, int]) -> Iterator[socket.socket]:
    """Give a socket whose connect is under way, and stays so."""
    with socket.socket() as sock:
        sock.setblocking(False)
        assert sock.connect_ex(dead) == errno.EINPROGRESS
        yield sock
