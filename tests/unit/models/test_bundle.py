import hashlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.bundle import Bundle, open_bundle
from models.classifier import load
from models.drift import REFERENCE_FILE, read_reference
from models.errors import BundleError, InputError
from models.golden import GOLDEN_FILE, check_golden
from tests.variants import list_anew, rewrite


def test_a_file_that_is_not_listed_is_not_read(copy):
    (copy / "notes.txt").write_text("read me")
    with pytest.raises(BundleError, match=r"notes\.txt"):
        open_bundle(copy).read("notes.txt")


def test_a_file_that_is_gone_by_now_is_a_bundle_error(copy):
    opened = open_bundle(copy)
    (copy / "model.onnx").unlink()
    with pytest.raises(BundleError, match=r"model\.onnx"):
        opened.read("model.onnx")


def change_the_thresholds(copy):
    def lower(manifest):
        manifest["variants"]["float32"]["targets"][0]["thresholds"] = [0.0] * 8

    rewrite(copy, "manifest.json", lower)


def link_the_golden_folder_out_of_the_bundle(copy):
    (copy / "golden").rename(copy.parent / "golden")
    (copy / "golden").symlink_to(copy.parent / "golden")


def link_the_model_to_itself(copy):
    (copy / "model.onnx").unlink()
    (copy / "model.onnx").symlink_to("model.onnx")


def expect_in_another_format(copy):
    (copy / GOLDEN_FILE).write_bytes(b'{"schema_version": 1, "samples": [{"file": "golden/photo-0.jpg"}]}')
    list_anew(copy, GOLDEN_FILE)


def carry_a_golden_photo_that_cannot_be_read(copy):
    (copy / "golden/non-square.jpg").write_bytes(b"no photo")
    list_anew(copy, "golden/non-square.jpg")


SABOTAGE = {
    change_the_thresholds: "targets",
    link_the_golden_folder_out_of_the_bundle: r"golden/\S+",
    link_the_model_to_itself: r"model\.onnx",
    expect_in_another_format: r"expected\.json",
    carry_a_golden_photo_that_cannot_be_read: r"non-square\.jpg",
}
"""Beside what ``tests/acceptance/test_sabotage.py`` does to a bundle: the thing that the message names."""


@pytest.mark.parametrize("sabotage", SABOTAGE, ids=lambda sabotage: sabotage.__name__)
def test_a_spoiled_bundle_is_refused(copy, sabotage):
    sabotage(copy)
    with pytest.raises(BundleError, match=SABOTAGE[sabotage]):
        check_golden(open_bundle(copy), load(copy))


@pytest.mark.parametrize("place", ["nowhere", "file.onnx/inside"])
def test_where_no_bundle_is_none_is_found(tmp_path, place):
    (tmp_path / "file.onnx").touch()
    with pytest.raises(InputError, match=re.escape(str(tmp_path / place))):
        open_bundle(tmp_path / place)


@pytest.mark.parametrize("name", ["a\0b", "é" * 200, ".", "..."], ids=["nul", "long", "dot", "dots"])
def test_a_listed_name_that_no_file_can_have_is_missing(copy, name):
    rewrite(copy, "manifest.json", lambda manifest: manifest["files"].update({name: "0" * 64}))
    with pytest.raises(BundleError):
        open_bundle(copy)


@given(
    labels=st.lists(
        st.text(st.characters(exclude_characters="\n\r", codec="utf-8"), min_size=1), min_size=2, unique=True
    )
)
def test_labels_of_any_letters_agree_with_labels_txt(tmp_path_factory, golden_bundle, labels):
    folder = tmp_path_factory.mktemp("bundle")
    text = "".join(f"{label}\n" for label in labels).encode()  # as the exporter writes it
    (folder / "labels.txt").write_bytes(text)
    digest = {"labels.txt": hashlib.sha256(text).hexdigest()}
    manifest = open_bundle(golden_bundle).manifest.model_copy(update={"labels": tuple(labels), "files": digest})
    Bundle(folder, manifest, "").check_labels()


@pytest.mark.parametrize(
    "wrong",
    [
        {"by_label": {"boots": 3, "hats": -1, "caps": 1}},
        {"by_label": {"boots": 9}},
        {"confidence_histogram": [0] * 20},
        {"confidence_histogram": [3]},
    ],
)
def test_answers_that_cannot_be_compared_with_are_refused(copy, wrong):
    assert read_reference(open_bundle(copy), "float32").photos > 100
    rewrite(copy, REFERENCE_FILE, lambda reference: reference["variants"]["float32"].update(wrong))
    with pytest.raises(BundleError, match=r"reference\.json"):
        read_reference(open_bundle(copy), "float32")


def test_a_reference_that_lacks_the_variant_is_refused(copy):
    rewrite(copy, REFERENCE_FILE, lambda reference: reference["variants"].pop("int8"))
    with pytest.raises(BundleError, match=r"int8 in .*reference\.json"):
        read_reference(open_bundle(copy), "int8")
