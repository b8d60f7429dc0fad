import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.classifier import load
from models.decision import ReviewReason, Rules, Scores, precision_text, promise_text
from models.errors import InputError
from models.statistics.thresholds import label_levels
from models.taxonomy import REVIEW, Taxonomy

LABELS = ("bag", "hat", "shoe")
RULES = Rules(LABELS, (0.5, 0.9, None), unknown_limit=None)
STRICT = Rules(LABELS, (0.5, 0.9, None), unknown_limit=2.0)


def reason(rules, row, unknown=None):
    scores = Scores(np.array([row], np.float32), None if unknown is None else np.array([unknown], np.float32))
    return rules.decide(scores, 1).rows()[0].reason


@given(row=st.lists(st.floats(0, 1, width=32), min_size=3, max_size=3), top_k=st.integers(1, 5))
def test_the_likeliest_classes_come_first(row, top_k):
    (prediction,) = RULES.decide(Scores(np.array([row], np.float32), None), top_k).rows()
    assert [confidence for _, confidence in prediction.top_k] == sorted(row, reverse=True)[:top_k]
    assert all(row[LABELS.index(label)] == confidence for label, confidence in prediction.top_k)
    assert prediction.top_k[0] == (prediction.label, prediction.confidence)


def test_equal_probabilities_go_to_the_earlier_class():
    labels = tuple(f"class {i}" for i in range(200))
    many = Rules(labels, (0.5,) * 200, None)
    (prediction,) = many.decide(Scores(np.full((1, 200), 1 / 200, np.float32), None), 200).rows()
    assert tuple(label for label, _ in prediction.top_k) == labels


@pytest.mark.parametrize("row", [[0.49, 0.3, 0.1], [0.0, 0.0, 1.0], [np.nan] * 3])
def test_a_person_looks_at_what_no_threshold_lets_pass(row):
    assert reason(RULES, row) is ReviewReason.THRESHOLD
    assert reason(RULES, [0.5, 0.3, 0.1]) is None


@given(threshold=st.floats(0, 1))
def test_a_confidence_reaches_the_threshold_that_was_found_at_it(threshold):
    assert reason(Rules(("a", "b"), (threshold, None), None), [threshold, -1.0]) is None


@pytest.mark.parametrize(
    ("unknown", "sure", "unsure"),
    [
        (1.9, None, ReviewReason.THRESHOLD),
        (2.0, None, ReviewReason.THRESHOLD),
        (2.1, ReviewReason.UNKNOWN, ReviewReason.UNKNOWN),
        (np.nan, ReviewReason.UNKNOWN, ReviewReason.UNKNOWN),
    ],
)
def test_beyond_the_limit_a_photo_is_unknown_whatever_its_confidence(unknown, sure, unsure):
    assert reason(STRICT, [0.9, 0.1, 0.0], unknown) == sure
    assert reason(STRICT, [0.4, 0.3, 0.3], unknown) == unsure


@pytest.fixture
def photos(catalogue):
    return sorted([*catalogue.glob("*/*.png"), *catalogue.glob("*/*.webp")])


@pytest.mark.parametrize(("precision", "text"), [(0.9, "0.90"), (0.98, "0.98"), (0.995, "0.995"), (1.0, "1.00")])
def test_a_precision_has_two_digits_or_as_many_as_it_takes(precision, text):
    assert precision_text(precision) == promise_text(precision) == text


def test_without_a_promise_no_photo_is_labeled(unsure_bundle, photos):
    unsure = load(unsure_bundle)
    assert unsure.all_to_review
    assert {found.reason for found in unsure.classify(photos)} == {ReviewReason.THRESHOLD}


def test_a_threshold_that_is_asked_for_labels_what_is_so_sure(unsure_bundle, photos):
    asked = load(unsure_bundle, threshold=0.4)
    assert (asked.precision, asked.threshold, asked.all_to_review) == (None, 0.4, False)
    answers = asked.classify(photos)
    assert {found.review for found in answers} == {True, False}, "some of each, to prove something"
    assert [found.review for found in answers] == [found.confidence < 0.4 for found in answers]


def test_a_threshold_takes_the_place_of_a_promise_and_the_unknown_limit_stays(sure_bundle, photos):
    asked = load(sure_bundle, threshold=0.01)
    assert asked.precision is None
    answers, limit = asked.classify(photos), asked.metadata.unknown.limit
    assert [found.reason for found in answers] == [
        ReviewReason.UNKNOWN if found.unknown > limit else None for found in answers
    ]
    assert {ReviewReason.UNKNOWN, None} == {found.reason for found in answers}


@pytest.mark.parametrize(
    "asked",
    [{"threshold": 0.0}, {"threshold": -0.1}, {"threshold": 1.01}, {"threshold": math.nan},
     {"threshold": 0.5, "precision": 0.98}],
    ids=str,
)  # fmt: skip
def test_a_threshold_that_is_no_share_or_comes_with_a_precision_is_refused(sure_bundle, asked):
    with pytest.raises(InputError, match="--threshold"):
        load(sure_bundle, **asked)


TREE = Taxonomy(
    ("boots", "dress", "hat", "sandals"), {"boots": "shoes", "sandals": "shoes", "shoes": "worn", "dress": "worn"}
)
IN_TREE = Rules(TREE.classes, (0.9, None, 0.5, 0.9), 2.0, TREE, {"shoes": 0.8, "worn": 0.95})


@pytest.mark.parametrize(
    ("row", "label", "level", "confidence", "review"),
    [
        ([0.95, 0.02, 0.01, 0.02], "boots", 0, 0.95, False),
        ([0.6, 0.1, 0.05, 0.25], "shoes", 1, 0.85, False),
        ([0.4, 0.36, 0.02, 0.22], "worn", 2, 0.98, False),
        ([0.1, 0.86, 0.02, 0.02], "worn", 2, 0.98, False),
        ([0.3, 0.3, 0.2, 0.2], "boots", 0, 0.3, True),
        ([0.3, 0.2, 0.4, 0.1], "hat", 0, 0.4, True),
    ],
)
def test_the_lowest_node_that_is_sure_enough_is_the_label(row, label, level, confidence, review):
    (found,) = IN_TREE.decide(Scores(np.array([row], np.float32), None), 2).rows()
    assert (found.label, found.label_level, found.review) == (label, level, review)
    assert found.confidence == pytest.approx(confidence)
    assert found.leaf_guess == found.top_k[0][0] == TREE.classes[int(np.argmax(row))]


def test_what_is_unlike_the_products_goes_to_review_whatever_the_tree_says():
    (found,) = IN_TREE.decide(
        Scores(np.array([[0.6, 0.1, 0.05, 0.25]], np.float32), np.array([2.1], np.float32)), 1
    ).rows()
    assert (found.label, found.reason) == ("boots", ReviewReason.UNKNOWN)


@given(st.lists(st.lists(st.floats(0, 1, width=32), min_size=4, max_size=4), min_size=1, max_size=6))
def test_a_row_is_labelled_at_the_level_that_was_proved(rows):
    scores = np.array([np.divide(row, max(1.0, sum(row))) for row in rows], np.float32)
    known = np.ones(len(scores), np.bool_)
    levels = label_levels(scores, known, IN_TREE.thresholds, IN_TREE.nodes, TREE)
    found = IN_TREE.decide(Scores(scores, None), 1).rows()
    assert [REVIEW if one.review else one.label_level for one in found] == levels.tolist()


ROWS = st.lists(st.lists(st.just(math.nan) | st.floats(0, 1, width=32), min_size=4, max_size=4), min_size=1, max_size=6)


@given(rows=ROWS, unknown=st.lists(st.just(math.nan) | st.floats(0, 4, width=32), min_size=6, max_size=6))
@pytest.mark.parametrize("rules", [IN_TREE, Rules(TREE.classes, (0.9, None, 0.5, 0.9), 2.0)])
def test_photos_are_decided_together_as_each_would_be_alone(rules, rows, unknown):
    scores = Scores(np.array(rows, np.float32), np.array(unknown[: len(rows)], np.float32))
    together = rules.decide(scores, 3).rows()
    alone = [
        rules.decide(Scores(scores.probabilities[row : row + 1], scores.unknown[row : row + 1]), 3).rows()[0]
        for row in range(len(rows))
    ]
    assert list(map(repr, together)) == list(map(repr, alone))  # NaN is not equal to itself
