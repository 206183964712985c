"""What ``help()``, ``inspect`` and editors show of the functions that take the options.

Such a function takes ``**options``: with every keyword written out, a call that gives none of them
would cost 4 600 instructions more, 15 % of a connect.  Its decorator here gives it the signature
that it would have then.  Type checkers read the same in :mod:`.typed`, which ``python -m
tests.support.generated`` writes.
"""

from __future__ import annotations

from inspect import Parameter, Signature  # asyncio has loaded it
from typing import TYPE_CHECKING, Any

from .keywords import KEYWORDS, OPTIONS, Option
from .options import Options

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from .typed import (
        blocking_connect,
        blocking_dialer,
        blocking_wait_until_ready,
        connect,
        connect_many,
        create_connection,
        dialer,
        dialer_create_connection,
        dialer_open_connection,
        open_connection,
        replace,
        trio_connect,
        trio_open_tcp_stream,
        trio_wait_until_ready,
        wait_until_ready,
    )

__all__ = [
    "Said",
    "blocking_connect",
    "blocking_dialer",
    "blocking_wait_until_ready",
    "connect",
    "connect_many",
    "create_connection",
    "dialer",
    "dialer_create_connection",
    "dialer_open_connection",
    "open_connection",
    "replace",
    "trio_connect",
    "trio_open_tcp_stream",
    "trio_wait_until_ready",
    "wait_until_ready",
]


class Said:
    """A default that is no value, said in words."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return self._text


class _Annotation(str):
    """An annotation as text, without the quotes that ``help()`` would put around it."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def _keywords(options: Iterable[Option], **defaults: object) -> list[Parameter]:
    """Return the options as parameters, some with a default of their own."""
    return [
        Parameter(
            option.name,
            Parameter.KEYWORD_ONLY,
            default=defaults.get(option.name, option.default),
            annotation=_Annotation(option.type),
        )
        for option in options
    ]


def _own(function: Any) -> Iterator[Parameter]:
    """Yield what a function takes by itself; ``inspect.signature`` takes three times as long."""
    code, annotations = function.__code__, function.__annotations__
    count = code.co_argcount
    names = code.co_varnames[: count + code.co_kwonlyargcount]
    positional = function.__defaults__ or ()
    defaults = dict(zip(names[count - len(positional) : count], positional, strict=True))
    defaults |= function.__kwdefaults__ or {}
    for place, name in enumerate(names):
        yield Parameter(
            name,
            Parameter.POSITIONAL_OR_KEYWORD if place < count else Parameter.KEYWORD_ONLY,
            default=defaults.get(name, Parameter.empty),
            annotation=_Annotation(annotations[name]) if name in annotations else Parameter.empty,
        )


def _shows(*keywords: Parameter) -> Callable[[Any], Any]:
    """Return a decorator that shows these keywords in place of ``**options``."""

    def decorate(function: Any) -> Any:
        function.__signature__ = Signature(
            [*_own(function), *keywords],
            return_annotation=_Annotation(function.__annotations__["return"]),
        )
        return function

    return decorate


if not TYPE_CHECKING:
    _options = _keywords(OPTIONS)
    _unchanged = _keywords(OPTIONS, **dict.fromkeys([o.name for o in OPTIONS], Said("<unchanged>")))
    _asyncios = _keywords(KEYWORDS)

    connect = blocking_connect = dialer = blocking_dialer = _shows(*_options)
    trio_connect = trio_open_tcp_stream = connect
    replace = _shows(*_unchanged)
    create_connection = _shows(*_asyncios[:-1], *_options)  # all but `limit`
    open_connection = _shows(*_asyncios, *_options)
    dialer_create_connection = _shows(*_asyncios[:-1], *_unchanged)
    dialer_open_connection = _shows(*_asyncios, *_unchanged)
    connect_many = _shows(*_options[1:])  # all but `timeout`, of which it has its own
    wait_until_ready = blocking_wait_until_ready = trio_wait_until_ready = _shows(
        *_keywords(OPTIONS[1:], attempt_timeout=5.0, retry=Said("<again until timeout>"))
    )

    dialer(Options.__init__)  # it stands below this file, and cannot be decorated in its own
    replace(Options.replace)
