"""A job's distinct photos with their answers, or so many of them; memory does not grow with the rows."""

from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from models.reference_answers import ReferenceAnswers, answers_of

__all__ = ["DistinctPhotos"]

MOST: Final = 20_000
_HIGHEST: Final = "g"
"""After every hexadecimal number."""


class DistinctPhotos:
    """Keeps the photos whose SHA-256 are lowest, which are as good as drawn at random.

    Neither chunks nor the order of rows change which they are. Source: Beyer, Haas, Reinwald, Sismanis and Gemulla, "On
    synopses for distinct-value estimation under multiset operations" (SIGMOD 2007).

    Args:
        most: how many are kept.
    """

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._kept: dict[str, tuple[str, float]] = {}
        self._limit = _HIGHEST

    def add(self, results: pa.Table) -> None:
        """Take in the results of a chunk: the columns ``sha256``, ``label`` and ``confidence``."""
        answers = results.select(["sha256", "label", "confidence"]).drop_null()
        answers = answers.filter(pc.less_equal(answers.column("sha256"), self._limit))
        rows = zip(*(column.to_pylist() for column in answers.columns), strict=True)
        self._kept.update((sha256, (label, confidence)) for sha256, label, confidence in rows)
        if len(self._kept) > 2 * self._most:
            self._shrink()

    def _shrink(self) -> None:
        lowest = sorted(self._kept)[: self._most]
        self._kept = {sha256: self._kept[sha256] for sha256 in lowest}
        self._limit = lowest[-1]

    def answers(self) -> ReferenceAnswers:
        """What was said of them."""
        if len(self._kept) > self._most:
            self._shrink()
        return answers_of((label for label, _ in self._kept.values()), [sure for _, sure in self._kept.values()])
