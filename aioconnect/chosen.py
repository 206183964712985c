"""The options that a call was given, made ready; and the targets as these options reach them."""

from __future__ import annotations

import socket
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from . import causes
from .checks import take_proxy
from .keywords import OPTIONS
from .options import Options
from .via import via

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Unpack

    from .targets import Target
    from .typed import ConnectOptions

__all__ = ["DEFAULTS", "Chosen", "reached", "with_options"]

_RETRYING = ("retry", "budget", "breaker")


class Chosen(Options):
    """Options as a user gives them: ``retry=3`` is a policy, and what retries is loaded."""

    def __init__(self, **options: Unpack[ConnectOptions]) -> None:
        if "proxy" in options:
            take_proxy(options)
        if any(options.get(name) is not None for name in _RETRYING):
            # Loaded on first use, and not in a call: that may have no descriptor to load with.
            try:
                from . import late, permits, retry, retrying  # noqa: F401
            except OSError as exc:
                raise causes.from_exception(exc, stage="wait") from None

            policy = options.get("retry")
            if policy is not None:
                options["retry"] = retry.policy(policy)
        super().__init__(**options)


DEFAULTS = Chosen()
"""What a call without options uses."""

_NUMBERS = frozenset(
    option.name for option in OPTIONS if option.kept in ("float", "float | None", "int")
)


@lru_cache(maxsize=64, typed=True)  # typed: True is no number of seconds
def _with_numbers(**options: Any) -> Chosen:
    return Chosen(**options)


def with_options(options: Any) -> Chosen:
    """Return these options, made ready for one call.

    A program gives the same ``timeout`` everywhere.  Numbers are nobody's, so that options that
    are nothing else are shared; to check and to keep them for each call would cost a sixth of a
    connect on loopback, and a third of the memory of a pending one.
    """
    if not options:
        return DEFAULTS
    if _NUMBERS.issuperset(options):
        try:
            return _with_numbers(**options)
        except TypeError:  # of what cannot be hashed: the check below says what is wrong with it
            pass
    if "proxy" in options:
        take_proxy(options)
    return Chosen(**options)


def reached(targets: Sequence[Target], options: Options) -> Sequence[Target]:
    """Return the targets as they are reached: directly, or through a proxy.

    Raises:
        InvalidTarget: it is not of the family asked for.
        ValueError: the options rule one out.
    """
    if options.proxy is not None:
        judged = options.address_policy is not None and options.allowed_names is None
        targets = via(targets, options.proxy, options.type, judged=judged)
    if options.family:
        for target in targets:
            if target.dialled.family not in (0, options.family):
                family = socket.AddressFamily(options.family).name
                raise causes.not_a_target(
                    f"{target.text} is not of the family asked for ({family})"
                )
    return targets
