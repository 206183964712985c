"""The console: where results, remarks and colours go, and what happens when nobody reads them.

On a terminal a status can stand below the results: one line on stderr that is drawn over the last
one.  Results are kept until the next drawing then, so that a thousand of them a second are not a
thousand drawings; whoever looks does not see a tenth of a second.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
from typing import IO, Final

from ..text import safe

__all__ = ["BOLD", "DIM", "GREEN", "RED", "YELLOW", "Console", "OutputLost", "printable"]

BOLD, DIM, RED, GREEN, YELLOW = "1", "2", "31", "32", "33"
"""SGR parameters (ECMA-48), understood by every terminal that has colours."""

_BROKEN_PIPE: Final = 128 + signal.SIGPIPE
_LONGEST: Final = 4000
_ERASE: Final = "\r\x1b[K"
"""Back to the first column, and erase to the end of the line (EL of ECMA-48)."""


class OutputLost(Exception):
    """What stands on stdout does not arrive; ``code`` is the exit code for it."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class Console:
    """Results on stdout, remarks on stderr.

    Attributes:
        colour: whether stdout is a terminal that takes colours: never with ``NO_COLOR`` set to
            anything (https://no-color.org) nor with ``TERM=dumb``.
        takes_status: whether stderr is a terminal on which a line can be drawn again.
    """

    def __init__(self) -> None:
        self._results = sys.stdout
        self._remarks = sys.stderr
        self._lost: OutputLost | None = None
        self._begins_line = False
        self._has_status = False
        self._shares_terminal = _is_terminal(self._results)
        self._kept: list[str] = []
        self.colour = _is_terminal(self._results) and not os.environ.get("NO_COLOR")
        self.takes_status = _is_terminal(self._remarks)

    def result(self, line: str = "") -> None:
        """Write one line to stdout, at once: a program behind the pipe may wait for it.

        Above a status, on a terminal, it comes with the next ``status`` or ``end_status``.

        Raises:
            OutputLost: it could not be written.
        """
        if self._has_status and self._shares_terminal and self._lost is None:
            self._kept.append(line + "\n")
        else:
            self._write(line + "\n")

    def remark(self, line: str) -> None:
        """Write one line to stderr, if there is anybody to read it."""
        self._tell(line + "\n")

    def status(self, line: str) -> None:
        """Draw the status, in place of the last one, below the results that were kept.

        Raises:
            OutputLost: the results could not be written.
        """
        self._write_kept()
        self._has_status = True
        # The cursor goes back, so that what others write stands where the status did.
        self._tell(f"\r{line[: _columns(self._remarks) - 1]}\x1b[K\r")

    def end_status(self) -> None:
        """Erase the status.

        Raises:
            OutputLost: the results that were kept could not be written.
        """
        if self._has_status:
            self._tell(_ERASE)
            self._has_status = False
            self._begins_line = True
        self._write_kept()

    def paint(self, text: str, colour: str) -> str:
        """Return the text in a colour, or as it is where there are none."""
        return f"\x1b[{colour}m{text}\x1b[0m" if self.colour and text else text

    def interrupted(self) -> None:
        """End the line on which a terminal has echoed ``^C``, if that was not erased."""
        if self._remarks is not None and self._remarks.isatty() and not self._begins_line:
            self.remark("")
        self._begins_line = True

    def finish(self) -> None:
        """Write out what argparse may have left in the buffer.

        Raises:
            OutputLost: it could not be written.
        """
        self._write("")

    def _write_kept(self) -> None:
        if self._kept:
            text = "".join(self._kept)
            self._kept.clear()
            self._tell(_ERASE)
            self._write(text)

    def _tell(self, text: str) -> None:
        try:
            if self._remarks is not None:  # None when the descriptor was closed from the start
                self._remarks.write(text)
                self._remarks.flush()
        except (OSError, ValueError):
            pass  # nobody is left to be told

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


def _is_terminal(stream: IO[str] | None) -> bool:
    """Whether it is a terminal that understands more than lines of text."""
    return stream is not None and stream.isatty() and os.environ.get("TERM") != "dumb"


def _columns(terminal: IO[str]) -> int:
    """Return how wide the terminal is now; some do not know."""
    try:
        return os.get_terminal_size(terminal.fileno()).columns or 80
    except (OSError, ValueError):
        return 80


def _discard(stream: IO[str]) -> None:
    """Let what is still in the buffer go nowhere, or the interpreter complains at its exit."""
    try:
        descriptor = stream.fileno()
    except (OSError, ValueError):
        return  # not a real file
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)
