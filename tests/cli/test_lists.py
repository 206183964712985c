"""``aioconnect check`` of many targets: lists, their pace, the summary, the end before the end."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import re
import select
import signal
import socket
import struct
import subprocess
import sys
import termios
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from aioconnect import causes, events
from aioconnect.cli import loopback, main
from aioconnect.cli.summary import Summary

from ..support import children
from ..support.children import started
from ..support.needs import needs
from .running import COMMAND, PATIENCE, accepting_all, run

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    Captured = pytest.CaptureFixture[str]

pytestmark = pytest.mark.environment


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


class Running:
    """A command whose standard input is written, and whose output is read, while it runs."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        self.process = process
        self.stdin, self.stdout, self.stderr = process.stdin, process.stdout, process.stderr

    def write(self, text: str) -> None:
        """Write to its standard input."""
        self.stdin.write(text.encode())
        self.stdin.flush()

    def line(self) -> str:
        """Wait for the next result."""
        return self.stdout.readline().decode()

    def peak_memory(self) -> int:
        """Return the most KiB that were resident at a time."""
        with open(f"/proc/{self.process.pid}/status") as status:
            (peak,) = re.findall(r"VmHWM:\s+(\d+) kB", status.read())
        return int(peak)

    def end(self) -> tuple[int, str, str]:
        """Wait for it; return the exit code, and what is left of the results and the remarks."""
        code = self.process.wait(PATIENCE / 2)
        return code, self.stdout.read().decode(), self.stderr.read().decode()


@contextmanager
def running(*arguments: str) -> Generator[Running]:
    with started(
        [*COMMAND, "check", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        try:
            yield Running(process)
        finally:
            process.kill()


def objects(text: str) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Return the results, and the summary after them."""
    *results, last = [json.loads(line) for line in text.splitlines()]
    assert last.keys() == {"schema", "summary"}
    return results, last["summary"]


# Lists --------------------------------------------------------------------------------------------


def test_all_targets_of_all_sources_are_dialled(
    server: str, refusing: str, tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Words, standard input and files, in this order with ``--ordered``."""
    (tmp_path / "first").write_text(f"# servers\r\n\r\n{server}\r\n")
    (tmp_path / "second").write_text(f"  {refusing}  # not yet")
    (tmp_path / "stdin").write_text(f"{refusing}\n{server}")
    with open(tmp_path / "stdin") as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        files = ["-f", str(tmp_path / "first"), "--file", str(tmp_path / "second")]
        assert main(["check", "--json", "--ordered", *files, server, "-"]) == 1
    results, summary = objects(capsys.readouterr().out)
    assert [(each["target"], each.get("file"), each.get("line")) for each in results] == [
        (server, None, None),
        (refusing, "-", 1),
        (server, "-", 2),
        (server, str(tmp_path / "first"), 3),
        (refusing, str(tmp_path / "second"), 1),
    ]
    assert (summary["reached"], summary["failed"], summary["complete"]) == (3, 2, True)


def test_a_line_that_is_no_target_is_a_failed_result_with_its_number(
    server: str, tmp_path: Path, capsys: Captured
) -> None:
    """One bad line in a list keeps nobody from checking the others."""
    list_ = tmp_path / "list"
    list_.write_text(f"{server}\ndb\n\n[::1:80\n")
    assert main(["check", "--ordered", "--json", "-f", str(list_)]) == 1
    results, summary = objects(capsys.readouterr().out)
    assert [(each["ok"], each["line"]) for each in results] == [(True, 1), (False, 2), (False, 4)]
    assert [each["error"]["type"] for each in results[1:]] == ["invalid_target"] * 2
    assert "'db' has no port" in results[1]["error"]["message"]
    assert summary["causes"][0]["example"] == f"line 2 of {list_}"

    assert main(["check", "--ordered", "-f", str(list_)]) == 1
    _, second, third = capsys.readouterr().out.splitlines()
    assert re.match(r"fail db +invalid_target +line 2 of .*/list: 'db' has no port: ", second)
    assert re.match(r"fail \[::1:80 +invalid_target +line 4 of ", third)


def test_lines_of_a_list_stand_in_columns_as_wide_as_they_must_be(
    refusing: str, tmp_path: Path, capsys: Captured
) -> None:
    """Nobody knows the longest target beforehand: the column grows when it comes."""
    (tmp_path / "list").write_text(f"{refusing}\nunix:{tmp_path}\n{refusing}\n")
    main(["check", "--ordered", "-f", str(tmp_path / "list")])
    first, second, third = capsys.readouterr().out.splitlines()
    assert first.index("  connection_refused") == len(f"fail {refusing}")
    assert second.startswith(f"fail unix:{tmp_path}  ")
    widest = min(len(f"unix:{tmp_path}"), 40)  # which leaves room for the rest
    assert third.index("  connection_refused") == len("fail ") + widest


def test_a_password_in_a_line_is_not_repeated(tmp_path: Path, capsys: Captured) -> None:
    """Neither in a result nor in the summary: both end up in logs."""
    (tmp_path / "list").write_text("me:secret@db:80\nhttp://me:sec@ret@db/\n")
    for words in ([], ["--json"]):
        assert main(["check", *words, "-f", str(tmp_path / "list")]) == 1
        output = capsys.readouterr()
        assert "***@db" in output.out
        assert "sec" not in (output.out + output.err).replace(str(tmp_path), "")


def test_hostile_lines_reach_no_terminal_as_they_are(tmp_path: Path, capsys: Captured) -> None:
    """A list may come from anybody, and its name too."""
    list_ = tmp_path / "li\x1b[2Jst"
    list_.write_bytes(
        b"\x1b[31mdb:80\nunix:/\x1b]0;x\x07\nunix:/\xff\xc2\x9b1m\n\0:1\nd\xe2\x80\xaeb"
    )
    assert main(["check", "-f", str(list_)]) == 1
    output = capsys.readouterr()
    for line in (output.out + output.err).splitlines():
        assert line.isascii()
        assert line.isprintable()
    assert main(["check", "-f", str(tmp_path / "no\x1b[2J")]) == 2
    assert "\x1b" not in capsys.readouterr().err


def test_five_thousand_lines_are_five_thousand_results(tmp_path: Path) -> None:
    """Each line is dialled once and reported once."""
    with accepting_all() as accepting:
        (tmp_path / "list").write_text(f"{accepting.target}\n" * 5000)
        done = run("check", "--json", "-f", str(tmp_path / "list"))
        assert done.returncode == 0
        results, summary = objects(done.stdout)
        assert sorted(each["line"] for each in results) == list(range(1, 5001))
        assert all(each["ok"] for each in results)
        assert (summary["reached"], summary["failed"]) == (5000, 0)
    assert accepting.accepted == 5000


@needs("linux")
def test_the_length_of_a_list_does_not_matter(refusing: str) -> None:
    """Memory is for what is in flight: twenty thousand more results take next to none."""
    few, many = 3_000, 23_000

    def lines(begin: int, end: int) -> str:
        return "".join(f"127.0.{n >> 8}.{n & 255 or 1}:1\n" for n in range(begin, end))

    with running("-") as command:
        peaks = []
        for begin, end in ((0, few), (few, many)):
            # As much as the pipe takes, for the results must be read meanwhile.
            for at in range(begin, end, 500):
                command.write(lines(at, at + 500))
                for _ in range(500):
                    assert b"connection_refused" in command.stdout.readline()
            peaks.append(command.peak_memory())
        command.stdin.close()
        code, rest, remarks = command.end()
    assert (code, rest) == (1, "")
    assert remarks.startswith(f"0 reached, {many} failed, ")
    assert peaks[1] - peaks[0] < 4 * 1024


def test_standard_input_that_dribbles_keeps_nothing_waiting(server: str, silent: str) -> None:
    """Each line is dialled when it has come, and what is in flight ends while none comes."""
    with running("-t", "600ms", silent, "-") as command:
        command.write(f"{server}\n")
        assert command.line().startswith(f"ok   {server} ")
        command.write(server[:5])
        assert command.line().startswith(f"fail {silent} ")
        command.write(f"{server[5:]}\n{server}")
        assert command.line().startswith(f"ok   {server} ")
        command.stdin.close()
        code, rest, remarks = command.end()
    assert (code, rest.split()[:2]) == (1, ["ok", server])
    assert remarks.startswith("3 reached, 1 failed, ")


def test_a_fifo_is_waited_for_by_nobody(server: str, tmp_path: Path) -> None:
    """To open it may take until somebody writes; the other targets are dialled meanwhile."""
    os.mkfifo(tmp_path / "fifo")
    with running(server, "-f", str(tmp_path / "fifo"), "-f", "/dev/null") as command:
        assert command.line().startswith("ok ")
        with open(tmp_path / "fifo", "w") as fifo:
            fifo.write(f"{server}\n{server}\n")
            fifo.flush()
            assert command.line().startswith("ok ")
        code, rest, remarks = command.end()
        assert (code, rest[:3]) == (0, "ok ")
        assert remarks.startswith("3 reached, 0 failed, ")


# What cannot be read ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["-f", "{}/none"], "cannot read {}/none: No such file or directory"),
        (["-f", "{}"], "cannot read {}: Is a directory"),
        (["-f", "/dev/null", "-f", "{}/none"], "cannot read {}/none: "),
        (["-", "-f", "-"], "standard input ('-') can be read once"),
        (["-", "-"], "standard input ('-') can be read once"),
        (["-", "bad"], "target 3: 'bad' has no port"),
        (["--limit", "0"], "'0' is not a whole number of at least 1"),
        (["--limit", "1e3"], "'1e3' is not a whole number"),
        (["--per-host", "-1"], "--per-host"),
        (["--rate", "0"], "'0' is not a number a second"),
        (["--rate", "0.0"], "'0.0' is not a number a second"),
        (["--rate", "inf"], "'inf' is not a number a second"),
        (["--total", "0"], "no time at all"),
    ],
)
def test_what_is_wrong_from_the_start_is_exit_code_2_and_nothing_is_dialled(
    words: list[str], said: str, tmp_path: Path, capsys: Captured
) -> None:
    """A missing list is found out before the first target of another one is dialled."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setblocking(False)
        target = f"127.0.0.1:{listening.getsockname()[1]}"
        assert main(["check", target, *[word.format(tmp_path) for word in words]]) == 2
        with pytest.raises(BlockingIOError):
            listening.accept()
    output = capsys.readouterr()
    assert output.out == ""
    assert said.format(tmp_path) in output.err


@pytest.mark.parametrize("words", [["-"], ["-f", "/dev/null"], ["--json", "-"], ["-q", "-"]])
def test_a_list_without_a_target_is_not_a_success(words: list[str]) -> None:
    """Whatever should have written it has failed, and nobody must take that for good news."""
    done = run("check", *words, stdin="# nothing\n\n")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(
        "aioconnect check: no target in what was given (--help says more)\n"
    )


def test_standard_input_that_is_closed_is_no_list(server: str) -> None:
    """Daemons have none, and the descriptor's number may be that of something else by now."""
    done = children.run(
        ["/bin/sh", "-c", 'exec "$@" <&-', "sh", *COMMAND, "check", server, "-"],
        timeout=PATIENCE,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert "cannot read standard input: Bad file descriptor" in done.stderr


@needs("/proc/self/mem")
def test_a_list_that_breaks_off_is_exit_code_74(server: str, capsys: Captured) -> None:
    """All that could be read was reached, and still it is no success."""
    assert main(["check", "--json", "-f", "/proc/self/mem", server]) == os.EX_IOERR
    output = capsys.readouterr()
    results, summary = objects(output.out)
    assert [each["ok"] for each in results] == [True]
    assert summary["complete"] is False
    assert output.err == "aioconnect: cannot read /proc/self/mem: Input/output error\n"


# Pace ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [["--limit", "1"], ["--per-host", "1"]])
def test_so_many_are_in_flight_at_a_time(words: list[str], silent: str, capsys: Captured) -> None:
    """Of three targets that never answer one is dialled after the other."""
    started = time.monotonic()
    assert main(["check", "-t", "200ms", *words, silent, silent, silent]) == 1
    assert time.monotonic() - started >= 0.6


def test_per_host_leaves_the_other_hosts_alone(silent: str, server: str, capsys: Captured) -> None:
    """A slow host does not keep the others waiting."""
    port = server.rpartition(":")[2]
    name = ["--resolve", f"db.invalid:{port}:127.0.0.1"]
    with loopback.accepting_on_path() as path:
        words = ["check", "-t", "300ms", "--per-host", "1"]
        main([*words, *name, silent, f"db.invalid:{port}", f"unix:{path}"])
    first, second, third = capsys.readouterr().out.splitlines()
    assert first.startswith(f"ok   unix:{path}")
    assert second.startswith(f"fail {silent}")
    assert third.startswith("ok   db.invalid:")


def test_a_rate_spaces_the_starts(server: str, capsys: Captured) -> None:
    """Five at ten a second take four tenths."""
    started = time.monotonic()
    assert main(["check", "--rate", "10", *[server] * 5]) == 0
    assert time.monotonic() - started >= 0.38


def test_results_come_as_they_are_known_or_in_order(
    silent: str, server: str, capsys: Captured
) -> None:
    """``--ordered`` is for those who compare two runs."""
    words = ["check", "-t", "200ms", silent, server]
    main(words)
    main([*words, "--ordered"])
    result = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert result == ["ok", "fail", "fail", "ok"]


def test_the_total_ends_all_and_is_no_success(server: str) -> None:
    """Everything that was tried was reached, but not everything was tried."""
    with running("--total", "700ms", "--json", "-") as command:
        command.write(f"{server}\n")
        code, rest, _ = command.end()  # standard input stays open until it has ended
    results, summary = objects(rest)
    assert code == 1
    assert [each["ok"] for each in results] == [True]
    assert summary["complete"] is False


def test_the_total_fails_what_is_in_flight(silent: str, server: str, capsys: Captured) -> None:
    """The targets have their own, longer time; those that were not begun are not reported."""
    words = ["--total", "400ms", "-t", "20s", "--limit", "1", server, silent, server]
    assert main(["check", *words]) == 1
    output = capsys.readouterr()
    assert [line.split()[:2] for line in output.out.splitlines()] == [
        ["ok", server],
        ["fail", silent],
    ]
    totals, _ = output.err.splitlines()
    assert totals.endswith("; --total ended it before all were tried")


def test_a_total_that_is_not_used_up_changes_nothing(server: str, capsys: Captured) -> None:
    """The exit code says what it says without."""
    assert main(["check", "--total", "20s", server, server]) == 0
    assert "total" not in capsys.readouterr().err


# Names that --resolve has -------------------------------------------------------------------------


def test_results_have_the_name_that_was_given_and_not_the_address(
    server: str, refusing: str, capsys: Captured
) -> None:
    """Also where what was dialled is another: in lines, in messages, in the summary."""
    good, bad = server.rpartition(":")[2], refusing.rpartition(":")[2]
    names = [
        f"--resolve=good.invalid:{good}:127.0.0.1",
        f"--resolve=bad.invalid:{bad}:127.0.0.1,127.0.0.2",
    ]
    targets = [f"Good.invalid:{good}", f"bad.invalid.:{bad}"]
    assert main(["check", "--ordered", "--json", *names, *targets]) == 1
    results, summary = objects(capsys.readouterr().out)
    assert [each["target"] for each in results] == targets
    message = results[1]["error"]["message"]
    assert message.startswith(
        f"cannot connect to bad.invalid.:{bad}: refused by 127.0.0.1 and 127.0.0.2 (2 attempts"
    )
    assert summary["causes"][0]["example"] == targets[1]

    assert main(["check", "--ordered", *names, *targets]) == 1
    output = capsys.readouterr()
    assert [line.split()[1] for line in output.out.splitlines()] == targets
    assert "refused by 127.0.0.1 and 127.0.0.2 (2 attempts" in output.out
    assert f"e.g. bad.invalid.:{bad}: " in output.err


def test_names_in_a_list_have_their_addresses_too(
    server: str, tmp_path: Path, capsys: Captured
) -> None:
    """On their port, and on no other."""
    port = server.rpartition(":")[2]
    (tmp_path / "list").write_text(f"db.invalid:{port}\ndb.invalid:1\nbad\n")
    words = ["--resolve", f"db.invalid:{port}:127.0.0.1", "-f", str(tmp_path / "list")]
    assert main(["check", "--ordered", *words]) == 1
    lines = [line.split()[:3] for line in capsys.readouterr().out.splitlines()]
    code = lines[1].pop()
    assert code in ("host_not_found", "try_again"), "what there is no name server for, too"
    assert lines == [
        ["ok", f"db.invalid:{port}", "127.0.0.1"],
        ["fail", "db.invalid:1"],
        ["fail", "bad", "invalid_target"],
    ]


def test_an_address_of_the_other_family_is_left_out(server: str, capsys: Captured) -> None:
    """With ``-4`` only IPv4; a name without any is a usage error, as the address itself is."""
    port = server.rpartition(":")[2]
    name = ["--resolve", f"db.invalid:{port}:[::1],127.0.0.1", f"db.invalid:{port}"]
    assert main(["check", "-4", *name]) == 0
    only = ["--resolve", f"db.invalid:{port}:[::1]", f"db.invalid:{port}"]
    assert main(["check", "-4", *only]) == 2
    assert "not of the family" in capsys.readouterr().err


def test_a_name_in_a_list_without_a_usable_address_is_not_looked_up(
    tmp_path: Path, capsys: Captured
) -> None:
    """``--resolve`` has the last word on a name, also where it leaves nothing to dial."""
    (tmp_path / "list").write_text("localhost.localdomain:80\n")
    words = ["-4", "--resolve", "localhost.localdomain:80:[::1]", "-f", str(tmp_path / "list")]
    assert main(["check", *words]) == 1
    assert re.search(r"invalid_target +line 1 of .*: \[::1\]:80 is not of", capsys.readouterr().out)


# The summary --------------------------------------------------------------------------------------


def test_the_summary_has_the_causes_most_frequent_first(
    server: str, refusing: str, silent: str, capsys: Captured
) -> None:
    """Totals, then for each cause how often, an example, and what to look at."""
    words = ["--ordered", "-t", "300ms", silent, server, refusing, "127.0.0.2:1", server, server]
    assert main(["check", *words]) == 1
    totals, most, least = capsys.readouterr().err.splitlines()
    assert re.fullmatch(r"3 reached, 3 failed, \d+\.\d s, \d+(\.\d)?/s", totals)
    assert most == (
        f"  2 connection_refused  e.g. {refusing}: is the server listening on that port?"
    )
    assert least == (
        f"  1 timed_out           e.g. {silent}:"
        " is the host up, and does a firewall drop the packets?"
    )


def test_the_summary_for_programs_is_the_last_object(
    server: str, refusing: str, capsys: Captured
) -> None:
    """The same things, with their units in the names, and nothing on stderr."""
    assert main(["check", "--json", server, refusing, refusing]) == 1
    output = capsys.readouterr()
    results, summary = objects(output.out)
    assert output.err == ""
    assert len(results) == 3
    assert summary.pop("duration_ms") > 0
    assert summary.pop("rate_per_s") > 0
    assert summary == {
        "reached": 1,
        "failed": 2,
        "complete": True,
        "causes": [
            {
                "type": "connection_refused",
                "count": 2,
                "example": refusing,
                "hint": "is the server listening on that port?",
            }
        ],
        "slowed_down": [],
    }


@pytest.mark.parametrize("words", [[], ["--json"], ["-q"]])
def test_one_target_alone_has_no_summary(
    words: list[str], refusing: str, tmp_path: Path, capsys: Captured
) -> None:
    """Its line says everything; but a list of one line is a list, whoever wrote it."""
    assert main(["check", *words, refusing]) == 1
    output = capsys.readouterr()
    assert "summary" not in output.out
    assert output.err == ""
    (tmp_path / "list").write_text(refusing)
    assert main(["check", *words, "-f", str(tmp_path / "list")]) == 1
    output = capsys.readouterr()
    assert ("summary" in output.out) is (words == ["--json"])
    assert ("0 reached, 1 failed" in output.err) is (words == [])
    if words == ["-q"]:
        assert output == ("", "")


@needs("linux")
def test_want_of_descriptors_is_said_once_and_fails_nobody(silent: str, server: str) -> None:
    """More were asked for than this process may open; the summary has the advice."""
    done = children.run(
        ["/bin/sh", "-c", 'ulimit -n 20; exec "$@"', "sh"]
        + [*COMMAND, "check", "--limit", "100", "-t", "300ms"]
        + [silent] * 16
        + [server] * 8,
        timeout=PATIENCE,
    )
    assert done.returncode == 1
    totals, cause, lack = done.stderr.splitlines()
    assert totals.startswith("8 reached, 16 failed, ")
    assert cause.startswith("  16 timed_out  e.g. ")
    assert re.match(r"slowed down (once|\d+ times): descriptors ran out: raise ", lack)


def test_what_was_lacking_is_counted_by_kind() -> None:
    """However often it happened, there is one line for each; other events are none of them."""
    summary = Summary()
    for number in (errno.EMFILE, errno.ENOBUFS, errno.ENFILE):
        lack = causes.from_errno(number, stage="socket")
        summary.observe(events.SlowedDown(0.0, "db:80", 5, lack))
    summary.observe(events.AttemptStarted(0.0, "db:80", 1, 1, ("10.0.0.1", 80), socket.AF_INET))
    summary.end("")
    _, first, second = summary.lines()
    assert first == (
        "slowed down 2 times: descriptors ran out: raise RLIMIT_NOFILE,"
        " or close what is not needed; or lower --limit"
    )
    assert second.startswith("slowed down once: kernel buffers ran out: is the machine out of mem")
    kinds = [(each["type"], each["count"]) for each in summary.as_json()["slowed_down"]]
    assert kinds == [("too_many_open_sockets", 2), ("no_buffer_space_available", 1)]


# The end before the end ---------------------------------------------------------------------------


@pytest.mark.parametrize("words", [[], ["--json"]])
def test_an_interrupt_in_the_middle_of_a_list_ends_it_with_what_was_found(
    words: list[str], server: str, silent: str
) -> None:
    """Standard input is still open, and its reader waits in a read that nothing ends."""
    with running("-t", "30", *words, "-") as command:
        command.write(f"{server}\n{silent}\nbad\n{server}\n")
        for _ in range(3):
            command.line()
        command.process.send_signal(signal.SIGINT)
        code, rest, remarks = command.end()
    assert code == -signal.SIGINT
    if words:
        results, summary = objects(rest)
        assert (results, remarks) == ([], "")
        assert (summary["reached"], summary["failed"], summary["complete"]) == (2, 1, False)
    else:
        totals, cause = remarks.splitlines()
        assert rest == ""
        assert totals.startswith("2 reached, 1 failed, ")
        assert totals.endswith("; interrupted with 1 unfinished")
        assert cause.startswith("  1 invalid_target  e.g. line 3 of standard input: ")


def test_an_interrupt_of_a_whole_pipe_is_no_other_exit_code(server: str, silent: str) -> None:
    """Ctrl-C ends the reader as well; the summary has nowhere to go, and that is all."""
    with running("--json", "-t", "30", server, silent) as command:
        command.line()
        command.stdout.close()
        command.process.send_signal(signal.SIGINT)
        assert command.process.wait(PATIENCE / 2) == -signal.SIGINT
        assert command.stderr.read() == b""


def test_a_reader_that_goes_away_ends_it_while_standard_input_is_open(server: str) -> None:
    """``list-hosts | aioconnect check - | head -1`` ends at the second result."""
    with running("-") as command:
        command.write(f"{server}\n")
        command.line()
        command.stdout.close()
        command.write(f"{server}\n")
        assert command.process.wait(PATIENCE / 2) == 141
        assert command.stderr.read() == b""


def test_a_reader_that_stalls_is_no_timeout_of_the_targets() -> None:
    """``| less`` takes no more lines for minutes: what connects meanwhile has connected.

    The results that nobody reads fill the pipe; then a server answers, and only then its time
    limit goes by, all while the command is kept in a write.
    """
    reading, writing = os.pipe()
    fcntl.fcntl(writing, getattr(fcntl, "F_SETPIPE_SZ", 1031), 4096)
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listening:
        late = f"127.0.0.1:{listening.getsockname()[1]}"
        queued = fill(listening)
        targets = [late, *["127.0.0.1:1"] * 60]
        command = [*COMMAND, "check", "-t", "1500ms", *targets]
        with (
            started(command, stdout=writing, stderr=subprocess.DEVNULL) as process,
            open(reading) as results,
        ):
            os.close(writing)
            while len_of_pipe(reading) < 3900:
                time.sleep(0.01)
            full = time.monotonic()
            for each in queued:
                each.close()
            accept_all(listening)
            time.sleep(max(0.0, full + 2 - time.monotonic()))
            (said,) = [line for line in results if late in line]
            assert process.wait(PATIENCE) == 1
    assert said.startswith(f"ok   {late} ")


def fill(listening: socket.socket) -> list[socket.socket]:
    """Fill the queue of a server, so that the next SYN is dropped and sent again a second later."""
    queued: list[socket.socket] = []
    while True:
        sock = socket.socket()
        sock.setblocking(False)
        queued.append(sock)
        assert sock.connect_ex(listening.getsockname()) in (0, errno.EINPROGRESS)
        if not select.select([], [sock], [], 0.2)[1]:
            return queued


def accept_all(listening: socket.socket) -> None:
    listening.setblocking(False)
    while True:
        try:
            listening.accept()[0].close()
        except BlockingIOError:
            return


def len_of_pipe(fd: int) -> int:
    """Return how many bytes may be read."""
    (count,) = struct.unpack("i", fcntl.ioctl(fd, termios.FIONREAD, b"\0" * 4))
    return int(count)


def test_what_this_host_lacks_is_the_result_when_a_targets_time_is_up() -> None:
    """Nothing of the command can free it; what it waits for is said meanwhile."""
    command = [*COMMAND, "check", "-t", "500ms", "127.0.0.1:9", "127.0.0.1:10"]
    done = children.run(["sh", "-c", 'ulimit -n 6; exec "$@"', "sh", *command], timeout=60)
    assert done.returncode == 1
    assert done.stdout.count("too_many_open_sockets") == 2
    first = done.stderr.splitlines()[0]
    assert first.startswith("aioconnect: waiting for what this host lacks: ")
    assert "no descriptor left" in first
