import numpy as np
import onnx
import pytest
from PIL import Image

from exporter.edge.build import edge_graph
from models.classifier import load_edge
from models.fit import Fit
from models.manifest import METADATA_KEY
from models.preprocess import preprocess_image
from models.verify import Aspect, verify
from tests.unit.exporter.edge.materials import SIZE, classifier_of, metadata_of, model_of


def noise(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("fit", Fit)
@pytest.mark.parametrize("unknown", [False, True])
@pytest.mark.parametrize("classes", [2, 3, 40])
def test_a_photos_result_is_the_models_result_for_its_pixels(classes, unknown, fit):
    metadata = metadata_of(classes, fit, unknown)
    model = model_of(metadata)
    edge, classifier = load_edge(edge_graph(model, metadata), "edge"), classifier_of(model, metadata)
    for height, width in ((40, 30), (1, 1), (3000, 7), (7, 3000), (SIZE, SIZE)):
        photo = noise(height, width)
        answer = edge.run(photo)
        scores = classifier.score(preprocess_image(Image.fromarray(photo), metadata.preprocess)[np.newaxis])
        assert answer.probabilities == pytest.approx(scores.probabilities[0], abs=1e-6)
        assert answer.label == scores.probabilities[0].argmax()
        assert answer.confidence == answer.probabilities[answer.label]
        (decided,) = classifier.decide(scores, 1)
        assert answer.review == decided.review
        assert answer.unknown == (pytest.approx(scores.unknown[0], abs=1e-6) if unknown else None)


def ruled_by(thresholds, unknown=False):
    metadata = metadata_of(3, unknown=unknown)
    target = metadata.targets[0].model_copy(update={"thresholds": thresholds})
    return metadata.model_copy(update={"targets": (target,)})


def review_of(metadata):
    return load_edge(edge_graph(model_of(metadata), metadata), "edge").run(noise(30, 20)).review


@pytest.mark.parametrize(
    ("thresholds", "limit", "review"),
    [
        ((0.0, 0.0, 0.0), 1.0, False),
        ((1.0, 1.0, 1.0), 1.0, True),
        ((None, None, None), 1.0, True),
        ((0.0, 0.0, 0.0), -1.0, True),
        ((0.0, 0.0, 0.0), None, False),
    ],
)
def test_the_thresholds_and_the_limit_say_whether_a_person_should_look(thresholds, limit, review):
    metadata = ruled_by(thresholds, unknown=limit is not None)
    if limit is not None:
        metadata = metadata.model_copy(update={"unknown": metadata.unknown.model_copy(update={"limit": limit})})
    assert review_of(metadata) is review


def test_without_a_promise_a_person_should_look_at_every_photo():
    assert review_of(ruled_by((0.0, 0.0, 0.0)).model_copy(update={"precision": None})) is True


def test_an_edge_graph_that_spares_a_review_without_a_promise_is_refused(tmp_path):
    promised = ruled_by((0.0, 0.0, 0.0))
    graph = onnx.load_from_string(edge_graph(model_of(promised), promised))
    unpromised = promised.model_copy(update={"precision": None})
    onnx.helper.set_model_props(graph, {METADATA_KEY: unpromised.model_dump_json()})
    onnx.save(graph, tmp_path / "edge.onnx")
    assert [fault.check for fault in verify(tmp_path / "edge.onnx").faults] == [Aspect.ANSWER]


def test_a_confidence_at_its_threshold_is_enough():
    metadata = metadata_of(3)
    confidence = load_edge(edge_graph(model_of(metadata), metadata), "edge").run(noise(30, 20)).confidence
    for threshold, review in ((confidence, False), (float(np.nextafter(np.float32(confidence), np.float32(1))), True)):
        assert review_of(ruled_by((threshold,) * 3)) is review
