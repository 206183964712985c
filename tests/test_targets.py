"""What may be dialled, and what is refused before anything is looked up or opened."""

from __future__ import annotations

import gc
import os
import pickle
import socket
import sys
import time
import traceback
import tracemalloc
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import aioconnect
import aioconnect.blocking
from aioconnect.about import DISTRIBUTION
from aioconnect.targets import Target, parse, parse_all, parse_host, shown
from aioconnect.text import format_targets

from .support import children
from .support.account import descriptors, without_collector
from .support.loops import LOOPS
from .support.sweep import examples

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable, Iterator

V4, V6, UNIX = socket.AF_INET, socket.AF_INET6, socket.AF_UNIX
SECRET = "hunter2"
LONG_NAME = ".".join(["a" * 63] * 3 + ["a" * 61])  # 253 bytes


@pytest.fixture(autouse=True, scope="module")
def no_descriptor_is_left() -> Iterator[None]:
    """Compare the open descriptors once around all of this: nothing may be opened at all."""
    before = descriptors()
    yield
    assert descriptors() == before


def test_what_was_parsed_long_ago_is_freed_without_the_collector() -> None:
    """A program that dials ever new places leaves it nothing to do."""
    with without_collector():
        for port in range(1, 1000):
            parse_all("192.0.2.1", port)
            parse_all(f"name.test:{port}")
            parse_all(("2001:db8::1", port, 0, 1))
        assert gc.collect() == 0


# What strangers can do with a target --------------------------------------------------------------

HOSTILE = {
    "a megabyte of a": "a" * 1_000_000,
    "a megabyte of dots": "." * 1_000_000,
    "a megabyte of labels": "a." * 500_000,
    "a megabyte of colons": ":" * 1_000_000,
    "a megabyte of brackets": "[" * 1_000_000 + "]:80",
    "a megabyte of Arabic digits": "\u0660" * 1_000_000,
    "a megabyte of combining marks": "a" + "\u0301" * 1_000_000,
    "a megabyte of surrogates": "\ud800" * 1_000_000,
    "a megabyte of escapes": "\x1b[31m" * 200_000,
    "a megabyte of scope": "fe80::1%" + "1" * 1_000_000,
    "a megabyte before a host": "a" * 1_000_000 + "@b",
    "a megabyte of host and a port": "a" * 1_000_000 + ":80",
    "a megabyte of port": "a:" + "9" * 1_000_000,
    "a URL of a megabyte": "http://" + "a" * 1_000_000,
    "257 characters that encode to one": "a" + "\ufe0f" * 256,
    "a change of direction": "\u202eelgoog\u202c.com:80",
    "a Cyrillic letter and a newline": "ex\u0430mple.com\n:80",
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_text_is_refused_in_few_printable_words(text: str) -> None:
    """As a text, as a host beside a port, and in a tuple."""
    asked: tuple[Callable[[], object], ...] = (
        lambda: parse(text),
        lambda: parse(text, 80),
        lambda: parse((text, 80, 0, 0)),
    )
    for ask in asked:
        with pytest.raises(ValueError, match=r".") as raised:
            ask()
        assert len(str(raised.value)) < 400
        assert str(raised.value).isascii()
        assert str(raised.value).isprintable()


def test_a_long_host_is_refused_before_any_codec_sees_it() -> None:
    """The codec's time may grow with the square of the length."""
    entered = []

    def watch(frame: Any, event: str, argument: object) -> None:
        if "idna" in frame.f_code.co_filename:
            entered.append(frame.f_code.co_name)

    sys.setprofile(watch)
    try:
        with pytest.raises(ValueError, match="253 bytes"):
            parse("\u00e9" * 254, 80)
        assert not entered
        with pytest.raises(ValueError, match="valid"):
            parse("\u00e9" * 253, 80)
        assert entered
    finally:
        sys.setprofile(None)


@pytest.mark.slow
def test_what_strangers_name_is_not_kept() -> None:
    """A hundred paths of a megabyte, and ten thousand hosts that are none."""
    parse("unix:/run/app"), parse("warm.test:80")
    gc.collect()
    tracemalloc.start()
    try:
        for number in range(100):
            parse(f"unix:/{number}" + "x" * 1_000_000)
        for number in range(10_000):
            with pytest.raises(ValueError, match="bytes"):
                parse("\u00e9" * 254 + f"{number}", 80)
            parse(f"host-{number}.{'a' * 60}.test", 80)
        gc.collect()
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 2_000_000


@pytest.mark.parametrize(
    ("target", "text"),
    [
        ("db.test:80", "'db.test:80'"),
        (f"user:{SECRET}@db.test:80", "'***@db.test:80'"),
        (f"user:{SECRET}@p@db.test:80", "'***@db.test:80'"),
        ("unix:@name", "'unix:@name'"),
        ("unix:/a@b", "'unix:/a@b'"),
        ((f"user:{SECRET}@db.test", 80), "('***@db.test', 80)"),
        ([f"u:{SECRET}@a:1", ("b", 2)], "['***@a:1', ('b', 2)]"),
        ([f"u:{SECRET}@a:1"] * 1000, f"[{', '.join([repr('***@a:1')] * 8)}, ...]"),
        ("a" * 1_000_000, f"'{'a' * 97}...'"),
        (("\u202e\x1b", 2**100_000, -1), r"('\u202e\x1b', int, -1)"),
        (b"bytes:80", "bytes"),
        (None, "NoneType"),
    ],
)
def test_what_was_given_is_shown_without_a_password(target: object, text: str) -> None:
    """In few printable words, whatever it is."""
    said = shown(target)
    assert said == text
    assert said.isascii()
    assert said.isprintable()
    assert len(said) < 1000


def test_of_many_targets_a_text_names_eight() -> None:
    """Which is what errors, log lines and breakers have."""
    targets = parse_all([f"host-{number}.test:80" for number in range(10_000)])
    assert format_targets([each.text for each in targets[:1]]) == "host-0.test:80"
    assert format_targets([each.text for each in targets[:8]]) == ", ".join(
        f"host-{number}.test:80" for number in range(8)
    )
    assert (
        format_targets([each.text for each in targets])
        == f"{format_targets([each.text for each in targets[:8]])} and 9992 more"
    )


# What is refused ----------------------------------------------------------------------------------

BAD_HOSTS = {
    "empty": "",
    "a NUL": "a\0b",
    "a NUL at the end of an address": "127.0.0.1\0",
    "a NUL before a name": "127.0.0.1\0.example",
    "a newline": "a\nb",
    "a newline at the end": "example.com\n",
    "a carriage return and a header": "a\r\nHost: b",
    "a tab": "a\tb",
    "an escape": "a\x1b[31mb",
    "DEL": "a\x7fb",
    "a C1 control character": "a\x85b",
    "a space": "a b",
    "a space before": " a",
    "a space after an address": "127.0.0.1 ",
    "a no-break space": "a\u00a0b",
    "an ideographic space": "a\u3000b",
    "a zero-width space": "a\u200bb",
    "a change of direction": "a\u202eb",
    "a lone surrogate": "a\ud800b",
    "hexadecimal and short": "0x7f.1",
    "one number": "2130706433",
    "one octal number": "017700000001",
    "one hexadecimal number": "0x7f000001",
    "octal": "0177.0.0.1",
    "octal in the last place": "127.0.0.01",
    "hexadecimal in the last place": "127.0.0.0x1",
    "hexadecimal without digits": "127.0.0.0x",
    "short": "127.1",
    "three parts": "127.0.1",
    "five parts": "1.2.3.4.5",
    "a part over 255": "1.2.3.256",
    "an address with a trailing dot": "127.0.0.1.",
    "a leading zero": "127.0.0.08",
    "a name whose last label is a number": "example.1",
    "a name whose last label is hexadecimal": "example.0x7F",
    "full-width digits": "\uff11\uff12\uff17.\uff10.\uff10.\uff11",
    "one full-width digit": "1\uff127.0.0.1",
    "full-width dots": "127\uff0e0\uff0e0\uff0e1",
    "ideographic full stops": "127\u30020\u30020\u30021",
    "Arabic digits": "\u0661\u0662\u0667.\u0660.\u0660.\u0661",
    "circled digits": "\u2460\u2461\u2466.0.0.1",
    "a superscript digit": "\u00b927.0.0.1",
    "a name of 254 bytes": "a" + LONG_NAME,
    "a name of 254 bytes and a dot": "a" + LONG_NAME + ".",
    "a label of 64 bytes": "a" * 64 + ".example",
    "a last label of 64 bytes": "example." + "a" * 64,
    "an empty label": "a..b",
    "an empty first label": ".a",
    "two trailing dots": "a..",
    "only a dot": ".",
    "brackets": "[::1]",
    "brackets around a name": "[a]",
    "an opening bracket": "[::1",
    "a closing bracket": "::1]",
    "a path": "unix:/run/db.sock",
    "an abstract path": "unix:@db",
    "the prefix alone": "unix:",
    "a URL": "http://a",
    "a slash": "a/b",
    "a backslash": "a\\b",
    "a query": "a?b",
    "a fragment": "a#b",
    "a per cent sign": "a%20b",
    "a star": "*.example",
    "a comma": "a,b",
    "a port": "a:80",
    "three colons": ":::",
    "two double colons": "1::2::3",
    "nine groups": "1:2:3:4:5:6:7:8:9",
    "a legacy spelling inside IPv6": "::ffff:127.1",
    "a scope that is empty": "fe80::1%",
    "a scope with a space": "fe80::1%eth 0",
    "a scope with a newline": "fe80::1%eth0\n",
    "a scope with a NUL": "fe80::1%eth0\0",
    "a scope with DEL": "fe80::1%eth0\x7f",
    "a scope with a C1 control character": "fe80::1%eth0\x9b",
    "a scope with a slash": "fe80::1%a/b",
    "a scope with two signs": "fe80::1%a%b",
    "a scope longer than an interface's name": "fe80::1%" + "a" * 16,
    "a scope beyond 32 bits": "fe80::1%4294967296",
    "a scope of very many digits": "fe80::1%" + "9" * 5000,
    "a scope on IPv4": "127.0.0.1%lo",
    "user information": "user@a",
    "a password": f"user:{SECRET}@a",
    "a password before IPv6": f"user:{SECRET}@::1",
    "a password in brackets": f"[user:{SECRET}@::1]",
    "a password after the prefix": f"unix:user:{SECRET}@a",
    "a password before a space": f"{SECRET}@ a",
    "a password and a NUL": f"user:{SECRET}\0@a",
    "a password and a URL": f"http://user:{SECRET}@a",
    "only a sign": "@",
}

BAD_PORTS: dict[str, tuple[object, type[Exception]]] = {
    "zero": (0, ValueError),
    "negative": (-1, ValueError),
    "65536": (65536, ValueError),
    "65536 + 80": (65536 + 80, ValueError),
    "2**32 + 80": (2**32 + 80, ValueError),
    "-65536 + 80": (-65536 + 80, ValueError),
    "a hundred digits": (10**100, ValueError),
    "True": (True, TypeError),
    "False": (False, TypeError),
    "a float": (80.0, TypeError),
    "NaN": (float("nan"), TypeError),
    "bytes": (b"80", TypeError),
    "a list": ([80], TypeError),
    "an object": (object, TypeError),
}

BAD_PORT_TEXTS = {
    "nothing": "",
    "zero": "0",
    "negative": "-1",
    "signed": "+80",
    "65536": "65536",
    "65536 + 80": "65616",
    "a space before": " 80",
    "a space after": "80 ",
    "a newline after": "80\n",
    "a NUL after": "80\0",
    "full-width digits": "\uff18\uff10",
    "Arabic digits": "\u0668\u0660",
    "superscript digits": "\u2078\u2070",
    "hexadecimal": "0x50",
    "an underscore": "8_0",
    "a fraction": "80.0",
    "an exponent": "8e1",
    "very many digits": "9" * 5000,
}

BAD_TEXTS = {
    "empty": "",
    "no port": "a",
    "no port after an address": "127.0.0.1",
    "no host": ":80",
    "the name of a service": "a:http",
    "six digits": "a:000080",
    "a path after the port": "a:80/b",
    "IPv6 without brackets": "::1:80",
    "IPv6 without a port": "::1",
    "brackets without a port": "[::1]",
    "brackets without a colon": "[::1]80",
    "brackets without digits": "[::1]:",
    "brackets that do not close": "[::1:80",
    "brackets that do not open": "::1]:80",
    "brackets twice": "[[::1]]:80",
    "brackets around a name": "[a]:80",
    "brackets around IPv4": "[127.0.0.1]:80",
    "brackets around nothing": "[]:80",
    "brackets after a name": "a[::1]:80",
    "a scope that is empty": "[fe80::1%]:80",
    "two ports": "a:80:90",
    "a URL": "http://a:80",
    "a URL with a password": f"https://user:{SECRET}@a:443",
    "a password": f"user:{SECRET}@a:80",
    "a password with a colon and a sign": f"user:{SECRET}@:@a:80",
    "a password in brackets": f"[user:{SECRET}@::1]:80",
    "a password after the port": f"a:80@{SECRET}",
    "a path without a path": "unix:",
    "an abstract path without a name": "unix:@",
    "a NUL in a path": "unix:/a\0b",
    "a NUL before a path": "unix:\0a",
    "a path that no file can have": "unix:/\ud800",
    "a prefix in capitals": "UNIX:/a",
    "a legacy spelling": "127.1:80",
    "full-width digits": "\uff11\uff12\uff17.0.0.1:80",
    "a space before": " a:80",
    "a newline before": "\na:80",
}

BAD_TUPLES: dict[str, tuple[Any, type[Exception]]] = {
    "nothing": ((), ValueError),
    "a host alone": (("a",), ValueError),
    "five": (("::1", 80, 0, 0, 0), ValueError),
    "an IPv4 address with a scope": (("127.0.0.1", 80, 0, 0), ValueError),
    "a name with a scope": (("a", 80, 0, 0), ValueError),
    "no host": ((None, 80), TypeError),
    "bytes": ((b"a", 80), TypeError),
    "a host that cannot be hashed": (([], 80), TypeError),
    "a port as text": (("a", "80"), TypeError),
    "no port": (("a", None), TypeError),
    "brackets": (("[::1]", 80), ValueError),
    "a path": (("unix:/a", 80), ValueError),
    "a flow label below zero": (("::1", 80, -1, 0), ValueError),
    "a flow label over 20 bits": (("::1", 80, 2**20, 0), ValueError),
    "a flow label that is true": (("::1", 80, True, 0), TypeError),
    "a flow label as text": (("::1", 80, "0", 0), TypeError),
    "a scope below zero": (("fe80::1", 80, 0, -1), ValueError),
    "a scope over 32 bits": (("fe80::1", 80, 0, 2**32), ValueError),
    "a scope that is true": (("fe80::1", 80, 0, True), TypeError),
    "a scope as a float": (("fe80::1", 80, 0, 2.0), TypeError),
    "a scope twice": (("fe80::1%2", 80, 0, 3), ValueError),
    "a name beside a name": (("a:1", "b:2"), TypeError),
    "tuples in a tuple": ((("a", 1), ("b", 2)), TypeError),
}

BAD_TYPES: dict[str, tuple[Any, type[Exception]]] = {
    "None": (None, TypeError),
    "a number": (80, TypeError),
    "bytes": (b"a:80", TypeError),
    "a dictionary": ({"a": 80}, TypeError),
    "a set": ({"a:80"}, TypeError),
    "no target at all": ([], ValueError),
    "a list in a list": ([["a:80"]], TypeError),
    "one of a list": (["a:80", None], TypeError),
    "one of a list, the last": (["a:80", "b"], ValueError),
}

BAD: list[tuple[str, tuple[Any, ...], type[Exception]]] = [
    *[(f"host: {what}", (host, 80), ValueError) for what, host in BAD_HOSTS.items()],
    *[(f"port: {what}", ("a", port), error) for what, (port, error) in BAD_PORTS.items()],
    *[(f"tuple's port: {what}", (("a", p),), error) for what, (p, error) in BAD_PORTS.items()],
    *[(f"text: {what}", (text,), ValueError) for what, text in BAD_TEXTS.items()],
    *[(f"port's text: {what}", (f"a:{p}",), ValueError) for what, p in BAD_PORT_TEXTS.items()],
    *[(f"tuple: {what}", (given,), error) for what, (given, error) in BAD_TUPLES.items()],
    *[(f"target: {what}", (given,), error) for what, (given, error) in BAD_TYPES.items()],
    ("a tuple and a port", (("a", 80), 80), TypeError),
    ("a list with one tuple and a port", ([("a", 80)], 80), TypeError),
    ("a list with a bad host and a port", (["a", "b c"], 80), ValueError),
    ("no host and a port", (None, 80), TypeError),
    ("bytes and a port", (b"a", 80), TypeError),
    ("a port as text", ("a", "80"), TypeError),
]
"""What is wrong with it, the arguments, the error."""


def parametrized(rows: list[tuple[Any, ...]]) -> Any:
    return pytest.mark.parametrize(
        ("arguments", "error"), [pytest.param(*row[1:], id=row[0]) for row in rows]
    )


@parametrized(BAD)
def test_bad_input_is_refused(arguments: tuple[Any, ...], error: type[Exception]) -> None:
    """It is exactly a ``ValueError`` or a ``TypeError``, and the message says something."""
    with pytest.raises((ValueError, TypeError)) as caught:
        parse_all(*arguments)
    assert isinstance(caught.value, error)
    assert str(caught.value)


@parametrized([row for row in BAD if SECRET in repr(row[1])])
def test_a_password_is_never_echoed(arguments: tuple[Any, ...], error: type[Exception]) -> None:
    """User information may hold one: neither the error nor what led to it shows any of it."""
    with pytest.raises(error) as caught:
        parse_all(*arguments)
    assert SECRET not in "".join(traceback.format_exception(caught.value))
    assert SECRET not in repr(caught.value)


WORDS: list[tuple[tuple[Any, ...], str]] = [
    (("localhost",), "'localhost' has no port: write host:port"),
    (("[::1]",), "'[::1]' has no port: write host:port"),
    (("localhost 80",), "'localhost 80' has a space: write localhost:80"),
    (("::1 80",), "'::1 80' has a space: write [::1]:80"),
    (("[::1] 80",), "'[::1] 80' has a space: write [::1]:80"),
    (("80",), "'80' is a port without a host: write host:port"),
    (("a:http",), "'a:http': the port is not a number between 1 and 65535"),
    (("::1",), "'::1' is ambiguous: write [IPv6 address]:port"),
    (("",), "an empty target"),
    (
        ("localhost:5432", 5432),
        "'localhost:5432' has a port already: give the host alone, or no second port",
    ),
    (
        (("127.0.0.1:80", 80),),
        "'127.0.0.1:80' has a port already: give the host alone, or no second port",
    ),
    (
        ("[::1]:80", 80),
        "'[::1]:80' has a port already: give the host alone, or no second port",
    ),
    (("[::1]", 80), "'[::1]': beside a port, an IPv6 address has no brackets"),
    (("1::2::3", 80), "'1::2::3' is not an IPv6 address"),
    (("http://a:80",), "a target is host:port or unix:/path, not a URL"),
    (("http://a", 80), "a target is a host and a port, not a URL"),
    (("/tmp/x.sock",), "'/tmp/x.sock' is a path: write unix:/tmp/x.sock"),
    (("./x.sock",), "'./x.sock' is a path: write unix:./x.sock"),
    (("~/x.sock",), "'~/x.sock' is a path: write unix: and the path in full"),
    (("/tmp/x.sock", 80), "'/tmp/x.sock' is a path: write unix:/tmp/x.sock, without a port"),
    (("unix:/tmp/x.sock", 80), "a Unix socket has no port: give unix:/path alone"),
    (("unix:@name", 80), "a Unix socket has no port: give unix:/path alone"),
    (("@name",), "an abstract Unix socket is written unix:@name"),
    (
        (Path("/tmp/x.sock"),),
        'a target is a str, a tuple or a list of them, not PosixPath: write f"unix:{path}"',
    ),
    ((("a", "80"),), "a port is an int, not str"),
    (
        (("a:1", "b:2"),),
        "a port is an int, not str: a tuple is (host, port), and several targets are a list",
    ),
]


@pytest.mark.parametrize(("arguments", "words"), WORDS, ids=repr)
def test_the_words_say_what_to_write_instead(arguments: tuple[Any, ...], words: str) -> None:
    """Each was a slip of somebody, who was told something else."""
    with pytest.raises((TypeError, ValueError)) as caught:
        parse_all(*arguments)
    assert str(caught.value) == words


def test_what_is_echoed_is_fit_for_a_terminal() -> None:
    """Control characters are escaped, and a long host is cut."""
    with pytest.raises(ValueError, match="control character") as caught:
        parse_host("a\x1b[2J\n\u202e" + "b" * 1000, 80)
    message = str(caught.value)
    assert message.isascii()
    assert message.isprintable()
    assert len(message) < 300


@pytest.mark.parametrize(
    ("name", "ascii_name"),
    [
        ("without-idna-b\u00fccher.example", "xn--without-idna-bcher-z6b.example"),
        ("without.B\u00dcCHER.example", "without.xn--bcher-kva.example"),
        ("my_service.without.b\u00fccher.example", "my_service.without.xn--bcher-kva.example"),
        ("\u2603.without.example", "xn--n3h.without.example"),
        ("without\u3002b\u00fccher.example", "without.xn--bcher-kva.example"),
    ],
)
def test_without_idna_the_standard_codec_is_used_where_it_is_safe(
    name: str, ascii_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Most names are the same to IDNA 2003, which it knows, and to UTS 46."""
    monkeypatch.setitem(sys.modules, "idna", None)
    assert parse_host(name, 80).name == ascii_name


@pytest.mark.parametrize(
    "name",
    [
        "without.fa\u00df.example",  # fass
        "without.\u03b1\u03c2.example",  # another sigma
        "without.\uff41.example",  # a
        "without.\u2100.example",  # a/c
        "without.\u05d0a.example",  # two directions
    ],
)
def test_a_name_that_the_standard_codec_takes_for_another_needs_the_idna_extra(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error names it."""
    monkeypatch.setitem(sys.modules, "idna", None)
    with pytest.raises(ValueError, match=rf"install {DISTRIBUTION}\[idna\]"):
        parse_host(name, 80)


@pytest.mark.parametrize(
    "encoded",
    ["", "a b", "a\0b", "127.1", "2130706433", "a..b", "[::1]", "user@host", "a" * 64, "a:80"],
)
def test_what_idna_makes_of_a_name_is_checked_again(
    encoded: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever comes out must be a name as any other."""
    monkeypatch.setattr("idna.uts46_remap", lambda host, **options: encoded)
    with pytest.raises(ValueError, match=r"host|name|IPv4|brackets|label|user information"):
        parse_host(f"b\u00fccher-{len(encoded)}.example", 80)


# What is accepted ---------------------------------------------------------------------------------

NAMES = {
    "a name": "db.internal",
    "one label": "localhost",
    "a trailing dot": "db.internal.",
    "underscores": "_db._tcp.internal",
    "an underscore inside": "my_db",
    "hyphens": "a--b.c-d",
    "capitals": "DB.Internal",
    "digits": "3com.example",
    "a number that is not last": "10.example",
    "hexadecimal letters": "dead.beef",
    "x and more": "a.0xyz",
    "253 bytes": LONG_NAME,
    "253 bytes and a dot": LONG_NAME + ".",
    "a label of 63 bytes": "a" * 63,
    "punycode": "xn--bcher-kva.example",
}


@pytest.mark.parametrize("name", [pytest.param(name, id=what) for what, name in NAMES.items()])
def test_a_name_is_looked_up_as_it_was_written(name: str) -> None:
    """It has no address yet; it means the same with the port beside it, in a text, in a tuple."""
    for target in (parse(name, 80), parse(f"{name}:80"), parse((name, 80))):
        assert (target.host, target.name, target.port) == (name, name, 80)
        assert (target.family, target.address) == (0, None)


@pytest.mark.parametrize(
    ("name", "ascii_name"),
    [
        ("b\u00fccher.example", "xn--bcher-kva.example"),
        ("B\u00dcCHER.example", "xn--bcher-kva.example"),
        ("fa\u00df.example", "xn--fa-hia.example"),
        ("\u4f8b\u3048.\u30c6\u30b9\u30c8", "xn--r8jz45g.xn--zckzah"),
        ("\u4f8b\u3048\u3002\u30c6\u30b9\u30c8", "xn--r8jz45g.xn--zckzah"),
        ("b\u00fccher.example.", "xn--bcher-kva.example."),
        ("my_service.b\u00fccher.example", "my_service.xn--bcher-kva.example"),
        ("r3---sn-abc.b\u00fccher.example", "r3---sn-abc.xn--bcher-kva.example"),
        ("\u2603.example", "xn--n3h.example"),
        ("i\u2764\ufe0f.example", "xn--i-7iq.example"),
        ("\u0915\u094d\u200d\u0937.example", "xn--11b2ezcw70k.example"),
    ],
)
def test_a_name_that_is_not_ascii_is_looked_up_in_ascii(name: str, ascii_name: str) -> None:
    """By UTS 46 as browsers have it, the host for TLS included."""
    target = parse(name, 443)
    assert (target.name, target.host, target.text) == (ascii_name, ascii_name, f"{ascii_name}:443")


@pytest.mark.parametrize(
    "name",
    [
        "\u0301a.example",  # begins with a combining mark
        "\u05d0a.example",  # two directions
        "a\u200db.example",  # a joiner that joins nothing
        "a\u200bb.example",  # a space without a width
        "\u2488com.example",  # a digit and a dot in one
        "xn--\u00fc.example",
        "\u00fc" * 60 + ".example",
    ],
)
def test_a_name_that_browsers_refuse_is_refused(name: str) -> None:
    """What it would be taken for depends on who reads it."""
    with pytest.raises(aioconnect.InvalidTarget, match=r"name|label|control"):
        parse_host(name, 80)


@pytest.mark.parametrize("character", ["\u0660", "\u0915", "\u05d0", "\u0301", "\u2603"])
def test_a_long_text_is_refused_before_it_is_read(character: str) -> None:
    """Some idna needs seconds for 8000 characters, which a stranger can put into a URL."""
    began = time.process_time()
    for number in range(50):
        with pytest.raises(aioconnect.InvalidTarget, match="at most 253 bytes"):
            parse_host(character * (8000 + number), 80)
    assert time.process_time() - began < 1


def test_what_is_dialled_has_one_key() -> None:
    """``DB:9``, ``db:9`` and ``db.:9`` are one target to a breaker or a budget."""
    assert {parse(text).key for text in ("DB.test:9", "db.test:9", "db.test.:9")} == {"db.test:9"}
    assert parse("b\u00fccher.test:9").key == parse("xn--bcher-kva.test:9").key
    assert parse("[::1]:9").key == "[::1]:9"
    assert parse("unix:/Run/X").key == "unix:/Run/X"


GOOD = {
    "IPv4": (("10.0.0.1", 80), V4, ("10.0.0.1", 80), "10.0.0.1", "10.0.0.1:80"),
    "IPv4 in a text": (("10.0.0.1:80",), V4, ("10.0.0.1", 80), "10.0.0.1", "10.0.0.1:80"),
    "IPv4 in a tuple": ((("10.0.0.1", 80),), V4, ("10.0.0.1", 80), "10.0.0.1", "10.0.0.1:80"),
    "all zeros": (("0.0.0.0", 1), V4, ("0.0.0.0", 1), "0.0.0.0", "0.0.0.0:1"),
    "IPv6": (("::1", 80), V6, ("::1", 80, 0, 0), "::1", "[::1]:80"),
    "IPv6 in a text": (("[::1]:80",), V6, ("::1", 80, 0, 0), "::1", "[::1]:80"),
    "IPv6 in a tuple": ((("::1", 80),), V6, ("::1", 80, 0, 0), "::1", "[::1]:80"),
    "IPv6 in a tuple of three": ((("::1", 80, 7),), V6, ("::1", 80, 7, 0), "::1", "[::1]:80"),
    "IPv6 in a tuple of four": (
        (("fe80::1", 80, 7, 3),),
        V6,
        ("fe80::1", 80, 7, 3),
        "fe80::1",
        "[fe80::1%3]:80",
    ),
    "a scope's number": (
        ("fe80::1%3", 80),
        V6,
        ("fe80::1", 80, 0, 3),
        "fe80::1%3",
        "[fe80::1%3]:80",
    ),
    "a scope's name": (
        ("fe80::1%eth0.1-x_y", 80),
        V6,
        ("fe80::1", 80, 0, "eth0.1-x_y"),
        "fe80::1%eth0.1-x_y",
        "[fe80::1%eth0.1-x_y]:80",
    ),
    "a scope in a text": (
        ("[fe80::1%eth0]:80",),
        V6,
        ("fe80::1", 80, 0, "eth0"),
        "fe80::1%eth0",
        "[fe80::1%eth0]:80",
    ),
    "a scope's name in a tuple": (
        (("fe80::1%eth0", 80, 0, 0),),
        V6,
        ("fe80::1", 80, 0, "eth0"),
        "fe80::1%eth0",
        "[fe80::1%eth0]:80",
    ),
    "a scope's name beside the address": (
        (("fe80::1", 80, 0, "eth0"),),
        V6,
        ("fe80::1", 80, 0, "eth0"),
        "fe80::1",
        "[fe80::1%eth0]:80",
    ),
    "IPv4 in IPv6": (
        ("::ffff:10.0.0.1", 80),
        V6,
        ("::ffff:10.0.0.1", 80, 0, 0),
        "::ffff:10.0.0.1",
        "[::ffff:10.0.0.1]:80",
    ),
    "a path": (("unix:/run/db.sock",), UNIX, "/run/db.sock", "/run/db.sock", "unix:/run/db.sock"),
    "a relative path": (("unix:db.sock",), UNIX, "db.sock", "db.sock", "unix:db.sock"),
    "a path with an @": (("unix:/a@b",), UNIX, "/a@b", "/a@b", "unix:/a@b"),
    "a path with a colon": (("unix:/a:80",), UNIX, "/a:80", "/a:80", "unix:/a:80"),
    "a path in bytes that are no text": (("unix:/\udcff",), UNIX, "/\udcff", "/\udcff", None),
    "an abstract socket": (("unix:@db",), UNIX, "\0db", "@db", "unix:@db"),
}


@pytest.mark.parametrize(
    ("arguments", "family", "address", "host", "text"),
    [pytest.param(*row, id=what) for what, row in GOOD.items()],
)
def test_an_address_is_taken_as_it_is(
    arguments: tuple[Any, ...], family: int, address: Any, host: str, text: str | None
) -> None:
    """Nothing is looked up for it: it has a socket address already."""
    (target,) = parse_all(*arguments)
    assert (target.family, target.address) == (family, address)
    assert (target.host, target.name) == (host, None)
    assert target.port == (0 if family == UNIX else address[1])
    assert text in (None, target.text)


@pytest.mark.parametrize("port", [1, 80, 65535])
def test_every_port_from_1_to_65535_is_one(port: int) -> None:
    """The first and the last included."""
    assert parse("a", port).port == parse(f"a:{port}").port == parse(("a", port)).port == port


def test_a_list_is_several_targets_in_its_order() -> None:
    """Each may have its own form; with a port beside it, it is a list of hosts."""
    several: list[Any] = ["a:1", ("b", 2), "[::1]:3", "unix:/d"]
    assert [target.text for target in parse_all(several)] == ["a:1", "b:2", "[::1]:3", "unix:/d"]
    assert [target.text for target in parse_all(["a", "::1"], 80)] == ["a:80", "[::1]:80"]


def test_a_target_twice_is_two_targets() -> None:
    """What a person asks for twice is raced twice."""
    assert [target.text for target in parse_all(["a:1", "a:1"])] == ["a:1", "a:1"]


def test_true_is_no_port_even_after_1_was() -> None:
    """True equals 1, and a cache must not mistake one for the other."""
    assert parse_host("cached.example", 1).port == 1
    with pytest.raises(TypeError):
        parse_host("cached.example", True)
    with pytest.raises(TypeError):
        parse_host("cached.example", 1.0)  # type: ignore[arg-type]


def test_a_target_shows_what_it_is() -> None:
    """In a log, say."""
    assert repr(parse("db.internal", 5432)) == "<Target db.internal:5432>"
    assert repr(parse("unix:/a\nb")) == r"<Target unix:/a\nb>"


# Whatever is given --------------------------------------------------------------------------------

PIECES = [*"aZ09xf.:%[]@/-_ \0\n\x7f\x85\u00fc\uff11\u3002\u200d\u0661\ud800\udcff"]
PIECES += ["unix:", "::", "0x", "eth0", "a" * 63, "1.2.3.4", "127.1", "fe80::1", ":80"]
CHARACTERS = st.sampled_from(PIECES)
TEXTS = st.one_of(st.lists(CHARACTERS, max_size=8).map("".join), st.text(max_size=12))
PORTS = st.one_of(st.integers(-2, 70_000), st.integers(), st.booleans(), st.floats(), TEXTS)
ANYTHING = st.recursive(
    st.one_of(TEXTS, PORTS, st.none(), st.binary(max_size=4)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=5).map(tuple),
        st.tuples(TEXTS, PORTS),
        st.tuples(TEXTS, PORTS, PORTS, PORTS),
    ),
    max_leaves=6,
)
fuzz = settings(max_examples=examples(300), deadline=None)


def accepted(*arguments: Any) -> tuple[Target, ...]:
    """Parse, and let ``ValueError`` and ``TypeError`` pass, and nothing else."""
    try:
        return parse_all(*arguments)
    except (ValueError, TypeError):
        return ()


@pytest.mark.sweep
@pytest.mark.timeout(900)
@fuzz
@given(target=ANYTHING, port=st.one_of(st.none(), PORTS))
@example(target=("fe80::1", 80, 0, "eth0"), port=None)
def test_anything_at_all_is_a_target_or_an_error(target: Any, port: Any) -> None:
    """No other exception; and what is accepted is well-formed."""
    for parsed in accepted(target, port):
        if parsed.family == UNIX:
            assert os.fsencode(parsed.address)
            continue
        assert type(parsed.port) is int
        assert 0 < parsed.port < 65536
        assert parsed.host.isprintable()
        assert "@" not in parsed.host
        assert "[" not in parsed.host
        if parsed.name is not None:
            assert parsed.name.isascii()
            assert len(parsed.name) <= 254
            assert all(0 < len(label) <= 63 for label in parsed.name.removesuffix(".").split("."))
        else:
            socket.inet_pton(parsed.family, parsed.address[0])


@pytest.mark.sweep
@fuzz
@given(host=TEXTS, port=st.integers(1, 65535))
def test_what_is_accepted_means_the_same_when_it_is_read_again(host: str, port: int) -> None:
    """Its host beside its port, and its text unless that was escaped or cut, make it again."""
    for parsed in accepted(host, port):
        again = parse(parsed.host, parsed.port)
        assert facts(again) == facts(parsed)
        if len(parsed.host) <= 100 and parsed.host.isascii():
            assert facts(parse(parsed.text)) == facts(parsed)


@pytest.mark.sweep
@fuzz
@given(text=TEXTS.map(lambda text: "unix:" + text))
def test_a_path_that_is_accepted_means_the_same_when_it_is_read_again(text: str) -> None:
    """Likewise."""
    for parsed in accepted(text):
        assert facts(parse(f"unix:{parsed.host}")) == facts(parsed)


@pytest.mark.sweep
@fuzz
@given(host=st.text(alphabet="0123456789abcdefxXoO.", max_size=16))
def test_no_name_is_an_address_to_anybody(host: str) -> None:
    """What the C library reads as IPv4 (``inet_aton``) is refused, or is that very address."""
    for parsed in accepted(host, 80):
        try:
            number = socket.inet_aton(host)
        except OSError:
            continue
        assert parsed.name is None
        assert number == socket.inet_pton(V4, host)


@pytest.mark.sweep
@fuzz
@given(before=TEXTS, after=TEXTS, port=st.one_of(st.none(), st.just(80)))
def test_no_user_information_is_ever_shown(before: str, after: str, port: int | None) -> None:
    """Whatever stands around it."""
    text = f"{before}{SECRET}@{after}"
    if port is None and text.startswith("unix:"):
        return  # a path may have any name
    with pytest.raises((ValueError, TypeError)) as caught:
        parse(text, port)
    assert SECRET not in str(caught.value)


def facts(target: Target) -> tuple[Any, ...]:
    """Return all that a target means."""
    return target.host, target.name, target.port, target.family, target.address, target.text


# Every way in -------------------------------------------------------------------------------------

ASYNCHRONOUS: dict[str, Callable[..., Awaitable[object]]] = {
    "connect": aioconnect.connect,
    "Dialer.connect": aioconnect.Dialer(timeout=5).connect,
    "open_connection": aioconnect.open_connection,
    "Dialer.open_connection": aioconnect.Dialer(timeout=5).open_connection,
    "create_connection": lambda *args: aioconnect.create_connection(_no_protocol, *args),
    "Dialer.create_connection": lambda *args: aioconnect.Dialer().create_connection(
        _no_protocol, *args
    ),
}


def _no_protocol() -> asyncio.Protocol:
    raise AssertionError("a protocol was asked for")


def refused(arguments: tuple[Any, ...]) -> type[Exception] | None:
    """Return the error that ``parse_all`` raises."""
    try:
        parse_all(*arguments)
    except (ValueError, TypeError) as exc:
        return type(exc)
    return None


REFUSED = [(arguments, error) for _, arguments, _ in BAD if (error := refused(arguments))]
"""What the functions must refuse in the same way."""
STREAMS_TAKE = [(None, 80), ("a", "80")]
"""What is right for asyncio's functions: no host, and a port as text."""


@pytest.mark.parametrize("way", ASYNCHRONOUS)
async def test_every_asynchronous_function_refuses_bad_input(way: str) -> None:
    """The same errors on both loops; what reached a socket would be another error."""
    for arguments, error in REFUSED:
        if "connection" in way and (arguments in STREAMS_TAKE or arguments == (None,)):
            continue
        with pytest.raises(error) as caught:
            await ASYNCHRONOUS[way](*arguments)
        assert type(caught.value) is error


def test_the_blocking_functions_refuse_bad_input() -> None:
    """Without a loop it is the same."""
    for arguments, error in REFUSED:
        with pytest.raises(error) as caught:
            aioconnect.blocking.connect(*arguments)
        assert type(caught.value) is error


def test_a_supervisor_is_not_made_for_bad_input() -> None:
    """``Dialer.supervise`` refuses it before there is anything to wait for."""
    for arguments, error in REFUSED:
        with pytest.raises(error):
            aioconnect.Dialer().supervise(*arguments)


COULD_BE_A_SERVICE = {"hexadecimal", "an exponent"}  # letters and digits: it must be looked for


@pytest.mark.parametrize(
    "port",
    [
        pytest.param(p, id=what)
        for what, p in BAD_PORT_TEXTS.items()
        if what not in COULD_BE_A_SERVICE
    ],
)
async def test_a_port_as_text_is_ascii_digits_or_a_service(port: str) -> None:
    """Where a port may be text, as in asyncio, what can be neither is not looked up."""
    with pytest.raises(ValueError, match=r"port|digits"):
        await aioconnect.open_connection("127.0.0.1", port)


async def test_neither_a_host_nor_a_port_is_refused() -> None:
    """Without ``sock`` there is nothing to open."""
    with pytest.raises(ValueError, match="sock"):
        await aioconnect.open_connection()
    with pytest.raises(ValueError, match="sock"):
        await aioconnect.create_connection(_no_protocol)


# Before any I/O -----------------------------------------------------------------------------------

WATCH = """
import asyncio, pickle, sys
import idna, uvloop
import aioconnect, aioconnect.blocking

rows, loop_name = pickle.load(sys.stdin.buffer)
seen = []
watching = False

def hook(event, arguments):
    if watching and event.startswith("socket."):
        seen.append((event, repr(arguments)))

sys.addaudithook(hook)

async def every_way():
    protocol = asyncio.Protocol
    dialer = aioconnect.Dialer()
    for arguments in rows:
        for call in (
            lambda: aioconnect.connect(*arguments),
            lambda: dialer.connect(*arguments),
            lambda: aioconnect.open_connection(*arguments),
            lambda: dialer.open_connection(*arguments),
            lambda: aioconnect.create_connection(protocol, *arguments),
            lambda: dialer.create_connection(protocol, *arguments),
        ):
            try:
                await call()
            except (ValueError, TypeError):
                pass
        try:
            aioconnect.blocking.connect(*arguments)
        except (ValueError, TypeError):
            pass

async def main():
    global watching
    watching = True  # not before: a loop opens sockets of its own when it begins to run
    await every_way()
    refused = len(seen)
    try:
        await aioconnect.connect("127.0.0.1", 1)
    except OSError:
        pass
    watching = False
    print(refused, len(seen) > refused, seen[:refused])

loops = {"asyncio": asyncio.SelectorEventLoop, "uvloop": uvloop.new_event_loop}
with asyncio.Runner(loop_factory=loops[loop_name]) as runner:
    runner.run(main())
"""


@pytest.mark.parametrize("loop", LOOPS)
def test_nothing_is_looked_up_or_opened_for_bad_input(loop: str) -> None:
    """An audit hook sees every use of a socket: there is none, until something good is dialled."""
    arguments = [given for given, _ in REFUSED if given not in STREAMS_TAKE]
    given = pickle.dumps((arguments, loop))
    done = children.run([sys.executable, "-c", WATCH], input=given, text=False)
    assert done.stderr == b""
    assert done.stdout.strip() == b"0 True []"
