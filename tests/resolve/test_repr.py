"""What a resolver prints, for a log and a debugger: where its answers are from."""

from __future__ import annotations

import socket

from aioconnect import Dialer
from aioconnect.resolve import AiodnsResolver, Answer, Cache, StaticResolver, SystemResolver


def test_the_system() -> None:
    """With its flags, as it is written."""
    assert repr(SystemResolver()) == "SystemResolver(flags=0)"


def test_a_mapping() -> None:
    """Its name, or how many; and who is asked for the others."""
    assert repr(StaticResolver({"db.test": "10.0.0.1"})) == "<StaticResolver of db.test>"
    names = StaticResolver({"a.test": "10.0.0.1", "b.test": "::1"}, SystemResolver())
    assert repr(names) == "<StaticResolver of 2 names, else SystemResolver(flags=0)>"


class Names:
    """A resolver of somebody else."""

    async def lookup(self, name: str, family: int, /) -> Answer:
        """Answer the same for every name."""
        return Answer(("10.0.0.1",))

    def __repr__(self) -> str:
        return "Names()"


async def test_a_cache() -> None:
    """Whose answers it keeps, and how many."""
    cache = Cache(Names(), size=100)
    assert repr(cache) == "<Cache of Names(): 0 of 100 names>"
    await cache.lookup("db.test", socket.AF_INET)
    assert repr(cache) == "<Cache of Names(): 1 of 100 names>"


def test_dns() -> None:
    """Its servers."""
    assert repr(AiodnsResolver()) == "<AiodnsResolver of resolv.conf>"
    servers = ["10.0.0.53", "[::1]:5353"]
    assert repr(AiodnsResolver(servers)) == "<AiodnsResolver of 10.0.0.53:53, [::1]:5353>"


def test_the_options_of_a_dialer_show_it() -> None:
    """One line of a log says where names come from."""
    dialer = Dialer(resolver=StaticResolver({"db.test": "10.0.0.1"}))
    assert repr(dialer) == "Dialer(resolver=<StaticResolver of db.test>)"
