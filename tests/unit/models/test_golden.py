import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

from exporter.edge.build import edge_graph
from models.bundle import open_bundle
from models.classifier import Classifier, load
from models.edge import EdgeModel, load_edge
from models.errors import BundleError
from models.golden import GoldenSample, check_golden, dump_golden
from models.preprocess import whole_pixels
from models.session import open_session


def test_every_sample_of_a_sound_bundle_agrees(bundle, classifier):
    samples = json.loads((bundle / "golden" / "expected.json").read_text())
    assert check_golden(open_bundle(bundle), classifier) == len(samples)
    assert {"photo", "non_square", "exif_rotated", "transparent"} == {sample["kind"] for sample in samples}


def test_the_format_on_disk_is_this_one():
    sample = GoldenSample(
        file="golden/a.jpg",
        kind="photo",
        probabilities={"float32": (0.25, 0.75)},
        unknown={"float32": -2.5},
        edge={"float32": (0.5, 0.5)},
        edge_unknown={"float32": -1.5},
    )
    assert json.loads(dump_golden((sample,))) == [
        {
            "file": "golden/a.jpg",
            "kind": "photo",
            "probabilities": {"float32": [0.25, 0.75]},
            "unknown": {"float32": -2.5},
            "edge": {"float32": [0.5, 0.5]},
            "edge_unknown": {"float32": -1.5},
        }
    ]


def test_samples_from_before_there_were_unknown_scores_are_checked_too(bundle, copy, forge, classifier):
    samples = json.loads((copy / "golden" / "expected.json").read_text())
    for sample in samples:
        del sample["unknown"], sample["edge"], sample["edge_unknown"]
    forge("golden/expected.json", json.dumps(samples).encode())
    assert check_golden(open_bundle(copy), classifier) == len(samples)


@pytest.fixture
def as_variant(bundle, classifier):
    """The same network under another variant's name."""

    def named(variant):
        session = ort.InferenceSession(bundle / "model.onnx", providers=["CPUExecutionProvider"])
        return Classifier(session, classifier.metadata.model_copy(update={"variant": variant}), "")

    return named


@pytest.mark.parametrize(
    ("variant", "shift", "agrees"),
    [
        ("float32", 0.0, True), ("float32", 9e-4, True), ("float32", -9e-4, True),
        ("float32", 2e-3, False), ("float32", -2e-3, False), ("float32", np.nan, False),
        ("int8", 0.0, True), ("int8", 0.049, True), ("int8", 0.051, False), ("int8", -0.051, False),
        ("int8", np.nan, False),
    ],
)  # fmt: skip
def test_each_variant_has_its_own_tolerance(copy, forge, as_variant, variant, shift, agrees):
    samples = json.loads((copy / "golden" / "expected.json").read_text())
    for sample in samples:
        expected = sample["probabilities"].pop("float32")
        expected[int(np.argmax(expected))] += shift
        sample["probabilities"][variant] = expected
    forge("golden/expected.json", json.dumps(samples).encode())
    if agrees:
        assert check_golden(open_bundle(copy), as_variant(variant)) == len(samples)
    else:
        with pytest.raises(BundleError, match="this machine's probabilities differ"):
            check_golden(open_bundle(copy), as_variant(variant))


def test_a_golden_photo_out_of_the_list_is_refused(bundle, classifier):
    opened = open_bundle(bundle)
    listed = {name: digest for name, digest in opened.manifest.files.items() if name != "golden/transparent.png"}
    shorter = replace(opened, manifest=opened.manifest.model_copy(update={"files": listed}))
    with pytest.raises(BundleError, match=r"golden/transparent\.png .*not listed"):
        check_golden(shorter, classifier)


@pytest.fixture
def sure_copy(sure_bundle, tmp_path):
    """A bundle with unknown scores, to be spoiled."""
    return Path(shutil.copytree(sure_bundle, tmp_path / "sure"))


@pytest.fixture
def restate_unknown(sure_copy):
    """Change the unknown score that each golden sample is to have."""

    def change(how):
        file = sure_copy / "golden" / "expected.json"
        samples = json.loads(file.read_text())
        for sample in samples:
            sample["unknown"] = how(sample["unknown"])
        file.write_text(json.dumps(samples))
        manifest = json.loads((sure_copy / "manifest.json").read_text())
        manifest["files"]["golden/expected.json"] = hashlib.sha256(file.read_bytes()).hexdigest()
        (sure_copy / "manifest.json").write_text(json.dumps(manifest))

    return change


@pytest.mark.parametrize(("part", "agrees"), [(0.0, True), (0.009, True), (-0.009, True), (0.05, False)])
def test_unknown_scores_may_be_off_by_a_hundredth_of_their_size(sure_copy, restate_unknown, part, agrees):
    restate_unknown(lambda unknown: {"float32": unknown["float32"] * (1 + part)})
    if agrees:
        assert check_golden(open_bundle(sure_copy), load(sure_copy)) > 3
    else:
        with pytest.raises(BundleError, match=r"this machine's unknown scores differ by 0\.0\d+ of their size"):
            check_golden(open_bundle(sure_copy), load(sure_copy))


def test_a_sample_without_an_unknown_score_is_refused(sure_copy, restate_unknown):
    restate_unknown(lambda _: {})
    with pytest.raises(BundleError, match="lacks the unknown score of float32 for golden/"):
        check_golden(open_bundle(sure_copy), load(sure_copy))


@pytest.fixture(scope="session")
def edge_bytes(bundle):
    """The edge graph of the bundle's model."""
    opened = open_bundle(bundle)
    return edge_graph(opened.read("model.onnx"), opened.manifest.preprocess)


@pytest.fixture
def with_edge(copy, forge, edge_bytes):
    """Write what the edge graph is to say of each golden sample: what it says, after a change."""

    def put(variant="float32", change=lambda probabilities: probabilities):
        edge = load_edge(edge_bytes, "edge.onnx")
        samples = json.loads((copy / "golden" / "expected.json").read_text())
        for sample in samples:
            said = edge.run(whole_pixels((copy / sample["file"]).read_bytes())).probabilities
            sample["edge"] = {variant: [float(p) for p in change(said)]}
        forge("golden/expected.json", json.dumps(samples).encode())
        return EdgeModel(open_session(edge_bytes, "", 1), edge.metadata.model_copy(update={"variant": variant}))

    return put


def test_every_sample_agrees_with_the_edge_graph_that_was_exported(copy, with_edge):
    edge = with_edge()
    samples = json.loads((copy / "golden" / "expected.json").read_text())
    assert check_golden(open_bundle(copy), edge) == len(samples)


@pytest.mark.parametrize(("variant", "shift", "agrees"), [("float32", 9e-4, True), ("int8", 0.051, False)])
def test_an_edge_graph_has_the_tolerance_of_its_variant(copy, with_edge, variant, shift, agrees):
    edge = with_edge(variant, lambda said: said + shift * (said == said.max()))
    if agrees:
        assert check_golden(open_bundle(copy), edge) > 3
    else:
        with pytest.raises(BundleError, match="this machine's edge probabilities differ"):
            check_golden(open_bundle(copy), edge)


def test_samples_without_the_edge_graphs_probabilities_are_refused(bundle, edge_bytes):
    with pytest.raises(BundleError, match="lacks edge probabilities of float32 for golden/"):
        check_golden(open_bundle(bundle), load_edge(edge_bytes, "edge.onnx"))


def test_a_golden_photo_that_cannot_be_decoded_whole_is_refused(copy, forge, with_edge):
    edge = with_edge()
    forge("golden/transparent.png", b"no photo")
    with pytest.raises(BundleError, match=r"transparent\.png \(transparent\) cannot be decoded on this machine"):
        check_golden(open_bundle(copy), edge)


@pytest.fixture
def sure_edge(sure_copy):
    """The edge graph of a bundle with unknown scores."""
    opened = open_bundle(sure_copy)
    return load_edge(edge_graph(opened.read("model.onnx"), opened.manifest.preprocess), "edge.onnx")


@pytest.fixture
def state_edge(sure_copy, sure_edge, restate_unknown):
    """Write what the edge graph is to say: its probabilities, and an unknown score after a change."""

    def change(how):
        file = sure_copy / "golden" / "expected.json"
        samples = json.loads(file.read_text())
        for sample in samples:
            said = sure_edge.run(whole_pixels((sure_copy / sample["file"]).read_bytes()))
            sample["edge"] = {"float32": said.probabilities.tolist()}
            sample["edge_unknown"] = how({"float32": said.unknown})
        file.write_text(json.dumps(samples))
        restate_unknown(lambda unknown: unknown)  # lists it anew

    return change


def test_another_variants_unknown_score_is_not_enough_for_an_edge_graph(sure_copy, sure_edge, state_edge):
    state_edge(lambda unknown: {"int8": unknown["float32"]})
    with pytest.raises(BundleError, match="lacks the edge unknown score of float32 for golden/"):
        check_golden(open_bundle(sure_copy), sure_edge)


def test_samples_from_before_edge_graphs_had_unknown_scores_are_checked_too(sure_copy, sure_edge, state_edge):
    state_edge(lambda _: {})
    assert check_golden(open_bundle(sure_copy), sure_edge) > 3
