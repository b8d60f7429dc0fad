import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.data.dataset import Split
from trainer.judging.evaluate import SplitPredictions
from trainer.judging.folds import assign_folds
from trainer.judging.label_errors import (
    FOLDS,
    find_label_errors,
    find_label_issues,
    out_of_fold,
)
from trainer.learning.training import Predictor
from trainer.splits.assigned import AssignedPhoto

CLASSES = ("hat", "lamp", "vase")


def photos_of(labels):
    return [AssignedPhoto(Path(f"{n:03}.jpg"), label, Split.TRAIN, f"{n}", f"{n}") for n, label in enumerate(labels)]


def found(labels, rows):
    issues = find_label_issues(photos_of(labels), np.array(rows, np.float32), CLASSES)
    return [(issue.photo.path.stem, issue.photo.label, issue.suggested) for issue in issues]


def test_a_label_is_doubted_where_another_class_is_nine_times_as_likely():
    rows = [[0.0625, 0.5625, 0.375], [0.0625, 0.5, 0.4375], [0.05, 0.5, 0.45], [0.45, 0.5, 0.05]]
    assert found(["hat"] * 4, rows) == [("002", "hat", "lamp"), ("000", "hat", "lamp")]


def clusters(counts, distance=5.0, width=8, seed=0):
    """Features around one corner a class, and the classes."""
    labels = np.repeat(np.arange(len(counts)), counts)
    noise = np.random.default_rng(seed).normal(size=(len(labels), width))
    return noise + distance * np.eye(len(counts), width)[labels], labels


def alone(labels):
    return [f"g{place:04}" for place in range(len(labels))]


def test_a_twin_of_the_same_group_tells_nothing():
    """Each photo of noise comes twice: only its twin could reveal its label."""
    rng = np.random.default_rng(0)
    labels = np.repeat(rng.integers(0, 2, 60), 2)
    features = np.repeat(rng.normal(size=(60, 800)), 2, axis=0)
    together, apart = [f"{place // 2}" for place in range(120)], alone(labels)
    right = [(out_of_fold(features, labels, g, 2, 0).argmax(axis=1) == labels).mean() for g in (together, apart)]
    assert right[0] < 0.65
    assert right[1] > 0.8


photos = st.lists(st.tuples(st.integers(0, 4), st.sampled_from("abcdefghijkl")), min_size=1, max_size=40)


@settings(deadline=None, max_examples=15)
@given(photos, st.integers(0, 9))
def test_a_class_has_a_probability_exactly_where_another_fold_has_a_photo_of_it(rows, seed):
    labels = np.array([label for label, _ in rows], np.intp)
    groups = [group for _, group in rows]
    features = np.random.default_rng(seed).normal(size=(len(rows), 6))
    with warnings.catch_warnings(action="error"):
        said = out_of_fold(features, labels, groups, 5, seed)
    folds = assign_folds(labels, groups, seed, FOLDS)
    learned = np.array([[(labels[folds != f] == label).any() for label in range(5)] for f in folds]).reshape(-1, 5)
    assert np.array_equal(said > 0, learned)
    assert said.sum(axis=1) == pytest.approx(learned.any(axis=1).astype(float), abs=1e-5)
    assert np.array_equal(said, out_of_fold(features, labels, groups, 5, seed))


@settings(deadline=None)
@given(photos, st.integers(0, 9), st.randoms(use_true_random=False))
def test_a_group_is_in_one_fold_wherever_its_photos_stand(rows, seed, random):
    labels = np.array([label for label, _ in rows], np.intp)
    folds = assign_folds(labels, [group for _, group in rows], seed, FOLDS)
    assert len({(group, fold) for (_, group), fold in zip(rows, folds, strict=True)}) == len({g for _, g in rows})
    order = list(range(len(rows)))
    random.shuffle(order)
    moved = assign_folds(labels[order], [rows[place][1] for place in order], seed, FOLDS)
    assert np.array_equal(moved, folds[order])


def test_networks_that_have_not_seen_the_photo_count_as_a_fourth_classifier():
    features, labels = clusters((60, 60))
    doubtful = np.full((120, 2), 0.5, np.float32)
    doubtful[3] = (0.0, 1.0)
    alone_, joined = (out_of_fold(features, labels, alone(labels), 2, 1, unseen) for unseen in (None, doubtful))
    assert joined[3, 1] - alone_[3, 1] == pytest.approx((1 - alone_[3, 1]) / 4, abs=1e-6)
    assert joined[3, 1] > 0.25 > alone_[3, 1]
    assert joined.sum(axis=1) == pytest.approx(1)


def test_a_photo_under_the_label_of_another_is_listed(make_training, logits_network):
    training = make_training(labels=(0, 1) * 40, held=(0, 1) * 10)
    assert find_label_errors(Predictor(logits_network(), training.store), training, None).issues == []
    wrong, also_wrong = replace(training.photos[5], label="a"), replace(training.held[0], label="b")
    photos = [*training.photos[:5], wrong, *training.photos[6:]]
    training = replace(training, photos=photos, held=[also_wrong, *training.held[1:]])
    errors = find_label_errors(Predictor(logits_network(), training.store), training, None)
    assert {(issue.photo, issue.suggested) for issue in errors.issues} == {(wrong, "b"), (also_wrong, "a")}
    assert errors.unlisted is None


def test_fold_networks_are_asked_where_they_know_every_photo(make_training, logits_network):
    training = make_training(labels=(0, 1) * 12, held=(0, 1) * 4)
    wrong = replace(training.photos[4], label="b")
    photos = [*training.photos[:4], wrong, *training.photos[5:]]
    training = replace(training, photos=photos)
    both = [*photos, *training.held]
    labels = np.array(["ab".index(photo.label) for photo in both])
    sure = np.eye(2, dtype=np.float32)[labels]  # confirms all labels, the wrong one too

    def issues(count):
        unseen = SplitPredictions(both[:count], labels[:count], sure[:count], sure[:count], None)
        return find_label_errors(Predictor(logits_network(), training.store), training, unseen).issues

    alone_ = find_label_errors(Predictor(logits_network(), training.store), training, None).issues
    assert [issue.photo for issue in alone_] == [wrong]
    assert issues(len(both) - 1) == alone_
    assert issues(len(both)) == []  # a quarter of the opinions now confirms the label


def test_without_a_class_with_enough_photos_the_reason_replaces_the_list(make_training, logits_network):
    training = make_training(labels=(0, 1) * 3, held=(0, 1))
    errors = find_label_errors(Predictor(logits_network(), training.store), training, None)
    assert errors.issues == []
    assert errors.unlisted
