"""Every example of docs/retry.md runs, prints what it says it prints, and type-checks."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "retry.md"
FENCE = re.compile(
    r"^```python(?P<mark>[^\n]*)\n(?P<code>.*?)^```\n(?:\n```text\n(?P<prints>.*?)^```\n)?",
    re.MULTILINE | re.DOTALL,
)


class Example(NamedTuple):
    """A block of the page."""

    line: int
    code: str
    runs: bool
    """False if it needs a network: then it is only compiled, and type-checked."""
    prints: str
    needs: str | None
    """A package of somebody else's that it is about."""


def examples() -> list[Example]:
    """Return the blocks of the page in their order."""
    text = PAGE.read_text()
    found = []
    for match in FENCE.finditer(text):
        code = match["code"]
        foreign = re.search(r"^import (tenacity|stamina)$", code, re.MULTILINE)
        found.append(
            Example(
                line=text.count("\n", 0, match.start()) + 2,
                code=code,
                runs=match["mark"].strip() != "no-run",
                prints=match["prints"] or "",
                needs=foreign[1] if foreign else None,
            )
        )
    return found


def need(package: str | None) -> None:
    """Skip, for all to see, where a package is not installed."""
    if package is not None and importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed")


EXAMPLES = examples()


def test_the_page_has_its_examples() -> None:
    """None is lost by a fence that is not recognised."""
    assert len(EXAMPLES) == PAGE.read_text().count("```python") >= 12
    assert sum(example.runs for example in EXAMPLES) >= 10


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: f"line-{example.line}")
def test_an_example_runs(example: Example, capsys: pytest.CaptureFixture[str]) -> None:
    """With its assertions, and prints what the page says."""
    code = compile(example.code, f"{PAGE.name}:{example.line}", "exec", dont_inherit=True)
    if not example.runs:
        return
    need(example.needs)
    exec(code, {"__name__": "__main__"})
    assert capsys.readouterr().out == example.prints


def written(folder: Path) -> list[str]:
    """Write the examples to files, those that are about packages which are there."""
    paths = []
    for example in EXAMPLES:
        if example.needs is None or importlib.util.find_spec(example.needs) is not None:
            path = folder / f"line_{example.line}.py"
            path.write_text(example.code)
            paths.append(str(path))
    return paths


def test_the_examples_pass_mypy(tmp_path: Path) -> None:
    """Strictly."""
    need("mypy")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "mypy", "--strict", "--config-file=", "--no-error-summary"),
            *("--follow-imports=silent", f"--cache-dir={tmp_path / 'cache'}"),
            *written(tmp_path),
        ],
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_the_examples_pass_pyright(tmp_path: Path) -> None:
    """Strictly."""
    need("pyright")
    files = written(tmp_path)
    settings = {
        "include": files,
        "extraPaths": [str(ROOT)],
        "typeCheckingMode": "strict",
        "pythonVersion": f"{sys.version_info[0]}.{sys.version_info[1]}",
    }
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(settings))
    done = subprocess.run(
        [sys.executable, "-m", "pyright", "--pythonpath", sys.executable, "-p", str(tmp_path)],
        check=False,
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 errors" in done.stdout
