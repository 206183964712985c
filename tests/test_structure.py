"""The house: no circle of imports, no file or function too long, no name for two things.

What still breaks a rule is listed by name, and a list may not say what is no longer true: whoever
makes a file shorter takes it off.
"""

from __future__ import annotations

import ast
import importlib
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import aioconnect

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(aioconnect.__file__).parent
SOURCES = sorted(ROOT.rglob("*.py"))

MOST_LINES = {"file": 450, "class": 300, "function": 45}
"""Of a function without its docstring."""


@pytest.fixture(autouse=True)
def no_descriptor_is_left() -> None:
    """Nothing is opened here but files that are read whole."""


def dotted(path: Path) -> str:
    """Return the module's name."""
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts).removesuffix(".__init__")


TREES = {dotted(path): ast.parse(path.read_text(encoding="utf-8")) for path in SOURCES}
PACKAGES = {dotted(path) for path in SOURCES if path.name == "__init__.py"}


# Imports ------------------------------------------------------------------------------------------


def imported(module: str) -> set[str]:
    """Return the files of ours that a file imports: at its top, within functions, for types."""
    package = module if module in PACKAGES else module.rpartition(".")[0]
    found = set()
    for node in ast.walk(TREES[module]):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name in TREES}
        elif isinstance(node, ast.ImportFrom):
            levels = package.split(".")[: package.count(".") + 2 - node.level]
            base = ".".join([*(levels if node.level else []), *filter(None, [node.module])])
            for alias in node.names:
                inner = f"{base}.{alias.name}"
                found |= {inner if inner in TREES else base} & TREES.keys()
    return found


def circles(graph: dict[str, set[str]]) -> list[set[str]]:
    """Return the sets of files from each of which each other can be reached."""
    reached: dict[str, set[str]] = {}
    for start in graph:
        seen: set[str] = set()
        ahead = [start]
        while ahead:
            new = graph[ahead.pop()] - seen
            seen |= new
            ahead += new
        reached[start] = seen
    found: list[set[str]] = []
    for module, after in reached.items():
        if module in after and not any(module in circle for circle in found):
            found.append({other for other in after if module in reached[other]})
    return found


GENERATED = {"aioconnect.typed"}
"""What a script writes for type checkers, and nobody has to read: it names all, and is long."""

GRAPH = {module: imported(module) - GENERATED for module in TREES.keys() - GENERATED}


def test_no_file_leans_on_one_that_leans_on_it() -> None:
    """Also not within a function or for a type: a reader of one would have to read the other."""
    assert circles(GRAPH) == []


def test_a_circle_is_found_wherever_its_imports_stand() -> None:
    """The judge of the others: a chain is none, a loop of three is one."""
    assert circles({"a": {"b"}, "b": {"c"}, "c": set()}) == []
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == [{"a", "b", "c"}]
    assert "aioconnect.retry" in imported("aioconnect.chosen")  # within a function
    assert "aioconnect.errors" in imported("aioconnect.retry.limits")  # from the folder above
    assert "aioconnect.options" in imported("aioconnect.attempt")  # for types alone


# Sizes --------------------------------------------------------------------------------------------

LEFT_TOO_LONG = {"aioconnect.rounds.Rounds"}
"""Files, classes and functions that are longer than the rule today."""


def sizes() -> Iterator[tuple[str, str, int]]:
    """Yield what each file, class and function is, its name, and its lines."""
    for module in TREES.keys() - GENERATED:
        tree = TREES[module]
        yield "file", module, (ROOT.parent / path_of(module)).read_text().count("\n")
        yield from definitions(tree, module)


def path_of(module: str) -> Path:
    """Return a module's file."""
    inside = Path(*module.split("."))
    return inside / "__init__.py" if module in PACKAGES else inside.with_suffix(".py")


def definitions(tree: ast.AST, name: str) -> Iterator[tuple[str, str, int]]:
    """Walk over classes and functions, also within each other."""
    for node in ast.iter_child_nodes(tree):
        inner = name
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            inner = f"{name}.{node.name}"
            assert node.end_lineno is not None
            lines = node.end_lineno - node.lineno + 1
            if isinstance(node, ast.ClassDef):
                yield "class", inner, lines
            else:
                yield "function", inner, lines - docstring_lines(node)
        yield from definitions(node, inner)


def docstring_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Count the lines of a function's docstring."""
    if ast.get_docstring(node) is None:
        return 0
    first = node.body[0]
    assert first.end_lineno is not None
    return first.end_lineno - first.lineno + 1


TOO_LONG = {name for what, name, lines in sizes() if lines > MOST_LINES[what]}


def test_nothing_is_longer_than_a_reader_can_hold() -> None:
    """A file has one subject, a class one state, a function one thing to do."""
    assert set() == TOO_LONG - LEFT_TOO_LONG


@pytest.mark.parametrize("name", sorted(LEFT_TOO_LONG))
def test_what_is_listed_as_too_long_is(name: str) -> None:
    """What has become short, or is gone, leaves the list."""
    assert name in TOO_LONG


# Names --------------------------------------------------------------------------------------------

TWINS = {"EPILOG", "Dialer"}
"""What each command of the command line, or each side of the library, has under the same name."""


def defined() -> dict[str, dict[str, Any]]:
    """Return for each name of a constant, type or class the files that define it, and as what."""
    found: dict[str, dict[str, Any]] = defaultdict(dict)
    for module, tree in TREES.items():
        if module.endswith("__main__"):
            continue
        namespace = vars(importlib.import_module(module))
        for node in tree.body:
            for name in defines(node):
                if name.strip("_")[:1].isupper() and name not in TWINS:
                    found[name][module] = namespace[name]
    return found


def defines(node: ast.stmt) -> Iterator[str]:
    """Yield the names that a statement at the top of a file defines."""
    if isinstance(node, ast.ClassDef):
        yield node.name
    elif isinstance(node, ast.Assign | ast.AnnAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        for target in targets:
            yield from (n.id for n in ast.walk(target) if isinstance(n, ast.Name))


def in_two_minds() -> set[str]:
    """Return the names that are defined in several files, and not as the same."""
    return {
        name
        for name, homes in defined().items()
        if any(value != next(iter(homes.values())) for value in homes.values())
    }


def test_no_name_stands_for_two_things() -> None:
    """Constants, types and classes, with an underscore or without: a reader knows each at sight."""
    assert in_two_minds() == set()


def options() -> dict[str, set[str]]:
    """Return each keyword of the public surface with what it is typed as; None may be added."""
    found: dict[str, set[str]] = defaultdict(set)
    for module, tree in TREES.items():
        exported = getattr(importlib.import_module(module), "__all__", ())
        for node in tree.body:
            if (
                isinstance(node, ast.ClassDef)
                and node.name.endswith("Options")
                and node.name != "Options"
            ):  # which keeps them checked
                fields = [field for field in node.body if isinstance(field, ast.AnnAssign)]
                typed = [(ast.unparse(field.target), field.annotation) for field in fields]
            elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name in exported:
                typed = [(a.arg, a.annotation) for a in node.args.kwonlyargs if a.annotation]
            else:
                continue
            for name, annotation in typed:
                found[name].add(ast.unparse(annotation).strip("'").removesuffix(" | None"))
    return found


def test_an_option_is_the_same_wherever_it_is_taken() -> None:
    """Who knows ``timeout`` of one function knows it of all."""
    taken = options()
    assert "attempt_timeout" in taken
    assert {name: types for name, types in taken.items() if len(types) > 1} == {}
