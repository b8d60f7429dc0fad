import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import DataError
from models.taxonomy import Taxonomy

CLASSES = ("boots", "dress", "hat", "sandals", "skirt")
PARENTS = {"boots": "shoes", "sandals": "shoes", "shoes": "clothing", "dress": "clothing", "skirt": "clothing"}
TREE = Taxonomy(CLASSES, PARENTS)


def test_a_level_is_the_longest_way_down():
    assert dict(TREE.level) == {**dict.fromkeys(CLASSES, 0), "shoes": 1, "clothing": 2}
    assert (TREE.nodes, TREE.top) == (("shoes", "clothing"), 2)
    assert TREE.above.tolist() == [[0, 1], [-1, 1], [-1, -1], [0, 1], [-1, 1]]


def test_the_path_of_a_label_names_all_above_it():
    assert TREE.path("boots") == "clothing > shoes > boots"
    assert TREE.path("hat") == "hat"
    assert TREE.paths.startswith("clothing > shoes > boots; clothing > dress; hat; ")


@given(st.lists(st.lists(st.floats(0, 1, width=32), min_size=5, max_size=5), min_size=1, max_size=9), st.randoms())
def test_a_nodes_probability_is_the_sum_of_its_classes_in_every_batch(rows, random):
    rows = np.array([np.divide(row, max(1.0, sum(row))) for row in rows], np.float32)
    found = TREE.probabilities(rows)
    inside = [[node in TREE.ancestors(name) for name in CLASSES] for node in TREE.nodes]
    assert found == pytest.approx(rows.astype(np.float64) @ np.transpose(inside), abs=1e-6)
    number = random.randrange(len(rows))
    assert (TREE.probabilities(rows[number : number + 1]) == found[number]).all()


def test_a_label_is_right_where_it_is_above_the_truth():
    guesses, truths = np.array([0, 0, 0, 2, 1]), np.array([0, 3, 4, 2, 2])
    assert TREE.is_right(guesses, truths, 0).tolist() == [True, False, False, True, False]
    assert TREE.is_right(guesses, truths, 1).tolist() == [True, True, False, False, False]
    assert TREE.is_right(guesses, truths, 2).tolist() == [True, True, True, False, False]


def test_errors_are_told_by_the_edges_up_from_the_truth():
    truths, guesses = np.array([0, 0, 0, 0, 1, 2]), np.array([0, 3, 1, 2, 0, 0])
    assert TREE.distances(guesses, truths).tolist() == [0, 1, 2, 3, 1, 1]


@pytest.mark.parametrize(
    ("parents", "said"),
    [
        ({"boots": "shoes", "shoes": "boots"}, "cycle of parents: boots → shoes → boots"),
        ({"boots": "boots"}, "cycle of parents: boots → boots"),
        ({"boots": "hat"}, "photos are labelled 'hat', which is the parent of 'boots'"),
        ({"bots": "shoes"}, "no photo has 'bots'"),
        (dict.fromkeys(CLASSES, "all"), "all classes are under 'all'"),
    ],
)
def test_what_is_no_tree_of_the_classes_is_refused(parents, said):
    with pytest.raises(DataError, match=re.escape(said)):
        Taxonomy(CLASSES, parents)


def test_other_classes_have_what_is_left_of_the_tree():
    found = TREE.limited_to(("belt", "boots", "hat"))
    assert dict(found.parents) == {"boots": "shoes", "shoes": "clothing"}
    assert dict(TREE.limited_to(("boots", "sandals", "skirt")).parents) == {"boots": "shoes", "sandals": "shoes"}
    assert TREE.limited_to(("hat", "belt")) is None


def test_classes_and_nodes_keep_their_places_under_new_names():
    found = TREE.limited_to(("boot", "hat", "sandals"), {"boots": "boot", "clothing": "worn"})
    assert (found.path("boot"), found.path("sandals")) == ("worn > shoes > boot", "worn > shoes > sandals")
