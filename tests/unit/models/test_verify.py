import json
import shutil
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
from onnx import helper

from models.bundle import open_bundle
from models.verify import Aspect, Verification, verify
from tests.command import run_hangtag
from tests.variants import list_anew

MODELS = ("model.onnx", "edge.onnx", "model.int8.onnx", "edge.int8.onnx")


def outcome(verification: Verification, aspect: Aspect, subject: str) -> bool | None:
    (check,) = [check for check in verification.checks if (check.check, check.subject) == (aspect, subject)]
    return check.sound


def faults(path: Path) -> list[tuple[Aspect, str]]:
    return [(fault.check, fault.subject) for fault in verify(path).faults]


def change(copy: Path, name: str, how: Callable[[onnx.ModelProto], None]) -> None:
    model = onnx.load(copy / name)
    how(model)
    onnx.save(model, copy / name)
    list_anew(copy, name)


def zero_the_weights(model: onnx.ModelProto) -> None:
    largest = max(model.graph.initializer, key=lambda weights: len(weights.raw_data))
    largest.raw_data = bytes(len(largest.raw_data))


def rename(model: onnx.ModelProto) -> None:
    metadata = json.loads(model.metadata_props[0].value)
    helper.set_model_props(model, {"hangtag": json.dumps(metadata | {"name": "another"})})


def put_behind(model: onnx.ModelProto, operator: str, other: onnx.TensorProto) -> None:
    last = next(node for node in model.graph.node if "probabilities" in node.output)
    last.output[0] = "before"
    model.graph.initializer.append(other)
    model.graph.node.append(helper.make_node(operator, ["before", other.name], ["probabilities"]))


def test_of_a_sound_bundle_everything_is_looked_at(golden_bundle: Path) -> None:
    named: list[str] = []
    verification = verify(golden_bundle, named.append)
    assert verification.sound
    assert verification.digest == open_bundle(golden_bundle).digest
    assert [check.sound for check in verification.checks] == [True] * (2 + 2 * len(MODELS))
    for name in MODELS:
        assert outcome(verification, Aspect.METADATA, name)
        assert outcome(verification, Aspect.GOLDEN, name)
    assert set(named) == {"manifest.json", *open_bundle(golden_bundle).manifest.files}


def test_all_faults_are_found_not_only_the_first(copy: Path) -> None:
    (copy / "parity.json").unlink()
    (copy / "edge.onnx").write_bytes(b"another")
    (copy / "labels.txt").write_text("another\n")
    verification = verify(copy)
    assert sorted(fault.subject for fault in verification.faults) == ["edge.onnx", "labels.txt", "parity.json"]
    assert outcome(verification, Aspect.LABELS, "labels.txt") is None
    assert outcome(verification, Aspect.GOLDEN, "edge.onnx") is None, "what is not the exported file is not loaded"
    assert outcome(verification, Aspect.GOLDEN, "model.onnx")


def test_golden_samples_that_are_not_as_exported_prove_nothing(copy: Path) -> None:
    (copy / "golden" / "transparent.png").unlink()
    verification = verify(copy)
    assert [fault.subject for fault in verification.faults] == ["golden/transparent.png"]
    assert {outcome(verification, Aspect.GOLDEN, name) for name in MODELS} == {None}
    assert {outcome(verification, Aspect.METADATA, name) for name in MODELS} == {True}


@pytest.mark.parametrize("name", MODELS)
def test_another_network_is_found_by_the_golden_samples_of_that_file_alone(copy: Path, name: str) -> None:
    change(copy, name, zero_the_weights)
    assert faults(copy) == [(Aspect.GOLDEN, name)]


@pytest.mark.parametrize("name", ["model.int8.onnx", "edge.onnx"])
def test_metadata_of_every_model_must_agree_with_the_manifest(copy: Path, name: str) -> None:
    change(copy, name, rename)
    assert faults(copy) == [(Aspect.METADATA, name)]


@pytest.mark.parametrize(("place", "other"), [("model.int8.onnx", "edge.int8.onnx"), ("edge.onnx", "model.onnx")])
def test_a_model_of_the_other_kind_is_found(copy: Path, place: str, other: str) -> None:
    shutil.copy(copy / other, copy / place)
    list_anew(copy, place)
    assert (Aspect.METADATA, place) in faults(copy)


def test_what_is_no_model_is_a_fault_of_it(copy: Path) -> None:
    (copy / "edge.onnx").write_bytes(b"no model")
    list_anew(copy, "edge.onnx")
    assert faults(copy) == [(Aspect.METADATA, "edge.onnx")]
    assert outcome(verify(copy), Aspect.GOLDEN, "edge.onnx") is None


def test_a_model_that_fails_when_it_runs_is_a_fault_of_it(copy: Path) -> None:
    pairs = helper.make_tensor("shape", onnx.TensorProto.INT64, [2], [2, 8])  # rows of two photos, where one is given
    change(copy, "model.onnx", lambda model: put_behind(model, "Reshape", pairs))
    assert faults(copy) == [(Aspect.GOLDEN, "model.onnx")]


def test_files_that_are_not_listed_are_named_and_no_fault(copy: Path) -> None:
    (copy / "golden" / "notes.txt").write_text("read me")
    (copy / ".hidden").touch()
    (copy / "away").symlink_to(copy.parent)
    verification = verify(copy)
    assert verification.sound
    assert verification.unlisted == (".hidden", "away", "golden/notes.txt")


@pytest.mark.parametrize("name", ["model.onnx", "edge.int8.onnx"])
def test_a_lone_files_metadata_and_output_are_checked(golden_bundle: Path, name: str) -> None:
    verification = verify(golden_bundle / name)
    assert verification.sound
    assert [check.check for check in verification.checks] == [Aspect.METADATA, Aspect.ANSWER]


def test_a_lone_file_that_gives_no_probabilities_is_refused(copy: Path) -> None:
    one = helper.make_tensor("one", onnx.TensorProto.FLOAT, [], [1.0])
    change(copy, "model.onnx", lambda model: put_behind(model, "Add", one))
    assert faults(copy / "model.onnx") == [(Aspect.ANSWER, "model.onnx")]


def test_the_command_leaves_with_0_or_5_and_prints_json(golden_bundle: Path, copy: Path) -> None:
    done = run_hangtag("verify", golden_bundle)
    assert done.returncode == 0
    assert done.stdout.count("✓") == 3 + 2 * len(MODELS)
    assert open_bundle(golden_bundle).digest in done.stdout
    (copy / "parity.json").unlink()
    assert run_hangtag("verify", copy).returncode == 5
    refused = run_hangtag("verify", copy, "--json")
    assert refused.returncode == 5
    printed = json.loads(refused.stdout)
    assert printed["sound"] is False
    assert [one["subject"] for one in printed["checks"] if one["sound"] is False] == ["parity.json"]
    assert set(printed) == {"path", "model", "digest", "sound", "checks", "unlisted"}
