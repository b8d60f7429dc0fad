import hashlib
import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.bundle import Bundle, open_bundle
from models.classifier import load
from models.errors import BundleError, InputError
from models.golden import check_golden
from models.manifest import Manifest, Variant
from models.preprocess import PreprocessSpec


def test_a_file_is_read_as_it_was_exported(bundle):
    assert open_bundle(bundle).read("model.onnx") == (bundle / "model.onnx").read_bytes()


def test_a_file_that_is_not_listed_is_not_read(copy):
    (copy / "notes.txt").write_text("read me")
    with pytest.raises(BundleError, match=r"notes\.txt.*it is not listed"):
        open_bundle(copy).read("notes.txt")


def test_a_file_that_is_gone_by_now_is_a_bundle_error(copy):
    opened = open_bundle(copy)
    (copy / "model.onnx").unlink()
    with pytest.raises(BundleError, match=r"model\.onnx"):
        opened.read("model.onnx")


def prove(path: Path) -> int:
    """What ``verify`` and a starting worker do."""
    return check_golden(open_bundle(path), load(path))


def change_the_thresholds(copy, _forge, restate):
    manifest = open_bundle(copy).manifest
    restate(
        variants={"float32": {"file": "model.onnx", "temperature": 1.0, "thresholds": [0.0] * len(manifest.labels)}}
    )


def link_the_golden_folder_out_of_the_bundle(copy, _forge, _restate):
    (copy / "golden").rename(copy.parent / "golden")
    (copy / "golden").symlink_to(copy.parent / "golden")


def link_the_model_to_itself(copy, _forge, _restate):
    (copy / "model.onnx").unlink()
    (copy / "model.onnx").symlink_to("model.onnx")


def expect_a_probability_too_few(copy, forge, _restate):
    samples = json.loads((copy / "golden" / "expected.json").read_text())
    samples[0]["probabilities"]["float32"].pop()
    forge("golden/expected.json", json.dumps(samples).encode())


def expect_nothing_of_this_variant(copy, forge, _restate):
    samples = json.loads((copy / "golden" / "expected.json").read_text())
    samples[0]["probabilities"] = {"int8": samples[0]["probabilities"]["float32"]}
    forge("golden/expected.json", json.dumps(samples).encode())


def expect_in_another_format(_copy, forge, _restate):
    forge("golden/expected.json", b'[{"file": "golden/photo-0.jpg"}]')


def carry_no_golden_samples(_copy, forge, _restate):
    forge("golden/expected.json", b"[]")


def carry_a_golden_photo_that_cannot_be_read(_copy, forge, _restate):
    forge("golden/non-square.jpg", b"no photo")


SABOTAGE = [
    (change_the_thresholds, r"disagree on thresholds, precision, targets;"),
    (link_the_golden_folder_out_of_the_bundle, r"golden/\S+ in the bundle \S+ leads out of it"),
    (link_the_model_to_itself, r"model\.onnx"),
    (expect_a_probability_too_few, r"expected\.json lacks probabilities of float32 for golden/"),
    (expect_nothing_of_this_variant, r"expected\.json lacks probabilities of float32 for golden/"),
    (expect_in_another_format, r"expected\.json is not as it should be"),
    (carry_no_golden_samples, r"Expected golden samples in \S+, found none"),
    (carry_a_golden_photo_that_cannot_be_read, r"non-square\.jpg"),
]
"""Beside what ``tests/acceptance/test_sabotage.py`` does to a bundle."""


@pytest.mark.parametrize(("sabotage", "message"), SABOTAGE, ids=[sabotage.__name__ for sabotage, _ in SABOTAGE])
def test_a_spoiled_bundle_is_refused(copy, forge, restate, sabotage, message):
    sabotage(copy, forge, restate)
    with pytest.raises(BundleError, match=message):
        prove(copy)


@pytest.mark.parametrize("place", ["nowhere", "file.onnx/inside"])
def test_where_no_bundle_is_none_is_found(tmp_path, place):
    (tmp_path / "file.onnx").touch()
    with pytest.raises(InputError, match=re.escape(str(tmp_path / place))):
        open_bundle(tmp_path / place)


def manifest_of(files, labels=("bag", "shoe")):
    return Manifest(
        schema_version=1, name="shop", version="", arch="cnn", labels=labels,
        preprocess=PreprocessSpec(size=32), default_variant="float32",
        variants={"float32": Variant(file="model.onnx", temperature=1.0, thresholds=(0.5,) * len(labels))},
        files={"model.onnx": "0" * 64, **files}, accuracy=None, made_with={},
    )  # fmt: skip


@pytest.mark.parametrize("name", ["a\0b", "é" * 200, ".", "..."], ids=["nul", "long", "dot", "dots"])
def test_a_listed_name_that_no_file_can_have_is_missing(tmp_path, name):
    (tmp_path / "model.onnx").touch()
    (tmp_path / "manifest.json").write_text(manifest_of({name: "0" * 64}).model_dump_json())
    with pytest.raises(BundleError):
        open_bundle(tmp_path)


@given(
    labels=st.lists(
        st.text(st.characters(exclude_characters="\n\r", codec="utf-8"), min_size=1), min_size=2, unique=True
    )
)
def test_labels_of_any_letters_agree_with_labels_txt(tmp_path_factory, labels):
    folder = tmp_path_factory.mktemp("bundle")
    text = "".join(f"{label}\n" for label in labels).encode()  # as the exporter writes it
    (folder / "labels.txt").write_bytes(text)
    manifest = manifest_of({"labels.txt": hashlib.sha256(text).hexdigest()}, tuple(labels))
    Bundle(folder, manifest, "").check_labels()
