from dataclasses import replace

import numpy as np
import pytest

from models.statistics.calibration import calibrated, fit_temperature
from models.statistics.confidence import TARGETS
from models.statistics.out_of_distribution import fit_out_of_distribution
from models.statistics.thresholds import HeldOut, HeldRows, automatic, fit_confidence, precision_targets

CLASSES = 3


def held_out(count, heat=1.0, seed=0):
    """Rows of a network whose logits are as many times too large as it is told; with ``heat`` 1 it is calibrated."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, (count, CLASSES))
    chances = calibrated(logits, 1.0).astype(np.float64)
    labels = (chances.cumsum(axis=1) < rng.random((count, 1))).sum(axis=1).clip(max=CLASSES - 1)
    return HeldOut((logits * heat).astype(np.float32), labels, np.ones(count, np.bool_))


def features(count, seed=0, spread=0.1):
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % CLASSES
    return (np.eye(8)[labels] + spread * rng.normal(size=(count, 8))).astype(np.float32), labels


PRODUCTS = fit_out_of_distribution(*features(60), features(20, seed=1)[0])


@pytest.mark.parametrize("heat", [3.0, 1.0, 0.4])
def test_the_temperature_undoes_how_much_too_sure_a_network_is(heat):
    assert fit_confidence(held_out(4000, heat), PRODUCTS.unknown, []).temperature == pytest.approx(heat, rel=0.1)


def test_a_network_that_is_too_sure_has_a_temperature_above_one():
    assert fit_confidence(held_out(100, 5.0), PRODUCTS.unknown, []).temperature > 1


def test_there_is_a_row_for_every_target_and_thresholds_for_every_class():
    found = fit_confidence(held_out(500), PRODUCTS.unknown, [])
    assert tuple(row.precision for row in found.targets) == TARGETS
    assert {len(row.thresholds) for row in found.targets} == {CLASSES}
    assert (found.rows, found.out_of_fold) == (500, 0)
    assert found.precision is None or found.precision <= 0.95


def test_folds_join_the_rows_each_at_a_temperature_of_its_own():
    validation, folds = held_out(300, 2.0), [held_out(400, 4.0, 1), held_out(500, 0.5, 2)]
    found = fit_confidence(validation, PRODUCTS.unknown, folds)
    assert (found.rows, found.out_of_fold) == (1200, 900)
    assert found.temperature == fit_confidence(validation, PRODUCTS.unknown, []).temperature
    own, *others = (
        HeldRows(calibrated(part.logits, fit_temperature(part.logits, part.labels)), part.labels, part.known)
        for part in (validation, *folds)
    )
    expected = precision_targets(own, others)
    assert found.targets == expected


def test_more_rows_prove_more():
    few = fit_confidence(held_out(60), PRODUCTS.unknown, [])
    many = fit_confidence(held_out(60), PRODUCTS.unknown, [held_out(2000, seed=n) for n in range(1, 4)])
    assert many.targets[0].coverage > few.targets[0].coverage


def test_rows_beyond_the_limit_are_never_labelled_by_themselves():
    sure = HeldOut(np.eye(CLASSES, dtype=np.float32)[[0] * 400] * 20, np.zeros(400, int), np.arange(400) % 4 > 0)
    assert fit_confidence(sure, PRODUCTS.unknown, []).targets[0].coverage == pytest.approx(0.75)


def test_the_limit_keeps_95_of_100_photos_that_were_held_back():
    learned, labels = features(300)
    held, _ = features(400, seed=1)
    fitted = fit_out_of_distribution(learned, labels, held)
    assert (fitted.head.score(held) <= fitted.limit).mean() == pytest.approx(0.95, abs=0.01)
    others = np.eye(8)[[5, 6, 7] * 20].astype(np.float32)
    assert (fitted.head.score(others) > fitted.limit).mean() > 0.95
    found = fit_confidence(held_out(100), fitted.unknown, []).unknown
    assert (found.score, found.limit, found.kept) == ("distance", fitted.limit, 0.95)


def test_few_photos_and_a_class_of_one_photo_are_enough():
    learned, labels = features(4)
    fitted = fit_out_of_distribution(learned, labels, learned[:1])
    assert np.isfinite(fitted.limit)
    assert fit_confidence(held_out(1), fitted.unknown, []).rows == 1


@pytest.mark.parametrize(("noise", "heat"), [(1.0, 1.0), (1.0, 3.0), (2.0, 0.3)])
def test_a_promise_that_rests_on_worse_networks_is_kept_by_the_network_itself(noise, heat):
    """Folds that know less, and are too sure or not sure enough of it: each has a temperature of its own."""
    broken = 0
    for seed in range(40):
        worse = [
            replace(fold, logits=(fold.logits + np.random.default_rng(seed).normal(0, noise, fold.logits.shape)) * heat)
            for fold in (held_out(1000, 1.0, 100 + 2 * seed + n) for n in (0, 1))
        ]
        validation, fresh = held_out(300, seed=seed), held_out(4000, seed=9000 + seed)
        found = fit_confidence(validation, PRODUCTS.unknown, worse)
        target = next(row for row in found.targets if row.precision == 0.95)
        said = calibrated(fresh.logits, found.temperature)
        chosen = automatic(said, fresh.known, target.thresholds)
        broken += bool(chosen.any()) and (said.argmax(axis=1) == fresh.labels)[chosen].mean() < 0.95
    assert broken <= 4
