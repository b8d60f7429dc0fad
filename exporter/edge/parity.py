"""How far an edge graph agrees with the same model behind Python preprocessing, and what may ship."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from exporter.drop import Drop

__all__ = ["NEAR_TIE", "EdgeParity", "Flip"]

NEAR_TIE: Final = 0.02
"""Two classes whose probabilities are this close may change places."""
_FEW: Final = 500
"""Of fewer photos one label may differ, in a near-tie: it would be more than a fifth of a percent."""
_MEAN: Final = 0.005
"""Another fit moves probabilities by 0.02 in the mean; what whole_rgb does in another order (colour profile, CMYK and
transparency after the resize) by 0.0001."""
_LABELS: Final = 0.998
_SURE: Final = 0.995


@dataclass(frozen=True)
class Flip:
    """A photo that the edge graph labels differently.

    Attributes:
        index: of the photo, among those given.
        expected: the label that Python preprocessing leads to.
        got: the edge graph's.
        margin: between the two likeliest classes, with Python preprocessing.
    """

    index: int
    expected: str
    got: str
    margin: float


@dataclass(frozen=True)
class EdgeParity:
    """How far an edge graph agrees with the same model behind Python preprocessing.

    Attributes:
        photos: how many were compared.
        passed_over: photos that cannot be decoded.
        largest, mean: absolute difference of a probability, against ``decode=full``; not finite where something is no
            number.
        near_ties: photos whose two likeliest classes are within ``NEAR_TIE`` with ``decode=full``.
        flips: against ``decode=full``.
        own_flips: against the model's own spec, which usually scales JPEGs while it decodes them.
        sure: photos that need no review, with the model's own spec or by the edge graph's scores.
        sure_flips: those of ``own_flips`` that are among them.
        crossed: photos whose unknown score is on the other side of the limit than with ``decode=full``.
        cost: what that costs against the model with its own spec; none where no labels are given.
        max_drop: so many points of accuracy may the edge graph have less than the model with its own spec.
    """

    photos: int
    passed_over: tuple[int, ...]
    largest: float
    mean: float
    near_ties: tuple[int, ...]
    flips: tuple[Flip, ...]
    own_flips: tuple[Flip, ...]
    sure: int
    sure_flips: tuple[Flip, ...]
    crossed: tuple[int, ...]
    cost: Drop | None
    max_drop: float

    @property
    def agreement(self) -> float:
        """Share of photos with the label of ``decode=full``."""
        return _share(self.photos, self.flips)

    @property
    def own_agreement(self) -> float:
        """Share of photos with the label of the model's own spec."""
        return _share(self.photos, self.own_flips)

    @property
    def sure_agreement(self) -> float:
        """Share with the label of the model's own spec, of the photos that need no review."""
        return _share(self.sure, self.sure_flips)

    @property
    def passed(self) -> bool:
        """Whether the edge graph may ship."""
        return not self.reasons

    @property
    def reasons(self) -> tuple[str, ...]:
        """What speaks against shipping it."""
        found = {
            "no photo could be decoded": not self.photos,
            "a probability is no number": self.photos > 0 and not np.isfinite(self.largest),
            f"probabilities differ by {self.mean:.2g} in the mean": self.photos > 0 and self.mean > _MEAN,
            f"{len(self.flips)} of {self.photos} labels differ from decode=full": not self._full_passed,
            f"{len(self.crossed)} of {self.photos} unknown scores cross the limit": not self._unknown_passed,
            f"{len(self.sure_flips)} of {self.sure} labels differ that need no review": not self._sure_passed,
            self._too_much: not self._accuracy_passed,
        }
        return tuple(reason for reason, so in found.items() if so)

    @property
    def _too_much(self) -> str:
        points, low = (0.0, 0.0) if self.cost is None else (self.cost.points, self.cost.points_95[0])
        return (
            f"{points:.1f} points of accuracy are lost against the model's own decoding, {low:.1f} at least (allow "
            "more with --max-drop, or train with --decode full)"
        )

    @property
    def _full_passed(self) -> bool:
        one_tie = self.photos < _FEW and len(self.flips) == 1 and self.flips[0].margin <= NEAR_TIE
        return self.agreement >= _LABELS or one_tie

    @property
    def _unknown_passed(self) -> bool:
        return len(self.crossed) <= max(1.0, (1.0 - _LABELS) * self.photos)

    @property
    def _sure_passed(self) -> bool:
        return self.sure_agreement >= _SURE or len(self.sure_flips) <= 1

    @property
    def _accuracy_passed(self) -> bool:
        """A few hundred photos cannot tell half a point from chance: what chance may do is let through, and shown."""
        return self.cost is None or self.cost.points_95[0] <= self.max_drop


def _share(photos: int, flips: tuple[Flip, ...]) -> float:
    return 1.0 - len(flips) / photos if photos else 1.0
