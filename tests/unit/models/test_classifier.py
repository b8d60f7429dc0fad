import hashlib
import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper
from PIL import Image

from models.classifier import load
from models.errors import BundleError, ImageError, ImageFault, InputError
from models.manifest import METADATA_KEY
from models.preprocess import preprocess
from tests.variants import list_anew


@pytest.fixture(scope="module")
def photos(catalogue):
    found = sorted(catalogue.glob("*/*.png")) + sorted(catalogue.glob("*/*.webp"))
    assert len(found) >= 10
    return (found * 4)[:40]


@pytest.fixture(scope="module")
def photo(tmp_path_factory):
    path = tmp_path_factory.mktemp("photo") / "shoe.png"
    Image.effect_noise((90, 60), 80).convert("RGB").save(path)
    return path


@pytest.fixture(scope="module")
def pixels(photos, classifier):
    return np.stack([preprocess(photo.read_bytes(), classifier.metadata.preprocess) for photo in photos])


def test_a_photo_is_labelled_alike_however_it_is_given(classifier, photo):
    with Image.open(photo) as image:
        ways = [photo, str(photo), photo.read_bytes(), image, np.asarray(image)]
        assert [classifier.classify(way) for way in ways] == [classifier.classify(photo)] * len(ways)
        assert {prediction.label for prediction in classifier.classify(ways)} == {classifier.classify(photo).label}


def test_a_list_is_answered_in_its_order(classifier, photos):
    alone = [classifier.classify(photo).label for photo in photos]
    assert len(set(alone)) > 1
    assert [prediction.label for prediction in classifier.classify(photos)] == alone
    assert [prediction.label for prediction in classifier.classify(photos[::-1])] == alone[::-1]


@settings(max_examples=20, deadline=None)
@given(cuts=st.lists(st.integers(1, 39), unique=True).map(sorted))
def test_the_batch_never_changes_a_label(classifier, pixels, cuts):
    whole = classifier.predict(pixels)
    parts = np.concatenate([classifier.predict(part) for part in np.split(pixels, cuts)])
    assert np.array_equal(parts.argmax(axis=1), whole.argmax(axis=1))
    assert np.abs(parts - whole).max() < 1e-5


def test_threads_share_a_classifier(classifier, photos):
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(classifier.classify, photos)) == [classifier.classify(photo) for photo in photos]


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((1, 32, 32, 3), np.float32),
        np.zeros((32, 32, 3), np.uint8),
        np.zeros((1, 33, 32, 3), np.uint8),
        np.zeros((1, 32, 32, 4), np.uint8),
    ],
    ids=lambda pixels: f"{pixels.dtype}{pixels.shape}",
)
def test_pixels_of_another_shape_or_dtype_are_refused(classifier, pixels):
    with pytest.raises(InputError):
        classifier.predict(pixels)


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((40, 30, 3)), np.zeros((40, 30, 4), np.uint8), np.zeros((40, 30, 1), np.uint8),
        np.zeros(40, np.uint8), np.zeros((), np.uint8), np.zeros((2, 40, 30, 3), np.uint8),
        np.zeros((1, 2, 40, 30, 3), np.uint8), [5], [None], 5, None, ("shoe.jpg",), bytearray(5),
    ],
    ids=lambda wrong: f"{wrong.dtype}{wrong.shape}" if isinstance(wrong, np.ndarray) else str(wrong),
)  # fmt: skip
def test_what_is_no_photo_is_refused(classifier, wrong):
    with pytest.raises(InputError):
        classifier.classify(wrong)


@pytest.mark.parametrize(("name", "fault"), [("gone.jpg", ImageFault.MISSING), ("page.jpg", ImageFault.UNREADABLE)])
def test_a_photo_that_cannot_be_had_is_named(classifier, tmp_path, name, fault):
    (tmp_path / "page.jpg").write_text("<html>")
    with pytest.raises(ImageError, match=name) as caught:
        classifier.classify([tmp_path / name])
    assert caught.value.fault is fault


def test_a_lone_onnx_file_says_what_the_bundle_says(bundle, classifier, photos, tmp_path):
    (tmp_path / "lone.onnx").write_bytes((bundle / "model.onnx").read_bytes())
    lone = load(str(tmp_path / "lone.onnx"))
    assert lone.metadata == classifier.metadata
    assert lone.classify(photos) == classifier.classify(photos)
    assert lone.digest == hashlib.sha256((bundle / "model.onnx").read_bytes()).hexdigest()


def test_a_photo_has_the_unknown_score_of_the_graph(sure_bundle, pixels, photos):
    sure = load(sure_bundle)
    session = ort.InferenceSession(sure_bundle / "model.onnx", providers=["CPUExecutionProvider"])
    (expected,) = session.run(["unknown"], {"image": pixels})
    assert sure.score(pixels).unknown == pytest.approx(expected, abs=1e-5)
    assert [prediction.unknown for prediction in sure.classify(photos)] == pytest.approx(expected.tolist(), abs=1e-5)


@pytest.mark.parametrize("lone", [False, True], ids=["bundle", "lone file"])
@pytest.mark.parametrize("precision", [None, 0.90, 0.98, 0.99])
def test_a_precision_rules_with_its_own_thresholds(sure_bundle, pixels, lone, precision):
    sure = load(sure_bundle / "model.onnx" if lone else sure_bundle, precision=precision)
    assert sure.precision == (precision or 0.90)
    assert sure.all_to_review is (precision == 0.99)
    table = {target.precision: target.thresholds for target in sure.metadata.targets}[precision or 0.90]
    scores = sure.score(pixels)
    strange = scores.unknown > sure.metadata.unknown.limit
    limits = np.array([2.0 if table[i] is None else table[i] for i in scores.probabilities.argmax(axis=1)], np.float32)
    expected = strange | (scores.probabilities.max(axis=1) < limits)
    assert [prediction.review for prediction in sure.decide(scores)] == expected.tolist()


def test_the_reference_names_model_and_bundle(bundle, classifier):
    manifest = json.loads((bundle / "manifest.json").read_text())
    digest = hashlib.sha256((bundle / "manifest.json").read_bytes()).hexdigest()
    assert classifier.reference == f"{manifest['name']}/{manifest['version']}/float32@{digest[:12]}"


@pytest.mark.parametrize("data", [b"", b"no model", bytes(1000)])
def test_a_lone_file_that_is_no_model_is_refused(tmp_path, data):
    (tmp_path / "model.onnx").write_bytes(data)
    with pytest.raises(BundleError, match=r"model\.onnx"):
        load(tmp_path / "model.onnx")


def test_somebody_elses_model_is_refused(tmp_path):
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "other", ends[:1], ends[1:])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), tmp_path / "m.onnx")
    with pytest.raises(BundleError, match="hangtag metadata"):
        load(tmp_path / "m.onnx")


@pytest.mark.parametrize("name", ["", "model.onnx"], ids=["bundle", "lone file"])
def test_an_edge_graph_is_refused_naming_what_to_load_instead(copy, name):
    (copy / "model.onnx").write_bytes((copy / "edge.onnx").read_bytes())
    list_anew(copy, "model.onnx")
    with pytest.raises(BundleError, match="edge graph"):
        load(copy / name)


@pytest.mark.parametrize(
    ("key", "spoil"),
    [
        ("labels", lambda labels: labels[1:]),
        ("labels", lambda labels: [labels[0], *labels[:-1]]),
        ("schema_version", lambda version: version + 1),
        ("unknown", lambda _: {"score": "distance", "limit": 0.0, "kept": 0.95}),
    ],
    ids=["a label too few", "a label twice", "another version", "a limit without a score"],
)
def test_a_lone_model_whose_metadata_is_wrong_is_refused(bundle, tmp_path, key, spoil):
    model = onnx.load(bundle / "model.onnx")
    metadata = json.loads(next(prop.value for prop in model.metadata_props if prop.key == METADATA_KEY))
    helper.set_model_props(model, {METADATA_KEY: json.dumps({**metadata, key: spoil(metadata[key])})})
    onnx.save(model, tmp_path / "model.onnx")
    with pytest.raises(BundleError, match=r"model\.onnx"):
        load(tmp_path / "model.onnx")
