"""A name is one thing: one source, one search domain, for both families; in each resolver."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from ..support.loops import LOOPS
from ..support.needs import needs
from .behaviours import OTHER4, V4, V6
from .lab import RESOLV_CONF, RESOLVERS, Lab

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = needs("mount namespace", "veth")

INET, INET6 = 2, 10
BOTH = [INET6, INET]


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab() as inside:
        yield inside


def found(lab: Lab, resolver: str, name: str, families: list[int] = BOTH) -> dict[Any, Any]:
    """Return the addresses of each family, or the code and the words; the same on both loops."""
    by_loop = [
        {
            first: second if isinstance(second, list) else "raised"
            for first, second, _ in lab.call(
                "search", loop=loop, resolver=resolver, name=name, families=families
            )
        }
        for loop in LOOPS
    ]
    assert by_loop[0] == by_loop[1]
    return by_loop[0]


@pytest.mark.parametrize("resolver", RESOLVERS)
def test_a_name_of_the_hosts_file_has_no_address_elsewhere(resolver: str, lab: Lab) -> None:
    """DNS has an IPv6 address for it: that is another machine, and is not even asked for."""
    lab.call("write", name="hosts", text="10.1.1.1 both.fault.test\n0.0.0.0 only6.fault.test\n")
    try:
        before = lab.call("times_asked", name="both.fault.test")
        assert found(lab, resolver, "both.fault.test") == {INET6: [], INET: ["10.1.1.1"]}
        assert found(lab, resolver, "only6.fault.test") == {INET6: [], INET: ["0.0.0.0"]}
        assert lab.call("times_asked", name="both.fault.test") == before
    finally:
        lab.call("write", name="hosts", text="")


@pytest.mark.parametrize("resolver", RESOLVERS)
def test_the_first_search_domain_that_knows_a_name_ends_the_search(resolver: str, lab: Lab) -> None:
    """In either family: what the next domain has for the other one is another machine."""
    text = "nameserver 127.0.0.1\nsearch x.fault.test fault.test\noptions timeout:1 attempts:1\n"
    lab.call("write", name="resolv.conf", text=text)
    try:
        assert found(lab, resolver, "only4") == {INET6: [], INET: [V4]}
        assert found(lab, resolver, "only6") == {INET6: [V6], INET: []}
        assert lab.call("times_asked", name="only4.fault.test") == 0
    finally:
        lab.call("write", name="resolv.conf", text=RESOLV_CONF)


@pytest.mark.parametrize("resolver", RESOLVERS)
def test_a_full_name_is_not_looked_for_in_a_search_domain(resolver: str, lab: Lab) -> None:
    """Although the domain has a wildcard for the family that the name lacks."""
    text = "nameserver 127.0.0.1\nsearch both.fault.test\n"
    lab.call("write", name="resolv.conf", text=text)
    try:
        assert found(lab, resolver, "only4.fault.test") == {INET6: [], INET: [V4]}
    finally:
        lab.call("write", name="resolv.conf", text=RESOLV_CONF)


@pytest.mark.parametrize("resolver", RESOLVERS)
@pytest.mark.parametrize(
    ("name", "code"),
    [("absent.test", "host_not_found"), ("neither.fault.test", "no_data")],
)
def test_a_name_that_has_nothing_says_why_once(
    name: str, code: str, resolver: str, lab: Lab
) -> None:
    """Nothing is said of one family before that."""
    assert found(lab, resolver, name) == {code: "raised"}


@pytest.mark.parametrize("resolver", RESOLVERS)
def test_one_family_is_what_is_asked_for(resolver: str, lab: Lab) -> None:
    """As ``family=`` of asyncio has it."""
    assert found(lab, resolver, "both.fault.test", [INET]) == {INET: [V4]}
    assert found(lab, resolver, "both.fault.test", [INET6]) == {INET6: [V6]}
    assert found(lab, resolver, "only4.fault.test", [INET6]) == {"no_data": "raised"}


def test_ipv6_is_not_asked_for_where_resolv_conf_says_so(lab: Lab) -> None:
    """``options no-aaaa``: a network whose name server can't cope with it."""
    lab.call("write", name="resolv.conf", text="nameserver 127.0.0.1\noptions no-aaaa\n")
    try:
        assert found(lab, "aiodns", "lost6.n1.fault.test") == {INET6: [], INET: [V4]}
        assert found(lab, "aiodns", "both.fault.test", [INET6]) == {"no_data": "raised"}
    finally:
        lab.call("write", name="resolv.conf", text=RESOLV_CONF)


# A slow or a silent AAAA --------------------------------------------------------------------------


def first_ipv4(lab: Lab, resolver: str, name: str, loop: str) -> float:
    """Return after how many seconds the IPv4 address was known."""
    answers = lab.call("search", loop=loop, resolver=resolver, name=name, families=BOTH)
    (took,) = [took for family, addresses, took in answers if family == INET and addresses == [V4]]
    return float(took)


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("resolver", RESOLVERS)
def test_ipv4_does_not_wait_for_an_ipv6_that_never_comes(
    resolver: str, loop: str, lab: Lab
) -> None:
    """Libc waits for both: so IPv4 is asked for alone as well, after a moment."""
    name = f"lost6.{resolver.replace(' ', '-')}-{loop}.fault.test"
    assert first_ipv4(lab, resolver, name, loop) < 0.9


@pytest.mark.parametrize(
    ("name", "nsswitch", "why"),
    [
        ("lost6", "hosts: files dns\n", "a search domain may have it"),
        ("lost6.fault.test", "hosts: files nosuchsource dns\n", "another source may have it"),
        ("lost6.fault.test", "hosts: files [SUCCESS=continue] dns\n", "libc alone knows"),
    ],
)
def test_what_may_be_another_machine_waits_for_libc(
    name: str, nsswitch: str, why: str, lab: Lab
) -> None:
    """IPv4 by itself could be found elsewhere than both together."""
    lab.call("write", name="nsswitch.conf", text=nsswitch)
    try:
        assert first_ipv4(lab, "system", name, next(iter(LOOPS))) > 0.9, why
    finally:
        lab.call("write", name="nsswitch.conf", text="hosts: files dns\n")


def test_a_name_that_the_hosts_file_has_waits_for_nothing(lab: Lab) -> None:
    """DNS is not asked beside it."""
    lab.call("write", name="hosts", text=f"{OTHER4} lost6.hosts.fault.test.\n")
    try:
        assert found(lab, "system", "lost6.hosts.fault.test.") == {INET6: [], INET: [OTHER4]}
        assert lab.call("times_asked", name="lost6.hosts.fault.test") == 0
    finally:
        lab.call("write", name="hosts", text="")


# By DNS ourselves ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("search", "name", "expected"),
    [
        ("lost.fault.test fault.test", "both", {"try_again": "raised"}),
        ("refused.fault.test fault.test", "both", {"try_again": "raised"}),
        ("servfail.fault.test fault.test", "both", {INET6: [V6], INET: [V4]}),
        ("neither.fault.test fault.test", "both", {INET6: [V6], INET: [V4]}),
    ],
)
def test_a_search_domain_that_fails(
    search: str, name: str, expected: dict[Any, Any], lab: Lab
) -> None:
    """Silence ends the list, for the next domain would be another machine."""
    # ``both.lost.fault.test`` does what its second label says here.
    labels = search.split()[0].split(".")
    text = f"nameserver 127.0.0.1\nsearch {search}\noptions timeout:1 attempts:1\n"
    lab.call("write", name="resolv.conf", text=text)
    lab.call("misbehave", label=labels[0])
    try:
        assert found(lab, "aiodns", name) == expected
    finally:
        lab.call("misbehave", label="")
        lab.call("write", name="resolv.conf", text=RESOLV_CONF)


def test_behind_a_dead_search_domain_a_full_name_is_still_found(lab: Lab) -> None:
    """With ``ndots:5``, as in every Kubernetes pod: the name as it stands comes last."""
    text = (
        "nameserver 127.0.0.1\nsearch lost.fault.test x.test\n"
        "options ndots:5 timeout:1 attempts:1\n"
    )
    lab.call("write", name="resolv.conf", text=text)
    lab.call("misbehave", label="lost")
    try:
        assert found(lab, "aiodns", "both.fault.test") == {INET6: [V6], INET: [V4]}
    finally:
        lab.call("misbehave", label="")
        lab.call("write", name="resolv.conf", text=RESOLV_CONF)


def test_what_libc_would_not_ask_dns_for_is_not_asked(lab: Lab) -> None:
    """``files [NOTFOUND=return] dns``: the hosts file has the last word."""
    lab.call("write", name="nsswitch.conf", text="hosts: files [NOTFOUND=return] dns\n")
    try:
        before = lab.call("times_asked", name="both.fault.test")
        assert found(lab, "aiodns", "both.fault.test") == {"host_not_found": "raised"}
        assert lab.call("times_asked", name="both.fault.test") == before
    finally:
        lab.call("write", name="nsswitch.conf", text="hosts: files dns\n")


def test_dns_may_come_before_the_hosts_file(lab: Lab) -> None:
    """Then DNS's answer counts, and the file's where DNS has none."""
    lab.call("write", name="nsswitch.conf", text="hosts: dns files\n")
    lab.call("write", name="hosts", text="10.1.1.1 both.fault.test\n10.1.1.2 absent.test\n")
    try:
        assert found(lab, "aiodns", "both.fault.test") == {INET6: [V6], INET: [V4]}
        assert found(lab, "aiodns", "absent.test") == {INET6: [], INET: ["10.1.1.2"]}
    finally:
        lab.call("write", name="nsswitch.conf", text="hosts: files dns\n")
        lab.call("write", name="hosts", text="")
