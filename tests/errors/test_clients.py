"""What a program sees that prints a part of the error, and not the error itself.

redis and valkey print ``args``, aiohttp and elasticsearch ``strerror``, aiormq both, CPython's own
code ``reason``.
"""

from __future__ import annotations

import copy
import errno
import logging
import pickle
import socket
import ssl
import traceback
from typing import TYPE_CHECKING, Any

import pytest

from aioconnect.causes import from_errno, from_exception, timed_out
from aioconnect.errors import CertificateError, ConnectionRefused, NameNotResolved, TLSError

from ..support.error_table import TABLE, V4, V6
from ..support.needs import needs
from .made import failed, specimens

if TYPE_CHECKING:
    from collections.abc import Callable

    from aioconnect.errors import ConnectError


def as_redis(error: OSError) -> str:
    """Format as redis-py does: one element of ``args`` is something else than two."""
    if len(error.args) == 1:
        return f"Error UNKNOWN connecting to db:6379. {error.args[0]}."
    return f"Error {error.args[0]} connecting to db:6379. {error.args[1]}."


FORMATS: dict[str, tuple[Callable[[Any], str], str]] = {
    "redis": (as_redis, "Error 111 connecting to db:6379. refused by 10.0.0.1:5432."),
    "aiohttp": (lambda error: f"[{error.strerror}]", "[refused by 10.0.0.1:5432]"),
    "aiormq": (
        lambda error: f"[Errno {error.errno}] {error.strerror}",
        "[Errno 111] refused by 10.0.0.1:5432",
    ),
    "repr": (repr, "ConnectionRefused(111, 'refused by 10.0.0.1:5432')"),
}


@needs("linux")  # the number in the texts
@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("kind", ["attempt", "call"])
def test_a_client_that_formats_a_part_says_cause_and_address(name: str, kind: str) -> None:
    """The error of an attempt and of a call alike."""
    call = failed("ECONNREFUSED")
    shown, expected = FORMATS[name]
    assert shown(call if kind == "call" else call.attempts[0].error) == expected


def test_args_are_the_number_and_the_cause_for_every_error() -> None:
    """Two elements, also where there is no number."""
    for name, error in specimens().items():
        number, said = error.args
        assert number == error.errno, name
        assert said == error.strerror, name
        assert said, name
        assert repr(error) == f"{type(error).__name__}({number!r}, {said!r})"


def test_a_limit_says_its_address_without_a_number() -> None:
    """The kernel returned none."""
    error = timed_out(whole=False, stage="connect", address=V4, family=socket.AF_INET, elapsed=1.5)
    assert error.args == (None, "no answer from 10.0.0.1:5432")


def test_a_bound_address_is_named() -> None:
    """Which of the local addresses is taken is what a person wants to know."""
    error = from_errno(
        errno.EADDRINUSE,
        stage="bind",
        address=V4,
        family=socket.AF_INET,
        about=("127.0.0.1", 39617),
    )
    assert "127.0.0.1:39617" in error.strerror
    assert "127.0.0.1:39617" in str(error)


def test_all_causes_of_a_call_are_in_strerror() -> None:
    """The dominant one first, each with the addresses it was met at."""
    error = failed("ETIMEDOUT", "ECONNREFUSED", "ECONNREFUSED")
    assert error.strerror == (
        "refused by 10.0.0.2:5432 and 10.0.0.3:5432; no answer from 10.0.0.1:5432"
    )


def test_args_and_strerror_can_be_set() -> None:
    """Asyncio and others do; what was set is what is said from then on, in copies too."""
    for change in (
        lambda error: setattr(error, "strerror", "in other words"),
        lambda error: setattr(error, "args", (5, "in other words")),
    ):
        error = failed("ECONNREFUSED")
        change(error)
        for each in (error, copy.copy(error), copy.deepcopy(error), roundtrip(error)):
            assert each.args[1] == "in other words"
            assert each.errno == errno.ECONNREFUSED
            assert each.code == "connection_refused"


def roundtrip(error: ConnectError) -> ConnectError:
    """Pickle and unpickle."""
    again: ConnectError = pickle.loads(pickle.dumps(error))
    return again


def test_logging_and_tracebacks_show_the_sentence(caplog: pytest.LogCaptureFixture) -> None:
    """The same text as ``str``."""
    error = failed("ECONNREFUSED")
    try:
        raise error
    except ConnectionRefused as exc:
        logging.getLogger("somebody").exception("failed: %s", exc)
        shown = "".join(traceback.format_exception(exc))
    assert f"failed: {error}" in caplog.text
    assert caplog.text.count(str(error)) >= 2
    assert shown.rstrip().endswith(f"ConnectionRefused: {error}")


# What the built-in has ----------------------------------------------------------------------------


def test_every_attribute_of_an_ssl_error_is_there() -> None:
    """``reason`` and ``library`` in ``except ssl.SSLError``, copied and pickled too."""
    original = ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number (_ssl.c:1006)")
    original.reason, original.library = "WRONG_VERSION_NUMBER", "SSL"
    error = from_exception(original, stage="tls", address=V4)
    for each in (error, copy.copy(error), roundtrip(error)):
        assert isinstance(each, ssl.SSLError)
        assert (each.reason, each.library) == ("WRONG_VERSION_NUMBER", "SSL")
        assert each.words == "wrong version number"
    assert (TLSError().reason, TLSError().library) == (None, None)


def test_every_attribute_of_a_certificate_error_is_there() -> None:
    """The verdict of the check, whole and as OpenSSL has it."""
    name = "a-rather-long-name.eu-west-1.compute.example.org"
    said = f"Hostname mismatch, certificate is not valid for '{name}'."
    original = ssl.SSLCertVerificationError(
        1, f"[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: {said} (_ssl.c:1006)"
    )
    original.verify_code, original.verify_message = 62, said
    original.reason, original.library = "CERTIFICATE_VERIFY_FAILED", "SSL"
    error = from_exception(original, stage="tls", target="10.0.0.1:5432", address=V4)
    for each in (error, copy.copy(error), roundtrip(error)):
        assert isinstance(each, CertificateError)
        assert (each.verify_code, each.verify_message) == (62, said)
        assert (each.reason, each.library) == ("CERTIFICATE_VERIFY_FAILED", "SSL")
        assert (
            "certificate not accepted: Hostname mismatch, certificate is not valid for"
            f" '{name}': " in str(each)
        )
    assert (CertificateError().verify_code, CertificateError().verify_message) == (0, "")


def test_a_name_error_has_the_resolvers_number() -> None:
    """``errno`` and ``args[0]`` are the ``EAI_*`` number."""
    original = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    error = from_exception(original, stage="resolve", target="db:80", address="db")
    for each in (error, copy.copy(error), roundtrip(error)):
        assert isinstance(each, NameNotResolved)
        assert each.errno == each.args[0] == socket.EAI_NONAME
        assert each.args[1] == "no such name db"


def test_every_os_error_has_the_attributes_that_os_errors_have() -> None:
    """Nobody meets an ``AttributeError`` in an ``except OSError``."""
    for row in TABLE:
        error = row.error()
        for name in ("errno", "strerror", "filename", "filename2", "args"):
            getattr(error, name)
        if isinstance(error, ssl.SSLError):
            assert hasattr(error, "reason")
            assert hasattr(error, "library")


def test_an_error_can_be_matched_by_parts() -> None:
    """What ``args`` are is what a pattern sees."""
    match from_errno(errno.ECONNREFUSED, stage="connect", address=V6).args:
        case (errno.ECONNREFUSED, str(said)):
            assert said == "refused by [2001:db8::1]:5432"
        case other:
            pytest.fail(f"not two: {other}")
