"""``aioconnect wait``: until servers are ready, then a command; as its users run it."""

from __future__ import annotations

import json
import signal
import socket
import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from ..support.servers import listen, refusing
from .running import on_terminal, run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

OK = [sys.executable, "-c", "print('started')"]


def at(address: Any) -> str:
    """Write a target."""
    return f"{address[0]}:{address[1]}"


@contextmanager
def serving(serve: Callable[[socket.socket], None]) -> Iterator[str]:
    """Serve one connection after the other, in a thread."""
    with listen() as server:
        server.settimeout(0.05)
        over = threading.Event()

        def loop() -> None:
            while not over.is_set():
                try:
                    peer, _ = server.accept()
                except TimeoutError:
                    continue
                with peer:
                    peer.settimeout(20)
                    serve(peer)

        thread = threading.Thread(target=loop)
        thread.start()
        try:
            yield at(server.getsockname())
        finally:
            over.set()
            thread.join()


def to_the_end(peer: socket.socket) -> None:
    """Read until the client closes."""
    while peer.recv(100):
        pass


def greet(peer: socket.socket) -> None:
    """Speak first."""
    peer.sendall(b"SSH-2.0-x\r\n")
    to_the_end(peer)


def answer(peer: socket.socket) -> None:
    """Answer in HTTP, by the path."""
    status = peer.recv(1000).split()[1].strip(b"/") or b"200"
    peer.sendall(b"HTTP/1.1 " + status + b" x\r\n\r\n")


def test_what_is_ready_is_said_to_be() -> None:
    """A line on stdout, and 0."""
    with listen() as server:
        done = run("wait", at(server.getsockname()))
    assert done.returncode == 0
    assert done.stdout.startswith("ready  127.0.0.1:")
    assert "ready after" in done.stdout
    assert done.stderr == ""


def test_a_server_that_starts_late_is_waited_for(tmp_path: Path) -> None:
    """The line says what was in its way."""
    path = str(tmp_path / "late.sock")
    servers: list[socket.socket] = []

    def come_up(other: socket.socket) -> None:
        other.settimeout(30)
        other.accept()[0].close()  # it has begun: both are dialled at the same time
        time.sleep(0.5)
        server = socket.socket(socket.AF_UNIX)
        server.bind(path)
        server.listen()
        servers.append(server)

    with listen() as other:
        starting = threading.Thread(target=come_up, args=(other,))
        starting.start()
        try:
            done = run("wait", at(other.getsockname()), f"unix:{path}", "-t", "30s")
        finally:
            starting.join()
            for server in servers:
                server.close()
    assert done.returncode == 0
    assert "path not found" in done.stdout
    assert "> ready after" in done.stdout


def test_out_of_time_is_124_with_the_last_error() -> None:
    """As timeout(1) has it."""
    with refusing() as nobody:
        done = run("wait", at(nobody), "-t", "300ms")
    assert done.returncode == 124
    assert done.stdout.startswith("fail")
    assert "connection refused x" in done.stdout
    assert "is the server listening on that port?" in done.stdout


def test_all_are_waited_for_and_with_any_one_is_enough() -> None:
    """The others are left."""
    with listen() as server, refusing() as nobody:
        targets = [at(server.getsockname()), at(nobody)]
        assert run("wait", *targets, "-t", "300ms").returncode == 124
        done = run("wait", "--any", *targets, "-t", "30s")
        assert done.returncode == 0
        assert run("wait", "--any", at(nobody), "-t", "300ms").returncode == 124


def test_then_the_command_takes_its_place() -> None:
    """With its output and its code; the lines of the wait are on stderr."""
    with listen() as server:
        target = at(server.getsockname())
        done = run("wait", target, "--", *OK)
        assert (done.returncode, done.stdout) == (0, "started\n")
        assert "ready after" in done.stderr
        assert run("wait", target, "--", sys.executable, "-c", "exit(7)").returncode == 7
        assert run("wait", target, "--", "/no/such/command").returncode == 127
        assert run("wait", target, "--", "/").returncode == 126
    with refusing() as nobody:
        done = run("wait", at(nobody), "-t", "200ms", "--", *OK)
        assert (done.returncode, done.stdout) == (124, "")


def test_gone_waits_until_nobody_accepts() -> None:
    """The other way round."""
    with refusing() as nobody:
        done = run("wait", "--gone", at(nobody))
        assert done.returncode == 0
        assert "gone after" in done.stdout
    with listen() as server:
        done = run("wait", "--gone", at(server.getsockname()), "-t", "300ms")
        assert done.returncode == 124
        assert "it still accepts connections" in done.stdout


@pytest.mark.parametrize(
    ("serve", "words", "code"),
    [
        (to_the_end, [], 0),
        (lambda peer: None, [], 124),
        (greet, ["--expect", "SSH-"], 0),
        (greet, ["--expect", "220"], 124),
        (answer, ["--http", "/204"], 0),
        (answer, ["--http", "/503"], 124),
        (answer, ["--tls"], 124),
    ],
    ids=["stays open", "hangs up", "banner", "another", "http", "503", "no tls"],
)
def test_what_ready_means(serve: Any, words: list[str], code: int) -> None:
    """docker-proxy accepts, and hangs up: that is not ready."""
    with serving(serve) as target:
        assert (
            run("wait", target, "-t", "20s" if code == 0 else "1500ms", *words).returncode == code
        )


def test_json_is_an_object_a_line() -> None:
    """For each target, with what was in its way."""
    with listen() as server, refusing() as nobody:
        done = run("wait", "--json", at(server.getsockname()), at(nobody), "-t", "300ms")
    good, bad = map(json.loads, done.stdout.splitlines())
    assert (good["ok"], good["causes"]) == (True, [])
    assert (bad["ok"], bad["type"]) == (False, "connection_refused")
    assert bad["causes"][0][0] == "connection refused"
    assert bad["hint"] == "is the server listening on that port?"


def test_quiet_is_only_the_code() -> None:
    """Nothing is written."""
    with refusing() as nobody:
        done = run("wait", "-q", at(nobody), "-t", "200ms")
    assert (done.returncode, done.stdout, done.stderr) == (124, "", "")


def test_what_waiting_cannot_help_ends_it_at_once() -> None:
    """A path that is too long will not come right by itself."""
    done = run("wait", "unix:/" + "x" * 300, "-t", "60s")
    assert done.returncode == 1
    assert "use a shorter path" in done.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["db"], "has no port"),
        ([], "required: TARGET"),
        (["127.0.0.1:1", "--"], "a command is missing after --"),
        (["127.0.0.1:1", "-t", "0"], "no time at all"),
        (["127.0.0.1:1", "--gone", "--tls"], "--gone asks for nothing"),
        (["127.0.0.1:1", "--http", "health"], "path begins with a slash"),
        (["127.0.0.1:1", "--http", "/", "--expect", "x"], "not allowed with"),
    ],
    ids=str,
)
def test_a_wrong_command_line_dials_nothing(words: list[str], said: str) -> None:
    """One line says what is wrong, and where the help is."""
    done = run("wait", *words)
    assert done.returncode == 2
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_on_a_terminal_it_shows_what_it_waits_for() -> None:
    """In a line that is drawn again."""
    with refusing() as nobody, on_terminal("wait", at(nobody), "-t", "900ms") as shown:
        shown.wait_for(b"waiting for " + at(nobody).encode() + b" (connection refused)")
        assert shown.end() == 124


def test_an_interrupt_ends_it() -> None:
    """Without a traceback."""
    with refusing() as nobody, on_terminal("wait", at(nobody), "-t", "60s") as shown:
        shown.wait_for(b"(connection refused)")
        shown.press(b"\x03")
        assert shown.end() == -signal.SIGINT
        assert b"Traceback" not in shown.output
