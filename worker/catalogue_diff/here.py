"""The photos of drawn rows on this machine: both models see the same bytes, and what is elsewhere comes once."""

import io
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from models.errors import JobError
from models.whole_file import replace_file, write_beside
from worker.catalogue_diff.sample import Sample, SampleOptions
from worker.photos.photo import Wanted
from worker.photos.source import Photos, open_photos

__all__ = ["HERE_FILE", "bring_here"]

HERE_FILE: Final = "here.parquet"
_WAIT_S: Final = 1.0

Advance = Callable[[int, int], None]
"""Called with how many photos have come, and of how many."""


def bring_here(sample: Sample, options: SampleOptions, advance: Advance) -> Path:
    """Fetch the photos that are elsewhere, and write a catalogue whose photos are all on this machine.

    Photos on its disks, and in cells, stay where they are. Rows whose photo does not come are left out. Photos that a
    killed process has fetched are not fetched again.

    Args:
        sample: the rows.
        options: which hosts may be asked.
        advance: told how far it is.

    Returns:
        The catalogue, with the columns of the sample.

    Raises:
        JobError: not one of several photos has come; nothing is kept then.
    """
    file = sample.folder / HERE_FILE
    if not file.exists():
        table = _with_photos(sample, options, advance)
        buffer = io.BytesIO()
        pq.write_table(table, buffer)
        replace_file(file, buffer.getvalue())
    return file


def _with_photos(sample: Sample, options: SampleOptions, advance: Advance) -> pa.Table:
    cells: list[str | None] = sample.table.column("image").to_pylist()
    with closing(open_photos(sample.image_root, options.allow_hosts)) as photos:
        elsewhere = [place for place, cell in enumerate(cells) if photos.url_of(cell) is not None]
        paths = {place: (sample.folder / "photos" / str(place)).absolute() for place in elsewhere}
        asked = [Wanted(0, place, cells[place]) for place in elsewhere if not paths[place].exists()]
        failures = _fetch(photos, asked, paths, advance)
    if failures and len(failures) == len(cells):
        msg = f"Expected the photos of {len(cells):,} rows of {sample.source}, none of them came: {failures[0]}"
        raise JobError(msg)
    found = [place for place in range(len(cells)) if place not in paths or paths[place].exists()]
    images = [str(paths[place]) if place in paths else cells[place] for place in found]
    rows = sample.table.column("row").take(pa.array(found, pa.int64()))
    return pa.table([rows, pa.array(images, pa.string())], schema=sample.table.schema)


def _fetch(photos: Photos, asked: list[Wanted], paths: dict[int, Path], advance: Advance) -> list[str]:
    """Write photos to their paths; says what is wrong with those that do not come."""
    failures: list[str] = []
    photos.want(asked, {})
    done = 0
    while done < len(asked):
        advance(done, len(asked))
        photo = photos.take(_WAIT_S)
        if photo is None:
            continue
        done += 1
        if isinstance(photo.outcome, bytes):
            path = paths[photo.wanted.row]
            path.parent.mkdir(exist_ok=True)
            write_beside(path, photo.outcome).replace(path)
        else:
            failures.append(str(photo.outcome))
    return failures
