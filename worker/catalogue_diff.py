"""Compares two models' labels on a random sample of a catalogue."""

import hashlib
import io
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, Field

from catalogue.catalogue import open_catalogue
from catalogue.photo import PhotoRequest, decode_data_uri
from catalogue.photos import Photos, open_photos
from catalogue.urls import is_url, is_url_or_data, photo_cells, readable
from models.bundle import read_manifest
from models.errors import DisagreementError, ImageError, JobError
from models.manifest import FLOAT32
from models.text import label_text
from models.whole_file import replace_file, write_beside
from pages.tiles import photo_uri
from worker.job.parts import Status, with_leaves
from worker.label import label
from worker.request import JobOptions, LabelRequest

SAMPLE_FILE: Final = "sample.parquet"
_HERE_FILE: Final = "here.parquet"
_SCHEMA: Final = pa.schema([("row", pa.int64()), ("image", pa.string())])
_ABOUT_KEY: Final = b"hangtag.sample"


@dataclass(frozen=True)
class Sample:
    """Rows sampled from a catalogue. Columns of ``table``: ``row`` (row number from 1) and ``image`` (path or URL)."""

    folder: Path
    table: pa.Table
    source: str
    image_root: str
    rows_in_source: int


def draw_sample(source: str, folder: Path, rows: int, options: JobOptions) -> Sample:
    """Sample at most ``rows`` rows of a catalogue at random, or read the earlier sample in ``folder``."""
    of_source = (source, options.image_column, options.image_root, options.image_suffix, options.encoding)
    place = folder / hashlib.sha256(repr((*of_source, rows)).encode()).hexdigest()[:12]
    file = place / SAMPLE_FILE
    if not file.exists():
        _write(file, _drawn(source, rows, options))
    table = pq.read_table(file)
    return Sample(place, table.replace_schema_metadata(), **json.loads(table.schema.metadata[_ABOUT_KEY]))


def _drawn(source: str, rows: int, options: JobOptions) -> pa.Table:
    catalogue = open_catalogue(
        source,
        options.image_column,
        options.image_root,
        options.encoding,
        options.allow_hosts,
        image_suffix=options.image_suffix,
    )
    columns = (batch.column(catalogue.image_column) for batch in catalogue.batches)
    drawn, rows_in_source = _reservoir(columns, rows, np.random.default_rng(0), options.image_suffix)
    about = {"source": catalogue.source, "image_root": catalogue.image_root, "rows_in_source": rows_in_source}
    table = pa.table([[row + 1 for row, _ in drawn], [cell for _, cell in drawn]], schema=_SCHEMA)
    return table.replace_schema_metadata({_ABOUT_KEY: json.dumps(about)})


def _reservoir(
    columns: Iterable[pa.Array], size: int, rng: np.random.Generator, suffix: str | None
) -> tuple[list[tuple[int, str | None]], int]:
    """Reservoir sampling (Vitter's algorithm R, ACM TOMS 11, 1985).

    Returns pairs (row index from 0, image cell), and the catalogue's number of rows.
    """
    slots: list[tuple[int, str | None]] = []
    seen = 0
    for column in columns:
        rows = np.arange(seen, seen + len(column))
        places = np.where(rows < size, rows, rng.integers(0, rows + 1))
        chosen = places < size
        for place, row in zip(places[chosen].tolist(), rows[chosen].tolist(), strict=True):
            slots[place : place + 1] = [(row, photo_cells(column[row - seen : row - seen + 1], suffix)[0])]
        seen += len(column)
    return sorted(slots, key=lambda slot: slot[0]), seen


def _write(file: Path, table: pa.Table) -> None:
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    replace_file(file, buffer.getvalue())


def fetch_local_copy(sample: Sample, options: JobOptions, advance: Callable[[int, int], None]) -> Path:
    """Download remote photos, and write a catalogue with local paths. Leaves out failed downloads."""
    file = sample.folder / _HERE_FILE
    if file.exists():
        return file
    cells: list[str | None] = sample.table.column("image").to_pylist()
    hosts, headers = options.allow_hosts or (), options.headers or ()
    with closing(open_photos(sample.image_root, hosts, headers=headers)) as photos:
        copied = [place for place, cell in enumerate(cells) if photos.url_of(cell) is not None]
        paths = {place: (sample.folder / "photos" / str(place)).absolute() for place in copied}
        requests = [PhotoRequest(0, place, cells[place]) for place in copied if not paths[place].exists()]
        failures = _fetch(photos, requests, paths, advance)
    if failures and len(failures) == len(cells):
        msg = f"Expected the photos of {len(cells):,} rows of {sample.source}, but none could be fetched: {failures[0]}"
        raise JobError(msg)
    present = [place for place in range(len(cells)) if place not in paths or paths[place].exists()]
    images = [str(paths[place]) if place in paths else cells[place] for place in present]
    rows = sample.table.column("row").take(pa.array(present, pa.int64()))
    _write(file, pa.table([rows, pa.array(images, pa.string())], schema=sample.table.schema))
    return file


def _fetch(
    photos: Photos, requests: list[PhotoRequest], paths: dict[int, Path], advance: Callable[[int, int], None]
) -> list[str]:
    failures: list[str] = []
    for photo in photos.fetch_each(requests, advance):
        if isinstance(photo.outcome, bytes):
            path = paths[photo.request.row]
            path.parent.mkdir(exist_ok=True)
            write_beside(path, photo.outcome).replace(path)
        else:
            failures.append(str(photo.outcome))
    return failures


_FLOWS_SHOWN: Final = 8
_ROWS_OF_A_FLOW: Final = 6
_ROWS_SHOWN: Final = 24
_SIDE: Final = 160
_MOST_BYTES: Final = 5_500


class CatalogueChange(BaseModel, frozen=True):
    """How many rows would change from label ``before`` to ``after``."""

    before: str
    after: str
    rows: int


class ChangedRow(BaseModel, frozen=True):
    """A row whose label would change. ``row``: its number, from 1. ``image``: path or URL; None for a data URI."""

    row: int
    image: str | None
    before: str
    before_confidence: float
    after: str
    after_confidence: float
    thumbnail: str | None = None


class CatalogueFigures(BaseModel, frozen=True):
    """How the labels of two models differ. ``flows``: most frequent first.

    ``answered``: rows whose photos have a reviewer's answer. ``rows`` excludes answered and failed rows.
    """

    source: str
    rows_in_source: int
    rows: Annotated[int, Field(ge=0)]
    failed: int
    answered: int = 0
    changed: int
    to_review: int
    from_review: int
    flows: tuple[CatalogueChange, ...] = ()
    examples: tuple[ChangedRow, ...] = ()

    @property
    def changed_share(self) -> float:
        """The fraction of rows whose label would change; 0 without rows."""
        return self.changed / self.rows if self.rows else 0.0


class RowLabel(NamedTuple):
    """A model's answer on a row."""

    label: str
    confidence: float
    review: bool


class Pair(NamedTuple):
    """Two models' answers on a row. ``cell``: the catalogue's image cell. ``photo``: a local path, or a data URI."""

    row: int
    cell: str | None
    photo: str
    sha256: str
    before: RowLabel
    after: RowLabel


def count_changes(
    pairs: Sequence[Pair], renamed: Mapping[str, str], root: Path, source: str, rows_in_source: int, failed: int
) -> CatalogueFigures:
    """Count changed labels. ``renamed``: old label → new label. ``root``: where relative photo paths start."""
    flows: defaultdict[tuple[str, str], list[Pair]] = defaultdict(list)
    for pair in pairs:
        if renamed.get(pair.before.label, pair.before.label) != pair.after.label:
            flows[pair.before.label, pair.after.label].append(pair)
    order = sorted(flows, key=lambda flow: (-len(flows[flow]), flow))
    shown: list[Pair] = []
    for flow in order[:_FLOWS_SHOWN]:
        by_photo = {pair.sha256: pair for pair in reversed(flows[flow])}
        shown += sorted(by_photo.values(), key=lambda pair: (-pair.after.confidence, pair.row))[:_ROWS_OF_A_FLOW]
    reviews = Counter((pair.before.review, pair.after.review) for pair in pairs)
    return CatalogueFigures(
        source=source,
        rows_in_source=rows_in_source,
        rows=len(pairs),
        failed=failed,
        changed=sum(map(len, flows.values())),
        to_review=reviews[False, True],
        from_review=reviews[True, False],
        flows=tuple(CatalogueChange(before=one, after=other, rows=len(flows[one, other])) for one, other in order),
        examples=tuple(_example(pair, root) for pair in shown[:_ROWS_SHOWN]),
    )


def _example(pair: Pair, root: Path) -> ChangedRow:
    photo, thumbnail = pair.photo, None
    with suppress(ImageError):  # labelling has decoded this photo without a crash
        thumbnail = photo_uri(decode_data_uri(photo) if is_url_or_data(photo) else root / photo, _SIDE, _MOST_BYTES)
    return ChangedRow(
        row=pair.row,
        image=None if not pair.cell or pair.cell.lower().startswith("data:") else readable(pair.cell),
        before=pair.before.label,
        before_confidence=pair.before.confidence,
        after=pair.after.label,
        after_confidence=pair.after.confidence,
        thumbnail=thumbnail,
    )


def diff_catalogue(
    before: Path,
    after: Path,
    source: str,
    folder: Path,
    rows: int,
    options: JobOptions,
    renamed: Mapping[str, str],
    advance: Callable[[str, int, int], None],
    answered: Container[str] = (),
) -> CatalogueFigures:
    """Label a sample of a catalogue with two models, and count changed labels. Continues after a kill.

    ``renamed``: old label → new label. ``advance`` is called with a step's name, its progress and its total.
    ``answered``: SHA-256 of photos to leave out, since ``after`` was trained on them.
    """
    digests = [read_manifest(model).digest[:12] for model in (before, after)]
    sample = draw_sample(source, folder, rows, options)
    here = fetch_local_copy(sample, options, partial(advance, "Fetching photos"))
    root = sample.folder if is_url(sample.image_root) else Path(sample.image_root)  # paths of downloads are absolute
    request = LabelRequest(
        source=here,
        model={"before": before, "after": after},
        output=sample.folder / f"labels-{'-'.join(digests)}.parquet",
        options=JobOptions(top_k=1, image_column="image", image_root=str(root)),
        retry_failed=True,
    )
    step = "Labelling with both models"
    try:
        label(request, partial(advance, step))
    except DisagreementError:  # int8 results can differ on another processor
        output = request.output.with_stem(f"{request.output.stem}-{FLOAT32}")
        request = replace(request, output=output, options=replace(request.options, variant=FLOAT32))
        label(request, partial(advance, f"{step} ({FLOAT32})"))
    table = pq.read_table(request.output)
    cells = dict(zip(*(sample.table.column(name).to_pylist() for name in ("row", "image")), strict=True))
    pairs = _pairs(table, cells)
    if not pairs:
        errors = table.column("before_error_message").drop_null() or table.column("after_error_message").drop_null()
        why = errors[0].as_py()
        msg = f"Expected rows of {source} that both models can label, found none in a sample of {len(cells):,}: {why}"
        raise JobError(msg)
    failed = len(cells) - len(pairs)
    new = [pair for pair in pairs if pair.sha256 not in answered]
    figures = count_changes(new, renamed, root, sample.source, sample.rows_in_source, failed)
    return figures.model_copy(update={"answered": len(pairs) - len(new)})


def _pairs(table: pa.Table, cells: Mapping[int, str | None]) -> list[Pair]:
    facts = (table.column(name).to_pylist() for name in ("row", "image", "before_sha256"))
    answers = zip(*facts, row_labels(table, "before_"), row_labels(table, "after_"), strict=True)
    return [Pair(row, cells[row], photo, sha256, old, new) for row, photo, sha256, old, new in answers if old and new]


def row_labels(table: pa.Table, prefix: str) -> list[RowLabel | None]:
    """The likeliest class in each row of a result; None for a failed row."""
    names = [name for name in table.column_names if name.startswith(prefix)]
    own = with_leaves(table.select(names).rename_columns([name.removeprefix(prefix) for name in names]))
    rows = zip(*(own.column(name).to_pylist() for name in ("label", "confidence", "status")), strict=True)
    return [
        None if status == Status.FAILED else RowLabel(label_text(label), confidence, status == Status.REVIEW)
        for label, confidence, status in rows
    ]
