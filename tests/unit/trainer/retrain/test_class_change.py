import pytest

from models.errors import InputError
from tests.unit.trainer.retrain.contests import model, photos_of
from trainer.retrain.compare_predictions import compare_predictions
from trainer.retrain.config import ClassMap

OLD = ("boots", "hat", "sandals", "vase")
SHOES = ClassMap(rename={"boots": "shoes", "sandals": "shoes"}, drop=("vase",))


@pytest.mark.parametrize(
    ("old", "new", "classes", "came", "vanished"),
    [
        pytest.param(OLD, ("hat", "boots", "scarf", "vase", "sandals"), ClassMap(), ("scarf",), (), id="no map"),
        pytest.param(OLD, ("hat", "shoes"), SHOES, (), (), id="a rename, a merge and a drop"),
        pytest.param(
            OLD,
            ("boots", "hat", "vase"),
            ClassMap(rename={"sandals": "boots"}),
            (),
            (),
            id="a rename onto a class that the champion knows is a merge",
        ),
        pytest.param(("hat", "shoes"), ("hat", "shoes"), SHOES, (), (), id="a map that was carried out may stay"),
        pytest.param(
            OLD,
            ("hat", "shoes"),
            ClassMap(rename={"boots": "sheos"}),
            ("shoes",),
            ("boots", "sandals", "vase"),
            id="what nobody explains has vanished",
        ),
    ],
)
def test_what_became_of_classes(old, new, classes, came, vanished):
    found = compare_predictions(photos_of("hat"), model(old, "hat"), model(new, "hat"), classes)
    assert (found.new_classes, found.vanished) == (came, vanished)


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
        classes.check(OLD)
