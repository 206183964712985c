"""Programs that tests start: a clean environment, the signals' defaults, and an end.

What a developer has set for their own shell must not change what a child prints, and what the
shell ignores (a job in the background has no SIGINT) must not make a child deaf.
"""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

ROOT = Path(__file__).parents[2]

PATIENCE = 30.0
"""Seconds after which a program hangs."""

_KEPT = {"PYTHONDONTWRITEBYTECODE", "PYTHONHOME", "PYTHONPYCACHEPREFIX"}
_TAKEN = {
    "CLICOLOR",
    "CLICOLOR_FORCE",
    "COLUMNS",
    "FORCE_COLOR",
    "HOSTALIASES",
    "LANGUAGE",
    "LINES",
    "LOCALDOMAIN",
    "MFLAGS",
    "NO_COLOR",
    "RES_OPTIONS",
    "SSLKEYLOGFILE",
    "VENV",
}
_TAKEN_BEGINNINGS = ("AIOCONNECT_", "LC_", "MAKE", "MALLOC_", "PYTHON", "PYTEST_")


def environment(changes: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return this process's environment without what changes a program's behaviour.

    This checkout is first on the child's path, as it is on ours.
    """
    plain = {
        name: value
        for name, value in os.environ.items()
        if name in _KEPT or not (name in _TAKEN or name.startswith(_TAKEN_BEGINNINGS))
    }
    path = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    fixed = {"LANG": "C.UTF-8", "TERM": "xterm", "PYTHONPATH": os.pathsep.join(path)}
    return {**plain, **fixed, **(changes or {})}


@contextmanager
def started(
    command: Sequence[str | bytes | os.PathLike[str]],
    *,
    env: Mapping[str, str] | None = None,
    **options: Any,
) -> Iterator[subprocess.Popen[Any]]:
    """Start a program, which ends with the block: by itself, or it is killed.

    Args:
        command: the program and its arguments.
        env: changes to :func:`environment`.
        options: as for ``subprocess.Popen``.
    """
    with subprocess.Popen(command, env=environment(env), **options) as process:
        try:
            yield process
            process.wait(PATIENCE)
        except BaseException:
            process.kill()
            raise


def run(
    command: Sequence[str | bytes | os.PathLike[str]],
    *,
    env: Mapping[str, str] | None = None,
    timeout: float = 60,
    **options: Any,
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end, and return what it wrote; it is killed after ``timeout``.

    Args:
        command: the program and its arguments.
        env: changes to :func:`environment`.
        timeout: seconds.
        options: as for ``subprocess.run``; both outputs are captured as text by default.
    """
    if not {"stdout", "stderr"} & options.keys():
        options["capture_output"] = True
    if not {"stdin", "input"} & options.keys():
        options["stdin"] = subprocess.DEVNULL
    options = {"text": True, "check": False, **options}
    return subprocess.run(command, env=environment(env), timeout=timeout, **options)


def give_default_signals() -> None:
    """Let the programs that are started from now on have every signal at its default.

    A job of the background, of nohup, of cron has signals ignored, and hands that down.  One that
    is caught is not handed down: this process catches it, and goes on as if it ignored it.
    """
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGTSTP):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, lambda *_: None)
