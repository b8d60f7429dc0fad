from dataclasses import replace

import numpy as np
import pytest

from exporter.options import ExportOptions
from models.statistics.thresholds import HeldOutLogits

VERSION = "20261121T000000Z"
LENIENT = ExportOptions(int8=True, max_drop=100.0)


def unseen(what, done, total): ...


@pytest.fixture(scope="module")
def float32(trained, to_logits):
    from exporter.cost import Float32
    from exporter.parity import onnx_scores

    photos = trained.compared_pixels()
    return Float32(to_logits, photos, onnx_scores(to_logits.SerializeToString(), photos), trained, VERSION)


@pytest.fixture(scope="module")
def int8(float32):
    from exporter.variant import make_int8

    return make_int8(float32, LENIENT, unseen)


@pytest.fixture
def variant(float32):
    from exporter.graph import with_half_weights
    from exporter.int8 import Attempt
    from exporter.parity import onnx_scores
    from exporter.variant import variant_of

    def make(run=float32.run, source=float32):
        source = replace(source, run=run)
        rounded = with_half_weights(source.model)
        drop = source.drop(onnx_scores(rounded.SerializeToString(), source.photos))
        return variant_of(source, Attempt(rounded, (), 9, drop, 2.0), LENIENT)

    return make


def surely(classes, count, labels=None):
    labels = np.arange(count) % classes if labels is None else labels
    logits = 10 * np.eye(classes, dtype=np.float32)[labels]
    return HeldOutLogits(logits, labels, np.ones(count, np.bool_), np.arange(count))


def test_int8_has_a_temperature_thresholds_and_a_limit_of_its_own(int8, trained):
    from exporter.parity import onnx_scores
    from models.session import open_session, read_metadata

    own, other = int8.metadata, trained.confidence
    assert int8.name == own.variant == "int8"
    assert own.temperature != other.temperature
    assert own.temperature == pytest.approx(other.temperature, rel=0.5)
    assert own.unknown.limit != other.unknown.limit
    assert own.unknown.limit == pytest.approx(other.unknown.limit, rel=0.5)
    assert read_metadata(open_session(int8.model, "model.int8.onnx", 1), "model.int8.onnx") == own
    unknown = onnx_scores(int8.model, trained.pixels).unknown
    assert (unknown <= own.unknown.limit + 1e-3).mean() >= own.unknown.kept
    assert int8.facts.unknown_agreement >= 0.97
    assert (int8.listed.file, int8.listed.edge) == ("model.int8.onnx", None)


def test_a_variant_whose_unknown_score_sees_other_strangers_is_refused(variant, trained):
    from exporter.int8 import Refusal

    everyone = trained.confidence.unknown.model_copy(update={"limit": -1e9})
    strict = replace(trained, confidence=trained.confidence.model_copy(update={"unknown": everyone}))
    assert isinstance(variant(strict), Refusal)


def test_one_photo_of_thirty_on_the_other_side_of_the_limit_refuses_no_variant(variant, float32, trained):
    from models.statistics.out_of_distribution import unknown_limit

    run = replace(trained, pixels=trained.pixels[:30], labels=trained.labels[:30])
    known, others = len(trained.pixels), 90
    rows = [*range(30), *range(known, known + others)]
    unknown = float32.scores.unknown[rows].copy()
    limit = unknown_limit(unknown[:30])
    unknown[int(np.argmin(unknown[:30]))] = limit + 1.0
    confidence = trained.confidence.model_copy(
        update={"unknown": trained.confidence.unknown.model_copy(update={"limit": limit})}
    )
    scores = replace(float32.scores, probabilities=float32.scores.probabilities[rows], unknown=unknown)
    few = replace(float32, photos=float32.photos[rows], scores=scores)
    made = variant(replace(run, confidence=confidence), few)
    assert made.facts.unknown_agreement == pytest.approx(1 - 1 / 120)


def test_folds_prove_nothing_of_a_variant_that_labels_otherwise(variant, float32, trained):
    """The folds' networks compute in float32; this test shifts float32's labels."""
    run = replace(trained, folds=(surely(len(trained.classes), 500),))
    rolled = replace(float32.scores, probabilities=np.roll(float32.scores.probabilities, 1, axis=1))
    alike, other = (
        variant(run, replace(float32, scores=scores)).metadata.targets[0].rows[0] for scores in (float32.scores, rolled)
    )
    assert alike == other + 500


def test_photos_of_one_product_prove_about_as_much_as_one_photo(variant, trained):
    together = replace(trained, groups=np.zeros(len(trained.labels), np.intp))
    each, one = (variant(run).metadata.targets[0].rows[0] for run in (trained, together))
    assert each > 20
    assert one == 1


def test_out_of_fold_rows_count_for_a_variant_if_they_count_for_float32(variant, trained):
    run = replace(trained, folds=(surely(len(trained.classes), 5000),))
    alone, pooled = (variant(replace(run, pools_folds=pools)).metadata for pools in (False, True))
    assert alone.targets[0].coverage < 0.9
    assert pooled.targets[0].coverage > 0.9
    assert pooled.temperature != alone.temperature


def test_drift_is_measured_against_the_photos_that_the_promise_rests_on(variant, trained):
    from exporter.assemble import reference_of

    sure = surely(len(trained.classes), 500, np.zeros(500, np.intp))
    run = replace(trained, folds=(sure,), outliers=7)
    short, full = (reference_of(variant(one), one) for one in (run, replace(run, pools_folds=True)))
    assert short.photos == len(np.unique(trained.pixels, axis=0)), "short trainings are less sure than the network"
    assert full.photos == short.photos + 500
    assert full.by_label[trained.classes[0]] >= 500
    assert (short.outliers, full.outliers) == (7, 7)
