"""The ways to call the library: on each loop, and blocking."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, Self

import pytest

import aioconnect
import aioconnect.blocking

from .loops import LOOPS

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager

APIS = (*LOOPS, "blocking")


class Api:
    """The three functions of the library, called on one loop or blocking, from synchronous code.

    A test that is not a coroutine can change namespace, limits or user around a call without
    asking when the loop runs what.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._runner: asyncio.Runner | None = None
        self._around: Callable[[], AbstractContextManager[None]] = nullcontext

    def __enter__(self) -> Self:
        if self.name in LOOPS:
            self._runner = asyncio.Runner(loop_factory=LOOPS[self.name])
            self._runner.get_loop()  # its descriptors are open before a test counts or limits them
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._runner is not None:
            self._runner.close()

    @contextmanager
    def during(self, context: Callable[[], AbstractContextManager[None]]) -> Iterator[None]:
        """Enter this context around each call; within the loop, which may need what it forbids."""
        self._around = context
        try:
            yield
        finally:
            self._around = nullcontext

    def connect(self, *args: Any, **options: Any) -> socket.socket:
        """Call ``connect``."""
        return self._call("connect", *args, **options)

    def sock_connect(self, *args: Any, **options: Any) -> None:
        """Call ``sock_connect``."""
        return self._call("sock_connect", *args, **options)

    def connect_wait(self, *args: Any, **options: Any) -> None:
        """Call ``connect_wait``."""
        return self._call("connect_wait", *args, **options)

    def fails(self, *args: Any, **options: Any) -> aioconnect.ConnectError:
        """Call ``connect`` and return the error that it must raise."""
        with pytest.raises(aioconnect.ConnectError) as caught:
            self.connect(*args, **options).close()
        return caught.value

    def together(self, dials: Sequence[tuple[tuple[Any, ...], dict[str, Any]]]) -> list[Any]:
        """Call ``connect`` for each at the same time; return what each returned or raised."""
        if self._runner is None:
            with ThreadPoolExecutor(len(dials)) as pool:
                futures = [pool.submit(self.connect, *args, **kw) for args, kw in dials]
            return [future.exception() or future.result() for future in futures]

        async def gather() -> list[Any]:
            calls = [aioconnect.connect(*args, **kw) for args, kw in dials]
            return await asyncio.gather(*calls, return_exceptions=True)

        return self._runner.run(gather())

    def _call(self, function: str, *args: Any, **options: Any) -> Any:
        if self._runner is None:
            with self._around():
                return getattr(aioconnect.blocking, function)(*args, **options)

        async def call() -> Any:
            with self._around():
                return await getattr(aioconnect, function)(*args, **options)

        return self._runner.run(call())
