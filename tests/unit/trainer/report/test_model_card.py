import re
from dataclasses import replace
from pathlib import Path

from tests.unit.trainer.report.materials import in_tree, made
from trainer.data.dataset import Exclusion, Split
from trainer.report.write import model_card
from trainer.run import RunState

NASTY = """hat|<img src=x onerror='alert(1)'>[a](http://b)`*"""
EXCLUDED = [Exclusion(Path("/secret/1.jpg"), "label_conflict", "two labels")] * 2


def headings(card: str) -> list[str]:
    return [line for line in card.splitlines() if line.startswith("#")]


def test_a_card_says_what_it_should() -> None:
    material = made(excluded=EXCLUDED, notes=("2 files set aside",))
    figures = material.evaluation.test.model_copy(update={"accuracy": 0.912, "accuracy_95": (0.88, 0.94)})
    material = replace(material, evaluation=material.evaluation.model_copy(update={"test": figures}))
    card = model_card(material)
    for said in (
        "# shop-cnn",
        "into 3 classes",
        "Classes: dress, hat, shoes.",
        "**At 98% precision Hangtag labels",
        "hangtag export RUN --out bundles/shop-cnn",
        "--precision 0.98",
        "hangtag.load('bundles/shop-cnn')",
        "| test | 90 | 91.2% (88.0 to 94.0%) |",
        "| validation | 90 |",
        "| **98%** |",
        "897 for training, 90 for validation, 90 for test. Excluded: 2 files (2 label conflict).",
        "- 2 files set aside",
        "lowest recall on test photos: dress (",
        "A photo with a\n  score above -3.2 goes to review.\n  About 4.4% of new photos of the classes",
        "3 photos may have wrong labels: see `label_issues.csv`.",
        "Made with hangtag 0.1.0, keras 3.15.1.",
    ):
        assert said in card
    assert "interrupted" not in card
    assert headings(card)[1:] == [
        "## Intended use",
        "## How to use it",
        "## Figures",
        "## Precision and coverage",
        "## Limits",
        "## Data",
        "## Training",
    ]


def test_no_folder_of_the_machine_is_in_it() -> None:
    material = made(excluded=EXCLUDED)
    args = material.args.model_copy(update={"splits": "/home/anna/runs/may/splits.csv"})
    card = model_card(replace(material, args=args))
    assert "photos from shop:" in card
    assert "splits.csv" in card
    for folder in ("/photos", "/home", "/secret"):
        assert folder not in card


def test_what_is_absent_reads_well() -> None:
    card = model_card(
        made(("dress", "hat"), test=False, epochs=1, ruling=None, unknown=False, issues=0, state=RunState.INTERRUPTED)
    )
    for said in (
        "epoch 1 of 1.\nThe training was interrupted.",
        "No precision can be promised",
        "There are no test photos",
        "no out-of-distribution score could be learned",
        "No file was excluded.",
    ):
        assert said in card
    for absent in ("## Precision and coverage", "--precision", "| test |", "label_issues", "None", "nan"):
        assert absent not in card


def test_classes_of_which_little_is_known_are_named() -> None:
    material = made(("dress", "hat", "vase"), untested=1)
    counts = {**material.prepared_counts, Split.TRAIN: {"dress": 200, "hat": 4, "vase": 29}}
    card = model_card(replace(material, prepared_counts=counts))
    assert "Classes with fewer than 30 training photos: hat (4), vase (29)." in card
    assert "These classes have no test photos, and therefore no figures: vase." in card


def test_names_mean_nothing_but_themselves() -> None:
    card = model_card(made(("dress", NASTY, "# head\n\n- x"), name="shop|<b>`", notes=("<script>",)))
    card = re.sub(r"```.*?```", "", card, flags=re.DOTALL)
    for meaning in (r"(?<!\\)<(img|b|script)", r"\](?<!\\\])\(", r"(?<!\\)\|<b"):
        assert not re.search(meaning, card)
    assert "# head" not in headings(card)
    for line in card.splitlines():
        if line.startswith("| hat"):
            assert line.startswith(r"| hat\|\<img src=x")


def test_a_card_of_a_tree_names_every_path_and_each_levels_precision() -> None:
    card = model_card(in_tree(made()))
    assert "The classes are leaves of a tree: worn \\> dress; worn \\> hat; shoes.\n\nIf the model" in card
    assert "| 98% | level 1 | 20% |" in card
    assert "leaves of a tree" not in model_card(made())
