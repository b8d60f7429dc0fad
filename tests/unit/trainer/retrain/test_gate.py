"""Which challengers pass which checks. ``tests/messages/retrain.txt`` has the checks' messages."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.trainer.retrain.gate_cases import (
    FIRST,
    FIRST_AUTOMATION,
    NO_TEST,
    a_class,
    automatic,
    automation,
    brier,
    catalogue,
    comparison,
    failing,
    judged,
    named,
    new_class,
)
from trainer.retrain.cycle_folder import Calibration, Footprint


def test_a_better_challenger_passes_and_every_check_has_its_figure_and_limit():
    verdict = judged(comparison())
    assert verdict.passed
    assert {check.name: (check.figure, check.limit) for check in verdict.checks} == {
        "test_photos": (0, 7),
        "accuracy": (2.15, 0),
        "interval": (pytest.approx(1.14, abs=0.01), -1),
        "recall": (3, 5),
        "vanished_classes": (0, 0),
        "calibration": (pytest.approx(0.01), 0.02),
        "coverage": (-1.6, -10),
        "precision": (pytest.approx(270 / 274), 0.98),
        "size": (1.1, 1.5),
        "speed": (0.95, 0.67),
    }


@pytest.mark.parametrize("gain", [0.0, 2.15])
def test_no_more_gain_than_the_limit_is_refused(gain):
    assert failing(judged(comparison(points=gain, points_95=(-0.9, 4.5)), min_gain_points=gain)) == ["accuracy"]
    assert judged(comparison(), min_gain_points=2.1).passed


@pytest.mark.parametrize(("z", "passed"), [(None, False), (-0.9, False), (0.9, False), (1.64, False), (1.65, True)])
def test_a_rise_that_may_be_chance_is_refused_and_it_says_how_many_photos_would_do(z, passed):
    verdict = judged(comparison(brier=None if z is None else brier(z)))
    assert failing(verdict) == ([] if passed else ["accuracy"])
    assert ("1,200" in named(verdict, "accuracy").sentence) == (z == 0.9)


def test_better_probabilities_with_fewer_right_labels_are_refused():
    surer = {"brier": brier(5.0), "points_95": (-4.0, 3.6)}
    assert failing(judged(comparison(points=-0.2, **surer))) == ["accuracy", "interval"]
    assert failing(judged(comparison(points=0.2, **surer))) == ["interval"]
    assert judged(comparison(points=0.2, **surer), max_loss_points=2.0).passed


def test_a_class_that_loses_beyond_noise_is_refused_by_name():
    lost = {"hat": a_class(4.0), "dress": a_class(-15.3, 10.7, before=0.921), "vase": a_class(-20, 15)}
    verdict = judged(comparison(classes=lost))
    assert failing(verdict) == ["recall"]
    assert named(verdict, "recall").figure == 20
    assert all(name in named(verdict, "recall").sentence for name in ("vase", "dress"))
    assert "hat" not in named(verdict, "recall").sentence
    assert judged(comparison(classes=lost), max_class_loss_points=20).passed
    within_noise = judged(comparison(classes={"hat": a_class(1.0), "dress": a_class(-15, 16)}))
    assert (within_noise.passed, named(within_noise, "recall").unsure) == (True, True)
    said = "), more than the limit of 5.0 points, but this may be chance."
    assert said in named(within_noise, "recall").sentence


@pytest.mark.parametrize("most", [0, 3, 30])
def test_what_the_photos_could_not_have_shown_is_no_tick(most):
    few = {"hat": a_class(), "lamp": a_class(photos=2, before=1.0, spread=60)}
    recall = named(judged(comparison(classes=few), max_class_loss_points=most), "recall")
    assert (recall.passed, recall.doubtful, recall.unsure) == (True, False, True)
    assert "lamp" in recall.sentence
    empty = few | {"vase": new_class(0.0, photos=0)}
    recall = named(judged(comparison(classes=empty), max_class_loss_points=most), "recall")
    assert (recall.passed, recall.doubtful, "vase" in recall.sentence) == (True, True, True)


def test_a_new_class_must_be_told_well_enough():
    classes = {"hat": a_class(), "scarf": new_class(0.4), "shawl": new_class(0.8)}
    found = comparison(classes=classes, new_classes=("scarf", "shawl"))
    assert failing(judged(found)) == ["new_classes"]
    assert "shawl" not in named(judged(found), "new_classes").sentence
    assert judged(found, min_new_class_recall=0.4).passed
    empty = comparison(classes={"hat": a_class(), "scarf": new_class(0.0, photos=0)}, new_classes=("scarf",))
    assert failing(judged(empty)) == ["new_classes"]
    assert judged(empty, min_new_class_recall=0.0).passed


def test_a_class_that_vanished_is_refused_with_what_to_write():
    verdict = judged(comparison(vanished=("boots", "vase")))
    assert failing(verdict) == ["vanished_classes"]
    assert 'drop = ["boots"] in [classes]' in named(verdict, "vanished_classes").sentence


@pytest.mark.parametrize(
    ("after", "low", "passed", "unsure"),
    [(0.049, 0.01, True, False), (0.06, -0.001, True, True), (0.06, 0.001, False, False)],
)
def test_calibration_may_not_grow_beyond_noise(after, low, passed, unsure):
    verdict = judged(comparison(calibration=Calibration(champion=0.03, challenger=after, difference_95=(low, 0.08))))
    assert (verdict.passed, named(verdict, "calibration").unsure) == (passed, unsure)


@pytest.mark.parametrize(
    ("cost", "limits", "refused"),
    [
        ({"compared_bytes": 3_000_000}, {}, []),
        ({"compared_bytes": 3_000_001}, {}, ["size"]),
        ({"images_per_s": 267.0}, {}, ["speed"]),
        ({}, {"max_size_mb": 2.1}, ["absolute_size"]),
        ({}, {"max_size_mb": 2.2}, []),
        ({"compared_bytes": 1}, {"max_size_mb": 2.1}, ["absolute_size"]),
    ],
)
def test_size_and_speed_stay_within_budget(cost, limits, refused):
    footprint = Footprint(compared_bytes=2_200_000, default_bytes=2_200_000, images_per_s=380.0).model_copy(update=cost)
    assert failing(judged(comparison(challenger_footprint=footprint), **limits)) == refused


@pytest.mark.parametrize(("name", "small"), [("champion", "challenger"), ("challenger", "champion")])
def test_size_and_speed_in_float32_say_why(name, small):
    footprint = Footprint(compared_bytes=2_000_000, default_bytes=600_000, images_per_s=400.0)
    verdict = judged(comparison(**{f"{small}_footprint": footprint}))
    slower = ", so labelling may become slower" if name == "challenger" else ""
    why = f"Compared in float32, because the {name}'s default variant is not int8{slower}."
    assert all(named(verdict, check).sentence.endswith(why) for check in ("size", "speed"))
    assert "float32" not in named(judged(comparison()), "size").sentence


@pytest.mark.parametrize(
    ("changed", "limit", "refused"),
    [
        (None, None, []),
        (catalogue(), None, []),
        (catalogue(), 0.031, []),
        (catalogue(), 0.03, ["catalogue"]),
        (None, 0.5, ["catalogue"]),
        (catalogue(0, rows=0, failed=9), 0.5, ["catalogue"]),
        (catalogue(0, rows=0, failed=9), None, []),
        (catalogue(0, rows=9, failed=10), 0.5, ["catalogue"]),
    ],
)
def test_a_catalogue_may_change_up_to_the_limit_and_must_be_there_if_there_is_one(changed, limit, refused):
    verdict = judged(comparison(), changed, max_changed_share=limit)
    assert failing(verdict) == refused
    assert [check.name for check in verdict.checks].count("catalogue") == (limit is not None)


def test_without_test_photos_nothing_passes():
    none_in_common = comparison(photos=0, points=None, automation=None)
    for found in (comparison(**NO_TEST), comparison(**FIRST | NO_TEST), none_in_common):
        assert "test_photos" in failing(judged(found, min_accuracy=0.0))


@pytest.mark.parametrize(("unread", "passed"), [(7, True), (8, False)])
def test_a_test_that_has_lost_more_than_two_in_a_hundred_photos_is_another_one(unread, passed):
    assert failing(judged(comparison(unread=unread))) == ([] if passed else ["test_photos"])
    assert judged(comparison(unread=unread), max_unread_share=0.03).passed


def test_a_first_model_keeps_to_the_absolute_limits_alone():
    first = comparison(**FIRST)
    assert [check.name for check in judged(first).checks] == ["test_photos", "min_accuracy"]
    assert judged(first).passed
    assert failing(judged(first, min_accuracy=0.9, max_size_mb=2.0)) == ["min_accuracy", "absolute_size"]
    assert judged(first, max_changed_share=0.0).passed


def test_a_first_model_that_may_be_no_better_than_one_word_is_doubtful():
    few = {"t-shirt": new_class(0.9, photos=6), "hat": new_class(0.4, photos=4)}
    first = comparison(**FIRST | {"classes": few, "photos": 10, "all_photos": 10, "challenger_all": 0.7})
    check = named(judged(first), "min_accuracy")
    assert (check.passed, check.doubtful, "t-shirt" in check.sentence) == (True, True, True)
    many = {name: new_class(0.9, photos=186) for name in ("t-shirt", "hat")}
    assert not any(check.doubtful for check in judged(comparison(**FIRST | {"classes": many})).checks)


@pytest.mark.parametrize(
    ("points", "spread", "limit", "passed", "unsure"),
    [
        (-4.9, 2.0, 5.0, True, False),
        (9.0, 2.0, 0.0, True, False),
        (-6.0, 6.1, 5.0, True, True),
        (-6.0, 5.9, 5.0, False, False),
        (-6.0, 5.9, 6.0, True, False),
    ],
)
def test_people_get_not_many_more_photos_to_review(points, spread, limit, passed, unsure):
    verdict = judged(comparison(automation=automation(points, spread)), max_coverage_loss_points=limit)
    coverage = named(verdict, "coverage")
    assert (verdict.passed, coverage.doubtful, coverage.unsure) == (passed, False, unsure)


def test_a_loss_from_thresholds_alone_is_reported_but_not_refused():
    """If it labelled as many photos as the champion, the challenger would be right as often."""
    found = named(judged(comparison(automation=automation(-20.0, surest=automatic(280, 5)))), "coverage")
    assert (found.passed, found.doubtful) == (True, True)
    assert not named(judged(comparison(automation=automation(-20.0))), "coverage").passed


@pytest.mark.parametrize(
    ("wrong", "high", "passed", "doubtful"),
    [
        (4, 0.99, True, False),
        (7, 0.985, True, False),  # less than before, but it may still keep its promise
        (14, 0.975, False, False),
        (4, 0.975, True, True),  # the promise is broken, but no more often than before
    ],
)
def test_automatic_labels_are_as_right_as_promised_or_as_before(wrong, high, passed, doubtful):
    verdict = judged(comparison(automation=automation(everywhere=automatic(274, wrong, high))))
    found = named(verdict, "precision")
    assert (found.passed, found.doubtful, verdict.passed) == (passed, doubtful, passed)
    assert found.unsure == (wrong > 274 * 0.02)


NOTHING = {"challenger_precision": None, "own_precision": None, "challenger": automatic(0, 0)}


@pytest.mark.parametrize(
    ("changes", "doubtful"),
    [
        ({"everywhere": automatic(200, 20, 0.94)}, "precision"),
        ({**NOTHING, "everywhere": automatic(0, 0)}, "coverage"),
    ],
)
def test_a_first_model_with_a_broken_or_no_promise_passes_with_a_note(changes, doubtful):
    alone = automation().model_copy(update={**FIRST_AUTOMATION, **changes})
    verdict = judged(comparison(**FIRST | {"automation": alone}))
    assert verdict.passed
    assert [found.name for found in verdict.checks if found.doubtful] == [doubtful]


@pytest.mark.parametrize("precision", [None, 0.9])
def test_a_champion_without_a_promise_can_be_replaced(precision):
    """It labels no photo by itself, so no automatic label can be lost."""
    found = automation(
        20.0 if precision else 0.0,
        champion=automatic(0, 0),
        champion_precision=None,
        challenger_precision=precision,
        own_precision=precision,
    )
    assert named(judged(comparison(automation=found)), "coverage").passed


points = st.floats(-30, 30)
shares = st.floats(0, 1)
LIMITS = {
    "min_gain_points": (st.floats(0, 30), -1),
    "max_loss_points": (st.floats(0, 30), 1),
    "max_class_loss_points": (st.floats(0, 30), 1),
    "max_calibration_loss": (shares, 1),
    "max_unread_share": (shares, 1),
    "max_coverage_loss_points": (st.floats(0, 30), 1),
    "max_size_ratio": (st.floats(0.5, 3), 1),
    "min_speed_ratio": (st.floats(0, 3), -1),
    "max_size_mb": (st.floats(0.5, 5), 1),
    "min_new_class_recall": (shares, -1),
    "min_accuracy": (shares, -1),
    "max_changed_share": (shares, 1),
}


@st.composite
def challengers(draw):
    middle = draw(points)
    count = draw(st.integers(1, 15))
    classes = {f"c{n}": a_class(draw(points), draw(st.floats(0.1, 20))) for n in range(count)}
    return comparison(
        points=middle,
        points_95=(middle - 2, middle + 2),
        challenger_all=draw(shares),
        unread=draw(st.integers(0, 400)),
        classes=classes | {"scarf": new_class(draw(shares))},
        new_classes=("scarf",),
        calibration=Calibration(champion=0.03, challenger=draw(shares), difference_95=(draw(points) / 100, 0.3)),
        automation=automation(
            draw(points), draw(st.floats(0.1, 20)), everywhere=automatic(274, draw(st.integers(0, 274)), draw(shares))
        ),
        challenger_footprint=Footprint(
            compared_bytes=draw(st.integers(1, 6_000_000)),
            default_bytes=draw(st.integers(1, 6_000_000)),
            images_per_s=draw(st.floats(1, 900)),
        ),
    )


@settings(deadline=None)
@given(challengers(), st.sampled_from(sorted(LIMITS)), st.data())
def test_a_looser_limit_never_makes_a_check_fail(found, name, data):
    values, direction = LIMITS[name]
    tight, loose = sorted([data.draw(values), data.draw(values)], reverse=direction < 0)
    before, after = (judged(found, catalogue(300), **{name: value}) for value in (tight, loose))
    passed = {check.name for check in before.checks if check.passed}
    assert not passed & set(failing(after))
    assert after.passed or not before.passed
