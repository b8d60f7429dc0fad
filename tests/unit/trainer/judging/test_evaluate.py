import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from models.statistics.calibration import calibrated
from models.statistics.confidence import TARGETS, Confidence, PrecisionTarget, UnknownLimit
from models.statistics.intervals import proportion_interval
from trainer.data.dataset import Split
from trainer.judging.evaluate import Judged, SplitPredictions, evaluate, is_better
from trainer.judging.figures import score
from trainer.splits.assigned import AssignedPhoto

CLASSES = ("clock", "hat")
GOLDEN = Path(__file__).with_name("evaluation.json")

LOGITS = np.array([[4, 0], [3, 0], [0, 2], [0, 1], [1, 0], [0, 5]], np.float32)
LABELS = np.array([0, 1, 1, 1, 0, 1])
STRANGE = np.array([0.0, 0.0, 0.0, 0.0, 0.0, 9.0], np.float32)
TEMPERATURE = 2.0


def judged(rows=6):
    logits = LOGITS[:rows]
    photos = [
        AssignedPhoto(Path(f"{row}.jpg"), CLASSES[LABELS[row]], Split.VAL, str(row), str(row)) for row in range(rows)
    ]
    return SplitPredictions(photos, LABELS[:rows], logits, calibrated(logits, TEMPERATURE), STRANGE[:rows])


VAL, TEST = judged(), judged(4)


def sure_of(logit):
    """The model's probability for a row with this logit and 0."""
    return float(1 / (1 + np.exp(-logit / TEMPERATURE)))


CONFIDENCE = Confidence(
    temperature=TEMPERATURE,
    precision=0.95,
    targets=tuple(
        PrecisionTarget(
            precision=precision,
            thresholds=(sure_of(2.5), None if precision == 0.99 else sure_of(1.5)),
            coverage=0.5,
            class_coverage=(0.5, None),
            rows=(6, 6),
        )
        for precision in TARGETS
    ),
    unknown=UnknownLimit(score="distance", limit=1.0, kept=0.95),
    rows=6,
)


@pytest.fixture
def report():
    return evaluate(CLASSES, CONFIDENCE, {Judged.VAL: VAL, Judged.TEST: TEST})


def test_figures_are_of_calibrated_probabilities(report):
    assert report.val == score(calibrated(LOGITS, TEMPERATURE), LABELS, CLASSES)
    assert report.test == score(calibrated(LOGITS[:4], TEMPERATURE), LABELS[:4], CLASSES)
    assert report.temperature == TEMPERATURE
    assert report.thresholds == CONFIDENCE.targets


def test_the_achieved_precision_of_a_target(report):
    """In validation, rows 0, 1 (wrong) and 2 are sure enough; so is row 5, but it is unknown."""
    found = report.coverage_at_precision
    assert list(found) == ["0.90", "0.95", "0.97", "0.98", "0.99"]
    val, test = found["0.98"].val, found["0.98"].test
    assert (val.coverage, val.automatic, val.wrong, val.precision) == (0.5, 3, 1, 2 / 3)
    assert val.precision_95 == proportion_interval(2, 3)
    assert (test.coverage, test.automatic, test.wrong) == (0.75, 3, 1)
    without = found["0.99"].val  # no threshold for the second class
    assert (without.automatic, without.wrong) == (2, 1)


def test_the_share_of_unknown_rows_is_said_and_a_score_at_the_limit_is_within(report):
    unknown = report.unknown
    assert (unknown.score, unknown.limit, unknown.kept) == ("distance", 1.0, 0.95)
    assert unknown.review.val == pytest.approx(1 / 6)
    assert unknown.review.test == 0
    at_limit = replace(VAL, unknown=np.ones(6, np.float32))
    assert evaluate(CLASSES, CONFIDENCE, {Judged.VAL: at_limit}).unknown.review.val == 0


@pytest.mark.parametrize("test", [{}, {Judged.TEST: judged(0)}])
def test_a_split_without_photos_is_none_everywhere(test):
    report = evaluate(CLASSES, CONFIDENCE, {Judged.VAL: VAL, **test})
    assert report.test is report.ece_before.test is report.unknown.review.test is None
    assert {found.test for found in report.coverage_at_precision.values()} == {None}
    assert report.val is not None


def test_out_of_fold_figures_are_separate_and_shown_if_test_is_smaller():
    known = np.array([True, True, False, True, True, True])
    parts = {Judged.VAL: VAL, Judged.TEST: TEST, Judged.CV: replace(VAL, unknown=None, known=known)}
    report = evaluate(CLASSES, CONFIDENCE, parts, folds=5)
    assert (report.cv.folds, report.cv.n, report.shown) == (5, 6, Judged.CV)
    assert {name: value for name, value in report.cv.model_dump().items() if name != "folds"} == report.val.model_dump()
    assert report.unknown.review.cv == pytest.approx(1 / 6)
    assert evaluate(CLASSES, CONFIDENCE, {Judged.VAL: VAL, Judged.TEST: TEST}).shown is Judged.TEST
    assert evaluate(CLASSES, CONFIDENCE, {Judged.VAL: VAL}).shown is Judged.VAL


def test_the_file_is_as_documented():
    evaluation = evaluate(CLASSES, CONFIDENCE, {Judged.VAL: VAL}).model_copy(update={"label_issues": 7})
    assert rounded(json.loads(evaluation.model_dump_json(indent=1))) == json.loads(GOLDEN.read_text())


def rounded(value):
    """The value with six digits, which are equal on every machine."""
    if isinstance(value, dict):
        return {key: rounded(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [rounded(inner) for inner in value]
    return round(value, 6) if isinstance(value, float) else value


def test_the_network_with_less_loss_is_better_out_of_fold_or_on_validation():
    def evaluated(val, cv=None):
        parts = {Judged.VAL: val} | ({Judged.CV: replace(cv, unknown=None, known=None)} if cv else {})
        return evaluate(CLASSES, CONFIDENCE, parts, folds=5)

    good, poor = VAL, replace(VAL, probabilities=VAL.probabilities[:, ::-1])
    assert is_better(evaluated(good), evaluated(poor))
    assert not is_better(evaluated(poor), evaluated(good))
    assert is_better(evaluated(good), evaluated(good)), "as good is enough"
    assert is_better(evaluated(poor, cv=good), evaluated(good, cv=poor))
    assert not is_better(evaluated(poor), evaluated(good, cv=poor))
