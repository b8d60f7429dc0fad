"""Made-up cycles."""

from dataclasses import replace
from pathlib import Path

from trainer.data.dataset import Split
from trainer.retrain.cycle_folder import CycleStart, CycleStatus, Outcome
from trainer.retrain.records import (
    Automatic,
    Automation,
    Calibration,
    CatalogueDiff,
    Check,
    ClassComparison,
    Collected,
    Comparison,
    Correction,
    Footprint,
    TestChange,
    Verdict,
)
from trainer.retrain.report import CycleMaterial
from trainer.splits.assigned import AssignedPhoto
from worker.catalogue_diff.figures import CatalogueChange, ChangedRow

__all__ = ["PIXEL", "first", "outcome", "promoted", "refused"]

PIXEL = "data:image/jpeg;base64,/9j/AA=="
REASON = "shoes loses 12.4 points of recall: more than 5.0 as asked."


def outcome(status: CycleStatus = CycleStatus.PROMOTED, **changes: object) -> Outcome:
    said = Outcome(
        status=status,
        number=4,
        name="shop",
        champion="shop@3",
        challenger="shop@4",
        version=4,
        started="2026-02-03T03:00:05.123+00:00",
        finished="2026-02-03T05:12:45.123+00:00",
        seconds={"train": 5400.0, "catalogue": 30.0},
    )
    return said.model_copy(update=changes)


def promoted(folder: Path, label: str = "shoes", photo: str = "gone.jpg") -> CycleMaterial:
    """A cycle that has everything; ``label`` and ``photo`` are people's words, wherever such stand."""
    return CycleMaterial(
        folder,
        outcome(),
        CycleStart(number=4, name="shop", started="", why="drift"),
        _collected(label, photo),
        _comparison(label, photo),
        _catalogue(label, photo),
        Verdict(checks=(_check("accuracy"), _check("size"))),
        [
            AssignedPhoto(Path("/shop/1.jpg"), label, Split.TRAIN, "1" * 64, "a"),
            AssignedPhoto(Path("/shop", photo), label, Split.TEST, "2" * 64, "b"),
            AssignedPhoto(Path("/shop/old.jpg"), "hats", Split.TRAIN, "3" * 64, "c", present=False),
        ],
    )


def refused(folder: Path) -> CycleMaterial:
    verdict = Verdict(checks=(_check("accuracy"), Check(name="recall", passed=False, sentence=REASON)))
    said = outcome(CycleStatus.REFUSED, reasons=verdict.reasons)
    return replace(promoted(folder), outcome=said, verdict=verdict)


def first(folder: Path) -> CycleMaterial:
    """Of a model that had no champion."""
    classes = {
        "shoes": ClassComparison(photos=9, champion=None, challenger=1.0, won=0, lost=0, points=None, points_95=None)
    }
    alone = Comparison(
        champion=None,
        challenger="shop@1",
        photos=0,
        champion_accuracy=None,
        challenger_accuracy=0.9,
        won=0,
        lost=0,
        points=None,
        points_95=None,
        smallest_points=None,
        challenger_all=0.9,
        all_photos=100,
        classes=classes,
        challenger_footprint=_foot(),
    )
    said = outcome(champion=None, challenger="shop@1", version=1, number=1)
    return replace(promoted(folder), outcome=said, comparison=alone, catalogue=None)


def _check(name: str) -> Check:
    return Check(name=name, passed=True, sentence=f"The {name} is as asked.")


def _foot() -> Footprint:
    return Footprint(bytes=4_200_000, images_per_s=400.0)


def _comparison(label: str, photo: str) -> Comparison:
    def change(right: str) -> TestChange:
        """``right``: which of both is."""
        one, other = (label, "hats") if right == "champion" else ("hats", label)
        return TestChange(
            image=f"/shop/{photo}",
            sha256="2" * 64,
            truth=label,
            champion=one,
            champion_confidence=0.61,
            challenger=other,
            challenger_confidence=0.72,
        )

    return Comparison(
        champion="shop@3",
        challenger="shop@4",
        photos=372,
        champion_accuracy=0.871,
        challenger_accuracy=0.895,
        won=14,
        lost=5,
        points=2.4,
        points_95=(0.1, 4.7),
        smallest_points=3.2,
        challenger_all=0.89,
        all_photos=390,
        classes={
            label: ClassComparison(
                photos=96, champion=0.9, challenger=0.8, won=1, lost=11, points=-10.4, points_95=(-17.0, -3.0)
            ),
            "scarf": ClassComparison(
                photos=18, champion=None, challenger=0.72, won=0, lost=0, points=None, points_95=None
            ),
            "empty": ClassComparison(
                photos=0, champion=None, challenger=0.0, won=0, lost=0, points=None, points_95=None
            ),
        },
        new_classes=("scarf",),
        vanished=(f"old {label}",),
        calibration=Calibration(champion=0.034, challenger=0.029, difference_95=(-0.021, 0.012)),
        automation=Automation(
            champion_precision=0.95,
            challenger_precision=0.98,
            own_precision=0.98,
            champion=Automatic(photos=280, wrong=5, right_95=(0.96, 0.99)),
            challenger=Automatic(photos=279, wrong=4, right_95=(0.96, 0.99)),
            own=Automatic(photos=279, wrong=4, right_95=(0.96, 0.99)),
            everywhere=Automatic(photos=290, wrong=5, right_95=(0.96, 0.99)),
            points=-0.3,
            points_95=(-3.1, 2.6),
        ),
        champion_footprint=Footprint(bytes=4_000_000, images_per_s=500.0),
        challenger_footprint=_foot(),
        changes=(change("champion"), change("challenger")),
    )


def _catalogue(label: str, photo: str) -> CatalogueDiff:
    row = ChangedRow(
        row=17, image=photo, before="boots", before_confidence=0.5, after=label, after_confidence=0.9, thumbnail=PIXEL
    )
    return CatalogueDiff(
        source="/data/rows.csv",
        rows_in_source=50_000,
        rows=1990,
        failed=10,
        changed=62,
        changed_share_95=(0.024, 0.039),
        to_review=5,
        from_review=9,
        flows=(
            CatalogueChange(before="boots", after=label, rows=41),
            CatalogueChange(before=label, after="x", rows=21),
        ),
        examples=(row, row.model_copy(update={"thumbnail": None})),
    )


def _collected(label: str, photo: str) -> Collected:
    def said(image: str, outcome: str, was: str | None = "hats") -> Correction:
        return Correction(image=image, label=label, was=was, reviewer=label, outcome=outcome)

    return Collected(
        fingerprint="f",
        photos={label: 900, "hats": 100},
        new=120,
        gone=3,
        relabeled=7,
        corrections=(
            said("/shop/1.jpg", "applied"),
            said(f"/shop/{photo}", "applied"),
            said("1" * 64, "agrees"),
            said("/shop/2.jpg", "added", None),
            said("/shop/3.jpg", "conflict"),
            said("9" * 64, "not_found"),
        ),
    )
