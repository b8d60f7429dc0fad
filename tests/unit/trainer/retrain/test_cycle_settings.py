"""Settings that cannot be used are said before anybody has trained for hours, and bind no later call."""

import json
from pathlib import Path

import pytest

from models.errors import InputError, JobError, StoppedError
from tests.paper_cycle import PaperShop, PaperView, photo_rows
from trainer.retrain.config import CatalogueSettings, ClassMap, TrainSettings
from trainer.retrain.cycle import CycleOptions
from trainer.retrain.cycle_folder import CycleStatus


def cycles(shop: PaperShop) -> list[str]:
    folder = shop.root / "cycles"
    return sorted(path.name for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []


def test_a_class_that_nobody_knows_is_said_before_the_training(shop: PaperShop) -> None:
    config = shop.config.model_copy(update={"classes": ClassMap(rename={"bots": "shoes"})})
    with pytest.raises(InputError, match="got bots → shoes; it knows boots, hats"):
        shop.run(config=config)
    assert (shop.calls, cycles(shop)) == ([], [])


def test_a_catalogue_that_cannot_be_used_is_said_before_the_training(shop: PaperShop) -> None:
    config = shop.config.model_copy(update={"catalogue": CatalogueSettings(source="rows.csv")})

    def away(*of: object) -> None:
        msg = "it does not come"
        raise JobError(msg)

    with pytest.raises(JobError):
        shop.run(config=config, draw_rows=away)
    assert (shop.calls, cycles(shop)) == (["collect"], [])
    assert shop.run(config=config).status is CycleStatus.PROMOTED


def test_the_rows_that_are_compared_are_drawn_when_the_cycle_begins(shop: PaperShop) -> None:
    config = shop.config.model_copy(update={"catalogue": CatalogueSettings(source="rows.csv")})
    compared = []

    def draw(settings: CatalogueSettings, folder: Path) -> None:
        folder.mkdir()
        (folder / "drawn").write_text(settings.source)

    def compare(settings, champion, challenger, folder, *of):
        compared.append((folder / "drawn").read_text())
        return shop.tools().catalogue_diff(settings, champion, challenger, folder, *of)

    shop.run(config=config, draw_rows=draw, catalogue_diff=compare)
    assert compared == ["rows.csv"]


def test_the_rows_of_old_cycles_go(shop: PaperShop) -> None:
    config = shop.config.model_copy(update={"catalogue": CatalogueSettings(source="rows.csv"), "keep": 1})
    for end in (33, 36):
        shop.put(photo_rows(0, end))
        shop.run(config=config, draw_rows=lambda settings, folder: folder.mkdir())
    assert [(shop.root / "cycles" / cycle / "catalogue").is_dir() for cycle in cycles(shop)] == [False, True]


def test_a_first_model_has_nothing_to_compare_rows_with(tmp_path: Path) -> None:
    shop = PaperShop(tmp_path)
    shop.put(photo_rows(0, 30))
    drawn: list[object] = []
    config = shop.config.model_copy(update={"catalogue": CatalogueSettings(source="rows.csv")})
    shop.run(config=config, draw_rows=lambda *of: drawn.append(of))
    assert drawn == []


def test_settings_that_no_training_begins_with_bind_no_later_call(shop: PaperShop) -> None:
    def refuse(*of: object) -> None:
        msg = "no such weights"
        raise InputError(msg)

    wrong = shop.config.model_copy(update={"train": TrainSettings(weights="/gone.keras")})
    with pytest.raises(InputError, match="no such weights"):
        shop.run(config=wrong, train=refuse)
    ended = json.loads((shop.root / "cycles" / "000001" / "outcome.json").read_text())
    assert (ended["status"], ended["reasons"]) == ("failed", ["no such weights"])
    assert shop.run().number == 2


def test_a_cycle_goes_on_in_the_registry_that_it_began_in(shop: PaperShop) -> None:
    def stop(*of: object) -> None:
        msg = "stopped"
        raise StoppedError(msg)

    with pytest.raises(StoppedError):
        shop.run(export=stop)
    other = shop.config.model_copy(update={"registry": str(shop.root / "other")})
    with pytest.raises(InputError, match="a folder of its own"):
        shop.run(config=other)
    assert shop.run(view=PaperView()).number == 1


def test_restart_is_for_another_registry_too(shop: PaperShop) -> None:
    def stop(*of: object) -> None:
        msg = "stopped"
        raise StoppedError(msg)

    with pytest.raises(StoppedError):
        shop.run(export=stop)
    other = shop.config.model_copy(update={"registry": str(shop.root / "other")})
    assert shop.run(CycleOptions(restart=True), other).version == 1
