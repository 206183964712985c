"""What went wrong, in the one line that a person reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from .text import format_host, safe

if TYPE_CHECKING:
    from collections.abc import Iterable

Fact: TypeAlias = tuple[str, str, Any]
"""One failure: its own words where they say more (else ""), the phrase of its cause, its
address."""

STOPPED = {
    "attempts": "no attempts left",
    "deadline": "no time left for another round",
    "permanent": "trying again would not help",
    "budget": "the retry budget is used up",
    "open": "the breaker is open",
}
"""Why no further round was begun, in words; other reasons stand for themselves."""

_PREPOSITIONS = frozenset({"at", "by", "for", "from", "to", "with", "of", "dial", "reach"})


def sentence(
    target: str,
    facts: Iterable[Fact],
    *,
    count: int,
    elapsed: float,
    stopped: str | None,
    hint: str,
) -> str:
    """Say in one line: target, causes with their addresses, count, seconds, hint."""
    parts = [f"cannot connect to {target}" if target else "cannot connect", ": "]
    parts.append(_causes(target, facts))
    seconds = f"{elapsed:.1f} s"
    if count:
        plural = "" if count == 1 else "s"
        parts.append(f" ({count} attempt{plural}, {seconds}")
    else:
        parts.append(f" ({seconds}")
    if stopped:
        parts.append(f"; {STOPPED.get(stopped, stopped)}")
    parts.append(")")
    if hint:
        parts.append(f": {hint}")
    return "".join(parts)


def _causes(target: str, facts: Iterable[Fact]) -> str:
    """Say what happened at which address; alike causes are said once."""
    by_phrase: dict[str, list[str]] = {}
    for words, phrase, address in facts:
        shown = by_phrase.setdefault(f"{safe(words)}, {phrase}" if words else phrase, [])
        text = format_host(address)
        if text and text not in shown:
            shown.append(text)
    said = []
    for phrase, addresses in by_phrase.items():
        if (len(by_phrase) == 1 and _is_said(target, addresses)) or not addresses:
            said.append(_without_preposition(phrase))
        else:
            said.append(f"{phrase} {_enumerate(addresses)}")
    return "; ".join(said)


def _is_said(target: str, addresses: list[str]) -> bool:
    return len(addresses) == 1 and addresses[0] in target


def _without_preposition(phrase: str) -> str:
    words = phrase.rsplit(" ", 1)
    return words[0] if len(words) == 2 and words[1] in _PREPOSITIONS else phrase


def _enumerate(texts: list[str], most: int = 4) -> str:
    if len(texts) > most:
        return f"{', '.join(texts[:most])} and {len(texts) - most} more"
    return " and ".join([", ".join(texts[:-1]), texts[-1]] if len(texts) > 1 else texts)
