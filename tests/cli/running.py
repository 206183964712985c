"""The command as its users run it: a process of its own, on pipes or on a terminal."""

from __future__ import annotations

import ctypes
import fcntl
import os
import pty
import select
import signal
import subprocess
import sys
import termios
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

COMMAND = (sys.executable, "-m", "aioconnect")
PATIENCE = 30.0
"""Seconds after which a command hangs."""


def environment(changes: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return this process's environment, with a terminal that has colours, and buffers as usual."""
    unusual = ("NO_COLOR", "PYTHONUNBUFFERED")
    plain = {name: value for name, value in os.environ.items() if name not in unusual}
    return {**plain, "TERM": "xterm", **(changes or {})}


def run(
    *arguments: str | bytes, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the command to its end, on pipes."""
    return subprocess.run(
        [*COMMAND, *arguments],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
        timeout=PATIENCE,
        env=environment(env),
    )


def drop_privileges() -> None:
    """Give up every capability for good; to be called between fork and exec."""
    for capability in range(64):
        ctypes.CDLL(None).prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP


class Terminal:
    """A command on a terminal of its own."""

    def __init__(self, master: int, process: subprocess.Popen[bytes]) -> None:
        self._master = master
        self.process = process
        self.output = b""

    def wait_for(self, text: bytes) -> None:
        """Read until the output has ``text``."""
        deadline = time.monotonic() + PATIENCE
        while text not in self.output:
            assert self._read(deadline), f"{text!r} never came, but {self.output!r}"

    def press(self, key: bytes) -> None:
        """Type a key."""
        os.write(self._master, key)

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
def on_terminal(*arguments: str, env: Mapping[str, str] | None = None) -> Generator[Terminal]:
    """Start the command in a session of its own, with a controlling terminal."""
    master, slave = pty.openpty()
    try:
        process = subprocess.Popen(
            [*COMMAND, *arguments],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=environment(env),
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        os.close(slave)
        try:
            yield Terminal(master, process)
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
                process.wait()
    finally:
        os.close(master)
