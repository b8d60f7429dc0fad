"""Bundles with all that can be asked for."""

import json

import numpy as np
import pytest

from exporter.options import ExportOptions
from models.bundle import open_bundle
from models.classifier import load
from models.edge import load_edge
from models.errors import ParityError

ALL = ExportOptions(int8=True, float16=True, edge=True, ort=True, max_drop=100.0, default_variant="int8")
FILES = {
    "model.onnx",
    "model.int8.onnx",
    "model.float16.onnx",
    "edge.onnx",
    "edge.int8.onnx",
    "edge.float16.onnx",
    "model.ort",
    "model.int8.ort",
    "edge.ort",
    "edge.int8.ort",
    "required_operators.config",
    "labels.txt",
    "manifest.json",
    "parity.json",
    "benchmark.json",
    "reference.json",
    "README.md",
    "golden",
}


@pytest.fixture(scope="module")
def whole(small_run, tmp_path_factory):
    from exporter.load_tensorflow import load_tensorflow

    load_tensorflow()
    from exporter.export import export_run

    return export_run(small_run, tmp_path_factory.mktemp("whole") / "bundle", ALL)


def test_the_bundle_holds_what_was_asked_for_and_lists_it(whole):
    assert {path.name for path in whole.bundle.iterdir()} == FILES
    manifest = open_bundle(whole.bundle).manifest
    assert {name for name in manifest.files if "/" not in name} == FILES - {"manifest.json", "golden"}
    assert set(manifest.variants) == {"float32", "int8", "float16"}
    assert (manifest.default_variant, manifest.default_because) == ("int8", "it was asked for")
    assert load(whole.bundle).metadata.variant == "int8"
    assert manifest.variants["int8"].files == {
        "file": "model.int8.onnx",
        "edge": "edge.int8.onnx",
        "ort": "model.int8.ort",
        "edge_ort": "edge.int8.ort",
    }
    assert manifest.variants["float16"].ort is None


def test_golden_samples_have_an_answer_of_every_variant_and_edge_graph(whole):
    samples = json.loads((whole.bundle / "golden" / "expected.json").read_text())
    assert samples
    for sample in samples:
        assert set(sample["probabilities"]) == set(sample["edge"]) == {"float32", "int8", "float16"}
        assert set(sample["unknown"]) == set(sample["edge_unknown"]) == {"float32", "int8", "float16"}


@pytest.mark.parametrize("variant", ["float32", "int8", "float16"])
def test_edge_graphs_say_what_their_models_say_of_a_whole_photo(whole, variant, catalogue):
    from models.fit import Decode
    from models.preprocess import preprocess, whole_pixels

    model = load(whole.bundle, variant)
    edge = load_edge((whole.bundle / open_bundle(whole.bundle).manifest.variants[variant].edge).read_bytes(), "edge")
    assert edge.metadata == model.metadata
    spec = model.metadata.preprocess.model_copy(update={"decode": Decode.FULL})
    for path in sorted(catalogue.glob("*/*.jpg"))[:3]:
        photo = whole_pixels(path.read_bytes())
        expected = model.score(preprocess(path.read_bytes(), spec)[np.newaxis])
        got = edge.run(photo)
        assert got.probabilities == pytest.approx(expected.probabilities[0], abs=1e-3)
        assert got.label == expected.probabilities[0].argmax()
        assert got.confidence == pytest.approx(expected.probabilities[0].max(), abs=1e-3)
        assert got.unknown == pytest.approx(expected.unknown[0], rel=0.02, abs=0.5)


def test_the_proof_has_the_figures_of_each_variant(whole):
    proof = json.loads((whole.bundle / "parity.json").read_text())
    assert proof["passed"]
    assert proof["keras"]["batches"]["flips_by_class"] == {}
    assert set(proof["variants"]) == {"float32", "int8", "float16"}
    for variant in proof["variants"].values():
        assert variant["edge"]["passed"]
        assert variant["edge"]["photos"] > 10
    assert proof["variants"]["int8"]["times_as_fast"] > 0
    assert proof["variants"]["int8"]["times_as_fast_with_decoding"] > 0
    card = (whole.bundle / "README.md").read_text()
    assert "times as fast in the network, " in card
    assert "times with decoding included" in card
    assert proof["default"] == {"name": "int8", "because": "it was asked for"}
    assert "int8 is used where nobody names another: it was asked for." in card
    assert proof["variants"]["int8"]["cost"]["photos"] == proof["keras"]["batches"]["photos"] - proof["golden"]
    assert proof["refused"] == {}


def test_the_card_names_every_file_and_says_how_to_use_it(whole):
    card = (whole.bundle / "README.md").read_text()
    names = FILES - {"golden"} | {"golden/"}
    assert [name for name in names if f"`{name}`" not in card] == []
    for words in ("```python", "```js", "```cpp", "hangtag verify", "right on every processor", "points of accuracy"):
        assert words in card


def test_the_python_of_the_card_runs(whole, catalogue, tmp_path):
    """The example without Hangtag, as a person would copy it."""
    import subprocess
    import sys

    card = (whole.bundle / "README.md").read_text()
    (example,) = (part.split("```")[0] for part in card.split("```python\n") if "InferenceSession" in part)
    photo = min(catalogue.glob("*/*.jpg"))
    (tmp_path / "edge.onnx").write_bytes((whole.bundle / "edge.onnx").read_bytes())
    (tmp_path / "shoe.jpg").write_bytes(photo.read_bytes())
    done = subprocess.run([sys.executable, "-c", example], cwd=tmp_path, capture_output=True, text=True, check=True)
    label, confidence, status = done.stdout.split()
    assert status in {"labeled", "review"}
    assert label in load(whole.bundle).labels
    assert 0 < float(confidence) <= 1


def test_a_bundle_without_edge_graphs_says_how_to_get_them(bundle):
    card = (bundle / "README.md").read_text()
    assert "export with `--edge`" in card
    assert "```cpp" not in card
    assert ".ort" not in card


def test_an_edge_graph_that_disagrees_is_not_published(small_run, tmp_path, monkeypatch):
    from exporter import export
    from exporter.edge.build import edge_graph
    from exporter.proof import DisprovedError
    from models.fit import Fit

    def stretched(model, spec):
        return edge_graph(model, spec.model_copy(update={"fit": Fit.STRETCH}))

    monkeypatch.setattr(export, "edge_graph", stretched)
    with pytest.raises(
        DisprovedError, match=r"edge graph of float32 and its model disagree: .*\d+ of \d+ labels"
    ) as caught:
        export.export_run(small_run, tmp_path / "bundle", ExportOptions(edge=True))
    assert isinstance(caught.value, ParityError)
    assert not caught.value.proof.passed
    assert list(tmp_path.iterdir()) == []


def test_float32_ships_alone_where_int8_loses_too_much_and_says_why(small_run, tmp_path):
    from exporter.export import export_run

    result = export_run(small_run, tmp_path / "bundle", ExportOptions(int8=True, max_drop=-101.0))
    assert set(open_bundle(result.bundle).manifest.variants) == {"float32"}
    assert not (result.bundle / "model.int8.onnx").exists()
    refused = json.loads((result.bundle / "parity.json").read_text())["refused"]["int8"]
    assert "points of accuracy" in refused["reason"]
    assert len(refused["attempts"]) > 1
    assert "int8 was left out: it loses" in (result.bundle / "README.md").read_text()
    manifest = open_bundle(result.bundle).manifest
    assert (manifest.default_variant, manifest.default_because) == ("float32", None)
    assert "default_because" not in (result.bundle / "manifest.json").read_text(), "so that an older version reads it"


def test_float32_ships_alone_where_there_is_too_little_to_quantize_with(small_run, tmp_path):
    import shutil

    from exporter.export import export_run

    run = shutil.copytree(small_run, tmp_path / "run")
    pixels, zeros = np.zeros((3, 32, 32, 3), np.uint8), np.zeros(3, int)
    np.savez(run / "export" / "train_sample.npz", pixels=pixels, labels=zeros, groups=zeros)
    result = export_run(run, tmp_path / "bundle", ExportOptions(int8=True))
    (refusal,) = result.proof.refusals
    assert refusal.reason == "it takes 16 training photos to quantize with, and the run keeps 3"
    assert load(result.bundle).labels


def test_an_original_that_has_gone_bad_is_passed_over(small_run, tmp_path):
    import shutil

    from exporter.export import export_run

    run = shutil.copytree(small_run, tmp_path / "run")
    originals = sorted((run / "export" / "originals").iterdir())
    originals[3].write_bytes(b"gone")
    (run / "export" / "originals" / ".DS_Store").write_bytes(b"stray")
    proof = export_run(run, tmp_path / "bundle", ExportOptions(edge=True)).proof
    assert proof.variants[0].edge_parity.passed_over == (3,)


def test_a_bundle_that_does_not_repeat_its_golden_samples_is_not_published(small_run, tmp_path, monkeypatch):
    from exporter import assemble, export

    def spoiled(samples):
        wrong = [sample.model_copy(update={"probabilities": {"float32": (1.0,) + (0.0,) * 7}}) for sample in samples]
        return dump(tuple(wrong))

    dump = assemble.dump_golden
    monkeypatch.setattr(assemble, "dump_golden", spoiled)
    with pytest.raises(ParityError, match=r"does not repeat its own golden samples: .* Nothing was published"):
        export.export_run(small_run, tmp_path / "bundle")
    assert list(tmp_path.iterdir()) == []
