"""What went wrong, in the one line that a person reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from .text import format_address, format_host, format_seconds, safe

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

Fact: TypeAlias = tuple[str, str, str, Any]
"""One failure: what happened, the same where no address follows, its own words or "", its
address."""

STOPPED = {
    "attempts": "no attempts left",
    "deadline": "no time left for another round",
    "permanent": "trying again would not help",
    "budget": "the retry budget is used up",
    "open": "the breaker is open",
}
"""Why no further round was begun, in words; other reasons stand for themselves."""

MOST_WORDS = 300
"""Characters of an error's own words: a certificate's names are long, and are what matters."""

_MOST_CAUSES = 8
_MOST_ADDRESSES = 4

_PREPOSITIONS = frozenset({"at", "by", "for", "from", "of", "to", "with"})


def sentence(
    target: str,
    facts: Sequence[Fact],
    *,
    count: int,
    elapsed: float,
    stopped: str | None,
    hint: str,
) -> str:
    """Say in one line: target, causes with their addresses, count, time, hint."""
    head = f"cannot connect to {target}: " if target else "cannot connect: "
    notes = []
    if count:
        notes.append("1 attempt" if count == 1 else f"{count} attempts")
    if elapsed:
        notes.append(format_seconds(elapsed))
    if len(facts) == 1 and "{at}" in facts[0][0]:  # it says where and how long
        if format_address(facts[0][3]) == target:
            head = ""
        if count <= 1:
            notes.clear()
    bracket = ", ".join(notes)
    if stopped and (count or stopped != "open"):
        reason = STOPPED.get(stopped, stopped)
        bracket = f"{bracket}; {reason}" if bracket else reason
    said = describe(facts, format_host, target)
    return "".join([head, said, f" ({bracket})" if bracket else "", f": {hint}" if hint else ""])


def describe(facts: Iterable[Fact], show: Callable[[Any], str], target: str = "") -> str:
    """Say what happened at which address; alike causes are said once.

    Args:
        facts: the failures, the dominant one first.
        show: how an address is written: with its port or without.
        target: what was dialled: a single address that is the target is not said again.
    """
    by_cause: dict[tuple[str, str, str], list[Any]] = {}
    for phrase, alone, words, address in facts:
        met = by_cause.setdefault((phrase, alone, safe(words, MOST_WORDS)), [])
        if address is not None and address not in met:
            met.append(address)
    said = []
    for (phrase, alone, words), addresses in by_cause.items():
        if len(by_cause) == len(addresses) == 1 and "{at}" not in phrase:
            addresses = [each for each in addresses if not _is_said(each, target)]
        said.append(_clause(phrase, alone, words, addresses, show))
    more = len(said) - _MOST_CAUSES
    if more > 0:
        said[_MOST_CAUSES:] = [f"{more} other causes" if more > 1 else "1 other cause"]
    return "; ".join(said)


def _clause(
    phrase: str, alone: str, words: str, addresses: Sequence[Any], show: Callable[[Any], str]
) -> str:
    """Say one cause: ``refused by 10.0.0.1: its own words``."""
    if "{at}" in phrase:
        show = format_address  # it says where the connection is, port and all
    shown = list(dict.fromkeys(filter(None, map(show, addresses))))
    text = phrase if shown else alone or _without_preposition(phrase)
    if "{words}" in text:
        text = text.replace("{words}", words) if words else text.replace(": {words},", "")
        text = text.replace(": {words}", "")
        words = ""
    if "{at}" in text:
        text = text.replace("{at}", _enumerate(shown))
    elif shown:
        text = f"{text} {_enumerate(shown)}"
    return f"{text}: {words}" if words else text


def _is_said(address: Any, target: str) -> bool:
    host = format_host(address)
    return target in (host, format_address(address), f"{host}:{target.rpartition(':')[2]}")


def _without_preposition(phrase: str) -> str:
    words = phrase.rsplit(" ", 1)
    return words[0].rstrip(",") if len(words) == 2 and words[1] in _PREPOSITIONS else phrase


def _enumerate(texts: list[str], most: int = _MOST_ADDRESSES) -> str:
    if len(texts) > most:
        return f"{', '.join(texts[:most])} and {len(texts) - most} more"
    return " and ".join([", ".join(texts[:-1]), texts[-1]] if len(texts) > 1 else texts)
