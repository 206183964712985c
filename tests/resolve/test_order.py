"""RFC 6724, section 6, rule by rule; the sources are given, so nothing is asked of the host."""

from __future__ import annotations

import functools
import resource
import socket
import threading
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aioconnect.resolve import Answer, PolicyTable, order
from aioconnect.resolve.rfc6724 import number

from ..support.needs import needs

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

V4, V6 = int(socket.AF_INET), int(socket.AF_INET6)
RFC = PolicyTable()


def family(text: str) -> int:
    return V6 if ":" in text else V4


def sort(texts: str, sources: str, policy: PolicyTable = RFC) -> list[str]:
    """Sort the addresses of ``texts``; ``sources`` has the source of each, ``-`` for none."""
    addresses = texts.split()
    by_address = dict(zip(addresses, sources.split(), strict=True))

    def source(_: int, address: str) -> str | None:
        own = by_address[address]
        return None if own == "-" else own

    pairs = [(family(text), text) for text in addresses]
    return [text for _, text in order.sort(pairs, policy=policy, source=source)]


# The examples of RFC 6724, section 10.2, in its order: destinations, sources, result.
EXAMPLES = [
    ("2001:db8:1::1 198.51.100.121", "2001:db8:1::2 169.254.13.78", "2001:db8:1::1 198.51.100.121"),
    ("2001:db8:1::1 198.51.100.121", "fe80::1 198.51.100.117", "198.51.100.121 2001:db8:1::1"),
    ("2001:db8:1::1 10.1.2.3", "2001:db8:1::2 10.1.2.4", "2001:db8:1::1 10.1.2.3"),
    ("2001:db8:1::1 fe80::1", "2001:db8:1::2 fe80::2", "fe80::1 2001:db8:1::1"),
    ("2001:db8:1::1 2001:db8:3ffe::1", "2001:db8:1::2 2001:db8:3f44::2", None),
    ("2002:c633:6401::1 2001:db8:1::1", "2002:c633:6401::2 2002:c633:6401::2", None),
    (
        "2002:c633:6401::1 2001:db8:1::1",
        "2002:c633:6401::2 2001:db8:1::2",
        "2001:db8:1::1 2002:c633:6401::1",
    ),
]


@pytest.mark.parametrize(("destinations", "sources", "result"), EXAMPLES)
@pytest.mark.parametrize("turned", [False, True])
def test_the_examples_of_the_rfc(
    destinations: str, sources: str, result: str | None, turned: bool
) -> None:
    """Section 10.2, with the destinations in either order."""
    expected = (result or destinations).split()
    if turned:
        destinations = " ".join(reversed(destinations.split()))
        sources = " ".join(reversed(sources.split()))
    assert sort(destinations, sources) == expected


RULES = [
    ("rule 1: no route", "2001:db8::1 192.0.2.1", "- 10.0.0.1", "192.0.2.1 2001:db8::1"),
    ("rule 1 before 8", "fe80::1 2001:db8::1", "- 2001:db8::2", "2001:db8::1 fe80::1"),
    ("rule 1: all unusable, by precedence", "192.0.2.1 2001:db8::1", "- -", None),
    ("rule 2: matching scope", "2001:db8::1 10.0.0.1", "fe80::2 10.0.0.2", "10.0.0.1 2001:db8::1"),
    ("rule 2: IPv4 link-local", "192.0.2.1 169.254.0.1", "169.254.0.9 169.254.0.9", None),
    ("rule 5: label", "2001:db8::1 192.0.2.1", "2002::1 10.0.0.1", "192.0.2.1 2001:db8::1"),
    ("rule 5: ULA to global", "2001:db8::1 192.0.2.1", "fd00::1 10.0.0.1", None),
    ("rule 6: IPv6 first", "192.0.2.1 2001:db8::1", "10.0.0.1 2001:db8::2", None),
    ("rule 6: ::1 first", "127.0.0.1 ::1", "127.0.0.1 ::1", "::1 127.0.0.1"),
    ("rule 6: ULA after IPv4", "fd00::1 192.0.2.1", "fd00::2 10.0.0.1", "192.0.2.1 fd00::1"),
    ("rule 6: Teredo last", "2001::1 192.0.2.1", "2001::2 10.0.0.1", "192.0.2.1 2001::1"),
    ("rule 8: smaller scope", "2001:db8::1 fe80::1", "2001:db8::2 fe80::2", None),
    ("rule 9: IPv6", "2001:db8:f::1 2001:db8:1::1", "2001:db8:1::2 2001:db8:1::2", None),
    ("rule 9: the first 64 bits", "2001:db8::9 2001:db8::2", "2001:db8::3 2001:db8::3", "same"),
    ("rule 9: not IPv4", "192.0.2.9 10.0.0.2", "10.0.0.1 10.0.0.1", "same"),
    (
        "rule 10",
        "2001:db8::1 2001:db8::2 192.0.2.2 192.0.2.1",
        "2001:db8::9 2001:db8::9 10.0.0.1 10.0.0.1",
        "same",
    ),
    (
        "an IPv4-mapped address is IPv4",
        "::ffff:192.0.2.1 2001:db8::1",
        "::ffff:10.0.0.1 2001:db8::2",
        None,
    ),
    ("multicast has its own scope", "ff0e::1 ff02::1", "2001:db8::1 fe80::1", None),
]


@pytest.mark.parametrize(
    ("destinations", "sources", "result"),
    [rule[1:] for rule in RULES],
    ids=[rule[0] for rule in RULES],
)
def test_rule(destinations: str, sources: str, result: str | None) -> None:
    """``None``: the other way round; ``same``: as they were given."""
    given_order = destinations.split()
    expected = given_order[::-1] if result is None else result.split()
    if result == "same":
        expected = given_order
    assert sort(destinations, sources) == expected


def test_a_policy_may_prefer_ipv4() -> None:
    """The line that administrators uncomment in gai.conf."""
    policy = PolicyTable.parse("precedence ::ffff:0:0/96  100\n")
    assert sort("2001:db8::1 192.0.2.1", "2001:db8::2 10.0.0.1", policy)[0] == "192.0.2.1"


def test_rule_9_moves_ipv6_on_its_own_places_only() -> None:
    """Where a policy makes the families equal, IPv4 stays where it was."""
    policy = PolicyTable({"::/0": 40}, {"::/0": 1})
    near, far, source = "2001:db8::1", "3000::1", "2001:db8::9"
    texts = f"192.0.2.2 {far} 192.0.2.1 {near}"
    sources = f"10.0.0.1 {source} 10.0.0.1 {source}"
    assert sort(texts, sources, policy) == ["192.0.2.2", near, "192.0.2.1", far]


# A comparator written from the text of the RFC, pair by pair --------------------------------------


def compare(policy: PolicyTable, sources: Mapping[str, str | None], a: str, b: str) -> int:
    """Section 6: negative if ``a`` is preferred."""

    def prefer(first: bool, second: bool) -> int:
        return second - first

    def value(text: str) -> int:
        return number(family(text), text)

    own_a, own_b = sources[a], sources[b]
    if own_a is None or own_b is None:
        if (own_a is None) != (own_b is None):
            return prefer(own_a is not None, own_b is not None)
        by_precedence = policy.precedence(value(b)) - policy.precedence(value(a))
        return by_precedence or policy.scope(value(a)) - policy.scope(value(b))
    for rule in (policy.scope, policy.label):  # rules 2 and 5
        matches = prefer(rule(value(own_a)) == rule(value(a)), rule(value(own_b)) == rule(value(b)))
        if matches:
            return matches
    by_precedence = policy.precedence(value(b)) - policy.precedence(value(a))  # rule 6
    if by_precedence:
        return by_precedence
    by_scope = policy.scope(value(a)) - policy.scope(value(b))  # rule 8
    if by_scope:
        return by_scope
    if family(a) == family(b) == V6:  # rule 9

        def common(own: str, text: str) -> int:
            bits = f"{value(own) ^ value(text):0128b}"[:64]
            return len(bits) - len(bits.lstrip("0"))

        return common(own_b, b) - common(own_a, a)
    return 0


POOL = [
    "::1",
    "2001:db8::1",
    "2001:db8:1::1",
    "2001:db8:1:2::1",
    "2002:c000:201::1",
    "2001::5",
    "fd00::1",
    "fd12:3::1",
    "fe80::1",
    "fec0::1",
    "3ffe::1",
    "64:ff9b::1",
    "::ffff:192.0.2.5",
    "127.0.0.1",
    "10.0.0.1",
    "192.0.2.1",
    "198.51.100.7",
    "169.254.0.1",
    "203.0.113.9",
]


@settings(max_examples=500, deadline=None)
@given(data=st.data(), texts=st.lists(st.sampled_from(POOL), unique=True, max_size=8))
def test_it_is_what_the_rfc_says_pair_by_pair(data: st.DataObject, texts: list[str]) -> None:
    """With any sources; the same whatever the order was, but for what no rule tells apart."""
    sources = {
        text: data.draw(
            st.sampled_from([None, *(own for own in POOL if family(own) == family(text))])
        )
        for text in texts
    }
    pairs = [(family(text), text) for text in texts]
    by_rules = order.sort(pairs, policy=RFC, source=lambda _, text: sources[text])
    compared = functools.cmp_to_key(functools.partial(compare, RFC, sources))
    assert [text for _, text in by_rules] == sorted(texts, key=compared)


# The host's own sources ---------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def nothing_is_kept() -> Iterator[None]:
    order._sources.clear()
    order._orders.clear()
    yield
    order._sources.clear()
    order._orders.clear()


def info(text: str, scope: int = 0, port: int = 80) -> tuple[Any, ...]:
    address = (text, port, 0, scope) if ":" in text else (text, port)
    return (family(text), int(socket.SOCK_STREAM), 6, "", address)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, str]]:
    """Note the destinations for which a socket is made."""
    asked: list[tuple[int, str]] = []
    really = order._ask_for_source

    def ask(family: int, address: str) -> str | None:
        asked.append((family, address))
        return really(family, address)

    monkeypatch.setattr(order, "_ask_for_source", ask)
    return asked


def test_loopback_is_reached_from_itself() -> None:
    """A connected UDP socket says so, and no packet is sent."""
    assert order.source_of(V4, "127.0.0.1") == "127.0.0.1"
    assert order.source_of(V4, "127.1.2.3") == "127.0.0.1"


@pytest.mark.parametrize("text", ["255.255.255.255", "0.0.0.0:1", "nonsense"])
def test_where_there_is_no_way_there_is_no_source(text: str) -> None:
    """Forbidden, unreachable or nonsense: the destination counts as unusable."""
    assert order.source_of(V4, text) is None


def test_a_link_local_address_needs_its_interface() -> None:
    """An interface that does not exist is no way there."""
    assert order.source_of(V6, "fe80::1%no-such-if") is None


@pytest.mark.parametrize(
    "texts",
    [(), ("::1",), ("192.0.2.1",), ("192.0.2.1", "10.0.0.1", "127.0.0.1", "169.254.0.1")],
)
def test_one_address_or_ipv4_alone_costs_nothing(
    texts: tuple[str, ...], made: list[tuple[int, str]]
) -> None:
    """No socket, and the very same list: round-robin IPv4 stays as answered."""
    infos = [info(text) for text in texts]
    assert order.sorted_for_dialling(infos) is infos
    assert made == []


def test_localhost_is_ipv6_first_and_remembered(made: list[tuple[int, str]]) -> None:
    """The second time nothing is asked of the host, for whatever port."""
    infos = [info("127.0.0.1"), info("::1")]
    first = order.sorted_for_dialling(infos)
    assert sorted(first) == sorted(infos)
    asked = len(made)
    assert asked == 2
    assert order.sorted_for_dialling(list(infos)) == first
    order.sorted_for_dialling([info("127.0.0.1", port=81), info("::1", port=81)])
    assert len(made) == asked


def test_what_was_found_out_is_kept_for_some_seconds(
    made: list[tuple[int, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then the routes are asked again."""
    now = 100.0
    monkeypatch.setattr(order, "monotonic", lambda: now)
    infos = [info("::1"), info("127.0.0.1")]
    for _ in range(3):
        order.sorted_for_dialling(infos)
    assert len(made) == 2
    now += order.KEEP_SOURCES
    order.sorted_for_dialling(infos)
    assert len(made) == 4


def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many names a program dials."""
    monkeypatch.setattr(order, "_ask_for_source", lambda *_: None)
    for n in range(5000):
        order.sorted_for_dialling([info(f"2001:db8::{n:x}"), info(f"10.0.{n >> 8}.{n & 255}")])
    assert len(order._sources) <= 1024
    assert len(order._orders) <= 1024


def test_without_a_descriptor_the_order_stays_and_is_not_kept() -> None:
    """Sorting is no reason for a call to fail."""
    infos = [info("127.0.0.1"), info("::1")]
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        assert order.sorted_for_dialling(infos) is infos
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert order._orders == {}


def test_other_families_stay_as_they_are() -> None:
    """A path has no policy."""
    infos = [(int(socket.AF_UNIX), 1, 0, "", "/path"), info("::1"), info("127.0.0.1")]
    assert order.sorted_for_dialling(infos) == infos


def test_a_scope_id_stays_with_its_address(monkeypatch: pytest.MonkeyPatch) -> None:
    """It says through which interface: two such addresses have two sources."""
    seen: list[str] = []
    monkeypatch.setattr(order, "_ask_for_source", lambda _, text: seen.append(text))
    order.sorted_for_dialling([info("fe80::1", scope=2), info("fe80::1", scope=3)])
    assert seen == ["fe80::1%2", "fe80::1%3"]


def test_threads_may_sort_together() -> None:
    """What is kept is shared, and nobody trips over it."""
    broken: list[BaseException] = []

    def run(seed: int) -> None:
        try:
            for n in range(300):
                texts = ["127.0.0.1", "::1", f"127.0.0.{(n * seed) % 50}"]
                assert len(order.sorted_for_dialling([info(text) for text in texts])) == 3
        except BaseException as exc:
            broken.append(exc)

    users = [threading.Thread(target=run, args=(seed,)) for seed in range(1, 5)]
    for user in users:
        user.start()
    for user in users:
        user.join()
    assert not broken


# The addresses of a name --------------------------------------------------------------------------


def answer(*addresses: str, places: tuple[int, ...] | None = None) -> Answer:
    return Answer(addresses, family=family(addresses[0]), places=places)


def dialled(*answers: Answer, most: int = 32) -> list[str]:
    found = order.arranged(answers, 80, socket.SOCK_STREAM, most)
    return [endpoint[4][0] for endpoint in found]


def test_what_libc_has_sorted_stays_in_its_order(made: list[tuple[int, str]]) -> None:
    """It knows what can't be seen from here: deprecated addresses, home addresses, tunnels."""
    six = answer("2001:db8::1", "2001:db8::2", places=(1, 3))
    four = answer("10.0.0.1", "10.0.0.2", places=(0, 2))
    assert dialled(six, four) == ["10.0.0.1", "2001:db8::1", "10.0.0.2", "2001:db8::2"]
    assert dialled(six) == ["2001:db8::1", "2001:db8::2"]
    assert made == []


@needs("ipv6")
def test_what_libc_has_not_sorted_as_a_whole_is_sorted_here() -> None:
    """One family came earlier than libc's answer, or from a name server."""
    four, six = answer("127.0.0.1"), answer("::1", places=(0,))
    assert dialled(four, six) == dialled(six, four) == ["::1", "127.0.0.1"]


def test_what_is_known_to_be_absent_changes_nothing() -> None:
    """A family without an address has no place."""
    absent = Answer((), family=V6)
    assert dialled(absent, answer("10.0.0.2", "10.0.0.1")) == ["10.0.0.2", "10.0.0.1"]
    assert dialled(absent) == []


def test_each_address_is_dialled_once() -> None:
    """However often it was answered."""
    assert dialled(answer("10.0.0.1", "10.0.0.2", "10.0.0.1")) == ["10.0.0.1", "10.0.0.2"]
    twice = answer("10.0.0.2", "10.0.0.1", "10.0.0.2", places=(0, 1, 2))
    assert dialled(twice) == ["10.0.0.2", "10.0.0.1"]


def test_an_endpoint_is_what_getaddrinfo_gives() -> None:
    """With the scope of a link-local address as a number, or the interface's name."""
    (four,) = order.arranged([answer("10.0.0.1")], 80, socket.SOCK_STREAM, 32)
    assert four == (V4, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("10.0.0.1", 80))
    for zone, scope in (("3", 3), ("lo", "lo")):
        (six,) = order.arranged([answer(f"fe80::1%{zone}")], 53, socket.SOCK_DGRAM, 32)
        assert six[1:] == (socket.SOCK_DGRAM, socket.IPPROTO_UDP, "", ("fe80::1", 53, 0, scope))


@pytest.mark.parametrize(
    ("sixes", "fours", "most", "kept"),
    [
        (5, 5, 32, (5, 5)),
        (40, 0, 32, (32, 0)),
        (0, 40, 32, (0, 32)),
        (40, 40, 32, (24, 8)),
        (40, 3, 32, (29, 3)),
        (1000, 1000, 32, (24, 8)),
        (10, 10, 10, (5, 5)),
        (10, 10, 1, (1, 0)),
        (10, 10, 2, (1, 1)),
    ],
)
def test_no_more_are_dialled_than_is_of_use(
    sixes: int, fours: int, most: int, kept: tuple[int, int]
) -> None:
    """Of the family that is less preferred up to eight are kept: the other one may be broken."""
    six = [f"2001:db8::{number:x}" for number in range(1, sixes + 1)]
    four = [f"10.0.{number >> 8}.{number & 255}" for number in range(1, fours + 1)]
    answers = [
        Answer(tuple(texts), family=of, places=tuple(range(start, start + len(texts))))
        for texts, of, start in ((six, V6, 0), (four, V4, 10_000))
    ]
    found = dialled(*answers, most=most)
    assert found == [*six[: kept[0]], *four[: kept[1]]]


def test_a_long_answer_is_not_remembered(made: list[tuple[int, str]]) -> None:
    """A name server may have thousands, for as many names as a stranger likes."""
    order._orders.clear()
    for subnet in range(50):
        dialled(Answer(tuple(f"10.{subnet}.0.{n}" for n in range(1, 100)), family=V4))
    assert not order._orders
    dialled(answer("10.0.0.1"))
    assert len(order._orders) == 1


def test_an_order_found_for_lack_of_a_descriptor_is_not_remembered() -> None:
    """Six seconds later it would still be wrong."""
    order._orders.clear()
    answers = (answer("2001:db8:77::1"), answer("10.77.0.1"))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        assert dialled(*answers) == ["2001:db8:77::1", "10.77.0.1"]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert not order._orders
