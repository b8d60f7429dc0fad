"""The whole look at labelled photos: each by itself, all together, and what gives their classes away."""

import itertools
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import pyarrow as pa

from models.errors import DataError
from trainer.check.issues import Judgement, judge
from trainer.check.look_store import LookStore
from trainer.check.magic import stray_fault
from trainer.check.photo_fault import FaultKind, PhotoFault
from trainer.check.relations import Relations, relate
from trainer.check.shortcuts import Guess, guess_from_accidents
from trainer.data.dataset import Dataset, Exclusion, LabeledPhoto
from trainer.data.hashing import hash_photos

__all__ = ["CheckView", "Checkup", "Faulty", "Looked", "check_up", "look_at"]


@dataclass(frozen=True)
class Faulty:
    """A file that cannot be used, and why."""

    photo: LabeledPhoto
    fault: PhotoFault


@dataclass(frozen=True)
class Looked:
    """Photos that were looked at.

    Attributes:
        photos: that can be used.
        sha256s: of their files.
        faulty: the others.
    """

    photos: tuple[LabeledPhoto, ...]
    sha256s: tuple[str, ...]
    faulty: tuple[Faulty, ...]


class CheckView(Protocol):
    """Who is told how the check goes."""

    def advance(self, what: str, done: int, total: int) -> None:
        """So much of one step is done."""


@dataclass(frozen=True)
class Checkup:
    """What was found; every place in it is that of one of ``looked.photos``.

    Attributes:
        dataset: what was found on disk.
        looked: its photos, and the files among them that are none.
        ignored: files that nobody would take for a photo.
        looks: what the photos show, a row each.
        judgement: each by itself.
        relations: which show the same picture.
        guesses: how well accidents give the classes away, the best first.
    """

    dataset: Dataset
    looked: Looked
    ignored: tuple[Exclusion, ...]
    looks: pa.Table
    judgement: Judgement
    relations: Relations
    guesses: tuple[Guess, ...]


def check_up(dataset: Dataset, store: LookStore, view: CheckView) -> Checkup:
    """Look at labelled photos in every way there is.

    Raises:
        DataError: not one of the files is there.
        InputError: the cache cannot be written to.
    """
    looked = look_at(dataset.photos, store, view)
    _check_there(dataset, looked)
    strays, ignored = _strays(dataset.excluded)
    looked = Looked(looked.photos, looked.sha256s, (*looked.faulty, *strays))
    looks = store.looks(looked.sha256s)
    paths, labels = [photo.path for photo in looked.photos], [photo.label for photo in looked.photos]
    relations = relate(looked.photos, looked.sha256s, store, _step(view, "Comparing"))
    guesses = guess_from_accidents(looks, paths, labels, relations.families, _step(view, "Guessing"))
    judgement = judge(looks, paths, labels)
    return Checkup(dataset, looked, tuple(ignored), looks, judgement, relations, tuple(guesses))


def _check_there(dataset: Dataset, looked: Looked) -> None:
    missing = [one.photo.path for one in looked.faulty if one.fault.kind is FaultKind.MISSING]
    if len(missing) == len(dataset.photos):
        msg = (
            f"Expected the photos that {dataset.source} names, found none of the {len(missing):,} files, such as "
            f"{missing[0]}; check the paths, which start at the folder of the CSV."
        )
        raise DataError(msg)


def look_at(photos: Sequence[LabeledPhoto], store: LookStore, view: CheckView) -> Looked:
    """Look at photos, those apart that the store knows, and divide them into usable ones and others.

    Raises:
        InputError: the cache cannot be written to.
    """
    hashed, unread = hash_photos(photos, _step(view, "Reading"))
    files = {sha256: photo.path for photo, sha256 in hashed}
    total, counter = sum(map(store.lacks, files)), itertools.count(1)
    if total:  # the time of the first photo counts as well
        view.advance("Looking", 0, total)
    store.add(files, len(os.sched_getaffinity(0)), lambda: view.advance("Looking", next(counter), total))
    usable = []
    faulty = [Faulty(photo, fault) for photo, fault in unread]
    for photo, sha256 in hashed:
        fault = store.fault(sha256)
        if fault is None:
            usable.append((photo, sha256))
        else:
            faulty.append(Faulty(photo, fault))
    return Looked(tuple(photo for photo, _ in usable), tuple(sha256 for _, sha256 in usable), tuple(faulty))


def _step(view: CheckView, what: str) -> Callable[[int, int], None]:
    return lambda done, total: view.advance(what, done, total)


def _strays(excluded: Sequence[Exclusion]) -> tuple[list[Faulty], list[Exclusion]]:
    """Files whose names say no image: those that are photos all the same, or were meant to be, and the rest."""
    faulty, ignored = [], []
    for exclusion in excluded:
        fault = stray_fault(exclusion.path) if exclusion.reason == "not_an_image" else None
        if fault is None:
            ignored.append(exclusion)
        else:
            faulty.append(Faulty(LabeledPhoto(exclusion.path, exclusion.label, exclusion.split), fault))
    return faulty, ignored
