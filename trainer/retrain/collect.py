"""The first step of a cycle: collects photos, and applies the labels of reviewers."""

import csv
import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

from catalogue.urls import readable
from catalogue.writers import unescape_formula
from models.errors import DataError
from models.photo import NONE
from models.taxonomy import Taxonomy
from models.text import label_text, number_of
from trainer.corrections.store import CorrectionStore
from trainer.corrections.votes import PhotoVotes, Remark, Vote, resolve, vote_cells
from trainer.data.csv_files import path_cell, write_rows
from trainer.data.dataset import LEARN, OPEN, Dataset, LabeledPhoto, fetch_photos, read_dataset
from trainer.data.photo_files import sha256_now
from trainer.retrain.config import ClassMap, RetrainConfig
from trainer.retrain.cycle_folder import Collected, Correction, CycleFolder
from trainer.splits.assigned import AssignedPhoto

_THREADS: Final = 8
_COLUMNS: Final = ("image", "label", "split", "group", "sha256")
_OUTCOMES: Final = ("applied", "added", "agrees", "dropped", "not_found")
_MOST_NAMES: Final = 3

_Labels = Mapping[str, set[str]]
"""The labels of each photo in the data, by SHA-256."""


def collect(
    config: RetrainConfig,
    folder: Path,
    earlier: Path | None,
    known: Sequence[AssignedPhoto],
    cache: Path,
    advance: Callable[[str, int, int], None],
) -> Collected:
    """Merge the labelled photos with the reviewers' corrections. Writes ``dataset.csv``, then ``collected.json``.

    A correction applies to every photo with its SHA-256. If the data lacks the photo, it is added from the
    correction's path, unless the file has changed.

    Args:
        config: the settings of the retraining.
        folder: the folder of the cycle.
        earlier: folder of the last finished cycle, for comparison, or None for a first cycle.
        known: photos in the splits to extend. A first cycle compares the data with these photos.
        cache: folder for downloaded photos.
        advance: called with (``Fetching`` or ``Reading``, done, total).
    """
    classes, table = config.classes, config.train.table
    dataset = fetch_photos(read_dataset(config.data, table), table, cache, partial(advance, "Fetching"))
    _check_hosts(config, dataset.photos)
    votes = CorrectionStore(config.corrections).votes() if config.corrections else ()
    sha256 = _hash_files((photo.path for photo in dataset.photos), partial(advance, "Reading"))
    # keep a recorded SHA-256: training skips a photo whose file has changed
    photos = [
        replace(photo, sha256=sha256[photo.path] and (photo.sha256 or sha256[photo.path])) for photo in dataset.photos
    ]
    resolved, elsewhere = _resolved_by_bytes(votes, photos, classes)
    labelled, corrections = _corrected(photos, resolved, elsewhere, classes)
    labelled = _chosen(labelled, {one.votes[0].sha256 for one in resolved}, {photo.sha256 for photo in known})
    kept = [photo for photo in labelled if photo.label not in classes.drop]
    if not kept:
        msg = f"Expected photos in {config.data}, but [classes] drop removes all classes; drop fewer classes."
        raise DataError(msg)
    counts = Counter(photo.label for photo in kept)
    outliers = counts.pop(NONE, 0)
    collected = Collected(
        fingerprint=_fingerprint(kept),
        photos=dict(sorted(counts.items())),
        outliers=outliers,
        **_changes(kept, *_photos_before(earlier, known, classes)),
        corrections=corrections,
        dropped=dict(sorted(Counter(photo.label for photo in labelled if photo.label in classes.drop).items())),
        notes=(*_table_notes(dataset), *_missing_answers(config.corrections)),
        parents=_parents(dataset, [*counts], classes),
    )
    cycle = CycleFolder(folder)
    write_rows(cycle.dataset, _COLUMNS, _rows(kept))
    cycle.write(cycle.collected, collected)
    return collected


def _hash_files(paths: Iterable[Path], on_photo: Callable[[int, int], None]) -> dict[Path, str]:
    distinct, hashes = list(dict.fromkeys(paths)), {}
    with ThreadPoolExecutor(_THREADS) as pool:
        for path, sha256 in zip(distinct, pool.map(sha256_now, distinct), strict=True):
            hashes[path] = sha256 or ""
            on_photo(len(hashes), len(distinct))
    return hashes


def _check_hosts(config: RetrainConfig, photos: Sequence[LabeledPhoto]) -> None:
    """Stop if many photos are missing: training on the rest would replace a better model."""
    away, most = [photo for photo in photos if photo.is_away], config.gate.max_unread_share
    if len(away) > max(bool(most), most * len(photos)):  # max_unread_share > 0 allows at least one
        why = str(away[0].error).rstrip(".")
        msg = (
            f"Expected the photos of {config.data}, but {len(away):,} of {len(photos):,} could not be downloaded "
            f"({why}); run the cycle again when the host answers, or allow more with max_unread_share."
        )
        raise DataError(msg)


def _parents(dataset: Dataset, today: Sequence[str], classes: ClassMap) -> dict[str, str]:
    if not dataset.parents or not today:
        return {}
    tree = Taxonomy(dataset.classes, dataset.parents).limited_to(today, classes.rename)
    return dict(tree.parents) if tree else {}


def _missing_answers(file: Path | None) -> tuple[str, ...]:
    if file is None or file.is_file():
        return ()
    others = ", ".join(other.name for other in CorrectionStore(file).question_files())
    hint = f" Its folder has {others}: in the config, set corrections to the file for this model." if others else ""
    return (f"No corrections: {file} does not exist yet.{hint}",)


def _table_notes(dataset: Dataset) -> tuple[str, ...]:
    errors = [str(photo.error) for photo in dataset.photos if photo.error is not None]
    lost = [f"{number_of(len(errors), 'photo')} could not be downloaded, such as: {errors[0]}"] if errors else []
    return (*dataset.notes, *lost)


def _resolved_by_bytes(
    votes: Sequence[Vote], photos: Sequence[LabeledPhoto], classes: ClassMap
) -> tuple[list[PhotoVotes], dict[Path, str]]:
    """Group votes by the SHA-256 of photos. Also maps the paths of photos outside the data to their SHA-256.

    Votes get the current class names, so that votes for merged classes agree.
    """
    of_data = {photo.path: photo.sha256 or "" for photo in photos}
    known = {photo.sha256 for photo in photos if photo.sha256}
    paths = {vote.path for vote in votes if vote.sha256 not in known and vote.path not in of_data}
    elsewhere = _hash_files((path for path in paths if path is not None), lambda done, total: None)
    here = {**of_data, **elsewhere}
    by_bytes = [
        replace(
            vote,
            label=classes.name_of(vote.label),
            sha256=vote.sha256 if vote.sha256 or vote.path is None else here.get(vote.path, ""),
        )
        for vote in votes
    ]
    resolved = resolve(by_bytes).values()
    return [one for one in resolved if one.remark is not Remark.MORE_THAN_ONE], elsewhere


def _label_of(vote: Vote) -> str:
    return NONE if vote.remark is Remark.NOT_A_PRODUCT else vote.label or vote.remark


def _corrected(
    photos: Sequence[LabeledPhoto], resolved: Sequence[PhotoVotes], elsewhere: Mapping[Path, str], classes: ClassMap
) -> tuple[list[LabeledPhoto], tuple[Correction, ...]]:
    by_sha256: defaultdict[str, list[LabeledPhoto]] = defaultdict(list)
    for photo in photos:
        by_sha256[photo.sha256 or ""].append(photo)
    by_sha256.pop("", None)
    labels: dict[str, str] = {}
    added: list[LabeledPhoto] = []
    corrections: list[Correction] = []
    for one in resolved:
        vote = one.votes[0]
        same = by_sha256.get(vote.sha256, [])
        if one.in_conflict:
            was = same[0].label if same else None
            corrections += [_correction(other, other.reviewer, "conflict", same[:1], was) for other in one.votes]
            continue
        labels[vote.sha256] = _label_of(vote)
        place = None if same else _place(one, elsewhere)
        if place is not None:
            added.append(LabeledPhoto(place, _label_of(vote), sha256=vote.sha256, chosen=True))
        corrections.append(_outcome(one, same, place, classes))
    labels.pop("", None)
    relabeled = [
        replace(photo, label=labels.get(photo.sha256 or "") or classes.name_of(photo.label)) for photo in photos
    ]
    return [*relabeled, *sorted(added, key=lambda photo: photo.path)], tuple(corrections)


def _chosen(photos: Sequence[LabeledPhoto], voted: set[str], known: set[str]) -> list[LabeledPhoto]:
    """Mark new photos that reviewers labelled, because such photos are not a random sample.

    Without earlier splits, no photo is marked.
    """
    new = voted - known if known else set()
    return [replace(one, chosen=one.chosen or (one.split is None and one.sha256 in new)) for one in photos]


def _place(agreed: PhotoVotes, elsewhere: Mapping[Path, str]) -> Path | None:
    paths = [vote.path for vote in agreed.votes if vote.path is not None]
    return next((path for path in paths if elsewhere.get(path) == agreed.votes[0].sha256 != ""), None)


def _outcome(agreed: PhotoVotes, photos: Sequence[LabeledPhoto], place: Path | None, classes: ClassMap) -> Correction:
    label = _label_of(agreed.votes[0])
    others = [photo for photo in photos if classes.name_of(photo.label) != label]
    if not photos and place is None:
        outcome = "not_found"
    elif label in classes.drop:
        outcome = "dropped"
    elif not photos:
        outcome = "added"
    else:
        outcome = "applied" if others else "agrees"
    shown = (others or photos)[:1]
    was = classes.name_of(shown[0].label) if shown else None
    return _correction(agreed.votes[0], ", ".join(agreed.reviewers), outcome, shown, was)


def _correction(vote: Vote, reviewer: str, outcome: str, shown: Sequence[LabeledPhoto], was: str | None) -> Correction:
    image = path_cell(shown[0].path) if shown else vote_cells(vote)[0] or vote.sha256
    return Correction(
        image=image,
        label=_label_of(vote),
        was=was or vote.was or None,
        reviewer=reviewer,
        outcome=outcome,
        sha256=vote.sha256,
    )


def _changes(kept: Iterable[LabeledPhoto], before: _Labels, present: set[str]) -> dict[str, int]:
    now = _labels((photo.sha256, photo.label) for photo in kept)
    relabeled = sum(not labels & before[sha256] for sha256, labels in now.items() if sha256 in before)
    return {"new": len(now.keys() - before.keys()), "gone": len(present - now.keys()), "relabeled": relabeled}


def _photos_before(earlier: Path | None, known: Sequence[AssignedPhoto], classes: ClassMap) -> tuple[_Labels, set[str]]:
    if earlier is None:
        rows = [(photo.sha256, photo.label, photo.present) for photo in known]
    else:
        with CycleFolder(earlier).dataset.open(encoding="utf-8", newline="") as file:
            rows = [(row["sha256"], label_text(unescape_formula(row["label"])), True) for row in csv.DictReader(file)]
    labels = _labels((sha256, classes.name_of(label)) for sha256, label, _ in rows)
    return labels, {sha256 for sha256, _, present in rows if sha256 and present}


def _labels(photos: Iterable[tuple[str | None, str]]) -> _Labels:
    labels: defaultdict[str, set[str]] = defaultdict(set)
    for sha256, label in photos:
        if sha256:
            labels[sha256].add(label)
    return dict(labels)


def _fingerprint(photos: Iterable[LabeledPhoto]) -> str:
    """A digest of all photos, labels and products, regardless of order and copies with the same label."""
    facts = {(photo.sha256, photo.label, photo.product or "") for photo in photos if photo.sha256}
    digest = hashlib.sha256()
    for fact in sorted(facts):
        digest.update("\0".join(fact).encode() + b"\n")
    return digest.hexdigest()


def _rows(photos: Sequence[LabeledPhoto]) -> Iterable[tuple[str, ...]]:
    for photo in photos:
        split = photo.split or (LEARN if photo.chosen else OPEN if photo.open else "")
        yield (path_cell(photo.path), photo.label, str(split), photo.product or "", photo.sha256 or "")


def collected_notes(collected: Collected, before: Collection[str]) -> list[str]:
    """Lines for the console. ``before``: classes of the champion and of earlier data."""
    lines, corrections = list(collected.notes), collected.corrections
    counts = Counter(correction.outcome for correction in corrections)
    if shown := [f"{name.replace('_', ' ')} {counts[name]:,}" for name in _OUTCOMES if counts[name]]:
        lines.append(f"Corrections: {', '.join(shown)}")
    if disputed := [one for one in corrections if one.outcome == "conflict"]:
        photos = number_of(len({one.image for one in disputed}), "photo")
        labels = ", ".join(sorted({one.label for one in disputed}))
        lines.append(f"Left out until reviewers agree: {photos} ({labels})")
    if lost := list(dict.fromkeys(one.image for one in corrections if one.outcome == "not_found")):
        more = f" and {len(lost) - _MOST_NAMES:,} more" if len(lost) > _MOST_NAMES else ""
        lines.append(
            f"Not found: {', '.join(map(readable, lost[:_MOST_NAMES]))}{more}. Add the photos to the data, or "
            "import the corrections again with the photos' folder as --image-root."
        )
    if new := {label: count for label, count in collected.photos.items() if before and label not in before}:
        listed = ", ".join(f"{label} ({number_of(count, 'photo')})" for label, count in new.items())
        lines.append(f"New class{'es' * (len(new) > 1)}: {listed}")
    return lines
