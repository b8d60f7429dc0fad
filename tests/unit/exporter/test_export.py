import json
import subprocess
import sys

import numpy as np
import pytest

from exporter.options import ExportOptions
from models.bundle import open_bundle
from models.classifier import load, load_edge
from models.errors import InputError, ParityError
from models.golden import GOLDEN_FILE
from models.statistics.confidence import Confidence, PrecisionTarget, UnknownLimit
from models.statistics.out_of_distribution import fit_distance
from tests.variants import GOLDEN


@pytest.fixture(scope="session")
def export_run(make_network):  # loads TensorFlow
    from exporter.export import export_run

    return export_run


@pytest.fixture(scope="session")
def whole(golden, export_run, small_run):
    options = ExportOptions(int8=True, edge=True, max_drop=100.0, default_variant="int8")
    return golden.get("whole", lambda place: export_run(small_run, place, options))


def answers_in(bundle):
    return [sample["answers"] for sample in json.loads((bundle / GOLDEN_FILE).read_text())["samples"]]


def test_a_bundle_has_the_files_and_keys_of_the_golden_one(whole):
    files = {path.name for path in GOLDEN.iterdir()}
    assert {path.name for path in whole.iterdir()} == files
    assert set(open_bundle(whole).manifest.files) >= files - {"manifest.json", "golden"}
    for name in ("manifest.json", "parity.json", "reference.json", GOLDEN_FILE):
        golden, made = (json.loads((folder / name).read_text()) for folder in (GOLDEN, whole))
        assert keys_of(made) == keys_of(golden), name


def keys_of(record, place=""):
    if place.endswith(("files", "flips_by_class", "made_with", "by_label", "own_flips", "proof", "repeated")):
        return {place}
    if isinstance(record, list):
        return set().union(*(keys_of(one, f"{place}[]") for one in record)) or {place}
    if not isinstance(record, dict):
        return {place.removesuffix("[]")}
    return set().union(*(keys_of(value, f"{place}.{key}") for key, value in record.items()))


def test_the_manifest_says_which_variant_is_the_default_and_how_it_was_made(whole):
    manifest = open_bundle(whole).manifest
    assert (manifest.default_variant, manifest.default_because) == ("int8", "chosen with --default-variant")
    assert load(whole).metadata.variant == "int8"
    assert {name: variant.files for name, variant in manifest.variants.items()} == {
        "float32": ("model.onnx", "edge.onnx"),
        "int8": ("model.int8.onnx", "edge.int8.onnx"),
    }
    assert manifest.variants["float32"].quantization is None
    assert manifest.variants["int8"].quantization.photos > 0
    for answers in answers_in(whole):
        assert set(answers) == {"model.onnx", "edge.onnx", "model.int8.onnx", "edge.int8.onnx"}
        assert all(isinstance(answer["unknown"], float) for answer in answers.values())


@pytest.mark.parametrize("variant", ["float32", "int8"])
def test_edge_graphs_agree_with_their_models_on_whole_photos(whole, variant, catalogue):
    from models.fit import Decode
    from models.preprocess import preprocess, whole_pixels

    model = load(whole, variant)
    edge = load_edge((whole / open_bundle(whole).manifest.variants[variant].edge).read_bytes(), "edge")
    assert edge.metadata == model.metadata
    spec = model.metadata.preprocess.model_copy(update={"decode": Decode.FULL})
    for path in sorted(catalogue.glob("*/*.jpg"))[:3]:
        expected = model.score(preprocess(path.read_bytes(), spec)[np.newaxis])
        got = edge.run(whole_pixels(path.read_bytes()))
        assert got.probabilities == pytest.approx(expected.probabilities[0], abs=1e-3)
        assert got.label == expected.probabilities[0].argmax()
        assert got.unknown == pytest.approx(expected.unknown[0], rel=0.02, abs=0.5)


def test_the_proof_and_the_card_have_the_figures_of_each_variant(whole):
    proof = json.loads((whole / "parity.json").read_text())
    assert proof["passed"]
    assert proof["keras"]["batches"]["flips_by_class"] == proof["refused"] == {}
    for variant in proof["variants"].values():
        assert variant["edge"]["passed"]
        assert variant["edge"]["photos"] > 10
    int8 = proof["variants"]["int8"]
    assert int8["times_as_fast"] > 0
    assert int8["times_as_fast_with_decoding"] > 0
    assert int8["cost"]["photos"] == proof["keras"]["batches"]["photos"] - proof["golden"]
    assert proof["default"] == {"name": "int8", "because": "chosen with --default-variant"}
    card = (whole / "README.md").read_text()
    names = [name for name in open_bundle(whole).manifest.files if "/" not in name]
    assert [name for name in names if f"`{name}`" not in card] == []
    for words in ("```python", "```js", "```cpp", "do not saturate on any processor", "times with decoding included"):
        assert words in card


def test_the_python_of_the_card_runs(whole, catalogue, tmp_path):
    card = (whole / "README.md").read_text()
    (example,) = (part.split("```")[0] for part in card.split("```python\n") if "InferenceSession" in part)
    (tmp_path / "edge.onnx").write_bytes((whole / "edge.onnx").read_bytes())
    (tmp_path / "shoe.jpg").write_bytes(min(catalogue.glob("*/*.jpg")).read_bytes())
    done = subprocess.run([sys.executable, "-c", example], cwd=tmp_path, capture_output=True, text=True, check=True)
    label, confidence, status = done.stdout.split()
    assert status in {"labeled", "review"}
    assert label in load(whole).labels
    assert 0 < float(confidence) <= 1


def test_a_run_becomes_a_bundle_that_agrees_with_the_run_and_keras(export_run, make_network, make_run, tmp_path):
    network, classes = make_network("simple", 3), ("bag", "<script>", "| hat |")
    run = make_run(network, classes)
    (run / "evaluation.json").write_text('{"test": {"accuracy": 0.5, "n": 40}}')
    result = export_run(run, tmp_path / "bundle")
    proof, manifest = result.proof, open_bundle(tmp_path / "bundle").manifest
    assert proof.passed
    assert proof.golden == len(answers_in(result.bundle)) > 3
    assert result.sizes == {"model.onnx": (result.bundle / "model.onnx").stat().st_size}
    with np.load(run / "export" / "val.npz") as kept:
        pixels = kept["pixels"]
    assert proof.many.photos == len(pixels) + proof.golden
    assert np.abs(load(result.bundle).predict(pixels) - network.predict(pixels, verbose=0)).max() <= 1e-4
    assert (manifest.name, manifest.arch, manifest.labels) == ("shop", "simple", classes)
    assert (str(manifest.measured), manifest.preprocess.size) == ("50.0% (40 test)", 32)
    assert {"tensorflow", "keras", "tf2onnx", "onnx", "onnxruntime", "pillow"} <= set(manifest.made_with)
    assert (result.bundle / "labels.txt").read_text() == "".join(f"{name}\n" for name in classes)
    card = (result.bundle / "README.md").read_text()
    assert "bag, \\<script\\>, \\| hat \\|" in card
    assert "export with `--edge`" in card
    assert "```cpp" not in card


def target(precision, *thresholds):
    shares, rows = (0.5,) * len(thresholds), (9,) * len(thresholds)
    return PrecisionTarget(precision=precision, thresholds=thresholds, coverage=0.5, class_coverage=shares, rows=rows)


SURE = Confidence(
    temperature=2.0,
    precision=0.95,
    targets=(target(0.90, 0.4, 0.5, None), target(0.95, 0.6, None, None)),
    unknown=UnknownLimit(score="distance", limit=30.0, kept=0.95),
    rows=9,
)


def with_a_distance(run, size):
    features = np.random.default_rng(1).normal(size=(60, size))
    with (run / "export" / "unknown.npz").open("wb") as file:
        fit_distance(features, np.arange(60) % 3).write(file)
    return run


def test_how_sure_the_run_is_travels_in_manifest_metadata_and_proof(export_run, make_network, make_run, tmp_path):
    network = make_network("simple", 3)
    size = network.get_layer("features").output.shape[-1]
    result = export_run(with_a_distance(make_run(network, confidence=SURE), size), tmp_path / "bundle")
    manifest = open_bundle(result.bundle).manifest
    variant = manifest.variants["float32"]
    assert (variant.temperature, variant.precision, variant.targets) == (2.0, 0.95, SURE.targets)
    assert (variant.ruling.thresholds, variant.unknown) == ((0.6, None, None), SURE.unknown)
    assert load(result.bundle / "model.onnx").metadata == manifest.metadata("float32")
    proof = json.loads((result.bundle / "parity.json").read_text())
    for batches, parity in (("batches", result.proof.many), ("one_by_one", result.proof.one)):
        assert parity.passed
        assert proof["keras"][batches]["unknown"]["largest"] == parity.unknown.largest <= 1e-3


def test_float32_ships_alone_where_int8_loses_too_much_and_says_why(export_run, make_network, make_run, tmp_path):
    run = make_run(make_network("simple", 3))
    result = export_run(run, tmp_path / "bundle", ExportOptions(int8=True, max_drop=-101.0))
    manifest = open_bundle(result.bundle).manifest
    assert (set(manifest.variants), manifest.default_variant) == ({"float32"}, "float32")
    assert manifest.default_because is None
    assert not (result.bundle / "model.int8.onnx").exists()
    assert "it should lose" in json.loads((result.bundle / "parity.json").read_text())["refused"]["int8"]
    assert "int8 was left out: it should lose" in (result.bundle / "README.md").read_text()


def without_originals(run):
    for photo in (run / "export" / "originals").iterdir():
        photo.unlink()


def without_validation_photos_or_originals(run):
    without_originals(run)
    none = np.zeros(0, int)
    np.savez(run / "export" / "val.npz", pixels=np.zeros((0, 32, 32, 3), np.uint8), labels=none, groups=none)


def with_damaged_weights(run):
    (run / "weights" / "best.keras").write_bytes(b"damaged")


def with_more_classes_than_the_network_has(run):
    args = json.loads((run / "args.json").read_text())
    (run / "args.json").write_text(json.dumps({**args, "classes": [*args["classes"], "sock"]}))


def with_a_distance_among_other_features(run):
    with_a_distance(run, 7)
    (run / "confidence.json").write_text(SURE.model_dump_json())


@pytest.mark.parametrize(
    ("spoil", "named"),
    [
        (without_originals, "originals"),
        (without_validation_photos_or_originals, r"val\.npz"),
        (with_damaged_weights, r"best\.keras"),
        (with_more_classes_than_the_network_has, "classes"),
        (with_a_distance_among_other_features, "7 features"),
    ],
)
def test_a_run_that_cannot_be_proved_is_refused_and_not_published(
    export_run, make_network, make_run, tmp_path, spoil, named
):
    run = make_run(make_network("simple", 3))
    spoil(run)
    with pytest.raises(InputError, match=named):
        export_run(run, tmp_path / "bundle")
    assert list(tmp_path.iterdir()) == [run]


def test_a_network_that_onnx_does_not_repeat_is_not_published(export_run, make_run, tmp_path):
    import keras
    from keras import layers

    image = keras.Input((32, 32, 3))
    features = layers.Flatten(name="features")(layers.Rescaling(1 / 255)(image))
    logits = layers.Dense(3, name="logits")(features)
    run = make_run(keras.Model(image, layers.Activation("sigmoid", name="probabilities")(logits), name="sigmoids"))
    with pytest.raises(ParityError, match="softmax"):
        export_run(run, tmp_path / "bundle")
    assert list(tmp_path.iterdir()) == [run]


def test_a_network_that_went_astray_is_not_published(export_run, make_network, make_run, tmp_path):
    network = make_network("simple", 3)
    weights, biases = network.get_layer("logits").get_weights()
    network.get_layer("logits").set_weights([weights, biases * np.nan])
    run = make_run(network)
    with pytest.raises(ParityError, match="inf"):
        export_run(run, tmp_path / "bundle")
    assert list(tmp_path.iterdir()) == [run]


def test_an_edge_graph_that_disagrees_is_not_published(export_run, make_network, make_run, tmp_path, monkeypatch):
    from exporter import export
    from exporter.edge.build import edge_graph
    from exporter.proof import DisprovedError
    from models.fit import Fit

    def stretched(model, metadata):
        spec = metadata.preprocess.model_copy(update={"fit": Fit.STRETCH})
        return edge_graph(model, metadata.model_copy(update={"preprocess": spec}))

    run = make_run(make_network("simple", 3))
    monkeypatch.setattr(export, "edge_graph", stretched)
    with pytest.raises(DisprovedError, match="edge graph of float32") as caught:
        export_run(run, tmp_path / "bundle", ExportOptions(edge=True))
    assert isinstance(caught.value, ParityError)
    assert not caught.value.proof.passed
    assert list(tmp_path.iterdir()) == [run]


def test_a_bundle_that_does_not_repeat_its_golden_samples_is_not_published(
    export_run, make_network, make_run, tmp_path, monkeypatch
):
    from exporter import assemble
    from models.golden import GoldenAnswer

    run = make_run(make_network("simple", 3))
    wrong = GoldenAnswer(probabilities=(1.0, 0.0, 0.0), unknown=None)
    monkeypatch.setattr(assemble, "_answer", lambda *_: wrong)
    with pytest.raises(ParityError, match="golden samples"):
        export_run(run, tmp_path / "bundle")
    assert list(tmp_path.iterdir()) == [run]
