"""What was raised is classified by its type first, and by its number second."""

from __future__ import annotations

import errno
import socket
import ssl

import pytest

from aioconnect import errors
from aioconnect.causes import connected_to_itself, from_exception, timed_out
from aioconnect.errors import (
    AccessDenied,
    AttemptFailed,
    AttemptTimedOut,
    Cause,
    CertificateError,
    ConnectError,
    ConnectionAborted,
    ConnectionRefused,
    ConnectionReset,
    DeadlineExceeded,
    Help,
    NameNotResolved,
    NotADirectory,
    PathNotFound,
    PeerClosed,
    TLSError,
    TooManyOpenFiles,
)

from ..support.error_table import LOCAL, NOTHING, OTHER, RESOLVE, SAME, V4


@pytest.mark.parametrize("kind", [ssl.SSLError, ssl.SSLEOFError, ssl.SSLCertVerificationError])
def test_a_tls_error_is_not_taken_for_the_errno_of_its_number(kind: type[ssl.SSLError]) -> None:
    """``SSLError.errno`` counts OpenSSL's reasons; 1 is not EPERM."""
    for number in (errno.EPERM, errno.ENOENT, errno.ECONNREFUSED, 8):
        error = from_exception(kind(number, "[SSL] handshake failure"), stage="tls", address=V4)
        assert isinstance(error, TLSError)
        assert isinstance(error, ssl.SSLError)
        assert not isinstance(error, PermissionError | FileNotFoundError | ConnectionRefusedError)
        assert error.errno == number
        assert error.stage == "tls"
        assert "handshake failure" in str(error)


def test_a_refused_certificate_has_its_own_class_and_keeps_the_verdict() -> None:
    """No later try and no other address makes a wrong certificate right."""
    original = ssl.SSLCertVerificationError(1, "certificate verify failed: self-signed")
    original.verify_code, original.verify_message = 18, "self-signed certificate"
    error = from_exception(original, stage="tls", address=V4)
    assert type(error) is CertificateError
    assert isinstance(error, ssl.SSLCertVerificationError)
    assert (error.code, error.help) == ("tls_certificate", NOTHING)
    assert (error.verify_code, error.verify_message) == (18, "self-signed certificate")


def test_a_server_that_closes_in_the_handshake_may_be_tried_again() -> None:
    """An EOF is what a restarting server gives; a wrong version stays wrong."""
    eof = from_exception(ssl.SSLEOFError(8, "EOF occurred"), stage="tls")
    wrong = from_exception(ssl.SSLError(1, "[SSL] wrong version number"), stage="tls")
    assert (eof.code, eof.help) == ("tls_handshake", SAME | OTHER)
    assert (wrong.code, wrong.help) == ("tls_handshake", NOTHING)


NAME_ERRORS = [
    ("EAI_NONAME", "host_not_found", NOTHING),
    ("EAI_AGAIN", "try_again", SAME | RESOLVE),
    ("EAI_NODATA", "no_data", OTHER),
    ("EAI_ADDRFAMILY", "no_data", OTHER),
    ("EAI_FAIL", "no_recovery", SAME | RESOLVE),
    ("EAI_FAMILY", "address_family_not_supported", NOTHING),
    ("EAI_SERVICE", "service_not_found", NOTHING),
    ("EAI_SOCKTYPE", "socket_type_not_supported", NOTHING),
    ("EAI_BADFLAGS", "invalid_argument", NOTHING),
    ("EAI_MEMORY", "no_buffer_space_available", LOCAL),
    ("EAI_OVERFLOW", "invalid_argument", NOTHING),
    ("EAI_SYSTEM", "no_recovery", SAME | RESOLVE),
]


def test_each_name_error_has_its_code_and_help() -> None:
    """``errno`` is the resolver's number, which is no errno."""
    known = [row for row in NAME_ERRORS if hasattr(socket, row[0])]
    assert len(known) >= 8
    for name, code, expected in known:
        number = getattr(socket, name)
        error = from_exception(
            socket.gaierror(number, "what libc said"), stage="resolve", address="db.internal"
        )
        assert type(error) is NameNotResolved, name
        assert isinstance(error, socket.gaierror)
        assert (error.errno, error.code, error.help) == (number, code, expected), name
        assert error.hint, name


def test_a_name_error_is_not_taken_for_the_errno_of_its_number() -> None:
    """On macOS EAI_AGAIN is 2, which is ENOENT, and EAI_FAMILY is 5, which is EIO."""
    for name in ("EPERM", "ENOENT", "EIO", "EAGAIN", "ECONNREFUSED", "EMFILE"):
        number = getattr(errno, name)
        error = from_exception(socket.gaierror(number, "unknown"), stage="resolve", address="db")
        assert type(error) is NameNotResolved, name
        assert not isinstance(error, PermissionError | FileNotFoundError | BlockingIOError)
        assert error.errno == number


def test_a_look_up_without_descriptors_is_a_lack_of_descriptors() -> None:
    """EAI_SYSTEM reaches Python as a plain ``OSError`` with the real errno."""
    error = from_exception(OSError(errno.EMFILE, "Too many open files"), stage="resolve")
    assert (type(error), error.help, error.stage) == (TooManyOpenFiles, LOCAL, "resolve")


def test_a_timeout_without_a_number_stays_without_one() -> None:
    """A limit of ours, or of a hook, is not the kernel's ETIMEDOUT."""
    error = from_exception(TimeoutError(), stage="connect", address=V4)
    assert type(error) is AttemptTimedOut
    assert isinstance(error, TimeoutError)
    assert (error.errno, error.code) == (None, "timed_out")


def test_our_own_limits_have_no_errno_and_say_which_limit_it_was() -> None:
    """An attempt's limit leaves hope, the deadline of the call leaves none."""
    attempt = timed_out(whole=False, stage="connect", address=V4)
    call = timed_out(whole=True, stage="resolve", target="db:1")
    wait = timed_out(whole=True, stage="connect", address=V4)
    assert (type(attempt), attempt.errno, attempt.help) == (AttemptTimedOut, None, SAME | OTHER)
    for error in (call, wait):
        assert (type(error), error.errno, error.help) == (DeadlineExceeded, None, NOTHING)
        assert isinstance(error, TimeoutError)
    assert "timeout" in call.hint
    assert "firewall" in wait.hint
    assert {attempt.code, call.code, wait.code} == {"timed_out"}


def test_an_exception_without_a_number_is_classified_by_its_type() -> None:
    """Factories and resolvers written in Python raise bare built-ins."""
    for builtin, expected, number in [
        (ConnectionRefusedError, ConnectionRefused, errno.ECONNREFUSED),
        (ConnectionResetError, ConnectionReset, errno.ECONNRESET),
        (ConnectionAbortedError, ConnectionAborted, errno.ECONNABORTED),
        (BrokenPipeError, PeerClosed, errno.EPIPE),
        (PermissionError, AccessDenied, errno.EACCES),
        (FileNotFoundError, PathNotFound, errno.ENOENT),
        (NotADirectoryError, NotADirectory, errno.ENOTDIR),
        (OSError, ConnectError, None),
    ]:
        error = from_exception(builtin("so it is"), stage="connect", address=V4)
        assert type(error) is expected
        assert isinstance(error, builtin)
        assert error.errno == number
        assert "so it is" in (error.strerror or error.args)


def test_an_error_of_ours_is_not_classified_again() -> None:
    """But copied: whoever raised it may raise it again, and it keeps what it says."""
    error = timed_out(whole=False, stage="connect", address=V4, elapsed=1.5)
    try:
        raise error
    except ConnectError as exc:
        same = from_exception(exc, stage="tls")
        later = from_exception(exc, stage="tls", elapsed=3.0, target="db.test:443")
    assert same is not error
    assert (type(same), same.args, vars(same)) == (type(error), error.args, vars(error))
    assert same.__traceback__ is later.__traceback__ is None
    assert (later.stage, later.elapsed, later.target) == ("connect", 3.0, "db.test:443")
    assert (error.elapsed, error.address) == (1.5, V4)


def test_a_connect_error_made_by_somebody_else_is_classified() -> None:
    """A resolver or factory may raise the public classes without their fields."""
    theirs = ConnectionRefused(errno.ECONNREFUSED, "the proxy says no")
    error = from_exception(theirs, stage="socket", address=V4, family=socket.AF_INET)
    assert error is not theirs
    assert (error.code, error.stage, error.family) == ("connection_refused", "socket", 2)
    assert error.address == V4
    assert error.strerror == "refused by 10.0.0.1:5432: the proxy says no"


def test_a_socket_that_met_itself_is_refused_at_the_check() -> None:
    """To the caller it is what it means: nobody listens there."""
    error = connected_to_itself(address=V4, family=socket.AF_INET)
    assert type(error) is ConnectionRefused
    assert (error.errno, error.stage) == (errno.ECONNREFUSED, "verify")
    assert "itself" in str(error)
    assert "ephemeral" in error.hint


def test_every_public_class_is_a_connect_error_and_says_what_it_is() -> None:
    """One ``except ConnectError`` catches all, and ``except OSError`` too."""
    for name in errors.__all__:
        public = getattr(errors, name)
        assert public.__doc__, name
        if name[0].isupper():
            assert public in (AttemptFailed, Cause, Help) or issubclass(public, ConnectError), name
    assert issubclass(ConnectError, OSError)
