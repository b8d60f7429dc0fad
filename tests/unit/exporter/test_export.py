import json

import numpy as np
import pytest

from models.bundle import open_bundle
from models.classifier import load
from models.errors import HangtagError, InputError, ParityError
from models.statistics.confidence import Confidence, PrecisionTarget, UnknownLimit
from models.statistics.out_of_distribution import fit_distance


@pytest.fixture
def export_run(make_network):  # loads TensorFlow
    from exporter.export import export_run

    return export_run


def test_a_run_becomes_a_bundle_that_says_what_the_run_and_keras_say(export_run, make_network, make_run, tmp_path):
    network, classes = make_network("simple", 3), ("bag", "<script>", "| hat |")
    run = make_run(network, classes)
    (run / "evaluation.json").write_text('{"test": {"accuracy": 0.5, "n": 40}}')
    result = export_run(run, tmp_path / "bundle")
    proof, manifest = result.proof, open_bundle(tmp_path / "bundle").manifest
    assert proof.passed
    assert proof.golden == len(json.loads((result.bundle / "golden" / "expected.json").read_text())) > 3
    assert result.sizes == {"model.onnx": (result.bundle / "model.onnx").stat().st_size}
    with np.load(run / "export" / "val.npz") as kept:
        pixels = kept["pixels"]
    assert proof.many.photos == len(pixels) + proof.golden
    assert np.abs(load(result.bundle).predict(pixels) - network.predict(pixels, verbose=0)).max() <= 1e-4
    assert (manifest.name, manifest.arch, manifest.labels) == ("shop", "simple", classes)
    assert (manifest.accuracy, manifest.preprocess.size) == (0.5, 32)
    measured = json.loads((result.bundle / "parity.json").read_text())["measured"]
    assert measured == {"accuracy": 0.5, "photos": 40, "split": "test"}
    assert {"tensorflow", "keras", "tf2onnx", "onnx", "onnxruntime", "pillow"} <= set(manifest.made_with)
    assert (result.bundle / "labels.txt").read_text() == "".join(f"{name}\n" for name in classes)
    assert "bag, \\<script\\>, \\| hat \\|" in (result.bundle / "README.md").read_text()


def test_a_binary_run_becomes_a_bundle_of_two_columns(export_run, make_network, make_run, tmp_path, pixels):
    network = make_network("cnn", 2)
    result = export_run(make_run(network, ("bag", "shoe")), tmp_path / "bundle")
    second = network.predict(pixels, verbose=0)[:, 0]
    assert load(result.bundle).predict(pixels)[:, 1] == pytest.approx(second, abs=1e-4)


def target(precision, *thresholds):
    shares = (0.5,) * len(thresholds)
    rows = (9,) * len(thresholds)
    return PrecisionTarget(precision=precision, thresholds=thresholds, coverage=0.5, class_coverage=shares, rows=rows)


SURE = Confidence(
    temperature=2.0,
    precision=0.95,
    targets=(target(0.90, 0.4, 0.5, None), target(0.95, 0.6, None, None)),
    unknown=UnknownLimit(score="distance", limit=30.0, kept=0.95),
    rows=9,
)


def with_a_distance(run, size):
    """A run whose unknown score is a distance among so many features."""
    features = np.random.default_rng(1).normal(size=(60, size))
    with (run / "export" / "unknown.npz").open("wb") as file:
        fit_distance(features, np.arange(60) % 3).write(file)
    return run


def test_how_sure_the_run_is_travels_in_manifest_metadata_and_proof(export_run, make_network, make_run, tmp_path):
    network = make_network("cnn", 3)
    result = export_run(with_a_distance(make_run(network, confidence=SURE), 320), tmp_path / "bundle")
    variant = open_bundle(result.bundle).manifest.variants["float32"]
    assert (variant.temperature, variant.precision, variant.targets) == (2.0, 0.95, SURE.targets)
    assert (variant.thresholds, variant.unknown) == ((0.6, None, None), SURE.unknown)
    assert load(result.bundle / "model.onnx").metadata == open_bundle(result.bundle).manifest.metadata("float32")
    proof = json.loads((result.bundle / "parity.json").read_text())
    for batches, parity in (("batches", result.proof.many), ("one_by_one", result.proof.one)):
        assert parity.passed
        assert proof["keras"][batches]["unknown"]["largest"] == parity.unknown.largest <= 1e-3
        assert proof["keras"][batches]["unknown"]["crossed"] == []
    samples = json.loads((result.bundle / "golden" / "expected.json").read_text())
    assert all(isinstance(sample["unknown"]["float32"], float) for sample in samples)


def test_without_a_promised_precision_every_photo_goes_to_review(export_run, make_network, make_run, tmp_path):
    sure = SURE.model_copy(update={"precision": None, "unknown": None})
    variant = open_bundle(
        export_run(make_run(make_network("simple", 3), confidence=sure), tmp_path / "bundle").bundle
    ).manifest.variants["float32"]
    assert (variant.precision, variant.thresholds, variant.targets) == (None, (None,) * 3, sure.targets)
    assert "every photo goes to review, unless somebody asks" in (tmp_path / "bundle" / "README.md").read_text()
    samples = json.loads((tmp_path / "bundle" / "golden" / "expected.json").read_text())
    assert [sample["unknown"] for sample in samples] == [{}] * len(samples)


def test_a_distance_among_other_features_is_refused(export_run, make_network, make_run, tmp_path):
    run = with_a_distance(make_run(make_network("cnn", 3), confidence=SURE), 7)
    with pytest.raises(InputError, match=rf"is of 7 features, but .* has 320; .* hangtag train --resume {run}"):
        export_run(run, tmp_path / "bundle")
    assert nowhere_but(run, tmp_path)


def nowhere_but(run, tmp_path):
    return sorted(tmp_path.iterdir()) == [run]


def test_a_network_that_onnx_does_not_repeat_is_not_published(export_run, make_run, tmp_path):
    import keras
    from keras import layers

    image = keras.Input((32, 32, 3))
    logits = layers.Dense(3, name="logits")(layers.Flatten()(layers.Rescaling(1 / 255)(image)))
    run = make_run(keras.Model(image, layers.Activation("sigmoid", name="probabilities")(logits), name="sigmoids"))
    with pytest.raises(ParityError, match=r"no softmax .* of its layer logits: they differ .* Nothing was published"):
        export_run(run, tmp_path / "bundle")
    assert nowhere_but(run, tmp_path)


def test_a_network_that_went_astray_is_not_published(export_run, make_network, make_run, tmp_path):
    network = make_network("simple", 3)
    weights, biases = network.get_layer("logits").get_weights()
    network.get_layer("logits").set_weights([weights, biases * np.nan])
    run = make_run(network)
    with pytest.raises(ParityError, match="differ by up to inf"):
        export_run(run, tmp_path / "bundle")
    assert nowhere_but(run, tmp_path)


def test_what_is_there_already_is_refused_before_anything_is_read(export_run, tmp_path):
    with pytest.raises(InputError, match="never overwritten"):
        export_run(tmp_path / "no run", tmp_path)


def without_originals(run):
    for photo in (run / "export" / "originals").iterdir():
        photo.unlink()


def without_validation_photos_or_originals(run):
    without_originals(run)
    np.savez(
        run / "export" / "val.npz",
        pixels=np.zeros((0, 32, 32, 3), np.uint8),
        labels=np.zeros(0, int),
        groups=np.zeros(0, int),
    )


def with_damaged_weights(run):
    (run / "weights" / "best.keras").write_bytes(b"damaged")


def with_more_classes_than_the_network_has(run):
    args = json.loads((run / "args.json").read_text())
    (run / "args.json").write_text(json.dumps({**args, "classes": [*args["classes"], "sock"]}))


def with_fewer_classes_than_the_network_has(run):
    args = json.loads((run / "args.json").read_text())
    (run / "args.json").write_text(json.dumps({**args, "classes": args["classes"][1:]}))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (without_originals, "Expected readable photos in"),
        (without_validation_photos_or_originals, "Expected validation pixels in"),
        (with_damaged_weights, "Expected a Keras model in"),
        (with_more_classes_than_the_network_has, "classes"),
        (with_fewer_classes_than_the_network_has, "classes"),
    ],
)
def test_a_run_that_cannot_be_proved_is_refused_and_not_published(
    export_run, make_network, make_run, tmp_path, spoil, said
):
    run = make_run(make_network("simple", 3))
    spoil(run)
    with pytest.raises(HangtagError, match=said):
        export_run(run, tmp_path / "bundle")
    assert nowhere_but(run, tmp_path)


def test_a_class_name_with_a_line_separator_is_published_whole_or_not_at_all(
    export_run, make_network, make_run, tmp_path
):
    run = make_run(make_network("simple", 3), ("bag", "hat", "shoe\u2028sock"))
    try:
        bundle = export_run(run, tmp_path / "bundle").bundle
    except HangtagError:
        assert nowhere_but(run, tmp_path)
    else:
        assert load(bundle).labels[2] == "shoe\u2028sock"
