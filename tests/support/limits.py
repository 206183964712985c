"""Limits, users, sandboxes: what the kernel refuses, and to whom."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import platform
import resource
import shutil
import struct
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .needs import need, skip
from .networks import libc, run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NOBODY = 65534
"""A user that owns nothing."""


@contextmanager
def few_descriptors(spare: int = 0) -> Iterator[None]:
    """Let this process open exactly ``spare`` more descriptors (RLIMIT_NOFILE)."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    held = [os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC) for _ in range(spare + 1)]
    limit = max(held)
    for descriptor in held:
        os.close(descriptor)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@contextmanager
def other_user() -> Iterator[None]:
    """Do what follows as the user nobody, without any capability."""
    need("root")
    os.setegid(NOBODY)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)


@contextmanager
def open_directory() -> Iterator[Path]:
    """Give a new directory that any user may enter (pytest's ``tmp_path`` lets only its owner)."""
    path = Path(tempfile.mkdtemp(prefix="aioconnect-"))
    path.chmod(0o755)
    try:
        yield path
    finally:
        shutil.rmtree(path)


@contextmanager
def read_only_file_system(path: Path, *files: str) -> Iterator[None]:
    """Mount an empty read-only file system at ``path``, with these files in it."""
    need("root", "mount")
    command = ["mount", "-t", "tmpfs", "tmpfs", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        skip("a mount", done.stderr.strip())
    try:
        for name in files:
            (path / name).touch()
        run("mount", "-o", "remount,ro", str(path))
        yield
    finally:
        run("umount", str(path))


@contextmanager
def immutable(path: Path) -> Iterator[None]:
    """Make a file immutable, as ``chattr +i`` does."""
    need("root")
    descriptor = os.open(path, os.O_RDONLY)
    set_flags, immutable_flag = 0x40086602, 0x10  # FS_IOC_SETFLAGS, FS_IMMUTABLE_FL
    try:
        try:
            fcntl.ioctl(descriptor, set_flags, struct.pack("l", immutable_flag))
        except OSError as exc:
            skip("immutable files", str(exc))
        try:
            yield
        finally:
            fcntl.ioctl(descriptor, set_flags, struct.pack("l", 0))
    finally:
        os.close(descriptor)


_SYSCALLS = {
    "x86_64": {"socket": 41, "connect": 42, "bind": 49},
    "aarch64": {"socket": 198, "bind": 200, "connect": 203},
}


def sandboxed(
    function: Callable[[], Any], syscall: str, number: int, *, first_argument: int | None = None
) -> Any:
    """Call ``function`` in a thread to which the kernel answers ``syscall`` with ``number``.

    This is seccomp(2), what systemd's ``SystemCallFilter=`` and ``RestrictAddressFamilies=`` and
    every container runtime use.  A filter cannot be taken off a thread, hence the thread.  With
    ``first_argument`` only calls with that first argument fail.
    """
    numbers = _SYSCALLS.get(platform.machine())
    if numbers is None or not sys.platform.startswith("linux"):
        skip("seccomp", "the numbers of this machine's system calls are not known")
    matches = [(0x20, 0, 0, 0), (0x15, 0, 1, numbers[syscall])]  # load the call's number, compare
    if first_argument is not None:
        matches = [(0x20, 0, 0, 0), (0x15, 0, 3, numbers[syscall])]
        matches += [(0x20, 0, 0, 16), (0x15, 0, 1, first_argument)]
    program = [*matches, (0x06, 0, 0, 0x00050000 | number), (0x06, 0, 0, 0x7FFF0000)]
    instructions = ctypes.create_string_buffer(
        b"".join(struct.pack("HBBI", *instruction) for instruction in program)
    )
    filter_ = ctypes.create_string_buffer(
        struct.pack("HxxxxxxP", len(program), ctypes.addressof(instructions))
    )

    def run() -> Any:
        no_new_privileges, set_seccomp, mode_filter = 38, 22, 2
        libc("prctl", no_new_privileges, 1, 0, 0, 0)
        try:
            libc("prctl", set_seccomp, mode_filter, filter_, 0, 0)
        except OSError as exc:
            if exc.errno in (errno.EINVAL, errno.ENOSYS, errno.EPERM):
                skip("seccomp", str(exc))
            raise
        return function()

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(run).result()
