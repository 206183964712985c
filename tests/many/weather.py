"""Hooks that do this and that: everything that may happen to a target, at random."""

from __future__ import annotations

import asyncio
import errno
import random
import socket
from typing import Any

from aioconnect.resolve import Answer

from ..support.sockets import Slow
from .running import LACKS


class Weather:
    """A resolver and a socket factory that do this and that, at random but always the same."""

    def __init__(
        self, seed: int, server: tuple[str, int], nobody: tuple[str, int], *, lacks: float = 0.1
    ) -> None:
        self.random = random.Random(seed)
        self.lacks = lacks
        self.server = server
        self.nobody = nobody
        self.dialling: dict[str, int] = {}
        self.most = 0

    def targets(self, number: int) -> list[Any]:
        """Choose so many."""
        port = self.server[1]
        kinds = [
            lambda: self.server,
            lambda: self.nobody,
            lambda: (f"{self.random.choice('abc')}.test", port),
            lambda: [self.nobody, self.server],
            lambda: [("a.test", port), ("b.test", port)],
            lambda: "no target",
        ]
        return [self.random.choice(kinds)() for _ in range(number)]

    async def lookup(self, name: str, family: int) -> Answer:
        """Wait for some turns, then answer or not."""
        self.dialling[name] = self.dialling.get(name, 0) + 1
        self.most = max(self.most, self.dialling[name])
        try:
            for _ in range(self.random.choice((0, 0, 1, 2, 5))):
                await asyncio.sleep(0)
            if self.random.random() < self.lacks:
                raise OSError(errno.EMFILE, "no descriptor")
            if self.random.random() < 0.1:
                raise socket.gaierror(socket.EAI_NONAME, "no such name")
            return Answer(("127.0.0.1",))
        finally:
            self.dialling[name] -= 1

    def make(self, endpoint: Any) -> socket.socket:
        """Make a socket, fast or slow, or none."""
        chance = self.random.random()
        if chance < self.lacks:
            raise OSError(self.random.choice(LACKS), "lacking")
        if chance < self.lacks + 0.05:
            raise ConnectionRefusedError("not today")
        return (Slow if chance < 0.6 else socket.socket)(*endpoint[:3])
