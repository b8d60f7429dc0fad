"""Two models on the same rows of a catalogue."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

import pyarrow.parquet as pq

from catalogue.urls import is_url
from models.errors import JobError
from worker.catalogue_diff.figures import CatalogueFigures, Pair, RowLabel, counted
from worker.catalogue_diff.sample import Sample, SampleOptions, bring_here, draw_sample
from worker.job.model import verified_pin
from worker.job.parts import Status, with_leaves
from worker.job.spec import ModelPin
from worker.label import label
from worker.request import JobOptions, LabelRequest

Advance = Callable[[str, int, int], None]
"""Called with the step that is running, how much of it is done, and how much there is."""

_COLUMNS: Final = ["row", "image", "label", "confidence", "status", "error_message", "sha256"]


def diff_catalogue(
    before: Path, after: Path, source: str, folder: Path, rows: int, options: SampleOptions, advance: Advance
) -> CatalogueFigures:
    """Label some rows of a catalogue with two models, and say what differs; a killed call goes on in its folder."""
    pins = [verified_pin(model) for model in (before, after)]  # a damaged one is named before photos are fetched
    sample = draw_sample(source, folder, rows, options)
    here = bring_here(sample, options, partial(advance, "Fetching photos"))
    return _compared(pins, sample, here, options, advance)


def _compared(
    pins: list[ModelPin], sample: Sample, here: Path, options: SampleOptions, advance: Advance
) -> CatalogueFigures:
    old, old_failure = _labels(pins[0], here, sample, options, partial(advance, "Labelling with the old model"))
    new, new_failure = _labels(pins[1], here, sample, options, partial(advance, "Labelling with the new model"))
    both = sorted(old.keys() & new.keys())
    if not both:
        msg = (
            f"Expected rows of {sample.source} that both models can label, found none among {sample.table.num_rows:,}: "
            f"{old_failure or new_failure}"
        )
        raise JobError(msg)
    cells = dict(zip(*(sample.table.column(name).to_pylist() for name in ("row", "image")), strict=True))
    pairs = [Pair(row, cells[row], old[row], new[row]) for row in both]
    failed = sample.table.num_rows - len(pairs)
    return counted(pairs, options.renamed, _root(sample), sample.source, sample.rows_in_source, failed)


def _root(sample: Sample) -> Path:
    """Where relative paths of the local catalogue start; if the catalogue's start at a URL, it has none."""
    return sample.folder if is_url(sample.image_root) else Path(sample.image_root)


def _labels(
    pin: ModelPin, here: Path, sample: Sample, options: SampleOptions, on_progress: Callable[[int, int], None]
) -> tuple[dict[int, RowLabel], str | None]:
    """The answer on each labelled row, and why one of the others failed."""
    output = sample.folder / f"labels-{pin.digest[:12]}.parquet"
    request = LabelRequest(
        source=here,
        model=Path(pin.path),
        output=output,
        options=JobOptions(top_k=1, image_column="image", image_root=str(_root(sample))),
        workers=options.workers,
        retry_failed=True,
    )
    label(request, on_progress)
    return row_labels(output)


def row_labels(output: Path) -> tuple[dict[int, RowLabel], str | None]:
    """What a result says of each row: its likeliest class, also where its label is above that.

    So a model with a tree of labels and one without are compared alike; returns as :func:`_labels` does.
    """
    rows = with_leaves(pq.read_table(output)).select(_COLUMNS).to_pylist()
    labels = {
        row["row"]: RowLabel(
            row["label"], row["confidence"], row["status"] == Status.REVIEW, row["sha256"], row["image"]
        )
        for row in rows
        if row["status"] != Status.FAILED
    }
    return labels, next((row["error_message"] for row in rows if row["status"] == Status.FAILED), None)
