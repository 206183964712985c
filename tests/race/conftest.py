"""What holds around the tests of this folder."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def no_descriptor_is_left() -> None:
    """Nothing is opened here, and so nothing is counted around each of many hundred races."""
