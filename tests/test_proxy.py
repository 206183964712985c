"""The value ``Proxy``, what the environment says, and that neither shows a password."""

from __future__ import annotations

import copy
import pickle
import socket
import traceback
from typing import Any

import pytest

from aioconnect import Proxy
from aioconnect.proxy import EnvironmentProxies
from aioconnect.targets import parse

SECRET = "hunter2"  # the word that no text may show


def parts(proxy: Proxy) -> tuple[Any, ...]:
    return proxy.scheme, proxy.host, proxy.port, proxy.credentials


# What is written ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("socks5h://proxy.test:1080", ("socks5h", "proxy.test", 1080, None)),
        ("socks5://10.0.0.1:9050", ("socks5", "10.0.0.1", 9050, None)),
        ("http://proxy.test:3128", ("http", "proxy.test", 3128, None)),
        ("http://proxy.test:3128/", ("http", "proxy.test", 3128, None)),
        ("SOCKS5H://Proxy.Test:1", ("socks5h", "Proxy.Test", 1, None)),
        ("socks5h://proxy.test", ("socks5h", "proxy.test", 1080, None)),
        ("socks5://[::1]", ("socks5", "::1", 1080, None)),
        ("socks5h://[2001:db8::1]:1080", ("socks5h", "2001:db8::1", 1080, None)),
        ("socks5h://[fe80::1%25eth0]:1080", ("socks5h", "fe80::1%eth0", 1080, None)),
        ("socks5h://[fe80::1%eth0]:1080", ("socks5h", "fe80::1%eth0", 1080, None)),
        ("socks5h://localhost:1080", ("socks5h", "localhost", 1080, None)),
        ("socks5h://me:hunter2@p.test:1", ("socks5h", "p.test", 1, (b"me", b"hunter2"))),
        ("socks5h://me@p.test:1", ("socks5h", "p.test", 1, (b"me", b""))),
        ("socks5h://m%40e:p%3a%2F%25@p.test:1", ("socks5h", "p.test", 1, (b"m@e", b"p:/%"))),
        ("socks5h://me:a:b@p.test:1", ("socks5h", "p.test", 1, (b"me", b"a:b"))),
        ("socks5h://m%C3%A9:%FF@p.test:1", ("socks5h", "p.test", 1, ("mé".encode(), b"\xff"))),
        ("socks5h://mé:x@p.test:1", ("socks5h", "p.test", 1, ("mé".encode(), b"x"))),
        ("http://:hunter2@p.test:1", ("http", "p.test", 1, (b"", b"hunter2"))),
        ("http://me:@p.test:1", ("http", "p.test", 1, (b"me", b""))),
    ],
)
def test_a_url_is_read_as_it_is_written(url: str, expected: tuple[Any, ...]) -> None:
    """Scheme, host, port; user name and password decoded."""
    assert parts(Proxy(url)) == expected


def test_user_name_and_password_may_stand_apart() -> None:
    """As they are: nothing in them has to be encoded."""
    proxy = Proxy("socks5h://p.test:1", username="m@e", password="p/%3a:é")
    assert proxy.credentials == (b"m@e", "p/%3a:é".encode())
    assert Proxy("socks5h://p.test:1", username="me").credentials == (b"me", b"")


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("proxy.test:1080", "scheme://host:port"),
        ("me:hunter2@proxy.test:1080", "scheme://host:port"),
        ("", "scheme://host:port"),
        ("https://me:hunter2@proxy.test:443", "https://"),
        ("socks4://me:hunter2@proxy.test:1080", "socks5h, socks5 or http"),
        ("socks://proxy.test:1080", "socks5h, socks5 or http"),
        ("me:hunter2://proxy.test:1080", "socks5h, socks5 or http"),
        ("http://me:hunter2@proxy.test", "needs a port"),
        ("http://[::1]", "needs a port"),
        ("socks5h://proxy.test:", "the port of a proxy"),
        ("socks5h://[::1]:", "the port of a proxy"),
        ("socks5h://me:hunter2@proxy.test:port", "the port of a proxy"),
        ("socks5h://me:hunter2@proxy.test:0", "the port of a proxy"),
        ("socks5h://me:hunter2@proxy.test:65536", "the port of a proxy"),
        ("socks5h://me:hunter2", "the port of a proxy"),
        ("socks5h://me:hunter2@", "an empty host"),
        ("socks5h://me:hunter2@:1080", "an empty host"),
        ("socks5h://", "an empty host"),
        ("socks5h://me:hunter2@127.1:1080", "four decimal numbers"),
        ("socks5h://me:hunter2@::1:1080", "brackets"),
        ("socks5h://me:hunter2@[::1:1080", "brackets"),
        ("socks5h://me:hunter2@[proxy.test]:1080", "brackets"),
        ("socks5h://me:hunter2@[::1]1080", "brackets"),
        ("socks5h://me:hunter2@[::1%25]:1080", "host of a proxy"),
        ("socks5h://me:hunter2@proxy.test:1080/path", "no path"),
        ("socks5h://me:hunter2@proxy.test:1080?query", "no path"),
        ("socks5h://me:hunter2@proxy.test:1080#", "no path"),
        ("socks5h://me:hun@ter2hunter2@proxy.test:1080", "%40"),
        ("socks5h://me:hun/hunter2@proxy.test:1080", "%40"),
        ("socks5h://me:80?hunter2@proxy.test:1080", "%40"),
        ("socks5h://me:#hunter2@proxy.test:1080", "%40"),
        ("socks5h://me:hunter2%@proxy.test:1080", "%25"),
        ("socks5h://me:hunter2%4x@proxy.test:1080", "%25"),
        ("socks5h://me:hunter2 @proxy.test:1080", "space"),
        ("socks5h://me:hunter2@proxy.test:1080\n", "control character"),
        ("socks5h://me:hunter2\0@proxy.test:1080", "control character"),
        ("socks5h://:hunter2@proxy.test:1080", "empty user name"),
        ("socks5h://@proxy.test:1080", "empty user name"),
        (f"socks5h://me:{SECRET * 37}@proxy.test:1080", "255 bytes"),
        (f"socks5h://{'é' * 128}:hunter2@proxy.test:1080", "255 bytes"),
        ("http://m%3Ae:hunter2@proxy.test:1080", "no colon"),
    ],
)
def test_what_is_no_proxy_is_refused_without_showing_a_password(url: str, said: str) -> None:
    """Neither the message nor a traceback that prints local variables has it."""
    with pytest.raises(ValueError, match=said.replace("(", r"\(")) as caught:
        Proxy(url)
    check_hidden(caught.value)
    assert caught.value.__context__ is None


def check_hidden(error: BaseException) -> None:
    """Look for the password in all that our frames would show of it, and in what is pickled."""
    frames = list(traceback.walk_tb(error.__traceback__))
    ours = [frame for frame, _ in frames if "/aioconnect/" in frame.f_code.co_filename]
    assert ours
    for frame in ours:
        assert SECRET not in repr(frame.f_locals), frame.f_code.co_name
    assert SECRET not in "".join(traceback.format_exception_only(error)) + repr(error.args)


@pytest.mark.parametrize(
    "keywords",
    [
        {"username": "me", "password": SECRET},
        {"password": SECRET},
    ],
)
def test_credentials_are_given_once(keywords: dict[str, str]) -> None:
    """In the URL or beside it, and a password not alone."""
    url = "socks5h://me:hunter2@p.test" if "username" in keywords else "socks5h://p.test"
    with pytest.raises(ValueError, match="proxy") as caught:
        Proxy(url, **keywords)
    check_hidden(caught.value)


@pytest.mark.parametrize(
    ("url", "keywords"),
    [
        (None, {}),
        (b"socks5h://me:hunter2@p.test", {}),
        (("p.test", 1080), {}),
        ("socks5h://p.test", {"username": b"me"}),
        ("socks5h://p.test", {"username": "me", "password": b"hunter2"}),
    ],
)
def test_what_is_no_text_is_a_type_error(url: Any, keywords: dict[str, Any]) -> None:
    """A wrong type is a mistake of the program's."""
    with pytest.raises(TypeError, match="of a proxy is a str") as caught:
        Proxy(url, **keywords)
    check_hidden(caught.value)


# A value --------------------------------------------------------------------------------------


def test_nothing_that_prints_a_proxy_shows_its_credentials() -> None:
    """str, repr, format, and the repr of what holds it."""
    proxy = Proxy("socks5h://somebody:hunter2@proxy.test:1080")
    for text in (str(proxy), repr(proxy), f"{proxy}", f"{[proxy]}", "%s" % proxy):  # noqa: UP031
        assert SECRET not in text
        assert "somebody" not in text
    assert str(proxy) == "socks5h://proxy.test:1080"
    assert repr(proxy) == "<Proxy socks5h://proxy.test:1080 with credentials>"
    assert repr(Proxy("http://[::1]:80")) == "<Proxy http://[::1]:80>"


def test_proxies_are_compared_by_value_credentials_included() -> None:
    """So that dialers are, and a cache by options keeps users apart."""
    one, same = (Proxy("socks5h://me:hunter2@p.test:1080") for _ in range(2))
    assert one == same
    assert hash(one) == hash(same)
    others = ["socks5h://me:other@p.test:1080", "socks5h://p.test", "socks5://me:hunter2@p.test"]
    assert one not in [Proxy(url) for url in others]
    assert one != "socks5h://me:hunter2@p.test:1080"


def test_a_proxy_is_immutable() -> None:
    """It is shared freely."""
    proxy = Proxy("socks5h://p.test")
    with pytest.raises(AttributeError):
        proxy.scheme = "http"
    with pytest.raises(AttributeError):
        del proxy.scheme
    assert copy.copy(proxy) is proxy
    assert copy.deepcopy([proxy])[0] is proxy


def test_a_password_is_not_pickled() -> None:
    """A file or a queue is no place for it; a proxy without one goes through."""
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(Proxy("socks5h://me:hunter2@p.test"))
    for url in ("socks5h://p.test:1080", "http://[::1]:3128", "socks5://[fe80::1%eth0]:1"):
        assert pickle.loads(pickle.dumps(Proxy(url))) == Proxy(url)


# The environment ------------------------------------------------------------------------------

DB, WEB = parse("db.test", 5432), parse("web.test", 443)


def choose(target: Any = DB, *, kind: int = socket.SOCK_STREAM, **environ: str) -> str | None:
    chosen = EnvironmentProxies(environ)._choose(target, kind)
    return None if chosen is None else str(chosen)


@pytest.mark.parametrize(
    ("environ", "for_db", "for_web"),
    [
        ({}, None, None),
        ({"ALL_PROXY": ""}, None, None),
        ({"ALL_PROXY": " socks5h://p:1 "}, "socks5h://p:1", "socks5h://p:1"),
        ({"all_proxy": "socks5://p:1"}, "socks5://p:1", "socks5://p:1"),
        ({"all_proxy": "http://small:1", "ALL_PROXY": "http://big:2"}, "http://small:1",
         "http://small:1"),
        ({"all_proxy": "", "ALL_PROXY": "http://big:2"}, "http://big:2", "http://big:2"),
        ({"ALL_PROXY": "p.test:3128"}, "http://p.test:3128", "http://p.test:3128"),
        ({"HTTPS_PROXY": "http://p:1"}, None, "http://p:1"),
        ({"https_proxy": "http://p:1", "ALL_PROXY": "socks5h://q:2"}, "socks5h://q:2",
         "http://p:1"),
        ({"HTTP_PROXY": "http://p:1", "http_proxy": "http://p:1"}, None, None),
    ],
)  # fmt: skip
def test_the_environment_names_a_proxy(
    environ: dict[str, str], for_db: str | None, for_web: str | None
) -> None:
    """Small letters before capitals, https_proxy for port 443 before all_proxy."""
    assert choose(DB, **environ) == for_db
    assert choose(WEB, **environ) == for_web


@pytest.mark.parametrize(
    ("no_proxy", "host", "direct"),
    [
        ("*", "db.test", True),
        ("*", "192.0.2.1", True),
        ("db.test", "db.test", True),
        ("db.test", "DB.Test.", True),
        ("DB.TEST.", "db.test", True),
        ("test", "db.test", True),
        (".test", "db.test", True),
        (".db.test", "db.test", True),
        ("*.test", "db.test", True),
        ("b.test", "db.test", False),
        ("db.test", "test", False),
        ("db.test", "a.db.test", True),
        ("db.tes", "db.test", False),
        ("other, db.test ,more", "db.test", True),
        ("other db.test", "db.test", True),
        (" , ,", "db.test", False),
        (".", "db.test", False),
        ("db.test:5432", "db.test", True),
        ("db.test:5433", "db.test", False),
        ("db.test:port", "db.test", False),
        ("db.test:", "db.test", True),
        ("10.0.0.0/8", "10.1.2.3", True),
        ("10.9.9.9/8", "10.1.2.3", True),
        ("10.0.0.0/8", "11.1.2.3", False),
        ("10.0.0.0/33", "10.1.2.3", False),
        ("10.0.0.0/8", "db.test", False),
        ("10.1.2.3", "10.1.2.3", True),
        ("10.1.2.3:5432", "10.1.2.3", True),
        ("10.1.2.3:1", "10.1.2.3", False),
        ("2.3", "10.1.2.3", False),
        ("::1", "::1", True),
        ("0:0:0:0:0:0:0:1", "::1", True),
        ("[::1]", "::1", True),
        ("[::1]:5432", "::1", True),
        ("[::1]:1", "::1", False),
        ("fe80::/10", "fe80::1%eth0", True),
        ("2001:db8::/32", "2001:db8::7", True),
        ("2001:db8::/32", "2001:db9::7", False),
        ("2001:db8::/32", "10.0.0.1", False),
        ("localhost", "localhost", True),
        ("example.com", "localhost", False),
    ],
)
def test_no_proxy_lists_what_is_dialled_directly(no_proxy: str, host: str, direct: bool) -> None:
    """Everything, domains with what is below them, addresses, networks; a port may follow."""
    for name in ("no_proxy", "NO_PROXY"):
        chosen = choose(parse(host, 5432), ALL_PROXY="socks5h://p:1", **{name: no_proxy})
        assert (chosen is None) == direct


def test_unix_sockets_and_datagrams_are_dialled_directly() -> None:
    """The environment speaks of TCP."""
    assert choose(parse("unix:/run/x"), ALL_PROXY="socks5h://p:1") is None
    assert choose(DB, kind=socket.SOCK_DGRAM, ALL_PROXY="socks5h://p:1") is None


def test_what_the_environment_says_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A dialer does not change under whoever holds it."""
    monkeypatch.setenv("all_proxy", "socks5h://p:1")
    monkeypatch.delenv("no_proxy", raising=False)
    found = EnvironmentProxies()
    monkeypatch.setenv("all_proxy", "socks5h://q:1")
    assert str(found._choose(DB, socket.SOCK_STREAM)) == "socks5h://p:1"
    assert found != EnvironmentProxies()
    assert hash(EnvironmentProxies()) == hash(EnvironmentProxies())


def test_a_variable_that_names_no_proxy_is_named_without_its_password(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also where a traceback prints local variables, the whole environment among them."""
    monkeypatch.delenv("all_proxy", raising=False)
    monkeypatch.setenv("ALL_PROXY", "https://me:hunter2@p.test:1")
    with pytest.raises(ValueError, match=r"^ALL_PROXY: .*https://") as caught:
        EnvironmentProxies()
    check_hidden(caught.value)
    monkeypatch.setenv("ALL_PROXY", "http://me:hunter2@p.test:1")
    assert SECRET not in repr(EnvironmentProxies())
