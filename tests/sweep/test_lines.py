"""Whatever line of the package raises, nothing of a call is left, and nobody else is hurt.

``MemoryError`` and ``KeyboardInterrupt`` can come at any line.  Each is raised before each line
that a call runs, the first time that it runs and the last.  Then no descriptor is open that was
not before, the poller waits for nothing, and who else waits on the same loop, for an instant or
for readiness, still has what it waits for.
"""

from __future__ import annotations

import linecache
import re
from typing import TYPE_CHECKING

import pytest

from ..always.conftest import world
from ..always.scenarios import SCENARIOS, World
from ..support.loops import LOOPS
from ..support.sweep import WHOLE, chance
from . import programs
from .lines import Lines, Place

if TYPE_CHECKING:
    from ..always.scenarios import Case

__all__ = ["world"]

WHOLE_OF = {
    "connected at once",
    "race",
    "dead",
    "a full turn",
    "a name",
    "connect many",
    "a supervisor",
    "open connection",
    "TLS",
}
"""The scenarios of which a sweep tries every line; of the others some."""

SOME, FEW = 40, 3

CLOSES = re.compile(r"^end|shut|clos|unwatch|remove|forget|abort|detach|shutdown|cancel|pop|del ")
"""A line that itself gives something back: if that is interrupted, this one thing may stay until
the loop ends."""


# Between two lines a socket may be in a local variable alone, and a coroutine not begun: Python
# closes them at once, and says so.
@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")
@pytest.mark.timeout(600)
@pytest.mark.sweep
@pytest.mark.parametrize("kind", LOOPS)
@pytest.mark.parametrize("name", SCENARIOS)
def test_what_is_raised_at_any_line_leaves_nothing_and_hurts_nobody(
    world: World, name: str, kind: str
) -> None:
    """A sample of the lines, or in a sweep each of them."""
    with SCENARIOS[name](world) as case:
        programs.run(kind, case, Lines())  # what is imported late is there now
        lines = Lines()
        assert not faults(programs.run(kind, case, lines), None)
        places = [place for place in lines.places() if not of_the_loop(place)]
        most = FEW if not WHOLE else len(places) if name in WHOLE_OF else SOME
        for place in chance(f"{name} {kind}").sample(places, min(most, len(places))):
            for number, raised in enumerate((MemoryError, KeyboardInterrupt)):
                # Of the two loops each has one of the two, or a sweep would take twice as long.
                if not WHOLE or (place.line + number) % 2 == list(LOOPS).index(kind):
                    check(kind, case, place, raised)


def of_the_loop(place: Place) -> bool:
    """Whether a line runs within the loop's own handshake: what breaks that ends at its limit."""
    return place.file.endswith("tls.py") and place.function.startswith("connection_")


def check(kind: str, case: Case, place: Place, raised: type[BaseException]) -> None:
    """Raise at one line."""
    try:
        left = programs.run(kind, case, Lines(place, raised))
        assert not faults(left, place)
    except BaseException as exc:
        exc.add_note(f"{raised.__name__} was raised at {place}")
        raise


def faults(left: programs.Left, place: Place | None) -> list[str]:
    """Return what is wrong with what is left."""
    line = "" if place is None else place.function + linecache.getline(place.file, place.line)
    closes = CLOSES.search(line)
    allowed = 1 if closes else 0
    found = []
    if left.at_its_end:
        found.append(f"open at the end of the loop: {left.at_its_end}")
    if len(left.while_it_ran) > allowed:
        found.append(f"open after the call: {left.while_it_ran}")
    if left.watched > 1:  # a socket that is reported twice, if the first time was interrupted
        found.append(f"{left.watched} descriptors are watched")
    if left.hurt:
        found.append(f"wait in vain: {left.hurt}")
    return found
