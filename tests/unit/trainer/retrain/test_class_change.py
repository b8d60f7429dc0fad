import pytest

from models.errors import InputError
from trainer.retrain.compare_answers import change_classes, check_class_map
from trainer.retrain.config import ClassMap

OLD = ("boots", "hat", "sandals", "vase")


def test_without_a_map_names_are_what_they_were():
    change = change_classes(OLD, ("hat", "boots", "scarf", "vase", "sandals"), ClassMap())
    assert change.today == {name: name for name in OLD}
    assert change.new == ("scarf",)
    assert change.vanished == ()


def test_a_rename_a_merge_and_a_drop():
    classes = ClassMap(rename={"boots": "shoes", "sandals": "shoes"}, drop=("vase",))
    change = change_classes(OLD, ("hat", "shoes"), classes)
    assert change.today == {"boots": "shoes", "sandals": "shoes", "hat": "hat", "vase": "vase"}
    assert change.new == change.vanished == ()


def test_a_rename_onto_a_class_that_the_champion_knows_is_a_merge():
    change = change_classes(OLD, ("boots", "hat", "vase"), ClassMap(rename={"sandals": "boots"}))
    assert change.known == {"boots", "hat", "vase"}
    assert change.new == change.vanished == ()


def test_what_nobody_explains_has_vanished():
    change = change_classes(OLD, ("hat", "shoes"), ClassMap(rename={"boots": "sheos"}))
    assert change.vanished == ("boots", "sandals", "vase")
    assert change.new == ("shoes",)


def test_a_map_that_was_carried_out_may_stay():
    classes = ClassMap(rename={"boots": "shoes", "sandals": "shoes"}, drop=("vase",))
    change = change_classes(("hat", "shoes"), ("hat", "shoes"), classes)
    assert change.today == {"hat": "hat", "shoes": "shoes"}
    assert change.new == change.vanished == ()


@pytest.mark.parametrize(
    ("classes", "said"),
    [
        (ClassMap(rename={"bots": "shoes"}), r"got bots → shoes; it knows boots, hat, sandals, vase"),
        (ClassMap(rename={"bots": "bots"}), r"got bots → bots"),
        (ClassMap(rename={"boots": "shoes", "shoes": "footwear"}), r"for boots .* becomes footwear"),
        (ClassMap(rename={"boots": "hat", "hat": "boots"}), r"for boots .* got hat"),
        (ClassMap(rename={"boots": "shoes"}, drop=("boots",)), r"boots renamed or dropped"),
        (ClassMap(rename={"boots": "shoes"}, drop=("shoes",)), r"shoes renamed or dropped"),
    ],
)
def test_a_map_that_makes_no_sense_is_refused(classes, said):
    with pytest.raises(InputError, match=said):
        check_class_map(classes, OLD)
