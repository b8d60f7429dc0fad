import re
from dataclasses import replace
from pathlib import Path

from tests.unit.trainer.report.materials import made
from trainer.data.dataset import Exclusion
from trainer.report.write import model_card

NASTY = """hat|<img src=x onerror='alert(1)'>[a](http://b)`*"""
EXCLUDED = [Exclusion(Path("/secret/1.jpg"), "label_conflict", "two labels")] * 2


def headings(card: str) -> list[str]:
    return [line for line in card.splitlines() if line.startswith("#")]


def test_no_folder_of_the_machine_is_in_it() -> None:
    material = made(excluded=EXCLUDED)
    args = material.args.model_copy(update={"splits": "/home/anna/runs/may/splits.csv"})
    card = model_card(replace(material, args=args))
    assert "photos from shop:" in card
    assert "splits.csv" in card
    for folder in ("/photos", "/home", "/secret"):
        assert folder not in card


def test_names_mean_nothing_but_themselves() -> None:
    card = model_card(made(("dress", NASTY, "# head\n\n- x"), name="shop|<b>`", notes=("<script>",)))
    card = re.sub(r"```.*?```", "", card, flags=re.DOTALL)
    for meaning in (r"(?<!\\)<(img|b|script)", r"\](?<!\\\])\(", r"(?<!\\)\|<b"):
        assert not re.search(meaning, card)
    assert "# head" not in headings(card)
    for line in card.splitlines():
        if line.startswith("| hat"):
            assert line.startswith(r"| hat\|\<img src=x")
