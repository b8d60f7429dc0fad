import json

import numpy as np
import pytest

from models.bundle import open_bundle
from models.classifier import load
from models.errors import HangtagError, InputError, ParityError


@pytest.fixture
def export_run(make_network):  # loads TensorFlow
    from exporter.export import export_run

    return export_run


def test_a_run_becomes_a_bundle_that_says_what_keras_says(export_run, make_network, make_run, tmp_path):
    network = make_network("simple", 3)
    run = make_run(network)
    (run / "evaluation.json").write_text('{"test": {"accuracy": 0.5}}')
    result = export_run(run, tmp_path / "bundle")
    assert result.bundle == tmp_path / "bundle"
    assert result.many.passed
    assert result.one.passed
    assert result.golden == len(json.loads((result.bundle / "golden" / "expected.json").read_text())) > 3
    assert result.model_bytes == (result.bundle / "model.onnx").stat().st_size
    with np.load(run / "export" / "val.npz") as kept:
        pixels = kept["pixels"]
    assert result.many.photos == len(pixels) + result.golden
    assert np.abs(load(result.bundle).predict(pixels) - network.predict(pixels, verbose=0)).max() <= 1e-4


def test_the_manifest_says_what_the_run_said(export_run, make_network, make_run, tmp_path):
    run = make_run(make_network("simple", 3))
    (run / "evaluation.json").write_text('{"test": {"accuracy": 0.5}}')
    manifest = open_bundle(export_run(run, tmp_path / "bundle").bundle).manifest
    assert (manifest.name, manifest.arch, manifest.labels) == ("shop", "simple", ("bag", "hat", "shoe"))
    assert manifest.accuracy == 0.5
    assert manifest.preprocess.size == 32
    assert {"tensorflow", "keras", "tf2onnx", "onnx", "onnxruntime", "pillow"} <= set(manifest.made_with)
    assert (tmp_path / "bundle" / "labels.txt").read_text() == "bag\nhat\nshoe\n"


def test_a_binary_run_becomes_a_bundle_of_two_columns(export_run, make_network, make_run, tmp_path, pixels):
    network = make_network("cnn", 2)
    result = export_run(make_run(network, ("bag", "shoe")), tmp_path / "bundle")
    second = network.predict(pixels, verbose=0)[:, 0]
    assert load(result.bundle).predict(pixels)[:, 1] == pytest.approx(second, abs=1e-4)


def test_the_model_of_another_network_is_no_proof(export_run, make_network, pixels):
    from exporter.export import _prove
    from exporter.graph import convert

    other = convert(make_network("cnn", 3), 32).SerializeToString()
    with pytest.raises(ParityError, match=r"disagree in batches: probabilities differ by up to 0\.\d+ \(at most 1e-04"):
        _prove(make_network("simple", 3), other, pixels)


def nowhere_but(run, tmp_path):
    return sorted(tmp_path.iterdir()) == [run]


def test_a_network_that_onnx_does_not_repeat_is_not_published(export_run, make_run, tmp_path):
    import keras
    from keras import layers

    image = keras.Input((32, 32, 3))
    logits = layers.Dense(3, name="logits")(layers.Flatten()(layers.Rescaling(1 / 255)(image)))
    run = make_run(keras.Model(image, layers.Activation("sigmoid", name="probabilities")(logits), name="sigmoids"))
    with pytest.raises(ParityError, match="Nothing was published"):
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
    np.savez(run / "export" / "val.npz", pixels=np.zeros((0, 32, 32, 3), np.uint8), labels=np.zeros(0, int))


def with_damaged_weights(run):
    (run / "weights" / "best.keras").write_bytes(b"damaged")


def with_more_classes_than_the_network_has(run):
    args = json.loads((run / "args.json").read_text())
    (run / "args.json").write_text(json.dumps({**args, "classes": [*args["classes"], "sock"]}))


def with_fewer_classes_than_the_network_has(run):
    args = json.loads((run / "args.json").read_text())
    (run / "args.json").write_text(json.dumps({**args, "classes": args["classes"][1:]}))


@pytest.mark.parametrize(
    "spoil",
    [
        without_originals,
        without_validation_photos_or_originals,
        with_damaged_weights,
        with_more_classes_than_the_network_has,
        with_fewer_classes_than_the_network_has,
    ],
)
def test_a_run_that_cannot_be_proved_is_refused_and_not_published(export_run, make_network, make_run, tmp_path, spoil):
    run = make_run(make_network("simple", 3))
    spoil(run)
    with pytest.raises(HangtagError):
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
