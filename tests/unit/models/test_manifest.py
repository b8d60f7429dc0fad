import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import BundleError
from models.fit import Decode, Fit
from models.manifest import Manifest, Quantization, Variant, parse_manifest, parse_metadata
from models.preprocess import PreprocessSpec
from models.statistics.confidence import PrecisionTarget, UnknownLimit

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


FINITE = st.floats(allow_nan=False, allow_infinity=False)
LIMIT = st.builds(UnknownLimit, score=st.sampled_from(["energy", "distance"]), limit=FINITE, kept=PROBABILITY)


QUANTIZATION = st.builds(
    Quantization, weight_bits=st.sampled_from([7, 8]), float_layers=st.lists(st.text()), photos=st.integers(1, 512)
)


def one_each(labels, values):
    return st.lists(values, min_size=labels, max_size=labels).map(tuple)


@st.composite
def rules(draw, labels):
    """A variant of so many labels."""
    thresholds = one_each(labels, st.none() | PROBABILITY)
    target = st.builds(
        PrecisionTarget,
        precision=PROBABILITY,
        thresholds=thresholds,
        coverage=PROBABILITY,
        class_coverage=thresholds,
        rows=one_each(labels, st.integers(0, 9)),
    )
    targets = tuple(draw(st.lists(target, max_size=3, unique_by=lambda target: target.precision)))
    return Variant(
        file=draw(FILE_NAME),
        edge=draw(st.none() | FILE_NAME),
        ort=draw(st.none() | FILE_NAME),
        edge_ort=draw(st.none() | FILE_NAME),
        quantization=draw(st.none() | QUANTIZATION),
        accuracy=draw(st.none() | PROBABILITY),
        temperature=draw(st.floats(0.0, exclude_min=True, allow_infinity=False)),
        thresholds=draw(thresholds),
        precision=draw(st.sampled_from([None, *(target.precision for target in targets)])),
        targets=targets,
        unknown=draw(st.none() | LIMIT),
    )


@st.composite
def manifests(draw):
    labels = tuple(draw(st.lists(LABEL, min_size=2, max_size=6, unique=True)))
    variants = draw(st.dictionaries(st.text(), rules(len(labels)), min_size=1, max_size=3))
    return Manifest(
        schema_version=1,
        name=draw(st.text(min_size=1)),
        version=draw(st.text()),
        arch=draw(st.text()),
        labels=labels,
        preprocess=draw(SPEC),
        default_variant=draw(st.sampled_from(sorted(variants))),
        default_because=draw(st.none() | st.text()),
        variants=variants,
        files={name: SHA for variant in variants.values() for name in variant.files.values()},
        accuracy=draw(st.none() | PROBABILITY),
        made_with=draw(st.dictionaries(st.text(), st.text(), max_size=3)),
    )


@given(manifests())
def test_what_is_written_is_what_is_read(manifest):
    assert parse_manifest(manifest.model_dump_json(), "manifest.json") == manifest
    assert parse_manifest(manifest.dump(), "manifest.json") == manifest


@given(manifests())
def test_the_metadata_of_each_variant_is_read_back_and_agrees(manifest):
    for name, variant in manifest.variants.items():
        metadata = parse_metadata(manifest.metadata(name).model_dump_json(), "model.onnx")
        assert metadata == manifest.metadata(name)
        assert (metadata.labels, metadata.preprocess) == (manifest.labels, manifest.preprocess)
        assert all(getattr(metadata, key) == value for key, value in variant if key in type(metadata).model_fields)


TARGET = {
    "precision": 0.98,
    "thresholds": [0.75, None],
    "coverage": 0.5,
    "class_coverage": [0.8, None],
    "rows": [40, 40],
}


def sound():
    """As it is written now."""
    manifest = older() | {"default_because": "int8 is 1.42 times as fast as float32"}
    manifest["files"] |= {"edge.onnx": SHA, "model.ort": SHA}
    manifest["variants"]["float32"] |= {
        "edge": "edge.onnx",
        "ort": "model.ort",
        "edge_ort": None,
        "quantization": {"weight_bits": 7, "float_layers": ["conv_1"], "photos": 512},
        "accuracy": 0.75,
        "thresholds": [0.75, None],
        "precision": 0.98,
        "targets": [TARGET],
        "unknown": {"score": "energy", "limit": -2.5, "kept": 0.95},
    }
    return manifest


def older():
    """As it was written before there were precisions."""
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
    assert json.loads(manifest.dump()) == sound()
    assert (
        json.loads(parse_manifest(json.dumps(sound() | {"default_because": None}), "").dump()).keys() == older().keys()
    )


def test_a_manifest_from_before_there_were_precisions_still_loads():
    manifest = parse_manifest(json.dumps(older()), "manifest.json")
    variant = manifest.variants["float32"]
    assert variant.thresholds == (0.5, 0.5)
    assert (variant.precision, variant.targets, variant.unknown) == (None, (), None)
    assert manifest.default_because is None
    written = {"precision", "targets", "unknown"}
    old_metadata = manifest.metadata("float32").model_dump_json(exclude=written)
    assert parse_metadata(old_metadata, "model.onnx") == manifest.metadata("float32")


def refusal(manifest):
    with pytest.raises(BundleError) as caught:
        parse_manifest(json.dumps(manifest), "here/manifest.json")
    assert "here/manifest.json" in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("key", sorted(older()))
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
        ({"thresholds": [0.5]}, "float32.thresholds: expected 2, got 1"),
        ({"targets": [TARGET, TARGET]}, "float32.targets: expected each precision once"),
        (
            {"targets": [{**TARGET, "thresholds": [0.5], "class_coverage": [0.5], "rows": [1]}]},
            "targets.0.thresholds: expected 2, got 1",
        ),
        ({"targets": [{**TARGET, "rows": [1]}]}, "expected one of each for every class"),
        ({"precision": 0.9}, "float32.precision: expected one of [0.98], got 0.9"),
        ({"targets": []}, "float32.precision: expected one of [], got 0.98"),
        ({"unknown": {"score": "guess", "limit": 0.0, "kept": 0.95}}, "unknown.score"),
        ({"unknown": {"score": "energy", "limit": float("nan"), "kept": 0.95}}, "unknown.limit"),
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


def in_tree():
    """As it is written of a model with a tree of labels."""
    manifest = sound() | {"taxonomy": {"bag": "worn"}}
    manifest["variants"]["float32"]["targets"] = [TARGET | {"nodes": {"worn": 0.5}, "level_coverage": [0.4, 0.1]}]
    return manifest


def test_a_tree_of_labels_is_read_back_from_manifest_and_metadata():
    manifest = parse_manifest(json.dumps(in_tree()), "manifest.json")
    assert json.loads(manifest.dump()) == in_tree()
    metadata = parse_metadata(manifest.metadata("float32").dump(), "model.onnx")
    assert metadata.tree.path("bag") == "worn > bag"
    assert metadata.targets[0].nodes == {"worn": 0.5}


def test_without_a_tree_earlier_versions_can_read_it():
    manifest = parse_manifest(json.dumps(sound()), "manifest.json")
    assert json.loads(manifest.dump()) == sound()
    said = json.loads(manifest.metadata("float32").dump())
    assert "taxonomy" not in said
    assert said["targets"] == [TARGET]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"taxonomy": {"bag": "worn", "worn": "bag"}}, "circle of parents"),
        ({"taxonomy": {"belt": "worn"}}, "found none called 'belt'"),
        ({"taxonomy": {"bag": "all", "shoe": "all"}}, "all classes are under 'all'"),
        ({"taxonomy": {"bag": "other"}}, r"targets.0.nodes: expected those of the taxonomy, got worn"),
        ({"taxonomy": None}, r"targets.0.nodes: expected those of the taxonomy, got worn"),
    ],
)
def test_a_tree_that_disagrees_with_labels_or_thresholds_is_refused(change, said):
    with pytest.raises(BundleError, match=said):
        parse_manifest(json.dumps(in_tree() | change), "manifest.json")
