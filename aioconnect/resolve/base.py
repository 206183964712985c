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
import socket
from typing import TYPE_CHECKING, Protocol, TypeAlias

from ..errors import ConnectError
from .answers import (
    ABSENT,
    EAI_NODATA,
    Answer,
    check,
    checked,
    failure,
    most_telling,
    not_resolved,
)

if TYPE_CHECKING:
    from collections.abc import (
        AsyncGenerator,
        AsyncIterator,
        Awaitable,
        Callable,
        Sequence,
    )

__all__ = ["Answer", "Resolver"]

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
    answers = own(name, families)
    if getattr(answers, "checked", False):
        return answers  # type: ignore[no-any-return]
    return _checked_search(resolver, answers, name, families)


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


async def _checked_search(
    resolver: object, answers: AsyncIterator[Answer], name: str, families: Sequence[int]
) -> AsyncGenerator[Answer, None]:
    try:
        async for answer in answers:
            if isinstance(answer, Answer) and answer.checked:
                yield answer
            else:
                yield check(resolver, "lookup_name", answer, 0, name)
    except asyncio.CancelledError:
        if _is_cancelled():
            raise
        raise cancelled_by_others(name, families[0]) from None
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
        return check(resolver, "lookup", answer, family, name)
    except ConnectError as exc:
        return exc.with_traceback(None)
    except OSError as exc:  # of a caller's resolver: ours raise ConnectErrors
        return failure(exc, name, family, said_by="hook")
    except asyncio.CancelledError:
        if _is_cancelled():
            raise
        return cancelled_by_others(name, family)


def _is_cancelled() -> bool:
    """Whether somebody cancelled the running task, and not only what it waited for."""
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0


def cancelled_by_others(name: str, family: int) -> ConnectError:
    """Return the error of a look-up that was cancelled by somebody else than who asked."""
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
            return tuple([check(resolver, "peek_name", each, 0, name) for each in answers])
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
