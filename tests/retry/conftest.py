"""Nothing here opens a socket; but there are many tests, and the collector runs around each."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="package", autouse=True)
def what_is_there_already_is_not_collected() -> Iterator[None]:
    """Spare the collector what was imported: a third of the time of these tests."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()
