import csv
from pathlib import Path

import numpy as np
import pytest

from models.statistics.calibration import calibrated
from models.statistics.confidence import TARGETS, Confidence, PrecisionTarget, UnknownLimit
from models.statistics.thresholds import automatic
from trainer.data.dataset import Split
from trainer.judging.evaluate import Judged, SplitPredictions
from trainer.judging.label_errors import LabelIssue
from trainer.report.write import write_label_issues, write_predictions
from trainer.splits.assigned import AssignedPhoto

CLASSES = ("hat", "lamp", "vase")


def confidence(precision, thresholds, limit=None):
    """The target of 0.95 has these thresholds; the other targets have 1 for every class."""
    targets = tuple(
        PrecisionTarget(
            precision=target,
            thresholds=thresholds if target == 0.95 else (1.0,) * len(CLASSES),
            coverage=0.5,
            class_coverage=(0.5,) * len(CLASSES),
            rows=(9,) * len(CLASSES),
        )
        for target in TARGETS
    )
    unknown = None if limit is None else UnknownLimit(score="distance", limit=limit, kept=0.95)
    return Confidence(temperature=1.0, precision=precision, targets=targets, unknown=unknown, rows=9)


def judged(count, split=Split.VAL, *, strange=True):
    rng = np.random.default_rng(count)
    labels = rng.integers(0, 3, count)
    logits = rng.normal(0, 2, (count, 3)).astype(np.float32)
    photos = [
        AssignedPhoto(Path(f"{split}/{i}.jpg"), CLASSES[label], split, str(i), str(i)) for i, label in enumerate(labels)
    ]
    unknown = rng.normal(size=count).astype(np.float32) if strange else None
    return SplitPredictions(photos, labels, logits, calibrated(logits, 1.0), unknown)


def rows_of(path, found, sure):
    write_predictions(path, found, sure, CLASSES, Path("data.csv"))
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "predictions.csv"


@pytest.mark.parametrize("thresholds", [(0.4, 0.6, 0.8), (0.7, None, 0.5), (None, None, None), (0.0, 0.0, 0.0)])
@pytest.mark.parametrize("limit", [None, 0.3])
def test_the_status_is_what_labelling_makes_of_a_row(path, thresholds, limit):
    found, sure = judged(200), confidence(0.95, thresholds, limit)
    known = np.ones(200, np.bool_) if limit is None else found.unknown <= limit
    by_itself = automatic(found.probabilities, known, sure.targets[1].thresholds)
    assert [row["status"] == "labeled" for row in rows_of(path, {Judged.VAL: found}, sure)] == by_itself.tolist()


def test_the_file_has_a_row_an_issue_in_order(tmp_path):
    photo = AssignedPhoto(Path("shop/a,b.jpg"), "lamp", Split.VAL, "0", "0")
    issues = [LabelIssue(photo, "hat", 0.25, 0.75), LabelIssue(photo, "vase", 0.3, 0.45)]
    write_label_issues(tmp_path / "label_issues.csv", issues, tmp_path)
    assert (tmp_path / "label_issues.csv").read_text() == (
        "image,split,label,suggested,score,label_probability,suggested_probability\n"
        '"shop/a,b.jpg",val,lamp,hat,0.7500,0.2500,0.7500\n'
        '"shop/a,b.jpg",val,lamp,vase,0.6000,0.3000,0.4500\n'
    )
