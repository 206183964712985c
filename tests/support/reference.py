"""``docs/reference.md``, made of what the code says of itself."""

from __future__ import annotations

import argparse
import ast
import enum
import importlib
import inspect
import re
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aioconnect
from aioconnect import ConnectError, Help, cli, events, resolve, retry
from aioconnect.keywords import KEYWORDS, OPTIONS, Option

from . import error_table

if TYPE_CHECKING:
    import types
    from collections.abc import Iterable, Iterator


def page() -> str:
    """Write the page."""
    public = {name: getattr(aioconnect, name) for name in aioconnect.__all__}
    functions = [name for name, value in public.items() if inspect.isfunction(value)]
    modules = [name for name, value in public.items() if inspect.ismodule(value)]
    apart = {*functions, *modules, "Help", *(n for n, value in public.items() if is_error(value))}
    parts = [
        "# Reference",
        (
            "Every public name, from the code itself: `python -m tests.support.generated` writes "
            "this page, and a test compares it. `help()` and an editor's hover say the same."
        ),
        "## Functions",
        *entries(aioconnect, functions),
        "Without an event loop:",
        *entries(aioconnect.blocking, aioconnect.blocking.__all__, prefix="blocking."),
        "On trio:",
        *entries(aioconnect.trio, aioconnect.trio.__all__, prefix="trio."),
        "## Options",
        "Every way of connecting takes these as keywords, and `Dialer` keeps them.",
        table(["option", "type", "default", "meaning"], map(option, OPTIONS)),
        "### asyncio's keywords",
        (
            "`open_connection` and `create_connection`, also of a `Dialer`, take these beside the "
            "options."
        ),
        table(["keyword", "type", "default", "meaning"], map(option, KEYWORDS)),
        "## Types",
        *entries(aioconnect, [name for name in public if name not in apart], methods=True),
        "## Errors",
        "Each is a `ConnectError`, and also the built-in class beside it.",
        table(["class", "is also", "means"], classes()),
        "### Codes",
        (
            "`error.code` is one word for the cause, the same in logs, JSON and metrics. The "
            "sentence of an error says what it means, and its hint. `error.help` says what helps: "
            "the race and the retry policies go by it."
        ),
        table(["code", "class", "what it means", "what helps"], codes()),
        "### What can help",
        table(["`aioconnect.Help`", ""], [[f"`{name}`", text] for name, text in helps()]),
        "## Events",
        (
            "`on_event` is called with these, as things happen. Instants are seconds on "
            "`time.monotonic()`."
        ),
        table(["event", "fields", "means"], happenings()),
        "## Retry",
        "In `aioconnect.retry`; [retry.md](retry.md) says how they go together.",
        *entries(retry, retry.__all__),
        "## Resolvers",
        "In `aioconnect.resolve`; [names.md](names.md) says which to use.",
        *entries(resolve, resolve.__all__),
        "## Commands",
        *commands(),
        "## Modules",
        table(["", ""], [[f"`{name}`", first(getattr(aioconnect, name))] for name in modules]),
    ]
    return "\n\n".join(parts) + "\n"


def table(heads: list[str], rows: Iterable[list[str]]) -> str:
    """Write a table."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(cell(each) for each in line) + " |" for line in lines)


def cell(text: str) -> str:
    """Keep a text within its cell."""
    return text.replace("|", "\\|")


def plain(text: str) -> str:
    """Turn a docstring's sentences into a page's."""
    text = re.sub(r":\w+:`[~.]?([^`]+)`", lambda role: f"``{role[1].rpartition('.')[2]}``", text)
    return " ".join(text.replace("``", "`").split())


def first(value: object) -> str:
    """Return the first paragraph of a docstring."""
    return plain((inspect.getdoc(value) or "").partition("\n\n")[0])


# Functions and values -----------------------------------------------------------------------------


def entries(
    package: types.ModuleType, names: Iterable[str], prefix: str = "", *, methods: bool = False
) -> Iterator[str]:
    """Describe public names: as each is called, what it does, its arguments and methods."""
    for name in names:
        value = getattr(package, name)
        said = f"**`{prefix}{shown(name, value)}`**: {documented(name, value, package)}"
        described = [f"- `{each}`: {text}" for each, text in arguments(value)]
        if methods and inspect.isclass(value):
            described += [f"- `.{each}`: {text}" for each, text in their_methods(value)]
        yield "\n".join([said, *(["", *described] if described else [])])


def arguments(value: object) -> Iterator[tuple[str, str]]:
    """Read the arguments, or the attributes, in a docstring."""
    if not inspect.isfunction(value) and not inspect.isclass(value):
        return
    _, head, rest = (inspect.getdoc(value) or "").partition("\nArgs:\n")
    if not head:
        _, head, rest = (inspect.getdoc(value) or "").partition("\nAttributes:\n")
    section = re.match(r"(?: +.*\n?|\n(?= ))*", rest)
    for match in re.finditer(
        r"^    (\S[^:\n]*): ((?:.|\n(?=     ))*)", section[0] if section else "", re.MULTILINE
    ):
        yield match[1], plain(match[2])


def their_methods(value: type) -> Iterator[tuple[str, str]]:
    """Describe what a class of ours can do."""
    for name in sorted(dir(value)):
        method = getattr(value, name)
        ours = str(getattr(method, "__module__", "")).startswith("aioconnect")
        if inspect.ismethod(method) and ours and not name.startswith("_"):  # of the class
            yield shown(name, method.__func__).replace("(cls, ", "("), first(method)
        if inspect.isfunction(method) and ours and not name.startswith("_"):
            yield shown(name, method).replace("(self, ", "(").replace("(self)", "()"), first(method)
        if isinstance(method, property):
            yield name, first(method)


def documented(name: str, value: object, package: types.ModuleType) -> str:
    """Return what is said of a value: in its docstring, or in the string after its assignment."""
    own = str(getattr(value, "__module__", "")).startswith("aioconnect")
    if inspect.isfunction(value) or inspect.ismodule(value) or (inspect.isclass(value) and own):
        return first(value)
    for path in sorted(Path(package.__file__ or "").parent.rglob("*.py")):
        body = ast.parse(path.read_text(encoding="utf-8")).body
        for node, after in pairwise(body):
            assigned = isinstance(node, ast.AnnAssign | ast.Assign) and name in ast.unparse(
                node.target if isinstance(node, ast.AnnAssign) else node.targets[0]
            ).split(", ")
            if assigned and isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
                return plain(str(after.value.value))
    raise LookupError(f"nothing is said of {package.__name__}.{name}")


def shown(name: str, value: object) -> str:
    """Write a function or a class as it is called; options are described once, not here."""
    made = inspect.isclass(value) and value.__module__.startswith("aioconnect")
    if not inspect.isfunction(value) and not (made and is_made_by_its_users(name, value)):
        return name
    parts = []
    starred = False
    options = {row.name for row in (*OPTIONS, *KEYWORDS)}
    code = value.__code__ if inspect.isfunction(value) else value.__init__.__code__  # type: ignore[misc]
    own = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    for parameter in inspect.signature(value).parameters.values():
        if parameter.name in options and parameter.name not in own:
            parts.append("**options")
            break
        if parameter.kind is parameter.KEYWORD_ONLY and not starred:
            parts.append("*")
            starred = True
        text = repr(parameter.default)
        text = text if len(text) < 40 and " at 0x" not in text else "..."
        default = "" if parameter.default is parameter.empty else f"={text}"
        star = "*" if parameter.kind is parameter.VAR_POSITIONAL else ""
        starred = starred or bool(star)
        parts.append(f"{star}{parameter.name}{default}")
    return f"{name}({', '.join(parts)})"


def is_made_by_its_users(name: str, value: Any) -> bool:
    """Whether a class is called in programs, not only returned to them."""
    returned = {"AddressPolicy", "ConnectMany", "ConnectResult", "Context", "Permit", "Supervisor"}
    protocol = getattr(value, "_is_protocol", False)
    event = issubclass(value, events.Event)
    return "__init__" in vars(value) and not (protocol or event or name in returned)


def option(row: Option) -> list[str]:
    """Describe an option."""
    default = row.default.name if isinstance(row.default, enum.Enum) else repr(row.default)
    text = f"{row.unit} {row.meaning}" if row.unit else row.meaning
    return [f"`{row.name}`", f"`{row.type}`", f"`{default}`", plain(text[0].upper() + text[1:])]


# Errors and events --------------------------------------------------------------------------------


def is_error(value: object) -> bool:
    """Whether it is a class of errors."""
    return isinstance(value, type) and issubclass(value, ConnectError)


def classes() -> Iterator[list[str]]:
    """Describe the classes of errors."""
    for name in aioconnect.__all__:
        value = getattr(aioconnect, name)
        if is_error(value):
            yield [f"`{name}`", f"`{builtin(value)}`", first(value)]


def builtin(error: type[ConnectError]) -> str:
    """Name the class that a program catches which does not know ours."""
    for base in error.__mro__:
        ours = base.__module__.startswith("aioconnect")
        if not ours and base not in (OSError, Exception, BaseException, object):
            home = "" if base.__module__ == "builtins" else f"{base.__module__}."
            return f"{home}{base.__name__}"
    return "OSError"


def codes() -> Iterator[list[str]]:
    """Describe every cause, as the table of errors has it."""
    for code, name, meaning, helps in error_table.reference():
        yield [f"`{code}`", f"`{name}`", meaning, helps]


def helps() -> Iterator[tuple[str, str]]:
    """Describe the members of ``Help``."""
    body = ast.parse(inspect.getsource(Help)).body[0]
    assert isinstance(body, ast.ClassDef)
    for node, after in pairwise(body.body):
        if isinstance(node, ast.Assign) and isinstance(after, ast.Expr):
            yield ast.unparse(node.targets[0]), plain(str(ast.literal_eval(after.value)))


def happenings() -> Iterator[list[str]]:
    """Describe the events."""
    for name in events.__all__:
        value = getattr(events, name)
        if isinstance(value, type):
            fields = ", ".join(f"`{field}`" for field in value._fields())
            text = (inspect.getdoc(value) or "").partition("\n\nArgs:")[0]
            yield [f"`{name}`", fields, plain(text)]


# Commands -----------------------------------------------------------------------------------------


def commands() -> Iterator[str]:
    """Describe each command with its arguments."""
    yield table(["exit code", ""], [line.split(maxsplit=1) for line in exit_codes()])
    for name, what in cli._COMMANDS.items():
        module = importlib.import_module(f"aioconnect.cli.{name}")
        parser = argparse.ArgumentParser(add_help=False)
        module.add_arguments(parser)
        yield f"### aioconnect {name}"
        more = plain((module.__doc__ or "").partition(".")[2])
        yield f"{what[0].upper()}{what[1:]}. {more}".strip()
        yield table(["argument", ""], map(argument, parser._actions))


def exit_codes() -> list[str]:
    """Return the lines of the table in the docstring of the command line."""
    text = (cli.__doc__ or "").split("\n====")[1]
    return [plain(line) for line in text.splitlines()[1:]]


def argument(action: argparse.Action) -> list[str]:
    """Describe an argument of a command."""
    metavar = action.metavar or action.dest
    name = ", ".join(action.option_strings) or f"{metavar} ..."
    if action.option_strings and action.nargs != 0:
        name += f" {metavar}"
    return [f"`{name}`", plain(action.help or "")]
