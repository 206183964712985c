"""What policies and decisions have in common: they are frozen values made of their slots.

A frozen dataclass would say the same, but each one costs half a millisecond at import.
"""

from __future__ import annotations

from typing import Any, NoReturn


class Value:
    """Immutable; equal to another of the same class with equal fields; picklable by them."""

    __slots__ = ()

    def _set(self, **fields: Any) -> None:
        """Give the fields their values; only ``__init__`` may."""
        for name, value in fields.items():
            object.__setattr__(self, name, value)

    @classmethod
    def _fields(cls) -> list[str]:
        return [name for base in reversed(cls.__mro__) for name in getattr(base, "__slots__", ())]

    def _values(self) -> tuple[Any, ...]:
        return tuple(getattr(self, name) for name in self._fields())

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return self._values() == other._values()

    def __hash__(self) -> int:
        return hash((type(self), self._values()))

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"{type(self).__name__} is immutable: make a new one")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"{type(self).__name__} is immutable: make a new one")

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (type(self), dict(zip(self._fields(), self._values(), strict=True)))


def _restore(cls: type[Value], fields: dict[str, Any]) -> Value:
    value = cls.__new__(cls)
    value._set(**fields)
    return value


def written(value: float) -> str:
    """Write a number as a person would: ``5`` for 5.0."""
    return repr(value).removesuffix(".0")
