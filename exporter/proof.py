"""The proof of an export: all that was compared before a bundle was published."""

from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

from pydantic_core import to_jsonable_python

from exporter.default import Default
from exporter.int8.search import Refusal
from exporter.parity import Parity
from exporter.variant import MadeVariant
from models.errors import ParityError
from models.manifest import INT8


@dataclass(frozen=True)
class Proof:
    """The comparisons of an export, and how far they agree.

    Attributes:
        many, one: float32 with Keras, in batches of many photos and of one.
        golden: how many golden samples the bundle carries.
        variants: float32, and int8 if it ships, each with its own figures.
        refusal: why int8 does not ship, if it was asked for.
        default: which of the variants is the bundle's default; None before it is chosen.
    """

    labels: tuple[str, ...]
    many: Parity
    one: Parity
    golden: int
    variants: tuple[MadeVariant, ...] = ()
    refusal: Refusal | None = None
    default: Default | None = None

    @property
    def passed(self) -> bool:
        """Whether the bundle may be published."""
        edges = (variant.edge_parity for variant in self.variants)
        return self.many.passed and self.one.passed and all(edge.passed for edge in edges if edge is not None)

    def check(self) -> None:
        """Raise DisprovedError if something does not agree."""
        if not self.passed:
            raise DisprovedError(self._disagreement(), self)

    def flips_by_class(self, parity: Parity) -> dict[str, int]:
        """How many photos went from one label to another, as ``bag → hat``, the most frequent first."""
        counts = Counter(f"{self.labels[expected]} → {self.labels[got]}" for expected, got in parity.flips)
        return dict(counts.most_common())

    def as_json(self) -> dict[str, Any]:
        """The contents of ``parity.json``; infinity and NaN become null."""
        record = {
            "schema_version": 1,
            "passed": self.passed,
            "keras": {"batches": self._shown(self.many), "one_by_one": self._shown(self.one)},
            "golden": self.golden,
            "default": self.default,
            "variants": {variant.name: _variant(variant) for variant in self.variants},
            "refused": {INT8: self.refusal.reason} if self.refusal else {},
        }
        jsonable: dict[str, Any] = to_jsonable_python(record, inf_nan_mode="null")
        return jsonable

    def _shown(self, parity: Parity) -> dict[str, Any]:
        return {**asdict(parity), "flips_by_class": self.flips_by_class(parity), "passed": parity.passed}

    def _disagreement(self) -> str:
        for parity, batches in ((self.many, "in batches"), (self.one, "one by one")):
            if not parity.passed:
                return _of_keras(parity, batches)
        wrong = [(v.name, v.edge_parity.reasons) for v in self.variants if v.edge_parity and not v.edge_parity.passed]
        name, reasons = wrong[0]
        return f"The edge graph of {name} and its model disagree: {'; '.join(reasons)}. Nothing was published."


class DisprovedError(ParityError):
    """An export that disagrees in a comparison, with its figures."""

    def __init__(self, message: str, proof: Proof) -> None:
        super().__init__(message)
        self.proof = proof


def _variant(variant: MadeVariant) -> dict[str, Any]:
    edge, facts = variant.edge_parity, variant.facts
    return {
        "accuracy": variant.accuracy,
        "cost": facts and facts.cost,
        "times_as_fast": facts and facts.gain,
        "times_as_fast_with_decoding": facts and facts.whole_gain,
        "unknown_agreement": facts and facts.unknown_agreement,
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
            f"{parity.unknown.tolerance:.0e} passes), and {parity.unknown.crossed} of {parity.photos} photos "
            "change sides of the limit."
        )
    return (
        f"ONNX Runtime and Keras disagree {batches}: {what} Nothing was published; please report the architecture "
        "and the versions in args.json."
    )
