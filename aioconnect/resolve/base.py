"""What a resolver is: a name in, an answer for each address family out.

Anything with the method ``lookup`` plugs in.  A resolver may have more, and then it is used:

- ``lookup_name(name, families) -> AsyncIterator[Answer]``: one search for the name, see
  :func:`lookup_name`;
- ``peek_name(name, families) -> tuple of Answers | None``: what is known without I/O, see
  :func:`peek_name`;
- ``submit_name(name, families, put) -> ticket``: the same search for programs without a loop,
  see :func:`aioconnect.resolve.threads.submit_name`;
- ``peek(name, family) -> Answer | None``: what is at hand without I/O, for a name that then
  costs neither a task nor a turn of the loop;
- ``absent(name, family) -> bool``: that there is no such address is known without I/O;
- ``forget(name) -> None``: what is kept of that name may be old (every address of it failed to
  connect); the next ``lookup`` asks again.  Who has it says that it keeps what it learns;
- ``submit(name, family, done) -> ticket``: the same look-up for programs without a loop, see
  :func:`aioconnect.resolve.threads.submit`;
- ``aclose()``: give back what is kept for the running loop.
"""

from __future__ import annotations

import asyncio
import copy
import socket
from typing import TYPE_CHECKING, Protocol, TypeAlias

from ..causes import from_exception
from ..errors import ConnectError
from ..text import safe

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence

__all__ = ["Answer", "Resolver"]

EAI_NODATA: int = getattr(socket, "EAI_NODATA", socket.EAI_NONAME)
"""The name exists, but has no address of that family.  Some systems have no number for it."""


class Answer:
    """The addresses of one family that a name has.

    Attributes:
        addresses: numeric text, in the order answered; IPv6 link-local with ``%scope``.  Empty:
            the name has none of that family.
        ttl: seconds for which the answer holds; None if the source does not say.
        canonical: the name at the end of the aliases, None if there are none or it is unknown.
        source: ``"literal"``, ``"hosts"``, ``"static"``, ``"cache"``, ``"dns"`` or ``"system"``.
        duration: seconds from the question to the answer.
        family: ``socket.AF_INET`` or ``socket.AF_INET6``; 0 where the question says it.
        places: where each address stands in the order of the whole answer, both families
            together, if the source has sorted it (``getaddrinfo`` with ``AF_UNSPEC``); else
            None.
    """

    __slots__ = (
        "addresses",
        "canonical",
        "checked",
        "duration",
        "family",
        "places",
        "source",
        "ttl",
    )

    def __init__(
        self,
        addresses: tuple[str, ...],
        ttl: float | None = None,
        canonical: str | None = None,
        source: str = "system",
        duration: float = 0.0,
        *,
        family: int = 0,
        places: tuple[int, ...] | None = None,
    ) -> None:
        self.addresses = addresses
        self.family = family
        self.places = places
        self.checked = False
        self.ttl = ttl
        self.canonical = canonical
        self.source = source
        self.duration = duration

    def __repr__(self) -> str:
        names = ("addresses", "ttl", "canonical", "source", "duration", "family", "places")
        return f"Answer({', '.join(f'{name}={getattr(self, name)!r}' for name in names)})"


Put: TypeAlias = "Callable[[Answer | BaseException | None], None]"
"""Takes each answer of a search, then once None (it has ended) or the exception."""


class Resolver(Protocol):
    """Looks up names."""

    async def lookup(self, name: str, family: int, /) -> Answer:
        """Look up one name for one family.

        Args:
            name: a host name in ASCII; never an address, which needs no resolver.
            family: ``socket.AF_INET`` or ``socket.AF_INET6``.

        Returns:
            An answer with at least one address.

        Raises:
            OSError: there is none; a ``socket.gaierror`` says why (``EAI_NODATA``: not of this
                family).  The resolvers here raise :class:`~aioconnect.NameNotResolved`.
        """
        ...


def failure(exc: OSError, name: str, family: int, duration: float = 0.0) -> ConnectError:
    """Build the error of a look-up: a ``ConnectError`` that is also the built-in of ``exc``."""
    return from_exception(
        exc, stage="resolve", target=safe(name), address=name, family=family, elapsed=duration
    )


def not_resolved(
    number: int, text: str, name: str, family: int, duration: float = 0.0
) -> ConnectError:
    """Build the error for an ``EAI_*`` number."""
    return failure(socket.gaierror(number, text), name, family, duration)


def again(error: BaseException) -> BaseException:
    """Return a copy to raise: one error raised by many would collect all their tracebacks."""
    return copy.copy(error) if isinstance(error, ConnectError) else error


def check_name(name: str) -> None:
    """Refuse what no host is called and what C would cut short (getaddrinfo stops at NUL)."""
    if not name or not name.isascii() or "\0" in name:
        raise socket.gaierror(socket.EAI_NONAME, "not a host name in ASCII")


# One search for a name ----------------------------------------------------------------------------

FAMILIES = (int(socket.AF_INET6), int(socket.AF_INET))
"""What a name is asked for, unless the caller wants one family only."""


def lookup_name(
    resolver: Resolver, name: str, families: Sequence[int]
) -> AsyncGenerator[Answer, None]:
    """Search for a name; yield the answer of each family as it comes.

    A resolver's own ``lookup_name`` is used if it has one.  Otherwise its ``lookup`` is asked for
    each family, side by side.

    Args:
        resolver: any resolver.
        name: a host name in ASCII.
        families: ``(AF_INET6, AF_INET)``, or one of them.

    Yields:
        Answers that are checked, each of a different family (:attr:`Answer.family`); one without
        addresses says that the name has none of that family.  A family that has no answer when
        the iterator ends has no address either.

    Raises:
        OSError: the search found no address at all, or a family may have some: it could not be
            asked for.
        TypeError: the resolver returned something else than answers.

    Iterate to the end, or close it: until then the search goes on.
    """
    own = getattr(resolver, "lookup_name", None)
    if own is not None:
        return _checked_search(resolver, own(name, families), name, families)
    return _by_family(resolver, name, families)


async def _checked_search(
    resolver: object, answers: AsyncIterator[Answer], name: str, families: Sequence[int]
) -> AsyncGenerator[Answer, None]:
    try:
        async for answer in answers:
            yield _check(resolver, "lookup_name", answer, answer.family, name)
    except asyncio.CancelledError:
        if _is_cancelled():
            raise
        raise _ended_by_itself(name, families[0]) from None
    finally:
        close = getattr(answers, "aclose", None)
        if close is not None:
            await close()


async def _by_family(
    resolver: Resolver, name: str, families: Sequence[int]
) -> AsyncGenerator[Answer, None]:
    errors: list[OSError] = []
    found = False
    if len(families) == 1:
        outcome = await _outcome(resolver, name, families[0])
        if isinstance(outcome, OSError):
            raise outcome
        yield outcome
        return
    loop = asyncio.get_running_loop()
    tasks = [
        loop.create_task(_outcome(resolver, name, family), name=f"aioconnect: look up {name}")
        for family in families
    ]
    try:
        pending = set(tasks)
        while pending:
            done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            for task in sorted(done, key=tasks.index):  # IPv6 first
                outcome = task.result()
                if isinstance(outcome, OSError):
                    errors.append(outcome)
                else:
                    found = True
                    yield outcome
                del outcome
    finally:
        for task in tasks:
            task.cancel()
    if errors and (not found or _telling(most_telling(errors)) < _ABSENT):
        raise most_telling(errors)


async def _outcome(resolver: Resolver, name: str, family: int) -> Answer | OSError:
    """Ask for one family; an error of the look-up is a value here."""
    try:
        answer = await _awaitable(resolver, resolver.lookup(name, family))
    except OSError as exc:
        return exc.with_traceback(None)
    except asyncio.CancelledError:
        if _is_cancelled():
            raise
        return _ended_by_itself(name, family)
    if isinstance(answer, Answer) and not answer.addresses:
        return not_resolved(EAI_NODATA, "no address of that family", name, family)
    try:
        return _check(resolver, "lookup", answer, family, name)
    except OSError as exc:
        return exc.with_traceback(None)


def most_telling(errors: Sequence[OSError]) -> OSError:
    """Return the error that says most of a name of which nothing was found.

    What this host lacks comes first, then a failure to ask (the name may exist), then that the
    name exists without such an address, then that there is none.
    """
    return min(errors, key=_telling)


_ABSENT = 3
"""What errors tell least, which say that there is no such address."""


def _telling(error: OSError) -> int:
    if not isinstance(error, socket.gaierror):
        return 0
    if error.errno == socket.EAI_NONAME:
        return _ABSENT + 1
    if error.errno == EAI_NODATA:
        return _ABSENT
    return 1 if error.errno == socket.EAI_MEMORY else 2


def _is_cancelled() -> bool:
    """Whether somebody cancelled the running task, and not only what it waited for."""
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0


def _ended_by_itself(name: str, family: int) -> ConnectError:
    return not_resolved(socket.EAI_AGAIN, "the look-up was cancelled", name, family)


def _awaitable(resolver: object, asked: Awaitable[Answer]) -> Awaitable[Answer]:
    """Return what a resolver's ``lookup`` returned, if it can be waited for.

    Raises:
        TypeError: it is a function like any other.
    """
    if not hasattr(asked, "__await__"):
        whose = f"{type(resolver).__name__}.lookup"
        raise TypeError(f"{whose} must be `async def`: it returned {type(asked).__name__}")
    return asked


# What an answer must be ---------------------------------------------------------------------------


def _check(resolver: object, method: str, answer: Answer, family: int, name: str) -> Answer:
    """Return a checked answer: what is dialled is a numeric address, and nothing else.

    ``socket.connect`` would look up any other text, on the thread of the loop, and what a policy
    judges would not be what is dialled.

    Raises:
        ConnectError: an address is none of that family.
        TypeError: it is no answer.
    """
    whose = f"{type(resolver).__name__}.{method}"
    if not isinstance(answer, Answer):
        raise TypeError(f"{whose} returned {type(answer).__name__}, not an Answer")
    if answer.checked:
        return answer
    if family not in FAMILIES:
        raise TypeError(f"{whose} returned an Answer without its family")
    addresses = tuple([_numeric(text, family, whose, name) for text in answer.addresses])
    checked = Answer(
        addresses,
        answer.ttl,
        answer.canonical,
        answer.source,
        answer.duration,
        family=family,
        places=answer.places,
    )
    checked.checked = True
    return checked


def _numeric(text: str, family: int, whose: str, name: str) -> str:
    """Return a numeric address in its one spelling."""
    if not isinstance(text, str):
        raise TypeError(f"{whose} returned an address of type {type(text).__name__}, not str")
    bare, percent, zone = text.partition("%")
    try:
        packed = socket.inet_pton(family, bare)
        if percent and not _is_zone(zone, family):
            raise ValueError
    except (OSError, ValueError):
        kind = "IPv6" if family == socket.AF_INET6 else "IPv4"
        said = f"{whose} returned '{safe(text)}', which is no numeric {kind} address"
        raise not_resolved(socket.EAI_FAIL, said, name, family) from None
    return socket.inet_ntop(family, packed) + percent + zone


def _is_zone(zone: str, family: int) -> bool:
    """Whether an IPv6 zone is a number of 32 bits or an interface (RFC 4007, section 11)."""
    if family != socket.AF_INET6:
        return False
    if zone.isascii() and zone.isdecimal():
        return len(zone) <= 10 and int(zone) < 2**32
    try:
        socket.if_nametoindex(zone)
    except (OSError, ValueError):
        return False
    return True


# The optional methods, for a resolver that stands around another one ------------------------------


def peek_name(resolver: object, name: str, families: Sequence[int]) -> tuple[Answer, ...] | None:
    """Return what the resolver knows of the whole name without I/O.

    Returns:
        An answer for each of ``families``, of which at least one has addresses; None if a look-up
        has to tell.
    """
    own: Callable[[str, Sequence[int]], tuple[Answer, ...] | None] | None
    own = getattr(resolver, "peek_name", None)
    if own is not None:
        answers = own(name, families)
        if answers is None:
            return None
        return tuple(
            [
                answer
                if answer.checked
                else _check(resolver, "peek_name", answer, answer.family, name)
                for answer in answers
            ]
        )
    if getattr(resolver, "peek", None) is None:
        return None
    found = []
    for family in families:
        answer = peek(resolver, name, family)
        if answer is not None:
            answer = _check(resolver, "peek", answer, family, name)
        elif absent(resolver, name, family):
            answer = Answer((), family=family)
        else:
            return None
        found.append(answer)
    return tuple(found) if any(answer.addresses for answer in found) else None


def peek(resolver: object, name: str, family: int) -> Answer | None:
    """Return what the resolver has at hand, if it can be asked so."""
    method: Callable[[str, int], Answer | None] | None = getattr(resolver, "peek", None)
    return None if method is None else method(name, family)


def absent(resolver: object, name: str, family: int) -> bool:
    """Tell whether the resolver knows, without asking, that there is no such address."""
    method: Callable[[str, int], bool] | None = getattr(resolver, "absent", None)
    return method is not None and method(name, family)


def forget(resolver: object, name: str) -> None:
    """Tell the resolver to forget the name, if it keeps anything."""
    method: Callable[[str], None] | None = getattr(resolver, "forget", None)
    if method is not None:
        method(name)


async def aclose(resolver: object) -> None:
    """Close the resolver, if it can be closed."""
    method: Callable[[], Awaitable[None]] | None = getattr(resolver, "aclose", None)
    if method is not None:
        await method()
