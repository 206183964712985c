"""What is dialled is what this host's ``getaddrinfo`` names, whatever it is configured for."""

from __future__ import annotations

import pytest

from ..support.needs import needs
from ..support.sweep import WHOLE, chance
from . import worlds

SEEDS = 500


@needs("mount namespace", "veth")
@pytest.mark.sweep
@pytest.mark.timeout(3600)
def test_what_is_dialled_is_what_getaddrinfo_names() -> None:
    """Random hosts files, nsswitch.conf, search lists and name servers; each resolver, each loop.

    And nothing is asked of a name server that libc does not ask for: no query leaves for a name
    that the hosts file has.
    """
    seeds = list(range(SEEDS))
    if not WHOLE:
        seeds = chance("worlds").sample(seeds, 16)
    assert worlds.differences(seeds) == []


def test_the_worlds_differ() -> None:
    """Silent servers, hosts files, search lists and families are among them."""
    made = [worlds.world(seed) for seed in range(SEEDS)]
    assert sum(world.is_silent for world in made) > SEEDS // 20
    assert {world.family for world in made} == {0, 2, 10}
    assert len({world.nsswitch for world in made}) > 10
    assert sum("search" in world.resolv for world in made) > SEEDS // 2
    assert sum("10.9" in world.hosts for world in made) > SEEDS // 4
