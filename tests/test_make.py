"""``make`` on a fresh machine: what there is, and a virtual environment that never half-exists.

The Python that is called here is a script that does what the real one does to files, so that no
test waits for pip.
"""

from __future__ import annotations

import re
import shutil
from typing import TYPE_CHECKING

import pytest

from .support import children
from .support.children import ROOT
from .support.needs import needs

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

pytestmark = needs("make", str(ROOT / "Makefile"))

PYTHON = """#!/bin/sh
has_pip={pip}
case "$*" in
    *version_info*) echo {version} ;;
    "-m pip "*) [ $has_pip = yes ] && echo "python $*" ;;
    "-m venv"*)
        for folder; do :; done
        mkdir -p $folder/bin
        cp "$0" $folder/bin/python
        [ $has_pip = yes ] || {{ echo "ensurepip is not available" >&2; exit 1; }} ;;
    *) echo "python $*" ;;
esac
"""


class Checkout:
    """A folder with the Makefile, and a Python that it is given."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        shutil.copy(ROOT / "Makefile", folder)
        shutil.copy(ROOT / "pyproject.toml", folder)

    def python(self, name: str, version: str = "3.11", *, pip: bool = True) -> None:
        """Put a Python there; without pip it is Debian's without python3-venv."""
        path = self.folder / name
        path.write_text(PYTHON.format(version=version, pip="yes" if pip else "no"))
        path.chmod(0o755)

    def make(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run make."""
        return children.run(["make", *arguments], cwd=self.folder)


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    """Give a fresh one."""
    return Checkout(tmp_path)


def test_make_alone_lists_every_target(checkout: Checkout) -> None:
    """With a sentence each, and does nothing."""
    done = checkout.make()
    assert done.returncode == 0
    listed = dict(re.findall(r"^  ([a-z-]+)\t(.+)$", done.stdout, re.MULTILINE))
    text = (ROOT / "Makefile").read_text()
    phony = re.search(r"^\.PHONY: (.*)$", text, re.MULTILINE)
    assert phony is not None
    assert listed.keys() == set(phony[1].split()) - {"python-is-that-of-the-venv"}
    assert not (checkout.folder / ".venv").exists()


def test_the_first_make_installs_and_the_second_does_not(checkout: Checkout) -> None:
    """What was installed is remembered."""
    checkout.python("python")
    first = checkout.make("demo", "PYTHON=./python")
    assert first.returncode == 0, first.stderr
    assert "pip install --quiet --editable ." in first.stdout
    assert first.stdout.endswith("python -m aioconnect demo\n")
    second = checkout.make("demo", "PYTHON=./python")
    assert "pip" not in second.stdout


def test_a_venv_that_failed_half_way_does_not_poison_the_next_try(checkout: Checkout) -> None:
    """Debian without python3-venv leaves one without pip behind."""
    checkout.python("python", pip=False)
    failed = checkout.make("demo", "PYTHON=./python")
    assert failed.returncode != 0
    assert "ensurepip is not available" in failed.stderr
    assert (checkout.folder / ".venv/bin/python").exists()
    checkout.python("python")  # apt-get install python3-venv
    assert checkout.make("demo", "PYTHON=./python").returncode == 0


def test_a_venv_that_works_is_taken_as_it_is(checkout: Checkout) -> None:
    """Somebody made it by hand, and keeps what they have in it."""
    checkout.python("python")
    children.run([checkout.folder / "python", "-m", "venv", checkout.folder / ".venv"])
    (checkout.folder / ".venv/mine").touch()
    assert checkout.make("demo", "PYTHON=./python").returncode == 0
    assert (checkout.folder / ".venv/mine").exists()


def test_another_python_over_an_older_venv_is_refused(checkout: Checkout) -> None:
    """It would silently be the older one that runs."""
    checkout.python("python3.11", "3.11")
    checkout.python("python3.12", "3.12")
    assert checkout.make("demo", "PYTHON=./python3.11").returncode == 0
    refused = checkout.make("demo", "PYTHON=./python3.12")
    assert refused.returncode != 0
    assert ".venv was made with Python 3.11, and ./python3.12 is 3.12" in refused.stderr
    assert "VENV=.venv-3.12" in refused.stderr
    assert checkout.make("demo", "PYTHON=./python3.12", "VENV=.venv-3.12").returncode == 0
    assert checkout.make("demo").returncode == 0, "without PYTHON= the one that is there goes on"


def test_a_python_that_is_too_old_says_so(checkout: Checkout) -> None:
    """Before anything is made."""
    old = checkout.folder / "python"
    old.write_text('#!/bin/sh\nexec python3 -c "import sys; sys.version_info = (3, 10); $2"\n')
    old.chmod(0o755)
    done = checkout.make("demo", "PYTHON=./python")
    assert done.returncode != 0
    assert "aioconnect needs Python 3.11 or newer" in done.stderr
