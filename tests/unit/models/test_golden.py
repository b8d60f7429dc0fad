import json
from dataclasses import replace

import numpy as np
import onnxruntime as ort
import pytest

from models.bundle import open_bundle
from models.classifier import Classifier
from models.errors import BundleError
from models.golden import GoldenSample, check_golden, dump_golden


def test_every_sample_of_a_sound_bundle_agrees(bundle, classifier):
    samples = json.loads((bundle / "golden" / "expected.json").read_text())
    assert check_golden(open_bundle(bundle), classifier) == len(samples)
    assert {"photo", "non_square", "exif_rotated", "transparent"} == {sample["kind"] for sample in samples}


def test_the_format_on_disk_is_this_one():
    sample = GoldenSample(file="golden/a.jpg", kind="photo", probabilities={"float32": (0.25, 0.75)})
    assert json.loads(dump_golden((sample,))) == [
        {"file": "golden/a.jpg", "kind": "photo", "probabilities": {"float32": [0.25, 0.75]}}
    ]


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
        ("float32", 0.0, True),
        ("float32", 9e-4, True),
        ("float32", -9e-4, True),
        ("float32", 2e-3, False),
        ("float32", -2e-3, False),
        ("float32", np.nan, False),
        ("int8", 0.0, True),
        ("int8", 0.049, True),
        ("int8", 0.051, False),
        ("int8", -0.051, False),
        ("int8", np.nan, False),
    ],
)
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
