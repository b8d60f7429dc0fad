from pathlib import Path

from tests.paper_cycle import PaperShop, PaperView, photo_rows
from trainer.retrain.collect import collected_notes
from trainer.retrain.cycle_folder import CycleStatus
from trainer.retrain.records import Collected, Correction


def collected(*outcomes: str, **photos: int) -> Collected:
    corrections = [
        Correction(image=f"/{number}.jpg", label="hat", was=None, reviewer="anna", outcome=outcome)
        for number, outcome in enumerate(outcomes)
    ]
    return Collected(
        fingerprint="", photos=photos or {"hat": 3}, new=0, gone=0, relabeled=0, corrections=tuple(corrections)
    )


def with_corrections(shop: PaperShop, found: Collected):
    """The shop's own collecting, and what became of corrections besides."""

    def collect(config, folder, earlier, known, on_photo) -> Collected:
        real = shop.tools().collect(config, folder, earlier, known, on_photo)
        both = real.model_copy(update={"corrections": found.corrections, "photos": {**real.photos, **found.photos}})
        (folder / "collected.json").write_text(both.model_dump_json())
        return both

    return collect


def test_what_became_of_corrections_is_counted_and_lost_photos_are_named() -> None:
    said = collected("added", "applied", "added", *["not_found"] * 5)
    assert collected_notes(said, {"hat"}) == [
        "Corrections: applied 1, added 2, not_found 5",
        "Not found: /3.jpg, /4.jpg, /5.jpg and 2 more. Put them among the data, or import the corrections again with "
        "the right --image-root.",
    ]
    assert collected_notes(collected("agrees"), {"hat"}) == ["Corrections: agrees 1"]
    assert collected_notes(collected(), {"hat"}) == []


def test_classes_that_nobody_has_known_are_told_but_of_a_first_model() -> None:
    assert collected_notes(collected(hat=3, hatt=1), {"hat"}) == ["New class: hatt (1 photo)"]
    assert collected_notes(collected(hat=3, hatt=1, cap=2), {"hat"}) == ["New classes: hatt (1 photo), cap (2 photos)"]
    assert collected_notes(collected(hat=3), ()) == []


def test_a_cycle_says_so_also_where_nothing_is_new(tmp_path: Path) -> None:
    shop = PaperShop(tmp_path)
    shop.put(photo_rows(0, 30))
    shop.publish_champion()
    view = PaperView()
    found = with_corrections(shop, collected("not_found", boots=1, hatt=1))
    assert shop.run(view=view, collect=found).status is CycleStatus.NOTHING_NEW
    assert [note.split(".")[0] for note in view.notes] == [
        "Corrections: not_found 1",
        "Not found: /0",
        "New class: hatt (1 photo)",
    ]


def test_a_class_of_the_cycle_before_is_not_told_again(tmp_path: Path) -> None:
    shop = PaperShop(tmp_path)
    shop.put(photo_rows(0, 30))
    shop.publish_champion()
    shop.put(photo_rows(0, 33))
    shop.passes = False
    found = with_corrections(shop, collected(boots=1, hatt=1))
    first, second = PaperView(), PaperView()
    shop.run(view=first, collect=found)
    shop.put(photo_rows(0, 36))
    shop.run(view=second, collect=found)
    assert "New class: hatt (1 photo)" in first.notes
    assert not any("New class" in note for note in second.notes)
