"""The policy table and gai.conf."""

from __future__ import annotations

import socket

import pytest

from aioconnect.resolve import PolicyTable
from aioconnect.resolve.rfc6724 import number

from ..support.needs import needs
from .lab import Lab

GAI_CONF = """\
# Only what is not a comment counts.
#precedence ::ffff:0:0/96  10
reload  yes
precedence  ::1/128       50
precedence  ::/0          40   # the rest
precedence ::ffff:0:0/96  100
precedence nonsense       7
precedence ::/200         7
precedence ::/0           many
label ::/0
scopev4 ::ffff:169.254.0.0/112  2
scopev4 10.0.0.0/8 5
scopev4 ::ffff:0.0.0.0/96       14
"""


def value(text: str) -> int:
    return number(socket.AF_INET6 if ":" in text else socket.AF_INET, text)


@pytest.mark.parametrize(
    ("address", "precedence", "label", "scope"),
    [
        ("::1", 50, 0, 2),
        ("2001:db8::1", 40, 1, 14),
        ("192.0.2.1", 35, 4, 14),
        ("::ffff:192.0.2.1", 35, 4, 14),
        ("2002::1", 30, 2, 14),
        ("2001::1", 5, 5, 14),
        ("2001:1::1", 40, 1, 14),
        ("fc00::1", 3, 13, 14),
        ("fdff::1", 3, 13, 14),
        ("::2", 1, 3, 14),
        ("fec0::1", 1, 11, 5),
        ("3ffe::1", 1, 12, 14),
        ("fe80::1", 40, 1, 2),
        ("febf::1", 40, 1, 2),
        ("ff02::1", 40, 1, 2),
        ("ff05::1", 40, 1, 5),
        ("127.1.2.3", 35, 4, 2),
        ("169.254.1.1", 35, 4, 2),
        ("169.255.1.1", 35, 4, 14),
        ("10.0.0.1", 35, 4, 14),
        ("fe80::1%eth0", 40, 1, 2),
    ],
)
def test_the_table_of_the_rfc(address: str, precedence: int, label: int, scope: int) -> None:
    """RFC 6724, sections 2.1, 3.1 and 3.2: the longest prefix counts."""
    policy = PolicyTable()
    bits = value(address)
    assert (policy.precedence(bits), policy.label(bits), policy.scope(bits)) == (
        precedence,
        label,
        scope,
    )


def test_gai_conf_replaces_whole_tables() -> None:
    """Each kind of line its own; what makes no sense is skipped; labels stay the RFC's."""
    policy = PolicyTable.parse(GAI_CONF)
    assert policy.precedence(value("192.0.2.1")) == 100
    assert policy.precedence(value("2001:db8::1")) == 40
    assert policy.precedence(value("2002::1")) == 40, "the default rows are gone"
    assert policy.label(value("2002::1")) == 2
    assert policy.scope(value("10.1.1.1")) == 5
    assert policy.scope(value("169.254.1.1")) == 2
    assert policy.scope(value("127.0.0.1")) == 14


def test_an_empty_gai_conf_is_the_rfcs_table() -> None:
    """As Debian ships it: everything is a comment."""
    policy = PolicyTable.parse("# nothing\n\n")
    assert policy.precedence(value("::1")) == 50


def test_what_no_row_matches_has_the_least() -> None:
    """A table need not be complete."""
    policy = PolicyTable({"2001:db8::/32": 7}, {"2001:db8::/32": 9}, {"10.0.0.0/8": 3})
    assert policy.precedence(value("::1")) == 0
    assert policy.label(value("::1")) == 0
    assert policy.scope(value("192.0.2.1")) == 0


@pytest.mark.parametrize("prefix", ["", "x/1", "::/129", "::/-1", "10.0.0.0/33", "::/x"])
def test_a_prefix_that_is_none_is_refused(prefix: str) -> None:
    """When the policy is made, not when it is used."""
    with pytest.raises(ValueError, match=r"prefix|int"):
        PolicyTable({prefix: 1})


@needs("mount namespace", "veth")
def test_this_hosts_table_is_that_of_its_gai_conf() -> None:
    """And is the RFC's where the file says nothing; a change is seen."""
    with Lab() as lab:
        assert lab.call("precedence", address="::ffff:192.0.2.1") == 35
        lab.call("write", name="gai.conf", text="precedence ::ffff:0:0/96 100\n")
        assert lab.call("precedence", address="::ffff:192.0.2.1") == 100
        lab.call("write", name="gai.conf", text="")
        assert lab.call("precedence", address="::ffff:192.0.2.1") == 35


@needs("mount namespace", "veth")
def test_a_gai_conf_that_could_not_be_opened_is_read_later() -> None:
    """The table is not the RFC's for ever because no descriptor was left once."""
    with Lab(gai_conf="precedence ::ffff:0:0/96 100\n") as lab:
        assert lab.call("precedence", address="::ffff:192.0.2.1", lacking=True) == "EMFILE"
        assert lab.call("precedence", address="::ffff:192.0.2.1") == 100
