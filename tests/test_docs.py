"""Every example of these pages runs, prints what the page says, and type-checks.

A block of Python or of shell commands runs as it stands.  What else it needs is in its marker, the
rest of the line that opens it:

- ``python network: db1 db2`` has these names, and servers behind them (:data:`NETWORK`);
- ``python no-run: the reason`` is only compiled and type-checked.
"""

from __future__ import annotations

import ast
import json
import re
import shlex
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from .resolve.lab import Lab
from .support import children
from .support.children import ROOT
from .support.needs import lacking, needs
from .support.servers import listen, refusing

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.environment

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]

NOT_RUN = [
    ("README.md", "the tests would run themselves"),
    ("README.md", "it changes the environment that runs it"),
    ("CONTRIBUTING.md", "the tests would run themselves"),
    ("CONTRIBUTING.md", "it changes the machine that runs it"),
    ("clients.md", "it needs httpcore, which is another project's"),
    ("clients.md", "it needs aiohttp, which is another project's"),
    ("clients.md", "httpx is another project's"),
    ("clients.md", "anyio is another project's"),
]
"""The blocks that cannot run, and why."""

FENCE = re.compile(
    r"^```(?P<language>\w*)(?: (?P<marker>[^\n]+))?\n(?P<code>.*?)^```\n"
    r"(?:\n(?:prints\n\n)?```text\n(?P<prints>.*?)^```\n)?",
    re.MULTILINE | re.DOTALL,
)
OTHER_WORDS = {"bash", "console", "pycon", "py", "python3", "shell", "pytb"}
"""Names of languages under which a block would escape these tests."""


class Example(NamedTuple):
    """A block of a page."""

    page: str
    line: int
    language: str
    marker: str
    code: str
    prints: str

    @property
    def id(self) -> str:
        """Return where it stands."""
        return f"{self.page.removesuffix('.md')}-line-{self.line}"

    @property
    def awaits(self) -> bool:
        """Whether it is for the prompt of ``python -m asyncio``."""
        return bool(re.search(r"^(\w.*)?\bawait\b", self.code, re.MULTILINE))

    @property
    def needs(self) -> list[str]:
        """Return what it needs beyond what the tests have anyway."""
        found = re.findall(r"^import (stamina|tenacity)$", self.code, re.MULTILINE)
        network = ["mount namespace", "veth"] if self.names is not None else []
        return [*found, *network, *(["ipv6"] if "::1" in self.prints else [])]

    @property
    def names(self) -> list[str] | None:
        """Return the hosts of the network in which it runs, if it needs one."""
        kind, _, rest = self.marker.partition(":")
        return rest.split() if kind == "network" else None

    def compile(self) -> object:
        """Compile Python."""
        flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT if self.awaits else 0
        return compile(self.code, f"{self.page}:{self.line}", "exec", flags, dont_inherit=True)


def examples(page: Path) -> list[Example]:
    """Return the blocks of a page in their order."""
    text = page.read_text()
    return [
        Example(
            page=page.name,
            line=text.count("\n", 0, match.start()) + 2,
            language=match["language"],
            marker=match["marker"] or "",
            code=match["code"],
            prints=match["prints"] or "",
        )
        for match in FENCE.finditer(text)
        if match["language"] in ("python", "sh")
    ]


EXAMPLES = [example for page in PAGES for example in examples(page)]
PYTHON = [example for example in EXAMPLES if example.language == "python"]
RUN = [example for example in EXAMPLES if not example.marker.startswith("no-run")]

each = pytest.mark.parametrize(
    "example", [pytest.param(each, id=each.id, marks=needs(*each.needs)) for each in RUN]
)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_no_block_is_lost_by_a_fence_that_is_not_recognised(page: Path) -> None:
    """By another name of the language, or an indented fence."""
    text = page.read_text()
    assert len(examples(page)) == len(re.findall(r"^\s*```(?:python|sh)\b", text, re.MULTILINE))
    assert not OTHER_WORDS & set(re.findall(r"^\s*```(\w+)", text, re.MULTILINE))


def test_what_cannot_run_says_why() -> None:
    """And is listed here."""
    markers = [(each.page, *each.marker.split(": ", 1)) for each in EXAMPLES if each not in RUN]
    assert [(page, *why) for page, _, *why in markers] == NOT_RUN
    assert {example.marker.partition(":")[0] for example in RUN} <= {"", "network"}


@pytest.fixture
def fleet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Write the files that examples read, with three targets that answer and one that does not."""
    with listen() as server, refusing() as nobody:
        hosts = [*[server.getsockname()] * 3, nobody]
        monkeypatch.chdir(tmp_path)
        Path("hosts.txt").write_text("".join(f"{host}:{port}\n" for host, port in hosts))
        Path("fleet.csv").write_text("".join(f"name,{host},{port}\n" for host, port in hosts))
        yield


NETWORK = """
import asyncio, inspect, os, socket, subprocess, sys

subprocess.run(["mount", "-t", "tmpfs", "none", "/run"], check=True)
os.makedirs("/run/postgresql")
servers = [socket.create_server(("0.0.0.0", 5432)), socket.create_server(("::1", 80), family=10)]
for path in ("/run/x.sock", "/run/postgresql/.s.PGSQL.5432"):
    servers.append(socket.socket(socket.AF_UNIX))
    servers[-1].bind(path)
    servers[-1].listen()
with open("hosts.txt", "w") as hosts:
    hosts.write("127.0.0.1:5432\\n" * 4)
flags, code = {flags}, {code!r}
if code.startswith("#!"):
    done = subprocess.run(["sh", "-ec", code])
    sys.exit(done.returncode)
made = eval(compile(code, "example", "exec", flags), {{"__name__": "__main__"}})
if inspect.iscoroutine(made):
    asyncio.run(made)
"""
"""What runs in the network namespace of a lab, before the example and around it."""


def run_in_a_network(example: Example, folder: Path) -> str:
    """Run an example where the hosts that it names are there; return all that it wrote."""
    hosts = "127.0.0.1 localhost\n::1 localhost\n"
    hosts += "".join(f"127.0.0.1 {name}\n" for name in example.names or ())
    code = example.code if example.language == "python" else f"#!/bin/sh\n{shell(example)}"
    flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT if example.awaits else 0
    script = f"import os; os.chdir({str(folder)!r})\n" + NETWORK.format(flags=flags, code=code)
    with Lab(hosts=hosts) as lab:
        return str(lab.call("run", script=script))


def shell(example: Example) -> str:
    """Return shell commands for which ``aioconnect`` is a command, as it is when installed."""
    command = shlex.join([sys.executable, "-m", "aioconnect"])
    return f'aioconnect() {{ {command} "$@"; }}\n{example.code}'


@pytest.mark.usefixtures("fleet")
@each
def test_an_example_runs(
    example: Example, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With its assertions, and prints what the page says."""
    if example.names is not None:
        said = run_in_a_network(example, tmp_path)
        assert "Traceback" not in said
        assert "fail " not in said
    elif example.language == "sh":
        done = children.run(["sh", "-ec", shell(example)])
        assert done.returncode == 0, done.stderr
        said = done.stdout
    else:
        exec(example.compile(), {"__name__": "__main__"})
        said = capsys.readouterr().out
    if example.prints or example.names is None:
        assert without_durations(said) == without_durations(example.prints)


def without_durations(text: str) -> str:
    """Replace every time that a machine may need longer or shorter for."""
    return re.sub(r"\b\d+(\.\d+)? m?s\b", "some time", text)


# Types --------------------------------------------------------------------------------------------


def written(folder: Path) -> list[str]:
    """Write the examples to files, those that are about packages which are there."""
    names = []
    for example in PYTHON:
        if "from tests." in example.code:  # which is for contributors, and the tests have no types
            continue
        packages = [need for need in example.needs if need in ("stamina", "tenacity")]
        if any(map(lacking, packages)):
            continue
        code = example.code
        if example.awaits:
            code = "async def prompt() -> None:\n" + textwrap.indent(code, "    ")
        names.append(f"{example.id.replace('-', '_')}.py")
        (folder / names[-1]).write_text(code)
    return names


@needs("mypy")
def test_the_examples_pass_mypy(tmp_path: Path) -> None:
    """Strictly."""
    done = children.run(
        [
            *(sys.executable, "-m", "mypy", "--strict", "--config-file=", "--no-error-summary"),
            *("--follow-imports=silent", f"--cache-dir={tmp_path / 'cache'}"),
            *written(tmp_path),
        ],
        cwd=tmp_path,
        timeout=110,
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@needs("pyright")
def test_the_examples_pass_pyright(tmp_path: Path) -> None:
    """Strictly."""
    files = written(tmp_path)
    settings = {
        "include": files,
        "extraPaths": [str(ROOT)],
        "typeCheckingMode": "strict",
        "reportUnusedVariable": False,  # what a call returns is shown, not used
        "pythonVersion": f"{sys.version_info[0]}.{sys.version_info[1]}",
    }
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(settings))
    done = children.run(
        [sys.executable, "-m", "pyright", "--pythonpath", sys.executable, "-p", str(tmp_path)],
        cwd=tmp_path,
        timeout=110,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 errors" in done.stdout
