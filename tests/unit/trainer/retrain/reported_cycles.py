"""Made-up cycles."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tests.unit.trainer.retrain.gate_cases import automatic, automation, catalogue, comparison, new_class
from trainer.data.dataset import Split
from trainer.retrain.cycle_folder import (
    Calibration,
    CatalogueDiff,
    Check,
    Collected,
    Comparison,
    Correction,
    CycleFolder,
    CycleStart,
    CycleStatus,
    Footprint,
    GateVerdict,
    Outcome,
    PairedAccuracy,
    TestChange,
)
from trainer.retrain.report import cycle_page
from trainer.splits.assigned import AssignedPhoto, write_splits
from worker.catalogue_diff import CatalogueChange, ChangedRow

PIXEL = "data:image/jpeg;base64,/9j/AA=="
REASON = "shoes loses 12.4 points of recall: more than 5.0 as asked."
SIZE = Footprint(compared_bytes=4_200_000, default_bytes=4_200_000, images_per_s=400.0)


@dataclass(frozen=True)
class ReportedCycle:
    """Results of a cycle's steps in its folder; None or empty if a step was not reached."""

    folder: Path
    outcome: Outcome
    start: CycleStart | None = None
    collected: Collected | None = None
    comparison: Comparison | None = None
    catalogue: CatalogueDiff | None = None
    verdict: GateVerdict | None = None
    photos: Sequence[AssignedPhoto] = ()

    def page(self) -> str:
        """The cycle's page, rendered from its files."""
        cycle = CycleFolder(self.folder)
        for name in ("start", "collected", "comparison", "catalogue", "verdict"):
            file, record = getattr(cycle, name), getattr(self, name)
            file.unlink(missing_ok=True)
            if record:
                cycle.write(file, record)
        if self.photos:
            write_splits(cycle.splits, list(self.photos))
            write_splits(cycle.earlier, [photo for photo in self.photos if not photo.present])
        return cycle_page(cycle, self.outcome)


def outcome(status: CycleStatus = CycleStatus.PROMOTED, **changes: object) -> Outcome:
    said = Outcome(
        status=status, number=4, name="shop", champion="shop@3", challenger="shop@4", version=4,
        started="2026-02-03T03:00:05.123+00:00", finished="2026-02-03T05:12:45.123+00:00",
        seconds={"train": 5400.0, "catalogue": 30.0},
    )  # fmt: skip
    return said.model_copy(update=changes)


def promoted(folder: Path, label: str = "shoes", photo: str = "gone.jpg") -> ReportedCycle:
    """A complete cycle; ``label`` and ``photo`` are used for every name that people choose."""
    photos = [
        AssignedPhoto(Path("/shop/1.jpg"), label, Split.TRAIN, "1" * 64, "a"),
        AssignedPhoto(Path("/shop", photo), label, Split.TEST, "2" * 64, "b"),
        AssignedPhoto(Path("/shop/old.jpg"), "hats", Split.TRAIN, "3" * 64, "c", present=False),
    ]
    return ReportedCycle(
        folder,
        outcome(),
        CycleStart(number=4, name="shop", started="", why="drift"),
        _collected(label, photo),
        _comparison(label, photo),
        _catalogue(label, photo),
        GateVerdict(checks=(_check("accuracy"), _check("size"))),
        photos,
    )


def refused(folder: Path) -> ReportedCycle:
    verdict = GateVerdict(checks=(_check("accuracy"), Check(name="recall", passed=False, sentence=REASON)))
    said = outcome(CycleStatus.REFUSED, reasons=verdict.reasons)
    return replace(promoted(folder), outcome=said, verdict=verdict)


def first(folder: Path) -> ReportedCycle:
    """A cycle of a model without a champion."""
    alone = Comparison(
        challenger="shop@1", photos=0, challenger_accuracy=0.9, challenger_all=0.9, all_photos=100,
        classes={"shoes": new_class(1.0, 9)}, challenger_footprint=SIZE,
    )  # fmt: skip
    said = outcome(champion=None, challenger="shop@1", version=1, number=1)
    return replace(promoted(folder), outcome=said, comparison=alone, catalogue=None)


def _check(name: str) -> Check:
    return Check(name=name, passed=True, sentence=f"The {name} is as asked.")


def _comparison(label: str, photo: str) -> Comparison:
    sure = {"champion_confidence": 0.61, "challenger_confidence": 0.72}
    lost = TestChange(image=f"/shop/{photo}", sha256="2" * 64, truth=label, champion=label, challenger="hats", **sure)
    worse = PairedAccuracy(
        photos=96, champion=0.9, challenger=0.8, won=1, lost=11, points=-10.4, points_95=(-17.0, -3.0)
    )
    return comparison(
        champion_accuracy=0.871, challenger_accuracy=0.895, won=14, lost=5, points=2.4, points_95=(0.1, 4.7),
        smallest_points=3.2, challenger_all=0.89, all_photos=390, new_classes=("scarf",), vanished=(f"old {label}",),
        newer=PairedAccuracy(
            photos=43, champion=34 / 43, challenger=35 / 43, won=2, lost=1, points=100 / 43, points_95=(-6.0, 10.6)
        ),
        classes={label: worse, "scarf": new_class(0.72, 18), "empty": new_class(0.0, 0)},
        calibration=Calibration(champion=0.034, challenger=0.029, difference_95=(-0.021, 0.012)),
        automation=automation(
            champion_precision=0.95, challenger=automatic(279, 4), points=-0.3, points_95=(-3.1, 2.6)
        ),
        champion_footprint=Footprint(compared_bytes=4_000_000, default_bytes=4_000_000, images_per_s=500.0),
        challenger_footprint=SIZE,
        changes=(lost, lost.model_copy(update={"champion": "hats", "challenger": label})),
    )  # fmt: skip


def _catalogue(label: str, photo: str) -> CatalogueDiff:
    row = ChangedRow(
        row=17, image=photo, before="boots", before_confidence=0.5, after=label, after_confidence=0.9, thumbnail=PIXEL
    )
    flows = (
        CatalogueChange(before="boots", after=label, rows=41),
        CatalogueChange(before=label, after="x", rows=21),
    )
    more = {"source": "/data/rows.csv", "changed_share_95": (0.024, 0.039), "to_review": 5, "from_review": 9}
    examples = (row, row.model_copy(update={"thumbnail": None}))
    return catalogue(62, 1990, 10).model_copy(update={**more, "flows": flows, "examples": examples})


def _collected(label: str, photo: str) -> Collected:
    def said(image: str, outcome: str, was: str | None = "hats") -> Correction:
        return Correction(image=image, label=label, was=was, reviewer=label, outcome=outcome)

    corrections = (
        said("/shop/1.jpg", "applied"), said(f"/shop/{photo}", "applied"), said("1" * 64, "agrees"),
        said("/shop/2.jpg", "added", None), said("/shop/3.jpg", "conflict"), said("9" * 64, "not_found"),
    )  # fmt: skip
    photos = {label: 900, "hats": 100}
    return Collected(fingerprint="f", photos=photos, new=120, gone=3, relabeled=7, corrections=corrections)
