"""Labels that look like a typing error of one that is known."""

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Final

__all__ = ["near_labels"]

_ALIKE: Final = 0.8
"""Of difflib's ratio: ``hatt`` and ``hat`` have 0.86, ``boots`` and ``boats`` 0.8, ``hats`` and ``cats`` 0.75."""


def near_labels(labels: Iterable[str], known: Iterable[str]) -> dict[str, str]:
    """Labels that nobody has used → the known one that each is nearest to, upper and lower case being alike."""
    there = set(known)
    by_folded = {label.casefold(): label for label in sorted(there, reverse=True)}
    near: dict[str, str] = {}
    for label in sorted(set(labels) - there):
        found = get_close_matches(label.casefold(), by_folded, n=1, cutoff=_ALIKE)
        if found:
            near[label] = by_folded[found[0]]
    return near
