"""Fifty behaviours of a name server, each met by both resolvers on both loops.

The server does what the name says (``behaviours.py``); the system's resolver and c-ares ask it in
namespaces of their own (``lab.py``).  All questions are asked at once, since some wait for the
resolver's own time limits; each test then looks at one.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from typing import Any, TypeAlias

import pytest

from ..support.loops import LOOPS
from ..support.needs import needs
from .behaviours import (
    BEHAVIOURS,
    LATE,
    LESS6,
    LONG_LABEL,
    MORE6,
    OTHER4,
    OTHER6,
    V4,
    V6,
    ZONE,
)
from .lab import Ask, Lab

pytestmark = needs("mount namespace", "veth")

RESOLVERS = ("system", "aiodns")
Outcomes: TypeAlias = dict[tuple[str, str, str], list[dict[str, Any]]]

AGAIN, ABSENT, NODATA, NO_RECOVERY = "try_again", "host_not_found", "no_data", "no_recovery"


@dataclass(frozen=True)
class Case:
    """What comes out: addresses or a code, for IPv6 and for IPv4, round after round.

    Where libc and c-ares differ, ``aiodns`` has the latter's.
    """

    name: str
    system: tuple[str | tuple[str, ...], ...]
    aiodns: tuple[str | tuple[str, ...], ...] = field(default=())

    @property
    def label(self) -> str:
        """What the server is asked to do."""
        return self.name.partition(":")[0]


THOUSAND6 = tuple(f"fd00::{n:x}" for n in range(1, 1001))
THOUSAND4 = tuple(f"10.0.{n >> 8}.{n & 255}" for n in range(1, 1001))

CASES = (
    Case("both", (V6, V4)),
    Case("_under_score", (V6, V4)),
    Case(LONG_LABEL, (V6, V4)),
    Case("mixed-case", (V6, V4)),
    Case("several", ((V6, OTHER6), (V4, OTHER4))),
    Case("not-sorted", ((MORE6, LESS6), (OTHER4, V4)), ((LESS6, MORE6), (OTHER4, V4))),
    Case("twice-the-same", (V6, V4)),
    Case("thousand", (THOUSAND6, THOUSAND4)),
    # One family only.
    Case("only4", (NODATA, V4)),
    Case("only6", (V6, NODATA)),
    Case("neither", (NODATA, NODATA)),
    Case("empty", (NODATA, NODATA)),
    Case("nxdomain", (ABSENT, ABSENT)),
    Case("nxdomain6", (ABSENT, V4)),
    Case("another-type", (ABSENT, ABSENT), (NODATA, NODATA)),
    # The server says that it cannot, or will not.
    Case("servfail", (AGAIN, AGAIN)),
    Case("servfail6", (AGAIN, V4)),
    Case("servfail4", (V6, AGAIN)),
    Case("servfail-once", (V6, V4)),
    Case("refused", (AGAIN, AGAIN)),
    Case("notimp", (AGAIN, AGAIN)),
    Case("formerr", (ABSENT, ABSENT), (NO_RECOVERY, NO_RECOVERY)),
    Case("formerr-for-edns", (V6, V4)),
    # Lost and late.
    Case("lost", (AGAIN, AGAIN)),
    Case("lost6", (AGAIN, V4)),
    Case("lost4", (V6, AGAIN)),
    Case("lost-once", (V6, V4)),
    Case("slow6", (V6, V4)),
    Case("slow4", (V6, V4)),
    # Truncated.
    Case("truncated", (V6, V4)),
    Case("truncated-tcp-silent", (AGAIN, AGAIN)),
    Case("truncated-tcp-hangs-up", (AGAIN, AGAIN)),
    # Not the answer to the question.
    Case("wrong-id-first", (V6, V4)),
    Case("wrong-id", (AGAIN, AGAIN)),
    Case("wrong-question", (OTHER6, OTHER4)),
    Case("from-a-stranger", (V6, V4)),
    Case("answered-twice", (V6, V4)),
    Case("of-another-name", (ABSENT, ABSENT), (NODATA, NODATA)),
    Case("with-strange-records", (V6, V4)),
    # Not an answer at all.
    Case("garbage-first", (AGAIN, AGAIN)),
    Case("garbage", (AGAIN, AGAIN)),
    Case("garbage-with-the-id", (AGAIN, AGAIN)),
    Case("cut-short", (ABSENT, ABSENT), (AGAIN, AGAIN)),
    Case("compression-loop", (ABSENT, ABSENT), (AGAIN, AGAIN)),
    Case(
        "wrong-length", (ABSENT, ABSENT), (AGAIN, V4)
    ),  # c-ares reads the four bytes that it needs
    # Aliases.
    Case("chain", (V6, V4)),
    Case("dangling", (ABSENT, ABSENT), (NODATA, NODATA)),
    Case("loop", (ABSENT, ABSENT), (NODATA, NODATA)),
    Case("loop-to-itself", (ABSENT, ABSENT), (NODATA, NODATA)),
    # What changes between two rounds.
    Case("ttl0", (V6, V4, OTHER6, OTHER4)),
    Case("ttl-of-ages", (V6, V4)),
    Case("moves", (V6, V4, OTHER6, OTHER4)),
    Case("appears", (NODATA, NODATA, V6, V4)),
)


def asked(case: Case, resolver: str, loop: str) -> Ask:
    tag = f"{case.name.partition(':')[2]}x{resolver}-{loop}"
    name = f"{case.label}.{tag}.{ZONE}"
    return Ask(resolver, name, times=len(case.system) // 2)


@pytest.fixture(scope="module")
def outcomes() -> Outcomes:
    found: Outcomes = {}

    def ask(loop: str) -> None:
        keys = [(case, resolver) for case in CASES for resolver in RESOLVERS]
        asks = [asdict(asked(case, resolver, loop)) for case, resolver in keys]
        with Lab() as lab:
            outcomes = lab.call("look_up", loop=loop, asks=asks)
        for (case, resolver), outcome in zip(keys, outcomes, strict=True):
            found[case.name, resolver, loop] = outcome

    with ThreadPoolExecutor() as executor:
        list(executor.map(ask, LOOPS))
    return found


@pytest.mark.parametrize("resolver", RESOLVERS)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name[:30])
def test_behaviour(case: Case, resolver: str, outcomes: Outcomes) -> None:
    """Each family comes out as it should, whatever becomes of the other one, on both loops."""
    codes = (AGAIN, ABSENT, NODATA, NO_RECOVERY)
    expected = [
        text if isinstance(text, tuple) or text in codes else (text,)
        for text in ((case.aiodns or case.system) if resolver == "aiodns" else case.system)
    ]
    for loop in LOOPS:
        found = outcomes[case.name, resolver, loop]
        shown = [outcome.get("error") or tuple(outcome["addresses"]) for outcome in found]
        assert shown == expected, loop
        for outcome in found:
            if "error" in outcome:
                assert outcome["gaierror"], "the built-in is there for who catches that"
                assert case.label[:20] in outcome["text"], "the message says which name"


def test_every_behaviour_is_asked_for() -> None:
    """The table leaves out none of what the server can do, and there are enough."""
    assert {case.label for case in CASES} == set(BEHAVIOURS)
    assert len(BEHAVIOURS) >= 30


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("resolver", RESOLVERS)
class TestTimes:
    """What else can be read from the same outcomes."""

    @pytest.mark.parametrize("late", [6, 4])
    def test_a_slow_family_is_kept_and_holds_up_nobody(
        self, late: int, resolver: str, loop: str, outcomes: Outcomes
    ) -> None:
        """The late answer arrives late, the other one before it."""
        six, four = outcomes[f"slow{late}", resolver, loop]
        slow, fast = (six, four) if late == 6 else (four, six)
        assert slow["took"] >= LATE
        assert fast["took"] < slow["took"]

    @pytest.mark.parametrize("lost", [6, 4])
    def test_a_lost_family_holds_up_nobody(
        self, lost: int, resolver: str, loop: str, outcomes: Outcomes
    ) -> None:
        """The other answer is there before the name server is given up."""
        six, four = outcomes[f"lost{lost}", resolver, loop]
        given_up, fast = (six, four) if lost == 6 else (four, six)
        assert given_up["took"] >= 1.0, "timeout:1 of resolv.conf, at least once"
        assert fast["took"] < given_up["took"]

    def test_the_shortest_time_to_live_of_a_chain_counts(
        self, resolver: str, loop: str, outcomes: Outcomes
    ) -> None:
        """c-ares says it, libc says none; both say the canonical name."""
        for outcome in outcomes["chain", resolver, loop]:
            assert outcome["ttl"] == (20 if resolver == "aiodns" else None)
            assert outcome["canonical"] == "end." + ZONE
            assert outcome["source"] == ("dns" if resolver == "aiodns" else "system")
