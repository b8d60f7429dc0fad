"""Photos that would teach a network nothing but errors: placeholders, and pictures under two labels."""

from collections.abc import Sequence
from dataclasses import dataclass

from trainer.check.relations import Relations, is_placeholder
from trainer.data.dataset import Exclusion, Split
from trainer.splits.applicant import Applicant

__all__ = ["Unlearnable", "find_unlearnable"]


@dataclass(frozen=True)
class Unlearnable:
    """What must not be learned from.

    Attributes:
        excluded: place → why.
        kept: photos under two labels that stay, since they are in validation or test already.
    """

    excluded: dict[int, Exclusion]
    kept: int


def find_unlearnable(applicants: Sequence[Applicant], relations: Relations) -> Unlearnable:
    """Say which photos cannot be learned from.

    A picture under two labels goes altogether while its split is still to be decided. Where some of its photos have a
    split, and agree, the others go; where those disagree, the training photos go.

    Args:
        applicants: photos, those of an earlier training too.
        relations: of these photos; its places are theirs.
    """
    excluded: dict[int, Exclusion] = {}
    kept = 0
    disputed = list(relations.conflicts)
    for group in relations.placeholders:
        present = [place for place in group if applicants[place].present]
        labels = len({applicants[place].label for place in present})
        if labels > 1 and is_placeholder(len(present), labels):
            excluded.update(_placeholders(applicants, present))
        else:
            disputed.append(group)
    for group in disputed:
        present = [place for place in group if applicants[place].present]
        going = _disputed(applicants, present)
        kept += sum(place not in going for place in present) if _disagree(applicants, set(present) - going) else 0
        for place in sorted(going):
            other = next(p for p in present if applicants[p].label != applicants[place].label)
            excluded[place] = _conflict(applicants[place], applicants[other])
    return Unlearnable(excluded, kept)


def _placeholders(applicants: Sequence[Applicant], group: Sequence[int]) -> dict[int, Exclusion]:
    message = f"One picture under {len(group)} rows of several labels: it shows no product."
    return {place: Exclusion(applicants[place].path, "placeholder", message) for place in group}


def _disputed(applicants: Sequence[Applicant], present: Sequence[int]) -> set[int]:
    """The photos of one picture that go."""
    if not _disagree(applicants, present):
        return set()
    decided = [place for place in present if applicants[place].split is not None]
    undecided = set(present) - set(decided)
    if not decided:
        return undecided
    if _disagree(applicants, decided):
        return undecided | {place for place in decided if applicants[place].split is Split.TRAIN}
    label = applicants[decided[0]].label
    return {place for place in undecided if applicants[place].label != label}


def _disagree(applicants: Sequence[Applicant], places: Sequence[int] | set[int]) -> bool:
    return len({applicants[place].label for place in places}) > 1


def _conflict(photo: Applicant, other: Applicant) -> Exclusion:
    message = f"The same picture is {photo.label} here and {other.label} at {other.path}; remove the wrong one."
    return Exclusion(photo.path, "label_conflict", message)
