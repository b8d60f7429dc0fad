from dataclasses import replace
from pathlib import Path

import pytest

from models.errors import BundleError, InputError, RegistryError
from tests.paper_bundle import write_paper_bundle
from tests.paper_cycle import PaperShop, extended, photo_rows, train_on_paper
from trainer.data.dataset import Split
from trainer.retrain.config import TrainSettings
from trainer.retrain.cycle_folder import CycleStatus
from trainer.splits.assigned import read_splits


def test_nothing_new_leaves_no_folder(shop: PaperShop) -> None:
    shop.run()
    shop.calls.clear()
    outcome = shop.run()
    assert outcome.status is CycleStatus.NOTHING_NEW
    assert shop.calls == ["collect"]
    assert [path.name for path in (shop.root / "cycles").iterdir()] == ["000001"]


def test_what_the_champion_has_learned_from_is_not_new(shop: PaperShop) -> None:
    shop.put(photo_rows(0, 30))
    assert shop.run().status is CycleStatus.NOTHING_NEW


def test_other_training_settings_are_a_reason_to_train(shop: PaperShop) -> None:
    shop.run()
    other = shop.config.model_copy(update={"train": TrainSettings(epochs=3)})
    assert shop.run(config=other).status is CycleStatus.PROMOTED


def test_the_splits_of_a_refused_cycle_are_extended_too(shop: PaperShop) -> None:
    shop.passes = False
    shop.run()
    shop.put(photo_rows(0, 36))
    shop.run()
    first, second = ({p.path: p.split for p in read_splits(shop.cycle(n) / "splits.csv")} for n in (1, 2))
    assert (len(first), len(second)) == (33, 36)
    assert first.items() <= second.items()


def test_a_champion_of_unknown_training_needs_splits(tmp_path: Path) -> None:
    shop = PaperShop(tmp_path)
    shop.put(photo_rows(0, 33))
    shop.registry.publish("shop", write_paper_bundle(tmp_path / "bare", 1), "by hand")
    shop.registry.promote("shop", 1, "by hand")
    with pytest.raises(InputError, match=r"splits = .*models publish"):
        shop.run()
    train_on_paper(tmp_path / "run", extended([], photo_rows(0, 30)))
    given = shop.config.model_copy(update={"splits": tmp_path / "run" / "splits.csv"})
    assert shop.run(config=given).status is CycleStatus.PROMOTED


def test_a_champion_that_has_learned_from_test_photos_is_refused(shop: PaperShop) -> None:
    shop.run()
    moved = [replace(photo, split=Split.TRAIN) for photo in read_splits(shop.cycle() / "splits.csv")]
    shop.publish_champion(901, photos=moved)
    shop.put(photo_rows(0, 36))
    with pytest.raises(InputError, match=r"shop@3 has not learned from, it has learned from 11 of 11"):
        shop.run()
    assert not shop.cycle(2).exists()


def test_a_champion_that_another_machine_retrained_brings_its_splits(shop: PaperShop, tmp_path: Path) -> None:
    shop.run()
    elsewhere = extended(read_splits(shop.cycle() / "splits.csv"), photo_rows(0, 36))
    shop.publish_champion(901, photos=elsewhere)
    shop.put(photo_rows(0, 39))
    shop.run()
    assert len(read_splits(shop.cycle(2) / "earlier.csv")) == 36


def test_a_damaged_champion_is_told_before_anything_is_learned(shop: PaperShop) -> None:
    (shop.registry.path("shop", 1) / "model.onnx").write_bytes(b"network 901")
    with pytest.raises(BundleError, match=r"champion shop@1 to be whole, it is damaged: .*models rollback shop"):
        shop.run()
    assert shop.calls == []


def test_a_number_of_another_machine_is_not_used_again(shop: PaperShop) -> None:
    shop.run()
    elsewhere = shop.config.model_copy(update={"folder": shop.root / "elsewhere"})
    shop.put(photo_rows(0, 36))
    assert shop.run(config=elsewhere).number == 2


def test_after_a_rollback_the_same_photos_are_not_new(shop: PaperShop) -> None:
    shop.run()
    shop.registry.rollback("shop", "customers complain")
    assert shop.run().status is CycleStatus.NOTHING_NEW
    assert shop.champion() == 1


def test_a_champion_that_is_deleted_while_photos_are_read_is_an_error_that_says_so(shop: PaperShop) -> None:
    def collect(*of):
        shop.publish_champion(901)
        shop.registry.delete("shop", 1, "old")
        return shop.tools().collect(*of)

    with pytest.raises(RegistryError, match="replaced and deleted meanwhile; run hangtag retrain again"):
        shop.run(collect=collect)
    assert shop.run().status is CycleStatus.NOTHING_NEW, "that champion knows these photos"
