"""How this host resolves names: nsswitch.conf, resolv.conf and host.conf, as glibc reads them."""

from __future__ import annotations

import os
import socket
from itertools import product
from typing import Any

import pytest

from aioconnect.resolve import config
from aioconnect.resolve.config import DNS, HOSTS, SYSTEM, full_names, patience

from ..support.needs import needs
from ..support.sweep import sample
from . import resolv_confs
from .lab import Lab

# nsswitch.conf ------------------------------------------------------------------------------------

PLAIN, SINGLE, LOCAL = "db.test", "db", "printer.local"


def asks(text: str, name: str) -> list[str]:
    return [step.asks for step in config._Sources(text.encode()).steps(name)]


@pytest.mark.parametrize(
    ("text", "name", "asked"),
    [
        ("hosts: files dns\n", PLAIN, [HOSTS, DNS]),
        ("hosts: dns files\n", PLAIN, [DNS, HOSTS]),
        ("hosts: files\n", PLAIN, [HOSTS]),
        ("hosts: dns\n", PLAIN, [DNS]),
        ("hosts:\tfiles\tdns # as ever\n", PLAIN, [HOSTS, DNS]),
        ("#hosts: files\nhosts: dns\n", PLAIN, [DNS]),
        # No line, or no file.
        ("passwd: files\n", PLAIN, [HOSTS, DNS]),
        ("", PLAIN, [HOSTS, DNS]),
        # What ends the search.
        ("hosts: files [NOTFOUND=return] dns\n", PLAIN, [HOSTS]),
        ("hosts: files [ notfound = RETURN ] dns\n", PLAIN, [HOSTS]),
        ("hosts: files [!SUCCESS=return] dns\n", PLAIN, [HOSTS]),
        ("hosts: files [UNAVAIL=return] dns\n", PLAIN, [HOSTS, DNS]),
        ("hosts: files [NOTFOUND=return NOTFOUND=continue] dns\n", PLAIN, [HOSTS, DNS]),
        # A source concerns only the names that it may own.
        ("hosts: files mdns4_minimal [NOTFOUND=return] dns\n", PLAIN, [HOSTS, DNS]),
        ("hosts: files mdns4_minimal [NOTFOUND=return] dns\n", LOCAL, [HOSTS, SYSTEM]),
        ("hosts: files mdns_minimal [NOTFOUND=return] dns\n", "a.Local.", [HOSTS, SYSTEM]),
        ("hosts: mymachines files dns\n", PLAIN, [HOSTS, DNS]),
        ("hosts: mymachines files dns\n", SINGLE, [SYSTEM]),
        ("hosts: files libvirt_guest dns\n", SINGLE, [HOSTS, SYSTEM]),
        ("hosts: files wins dns\n", PLAIN, [HOSTS, DNS]),
        ("hosts: files myhostname dns\n", PLAIN, [HOSTS, DNS]),
        ("hosts: files myhostname dns\n", "_gateway", [HOSTS, SYSTEM]),
        ("hosts: files myhostname dns\n", "a.localhost", [HOSTS, SYSTEM]),
        ("hosts: files myhostname dns\n", socket.gethostname().upper(), [HOSTS, SYSTEM]),
        ("hosts: files dns myhostname\n", SINGLE, [HOSTS, DNS]),
        ("hosts: files dns mymachines\n", SINGLE, [HOSTS, DNS, SYSTEM]),
        ("hosts: files dns mdns4\n", PLAIN, [HOSTS, DNS, SYSTEM]),
        ("hosts: files sss dns\n", PLAIN, [HOSTS, SYSTEM]),
        # What we do not follow goes whole to libc.
        ("hosts: files [SUCCESS=continue] dns\n", PLAIN, [SYSTEM]),
        ("hosts: files [SUCCESS=merge] dns\n", PLAIN, [SYSTEM]),
        ("hosts: files [!UNAVAIL=continue] dns\n", PLAIN, [SYSTEM]),
        ("hosts: files [NOTFOUND=sometimes] dns\n", PLAIN, [SYSTEM]),
        ("hosts: [NOTFOUND=return] files dns\n", PLAIN, [SYSTEM]),
    ],
)
def test_who_is_asked_for_a_name(text: str, name: str, asked: list[str]) -> None:
    """In the order of the line; what libc alone can ask is asked of libc, as a whole."""
    assert asks(text, name) == asked


@pytest.mark.parametrize(
    ("runs", "asked"), [(True, [HOSTS, DNS]), (False, [HOSTS, DNS])], ids=["runs", "does not run"]
)
def test_resolve_is_the_hosts_file_and_dns_if_it_runs(
    runs: bool, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its line of every Fedora and Arch: nothing behind it is asked while it runs."""
    monkeypatch.setattr(config, "RESOLVED", "/etc" if runs else "/nowhere")
    text = "hosts: mymachines resolve [!UNAVAIL=return] files myhostname dns\n"
    assert asks(text, PLAIN) == ([HOSTS, DNS, HOSTS, DNS] if runs else asked)
    _, dns, *_ = config._Sources(text.encode()).steps(PLAIN)
    assert (config.NOT_FOUND in dns.ends) == runs


def test_names_of_hostaliases_are_libcs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names of one label may be aliases there: only libc reads that file."""
    monkeypatch.setenv("HOSTALIASES", "/nowhere")
    assert asks("hosts: files dns\n", SINGLE) == [HOSTS, SYSTEM]
    assert asks("hosts: files dns\n", PLAIN) == [HOSTS, DNS]


# resolv.conf --------------------------------------------------------------------------------------

TEXTS = (
    "",
    "\n\n",
    "# nothing\n; at all\n",
    "nameserver 127.0.0.2\n",
    "nameserver 127.0.0.2",
    "nameserver\t127.0.0.2\n",
    "nameserver 127.0.0.2\t# a comment\n",
    "nameserver 127.0.0.2 # a comment\n",
    "nameserver 127.0.0.2;a comment\nnameserver 127.0.0.3\n",
    "nameserver \t 127.0.0.2 127.0.0.3\n",
    " nameserver 127.0.0.2\n",
    "Nameserver 127.0.0.2\n",
    "nameserver\nnameserver 127.0.0.2\n",
    "nameserver127.0.0.2\n",
    "nameserver nonsense\nnameserver 127.0.0.2\n",
    "nameserver 127.0.0.2:53\nnameserver 127.0.0.3\n",
    "nameserver 127.2\n",
    "nameserver 0x7f.0.0.3\n",
    "nameserver 2130706436\n",
    "nameserver ::1\n",
    "nameserver 127.0.0.2\nnameserver ::1\n",
    "nameserver ::1%lo\nnameserver 127.0.0.2\n",
    "nameserver 127.0.0.1\nnameserver 127.0.0.2\nnameserver 127.0.0.3\nnameserver 127.0.0.4\n",
    "nameserver 127.0.0.4\nnameserver 127.0.0.2\nnameserver 127.0.0.3\nnameserver 127.0.0.1\n",
    "search near.test\n",
    "search near.test far.test\n",
    "search\tnear.test\tfar.test\n",
    "search near.test far.test \n",
    "search near.test # a comment\n",
    "search\n",
    "search near.test\nsearch\n",
    "search .\n",
    "search . near.test\n",
    "search near.test .\n",
    "search near.test.\n",
    "search .near.test\n",
    "search near.test\nsearch far.test\n",
    "search near.test\ndomain far.test\n",
    "domain far.test\nsearch near.test\n",
    "domain far.test near.test\n",
    "domain\n",
    "domain near.test\t# a comment\n",
    "search a.test b.test c.test d.test e.test f.test g.test h.test\n",
    "search near.test\noptions ndots:0\n",
    "search near.test\noptions ndots:2\n",
    "search near.test\noptions ndots:99\n",
    "search near.test\noptions ndots:\n",
    "search near.test\noptions ndots:x\n",
    "search near.test\noptions ndots:2,timeout:1\n",
    "search near.test\noptions ndots 2\n",
    "search near.test\noptions  ndots:2\ttimeout:3\n",
    "search near.test\noptions ndots:2\noptions timeout:3\n",
    "search near.test\noptions ndots:2\noptions ndots:1\n",
    "search near.test\noptions nonsense ndots:3 edns0 trust-ad\n",
    "search near.test\noptions no-tld-query\n",
    "search near.test\noptions attempts:1 timeout:1 inet6 single-request\n",
    "search near.test\noptions no-aaaa\n",
    "sortlist 10.0.0.0\nsearch near.test\n",
    "search near.test\r\n",
)

ELSEWHERE: tuple[tuple[str, dict[str, str], str], ...] = (
    ("search near.test\n", {"LOCALDOMAIN": "env.test other.test"}, "host"),
    ("search near.test\n", {"LOCALDOMAIN": ""}, "host"),
    ("", {"LOCALDOMAIN": "env.test"}, "host"),
    ("search near.test\n", {"RES_OPTIONS": "ndots:2"}, "host"),
    ("search near.test\noptions ndots:2\n", {"RES_OPTIONS": "ndots:0"}, "host"),
    ("", {}, "host.domain.test"),
    ("search near.test\n", {}, "host.domain.test"),
    ("nameserver 127.0.0.2\n", {}, "host.domain.test"),
    ("search\n", {}, "host.domain.test"),
)

FILES = [
    *[{"text": text, "environment": {}, "hostname": "host"} for text in TEXTS],
    *[{"text": t, "environment": e, "hostname": h} for t, e, h in ELSEWHERE],
]


@pytest.fixture(scope="module")
def outcomes() -> list[dict[str, Any]]:
    return resolv_confs.asked(FILES)


@needs("mount namespace", "veth")
@pytest.mark.parametrize("number", range(len(FILES)), ids=lambda n: repr(FILES[n]["text"])[:60])
def test_a_resolv_conf_is_read_as_glibc_reads_it(
    number: int, outcomes: list[dict[str, Any]]
) -> None:
    """The same servers are asked, for the same names, in the same order.

    A comment behind ``search`` is a domain to glibc, and so is what an editor on Windows leaves
    at the end of a line: of the names that come of it c-ares does not ask for what cannot exist.
    """
    libc = {
        name: [servers, [full for full in names if not set(full) & set("#\r")]]
        for name, (servers, names) in outcomes[number]["libc"].items()
    }
    assert outcomes[number]["ours"] == libc


def test_there_are_fifty_files() -> None:
    """And none twice."""
    assert len(FILES) >= 50
    assert len(set(TEXTS)) == len(TEXTS)


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("", {"timeout": 5, "attempts": 2, "rotate": False, "tcp": False, "no_aaaa": False}),
        ("options timeout:3 attempts:4\n", {"timeout": 3, "attempts": 4}),
        ("options rotate use-vc no-aaaa\n", {"rotate": True, "tcp": True, "no_aaaa": True}),
        ("options timeout:99 attempts:99\n", {"timeout": 30, "attempts": 5}),
        ("options timeout:0 attempts:0\n", {"timeout": 1, "attempts": 1}),
    ],
)
def test_options_have_their_bounds(text: str, options: dict[str, Any]) -> None:
    """Those of resolv.conf(5)."""
    conf = config._parse_resolv_conf(text.encode())
    assert {name: getattr(conf, name) for name in options} == options


@pytest.mark.parametrize(
    ("servers", "timeout", "attempts", "seconds"),
    [
        (1, 5, 2, 10),
        (2, 5, 2, 20),
        (3, 5, 2, 2 * (5 + 10 / 3 + 20 / 3)),
        (1, 1, 1, 1),
        (3, 1, 1, 3),
    ],
)
def test_silent_servers_are_given_up_when_libc_would(
    servers: int, timeout: float, attempts: int, seconds: float
) -> None:
    """The first server has its time, the others theirs."""
    assert patience(servers, timeout, attempts) == pytest.approx(seconds, abs=0.7)


def test_the_name_as_it_stands_is_not_of_the_list() -> None:
    """Unless the list has the root: so a silent server does not end the list before it began."""
    conf = config._parse_resolv_conf(b"search near.test . far.test\noptions ndots:2\n")
    near, root, far = ("a.near.test", True), ("a", True), ("a.far.test", True)
    assert full_names("a", conf) == [near, root, far, ("a", False)]
    assert full_names("a.b.c", conf)[0] == ("a.b.c", False)
    assert full_names("a.b.", conf) == [("a.b", False)]


# host.conf ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "every"),
    [
        ("", False),
        ("multi on\n", True),
        ("multi off\n", False),
        ("# multi on\n", False),
        ("order hosts,bind\n\tMULTI\tON\n", True),
        ("multi on\nmulti off\n", False),
        ("multion\n", False),
    ],
)
def test_whether_every_line_of_the_hosts_file_counts(text: str, every: bool) -> None:
    """Or only the first that has the name."""
    assert config._parse_host_conf(text.encode()) is every


@needs("mount namespace", "veth")
@pytest.mark.sweep
@pytest.mark.parametrize(
    ("text", "environment"),
    sample(
        product(
            ["", "multi on\n", "\tMULTI\tON\n", "multi on # yes\n"],
            [{}, {"RESOLV_MULTI": "on"}, {"RESOLV_MULTI": "off"}],
        ),
        5,
    ),
)
def test_host_conf_is_read_as_glibc_reads_it(text: str, environment: dict[str, str]) -> None:
    """In a program of its own: libc reads it once."""
    program = (
        "import socket; from aioconnect.resolve.answers import FAMILIES;"
        "from aioconnect.resolve.known import peek_hosts;"
        "libc = {i[4][0] for i in socket.getaddrinfo('db.test', 80, 0, 1)};"
        "ours = {a for each in peek_hosts('db.test', FAMILIES) for a in each.addresses};"
        "print(libc == ours, libc, ours)"
    )
    hosts = "10.0.0.1 db.test\nfd00::1 db.test\n"
    with Lab(hosts=hosts, host_conf=text) as lab:
        said = lab.call("run", script=program, env=environment)
    assert said.startswith("True"), said
    assert os.environ.get("RESOLV_MULTI") is None
