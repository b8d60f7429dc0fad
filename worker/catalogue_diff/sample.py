"""Some rows of a catalogue, drawn once, with their photos on this machine: a small catalogue of their own."""

import hashlib
import io
import json
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from catalogue.catalogue import open_catalogue
from catalogue.photo import Wanted
from catalogue.photos import Photos, open_photos
from catalogue.urls import cell_texts
from models.errors import JobError
from models.whole_file import replace_file, write_beside

SAMPLE_FILE: Final = "sample.parquet"
_HERE_FILE: Final = "here.parquet"
_SCHEMA: Final = pa.schema([("row", pa.int64()), ("image", pa.string())])
_ABOUT_KEY: Final = b"hangtag.sample"
"""Fields of a sample that are kept as JSON in the schema of its drawn rows, so that both are whole or absent."""


@dataclass(frozen=True)
class SampleOptions:
    """How the rows of a catalogue are found and labelled.

    ``renamed`` maps labels of the model before to their new names. The same seed draws the same rows.
    """

    image_column: str | None = None
    image_root: str | None = None
    encoding: str | None = None
    allow_hosts: tuple[str, ...] = ()
    renamed: Mapping[str, str] = field(default_factory=dict)
    seed: int = 0
    workers: int | None = None


@dataclass(frozen=True)
class Sample:
    """Rows that were drawn: ``table`` has ``row``, from 1 and in order, and ``image``, the row's cell."""

    folder: Path
    table: pa.Table
    source: str
    image_root: str
    rows_in_source: int


def draw_sample(source: str, folder: Path, rows: int, options: SampleOptions) -> Sample:
    """Draw at most ``rows`` rows of a catalogue, all equally likely; the same call finds them again in its folder."""
    asked = (source, options.image_column, options.image_root, options.encoding, options.seed, rows)
    place = folder / hashlib.sha256(repr(asked).encode()).hexdigest()[:12]
    file = place / SAMPLE_FILE
    if not file.exists():
        _write(file, _drawn(source, rows, options))
    table = pq.read_table(file)
    return Sample(place, table.replace_schema_metadata(), **json.loads(table.schema.metadata[_ABOUT_KEY]))


def _drawn(source: str, rows: int, options: SampleOptions) -> pa.Table:
    catalogue = open_catalogue(
        source, options.image_column, options.image_root, options.encoding, options.allow_hosts or None
    )
    columns = (batch.column(catalogue.image_column) for batch in catalogue.batches)
    drawn, rows_in_source = _reservoir(columns, rows, np.random.default_rng(options.seed))
    about = {"source": catalogue.source, "image_root": catalogue.image_root, "rows_in_source": rows_in_source}
    table = pa.table([[row + 1 for row, _ in drawn], [cell for _, cell in drawn]], schema=_SCHEMA)
    return table.replace_schema_metadata({_ABOUT_KEY: json.dumps(about)})


def _reservoir(
    columns: Iterable[pa.Array], size: int, rng: np.random.Generator
) -> tuple[list[tuple[int, str | None]], int]:
    """Vitter's algorithm R (ACM TOMS 11, 1985): number from 0 and cell of each row, in order; and the count of rows."""
    slots: list[tuple[int, str | None]] = []
    seen = 0
    for column in columns:
        rows = np.arange(seen, seen + len(column))
        places = np.where(rows < size, rows, rng.integers(0, rows + 1))
        chosen = places < size
        for place, row in zip(places[chosen].tolist(), rows[chosen].tolist(), strict=True):
            slots[place : place + 1] = [(row, cell_texts(column[row - seen : row - seen + 1])[0])]
        seen += len(column)
    return sorted(slots, key=lambda slot: slot[0]), seen


def _write(file: Path, table: pa.Table) -> None:
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    replace_file(file, buffer.getvalue())


def bring_here(sample: Sample, options: SampleOptions, advance: Callable[[int, int], None]) -> Path:
    """Fetch the remote photos, each once, and write a catalogue of local ones; rows without a photo are left out."""
    file = sample.folder / _HERE_FILE
    if not file.exists():
        with closing(open_photos(sample.image_root, options.allow_hosts)) as photos:
            _write(file, _with_photos(sample, photos, advance))
    return file


def _with_photos(sample: Sample, photos: Photos, advance: Callable[[int, int], None]) -> pa.Table:
    cells: list[str | None] = sample.table.column("image").to_pylist()
    copied = [place for place, cell in enumerate(cells) if photos.url_of(cell) is not None]
    paths = {place: (sample.folder / "photos" / str(place)).absolute() for place in copied}
    asked = [Wanted(0, place, cells[place]) for place in copied if not paths[place].exists()]
    failures = _fetch(photos, asked, paths, advance)
    if failures and len(failures) == len(cells):
        msg = f"Expected the photos of {len(cells):,} rows of {sample.source}, none could be fetched: {failures[0]}"
        raise JobError(msg)
    found = [place for place in range(len(cells)) if place not in paths or paths[place].exists()]
    images = [str(paths[place]) if place in paths else cells[place] for place in found]
    rows = sample.table.column("row").take(pa.array(found, pa.int64()))
    return pa.table([rows, pa.array(images, pa.string())], schema=sample.table.schema)


def _fetch(
    photos: Photos, asked: list[Wanted], paths: dict[int, Path], advance: Callable[[int, int], None]
) -> list[str]:
    """Write photos to their paths; says why each of the others could not be fetched."""
    failures: list[str] = []
    for photo in photos.bring(asked, advance):
        if isinstance(photo.outcome, bytes):
            path = paths[photo.wanted.row]
            path.parent.mkdir(exist_ok=True)
            write_beside(path, photo.outcome).replace(path)
        else:
            failures.append(str(photo.outcome))
    return failures
