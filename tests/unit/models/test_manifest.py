import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import BundleError
from models.manifest import Manifest, Variant, parse_manifest, parse_metadata
from models.preprocess import Decode, Fit, PreprocessSpec

SHA = "0" * 64
LABEL = st.text(st.characters(exclude_characters="\n\r", codec="utf-8"), min_size=1)
PROBABILITY = st.floats(0.0, 1.0)
FILE_NAME = st.from_regex(r"[a-z0-9_-]{1,8}(/[a-z0-9_-]{1,8}){0,2}\.onnx", fullmatch=True)
SPEC = st.builds(
    PreprocessSpec,
    size=st.integers(16, 1024),
    fit=st.sampled_from(Fit),
    decode=st.sampled_from(Decode),
    dct_floor=st.integers(1, 2),
)


@st.composite
def manifests(draw):
    labels = tuple(draw(st.lists(LABEL, min_size=2, max_size=6, unique=True)))
    thresholds = st.lists(PROBABILITY, min_size=len(labels), max_size=len(labels)).map(tuple)
    temperature = st.floats(0.0, exclude_min=True, allow_infinity=False)
    variant = st.builds(Variant, file=FILE_NAME, temperature=temperature, thresholds=thresholds)
    variants = draw(st.dictionaries(st.text(), variant, min_size=1, max_size=3))
    return Manifest(
        schema_version=1,
        name=draw(st.text(min_size=1)),
        version=draw(st.text()),
        arch=draw(st.text()),
        labels=labels,
        preprocess=draw(SPEC),
        default_variant=draw(st.sampled_from(sorted(variants))),
        variants=variants,
        files={variant.file: SHA for variant in variants.values()},
        accuracy=draw(st.none() | PROBABILITY),
        made_with=draw(st.dictionaries(st.text(), st.text(), max_size=3)),
    )


@given(manifests())
def test_what_is_written_is_what_is_read(manifest):
    assert parse_manifest(manifest.model_dump_json(indent=1), "manifest.json") == manifest
    assert parse_manifest(manifest.model_dump_json().encode(), "manifest.json") == manifest


@given(manifests())
def test_the_metadata_of_each_variant_is_read_back_and_agrees(manifest):
    for name, variant in manifest.variants.items():
        metadata = parse_metadata(manifest.metadata(name).model_dump_json(), "model.onnx")
        assert metadata == manifest.metadata(name)
        assert (metadata.labels, metadata.preprocess) == (manifest.labels, manifest.preprocess)
        assert (metadata.temperature, metadata.thresholds) == (variant.temperature, variant.thresholds)


def sound():
    return {
        "schema_version": 1,
        "name": "shop",
        "version": "20261121T000000Z",
        "arch": "cnn",
        "labels": ["bag", "shoe"],
        "preprocess": {"size": 32, "fit": "pad", "decode": "dct", "dct_floor": 1},
        "default_variant": "float32",
        "variants": {"float32": {"file": "model.onnx", "temperature": 1.0, "thresholds": [0.5, 0.5]}},
        "files": {"model.onnx": SHA},
        "accuracy": 0.9,
        "made_with": {"hangtag": "0.1.0"},
    }


def test_the_format_on_disk_is_this_one():
    manifest = parse_manifest(json.dumps(sound()), "manifest.json")
    assert manifest.labels == ("bag", "shoe")
    assert json.loads(manifest.model_dump_json()) == sound()


def refusal(manifest):
    with pytest.raises(BundleError) as caught:
        parse_manifest(json.dumps(manifest), "here/manifest.json")
    assert "here/manifest.json" in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("key", sorted(sound()))
def test_every_key_must_be_there(key):
    manifest = sound()
    del manifest[key]
    assert key in refusal(manifest)


@pytest.mark.parametrize("place", [(), ("preprocess",), ("variants", "float32")])
def test_a_key_too_many_is_refused(place):
    manifest = sound()
    part = manifest
    for step in place:
        part = part[step]
    part["colour"] = "red"
    assert ".".join([*place, "colour"]) in refusal(manifest)


@pytest.mark.parametrize("version", [2, 0, "1", None, [1]])
def test_another_schema_version_says_to_upgrade(version):
    message = refusal({**sound(), "schema_version": version})
    assert f"Expected schema_version 1 in here/manifest.json, got {version!r}" in message
    assert "upgrade Hangtag" in message


def test_a_newer_version_is_named_before_its_new_keys_are_refused():
    assert "upgrade Hangtag" in refusal({"schema_version": 2, "all": "different"})


@pytest.mark.parametrize(
    "name", ["../x", "/x", "a/../../x", "a\\b", "a//b", "./a", "a/", "a/./b", "..", "", "x" * 201, "C:\\x"]
)
def test_a_file_name_that_leaves_the_bundle_is_refused(name):
    assert "files" in refusal({**sound(), "files": {"model.onnx": SHA, name: SHA}})


@pytest.mark.parametrize("digest", ["", "0" * 63, "0" * 65, "A" * 64, "g" * 64, "0" * 64 + "\n"])
def test_a_digest_is_64_lower_case_hexadecimal_digits(digest):
    assert "files" in refusal({**sound(), "files": {"model.onnx": digest}})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": ["shoe", "shoe"]}, "expected each label once"),
        ({"labels": ["shoe"]}, "labels"),
        ({"labels": ["bag", ""]}, "labels.1"),
        ({"labels": ["bag", "shoe\nsock"]}, "labels.1"),
        ({"labels": ["bag", "shoe\r"]}, "labels.1"),
        ({"labels": ["bag", "hat", "shoe"]}, "thresholds: expected 3, got 2"),
        ({"default_variant": "int8"}, r"expected one of ['float32'], got 'int8'"),
        ({"variants": {}}, "variants"),
        ({"files": {}}, "'model.onnx' is not listed under files"),
        ({"name": ""}, "name"),
        ({"accuracy": 1.1}, "accuracy"),
        ({"accuracy": "0.9"}, "accuracy"),
    ],
)
def test_a_manifest_that_disagrees_with_itself_is_refused(change, message):
    assert message in refusal({**sound(), **change})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"thresholds": [0.5]}, "thresholds: expected 2, got 1"),
        ({"thresholds": [0.5, 1.5]}, "thresholds.1"),
        ({"thresholds": [0.5, float("nan")]}, "thresholds.1"),
        ({"temperature": 0.0}, "temperature"),
        ({"temperature": float("inf")}, "temperature"),
        ({"file": "../model.onnx"}, "file"),
    ],
)
def test_a_variant_that_cannot_be_used_is_refused(change, message):
    manifest = sound()
    manifest["variants"]["float32"].update(change)
    assert message in refusal(manifest)


@pytest.mark.parametrize(
    "text",
    [b"", b"{", b"\xff\xfe", b"[]", b"null", b"1", b"[" * 100_000],
    ids=["empty", "cut off", "no text", "a list", "null", "a number", "too deep"],
)
def test_what_is_no_manifest_raises_a_bundle_error(text):
    with pytest.raises(BundleError):
        parse_manifest(text, "manifest.json")


def test_metadata_without_a_threshold_for_each_label_is_refused():
    metadata = parse_manifest(json.dumps(sound()), "manifest.json").metadata("float32")
    with pytest.raises(BundleError, match="thresholds"):
        parse_metadata(metadata.model_copy(update={"thresholds": (0.5,)}).model_dump_json(), "model.onnx")
