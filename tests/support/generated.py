"""What is written into the repository from the tables of the code: ``python -m`` this module.

A test compares it, so that neither a docstring nor a page can say what is not so.
"""

from __future__ import annotations

import ast
import enum
import functools
import importlib
import inspect
import re
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aioconnect
from aioconnect.keywords import KEYWORDS, OPTIONS, Option
from aioconnect.signatures import Said

from . import reference

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

PACKAGE = Path(aioconnect.__file__).parent
PAGE = PACKAGE.parent / "docs" / "reference.md"

PLACES = {
    "connect": "connecting.connect",
    "dialer": "dialer.Dialer.__init__",
    "replace": "dialer.Dialer.replace",
    "dialer_open_connection": "dialer.Dialer.open_connection",
    "dialer_create_connection": "dialer.Dialer.create_connection",
    "open_connection": "streams.open_connection",
    "create_connection": "streams.create_connection",
    "blocking_connect": "blocking.connect",
    "blocking_dialer": "blocking.Dialer.__init__",
    "connect_many": "many.connect_many",
    "wait_until_ready": "ready.wait_until_ready",
    "blocking_wait_until_ready": "blocking.wait_until_ready",
    "trio_connect": "trio.connect",
    "trio_open_tcp_stream": "trio.open_tcp_stream",
    "trio_wait_until_ready": "trio.wait_until_ready",
}
"""For each decorator of ``aioconnect.signatures`` the function that it stands above."""

IN_FULL = {
    "connect": OPTIONS,
    "dialer": OPTIONS,
    "open_connection": KEYWORDS,
    "create_connection": KEYWORDS,
}
"""What a docstring explains; of all else it has the first sentence."""

WIDTH = 100


def find(place: str) -> Any:
    """Return the function of a place."""
    module, _, path = place.partition(".")
    found = importlib.import_module(f"aioconnect.{module}")
    for name in path.split("."):
        found = getattr(found, name)
    return found


def keywords(function: Any) -> list[tuple[Option, Any]]:
    """Return the options that a function shows, each with its default there."""
    rows = {row.name: row for row in (*KEYWORDS, *OPTIONS)}
    code = function.__code__
    own = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    return [
        (rows[parameter.name], parameter.default)
        for parameter in inspect.signature(function).parameters.values()
        if parameter.name not in own
    ]


# Docstrings ---------------------------------------------------------------------------------------


def said(default: object) -> str:
    """Write a default into a sentence; nothing if it is to be left out."""
    if isinstance(default, Said):
        text = repr(default).strip("<>")
        return "" if text == "unchanged" else text
    if isinstance(default, enum.Enum):
        return f"``{default.name}``"
    if isinstance(default, float):
        return f"{default:g}"
    return "none" if default == () else str(default)


def meaning(row: Option) -> str:
    """Return the meaning of an option with its unit before it."""
    return f"{row.unit} {row.meaning}" if row.unit else row.meaning


def first_sentence(text: str) -> str:
    """Return a text up to its first full stop, without it."""
    return text.partition(".  ")[0].removesuffix(".")


def listed(
    options: Iterable[tuple[Option, Any]], indent: str, in_full: Sequence[Option] = ()
) -> list[str]:
    """List options for a docstring, some of them in full."""
    lines = []
    for row, default in options:
        shown = said(default)
        if row in in_full:
            text = f"{row.name}: {meaning(row)}  Default {shown}."
        else:
            text = f"{row.name}: {first_sentence(meaning(row))}"
            text += f" (default {shown})." if shown else "."
        # Two blanks between sentences survive; a break may come at either.
        wrapped = textwrap.wrap(
            text,
            WIDTH,
            initial_indent=indent,
            subsequent_indent=indent + "    ",
            break_long_words=False,
            break_on_hyphens=False,
        )
        lines += wrapped
    return lines


def with_docstring(
    source: str, path: str, options: list[tuple[Option, Any]], in_full: Sequence[Option]
) -> str:
    """Return a module's source with the list of options in one docstring."""
    body: Any = ast.parse(source)
    for name in path.removesuffix(".__init__").split("."):
        (body,) = [node for node in body.body if getattr(node, "name", None) == name]
    text = body.body[0].value
    lines = source.splitlines()
    first, last = text.lineno - 1, text.end_lineno
    heads = [n for n in range(first, last) if lines[n].strip() == "Options:"]
    if len(heads) != 1:
        raise SystemExit(f"the docstring of {path} needs one line `Options:` for the list")
    head = heads[0]
    indent = lines[head].partition("Options:")[0]
    end = head + 1
    while end < last and lines[end].startswith(indent + "    "):
        end += 1
    lines[head + 1 : end] = listed(options, indent + "    ", in_full)
    return "\n".join(lines) + "\n"


# The attributes of Options ------------------------------------------------------------------------

ATTRIBUTES = re.compile(
    r"(?<=    # Generated from OPTIONS\.\n).*?(?=    # End of what is generated\.\n)", re.DOTALL
)


def attributes() -> str:
    """Declare what ``Options`` has."""
    lines = []
    for row in OPTIONS:
        lines.append(f"    {row.name}: {row.kept}")
        text = meaning(row)
        lines += [*quoted(text[0].upper() + text[1:], "    "), ""]
    return "\n".join(["", *lines, ""])


def quoted(text: str, indent: str) -> list[str]:
    """Write a string in three quotes."""
    assert not text.endswith('"')
    return textwrap.wrap(f'"""{text}"""', WIDTH, initial_indent=indent, subsequent_indent=indent)


def code(default: object) -> str:
    """Write a default as an expression."""
    if isinstance(default, Said):
        return "..."
    if isinstance(default, enum.Enum):
        return f"socket.{default.name}"
    return repr(default)


# The twin -----------------------------------------------------------------------------------------

TYPED = '''\
"""The functions that take the options, with every keyword: what type checkers and editors read.

Generated by ``python -m tests.support.generated`` from the tables of ``keywords.py``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
    import asyncio
    import socket
    from collections.abc import AsyncIterable, Callable, Iterable, Sequence
    from ssl import SSLContext
    from typing import Any, Generic, TypeAlias, TypeVar

    import trio

    from .address_policy import AddressPolicyLike
    from .dialer import Dialer
    from .events import Event
    from .many import AnyTarget, ConnectMany
    from .proxy import Proxy
    from .resolve.base import Resolver
    from .retry import Breaker, Budget, PolicyLike
    from .targets import Endpoint, Handshake, TargetLike

    LocalAddress: TypeAlias = tuple[str, int] | str
    SocketOption: TypeAlias = tuple[int, int, int | bytes]
    ProxyLike: TypeAlias = Proxy | str

    DialerT = TypeVar("DialerT", bound=Dialer)
    ProtocolT = TypeVar("ProtocolT", bound=asyncio.BaseProtocol)
    FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])

__all__ = ["ConnectOptions", "ConnectionOptions", "StreamOptions", "TargetOptions"]


class TargetOptions(TypedDict, total=False):
    """The options but ``timeout``, for functions that have a ``timeout`` of their own."""

{target_options}


class ConnectOptions(TargetOptions, total=False):
    """The options as keywords: ``**options: Unpack[ConnectOptions]`` passes them on."""

{connect_options}


class ConnectionOptions(ConnectOptions, total=False):
    """The keywords of ``create_connection``: the options, and those of asyncio."""

{connection_options}


class StreamOptions(ConnectionOptions, total=False):
    """The keywords of ``open_connection``."""

{stream_options}


if TYPE_CHECKING:

    class _As(Generic[FunctionT]):
        """A decorator that gives a function the type of its twin.

        A class, so that pyright keeps the type variables of a generic twin.
        """

        def __init__(self, twin: FunctionT) -> None: ...

        def __call__(self, function: Callable[..., Any], /) -> FunctionT: ...

{twins}
'''


def fields(rows: Iterable[Option]) -> str:
    """Write options as the fields of a TypedDict."""
    return "\n".join(f"    {row.name}: {row.type}" for row in rows)


def twin(name: str, function: Any) -> str:
    """Write the twin of a function, as a function and as a decorator."""
    shown = inspect.signature(function)
    parameters = []
    starred = False
    for parameter in shown.parameters.values():
        if parameter.kind is parameter.KEYWORD_ONLY and not starred:
            parameters.append("*")
            starred = True
        annotation = parameter.annotation
        if parameter.name == "self":
            annotation = "DialerT" if shown.return_annotation == "Self" else "Any"
        default = parameter.default
        equals = "" if default is parameter.empty else f" = {code(default)}"
        parameters.append(f"{parameter.name}: {annotation}{equals}")
    returns = "DialerT" if shown.return_annotation == "Self" else shown.return_annotation
    kind = "async def" if inspect.iscoroutinefunction(function) else "def"
    return "\n".join(
        [
            f"    {kind} _{name}(",
            *(f"        {parameter}," for parameter in parameters),
            f"    ) -> {returns}: ...",
            "",
            f"    {name} = _As(_{name})",
        ]
    )


def typed() -> str:
    """Write ``typed.py``."""
    return TYPED.format(
        target_options=fields(row for row in OPTIONS if row.name != "timeout"),
        connect_options=fields(row for row in OPTIONS if row.name == "timeout"),
        connection_options=fields(row for row in KEYWORDS if row.name != "limit"),
        stream_options=fields(row for row in KEYWORDS if row.name == "limit"),
        twins="\n\n".join(twin(name, find(place)) for name, place in PLACES.items()),
    )


# All of it ----------------------------------------------------------------------------------------


def paths() -> list[Path]:
    """Return the files that have something generated in them."""
    homes = {Path(inspect.getsourcefile(find(place)) or "") for place in PLACES.values()}
    page = [PAGE] if PAGE.parent.exists() else []  # the package may be without its project
    return [*sorted(homes), PACKAGE / "options.py", PACKAGE / "typed.py", *page]


@functools.cache
def wanted() -> dict[Path, str]:
    """Return what each of these should say."""
    files: dict[Path, str] = {}
    for name, place in PLACES.items():
        function = find(place)
        path = Path(inspect.getsourcefile(function) or "")
        files[path] = with_docstring(
            files.get(path) or path.read_text(encoding="utf-8"),
            function.__qualname__,
            keywords(function),
            IN_FULL.get(name, ()),
        )
    options = PACKAGE / "options.py"
    files[options] = ATTRIBUTES.sub(lambda _: attributes(), options.read_text(encoding="utf-8"))
    files[PACKAGE / "typed.py"] = typed()
    if PAGE in paths():
        files[PAGE] = reference.page()
    return files


def main() -> int:
    """Write what differs, and say so."""
    for path, text in wanted().items():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            sys.stdout.write(f"{path}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
