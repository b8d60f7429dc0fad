import csv
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catalogue import readers
from catalogue.readers import JSON_FIELD, read_delimited, read_folder, read_jsonl, read_list, read_parquet
from models.errors import InputError

READ = {"csv": read_delimited, "txt": read_list, "jsonl": read_jsonl, "parquet": read_parquet}


def rows(reader):
    return [row for batch in reader.batches for row in batch.to_pylist()]


def written(folder: Path, kind: str, data: str | bytes) -> Path:
    file = folder / f"a.{kind}"
    file.write_bytes(data if isinstance(data, bytes) else data.encode())
    return file


QUOTED_HEADERS = {
    '"image, front";"a"': ["image, front", "a"],
    '"image;front";x,a': ["image;front", "x,a"],
    'image,"a;b;c;d"': ["image", "a;b;c;d"],
    '"one\nname, or two";image': ["one\nname, or two", "image"],
    'image\t"a, b, c"': ["image", "a, b, c"],
}


@pytest.mark.parametrize(("header", "names"), QUOTED_HEADERS.items(), ids=range(len(QUOTED_HEADERS)))
def test_what_is_quoted_in_the_header_is_no_delimiter(tmp_path: Path, header: str, names: list[str]) -> None:
    assert read_delimited(written(tmp_path, "csv", header + "\n")).schema.names == names


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_batches_of_large_rows_are_small(tmp_path: Path, kind: str) -> None:
    file, cell = tmp_path / f"a.{kind}", "data:image/jpeg;base64," + "A" * 1_000_000
    line = f'"{cell}"\n' if kind == "csv" else json.dumps({"image": cell}) + "\n"
    if kind == "parquet":
        pq.write_table(pa.table({"image": [cell] * 20}), file, use_dictionary=False)
    else:
        file.write_text(("image\n" if kind == "csv" else "") + line * 20)
    batches = list(READ[kind](file).batches)
    assert sum(batch.num_rows for batch in batches) == 20
    assert max(batch.nbytes for batch in batches) < 10_000_000


@pytest.mark.parametrize("kind", ["csv", "txt", "jsonl"])
def test_a_line_without_end_is_refused(tmp_path: Path, kind: str) -> None:
    file = tmp_path / f"a.{kind}"
    with file.open("wb") as opened:
        opened.write(b"image\n")
        opened.truncate(80 * 1024 * 1024)  # nothing but NUL bytes, and no room on the disk
    with pytest.raises(InputError):
        rows(READ[kind](file))


DEEP = '{{"image": "a.jpg", "more": {}{}}}\n'
BAD = {
    "an empty CSV": ("csv", "", "empty"),
    "a column twice": ("csv", "image,image\n", "image"),
    "a cell too few": ("csv", "image,sku\na.jpg\n", "line 2"),
    "a cell too many": ("csv", "image,sku\na.jpg,1,2\n", "got 3"),
    "no UTF-8": ("csv", b"image\n\xff\xfe\n", "UTF-8"),
    "a quote in a cell": ("csv", 'image\n"a"b.jpg\n', "line 2"),
    "separated by |, commas in cells": ("csv", "Nr|Bild\n7, rot|a.jpg\n", "Nr|"),
    "a list": ("jsonl", '{"image": "a"}\n[1]\n', "line 2"),
    "half an object": ("jsonl", '{"image": "a"}\n{\n', "line 2"),
    "101 deep": ("jsonl", DEEP.format("[" * 100, "]" * 100), "line 1"),
    "deeper than the stack": ("jsonl", DEEP.format("[" * 99_999, "]" * 99_999), "line 1"),
    "half a character": ("jsonl", '{"image": "\\ud800.jpg"}\n', "ud800"),
    "half a character as a name": ("jsonl", '{"\\ud800": "a.jpg"}\n', "ud800"),
}


@pytest.mark.parametrize(("kind", "data", "names"), BAD.values(), ids=BAD)
def test_a_bad_file_is_refused_by_name(tmp_path: Path, kind: str, data: str | bytes, names: str) -> None:
    with pytest.raises(InputError) as refusal:
        rows(READ[kind](written(tmp_path, kind, data)))
    assert names in str(refusal.value)
    assert str(tmp_path / f"a.{kind}") in str(refusal.value)


CELLS = st.text(st.characters(codec="utf-8", exclude_characters="\r\x00"), max_size=12)


@given(records=st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=30))
@settings(max_examples=50)
def test_any_csv_comes_back_as_it_was(tmp_path_factory: pytest.TempPathFactory, records: list[tuple[str, str]]) -> None:
    file = tmp_path_factory.mktemp("csv") / "a.csv"
    with file.open("w", newline="", encoding="utf-8") as opened:
        csv.writer(opened).writerows([("image", "text"), *records])
    assert [(row["image"], row["text"]) for row in rows(read_delimited(file))] == records


def test_a_list_has_as_many_rows_as_lines(tmp_path: Path) -> None:
    file = written(tmp_path, "txt", "a b.jpg\r\n\nå.jpg\nlast")
    assert [row["image"] for row in rows(read_list(file))] == ["a b.jpg", "", "å.jpg", "last"]


def test_a_folder_gives_images_sorted_and_relative_and_counts_other_files(tmp_path: Path) -> None:
    for name in ("b/2.JPG", "a/1.png", "a/notes.txt", "c.webp"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    reader = read_folder(tmp_path)
    assert [row["image"] for row in rows(reader)] == ["c.webp", "a/1.png", "b/2.JPG"]
    assert reader.left_out == {".txt": 1}


def test_jsonl_keeps_types_and_nested_cells(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    lines = [{"image": "a", "n": 1, "ok": True, "tags": ["x"]}, {"image": "b", "n": 2, "tags": {"y": None}}]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    reader = read_jsonl(file)
    assert reader.schema.field("n").type == pa.int64()
    assert reader.schema.field("tags").metadata == JSON_FIELD
    assert [json.loads(row["tags"]) for row in rows(reader)] == [["x"], {"y": None}]


def test_whole_and_broken_numbers_in_one_column_stay_what_they_are(tmp_path: Path) -> None:
    numbers = [5, 5.5, 9007199254740993]
    file = written(tmp_path, "jsonl", "".join(json.dumps({"image": "a", "price": n}) + "\n" for n in numbers))
    assert [json.loads(row["price"]) for row in rows(read_jsonl(file))] == numbers


def test_linked_folders_are_entered_once(tmp_path: Path) -> None:
    (tmp_path / "photos" / "a").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "1.jpg").touch()
    (tmp_path / "photos" / "a" / "loop").symlink_to(tmp_path / "photos")
    (tmp_path / "photos" / "b").symlink_to(tmp_path / "elsewhere")
    assert [row["image"] for row in rows(read_folder(tmp_path / "photos"))] == ["b/1.jpg"]


def test_a_large_row_group_is_not_held_as_a_whole(tmp_path: Path) -> None:
    cells = pa.array([f"https://shop.example/{n:090}.jpg" for n in range(200_000)])
    pq.write_table(pa.table({"image": cells}), tmp_path / "a.parquet", compression="none", use_dictionary=False)
    assert pq.read_metadata(tmp_path / "a.parquet").num_row_groups == 1
    del cells
    before = pa.total_allocated_bytes()
    held = [pa.total_allocated_bytes() - before for _ in read_parquet(tmp_path / "a.parquet").batches]
    assert len(held) == 49
    assert max(held) < (tmp_path / "a.parquet").stat().st_size / 3


def test_a_parquet_file_that_is_cut_short_is_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({"image": [f"{n}.jpg" for n in range(50_000)]}), tmp_path / "a.parquet")
    data = bytearray((tmp_path / "a.parquet").read_bytes())
    data[1000:60_000] = bytes(59_000)
    (tmp_path / "a.parquet").write_bytes(data)
    with pytest.raises(InputError, match=r"Expected to read the Parquet file .*a\.parquet"):
        rows(read_parquet(tmp_path / "a.parquet"))


@pytest.fixture
def _small_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readers, "MAX_BATCH_BYTES", 5_000_000)
    monkeypatch.setattr(readers, "FREE_VALUES", 200_000)


def write_parquet(file: Path, table: pa.Table) -> Path:
    pq.write_table(table, file, compression="zstd", store_schema=False)
    return file


REPEATED = {
    "a text": lambda cells: cells,
    "in lists": lambda cells: pa.ListArray.from_arrays(pa.array(range(len(cells) + 1), pa.int32()), cells),
    "in maps": lambda cells: pa.MapArray.from_arrays(pa.array(range(len(cells) + 1), pa.int32()), cells.indices, cells),
    "in structs": lambda cells: pa.StructArray.from_arrays([cells], ["a"]),
}


@pytest.mark.usefixtures("_small_limits")
@pytest.mark.parametrize("kind", REPEATED)
def test_a_text_that_parquet_repeats_does_not_fill_the_memory(tmp_path: Path, kind: str) -> None:
    rows = 4096
    cells = pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int32()), ["x" * 4_000])
    file = write_parquet(tmp_path / "a.parquet", pa.table({"image": ["a.jpg"] * rows, "more": REPEATED[kind](cells)}))
    assert file.stat().st_size < 20_000, "of 16 MB"
    first = next(iter(read_parquet(file).batches))
    assert first.nbytes < 5_000_000
    assert first.schema.types == pq.read_schema(file).types


UNFOLDING = {
    "cells": lambda: pa.table({"image": pa.nulls(400_000, pa.string())}),
    "a cell": lambda: pa.table({"image": ["a.jpg"], "more": ["x" * 6_000_000]}),
}


@pytest.mark.usefixtures("_small_limits")
@pytest.mark.parametrize(("kind", "names"), [("cells", "400,000 cells"), ("a cell", "6,000,")])
def test_a_small_parquet_that_unfolds_to_gigabytes_is_refused(tmp_path: Path, kind: str, names: str) -> None:
    file = write_parquet(tmp_path / "a.parquet", UNFOLDING[kind]())
    with pytest.raises(InputError, match=names):
        list(read_parquet(file).batches)


AS_EXCEL_SAVES = {
    "its separator in the first line": "sep=;\r\nsku;image\r\n1;a.jpg\r\n",
    "a separator that is seldom": "sep=|\nsku|image\n1|a.jpg\n",
    "the same in quotes": '"sep=,"\nsku,image\n1,a.jpg\n',
    "columns without a name": "sku,image,,\r\n1,a.jpg,,\r\n",
    "columns without a name but blanks": "sku,image, , \r\n1,a.jpg, , \r\n",
    "rows that are longer": "sku,image\r\n1,a.jpg,,\r\n",
    "blanks after commas": "sku, image\n1,a.jpg\n",
    "line ends of old Macs": "sku,image\r1,a.jpg\r",
}


@pytest.mark.parametrize("kind", AS_EXCEL_SAVES)
def test_a_csv_is_read_as_excel_saves_it(tmp_path: Path, kind: str) -> None:
    reader = read_delimited(written(tmp_path, "csv", AS_EXCEL_SAVES[kind]))
    assert rows(reader) == [{"sku": "1", "image": "a.jpg"}]
    remarks = {"columns without a name": "The last 2 columns have no name", "blanks after commas": "'image'"}
    remarks["columns without a name but blanks"] = remarks["columns without a name"]
    assert remarks.get(kind, "") in "".join(reader.remarks)
    assert bool(reader.remarks) == (kind in remarks)


def test_a_row_of_commas_is_a_row(tmp_path: Path) -> None:
    assert rows(read_delimited(written(tmp_path, "csv", "sku,image\n1,a.jpg\n,,,\n"))) == [
        {"sku": "1", "image": "a.jpg"},
        {"sku": "", "image": ""},
    ]


UNNAMED = {",,image\n1,2,a.jpg\n": "2 columns without a name", "a,image,,\n1,a.jpg,,x\n": "name each column"}


@pytest.mark.parametrize("text", UNNAMED)
def test_columns_that_need_a_name_are_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(InputError, match=UNNAMED[text]):
        rows(read_delimited(written(tmp_path, "csv", text)))


def test_one_column_without_a_name_is_taken_as_it_is(tmp_path: Path) -> None:
    for text in (",image\n0,a.jpg\n", "image,\na.jpg,0\n"):
        assert rows(read_delimited(written(tmp_path, "csv", text))) == [{"": "0", "image": "a.jpg"}]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lists_and_jsonl_may_have_any_line_ends(tmp_path: Path, end: str) -> None:
    assert rows(read_list(written(tmp_path, "txt", f"a.jpg{end}b.jpg{end}"))) == [
        {"image": "a.jpg"},
        {"image": "b.jpg"},
    ]
    assert len(rows(read_jsonl(written(tmp_path, "jsonl", f'{{"image": "a.jpg"}}{end}{{"image": "b.jpg"}}{end}')))) == 2


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_names_of_columns_have_no_blanks_around_them_and_are_in_nfc(tmp_path: Path, kind: str) -> None:
    file, names = tmp_path / f"a.{kind}", [" image", "Gro\u0308\u00dfe"]
    if kind == "parquet":
        pq.write_table(pa.table({name: ["a.jpg"] for name in names}), file)
    else:
        written(
            tmp_path, kind, ",".join(names) + "\na.jpg,1\n" if kind == "csv" else json.dumps(dict.fromkeys(names, "1"))
        )
    reader = READ[kind](file)
    assert reader.schema.names == ["image", "Gr\u00f6\u00dfe"]
    assert [len(row) for row in rows(reader)] == [2]
    assert len(reader.remarks) == 1


def test_a_line_of_jsonl_with_millions_of_values_is_refused(tmp_path: Path) -> None:
    line = '{"image": "a.jpg", "more": [' + "[]," * 600_000 + "[]]}"
    with pytest.raises(InputError, match="more than 1,000,000 values"):
        read_jsonl(written(tmp_path, "jsonl", line))


TYPES = {
    "string_view": pa.array(["a", None], pa.string_view()),
    "binary_view": pa.array([b"a", None], pa.binary_view()),
    "a list of views": pa.array([["a"], None], pa.list_(pa.string_view())),
    "a record of views": pa.array([{"x": "a"}, None], pa.struct([("x", pa.string_view())])),
    "a map of views": pa.array([[("a", "b")], None], pa.map_(pa.string(), pa.string_view())),
    "a dictionary": pa.array(["a", None]).dictionary_encode(),
    "a list of dictionaries": pa.ListArray.from_arrays([0, 1, 1], pa.array(["a"]).dictionary_encode()),
    "a record of dictionaries": pa.StructArray.from_arrays([pa.array(["a", None]).dictionary_encode()], ["x"]),
    "large_string": pa.array(["a", None], pa.large_string()),
}


@pytest.mark.parametrize("kind", TYPES)
def test_rows_of_every_type_of_text_can_be_taken(tmp_path: Path, kind: str) -> None:
    pq.write_table(pa.table({"image": ["a.jpg", "b.jpg"], "more": TYPES[kind]}), tmp_path / "a.parquet")
    reader = read_parquet(tmp_path / "a.parquet")
    table = pa.Table.from_batches(list(reader.batches), reader.schema)
    assert table.filter(pa.array([True, False])).column("more").to_pylist() == TYPES[kind].to_pylist()[:1]
    assert "view" not in str(reader.schema.field("more").type)


def lying(file: Path, size: int) -> Path:
    """A Parquet file whose footer says a few bytes of a text of ``size``."""
    pq.write_table(
        pa.table({"image": ["a.jpg"], "more": ["\0" * size]}), file, compression="zstd", use_dictionary=False,
        write_statistics=False, store_schema=False,
    )  # fmt: skip
    data = file.read_bytes()
    claimed = pq.ParquetFile(file).metadata.row_group(0).column(1).total_uncompressed_size
    start = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    file.write_bytes(data[:start] + data[start:].replace(varint(claimed), varint(100, len(varint(claimed)))))
    assert pq.ParquetFile(file).metadata.row_group(0).column(1).total_uncompressed_size == 100
    return file


def varint(value: int, length: int = 0) -> bytes:
    value, parts = value << 1, []
    while value or len(parts) < max(1, length):
        parts.append(value & 127)
        value >>= 7
    return bytes(part | 128 for part in parts[:-1]) + bytes(parts[-1:])


def test_a_footer_that_lies_about_a_page_is_not_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = lying(tmp_path / "a.parquet", 3_000_000)
    assert len(rows(read_parquet(file))) == 1
    monkeypatch.setattr(readers, "MAX_PAGE_BYTES", 1_000_000)
    with pytest.raises(InputError, match="pages of at most 1,000,000 bytes"):
        read_parquet(file)
    monkeypatch.setattr(readers, "UNPACKED_A_BYTE", 1_000_000)
    monkeypatch.setattr(readers, "FREE_BYTES", 1_000_000)
    with pytest.raises(InputError, match="expand to"):
        read_parquet(file)


@pytest.mark.usefixtures("_small_limits")
@pytest.mark.parametrize("encoding", ["DELTA_BYTE_ARRAY", "RLE_DICTIONARY"])
def test_texts_that_repeat_in_any_encoding_come_a_few_rows_at_a_time(tmp_path: Path, encoding: str) -> None:
    table, file = pa.table({"image": ["x" * 10_000] * 3000}), tmp_path / "a.parquet"
    packed = {"column_encoding": {"image": encoding}, "use_dictionary": False} if "DELTA" in encoding else {}
    pq.write_table(table, file, store_schema=False, **packed)
    reader = read_parquet(file)
    first = next(iter(reader.batches))
    assert first.column(0).cast(pa.string()).nbytes < 5_000_000
    assert first.num_rows + sum(batch.num_rows for batch in reader.batches) == 3000


def test_a_parquet_that_reads_as_fewer_rows_than_it_says_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "a.parquet"
    pq.write_table(pa.table({"image": ["a.jpg", "b.jpg"], "n": [1, 2]}), file)
    data, counts = file.read_bytes(), b"\x18\x01n\x15\x02\x16\x04"
    assert data.count(counts) == 1
    file.write_bytes(data.replace(counts, counts[:-1] + b"\x00"))  # the second column has no value
    with pytest.raises(InputError, match=r"Expected 2 rows in the Parquet file .*a\.parquet, but 2 are missing"):
        list(read_parquet(file).batches)


def test_a_parquet_whose_columns_overlap_is_refused_before_its_pages_are_read(tmp_path: Path) -> None:
    file = tmp_path / "a.parquet"
    pq.write_table(pa.table({"image": [f"{row}.jpg" for row in range(20)]}), file, store_schema=False)
    data, size = file.read_bytes(), varint(pq.ParquetFile(file).metadata.row_group(0).column(0).total_compressed_size)
    start = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    file.write_bytes(data[:start] + data[start:].replace(size, varint(8000, len(size))))
    with pytest.raises(InputError, match="8,000 bytes of columns in a file of"):
        read_parquet(file)


def test_a_number_without_an_end_in_a_parquet_is_refused_at_once(tmp_path: Path) -> None:
    file = tmp_path / "a.parquet"
    pq.write_table(pa.table({"image": ["x" * 100_000]}), file, use_dictionary=False, compression="none")
    data = file.read_bytes()
    file.write_bytes(data[:5] + b"\xff" * 100_000 + data[100_005:])
    with pytest.raises(InputError, match="a number of more than 64 bits"):
        read_parquet(file)


@pytest.mark.parametrize(
    ("text", "cells"),
    [
        ("image\n\nimg/hat.jpg\n\n\nimg/lamp.jpg\n\n\n", ["", "img/hat.jpg", "", "", "img/lamp.jpg"]),
        ("\nimage\r\na.jpg\r\n\r\nb.jpg", ["a.jpg", "", "b.jpg"]),
        ('image\na.jpg\n""\n', ["a.jpg", ""]),
        ("image,sku\na.jpg,1\n\nb.jpg,2\n", ["a.jpg", "b.jpg"]),
    ],
)
def test_an_empty_line_of_one_column_is_a_row_but_not_at_the_end(tmp_path: Path, text: str, cells: list[str]) -> None:
    (tmp_path / "c.csv").write_bytes(text.encode())
    batches = read_delimited(tmp_path / "c.csv").batches
    assert [cell for batch in batches for cell in batch.column("image").to_pylist()] == cells
