from dataclasses import replace

import numpy as np
import pytest

from exporter.cost import drop
from exporter.edge.build import edge_graph
from exporter.edge.prove import EdgeParity, Flip, prove_edge
from models.classifier import EdgeAnswer, load_edge
from models.fit import Decode, Fit
from models.preprocess import whole_pixels
from tests.unit.exporter.edge.materials import LABELS, classifier_of, metadata_of, model_of, photo_file

PHOTOS = tuple(photo_file(30 + seed, 60 - seed, seed) for seed in range(20))


def parts(fit=Fit.PAD, unknown=False, graph_fit=None):
    metadata = metadata_of(3, fit, unknown)
    model = model_of(metadata)
    graph = edge_graph(model, metadata_of(3, graph_fit or fit, unknown))
    return load_edge(graph, "edge"), classifier_of(model, metadata)


@pytest.mark.parametrize("unknown", [False, True])
@pytest.mark.parametrize("fit", Fit)
def test_a_true_graph_passes(fit, unknown):
    parity = prove_edge(*parts(fit, unknown), PHOTOS, None)
    assert parity.passed
    assert (parity.photos, parity.passed_over, parity.flips, parity.own_flips) == (20, 0, (), ())
    assert parity.largest < 1e-6
    assert (parity.agreement, parity.own_agreement, parity.sure_agreement) == (1.0, 1.0, 1.0)
    assert parity.cost is None


@pytest.mark.parametrize(("fit", "wrong"), [(Fit.PAD, Fit.STRETCH), (Fit.STRETCH, Fit.CROP), (Fit.CROP, Fit.PAD)])
def test_a_graph_that_fits_otherwise_is_refused(fit, wrong):
    parity = prove_edge(*parts(fit, graph_fit=wrong), PHOTOS, None)
    assert not parity.passed
    assert len(parity.flips) > 1


class Wrong:
    def __init__(self, edge, change, times=1):
        self._edge, self._change, self._left, self.metadata = edge, change, times, edge.metadata

    def run(self, photo):
        answer = self._edge.run(photo)
        self._left -= 1
        return self._change(answer) if self._left >= 0 else answer


def turned(answer: EdgeAnswer) -> EdgeAnswer:
    probabilities = np.roll(answer.probabilities, 1)
    return replace(answer, probabilities=probabilities, label=int(probabilities.argmax()))


def test_unknown_scores_on_the_other_side_of_the_limit_are_refused():
    edge, classifier = parts(unknown=True)
    wrong = Wrong(edge, lambda answer: replace(answer, unknown=9.0), times=2)
    parity = prove_edge(wrong, classifier, PHOTOS, None)
    assert (parity.crossed, parity.passed) == (2, False)


def test_a_flip_is_named_with_its_labels_and_its_margin():
    edge, classifier = parts()
    parity = prove_edge(Wrong(edge, turned), classifier, PHOTOS, None)
    expected = edge.run(decoded(PHOTOS[0])).probabilities
    (flip,) = parity.flips
    assert flip.index == 0
    assert flip.expected == LABELS[int(expected.argmax())]
    assert flip.got == LABELS[int(np.roll(expected, 1).argmax())]
    assert flip.margin == pytest.approx(np.sort(expected)[-1] - np.sort(expected)[-2], abs=1e-6)
    assert parity.own_flips == parity.flips


def decoded(data):
    return whole_pixels(data)


def test_photos_that_cannot_be_decoded_are_passed_over_and_keep_their_places():
    edge, classifier = parts()
    photos = [b"no photo", PHOTOS[0], PHOTOS[1][:200], PHOTOS[2]]
    tops = [edge.run(decoded(data)).label for data in (PHOTOS[0], PHOTOS[2])]
    parity = prove_edge(Wrong(edge, turned), classifier, photos, [9, tops[0], 9, tops[1]])
    assert (parity.photos, parity.passed_over) == (2, 2)
    assert [flip.index for flip in parity.flips] == [1]
    assert (parity.cost.accuracy, parity.cost.reference) == (1 / parity.photos, 2 / parity.photos)


def test_without_a_photo_nothing_is_proved():
    parity = prove_edge(*parts(), [b"no photo"], None)
    assert (parity.photos, parity.passed_over, parity.passed) == (0, 1, False)


def test_the_models_own_decoding_is_compared_besides():
    plain = metadata_of(3, Fit.STRETCH)
    spec = plain.preprocess.model_copy(update={"decode": Decode.DCT})
    metadata = plain.model_copy(update={"preprocess": spec})
    model = model_of(metadata)
    edge, classifier = load_edge(edge_graph(model, metadata), "edge"), classifier_of(model, metadata)
    photos = [photo_file(400, 300 + seed, seed, "JPEG") for seed in range(20)]
    parity = prove_edge(edge, classifier, photos, None)
    assert parity.largest < 1e-6
    assert parity.flips == ()
    assert 0 < len(parity.own_flips) < 20
    assert parity.own_agreement == 1 - len(parity.own_flips) / 20


def test_photos_that_need_no_review_count_by_themselves():
    edge, classifier = parts()
    parity = prove_edge(Wrong(edge, turned, times=20), classifier, PHOTOS, None)
    sure = {index for index, data in enumerate(PHOTOS) if edge.run(decoded(data)).confidence >= 0.5}
    assert 0 < len(sure) < 20
    assert parity.sure == len(sure)
    assert {flip.index for flip in parity.sure_flips} == sure


FAIR = EdgeParity(1000, 0, 0.01, 0.001, 0, (), (), 800, (), 0, None, 0.5)


def cost(lost, won, photos=1000):
    truths = np.zeros(photos, int)
    own, edge = np.tile([1.0, 0.0], (photos, 1)), np.tile([1.0, 0.0], (photos, 1))
    edge[:lost] = own[lost : lost + won] = [0.0, 1.0]
    return drop(own, edge, truths)


def flips(count, margin=0.5):
    return tuple(Flip(index, "a", "b", margin) for index in range(count))


@pytest.mark.parametrize(
    ("changes", "passed"),
    [
        ({}, True),
        ({"flips": flips(2)}, True),
        ({"flips": flips(3)}, False),
        ({"flips": flips(3, 0.01)}, False),
        ({"photos": 500, "flips": flips(1)}, True),
        ({"photos": 499, "flips": flips(1)}, False),
        ({"photos": 499, "flips": flips(1, 0.02)}, True),
        ({"sure_flips": flips(4)}, True),
        ({"sure_flips": flips(5)}, False),
        ({"own_flips": flips(50)}, True),
        ({"cost": cost(5, 0)}, True),
        ({"cost": cost(20, 0)}, False),
        ({"cost": cost(20, 0), "max_drop": 1.5}, True),
        ({"cost": cost(6, 1, 256)}, True),
        ({"crossed": 2}, True),
        ({"crossed": 3}, False),
        ({"mean": 0.005}, True),
        ({"mean": 0.0051}, False),
        ({"largest": float("nan")}, False),
    ],
)
def test_the_rules_of_passing(changes, passed):
    parity = replace(FAIR, **changes)
    assert parity.passed is passed
    assert bool(parity.reasons) is not passed
