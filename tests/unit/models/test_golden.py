import numpy as np
import pytest

from models.bundle import open_bundle
from models.classifier import load_network
from models.errors import BundleError
from models.golden import GOLDEN_FILE, check_golden, golden_labels
from tests.variants import rewrite

MODELS = ("model.onnx", "edge.onnx", "model.int8.onnx", "edge.int8.onnx")


def check(bundle, file):
    opened = open_bundle(bundle)
    return check_golden(opened, load_network(opened.read(file), file))


def change_answers(bundle, file, how):
    rewrite(bundle, GOLDEN_FILE, lambda expected: [how(sample["answers"][file]) for sample in expected["samples"]])


def shift(by):
    def move(answer):
        answer["probabilities"][int(np.argmax(answer["probabilities"]))] += by

    return move


def scale_unknown(by):
    def scale(answer):
        answer["unknown"] *= 1 + by

    return scale


@pytest.mark.parametrize("file", MODELS)
def test_every_sample_of_a_sound_bundle_agrees(golden_bundle, file):
    assert check(golden_bundle, file) == 9


@pytest.mark.parametrize(
    ("file", "by", "agrees"),
    [
        ("model.onnx", 9e-4, True), ("model.onnx", -9e-4, True), ("model.onnx", 2e-3, False),
        ("model.onnx", -2e-3, False), ("edge.onnx", 2e-3, False), ("edge.onnx", 9e-4, True),
        ("model.int8.onnx", 0.049, True), ("model.int8.onnx", 0.051, False), ("model.int8.onnx", -0.051, False),
        ("edge.int8.onnx", 0.049, True), ("edge.int8.onnx", 0.051, False),
    ],
)  # fmt: skip
def test_each_model_has_the_tolerance_of_its_variant(copy, file, by, agrees):
    change_answers(copy, file, shift(by))
    if agrees:
        assert check(copy, file) == 9
    else:
        with pytest.raises(BundleError, match=f"{file} .* probabilities"):
            check(copy, file)


@pytest.mark.parametrize(
    ("file", "by", "agrees"),
    [
        ("model.onnx", 0.009, True), ("model.onnx", -0.009, True), ("model.onnx", 0.5, False),
        ("edge.onnx", 0.5, False), ("model.int8.onnx", 0.09, True), ("model.int8.onnx", 0.9, False),
    ],
)  # fmt: skip
def test_unknown_scores_may_be_off_by_a_part_of_their_size(copy, file, by, agrees):
    change_answers(copy, file, scale_unknown(by))
    if agrees:
        assert check(copy, file) == 9
    else:
        with pytest.raises(BundleError, match=f"{file} .* out-of-distribution scores"):
            check(copy, file)


@pytest.mark.parametrize("file", ["model.onnx", "edge.onnx"])
@pytest.mark.parametrize(
    "how",
    [
        lambda answer: answer.update(unknown=None),
        lambda answer: answer["probabilities"].pop(),
        lambda answer: answer.clear(),
    ],
    ids=["no out-of-distribution score", "a probability too few", "nothing"],
)
def test_an_answer_that_lacks_something_is_refused(copy, file, how):
    change_answers(copy, file, how)
    with pytest.raises(BundleError):
        check(copy, file)


def test_samples_of_another_model_prove_nothing(copy):
    rewrite(copy, GOLDEN_FILE, lambda expected: [sample["answers"].pop("edge.onnx") for sample in expected["samples"]])
    with pytest.raises(BundleError, match=r"lacks probabilities of edge\.onnx"):
        check(copy, "edge.onnx")
    assert check(copy, "model.onnx") == 9


def test_a_golden_photo_out_of_the_list_is_refused(copy):
    rewrite(copy, "manifest.json", lambda manifest: manifest["files"].pop("golden/transparent.png"))
    with pytest.raises(BundleError, match=r"golden/transparent\.png"):
        check(copy, "model.onnx")


def test_photos_that_the_model_labels_alone_have_their_class(golden_bundle, unsure_bundle):
    labels = golden_labels(open_bundle(golden_bundle), "float32")
    assert 0 < len(labels) < 6
    assert set(labels.values()) <= set(open_bundle(golden_bundle).manifest.labels)
    assert golden_labels(open_bundle(unsure_bundle), "float32") == {}
