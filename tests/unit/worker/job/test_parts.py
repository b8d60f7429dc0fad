from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.decision import ReviewReason, Rules
from models.errors import ImageError, ImageFault, JobError
from models.storage.storage import FolderStorage
from tests.row_results import (
    RowResult,
    cells_of,
    failed_row,
    part_bytes,
    results_of,
    results_table,
    table_of,
)
from worker.job.parts import (
    PART_SCHEMA,
    Columns,
    PhotoWork,
    Status,
    checked_stream,
    failed_cells,
    latest_parts,
    part_key,
    photos_text,
    read_part,
    read_work,
    with_leaves,
)

FLOAT = st.floats(0.0, 1.0, width=32)
TEXT = st.none() | st.text()
RESULTS = st.builds(
    RowResult, label=TEXT, confidence=st.none() | FLOAT, status=st.sampled_from(Status),
    error=st.none() | st.sampled_from([fault.value for fault in ImageFault]), error_message=TEXT,
    top_k=st.none() | st.lists(st.tuples(st.text(), FLOAT), max_size=4).map(tuple), sha256=TEXT,
    model=st.text(), reason=st.none() | st.sampled_from(ReviewReason), unknown=st.none() | FLOAT,
)  # fmt: skip


@given(st.text())
def test_the_message_of_a_failed_row_can_be_written_and_shown(text: str) -> None:
    """Paths, cells and hosts may put terminal escapes into it, and halves of characters, which no file can hold."""
    for message in (text, f"Expected a photo at \x1b[2J{text}\ud800\x9b\n"):
        row = failed_row(ImageError(message), None, "shop/1")
        assert (row.error_message or "").isprintable()
        results_table([row])


def test_a_message_of_megabytes_is_cut() -> None:
    assert len(failed_row(ImageError("a" * 10_000_000), None, "shop/1").error_message or "") == 2000


@given(st.lists(RESULTS, max_size=6))
def test_results_are_read_from_a_table_as_they_were(rows: list[RowResult]) -> None:
    table = results_table(rows)
    assert table.schema == PART_SCHEMA
    assert results_of(table) == rows


def test_a_label_above_classes_gives_way_to_the_likeliest_class() -> None:
    above = replace(ROW, label="worn", confidence=0.875, label_level=1, leaf_guess="shoe")
    leaf = replace(ROW, label_level=0, leaf_guess="shoe")
    table = results_table([above, leaf, FAILED])
    assert results_of(table) == [above, leaf, FAILED]
    assert results_of(with_leaves(table)) == [leaf, leaf, FAILED]
    assert results_of(with_leaves(table, pa.chunked_array([[False, True, True]]))) == [above, leaf, FAILED]
    flat = results_table([ROW, FAILED])
    assert with_leaves(flat) is flat


ROW = RowResult("shoe", 0.5, Status.LABELED, None, None, (("shoe", 0.5),), "5" * 64, "shop/1/float32@abc")
FAILED = RowResult(None, None, Status.FAILED, "missing", "It is gone.", None, None, "shop/1/float32@abc")


def part_of(*rows: RowResult, job: str = "cafe") -> bytes:
    return part_bytes(list(rows), job, "shop-7:42", 1.23456, 2, PhotoWork(decoded=3, decode_s=0.25))


def written(folder: Path, data: bytes) -> FolderStorage:
    storage = FolderStorage(folder)
    storage.commit(part_key(0), data)
    return storage


@given(st.dictionaries(st.integers(0, 2_000_000), st.sets(st.integers(0, 12), min_size=1), max_size=20))
def test_of_each_chunk_the_highest_retry_counts(retries: dict[int, set[int]]) -> None:
    names = [part_key(chunk, n).removeprefix("parts/") for chunk, numbers in retries.items() for n in numbers]
    assert latest_parts(names) == {chunk: max(numbers) for chunk, numbers in retries.items()}


@pytest.mark.parametrize(
    "name", ["", "17.r0.arrow", "000017.arrow", "000017.r.arrow", "000017.r0.arrow.tmp", ".000017.r0.arrow"]
)
def test_what_is_no_part_does_not_count(name: str) -> None:
    assert latest_parts([name, "000003.r0.arrow"]) == {3: 0}


def test_the_format_on_disk_is_this_one() -> None:
    schema = table_of(part_of(ROW, FAILED, ROW)).schema
    assert schema.remove_metadata() == PART_SCHEMA
    assert schema.metadata == {
        b"hangtag.job": b"cafe",
        b"hangtag.work": b'{"worker":"shop-7:42","seconds":1.235,"deaths":2,"rows":3,"failed":1,"photos":{'
        b'"downloaded":0,"unchanged":0,"bytes":0,"decoded":3,"repeated":0,"carried":0,"download_s":0.0,"decode_s":0.25,'
        b'"inference_s":0.0}}',
    }
    assert part_key(17) == "parts/000017.r0.arrow"
    assert part_key(1_234_567, 3) == "parts/1234567.r3.arrow"


@pytest.mark.parametrize("data", [part_of(ROW, job="beef"), None], ids=["of another job", "of no job"])
def test_a_part_that_is_not_the_jobs_is_removed(tmp_path: Path, data: bytes | None) -> None:
    storage = written(tmp_path, data or checked_stream(pa.table({"label": ["shoe"]})))
    with pytest.raises(JobError, match=r"000000\.r0"):
        read_part(storage, part_key(0), "cafe", 1)
    assert not storage.exists(part_key(0))


DATA = part_of(*[ROW, FAILED] * 50)
CUT = st.integers(0, len(DATA) - 1).map(lambda end: DATA[:end])
SPOILT = st.tuples(st.integers(0, len(DATA) - 33), st.binary(min_size=32, max_size=32)).map(
    lambda spoilt: DATA[: spoilt[0]] + spoilt[1] + DATA[spoilt[0] + 32 :]
)


@given(CUT | SPOILT)
def test_damage_of_a_part_is_noticed(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    storage = written(tmp_path_factory.mktemp("part"), data)
    if data != DATA:
        for read in (lambda: read_part(storage, part_key(0), "cafe", 100), lambda: read_work(storage, part_key(0))):
            with pytest.raises(JobError, match=r"000000\.r0\.arrow .* is damaged"):
                read()


RULES = Rules(("hat", "shoe"), (0.5, 0.75), unknown_limit=2.0)
KINDS = st.sampled_from(["seen", "failed", "carried", "kept"])


@given(kinds=st.lists(KINDS, max_size=12), data=st.data())
def test_a_chunk_has_its_rows_in_order_whatever_became_of_each_and_whenever(kinds, data) -> None:
    columns = Columns(len(kinds), RULES, "shop/1", top_k=2)
    expected = [None] * len(kinds)
    for row in data.draw(st.permutations(range(len(kinds)))):
        sha256, etag = f"{row:064x}", f'"{row}"' if row % 2 else None
        carried = replace(ROW, sha256=sha256, etag=etag, model="shop/1", reason=ReviewReason.UNKNOWN, unknown=2.5)
        assert not columns.is_whole
        match kinds[row]:
            case "seen":
                columns.put(row, (np.array([0.25, 0.75], np.float32), row / 4), sha256, etag)
                reason = ReviewReason.UNKNOWN if row / 4 > 2.0 else None
                best = (("shoe", 0.75), ("hat", 0.25))
                expected[row] = RowResult("shoe", 0.75, Status.REVIEW if reason else Status.LABELED, None, None, best,
                    sha256, "shop/1", reason, etag, unknown=row / 4)  # fmt: skip
            case "failed":
                columns.put(row, failed_cells(ImageError("No photo.", ImageFault.UNREADABLE)), sha256, etag)
                expected[row] = replace(failed_row(ImageError("No photo."), sha256, "shop/1"), etag=etag)
            case "carried":
                columns.put(row, cells_of(carried), sha256, etag)
                expected[row] = carried
            case "kept":
                columns.keep(row, results_table([carried]).to_pylist()[0])
                expected[row] = carried
    assert columns.is_whole
    assert columns.table().schema == PART_SCHEMA
    assert results_of(columns.table()) == expected


def test_the_work_on_photos_is_told_in_a_line() -> None:
    assert photos_text(PhotoWork(carried=98_000, repeated=1_204, decoded=796)) == (
        "98,000 rows carried over from the previous result, 1,204 rows with the same photo as an earlier row; "
        "796 photos decoded"
    )
    assert photos_text(PhotoWork(downloaded=1, unchanged=2, bytes=28_000_000, decoded=1)) == (
        "2 photos unchanged at their hosts, 1 photo downloaded (28.0 MB); 1 photo decoded"
    )
    assert photos_text(PhotoWork(decoded=100, decode_s=1.0)) == ""
