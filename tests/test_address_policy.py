"""Which addresses a policy allows: each row of IANA's registries, in each form that holds IPv4.

What is expected is computed here a second time, the slow way, with ``ipaddress`` and plain loops.
"""

from __future__ import annotations

import copy
import ipaddress
import pickle
import socket
import sys
from datetime import date
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

import aioconnect
from aioconnect import AddressPolicy, Verdict, special_addresses
from aioconnect.address_policy import NamedEndpoint, refusal
from aioconnect.targets import endpoint, parse

from .registries import reminder
from .support import children
from .support.children import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Network = IPv4Network | IPv6Network
    Address = IPv4Address | IPv6Address

PUBLIC = AddressPolicy.public()

STREAM, DATAGRAM = int(socket.SOCK_STREAM), int(socket.SOCK_DGRAM)
V4, V6, UNIX = int(socket.AF_INET), int(socket.AF_INET6), int(socket.AF_UNIX)

REACHABLE: dict[Network, bool] = {
    ip_network("0.0.0.0/0"): True,
    ip_network("::/0"): False,
    ip_network(special_addresses.IPV6_UNICAST): False,
    **{ip_network(text): True for text in special_addresses.IPV6_ASSIGNED},
    **{
        ip_network(text): reachable
        for text, _, reachable in (*special_addresses.IPV4, *special_addresses.IPV6)
    },
}

NAT64_KNOWN = IPv6Network("64:ff9b::/96")


def reachable(address: Address) -> bool:
    """Say what the smallest block around an address says; a mapped address is what it holds."""
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    around = [network for network in REACHABLE if address in network]
    return REACHABLE[max(around, key=lambda network: network.prefixlen)]


# The rows -----------------------------------------------------------------------------------------


def borders(network: Network) -> Iterator[Address]:
    """Yield the first and the last address of a network, and the one before and beyond."""
    first, last = network[0], network[-1]
    for number in (int(first) - 1, int(first), int(last), int(last) + 1):
        if 0 <= number < 2**network.max_prefixlen:
            yield type(first)(number)


BORDERS = sorted({str(address) for network in REACHABLE for address in borders(network)})
IPV4 = [IPv4Address(text) for text in BORDERS if ":" not in text]


def test_the_registries_are_whole() -> None:
    """Each block once."""
    assert len(special_addresses.IPV4) == 26 + 1  # and multicast
    assert len(special_addresses.IPV6) == 25 + 2  # and multicast, and site-local
    assert len(special_addresses.IPV6_ASSIGNED) == 34
    assert len(REACHABLE) == 3 + 27 + 27 + 34


STANDARD_LIBRARY_ERRS = {
    *("224.0.0.0/4", "ff00::/8", "fec0::/10"),  # multicast and site-local are global to it
    *("192.88.99.0/24", "192.88.99.2/32"),  # so is what was given back
    *("100:0:0:1::/64", "3fff::/20", "5f00::/16"),  # newer than its lists
    "2001:1::3/128",  # likewise
}
"""Blocks for which ``is_global`` says something else than the registries."""
ERRED_BEFORE_3_13 = {
    *("192.0.0.0/24", "192.0.0.8/32", "64:ff9b:1::/48", "2002::/16"),
    *("2001:1::1/128", "2001:1::2/128", "2001:3::/32", "2001:4:112::/48", "2001:20::/28"),
    "2001:30::/28",
}


def test_the_rows_are_those_of_the_standard_library() -> None:
    """A third copy of the registries, as far as it goes."""
    rows = (*special_addresses.IPV4, *special_addresses.IPV6)
    differ = {text for text, _, globally in rows if ip_network(text)[-1].is_global is not globally}
    errs = STANDARD_LIBRARY_ERRS | (ERRED_BEFORE_3_13 if sys.version_info < (3, 13) else set())
    assert differ <= errs
    assert {"224.0.0.0/4", "ff00::/8"} <= differ, "the reason why there is a table of our own"


def test_each_border_of_each_row() -> None:
    """The first and last address of a row, the one before, and the one beyond."""
    for text in BORDERS:
        address = ip_address(text)
        inside = IPv4Address(int(address) & 0xFFFFFFFF)
        expected = reachable(address) and (address not in NAT64_KNOWN or reachable(inside))
        assert PUBLIC.check(text, 80).allowed is expected, text


class Form(NamedTuple):
    """A way in which an IPv6 address holds an IPv4 address."""

    words: str
    outer: bool
    """Whether the registries let it pass, if what it holds passes."""
    wrap: Callable[[IPv4Address], IPv6Address]


def behind(prefix: str, shift: int = 0) -> Callable[[IPv4Address], IPv6Address]:
    """Return the function that puts IPv4 addresses into a prefix, so many bits from the end."""
    return lambda address: IPv6Address(int(IPv6Address(prefix)) | int(address) << shift)


FORMS = {
    "mapped": Form("", True, behind("::ffff:0:0")),
    "compatible": Form("IPv4-compatible form of ", False, behind("::")),
    "translated": Form("IPv4-translated form of ", False, behind("::ffff:0:0:0")),
    "NAT64": Form("NAT64 of ", True, behind("64:ff9b::")),
    "NAT64 for local use": Form("NAT64 of ", False, behind("64:ff9b:1::")),
    "6to4": Form("6to4 of ", False, behind("2002::", 80)),
    "6to4 with a host": Form("6to4 of ", False, behind("2002::1:2:3:4", 80)),
    "Teredo, the server": Form(
        "Teredo server of ", False, behind(f"2001::{0xF7F7:x}:{0xF7F7:x}", 64)
    ),
    "Teredo, the client": Form(
        "Teredo client of ",
        False,
        lambda address: IPv6Address(0x20010000_08080808 << 64 | int(address) ^ 0xFFFFFFFF),
    ),
    "ISATAP": Form("ISATAP of ", True, behind("2a00::5efe:0:0")),
    "ISATAP of a global address": Form("ISATAP of ", True, behind("2a00::200:5efe:0:0")),
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_each_border_in_each_form(form: Form) -> None:
    """What is denied is denied in each form, and says what it holds."""
    for address in IPV4:
        held = form.wrap(address)
        if int(held) > 1:  # :: and ::1 hold nothing
            inside, verdict = PUBLIC.check(str(address), 80), PUBLIC.check(str(held), 80)
            assert verdict.allowed is (inside.allowed and form.outer), (held, verdict)
            if not inside.allowed:
                assert verdict.rule == form.words + inside.rule, held


NAT64 = {
    # RFC 6052, section 2.4, with its own example 192.0.2.33 in the place of the address
    32: "2001:db8:{0}{1}:{2}{3}::",
    40: "2001:db8:1{0}:{1}{2}:{3}::",
    48: "2001:db8:122:{0}{1}:{2}:{3}00::",
    56: "2001:db8:122:3{0}:{1}:{2}{3}::",
    64: "2001:db8:122:344:{0}:{1}{2}:{3}00::",
    96: "2001:db8:122:344::{0}{1}:{2}{3}",
}
PREFIXES = {
    32: "2001:db8::/32",
    40: "2001:db8:100::/40",
    48: "2001:db8:122::/48",
    56: "2001:db8:122:300::/56",
    64: "2001:db8:122:344::/64",
    96: "2001:db8:122:344::/96",
}


def in_nat64(length: int, address: IPv4Address) -> str:
    """Write an IPv4 address as the table of RFC 6052, section 2.4 does."""
    return NAT64[length].format(*(f"{octet:02x}" for octet in address.packed))


def test_the_examples_of_the_rfc_are_written_so() -> None:
    """Those of RFC 6052, section 2.4."""
    example = IPv4Address("192.0.2.33")
    assert [str(ip_address(in_nat64(length, example))) for length in NAT64] == [
        "2001:db8:c000:221::",
        "2001:db8:1c0:2:21::",
        "2001:db8:122:c000:2:2100::",
        "2001:db8:122:3c0:0:221::",
        "2001:db8:122:344:c0:2:2100:0",
        "2001:db8:122:344::c000:221",
    ]


@pytest.mark.parametrize("length", NAT64)
def test_each_border_behind_each_nat64_prefix(length: int) -> None:
    """A prefix that was given is allowed for what is public, although it is documentation."""
    policy = AddressPolicy.public(nat64=[PREFIXES[length]])
    for address in IPV4:
        held = in_nat64(length, address)
        inside, verdict = PUBLIC.check(str(address)), policy.check(held)
        assert verdict.allowed is inside.allowed, held
        if not inside.allowed:
            assert verdict.rule == f"NAT64 of {inside.rule}", held
        assert not PUBLIC.check(held), held


def test_bits_64_to_71_of_a_nat64_address_are_zero() -> None:
    """No gateway makes another, and what one makes of it is anybody's guess."""
    policy = AddressPolicy.public(nat64=["2001:db8::/32"])
    assert policy.check("2001:db8:808:808::")
    assert policy.check("2001:db8:808:808:100::") == Verdict(
        False, "not an address of its NAT64 prefix"
    )


def test_a_prefix_for_local_use_is_read_as_it_was_given() -> None:
    """Of ``64:ff9b:1::/48`` any part can be a prefix; the one that is used has to be named."""
    policy = AddressPolicy.public(nat64=["64:ff9b:1::/48"])
    assert policy.check("64:ff9b:1:808:8:800::")
    assert policy.check("64:ff9b:1:7f00:0:100::").rule == "NAT64 of 127.0.0.0/8 (loopback)"
    policy = AddressPolicy.public(nat64=["64:ff9b:1:fffe::/96"])
    assert policy.check("64:ff9b:1:fffe::808:808")
    assert not policy.check("64:ff9b:1:ffff::808:808")


WRONG_ELSEWHERE = {
    # what is_global of some version calls global
    "224.0.0.1": "224.0.0.0/4 (multicast)",
    "239.1.1.1": "224.0.0.0/4 (multicast)",
    "192.88.99.1": "192.88.99.0/24 (6to4 relay anycast, deprecated)",
    "::127.0.0.1": "IPv4-compatible form of 127.0.0.0/8 (loopback)",
    "::ffff:0:127.0.0.1": "IPv4-translated form of 127.0.0.0/8 (loopback)",
    "64:ff9b::7f00:1": "NAT64 of 127.0.0.0/8 (loopback)",
    "64:ff9b::a9fe:a9fe": "NAT64 of 169.254.0.0/16 (link local)",
    "64:ff9b:1::808:808": "64:ff9b:1::/48 (NAT64 for local use)",
    "fec0::1": "fec0::/10 (site local, deprecated)",
    "ff02::1": "ff00::/8 (multicast)",
    "ff0e::1": "ff00::/8 (multicast)",
    "5f00::1": "5f00::/16 (segment routing identifiers)",
    "3fff::1": "3fff::/20 (documentation)",
    "2002:7f00:1::": "6to4 of 127.0.0.0/8 (loopback)",
    "2002:a9fe:a9fe::": "6to4 of 169.254.0.0/16 (link local)",
    "2002:808:808::1": "2002::/16 (6to4)",
    # this host
    "0.0.0.0": "0.0.0.0/32 (this host)",
    "::": "::/128 (unspecified, this host)",
    "::1": "::1/128 (loopback)",
    "127.0.0.1": "127.0.0.0/8 (loopback)",
    "::ffff:127.0.0.1": "127.0.0.0/8 (loopback)",
    # the metadata addresses of clouds
    "169.254.169.254": "169.254.0.0/16 (link local)",
    "100.100.100.200": "100.64.0.0/10 (shared address space)",
    "192.0.0.192": "192.0.0.0/24 (IETF protocol assignments)",
    "fd00:ec2::254": "fc00::/7 (unique local)",
    # nobody's
    "4000::1": "not in 2000::/3",
    "3ffe::1": "not assigned by IANA",
    "2d00::1": "not assigned by IANA",
    # no addresses, or none that all programs read alike
    "2130706433": "not a numeric address",
    "0x7f.1": "not a numeric address",
    "127.1": "not a numeric address",
    "010.0.0.1": "not a numeric address",
    "127.0.0.1 ": "not a numeric address",
    "8.8.8.8\0": "not a numeric address",
    "\uff18.8.8.8": "not a numeric address",
    "\ud800": "not a numeric address",
    "[2606:4700::1111]": "not a numeric address",
    "8.8.8.8:80": "not a numeric address",
    "localhost": "not a numeric address",
    "<broadcast>": "not a numeric address",
    "": "not a numeric address",
    "1" * 1_000_000: "not a numeric address",
    ":" * 1_000_000: "not a numeric address",
    # zones
    "fe80::1%eth0": "an IPv6 zone",
    "2606:4700::1111%1": "an IPv6 zone",
    "8.8.8.8%1": "an IPv6 zone",
}


@pytest.mark.parametrize(
    ("text", "rule"), WRONG_ELSEWHERE.items(), ids=lambda text: ascii(text[:32])
)
def test_what_is_denied_says_by_what(text: str, rule: str) -> None:
    """The rule is the row of the registry, and how the address holds it."""
    assert PUBLIC.check(text, 80) == Verdict(False, rule)


@pytest.mark.parametrize(
    "text",
    [
        *("8.8.8.8", "1.1.1.1", "126.255.255.255", "128.0.0.0", "192.0.0.9", "223.255.255.255"),
        *("2606:4700::1111", "2a02:6b8::2:242", "2001:4860:4860::8888", "2410::1", "2001:1::1"),
        *("::ffff:8.8.8.8", "64:ff9b::808:808", "2A02:06B8::2:242", "2a00::5efe:8.8.8.8"),
    ],
)
def test_the_public_internet_is_allowed(text: str) -> None:
    """Also through NAT64, and as IPv4 in IPv6 notation."""
    assert PUBLIC.check(text, 80)
    assert PUBLIC.check(text)


@given(st.ip_addresses())
def test_any_address_is_judged_by_the_smallest_block_around_it(address: Address) -> None:
    """As the slow way has it; nothing falls between two intervals."""
    held: list[Any] = []
    if isinstance(address, IPv6Address):
        held = [address.sixtofour, *(address.teredo or ())]
        if int(address) >> 32 in (0, 0xFFFF0000, 0x64FF9B << 64) and int(address) > 1:
            held.append(IPv4Address(int(address) & 0xFFFFFFFF))
        if int(address) >> 32 & 0xFDFFFFFF == 0x5EFE:
            held.append(IPv4Address(int(address) & 0xFFFFFFFF))
    expected = reachable(address) and all(reachable(each) for each in held if each is not None)
    assert PUBLIC.check(str(address)).allowed is expected


# What a program names -----------------------------------------------------------------------------


@st.composite
def networks(draw: st.DrawFn) -> Network:
    """Networks of a few neighbouring addresses, so that they nest, and of all sizes."""
    kind = draw(st.sampled_from([IPv4Network, IPv6Network]))
    width = 32 if kind is IPv4Network else 128
    length = draw(st.sampled_from([0, 1, 8, width - 4, width - 3, width - 1, width]))
    # Around a public address of either family.
    base = 0x08080800 if kind is IPv4Network else 0x2A0206B8 << 96
    number = base + draw(st.integers(0, 16))
    return kind((number >> (width - length) << (width - length), length))


@given(st.lists(networks(), max_size=6), st.lists(networks(), max_size=6), st.booleans())
def test_deny_beats_allow_and_allow_beats_the_registries(
    allow: list[Network], deny: list[Network], registries: bool
) -> None:
    """Whatever their sizes, and in whatever order they stand."""
    if registries:
        policy = AddressPolicy.public(allow=allow, deny=deny)
    elif allow:
        policy = AddressPolicy.only(*allow, deny=deny)
    else:
        return
    for number in range(-1, 18):
        for address in (IPv4Address(0x08080800 + number), IPv6Address((0x2A0206B8 << 96) + number)):
            expected = (
                (registries and reachable(address)) or any(address in each for each in allow)
            ) and not any(address in each for each in deny)
            assert policy.check(str(address)).allowed is expected, (address, allow, deny)


def test_a_named_block_is_the_rule() -> None:
    """In the spelling of the registry, whoever named it."""
    policy = AddressPolicy.public(allow=["10.1.2.3/32", "10.9.0.0/16"], deny=["10.9.9.0/24"])
    assert policy.check("10.1.2.3") == Verdict(True, "10.1.2.3/32 (allow)")
    assert policy.check("10.9.0.1") == Verdict(True, "10.9.0.0/16 (allow)")
    assert policy.check("10.9.9.1") == Verdict(False, "10.9.9.0/24 (deny)")
    assert policy.check("10.1.2.4") == Verdict(False, "10.0.0.0/8 (private use)")
    assert policy.check("64:ff9b::a09:901") == Verdict(False, "NAT64 of 10.9.9.0/24 (deny)")
    assert AddressPolicy.only("10.0.0.0/8").check("11.0.0.0") == Verdict(False, "not named")


def test_what_an_address_holds_is_judged_also_where_the_form_is_allowed() -> None:
    """To allow 6to4 is not to allow loopback in it."""
    policy = AddressPolicy.public(allow=["2002::/16"])
    assert policy.check("2002:808:808::1")
    assert policy.check("2002:7f00:1::1").rule == "6to4 of 127.0.0.0/8 (loopback)"
    everything = AddressPolicy.public(allow=["::/0"])
    assert everything.check("fd00::1")
    assert everything.check("64:ff9b::7f00:1").rule == "NAT64 of 127.0.0.0/8 (loopback)"
    assert everything.check("::ffff:127.0.0.1").rule == "127.0.0.0/8 (loopback)"


def test_only_wants_both_named_what_holds_and_what_is_held() -> None:
    """Mapped is the same address; NAT64 needs its prefix."""
    policy = AddressPolicy.only("10.0.0.0/8")
    assert policy.check("::ffff:10.1.2.3")
    assert not policy.check("64:ff9b::a01:203")
    assert not policy.check("2002:a01:203::")
    assert not policy.check("::10.1.2.3")
    assert AddressPolicy.only("10.0.0.0/8", nat64=["64:ff9b::/96"]).check("64:ff9b::a01:203")
    assert not AddressPolicy.only("10.0.0.0/8", nat64=["64:ff9b::/96"]).check("64:ff9b::b01:203")
    assert AddressPolicy.only("10.0.0.0/8", "2002::/16").check("2002:a01:203::")
    assert not AddressPolicy.only("2002::/16").check("2002:a01:203::")


def test_networks_of_the_standard_library_are_networks() -> None:
    """And its addresses are addresses."""
    policy = AddressPolicy.only(ip_network("10.0.0.0/8"), ip_address("2001:db8::1"))
    assert policy == AddressPolicy.only("10.0.0.0/8", "2001:DB8:0::1")
    assert policy.check("10.0.0.1")
    assert policy.check("2001:db8::1")
    assert not policy.check("2001:db8::2")


def test_a_long_list_takes_no_longer_to_ask() -> None:
    """It is compiled once, and asked by bisection: ten thousand networks are 14 comparisons."""
    blocked = [f"8.{number >> 8 & 255}.{number & 255}.0/25" for number in range(10_000)]
    policy = AddressPolicy.public(deny=blocked)
    assert not policy.check("8.1.2.3")
    assert policy.check("8.1.2.128")
    assert len(policy._rules._ipv4[0]) < 20_100


# Ports, datagrams, Unix sockets -------------------------------------------------------------------


def test_ports() -> None:
    """None named is all; what is denied anyway says why, not where."""
    policy = AddressPolicy.public(ports={80, 443})
    assert policy.check("8.8.8.8", 443)
    assert policy.check("8.8.8.8", 22) == Verdict(False, "port 22")
    assert policy.check("8.8.8.8") == Verdict(False, "no port")
    assert policy.check("10.0.0.1", 22).rule == "10.0.0.0/8 (private use)"
    assert AddressPolicy.public(ports=range(1024, 65536)).check("8.8.8.8", 65535)
    assert not AddressPolicy.public(ports=range(1024, 65536)).check("8.8.8.8", 1023)


def test_datagrams_are_denied_unless_they_are_asked_for() -> None:
    """A stream to a stranger's address is one risk, a datagram another."""
    assert PUBLIC.check("8.8.8.8", 53, type=DATAGRAM) == Verdict(False, "a datagram socket")
    assert not PUBLIC.check("8.8.8.8", 53, type=int(socket.SOCK_RAW))
    assert PUBLIC.check("8.8.8.8", 53, type=int(socket.SOCK_STREAM))
    assert AddressPolicy.public(datagram=True).check("8.8.8.8", 53, type=DATAGRAM)
    assert not AddressPolicy.public(datagram=True).check("10.0.0.1", 53, type=DATAGRAM)
    named = AddressPolicy.only("unix:/run/app/*")
    assert named.check("unix:/run/app/s", type=int(socket.SOCK_SEQPACKET))
    assert not named.check("unix:/run/app/s", type=DATAGRAM)


PATHS = [
    ("unix:/run/app/*", "unix:/run/app/a.sock", True),
    ("unix:/run/app/*", "unix:/run/app/a/b", False),
    ("unix:/run/app/*", "unix:/run/app/../docker.sock", False),
    ("unix:/run/app/*", "unix:/run/app/..", False),
    ("unix:/run/app/*", "unix:/run/app/.", False),
    ("unix:/run/app/*", "unix:/run/app/a\n", True),
    ("unix:/run/app/*", "unix://run/app/a", False),
    ("unix:/run/app/*", "unix:run/app/a", False),
    ("unix:/run/app/*", "unix:/run/apple", False),
    ("unix:/run/*/s", "unix:/run/a/s", True),
    ("unix:/run/*/s", "unix:/run/../s", False),
    ("unix:/run/a.b", "unix:/run/a.b", True),
    ("unix:/run/a.b", "unix:/run/aXb", False),
    ("unix:/run/[ab]", "unix:/run/a", False),
    ("unix:/run/...", "unix:/run/...", True),
    ("unix:@app*", "unix:@app1", True),
    ("unix:@app*", "unix:@other", False),
    ("unix:*", "unix:/run/app", False),
    ("unix:*", "unix:@app", False),
    ("unix:*", "unix:app", True),
    ("10.0.0.0/8", "unix:/run/app", False),
]


@pytest.mark.parametrize(("named", "path", "allowed"), PATHS)
def test_unix_paths(named: str, path: str, allowed: bool) -> None:
    """Compared as text; no way leads up."""
    assert AddressPolicy.only(named).check(path).allowed is allowed
    assert AddressPolicy.public(allow=[named], ports={80}).check(path).allowed is allowed
    assert not PUBLIC.check(path)


def test_a_unix_path_can_be_an_exception() -> None:
    """Deny is asked first."""
    policy = AddressPolicy.only("unix:/run/*", deny=["unix:/run/docker.sock"])
    assert policy.check("unix:/run/app.sock") == Verdict(True, "unix:/run/* (allow)")
    assert policy.check("unix:/run/docker.sock") == Verdict(False, "unix:/run/docker.sock (deny)")
    assert PUBLIC.check("unix:/run/docker.sock") == Verdict(False, "a Unix socket")


# As an attempt asks -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "rule"),
    [
        (endpoint(V4, STREAM, ("8.8.8.8", 80)), None),
        (endpoint(V6, STREAM, ("2606:4700::1111", 80, 0, 0)), None),
        (endpoint(V4, STREAM, ("8.8.8.8", 81)), "port 81"),
        (endpoint(V4, STREAM, ("10.0.0.1", 80)), "10.0.0.0/8 (private use)"),
        (endpoint(V4, DATAGRAM, ("8.8.8.8", 80)), "a datagram socket"),
        (endpoint(V6, STREAM, ("2606:4700::1111", 80, 0, 1)), "an IPv6 zone"),
        (endpoint(V6, STREAM, ("2606:4700::1111", 80, 0, "eth0")), "an IPv6 zone"),
        (endpoint(V6, STREAM, ("8.8.8.8", 80, 0, 0)), "not a numeric address"),
        (endpoint(V4, STREAM, ("2606:4700::1111", 80)), "not a numeric address"),
        (endpoint(V4, STREAM, ("localhost", 80)), "not a numeric address"),
        (endpoint(UNIX, STREAM, "/run/docker.sock"), "a Unix socket"),
        (endpoint(UNIX, STREAM, "/run/app/a"), None),
        (endpoint(UNIX, STREAM, b"/run/app/a"), None),
        (endpoint(UNIX, STREAM, "\0app"), None),
        (endpoint(UNIX, STREAM, b"\0app"), None),
        (endpoint(UNIX, STREAM, "@app"), "a Unix path with . or .. in it"),
        (endpoint(UNIX, STREAM, "/run/app/a\0b"), "a Unix socket"),
        (endpoint(UNIX, DATAGRAM, "/run/app/a"), "a datagram socket"),
        (endpoint(int(getattr(socket, "AF_VSOCK", 40)), STREAM, (2, 80)), "not a numeric address"),
    ],
)
def test_an_endpoint(address: Any, rule: str | None) -> None:
    """The 5-tuple of ``getaddrinfo``; a Unix address as the kernel has it."""
    policy = AddressPolicy.public(
        ports=[80], allow=["unix:/run/app/?", "unix:/run/app/a", "unix:@app"]
    )
    verdict = policy(address)
    assert (verdict.allowed, None if verdict else verdict.rule) == (rule is None, rule)
    assert refusal(policy, address) == rule


@pytest.mark.parametrize(
    "text", ["8.8.8.8:80", "[2606:4700::1111]:80", "unix:/run/app", "unix:@app", "[::1%lo]:80"]
)
def test_a_target_is_judged_as_its_text(text: str) -> None:
    """However it came to be an endpoint."""
    target = parse(text)
    (asked,) = target.endpoints(STREAM)
    policy = AddressPolicy.public(allow=["unix:/run/*", "unix:@app"])
    judged = policy.check(text if text.startswith("unix:") else target.host, target.port)
    assert policy(asked) == judged


@pytest.mark.parametrize(
    ("host", "spelled"),
    [
        ("2001:DB8:0:0::0:1", "2001:db8::1"),
        ("::ffff:7f00:1", "::ffff:127.0.0.1"),
        ("0:0:0:0:0:0:0:1", "::1"),
    ],
)
def test_a_policy_sees_one_spelling(host: str, spelled: str) -> None:
    """However the target or the resolver wrote it; with the name, which is no part of the tuple."""
    asked = NamedEndpoint.of(endpoint(V6, STREAM, (host, 80, 1, 2)), "name.test")
    assert asked == endpoint(V6, STREAM, (spelled, 80, 1, 2))
    assert asked.name == "name.test"
    assert len(asked) == 5
    for same in (copy.copy(asked), pickle.loads(pickle.dumps(asked))):
        assert (same, same.name) == (asked, "name.test")


def test_what_is_not_numeric_is_never_asked_about() -> None:
    """A resolver answered with a name, say, which the kernel's side would look up."""
    for host in ("localhost", "127.1", "2130706433", "<broadcast>", ""):
        with pytest.raises(OSError, match="illegal IP address"):
            NamedEndpoint.of(endpoint(V4, STREAM, (host, 80)), None)
    path = endpoint(UNIX, STREAM, "\0app")
    assert NamedEndpoint.of(path, None) == path
    assert NamedEndpoint.of(path, None).name is None


class Answer:
    """Something else that a policy may answer."""

    allowed = True

    def __repr__(self) -> str:
        return "Answer()"  # the same in each worker: it names a test


def never() -> Any:
    """Return what an asynchronous policy gives when it is called."""

    async def policy() -> bool:
        return True

    return policy()


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (None, None),
        (True, None),
        (Verdict(True, ""), None),
        (Verdict(False, "tenant 7 may not"), "tenant 7 may not"),
        ("tenant 7 may not", "tenant 7 may not"),
        (False, "the policy said no"),
        (0, "the policy said no"),
        ("", "the policy said no"),
        (1, "the policy answered int"),
        (Answer(), "the policy answered Answer"),
        *(
            [(NotImplemented, "the policy answered NotImplementedType")]
            if sys.version_info < (3, 14)  # it has no truth value any more
            else []
        ),
        (Verdict(1, "x"), "x"),  # type: ignore[arg-type]
    ],
    ids=repr,
)
@pytest.mark.filterwarnings("ignore:.*NotImplemented:DeprecationWarning")
def test_only_a_clear_yes_allows(answer: object, words: str | None) -> None:
    """None, True, or a verdict that allows; a policy that forgot to decide has not."""
    asked = endpoint(V4, STREAM, ("8.8.8.8", 80))
    assert refusal(lambda given: answer, asked) == words


def test_an_answer_that_must_be_awaited_is_no_answer() -> None:
    """Nor does it warn that nobody awaited it."""
    asked = endpoint(V4, STREAM, ("8.8.8.8", 80))
    assert refusal(lambda given: never(), asked) == "the policy answered coroutine"


def test_what_a_policy_raises_comes_out() -> None:
    """The attempt knows what to make of it."""

    def policy(asked: object) -> None:
        raise PermissionError("not today")

    with pytest.raises(PermissionError, match="not today"):
        refusal(policy, endpoint(V4, STREAM, ("8.8.8.8", 80)))


# A value ------------------------------------------------------------------------------------------

VALUES = [
    "AddressPolicy.public()",
    "AddressPolicy.public(nat64=['2001:db8:64::/96'], allow=['10.1.2.3/32', 'unix:/run/*'])",
    "AddressPolicy.public(deny=['198.51.100.0/24'], ports=[80, 443], datagram=True)",
    "AddressPolicy.only('10.0.0.0/8', 'unix:/run/app/*', deny=['10.0.0.1/32'])",
    "AddressPolicy.only('64:ff9b::/96', ports=[1])",
]


@pytest.mark.parametrize("text", VALUES)
def test_a_policy_is_a_value(text: str) -> None:
    """Equal if it was made alike, shown as it is made, and the same after a copy."""
    policy = eval(text)
    assert repr(policy) == text
    others = [
        *(eval(text), copy.copy(policy), copy.deepcopy(policy), pickle.loads(pickle.dumps(policy)))
    ]
    for other in others:
        assert other == policy
        assert hash(other) == hash(policy)
        assert other.check("10.0.0.1", 80) == policy.check("10.0.0.1", 80)
    assert all((eval(each) == policy) is (each == text) for each in VALUES)
    assert policy != text


def test_ports_are_equal_in_any_order() -> None:
    """A set has none, and how a network was spelled does not matter."""
    assert AddressPolicy.public(ports={443, 80}) == AddressPolicy.public(ports=(80, 443, 80))
    assert AddressPolicy.public(deny=["2001:DB8::0/32"]) == AddressPolicy.public(
        deny=["2001:db8::/32"]
    )


def test_a_policy_cannot_be_changed() -> None:
    """Many calls share it."""
    with pytest.raises(AttributeError):
        PUBLIC._ports = None  # type: ignore[misc]
    with pytest.raises(AttributeError):
        del PUBLIC._ports
    with pytest.raises(TypeError, match="public"):
        AddressPolicy()
    with pytest.raises(AttributeError):
        PUBLIC.check("8.8.8.8").allowed = False  # type: ignore[misc]


# What is refused when a policy is made ------------------------------------------------------------

MISUSE: list[tuple[Callable[[], object], type[Exception], str]] = [
    (lambda: AddressPolicy.only(), ValueError, "nothing"),
    (lambda: AddressPolicy.only("10.0.0.1/8"), ValueError, "behind its length"),
    (lambda: AddressPolicy.only("2001:db8::1/64"), ValueError, "behind its length"),
    (lambda: AddressPolicy.only("10.0.0.0/33"), ValueError, "up to 32"),
    (lambda: AddressPolicy.only("::/129"), ValueError, "up to 128"),
    (lambda: AddressPolicy.only("10.0.0.0/"), ValueError, "up to 32"),
    (lambda: AddressPolicy.only("10.0.0.0/-1"), ValueError, "up to 32"),
    (lambda: AddressPolicy.only("10.0.0.0/\u0668"), ValueError, "up to 32"),
    (lambda: AddressPolicy.only("10.0.0.0/" + "9" * 5000), ValueError, "up to 32"),
    (lambda: AddressPolicy.only("10.0.0.0/255.0.0.0"), ValueError, "up to 32"),
    (lambda: AddressPolicy.only("10"), ValueError, "not a network"),
    (lambda: AddressPolicy.only("example.com"), ValueError, "not a network"),
    (lambda: AddressPolicy.only(""), ValueError, "not a network"),
    (lambda: AddressPolicy.only("fe80::1%eth0"), ValueError, "not a network"),
    (lambda: AddressPolicy.only("unix:"), ValueError, "needs a path"),
    (lambda: AddressPolicy.only("unix:@"), ValueError, "needs a path"),
    (lambda: AddressPolicy.only("unix:/a\0"), ValueError, "needs a path"),
    (lambda: AddressPolicy.only("unix:/run/../a"), ValueError, "never allowed"),
    (lambda: AddressPolicy.only("::ffff:10.0.0.0/104"), ValueError, "write the IPv4 network"),
    (lambda: AddressPolicy.public(deny=["::ffff:0:0/96"]), ValueError, "deny: .*IPv4 network"),
    (lambda: AddressPolicy.public(allow=["x"]), ValueError, "^allow: 'x'"),
    (lambda: AddressPolicy.public(nat64=["64:ff9b::/95"]), ValueError, "48, 56, 64 or 96"),
    (lambda: AddressPolicy.public(nat64=["10.0.0.0/32"]), ValueError, "48, 56, 64 or 96"),
    (lambda: AddressPolicy.public(nat64=["2001:db8:0:0:100::/96"]), ValueError, "64 to 71"),
    (lambda: AddressPolicy.public(ports=[]), ValueError, "empty"),
    (lambda: AddressPolicy.public(ports=[0]), ValueError, "between 1 and 65535"),
    (lambda: AddressPolicy.public(ports=[65536]), ValueError, "between 1 and 65535"),
    (lambda: AddressPolicy.public(ports=[True]), TypeError, "an int"),
    (lambda: AddressPolicy.public(ports=["80"]), TypeError, "an int"),  # type: ignore[list-item]
    (lambda: AddressPolicy.public(ports=80), TypeError, "ports is"),  # type: ignore[arg-type]
    (lambda: AddressPolicy.public(ports="80"), TypeError, "ports is"),  # type: ignore[arg-type]
    (lambda: AddressPolicy.public(allow="10.0.0.0/8"), TypeError, "is a list"),
    (lambda: AddressPolicy.public(allow=ip_network("10.0.0.0/8")), TypeError, "is a list"),
    (lambda: AddressPolicy.public(deny=None), TypeError, "is a list"),  # type: ignore[arg-type]
    (lambda: AddressPolicy.public(deny=[10]), TypeError, "not int"),  # type: ignore[list-item]
    (lambda: AddressPolicy.only(b"10.0.0.0/8"), TypeError, "bytes"),  # type: ignore[arg-type]
    (lambda: AddressPolicy.public(datagram=1), TypeError, "datagram"),  # type: ignore[arg-type]
    (lambda: PUBLIC.check(b"8.8.8.8"), TypeError, "bytes"),  # type: ignore[arg-type]
    (lambda: PUBLIC.check(None), TypeError, "NoneType"),  # type: ignore[arg-type]
]


@pytest.mark.parametrize(("make", "error", "words"), MISUSE)
def test_misuse_is_found_when_a_policy_is_made(
    make: Callable[[], object], error: type[Exception], words: str
) -> None:
    """It says which argument, and what is wrong with it, in a bounded number of words."""
    with pytest.raises(error, match=words) as caught:
        make()
    assert len(str(caught.value)) < 200


# The age of the data ------------------------------------------------------------------------------


def test_a_line_reminds_of_old_data_after_two_years() -> None:
    """In ``make lint``; no test depends on the day on which it runs."""
    read = date(2024, 2, 29)
    assert reminder(read, date(2026, 2, 27)) == ""
    assert "2024-02-29" in reminder(read, date(2026, 2, 28))
    date.fromisoformat(special_addresses.CHECKED)
    done = children.run([sys.executable, "-m", "tests.registries"], cwd=ROOT, check=True)
    assert done.stdout.count("\n") <= 1
    assert not done.stderr


def test_the_policy_is_there_where_it_is_looked_for() -> None:
    """Without importing a submodule."""
    assert aioconnect.AddressPolicy is AddressPolicy
    assert aioconnect.Verdict is Verdict
    assert ipaddress.ip_address("224.0.0.1").is_global, "why it exists"
