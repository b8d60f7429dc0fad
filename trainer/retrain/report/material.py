"""All that a page about a cycle is made of: what its steps left in its folder."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from models.errors import DataError, InputError
from trainer.data.csv_files import path_cell
from trainer.data.dataset import Split
from trainer.retrain.cycle_folder import CycleStart, Outcome
from trainer.retrain.records import CatalogueDiff, Collected, Comparison, Correction, Verdict
from trainer.splits.assigned import AssignedPhoto, read_splits

__all__ = ["CycleMaterial", "read_material"]

_SPLITS = ("splits.csv", "run/splits.csv")

R = TypeVar("R", bound=BaseModel)


@dataclass(frozen=True)
class CycleMaterial:
    """A cycle. What its steps have not come to, or what is gone of an old one, is none or empty.

    Attributes:
        folder: the cycle's; only files that are there are linked to.
        outcome: of the cycle.
        start: what it began with.
        collected: what it learned from.
        comparison: champion and challenger.
        catalogue: what of a catalogue would change.
        verdict: of the gate.
        photos: with their splits.
    """

    folder: Path
    outcome: Outcome
    start: CycleStart | None = None
    collected: Collected | None = None
    comparison: Comparison | None = None
    catalogue: CatalogueDiff | None = None
    verdict: Verdict | None = None
    photos: Sequence[AssignedPhoto] = ()

    def split_of(self, correction: Correction) -> Split | None:
        """Where the photo of a correction stands; none where nobody knows it."""
        return self._places().get(correction.image)

    def counts(self) -> dict[Split, dict[str, int]]:
        """Split → class → photos that are there."""
        found: dict[Split, dict[str, int]] = {}
        for photo in self.photos:
            if photo.present:
                classes = found.setdefault(photo.split, {})
                classes[photo.label] = classes.get(photo.label, 0) + 1
        return found

    def _places(self) -> Mapping[str, Split]:
        by_content = {photo.sha256: photo.split for photo in self.photos}
        return by_content | {path_cell(photo.path): photo.split for photo in self.photos}


def _comparison(folder: Path, outcome: Outcome) -> Comparison | None:
    """The challenger under the name that it has by now: it was compared before it had a number."""
    found = _read(folder / "comparison.json", Comparison)
    return found and found.model_copy(update={"challenger": outcome.challenger or found.challenger})


def read_material(folder: Path, outcome: Outcome) -> CycleMaterial:
    """Read what a cycle left.

    Raises:
        InputError: a file is there and damaged.
    """
    return CycleMaterial(
        folder,
        outcome,
        _read(folder / "cycle.json", CycleStart),
        _read(folder / "collected.json", Collected),
        _comparison(folder, outcome),
        _read(folder / "catalogue.json", CatalogueDiff),
        _read(folder / "verdict.json", Verdict),
        _photos(folder),
    )


def _read(file: Path, kind: type[R]) -> R | None:
    if not file.is_file():
        return None
    try:
        return kind.model_validate_json(file.read_bytes())
    except (OSError, ValidationError) as error:
        msg = f"Expected what a cycle left in {file}, it is damaged or of another version of Hangtag: {error}."
        raise InputError(msg) from error


def _photos(folder: Path) -> list[AssignedPhoto]:
    """The splits; a cycle's own folder may keep them when its run is gone."""
    file = next((folder / name for name in _SPLITS if (folder / name).is_file()), None)
    try:
        return read_splits(file) if file else []
    except DataError:  # a page about a cycle may lack where its photos stand
        return []
