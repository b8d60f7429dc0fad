from dataclasses import replace

import numpy as np
import pytest

from exporter.options import ExportOptions

VERSION = "20261121T000000Z"


def unseen(what, done, total): ...


@pytest.fixture(scope="module")
def float32(trained, to_logits):
    from exporter.cost import Float32
    from exporter.parity import onnx_scores

    photos = trained.compared_pixels()
    return Float32(to_logits, photos, onnx_scores(to_logits.SerializeToString(), photos), trained, VERSION)


@pytest.fixture(scope="module")
def int8(float32):
    """A variant by the bits of its weights, each made once."""
    from exporter.variant import make_int8

    asked = {7: ExportOptions(max_drop=100.0), 8: ExportOptions(max_drop=100.0, vnni=True)}
    return {bits: make_int8(float32, options, unseen) for bits, options in asked.items()}


@pytest.fixture
def float16(float32):
    from exporter.variant import make_float16

    return lambda run=float32.run, **asked: make_float16(replace(float32, run=run), ExportOptions(**asked))


def test_int8_has_a_temperature_thresholds_and_a_limit_of_its_own(int8, trained):
    from models.session import open_session, read_metadata

    made = int8[7]
    assert made.name == made.metadata.variant == "int8"
    assert made.metadata.temperature != trained.confidence.temperature
    assert made.metadata.temperature == pytest.approx(trained.confidence.temperature, rel=0.5)
    assert made.metadata.unknown.limit != trained.confidence.unknown.limit
    assert made.metadata.unknown.limit == pytest.approx(trained.confidence.unknown.limit, rel=0.5)
    assert read_metadata(open_session(made.model, "model.int8.onnx", 1), "model.int8.onnx") == made.metadata


def test_its_limit_keeps_as_many_of_the_known_as_it_says(int8, trained):
    from exporter.parity import onnx_scores

    made = int8[7]
    unknown = onnx_scores(made.model, trained.pixels).unknown
    assert (unknown <= made.metadata.unknown.limit + 1e-3).mean() >= made.metadata.unknown.kept


@pytest.mark.parametrize("bits", [7, 8])
def test_the_manifest_says_whether_it_is_safe_without_vnni(int8, bits):
    listed = int8[bits].listed(ort=False)
    assert listed.quantization.weight_bits == bits
    assert listed.quantization.photos > 0
    assert (listed.file, listed.edge, listed.ort) == ("model.int8.onnx", None, None)


def test_float16_takes_half_the_room_and_says_the_same(float16, trained, to_logits):
    from exporter.parity import onnx_scores
    from exporter.variant import finished

    made = float16()
    assert made.name == "float16"
    full = finished(to_logits, made.metadata)
    assert len(made.model) < 0.6 * len(full)
    assert (
        np.abs(
            onnx_scores(made.model, trained.pixels).probabilities - onnx_scores(full, trained.pixels).probabilities
        ).max()
        < 5e-3
    )
    assert made.cost.agreement > 0.98


def test_float16_that_costs_too_much_is_refused(float16):
    assert "points of accuracy" in float16(max_drop=-101.0).reason


def test_a_variant_whose_unknown_score_sees_other_strangers_is_refused(float16, trained):
    """To float32, as this run says, every photo is a stranger."""
    everyone = trained.confidence.unknown.model_copy(update={"limit": -1e9})
    strict = replace(trained, confidence=trained.confidence.model_copy(update={"unknown": everyone}))
    assert "at least; 3% are allowed" in float16(strict).reason


def test_one_photo_of_thirty_on_the_other_side_of_the_limit_refuses_no_variant(float32, trained):
    """It is 3.3% of the validation photos, and there are training photos as well, which need no label for this."""
    from exporter.variant import make_float16
    from models.statistics.out_of_distribution import unknown_limit

    run = replace(trained, pixels=trained.pixels[:30], labels=trained.labels[:30])
    known, others = len(trained.pixels), 90
    rows = [*range(30), *range(known, known + others)]
    unknown = float32.scores.unknown[rows].copy()
    limit = unknown_limit(unknown[:30])
    inside = int(np.argmin(unknown[:30]))
    unknown[inside] = limit + 1.0
    confidence = trained.confidence.model_copy(
        update={"unknown": trained.confidence.unknown.model_copy(update={"limit": limit})}
    )
    scores = replace(float32.scores, probabilities=float32.scores.probabilities[rows], unknown=unknown)
    few = replace(float32, photos=float32.photos[rows], scores=scores, run=replace(run, confidence=confidence))
    made = make_float16(few, ExportOptions())
    assert made.unknown_agreement == pytest.approx(1 - 1 / 120)


def test_folds_prove_nothing_of_a_variant_that_labels_otherwise(float32, trained):
    """The folds' networks compute in float32, whose labels are rolled here."""
    from exporter.variant import make_float16
    from models.statistics.thresholds import HeldOutLogits

    labels = np.arange(500) % len(trained.classes)
    sure = HeldOutLogits(
        10 * np.eye(len(trained.classes), dtype=np.float32)[labels], labels, np.ones(500, np.bool_), np.arange(500)
    )
    scores, run = float32.scores, replace(trained, folds=(sure,))
    other = replace(scores, probabilities=np.roll(scores.probabilities, 1, axis=1))
    rows = [
        make_float16(replace(float32, run=run, scores=said), ExportOptions(max_drop=100.0)).metadata.targets[0].rows[0]
        for said in (scores, other)
    ]
    assert rows[0] == rows[1] + 500


def test_photos_of_one_product_prove_about_as_much_as_one_photo(float16, trained):
    together = replace(trained, groups=np.zeros(len(trained.labels), np.intp))
    each, one = (float16(run, max_drop=100.0).metadata.targets[0].rows[0] for run in (trained, together))
    assert each > 20
    assert one == 1


def test_rows_out_of_fold_count_as_a_variants_own_where_they_count_as_float32s(float16, trained):
    """Else one coverage would be of 300 rows and the other of 30, and chance would choose the default."""
    from models.statistics.thresholds import HeldOutLogits

    labels = np.arange(5000) % len(trained.classes)
    sure = HeldOutLogits(
        10 * np.eye(len(trained.classes), dtype=np.float32)[labels], labels, np.ones(5000, np.bool_), np.arange(5000)
    )
    run = replace(trained, folds=(sure,))
    alone, pooled = (float16(replace(run, pools_folds=pools), max_drop=100.0).metadata for pools in (False, True))
    assert alone.targets[0].coverage < 0.9
    assert pooled.targets[0].coverage > 0.9
    assert pooled.temperature != alone.temperature


def test_one_that_sees_the_same_strangers_says_so(float16, int8):
    assert float16().unknown_agreement >= 0.97
    assert int8[7].unknown_agreement >= 0.97


def test_drift_is_measured_against_the_photos_that_the_promise_rests_on(float16, trained):
    """A cross-validated shop of 240 photos was compared with its 24 validation photos, which show nothing."""
    from exporter.assemble import reference_of
    from models.statistics.thresholds import HeldOutLogits

    labels = np.zeros(500, np.intp)
    sure = HeldOutLogits(
        10 * np.eye(len(trained.classes), dtype=np.float32)[labels], labels, np.ones(500, np.bool_), np.arange(500)
    )
    run = replace(trained, folds=(sure,), outliers=7)
    short, full = (reference_of(float16(one, max_drop=100.0), one) for one in (run, replace(run, pools_folds=True)))
    assert short.photos == len(np.unique(trained.pixels, axis=0)), "short trainings are less sure than the network"
    assert full.photos == short.photos + 500
    assert full.by_label[trained.classes[0]] >= 500
    assert (short.outliers, full.outliers) == (7, 7)
