"""Who waits: it records what it is told."""

from __future__ import annotations

import asyncio


async def turns(number: int) -> None:
    """Let the loop turn."""
    for _ in range(number):
        await asyncio.sleep(0)
