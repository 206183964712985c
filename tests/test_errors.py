"""What each cause is called, raises and advises; what the error of a whole call says and keeps."""

from __future__ import annotations

import copy
import errno
import gc
import itertools
import os
import pickle
import re
import socket
import ssl
import traceback
import weakref
from typing import Any, NamedTuple

import pytest

from aioconnect import causes, errors, sentence
from aioconnect.causes import (
    combine,
    connected_to_itself,
    from_errno,
    from_exception,
    timed_out,
)
from aioconnect.errors import (
    AccessDenied,
    AddressFamilyNotSupported,
    AddressInUse,
    AddressNotAvailable,
    AttemptTimedOut,
    BacklogFull,
    Cause,
    CertificateError,
    ConnectError,
    ConnectionAborted,
    ConnectionRefused,
    ConnectionReset,
    DeadlineExceeded,
    Help,
    HostUnreachable,
    InvalidAddress,
    NameNotResolved,
    NetworkDown,
    NetworkUnreachable,
    NoBuffers,
    NotADirectory,
    NotConnected,
    PathNotFound,
    PathUnusable,
    PeerClosed,
    PortsExhausted,
    ProtocolError,
    SocketBusy,
    SocketUnusable,
    TimedOut,
    TLSError,
    TooManyOpenFiles,
    WrongSocketType,
)
from aioconnect.events import AttemptFailed, Stage

V4 = ("10.0.0.1", 5432)
V6 = ("2001:db8::1", 5432, 0, 0)
UNIX = "/run/db.sock"
NOTHING, SAME, OTHER, LOCAL, RESOLVE = Help.NOTHING, Help.SAME, Help.OTHER, Help.LOCAL, Help.RESOLVE


class Row(NamedTuple):
    """One row of the table of causes: the number and where it was met, and what it becomes."""

    errno: str
    type: type[ConnectError]
    builtin: type[OSError]
    code: str
    help: Help
    hint: str
    address: Any = V4
    stage: Stage = "connect"
    bound: bool = False

    @property
    def family(self) -> int:
        """The family of the address."""
        if isinstance(self.address, str):
            return socket.AF_UNIX
        return socket.AF_INET6 if ":" in self.address[0] else socket.AF_INET

    @property
    def id(self) -> str:
        """The row's name in the report."""
        where = {socket.AF_UNIX: "unix", socket.AF_INET: "v4", socket.AF_INET6: "v6"}[self.family]
        return f"{self.errno}-{where}-{self.stage}"

    def error(self) -> ConnectError:
        """Build the error for this row, as an attempt does."""
        return from_errno(
            getattr(errno, self.errno),
            stage=self.stage,
            address=self.address,
            family=self.family,
            bound=self.bound,
        )


ROWS = [
    Row(
        "ECONNREFUSED",
        ConnectionRefused,
        ConnectionRefusedError,
        "connection_refused",
        SAME | OTHER,
        "listening",
    ),
    Row(
        "ECONNREFUSED",
        ConnectionRefused,
        ConnectionRefusedError,
        "connection_refused",
        SAME | OTHER,
        "left-over",
        UNIX,
    ),
    Row("ETIMEDOUT", TimedOut, TimeoutError, "timed_out", SAME | OTHER, "firewall"),
    Row(
        "ECONNRESET",
        ConnectionReset,
        ConnectionResetError,
        "connection_reset",
        SAME | OTHER,
        "proxy",
    ),
    Row(
        "ECONNABORTED",
        ConnectionAborted,
        ConnectionAbortedError,
        "connection_aborted",
        SAME | OTHER,
        "new socket",
    ),
    Row("EPIPE", PeerClosed, BrokenPipeError, "connection_reset", SAME | OTHER, "peer closed"),
    Row("ENETUNREACH", NetworkUnreachable, OSError, "network_unreachable", OTHER | SAME, "VPN"),
    Row("EHOSTUNREACH", HostUnreachable, OSError, "host_unreachable", OTHER | SAME, "link"),
    Row("EHOSTDOWN", HostUnreachable, OSError, "host_down", OTHER | SAME, "is the host up"),
    Row("ENONET", HostUnreachable, OSError, "host_unreachable", OTHER | SAME, "isolated"),
    Row("ENETDOWN", NetworkDown, OSError, "network_down", OTHER | LOCAL, "interface up"),
    Row("ENODEV", NetworkDown, OSError, "network_down", OTHER | LOCAL, "interface exist"),
    Row("ENXIO", NetworkDown, OSError, "network_down", OTHER | LOCAL, "interface exist"),
    Row("ENETRESET", ConnectionReset, OSError, "connection_reset", SAME | OTHER, "proxy"),
    Row(
        "EADDRNOTAVAIL",
        PortsExhausted,
        OSError,
        "address_not_available",
        LOCAL | SAME | OTHER,
        "ip_local_port_range",
    ),
    Row(
        "EADDRNOTAVAIL",
        PortsExhausted,
        OSError,
        "address_not_available",
        LOCAL | SAME | OTHER,
        "ip_local_port_range",
        V6,
        bound=True,
    ),
    Row(
        "EADDRNOTAVAIL",
        AddressNotAvailable,
        OSError,
        "address_not_available",
        OTHER,
        "address of that family",
        V6,
    ),
    Row(
        "EADDRNOTAVAIL",
        AddressNotAvailable,
        OSError,
        "address_not_available",
        OTHER,
        "local_addr",
        stage="bind",
    ),
    Row(
        "EADDRINUSE",
        AddressInUse,
        OSError,
        "address_already_in_use",
        LOCAL | SAME,
        "source port",
        stage="bind",
    ),
    Row(
        "EADDRINUSE",
        PortsExhausted,
        OSError,
        "address_not_available",
        LOCAL | SAME | OTHER,
        "ip_local_port_range",
    ),
    Row("EAGAIN", BacklogFull, BlockingIOError, "backlog_full", SAME, "accepting", UNIX),
    Row(
        "EAGAIN",
        PortsExhausted,
        BlockingIOError,
        "address_not_available",
        LOCAL | SAME | OTHER,
        "ip_local_port_range",
    ),
    Row("EALREADY", SocketBusy, BlockingIOError, "already_in_progress", NOTHING, "one connect"),
    Row("EINPROGRESS", SocketBusy, BlockingIOError, "in_progress", NOTHING, "connect_wait"),
    Row("EINTR", ConnectError, InterruptedError, "interrupted", SAME | OTHER, "goes on"),
    Row("EISCONN", SocketUnusable, OSError, "is_connected", NOTHING, "one connect"),
    Row("EACCES", AccessDenied, PermissionError, "access_denied", OTHER, "firewall"),
    Row("EACCES", AccessDenied, PermissionError, "access_denied", OTHER, "socket file", UNIX),
    Row("EACCES", AccessDenied, PermissionError, "access_denied", OTHER, "policy", stage="policy"),
    Row("EPERM", AccessDenied, PermissionError, "access_denied", OTHER, "security policy"),
    Row("ENOENT", PathNotFound, FileNotFoundError, "path_not_found", SAME, "started", UNIX),
    Row("ENOTDIR", NotADirectory, NotADirectoryError, "not_a_directory", NOTHING, "path", UNIX),
    Row("ENAMETOOLONG", PathUnusable, OSError, "path_unusable", NOTHING, "shorter", UNIX),
    Row("ELOOP", PathUnusable, OSError, "path_unusable", NOTHING, "loop", UNIX),
    Row("EROFS", PathUnusable, OSError, "path_unusable", NOTHING, "read-only", UNIX),
    Row("EIO", PathUnusable, OSError, "path_unusable", SAME, "I/O error", UNIX),
    Row("EPROTOTYPE", WrongSocketType, OSError, "protocol_type", NOTHING, "datagram", UNIX),
    Row(
        "EAFNOSUPPORT",
        AddressFamilyNotSupported,
        OSError,
        "address_family_not_supported",
        OTHER,
        "IPv6",
        V6,
        "socket",
    ),
    Row(
        "EPFNOSUPPORT",
        AddressFamilyNotSupported,
        OSError,
        "address_family_not_supported",
        OTHER,
        "enabled",
        V6,
        "socket",
    ),
    Row(
        "EPROTONOSUPPORT",
        AddressFamilyNotSupported,
        OSError,
        "protocol_not_supported",
        OTHER,
        "MPTCP",
        stage="socket",
    ),
    Row(
        "ESOCKTNOSUPPORT",
        AddressFamilyNotSupported,
        OSError,
        "socket_type_not_supported",
        NOTHING,
        "enabled",
        stage="socket",
    ),
    Row("ENOPROTOOPT", HostUnreachable, OSError, "protocol_option", OTHER | SAME, "peer speak"),
    Row("ENOPROTOOPT", SocketUnusable, OSError, "protocol_option", OTHER, "option", stage="socket"),
    Row("EOPNOTSUPP", SocketUnusable, OSError, "operation_not_supported", NOTHING, "listening"),
    Row("EOPNOTSUPP", SocketUnusable, OSError, "protocol_option", OTHER, "option", stage="socket"),
    Row("EPROTO", ProtocolError, OSError, "protocol_error", SAME | OTHER, "MTU"),
    Row("EMSGSIZE", ProtocolError, OSError, "message_size", SAME | OTHER, "MTU"),
    Row("EINVAL", InvalidAddress, OSError, "invalid_argument", OTHER, "blackhole"),
    Row(
        "EINVAL",
        InvalidAddress,
        OSError,
        "invalid_argument",
        OTHER,
        "fe80::1%eth0",
        ("fe80::1", 80, 0, 0),
    ),
    Row(
        "EINVAL",
        InvalidAddress,
        OSError,
        "invalid_argument",
        OTHER,
        "blackhole",
        ("fe80::1", 80, 0, 3),
    ),
    Row(
        "EDESTADDRREQ",
        InvalidAddress,
        OSError,
        "destination_address_required",
        NOTHING,
        "destination",
    ),
    Row("EFAULT", InvalidAddress, OSError, "fault", NOTHING, "internal"),
    Row("EBADF", SocketUnusable, OSError, "not_socket", NOTHING, "closed"),
    Row("ENOTSOCK", SocketUnusable, OSError, "not_socket", NOTHING, "not a socket"),
    Row("ENOTCONN", NotConnected, OSError, "not_connected", SAME | OTHER, "pending"),
    Row("EMFILE", TooManyOpenFiles, OSError, "too_many_open_sockets", LOCAL, "RLIMIT_NOFILE"),
    Row("ENFILE", TooManyOpenFiles, OSError, "too_many_open_sockets", LOCAL, "system-wide"),
    Row("ENOBUFS", NoBuffers, OSError, "no_buffer_space_available", LOCAL, "memory"),
    Row("ENOMEM", NoBuffers, OSError, "no_buffer_space_available", LOCAL, "memory"),
    Row("ESHUTDOWN", PeerClosed, BrokenPipeError, "shutdown", NOTHING, "new socket"),
]


def public_class(error: ConnectError) -> type[ConnectError]:
    """Find the class that callers can name; a rare cause may have one of its own below it."""
    return next(each for each in type(error).__mro__ if each.__name__ in errors.__all__)


NUMBERS = sorted({row.errno for row in ROWS})


@pytest.mark.parametrize("initial", sorted({name[:2] for name in NUMBERS}))
def test_each_errno_has_its_class_built_in_code_help_and_hint(initial: str) -> None:
    """The table of causes, row by row, with the stage and address that tell them apart."""
    for row in (row for row in ROWS if row.errno.startswith(initial)):
        error = row.error()
        assert public_class(error) is row.type, row.id
        assert isinstance(error, row.builtin), f"{row.id} is no {row.builtin.__name__}"
        assert error.errno == getattr(errno, row.errno)
        assert error.strerror == os.strerror(error.errno)
        assert error.code == row.code, row.id
        assert error.help == row.help, row.id
        assert row.hint in error.hint, row.id
        assert error.stage == row.stage
        assert error.address == row.address
        assert error.family == row.family


STAGES: list[Stage] = ["resolve", "policy", "socket", "bind", "connect", "verify", "tls"]


NAMES = sorted(set(errno.errorcode.values()))


@pytest.mark.parametrize("address", [V4, V6, UNIX], ids=["v4", "v6", "unix"])
def test_every_errno_of_the_system_is_classified_at_every_stage(address: Any) -> None:
    """No number comes out without a class, a code in one word, a hint and a sentence."""
    for stage, name in itertools.product(STAGES, NAMES):
        error = Row(name, ConnectError, OSError, "", NOTHING, "", address, stage).error()
        assert isinstance(error, ConnectError), name
        assert re.fullmatch(r"_OTHER|[a-z][a-z0-9_]*", error.code), name
        assert error.hint, name
        assert error.errno == getattr(errno, name)
        assert str(error).isprintable(), name


@pytest.mark.parametrize("address", [V4, UNIX], ids=["v4", "unix"])
def test_every_errno_keeps_the_built_in_that_python_gives_it(address: Any) -> None:
    """Whatever ``OSError(number)`` is by PEP 3151, the library's error is that too."""
    missing = {}
    for name in NAMES:
        builtin = type(OSError(getattr(errno, name), ""))
        error = Row(name, ConnectError, OSError, "", NOTHING, "", address).error()
        if not isinstance(error, builtin):
            missing[name] = f"{type(error).__name__} is no {builtin.__name__}"
    assert missing == {}


def test_an_unknown_number_has_the_documented_default() -> None:
    """A number that no system has yet is ``_OTHER``, and worth another try."""
    error = from_errno(99999, stage="connect", address=V4, family=socket.AF_INET)
    assert (type(error), error.code, error.errno) == (ConnectError, "_OTHER", 99999)
    assert error.help == SAME | OTHER
    assert os.strerror(99999) in str(error)


# Type before number -------------------------------------------------------------------------------


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
    theirs = ConnectionRefused(errno.ECONNREFUSED, "Connection refused")
    assert str(theirs) == f"[Errno {errno.ECONNREFUSED}] Connection refused"
    error = from_exception(theirs, stage="connect", address=V4)
    assert error.code == "connection_refused"
    assert error.address == V4


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
        assert public in (AttemptFailed, Cause, Help) or issubclass(public, ConnectError), name
    assert issubclass(ConnectError, OSError)


# The error of a call ------------------------------------------------------------------------------


def attempt(error: ConnectError, number: int = 1, *, address: Any = None) -> AttemptFailed:
    """Make the log's entry for a failed attempt."""
    return AttemptFailed(
        at=float(number),
        target="db.internal:5432",
        number=number,
        round=1,
        address=error.address if address is None else address,
        family=error.family,
        stage=error.stage,
        started=number - 1.0,
        error=error,
    )


def failed(*names: str, target: str = "db.internal:5432", elapsed: float = 7.44) -> ConnectError:
    """Build the error of a call whose attempts failed with these numbers, in this order."""
    attempts = []
    for number, name in enumerate(names, 1):
        if name == "timer":
            error = timed_out(
                whole=False,
                stage="connect",
                address=(f"10.0.0.{number}", 5432),
                family=socket.AF_INET,
            )
        else:
            error = from_errno(
                getattr(errno, name),
                stage="connect",
                address=(f"10.0.0.{number}", 5432),
                family=socket.AF_INET,
            )
        attempts.append(attempt(error, number))
    return combine(attempts, target=target, elapsed=elapsed)


DOMINANCE = [
    ["ECONNREFUSED"],
    ["ECONNRESET", "ECONNABORTED", "EPIPE", "ENETRESET"],
    ["ETIMEDOUT", "timer"],
    ["EACCES", "EPERM"],
    ["EHOSTUNREACH", "EHOSTDOWN", "ENONET", "ENOPROTOOPT"],
    ["ENETUNREACH", "ENETDOWN"],
    ["EADDRNOTAVAIL", "EADDRINUSE", "EAFNOSUPPORT", "EINVAL"],
    ["EMFILE", "ENOBUFS", "EPROTO", "EOPNOTSUPP", "EBADF"],
]
"""The order of dominance: refused, reset, timed out, permission, host, network, family or
address, anything else."""


@pytest.mark.parametrize("place", range(len(DOMINANCE) - 1))
def test_the_stronger_cause_decides_whatever_the_order(place: int) -> None:
    """Class, errno, code, hint and address are those of the dominant attempt."""
    weaker = [name for rank in DOMINANCE[place + 1 :] for name in rank]
    for strong, weak in itertools.product(DOMINANCE[place], weaker):
        alone = failed(strong)
        for names in ([strong, weak], [weak, strong], [weak, strong, weak]):
            error = failed(*names)
            assert type(error) is type(alone), names
            assert (error.errno, error.code) == (alone.errno, alone.code), names
            assert error.hint == alone.hint, names
            assert error.address == (f"10.0.0.{names.index(strong) + 1}", 5432), names


def test_causes_that_are_all_alike_are_that_cause() -> None:
    """Nothing is lost by there being several addresses: class and errno stay."""
    for name in itertools.chain(*DOMINANCE):
        one, three = failed(name), failed(name, name, name)
        assert type(three) is type(one), name
        assert (three.errno, three.code, three.help) == (one.errno, one.code, one.help), name


def test_of_equals_the_newest_decides() -> None:
    """The latest of the strongest causes is what a person would see now."""
    error = failed("ECONNREFUSED", "ENETUNREACH", "ECONNREFUSED", "EHOSTUNREACH")
    assert error.address == ("10.0.0.3", 5432)


def test_what_can_help_any_attempt_can_help_the_call() -> None:
    """A refused address may answer later, and a lack of descriptors may end."""
    assert failed("ECONNREFUSED", "EMFILE").help == SAME | OTHER | LOCAL
    assert failed("EISCONN", "EISCONN").help == NOTHING


def test_one_attempt_has_no_group_as_its_cause() -> None:
    """Several causes are a group; one is the error itself, and stays in the log."""
    one, two = failed("ECONNREFUSED"), failed("ECONNREFUSED", "ETIMEDOUT")
    assert one.__cause__ is None
    assert [type(a.error) for a in one.attempts] == [ConnectionRefused]
    assert isinstance(two.__cause__, ExceptionGroup)
    assert list(two.__cause__.exceptions) == [a.error for a in two.attempts]


def test_attempts_are_kept_in_the_order_of_their_starts_and_counted_exactly() -> None:
    """Only the newest 64 are kept, and ``count`` knows of all."""
    error = failed(*["ECONNREFUSED"] * 100)
    assert error.count == 100
    assert [a.number for a in error.attempts] == list(range(37, 101))
    assert "100 attempts" in str(error)
    assert isinstance(error.__cause__, ExceptionGroup)
    assert len(error.__cause__.exceptions) == 64


def test_a_log_that_was_cut_short_keeps_its_exact_count() -> None:
    """The caller of ``combine`` may have dropped the oldest already."""
    error = combine(failed("ECONNREFUSED", "ETIMEDOUT").attempts, target="db", elapsed=1, count=9)
    assert error.count == 9
    assert "9 attempts" in str(error)


def test_the_errors_of_attempts_are_built_and_not_raised() -> None:
    """They have no traceback, and so hold no frame and no local of the call."""
    error = failed("ECONNREFUSED", "ETIMEDOUT")
    assert all(a.error.__traceback__ is None for a in error.attempts)
    from_a_raised_one = from_exception(_raised(), stage="socket", address=V4)
    assert from_a_raised_one.__traceback__ is None
    assert from_a_raised_one.__cause__ is None
    assert from_a_raised_one.__context__ is None


def _raised() -> OSError:
    try:
        raise OSError(errno.ECONNREFUSED, "refused")
    except OSError as exc:
        return exc


def test_the_group_can_be_taken_apart_with_except_star() -> None:
    """``error.group()`` has the error of each attempt, each the built-in that it is."""
    error = failed("ECONNREFUSED", "ETIMEDOUT", "timer", "EACCES")
    group = error.group()
    assert group is not None
    caught: dict[str, int] = {}
    try:
        raise group
    except* ConnectionRefusedError as refused:
        caught["refused"] = len(refused.exceptions)
    except* TimeoutError as late:
        caught["late"] = len(late.exceptions)
    except* OSError as others:
        caught["others"] = len(others.exceptions)
    assert caught == {"refused": 1, "late": 2, "others": 1}


def test_an_error_without_attempts_has_no_group() -> None:
    """The error of a single attempt is not a group of itself."""
    assert from_errno(errno.ECONNREFUSED, stage="connect", address=V4).group() is None


# The sentence -------------------------------------------------------------------------------------


def test_the_sentence_says_target_addresses_cause_count_seconds_and_hint() -> None:
    """One line that a person can act on at night."""
    attempts = [
        attempt(Row("ECONNREFUSED", ConnectError, OSError, "", NOTHING, "", V4).error(), 1),
        attempt(Row("ECONNREFUSED", ConnectError, OSError, "", NOTHING, "", V6).error(), 2),
    ]
    assert str(combine(attempts, target="db.internal:5432", elapsed=7.44)) == (
        "cannot connect to db.internal:5432: refused by 10.0.0.1 and 2001:db8::1 "
        "(2 attempts, 7.4 s): is the server listening on that port?"
    )


SENTENCES = [
    (["ECONNREFUSED"], ["refused by 10.0.0.1", "(1 attempt, 7.4 s)"]),
    (["ECONNREFUSED", "ETIMEDOUT"], ["refused by 10.0.0.1", "no answer from 10.0.0.2"]),
    (["ETIMEDOUT", "ECONNREFUSED"], ["refused by 10.0.0.2; no answer from 10.0.0.1"]),
    (["timer", "timer", "timer"], ["no answer from 10.0.0.1, 10.0.0.2 and 10.0.0.3"]),
    (["ENETUNREACH"] * 9, ["10.0.0.4 and 5 more", "(9 attempts"]),
    (["EMFILE"], ["no descriptor left", "RLIMIT_NOFILE"]),
]


@pytest.mark.parametrize(("names", "expected"), SENTENCES, ids=lambda value: str(value)[:40])
def test_the_sentence_joins_what_is_alike(names: list[str], expected: list[str]) -> None:
    """Each cause is said once, the dominant first, with the addresses it was met at."""
    text = str(failed(*names))
    assert text.startswith("cannot connect to db.internal:5432: ")
    assert all(part in text for part in expected), text
    assert text.endswith(failed(*names).hint)
    assert "\n" not in text


def test_an_address_that_is_the_target_is_not_said_twice() -> None:
    """Who dialled a literal address knows it."""
    text = str(failed("ECONNREFUSED", target="10.0.0.1:5432"))
    assert text.startswith("cannot connect to 10.0.0.1:5432: refused (1 attempt, ")


def test_the_sentence_says_why_no_further_round_was_begun() -> None:
    """Whether the policy, the deadline or the breaker ended it."""
    for reason, words in sentence.STOPPED.items():
        attempts = failed("ECONNREFUSED").attempts
        error = combine(attempts, target="db", elapsed=1, stopped=reason)
        assert f"1.0 s; {words})" in str(error)
        assert error.stopped == reason


HOSTILE = {
    "escape": "evil\x1b[31m\x1b]0;title\x07",
    "newline": "evil\nERROR root: pwned\r\n",
    "long": "a" * 5000,
    "separators": "evil\u2028\u2029\x85\u202e",
    "surrogate": "evil\udcff",
    "nul": "evil\x00.example",
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_host_text_cannot_write_to_a_terminal_or_a_log(text: str) -> None:
    """A host comes from a URL: it is escaped and capped in everything printed."""
    for family, address in [
        (socket.AF_INET, text),  # a name that was looked up
        (socket.AF_INET, (text, 80)),
        (socket.AF_UNIX, f"/{text}"),
        (socket.AF_UNIX, f"\0{text}"),
        (socket.AF_UNIX, text.encode("utf-8", "surrogatepass")),
    ]:
        error = from_errno(errno.ECONNREFUSED, stage="connect", address=address, family=family)
        whole = combine([attempt(error)] * 20, target=error.target, elapsed=1)
        for shown in (str(error), str(whole), error.target, str(whole.__cause__)):
            assert shown.isprintable()
            assert shown.isascii()
            assert len(shown) < 600
        assert len("".join(traceback.format_exception(whole))) < 60_000


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_text_from_elsewhere_cannot_write_to_a_terminal_or_a_log(text: str) -> None:
    """What a resolver, a factory or a TLS peer made an exception say is escaped and capped too."""
    for kind in (OSError, ssl.SSLError, socket.gaierror):
        for original in (kind(12345, text), kind(text)):
            error = from_exception(original, stage="tls", address=V4, family=socket.AF_INET)
            whole = combine([attempt(error)], target="db:1", elapsed=1)
            for shown in (str(error), str(whole)):
                assert shown.isprintable(), kind
                assert len(shown) < 600, kind


def test_a_scope_is_shown_with_its_address() -> None:
    """Two link-local addresses are told apart by their interface."""
    error = from_errno(
        errno.EHOSTUNREACH, stage="connect", address=("fe80::1", 80, 0, 3), family=socket.AF_INET6
    )
    assert error.target == "[fe80::1%3]:80"


# Copies -------------------------------------------------------------------------------------------

COPIERS = {
    "pickle": lambda error: pickle.loads(pickle.dumps(error)),
    "pickle-0": lambda error: pickle.loads(pickle.dumps(error, 0)),
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
}


def specimens() -> dict[str, ConnectError]:
    """Make one error of every kind that a call can raise."""
    made = {row.id + row.type.__name__: row.error() for row in ROWS}
    made["unknown"] = from_errno(99999, stage="connect", address=V4)
    made["one attempt"] = failed("ECONNREFUSED")
    made["several attempts"] = failed("ECONNREFUSED", "timer", "EHOSTUNREACH")
    made["a hundred attempts"] = failed(*["ECONNREFUSED"] * 100)
    made["unknown attempts"] = failed("EPROTO", "EXDEV", "EXDEV")
    made["name"] = from_exception(socket.gaierror(-2, "no"), stage="resolve", address="db")
    certificate = ssl.SSLCertVerificationError(1, "self-signed")
    certificate.verify_code, certificate.verify_message = 18, "self-signed certificate"
    made["certificate"] = from_exception(certificate, stage="tls", address=V6)
    made["tls"] = from_exception(ssl.SSLError(1, "wrong version"), stage="tls", address=V4)
    made["itself"] = connected_to_itself(address=V4, family=socket.AF_INET)
    made["breaker"] = causes.circuit_open("db:1", 2.5)
    made["deadline"] = timed_out(whole=True, stage="connect", target="db:1", elapsed=3)
    made["stopped"] = combine(
        failed("ECONNREFUSED", "timer").attempts,
        target="db",
        elapsed=1,
        stopped="budget",
        retry_after=2.5,
    )
    made["noted"] = failed("ECONNREFUSED", "timer")
    made["noted"].add_note("while starting the worker")
    made["theirs"] = ConnectionRefused(errno.ECONNREFUSED, "made by somebody else")
    return made


@pytest.mark.parametrize("copier", COPIERS.values(), ids=COPIERS)
def test_copies_say_and_hold_all_that_the_original_does(copier: Any) -> None:
    """Pickle (to a parent process), copy and deepcopy keep fields, attempts, cause and text."""
    for error in specimens().values():
        again = copier(error)
        assert again is not error
        assert_alike(again, error)


FIELDS = (
    *("errno", "strerror", "args", "code", "hint", "help", "target", "address", "family", "stage"),
    *("count", "elapsed", "stopped", "retry_after", "__notes__", "verify_code", "verify_message"),
    "__suppress_context__",
)


def assert_alike(again: Any, error: ConnectError) -> None:
    """Compare all that a caller can see of two errors, and of their attempts and causes."""
    assert type(again) is type(error)
    assert str(again) == str(error)
    for field in FIELDS:
        assert getattr(again, field, None) == getattr(error, field, None), field
    assert len(again.attempts) == len(error.attempts)
    for one, other in zip(again.attempts, error.attempts, strict=True):
        for field in ("at", "target", "number", "round", "address", "family", "stage", "started"):
            assert getattr(one, field) == getattr(other, field), field
        assert (one.ended, one.errno, one.tries) == (other.ended, other.errno, other.tries)
        assert_alike(one.error, other.error)
    if error.__cause__ is None:
        assert again.__cause__ is None
        return
    assert isinstance(error.__cause__, ExceptionGroup)
    assert isinstance(again.__cause__, ExceptionGroup)
    assert again.__cause__.message == error.__cause__.message
    for one, other in zip(again.__cause__.exceptions, error.__cause__.exceptions, strict=True):
        assert_alike(one, other)


def test_an_error_leaves_no_reference_cycle() -> None:
    """When the last reference goes it is gone, with all its attempts, without the collector."""
    names = list(specimens())  # what is cached is cached now
    gc.collect()
    gc.disable()
    try:
        for name in names:
            try:
                raise specimens()[name]
            except ConnectError as error:
                parts = [error, *(each.error for each in error.attempts)]
                left = [weakref.ref(part) for part in parts]
                text = str(error)
            del parts
            assert text
            assert [reference() for reference in left] == [None] * len(left), name
        assert gc.collect() == 0
    finally:
        gc.enable()
