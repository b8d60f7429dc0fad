"""All that was compared before a bundle was published."""

import json
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from exporter.parity import Parity
from exporter.variant import MadeVariant, Refusal
from models.errors import ParityError

__all__ = ["DisprovedError", "Proof"]


@dataclass(frozen=True)
class Proof:
    """What an export was compared with, and how far it agreed.

    Attributes:
        many, one: float32 with Keras, in batches of many photos and of one.
        golden: how many golden samples the bundle carries.
        variants: float32 and the lighter ones, each with its own figures.
        refusals: lighter variants that were wanted and may not ship.
    """

    many: Parity
    one: Parity
    golden: int
    variants: tuple[MadeVariant, ...] = ()
    refusals: tuple[Refusal, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether the bundle may be published."""
        edges = (variant.edge_parity for variant in self.variants)
        return self.many.passed and self.one.passed and all(edge.passed for edge in edges if edge is not None)

    def check(self, labels: Sequence[str]) -> None:
        """Raise DisprovedError where something does not agree; ``labels`` are the class names, for its figures."""
        if not self.passed:
            raise DisprovedError(self._disagreement(), self, labels)

    def as_json(self, labels: Sequence[str]) -> dict[str, Any]:
        """What ``parity.json`` holds."""
        shown: dict[str, Any] = _finite(
            {
                "schema_version": 1,
                "passed": self.passed,
                "keras": {"batches": _shown(self.many, labels), "one_by_one": _shown(self.one, labels)},
                "golden": self.golden,
                "variants": {variant.name: _variant(variant) for variant in self.variants},
                "refused": {refusal.name: asdict(refusal) for refusal in self.refusals},
            }
        )
        return shown

    def dump(self, labels: Sequence[str]) -> bytes:
        """The contents of ``parity.json``."""
        return json.dumps(self.as_json(labels), indent=1, allow_nan=False).encode()

    def _disagreement(self) -> str:
        for parity, batches in ((self.many, "in batches"), (self.one, "one by one")):
            if not parity.passed:
                return _of_keras(parity, batches)
        found = [(v.name, v.edge_parity.reasons) for v in self.variants if v.edge_parity and not v.edge_parity.passed]
        name, reasons = found[0]
        return f"The edge graph of {name} and its model disagree: {'; '.join(reasons)}. Nothing was published."


class DisprovedError(ParityError):
    """An export that was compared, and does not agree, with its figures."""

    def __init__(self, message: str, proof: Proof, labels: Sequence[str]) -> None:
        super().__init__(message)
        self.proof = proof
        self.labels = tuple(labels)


def _finite(value: Any) -> Any:  # noqa: ANN401 - whatever JSON holds
    """A value as JSON can hold it: null for infinity and NaN."""
    match value:
        case float():
            return value if math.isfinite(value) else None
        case dict():
            return {key: _finite(inner) for key, inner in value.items()}
        case list() | tuple():
            return [_finite(inner) for inner in value]
        case _:
            return value


def _shown(parity: Parity, labels: Sequence[str]) -> dict[str, Any]:
    counts = Counter(f"{labels[expected]} → {labels[got]}" for expected, got in parity.changed)
    return {**asdict(parity), "flips_by_class": dict(counts.most_common()), "passed": parity.passed}


def _variant(variant: MadeVariant) -> dict[str, Any]:
    edge = variant.edge_parity
    return {
        "accuracy": variant.accuracy,
        "cost": None if variant.cost is None else asdict(variant.cost),
        "times_as_fast": variant.gain,
        "times_as_fast_with_decoding": variant.whole_gain,
        "unknown_agreement": variant.unknown_agreement,
        "edge": None if edge is None else {**asdict(edge), "passed": edge.passed},
    }


def _of_keras(parity: Parity, batches: str) -> str:
    if parity.unknown is None or not parity.probabilities_passed:
        what = (
            f"probabilities differ by up to {parity.largest:.2g} (at most {parity.tolerance:.0e} passes), and "
            f"{len(parity.flips)} of {parity.photos} photos change their label."
        )
    else:
        what = (
            f"unknown scores differ by up to {parity.unknown.largest:.2g} of their size (at most "
            f"{parity.unknown.tolerance:.0e} passes), and {len(parity.unknown.crossed)} of {parity.photos} photos "
            "change sides of the limit."
        )
    return (
        f"ONNX Runtime and Keras disagree {batches}: {what} Nothing was published; please report the architecture "
        "and the versions in args.json."
    )
