"""A network in virtual time: peers and name servers as they are scripted, and a clock that jumps.

A script says what becomes of the attempts at each address, one after the other: ``a refused 0.5,
connects`` is refused half a second after its start, and connects at once the next time; the last
end holds for good.  A letter is an IPv4 address; anything else is a name, whose ends are answers
(``db.test a b 0.25``) or numbers of ``getaddrinfo`` (``EAI_AGAIN``); its IPv6 is asked for as
``db.test/6``.  What a peer does once it has accepted stands under ``a/peer``: it ``says`` a byte,
``drips`` one again and again, ``closes`` or ``resets``, so many seconds later, or is ``silent``.

The sockets are real: each is one end of a pair, and writable when its connect has ended, so that
``aioconnect`` does all that it does, and poll(2) is asked.  What they say of their connect, their
peer and themselves is the world's.
"""

from __future__ import annotations

import errno
import heapq
import itertools
import select
import socket
from contextlib import suppress
from math import inf
from typing import TYPE_CHECKING, Any, NamedTuple

from aioconnect.resolve import Answer
from aioconnect.resolve.base import most_telling

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from aioconnect.driver import Driven, Told
    from aioconnect.options import Options

NUMBERS = {
    "refused": errno.ECONNREFUSED,
    "reset": errno.ECONNRESET,
    "unreachable": errno.ENETUNREACH,
    "no-port": errno.EADDRNOTAVAIL,
    "denied": errno.EACCES,  # another address may help, and nothing else
    "misused": errno.EPROTOTYPE,  # nothing helps
    "no-descriptor": errno.EMFILE,
}
"""How an attempt may fail."""

OURS = ("192.0.2.100", 50000)
"""The address of this host."""


def address(letter: str) -> str:
    """Return the address that the scripts call by a letter."""
    return f"192.0.2.{ord(letter) - ord('a') + 1}"


def letter(text: str) -> str:
    """Return the letter of an address."""
    return chr(int(text.rpartition(".")[2]) + ord("a") - 1)


class End(NamedTuple):
    """What becomes of an attempt or of a look-up, and how long after its start."""

    words: tuple[str, ...]
    after: float


def _end(text: str) -> End:
    words = text.split()
    after = float(words.pop()) if words[-1][0].isdigit() else 0.0
    return End(tuple(words), after)


class Event:
    """Something that will happen; it may be taken back."""

    def __init__(self, action: Callable[[], object]) -> None:
        self.action: Callable[[], object] | None = action

    def cancel(self) -> None:
        """Take it back."""
        self.action = None


class World:
    """Peers, name servers and a clock: what ``driver.world`` is to a call."""

    def __init__(self, script: str) -> None:
        self.now = 0.0
        self.ends: dict[str, list[End]] = {}
        for line in filter(None, map(str.strip, script.split(";"))):
            who, _, ends = line.partition(" ")
            self.ends[who] = [_end(end) for end in ends.split(",")]
        self.open: list[Wire] = []
        self.look_ups: list[Event] = []
        self.watched: dict[Wire, tuple[Driven, int]] = {}
        self.begun: list[tuple[float, str]] = []
        self.asked = 0
        self.forgotten: list[str] = []
        self._coming: list[tuple[float, int, Event]] = []
        self._count = itertools.count()

    # What a call sees ----------------------------------------------------------------------------

    def within(self, options: Options) -> Options:
        """Return options by which a call is in this world."""
        self.asked += 1
        inside: Options = options.replace(socket_factory=self.make, resolver=self)
        return inside

    def make(self, endpoint: Any) -> Wire:
        """Make a socket for an attempt, which is begun by that."""
        who = letter(endpoint[4][0])
        self.begun.append((self.now, endpoint[4][0]))
        end = self.next(who)
        if end.words[0] == "no-descriptor":
            raise OSError(errno.EMFILE, "Too many open files")
        return Wire(self, endpoint, end, who)

    async def lookup(self, name: str, family: int) -> Answer:
        """Be a resolver, whose answers the virtual driver takes from the script."""
        raise AssertionError("a virtual driver needs no loop")

    def forget(self, name: str) -> None:
        """Record that what is known of a name may be old."""
        self.forgotten.append(name)

    # What happens --------------------------------------------------------------------------------

    def clock(self) -> float:
        """Return the instant."""
        return self.now

    def next(self, who: str) -> End:
        """Return what becomes of the next attempt at an address, or question for a name."""
        ends = self.ends[who]
        return ends.pop(0) if len(ends) > 1 else ends[0]

    def later(self, after: float, action: Callable[[], object]) -> Event:
        """Let something happen."""
        event = Event(action)
        heapq.heappush(self._coming, (self.now + after, next(self._count), event))
        return event

    def happens(self, until: float) -> bool:
        """Let the next thing happen, if it does by ``until``; else it is ``until``."""
        while self._coming and self._coming[0][0] <= until:
            when, _, event = heapq.heappop(self._coming)
            if event.action is not None:
                self.now = max(self.now, when)
                event.action()
                return True
        assert until < inf, "it waits for ever"
        self.now = max(self.now, until)
        return False


class Wire(socket.socket):
    """A socket of the virtual world."""

    def __init__(self, world: World, endpoint: Any, end: End, who: str) -> None:
        near, self.far = socket.socketpair()
        super().__init__(*endpoint[:3], near.detach())
        self.setblocking(False)
        with suppress(BlockingIOError):  # writable it is when the connect has ended
            self.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
            while True:
                self.send(bytes(4096))
        self._world, self._end, self._who = world, end, who
        self._peer: Any = None
        self._looks = 0
        self._number: int | None = errno.EINPROGRESS
        world.open.append(self)

    def connect_ex(self, to: Any) -> int:
        """Begin to connect; a second time, say how it stands."""
        self._looks += 1
        assert self._looks <= 2, "a third connect could begin a new dial"
        if self._looks == 2:
            return {errno.EINPROGRESS: errno.EALREADY, 0: errno.EISCONN}.get(
                self._number, self._number
            )
        self._peer = to
        words, after = self._end
        if "never" not in words:
            if not after:
                return self._settle()
            self._world.later(after, self._settle)
        return errno.EINPROGRESS

    def _settle(self) -> int:
        if self._closed:
            return errno.EBADF
        word = self._end.words[0]
        self._number = 0 if word == "connects" else NUMBERS[word]
        self.far.setblocking(False)
        with suppress(BlockingIOError):
            while True:
                self.far.recv(1 << 20)
        self.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 16)
        peer = f"{self._who}/peer"
        if not self._number and peer in self._world.ends:
            self._do(self._world.next(peer))
        return self._number

    def _do(self, end: End) -> None:
        """Let the peer do something after a while."""

        def act() -> None:
            if self._closed:
                return
            if end.words[0] in ("says", "drips"):
                self.far.send(b"!")
            elif end.words[0] in ("closes", "resets"):
                if end.words[0] == "closes":  # a pair is reset if its end has not read all
                    with suppress(BlockingIOError):
                        self.far.recv(1 << 20)
                self.far.close()
            if end.words[0] == "drips":
                self._world.later(end.after, act)

        if end.words[0] != "silent":
            self._world.later(end.after, act)

    def getsockopt(self, level: int, option: int, *size: int) -> Any:
        """Return the error of the connect, once."""
        if (level, option) != (socket.SOL_SOCKET, socket.SO_ERROR):
            return super().getsockopt(level, option, *size)
        if self._number in (None, errno.EINPROGRESS):
            return 0
        number, self._number = self._number, None if self._number else 0
        return number

    def getpeername(self) -> Any:
        """Return the address that it is connected to."""
        if self._number != 0:
            raise OSError(errno.ENOTCONN, "Transport endpoint is not connected")
        return self._peer

    def getsockname(self) -> Any:
        """Return its own address."""
        return OURS

    def close(self) -> None:
        """Close it."""
        if self in self._world.open:
            self._world.open.remove(self)
            assert self not in self._world.watched, "closed while it is watched"
        super().close()
        self.far.close()


class VirtualDriver:
    """Who waits for calls in the virtual world; see :class:`aioconnect.driver.Driver`.

    Args:
        world: where.
        held: an instant and the seconds for which somebody keeps the driver from then on: what
            happens meanwhile it hears of late.
        timers_first: it then hears of instants before it hears of readiness, as on uvloop.
    """

    def __init__(
        self,
        world: World,
        *,
        held: tuple[float, float] | None = None,
        timers_first: bool = False,
    ) -> None:
        self.world = world
        self.clock = world.clock
        self.turns = 0
        self._held = held
        self._timers_first = timers_first

    def watch(self, driven: Driven, sock: Any, events: int) -> None:
        """Report the socket when it is ready."""
        assert sock.fileno() != -1
        assert sock not in self.world.watched
        self.world.watched[sock] = driven, events

    def unwatch(self, sock: Any) -> None:
        """Report it no longer."""
        self.world.watched.pop(sock, None)

    def look_up(
        self, told: Told, asked: Any, resolver: Any, name: str, families: Sequence[int]
    ) -> Event:
        """Answer from the script; the search ends with the last answer."""
        assert resolver is self.world
        ticket = Event(told.wake)
        self.world.look_ups.append(ticket)
        errors: list[OSError] = []
        last = 0.0

        def put(what: Any) -> None:
            if ticket.action is not None:
                told.put((asked, what))

        for family in families:
            end = self.world.next(name if family == socket.AF_INET else f"{name}/6")
            last = max(last, inf if end.words[0] == "never" else end.after)
            if end.words[0].startswith("EAI_"):
                number = getattr(socket, end.words[0])
                errors.append(socket.gaierror(number, "as scripted"))
            elif end.words[0] != "never":
                found = tuple(map(address, end.words))
                answer = Answer(found, source="dns", duration=end.after, family=family)
                self.world.later(end.after, lambda answer=answer: put(answer))
        if last < inf:
            failed = most_telling(errors) if len(errors) == len(families) else None
            self.world.later(last, lambda: put(failed))
        return ticket

    def let_finish(self, tickets: Sequence[Event]) -> None:
        """Wait for look-ups no longer."""
        for ticket in tickets:
            ticket.cancel()

    def run(self, driven: Driven, key: Any, stage: Any) -> Any:
        """Refuse what needs a loop."""
        stage.close()
        raise TypeError("there is no event loop here")

    def drive(self, driven: Driven, leave: float = inf) -> None:
        """Step it to its end, or leave it at an instant, as a cancelled task does."""
        try:
            until = driven.step()
            while until is not None:
                self.turns += 1
                self._wait(driven, min(until, leave))
                if self.world.now >= leave:
                    driven.close()
                    return
                until = driven.step()
        except BaseException:
            driven.close()
            raise

    def _wait(self, driven: Driven, until: float) -> None:
        """Return when something was reported, or at ``until``."""
        assert not driven.items, "what was reported was not taken in: a driver would spin"
        held = self._held is not None and self._held[0] <= until
        while not self._report() and not driven.items:
            if not self.world.happens(self._held[0] if held else until):
                break
        if held and self.world.now >= self._held[0]:
            free = sum(self._held)
            self._held = None
            while self.world.happens(free):
                pass
            if until > free or not self._timers_first:
                self._report()

    def _report(self) -> bool:
        """Report what is ready."""
        poll = select.poll()
        ready = {wire.fileno(): wire for wire in self.world.watched}
        for wire, (_, events) in self.world.watched.items():
            poll.register(wire, events)
        found = poll.poll(0) if ready else []
        for fd, mask in found:
            wire = ready[fd]
            driven, _ = self.world.watched.pop(wire)
            driven.put((wire, mask))
        return bool(found)
