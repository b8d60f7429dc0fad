import math

import pytest

from models.classifier import load
from models.decision import ReviewReason, precision_text, promise_text, rule_text, thresholds_for
from models.errors import InputError


@pytest.fixture
def photos(catalogue):
    return sorted(catalogue.glob("*/*.png"))


@pytest.mark.parametrize(("precision", "text"), [(0.9, "0.90"), (0.98, "0.98"), (0.995, "0.995"), (1.0, "1.00")])
def test_a_precision_has_two_digits_or_as_many_as_it_takes(precision, text):
    assert precision_text(precision) == promise_text(precision) == text


def test_a_model_without_a_promise_is_said_to_have_none():
    assert promise_text(None) == "none"


RULES = {
    (0.98, None, False): "Precision: 0.98, expected of the labeled rows.",
    (0.99, None, True): "Precision 0.99 can be promised for no class: every photo goes to review.",
    (None, None, True): "This model promises no precision: every photo goes to review. Train with more photos, or ask "
    "for labels without a promise with --threshold.",
    (None, 0.5, False): "Threshold 0.5, asked for by --threshold: no precision is promised.",
    (None, None, False): "No precision was promised: an earlier Hangtag labeled photos by the model's own thresholds "
    "all the same.",
}


@pytest.mark.parametrize("ruling", RULES)
def test_whatever_rules_is_said(ruling):
    precision, threshold, all_to_review = ruling
    assert rule_text(precision, threshold, all_to_review=all_to_review) == RULES[ruling]


def test_without_a_promise_no_photo_is_labeled(unsure_bundle, photos):
    unsure = load(unsure_bundle)
    assert unsure.all_to_review
    assert {found.reason for found in unsure.classify(photos)} == {ReviewReason.THRESHOLD}


def test_nor_by_a_bundle_of_before_whose_thresholds_promise_nothing(bundle):
    metadata = load(bundle).metadata
    assert thresholds_for(metadata, None) == metadata.thresholds == (0.5,) * len(metadata.labels)
    before = metadata.model_copy(update={"precision": None, "targets": ()})
    assert thresholds_for(before, None) == (None,) * len(metadata.labels)


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


@pytest.mark.parametrize("threshold", [0.0, -0.1, 1.01, math.nan])
def test_a_threshold_that_is_no_share_is_refused(bundle, threshold):
    with pytest.raises(InputError, match="Expected --threshold to be above 0 and at most 1"):
        load(bundle, threshold=threshold)


def test_a_precision_and_a_threshold_exclude_each_other(sure_bundle):
    with pytest.raises(InputError, match="Expected --precision or --threshold, got both"):
        load(sure_bundle, precision=0.98, threshold=0.5)
