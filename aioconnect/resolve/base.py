"""What a resolver is: a name in, an answer for each address family out.

Anything with the method ``lookup`` plugs in.  A resolver may have more, and then it is used:

- ``lookup_name(name, families) -> AsyncIterator[Answer]``: one search for both families, see
  :func:`lookup_name`;
- ``peek_name(name, families) -> tuple[Answer, ...] | None``: what is known without I/O, see
  :func:`peek_name`;
- ``submit_name(name, families, put) -> ticket``: the same search for programs without a loop,
  see :func:`aioconnect.resolve.threads.submit_name`;
- ``forget(name)``: what is kept of that name may be old (every address of it failed to connect);
  the next search asks again.  A resolver that has this method keeps what it learns;
- ``lacking(name) -> ConnectError | None``: what this host lacks if a search for the name has not
  begun yet;
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
    from collections.abc import (
        AsyncGenerator,
        AsyncIterator,
        Awaitable,
        Callable,
        Iterable,
        Sequence,
    )

__all__ = ["Answer", "Resolver"]

EAI_NODATA: int = getattr(socket, "EAI_NODATA", socket.EAI_NONAME)
"""The name exists, but has no address of that family.  Some systems have no number for it."""

ABSENT = frozenset((socket.EAI_NONAME, EAI_NODATA))
"""What an authority said; all other errors are failures to reach one."""

FAMILIES = (int(socket.AF_INET6), int(socket.AF_INET))
"""What a name is asked for, unless the caller wants one family only."""


class Answer:
    """The addresses of one family that a name has.

    Attributes:
        addresses: numeric text, in the order answered; IPv6 link-local with ``%scope``.  Empty if
            it is known that the name has none of that family.
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
        self.ttl = ttl
        self.canonical = canonical
        self.source = source
        self.duration = duration
        self.family = family
        self.places = places
        self.checked = False

    def __repr__(self) -> str:
        names = ("addresses", "ttl", "canonical", "source", "duration", "family", "places")
        return f"Answer({', '.join([f'{name}={getattr(self, name)!r}' for name in names])})"


def checked(
    addresses: tuple[str, ...],
    family: int,
    ttl: float | None = None,
    canonical: str | None = None,
    source: str = "system",
    duration: float = 0.0,
    places: tuple[int, ...] | None = None,
) -> Answer:
    """Return an answer that nobody needs to check: its source gives numeric addresses only."""
    answer = Answer(addresses, ttl, canonical, source, duration, family=family, places=places)
    answer.checked = True
    return answer


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


# One search for a name ----------------------------------------------------------------------------


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
        Checked answers, each of a different family (:attr:`Answer.family`); one without addresses
        says that the name has none of that family, and comes only with one of the other.  A
        family that has no answer when the iterator ends has no address either.

    Raises:
        OSError: the search found no address at all; then nothing was yielded.
        TypeError: the resolver returned something else than answers.

    Iterate to the end, or close it: until then the search goes on.
    """
    own = getattr(resolver, "lookup_name", None)
    if own is None:
        return _by_family(resolver, name, families)
    return _own_search(resolver, own, name, families)


async def only_answer(answers: AsyncIterator[Answer]) -> Answer:
    """Return the answer of a search for one family: what ``lookup`` returns.

    Raises:
        OSError: there is no address.
    """
    found: Answer | None = None
    async for answer in answers:
        if answer.addresses:
            found = answer
    assert found is not None  # else the search has raised
    return found


async def _own_search(
    resolver: object,
    search: Callable[[str, Sequence[int]], AsyncIterator[Answer]],
    name: str,
    families: Sequence[int],
) -> AsyncGenerator[Answer, None]:
    answers = search(name, families)
    try:
        async for answer in answers:
            if isinstance(answer, Answer) and answer.checked:
                yield answer
            else:
                yield _check(resolver, "lookup_name", answer, 0, name)
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
    found = False
    errors: list[OSError] = []
    absent: list[Answer] = []
    async for family, outcome in _outcomes(resolver, name, families):
        if isinstance(outcome, Answer):
            found = True
            for each in absent:
                yield each
            absent.clear()
            yield outcome
        elif isinstance(outcome, socket.gaierror) and outcome.errno in ABSENT:
            errors.append(outcome)
            absent.append(checked((), family))
            if found:
                yield absent.pop()
        else:
            errors.append(outcome)
    if not found:
        raise most_telling(errors)


async def _outcomes(
    resolver: Resolver, name: str, families: Sequence[int]
) -> AsyncGenerator[tuple[int, Answer | OSError], None]:
    if len(families) == 1:
        yield families[0], await _outcome(resolver, name, families[0])
        return
    loop = asyncio.get_running_loop()
    tasks = {
        loop.create_task(
            _outcome(resolver, name, family), name=f"aioconnect: look up {name}"
        ): family
        for family in families
    }
    try:
        pending = set(tasks)
        while pending:
            done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            for task, family in tasks.items():  # in the order asked: IPv6 first
                if task in done:
                    yield family, task.result()
    finally:
        for task in tasks:
            task.cancel()


async def _outcome(resolver: Resolver, name: str, family: int) -> Answer | OSError:
    """Ask for one family; an error of the look-up is a value here."""
    try:
        answer = await _awaitable(resolver, resolver.lookup(name, family))
        if isinstance(answer, Answer) and not answer.addresses:
            return not_resolved(EAI_NODATA, "no address of that family", name, family)
        return _check(resolver, "lookup", answer, family, name)
    except ConnectError as exc:
        return exc.with_traceback(None)
    except OSError as exc:
        return failure(exc, name, family)
    except asyncio.CancelledError:
        if _is_cancelled():
            raise
        return _ended_by_itself(name, family)


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

    Args:
        resolver: whose answer it is.
        method: which method returned it.
        answer: what that method returned.
        family: what it was asked for; 0 where the answer must say it.
        name: the name.

    Raises:
        ConnectError: an address is none of that family.
        TypeError: it is no answer.
    """
    whose = f"{type(resolver).__name__}.{method}"
    if not isinstance(answer, Answer):
        raise TypeError(f"{whose} returned {type(answer).__name__}, not an Answer")
    family = family or answer.family
    if answer.checked and answer.family == family:
        return answer
    if family not in FAMILIES:
        raise TypeError(f"{whose} returned an Answer without its family")
    return checked(
        tuple([_numeric(text, family, whose, name) for text in answer.addresses]),
        family,
        answer.ttl,
        answer.canonical,
        answer.source,
        answer.duration,
        answer.places,
    )


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
    if family != socket.AF_INET6 or not is_zone_text(zone):
        return False
    try:
        return zone.isdecimal() or bool(socket.if_nametoindex(zone))
    except OSError:
        return False


def is_zone_text(zone: str) -> bool:
    """Whether a text can be an IPv6 zone: a number of 32 bits, or an interface's name."""
    if zone.isascii() and zone.isdecimal():
        return len(zone) <= 10 and int(zone) < 2**32
    return 0 < len(zone) < 16 and zone.isprintable() and not set(zone) & set(" /%")


# Errors -------------------------------------------------------------------------------------------


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


def most_telling(errors: Iterable[OSError]) -> OSError:
    """Return the error that says most of a name of which nothing was found.

    What this host lacks comes first, then a failure to ask (the name may exist), then that the
    name exists without such an address, then that there is none.
    """
    return min(errors, key=_telling)


def _telling(error: OSError) -> int:
    if not isinstance(error, socket.gaierror):
        return 0
    if error.errno == socket.EAI_NONAME:
        return 4
    if error.errno == EAI_NODATA:
        return 3
    return 1 if error.errno == socket.EAI_MEMORY else 2


def check_name(name: str) -> None:
    """Refuse what no host is called and what C would cut short (getaddrinfo stops at NUL)."""
    if not name or not name.isascii() or "\0" in name:
        raise socket.gaierror(socket.EAI_NONAME, "not a host name in ASCII")


# The optional methods, for a resolver that stands around another one ------------------------------


def peek_name(resolver: object, name: str, families: Sequence[int]) -> tuple[Answer, ...] | None:
    """Return what the resolver knows of the whole name without I/O.

    Args:
        resolver: any resolver; None has nothing.
        name: a host name in ASCII.
        families: ``(AF_INET6, AF_INET)``, or one of them.

    Returns:
        An answer for each of ``families``, in their order, of which at least one has addresses;
        None if a search has to tell.
    """
    own: Callable[[str, Sequence[int]], tuple[Answer, ...] | None] | None = getattr(
        resolver, "peek_name", None
    )
    answers = own(name, families) if own is not None else None
    if answers is None:
        return None
    for answer in answers:
        if not answer.checked:
            return tuple([_check(resolver, "peek_name", each, 0, name) for each in answers])
    return answers


def forget(resolver: object, name: str) -> None:
    """Tell the resolver to forget the name, if it keeps anything."""
    method: Callable[[str], None] | None = getattr(resolver, "forget", None)
    if method is not None:
        method(name)


def lacking(resolver: object, name: str) -> ConnectError | None:
    """Return what this host lacks if a search for the name has not begun yet.

    A search may wait for a thread while others hang.  That time is not the target's, and when it
    is up the target is not to blame.

    Args:
        resolver: any resolver.
        name: a host name in ASCII.

    Returns:
        The error to report instead of a time limit; None if nothing is lacking.
    """
    method: Callable[[str], ConnectError | None] | None = getattr(resolver, "lacking", None)
    return None if method is None else method(name)


async def aclose(resolver: object) -> None:
    """Close the resolver, if it can be closed."""
    method: Callable[[], Awaitable[None]] | None = getattr(resolver, "aclose", None)
    if method is not None:
        await method()
