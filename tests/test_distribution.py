"""What is installed, under which name: pyproject, pages and messages say the same.

The package index has another project called ``aioconnect``, which installs a folder of that name
too.  Whoever is told to install something must be told :data:`DISTRIBUTION`.
"""

from __future__ import annotations

import ast
import re
import tomllib
from typing import TYPE_CHECKING, Any

import pytest

import aioconnect
from aioconnect.about import DISTRIBUTION

from .support.children import ROOT
from .support.needs import needs

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = needs(str(ROOT / "pyproject.toml"))

PACKAGE = ROOT / "aioconnect"
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "benchmarks").glob("*.md")]
SOURCES = sorted(PACKAGE.rglob("*.py"))


def project() -> dict[str, Any]:
    """Return the table of the project."""
    table: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return table


def strings(path: Path) -> list[str]:
    """Return the strings of a file, with the names that stand in their braces."""
    return [
        ast.unparse(node)
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.JoinedStr | ast.Constant)
    ]


def test_the_project_has_the_name() -> None:
    """And its extra for everything is made of its own extras."""
    assert project()["name"] == DISTRIBUTION
    extras = project()["optional-dependencies"]
    assert extras["all"] == [f"{DISTRIBUTION}[{','.join(sorted(extras.keys() - {'all'}))}]"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_tells_nobody_to_install_the_other_project(page: Path) -> None:
    """An install line names this checkout or the distribution, with extras that exist."""
    text = page.read_text()
    for words in re.findall(r"pip install +([^\n`]+)", text):
        for word in words.split():
            assert re.match(rf"-|'?\.|'?{DISTRIBUTION}\b", word), words
    for extra in re.findall(rf"(?:{DISTRIBUTION}|\.)\[([\w,]+)\]", text):
        assert set(extra.split(",")) <= project()["optional-dependencies"].keys()
    assert not re.search(r"\baioconnect\[", text)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_message_tells_nobody_to_install_the_other_project(path: Path) -> None:
    """It takes the name from the one place that has it."""
    for text in strings(path):
        found = re.findall(r"\binstall (\S+?)(?:\[(\w+)\])?[,.'\")]", text)
        for name, extra in found:
            assert name == "{DISTRIBUTION}", text
            assert extra in project()["optional-dependencies"]
    if path.name != "about.py":
        assert DISTRIBUTION not in path.read_text()


def test_two_messages_name_an_extra() -> None:
    """Or the test above would prove nothing."""
    texts = [text for path in SOURCES for text in strings(path)]
    assert sum("install {DISTRIBUTION}[" in text for text in texts) >= 2


def test_an_extra_installs_only_what_is_imported() -> None:
    """By this package: what a program chooses for itself, such as uvloop, it installs itself."""
    imported = set()
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                imported |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.Call) and ast.unparse(node.func) == "import_module":
                imported |= {ast.unparse(argument).strip("'") for argument in node.args}
    extras = project()["optional-dependencies"]
    packages = {each for extra in extras if extra != "all" for each in extras[extra]}
    assert {re.split(r"\W", package)[0] for package in packages} <= imported


def test_the_readme_says_how_to_install_until_it_is_published() -> None:
    """From a checkout; and that the other project must go first."""
    text = (ROOT / "README.md").read_text()
    assert f"`{DISTRIBUTION}`" in text
    assert "pip install ." in text
    assert "pip uninstall aioconnect" in text


def test_the_version_is_in_one_place_and_has_a_section_in_the_changelog() -> None:
    """``aioconnect.__version__``, from which the build takes it."""
    assert project()["dynamic"] == ["version"]
    assert "version" not in project()
    assert (PACKAGE / "__init__.py").read_text().count(aioconnect.__version__) == 1
    changes = (ROOT / "CHANGELOG.md").read_text()
    first = re.search(r"^## (\d+\.\d+\.\d+)", changes, re.MULTILINE)
    assert first is not None
    assert first[1] == aioconnect.__version__


def test_a_python_is_claimed_only_where_the_proof_runs_on_it() -> None:
    """The classifiers are the oldest Python and what ``.ci/run`` names."""
    claimed = {
        classifier.rpartition(" ")[2]
        for classifier in project()["classifiers"]
        if re.search(r":: 3\.\d+$", classifier)
    }
    oldest = project()["requires-python"].removeprefix(">=")
    found = re.search(r"for version in ([\d. ]+);", (ROOT / ".ci/run").read_text())
    assert found is not None
    assert claimed == {oldest, *found[1].split()}


def test_links_of_the_readme_work_outside_the_repository() -> None:
    """On the page of the index too: each is absolute, and names a file that is here."""
    text = (ROOT / "README.md").read_text()
    links = re.findall(r"\]\(([^)\s]+)\)|^\[\w+\]: (\S+)$", text, re.MULTILINE)
    assert links
    base = project()["urls"]["Homepage"] + "/blob/main/"
    for link in map("".join, links):
        assert link.startswith("https://"), link
        if link.startswith(base):
            assert (ROOT / link.removeprefix(base)).is_file(), link


def test_the_recipes_name_files_that_are_there() -> None:
    """The layout may change, and the recipes with it."""
    text = (ROOT / "CONTRIBUTING.md").read_text()
    paths = re.findall(r"`((?:aioconnect|tests|docs)/[\w/.]+)`", text)
    assert len(paths) > 20
    for path in paths:
        assert (ROOT / path).exists(), path


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_relative_link_names_a_file_that_is_there(page: Path) -> None:
    """Between the pages of the repository."""
    for link in re.findall(r"\]\(([^)\s#]+)[^)]*\)", page.read_text()):
        if link.startswith(("https://", "http://")) or "/plots/" in f"/{link}":
            continue  # the source distribution has no plots
        assert (page.parent / link).exists(), link
