"""What is known of a name without asking anybody: no task, no thread, no turn of the loop."""

from __future__ import annotations

from .base import Answer, absent, peek
from .literal import localhost

__all__ = ["NO_ADDRESSES", "at_hand"]

NO_ADDRESSES = Answer(())
"""It is known that there is none of that family."""


def at_hand(resolver: object, name: str, family: int) -> Answer | None:
    """Return the answer for one name and one family if it is at hand.

    Args:
        resolver: whose ``peek`` and ``absent`` are used, if it has them.
        name: a host name in ASCII.
        family: ``socket.AF_INET`` or ``socket.AF_INET6``.

    Returns:
        The answer; ``NO_ADDRESSES`` if it is known that there are none; None if a look-up has to
        tell.
    """
    answer = localhost(name, family)
    if answer is None:
        answer = peek(resolver, name, family)
        if answer is None and absent(resolver, name, family):
            return NO_ADDRESSES
    return answer
