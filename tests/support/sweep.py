"""Long sweeps: a sample in ``make test``, the whole in ``make sweep``.

A sweep tries each byte, line, instant or seed of something.  The test is marked ``sweep``, and
takes its cases from :func:`sample` or the number of its examples from :func:`examples`::

    @pytest.mark.sweep
    @pytest.mark.parametrize("byte", sample(range(256)))

``AIOCONNECT_SEED`` picks another sample than the usual one.
"""

from __future__ import annotations

import os
import random
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable

T = TypeVar("T")

WHOLE = bool(os.environ.get("AIOCONNECT_SWEEP"))
"""Whether this is ``make sweep``."""

SEED = os.environ.get("AIOCONNECT_SEED", "0")


def sample(cases: Iterable[T], most: int = 50) -> list[T]:
    """Return all cases in a sweep; else ``most`` of them, in their order, with first and last."""
    every = list(cases)
    if WHOLE or len(every) <= most:
        return every
    middle = random.Random(f"{SEED} {len(every)}").sample(range(1, len(every) - 1), most - 2)
    return [every[index] for index in (0, *sorted(middle), len(every) - 1)]


def examples(usual: int, *, whole: int | None = None) -> int:
    """Return how many examples Hypothesis tries: ``usual``, or ``whole`` (20 times that)."""
    return (20 * usual if whole is None else whole) if WHOLE else usual


def chance(name: str) -> random.Random:
    """Return a random source of its own for a test that samples by itself."""
    return random.Random(f"{SEED} {name}")
