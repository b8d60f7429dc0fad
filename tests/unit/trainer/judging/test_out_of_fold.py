import warnings
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.judging.folds import assign_folds
from trainer.judging.label_errors import FOLDS, out_of_fold


def clusters(counts, distance=5.0, width=8, seed=0):
    """Features around one corner a class, and the classes."""
    labels = np.repeat(np.arange(len(counts)), counts)
    noise = np.random.default_rng(seed).normal(size=(len(labels), width))
    return noise + distance * np.eye(len(counts), width)[labels], labels


def alone(labels):
    """Every photo a group of its own."""
    return [f"g{place:04}" for place in range(len(labels))]


@pytest.mark.parametrize("counts", [(60, 60), (60, 40, 20), (40,) * 8])
def test_classes_that_lie_apart_are_told_apart_by_photos_of_other_folds(counts):
    features, labels = clusters(counts)
    said = out_of_fold(features, labels, alone(labels), len(counts), 1)
    assert (said.shape, said.dtype) == ((len(labels), len(counts)), np.float32)
    assert (said.argmax(axis=1) == labels).mean() > 0.95


def test_labels_of_noise_are_not_learned():
    """What remembered them would be right far more often than one time in two."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 300)
    said = out_of_fold(rng.normal(size=(300, 64)), labels, alone(labels), 2, 0)
    assert 0.35 < (said.argmax(axis=1) == labels).mean() < 0.65
    assert said.max() < 0.9


def test_a_twin_of_the_same_group_tells_nothing():
    """Each photo of noise is there twice: only its twin could give its label away."""
    rng = np.random.default_rng(0)
    labels = np.repeat(rng.integers(0, 2, 60), 2)
    features = np.repeat(rng.normal(size=(60, 2000)), 2, axis=0)
    together, apart = [f"{place // 2}" for place in range(120)], alone(labels)
    right = [(out_of_fold(features, labels, g, 2, 0).argmax(axis=1) == labels).mean() for g in (together, apart)]
    assert right[0] < 0.65
    assert right[1] > 0.8


def test_probabilities_are_as_sure_as_they_are_right():
    features, labels = clusters((400, 400), distance=1.0, width=100)
    said = out_of_fold(features, labels, alone(labels), 2, 0)
    right = (said.argmax(axis=1) == labels).mean()
    assert 0.6 < right < 0.9
    assert said.max(axis=1).mean() == pytest.approx(right, abs=0.05)


def test_a_wrong_label_is_contradicted():
    features, labels = clusters((50, 50, 50))
    labels[3] = 2
    said = out_of_fold(features, labels, alone(labels), 3, 0)
    assert said[3].argmax() == 0
    assert said[3, 2] < 0.05


def test_a_class_of_one_group_is_learned_by_the_others_only():
    features, labels = clusters((30, 30, 8))
    groups = [*alone(labels)[:60], *["one"] * 8]
    said = out_of_fold(features, labels, groups, 3, 0)
    own_fold = assign_folds(labels, groups, 0, FOLDS) == assign_folds(labels, groups, 0, FOLDS)[-1]
    assert np.array_equal(said[:, 2] == 0, own_fold)
    assert said.sum(axis=1) == pytest.approx(1)


def test_two_photos_of_a_class_learn_from_each_other():
    features, labels = clusters((40, 2), distance=8.0)
    said = out_of_fold(features, labels, alone(labels), 2, 0)
    assert (said[-2:, 1] > 0).all()
    assert (said[:, 1] > 0).sum() > FOLDS


def test_where_nothing_was_learned_nothing_is_said():
    features, labels = clusters((3, 2))
    assert (out_of_fold(features, labels, ["one"] * 5, 2, 0) == 0).all()
    assert out_of_fold(features[:0], labels[:0], [], 2, 0).shape == (0, 2)


@pytest.mark.parametrize("features", [np.zeros((12, 4)), np.ones((12, 1)), np.repeat(np.eye(2, 3), 6, axis=0) * 1e6])
def test_features_that_do_not_vary_are_no_trouble(features):
    labels = np.repeat([0, 1], 6)
    said = out_of_fold(features, labels, alone(labels), 2, 0)
    assert np.isfinite(said).all()
    assert said.sum(axis=1) == pytest.approx(1)


photos = st.lists(st.tuples(st.integers(0, 4), st.sampled_from("abcdefghijkl")), max_size=40)


@settings(deadline=None)
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


@settings(deadline=None)
@given(st.lists(st.integers(0, 4), max_size=60), st.integers(0, 9))
def test_photos_of_each_class_are_spread_evenly(labels, seed):
    folds = assign_folds(np.array(labels, np.intp), alone(labels), seed, FOLDS)
    counts = Counter(zip(labels, folds.tolist(), strict=True))
    for label in set(labels):
        of_folds = [counts[label, fold] for fold in range(FOLDS)]
        assert max(of_folds) - min(of_folds) <= 1


def test_another_seed_makes_other_folds():
    _, labels = clusters((30, 30))
    assert len({tuple(assign_folds(labels, alone(labels), seed, FOLDS)) for seed in range(5)}) == 5
