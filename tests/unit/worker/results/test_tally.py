"""Counts over the parts of a job: memory does not grow with the rows."""

import hashlib
from collections.abc import Sequence
from itertools import zip_longest

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from models.drift import ReferenceAnswers
from tests.row_results import part_bytes, results_of, table_of
from worker.job.parts import NO_PHOTO_WORK, PART_SCHEMA, PhotoWork
from worker.job.receipt import RunFigures
from worker.results.tally import DistinctPhotos, LeastSure, Tally


def part(*rows: tuple[str | None, float | None, str, str | None], reasons: Sequence[str | None] = ()) -> pa.Table:
    cells = [
        {"label": label, "confidence": confidence, "status": status, "error": error, "error_message": error}
        | {"reason": reason}
        for (label, confidence, status, error), reason in zip_longest(rows, reasons)
    ]
    table = pa.Table.from_pylist([{**dict.fromkeys(PART_SCHEMA.names), **row} for row in cells], PART_SCHEMA)
    return table_of(part_bytes(results_of(table), "job", "shop-7:42", 0.5, deaths=1))


def add(tally: Tally, results: pa.Table) -> None:
    tally.add(results, lambda rows: [f"{row}.jpg" for row in rows], [results.schema])


def test_counts_are_over_all_parts() -> None:
    tally = Tally()
    add(tally, part(("shoe", 0.99, "labeled", None), (None, None, "failed", "missing")))
    add(tally, part(("shoe", 0.3, "review", None), (None, None, "failed", "missing"), ("hat", 1.0, "labeled", None)))
    assert (tally.rows, tally.by_label) == (5, {"shoe": 2, "hat": 1})
    assert tally.by_status == {"labeled": 2, "review": 1, "failed": 2}
    assert tally.errors == {"missing": 2}
    assert [(e.row, e.image) for e in tally.examples["missing"]] == [(2, "1.jpg"), (4, "1.jpg")]
    assert tally.histogram.sum() == 3
    assert tally.histogram[-1] == 2


def test_rows_to_review_are_counted_by_label_and_the_least_sure_of_each_are_shown(make_job, catalogue) -> None:
    job = make_job(catalogue, chunk_rows=10)
    found, sure = LeastSure(), ("shoe", 0.1, "labeled", None)
    for first in range(0, 60, 10):
        doubtful = [("shoe" if row % 3 else "hat", row / 100, "review", None) for row in range(first, first + 8)]
        failed = (None, None, "failed", "missing")
        twice = doubtful[1:3] if first == 0 else []  # rows with the photo of another row
        found.add(
            part(sure, *doubtful, failed, *twice, reasons=(None, *["unknown"] * 8, None, *["unknown"] * len(twice))),
            first,
        )
    assert found.counts == {"shoe": 34, "hat": 16}
    shown = found.shown(job)
    assert list(shown) == ["shoe", "hat"]
    assert [round(row.confidence or 0, 2) for row in shown["shoe"]] == [0.01, 0.02, 0.04, 0.05, 0.07, 0.1]
    assert [row.image for row in shown["hat"][:3]] == [job.chunk_images(0)[at] for at in (1, 4, 7)]
    assert {row.reason for row in shown["hat"]} == {"unknown"}


def test_rows_without_a_photo_take_no_place_among_the_failed_photos() -> None:
    tally = Tally()
    add(tally, part(*[(None, None, "failed", "empty_cell")] * 20, (None, None, "failed", "missing")))
    assert [row.image for row in tally.failed_sample] == ["20.jpg"]
    assert list(tally.examples) == ["empty_cell", "missing"]


def test_reasons_and_work_are_added_up_over_parts(make_job, catalogue) -> None:
    tally, rows = (
        Tally(),
        results_of(part(("shoe", 0.4, "review", None), ("hat", 0.9, "labeled", None), reasons=("unknown",))),
    )
    for work in (PhotoWork(carried=3, decode_s=0.12), PhotoWork(carried=1, repeated=2, decode_s=0.1), NO_PHOTO_WORK):
        add(tally, table_of(part_bytes(rows, "job", "shop-7:42", 0.5, 1, work)))
    receipt = tally.receipt(make_job(catalogue), "out.csv", RunFigures(images=1, seconds=0.5, workers=2))
    assert receipt.photos == PhotoWork(carried=4, repeated=2, decode_s=0.2)
    assert receipt.review_reasons == {"unknown": 3}
    assert receipt.work.model_dump() == {"hosts": {"shop-7": 6}, "processes": 1, "deaths": 3}


def test_the_sample_is_spread_over_all_rows() -> None:
    tally = Tally()
    for number in range(300):
        results = part(("shoe", 0.99, "labeled", None), (None, None, "failed", "missing"))
        images = [f"{number}.jpg", f"gone-{number}.jpg"]
        tally.add(results, lambda rows, images=images: [images[row.as_py()] for row in rows], [results.schema])
    shown = [int(row.image.split(".")[0]) for row in tally.sample]
    assert len(shown) == len(set(shown)) == 48
    assert min(shown) < 50
    assert max(shown) > 250
    assert [row.image for row in tally.failed_sample] == [f"gone-{n}.jpg" for n in range(8)]


LABELS = ("boots", "hats", "shoes")


def results(photos: list[int | None]) -> pa.Table:
    """Rows of numbered photos; None for a failed row."""
    rows = [
        {**dict.fromkeys(PART_SCHEMA.names), "sha256": _digest(p), "label": LABELS[p % 3], "confidence": p % 10 / 10}
        for p in photos
        if p is not None
    ]
    failed = [dict.fromkeys(PART_SCHEMA.names)] * photos.count(None)
    return pa.Table.from_pylist(rows + failed, PART_SCHEMA)


def _digest(photo: int) -> str:
    return hashlib.sha256(str(photo).encode()).hexdigest()


def said(most: int, *chunks: list[int | None]) -> ReferenceAnswers:
    photos = DistinctPhotos(most)
    for chunk in chunks:
        photos.add(results(chunk))
    return photos.answers()


def test_a_photo_counts_once_and_a_row_that_failed_does_not() -> None:
    answers = said(100, [1, 1, 2, None], [1, None, 3], [])
    assert answers.by_label == {"boots": 1, "hats": 1, "shoes": 1}
    assert sum(answers.confidence_histogram) == answers.photos == 3


@given(st.lists(st.integers(0, 60), max_size=200), st.data())
def test_neither_chunks_nor_their_order_change_which_photos_are_kept(photos: list[int], data: st.DataObject) -> None:
    mixed = data.draw(st.permutations(photos))
    cut = data.draw(st.integers(0, len(mixed)))
    whole = said(8, photos)
    assert said(8, mixed[:cut], mixed[cut:]) == whole
    assert whole.photos == min(8, len(set(photos)))
