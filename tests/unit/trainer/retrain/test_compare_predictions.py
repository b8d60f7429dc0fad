from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ttest_rel

from models.errors import InputError
from tests.unit.trainer.retrain.contests import model, photos_of
from trainer.retrain.compare_predictions import compare_brier, compare_predictions
from trainer.retrain.config import ClassMap

OLD = ["boots", "hat", "sandals"]
labels = st.sampled_from(OLD)
contests = st.lists(st.tuples(labels, labels, labels), min_size=1, max_size=30)


def contest(drawn):
    truths, champion, challenger = zip(*drawn, strict=True)
    return photos_of(*truths), model(OLD, *champion), model(OLD, *challenger, name="shop@4")


def test_figures_of_both_and_of_each_class():
    found = compare_predictions(
        photos_of("boots", "boots", "hat", "hat", "sandals"),
        model(OLD, "boots", "hat", "hat", "hat", "hat"),
        model(OLD, "boots", "boots", "boots", "hat", "sandals", name="shop@4", size=2000),
        ClassMap(),
        unread=2,
    )
    assert (found.champion, found.challenger) == ("shop@3", "shop@4")
    assert (found.photos, found.all_photos, found.unread) == (5, 5, 2)
    assert (found.champion_accuracy, found.challenger_accuracy, found.challenger_all) == (0.6, 0.8, 0.8)
    assert (found.won, found.lost) == (2, 1)
    assert found.points == pytest.approx(20)
    assert found.points_95[0] < 20 < found.points_95[1]
    boots, hat = found.classes["boots"], found.classes["hat"]
    assert (boots.photos, boots.champion, boots.challenger, boots.points) == (2, 0.5, 1.0, 50)
    assert (hat.won, hat.lost, hat.points) == (0, 1, -50)
    assert (found.champion_footprint.compared_bytes, found.challenger_footprint.compared_bytes) == (1000, 2000)
    assert found.calibration.champion == pytest.approx(0.3)


@settings(deadline=None, max_examples=30)
@given(contests)
def test_swapping_both_mirrors_the_points(drawn):
    photos, champion, challenger = contest(drawn)
    one = compare_predictions(photos, champion, challenger, ClassMap())
    other = compare_predictions(photos, challenger, champion, ClassMap())
    assert one.points == -other.points
    assert one.points_95 == pytest.approx((-other.points_95[1], -other.points_95[0]))
    assert {name: found.points for name, found in one.classes.items() if found.photos} == {
        name: -found.points for name, found in other.classes.items() if found.photos
    }


def test_a_merge_changes_no_decision_of_the_champions():
    probabilities = np.array([[0.3, 0.4, 0.3]], np.float32)
    said = replace(model(OLD, "hat"), probabilities=probabilities)
    merged = said.answers({"boots": "shoes", "hat": "hat", "sandals": "shoes"}, np.array(["hat"]))
    assert merged.labels.tolist() == ["hat"]
    assert merged.confidence == pytest.approx([0.4])
    assert merged.brier == pytest.approx([0.6**2 + 0.6**2]), "shoes 0.6, hat 0.4"


def test_z_is_that_of_a_paired_test_and_copies_of_photos_add_nothing():
    rng = np.random.default_rng(0)
    before, after = rng.uniform(0, 2, (2, 100))
    once = compare_brier(before, after, np.arange(100))
    assert once.z == pytest.approx(ttest_rel(before, after).statistic)
    again = compare_brier(before.repeat(4), after.repeat(4), np.arange(100).repeat(4))
    assert again.z == pytest.approx(once.z, rel=0.01)
    assert compare_brier(before[:1], after[:1], np.arange(1)) is None
    assert compare_brier(before, before, np.arange(100)).z == 0


def test_newer_photos_are_those_that_the_champion_was_not_chosen_on():
    photos = photos_of("hat", "hat", "boots", "scarf")
    both = model(OLD, "hat", "boots", "boots", "hat"), model(OLD, "hat", "hat", "hat", "hat")
    chosen_on = {photos[0].sha256, "gone"}
    newer = compare_predictions(photos, *both, ClassMap(), chosen_on=chosen_on).newer
    assert (newer.photos, newer.champion, newer.challenger, newer.won, newer.lost) == (2, 0.5, 0.5, 1, 1)
    everything = {photo.sha256 for photo in photos}
    assert compare_predictions(photos, *both, ClassMap(), chosen_on=everything).newer.photos == 0
    assert compare_predictions(photos, *both, ClassMap()).newer is None, "without chosen_on, newer photos are unknown"


def test_a_new_class_is_measured_by_itself():
    found = compare_predictions(
        photos_of("boots", "hat", "scarf", "scarf"),
        model(OLD, "boots", "hat", "hat", "boots"),
        model([*OLD, "scarf"], "boots", "scarf", "scarf", "hat"),
        ClassMap(),
    )
    assert (found.photos, found.all_photos) == (2, 4)
    assert (found.champion_accuracy, found.challenger_accuracy, found.challenger_all) == (1.0, 0.5, 0.5)
    assert found.new_classes == ("scarf",)
    scarf = found.classes["scarf"]
    assert (scarf.photos, scarf.champion, scarf.challenger, scarf.points) == (2, None, 0.5, None)
    assert [change.truth for change in found.changes] == ["hat"]


def test_a_first_model_is_measured_by_itself():
    said = model(OLD, "hat", ("hat", 0.5), precision=0.98)
    found = compare_predictions(photos_of("hat", "boots"), None, said, ClassMap(drop=("gone",)))
    assert (found.photos, found.challenger_accuracy, found.challenger_all) == (2, 0.5, 0.5)
    assert found.champion is found.points is found.points_95 is found.calibration is found.champion_footprint is None
    assert found.classes["hat"].challenger == 1.0
    assert found.new_classes == ()
    alone = found.automation
    assert alone.champion_precision is alone.champion is alone.points is None
    assert alone.challenger_precision == 0.98
    assert (alone.challenger.photos, alone.challenger.wrong) == (1, 0)


def test_what_both_label_without_a_person():
    challenger = model([*OLD, "scarf"], "hat", ("hat", 0.7), "hat", "hat", "hat", precision=0.95)
    found = compare_predictions(
        photos_of("hat", "hat", "hat", "boots", "scarf"),
        model(OLD, "hat", "hat", "boots", ("hat", 0.6), "hat"),
        replace(challenger, own_sure=np.array([True, False, False, False, False]), own_precision=0.99),
        ClassMap(),
    ).automation
    assert (found.champion_precision, found.challenger_precision, found.own_precision) == (0.9, 0.95, 0.99)
    assert (found.champion.photos, found.champion.wrong) == (3, 1)
    assert (found.challenger.photos, found.challenger.wrong) == (3, 1)
    assert (found.own.photos, found.own.wrong) == (1, 0)
    assert (found.surest.photos, found.surest.wrong) == (3, 1), (
        "as many as the champion labels, the scarf not among them"
    )
    assert (found.everywhere.photos, found.everywhere.wrong) == (4, 2), "a new class counts where nobody looks"
    assert found.points == 0
    assert found.points_95[0] == pytest.approx(-found.points_95[1])


def test_without_photos_there_are_figures_of_nothing():
    one = model(OLD)
    for champion in (one, None):
        found = compare_predictions([], champion, one, ClassMap())
        assert (found.photos, found.all_photos, found.points, found.challenger_all) == (0, 0, None, 0.0)
        assert found.automation is None


CHAMPIONS = ("boots", "hat", "sandals", "vase")
SHOES = ClassMap(rename={"boots": "shoes", "sandals": "shoes"}, drop=("vase",))
MERGED, TYPO = ClassMap(rename={"sandals": "boots"}), ClassMap(rename={"boots": "sheos"})


@pytest.mark.parametrize(
    ("old", "new", "classes", "came", "vanished"),
    [
        pytest.param(CHAMPIONS, ("scarf", *CHAMPIONS), ClassMap(), ("scarf",), (), id="no map"),
        pytest.param(CHAMPIONS, ("hat", "shoes"), SHOES, (), (), id="a rename, a merge and a drop"),
        pytest.param(CHAMPIONS, ("boots", "hat", "vase"), MERGED, (), (), id="a merge into a class that is known"),
        pytest.param(("hat", "shoes"), ("hat", "shoes"), SHOES, (), (), id="a map that was carried out may stay"),
        pytest.param(
            CHAMPIONS, ("hat", "shoes"), TYPO, ("shoes",), ("boots", "sandals", "vase"), id="nobody explains it"
        ),
    ],
)
def test_what_became_of_classes(old, new, classes, came, vanished):
    found = compare_predictions(photos_of("hat"), model(old, "hat"), model(new, "hat"), classes)
    assert (found.new_classes, found.vanished) == (came, vanished)


def test_names_that_differ_in_blanks_or_normal_form_are_the_same_class():
    old, new = ("Hu\u0308te", "lamp ", "vase"), ("hat", "lamp", "vase")
    classes = ClassMap(rename={"H\u00fcte ": "hat"}, drop=(" vase",))
    found = compare_predictions(photos_of("lamp"), model(old, "lamp "), model(new, "lamp"), classes)
    assert (found.new_classes, found.vanished, found.champion_accuracy) == ((), (), 1.0)


@pytest.mark.parametrize(
    "classes",
    [
        ClassMap(rename={"bots": "shoes"}),
        ClassMap(rename={"boots": "shoes", "shoes": "footwear"}),
        ClassMap(rename={"boots": "hat", "hat": "boots"}),
        ClassMap(rename={"boots": "shoes"}, drop=("boots",)),
    ],
)
def test_a_map_that_makes_no_sense_is_refused(classes):
    with pytest.raises(InputError, match="bo"):
        classes.check(CHAMPIONS)
