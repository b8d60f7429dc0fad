import json
from pathlib import Path

import numpy as np
import pytest

from exporter.training_run import read_training_run
from models.errors import InputError
from models.preprocess import PreprocessSpec
from models.statistics.confidence import Confidence, PrecisionTarget, UnknownLimit
from models.statistics.out_of_distribution import fit_distance


class Network:
    name = "cnn"

    def save(self, path):
        path.write_bytes(b"a network")


@pytest.fixture
def run(make_run):
    return make_run(Network())


def test_a_run_is_read_as_the_training_left_it(run, originals):
    found = read_training_run(run)
    assert (found.name, found.arch, found.classes) == ("shop", "cnn", ("bag", "hat", "shoe"))
    assert found.preprocess == PreprocessSpec(size=32)
    assert found.network == run / "weights" / "best.keras"
    assert found.pixels.shape == (len(originals), 32, 32, 3)
    assert found.pixels.dtype == np.uint8
    assert len(found.originals) == len(originals)
    assert len(found.compared_pixels()) == len(originals) + len(found.training_pixels()) // 2


def figures(accuracy, n):
    return {"accuracy": accuracy, "n": n}


@pytest.mark.parametrize(
    ("evaluation", "measured", "outliers"),
    [
        ({"val": figures(1.0, 24), "test": figures(0.75, 20), "cv": None}, "75.0% (20 test)", 0),
        (
            {"val": figures(1.0, 24), "test": figures(0.75, 20), "cv": figures(0.9769, 216)},
            "97.7% (216 out-of-fold)",
            0,
        ),
        ({"val": figures(1.0, 1024), "test": None, "unknown": {"outliers": None}}, "100.0% (1,024 validation)", 0),
        ({"val": figures(1.0, 24), "unknown": {"outliers": {"n": 12}}}, "100.0% (24 validation)", 12),
    ],
)
def test_the_figure_that_the_report_leads_with_and_photos_of_no_product_are_kept(run, evaluation, measured, outliers):
    (run / "evaluation.json").write_text(json.dumps(evaluation))
    found = read_training_run(run)
    assert (str(found.measured), found.outliers) == (measured, outliers)


@pytest.mark.parametrize(
    ("told", "pools"), [({}, False), ({"cv": True}, True), ({"cv": True, "fold_weights": "imagenet"}, False)]
)
def test_folds_count_as_the_networks_own_where_they_are_trainings_like_its_own(run, told, pools):
    args = json.loads((run / "args.json").read_text())
    (run / "args.json").write_text(json.dumps(args | told))
    assert read_training_run(run).pools_folds is pools


TARGET = PrecisionTarget(
    precision=0.98,
    thresholds=(0.5, None, 0.75),
    coverage=0.5,
    class_coverage=(0.5, None, 0.5),
    rows=(4, 0, 4),
)
SURE = Confidence(temperature=2.0, precision=0.98, targets=(TARGET,), unknown=None, rows=8)


@pytest.mark.parametrize("score", [None, "distance"])
def test_how_sure_it_is_is_read_with_what_its_unknown_score_needs(run, score):
    limit = UnknownLimit(score=score, limit=1.5, kept=0.95) if score else None
    sure = SURE.model_copy(update={"unknown": limit})
    (run / "confidence.json").write_text(sure.model_dump_json())
    head = fit_distance(np.eye(6, 4), np.arange(6) % 3)
    with (run / "export" / "unknown.npz").open("wb") as file:
        head.write(file)
    found = read_training_run(run)
    assert found.confidence == sure
    if score:
        assert found.unknown_head.within.tolist() == head.within.tolist()
    else:
        assert found.unknown_head is None


def without(run):
    (run / "confidence.json").unlink()


def damaged(run):
    (run / "confidence.json").write_text("{")


def of_two_classes(run):
    two = TARGET.model_copy(update={"thresholds": (0.5, 0.5), "class_coverage": (0.5, 0.5), "rows": (4, 4)})
    (run / "confidence.json").write_text(SURE.model_copy(update={"targets": (two,)}).model_dump_json())


def with_a_precision_of_no_target(run):
    (run / "confidence.json").write_text(SURE.model_copy(update={"precision": 0.9}).model_dump_json())


@pytest.mark.parametrize("spoil", [without, damaged, of_two_classes, with_a_precision_of_no_target])
def test_a_run_that_does_not_know_how_sure_it_is_says_how_to_learn_it(run, spoil):
    spoil(run)
    with pytest.raises(InputError, match=rf"confidence\.json.* hangtag train --resume {run}"):
        read_training_run(run)


def test_a_distance_without_its_arrays_says_how_to_make_them(run):
    limit = UnknownLimit(score="distance", limit=1.5, kept=0.95)
    (run / "confidence.json").write_text(SURE.model_copy(update={"unknown": limit}).model_dump_json())
    with pytest.raises(InputError, match=rf"unknown\.npz.* hangtag train --resume {run}"):
        read_training_run(run)


@pytest.mark.parametrize("file", ["weights/best.keras", "export/val.npz"])
def test_a_run_that_has_not_ended_is_refused_with_the_way_on(run, file):
    (run / file).unlink()
    with pytest.raises(InputError, match=rf"{file}.* --resume {run}"):
        read_training_run(run)


@pytest.mark.parametrize("file", ["args.json", "export/val.npz", "evaluation.json"])
@pytest.mark.parametrize("data", [b"", b"damaged", b"\xff\xfe"], ids=["empty", "words", "bytes"])
def test_a_damaged_run_is_an_input_error(run, file, data):
    (run / file).write_bytes(data)
    with pytest.raises(InputError, match=Path(file).name):
        read_training_run(run)
