"""Photos of one group in several splits: a network is measured on what it has learned from."""

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence

from trainer.data.dataset import Exclusion, Split
from trainer.splits.assigned import AssignedPhoto, take_out

__all__ = ["count_leaks", "drop_training_twins"]


def count_leaks(photos: Sequence[AssignedPhoto]) -> Counter[Split]:
    """How many photos of each split are of a group that more is learned from."""
    ranks: dict[str, int] = {}
    used = [photo for photo in photos if photo.present]
    for photo in used:
        ranks[photo.group] = min(photo.split.rank, ranks.get(photo.group, photo.split.rank))
    return Counter(photo.split for photo in used if ranks[photo.group] < photo.split.rank)


def drop_training_twins(
    photos: Sequence[AssignedPhoto], earlier_groups: Collection[str] = ()
) -> tuple[list[AssignedPhoto], list[Exclusion]]:
    """Of each group in several splits, keep what least is learned from: test photos, else validation photos.

    Args:
        photos: with their splits; those that are not present neither leak nor go.
        earlier_groups: the groups of an earlier training; what is dropped of them keeps its row, as not present.

    Returns:
        The photos that are left, and those dropped.
    """
    held_out: defaultdict[str, dict[Split, AssignedPhoto]] = defaultdict(dict)
    for photo in photos:
        if photo.present and photo.split is not Split.TRAIN:
            held_out[photo.group].setdefault(photo.split, photo)
    dropped = {}
    for place, photo in enumerate(photos):
        twin = _twin(photo, held_out.get(photo.group, {}))
        if twin is not None:
            dropped[place] = Exclusion(photo.path, "leak", f"It belongs with {twin.path} in {twin.split}, which stays")
    return take_out(photos, dropped, earlier_groups), list(dropped.values())


def _twin(photo: AssignedPhoto, held_out: Mapping[Split, AssignedPhoto]) -> AssignedPhoto | None:
    """The photo that this one makes way for."""
    stays = held_out.get(Split.TEST) or held_out.get(Split.VAL)
    if stays is None or not photo.present or photo.split in {Split.TEST, stays.split}:
        return None
    return stays
