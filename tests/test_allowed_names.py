"""Which targets a list of names allows, before anything is looked up."""

from __future__ import annotations

import copy
import pickle
import sys
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aioconnect.allowed_names import AllowedNames
from aioconnect.targets import parse

if TYPE_CHECKING:
    from collections.abc import Iterable

WORDS = "not among the allowed names"

TABLE = [
    # pattern, target, allowed
    ("example.com", "example.com:80", True),
    ("example.com", "EXAMPLE.com.:80", True),
    ("Example.COM.", "example.com:443", True),
    ("example.com", "www.example.com:80", False),
    ("example.com", "example.com.evil.test:80", False),
    ("example.com", "xexample.com:80", False),
    ("*.example.com", "www.example.com:80", True),
    ("*.example.com", "a.b.c.EXAMPLE.COM.:80", True),
    ("*.EXAMPLE.com.", "www.example.com:80", True),
    ("*.example.com", "example.com:80", False),
    ("*.example.com", "xexample.com:80", False),
    ("*.example.com", "www.example.com.evil.test:80", False),
    ("*.example.com", "www.example.comx:80", False),
    ("*.example.com", "com:80", False),
    ("*.example.com", "www:80", False),
    ("*.com", "a.b.com:80", True),
    ("localhost", "localhost:80", True),
    ("*.localhost", "a.localhost:80", True),
    ("*.example.com", "localhost:80", False),
    ("b\u00fccher.example", "xn--bcher-kva.example:80", True),
    ("*.b\u00fccher.example", "www.B\u00dcCHER.example:80", True),
    ("xn--bcher-kva.example", "b\u00fccher.example:80", True),
    ("example.com", "ex\u0430mple.com:80", False),  # a Cyrillic letter
    ("*", "any.thing.test:80", True),
    ("*", "192.0.2.1:80", False),
    ("*", "[::1]:80", False),
    ("*", "unix:/run/x", False),
    ("*.example.com", "192.0.2.1:80", False),
    ("192.0.2.1", "192.0.2.1:80", True),
    ("192.0.2.1", "192.0.2.2:80", False),
    ("192.0.2.1", "[::ffff:192.0.2.1]:80", False),
    ("2001:DB8::0:1", "[2001:db8::1]:80", True),
    ("2001:db8::1", "[2001:db8::2]:80", False),
    ("fe80::1", "[fe80::1%eth0]:80", False),
    ("fe80::1%eth0", "[fe80::1%eth0]:80", True),
    ("fe80::1%eth0", "[fe80::1]:80", False),
    ("unix:/run/x", "unix:/run/x", True),
    ("unix:/run/x", "unix:/run/y", False),
    ("unix:@x", "unix:@x", True),
    ("unix:@x", "unix:x", False),
]


@pytest.mark.parametrize(("pattern", "target", "allowed"), TABLE)
def test_a_pattern_and_a_target(pattern: str, target: str, allowed: bool) -> None:
    """What is not named is denied; an address is no name."""
    refusal = AllowedNames([pattern]).refusal(parse(target))
    assert refusal == (None if allowed else WORDS)


@pytest.mark.parametrize(("pattern", "target", "allowed"), TABLE)
def test_one_pattern_of_many_is_enough(pattern: str, target: str, allowed: bool) -> None:
    """Whatever stands beside it."""
    names = AllowedNames(["a.test", pattern, "*.b.test", "192.0.2.77"])
    assert (names.refusal(parse(target)) is None) is allowed


LABELS = st.lists(st.sampled_from(["a", "b", "A", "ab"]), min_size=1, max_size=4).map(".".join)


@given(st.lists(LABELS, min_size=1, max_size=4), st.lists(st.booleans(), min_size=4), LABELS)
def test_names_below_and_names_themselves(names: list[str], below: list[bool], name: str) -> None:
    """As the slow way has it."""
    patterns = [f"*.{each}" if flag else each for each, flag in zip(names, below, strict=False)]
    lower = name.lower()
    expected = any(
        lower.endswith(pattern[1:].lower()) if pattern[0] == "*" else lower == pattern.lower()
        for pattern in patterns
    )
    assert (AllowedNames(patterns).refusal(parse(name, 80)) is None) is expected


@pytest.mark.parametrize(
    ("patterns", "error", "words"),
    [
        ([], ValueError, "empty: that would allow nothing"),
        ([""], ValueError, "empty host"),
        (["*."], ValueError, "empty host"),
        (["a*.example.com"], ValueError, "not a host name"),
        (["*.*.example.com"], ValueError, "not a host name"),
        (["www.*.com"], ValueError, "not a host name"),
        (["**"], ValueError, "not a host name"),
        (["*.192.0.2.1"], ValueError, "nothing below it"),
        (["127.1"], ValueError, "four decimal numbers"),
        (["example.com:80"], ValueError, "has a port already"),
        (["http://example.com"], ValueError, "allowed_names"),
        (["a b"], ValueError, "control character or a space"),
        (["user@example.com"], ValueError, "user information"),
        (["unix:"], ValueError, "needs a path"),
        ("example.com", TypeError, "a list of patterns"),
        (b"example.com", TypeError, "a list of patterns"),
        (None, TypeError, "a list of patterns"),
        (5, TypeError, "a list of patterns"),
        ([b"example.com"], TypeError, "a pattern is a str"),
        ([None], TypeError, "a pattern is a str"),
    ],
)
def test_misuse_is_found_at_once(patterns: Any, error: type[Exception], words: str) -> None:
    """Before anything is dialled."""
    with pytest.raises(error, match=words):
        AllowedNames(patterns)


@pytest.mark.parametrize("patterns", [("a.test",), ("*.a.test", "192.0.2.1", "unix:/x"), ("*",)])
def test_it_is_a_value(patterns: Iterable[str]) -> None:
    """Dialers compare, hash and copy it."""
    names = AllowedNames(patterns)
    others = [
        AllowedNames(reversed([*patterns])),
        copy.deepcopy(names),
        pickle.loads(pickle.dumps(names)),
        eval(repr(names)),
    ]
    for other in others:
        assert other == names
        assert hash(other) == hash(names)
        assert other.refusal(parse("x.a.test:1")) == names.refusal(parse("x.a.test:1"))
    assert names != AllowedNames(["b.test"])
    with pytest.raises(AttributeError):
        names.patterns = ("*",)
    with pytest.raises(AttributeError):
        del names.patterns


def test_ten_thousand_names_take_no_longer_to_ask() -> None:
    """It looks up as many strings as the name has labels."""
    names = AllowedNames([f"*.host{number}.example" for number in range(10_000)])
    counted = 0

    def count(frame: Any, event: str, arg: Any) -> None:
        nonlocal counted
        counted += event == "c_call"

    sys.setprofile(count)
    try:
        assert names.refusal(parse("www.host9999.example", 80)) is None
    finally:
        sys.setprofile(None)
    assert counted < 50
