"""All that is known of a training when it ends: what its page and its model card are made of."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from models.preprocess import Pixels
from models.statistics.confidence import Confidence, PrecisionTarget
from models.statistics.intervals import proportion_interval
from models.text import number_of
from pages.text import between, duration, percent, rounded, target_name
from trainer.data.dataset import Exclusion, Split
from trainer.judging.evaluate import Evaluation, Judged, OfSplits, Realised
from trainer.judging.figures import Figures
from trainer.judging.label_errors import LabelIssue
from trainer.run import EpochFigures, RunArgs

__all__ = [
    "ReportMaterial",
    "Speed",
    "caveat",
    "judged_of",
    "made_with",
    "of_split",
    "outcome",
    "promise",
    "realised",
    "ruling",
    "settings",
    "shown_figures",
    "shown_split",
    "size_and_speed",
    "weakest",
]


@dataclass(frozen=True)
class Speed:
    """What a training and its network took.

    Attributes:
        parameters, model_bytes: of the network, and of its file.
        images_per_s: photos that the network judges in a second on so many ``threads``, decoding not counted.
        train_seconds: of the whole training.
        waiting: share of that time in which the network waited for data.
    """

    parameters: int
    model_bytes: int
    images_per_s: float
    threads: int
    train_seconds: float
    waiting: float


@dataclass(frozen=True)
class ReportMaterial:
    """A training that has ended with one whole epoch or more.

    Attributes:
        args: what decided it.
        prepared_counts: split → class → photos that were used.
        notes: what a person should know of the data, a line each.
        excluded: files that were set aside.
        history: its epochs.
        judged: validation, and test where there is one.
        confidence: how sure the network is.
        evaluation: its figures.
        issues: photos whose label is likely wrong, the likeliest first.
        speed: what it took.
        train_batch: JPEG of what the network saw while it learned.
        pixels: SHA-256s of used photos → ``uint8 (n, S, S, 3)``, as the network sees them.
        heat: pixels and class indices → heat maps ``float32 (n, S, S)`` in 0..1.
    """

    args: RunArgs
    prepared_counts: Mapping[Split, Mapping[str, int]]
    notes: tuple[str, ...]
    excluded: Sequence[Exclusion]
    history: Sequence[EpochFigures]
    judged: Mapping[Split, Judged]
    confidence: Confidence
    evaluation: Evaluation
    issues: Sequence[LabelIssue]
    speed: Speed
    train_batch: bytes
    pixels: Callable[[Sequence[str]], Pixels]
    heat: Callable[[Pixels, Sequence[int]], NDArray[np.float32]]


_WEAK: Final = 5

T = TypeVar("T")


def shown_split(material: ReportMaterial) -> Split:
    """Test where there are test photos, else validation."""
    return Split.TEST if material.evaluation.test and Split.TEST in material.judged else Split.VAL


def judged_of(material: ReportMaterial) -> Judged:
    """The shown split as the best network sees it."""
    return material.judged[shown_split(material)]


def shown_figures(material: ReportMaterial) -> Figures | None:
    """Of the shown split."""
    evaluation = material.evaluation
    return evaluation.test if shown_split(material) is Split.TEST else evaluation.val


def caveat(material: ReportMaterial) -> str:
    """What is wrong with figures that are not of test photos; empty where they are."""
    if shown_split(material) is Split.TEST:
        return ""
    return (
        "There are no test photos. The figures are of the validation photos, on which the best epoch and the "
        "thresholds were chosen, so expect a little less of photos that are new."
    )


def found_on(material: ReportMaterial) -> str:
    """What the thresholds rest on."""
    confidence = material.confidence
    rows = number_of(confidence.rows - confidence.out_of_fold, "photo", "photos")
    if not confidence.out_of_fold:
        return f"{rows} that the network had not learned from"
    others = number_of(confidence.out_of_fold, "photo", "photos")
    return f"{rows} that the network had not learned from, and on {others} by networks that were trained without them"


def of_split(figure: OfSplits[T], split: Split) -> T | None:
    """What was measured on a split; none where it has no photos."""
    return {Split.VAL: figure.val, Split.TEST: figure.test}[split]


def ruling(material: ReportMaterial) -> PrecisionTarget | None:
    """The target that rules where a person names none."""
    asked = material.confidence.precision
    return next((target for target in material.confidence.targets if target.precision == asked), None)


def realised(material: ReportMaterial, target: PrecisionTarget, split: Split) -> Realised | None:
    """What a target came to on a split; none where it was not measured."""
    found = {float(asked): splits for asked, splits in material.evaluation.coverage_at_precision.items()}
    return of_split(found[target.precision], split) if target.precision in found else None


def promise(material: ReportMaterial) -> str:
    """What a shop may expect, in a sentence of plain text."""
    target = ruling(material)
    if target is None:
        return _no_promise(material)
    rows = material.confidence.rows - material.confidence.out_of_fold
    interval = proportion_interval(round(target.coverage * rows), rows)
    return (
        f"At {target_name(target.precision)} precision Hangtag labels about {rounded(target.coverage)} of your photos "
        f"by itself ({between(interval)} with 95% confidence) and sends the others to a person."
    )


def _no_promise(material: ReportMaterial) -> str:
    return (
        f"No precision can be promised: {material.confidence.rows:,} photos are too few, or too often wrong, to prove "
        "one. Every photo goes to a person, unless labels without a promise are asked for with --threshold."
    )


def outcome(material: ReportMaterial) -> str:
    """Whether the ruling target was kept on test photos, in a sentence of plain text; empty where none says so."""
    target = ruling(material)
    found = realised(material, target, Split.TEST) if target else None
    if target is None or found is None:
        return ""
    if not found.automatic or found.precision is None:
        return "Of the test photos it would label none by itself."
    right = found.automatic - found.wrong
    said = (
        f"Of the test photos it labels {rounded(found.coverage)} by itself, and {right:,} of these {found.automatic:,} "
        f"are right: {percent(found.precision)} ({between(found.precision_95)} with 95% confidence)"
    )
    return f"{said}{_kept(target.precision, found)}."


def _kept(asked: float, found: Realised) -> str:
    if found.precision is None or found.precision >= asked:
        return ""
    if found.precision_95 and found.precision_95[1] < asked:
        return ", which is less than was asked for"
    return ", which is under what was asked for by no more than chance may do"


def weakest(figures: Figures, most: int = _WEAK) -> list[str]:
    """The classes that are found least often, worst first; those that are always found are not among them."""
    missed = [(one.recall, name) for name, one in figures.classes.items() if one.support and one.recall < 1.0]
    return [name for _, name in sorted(missed)[:most]]


_SAID_ELSEWHERE = frozenset({"schema_version", "name", "classes", "made_with"})
_MEGABYTE = 1_000_000


def size_and_speed(speed: Speed) -> dict[str, str]:
    """Names and plain text."""
    threads = number_of(speed.threads, "thread", "threads")
    return {
        "Parameters": f"{speed.parameters:,}",
        "Model file": f"{speed.model_bytes / _MEGABYTE:,.1f} MB",
        "Speed": f"{speed.images_per_s:,.0f} images/s on {threads}, decoding apart",
        "Training": duration(speed.train_seconds),
        "Waiting for data": f"{percent(speed.waiting)} of the training",
    }


def settings(material: ReportMaterial) -> dict[str, str]:
    """What decided the training, but its classes, in the order of ``args.json``: names and plain text."""
    args = material.args.model_dump(mode="json", exclude=set(_SAID_ELSEWHERE))
    return dict(_flat(args))


def _flat(args: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    for name, value in args.items():
        if isinstance(value, Mapping):
            yield from _flat(value)
        else:
            yield name, _shown(value)


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None else str(value)


def made_with(material: ReportMaterial) -> str:
    """Packages and their versions."""
    return ", ".join(f"{package} {version}" for package, version in material.args.made_with.items())
