"""Resolvers: from a name to addresses.

Each loads on first use.  ``default()`` is what a call uses that names none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .aiodns import AiodnsResolver
    from .base import Answer, Resolver
    from .cache import Cache
    from .policy import Policy
    from .static import StaticResolver
    from .system import SystemResolver

__all__ = [
    "AiodnsResolver",
    "Answer",
    "Cache",
    "Policy",
    "Resolver",
    "StaticResolver",
    "SystemResolver",
    "default",
]

_HOMES = {
    "AiodnsResolver": "aiodns",
    "Answer": "base",
    "Cache": "cache",
    "Policy": "policy",
    "Resolver": "base",
    "StaticResolver": "static",
    "SystemResolver": "system",
}

_default: SystemResolver | None = None


def default() -> SystemResolver:
    """Return the process-wide default resolver: the system's."""
    global _default
    if _default is None:
        from .system import SystemResolver

        _default = SystemResolver()
    return _default


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
