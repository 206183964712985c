"""Calls of every kind, each set up so that it can be left, or broken, at any place."""

from . import addresses, names, on_calls, own_sockets
from .case import SCENARIOS, Case, World

__all__ = ["SCENARIOS", "Case", "World", "addresses", "names", "on_calls", "own_sockets"]
