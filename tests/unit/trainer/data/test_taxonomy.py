import re

import pytest

from models.errors import DataError, InputError
from trainer.data.dataset import read_dataset, read_parents, taxonomy_of
from trainer.request import TableOptions


@pytest.fixture
def shop(tmp_path):
    """A CSV of labelled photos with these labels."""

    def write(*labels, column="label"):
        path = tmp_path / "shop.csv"
        rows = (f"{number}.jpg;{label}" for number, label in enumerate(labels))
        path.write_text("\n".join([f"image;{column}", *rows]))
        return path

    return write


def written(tmp_path, *rows, header="label,parent"):
    path = tmp_path / "tree.csv"
    path.write_text("\n".join([header, *rows]))
    return path


@pytest.mark.parametrize("column", ["label", "kind"])
def test_labels_like_paths_are_classes_by_their_last_name(shop, column):
    path = shop("worn > shoes > boots", "worn > shoes >  sandals", "hat", "worn > shoes > boots", column=column)
    asked = TableOptions(label_column=None if column == "label" else column)
    dataset = read_dataset(path, asked)
    assert dataset.classes == ("boots", "hat", "sandals")
    assert [photo.label for photo in dataset.photos] == ["boots", "sandals", "hat", "boots"]
    assert taxonomy_of(dataset, None).path("sandals") == "worn > shoes > sandals"


def test_without_paths_or_a_file_there_is_no_tree(shop):
    dataset = read_dataset(shop("hat", "a>b", "5 >"))
    assert dataset.classes == ("5 >", "a>b", "hat")
    assert taxonomy_of(dataset, None) is None


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (("shoes > boots", "shoes"), "photos are labelled 'shoes', which is the parent of 'boots'"),
        (("shoes >  > boots", "hat"), "Expected a name on both sides of each ' > ' in row 1"),
        (("a > b > a", "hat"), "cycle of parents: b → a → b"),
    ],
)
def test_labels_that_are_no_tree_are_refused(shop, labels, said):
    with pytest.raises(DataError, match=re.escape(said)):
        taxonomy_of(read_dataset(shop(*labels)), None)


@pytest.mark.parametrize("column", ["label", "kind"])
def test_labels_with_a_name_under_two_parents_are_taken_whole(shop, column):
    path = shop("men > shoes", "women > shoes", "men > hats", "_none", column=column)
    dataset = read_dataset(path, TableOptions(label_column=None if column == "label" else column))
    assert dataset.classes == ("men > hats", "men > shoes", "women > shoes")
    assert taxonomy_of(dataset, None) is None
    said = "there is no tree, and labels such as 'women > shoes' are not shortened: 'shoes' is under 'men' and 'women'"
    assert dataset.notes[-1] == said


def test_a_name_that_all_classes_are_under_is_left_out_of_the_tree(shop):
    dataset = read_dataset(shop("worn > shoes > boots", "shoes > sandals", "worn > hat", "_none"))
    assert dataset.classes == ("boots", "hat", "sandals")
    assert dict(taxonomy_of(dataset, None).parents) == {"boots": "shoes", "sandals": "shoes"}
    assert dataset.notes == ("all classes are under 'worn', which is left out of the tree",)
    flat = read_dataset(shop("worn > boots", "worn > hat"))
    assert (flat.classes, taxonomy_of(flat, None)) == (("boots", "hat"), None)


def test_a_file_gives_each_label_its_parent(tmp_path, shop):
    path = written(
        tmp_path, "1,boots,shoes", "2,boots,shoes", "3,sandals, shoes ", "4,shoes,", "5,hat,", header="n,label,parent"
    )
    tree = taxonomy_of(read_dataset(shop("boots", "sandals", "hat")), read_parents(path))
    assert dict(tree.parents) == {"boots": "shoes", "sandals": "shoes"}


@pytest.mark.parametrize(
    ("rows", "named"),
    [
        (["boots,shoes", "boots,hats"], "'boots' is under 'shoes' and 'hats'"),
        (["boots,shoes", "boots,"], "'boots' is under 'shoes' and nothing"),
        ([",shoes"], "row 1 of"),
        (["_none,shoes"], "'_none'"),
        (["boots,shoes"], "'hat' is missing"),
        (["boots,shoes", "hat,", "boot,shoes"], "boot"),
        (["boots,hat", "hat,"], "'hat', which is the parent of 'boots'"),
        (["boots,", "hat,"], "parent"),
        (["boots,all", "hat,all"], "'all'"),
    ],
)
def test_a_file_that_is_no_tree_of_the_classes_is_refused(tmp_path, shop, rows, named):
    with pytest.raises(DataError, match=named):
        taxonomy_of(read_dataset(shop("boots", "hat")), read_parents(written(tmp_path, *rows)))


def test_two_trees_at_once_are_refused(shop):
    with pytest.raises(DataError, match=re.escape("(shoes > boots); leave out --taxonomy")):
        taxonomy_of(read_dataset(shop("shoes > boots", "hat")), {"boots": "shoes", "hat": ""})


def test_a_file_that_is_not_there_or_lacks_a_column_is_named(tmp_path):
    with pytest.raises(InputError, match="check --taxonomy"):
        read_parents(tmp_path / "tree.csv")
    with pytest.raises(InputError, match="found name, parent"):
        read_parents(written(tmp_path, "boots,shoes", header="name,parent"))
