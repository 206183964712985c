"""Run a command to which the kernel says EAFNOSUPPORT for every AF_INET6 socket (seccomp)."""

import ctypes
import errno
import os
import platform
import socket
import struct
import sys

SOCKET = {"x86_64": 41, "aarch64": 198}[platform.machine()]
NO_NEW_PRIVILEGES, SET_SECCOMP, MODE_FILTER = 38, 22, 2
ALLOW, ERRNO = 0x7FFF0000, 0x00050000

program = [
    (0x20, 0, 0, 0),  # load the number of the system call
    (0x15, 0, 3, SOCKET),
    (0x20, 0, 0, 16),  # load its first argument
    (0x15, 0, 1, socket.AF_INET6),
    (0x06, 0, 0, ERRNO | errno.EAFNOSUPPORT),
    (0x06, 0, 0, ALLOW),
]
instructions = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *each) for each in program))
filter_ = ctypes.create_string_buffer(
    struct.pack("HxxxxxxP", len(program), ctypes.addressof(instructions))
)
libc = ctypes.CDLL(None, use_errno=True)
for call in (
    (NO_NEW_PRIVILEGES, 1, 0, 0, 0),
    (SET_SECCOMP, MODE_FILTER, filter_, 0, 0),
):
    if libc.prctl(*call) != 0:
        sys.exit(f"no seccomp here: {os.strerror(ctypes.get_errno())}")
os.execvp(sys.argv[1], sys.argv[1:])  # noqa: S606
