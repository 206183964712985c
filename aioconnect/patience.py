"""How one waits for a server that is still starting."""

from __future__ import annotations

from typing import Any

from . import errors, retry
from .checks import function
from .chosen import Chosen
from .stages import StageSpec

__all__ = ["Patience", "as_given", "checked", "patient"]

ATTEMPT_TIMEOUT = 5.0
"""Seconds for one attempt: a host that boots answers the SYN that comes after it is up."""

LAST_LOOK = 0.1
"""Seconds before the end at which it looks once more, instead of a pause that would not fit."""

_PACE = retry.exponential(0.1, factor=1.5, cap=1.0, jitter="equal")


class Patience(retry.Policy):
    """Go on after all errors but those that are wrong on this side, until the time is up.

    A name that does not exist yet, a permission that is not set yet and a local address that is
    not there yet look the same as wrong ones, for which no other policy tries again; the time
    limit tells them apart.

    Args:
        policy: asked about each of them; None goes on after a tenth of a second at first, a second
            later, and looks once more at the end.
    """

    __slots__ = ("policy",)
    policy: retry.Policy | None

    def __init__(self, policy: retry.Policy | None = None) -> None:
        self._set(policy=policy)

    def __call__(self, ctx: retry.Context, /) -> retry.Retry | retry.Stop:
        """Answer as the policy does, where waiting may help."""
        if not self.names(ctx.error):
            return retry.Stop("permanent")
        if self.policy is not None:
            return self.policy(ctx)
        pause = _PACE(ctx)
        left = ctx.deadline - LAST_LOOK - ctx.now
        if isinstance(pause, retry.Retry) and 0 < left < pause.delay:
            return retry.Retry(left)
        return pause

    def names(self, error: errors.ConnectError) -> bool:
        """Whether what failed may come by itself, at one address or name at least."""
        own = self.policy is not None and self.policy.names(error)
        return own or any(_may_come(each.error) for each in error.attempts) or _may_come(error)

    def __repr__(self) -> str:
        return f"Patience({'' if self.policy is None else repr(self.policy)})"


def _may_come(error: errors.ConnectError) -> bool:
    if isinstance(error, errors.AccessDenied):
        # The program itself forbids the address, or may not have the option or the local port.
        return not isinstance(error, errors.PolicyDenied) and error.stage not in ("socket", "bind")
    return (
        not retry.hopeless(error)
        # A check, say: what starts says so.
        or (error.stage == "handshake" and not isinstance(error, errors.CertificateError))
        or isinstance(error, errors.AddressNotAvailable)
        or (isinstance(error, errors.InvalidAddress) and error.stage == "connect")
        or error.code in ("host_not_found", "no_data")
    )


def as_given(options: dict[str, Any]) -> Chosen:
    """Return the options of a wait: patient, but for what was given."""
    others: dict[str, Any] = {"retry": Patience(), "attempt_timeout": ATTEMPT_TIMEOUT}
    chosen = Chosen(**{**others, **options})
    if "retry" in options and chosen.retry is not None:
        return _replaced(chosen, retry=Patience(chosen.retry))
    return chosen


def patient(options: Chosen) -> Chosen:
    """Return a dialer's options for a wait: its policy is asked about all that may come."""
    changes: dict[str, object] = {"retry": Patience(options.retry)}
    if options.attempt_timeout is None:
        changes["attempt_timeout"] = ATTEMPT_TIMEOUT
    return _replaced(options, **changes)


def _replaced(options: Chosen, **changes: object) -> Chosen:
    changed: Chosen = options.replace(**changes)
    return changed


def checked(check: Any) -> tuple[StageSpec, ...]:
    """Return the stage that a check is.

    Raises:
        TypeError: it is no function.
    """
    if check is None:
        return ()
    return (StageSpec("handshake", function("check", check)),)
