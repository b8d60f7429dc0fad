"""Made-up trainings."""

import itertools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.special import logsumexp, softmax

from models.statistics.confidence import TARGETS, Confidence, PrecisionTarget, UnknownLimit
from tests.unit.trainer.run_files import ARGS
from trainer.data.dataset import Exclusion, Split
from trainer.judging.evaluate import Judged, PerSplit, SplitPredictions, evaluate
from trainer.judging.label_errors import LabelIssue
from trainer.report.material import ReportMaterial, Speed
from trainer.run import EpochFigures, RunState
from trainer.splits.assigned import AssignedPhoto

SIDE = 48
TEMPERATURE = 1.5


def noise(sha256s: Sequence[str]) -> np.ndarray:
    """A different photo for each hash: blobs of colour."""
    found = np.zeros((len(sha256s), SIDE, SIDE, 3), np.uint8)
    for place, sha256 in enumerate(sha256s):
        blobs = np.random.default_rng(int(sha256, 16)).integers(0, 256, (4, 4, 3), np.uint8)
        found[place] = np.asarray(Image.fromarray(blobs).resize((SIDE, SIDE)))
    return found


def hot_corner(pixels: np.ndarray, classes: Sequence[int]) -> np.ndarray:
    assert len(pixels) == len(classes)
    heat = np.zeros((len(pixels), *pixels.shape[1:3]), np.float32)
    heat[:, : pixels.shape[1] // 2, : pixels.shape[2] // 2] = 1.0
    return heat


def judge(classes: Sequence[str], labels: np.ndarray, split: Split, noise_level: float) -> SplitPredictions:
    """A network that is mostly right, too sure, and weak in the first class."""
    rng = np.random.default_rng(len(labels) + split.rank)
    logits = rng.normal(0, noise_level, (len(labels), len(classes)))
    logits[np.arange(len(labels)), labels] += rng.normal(5.5, 2, len(labels)) - 2.5 * (labels == 0)
    photos = [
        AssignedPhoto(Path("shop", classes[label], f"{split}-{n}.jpg"), classes[label], split, f"{n:064x}", f"{n:016x}")
        for n, label in enumerate(labels)
    ]
    unknown = -logsumexp(logits, axis=1).astype(np.float32)
    probabilities = softmax(logits / TEMPERATURE, axis=1).astype(np.float32)
    return SplitPredictions(photos, labels.astype(np.intp), logits.astype(np.float32), probabilities, unknown)


def target_of(judged: SplitPredictions, classes: int, precision: float) -> PrecisionTarget:
    """The lowest threshold that reaches ``precision``, one for all classes."""
    sure, said = judged.probabilities.max(axis=1), judged.probabilities.argmax(axis=1)
    order = np.argsort(-sure)
    right = (said == judged.labels)[order].cumsum() / np.arange(1, len(order) + 1)
    kept = np.flatnonzero(right >= precision)
    threshold = float(sure[order][kept[-1]]) if len(kept) else None
    automatic = sure >= threshold if threshold is not None else np.zeros(len(sure), bool)
    coverage = [float(automatic[said == place].mean()) if (said == place).any() else None for place in range(classes)]
    return PrecisionTarget(
        precision=precision,
        thresholds=(threshold,) * classes,
        coverage=float(automatic.mean()),
        class_coverage=tuple(coverage),
        rows=(len(sure),) * classes,
    )


def made(
    classes: Sequence[str] = ("dress", "hat", "shoes"),
    *,
    each: int = 30,
    test: bool = True,
    epochs: int = 6,
    state: RunState = RunState.COMPLETE,
    ruling: float | None = 0.98,
    unknown: bool = True,
    untested: int = 0,
    issues: int = 3,
    excluded: Sequence[Exclusion] = (),
    notes: tuple[str, ...] = (),
    name: str = "shop-cnn",
    noise_level: float = 1.4,
) -> ReportMaterial:
    """A training of made-up photos; the last ``untested`` classes have no test photos."""
    count = len(classes)
    labels = {Split.VAL: np.repeat(np.arange(count), each)}
    if test:
        labels[Split.TEST] = np.repeat(np.arange(count - untested), each)
    judged = {Judged(split): judge(classes, found, split, noise_level) for split, found in labels.items()}
    if not unknown:
        judged = {split: replace(one, unknown=None) for split, one in judged.items()}
    targets = tuple(target_of(judged[Judged.VAL], count, precision) for precision in TARGETS)
    limit = UnknownLimit(score="distance", limit=-3.2, kept=0.95) if unknown else None
    if ruling is None:
        nothing = {"thresholds": (None,) * count, "coverage": 0.0, "class_coverage": (0.0,) * count}
        targets = tuple(target.model_copy(update=nothing) for target in targets)
    rows = len(judged[Judged.VAL].labels)
    confidence = Confidence(temperature=TEMPERATURE, precision=ruling, targets=targets, unknown=limit, rows=rows)
    return ReportMaterial(
        args=ARGS.model_copy(
            update={
                "name": name,
                "data": Path("/photos/shop"),
                "image_size": SIDE,
                "classes": tuple(classes),
                "epochs": 25,
                "batch": 32,
                "seed": 0,
                "state": state,
                "epochs_done": epochs,
                "best_epoch": max(1, epochs - 1),
                "made_with": {"hangtag": "0.1.0", "keras": "3.15.1"},
            }
        ),
        prepared_counts={
            Split.TRAIN: {one: 10 * each - place for place, one in enumerate(classes)},
            **{
                split: {one: int((found == n).sum()) for n, one in enumerate(classes)}
                for split, found in labels.items()
            },
        },
        notes=notes,
        excluded=excluded,
        history=[
            EpochFigures(n, 2 / n, 1 - 0.6 / n, 2.2 / n**0.8, 0.95 - 0.5 / n + 0.02 * (n == epochs - 1), 1e-3 / n)
            for n in range(1, epochs + 1)
        ],
        judged=judged,
        confidence=confidence,
        evaluation=evaluate(classes, confidence, judged).model_copy(update={"label_issues": issues}),
        issues=[
            LabelIssue(photo, suggested, 0.02, 0.95)
            for photo, suggested in zip(
                judged[Judged.VAL].photos[:issues], itertools.cycle(reversed(classes)), strict=False
            )
        ],
        speed=Speed(
            parameters=1_234_567,
            model_bytes=5_000_000,
            images_per_s=528.4,
            threads=2,
            train_seconds=844.0,
            waiting=0.012,
        ),
        train_batch=list(zip(noise(["1", "2"]), classes[:2], strict=True)),
        pixels=noise,
        heat=hot_corner,
    )


def with_outcome(material: ReportMaterial, **changes: object) -> ReportMaterial:
    """The material with other test results of the ruling target."""
    target = material.ruling
    found = material.realised(target, Judged.TEST)
    came = PerSplit(val=material.realised(target, Judged.VAL), test=found.model_copy(update=changes))
    table = material.evaluation.coverage_at_precision | {f"{target.precision:.2f}": came}
    return replace(material, evaluation=material.evaluation.model_copy(update={"coverage_at_precision": table}))


def in_tree(material: ReportMaterial, node: str = "worn") -> ReportMaterial:
    """The same training with its first two classes under a node, whose threshold is 0.6."""
    args = material.args.model_copy(update={"parents": dict.fromkeys(material.args.classes[:2], node)})
    levels = {"nodes": {node: 0.6}, "level_coverage": (0.5, 0.2)}
    targets = tuple(target.model_copy(update=levels) for target in material.confidence.targets)
    confidence = material.confidence.model_copy(update={"targets": targets})
    evaluation = evaluate(args.classes, confidence, material.judged, tree=args.tree)
    return replace(material, args=args, confidence=confidence, evaluation=evaluation)
