"""Photos of a catalogue that nobody has labelled, and ``unlabeled.csv``, which says what became of each."""

import csv
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import partial
from pathlib import Path, PurePath
from tempfile import TemporaryDirectory
from typing import Final

from catalogue.photo import Wanted
from catalogue.photos import open_photos
from catalogue.urls import is_url, scheme_of, shown
from models.errors import DataError, InputError
from models.text import number_of, one_line
from trainer.check.checkup import Advance, scan_photos
from trainer.check.relations import relate
from trainer.data.csv_files import path_cell, write_rows
from trainer.data.dataset import LabeledPhoto, Split
from trainer.data.fetched import failure
from trainer.data.photo_cache import PixelStore, StatisticsStore
from trainer.request import UnlabelledSource
from trainer.splits.assigned import AssignedPhoto
from trainer.splits.prepare import decode
from worker.catalogue_diff.sample import Sample, SampleOptions, draw_sample

MOST_ROWS: Final = 20_000
"""At most this many rows of a catalogue are looked at, drawn at random: more would take longer than they teach."""
_SPARE: Final = 2
"""How many times as many photos are looked at as may be learned from, since the network is not sure of all."""
_LONGEST: Final = 2000
_NAMED: Final = 3
_COLUMNS: Final = ("row", "image", "sha256", "fate", "label", "confidence", "message")


class Fate(StrEnum):
    """What became of a photo without a label.

    ``candidate``: it may be learned from, and the network has not been asked yet. ``learned``: a network learned from
    it, under the label that the first network gave it. ``refused``: the same, but that network is not kept. ``unsure``:
    the first network's confidence is too low. ``unknown``: the photo is too unlike the labelled ones. ``over_quota``:
    enough photos of its class are surer. The others are left out from the beginning: the file cannot be read
    (``unreadable``), or the picture is that of a validation or test photo (``judged``), of another labelled photo
    (``labeled``), or of an earlier row (``repeat``).
    """

    CANDIDATE = "candidate"
    LEARNED = "learned"
    REFUSED = "refused"
    UNSURE = "unsure"
    UNKNOWN = "unknown"
    OVER_QUOTA = "over_quota"
    UNREADABLE = "unreadable"
    JUDGED = "judged"
    LABELED = "labeled"
    REPEAT = "repeat"

    @classmethod
    def _missing_(cls, value: object) -> "Fate | None":
        return cls.LABELED if value == "labelled" else None  # as an earlier Hangtag wrote it


_LEFT_OUT: Final = {
    Fate.JUDGED: "with the picture of a validation or test photo",
    Fate.LABELED: "with the picture of another labelled photo",
    Fate.REPEAT: "with the picture of another row",
}


@dataclass(frozen=True)
class UnlabelledPhoto:
    """A row of a catalogue without labels.

    Attributes:
        row: of the catalogue, from 1.
        image: its path, absolute, or what its cell says.
        sha256: of its file; empty if it cannot be read.
        label: what the network says it is; empty before it was asked.
        confidence: of that, calibrated.
        message: why it cannot be read.
    """

    row: int
    image: str
    sha256: str = ""
    fate: Fate = Fate.CANDIDATE
    label: str = ""
    confidence: float | None = None
    message: str = ""


@dataclass(frozen=True)
class Unlabelled:
    """Rows of a catalogue that were looked at; ``source`` is its name without secrets, ``rows`` how many it has."""

    source: str
    rows: int
    photos: list[UnlabelledPhoto]

    @property
    def note(self) -> str:
        """A line for a person: how many may be learned from, and why the others may not. It names no folder."""
        counts = Counter(photo.fate for photo in self.photos)
        looked = f"{len(self.photos):,} of " if len(self.photos) < self.rows else ""
        unread = [f"row {one.row:,} ({_name(one.image)})" for one in self.photos if one.fate is Fate.UNREADABLE]
        words = {**_LEFT_OUT, Fate.UNREADABLE: f"cannot be read, such as {', '.join(unread[:_NAMED])}"}
        parts = [f"{counts[fate]:,} {why}" for fate, why in words.items() if counts[fate]]
        left = f"; left out: {'; '.join(parts)}: see unlabeled.csv" if parts else ""
        return (
            f"{number_of(counts[Fate.CANDIDATE], 'photo')} without labels to learn from, of {looked}"
            f"{number_of(self.rows, 'row')} of {_name(self.source)}{left}"
        )


def find_unlabelled(
    wanted: UnlabelledSource,
    labelled: Sequence[AssignedPhoto],
    budget: int,
    stores: tuple[PixelStore, StatisticsStore],
    seed: int,
    advance: Advance,
) -> Unlabelled:
    """Read and decode photos without labels, of which ``budget`` may be learned from.

    A photo is left out if it shows the picture of a labelled one: of a validation or test photo, since the network
    would learn from what it is judged on; of a training photo, since a fold may be judged on it. Of every other picture
    one photo stays. ``labelled`` holds the photos of the training, and absent ones of an earlier training.

    Raises:
        InputError: the catalogue cannot be used.
        JobError: it is remote and cannot be fetched.
        DataError: none of its photos can be learned from.
    """
    with TemporaryDirectory() as folder:
        options = SampleOptions(wanted.image_column, wanted.image_root, wanted.encoding, wanted.allow_hosts, seed=seed)
        sample = draw_sample(wanted.source, Path(folder), min(MOST_ROWS, _SPARE * budget), options)
        photos, paths = _brought(sample, wanted.allow_hosts, Path(folder), partial(advance, "Fetching"))
        photos = _decoded(photos, paths, stores, advance)
    photos = _without_known(photos, labelled, stores[1], partial(advance, "Comparing"))
    found = Unlabelled(sample.source, sample.rows_in_source, photos)
    if not any(photo.fate is Fate.CANDIDATE for photo in photos):
        first = next((f" ({one.message})" for one in photos if one.message), "")
        msg = f"Expected photos to learn from in {found.source}, found none: {found.note}{first}; give others."
        raise DataError(msg)
    return found


def _brought(
    sample: Sample, allow_hosts: Sequence[str], folder: Path, advance: Callable[[int, int], None]
) -> tuple[list[UnlabelledPhoto], dict[int, Path]]:
    """The rows, and where the photo of each is on this machine; those from elsewhere are put into ``folder``."""
    found: dict[int, UnlabelledPhoto] = {}
    paths: dict[int, Path] = {}
    asked: list[Wanted] = []
    cells = dict(zip(*(sample.table.column(name).to_pylist() for name in ("row", "image")), strict=True))
    for row, cell in cells.items():
        if cell and scheme_of(cell) is None and not is_url(sample.image_root):
            paths[row] = Path(sample.image_root) / cell
            found[row] = UnlabelledPhoto(row, path_cell(paths[row]))
        else:
            asked.append(Wanted(0, row, cell))
            found[row] = UnlabelledPhoto(row, _cell(cell))
    with closing(open_photos(sample.image_root, allow_hosts)) as photos:
        for photo in photos.bring(asked, advance):
            row = photo.wanted.row
            if isinstance(photo.outcome, bytes):
                paths[row] = folder / str(row)
                paths[row].write_bytes(photo.outcome)
            else:
                found[row] = replace(found[row], fate=Fate.UNREADABLE, message=failure(photos, photo))
    return list(found.values()), paths


def _decoded(
    photos: Sequence[UnlabelledPhoto],
    paths: Mapping[int, Path],
    stores: tuple[PixelStore, StatisticsStore],
    advance: Advance,
) -> list[UnlabelledPhoto]:
    """The rows with the SHA-256 of the file that each has in ``paths``, or with the reason why it cannot be read."""
    pixels, statistics = stores
    scanned = scan_photos([LabeledPhoto(path, "") for path in dict.fromkeys(paths.values())], statistics, advance)
    readable, undecoded = decode(list(zip(scanned.photos, scanned.sha256s, strict=True)), pixels, advance)
    faults = {one.photo.path: one.fault.message for one in scanned.faulty}
    faults |= {one.path: one.message for one in undecoded}
    sha256s = {photo.path: sha256 for photo, sha256 in readable}

    def found(photo: UnlabelledPhoto) -> UnlabelledPhoto:
        path = paths.get(photo.row)
        if path is None:
            return photo
        if path in sha256s:
            return replace(photo, sha256=sha256s[path])
        return replace(photo, fate=Fate.UNREADABLE, message=faults[path])

    return [found(photo) for photo in photos]


def _cell(cell: str | None) -> str:
    """A cell as anybody may read it: what a URL is signed with, and the bytes of a data URI, are left out."""
    text = shown(cell) if cell and is_url(cell) else cell or ""
    return one_line(text[:_LONGEST] if scheme_of(text) != "data" else text.partition(",")[0], _LONGEST)


def _without_known(
    photos: Sequence[UnlabelledPhoto],
    labelled: Sequence[AssignedPhoto],
    statistics: StatisticsStore,
    on_photo: Callable[[int, int], None],
) -> list[UnlabelledPhoto]:
    """Leave out the photos whose picture is known already."""
    known = [one.sha256 for one in labelled if not (statistics.lacks(one.sha256) or statistics.fault(one.sha256))]
    every = list(dict.fromkeys([*known, *(one.sha256 for one in photos if one.sha256)]))
    related = relate([LabeledPhoto(Path(sha256), "") for sha256 in every], every, statistics, on_photo)
    picture_of: dict[str, int | str] = dict(zip(every, related.pictures.tolist(), strict=True))
    fates: dict[int | str, Fate] = {}  # of an earlier training's photo that is not in the cache, its bytes alone count
    for split in (Split.TRAIN, Split.VAL, Split.TEST):
        pictures = (picture_of.setdefault(one.sha256, one.sha256) for one in labelled if one.split is split)
        fates.update(dict.fromkeys(pictures, Fate.LABELED if split is Split.TRAIN else Fate.JUDGED))
    found = []
    for photo in photos:
        picture = picture_of.get(photo.sha256)
        found.append(replace(photo, fate=fates[picture]) if picture in fates else photo)
        if picture is not None:
            fates.setdefault(picture, Fate.REPEAT)
    return found


def _name(place: str) -> str:
    return one_line(PurePath(place).name or "no name", _LONGEST)


def write_unlabelled(path: Path, photos: Sequence[UnlabelledPhoto]) -> None:
    """Write ``unlabeled.csv``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = (
        (p.row, p.image, p.sha256, p.fate, p.label, "" if p.confidence is None else f"{p.confidence:.6f}", p.message)
        for p in photos
    )
    write_rows(path, _COLUMNS, rows)


def read_unlabelled(path: Path) -> list[UnlabelledPhoto]:
    """Read ``unlabeled.csv``; none where there is no such file.

    Raises:
        InputError: it is not as :func:`write_unlabelled` wrote it.
    """
    if not path.is_file():
        return []
    try:
        with path.open(errors="surrogateescape", newline="") as file:
            return [
                UnlabelledPhoto(
                    int(row["row"]),
                    row["image"],
                    row["sha256"],
                    Fate(row["fate"]),
                    row["label"],
                    float(row["confidence"]) if row["confidence"] else None,
                    row["message"],
                )
                for row in csv.DictReader(file, strict=True)
            ]
    except (KeyError, TypeError, ValueError, csv.Error) as error:
        msg = f"Expected the photos without labels of a run in {path}, it is damaged ({error}); train again."
        raise InputError(msg) from error
