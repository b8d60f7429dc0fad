"""Every accepted encoding gives the same rows; every other is refused, with a name that then works."""

import codecs
import re
from pathlib import Path

import pytest

from catalogue.catalogue import open_catalogue
from models.errors import InputError

ROWS = [{"image": f"grün-{n}.jpg", "titel": "Größe für Bälle"} for n in range(3)]
MARKS = {
    "utf-8": b"", "utf-8-sig": b"", "utf-16": b"", "utf-32": b"", "utf-16-le": codecs.BOM_UTF16_LE,
    "utf-16-be": codecs.BOM_UTF16_BE, "utf-32-le": codecs.BOM_UTF32_LE,
    "utf-32-be": codecs.BOM_UTF32_BE,
}  # fmt: skip
NEED_OPTION = ("cp1252", "latin-1", "cp850", "utf-16-le", "utf-16-be", "utf-32-be", "mac-roman")


def text_of(suffix: str) -> str:
    match suffix:
        case ".jsonl":
            return "".join(f'{{"image": "{row["image"]}", "titel": "{row["titel"]}"}}\n' for row in ROWS)
        case ".txt":
            return "".join(row["image"] + "\r\n" for row in ROWS)
    cell = ";" if suffix == ".csv" else "\t"
    return f"image{cell}titel\r\n" + "".join(f"{row['image']}{cell}{row['titel']}\r\n" for row in ROWS)


def rows(file: Path, encoding: str | None = None) -> list[dict[str, str]]:
    return [row for batch in open_catalogue(file, encoding=encoding).batches for row in batch.to_pylist()]


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".txt"])
def test_the_same_rows_come_out_of_what_names_itself_and_of_what_a_person_names(tmp_path: Path, suffix: str) -> None:
    expected = [{"image": row["image"]} for row in ROWS] if suffix == ".txt" else ROWS
    file = tmp_path / f"a{suffix}"
    for encoding, mark in MARKS.items():
        file.write_bytes(mark + text_of(suffix).encode(encoding))
        assert rows(file) == expected, encoding
    for encoding in NEED_OPTION:
        file.write_bytes(text_of(suffix).encode(encoding))
        assert rows(file, encoding) == expected, encoding


TEXTS = {
    "cp1252": ["Été à la plage – 50 €", "müller.jpg"],
    "cp1250": ["Příliš žluťoučký kůň"],
    "cp1251": ["Красное платье"],
    "cp932": ["メンズシューズ"],
    "gb18030": ["红色连衣裙 纯棉"],
    "utf-16-le": ["shoes"],
    "utf-16-be": ["Größe"],
}


@pytest.mark.parametrize(("encoding", "text"), [(name, text) for name, texts in TEXTS.items() for text in texts])
def test_what_is_refused_is_named_and_then_read(tmp_path: Path, encoding: str, text: str) -> None:
    for before in (0, 30_000):
        file = tmp_path / "a.csv"
        lines = ["image,title", *(f"{n}.jpg,plain" for n in range(before)), *(f"{n}.jpg,{text}" for n in range(3))]
        file.write_bytes("\n".join(lines).encode(encoding))
        with pytest.raises(InputError, match=r"pass --encoding") as refusal:
            rows(file)
        named = re.search(r"pass --encoding (\S+),", str(refusal.value))[1]
        assert named == encoding
        assert rows(file, named)[-1]["title"] == text
        if not encoding.startswith("utf-16"):
            assert f"in line {before + 2:,};" in str(refusal.value)
            assert text in str(refusal.value), "a person sees whether the guess is right"


PLAIN = b"image\na.jpg\n"
REFUSED = {
    "no encoding": (PLAIN, "utf-9", "'utf-9'"),
    "nearly one": (PLAIN, "windows1252x", "windows-1252"),
    "not of text": (PLAIN, "base64", "'base64'"),
    "of Python's own": (PLAIN, "unicode_escape", "unicode"),
    "empty": (PLAIN, "", "--encoding"),
    "no name": (PLAIN, "cp\0", "--encoding"),
    "needs a mark": (PLAIN, "utf-16", "utf-16-le"),
    "another's mark": (codecs.BOM_UTF8 + PLAIN, "cp1252", "utf-8"),
    "the other byte order": ("image\na.jpg\n".encode("utf-16"), "utf-16-be", "utf-16-le"),
    "a byte it has not": (b"image\n\x81.jpg\n", "cp1252", "0x81 in line 2"),
    "ascii": ("image\ngr\u00fcn.jpg\n".encode("cp1252"), "ascii", "--encoding cp1252"),
    "a cut character": ("image\n赤い.jpg\nx".encode("utf-16")[:-1], None, "inside a character"),
    "a cut character of UTF-8": ("image\n赤い".encode()[:-1], None, "line 2"),
    "noise": (b"x" * 400_000 + b"\xff" + b"x" * 400_000, None, "UTF-8"),
}


@pytest.mark.parametrize(("data", "encoding", "names"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_read_as_it_is_named_is_refused(tmp_path, data, encoding, names) -> None:
    file = tmp_path / "a.csv"
    file.write_bytes(data)
    with pytest.raises(InputError, match=names):
        rows(file, encoding)


@pytest.mark.parametrize("name", ["", "a.parquet"])
def test_what_is_no_text_has_no_encoding(tmp_path: Path, name: str) -> None:
    (tmp_path / "a.parquet").write_bytes(b"")
    with pytest.raises(InputError, match="--encoding"):
        open_catalogue(tmp_path / name, encoding="cp1252")
