"""The command as its users run it: a process of its own, on pipes or on a terminal."""

from __future__ import annotations

import ctypes
import fcntl
import os
import pty
import re
import select
import socket
import struct
import sys
import termios
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ..support import children
from ..support.children import PATIENCE, started

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Generator, Mapping

COMMAND = (sys.executable, "-m", "aioconnect")


def run(
    *arguments: str | bytes, env: Mapping[str, str] | None = None, stdin: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run the command to its end, on pipes."""
    return children.run(
        [*COMMAND, *arguments],
        input=stdin,
        timeout=PATIENCE,
        env=env,
    )


def drop_privileges() -> None:
    """Give up every capability for good; to be called between fork and exec."""
    for capability in range(64):
        ctypes.CDLL(None).prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP


class Terminal:
    """A command on a terminal of its own."""

    process: subprocess.Popen[bytes]

    def __init__(self, master: int) -> None:
        self._master = master
        self.output = b""

    def wait_for(self, text: bytes) -> None:
        """Read until the output has ``text``."""
        deadline = time.monotonic() + PATIENCE
        while text not in self.output:
            assert self._read(deadline), f"{text!r} never came, but {self.output!r}"

    def press(self, key: bytes) -> None:
        """Type a key."""
        os.write(self._master, key)

    def hang_up(self) -> None:
        """Close the terminal."""
        if self._master >= 0:
            os.close(self._master)
        self._master = -1

    def end(self) -> int:
        """Read until the command has ended; return its exit code."""
        deadline = time.monotonic() + PATIENCE
        while self._read(deadline):
            pass
        return self.process.wait(PATIENCE)

    def _read(self, deadline: float) -> bool:
        ready, _, _ = select.select([self._master], [], [], max(0.0, deadline - time.monotonic()))
        assert ready, f"the command hangs after {self.output!r}"
        try:
            data = os.read(self._master, 65536)
        except OSError:  # EIO: the last process has closed the terminal
            return False
        self.output += data
        return bool(data)


@contextmanager
def on_terminal(
    *arguments: str,
    env: Mapping[str, str] | None = None,
    stdin: int | None = None,
    stdout: int | None = None,
    columns: int = 0,
) -> Generator[Terminal]:
    """Start the command in a session of its own, with a controlling terminal.

    Args:
        arguments: of the command.
        env: changes to the environment.
        stdin: a descriptor in place of the terminal.
        stdout: likewise.
        columns: how wide the terminal is; 0 is one that does not know.
    """
    master, slave = pty.openpty()
    terminal = Terminal(master)
    try:
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("4H", 24, columns, 0, 0))
        with started(
            [*COMMAND, *arguments],
            stdin=slave if stdin is None else stdin,
            stdout=slave if stdout is None else stdout,
            stderr=slave,
            env=env,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(2, termios.TIOCSCTTY, 0),
        ) as terminal.process:
            os.close(slave)
            slave = -1
            yield terminal
            terminal.process.kill()
    finally:
        terminal.hang_up()
        if slave >= 0:
            os.close(slave)


def screen(output: bytes) -> list[str]:
    """Return the lines that stand on a terminal after all that was written to it."""
    lines: list[list[str]] = [[]]
    column = 0
    for part in re.findall(r"\x1b\[[0-9;]*[A-Za-z]|[^\x1b]", output.decode()):
        line = lines[-1]
        if part == "\n":
            lines.append([])
        elif part == "\r":
            column = 0
        elif part == "\x1b[K":
            del line[column:]
        elif part[0] != "\x1b":  # an escape sequence that is left is a colour
            line += " " * (column + 1 - len(line))
            line[column] = part
            column += 1
    shown = ["".join(line).rstrip() for line in lines]
    return shown if shown[-1] else shown[:-1]


class Server:
    """A server that accepts whoever comes, and closes the connection."""

    def __init__(self, listening: socket.socket) -> None:
        self.target = f"127.0.0.1:{listening.getsockname()[1]}"
        self.accepted = 0
        self._listening = listening

    def accept_until_shut_down(self) -> None:
        """Accept all connections."""
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            connection.close()
            self.accepted += 1


@contextmanager
def accepting_all() -> Generator[Server]:
    """Give a server that serves thousands: the queue of the kernel alone would be full."""
    with socket.create_server(("127.0.0.1", 0), backlog=4096) as listening:
        server = Server(listening)
        thread = threading.Thread(target=server.accept_until_shut_down)
        thread.start()
        try:
            yield server
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join()
