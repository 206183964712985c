"""Every option can be found: in ``help()``, in the signature, by a type checker; from one table."""

from __future__ import annotations

import inspect
import pydoc
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import aioconnect
from aioconnect import Dialer
from aioconnect.keywords import KEYWORDS, OPTIONS
from aioconnect.options import ConnectOptions, TargetOptions
from aioconnect.signatures import Said
from aioconnect.typed import ConnectionOptions, StreamOptions

from .support import generated

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parents[1]
NAMES = [option.name for option in OPTIONS]
ASYNCIOS = [keyword.name for keyword in KEYWORDS]

FUNCTIONS: dict[str, tuple[Callable[..., Any], list[str]]] = {
    "connect": (aioconnect.connect, NAMES),
    "Dialer": (Dialer, NAMES),
    "Dialer.replace": (Dialer.replace, NAMES),
    "open_connection": (aioconnect.open_connection, [*ASYNCIOS, *NAMES]),
    "create_connection": (aioconnect.create_connection, [*ASYNCIOS[:-1], *NAMES]),
    "Dialer.open_connection": (Dialer.open_connection, [*ASYNCIOS, *NAMES]),
    "Dialer.create_connection": (Dialer.create_connection, [*ASYNCIOS[:-1], *NAMES]),
    "blocking.connect": (aioconnect.blocking.connect, NAMES),
    "connect_many": (aioconnect.connect_many, NAMES[1:]),
    "wait_until_ready": (aioconnect.wait_until_ready, NAMES[1:]),
    "blocking.wait_until_ready": (aioconnect.blocking.wait_until_ready, NAMES[1:]),
    "blocking.Dialer": (aioconnect.blocking.Dialer, NAMES),
    "trio.connect": (aioconnect.trio.connect, NAMES),
    "trio.open_tcp_stream": (aioconnect.trio.open_tcp_stream, NAMES),
    "trio.wait_until_ready": (aioconnect.trio.wait_until_ready, NAMES[1:]),
}
"""Each function that takes options, and which it takes; ``timeout`` is the last ones' own."""


def each() -> Any:
    return pytest.mark.parametrize(("function", "names"), FUNCTIONS.values(), ids=FUNCTIONS)


def public_functions() -> Iterator[tuple[str, Any]]:
    """Walk over all that can be called, with the methods of the classes."""
    for home in (aioconnect, aioconnect.blocking, aioconnect.trio):
        for name in home.__all__:
            value = getattr(home, name)
            if inspect.isfunction(value):
                yield f"{home.__name__}.{name}", value
            if inspect.isclass(value) and not issubclass(value, BaseException):
                for method, function in inspect.getmembers(value, inspect.isfunction):
                    ours = function.__module__.startswith("aioconnect")
                    if ours and (not method.startswith("_") or method == "__init__"):
                        yield f"{name}.{method}", function


# What is generated --------------------------------------------------------------------------------


@pytest.mark.parametrize("path", generated.paths(), ids=lambda path: path.name)
def test_what_is_generated_is_up_to_date(path: Path) -> None:
    """Run ``python -m tests.support.generated`` after a change of the tables or of a docstring."""
    assert path.read_text(encoding="utf-8") == generated.wanted()[path]


def test_everything_that_is_generated_is_compared() -> None:
    """No file is left out."""
    assert set(generated.wanted()) == set(generated.paths())


# help() and inspect -------------------------------------------------------------------------------


@each()
def test_the_signature_names_every_option_and_its_default(
    function: Callable[..., Any], names: list[str]
) -> None:
    """As it would if they were written out; ``**`` does not occur."""
    parameters = inspect.signature(function).parameters
    assert not [p for p in parameters.values() if p.kind is p.VAR_KEYWORD]
    assert [name for name in parameters if name in {*NAMES, *ASYNCIOS}] >= names
    for row in (*KEYWORDS, *OPTIONS):
        if row.name in names:
            shown = parameters[row.name]
            assert shown.kind is shown.KEYWORD_ONLY
            assert shown.annotation == row.type
            default = shown.default
            assert default == row.default or isinstance(default, Said) or default == 5.0


@each()
def test_help_explains_every_option(function: Callable[..., Any], names: list[str]) -> None:
    """With its unit, a sentence and its default."""
    text = " ".join(pydoc.plain(pydoc.render_doc(function)).replace("|", " ").split())
    for row in (*KEYWORDS, *OPTIONS):
        if row.name in names:
            explained = generated.first_sentence(generated.meaning(row))
            assert f" {row.name}: {explained}" in text, row.name
    unchanged = "unchanged" in str(inspect.signature(function))
    assert unchanged or "default 0.25" in text.lower()


def test_connect_and_the_dialer_explain_the_options_in_full() -> None:
    """The others say the first sentence of each."""
    for function in (aioconnect.connect, Dialer):
        text = " ".join((inspect.getdoc(function) or "").split())
        for row in OPTIONS:
            assert " ".join(generated.meaning(row).split()) in text


def test_a_public_function_hides_no_keyword() -> None:
    """Whatever takes ``**options`` shows what may stand there."""
    for name, function in public_functions():
        shown = inspect.signature(function).parameters.values()
        assert not [p for p in shown if p.kind is p.VAR_KEYWORD], name


def test_no_option_is_a_parameter_at_run_time() -> None:
    """Keywords that are written out cost a call thousands of instructions."""
    assert aioconnect.connect.__code__.co_varnames[:3] == ("target", "port", "options")
    assert aioconnect.connect.__code__.co_kwonlyargcount == 0


def test_a_tool_that_reads_the_signature_knows_the_options() -> None:
    """``bind`` takes what the function takes, and refuses what it refuses."""
    shown = inspect.signature(aioconnect.connect)
    shown.bind("db.internal", 5432, timeout=5)
    with pytest.raises(TypeError, match="time_out"):
        shown.bind("db.internal", 5432, time_out=5)


# The table ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("row", [*KEYWORDS, *OPTIONS], ids=lambda row: row.name)
def test_a_row_says_what_a_reader_needs(row: Any) -> None:
    """A sentence at least, and what a number counts."""
    assert row.meaning.endswith(".")
    assert row.meaning[0] == row.meaning[0].lower() or row.meaning.startswith("True ")
    if row.type in ("float", "float | None"):
        assert row.unit == "seconds"
    if row in OPTIONS:
        assert len(generated.listed([(row, row.default)], " " * 12)) == 1, "one line in a list"


def test_the_typed_dicts_name_every_option_and_no_other() -> None:
    """What a wrapper may pass on is what is accepted."""
    assert set(ConnectOptions.__annotations__) == set(NAMES)
    assert set(TargetOptions.__annotations__) == set(NAMES) - {"timeout"}
    assert set(ConnectionOptions.__annotations__) == {*NAMES, *ASYNCIOS} - {"limit"}
    assert set(StreamOptions.__annotations__) == {*NAMES, *ASYNCIOS}
    assert aioconnect.ConnectOptions is ConnectOptions


@pytest.mark.parametrize("name", [*ASYNCIOS, *NAMES])
def test_the_types_of_an_option_are_pinned(name: str) -> None:
    """``tests/typing/api.py`` gives it a right value, and a wrong one that must be refused."""
    lines = (ROOT / "tests" / "typing" / "api.py").read_text().splitlines()
    given = [line for line in lines if f" {name}=" in line]
    wrong = [line for line in given if "# type: ignore[" in line]
    assert wrong, f"no call with a wrong {name}"
    assert len(given) > len(wrong), f"no call with a right {name}"
