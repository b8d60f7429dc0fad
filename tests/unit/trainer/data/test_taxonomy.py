import re

import pytest

from models.errors import DataError, InputError
from trainer.data.dataset import read_dataset
from trainer.data.taxonomy import lookalike_notes, read_parents, taxonomy_of
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
        (("shoes > boots", "shoes"), "some have the label 'shoes', which is the parent of 'boots'"),
        (("shoes >  > boots", "hat"), "Expected names around each ' > ' in row 1"),
        (("a > b > a", "hat"), "circle of parents: b → a → b"),
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
    said = "labels are taken whole, such as 'women > shoes', and give no tree: 'shoes' is under 'men' and 'women'"
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
    ("rows", "said"),
    [
        (["boots,shoes", "boots,hats"], "'boots' is under 'shoes' and 'hats'"),
        (["boots,shoes", "boots,"], "'boots' is under 'shoes' and nothing"),
        ([",shoes"], "Expected a label in row 1"),
        (["_none,shoes"], "got _none, the label of no product"),
        (["boots,shoes"], "Expected every class in the tree, 'hat' is not in it"),
        (["boots,shoes", "hat,", "boot,shoes"], "found none called 'boot'"),
        (["boots,shoes", "hat,", "belt,"], "found none called 'belt'"),
        (["boots,hat", "hat,"], "some have the label 'hat', which is the parent of 'boots'"),
        (["boots,", "hat,"], "Expected a parent in some row"),
        (["boots,all", "hat,all"], "all classes are under 'all'"),
    ],
)
def test_a_file_that_is_no_tree_of_the_classes_is_refused(tmp_path, shop, rows, said):
    with pytest.raises(DataError, match=re.escape(said)):
        taxonomy_of(read_dataset(shop("boots", "hat")), read_parents(written(tmp_path, *rows)))


SHOES = ("boots,shoes", "sandals,shoes", "cap,hats", "beret,hats")
DECLARED = ("shoes,", "hats,")


@pytest.mark.parametrize("slip", ["shose", "shoess", "hoes", "Shoes"])
def test_a_mistyped_parent_is_refused_and_the_one_that_is_meant_named(tmp_path, slip):
    said = (
        f"{slip!r}, the parent of 'clogs' only, has none and is almost 'shoes'; write 'shoes', or add the row '{slip},'"
    )
    with pytest.raises(DataError, match=re.escape(said)):
        read_parents(written(tmp_path, *SHOES, f"clogs,{slip}", *DECLARED))


@pytest.mark.parametrize(
    "rows",
    [
        ("clogs,shose", "shose,"),  # a row of its own: it is meant
        ("clogs,shose", "mules,shose"),  # two labels are under it
        ("clogs,slippers",),
        ("clogs,shoes 2", "mules,shoes 3"),
        ("clogs,clog",),  # of parents only: a class is no parent
    ],
)
def test_a_parent_that_may_be_meant_is_taken(tmp_path, shop, rows):
    parents = read_parents(written(tmp_path, *SHOES, *DECLARED, *rows))
    dataset = read_dataset(shop("boots", "sandals", "cap", "beret", "clogs", *["mules"] * (len(rows) > 1)))
    assert parents["clogs"] == rows[0].partition(",")[2]
    assert lookalike_notes(dataset, parents) == ()


def test_two_words_that_differ_by_a_letter_are_a_tree_and_named(tmp_path, shop):
    path = written(tmp_path, "mug,cups", "glass,cups", "beret,caps", "cups,")
    dataset, parents = read_dataset(shop("mug", "glass", "beret")), read_parents(path)
    assert taxonomy_of(dataset, parents).nodes == ("caps", "cups")
    said = "'caps' is above 'beret' only, and nearly 'cups'; if it should be that one, mend the tree, else add the row "
    assert lookalike_notes(dataset, parents) == (f"{said}'caps,'",)


def test_a_parent_without_a_row_is_no_slip_where_another_has_none_either(tmp_path, shop):
    path = written(tmp_path, "cape,capes", "beret,caps", "cap,caps", "boots,shoes", "sandals,shoes", "caps,")
    dataset, parents = read_dataset(shop("cape", "beret", "cap", "boots", "sandals")), read_parents(path)
    assert taxonomy_of(dataset, parents).nodes == ("capes", "caps", "shoes")
    assert "'capes' is above 'cape' only, and nearly 'caps'" in lookalike_notes(dataset, parents)[0]


def test_a_parent_that_may_be_a_slip_is_named_where_no_row_says_which_are_meant(tmp_path, shop):
    said = "'shose' is above 'clogs' only, and nearly 'shoes'; if it should be that one, mend the tree"
    of_file = read_parents(written(tmp_path, *SHOES, "clogs,shose"))
    of_file_said = (f"{said}, else add the row 'shose,'",)
    assert lookalike_notes(read_dataset(shop("boots", "sandals", "cap", "beret", "clogs")), of_file) == of_file_said
    labels = ("shoes > boots", "shoes > sandals", "hats > cap", "shose > clogs")
    assert lookalike_notes(read_dataset(shop(*labels)), None) == (said,)


def test_two_trees_at_once_are_refused(shop):
    with pytest.raises(DataError, match=re.escape("(shoes > boots); leave out --taxonomy")):
        taxonomy_of(read_dataset(shop("shoes > boots", "hat")), {"boots": "shoes", "hat": ""})


def test_a_file_that_is_not_there_or_lacks_a_column_is_named(tmp_path):
    with pytest.raises(InputError, match="check --taxonomy"):
        read_parents(tmp_path / "tree.csv")
    with pytest.raises(InputError, match="found name, parent"):
        read_parents(written(tmp_path, "boots,shoes", header="name,parent"))
