"""The shape of the package: what is public, what is loaded, what leans on what."""

from __future__ import annotations

import ast
import importlib
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

import aioconnect

from .support import children

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(aioconnect.__file__).parent
SOURCES = sorted(path for path in ROOT.rglob("*.py") if path.name != "__main__.py")


@pytest.fixture(autouse=True)
def no_descriptor_is_left() -> None:
    """Nothing is opened here but files that are read whole."""


def dotted(path: Path) -> str:
    """Return the module's name."""
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts).removesuffix(".__init__")


def parsed(path: Path) -> ast.Module:
    """Return the module's syntax tree."""
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def each(paths: list[Path]) -> Any:
    return pytest.mark.parametrize("path", [pytest.param(path, id=dotted(path)) for path in paths])


# Public names -------------------------------------------------------------------------------------

PUBLIC = [
    "aioconnect",
    "aioconnect.blocking",
    "aioconnect.errors",
    "aioconnect.events",
    "aioconnect.many",
    "aioconnect.options",
    "aioconnect.resolve",
    "aioconnect.retry",
    "aioconnect.supervise",
    "aioconnect.targets",
    "aioconnect.trio",
]
"""Where a program imports from."""

OPTIONAL = ("aiodns", "idna", "pycares", "trio", "uvloop")


def with_all() -> list[str]:
    """Name the modules that have an ``__all__``."""
    return [
        dotted(path)
        for path in SOURCES
        if any(
            isinstance(node, ast.Assign) and "__all__" in names(node) for node in parsed(path).body
        )
    ]


def names(node: ast.Assign) -> list[str]:
    """Return the plain names that are assigned to."""
    return [target.id for target in node.targets if isinstance(target, ast.Name)]


def kind(name: str) -> tuple[int, str]:
    """Sort constants first, then classes, then the rest."""
    return (0 if name.isupper() else 1 if name[0].isupper() else 2), name


@pytest.mark.parametrize("module", with_all())
def test_every_all_is_sorted_and_true(module: str) -> None:
    """Constants, classes, functions, each in the order of the alphabet; every name is there."""
    exported = importlib.import_module(module).__all__
    assert list(exported) == sorted(set(exported), key=kind)
    for name in exported:
        assert not name.startswith("_")
        assert getattr(importlib.import_module(module), name) is not None


@pytest.mark.parametrize("module", PUBLIC)
def test_every_public_all_is_complete(module: str) -> None:
    """Every class that is defined there is named there, or begins with an underscore.

    A package names all that it imports from its own files.  Functions that files share among
    themselves are neither: they have no underscore, and nobody is told of them.
    """
    namespace = importlib.import_module(module)
    inside = f"{module}." if hasattr(namespace, "__path__") else None
    offered = {
        name
        for name, value in vars(namespace).items()
        if not name.startswith("_")
        and (
            (isinstance(value, type) and value.__module__ == module)
            or (inside and getattr(value, "__module__", "").startswith(inside))
        )
    }
    assert offered <= set(namespace.__all__)


def test_every_error_is_exported() -> None:
    """``except aioconnect.ConnectionRefused`` works for each of them."""
    from aioconnect import errors

    made = {name for name, value in vars(errors).items() if _is_error(value) and name[0] != "_"}
    assert made == {name for name in errors.__all__ if _is_error(getattr(errors, name))}
    assert made <= set(aioconnect.__all__)


def _is_error(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, aioconnect.ConnectError)


def test_a_star_import_gives_every_public_name_and_no_other() -> None:
    """Also those that load on first use."""
    namespace: dict[str, Any] = {}
    exec("from aioconnect import *", namespace)
    assert set(namespace) - {"__builtins__"} == set(aioconnect.__all__)


def test_what_does_not_exist_is_an_attribute_error() -> None:
    """The lazy names do not hide a misspelt one."""
    with pytest.raises(AttributeError, match="'conect'"):
        _ = aioconnect.conect  # type: ignore[attr-defined]
    with pytest.raises(ImportError):
        exec("from aioconnect import conect")


# Docstrings ---------------------------------------------------------------------------------------


def public_definitions(tree: ast.Module) -> Iterator[tuple[str, ast.AST]]:
    """Walk over the functions and classes without an underscore, and their methods."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    for node in tree.body:
        if isinstance(node, kinds) and not node.name.startswith("_"):
            yield node.name, node
            if isinstance(node, ast.ClassDef):
                for inner in node.body:
                    if isinstance(inner, kinds) and not inner.name.startswith("_"):
                        yield f"{node.name}.{inner.name}", inner


@each(SOURCES)
def test_every_module_says_what_it_is(path: Path) -> None:
    """In one sentence, with which it begins."""
    first = (ast.get_docstring(parsed(path)) or "").split("\n\n")[0]
    assert first.endswith((".", "?", ":"))


@pytest.mark.parametrize("module", [name for name in with_all() if not name.endswith("__main__")])
def test_every_public_function_and_class_is_described(module: str) -> None:
    """Those that ``__all__`` names, and their methods: a docstring whose first line is one."""
    namespace = importlib.import_module(module)
    (path,) = [path for path in SOURCES if dotted(path) == module]
    for name, node in public_definitions(parsed(path)):
        if name.partition(".")[0] in namespace.__all__:
            text = ast.get_docstring(node)  # type: ignore[arg-type]
            assert text, name
            assert text.splitlines()[0].rstrip().endswith((".", "?", ":")) or "\n\n" in text, name


# What is loaded -----------------------------------------------------------------------------------


@cache
def loaded_by(statement: str) -> frozenset[str]:
    """Return the modules that a fresh interpreter has after a statement."""
    done = children.run(
        [sys.executable, "-W", "error", "-c", f"{statement}\nimport sys; print(*sys.modules)"],
        check=True,
    )
    assert not done.stderr
    return frozenset(done.stdout.split())


def test_importing_the_package_loads_only_what_a_connection_needs() -> None:
    """Policies, the blocking twin, resolvers and the command line load on first use."""
    loaded = loaded_by("import aioconnect")
    ours = {name.split(".")[1] for name in loaded if name.startswith("aioconnect.")}
    assert not ours & {"blocking", "cli", "many", "ready", "resolve", "retry", "supervise", "typed"}
    assert not loaded & {*OPTIONAL, "argparse", "importlib.metadata", "json"}


def test_importing_the_package_loads_no_dataclasses() -> None:
    """Each costs milliseconds at import; none is loaded but by asyncio itself."""
    heavy = {"dataclasses", "inspect", "concurrent.futures.thread", "multiprocessing"}
    assert not (loaded_by("import aioconnect") - loaded_by("import asyncio, ssl")) & heavy


LAZY = sorted({*aioconnect._LAZY_MODULES, *aioconnect._LAZY_NAMES})


@pytest.mark.parametrize("name", LAZY)
def test_what_loads_on_first_use_does(name: str) -> None:
    """With the attribute alone; nobody has to import a submodule."""
    assert name in aioconnect.__all__
    before = loaded_by("import aioconnect")
    after = loaded_by(f"import aioconnect; aioconnect.{name}")
    assert {module for module in after - before if module.startswith("aioconnect.")}
    assert not after & set(OPTIONAL)


def test_every_public_module_can_be_reached_from_the_package() -> None:
    """``import aioconnect`` is enough, and ``dir`` shows it."""
    for module in PUBLIC[1:]:
        name = module.removeprefix("aioconnect.")
        assert name in aioconnect.__all__
        assert getattr(aioconnect, name) is sys.modules[module]
    assert set(aioconnect.__all__) <= set(dir(aioconnect))


@pytest.mark.parametrize(
    "name",
    [
        *("Answer", "AttemptFailed", "ConnectMany", "ConnectOptions", "ConnectResult", "Endpoint"),
        *("Event", "Options", "Resolver", "Supervisor", "TargetLike"),
    ],
)
def test_what_people_write_in_annotations_is_exported(name: str) -> None:
    """From the package itself."""
    assert name in aioconnect.__all__
    assert getattr(aioconnect, name) is not None


# What leans on what -------------------------------------------------------------------------------

FLOORS = [
    {
        *("text", "terms", "sentence", "failure", "errors", "table_kernel", "table_others"),
        *(
            "causes",
            "events",
            "about",
            "ssl_errors",
            "table_proxies",
            "targets",
            "international",
            "proxy",
            "via",
        ),
        *("checks", "keywords", "options", "signatures", "typed"),
        *("address_policy", "address_rules", "allowed_names", "networks", "special_addresses"),
        "named_endpoint",
    },
    {"race", "retry", "instants", "spans"},
    {"driver", "attempt", "fresh", "handshake", "stages", "own_socket", "wait", "resolve"},
    {
        *("call", "rounds", "round", "lookups", "late", "log", "permits", "retrying"),
        *("upper", "release"),
    },
    {"engine", "poller", "polling", "trio_driver", "watchers"},
    {"tls", "tls_options", "transports"},
    {
        "blocking",
        "chosen",
        "connecting",
        "dialer",
        "many",
        "patience",
        "readiness",
        "ready",
        "resolving",
        "streams",
    }
    | {"streams", "supervise", "supervise_streams", "supervising", "trio"},
    {"cli", "integrations", "loops", "testing"},
]
"""Words, decisions, I/O, one call, drivers, transports, dialing, face: a file leans on what is
below."""
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
DECISIONS, DRIVERS, FACE = 1, 4, 7

ASYNCIO_BELOW_THE_DRIVERS = {
    "aioconnect.resolve.aiodns": "c-ares reports its answers to a running loop",
    "aioconnect.resolve.base": "both families are asked for side by side",
    "aioconnect.resolve.background": "a program without a loop lends one to its resolver",
    "aioconnect.resolve.cache": "one look-up is shared by many tasks",
    "aioconnect.resolve.queries": "queries wait for their turn in a running loop",
    "aioconnect.resolve.system": "getaddrinfo ends in a thread, and its answer comes to a loop",
}
"""``Resolver.lookup`` is a coroutine: who implements it meets the loop.  Nobody else does."""

CONNECTS_DATAGRAMS = {
    "aioconnect.resolve.order": "which source address the kernel would take; nothing is sent",
}


class Import(NamedTuple):
    """One import: what, and whether it happens when the module is loaded."""

    module: str
    at_load: bool


def room(module: str) -> str:
    """Return the file or folder right below the package that a module is in."""
    return f"{module}.".split(".")[1]


def imports(path: Path) -> set[Import]:
    """Return what a file imports to run: not what it only names in annotations."""
    package = path.relative_to(ROOT.parent).parts[:-1]
    found = set()

    def visit(node: ast.AST, at_load: bool) -> None:
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            return
        if isinstance(node, ast.Import):
            found.update(Import(alias.name, at_load) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            origin = package[: len(package) - node.level + 1] if node.level else ()
            base = ".".join([*origin, *([node.module] if node.module else [])])
            found.add(Import(base, at_load))
            if (ROOT.parent / base.replace(".", "/")).is_dir():
                found.update(Import(f"{base}.{alias.name}", at_load) for alias in node.names)
        inner = at_load and not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        for child in ast.iter_child_nodes(node):
            visit(child, inner)

    visit(parsed(path), True)
    return found


INSIDE = [path for path in SOURCES if path != ROOT / "__init__.py"]
BELOW_DRIVERS = [path for path in INSIDE if FLOOR.get(room(dotted(path)), FACE) < DRIVERS]


@each(INSIDE)
def test_every_file_stands_on_a_floor(path: Path) -> None:
    """A new one needs a place in the plan."""
    assert room(dotted(path)) in FLOOR


@each(INSIDE)
def test_a_file_leans_only_on_the_floors_below_it(path: Path) -> None:
    """Or on its own; also where it imports within a function."""
    floor = FLOOR[room(dotted(path))]
    above = {
        found.module
        for found in imports(path)
        if found.module.startswith("aioconnect.") and FLOOR.get(room(found.module), 0) > floor
    }
    assert not above


@each([path for path in INSIDE if FLOOR.get(room(dotted(path)), FACE) < FACE])
def test_the_core_does_not_lean_on_the_face(path: Path) -> None:
    """Nor on what only the face needs; uvloop is whatever loop runs."""
    modules = {found.module for found in imports(path)}
    assert not {name for name in modules if room(name) in FLOORS[FACE]}
    assert not {name.partition(".")[0] for name in modules} & {"uvloop"}


@each(BELOW_DRIVERS)
def test_nothing_below_the_drivers_knows_asyncio(path: Path) -> None:
    """But for the resolvers, whose look-up is a coroutine."""
    knows = any(found.module.partition(".")[0] == "asyncio" for found in imports(path))
    assert not knows or dotted(path) in ASYNCIO_BELOW_THE_DRIVERS


@each([path for path in BELOW_DRIVERS if FLOOR[room(dotted(path))] <= DECISIONS])
def test_words_and_decisions_know_no_clock_and_no_chance(path: Path) -> None:
    """Instants and random numbers are handed to them: same inputs, same outputs."""
    loaded = {found.module.partition(".")[0] for found in imports(path) if found.at_load}
    assert not loaded & {"time", "datetime", "random", "secrets", "asyncio", "select"}


@each([path for path in INSIDE if FLOOR.get(room(dotted(path))) == DECISIONS])
def test_decisions_open_nothing(path: Path) -> None:
    """Of the socket module they may know constants, and nothing that could do something."""
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.ImportFrom) and node.module == "socket":
            assert all(alias.name.isupper() or alias.name == "socket" for alias in node.names)
        if isinstance(node, ast.Call):
            assert ast.unparse(node.func) not in {"open", "socket", "socket.socket", "print"}


@each([path for path in INSIDE if FLOOR.get(room(dotted(path)), FACE) < FACE])
def test_only_an_attempt_connects_a_socket(path: Path) -> None:
    """A fresh socket for one address, in one file: everything else asks that file."""
    calls = {
        ast.unparse(node.func)
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in {"connect", "connect_ex", "sock_connect"}
    }
    if dotted(path) == "aioconnect.attempt":
        assert "sock.connect_ex" in calls
    else:
        assert not calls or dotted(path) in CONNECTS_DATAGRAMS


@each([path for path in INSIDE if room(dotted(path)) == "resolve"])
def test_resolvers_connect_datagrams_only(path: Path) -> None:
    """To ask the routing table, and to send nothing."""
    tree = parsed(path)
    sockets = [
        ast.unparse(node)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "socket.socket"
    ]
    if dotted(path) in CONNECTS_DATAGRAMS:
        assert sockets
    assert all("SOCK_DGRAM" in call for call in sockets)
