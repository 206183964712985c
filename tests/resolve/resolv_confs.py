"""Odd resolv.conf files: which servers are asked, by which names, by libc and by us.

Every server says SERVFAIL, so every server is asked, and every name of the search list.
``asked`` is the outer side, ``python -m tests.resolve.resolv_confs`` the inner one.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aioconnect.resolve import AiodnsResolver
from aioconnect.resolve.answers import FAMILIES
from aioconnect.resolve.base import lookup_name

from ..support.children import ROOT, started
from .dns import SERVFAIL, Send, Server, reply
from .worlds import own_files, together

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from .dns import Question

SERVERS = ("127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.4", "::1")
NAMES = ("one", "two.b", "three.b.", "four.b.c.d")
INNER = ["unshare", "-m", "-n", "-u", sys.executable, "-m", "tests.resolve.resolv_confs"]


def asked(files: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return what libc and what we ask for, with each file.

    Each is the text, the environment and the host's name; of each name asked for there are the
    servers and the full names, in the order in which they were first asked.
    """
    with started(
        INNER, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as process:
        said, _ = process.communicate(json.dumps(files))
    assert process.returncode == 0, said
    found: list[dict[str, Any]] = json.loads(said)
    return found


# The inner side ----------------------------------------------------------------------------------


def main() -> None:
    """Try each file that is given."""
    seen: list[tuple[str, str]] = []

    def script(host: str) -> Callable[[Question], Iterator[Send]]:
        def answer(question: Question) -> Iterator[Send]:
            seen.append((host, question.name.lower()))
            yield Send(reply(question, rcode=SERVFAIL))

        return answer

    def traced(ask: Callable[[str], None], environment: Mapping[str, str]) -> Any:
        def child() -> None:
            os.environ.update(environment)
            for name in NAMES:
                with suppress(OSError):
                    ask(name)

        seen.clear()
        together([child])
        found = {}
        for name in NAMES:
            first = name.partition(".")[0]
            of_name = [(host, full) for host, full in seen if full.partition(".")[0] == first]
            found[name] = [
                list(dict.fromkeys(host for host, _ in of_name)),
                list(dict.fromkeys(full for _, full in of_name)),
            ]
        return found

    outcomes = []
    with ExitStack() as stack:
        stack.enter_context(own_files())
        Path("/etc/nsswitch.conf").write_text("hosts: dns\n")
        for host in SERVERS:
            stack.enter_context(Server(script(host), host=host, port=53))
        for each in json.load(sys.stdin):
            socket.sethostname(each["hostname"])
            Path("/etc/resolv.conf").write_text(each["text"])
            environment = each["environment"]
            outcomes.append({"libc": traced(libc, environment), "ours": traced(ours, environment)})
    sys.stdout.write(json.dumps(outcomes))


def libc(name: str) -> None:
    """Ask libc."""
    socket.getaddrinfo(name, 80, socket.AF_UNSPEC, socket.SOCK_STREAM)


def ours(name: str) -> None:
    """Ask by DNS ourselves."""

    async def search() -> None:
        async for _ in lookup_name(AiodnsResolver(), name, FAMILIES):
            pass

    asyncio.run(search())


if __name__ == "__main__":
    main()
