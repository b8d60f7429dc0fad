import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catalogue.readers import JSON_FIELD, read_delimited, read_folder, read_jsonl, read_list, read_parquet
from models.errors import InputError


def rows(reader):
    return [row for batch in reader.batches for row in batch.to_pylist()]


QUOTED_HEADERS = {
    '"image, front";"a"': ["image, front", "a"],
    '"image;front";x,a': ["image;front", "x,a"],
    'image,"a;b;c;d"': ["image", "a;b;c;d"],
    '"one\nname, or two";image': ["one\nname, or two", "image"],
    'image\t"a, b, c"': ["image", "a, b, c"],
}


@pytest.mark.parametrize(("header", "names"), QUOTED_HEADERS.items(), ids=range(len(QUOTED_HEADERS)))
def test_what_is_quoted_in_the_header_is_no_delimiter(tmp_path: Path, header: str, names: list[str]) -> None:
    file = tmp_path / "a.csv"
    file.write_text(header + "\n")
    assert read_delimited(file).schema.names == names


@pytest.mark.parametrize("row", ["7|Schuh, rot|a.jpg", "7|Schuh|a.jpg"])
def test_a_file_that_is_separated_by_another_character_is_said_to_be(tmp_path: Path, row: str) -> None:
    file = tmp_path / "a.csv"
    file.write_text(f"Artikelnr|Bezeichnung|Hauptbild\n{row}\n")
    with pytest.raises(InputError, match=r"separated by , ; or tabs in .*'Artikelnr\|.*; is it separated by \|\?"):
        read_delimited(file)


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_batches_of_large_rows_are_small(tmp_path: Path, kind: str) -> None:
    file, cell = tmp_path / f"a.{kind}", "data:image/jpeg;base64," + "A" * 1_000_000
    read = {"csv": read_delimited, "jsonl": read_jsonl, "parquet": read_parquet}[kind]
    line = f'"{cell}"\n' if kind == "csv" else json.dumps({"image": cell}) + "\n"
    if kind == "parquet":
        pq.write_table(pa.table({"image": [cell] * 20}), file, use_dictionary=False)
    else:
        file.write_text(("image\n" if kind == "csv" else "") + line * 20)
    batches = list(read(file).batches)
    assert sum(batch.num_rows for batch in batches) == 20
    assert max(batch.nbytes for batch in batches) < 10_000_000


@pytest.mark.parametrize("kind", ["csv", "txt", "jsonl"])
def test_a_line_without_end_is_refused(tmp_path: Path, kind: str) -> None:
    file = tmp_path / f"a.{kind}"
    with file.open("wb") as opened:
        opened.write(b"image\n")
        opened.truncate(80 * 1024 * 1024)  # nothing but NUL bytes, and no room on the disk
    read = {"csv": read_delimited, "txt": read_list, "jsonl": read_jsonl}[kind]
    with pytest.raises(InputError, match=r"characters in .*, one is longer|JSON object at line 1"):
        rows(read(file))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"", "empty file"),
        (b"image,image\n", "image twice"),
        (b"image,sku\na.jpg\n", "got 1"),
        (b"image,sku\na.jpg,1,2\n", "got 3"),
        (b"image\n\xff\xfe\n", "Expected UTF-8"),
        (b'image\n"a"b.jpg\n', "Expected CSV at line 2"),
    ],
)
def test_a_bad_csv_is_refused_by_name(tmp_path: Path, text: bytes, said: str) -> None:
    file = tmp_path / "bad.csv"
    file.write_bytes(text)
    with pytest.raises(InputError, match=said) as refusal:
        rows(read_delimited(file))
    assert str(file) in str(refusal.value)


CELLS = st.text(st.characters(codec="utf-8", exclude_characters="\r\x00"), max_size=12)


@given(records=st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=30))
@settings(deadline=None, max_examples=50)
def test_any_csv_comes_back_as_it_was(tmp_path_factory: pytest.TempPathFactory, records: list[tuple[str, str]]) -> None:
    import csv

    file = tmp_path_factory.mktemp("csv") / "a.csv"
    with file.open("w", newline="", encoding="utf-8") as opened:
        csv.writer(opened).writerows([("image", "text"), *records])
    assert [(row["image"], row["text"]) for row in rows(read_delimited(file))] == records


def test_a_list_has_as_many_rows_as_lines(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_bytes("a b.jpg\r\n\nå.jpg\nlast".encode())
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
    file = tmp_path / "a.jsonl"
    file.write_text(
        '{"image": "a", "price": 5}\n{"image": "b", "price": 5.5}\n{"image": "c", "price": 9007199254740993}\n'
    )
    assert [json.loads(row["price"]) for row in rows(read_jsonl(file))] == [5, 5.5, 9007199254740993]


@pytest.mark.parametrize("text", ['{"image": "\\ud800.jpg"}', '{"\\ud800": "a.jpg"}'])
def test_a_lone_surrogate_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "a.jsonl"
    file.write_text(f"{text}\n")
    with pytest.raises(InputError, match="lone surrogate"):
        rows(read_jsonl(file))


def test_linked_folders_are_entered_once(tmp_path: Path) -> None:
    (tmp_path / "photos" / "a").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "1.jpg").touch()
    (tmp_path / "photos" / "a" / "loop").symlink_to(tmp_path / "photos")
    (tmp_path / "photos" / "b").symlink_to(tmp_path / "elsewhere")
    assert [row["image"] for row in rows(read_folder(tmp_path / "photos"))] == ["b/1.jpg"]


@pytest.mark.parametrize("line", ["[1]", "{", "3"])
def test_a_line_that_is_no_object_is_refused(tmp_path: Path, line: str) -> None:
    file = tmp_path / "a.jsonl"
    file.write_text('{"image": "a"}\n' + line + "\n")
    with pytest.raises(InputError, match="at line 2"):
        read_jsonl(file)


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


DEEP = {"101": 101, "the stack": 100_000}


@pytest.mark.parametrize("depth", DEEP.values(), ids=DEEP)
def test_json_that_is_nested_too_deep_is_refused(tmp_path: Path, depth: int) -> None:
    file = tmp_path / "a.jsonl"
    file.write_text('{"image": "a.jpg", "more": ' + "[" * (depth - 1) + "]" * (depth - 1) + "}\n")
    with pytest.raises(InputError, match=r"line 1 of .*a\.jsonl, got"):
        read_jsonl(file)
