"""What is known of a name without asking anybody: ``localhost``, a mapping, the hosts file."""

from __future__ import annotations

import os
import random
import socket
import time
from typing import TYPE_CHECKING, Any

import pytest

from aioconnect.resolve import Answer, Cache, StaticResolver, SystemResolver
from aioconnect.resolve.answers import FAMILIES
from aioconnect.resolve.config import KeptFile
from aioconnect.resolve.known import Hosts, at_hand, localhost

from ..support.needs import needs
from ..support.sweep import examples
from .lab import Lab

if TYPE_CHECKING:
    from pathlib import Path

V4, V6 = int(socket.AF_INET), int(socket.AF_INET6)


def addresses(answers: tuple[Answer, ...] | None) -> list[tuple[str, ...]] | None:
    return None if answers is None else [answer.addresses for answer in answers]


# localhost ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    ["localhost", "LocalHost", "localhost.", "a.localhost", "a.b.LOCALHOST", "foo.localhost."],
)
def test_localhost_and_all_below_it_is_loopback(name: str) -> None:
    """Case and a final dot do not matter (RFC 6761, section 6.3)."""
    assert addresses(localhost(name, FAMILIES)) == [("::1",), ("127.0.0.1",)]
    assert addresses(localhost(name, (V4,))) == [("127.0.0.1",)]
    assert addresses(localhost(name, (V6,))) == [("::1",)]


@pytest.mark.parametrize(
    "name",
    ["", ".", "localhost.example", "mylocalhost", "localhost..", "localhos", "x.localhost.t", "t"],
)
def test_other_names_are_for_a_resolver(name: str) -> None:
    """A name that only looks like it is asked for."""
    assert localhost(name, FAMILIES) is None


def test_nothing_is_built_for_localhost() -> None:
    """It is on the path of every connect to localhost."""
    assert localhost("localhost", FAMILIES) is localhost("a.localhost", FAMILIES)


def test_localhost_comes_before_any_resolver() -> None:
    """Whatever the mapping says of it."""
    resolver = StaticResolver({"localhost": "192.0.2.1"})
    assert addresses(at_hand(resolver, "localhost", (V4,))) == [("127.0.0.1",)]


# What a resolver has at hand ----------------------------------------------------------------------


@pytest.mark.parametrize("around", [lambda resolver: resolver, Cache])
def test_a_mapping_says_what_it_has_and_what_it_lacks(around: Any) -> None:
    """Of its names everything is known; of others nothing, and why a name has nothing is asked."""
    resolver = around(StaticResolver({"db": "10.0.0.1"}))
    assert addresses(at_hand(resolver, "db", FAMILIES)) == [(), ("10.0.0.1",)]
    assert at_hand(resolver, "db", (V6,)) is None
    assert at_hand(resolver, "web", FAMILIES) is None


def test_what_the_fallback_has_is_at_hand() -> None:
    """A mapping around a mapping."""
    resolver = StaticResolver({"db": "10.0.0.1"}, StaticResolver({"web": "::1"}))
    assert addresses(at_hand(resolver, "web", FAMILIES)) == [("::1",), ()]


def test_what_a_plugged_in_resolver_has_at_hand_is_checked() -> None:
    """As what it answers."""

    class Mine:
        def peek_name(self, name: str, families: Any, /) -> tuple[Answer, ...]:
            return (Answer(("localhost",), family=V4),)

    with pytest.raises(OSError, match=r"Mine\.peek_name returned 'localhost'"):
        at_hand(Mine(), "db", (V4,))


# The hosts file -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "name", "found"),
    [
        ("10.0.0.1 db\n", "db", [(), ("10.0.0.1",)]),
        ("10.0.0.1 db\nfd00::1 db\n", "db", [("fd00::1",), ("10.0.0.1",)]),
        ("10.0.0.1 one two\n", "two", [(), ("10.0.0.1",)]),
        ("10.0.0.1 DB.Test\n", "db.tEST", [(), ("10.0.0.1",)]),
        ("10.0.0.1 db.test\n", "db.test.", None),
        ("10.0.0.1 db.test.\n", "db.test.", [(), ("10.0.0.1",)]),
        ("10.0.0.1 adb dbx\n", "db", None),
        ("10.0.0.1 one # db\n", "db", None),
        ("# 10.0.0.1 db\n", "db", None),
        ("10.0.0.1\tone#two\n", "one", [(), ("10.0.0.1",)]),
        ("\t10.0.0.1 \v db \r\n", "db", [(), ("10.0.0.1",)]),
        ("10.0.0.1 db", "db", [(), ("10.0.0.1",)]),
        ("10.0.0.1 db\n10.0.0.1 db\n10.0.0.2 db\n", "db", [(), ("10.0.0.1", "10.0.0.2")]),
        ("10.0.0.1 db db\n", "db", [(), ("10.0.0.1",)]),
        ("0.0.0.0 ads.test\n", "ads.test", [(), ("0.0.0.0",)]),
        ("::ffff:10.0.0.1 db\n", "db", [("::ffff:10.0.0.1",), ()]),
        # No address: the line is void.
        ("10.1 db\n", "db", None),
        ("010.0.0.7 db\n", "db", None),
        ("fe80::1%lo db\n", "db", None),
        ("db db\n", "db", None),
        ("10.0.0.1\n", "10.0.0.1", None),
        ("\xff db\n10.0.0.1 db\n", "db", [(), ("10.0.0.1",)]),
    ],
)
def test_a_hosts_file_is_read_as_glibc_reads_it(text: str, name: str, found: Any) -> None:
    """Each line by itself; both families are known of a name that has one."""
    assert addresses(Hosts(text.encode("latin-1")).answers(name, FAMILIES)) == found


@pytest.mark.parametrize(
    ("text", "family", "found"),
    [
        ("fd00::1 db\n", V4, None),
        ("10.0.0.1 db\n", V6, None),
        ("::ffff:10.0.0.1 db\n", V4, [("10.0.0.1",)]),
        ("::1 db\n", V4, [("127.0.0.1",)]),
        ("::ffff:10.0.0.1 db\n10.0.0.1 db\n", V4, [("10.0.0.1",)]),
        ("::ffff:10.0.0.1 db\n", V6, [("::ffff:10.0.0.1",)]),
    ],
)
def test_one_family_alone_is_asked_for_as_in_glibc(text: str, family: int, found: Any) -> None:
    """Which goes on to DNS where the file has addresses of the other family only."""
    assert addresses(Hosts(text.encode()).answers("db", (family,))) == found


@needs("mount namespace", "veth")
@pytest.mark.parametrize("multi", ["on", "off"])
def test_any_hosts_file_gives_what_glibc_gives(multi: str) -> None:
    """Random files, each name, each family: the same addresses, and their order for IPv6."""
    with Lab(nsswitch_conf="hosts: files\n", host_conf=f"multi {multi}\n") as lab:
        assert (
            lab.call("compare_hosts", texts=[random_hosts(n) for n in range(examples(200))]) == []
        )


NAMES = ("a", "A", "b.test", "b.test.", "B.Test", "c", "a.b", "#", "d#e", "10.0.0.2", "e")
WRITTEN = (
    *("10.0.0.1", "10.0.0.2", "::1", "127.0.0.1", "::ffff:10.0.0.3", "2001:db8::1", "fe80::1"),
    *("fe80::1%lo", "10.1", "010.0.0.7", "0.0.0.0", "::", "2001:DB8::1", "1.2.3.4.5", "zz"),
    *("::ffff:10.0.0.1", "10.0.0.1#x"),
)


def random_hosts(seed: int) -> str:
    rng = random.Random(seed)
    lines = []
    for _ in range(rng.randrange(7)):
        words = [rng.choice(WRITTEN), *rng.choices(NAMES, k=rng.randrange(4))]
        line = rng.choice(("", "", " ", "\t")) + rng.choice((" ", "\t", "  ", " \t ", "\v")).join(
            words
        )
        lines.append(line + rng.choice(("", "", "", "#c", " # a b.test")))
    # glibc 2.36 reads a last line wrong that begins with a blank and does not end.
    return "".join(line + rng.choice(("\n", "\n", "\r\n", " \n")) for line in lines)


def test_a_name_of_a_long_file_is_found_by_looking_once(tmp_path: Path) -> None:
    """A block list of 150 000 names: what was found is remembered, also that nothing was."""
    lines = [f"0.0.0.0 ads{n}.tracker{n % 977}.test\n" for n in range(150_000)]
    hosts = Hosts("".join([*lines, "10.0.0.1 mine.test\n"]).encode())
    assert addresses(hosts.answers("mine.test", FAMILIES)) == [(), ("10.0.0.1",)]
    assert hosts.answers("other.test", FAMILIES) is None
    began = time.process_time()
    for _ in range(1000):
        assert hosts.answers("mine.test", FAMILIES) is not None
        assert hosts.answers("other.test", FAMILIES) is None
    assert time.process_time() - began < 1


def test_what_is_remembered_of_a_file_is_bounded() -> None:
    """A program may ask for as many names as strangers tell it to."""
    hosts = Hosts(b"10.0.0.1 db\n")
    for number in range(5000):
        hosts.answers(f"n{number}.test", FAMILIES)
    assert len(hosts._remembered) <= 1024


# A file that is kept ------------------------------------------------------------------------------


def settle(path: Path) -> None:
    """Wait until the file's last change is old enough for it to be kept."""
    while time.time_ns() - os.stat(path).st_ctime_ns < 100_000_000:
        time.sleep(0.01)


def test_a_file_is_read_once_until_it_changes(tmp_path: Path) -> None:
    """By whatever means: written again, replaced, removed."""
    path = tmp_path / "hosts"
    read: list[bytes] = []

    def note(data: bytes) -> bytes:
        read.append(data)
        return data

    kept = KeptFile(str(path), note)
    assert kept.value() == b""
    path.write_bytes(b"one")
    settle(path)
    for _ in range(3):
        assert kept.value() == b"one"
    assert read == [b"", b"one"]
    path.write_bytes(b"two")  # as long as before
    settle(path)
    for _ in range(3):
        assert kept.value() == b"two"
    other = tmp_path / "other"
    other.write_bytes(b"six")
    os.utime(other, ns=(0, os.stat(path).st_mtime_ns))
    other.rename(path)
    settle(path)
    assert kept.value() == b"six"
    path.unlink()
    assert kept.value() == b""
    assert read == [b"", b"one", b"two", b"six", b""]


def test_a_file_that_has_just_changed_is_read_again(tmp_path: Path) -> None:
    """Within one tick of the kernel's clock a second change has the same time stamp."""
    path = tmp_path / "hosts"
    kept = KeptFile(str(path), bytes)
    for number in range(200):
        text = f"{number:03}".encode()
        path.write_bytes(text)
        assert kept.value() == text


def test_a_large_file_that_is_new_is_not_read_at_once(tmp_path: Path) -> None:
    """It is read in a thread; from then on it is at hand."""
    path = tmp_path / "hosts"
    path.write_bytes(b"x" * 100_000)
    settle(path)
    kept = KeptFile(str(path), len)
    assert kept.at_hand() is None
    assert kept.value() == 100_000
    assert kept.at_hand() == 100_000


@needs("mount namespace", "veth")
@pytest.mark.parametrize("resolver", ["system", "aiodns", "cached system", "cached aiodns"])
def test_a_name_of_the_hosts_file_is_at_hand(resolver: str) -> None:
    """Whole, with each resolver that asks this host; no query leaves for it."""
    with Lab() as lab:
        assert lab.call("peek", resolver=resolver, name="both.hosts") == [["fd01::1"], ["10.1.1.1"]]
        assert lab.call("peek", resolver=resolver, name="only4.hosts") == [[], ["10.1.1.2"]]
        assert lab.call("peek", resolver=resolver, name="both.fault.test") is None
        lab.call("write", name="nsswitch.conf", text="hosts: dns files\n")
        assert lab.call("peek", resolver=resolver, name="both.hosts") is None


def test_a_resolver_that_was_given_flags_has_nothing_at_hand() -> None:
    """Libc alone knows what they mean."""
    assert SystemResolver(flags=socket.AI_ADDRCONFIG).peek_name("db", FAMILIES) is None
