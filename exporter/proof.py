"""The comparisons that an export must pass, and the choice of the default variant."""

import math
from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any, Final

from pydantic_core import to_jsonable_python

from exporter.int8 import Refusal
from exporter.options import ExportOptions
from exporter.parity import Parity
from exporter.variant import Int8Facts, MadeVariant
from models.decision import precision_text, promise_text
from models.errors import InputError, ParityError
from models.manifest import AUTO, FLOAT32, INT8

_QUICKER: Final = 1.12
"""int8 can be the default only if it is at least this many times as fast as float32 on one thread. Several processes
gain less, because they share caches and memory. With ``mobilenet``, int8 was 1.08 times as fast on one thread, but 0.99
times with two processes (docs/measurements.md)."""
_MORE_REVIEW: Final = 0.02
"""int8 can be the default only if it adds at most this share of rows to review. A larger difference costs
reviewers more time than int8 saves."""


@dataclass(frozen=True)
class Default:
    """A bundle's default variant, and a sentence with the figures behind the choice."""

    name: str
    because: str


def choose_default(float32: MadeVariant, int8: MadeVariant | None, options: ExportOptions, cpu: str) -> Default:
    """Choose int8 if it is as good as float32, unless ``--default-variant`` chooses a variant.

    ``cpu``: processor of the measurements.

    int8 must be at least 1.12 times as fast as float32, both in the network and from file to label. The 95% interval of
    the lost accuracy must include 0, or end at or below ``max_drop``. int8 must promise at least the precision of
    float32, and send at most 2% more of the rows to review. Raises InputError if ``--default-variant int8`` was passed
    but int8 was refused.
    """
    if options.default_variant == INT8 and int8 is None:
        msg = (
            "Expected int8 as the default variant, but int8 was refused. Nothing was published; leave out "
            "--default-variant, or raise --max-drop."
        )
        raise InputError(msg)
    if options.default_variant != AUTO:
        return Default(options.default_variant, "chosen with --default-variant")
    if int8 is None or int8.facts is None:
        return Default(FLOAT32, "the bundle has no other variant")
    if reason := _no_default(int8, int8.facts, float32, options.max_drop):
        return Default(FLOAT32, f"int8 {reason} (measured on {cpu})")
    return Default(INT8, _praise(int8, int8.facts, float32, cpu))


def _no_default(int8: MadeVariant, facts: Int8Facts, float32: MadeVariant, max_drop: float) -> str | None:
    own, other = int8.metadata.precision, float32.metadata.precision
    low, high = facts.cost.points_95
    if (slower := min(facts.speed, facts.gain)) < _QUICKER:
        return f"is {facts.pace}: {math.floor(slower * 1000) / 1000:.3f} is less than the required {_QUICKER} times"
    if low > 0.0 and high > max_drop:
        return (
            f"loses {facts.cost.points:.2f} points of accuracy on {facts.cost.photos} validation photos, more "
            f"than chance (95%: {low:.2f} to {high:.2f}); {max_drop:g} are allowed"
        )
    if (own or 0.0) < (other or 0.0):
        return f"promises a precision of {promise_text(own)}; float32 promises {promise_text(other)}"
    if int8.coverage < float32.coverage - _MORE_REVIEW:
        return (
            f"labels {int8.coverage:.1%} of all rows, and sends the rest to review; "
            f"float32 labels {float32.coverage:.1%}"
        )
    return None


def _praise(int8: MadeVariant, facts: Int8Facts, float32: MadeVariant, cpu: str) -> str:
    way = "in the network" if facts.whole_gain is None else "from file to label"
    cost, (low, high) = facts.cost, facts.cost.points_95
    measured = f"({cost.seen}, 95% interval of the loss: {low:.2f} to {high:.2f})"
    if not cost.is_telling:
        measured = f"estimated from int8's logits; {cost.photos} validation photos are too few to measure it"
    praise = f"int8 is {facts.speed:.2f} times as fast as float32 {way} on {cpu}, and {cost.words} {measured}"
    if promise := int8.metadata.precision:
        praise += (
            f"; at the promised precision of {precision_text(promise)} it labels {int8.coverage:.1%} of all "
            f"rows, and sends the rest to review; float32 labels {float32.coverage:.1%}"
        )
    return praise


@dataclass(frozen=True)
class Proof:
    """The comparisons of an export.

    Attributes:
        many, one: ONNX Runtime (float32) against Keras, in batches and photo by photo.
        golden: number of golden samples in the bundle.
        variants: float32 and its figures, and int8 if the bundle has it.
        refusal: why int8 was refused, or None if int8 was accepted or not requested.
        default: the bundle's default variant, or None before the choice.
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
        """Raise DisprovedError if a comparison failed."""
        if not self.passed:
            raise DisprovedError(self._disagreement(), self)

    def flips_by_class(self, parity: Parity) -> dict[str, int]:
        """Number of photos for each change of label, such as ``bag → hat``, most frequent first."""
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
    """An export that failed a comparison, with the figures."""

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
            f"probabilities differ by up to {parity.largest:.2g} (at most {parity.tolerance:.0e} is allowed), "
            f"and {len(parity.flips)} of {parity.photos} photos change their label."
        )
    else:
        what = (
            f"out-of-distribution scores differ by up to {parity.unknown.largest:.2g} (relative; at most "
            f"{parity.unknown.tolerance:.0e} is allowed), and for {parity.unknown.crossed} of {parity.photos} "
            "photos, only one model's score exceeds the limit."
        )
    return (
        f"ONNX Runtime and Keras disagree {batches}: {what} Nothing was published; please report this, with the "
        "architecture and the versions in args.json."
    )
