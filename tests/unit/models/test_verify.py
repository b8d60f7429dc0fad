import json
import shutil
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
from onnx import helper
from typer.testing import CliRunner

from hangtag.cli import make_app
from models.bundle import open_bundle
from models.errors import BundleError
from models.verify import Aspect, Verification, verify

from .full_bundle import FILES, complete, list_anew

MODELS = [name for files in FILES.values() for name in files.values()]


@pytest.fixture(scope="module")
def whole(sure_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle with every kind of file; not to be changed."""
    folder = Path(shutil.copytree(sure_bundle, tmp_path_factory.mktemp("whole") / "whole"))
    complete(folder)
    return folder


@pytest.fixture
def copy(whole: Path, tmp_path: Path) -> Path:
    """The same, to be spoiled."""
    return Path(shutil.copytree(whole, tmp_path / "copy"))


def said(found: Verification, aspect: Aspect, subject: str) -> bool | None:
    (check,) = [check for check in found.checks if (check.aspect, check.subject) == (aspect, subject)]
    return check.sound


def change(copy: Path, name: str, how: Callable[[onnx.ModelProto], None]) -> None:
    """Change a model and list it anew."""
    model = onnx.load(copy / name)
    how(model)
    onnx.save(model, copy / name)
    list_anew(copy, name)


def test_of_a_sound_bundle_everything_is_looked_at(whole: Path) -> None:
    found = verify(whole)
    assert found.sound
    assert found.digest == open_bundle(whole).digest
    assert [check.sound for check in found.checks] == [True] * (2 + 2 * len(MODELS))
    for name in MODELS:
        assert said(found, Aspect.METADATA, name)
        assert said(found, Aspect.GOLDEN, name)


def test_progress_names_every_file(whole: Path) -> None:
    told: list[str] = []
    verify(whole, told.append)
    assert set(told) == {"manifest.json", *open_bundle(whole).manifest.files}


def test_all_faults_are_found_not_only_the_first(copy: Path) -> None:
    (copy / "parity.json").unlink()
    (copy / "model.ort").write_bytes(b"another")
    (copy / "labels.txt").write_text("another\n")
    found = verify(copy)
    assert sorted(fault.subject for fault in found.faults) == ["labels.txt", "model.ort", "parity.json"]
    assert said(found, Aspect.LABELS, "labels.txt") is None
    assert said(found, Aspect.GOLDEN, "model.ort") is None, "what is not the exported file is not loaded"
    assert said(found, Aspect.GOLDEN, "model.onnx")


def test_golden_samples_that_are_not_as_exported_prove_nothing(copy: Path) -> None:
    (copy / "golden" / "transparent.png").unlink()
    found = verify(copy)
    assert [fault.subject for fault in found.faults] == ["golden/transparent.png"]
    assert {said(found, Aspect.GOLDEN, name) for name in MODELS} == {None}
    assert {said(found, Aspect.METADATA, name) for name in MODELS} == {True}


@pytest.mark.parametrize("name", ["model.int8.onnx", "edge.onnx", "edge.int8.onnx"])
def test_another_network_is_found_by_the_golden_samples_of_that_file_alone(copy: Path, name: str) -> None:
    def scale(model: onnx.ModelProto) -> None:
        largest = max(model.graph.initializer, key=lambda weights: len(weights.raw_data))
        largest.raw_data = bytes(len(largest.raw_data))

    change(copy, name, scale)
    found = verify(copy)
    assert [(fault.aspect, fault.subject) for fault in found.faults] == [(Aspect.GOLDEN, name)]


@pytest.mark.parametrize("name", ["model.int8.onnx", "edge.onnx"])
def test_metadata_of_every_model_must_agree_with_the_manifest(copy: Path, name: str) -> None:
    def rename(model: onnx.ModelProto) -> None:
        metadata = json.loads(model.metadata_props[0].value)
        helper.set_model_props(model, {"hangtag": json.dumps(metadata | {"name": "another"})})

    change(copy, name, rename)
    found = verify(copy)
    (fault,) = found.faults
    assert (fault.aspect, fault.subject) == (Aspect.METADATA, name)
    assert "disagree on name" in fault.detail


@pytest.mark.parametrize(("place", "other"), [("model.int8.onnx", "edge.int8.onnx"), ("edge.onnx", "model.onnx")])
def test_a_model_of_the_other_kind_is_found(copy: Path, place: str, other: str) -> None:
    shutil.copy(copy / other, copy / place)
    list_anew(copy, place)
    faults = {(fault.aspect, fault.subject): fault.detail for fault in verify(copy).faults}
    assert "got one of the other kind" in faults[Aspect.METADATA, place]


def test_what_is_no_model_is_a_fault_of_it(copy: Path) -> None:
    (copy / "edge.ort").write_bytes(b"no model")
    list_anew(copy, "edge.ort")
    found = verify(copy)
    (fault,) = found.faults
    assert "Expected an ONNX model" in fault.detail
    assert said(found, Aspect.GOLDEN, "edge.ort") is None


def test_a_model_that_fails_when_it_runs_is_a_fault_of_it(copy: Path) -> None:
    def break_off(model: onnx.ModelProto) -> None:
        """What comes of one photo is made into rows of two."""
        graph = model.graph
        classes = graph.output[0].type.tensor_type.shape.dim[1].dim_value
        last = next(node for node in graph.node if "probabilities" in node.output)
        last.output[0] = "before"
        graph.initializer.append(helper.make_tensor("shape", onnx.TensorProto.INT64, [2], [2, classes]))
        graph.node.append(helper.make_node("Reshape", ["before", "shape"], ["probabilities"]))

    change(copy, "model.onnx", break_off)
    (fault,) = verify(copy).faults
    assert (fault.aspect, fault.subject) == (Aspect.GOLDEN, "model.onnx")
    assert "Expected model.onnx to run, ONNX Runtime answered" in fault.detail


def test_files_that_are_not_listed_are_named_and_no_fault(copy: Path) -> None:
    (copy / "golden" / "notes.txt").write_text("read me")
    (copy / ".hidden").touch()
    (copy / "away").symlink_to(copy.parent)
    found = verify(copy)
    assert found.sound
    assert found.unlisted == (".hidden", "away", "golden/notes.txt")


@pytest.mark.parametrize("name", ["model.onnx", "edge.onnx", "model.int8.ort", "edge.ort"])
def test_of_a_lone_file_what_it_says_of_itself_is_looked_at(whole: Path, name: str) -> None:
    found = verify(whole / name)
    assert found.sound
    assert [check.aspect for check in found.checks] == [Aspect.METADATA, Aspect.ANSWER]


def test_a_lone_file_that_gives_no_probabilities_is_refused(copy: Path) -> None:
    def shift(model: onnx.ModelProto) -> None:
        last = next(node for node in model.graph.node if "probabilities" in node.output)
        last.output[0] = "before"
        model.graph.initializer.append(helper.make_tensor("one", onnx.TensorProto.FLOAT, [], [1.0]))
        model.graph.node.append(helper.make_node("Add", ["before", "one"], ["probabilities"]))

    change(copy, "model.onnx", shift)
    (fault,) = verify(copy / "model.onnx").faults
    assert "sum to 1" in fault.detail


def test_a_lone_file_that_is_no_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "page.onnx").write_text("<html>")
    found = verify(tmp_path / "page.onnx")
    assert not found.sound
    assert found.model is None


def test_where_there_is_no_bundle_nothing_can_be_verified(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="Expected a bundle"):
        verify(tmp_path)


def test_the_command_shows_a_table_and_leaves_with_0(whole: Path) -> None:
    result = CliRunner().invoke(make_app(), ["verify", str(whole)])
    assert result.exit_code == 0
    assert result.stdout.count("✓") == 3 + 2 * len(MODELS)
    assert open_bundle(whole).digest in result.stdout


def test_the_command_shows_each_fault_and_leaves_with_5(copy: Path) -> None:
    (copy / "parity.json").unlink()
    (copy / "model.ort").write_bytes(b"another")
    (copy / "notes.txt").touch()
    result = CliRunner().invoke(make_app(), ["verify", str(copy)])
    assert result.exit_code == 5
    assert "✗ parity.json: Expected parity.json in the bundle" in result.stdout
    assert "✗ model.ort: " in result.stdout
    assert "2 faults" in result.stdout
    assert "notes.txt" in result.stdout


def test_the_command_prints_json(copy: Path) -> None:
    (copy / "parity.json").unlink()
    result = CliRunner().invoke(make_app(), ["verify", str(copy), "--json"])
    assert result.exit_code == 5
    printed = json.loads(result.stdout)
    assert printed["sound"] is False
    assert [c["subject"] for c in printed["checks"] if c["sound"] is False] == ["parity.json"]
    assert set(printed) == {"path", "model", "digest", "sound", "checks", "unlisted"}
