"""Thresholds of a tree: each level keeps the promise, and so do all levels together."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.statistics.calibration import calibrated
from models.statistics.confidence import TARGETS, PrecisionTarget
from models.statistics.intervals import MISTRUST, lower_bound
from models.statistics.thresholds import HeldOutRows, fewest_rows, label_levels, precision_targets
from models.taxonomy import REVIEW, Taxonomy

CLASSES = tuple("abcdef")
TREE = Taxonomy(CLASSES, {"a": "ab", "b": "ab", "c": "cd", "d": "cd", "ab": "abcd", "cd": "abcd"})


def rows(count, seed, boast=1.0, wrong_labels=0.0, near=2.0):
    rng = np.random.default_rng(seed)
    logits = np.repeat(rng.normal(0, 5, (count, 3)), 2, axis=1) + rng.normal(0, near, (count, 6))
    chances = calibrated(logits.astype(np.float32), 1.0).astype(np.float64)
    labels = (rng.random((count, 1)) > chances.cumsum(axis=1)).sum(axis=1).clip(max=5)
    mixed = rng.random(count) < wrong_labels
    labels[mixed] = rng.integers(0, 6, mixed.sum())
    return HeldOutRows(
        calibrated((logits * boast).astype(np.float32), 1.0), labels, np.ones(count, bool), np.arange(count)
    )


def levels_of(held, target):
    return label_levels(held.probabilities, held.known, target.thresholds, target.nodes, TREE)


def right_at(held, level):
    return TREE.is_right(held.probabilities.argmax(axis=1), held.labels, level)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 900), st.integers(0, 2**16), st.floats(0.3, 3), st.sampled_from([0.0, 0.02]))
def test_every_level_is_proved_by_itself_and_the_record_says_what_it_labels(count, seed, boast, wrong_labels):
    held = rows(count, seed, boast, wrong_labels)
    for target in precision_targets(held, tree=TREE):
        levels = levels_of(held, target)
        for level in range(TREE.top + 1):
            chosen = levels == level
            hits = int(right_at(held, level)[chosen].sum())
            assert not chosen.any() or lower_bound(hits, int(chosen.sum()), MISTRUST / 2) >= target.precision
            assert target.level_coverage[level] == pytest.approx(chosen.mean() if count else 0)
        assert target.coverage == pytest.approx(sum(target.level_coverage))
        read = PrecisionTarget.model_validate_json(target.model_dump_json())
        assert read == target
        assert (levels_of(held, read) == levels).all()


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 900), st.integers(0, 2**16), st.floats(0.3, 3), st.floats(1, 6))
def test_a_target_labels_no_less_than_a_stricter_one_nor_fewer_classes(count, seed, boast, near):
    targets = precision_targets(rows(count, seed, boast, near=near), tree=TREE)
    for covered in ([one.coverage for one in targets], [one.level_coverage[0] for one in targets]):
        assert covered == sorted(covered, reverse=True)


def test_where_two_classes_are_mixed_up_their_node_is_sure():
    held = rows(3000, 1, near=0.5)
    target = precision_targets(held, tree=TREE)[TARGETS.index(0.98)]
    assert target.level_coverage[0] < 0.1
    assert target.level_coverage[1] > 0.3
    assert target.nodes["ab"] == target.nodes["cd"] is not None
    flat = precision_targets(held)[TARGETS.index(0.98)]
    assert flat.coverage < 0.1


def test_a_node_that_is_not_as_right_as_the_others_gets_no_threshold():
    guesses = np.repeat([0, 2], [400, 4000])
    pairs = np.where(guesses[:, None] == 0, [[0.49, 0.48, 0, 0, 0.03, 0]], [[0, 0, 0.49, 0.48, 0.03, 0]])
    labels = np.where(np.arange(4400) % 2, guesses, guesses + 1)
    labels[:100] = 4
    target = precision_targets(
        HeldOutRows(pairs.astype(np.float32), labels, np.ones(4400, bool), np.arange(4400)), tree=TREE
    )[1]
    assert target.nodes["ab"] is None
    assert target.nodes["cd"] == pytest.approx(0.97)


@pytest.mark.parametrize(
    ("boast", "wrong_labels"),
    [(1.0, 0.02), *(pytest.param(boast, 0.0, marks=pytest.mark.rest) for boast in (1.0, 2.5))],
)
def test_promises_hold_on_photos_never_seen_at_each_level_and_of_all(boast, wrong_labels):
    everyone = rows(20_000, 0, boast, wrong_labels)
    promises = broken = broken_somewhere = 0
    for seed in range(1, 31):
        for target in precision_targets(rows(600, seed, boast, wrong_labels), tree=TREE):
            levels = levels_of(everyone, target)
            hits = [right_at(everyone, level)[levels == level] for level in range(TREE.top + 1)]
            promises += 1
            labelled = np.concatenate(hits)
            broken += bool(len(labelled)) and labelled.mean() < target.precision
            broken_somewhere += any(len(level) and level.mean() < target.precision for level in hits)
    assert promises == 30 * len(TARGETS)
    assert broken / promises < 0.05
    assert broken_somewhere / promises < 0.07


def test_rows_beyond_the_unknown_limit_are_labelled_at_no_level():
    held = rows(2000, 3)
    some = HeldOutRows(held.probabilities, held.labels, np.arange(2000) % 2 == 0, held.groups)
    target = precision_targets(some, tree=TREE)[0]
    assert (levels_of(some, target)[1::2] == REVIEW).all()
    assert 0.3 < target.coverage <= 0.5


def test_networks_own_rows_must_bear_out_a_level_too():
    own, others = rows(200, 5, near=0.5), [rows(3000, 6, near=0.5)]
    proved = precision_targets(own, others, tree=TREE)[TARGETS.index(0.95)]
    assert proved.level_coverage[1] > 0.3
    wrong = HeldOutRows(own.probabilities, (own.labels + 2) % 6, own.known, own.groups)
    assert precision_targets(wrong, others, tree=TREE)[0].coverage == 0


def test_half_of_the_mistrust_is_the_classes():
    assert [fewest_rows(target, tree=True) for target in TARGETS] == [36, 74, 127, 185, 370]
    for count, covered in ((185, 1.0), (184, 0.0)):
        held = HeldOutRows(
            np.tile(np.float32([0.99, 0.01, 0, 0, 0, 0]), (count, 1)),
            np.zeros(count, int),
            np.ones(count, bool),
            np.arange(count),
        )
        assert precision_targets(held, tree=TREE)[TARGETS.index(0.98)].level_coverage[0] == covered
