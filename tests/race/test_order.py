"""The order in which the addresses of one name are dialled (RFC 8305, section 4)."""

from __future__ import annotations

import socket

import pytest

from aioconnect.race import Race

from .simulation import AF, offer, starts, word


@pytest.mark.parametrize(
    ("offered", "interleave", "dialled"),
    [
        pytest.param("6a 6b 4a 4b", 1, "6a 4a 6b 4b", id="the families alternate"),
        pytest.param("4a 6a 6b", 1, "4a 6a 6b", id="the first family is the first address's"),
        pytest.param("6a 6b 6c 4a", 1, "6a 4a 6b 6c", id="what is left over comes last"),
        pytest.param("4a 4b 4c 6a 6b", 1, "4a 6a 4b 6b 4c", id="more of the first than the other"),
        pytest.param("6a 4a 4b 4c", 1, "6a 4a 4b 4c", id="more of the other than of the first"),
        pytest.param("6c 6a 6b", 1, "6c 6a 6b", id="one family keeps its order"),
        pytest.param("6b 4b 6a 4a", 1, "6b 4b 6a 4a", id="the order within a family stays"),
        pytest.param("6a 4a 6a 4a 6b 6b", 1, "6a 4a 6b", id="an address twice is dialled once"),
        pytest.param("6a 6a 6b 4a 4b", 1, "6a 4a 6b 4b", id="and takes no second place"),
        pytest.param("6a 6a 6b 4a", 2, "6a 6b 4a", id="nor counts twice among the first"),
        pytest.param("6a 6b 6c 6d 4a 4b", 2, "6a 6b 4a 6c 4b 6d", id="two of the first family"),
        pytest.param("6a 6b 4a 4b", 9, "6a 6b 4a 4b", id="more first ones than there are"),
        pytest.param("6a 4a 4b", 2, "6a 4a 4b", id="two of a first family of one"),
        pytest.param("", 1, "", id="nothing"),
        pytest.param("4a", 1, "4a", id="one"),
    ],
)
def test_families_alternate_and_keep_their_order(
    offered: str, interleave: int, dialled: str
) -> None:
    """Addresses are interleaved by family, stable within each, duplicates dropped."""
    race = Race(interleave=interleave, delay=0.0, slots=99)
    offer(race, offered)
    assert " ".join(map(word, starts(race, 0.0))) == dialled


def test_addresses_that_differ_in_port_or_scope_are_different() -> None:
    """A duplicate is the same socket address, not the same host."""
    six, stream = AF["6"], int(socket.SOCK_STREAM)
    addresses = [("fe80::1", 80, 0, 1), ("fe80::1", 80, 0, 2), ("fe80::1", 81, 0, 1)]
    race = Race(delay=0.0)
    race.offer(0, [(six, stream, 0, "", address) for address in addresses + addresses], 0.0)
    assert [attempt.endpoint[4] for attempt in starts(race, 0.0)] == addresses
