"""How the parts of an export say how far they are."""

from collections.abc import Callable

__all__ = ["Advance"]

Advance = Callable[[str, int, int], None]
"""Told (what is being done, done, of all)."""
