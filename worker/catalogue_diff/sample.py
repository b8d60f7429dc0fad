"""Some rows of a catalogue, drawn once: a small catalogue of their own."""

import hashlib
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict

from models.whole_file import replace_file
from worker.places import cell_texts
from worker.sources.catalogue import open_catalogue

__all__ = ["SAMPLE_FILE", "Sample", "SampleOptions", "draw_sample"]

SAMPLE_FILE: Final = "sample.parquet"
_SCHEMA: Final = pa.schema([("row", pa.int64()), ("image", pa.string())])
_ABOUT_KEY: Final = b"hangtag.sample"


@dataclass(frozen=True)
class SampleOptions:
    """How the rows of a catalogue are found and labelled.

    Attributes:
        image_column, image_root, encoding, allow_hosts: as the options of ``hangtag label``.
        renamed: label of the model before → what the model after calls the same; such rows have not changed.
        seed: of the draw: equal ones draw the same rows of the same catalogue.
        workers: labelling processes; one a core where it is not given.
    """

    image_column: str | None = None
    image_root: str | None = None
    encoding: str | None = None
    allow_hosts: tuple[str, ...] = ()
    renamed: Mapping[str, str] = field(default_factory=dict)
    seed: int = 0
    workers: int | None = None


class _About(BaseModel):
    """What stands in the schema of the drawn rows, which so are whole or absent together with it."""

    model_config = ConfigDict(frozen=True)

    source: str
    image_root: str
    rows_in_source: int


@dataclass(frozen=True)
class Sample:
    """Rows that were drawn.

    Attributes:
        folder: they lie in, and all that is made of them.
        source: the catalogue, as a receipt names it.
        image_root: where its relative paths start.
        rows_in_source: how many it has.
        table: ``row``, from 1 and in order, and ``image``, what its cell says.
    """

    folder: Path
    source: str
    image_root: str
    rows_in_source: int
    table: pa.Table


def draw_sample(source: str, folder: Path, rows: int, options: SampleOptions) -> Sample:
    """Draw rows of a catalogue, each as likely as any other; those that were drawn before stay.

    Args:
        source: as for ``hangtag label``.
        folder: a folder in it is named after what was asked, so that another question draws other rows.
        rows: at most so many.
        options: how its rows are found; which are drawn.

    Raises:
        InputError: the catalogue cannot be used.
        JobError: it is elsewhere and does not come.
    """
    asked = (source, options.image_column, options.image_root, options.encoding, options.seed, rows)
    place = folder / hashlib.sha256(repr(asked).encode()).hexdigest()[:12]
    file = place / SAMPLE_FILE
    if not file.exists():
        replace_file(file, _drawn(source, rows, options))
    table = pq.read_table(file)
    about = _About.model_validate_json(table.schema.metadata[_ABOUT_KEY])
    return Sample(place, about.source, about.image_root, about.rows_in_source, table.replace_schema_metadata())


def _drawn(source: str, rows: int, options: SampleOptions) -> bytes:
    catalogue = open_catalogue(
        source, options.image_column, options.image_root, options.encoding, options.allow_hosts or None
    )
    columns = (batch.column(catalogue.image_column) for batch in catalogue.batches)
    cells, rows_in_source = _reservoir(columns, rows, np.random.default_rng(options.seed))
    about = _About(source=catalogue.source, image_root=catalogue.image_root, rows_in_source=rows_in_source)
    numbers = sorted(cells)
    table = pa.table([[row + 1 for row in numbers], [cells[row] for row in numbers]], schema=_SCHEMA)
    buffer = io.BytesIO()
    pq.write_table(table.replace_schema_metadata({_ABOUT_KEY: about.model_dump_json()}), buffer)
    return buffer.getvalue()


def _reservoir(columns: Iterable[pa.Array], size: int, rng: np.random.Generator) -> tuple[dict[int, str | None], int]:
    """Vitter's algorithm R ("Random sampling with a reservoir", ACM TOMS 11, 1985): one pass, ``size`` cells in memory.

    Returns:
        Row from 0 → its cell; and how many rows there were.
    """
    slots: list[int] = []
    cells: dict[int, str | None] = {}
    seen = 0
    for column in columns:
        rows = np.arange(seen, seen + len(column))
        places = np.where(rows < size, rows, rng.integers(0, rows + 1))
        for place, row in zip(places[places < size].tolist(), rows[places < size].tolist(), strict=True):
            cell = cell_texts(column[row - seen : row - seen + 1])[0]
            if place == len(slots):
                slots.append(row)
            else:
                del cells[slots[place]]
                slots[place] = row
            cells[row] = cell
        seen += len(column)
    return cells, seen
