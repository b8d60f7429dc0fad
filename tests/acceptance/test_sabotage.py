"""A sabotaged bundle is refused by ``verify``, ``label`` and ``hangtag.load``, each time with the reason.

``label`` and ``hangtag.load`` check the files that they use: the manifest, the labels, one model; ``label`` also checks
the golden samples.

Without a signature, a bundle with consistent changes to all files, the golden samples and the manifest passes. But
``verify`` prints another SHA-256.
"""

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
from onnx import external_data_helper, helper
from typer.testing import CliRunner

import hangtag
from hangtag.cli import make_app
from models.errors import BundleError
from tests.variants import list_anew

GIGABYTE = 1024**3


@pytest.fixture
def copy(bundle: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(bundle, tmp_path / "copy"))


def verify(copy: Path) -> tuple[int, str]:
    result = CliRunner().invoke(make_app(), ["verify", str(copy)], env={"COLUMNS": "500"})
    return (
        (5, str(result.exception)) if isinstance(result.exception, BundleError) else (result.exit_code, result.stdout)
    )


def label(copy: Path) -> tuple[int, str]:
    arguments = ["label", str(copy / "golden"), "--model", str(copy), "--out", str(copy.parent / "labels.csv")]
    result = CliRunner().invoke(make_app(), arguments)
    assert isinstance(result.exception, BundleError), result.output
    assert not (copy.parent / "labels.csv").exists()
    return int(result.exception.exit_code), str(result.exception)


def load(copy: Path) -> tuple[int, str]:
    with pytest.raises(BundleError) as refused:
        hangtag.load(copy)
    return int(refused.value.exit_code), str(refused.value)


def restate(copy: Path, **changes: object) -> None:
    manifest = json.loads((copy / "manifest.json").read_text())
    (copy / "manifest.json").write_text(json.dumps({**manifest, **changes}))


def change_model(copy: Path, how: Callable[[onnx.ModelProto], None]) -> None:
    model = onnx.load(copy / "model.onnx")
    how(model)
    onnx.save(model, copy / "model.onnx")
    list_anew(copy, "model.onnx")


def flip_a_byte(copy: Path, name: str = "model.onnx") -> None:
    model = bytearray((copy / name).read_bytes())
    model[len(model) // 2] ^= 1
    (copy / name).write_bytes(model)


def reorder_labels(copy: Path) -> None:
    labels = (copy / "labels.txt").read_text().splitlines()
    (copy / "labels.txt").write_text("".join(f"{name}\n" for name in reversed(labels)))


def reorder_labels_and_list_them_anew(copy: Path) -> None:
    reorder_labels(copy)
    list_anew(copy, "labels.txt")


def reorder_labels_everywhere_but_in_the_model(copy: Path) -> None:
    reorder_labels_and_list_them_anew(copy)
    restate(copy, labels=(copy / "labels.txt").read_text().splitlines())


def change_the_preprocessing(copy: Path) -> None:
    restate(copy, preprocess=json.loads((copy / "manifest.json").read_text())["preprocess"] | {"fit": "stretch"})


def claim_another_size_everywhere(copy: Path) -> None:
    def claim(model: onnx.ModelProto) -> None:
        metadata = json.loads(model.metadata_props[0].value)
        metadata["preprocess"]["size"] = 64
        helper.set_model_props(model, {"hangtag": json.dumps(metadata)})

    change_model(copy, claim)
    restate(copy, preprocess=json.loads((copy / "manifest.json").read_text())["preprocess"] | {"size": 64})


def lose_a_file(copy: Path) -> None:
    (copy / "model.onnx").unlink()


def climb_out(copy: Path) -> None:
    shutil.move(copy / "model.onnx", copy.parent / "model.onnx")
    files = json.loads((copy / "manifest.json").read_text())["files"]
    restate(copy, files={**files, "../model.onnx": files["model.onnx"]})


def link_out(copy: Path) -> None:
    shutil.move(copy / "model.onnx", copy.parent / "model.onnx")
    (copy / "model.onnx").symlink_to(copy.parent / "model.onnx")


def list_a_file_twice_by_case(copy: Path) -> None:
    files = json.loads((copy / "manifest.json").read_text())["files"]
    restate(copy, files={**files, "Model.ONNX": files["model.onnx"]})


def state_the_labels_twice(copy: Path) -> None:
    text = (copy / "manifest.json").read_text().rstrip()
    (copy / "manifest.json").write_text(f'{text.removesuffix("}")}, "labels": ["a", "b"]}}')


def swell_the_manifest(copy: Path) -> None:
    os.truncate(copy / "manifest.json", GIGABYTE)


def replace_the_manifest_by_a_pipe(copy: Path) -> None:
    (copy / "manifest.json").unlink()
    os.mkfifo(copy / "manifest.json")


def keep_weights_elsewhere(copy: Path) -> None:
    def move_out(model: onnx.ModelProto) -> None:
        weights = max(model.graph.initializer, key=lambda tensor: len(tensor.raw_data))
        (copy.parent / "weights.bin").write_bytes(weights.raw_data)
        external_data_helper.set_external_data(weights, "weights.bin", length=len(weights.raw_data))
        weights.ClearField("raw_data")

    model = onnx.load(copy / "model.onnx")
    move_out(model)
    (copy / "model.onnx").write_bytes(model.SerializeToString())
    list_anew(copy, "model.onnx")


SABOTAGE = [
    (flip_a_byte, r"model\.onnx is not the file that was exported: expected SHA-256 \w+…, got \w+…; copy the bundle"),
    (reorder_labels, r"labels\.txt is not the file that was exported"),
    (reorder_labels_and_list_them_anew, r"labels\.txt and the manifest name different labels"),
    (reorder_labels_everywhere_but_in_the_model, r"and the metadata of model\.onnx disagree on labels;"),
    (change_the_preprocessing, r"and the metadata of model\.onnx disagree on preprocess;"),
    (claim_another_size_everywhere, r"Expected one input image, uint8 \[batch, 64, 64, 3\] .*32, 32, 3\]"),
    (lose_a_file, r"Expected model\.onnx in the bundle \S+, but it is missing; copy the bundle again"),
    (climb_out, r"expected a plain path inside the bundle, got '\.\./model\.onnx'"),
    (link_out, r"model\.onnx in the bundle \S+ leads outside, to \S+; do not use the bundle"),
    (
        list_a_file_twice_by_case,
        r"expected names that differ in more than upper and lower case, got 'model\.onnx' and 'Model\.ONNX'",
    ),
    (state_the_labels_twice, r"Expected JSON in \S+, got something else \('labels' comes twice\)"),
    (swell_the_manifest, r"Expected at most 67,108,864 bytes in manifest\.json .* found 1,073,741,824"),
    (replace_the_manifest_by_a_pipe, r"Expected a bundle \(a folder with manifest\.json\)"),
    (keep_weights_elsewhere, r"Expected an ONNX model in \S+/model\.onnx, but ONNX Runtime refused it .*[Ee]xternal"),
]


@pytest.mark.parametrize("entry", [verify, label, load], ids=lambda entry: entry.__name__)
@pytest.mark.parametrize(("sabotage", "message"), SABOTAGE, ids=[sabotage.__name__ for sabotage, _ in SABOTAGE])
def test_a_sabotaged_bundle_is_refused(
    copy: Path,
    monkeypatch: pytest.MonkeyPatch,
    entry: Callable[[Path], tuple[int, str]],
    sabotage: Callable[[Path], None],
    message: str,
) -> None:
    monkeypatch.chdir(copy.parent)  # the folder with the external weights
    sabotage(copy)
    status, said = entry(copy)
    assert status == 5
    assert re.search(message, said), said


def test_a_file_that_is_not_used_is_looked_at_by_verify_alone(edge_bundle: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(edge_bundle, tmp_path / "copy"))
    flip_a_byte(copy, "edge.onnx")
    status, said = verify(copy)
    assert status == 5
    assert re.search(r"edge\.onnx is not the file that was exported: expected SHA-256 \w+…, got \w+…", said), said
    assert hangtag.load(copy).labels


def change_the_weights(copy: Path) -> None:
    def scale(model: onnx.ModelProto) -> None:
        weights = max(model.graph.initializer, key=lambda tensor: len(tensor.raw_data))
        weights.raw_data = bytes(len(weights.raw_data))

    change_model(copy, scale)


def preprocess_otherwise_everywhere(copy: Path) -> None:
    def claim(model: onnx.ModelProto) -> None:
        metadata = json.loads(model.metadata_props[0].value)
        metadata["preprocess"]["fit"] = "stretch"
        helper.set_model_props(model, {"hangtag": json.dumps(metadata)})

    change_model(copy, claim)
    change_the_preprocessing(copy)


@pytest.mark.parametrize("entry", [verify, label], ids=lambda entry: entry.__name__)
@pytest.mark.parametrize(
    "forgery",
    [change_the_weights, preprocess_otherwise_everywhere],
    ids=lambda forgery: forgery.__name__,
)
def test_a_forgery_whose_sha256_is_right_is_refused_by_the_golden_samples(
    copy: Path, entry: Callable[[Path], tuple[int, str]], forgery: Callable[[Path], None]
) -> None:
    forgery(copy)
    status, said = entry(copy)
    assert status == 5
    assert "this machine's probabilities differ by" in said
