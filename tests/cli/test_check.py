"""``aioconnect check``: what it says, where it says it, and how it ends."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from aioconnect.cli import loopback, main
from aioconnect.cli.console import Console

from ..support import children
from ..support.children import started
from ..support.needs import needs
from .running import COMMAND, PATIENCE, on_terminal, run, screen

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

pytestmark = pytest.mark.environment

ESC = "\x1b"


@pytest.fixture
def server() -> Generator[str]:
    with loopback.accepting() as port:
        yield f"127.0.0.1:{port}"


@pytest.fixture
def refusing() -> Generator[str]:
    with loopback.refusing() as port:
        yield f"127.0.0.1:{port}"


@pytest.fixture(scope="module")
def silent() -> Generator[str]:
    with loopback.silent() as port:
        yield f"127.0.0.1:{port}"


@contextmanager
def watched() -> Generator[tuple[str, socket.socket]]:
    """Give a target, and its listening socket, to see whether anybody has come."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setblocking(False)
        yield f"127.0.0.1:{listening.getsockname()[1]}", listening


def objects(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


# What it says -------------------------------------------------------------------------------------


def test_a_reached_target_is_a_line_with_its_address_and_its_time(
    server: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The line is what operators grep for: the word, the target, the address, the time."""
    assert main(["check", server]) == 0
    word, target, address, number, unit = capsys.readouterr().out.split()
    assert (word, target, address, unit) == ("ok", server, "127.0.0.1", "ms")
    assert float(number) >= 0


def test_a_target_that_refuses_is_a_line_with_code_cause_and_hint(
    refusing: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A failed line names the cause in one word, and then tells a person what to look at."""
    assert main(["check", refusing]) == 1
    said = capsys.readouterr()
    assert said.out.startswith(f"fail {refusing}  connection_refused  refused ")
    assert said.out.endswith(": is the server listening on that port?\n")
    assert said.err == ""


def test_a_unix_socket_is_a_target(capsys: pytest.CaptureFixture[str]) -> None:
    """A path is dialled as a host and a port are."""
    with loopback.accepting_on_path() as path:
        assert main(["check", f"unix:{path}"]) == 0
    assert capsys.readouterr().out.split()[:3] == ["ok", f"unix:{path}", path]


def test_each_target_has_a_line_and_one_failure_is_enough_for_exit_code_1(
    server: str, refusing: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not all reached is 1, however many were; a target given twice is dialled twice."""
    assert main(["check", server, refusing, server]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert sorted(line.split()[0] for line in lines) == ["fail", "ok", "ok"]


def test_lines_of_several_targets_stand_in_columns(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Short and long targets, good and bad ones: the third column starts at one place."""
    monkeypatch.setattr(tempfile, "tempdir", "/tmp")  # no target is wider than a column can be
    with loopback.accepting_on_path() as path, loopback.refusing() as port:
        main(["check", f"unix:{path}", f"127.0.0.1:{port}"])
    good, bad = sorted(capsys.readouterr().out.splitlines(), reverse=True)
    assert good.index(f"  {path}") == bad.index("  connection_refused")


def test_targets_are_dialled_at_the_same_time(
    silent: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Eight targets that never answer take one time-out, not eight."""
    started = time.monotonic()
    assert main(["check", "--timeout", "500ms", *[silent] * 8]) == 1
    assert time.monotonic() - started < 2.5
    assert capsys.readouterr().out.count(" timed_out ") == 8


def test_an_outcome_is_printed_as_soon_as_it_is_known(server: str, silent: str) -> None:
    """A target that hangs keeps no other one's line back, on a pipe too."""
    command = [*COMMAND, "check", silent, server]
    with started(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith(b"ok ")
        assert process.poll() is None
        process.kill()


def test_quiet_says_it_with_the_exit_code_alone(
    server: str, refusing: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """``-q`` prints nothing, neither of good nor of bad targets."""
    assert main(["check", "-q", server]) == 0
    assert main(["check", "-q", refusing]) == 1
    assert capsys.readouterr() == ("", "")


# JSON ---------------------------------------------------------------------------------------------


def test_json_is_one_object_a_line(
    server: str, refusing: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each object stands for itself: the schema's version, the target, the outcome."""
    assert main(["check", "--json", server, refusing]) == 1
    *results, _summary = objects(capsys.readouterr().out)
    found = {each["target"]: each for each in results}
    assert found.keys() == {server, refusing}
    assert all(each["schema"] == 1 for each in found.values())

    good = found[server]
    assert good["ok"] is True
    assert (good["address"], good["port"]) == ("127.0.0.1", int(server.rpartition(":")[2]))
    assert good["family"] == "ipv4"
    assert isinstance(good["duration_ms"], float)
    assert "error" not in good

    bad = found[refusing]
    assert bad["ok"] is False
    assert bad["error"]["type"] == "connection_refused"
    assert bad["error"]["message"].startswith(f"cannot connect to {refusing}: refused")
    (attempt,) = bad["error"]["attempts"]
    assert attempt["address"] == "127.0.0.1"
    assert 0 <= attempt["start_ms"] <= attempt["end_ms"] <= bad["duration_ms"]
    assert attempt["error"]["type"] == "connection_refused"


def test_json_of_a_unix_socket_has_a_path_and_no_port(capsys: pytest.CaptureFixture[str]) -> None:
    """The address is the path alone."""
    with loopback.accepting_on_path() as path:
        assert main(["check", "--json", f"unix:{path}"]) == 0
    (found,) = objects(capsys.readouterr().out)
    assert (found["address"], found["family"]) == (path, "unix")
    assert "port" not in found


# Options ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("flag", "family"), [("-4", "ipv4"), ("-6", "ipv6")])
def test_one_family_alone_is_dialled(
    flag: str, family: str, refusing: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """``localhost`` has an address of each family, and only one is tried."""
    port = refusing.rpartition(":")[2]
    main(["check", "--json", flag, f"localhost:{port}"])
    (found,) = objects(capsys.readouterr().out)
    assert {each["family"] for each in found["error"]["attempts"]} == {family}


def test_resolve_gives_a_name_an_address(server: str, capsys: pytest.CaptureFixture[str]) -> None:
    """No name server is asked: ``.invalid`` has no addresses (RFC 6761)."""
    port = server.rpartition(":")[2]
    target = f"db.invalid:{port}"
    assert main(["check", "--resolve", f"DB.invalid:{port}:127.0.0.1", target]) == 0
    assert capsys.readouterr().out.split()[1:3] == [target, "127.0.0.1"]


def test_resolve_takes_several_addresses_and_may_be_repeated(
    refusing: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """All addresses of a name are tried, IPv6 among them."""
    port = refusing.rpartition(":")[2]
    given = [
        f"--resolve=db.invalid:{port}:[::1],127.0.0.1",
        f"--resolve=db.invalid:{port}:127.0.0.2",
    ]
    assert main(["check", "--json", *given, f"db.invalid:{port}"]) == 1
    (found,) = objects(capsys.readouterr().out)
    tried = {each["address"] for each in found["error"]["attempts"]}
    assert tried == {"::1", "127.0.0.1", "127.0.0.2"}


def test_resolve_holds_for_its_port_only(server: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The same name on another port is looked up as ever."""
    port = server.rpartition(":")[2]
    given = ["--resolve", "db.invalid:1:127.0.0.1", "-t", "5s"]
    assert main(["check", "--json", *given, f"db.invalid:{port}"]) == 1
    (found,) = objects(capsys.readouterr().out)
    assert found["error"]["stage"] == "resolve"


@pytest.mark.parametrize(("delay", "together"), [("100ms", True), ("none", False)])
def test_delay_says_when_the_next_address_is_tried(
    delay: str, together: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """After a while beside the first attempt, or only when that has failed."""
    with loopback.silent() as port:
        options = ["--json", "--delay", delay, "--attempt-timeout", "0.4", "-t", "5"]
        name = ["--resolve", f"db.invalid:{port}:127.0.0.1,127.0.0.2", f"db.invalid:{port}"]
        assert main(["check", *options, *name]) == 1
    (found,) = objects(capsys.readouterr().out)
    first, second = found["error"]["attempts"]
    assert first["error"] == {"type": "timed_out", "errno": None}
    assert (second["start_ms"] < first["end_ms"]) is together


# Usage --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["db"], "target 2: 'db' has no port"),
        (["db:0"], "port 0"),
        (["http://db:80/"], "not a URL"),
        (["::1:80"], "ambiguous"),
        (["unix:"], "needs a path"),
        (["0x7f.1:80"], "0x7f.1"),
        (["-4", "[::1]:80"], "not of the family"),
        (["-4", "-6"], "not allowed with"),
        (["-t", "fast"], "500ms, 2s, 1m"),
        (["-t", "0"], "no time at all"),
        (["--resolve", "db:80"], "HOST:PORT:ADDRESS"),
        (["--resolve", "db:80:::1"], "in brackets"),
        (["--resolve", "db:80:other"], "not an address"),
        (["--resolve", "db:99999:127.0.0.1"], "port 99999"),
        (["--resolve", "localhost:80:127.0.0.9"], "always the loopback"),
        (["--json", "-q"], "not allowed with"),
        (["--no-such-option"], "--no-such-option"),
        (["--time", "1"], "--time"),
    ],
)
def test_a_wrong_command_line_is_exit_code_2_and_nothing_is_dialled(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The message names what is wrong, and a good target beside it is left alone."""
    with watched() as (target, listening):
        assert main(["check", target, *words]) == 2
        with pytest.raises(BlockingIOError):
            listening.accept()
    output = capsys.readouterr()
    assert output.out == ""
    assert said in output.err


def test_every_wrong_target_is_named_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    """Nobody wants to mend a list one error at a time."""
    assert main(["check", "first", "second:1", "third"]) == 2
    error = capsys.readouterr().err
    assert "'first'" in error
    assert "'third'" in error
    assert "second" not in error


def test_a_password_in_a_target_is_not_repeated(capsys: pytest.CaptureFixture[str]) -> None:
    """What stands before an @ may be secret, and logs keep what stderr says."""
    assert main(["check", "me:secret@db:80"]) == 2
    assert "secret" not in capsys.readouterr().err


# Terminals, pipes, interruptions ------------------------------------------------------------------


def test_hostile_text_reaches_no_terminal_as_it_is(tmp_path: Path) -> None:
    """Escape sequences, line breaks and bytes that are no text are shown, not sent."""
    done = run("check", f"unix:{tmp_path}/{ESC}[2J\n\x9b1m\u202e", b"unix:/no/\xff", "--no-color")
    assert done.returncode == 1
    assert len(done.stdout.splitlines()) == 2
    for line in done.stdout.splitlines():
        assert line.isascii()
        assert line.isprintable()
    refused = run("check", f"{ESC}[31mdb:80", "--resolve", f"{ESC}]0;db:80")
    assert refused.returncode == 2
    assert ESC not in refused.stderr


@pytest.mark.parametrize(("arguments", "coloured"), [([], True), (["--no-color"], False)])
def test_a_terminal_has_colours_unless_they_are_unwanted(
    arguments: list[str], coloured: bool, server: str
) -> None:
    """The words are the same; only good and bad are easier to tell apart."""
    with on_terminal("check", *arguments, server) as terminal:
        assert terminal.end() == 0
    assert (ESC.encode() in terminal.output) is coloured
    assert b"ok" in terminal.output


@pytest.mark.parametrize(
    ("environment", "coloured"),
    [
        ({}, True),
        ({"NO_COLOR": "1"}, False),
        ({"NO_COLOR": ""}, True),
        ({"TERM": "dumb"}, False),
    ],
)
def test_the_environment_may_not_want_colours(
    environment: dict[str, str], coloured: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``NO_COLOR`` counts when it is not empty (https://no-color.org)."""
    for name, value in {"NO_COLOR": "", "TERM": "xterm", **environment}.items():
        monkeypatch.setenv(name, value)
    master, slave = os.openpty()
    with open(master, "rb"), open(slave, "w") as terminal:
        monkeypatch.setattr("sys.stdout", terminal)
        assert Console().colour is coloured


def test_a_pipe_has_no_colours_and_no_remarks_but_the_summary(server: str, refusing: str) -> None:
    """What goes into a pipe are the lines, and stderr has the summary alone."""
    done = run("check", server, refusing)
    assert done.returncode == 1
    assert ESC not in done.stdout + done.stderr
    assert len(done.stdout.splitlines()) == 2
    assert done.stderr.startswith("1 reached, 1 failed, ")


def test_a_reader_that_goes_away_is_no_traceback(server: str, silent: str) -> None:
    """As with every command in a pipe, ``| head -1`` ends it at the next line: 128 + SIGPIPE."""
    reading, writing = os.pipe()
    os.close(reading)
    done = children.run(
        [*COMMAND, "check", "-t", "20", server, silent],
        stdout=writing,
        stderr=subprocess.PIPE,
        timeout=PATIENCE / 2,
        text=False,
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, b"")


def test_a_help_that_nobody_reads_is_no_traceback() -> None:
    """The help is written by argparse, and the interpreter would complain at its exit."""
    reading, writing = os.pipe()
    os.close(reading)
    done = children.run(
        [*COMMAND, "check", "--help"],
        stdout=writing,
        stderr=subprocess.PIPE,
        timeout=PATIENCE,
        text=False,
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, b"")


@needs("/dev/full")
def test_results_that_cannot_be_written_are_not_taken_for_written(server: str) -> None:
    """A full disk is one line on stderr, and never exit code 0."""
    with open("/dev/full", "w") as full:
        done = children.run(
            [*COMMAND, "check", server],
            stdout=full,
            stderr=subprocess.PIPE,
            timeout=PATIENCE,
        )
    assert done.returncode == os.EX_IOERR
    assert done.stderr == "aioconnect: cannot write the results: No space left on device\n"


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_closed_descriptors_change_nothing(closed: str, server: str) -> None:
    """Daemons start programs without stdout or stderr; the exit code is still right."""
    done = children.run(
        ["/bin/sh", "-c", f'exec "$@" {closed}', "sh", *COMMAND, "check", server],
        timeout=PATIENCE,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("" if closed.startswith(">") else "ok ")


def test_an_interrupt_ends_it_by_the_signal_without_a_traceback(server: str, silent: str) -> None:
    """SIGINT leaves what was printed, and adds the summary of it."""
    command = [*COMMAND, "check", "-t", "30", server, silent]
    with started(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith(b"ok ")
        process.send_signal(signal.SIGINT)
        rest, error = process.communicate(timeout=PATIENCE / 2)
    assert (process.returncode, rest) == (-signal.SIGINT, b"")
    assert error.startswith(b"1 reached, 0 failed, ")
    assert error.endswith(b"; interrupted with 1 unfinished\n")


def test_an_interrupted_check_of_one_target_says_nothing(silent: str) -> None:
    """Nothing came of it, and whoever interrupted it knows that."""
    with on_terminal("check", "-t", "30", silent) as terminal:
        terminal.wait_for(b"0 of 1 done")
        terminal.press(b"\x03")
        assert terminal.end() == -signal.SIGINT
    assert screen(terminal.output) == []


def test_ctrl_c_on_a_terminal_ends_it_on_a_line_of_its_own(server: str, silent: str) -> None:
    """The terminal echoes ``^C``; what follows stands on the next line."""
    with on_terminal("check", "-t", "30", "--no-color", server, silent) as terminal:
        terminal.wait_for(b"ok ")
        terminal.press(b"\x03")
        assert terminal.end() == -signal.SIGINT
    *_, summary = screen(terminal.output)
    assert summary.startswith("1 reached, 0 failed, ")


def test_an_address_that_did_not_answer_is_seen_without_asking(server: str) -> None:
    """A target that was reached may be half broken."""
    port = int(server.rpartition(":")[2])
    done = run("check", "--resolve", f"db.test:{port}:127.0.0.9,127.0.0.1", f"db.test:{port}")
    assert done.returncode == 0
    assert done.stdout.endswith("ms, but 1 of 2 addresses failed (connection_refused)\n")


def test_the_attempts_are_in_the_json_of_what_was_reached_too(server: str) -> None:
    """Each with its instants, and what was wrong, if anything was."""
    port = int(server.rpartition(":")[2])
    names = f"db.test:{port}:127.0.0.9,127.0.0.1"
    done = run("check", "--json", "--resolve", names, f"db.test:{port}")
    (found,) = map(json.loads, done.stdout.splitlines())
    failed, won = found["attempts"]
    assert (failed["address"], failed["error"]["type"]) == ("127.0.0.9", "connection_refused")
    assert (won["address"], won["error"]) == ("127.0.0.1", None)
    assert 0 <= failed["start_ms"] <= failed["end_ms"] <= won["start_ms"] <= won["end_ms"]
