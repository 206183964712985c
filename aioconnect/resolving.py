"""The addresses of a target, without a connection: what an adapter for another client needs."""

from __future__ import annotations

import asyncio
import logging
import socket
from typing import TYPE_CHECKING, Any

from . import causes, engine, lookups
from .chosen import Chosen, reached
from .driver import Ending
from .errors import AttemptFailed
from .log import Log, logger
from .poller import of
from .polling import PollDriver
from .targets import parse_all
from .text import format_targets
from .via import Via

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

    from .address_policy import AddressPolicyLike
    from .driver import Driver
    from .errors import ConnectError
    from .events import Event
    from .options import Options
    from .resolve.base import Resolver
    from .targets import Endpoint, Target, TargetLike

__all__ = ["resolve_addresses"]


class Resolution(Ending):
    """One search for the addresses of the targets.

    Args:
        driver: who waits.
        targets: at least one.
        options: how: the resolver, the family, the type, the time limit, and what is allowed.

    Attributes:
        result: the addresses, best first, when it has succeeded.
        error: why there is none, when it has failed.
    """

    __slots__ = (
        "_deadline",
        "_driver",
        "_found",
        "_lookups",
        "_open",
        "_options",
        "_started",
        "_targets",
        "result",
    )

    def __init__(self, driver: Driver, targets: Sequence[Target], options: Options) -> None:
        self.future = self.slot = None
        self.items = []
        self.result: list[Endpoint] = []
        self.error: ConnectError | None = None
        self._driver = driver
        self._targets = targets
        self._options = options if driver.world is None else driver.world.within(options)
        self._started = driver.clock()
        self._deadline: float = self._started + options.timeout
        self._lookups: lookups.NameLookups | None = None
        self._found: list[Sequence[Endpoint]] = [()] * len(targets)
        self._open = set(range(len(targets)))  # of which more may come

    def offer(
        self, target: int, endpoints: Sequence[Endpoint], now: float, awaited: Collection[int] = ()
    ) -> None:
        """Take all addresses of a target that are known by now, best first."""
        self._found[target] = endpoints
        if not awaited:
            self._open.discard(target)

    def step(self) -> float | None:
        """Go on as far as possible without waiting; see :class:`~aioconnect.driver.Driven`."""
        items, self.items = self.items, []
        if self._lookups is None:
            debug = logger.isEnabledFor(logging.DEBUG)
            log = Log(self._targets, self._options.on_event, debug)
            self._lookups = lookups.NameLookups(
                self._driver, self, self._targets, self._options, self._started, log, None, None
            )
            self._lookups.begin(self)
        for name, answer in items:
            self._lookups.answered(name, answer, self)
        now = self._driver.clock()
        if self._open and now < self._deadline:
            return self._deadline
        self._end(now)
        self.close()
        return None

    def close(self) -> None:
        """Leave every look-up."""
        if self._lookups is not None:
            self._lookups.leave(finish=not self.error)

    def _end(self, now: float) -> None:
        """Keep what is allowed of what was found; if nothing is, say why."""
        assert self._lookups is not None
        failures = self._lookups.failures(now, self._deadline)
        found: dict[Endpoint, None] = {}
        for target, endpoints in zip(self._targets, self._found, strict=True):
            for endpoint in endpoints:
                denied = self._denied(endpoint, target)
                if denied is None:
                    found[endpoint] = None
                else:
                    family, _, _, _, address = endpoint
                    failures.append(
                        AttemptFailed(
                            now, target.text, denied, now, 0, 1, address, family, "policy"
                        )
                    )
        self.result = [*found]
        if not found:
            text = format_targets([target.text for target in self._targets])
            self.error = causes.combine(
                failures, target=text, elapsed=now - self._started, count=0, stopped=None
            )

    def _denied(self, endpoint: Endpoint, target: Target) -> ConnectError | None:
        policy = self._options.address_policy
        if policy is None:
            return None
        return self._options.denial(policy, endpoint, target.name)


async def resolve_addresses(
    target: TargetLike | Sequence[TargetLike],
    port: int | None = None,
    *,
    timeout: float | None = 30.0,
    resolver: Resolver | None = None,
    family: int = 0,
    type: int = socket.SOCK_STREAM,
    max_addresses: int = 32,
    address_policy: AddressPolicyLike | None = None,
    allowed_names: Iterable[str] | None = None,
    on_event: Callable[[Event], object] | None = None,
) -> list[Endpoint]:
    """Look up the addresses that :func:`~aioconnect.connect` would dial, and dial none.

    For other clients, which dial by themselves.  The name is asked for once, whatever ``retry``
    of a dialer says.

    Args:
        target: as for :func:`~aioconnect.connect`.
        port: 1 to 65535.
        timeout: seconds; None is no limit.  What is known when the time is up is returned.
        resolver: the resolver that looks names up; None is the system's.
        family: ``AF_INET`` or ``AF_INET6`` for one family only; 0 is both.
        type: the type of the socket that will be dialled with.
        max_addresses: addresses of one name.
        address_policy: which addresses may be dialled; the others are left out.
        allowed_names: the targets that may be looked up.
        on_event: called with each event of the look-up.

    Returns:
        ``getaddrinfo`` 5-tuples ``(family, type, proto, "", address)``, best first (RFC 6724), both
        families; at least one.

    Raises:
        ConnectError: no address was found, or none is allowed; also the built-in of its cause
            (``socket.gaierror``, ``TimeoutError``, ``PermissionError``).
        InvalidTarget: a target that means nothing, before any I/O.
        ValueError, TypeError: other bad input, before any I/O.
    """
    return await resolve_with(
        Chosen(
            timeout=timeout,
            resolver=resolver,
            family=family,
            type=type,
            max_addresses=max_addresses,
            address_policy=address_policy,
            allowed_names=allowed_names,
            on_event=on_event,
        ),
        target,
        port,
    )


async def resolve_with(options: Options, target: Any, port: Any) -> list[Endpoint]:
    """Look a target up with a dialer's options."""
    poller = of(asyncio.get_running_loop())
    search = Resolution(poller, _looked_up(target, port, options), options)
    await engine.drive(search, poller)
    return search.result


def resolve_blocking(options: Options, target: Any, port: Any) -> list[Endpoint]:
    """Look a target up with a dialer's options, and block until it is done."""
    driver = PollDriver()
    search = Resolution(driver, _looked_up(target, port, options), options)
    driver.drive(search)
    if search.error is not None:
        raise search.take_error()
    return search.result


def _looked_up(target: Any, port: Any, options: Options) -> Sequence[Target]:
    """Return the targets to look up: those behind a proxy that leaves their names to us."""
    targets = []
    for each in reached(parse_all(target, port), options):
        if isinstance(each, Via) and each.proxy.resolves:
            raise ValueError(f"the proxy resolves {each.meant.text}: it is not looked up here")
        targets.append(each.meant)
    return targets
