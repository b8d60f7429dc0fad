"""Assigns labelled photos to splits, and decodes them."""

import csv
import itertools
from collections import Counter
from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

from catalogue.writers import unescape_formula
from models.errors import DataError
from models.photo import NONE
from models.process import usable_cores
from models.text import number_of
from trainer.check.check_reports import listed
from trainer.check.checkup import Advance, ScannedPhotos
from trainer.check.near import links_of
from trainer.check.relations import Relations, relate
from trainer.check.shortcuts import TOGETHER, Guess, guess_from_accidents
from trainer.data.csv_files import write_rows
from trainer.data.dataset import Dataset, Exclusion, LabeledPhoto, Split
from trainer.data.photo_cache import PixelStore, StatisticsStore
from trainer.data.photo_files import hash_photos, sha256_now
from trainer.splits.assign import assign_splits
from trainer.splits.assigned import AssignedPhoto, Candidate, group_numbers, match_earlier
from trainer.splits.set_aside import count_leaks, find_unlearnable

_MOST_NAMED: Final = 3
_SHORTCUTS_NAMED: Final = 3
_FEW_OUTLIERS: Final = 10
"""With fewer photos for the out-of-distribution score, training warns (docs/measurements.md)."""


@dataclass(frozen=True)
class SplitOptions:
    """Options for the splits. ``earlier``: photos of an earlier training. Their splits do not change."""

    seed: int = 0
    earlier: Sequence[AssignedPhoto] = ()
    fix_leaks: bool = False


@dataclass(frozen=True)
class Prepared:
    """The photos of a training with their splits, and notes for the user."""

    photos: list[AssignedPhoto]
    excluded: list[Exclusion]
    classes: tuple[str, ...]
    notes: tuple[str, ...]

    def of(self, split: Split) -> list[AssignedPhoto]:
        """The photos of one split that show a product and are not excluded, in order of ``photos``."""
        return [photo for photo in self._used(split) if photo.label != NONE]

    def outliers(self, split: Split) -> list[AssignedPhoto]:
        """The photos of one split that show no product, in order of ``photos``."""
        return [photo for photo in self._used(split) if photo.label == NONE]

    def _used(self, split: Split) -> list[AssignedPhoto]:
        return [photo for photo in self.photos if photo.split is split and photo.present]


def prepare(
    dataset: Dataset,
    scanned: ScannedPhotos,
    pixels: PixelStore,
    statistics: StatisticsStore,
    options: SplitOptions,
    advance: Advance,
) -> Prepared:
    """Decode and compare photos, exclude unusable photos, and assign the remaining photos to splits."""
    hashed = list(zip(scanned.photos, scanned.sha256s, strict=True))
    readable, undecoded = decode(hashed, pixels, advance)
    faulty = [Exclusion(one.photo.path, one.fault.kind.value, one.fault.message) for one in scanned.faulty]
    unusable = [*faulty, *undecoded]
    if not readable:
        first = unusable[0].message
        msg = f"Expected usable photos in {dataset.source}, found none among {len(unusable):,}: {first}"
        raise DataError(msg)
    earlier = options.earlier
    candidates = match_earlier([photo for photo, _ in readable], [sha256 for _, sha256 in readable], earlier)
    if earlier and not any(candidate.present and candidate.fixed for candidate in candidates):
        msg = (
            f"Expected some of the earlier training's {len(earlier):,} photos in the data, such as {earlier[0].path}, "
            "found none; pass splits of the same photos."
        )
        raise DataError(msg)
    candidates, relations = _relate(candidates, statistics, advance)
    unlearnable, disputed = find_unlearnable(candidates, relations)
    remaining, links = _without(candidates, relations.pictures.tolist(), unlearnable)
    with _naming(unusable):
        assignment = assign_splits(remaining, links, options.seed, fix_leaks=options.fix_leaks)
    excluded = [*dataset.excluded, *unusable, *unlearnable.values(), *assignment.set_aside]
    used = [photo for photo in assignment.photos if photo.present]
    products = [photo for photo in used if photo.label != NONE]
    shortcuts = _shortcuts(products, statistics, advance)
    notes = (*_notes(dataset, excluded, candidates, disputed, used, shortcuts), *assignment.notes)
    return Prepared(assignment.photos, excluded, tuple(sorted({photo.label for photo in products})), notes)


@contextmanager
def _naming(unusable: Sequence[Exclusion]) -> Iterator[None]:
    try:
        yield
    except DataError as error:
        if not unusable:
            raise
        named = " ".join(one.message for one in unusable[:_MOST_NAMED])
        more = f" (and {len(unusable) - _MOST_NAMED:,} more)" if len(unusable) > _MOST_NAMED else ""
        msg = f"{error} {number_of(len(unusable), 'file')} cannot be used: {named}{more}"
        raise DataError(msg) from error


def _relate(
    candidates: Sequence[Candidate], statistics: StatisticsStore, advance: Advance
) -> tuple[list[Candidate], Relations]:
    known: list[Candidate] = []
    unknown: list[Candidate] = []
    for one in candidates:
        seen = one.present or not (statistics.lacks(one.sha256) or statistics.fault(one.sha256))
        (known if seen else unknown).append(one)
    photos = [LabeledPhoto(a.path, a.label, a.split, a.product) for a in known]
    relations = relate(photos, [a.sha256 for a in known], statistics, partial(advance, "Comparing"))
    return [*known, *unknown], relations


def _without(
    candidates: Sequence[Candidate], pictures: Sequence[int], excluded: Container[int]
) -> tuple[list[Candidate], list[tuple[int, int]]]:
    """Remove excluded candidates. Returns the others, and links between copies of a picture.

    Excluded photos of an earlier training are also returned, with ``present`` false. ``pictures``: the index of each
    candidate's picture. It is shorter if the last candidates have no picture.
    """
    left = [place for place, one in enumerate(candidates) if place not in excluded or one.fixed]
    remaining = [replace(candidates[p], present=candidates[p].present and p not in excluded) for p in left]
    shown = [pictures[place] for place in left if place < len(pictures)]
    return remaining, links_of(shown)


def _shortcuts(used: Sequence[AssignedPhoto], statistics: StatisticsStore, advance: Advance) -> list[Guess]:
    guesses = guess_from_accidents(
        statistics.statistics([photo.sha256 for photo in used]),
        [photo.path for photo in used],
        [photo.label for photo in used],
        group_numbers(used),
        partial(advance, "Guessing"),
    )
    return [guess for guess in guesses if guess.is_shortcut]


def decode_all(
    photos: Sequence[LabeledPhoto], store: PixelStore, advance: Advance = lambda what, done, total: None
) -> tuple[list[tuple[LabeledPhoto, str]], list[Exclusion]]:
    """Decode photos that are not in the store. Returns readable photos with SHA-256, and unreadable photos."""
    hashed, unread = hash_photos(photos, partial(advance, "Reading"))
    readable, faulty = decode(hashed, store, advance)
    return readable, [*(Exclusion(photo.path, fault.kind, fault.message) for photo, fault in unread), *faulty]


def decode(
    hashed: Sequence[tuple[LabeledPhoto, str]], store: PixelStore, advance: Advance
) -> tuple[list[tuple[LabeledPhoto, str]], list[Exclusion]]:
    """Decode photos whose SHA-256 is known; see :func:`decode_all`."""
    _add({sha256: photo.path for photo, sha256 in hashed if store.lacks(sha256)}, store, advance)
    readable, faulty = [], []
    for photo, sha256 in hashed:
        fault = store.fault(sha256)
        if fault is None:
            readable.append((photo, sha256))
        else:
            faulty.append(Exclusion(photo.path, fault.kind, fault.message))
    return readable, faulty


def _add(files: Mapping[str, Path], store: PixelStore, advance: Advance) -> None:
    decoded = itertools.count(1)
    store.add(files, usable_cores(), lambda: advance("Decoding", next(decoded), len(files)))


def restore(photos: Sequence[AssignedPhoto], store: PixelStore, advance: Advance) -> None:
    """Decode a run's photos again if they are no longer in the cache."""
    lost = {photo.sha256: photo.path for photo in photos if store.lacks(photo.sha256)}
    for sha256, path in lost.items():
        if sha256_now(path) != sha256:
            msg = (
                f"{path} is gone or has changed since the start of the run, and its pixels are no longer "
                "cached; train again."
            )
            raise DataError(msg)
    _add(lost, store, advance)
    for sha256, path in lost.items():
        fault = store.fault(sha256)
        if fault is not None:
            msg = f"{path} can no longer be decoded: {fault.message}; resume or train again."
            raise DataError(msg)


def write_excluded(path: Path, excluded: Sequence[Exclusion]) -> None:
    """Write ``excluded.csv``."""
    write_rows(path, ("image", "reason", "message"), ((e.path, e.reason, e.message) for e in excluded))


def read_excluded(path: Path) -> list[Exclusion]:
    """Read ``excluded.csv``."""
    with path.open(errors="surrogateescape", newline="") as file:
        rows = [{name: unescape_formula(cell) for name, cell in row.items()} for row in csv.DictReader(file)]
    return [Exclusion(Path(row["image"]), row["reason"], row["message"]) for row in rows]


def _notes(
    dataset: Dataset,
    excluded: Sequence[Exclusion],
    candidates: Sequence[Candidate],
    disputed: int,
    used: Sequence[AssignedPhoto],
    shortcuts: Sequence[Guess],
) -> Iterator[str]:
    yield from dataset.notes
    if excluded:
        kinds = ", ".join(f"{count:,} {kind}" for kind, count in Counter(e.reason for e in excluded).most_common())
        yield f"{number_of(len(excluded), 'file')} excluded ({kinds}): see excluded.csv"
    if repeats := len(used) - len({photo.group for photo in used}):
        yield f"{number_of(repeats, 'photo repeats', 'photos repeat')} the picture or the product of another photo"
    if disputed:
        yield f"{disputed:,} validation and test photos have a copy with another label: see hangtag check"
    if outliers := Counter(photo.split for photo in used if photo.label == NONE):
        yield _note_on_outliers(outliers[Split.TRAIN], outliers.total())
    yield from _notes_on_earlier(candidates, used)
    yield from _notes_on_cuts(candidates, used)
    leaks = count_leaks(used)
    for split in sorted(leaks, key=lambda split: -split.rank):
        whole = sum(photo.split is split for photo in used)
        yield (
            f"{leaks[split]:,} of {whole:,} {split.word} photos ({leaks[split] / whole:.1%}) share a picture or "
            "product with a training photo. The figures are too high; --fix-leaks drops the copies from training"
        )
    untrained = {exclusion.path for exclusion in excluded if exclusion.reason == "class_not_trained"}
    noted = {candidate.label for candidate in candidates if candidate.path in untrained}  # in other notes
    if missing := sorted(set(dataset.classes) - noted - {photo.label for photo in used}):
        yield f"no usable photo of {listed(missing)}: the model cannot learn it"
    alone = [guess for guess in shortcuts if guess.feature != TOGETHER]
    for guess in (alone or shortcuts)[:_SHORTCUTS_NAMED]:
        yield f"Shortcut: {guess.sentence()}"


def _note_on_outliers(learned: int, every: int) -> str:
    show, held = number_of(every, "photo shows", "photos show"), every - learned
    text = f"{show} no product ({NONE}): {learned:,} to fit the out-of-distribution score, {held:,} to measure it"
    few = f"; the score would improve much more with at least {_FEW_OUTLIERS} photos to fit it"
    return text + (few if learned < _FEW_OUTLIERS else "")


def _notes_on_earlier(candidates: Sequence[Candidate], used: Sequence[AssignedPhoto]) -> Iterator[str]:
    corrected = [candidate for candidate in candidates if candidate.present and candidate.relabeled]
    if corrected:
        tested = sum(candidate.split is Split.TEST for candidate in corrected)
        have = number_of(len(corrected), "photo has", "photos have")
        yield f"{have} a new label ({tested:,} in test)"
    earlier = [candidate for candidate in candidates if candidate.earlier_label is not None]
    absent = [candidate for candidate in earlier if not candidate.present]
    if earlier:
        stay = len({candidate.path for candidate in earlier if candidate.present} & {photo.path for photo in used})
        new = len(used) - stay
        kept = number_of(stay, "photo stays in the split", "photos stay in their splits")
        yield f"{kept} of the earlier training, {number_of(new, 'is', 'are')} new"
    if absent:
        tested = sum(candidate.split is Split.TEST for candidate in absent)
        yield f"{len(absent):,} of {len(earlier):,} photos of the earlier training are missing ({tested:,} in test)"


def _notes_on_cuts(candidates: Sequence[Candidate], used: Sequence[AssignedPhoto]) -> Iterator[str]:
    training = {(a.path, a.label) for a in candidates if a.split is Split.TRAIN and not a.fixed}
    splits = {candidate.split for candidate in candidates}
    moved = Counter(photo.split for photo in used if (photo.path, photo.label) in training)
    for split, count in moved.items():
        if split is not Split.TRAIN and split not in splits:
            yield f"{count:,} training photos are used for {split.word}, because the data has no {split.word} photos"
