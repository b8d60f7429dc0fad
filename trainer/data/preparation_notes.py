"""What a person should know of the data before it is learned from, a line each."""

from collections import Counter
from collections.abc import Iterator, Sequence

from models.text import number_of
from trainer.check.sentences import listed
from trainer.check.shortcuts import TOGETHER, Guess
from trainer.data.dataset import Dataset, Exclusion, Split
from trainer.splits.applicant import Applicant
from trainer.splits.assigned import AssignedPhoto
from trainer.splits.leaks import count_leaks

__all__ = ["preparation_notes"]

_MOST_SHORTCUTS = 3


def preparation_notes(
    dataset: Dataset,
    excluded: Sequence[Exclusion],
    applicants: Sequence[Applicant],
    disputed: int,
    used: Sequence[AssignedPhoto],
    shortcuts: Sequence[Guess],
) -> list[str]:
    """Say it.

    Args:
        dataset: what was found on disk.
        excluded: what was set aside.
        applicants: the photos that could be read, and those of an earlier training.
        disputed: photos under two labels that were not set aside.
        used: the photos that have a split and are used.
        shortcuts: accidents that give classes away.
    """
    return [
        *_excluded(excluded),
        *_duplicates(used),
        *_disputed(disputed),
        *_corrected(applicants),
        *_earlier(applicants),
        *_cut(applicants, used),
        *_leaks(used),
        *_classes_left_out(dataset, excluded, applicants, used),
        *_shortcuts(shortcuts),
    ]


def _excluded(excluded: Sequence[Exclusion]) -> Iterator[str]:
    if excluded:
        kinds = ", ".join(f"{count:,} {kind}" for kind, count in Counter(e.reason for e in excluded).most_common())
        yield f"{number_of(len(excluded), 'file')} set aside ({kinds}): see excluded.csv"


def _duplicates(used: Sequence[AssignedPhoto]) -> Iterator[str]:
    repeats = len(used) - len({photo.group for photo in used})
    if repeats:
        yield f"{number_of(repeats, 'photo repeats', 'photos repeat')} the picture or the product of another"


def _disputed(disputed: int) -> Iterator[str]:
    if disputed:
        yield f"{disputed:,} validation and test photos show a picture that stands under two labels: see hangtag check"


def _corrected(applicants: Sequence[Applicant]) -> Iterator[str]:
    corrected = [applicant for applicant in applicants if applicant.present and applicant.relabeled]
    if corrected:
        tested = sum(applicant.split is Split.TEST for applicant in corrected)
        photos = "photo has" if len(corrected) == 1 else "photos have"
        yield f"{len(corrected):,} {photos} another label than before ({tested:,} in test)"


def _earlier(applicants: Sequence[Applicant]) -> Iterator[str]:
    """How many photos an earlier training knew; those that are gone keep their splits, and test nothing."""
    earlier = [applicant for applicant in applicants if applicant.earlier_label is not None]
    absent = [applicant for applicant in earlier if not applicant.present]
    if earlier:
        stay, new = len(earlier) - len(absent), len(applicants) - len(earlier)
        are = "is" if new == 1 else "are"
        kept = number_of(stay, "photo stays in the split", "photos stay in their splits")
        yield f"{kept} of the earlier training, {new:,} {are} new"
    if absent:
        tested = sum(applicant.split is Split.TEST for applicant in absent)
        yield f"{len(absent):,} of {len(earlier):,} earlier photos are not in the data ({tested:,} of them in test)"


def _cut(applicants: Sequence[Applicant], used: Sequence[AssignedPhoto]) -> Iterator[str]:
    """Training photos of a person who gave no other splits, or only one."""
    given = {(a.path, a.label) for a in applicants if a.split is Split.TRAIN and not a.fixed}
    moved = Counter(
        photo.split for photo in used if photo.split is not Split.TRAIN and (photo.path, photo.label) in given
    )
    for split, count in moved.items():
        if not any(applicant.split is split for applicant in applicants):
            yield f"{count:,} of the training photos serve for {split.word}, for which there are none"


def _leaks(used: Sequence[AssignedPhoto]) -> Iterator[str]:
    leaks = count_leaks(used)
    for split in sorted(leaks, key=lambda split: -split.rank):
        whole = sum(photo.split is split for photo in used)
        yield (
            f"{leaks[split]:,} of {whole:,} {split.word} photos ({leaks[split] / whole:.1%}) show a picture or a "
            f"product that is learned from: their figures flatter; --fix-leaks drops the twins"
        )


def _classes_left_out(
    dataset: Dataset, excluded: Sequence[Exclusion], applicants: Sequence[Applicant], used: Sequence[AssignedPhoto]
) -> Iterator[str]:
    """Classes without a photo; those whose photos are none for training are told where splits are given."""
    untrained = {exclusion.path for exclusion in excluded if exclusion.reason == "class_not_trained"}
    told = {applicant.label for applicant in applicants if applicant.path in untrained}
    missing = sorted(set(dataset.classes) - told - {photo.label for photo in used})
    if missing:
        yield f"no usable photo of {listed(missing)}: the model will not know it"


def _shortcuts(shortcuts: Sequence[Guess]) -> Iterator[str]:
    """Each by itself; all together only where none by itself is one."""
    alone = [guess for guess in shortcuts if guess.feature != TOGETHER]
    for guess in (alone or shortcuts)[:_MOST_SHORTCUTS]:
        yield f"Shortcut: {guess.sentence()}"
