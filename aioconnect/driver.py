"""The contract between what is driven (a call, a wait for the caller's own socket) and its driver.

A driver waits, and decides nothing.  Whoever drives does this::

    call = Call(driver, targets, options)
    until = call.step()                 # None: it has ended, with call.error or a result
    while until is not None:
        ...                             # wait until something was put, or for the instant ``until``
        until = call.step()
    # call.close() on every other way out

What happens meanwhile the driver reports by :meth:`Driven.put`; the next ``step`` takes it in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import socket
    from collections.abc import Coroutine, Sequence

    from .errors import ConnectError
    from .options import Options
    from .resolve.base import Resolver

__all__ = ["Driven", "Driver", "Ending", "Told", "World"]


class World(Protocol):
    """A simulated network that a driver may stand in (``driver.world``)."""

    def within(self, options: Options) -> Options:
        """Return options whose sockets and names are those of this world; asked once per call."""
        ...


class Told(Protocol):
    """Who is told of what look-ups say: what is driven, or what stands between two of these."""

    def put(self, item: Any) -> None:
        """Report what happened, and wake whoever waits."""
        ...

    def wake(self) -> None:
        """Wake whoever waits."""
        ...


class Driver(Protocol):
    """Who waits for calls: an event loop's poller, or poll(2)."""

    clock: Any
    """A function without arguments: seconds on the clock that all instants given to this driver
    belong to."""

    world: World | None
    """The simulated network, or None."""

    def watch(self, driven: Driven, sock: socket.socket, events: int) -> None:
        """Put ``(sock, mask)`` once when the socket is ready for ``events``, failed or hung up.

        Raises:
            FileExistsError: somebody waits for this descriptor already.
            OSError: there is no descriptor, or no memory, to wait with.
        """
        ...

    def unwatch(self, sock: socket.socket) -> None:
        """Watch the socket no longer, if it is watched; call it before the close."""
        ...

    def look_up(
        self, told: Told, asked: Any, resolver: Resolver, name: str, families: Sequence[int]
    ) -> Any:
        """Begin to look a name up; returns a ticket with ``cancel()``.

        Puts ``(asked, answer)`` for each answer, then once ``(asked, None)`` when the look-up has
        ended, or ``(asked, exception)``.
        """
        ...

    def let_finish(self, tickets: Sequence[Any]) -> None:
        """Let look-ups that nobody waits for go on for a second, for the resolver's cache."""
        ...

    def run(self, driven: Driven, key: Any, stage: Coroutine[Any, Any, Any]) -> Any:
        """Run a stage that needs an event loop; puts ``(key, task)`` when it has ended.

        Returns:
            The task; ``cancel()`` ends it, and the stage closes what it took.

        Raises:
            TypeError: this driver has no loop.
        """
        ...


class Driven:
    """What a driver drives."""

    __slots__ = ("__weakref__", "future", "items", "slot")

    future: Any
    """What the driver awaits: anything with ``done`` and ``set_result``; None while it does not."""
    items: list[Any]
    """What has happened since the last step."""
    slot: Any
    """Where the driver keeps the instant until which it waits (see ``instants.py``)."""

    def step(self) -> float | None:
        """Go on as far as possible without waiting.

        Returns:
            The instant at which to step again if nothing happens before, infinity for none; or
            None: it has ended.
        """
        raise NotImplementedError

    def close(self) -> None:
        """Close every socket, leave every look-up, return what was borrowed."""
        raise NotImplementedError

    def put(self, item: Any) -> None:
        """Report what happened, and wake whoever waits."""
        if self.items:
            self.items.append(item)
        else:  # most calls never have one: no list is made before
            self.items = [item]
        self.wake()

    def wake(self) -> None:
        """Wake whoever waits."""
        future = self.future
        if future is not None and not future.done():
            future.set_result(None)


class Ending(Driven):
    """What is driven, and ends with an error or without one."""

    __slots__ = ("error",)

    error: ConnectError | None
    """Why it has failed, if it has."""

    def take_error(self) -> ConnectError:
        """Return the error to raise; nothing refers to it any longer, or that were a cycle."""
        error, self.error = self.error, None
        assert error is not None
        return error
