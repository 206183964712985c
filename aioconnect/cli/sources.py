"""Where targets come from: the words of the command line, files, and standard input.

A list has one target a line.  It is read a block at a time, when there is room for more targets,
so that its length does not matter.  Each block is read in a daemon thread: a pipe, a terminal or
a file server may take its time, and neither the connects in flight nor Ctrl-C may wait for it.
(A thread of an executor would be joined at the exit, and so would what it waits for.)
"""

from __future__ import annotations

import asyncio
import codecs
import errno
import os
import re
import select
import stat
import sys
import threading
from collections import deque
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from .console import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence
    from typing import Self

__all__ = ["Given", "Lines", "Sources", "shown_file"]

STDIN = "-"
"""What standard input is called, where a target and where a file may stand."""

LONGEST = 4096
"""Bytes of a line that are kept.  No target is as long, but the file may be no list at all."""

MOST_COUNTED = 8 * 2**20
"""Bytes of files that are read twice, to know beforehand how many targets there are: half a
million, and less than half a second."""

_BLOCK = 2**16
_COMMENT = re.compile(rb"(?:\A|[ \t])#")
_CUT = b"..."
"""Ends a line that was cut: what is left of it must not pass for a target."""

_T = TypeVar("_T")


class Given(NamedTuple):
    """A target as somebody wrote it, and where."""

    text: str
    file: str | None = None
    """The file that it stands in, ``"-"`` for standard input; None for the command line."""
    line: int = 0
    """The line in that file, from 1."""


class Sources:
    """All targets in the order given: the words first, then the files; iterate over it once.

    What cannot be read to its end is left there, and noted in ``problems``.

    Args:
        words: targets; ``-`` is what stands on standard input.
        files: names of lists; ``-`` likewise.

    Raises:
        OSError: a file is not there, or may not be read.
        ValueError: standard input is wanted twice.
    """

    def __init__(self, words: Sequence[str], files: Sequence[str]) -> None:
        if [*words, *files].count(STDIN) > 1:
            raise ValueError("standard input ('-') can be read once")
        self.complete = False
        """Whether every target of every source has been given out."""
        self.problems: list[str] = []
        self.one_word = len(words) == 1 and STDIN not in words and not files
        self._left: deque[str | _File] = deque()
        self._ready: deque[Given] = deque()
        try:
            for word in words:
                self._left.append(_File(word) if word == STDIN else word)
            for name in files:
                self._left.append(_File(name))
        except BaseException:
            self.close()
            raise

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Given:
        ready, left = self._ready, self._left
        while not ready:
            if not left:
                self.complete = not self.problems
                raise StopAsyncIteration
            source = left[0]
            if isinstance(source, str):
                left.popleft()
                return Given(source)
            try:
                ready.extend(await source.read())
            except OSError as exc:
                self.problems.append(f"cannot read {shown_file(source.name)}: {exc.strerror}")
                source.ended = True
            if source.ended:
                left.popleft()
                source.close()
        return ready.popleft()

    def reads_terminal(self) -> bool:
        """Whether somebody may type targets while others are dialled."""
        return any(isinstance(source, _File) and source.is_terminal() for source in self._left)

    def count(self) -> int | None:
        """Return how many targets there are; None if that cannot be known without much reading."""
        total, room = 0, MOST_COUNTED
        for source in self._left:
            if isinstance(source, str):
                total += 1
                continue
            for block in source.peek():
                room -= len(block)
                if room < 0:
                    return None
                total += sum(1 for _ in source.counter.feed(block))
            if not source.counter.ended:
                return None
        return total

    def close(self) -> None:
        """Close the files."""
        for source in self._left:
            if isinstance(source, _File):
                source.close()


class Lines:
    """Finds the targets in the blocks of a list, and numbers their lines.

    Blank lines are left out, and comments: ``#`` at the start of a line or after a space.  A
    carriage return and a byte order mark, as editors on Windows leave them, are no part of it.
    """

    def __init__(self) -> None:
        self.ended = False
        self._number = 0
        self._rest = b""

    def feed(self, block: bytes) -> Iterator[tuple[int, str]]:
        """Take the next block, an empty one at the end; returns line numbers and targets."""
        *lines, rest = (self._rest + block).split(b"\n")
        if not block:
            self.ended = True
            lines, rest = [*lines, rest], b""
        self._rest = rest[: LONGEST + 1]
        for line in lines:
            self._number += 1
            if text := self._target(line):
                yield self._number, os.fsdecode(text)

    def _target(self, line: bytes) -> bytes:
        if self._number == 1:
            line = line.removeprefix(codecs.BOM_UTF8)
        if len(line) > LONGEST:
            line = line[:LONGEST] + _CUT
        line = line.strip()
        if b"#" not in line:
            return line
        comment = _COMMENT.search(line)
        return line[: comment.start()].rstrip() if comment else line


class _File:
    """A list in a file, opened now if it is a regular one: later there may be no descriptor.

    What is no regular file (a FIFO, say) is opened when it is its turn, for that may wait for
    somebody who writes.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.ended = False
        self.counter = Lines()
        self._lines = Lines()
        self._fd = -1
        self._is_ours = name != STDIN
        self._is_read = False  # by a thread for which nobody waits
        if name == STDIN:
            if sys.stdin is None:  # the descriptor was closed from the start
                raise OSError(errno.EBADF, os.strerror(errno.EBADF), name)
            self._fd = sys.stdin.fileno()
            return
        mode = os.stat(name).st_mode
        if stat.S_ISREG(mode):
            self._fd = os.open(name, os.O_RDONLY)
        elif stat.S_ISDIR(mode):
            raise OSError(errno.EISDIR, os.strerror(errno.EISDIR), name)
        elif not os.access(name, os.R_OK):
            raise OSError(errno.EACCES, os.strerror(errno.EACCES), name)

    async def read(self) -> list[Given]:
        """Read on: one block, which may have no target."""
        try:
            if self._fd < 0:
                self._fd = await _in_thread(partial(os.open, self.name, os.O_RDONLY))
            block = await _in_thread(partial(_read, self._fd))
        except asyncio.CancelledError:
            self._is_read = True
            raise
        self.ended = not block
        return [
            Given(_without_secret(text), self.name, number)
            for number, text in self._lines.feed(block)
        ]

    def peek(self) -> Generator[bytes]:
        """Read a regular file without moving on in it: its blocks, and an empty one at the end."""
        with suppress(OSError):  # whoever reads it will hear
            if self._fd < 0 or not stat.S_ISREG(os.fstat(self._fd).st_mode):
                return
            at = os.lseek(self._fd, 0, os.SEEK_CUR)
            while block := os.pread(self._fd, _BLOCK, at):
                at += len(block)
                yield block
            yield b""

    def is_terminal(self) -> bool:
        """Whether it is standard input, and a terminal."""
        return self._fd >= 0 and os.isatty(self._fd)

    def close(self) -> None:
        """Close what was opened here; what a thread still reads stays open until the exit."""
        if self._is_ours and self._fd >= 0 and not self._is_read:
            os.close(self._fd)
            self._fd = -1


def shown_file(name: str) -> str:
    """Name a file for a person."""
    return "standard input" if name == STDIN else printable(name)


def _without_secret(text: str) -> str:
    """Hide what stands before an @, which may be a password; a host with one is no target."""
    if "@" not in text or text.startswith("unix:"):
        return text
    return f"***@{text.rpartition('@')[2]}"


def _read(fd: int) -> bytes:
    """Wait for a block and return it; what has come is enough."""
    while True:
        try:
            return os.read(fd, _BLOCK)
        except BlockingIOError:  # another process has made the common description non-blocking
            readable = select.poll()
            readable.register(fd, select.POLLIN)
            readable.poll()


async def _in_thread(function: Callable[[], _T]) -> _T:
    """Call in a daemon thread, which is left alone if nobody waits any more."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[_T] = loop.create_future()

    def call() -> None:
        try:
            report = partial(_set_result, future, function())
        except BaseException as exc:
            report = partial(_set_exception, future, exc)
        with suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(report)

    threading.Thread(target=call, name="aioconnect-input", daemon=True).start()
    return await future


def _set_result(future: asyncio.Future[_T], result: _T) -> None:
    if not future.done():
        future.set_result(result)


def _set_exception(future: asyncio.Future[_T], exc: BaseException) -> None:
    if not future.done():
        future.set_exception(exc)
