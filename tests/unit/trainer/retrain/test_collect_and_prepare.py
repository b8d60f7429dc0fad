"""Splits of collected photos: photos keep their split after reviews and changes of the data's folders."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.preprocess import PreprocessSpec
from trainer.check.checkup import scan_photos
from trainer.data.dataset import Split, read_dataset
from trainer.data.photo_cache import PixelStore, StatisticsStore
from trainer.retrain.collect import collect
from trainer.retrain.config import RetrainConfig
from trainer.splits.assigned import AssignedPhoto
from trainer.splits.prepare import Prepared, SplitOptions, prepare

SPEC = PreprocessSpec(size=16)


def _untold(what: str, done: int, total: int) -> None: ...


def draw(path: Path, seed: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    coarse = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), np.uint8)
    Image.fromarray(coarse.repeat(8, axis=0).repeat(8, axis=1)).save(path)
    return path


class Cycles:
    """Cycles up to the splits, on twelve pictures in class folders."""

    def __init__(self, folder: Path, cache: Path) -> None:
        self.folder, self._cache = folder, cache
        self.photos: list[AssignedPhoto] = []
        for seed in range(12):
            draw(folder / "data" / ("hat", "vase")[seed % 2] / f"{seed}.png", seed)

    def given(self, **splits: str) -> None:
        """Move photos by name into split folders, and all others into the training folder."""
        for path in sorted((self.folder / "data").rglob("*.png")):
            split = splits.get(f"p{path.stem}", "train")
            to = self.folder / "given" / split / path.parent.name / path.name
            to.parent.mkdir(parents=True, exist_ok=True)
            path.rename(to)
        (self.folder / "data").rename(self.folder / "empty")
        (self.folder / "given").rename(self.folder / "data")

    def correct(self, path: Path, label: str) -> None:
        file = self.folder / "corrections.csv"
        head = "" if file.exists() else "image,label,reviewer,at\n"
        with file.open("a") as out:
            out.write(f"{head}{path},{label},anna,2026-05-01\n")

    def run(self, pause: Callable[[], object] = lambda: None) -> Prepared:
        """Run a cycle whose splits the next cycle extends; call ``pause`` before it begins to learn."""
        config = RetrainConfig(
            name="shop",
            data=self.folder / "data",
            folder=self.folder / "cycles",
            corrections=self.folder / "corrections.csv",
        )
        collect(config, self.folder / "cycle", None, self.photos, self._cache, _untold)
        pause()
        pixels, looks = PixelStore(self._cache, SPEC), StatisticsStore(self._cache)
        wishes = SplitOptions(earlier=self.photos)
        dataset = read_dataset(self.folder / "cycle" / "dataset.csv")
        scanned = scan_photos(dataset.photos, looks, _untold)
        prepared = prepare(dataset, scanned, pixels, looks, wishes, _untold)
        self.photos = prepared.photos
        return prepared

    def splits(self) -> dict[str, Split]:
        return {photo.path.name: photo.split for photo in self.photos}


@pytest.fixture
def cycles(tmp_path: Path, session_cache: Path) -> Cycles:
    """Cycles on pictures that are decoded once for all tests."""
    return Cycles(tmp_path, session_cache)


GIVEN = {"p0": "test", "p1": "test", "p2": "val", "p3": "val"}


@pytest.mark.parametrize("given", [None, GIVEN, {"p0": "test", "p1": "test"}], ids=["none", "all", "no validation"])
def test_nothing_moves_while_photos_come_and_are_corrected(cycles: Cycles, given: dict[str, str] | None) -> None:
    if given is not None:
        cycles.given(**given)
    first = cycles.run()
    before = cycles.splits()
    tested = first.of(Split.TEST)[0]
    other = "vase" if tested.label == "hat" else "hat"
    cycles.correct(tested.path, other)
    cycles.correct(draw(cycles.folder / "catalogue" / "90.png", 90), "vase")
    draw(cycles.folder / "data" / ("train/hat" if given else "hat") / "91.png", 91)
    second = cycles.run()
    after = cycles.splits()
    assert {name: after[name] for name in before} == before
    assert set(after) - set(before) == {"90.png", "91.png"}
    corrected = next(photo for photo in second.photos if photo.path == tested.path)
    assert (corrected.label, corrected.split) == (other, Split.TEST)
    assert "1 photo has a new label (1 in test)" in second.notes
    assert not {photo.sha256 for photo in second.of(Split.TRAIN)} & {photo.sha256 for photo in first.of(Split.TEST)}


def test_a_file_replaced_during_a_pause_gets_no_label_or_correction(cycles: Cycles) -> None:
    labelled = cycles.folder / "data" / "hat" / "0.png"
    corrected, added = cycles.folder / "data" / "hat" / "2.png", cycles.folder / "catalogue" / "90.png"
    cycles.correct(corrected, "vase")
    cycles.correct(draw(added, 90), "hat")
    replaced = (labelled, corrected, added)
    first = cycles.run(pause=lambda: [draw(path, 100 + seed) for seed, path in enumerate(replaced)])
    assert {(one.path, one.reason) for one in first.excluded} == {(path, "changed") for path in replaced}
    assert "3 files excluded (3 changed): see excluded.csv" in first.notes
    assert not {photo.path for photo in first.photos} & set(replaced)
    cycles.run()
    assert labelled in {photo.path for photo in cycles.photos}, "with its bytes of now, it is a photo like any other"


def test_reviewed_photos_are_only_for_training(cycles: Cycles) -> None:
    first = cycles.run()
    tested = next(photo for photo in first.photos if photo.split is Split.TEST)
    for seed in range(100, 130):
        cycles.correct(draw(cycles.folder / "catalogue" / f"{seed}.png", seed), ("hat", "vase")[seed % 2])
    for seed in range(200, 210):  # a person has added these to the data since
        cycles.correct(draw(cycles.folder / "data" / "hat" / f"{seed}.png", seed), "hat")
    twin = cycles.folder / "catalogue" / "twin.png"
    with Image.open(tested.path) as image:
        image.transpose(Image.Transpose.ROTATE_180).transpose(Image.Transpose.ROTATE_180).save(twin, compress_level=1)
    cycles.correct(twin, tested.label)
    second = cycles.run()
    new = [photo for photo in second.photos if photo.path not in {one.path for one in first.photos}]
    assert {(photo.split, photo.chosen) for photo in new} == {(Split.TRAIN, True)}
    assert len(new) == 40
    assert [one.reason for one in second.excluded if one.path == twin] == ["chosen"]
    assert {photo.path for photo in cycles.run().photos if photo.chosen} == {photo.path for photo in new}
