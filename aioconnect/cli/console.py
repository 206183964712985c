"""The console: where results, remarks and colours go, and what happens when nobody reads them."""

from __future__ import annotations

import errno
import os
import signal
import sys
from typing import IO, Final

from ..errors import safe

__all__ = ["BOLD", "DIM", "GREEN", "RED", "YELLOW", "Console", "OutputLost", "printable"]

BOLD, DIM, RED, GREEN, YELLOW = "1", "2", "31", "32", "33"
"""SGR parameters (ECMA-48), understood by every terminal that has colours."""

_BROKEN_PIPE: Final = 128 + signal.SIGPIPE
_LONGEST: Final = 4000


class OutputLost(Exception):
    """What stands on stdout does not arrive; ``code`` is the exit code for it."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class Console:
    """Results on stdout, remarks on stderr.

    ``colour`` says whether stdout is a terminal that takes colours: never with ``NO_COLOR`` set
    to anything (https://no-color.org) nor with ``TERM=dumb``.
    """

    def __init__(self) -> None:
        self._results = sys.stdout
        self._remarks = sys.stderr
        self._lost: OutputLost | None = None
        self.colour = _takes_colours(self._results)

    def result(self, line: str = "") -> None:
        """Write one line to stdout, at once: a program behind the pipe may wait for it.

        Raises:
            OutputLost: it could not be written.
        """
        self._write(line + "\n")

    def remark(self, line: str) -> None:
        """Write one line to stderr, if there is anybody to read it."""
        try:
            if self._remarks is not None:  # None when the descriptor was closed from the start
                self._remarks.write(line + "\n")
                self._remarks.flush()
        except (OSError, ValueError):
            pass  # nobody is left to be told

    def paint(self, text: str, colour: str) -> str:
        """Return the text in a colour, or as it is where there are none."""
        return f"\x1b[{colour}m{text}\x1b[0m" if self.colour and text else text

    def interrupted(self) -> None:
        """End the line on which a terminal has echoed ``^C``."""
        if self._remarks is not None and self._remarks.isatty():
            self.remark("")

    def finish(self) -> None:
        """Write out what argparse may have left in the buffer.

        Raises:
            OutputLost: it could not be written.
        """
        self._write("")

    def _write(self, text: str) -> None:
        if self._lost is not None:  # said already, to somebody who did not pass it on
            raise self._lost
        if self._results is None:
            return
        try:
            self._results.write(text)
            self._results.flush()
        except OSError as exc:
            _discard(self._results)
            self._lost = OutputLost(_BROKEN_PIPE)
            if exc.errno != errno.EPIPE:
                self._lost = OutputLost(os.EX_IOERR)
                self.remark(f"aioconnect: cannot write the results: {exc.strerror}")
            raise self._lost from None


def printable(text: str) -> str:
    """Make any text fit for a terminal, whatever it contains: one line, ASCII, no controls."""
    return safe(text, _LONGEST)


def _takes_colours(stream: IO[str] | None) -> bool:
    if stream is None or not stream.isatty():
        return False
    return not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def _discard(stream: IO[str]) -> None:
    """Let what is still in the buffer go nowhere, or the interpreter complains at its exit."""
    try:
        descriptor = stream.fileno()
    except (OSError, ValueError):
        return  # not a real file
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)
