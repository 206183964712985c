"""From samples to figures: medians, quartiles, and ratios that are taken within a round.

The results of a run are what its JSON file holds: plain dictionaries. A ratio of two contenders
is the median, over all rounds, of the ratio in each round: what slows a whole round down, on a
shared machine, cancels out.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

TIMES = "\N{MULTIPLICATION SIGN}"

#: A core that others use for a larger share of the time than this shows in the figures.
CROWDED = 0.05

#: One scenario of a run: its title and settings, and under "samples" a list for each contender.
Scenario = dict[str, Any]
Chosen = Callable[[dict[str, Any]], bool]


class Spread(NamedTuple):
    """A median between its quartiles."""

    low: float
    median: float
    high: float


def spread(scenario: Scenario, key: str, figure: str) -> Spread | None:
    """Return the quartiles of one figure of one contender, or None if it has no samples."""
    values = sorted(_values(scenario, key, figure).values())
    if not values:
        return None
    if len(values) == 1:
        return Spread(values[0], values[0], values[0])
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    return Spread(low, median, high)


def largest(scenario: Scenario, key: str, figure: str) -> float | None:
    """Return the largest value that a contender had in any round."""
    values = _values(scenario, key, figure).values()
    return max(values) if values else None


def ratio(scenario: Scenario, key: str, other: str, figure: str) -> Spread | None:
    """Return how many times `other` one contender cost, round by round."""
    own, others = _values(scenario, key, figure), _values(scenario, other, figure)
    ratios = [own[number] / others[number] for number in own if others.get(number)]
    if not ratios:
        return None
    return spread({"samples": {"": [{"round": i, "x": r} for i, r in enumerate(ratios)]}}, "", "x")


def difference(scenario: Scenario, key: str, other: str, figure: str) -> Spread | None:
    """Return by how much one contender cost more than `other`, round by round."""
    own, others = _values(scenario, key, figure), _values(scenario, other, figure)
    gaps = [own[number] - others[number] for number in own if number in others]
    if not gaps:
        return None
    return spread({"samples": {"": [{"round": i, "x": g} for i, g in enumerate(gaps)]}}, "", "x")


def ratio_within(scenario: Scenario, key: str, figure: str, other: str) -> float | None:
    """Return how many times its `other` figure one contender's figure is, by their medians."""
    upper, lower = spread(scenario, key, figure), spread(scenario, key, other)
    return upper.median / lower.median if upper and lower and lower.median else None


def best(scenario: Scenario, figure: str, chosen: Chosen) -> str | None:
    """Return the contender with the lowest median among those chosen."""
    medians = {
        key: found.median
        for key, properties in scenario["contenders"].items()
        if chosen(properties) and (found := spread(scenario, key, figure))
    }
    return min(medians, key=medians.__getitem__, default=None)


def is_crowded(scenario: Scenario) -> bool:
    """Whether others had the core for so long that it shows in wall times."""
    return bool(scenario.get("others", 0) > CROWDED)


def is_peer(properties: dict[str, Any]) -> bool:
    """Whether a contender is neither ours nor of the floor."""
    return not properties["ours"] and not properties["blocks"]


def in_order(scenario: Scenario, figure: str) -> Iterator[tuple[str, dict[str, Any], Spread]]:
    """Give each contender with its figure, the lowest first."""
    found = [
        (key, properties, value)
        for key, properties in scenario["contenders"].items()
        if (value := spread(scenario, key, figure))
    ]
    yield from sorted(found, key=lambda row: row[2].median)


def _values(scenario: Scenario, key: str, figure: str) -> dict[int, float]:
    return {
        sample["round"]: sample[figure]
        for sample in scenario["samples"].get(key, ())
        if figure in sample
    }
