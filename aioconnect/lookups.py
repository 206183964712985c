"""The names of a round: what is at hand, what is asked for, what has failed.

A name is asked for whole: one search, whose answers come family by family.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any, Protocol

from . import causes, events
from .errors import AttemptFailed, Help
from .race import interleaved
from .via import Via

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from .driver import Driven, Driver
    from .errors import ConnectError
    from .late import Late
    from .log import Log
    from .options import Options
    from .resolve.base import Answer
    from .targets import Endpoint, Target

    Arrange = Callable[[Sequence[Endpoint], float], Sequence[Endpoint]]

__all__ = ["Name", "NameLookups", "forget", "known"]

_ALL_FAMILIES = (int(socket.AF_INET6), int(socket.AF_INET))
_EAI_NODATA = getattr(socket, "EAI_NODATA", socket.EAI_NONAME)


def known(targets: Sequence[Target], options: Options) -> Sequence[Endpoint] | None:
    """Return all addresses, in the order to dial, if none of them has to be asked for.

    For several targets there is one address of each: then none of them is a name.
    """
    if len(targets) == 1 and targets[0].needs_lookup:
        return _at_hand(targets[0], options)
    endpoints: list[Endpoint] = []
    for target in targets:
        if target.needs_lookup:
            return None
        endpoints += target.endpoints(options.type)
    return endpoints


def some_denied(targets: Sequence[Target], options: Options) -> bool:
    """Whether a target is not among the allowed names."""
    names = options.allowed_names
    return names is not None and any(names.refusal(target.meant) for target in targets)


def _at_hand(target: Target, options: Options) -> Sequence[Endpoint] | None:
    floor = _resolving or _load(target.text)
    found = []
    for name in target.names:
        families = _families(name, target, options)
        answers = floor.at_hand(_resolver(options), name.host, families)
        if answers is None:
            return None
        found.append(floor.arranged(answers, name.port, options.type, options.max_addresses))
    return _join(target, found, options)


def _families(name: Target, target: Target, options: Options) -> Sequence[int]:
    """Return the families to ask for: the one that is wanted is that of what is dialled."""
    if options.family and not (isinstance(target, Via) and name is target.behind):
        return (options.family,)
    return _ALL_FAMILIES


def _join(
    target: Target, found: Sequence[Sequence[Endpoint]], options: Options
) -> Sequence[Endpoint]:
    """Return what to dial, of what was found for each name of a target."""
    if len(found) == 2:  # behind a proxy the families alternate as they would without
        proxies, destinations = found
        found = proxies, interleaved(destinations, options.interleave)
    return target.join(found, options.type)


class _Floor:
    """What is used of the resolving floor."""

    __slots__ = ("arranged", "at_hand", "default")

    def __init__(self) -> None:
        from .resolve.known import at_hand
        from .resolve.order import arranged
        from .resolve.system import default  # not later, when it may fail

        self.at_hand: Any = at_hand
        self.default: Any = default
        self.arranged: Any = arranged


_resolving: _Floor | None = None


def _load(text: str) -> _Floor:
    """Load the resolving floor: programs that dial addresses do without.

    Raises:
        ConnectError: there is no descriptor to load it with.
    """
    global _resolving
    try:
        _resolving = floor = _Floor()
    except OSError as exc:
        raise causes.from_exception(exc, stage="resolve", target=text) from None
    return floor


def _resolver(options: Options) -> Any:
    resolver = options.resolver
    return (_resolving or _load("")).default() if resolver is None else resolver


def forget(name: str, options: Options) -> None:
    """Tell the resolver that what it knows of a name may be old: every address failed."""
    method = getattr(_resolver(options), "forget", None)
    if method is not None:
        method(name)


def end(tickets: Sequence[Any], driver: Driver, options: Options, *, finish: bool) -> None:
    """End look-ups; with ``finish`` they may go on for a moment, for the resolver's cache."""
    # A resolver that can forget is one that keeps what it learns.
    if finish and tickets and hasattr(_resolver(options), "forget"):
        driver.let_finish(tickets)
    else:
        for ticket in tickets:
            ticket.cancel()


class Offered(Protocol):
    """Who is offered the addresses: a race."""

    def offer(
        self, target: int, endpoints: Sequence[Endpoint], now: float, awaited: Collection[int] = ()
    ) -> None:
        """Take all addresses of a target that are known by now, best first."""
        ...


class Name:
    """What is known of one name in this round."""

    __slots__ = (
        "answers",
        "asked",
        "awaited",
        "endpoints",
        "failures",
        "group",
        "index",
        "ticket",
    )

    def __init__(self, index: int, asked: Target, families: Sequence[int]) -> None:
        self.index = index
        self.asked = asked  # what the resolver is asked for
        self.group: Sequence[Name] = (self,)  # all names of the target; empty once all is offered
        self.awaited = list(families)
        self.answers: list[Answer] = []
        self.endpoints: Sequence[Endpoint] = ()
        self.failures: list[AttemptFailed] = []
        self.ticket: Any = None

    @property
    def host(self) -> str:
        """The name itself."""
        return self.asked.host


class NameLookups:
    """The look-ups of one round.

    Args:
        driver: who asks.
        driven: the call, which is told of the answers.
        targets: those of the round.
        options: the resolver and the family are used.
        started: the instant at which the round began.
        log: for its events.
        arrange: puts addresses that failed lately behind others; None leaves them.
        late: the look-ups that go on from round to round; None if no round can follow.
    """

    __slots__ = (
        "_arrange",
        "_driven",
        "_driver",
        "_late",
        "_log",
        "_options",
        "_started",
        "_targets",
        "names",
    )

    def __init__(
        self,
        driver: Driver,
        driven: Driven,
        targets: Sequence[Target],
        options: Options,
        started: float,
        log: Log,
        arrange: Arrange | None,
        late: Late | None,
    ) -> None:
        self._driver = driver
        self._driven = driven
        self._targets = targets
        self._options = options
        self._started = started
        self._log = log
        self._arrange = arrange
        self._late = late
        self.names: dict[Name, None] = {}

    def begin(self, race: Offered) -> None:
        """Offer what is known; begin to look up the rest."""
        options = self._options
        names = options.allowed_names
        for index, target in enumerate(self._targets):
            denied = None if names is None else names.denial(target)
            if denied is not None:
                self._deny(index, target, denied, race)
            elif not target.needs_lookup:
                race.offer(index, target.endpoints(options.type), self._started)
            elif (endpoints := _at_hand(target, options)) is not None:
                race.offer(index, self._arranged(endpoints, self._started), self._started)
            else:
                group = [
                    Name(index, asked, _families(asked, target, options)) for asked in target.names
                ]
                self._ask(group, race)

    def _deny(self, index: int, target: Target, error: ConnectError, race: Offered) -> None:
        """Take in that a target may not even be asked for."""
        now = self._started
        failed = AttemptFailed(now, target.text, error, now, 0, self._log.round)
        name = Name(index, target, ())
        name.group = ()
        name.failures.append(failed)
        self.names[name] = None
        if self._log.observed:
            self._log.emit(failed)
        race.offer(index, (), now)

    def _ask(self, group: Sequence[Name], race: Offered) -> None:
        for name in group:
            name.group = group
            self.names[name] = None
            if self._log.observed:
                for family in name.awaited:
                    self._emit(events.LookupStarted, name, family)
            resolver, families = _resolver(self._options), tuple(name.awaited)
            try:
                name.ticket = self._driver.look_up(
                    self._late or self._driven, name, resolver, name.host, families
                )
            except OSError as exc:  # no descriptor to be woken by, say
                self.answered(name, exc, race)
        if self._late is not None:
            for name in group:
                self._join_late(name, race)

    def _join_late(self, name: Name, race: Offered) -> None:
        """Take in what a look-up of an earlier round has answered."""
        assert self._late is not None
        for answer in self._late.answers(name.host):
            self.answered(name, answer, race)

    def answered(self, name: Name, answer: Answer | BaseException | None, race: Offered) -> None:
        """Take in an answer, or the end of a look-up, and offer what is known now.

        Raises:
            Exception: what a caller's resolver raised, if it is no ``OSError``.
        """
        if name not in self.names:  # it was asked for another round, and comes late
            if self._late is not None:
                self._late.take(name, answer)
                for mine in [each for each in self.names if each.host == name.host]:
                    self._join_late(mine, race)
            return
        now = self._driver.clock()
        if answer is None or isinstance(answer, BaseException):
            self._ended(name, answer, now)
        elif answer.family not in name.awaited:
            return  # an earlier look-up has said it
        else:
            name.awaited.remove(answer.family)
            name.answers.append(answer)
            if answer.addresses:
                name.endpoints = self._bounded(name)
                if self._log.observed:
                    self._emit(
                        events.LookupSucceeded,
                        name,
                        answer.family,
                        addresses=answer.addresses,
                        source=answer.source,
                        duration=answer.duration,
                    )
            else:
                self._failed(name, answer.family, _no_data(), now)
        if name.group:
            self._offer(name, race, now)

    def _bounded(self, name: Name) -> Sequence[Endpoint]:
        """Return the addresses to dial of those known by now: so many of a name, and no more.

        The family that comes first leaves a share to the other.
        """
        from .resolve.order import share_of_other_family

        assert _resolving is not None
        offered, most = name.endpoints, self._options.max_addresses
        at_once = most - share_of_other_family(most) if name.awaited else most
        known: Sequence[Endpoint] = _resolving.arranged(
            name.answers, name.asked.port, self._options.type, at_once
        )
        fresh = [each for each in known if each not in offered]
        dropped = fresh[max(most - len(offered), 0) :] if offered else ()
        return [each for each in known if each not in dropped] if dropped else known

    def _offer(self, name: Name, race: Offered, now: float) -> None:
        """Offer what is known now of a name's target."""
        group = name.group
        awaited: Sequence[int] = name.awaited
        if len(group) > 1:  # one that is unknown leaves nothing to be awaited of the others
            unknown = not all(each.endpoints or each.awaited for each in group)
            awaited = () if unknown else [each for one in group for each in one.awaited]
        target = self._targets[name.index]
        endpoints = _join(target, [each.endpoints for each in group], self._options)
        if not awaited:
            for each in group:
                each.group = ()
        race.offer(name.index, self._arranged(endpoints, now), now, awaited)

    def _ended(self, name: Name, error: BaseException | None, now: float) -> None:
        """Take in that a look-up has ended: what has no answer has no address."""
        name.ticket = None
        if error is not None and not isinstance(error, OSError):
            try:
                raise error  # a caller's resolver is broken: its exception comes out unchanged
            finally:
                del error
        awaited, name.awaited = name.awaited, []
        for family in awaited:
            self._failed(name, family, error or _no_data(), now)

    def _failed(self, name: Name, family: int, exc: OSError, now: float) -> None:
        target = self._targets[name.index]
        error = causes.from_exception(
            exc,
            stage="resolve",
            target=target.text,
            address=name.asked.host,
            elapsed=now - self._started,
            said_by="kernel" if self._options.resolver is None else "hook",
        )
        name.failures.append(
            AttemptFailed(
                now,
                target.text,
                error,
                self._started,
                0,
                self._log.round,
                name.asked.host,
                family,
                "resolve",
            )
        )
        if self._log.observed:
            self._emit(events.LookupFailed, name, family, error=error)

    def failures(self, now: float, deadline: float) -> list[AttemptFailed]:
        """Return the failed look-ups that matter: that a name lacks one family is no news."""
        found: list[AttemptFailed] = []
        for name in self.names:
            if name.awaited and now >= deadline:
                late = self._why_late(name)
                for family in name.awaited:
                    self._failed(name, family, late, now)
            if not name.endpoints:
                found += name.failures
            else:
                found += [f for f in name.failures if f.error.help & Help.SAME]
        return found

    def _why_late(self, name: Name) -> OSError:
        """Return why a name is still awaited: this host lacks something, or the time was up."""
        from .resolve.base import lacking

        return lacking(_resolver(self._options), name.asked.host) or LookupTimedOut()

    def hand_over(self) -> None:
        """Let the look-ups that have not ended go on for the next round."""
        assert self._late is not None
        names, self.names = self.names, {}
        self._late.keep(names)

    def leave(self, *, finish: bool) -> None:
        """Wait for no look-up any more; with ``finish`` they may go on for the cache's sake."""
        names, self.names = self.names, {}
        tickets = [name.ticket for name in names if name.ticket is not None]
        end(tickets, self._driver, self._options, finish=finish)

    def _arranged(self, endpoints: Sequence[Endpoint], now: float) -> Sequence[Endpoint]:
        if self._arrange is None:
            return endpoints  # the race alternates the families
        return self._arrange(interleaved(endpoints, self._options.interleave), now)

    def _emit(self, kind: Any, name: Name, family: int, **more: Any) -> None:
        text = self._targets[name.index].text
        self._log.emit(kind(self._driver.clock(), text, name.asked.host, family, **more))


class LookupTimedOut(TimeoutError):
    """The call's deadline passed while a name was being looked up."""


def _no_data() -> socket.gaierror:
    return socket.gaierror(_EAI_NODATA, "No address associated with hostname")
