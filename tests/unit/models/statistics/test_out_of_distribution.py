import io
from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from models.errors import InputError
from models.statistics.out_of_distribution import (
    DistanceHead,
    expected_within,
    fit_distance,
    relative_difference,
    unknown_limit,
)


def clouds(rows, size=16, classes=3, seed=0, spread=0.3):
    """Features around a centre a class; the centres of all seeds are the same."""
    centres = np.random.default_rng(99).normal(0, 1, (classes + 1, size))
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, rows)
    return (centres[labels] + rng.normal(0, spread, (rows, size))).astype(np.float32), labels, centres[classes]


def saved(head):
    buffer = io.BytesIO()
    head.write(buffer)
    return buffer.getvalue()


@pytest.mark.parametrize("relative", [True, False])
def test_a_strange_cloud_scores_higher_than_known_ones(relative):
    features, labels, strange = clouds(300)
    head = fit_distance(features, labels, relative=relative)
    known, _, _ = clouds(200, seed=1)
    unknown = strange + np.random.default_rng(2).normal(0, 0.3, (200, 16))
    truth = np.repeat([0, 1], 200)
    assert roc_auc_score(truth, np.concatenate([head.score(known), head.score(unknown)])) > 0.98


@pytest.mark.parametrize(
    ("features", "labels"),
    [
        (np.ones((1, 8), np.float32), [0]),
        (np.zeros((5, 8), np.float32), [0, 0, 1, 1, 2]),
        (np.full((6, 8), 3.0, np.float32), [0, 0, 1, 1, 2, 2]),
        (np.random.default_rng(0).normal(size=(10, 64)).astype(np.float32), np.arange(10) // 2),
        (np.random.default_rng(0).normal(size=(4000, 8)).astype(np.float32), np.arange(4000) % 3000),
        (np.random.default_rng(0).normal(size=(40, 8)).astype(np.float32), np.arange(40)),
        (np.random.default_rng(0).normal(size=(40, 8)).astype(np.float32) * 1e6, np.arange(40) // 20 * 7),
        (np.random.default_rng(0).normal(size=(60, 530)).astype(np.float32), np.arange(60) // 20),
    ],
    ids=["one", "zeros", "constant", "wide", "thousands", "singles", "gaps", "very wide"],
)
@pytest.mark.parametrize("relative", [True, pytest.param(False, marks=pytest.mark.rest)])
def test_poor_features_still_give_finite_scores(features, labels, relative):
    head = fit_distance(features, np.array(labels), relative=relative)
    assert len(head.centres) == len(set(np.array(labels).tolist()))
    assert np.isfinite(head.score(features)).all()
    assert np.isfinite(head.score(np.random.default_rng(1).normal(size=(3, features.shape[1])))).all()


@pytest.mark.parametrize("relative", [True, False])
def test_what_is_written_is_read(relative):
    features, labels, _ = clouds(50)
    head = fit_distance(features, labels, relative=relative)
    read = DistanceHead.read(io.BytesIO(saved(head)))
    assert (read.score(features) == head.score(features)).all()


def other(**arrays):
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def wrong(**changed):
    good = {"mean": (4,), "within": (4, 4), "centres": (2, 4), "overall": (4, 4)} | changed
    return other(**{name: np.zeros(shape, np.float32) for name, shape in good.items()})


HEAD = saved(fit_distance(*clouds(50)[:2]))


@pytest.mark.parametrize(
    "data",
    [
        b"", b"PK\x03\x04", HEAD[: len(HEAD) // 2], HEAD[:-30], other(mean=np.zeros(4, np.float32)),
        other(**dict.fromkeys(("mean", "within", "centres", "overall"), np.array([{}]))),
        wrong(mean=(4, 1)), wrong(centres=(2, 3)), wrong(centres=(0, 4)), wrong(overall=(3, 4)),
        wrong(within=()),
        other(mean=np.zeros(4), within=np.zeros((4, 4)), centres=np.zeros((2, 4)), overall=np.zeros((4, 4))),
    ],
)  # fmt: skip
def test_what_is_damaged_is_refused(data):
    with pytest.raises(InputError, match="train again"):
        DistanceHead.read(io.BytesIO(data))


@pytest.mark.parametrize(("count", "rank"), [(1, 1), (18, 18), (19, 19), (20, 20), (39, 38), (100, 96), (340, 324)])
def test_the_limit_is_a_score_with_room_for_chance(count, rank):
    values = np.random.default_rng(0).permutation(count) + 1.0
    assert unknown_limit(values) == rank
    assert expected_within(count) == rank / (count + 1)


@pytest.mark.parametrize("count", [5, 24, 60])
def test_the_expected_share_of_new_rows_is_within_the_limit(count):
    rng = np.random.default_rng(0)
    within = [(rng.normal(size=1000) <= unknown_limit(rng.normal(size=count))).mean() for _ in range(1000)]
    assert expected_within(count) == pytest.approx(np.mean(within), abs=0.01)


def test_rounding_of_equal_features_makes_no_photo_unknown():
    rng = np.random.default_rng(0)
    same = np.full((60, 64), 0.5)
    rounded = (same * (1 + 3e-8 * rng.normal(size=same.shape))).astype(np.float32)
    head = fit_distance(rounded, np.arange(60) % 3)
    other = (same * (1 + 3e-8 * rng.normal(size=same.shape))).astype(np.float32)
    assert np.abs(head.score(other)).max() < 1e-7


SCORES = np.array([100.0, -50.0, 200.0])


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_is_infinitely_far(wrong):
    assert relative_difference(SCORES, np.array([wrong, -50.0, 200.0]), 10.0).tolist() == [np.inf, 0.0, 0.0]
    assert relative_difference(np.array([wrong]), np.array([wrong]), 10.0).tolist() == [np.inf]


def test_the_distance_is_that_worked_out_by_hand():
    features = np.array([[3.0, 4.0], [0.0, -5.0]], np.float32)
    mean, twice = np.array([0.1, 0.3], np.float32), 2 * np.eye(2, dtype=np.float32)
    centres = np.array([[1.0, 0.0], [-0.2, -1.6]], np.float32)
    head = DistanceHead(mean, twice, centres, np.zeros((2, 0), np.float32))
    assert head.score(features) == pytest.approx([1.0, 1.0])
    head = replace(head, overall=np.array([[1.0], [0.0]], np.float32))
    assert head.score(features) == pytest.approx([1.0 - 0.25, 1.0 - 0.01])


def auroc(head, known, strange):
    scores = np.concatenate([head.score(known), head.score(strange)])
    return roc_auc_score(np.repeat([0, 1], [len(known), len(strange)]), scores)


def between(rows, seed, one=0, other=1, spread=1.4):
    """A cloud half-way between two classes."""
    centres = np.random.default_rng(99).normal(0, 1, (4, 16))
    middle = (centres[one] + centres[other]) / 2
    return (middle + np.random.default_rng(seed).normal(0, spread, (rows, 16))).astype(np.float32)


def test_shown_kinds_of_outliers_are_found_more_often_and_others_as_often():
    features, labels, strange = clouds(300, spread=1.4)
    known = clouds(300, seed=1, spread=1.4)[0]
    before, after = fit_distance(features, labels), fit_distance(features, labels, between(40, seed=2))
    alike, unlike = between(200, seed=3), between(200, seed=4, one=1, other=2)
    assert auroc(after, known, alike) > auroc(before, known, alike) + 0.01
    for others in (unlike, strange + np.random.default_rng(5).normal(0, 1.4, (200, 16))):
        assert auroc(after, known, others) > auroc(before, known, others) - 0.01
