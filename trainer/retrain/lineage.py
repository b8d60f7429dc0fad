"""Which splits a cycle extends, and whether a champion has learned from what it would be tested with."""

from collections.abc import Sequence
from pathlib import Path

from models.errors import InputError
from models.registry import Registry
from trainer.data.dataset import Split
from trainer.retrain.config import RetrainConfig
from trainer.retrain.cycle_folder import CycleFolder
from trainer.splits.assigned import AssignedPhoto, read_splits

__all__ = ["SPLITS_FILE", "check_unseen", "splits_to_extend"]

SPLITS_FILE = "splits.csv"


def splits_to_extend(
    config: RetrainConfig, registry: Registry, champion: int, finished: Sequence[CycleFolder]
) -> Path | None:
    """The splits whose photos stay where they are; none for a first model that was given none.

    They are those of the latest finished cycle here, unless the champion's own hold all of these and more: another
    machine has gone on meanwhile. Without a cycle they are the champion's own, and at last those of the settings.

    Raises:
        InputError: there is a champion, and nobody knows what it has learned from; or it has learned from test photos.
    """
    own = registry.training(config.name, champion, SPLITS_FILE) if champion else None
    cycle = next((one.splits for one in reversed(finished) if one.splits.is_file()), None)
    if cycle is not None and own is not None and _goes_on_from(read_splits(own), read_splits(cycle)):
        return own
    found = cycle or own or config.splits
    if found is None and champion:
        msg = (
            f"Expected to know which photos {config.name}@{champion} has learned from, the registry holds no "
            f'splits.csv of it; give it as splits = "runs/train/NAME/splits.csv" in the settings, or publish its run '
            f"with it: hangtag models publish BUNDLE --run RUN."
        )
        raise InputError(msg)
    if found is not None:
        check_unseen(config.name, champion, own, read_splits(found))
    return found


def check_unseen(name: str, champion: int, own: Path | None, photos: Sequence[AssignedPhoto]) -> None:
    """Refuse to test a champion with photos that it has learned from: it would know the answers.

    Args:
        name: of the model.
        champion: its version.
        own: the splits that the champion was trained with; none where nobody knows them.
        photos: with the splits that both are to be tested with.

    Raises:
        InputError: the champion has learned from some of the test photos.
    """
    if own is None:
        return
    learned = {photo.sha256 for photo in read_splits(own) if photo.present and photo.split is not Split.TEST}
    test = [photo for photo in photos if photo.present and photo.split is Split.TEST]
    seen = [photo for photo in test if photo.sha256 in learned]
    if seen:
        msg = (
            f"Expected test photos that {name}@{champion} has not learned from, it has learned from {len(seen):,} of "
            f"{len(test):,}, such as {seen[0].path}: it was trained with other splits. Promote a version of these "
            f"splits, train it anew with hangtag train --splits, or go on with its own: set another folder in the "
            f"settings, and --restart if a cycle is unfinished."
        )
        raise InputError(msg)


def _goes_on_from(own: Sequence[AssignedPhoto], cycle: Sequence[AssignedPhoto]) -> bool:
    """Whether a champion's splits hold all photos of a cycle's, in the same splits."""
    splits = {(photo.sha256, photo.split) for photo in own}
    return all((photo.sha256, photo.split) in splits for photo in cycle)
