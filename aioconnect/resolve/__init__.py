"""Resolvers: from a name to addresses.

Each loads on first use.  ``default()`` is what a call uses if it is given none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .aiodns import AiodnsResolver
    from .answers import Answer
    from .base import Resolver
    from .cache import Cache
    from .rfc6724 import PolicyTable
    from .static import StaticResolver
    from .system import SystemResolver, default

__all__ = [
    "AiodnsResolver",
    "Answer",
    "Cache",
    "PolicyTable",
    "Resolver",
    "StaticResolver",
    "SystemResolver",
    "default",
]

_HOMES = {
    "AiodnsResolver": "aiodns",
    "Answer": "answers",
    "Cache": "cache",
    "PolicyTable": "rfc6724",
    "Resolver": "base",
    "StaticResolver": "static",
    "SystemResolver": "system",
    "default": "system",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
