"""Where targets come from: what counts as a line of a list, and what can be known beforehand."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import tracemalloc
from typing import IO, TYPE_CHECKING

import pytest

from aioconnect.cli import sources
from aioconnect.cli.sources import LONGEST, Given, Lines, Sources

from ..support.needs import needs

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def targets(*blocks: bytes) -> list[tuple[int, str]]:
    """Return the line numbers and targets of a list that comes in these blocks."""
    lines = Lines()
    return [each for block in (*blocks, b"") for each in lines.feed(block)]


@pytest.fixture
def stdin(monkeypatch: pytest.MonkeyPatch) -> Iterator[IO[bytes]]:
    """Give what writes into a pipe that is standard input."""
    reading, writing = os.pipe()
    with open(reading, "rb", buffering=0) as pipe, open(writing, "wb", buffering=0) as writer:
        monkeypatch.setattr(sys, "stdin", pipe)
        yield writer


async def all_of(given: Sources) -> list[Given]:
    return [each async for each in given]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (b"", []),
        (b"\n\n  \n\t\r\n", []),
        (b"a:1\nb:2\n", [(1, "a:1"), (2, "b:2")]),
        (b"a:1\n\nb:2", [(1, "a:1"), (3, "b:2")]),
        (b"a:1\r\nb:2\r\n", [(1, "a:1"), (2, "b:2")]),
        (b" \ta:1 \n", [(1, "a:1")]),
        (b"# a:1\n  # b:2\nc:3", [(3, "c:3")]),
        (b"a:1 # main\nb:2\t#\n", [(1, "a:1"), (2, "b:2")]),
        (b"unix:@a#b\nunix:/c#d", [(1, "unix:@a#b"), (2, "unix:/c#d")]),
        (b"\xef\xbb\xbfa:1\nb:2", [(1, "a:1"), (2, "b:2")]),
        (b"\xef\xbb\xbf# comment\na:1", [(2, "a:1")]),
        (b"unix:/\xff\n", [(1, "unix:/\udcff")]),
    ],
)
def test_a_line_is_a_target_without_blanks_comments_and_what_editors_add(
    text: bytes, found: list[tuple[int, str]]
) -> None:
    """Lines are numbered as an editor numbers them, also where nothing stands."""
    assert targets(text) == found


def test_it_does_not_matter_where_a_list_is_cut_into_blocks() -> None:
    """A pipe gives what has come, and that may end anywhere."""
    text = b"\xef\xbb\xbfa:1\r\n# c\r\n\r\nb:2 # d\nunix:/\xc3\xa4"
    whole = targets(text)
    assert whole == [(1, "a:1"), (4, "b:2"), (5, "unix:/\xe4")]
    for at in range(1, len(text)):
        assert targets(text[:at], text[at:]) == whole
    assert targets(*(text[at : at + 1] for at in range(len(text)))) == whole


@pytest.mark.parametrize(
    "line",
    [b"a" * LONGEST + b":1", b" " * LONGEST + b"a:1", b"a:1" + b" " * LONGEST, b"\0" * 10**6],
)
def test_a_line_without_end_is_cut_and_is_no_target(line: bytes) -> None:
    """Somebody gave a file that is no list: nothing of it is dialled, nothing much is kept."""
    block = 2**16
    blocks = [line[at : at + block] for at in range(0, len(line), block)]
    (number, text), after = targets(*blocks, b"\nb:2")
    assert number == 1
    assert text.endswith("...")
    assert len(text) <= LONGEST + 3
    assert after == (2, "b:2")


def test_a_line_without_end_is_not_kept() -> None:
    """``-f /dev/zero`` runs for ever, but not out of memory."""
    lines, block = Lines(), bytes(2**16)
    tracemalloc.start()
    try:
        for _ in range(100):
            assert list(lines.feed(block)) == []
        assert tracemalloc.get_traced_memory()[0] < 2**17
    finally:
        tracemalloc.stop()


def test_a_long_comment_is_a_comment() -> None:
    """It is cut, and the cut is no target."""
    assert targets(b"#" + b"x" * LONGEST * 2 + b"\na:1 #" + b"y" * LONGEST) == [(2, "a:1")]


async def test_words_come_first_and_then_the_files(tmp_path: Path) -> None:
    """Each target says where it stood."""
    first, second = tmp_path / "first", tmp_path / "second"
    first.write_text("a:1\n")
    second.write_text("# none\n\nb:2")
    given = Sources(["c:3", "d:4"], [str(first), str(second), str(first)])
    assert given.count() == 5
    assert not given.complete
    assert await all_of(given) == [
        Given("c:3"),
        Given("d:4"),
        Given("a:1", str(first), 1),
        Given("b:2", str(second), 3),
        Given("a:1", str(first), 1),
    ]
    assert given.complete
    assert given.problems == []


def test_standard_input_stands_where_its_name_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``-`` between two words is dialled between them."""
    (tmp_path / "list").write_text("skipped:1\nb:2\n")
    with open(tmp_path / "list") as file:
        os.lseek(file.fileno(), len("skipped:1\n"), os.SEEK_SET)  # by the command before, say
        monkeypatch.setattr(sys, "stdin", file)
        given = Sources(["a:1", "-", "c:3"], [])
        assert given.count() == 3
        assert asyncio.run(all_of(given)) == [Given("a:1"), Given("b:2", "-", 1), Given("c:3")]


def test_what_is_no_regular_file_is_not_counted(
    stdin: IO[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a pipe will bring nobody knows, and a long file is not read twice."""
    assert Sources(["a:1"], ["-"]).count() is None
    os.mkfifo(tmp_path / "fifo")
    assert Sources(["a:1"], [str(tmp_path / "fifo")]).count() is None
    (tmp_path / "list").write_text("a:1\n" * 10)
    monkeypatch.setattr(sources, "MOST_COUNTED", 39)
    given = Sources([], [str(tmp_path / "list")])
    assert given.count() is None
    given.close()


async def test_a_list_is_read_as_it_is_asked_for(stdin: IO[bytes]) -> None:
    """One block at a time: what is not needed yet stays in the pipe."""
    given = Sources(["-"], [])
    stdin.write(b"a:1\n" * 10)
    assert await anext(given) == Given("a:1", "-", 1)
    stdin.write(b"b:2\n")
    for number in range(2, 11):
        assert await anext(given) == Given("a:1", "-", number)
    assert os.read(sys.stdin.fileno(), 100) == b"b:2\n"
    stdin.close()
    assert await all_of(given) == []


async def test_reading_threads_are_daemons(
    stdin: IO[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A read that nothing ends does not hold the exit."""
    threads: list[threading.Thread] = []
    start = threading.Thread.start
    monkeypatch.setattr(threading.Thread, "start", lambda t: (threads.append(t), start(t)))
    stdin.write(b"a:1\n")
    await anext(Sources(["-"], []))
    assert [thread.daemon for thread in threads] == [True]


async def test_a_descriptor_that_does_not_block_is_waited_for(stdin: IO[bytes]) -> None:
    """Whoever shares standard input may have made it so; that is no error of reading."""
    os.set_blocking(sys.stdin.fileno(), False)
    timer = threading.Timer(0.1, lambda: (stdin.write(b"a:1\n"), stdin.close()))
    timer.start()
    assert await all_of(Sources(["-"], [])) == [Given("a:1", "-", 1)]
    timer.join()


@needs("/proc/self/mem")
async def test_what_cannot_be_read_to_its_end_is_noted_and_the_rest_is_read(
    tmp_path: Path,
) -> None:
    """A broken disk under one list is no reason to leave the others out."""
    (tmp_path / "list").write_text("a:1\n")
    given = Sources([], ["/proc/self/mem", str(tmp_path / "list")])
    assert given.count() is None
    assert await all_of(given) == [Given("a:1", str(tmp_path / "list"), 1)]
    assert given.problems == ["cannot read /proc/self/mem: Input/output error"]
    assert not given.complete


def test_nothing_stays_open_when_a_later_file_is_missing(tmp_path: Path) -> None:
    """The descriptors are compared after each test."""
    (tmp_path / "list").write_text("a:1\n")
    with pytest.raises(FileNotFoundError):
        Sources([], [str(tmp_path / "list"), str(tmp_path / "none")])
