"""The floor of decisions leans on nothing that it could decide by itself with."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

from aioconnect import retry

from ..support import children

FOLDER = Path(retry.__file__).parent
ALLOWED = {
    "__future__",
    "collections",
    "difflib",
    "errno",
    "inspect",
    "itertools",
    "math",
    "os",  # getpid, to notice a fork
    "random",  # in functions only: for a preview, and where no rng was given
    "threading",
    "typing",
}


def imports(tree: ast.AST) -> set[str]:
    """Return the top-level names of what is imported absolutely."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            assert node.module is not None
            found.add(node.module.split(".")[0])
    return found


def test_no_loop_no_clock_no_socket() -> None:
    """And of the package's own files only the words."""
    for path in FOLDER.glob("*.py"):
        tree = ast.parse(path.read_text())
        assert imports(tree) <= ALLOWED, path.name
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.level == 2:
                named = {node.module} if node.module else {alias.name for alias in node.names}
                assert named <= {"causes", "errors", "table_others"}, path.name


def test_no_random_source_at_the_top() -> None:
    """``random`` costs more to import than the whole package."""
    for path in FOLDER.glob("*.py"):
        tree = ast.parse(path.read_text())
        top = ast.Module([node for node in tree.body if not isinstance(node, ast.FunctionDef)], [])
        at_import = {
            name
            for node in top.body
            if isinstance(node, ast.Import | ast.ImportFrom)
            for name in imports(node)
        }
        assert not at_import & {"random", "inspect", "difflib", "dataclasses"}, path.name


def test_importing_it_imports_nothing_else() -> None:
    """Beyond what asyncio and the words have anyway."""
    code = (
        "import sys, asyncio, aioconnect.causes, aioconnect.events\n"
        "before = set(sys.modules)\n"
        "import aioconnect.retry\n"
        "print(sorted(name for name in set(sys.modules) - before\n"
        "             if not name.startswith('aioconnect.retry')))"
    )
    done = children.run(
        [sys.executable, "-c", code],
        check=True,
        cwd=FOLDER.parents[1],
    )
    assert done.stdout.strip() == "[]"
