import json
from dataclasses import replace
from pathlib import Path

import pytest

from models.errors import BundleError, InputError, JobError
from tests.paper_bundle import write_paper_bundle
from tests.paper_cycle import PaperShop, PaperView, extended, photo_rows, train_on_paper
from trainer.data.dataset import Split
from trainer.retrain.config import CatalogueSettings, ClassMap, DriftSettings, TrainSettings
from trainer.retrain.cycle import CycleOptions
from trainer.retrain.cycle_folder import Correction, CycleStatus
from trainer.splits.assigned import read_splits


def test_nothing_new_leaves_no_folder(shop: PaperShop) -> None:
    shop.run()
    shop.calls.clear()
    outcome = shop.run()
    assert outcome.status is CycleStatus.NOTHING_NEW
    assert shop.calls == ["collect"]
    assert [path.name for path in (shop.root / "cycles").iterdir()] == ["000001"]


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
    with pytest.raises(InputError, match="shop@1"):
        shop.run()
    train_on_paper(tmp_path / "run", extended([], photo_rows(0, 30)))
    assert shop.run(config=shop.asked(splits=tmp_path / "run" / "splits.csv")).status is CycleStatus.PROMOTED


def test_a_champion_that_has_learned_from_test_photos_is_refused(shop: PaperShop) -> None:
    shop.run()
    moved = [replace(photo, split=Split.TRAIN) for photo in read_splits(shop.cycle() / "splits.csv")]
    shop.publish_champion(901, photos=moved)
    shop.put(photo_rows(0, 36))
    with pytest.raises(InputError, match="11 of 11"):
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
    with pytest.raises(BundleError):
        shop.run()
    assert shop.calls == []


def test_after_a_rollback_the_same_photos_are_not_new(shop: PaperShop) -> None:
    shop.run()
    shop.registry.rollback("shop", "customers complain")
    assert shop.run().status is CycleStatus.NOTHING_NEW
    assert shop.champion() == 1


def folders(shop: PaperShop) -> list[str]:
    folder = shop.root / "cycles"
    return sorted(path.name for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []


def test_an_unusable_catalogue_is_reported_before_the_training(shop: PaperShop) -> None:
    config = shop.asked(catalogue=CatalogueSettings(source="rows.csv"))

    def away(*of: object) -> None:
        msg = "it does not come"
        raise JobError(msg)

    with pytest.raises(JobError):
        shop.run(config=config, draw_rows=away)
    assert (shop.calls, folders(shop)) == (["collect"], [])
    assert shop.run(config=config).status is CycleStatus.PROMOTED


def test_the_rows_that_are_compared_are_drawn_when_the_cycle_begins(shop: PaperShop) -> None:
    compared = []

    def draw(settings: CatalogueSettings, folder: Path) -> None:
        folder.mkdir()
        (folder / "drawn").write_text(settings.source)

    def compare(settings, champion, challenger, folder, *of):
        compared.append((folder / "drawn").read_text())
        compared.append(of[-1])
        return shop.tools().catalogue_diff(settings, champion, challenger, folder, *of)

    def corrected(*of):
        answer = Correction(image="a.jpg", label="hats", was=None, reviewer="anna", outcome="added", sha256="1" * 64)
        lost = answer.model_copy(update={"outcome": "not_found", "sha256": "2" * 64})
        collected = shop.tools().collect(*of).model_copy(update={"corrections": (answer, lost)})
        (of[1] / "collected.json").write_text(collected.model_dump_json())
        return collected

    config = shop.asked(catalogue=CatalogueSettings(source="rows.csv"))
    shop.run(config=config, draw_rows=draw, catalogue_diff=compare, collect=corrected)
    assert compared == ["rows.csv", {"1" * 64}]


def test_settings_that_no_training_begins_with_bind_no_later_call(shop: PaperShop) -> None:
    def refuse(*of: object) -> None:
        msg = "no such weights"
        raise InputError(msg)

    with pytest.raises(InputError, match="no such weights"):
        shop.run(config=shop.asked(train=TrainSettings(weights="/gone.keras")), train=refuse)
    ended = json.loads((shop.root / "cycles" / "000001" / "outcome.json").read_text())
    assert (ended["status"], ended["reasons"]) == ("failed", ["no such weights"])
    assert shop.run().number == 2


def test_drift_is_a_reason_only_when_a_job_has_drifted(shop: PaperShop) -> None:
    config = shop.asked(drift=DriftSettings(jobs=("jobs",)))
    asked = []
    outcome = shop.run(CycleOptions(when="drift"), config, drifted_jobs=lambda *of: asked.append(of[:3]) or [])
    assert outcome.status is CycleStatus.NOTHING_NEW
    assert "no drift in the jobs of shop@1 since" in outcome.reasons[0]
    last = shop.registry.history("shop").last()
    assert asked == [(("jobs",), shop.registry.state("shop").versions[1].digest, last.at)]
    assert shop.run(CycleOptions(when="drift"), config, drifted_jobs=lambda *of: ["a"]).status is CycleStatus.PROMOTED


def test_a_class_that_nobody_knows_is_said_before_the_training(shop: PaperShop) -> None:
    with pytest.raises(InputError, match="bots → shoes"):
        shop.run(config=shop.asked(classes=ClassMap(rename={"bots": "shoes"})))
    assert (shop.calls, folders(shop)) == ([], [])


def test_a_class_of_the_cycle_before_is_not_told_again(shop: PaperShop) -> None:
    """The fake collecting step counts no classes."""

    def collect(config, folder, *of):
        found = shop.tools().collect(config, folder, *of).model_copy(update={"photos": {"boots": 1, "hatt": 1}})
        (folder / "collected.json").write_text(found.model_dump_json())
        return found

    first, second = PaperView(), PaperView()
    shop.passes = False
    shop.run(view=first, collect=collect)
    shop.put(photo_rows(0, 36))
    shop.run(view=second, collect=collect)
    assert "New class: hatt (1 photo)" in first.notes
    assert not any("New class" in note for note in second.notes)
