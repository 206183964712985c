"""Until call.py asks for whole names."""

from __future__ import annotations

from .answers import Answer
from .known import at_hand as whole

__all__ = ["at_hand"]


def at_hand(resolver: object, name: str, family: int) -> Answer | None:
    answers = whole(resolver, name, (family,))
    return None if answers is None else answers[0]
