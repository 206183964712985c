"""``aioconnect demo``: six scenes, shown as they happened, without a privilege or a network."""

from __future__ import annotations

import ast
import asyncio
import errno
import os
import re
import signal
import socket
import subprocess
import textwrap
from contextlib import contextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

import aioconnect
from aioconnect.cli import loopback, main, scenes
from aioconnect.targets import parse

from ..support import children
from ..support.children import started
from ..support.needs import needs
from .running import COMMAND, PATIENCE, drop_privileges, on_terminal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.environment

TITLES = [
    "A healthy server",
    "A server that refuses",
    "A server that never answers",
    "A server that comes up after two seconds",
    "A Unix socket",
]
_ROW = re.compile(r"   +(\d+\.\d)  +(\d+\.\d)  (\S*) +(\S.*)")


class Scene(NamedTuple):
    """One scene as it was printed."""

    title: str
    code: str
    rows: list[tuple[float, float, str, str]]
    end: str


class Shown(NamedTuple):
    """The whole demo, on a pipe and on a terminal."""

    output: str
    errors: str
    code: int
    terminal: str
    terminal_code: int

    @property
    def scenes(self) -> list[Scene]:
        """Return the scenes in their order."""
        return [_scene(part) for part in re.split(r"^\d\. ", self.output, flags=re.MULTILINE)[1:]]


def _scene(text: str) -> Scene:
    lines = text.splitlines()
    code = "\n".join(line[5:] for line in lines if line.startswith("   | "))
    (heading,) = [n for n, line in enumerate(lines) if line.split()[:2] == ["start", "end"]]
    rows: list[tuple[float, float, str, str]] = []
    rest = lines[heading + 1 :]
    while match := _ROW.fullmatch(rest[0]):
        rows.append((float(match[1]), float(match[2]), match[3], match[4]))
        del rest[0]
    end = " ".join(line.strip() for line in rest if line.startswith("   "))
    return Scene(lines[0], code, rows, end)


@pytest.fixture(scope="module")
def shown() -> Shown:
    """Run it twice at the same time, without any privilege on the pipe."""
    with on_terminal("demo") as terminal:
        done = children.run(
            [*COMMAND, "demo"],
            timeout=PATIENCE,
            preexec_fn=drop_privileges if os.geteuid() == 0 else None,
        )
        code = terminal.end()
    return Shown(done.stdout, done.stderr, done.returncode, terminal.output.decode(), code)


def test_it_runs_to_the_end_without_root(shown: Shown) -> None:
    """Every connection ends as it should, and nothing is said on stderr."""
    assert (shown.code, shown.errors) == (0, "")
    assert re.search(r"^6 of 6 connections ended as they should, in ", shown.output, re.MULTILINE)


def test_it_has_a_scene_for_each_kind_of_server(shown: Shown) -> None:
    """In the order in which a reader wants to meet them."""
    titles = [scene.title for scene in shown.scenes]
    assert titles[:5] == TITLES
    assert re.fullmatch(r"A name with a dead \w+ and a live \w+ address", titles[5])


def test_it_is_plain_text_of_lines_that_fit(shown: Shown) -> None:
    """On a pipe: ASCII, no escape sequence, at most 100 columns."""
    assert shown.output.isascii()
    assert all(line.isprintable() and len(line) <= 100 for line in shown.output.splitlines())


def test_a_terminal_has_the_same_in_colours(shown: Shown) -> None:
    """The same lines, but for ports, paths, times, and how often was tried."""
    assert shown.terminal_code == 0
    assert "\x1b[" in shown.terminal
    plain = re.sub(r"\x1b\[\d+m", "", shown.terminal)
    for scene in shown.scenes:
        assert scene.title in plain


def test_each_scene_shows_three_lines_of_python(shown: Shown) -> None:
    """They can be copied: they compile, and they connect."""
    for scene in shown.scenes:
        tree = compile(scene.code, scene.title, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        assert len(scene.code.splitlines()) == 3
        assert "connect" in tree.co_names


def test_every_attempt_has_a_start_an_end_and_a_result(shown: Shown) -> None:
    """The rows of each scene stand in the order of their starts."""
    for scene in shown.scenes:
        assert scene.rows
        starts = [row[0] for row in scene.rows]
        assert starts == sorted(starts)
        assert all(start <= end for start, end, _, _ in scene.rows)


def test_good_servers_are_connected_at_the_first_attempt(shown: Shown) -> None:
    """By TCP, and by a path."""
    for scene in (shown.scenes[0], shown.scenes[4]):
        ((_, _, address, result),) = scene.rows
        assert result == "connected"
        assert address in scene.end


def test_a_refusal_is_shown_with_the_error_a_user_gets(shown: Shown) -> None:
    """Its class, the built-in that it is, and its whole text."""
    scene = shown.scenes[1]
    ((_, _, address, result),) = scene.rows
    assert result == "connection_refused (ECONNREFUSED)"
    assert scene.end.startswith(
        "ConnectionRefused, which is a ConnectionRefusedError:"
        f" cannot connect to {address}: refused"
    )
    assert scene.end.endswith("is the server listening on that port?")


def test_silence_is_shown_with_the_error_a_user_gets(shown: Shown) -> None:
    """The attempt lasts as long as the timeout."""
    scene = shown.scenes[2]
    ((start, end, _, result),) = scene.rows
    assert result == "timed_out"
    assert end - start >= 900
    assert scene.end.startswith("DeadlineExceeded, which is a TimeoutError: cannot connect to ")


def test_a_late_server_is_reached_after_refusals_and_pauses(shown: Shown) -> None:
    """Attempts and pauses alternate, and the last attempt connects."""
    results = [row[3] for row in shown.scenes[3].rows]
    assert results[-1] == "connected"
    assert results[:-1:2] == ["connection_refused (ECONNREFUSED)"] * (len(results) // 2)
    rounds = range(2, 2 + len(results) // 2)
    assert results[1::2] == [f"pause before round {number}" for number in rounds]
    assert shown.scenes[3].rows[-1][0] >= 1900


def test_a_dead_address_is_overtaken_by_the_live_one(shown: Shown) -> None:
    """Both attempts are there, with the one that was closed."""
    dead, live = shown.scenes[5].rows
    assert live[3] == "connected"
    assert dead[3] == f"closed: {live[2]} was faster"
    assert live[0] - dead[0] >= 200
    assert live[2] in shown.scenes[5].end


# What it does not show --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(make, id=make.__name__, marks=needs(*["ipv6"] * ("ipv6" in make.__name__)))
        for make in scenes.SCENES
    ],
)
def test_the_code_that_is_shown_is_the_code_that_is_run(make: Callable[[], Any]) -> None:
    """Run the lines with a ``connect`` that only notes how it was called."""
    calls: list[tuple[tuple[Any, ...], dict[str, Any]]] = []

    async def connect(*args: Any, **options: Any) -> Any:
        calls.append((args, options))
        return SimpleNamespace(getpeername=lambda: None, close=lambda: None)

    async def run_lines() -> None:
        with make() as scene:
            await check(scene)

    async def check(scene: scenes.Scene) -> None:
        code = textwrap.dedent(scene.code)
        compiled = compile(code, scene.title, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        names = {"aioconnect": SimpleNamespace(connect=connect), "print": lambda *_: None}
        await eval(compiled, names)
        ((args, options),) = calls
        assert parse(*args).text == scene.target
        shown, run = aioconnect.Dialer(**options), scene.dialer
        for family in (socket.AF_INET6, socket.AF_INET) if shown.resolver is not None else ():
            assert await found(shown, family) == await found(run, family)
        assert shown.replace(resolver=None) == run.replace(resolver=None)

    async def found(dialer: aioconnect.Dialer, family: int) -> tuple[str, ...]:
        assert dialer.resolver is not None
        return (await dialer.resolver.lookup("app.example", family)).addresses

    asyncio.run(run_lines())


def test_a_host_without_ipv6_has_a_second_address_in_its_place(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And the demo says so."""
    monkeypatch.setattr(loopback, "_has_ipv6", lambda: False)
    monkeypatch.setattr(scenes, "SCENES", (scenes.dead_ipv6,))
    assert main(["demo"]) == 0
    output = capsys.readouterr().out
    assert "This host has no IPv6: 127.0.0.2 plays the dead address." in output
    assert "A name with a dead first and a live second address" in output
    assert "::1" not in output


def test_what_a_host_cannot_show_is_named_and_is_no_success(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The other scenes are shown all the same."""

    def unable(server: object) -> None:
        raise OSError("this system's queue of connections cannot be filled")

    monkeypatch.setattr(loopback, "_made_silent", unable)
    monkeypatch.setattr(scenes, "SCENES", (scenes.never_answers, scenes.healthy))
    assert main(["demo"]) == 1
    output = capsys.readouterr().out
    assert "1. never answers: cannot be shown here\n   this system's queue of" in output
    assert "2. A healthy server" in output
    assert "1 of 2 connections ended" in output


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.EHOSTUNREACH, "HostUnreachable, which is an OSError:"),
        (errno.ECONNRESET, "ConnectionReset, which is a ConnectionResetError:"),
    ],
)
def test_the_built_in_class_of_an_error_has_its_article(
    number: int, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An OSError, a TimeoutError."""

    def fail(endpoint: object) -> socket.socket:
        raise OSError(number, os.strerror(number))

    @contextmanager
    def scene() -> Iterator[scenes.Scene]:
        dialer = aioconnect.Dialer(socket_factory=fail)
        yield scenes.Scene("Failing", "", "", "127.0.0.1:1", dialer, OSError)

    monkeypatch.setattr(scenes, "SCENES", (scene,))
    assert main(["demo"]) == 0
    output = capsys.readouterr().out
    assert said in output
    assert "1 of 1 connections ended as they should" in output


def test_a_connection_that_ends_otherwise_is_no_success(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The demo checks itself: its exit code can be trusted."""
    monkeypatch.setattr(loopback, "accepting", loopback.refusing)
    monkeypatch.setattr(scenes, "SCENES", (scenes.healthy,))
    assert main(["demo"]) == 1
    assert "0 of 1 connections ended" in capsys.readouterr().out


def test_an_interrupt_ends_it_by_the_signal_without_a_traceback() -> None:
    """SIGINT in the middle of a scene that waits."""
    command = [*COMMAND, "demo"]
    with started(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        while not (line := process.stdout.readline()).startswith(b"3. "):
            assert line
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=PATIENCE / 2)
    assert (process.returncode, error) == (-signal.SIGINT, b"")
