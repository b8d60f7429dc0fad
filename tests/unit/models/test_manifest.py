import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.bundle import open_bundle
from models.drift import Reference
from models.errors import BundleError
from models.golden import GoldenSamples
from models.manifest import Manifest, ModelMetadata, parse_file
from models.statistics.confidence import UnknownLimit
from tests.variants import GOLDEN

SHA = "0" * 64
LABEL = st.text(st.characters(exclude_characters="\n\r", codec="utf-8"), min_size=1)
FINITE = st.floats(allow_nan=False, allow_infinity=False)


@st.composite
def manifests(draw):
    """The golden manifest with other labels, texts and numbers."""
    manifest = open_bundle(GOLDEN).manifest
    changes = {
        "temperature": draw(st.floats(0.0, exclude_min=True, allow_infinity=False)),
        "unknown": draw(
            st.none() | st.builds(UnknownLimit, score=st.just("distance"), limit=FINITE, kept=st.floats(0.0, 1.0))
        ),
    }
    variants = {name: variant.model_copy(update=changes) for name, variant in manifest.variants.items()}
    texts = {key: draw(st.text(min_size=1)) for key in ("name", "version", "arch")}
    labels = draw(st.lists(LABEL, min_size=8, max_size=8, unique=True))
    return manifest.model_copy(update={**texts, "labels": tuple(labels), "variants": variants})


@given(manifests())
def test_what_is_written_is_what_is_read(manifest):
    assert parse_file(Manifest, manifest.model_dump_json(), "manifest.json") == manifest
    for name, variant in manifest.variants.items():
        metadata = parse_file(ModelMetadata, manifest.metadata(name).model_dump_json(), "model.onnx")
        assert metadata == manifest.metadata(name)
        assert (metadata.labels, metadata.preprocess) == (manifest.labels, manifest.preprocess)
        assert all(getattr(metadata, key) == value for key, value in variant if key in type(metadata).model_fields)


def sound():
    """The manifest in its written form."""
    return json.loads((GOLDEN / "manifest.json").read_text())


TARGET = sound()["variants"]["float32"]["targets"][0]


@pytest.mark.parametrize(
    ("kind", "file"),
    [(Manifest, "manifest.json"), (Reference, "reference.json"), (GoldenSamples, "golden/expected.json")],
)
def test_each_golden_file_is_read_and_written_again_as_it_is(kind, file):
    text = (GOLDEN / file).read_text()
    assert json.loads(parse_file(kind, text, file).model_dump_json()) == json.loads(text)


def test_the_model_rules_by_the_target_of_its_own_precision():
    metadata = open_bundle(GOLDEN).manifest.metadata("float32")
    assert metadata.thresholds == tuple(TARGET["thresholds"])
    none = metadata.model_copy(update={"precision": None})
    assert none.thresholds == (None,) * 8


def refused_at(manifest):
    with pytest.raises(BundleError, match="here") as caught:
        parse_file(Manifest, json.dumps(manifest), "here/manifest.json")
    return str(caught.value)


@pytest.mark.parametrize("key", sorted(sound()))
def test_every_key_must_be_there(key):
    manifest = sound()
    del manifest[key]
    assert ("version 1" if key == "schema_version" else key) in refused_at(manifest)


@pytest.mark.parametrize("place", [(), ("preprocess",), ("measured",), ("variants", "float32")])
def test_a_key_too_many_is_refused(place):
    manifest = sound()
    part = manifest
    for step in place:
        part = part[step]
    part["colour"] = "red"
    assert ".".join([*place, "colour"]) in refused_at(manifest)


@pytest.mark.parametrize("version", [2, 0, "1", None, [1]])
def test_another_version_is_refused_before_its_keys_are_looked_at(version):
    assert f"version 1 of the format in here/manifest.json, got {version!r}" in refused_at({"schema_version": version})


@pytest.mark.parametrize(
    "name", ["../x", "/x", "a/../../x", "a\\b", "a//b", "./a", "a/", "a/./b", "..", "", "x" * 201, "C:\\x"]
)
def test_a_file_name_that_leaves_the_bundle_is_refused(name):
    assert "files" in refused_at({**sound(), "files": {**sound()["files"], name: SHA}})


@pytest.mark.parametrize("digest", ["", "0" * 63, "0" * 65, "A" * 64, "g" * 64, "0" * 64 + "\n"])
def test_a_digest_is_64_lower_case_hexadecimal_digits(digest):
    assert "files" in refused_at({**sound(), "files": {"model.onnx": digest}})


LABELS = sound()["labels"]
IN_TREE = {"nodes": {"worn": 0.5}, "level_coverage": [0.4, 0.1]}


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"labels": [LABELS[0], *LABELS[:-1]]}, "labels"),
        ({"labels": ["", *LABELS[1:]]}, "labels.0"),
        ({"labels": ["shoe\nsock", *LABELS[1:]]}, "labels.0"),
        ({"labels": [*LABELS, "more"]}, "targets.0.thresholds"),
        ({"default_variant": "float16"}, "default_variant"),
        ({"variants": {}}, "variants"),
        ({"files": {}}, "model.onnx"),
        ({"name": ""}, "name"),
        ({"measured": {"accuracy": 1.1, "photos": 9, "split": "test"}}, "measured.accuracy"),
        ({"taxonomy": {"hat": "worn", "worn": "hat"}}, "taxonomy"),
        ({"taxonomy": {"belt": "worn"}}, "taxonomy"),
        ({"taxonomy": {"hat": "worn"}}, "targets.0.nodes"),
    ],
)
def test_a_manifest_that_disagrees_with_itself_is_refused(change, place):
    assert place in refused_at({**sound(), **change})


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"targets": [TARGET, TARGET]}, "targets"),
        ({"targets": [{**TARGET, "thresholds": [0.5], "class_coverage": [0.5], "rows": [1]}]}, "targets.0.thresholds"),
        ({"targets": [{**TARGET, "rows": [1]}]}, "targets.0"),
        ({"targets": [{**TARGET, **IN_TREE}]}, "targets.0.nodes"),
        ({"precision": 0.93}, "precision"),
        ({"targets": []}, "precision"),
        ({"unknown": {"score": "guess", "limit": 0.0, "kept": 0.95}}, "unknown.score"),
        ({"unknown": {"score": "distance", "limit": float("nan"), "kept": 0.95}}, "unknown.limit"),
        ({"targets": [{**TARGET, "thresholds": [*TARGET["thresholds"][1:], 1.5]}]}, "thresholds.7"),
        ({"temperature": 0.0}, "temperature"),
        ({"file": "../model.onnx"}, "file"),
    ],
)
def test_a_variant_that_cannot_be_used_is_refused(change, place):
    manifest = sound()
    manifest["variants"]["float32"].update(change)
    assert place in refused_at(manifest)


@pytest.mark.parametrize(
    "text",
    [b"", b"{", b"\xff\xfe", b"[]", b"null", b"1", b"[" * 100_000, b'{"schema_version": 1, "schema_version": 1}'],
    ids=["empty", "cut off", "no text", "a list", "null", "a number", "too deep", "a name twice"],
)
def test_what_is_no_manifest_raises_a_bundle_error(text):
    with pytest.raises(BundleError, match=r"manifest\.json"):
        parse_file(Manifest, text, "manifest.json")


def test_a_tree_of_labels_is_read_back_from_manifest_and_metadata():
    written = sound() | {"taxonomy": {"hat": "worn"}}
    for variant in written["variants"].values():
        variant["targets"] = [one | IN_TREE for one in variant["targets"]]
    manifest = parse_file(Manifest, json.dumps(written), "manifest.json")
    assert json.loads(manifest.model_dump_json()) == written
    metadata = parse_file(ModelMetadata, manifest.metadata("float32").model_dump_json(), "model.onnx")
    assert metadata.tree.path("hat") == "worn > hat"
    assert metadata.targets[0].nodes == {"worn": 0.5}
