"""Every example of these pages runs, prints what it says it prints, and type-checks."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from .net import listen, refusing
from .support import children
from .support.children import ROOT
from .support.needs import lacking, need, needs

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGES = [ROOT / "docs" / name for name in ("many.md", "retry.md")]
FENCE = re.compile(
    r"^```python(?P<mark>[^\n]*)\n(?P<code>.*?)^```\n(?:\n```text\n(?P<prints>.*?)^```\n)?",
    re.MULTILINE | re.DOTALL,
)


class Example(NamedTuple):
    """A block of a page."""

    page: Path
    line: int
    code: str
    runs: bool
    """False if it needs a network: then it is only compiled, and type-checked."""
    prints: str
    needs: list[str]
    """A package of somebody else's that it is about."""


def examples(page: Path) -> list[Example]:
    """Return the blocks of a page in their order."""
    text = page.read_text()
    found = []
    for match in FENCE.finditer(text):
        code = match["code"]
        foreign = re.search(r"^import (tenacity|stamina)$", code, re.MULTILINE)
        found.append(
            Example(
                page=page,
                line=text.count("\n", 0, match.start()) + 2,
                code=code,
                runs=match["mark"].strip() != "no-run",
                prints=match["prints"] or "",
                needs=[foreign[1]] if foreign else [],
            )
        )
    return found


EXAMPLES = [example for page in PAGES for example in examples(page)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_page_has_its_examples(page: Path) -> None:
    """None is lost by a fence that is not recognised."""
    found = examples(page)
    assert len(found) == page.read_text().count("```python") >= 6
    assert sum(example.runs for example in found) >= 6


@pytest.fixture
def fleet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Write the files that examples read, with three targets that answer and one that does not."""
    with listen() as server, refusing() as nobody:
        hosts = [*[server.getsockname()] * 3, nobody]
        monkeypatch.chdir(tmp_path)
        Path("hosts.txt").write_text("".join(f"{host}:{port}\n" for host, port in hosts))
        Path("fleet.csv").write_text("".join(f"name,{host},{port}\n" for host, port in hosts))
        yield


@pytest.mark.usefixtures("fleet")
@pytest.mark.parametrize(
    "example", EXAMPLES, ids=lambda example: f"{example.page.stem}-line-{example.line}"
)
def test_an_example_runs(example: Example, capsys: pytest.CaptureFixture[str]) -> None:
    """With its assertions, and prints what the page says."""
    where = f"{example.page.name}:{example.line}"
    code = compile(example.code, where, "exec", dont_inherit=True)
    if not example.runs:
        return
    need(*example.needs)
    exec(code, {"__name__": "__main__"})
    assert capsys.readouterr().out == example.prints


def written(folder: Path) -> list[str]:
    """Write the examples to files, those that are about packages which are there."""
    paths = []
    for example in EXAMPLES:
        if not any(map(lacking, example.needs)):
            path = folder / f"{example.page.stem}_line_{example.line}.py"
            path.write_text(example.code)
            paths.append(str(path))
    return paths


@needs("mypy")
def test_the_examples_pass_mypy(tmp_path: Path) -> None:
    """Strictly."""
    done = children.run(
        [
            *(sys.executable, "-m", "mypy", "--strict", "--config-file=", "--no-error-summary"),
            *("--follow-imports=silent", f"--cache-dir={tmp_path / 'cache'}"),
            *written(tmp_path),
        ],
        cwd=ROOT,
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
        "pythonVersion": f"{sys.version_info[0]}.{sys.version_info[1]}",
    }
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(settings))
    done = children.run(
        [sys.executable, "-m", "pyright", "--pythonpath", sys.executable, "-p", str(tmp_path)],
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 errors" in done.stdout
