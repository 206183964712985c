"""One call, from its targets to a socket: the decisions put to work, for either driver.

``Call.run`` is a generator.  It dials, and where it must wait it yields the instant at which it
wants to go on if nothing happens before; what happened it finds in ``items``.  A driver waits,
in an event loop or in poll(2), and nothing else but to begin the first attempt where that can be
done before there is a call: so the asynchronous engine and its blocking twin behave alike,
because they are the same code.

Every socket of the call belongs to it from ``socket()`` on, or from when it was taken over.  When
the generator is left, by return, by an error or by ``close()``, exactly the winner is open, or
nothing is.
"""

from __future__ import annotations

import logging
import socket
from random import random
from time import monotonic
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from . import attempt, causes, errors, events
from .race import Candidate, Lone, Race, interleaved, limit
from .targets import endpoint

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping, Sequence

    from .options import Options
    from .resolve.base import Answer, Resolver
    from .retry import AddressBackoff
    from .targets import Endpoint, Target

__all__ = ["Call", "First", "first", "logger", "tell"]

logger = logging.getLogger("aioconnect")
logger.addHandler(logging.NullHandler())  # a program that set up no logging sees nothing

_AF_INET, _AF_INET6 = int(socket.AF_INET), int(socket.AF_INET6)
_DEBUG = logging.DEBUG
_EAI_NODATA = getattr(socket, "EAI_NODATA", socket.EAI_NONAME)
_CONNECTED, _PENDING = attempt.CONNECTED, attempt.PENDING
_FAILED, _AGAIN = attempt.FAILED, attempt.AGAIN

ATTEMPT_NEEDS = 0.05
"""Seconds that must be left for a round: no pause begins that would leave less."""


_FAMILIES = (_AF_INET6, _AF_INET)

_ordered: dict[tuple[Any, ...], tuple[float, Sequence[Endpoint]]] = {}
"""The addresses of names that were at hand, in the order to dial, and until when that holds."""

MOST_ORDERED = 256

_ask_at_hand: Callable[[object, str, int], Answer | None] | None = None


def _load(text: str) -> Callable[[object, str, int], Answer | None]:
    """Load the resolving floor: programs that dial addresses do without.

    Raises:
        ConnectError: there is no descriptor to load it with.
    """
    global _ask_at_hand
    try:
        from .resolve import order, system  # noqa: F401  # not later, when it may fail
        from .resolve.at_hand import at_hand
    except OSError as exc:
        raise causes.from_exception(exc, stage="resolve", target=text) from None
    _ask_at_hand = at_hand
    return at_hand


class First(Candidate):
    """A call's first attempt; ``endpoints`` are all that there are to try, in order."""

    __slots__ = ("endpoints",)

    endpoints: Sequence[Endpoint]


def first(targets: Sequence[Target], options: Options) -> First | None:
    """Return what to dial first, if nothing has to be asked for, and nobody to be told, before.

    Most calls connect at once: they need no state, no race and no deadline.  A driver begins this
    attempt, and makes a call of it (``Call.start``) only if it does not connect.
    """
    if options.breaker is not None or options.budget is not None:
        return None
    if options.on_event is not None or logger.isEnabledFor(_DEBUG):
        return None
    target = targets[0]
    endpoints: Sequence[Endpoint] | None
    if target.family and len(targets) == 1:
        endpoints = target.endpoints(options.type)
    else:
        endpoints = _known(targets, options)
    if not endpoints:
        return None
    begun = First(endpoints[0], 0, 1, monotonic())
    begun.endpoints = endpoints
    return begun


def _known(targets: Sequence[Target], options: Options) -> Sequence[Endpoint] | None:
    """Return all addresses, in the order to dial, if nothing has to be asked for them."""
    if len(targets) == 1 and not targets[0].family:
        return _at_hand(targets[0], options)
    endpoints: list[Endpoint] = []
    for target in targets:
        if not target.family:
            return None
        endpoints += target.endpoints(options.type)
    return endpoints


def _at_hand(target: Target, options: Options) -> Sequence[Endpoint] | None:
    """Return all addresses of a name, in order, if nothing has to be asked for them."""
    at_hand = _ask_at_hand or _load(target.text)
    resolver = _resolver(options)
    name = target.host
    answers = []
    for family in _FAMILIES if not options.family else (options.family,):
        answer = at_hand(resolver, name, family)
        if answer is None:
            return None
        answers.append((family, answer.addresses))
    key = (target.port, options.type, options.interleave, *answers)
    now = monotonic()
    known = _ordered.get(key)
    if known is not None and now < known[0]:
        return known[1]
    from .resolve import order

    found: list[Endpoint] = []
    for family, addresses in answers:
        found += _endpoints(target.port, options.type, family, addresses)
    endpoints = tuple(interleaved(order.sorted_for_dialling(found), options.interleave))
    if len(_ordered) >= MOST_ORDERED:
        _ordered.clear()
    _ordered[key] = now + order.KEEP_SOURCES, endpoints
    return endpoints


def _resolver(options: Options) -> Any:
    if options.resolver is not None:
        return options.resolver
    from . import resolve

    return resolve.default()


def _endpoints(port: int, kind: int, family: int, addresses: Sequence[str]) -> list[Endpoint]:
    if family == _AF_INET:
        return [endpoint(family, kind, (text, port)) for text in addresses]
    endpoints = []
    for text in addresses:
        bare, _, scope = text.partition("%")
        number = int(scope) if scope.isdecimal() else scope or 0
        endpoints.append(endpoint(family, kind, (bare, port, 0, number)))
    return endpoints


class _Name:
    """What is known of a name in this round."""

    __slots__ = ("awaited", "endpoints", "failures")

    def __init__(self, family: int) -> None:
        self.awaited = [family] if family else [_AF_INET6, _AF_INET]
        self.endpoints: list[Endpoint] = []
        self.failures: list[events.AttemptFailed] = []


class Call:
    """The state of one call.  A driver is a subclass that can wait and look names up.

    ``items`` is what the driver reports: candidates whose socket is ready, and
    ``(asked, family, answer or exception)`` of look-ups.

    ``started`` is when its first attempt was begun, if that was before there was a call (see
    ``first``): then nobody observes it.
    """

    # Most calls need few of these: a class attribute costs nothing until it is changed.
    sock: socket.socket | None = None
    """The connected socket, when the call has succeeded."""
    won: Candidate | None = None
    """What has connected."""

    # Replaced by tests that run in virtual time, without sockets.
    _clock = staticmethod(monotonic)
    _rng = staticmethod(random)
    _io: Any = attempt

    _observed = False
    _log: tuple[events.AttemptFailed, ...] = ()
    _unlogged: tuple[Candidate, ...] = ()  # those of this round that have failed
    _names: Mapping[int, _Name] = MappingProxyType({})
    _race: Lone | None = None
    _round = 0
    _backoff: AddressBackoff | None = None  # from the second round on
    _previous_delay = 0.0
    _policy_state: Any = None
    _next = False
    _turns = 0  # how often a policy has picked the next address first
    _permit: Any = None  # of the breaker, for the round that runs or comes
    _reserved = False  # a token of the budget, for the round to come

    def __init__(
        self, targets: Sequence[Target], options: Options, started: float | None = None
    ) -> None:
        self.targets = self._given = targets
        self._options = options
        self.items: list[Any] = []
        if started is None:
            started = self._clock()
            self._observed = options.on_event is not None or logger.isEnabledFor(_DEBUG)
        self.started = self._round_started = started
        self.deadline = started + options.timeout

    @property
    def text(self) -> str:
        """What is dialled, for a person."""
        if len(self._given) == 1:
            return self._given[0].text
        return ", ".join([target.text for target in self._given])

    @property
    def attempts(self) -> tuple[events.AttemptFailed, ...]:
        """The log: every attempt that has failed.

        It is written when it is asked for: most calls in which an attempt fails connect in the
        end, and then nobody does.
        """
        if self._unlogged:
            failed, self._unlogged = self._unlogged, ()
            for candidate in failed:
                self._log += (self._attempt(candidate),)
        return self._log

    # What a driver does --------------------------------------------------------------------------

    def watch(self, candidate: Candidate) -> None:
        """Report the candidate once when its socket is writable."""
        raise NotImplementedError

    def unwatch(self, candidate: Candidate) -> None:
        """Forget the candidate; its socket is about to be closed."""
        raise NotImplementedError

    def look_up(self, resolver: Resolver, asked: tuple[int, int], name: str, family: int) -> None:
        """Begin to look up one family of a name; ``asked`` is given back with the answer."""
        raise NotImplementedError

    def end_lookups(self, *, finish: bool) -> None:
        """Leave the look-ups that still run; with ``finish`` they have another second."""
        raise NotImplementedError

    # The rounds ----------------------------------------------------------------------------------

    def start(self, begun: First | None = None, outcome: int = _FAILED) -> bool:
        """Dial what can be dialled at once; True if that connected, else go on with ``run``.

        Args:
            begun: the first attempt, if it was begun before this call.
            outcome: what became of it.

        Raises:
            ConnectError: a breaker is open, or ``begun`` was all there was to try.
        """
        try:
            self.won = self._begin() if begun is None else self._take_over(begun, outcome)
        except BaseException:
            self._leave(None)
            raise
        if self.won is None:
            return False
        self._succeed()
        return True

    def run(self) -> Generator[float, None, None]:
        """Go on to the end: yields until when to wait, unless something happens before.

        Raises:
            ConnectError: no connection.
        """
        try:
            while True:
                while self.won is None:
                    race = self._race
                    assert race is not None
                    now = self._clock()
                    if race.over(now):
                        break
                    yield race.wake(now)
                    self.won = self._take_in(race) or self._dial()
                if self.won is not None:
                    break
                resume = self._after_failure()
                yield resume  # once at least: a policy without delays must not keep the turn
                while self._clock() < resume:
                    self.items.clear()  # what is answered now was asked for the last round
                    yield resume
                self.items.clear()
                self._begin_round()
                self.won = self._dial()
        except BaseException:
            self._leave(None)
            raise
        self._succeed()

    def _begin(self) -> Candidate | None:
        """Begin the first attempt, or the first round; the winner if one connected at once."""
        options = self._options
        # A breaker is asked before anything else.
        endpoints = _known(self.targets, options) if options.breaker is None else None
        if not endpoints:
            self._begin_round()
            return self._dial()
        begun = First(endpoints[0], 0, 1, self._clock())
        begun.endpoints = endpoints
        self._round = 1
        if self._observed:
            self._emit(events.AttemptStarted(*self._facts(begun.started, begun)))
        outcome = self._io.begin(begun, options)
        return begun if outcome == _CONNECTED else self._take_over(begun, outcome)

    def _begin_round(self) -> None:
        """Begin to race over all addresses once."""
        options = self._options
        if options.breaker is not None and self._permit is None:
            self._ask_breaker()
        first = 0
        if self._race is not None:
            first = self._race.number
            self._begin_next_round()
        self._round += 1
        race = self._race = self._new_race(first, len(self.targets))
        self._find_addresses(race)

    def _new_race(self, first: int, targets: int) -> Race:
        options = self._options
        # By position: ten names would cost as much again as all that the race does with them.
        return Race(
            targets,
            options.happy_eyeballs_delay,
            options.resolution_delay,
            options.max_concurrent,
            options.interleave,
            options.attempt_timeout,
            self._round_started,
            self.deadline,
            options.retry is not None,
            first,
        )

    def _take_over(self, begun: First, outcome: int) -> Candidate | None:
        """Begin the race, of which the first attempt was begun; the winner if one connected."""
        options = self._options
        self._round = 1
        now = begun.started
        more = options.retry is not None
        endpoints = begun.endpoints
        if len(endpoints) > 1:
            race = self._new_race(0, targets=1)
            several = len(self.targets) > 1  # then there is one address of each
            others = [
                Candidate(endpoints[number], number if several else 0)
                for number in range(1, len(endpoints))
            ]
            failed = outcome == _FAILED and not attempt.is_local(begun)
            self._race = race
            if failed:
                now = self._clock()
                self._note(begun, now)
            race.adopt(begun, others, now, failed=failed)
            if not failed:
                self._settle(race, begun, outcome)
            return self._dial()
        if outcome == _FAILED and not more:
            self._note(begun, self._clock())
            self._after_failure()  # raises: there is no other address, and no other round
            raise AssertionError
        begun.limit = limit(now, self.deadline, options.attempt_timeout, 1, 1, more)
        self._race = Lone(begun)
        self._settle(self._race, begun, outcome)
        return None

    def _dial(self) -> Candidate | None:
        """Start what the race says; the winner if one connected at once."""
        race = self._race
        assert race is not None
        now = self._clock()
        while (candidate := race.start(now)) is not None:
            if self._observed and candidate.tries == 1:
                self._emit(events.AttemptStarted(*self._facts(now, candidate)))
            outcome = self._io.begin(candidate, self._options)
            if outcome == _CONNECTED:
                return candidate
            now = self._settle(race, candidate, outcome)
        return None

    def _take_in(self, race: Lone) -> Candidate | None:
        """Take in what happened while the driver waited; the winner if there is one."""
        items = self.items
        while items:
            item = items.pop(0)
            if isinstance(item, tuple):
                assert isinstance(race, Race)
                self._answered(race, *item)
                del item  # it may hold an exception, and this frame would be in its traceback
            elif item.sock is not None:  # else it ended meanwhile
                outcome = self._io.finish(item, self._options)
                if outcome == _CONNECTED:
                    return item  # type: ignore[no-any-return]
                self._settle(race, item, outcome)
        now = self._clock()
        for candidate in race.expired(now):
            self._expire(race, candidate, now)
        return None

    def _settle(self, race: Lone, candidate: Candidate, outcome: int) -> float:
        """Carry on with an attempt that has not connected; returns the instant."""
        if outcome == _PENDING:
            try:
                self.watch(candidate)
            except OSError as exc:  # no descriptor for the loop's epoll, say
                self._close(candidate)
                family, _, _, _, address = candidate.endpoint
                candidate.error = causes.from_exception(
                    exc, stage="wait", address=address, family=family
                )
            else:
                return self._clock()
        now = self._clock()
        if outcome == _AGAIN:
            race.again(candidate, now)
        else:
            race.failed(candidate, now, local=attempt.is_local(candidate))
            self._note(candidate, now)
        return now

    def _expire(self, race: Lone, candidate: Candidate, now: float) -> None:
        """Close an attempt whose time is up."""
        if candidate.sock is not None:
            self._close(candidate)
            family, _, _, _, address = candidate.endpoint
            candidate.error = causes.timed_out(
                whole=now >= self.deadline, stage="connect", address=address, family=family
            )  # else it was between two tries, and its last error says why
        race.failed(candidate, now)
        self._note(candidate, now)

    def _note(self, candidate: Candidate, now: float) -> None:
        """Take note that an attempt failed."""
        candidate.ended = now
        self._unlogged += (candidate,)
        if self._observed or self._backoff is not None:
            failed = self.attempts[-1]
            if self._backoff is not None:
                self._blame(failed.address, failed.error, now)
            if self._observed:
                self._emit(failed)

    def _attempt(self, candidate: Candidate) -> events.AttemptFailed:
        """Return the entry of the log for an attempt that has failed."""
        error = attempt.error_of(candidate)
        candidate.error = None
        family, _, _, _, address = candidate.endpoint
        # All by position: this is on the path of every refused connect.
        return events.AttemptFailed(
            candidate.ended,
            self.targets[candidate.target].text,
            error,
            candidate.started,
            candidate.number,
            self._round,
            address,
            family,
            error.stage,
            candidate.tries,
        )

    # Names ---------------------------------------------------------------------------------------

    def _find_addresses(self, race: Race) -> None:
        """Offer what is known at once; begin to look up the rest, IPv6 first."""
        for index, target in enumerate(self.targets):
            if target.name is None:
                race.offer(index, target.endpoints(self._options.type), self._round_started)
            else:
                self._names = {**self._names, index: _Name(self._options.family)}
                self._look_up(race, index, target.name)

    def _look_up(self, race: Race, index: int, name: str) -> None:
        target = self.targets[index]
        at_hand = _ask_at_hand or _load(target.text)
        from .resolve import order

        resolver = _resolver(self._options)
        known = self._names[index]
        answers = {family: at_hand(resolver, name, family) for family in known.awaited}
        found = any(answer is not None and answer.addresses for answer in answers.values())
        for family, answer in answers.items():
            if answer is not None and found:
                known.awaited.remove(family)
                known.endpoints += _endpoints(
                    target.port, self._options.type, family, answer.addresses
                )
            else:  # also where it is known that there are none: it is the look-up that says why
                if self._observed:
                    self._emit(events.LookupStarted(self._clock(), target.text, name, family))
                self.look_up(resolver, (self._round, index), name, family)
        if known.endpoints:
            endpoints = self._in_turn(order.sorted_for_dialling(known.endpoints))
            race.offer(index, endpoints, self._clock(), known.awaited)

    def _answered(
        self, race: Race, asked: tuple[int, int], family: int, answer: Answer | BaseException
    ) -> None:
        """Feed what one look-up brought to the race."""
        from .resolve import order

        number, index = asked
        if number != self._round:
            return  # it was asked for another round, and comes late
        now = self._clock()
        known = self._names[index]
        known.awaited.remove(family)
        target = self.targets[index]
        assert target.name is not None
        if isinstance(answer, BaseException):
            self._lookup_failed(index, family, answer, now)
        elif not answer.addresses:
            nothing = socket.gaierror(_EAI_NODATA, "No address associated with hostname")
            self._lookup_failed(index, family, nothing, now)
        else:
            known.endpoints += _endpoints(target.port, self._options.type, family, answer.addresses)
            if self._observed:
                self._emit(
                    events.LookupSucceeded(
                        now,
                        target.text,
                        target.name,
                        family,
                        addresses=answer.addresses,
                        source=answer.source,
                        duration=answer.duration,
                    )
                )
        endpoints = self._in_turn(order.sorted_for_dialling(known.endpoints))
        race.offer(index, endpoints, now, known.awaited)

    def _lookup_failed(self, index: int, family: int, exc: BaseException, now: float) -> None:
        target = self.targets[index]
        assert target.name is not None
        if not isinstance(exc, OSError):
            try:
                raise exc  # a caller's resolver is broken: its exception comes out unchanged
            finally:
                del exc
        elapsed = now - self._round_started
        error = causes.from_exception(
            exc, stage="resolve", target=target.text, address=target.name, elapsed=elapsed
        )
        self._names[index].failures.append(
            events.AttemptFailed(
                now,
                target.text,
                error,
                self._round_started,
                0,
                self._round,
                target.name,
                family,
                "resolve",
            )
        )
        if self._observed:
            self._emit(events.LookupFailed(now, target.text, target.name, family, error=error))

    # The end -------------------------------------------------------------------------------------

    def _failures(self, now: float) -> list[events.AttemptFailed]:
        """Return the failures of this round: attempts, and look-ups that matter."""
        failures = [failed for failed in self.attempts if failed.round == self._round]
        for index, known in self._names.items():
            for family in known.awaited if now >= self.deadline else ():
                self._lookup_failed(index, family, _LookupTimedOut(), now)
            if not known.endpoints:
                failures += known.failures
            else:  # that a name has addresses of one family only is no news
                failures += [f for f in known.failures if f.error.help & errors.Help.SAME]
        if not failures:  # the deadline came before anything was dialled
            error = causes.timed_out(whole=True, stage="connect", target=self.text)
            error.elapsed = now - self._round_started
            failures.append(
                events.AttemptFailed(now, self.text, error, self._round_started, 0, self._round)
            )
        failures.sort(key=_start_of)
        return failures

    def _give_up(self, now: float, stopped: str | None, retry_after: float | None = None) -> None:
        """Raise the error of the call."""
        text, elapsed = self.text, now - self.started
        attempts = self.attempts
        count = self._race.number if self._race is not None else len(attempts)
        if self._observed:
            error = causes.combine(attempts, text, elapsed, count, stopped, retry_after)
            self._emit(events.GaveUp(now, text, stopped or "attempts", error))
            del error  # what is raised must not be referred to by a frame of its traceback
        raise causes.combine(attempts, text, elapsed, count, stopped, retry_after)

    # Between rounds ------------------------------------------------------------------------------

    def _after_failure(self) -> float:
        """Return the instant of the next round, or raise the error of the call."""
        now = self._clock()
        options = self._options
        failures: Sequence[events.AttemptFailed] = self.attempts
        if len(failures) != 1 or self._names or self._round > 1:
            failures = self._failures(now)
            kept = [*[f for f in self.attempts if f.round != self._round], *failures]
            self._log = tuple(kept[-errors.KEPT_ATTEMPTS :])
        for target in self.targets:
            if target.name is not None:
                forget = getattr(_resolver(self._options), "forget", None)
                if forget is not None:  # every address failed: what is known may be old
                    forget(target.name)
        if options.retry is None and options.breaker is None:
            self._give_up(now, None)
        from .retry import left_host

        error = causes.combine(
            failures, target=self.text, elapsed=now - self._round_started, count=len(failures)
        )
        left = left_host(error)
        if options.breaker is not None:
            answer = options.breaker.failure if left else options.breaker.release
            answer(self.text, now, self._permit)
            self._permit = None
        if options.retry is None:
            self._give_up(now, None)
        delay = self._decide(now, error)
        if options.breaker is not None:
            permit = options.breaker.admit(self.text, now)
            if not isinstance(permit, int | float):
                self._permit = permit
            elif permit > delay:
                self._give_up(now, "open", permit)
        if options.budget is not None and left:
            if not options.budget.reserve(self.text, now):
                self._give_up(now, "budget")
            self._reserved = True
        logger.warning("%s; round %d in %.2f s", error, self._round + 1, delay)
        if self._observed:
            self._emit(events.RetryScheduled(now, self.text, self._round, delay, error))
        return now + delay

    def _decide(self, now: float, error: errors.ConnectError) -> float:
        """Ask the policy: the seconds before the next round, or raise the error of the call."""
        from . import retry

        policy = self._options.retry
        assert policy is not None
        context = retry.Context(
            failures=self._round,
            last=self.attempts[-1],
            error=error,
            history=self.attempts,
            started=self.started,
            now=now,
            deadline=self.deadline,
            previous_delay=self._previous_delay,
            state=self._policy_state,
            rng=self._rng,
        )
        try:
            decision = retry.decide(policy, context, attempt_needs=ATTEMPT_NEEDS)
        except OSError as exc:  # a policy's failure is the call's
            failure = causes.from_exception(exc, stage="wait", target=self.text)
            entry = events.AttemptFailed(now, self.text, failure, now, 0, self._round)
            self._log += (entry,)
            decision = retry.Stop("custom")
        if isinstance(decision, retry.Stop):
            del error, context  # no frame of the traceback may refer to what is raised
            self._give_up(now, decision.reason, decision.retry_after)
        assert isinstance(decision, retry.Retry)
        self._previous_delay = decision.delay
        self._policy_state = decision.state
        self._next = decision.pick == "next"
        return decision.delay

    def _begin_next_round(self) -> None:
        """Forget what the last round knew; what failed in it is dialled last in this one."""
        self._reserved = False  # it is spent now
        self._round_started = self._clock()
        self._names = {}
        backoff = self._backoff
        if backoff is None:
            from .retry import AddressBackoff

            backoff = self._backoff = AddressBackoff()
            for failed in self.attempts:
                self._blame(failed.address, failed.error, failed.ended)
        now = self._round_started
        if len(self.targets) > 1:
            self.targets = sorted(
                self._given,
                key=lambda target: 0.0 if target.name else _waits(backoff, target.address, now),
            )
        if self._next:
            self._turns += 1

    def _blame(self, address: Any, error: errors.ConnectError, now: float) -> None:
        """Let an address that failed wait, unless it was for want of something of this host."""
        assert self._backoff is not None
        if not error.help & errors.Help.LOCAL:
            self._backoff.failed(address, now)

    def _ask_breaker(self) -> None:
        """Get leave for a round, or raise that the breaker is open."""
        breaker = self._options.breaker
        assert breaker is not None
        now = self._clock()
        permit = breaker.admit(self.text, now)
        if not isinstance(permit, int | float):
            self._permit = permit
        elif self.attempts:
            self._give_up(now, "open", permit)
        else:
            if self._observed:
                error = causes.circuit_open(self.text, permit)
                self._emit(events.GaveUp(now, self.text, "open", error))
                del error  # what is raised must not be referred to by a frame of its traceback
            raise causes.circuit_open(self.text, permit)

    def _tell_of_success(self, won: Candidate) -> None:
        if self._observed:
            self._emit_connected(won)
        now = self._clock()
        if self._options.budget is not None:
            self._options.budget.success(self.text, now)
        if self._options.breaker is not None:
            self._options.breaker.success(self.text, now, self._permit)
            self._permit = None

    def _give_back(self) -> None:
        """Return a permit and a token that were not used: the call is left early."""
        if self._permit is not None:
            assert self._options.breaker is not None
            self._options.breaker.release(self.text, self._clock(), self._permit)
            self._permit = None
        if self._reserved:
            assert self._options.budget is not None
            self._options.budget.release(self.text, self._clock())
            self._reserved = False

    def _in_turn(self, endpoints: list[Endpoint]) -> list[Endpoint]:
        """Put the addresses that failed lately behind the others."""
        backoff = self._backoff
        if backoff is None:
            return endpoints
        first = self._turns % (len(endpoints) or 1)
        now = self._clock()
        return sorted(
            endpoints[first:] + endpoints[:first],
            key=lambda endpoint: _waits(backoff, endpoint[4], now),
        )

    def _succeed(self) -> None:
        """Hand the winner's socket out, and end the rest."""
        won = self.won
        assert won is not None
        options = self._options
        try:
            if self._observed or options.breaker is not None or options.budget is not None:
                self._tell_of_success(won)
            if self._race is not None:
                self._leave(won)
        except BaseException:  # of a hook: nobody gets the socket
            if won.sock is not None:
                won.sock.close()
            self._leave(None)
            raise
        self.sock = won.sock

    def _leave(self, won: Candidate | None) -> None:
        """Close everything but the winner's socket; leave nothing that was borrowed."""
        cancelled = []
        if self._race is not None:
            for candidate in self._race.running:
                if candidate is not won and candidate.sock is not None:
                    self._close(candidate)
                    cancelled.append(candidate)
        if self._permit is not None or self._reserved:
            self._give_back()
        if self._names:
            # A resolver that can forget is one that keeps what it learns.
            keeps = hasattr(_resolver(self._options), "forget")
            self.end_lookups(finish=won is not None and keeps)
        if self._observed:  # last, since a hook may raise
            for candidate in cancelled:
                self._emit(events.AttemptCancelled(*self._facts(self._clock(), candidate)))

    def _close(self, candidate: Candidate) -> None:
        sock = candidate.sock
        assert sock is not None
        self.unwatch(candidate)
        candidate.sock = None
        sock.close()

    # What is told --------------------------------------------------------------------------------

    def _facts(self, now: float, candidate: Candidate) -> tuple[Any, ...]:
        family, _, _, _, address = candidate.endpoint
        text = self.targets[candidate.target].text
        return now, text, candidate.number, self._round, address, family

    def _emit_connected(self, won: Candidate) -> None:
        assert won.sock is not None
        now = self._clock()
        self._emit(
            events.Connected(
                *self._facts(now, won),
                local=won.sock.getsockname(),
                elapsed=now - self.started,
            )
        )

    def _emit(self, event: events.Event) -> None:
        tell(self._options.on_event, event)


def _waits(backoff: AddressBackoff, address: Any, now: float) -> float:
    """Sort addresses by the end of their own back-off, those without one first."""
    until = backoff.until(address)
    return until if until > now else 0.0


def tell(hook: Callable[[events.Event], object] | None, event: events.Event) -> None:
    """Log an event, and tell whoever observes; an ``Exception`` in the hook is logged."""
    logger.debug("%r", event)
    if hook is not None:
        try:
            hook(event)
        except Exception:
            logger.exception("on_event failed for %r; the call goes on", event)


def _start_of(failed: events.AttemptFailed) -> float:
    return failed.started


class _LookupTimedOut(TimeoutError):
    """The call's deadline passed while a name was being looked up."""
