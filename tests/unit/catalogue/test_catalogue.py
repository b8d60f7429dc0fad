"""Which rows a source gives, and where their photos are."""

import gc
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from tempfile import gettempdir

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from catalogue.catalogue import Catalogue, NoImageColumnError, open_catalogue
from models.errors import InputError
from tests.unit.catalogue.scripted_server import Answer, ScriptedServer, open_scripted_server


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("header", "column"),
    [
        ("sku,image", "image"),
        ("sku,Image_Path", "Image_Path"),
        ("sku,photo", "photo"),
        ("url,image", "image"),
        ("bild", "bild"),
    ],
)
def test_the_obvious_column_is_the_image(tmp_path: Path, header: str, column: str) -> None:
    file = write(tmp_path / "a.csv", f"{header}\n" + ",".join("a.jpg" for _ in header.split(",")) + "\n")
    assert open_catalogue(file).image_column == column


REFUSED = {
    "no obvious column": ("a.csv", "sku,bild\n1,a.jpg\n", "--image-column, one of: sku, bild"),
    "a column of numbers": (
        "a.jsonl",
        '{"image": 5}\n',
        "some hold numbers or lists|Expected paths in the column image",
    ),
    "no rows in CSV": ("a.csv", "image\n", "Expected rows in .* found none"),
    "no rows in JSONL": ("a.jsonl", "", "found none|Which column"),
    "no rows in a list": ("a.txt", "", "Expected rows in .* found none"),
    "a folder without images": (".", "", "Expected image files"),
    "an unknown kind of file": ("a.xlsx", "x", r"\.csv, \.tsv"),
    "a photo": ("shoe.jpg", "x", r"got shoe\.jpg; hangtag classify labels single photos\."),
    "a column twice": ("a.csv", "image,sku,sku\na.jpg,1,2\n", "Expected each column once in .*, found sku twice"),
    "nothing there": ("gone", "", "at gone, found nothing; check the path"),
    "nothing": ("", "", "got an empty name"),
    "ftp": ("ftp://shop.example/a.csv", "", "s3:// or http"),
    "a file's URL": ("file:///etc/a.csv", "", "s3:// or http"),
    "a folder of a web server": (
        "https://shop.example/photos/",
        "",
        r"Expected the URL of a \.csv.* or of a folder in S3",
    ),
}


@pytest.mark.parametrize(("place", "text", "said"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_catalogue_is_refused(tmp_path: Path, monkeypatch, place: str, text: str, said: str) -> None:
    monkeypatch.chdir(tmp_path)
    if text or place.endswith(("sv", "l", "t")):
        write(tmp_path / Path(place).name, text)
    with pytest.raises(InputError, match=said):
        open_catalogue(place)


def test_a_parquet_file_with_a_column_twice_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "a.parquet"
    pq.write_table(pa.Table.from_arrays([["a.jpg"], ["1"], ["2"]], names=["image", "sku", "sku"]), file)
    with pytest.raises(InputError, match=r"Expected each column once in .*, found sku twice"):
        open_catalogue(file)


def test_a_column_that_is_not_there_is_refused(tmp_path: Path) -> None:
    file = write(tmp_path / "a.csv", "sku,image\n1,a.jpg\n")
    with pytest.raises(InputError, match="found sku, image"):
        open_catalogue(file, image_column="photo")
    catalogue = open_catalogue(file)
    catalogue.check_column("sku", "--group-column")
    catalogue.check_column(None, "--group-column")
    with pytest.raises(InputError, match=r"'SKU' \(--group-column\) in .*a\.csv, found sku, image"):
        catalogue.check_column("SKU", "--group-column")


@pytest.mark.parametrize("cell", ["5", '["b.jpg", "c.jpg"]', '{"front": "b.jpg"}'])
def test_a_json_cell_that_is_no_path_is_refused(tmp_path: Path, cell: str) -> None:
    file = write(tmp_path / "a.jsonl", f'{{"image": "a.jpg"}}\n{{"image": {cell}}}\n')
    with pytest.raises(InputError, match="Expected a path in every cell of the column image"):
        open_catalogue(file)


def test_a_list_made_in_another_folder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "a.jpg").touch()
    file = write(tmp_path / "a.txt", "a.jpg\n")
    monkeypatch.chdir(tmp_path / "here")
    with pytest.raises(InputError, match=r"pass --image-root \."):
        open_catalogue(file)
    assert open_catalogue(file, image_root=Path()).image_root == str((tmp_path / "here").resolve())


@pytest.mark.parametrize("cell", ["https://shop.example/a.jpg", "s3://shop/a.jpg", "data:image/png;base64,AA=="])
def test_cells_that_are_no_paths_say_nothing_of_the_root(tmp_path, monkeypatch, cell) -> None:
    (tmp_path / "here" / cell).parent.mkdir(parents=True)
    (tmp_path / "here" / cell).touch()
    monkeypatch.chdir(tmp_path / "here")
    file = write(tmp_path / "a.txt", f"{cell}\n")
    assert open_catalogue(file).image_root == str(tmp_path)


def test_the_image_root_may_be_a_url(tmp_path: Path) -> None:
    file = write(tmp_path / "a.txt", "a.jpg\n")
    assert open_catalogue(file, image_root="https://cdn.example/photos/").image_root == "https://cdn.example/photos"
    with pytest.raises(InputError, match="found no folder at"):
        open_catalogue(file, image_root=tmp_path / "nowhere")


def test_no_message_is_as_long_as_a_header(tmp_path: Path) -> None:
    file = write(tmp_path / "a.csv", ",".join(f"column{n}" for n in range(5000)) + "\n")
    with pytest.raises(InputError, match=r"Pass --image-column, one of: column0, column1, .*…") as refusal:
        open_catalogue(file)
    assert len(str(refusal.value)) < 1500


TAKEN = {
    "photo,image,url": "in the column 'image', and not in 'photo', 'url' (name another with --image-column).",
    "sku,Photo": "in the column 'Photo'.",
    "bild": "in the column 'bild'.",
    "image": "",
}


@pytest.mark.parametrize(("header", "words"), TAKEN.items(), ids=TAKEN)
def test_it_is_said_which_column_was_taken(tmp_path: Path, header: str, words: str) -> None:
    file = write(tmp_path / "a.csv", header + "\n" + ",".join("a.jpg" for _ in header.split(",")) + "\n")
    assert open_catalogue(file).column_words == (f"Photos are {words}" if words else "")
    assert open_catalogue(file, header.rsplit(",", 1)[-1]).column_words == ""


def test_an_only_column_without_a_photo_is_refused(tmp_path: Path) -> None:
    """A list of article numbers became a job of which every row failed."""
    file = write(tmp_path / "a.csv", "the sku\nA-1\nA-2\n")
    with pytest.raises(NoImageColumnError, match=r"found only 'the sku', .* 'A-1', is no file under .*") as refusal:
        open_catalogue(file)
    assert str(refusal.value).endswith("pass --image-column 'the sku' if these are paths.")
    assert refusal.value.columns == ["the sku"]
    assert open_catalogue(file, "the sku").image_column == "the sku"
    (tmp_path / "A-2").touch()
    assert open_catalogue(file).column_words == "Photos are in the column 'the sku'."


@pytest.mark.parametrize("cell", ["https://shop.example/1", "/share/that/is/away/1.JPG", "s3://shop/1", '""'])
def test_an_only_column_whose_photos_are_elsewhere_or_away_is_taken(tmp_path: Path, cell: str) -> None:
    file = write(tmp_path / "a.csv", f"bild\n{cell}\n")
    assert open_catalogue(file).image_column == "bild"


@pytest.mark.parametrize("place", ["a\0.csv", "a" * 300 + ".csv", "a/" * 3000 + "a.csv"])
def test_a_path_that_cannot_be_is_told(tmp_path: Path, place: str) -> None:
    with pytest.raises(InputError, match="check the path") as refusal:
        open_catalogue(tmp_path / place)
    assert len(str(refusal.value)) < 8000
    with pytest.raises(InputError, match="--image-root"):
        open_catalogue(write(tmp_path / "a.txt", "a.jpg\n"), image_root=place)


def test_more_columns_than_anybody_has_are_refused(tmp_path: Path) -> None:
    file = write(tmp_path / "a.jsonl", "".join(f'{{"image": "a.jpg", "{n}": 1}}\n' for n in range(10_000)))
    with pytest.raises(InputError, match="at most 10,000 columns"):
        open_catalogue(file)


KINDS = {
    "csv": b"\xef\xbb\xbfimage;sku\r\na.jpg;1\r\nb.jpg;2\r\n",
    "tsv": b"image\tsku\na.jpg\t1\nb.jpg\t2\n",
    "jsonl": b'{"image": "a.jpg", "sku": "1"}\n{"image": "b.jpg", "sku": "2"}\n',
    "parquet": b"",
}
ROWS = [{"image": "a.jpg", "sku": "1"}, {"image": "b.jpg", "sku": "2"}]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ScriptedServer]:
    """The same two rows in every kind of file."""
    pq.write_table(pa.Table.from_pylist(ROWS), tmp_path / "a.parquet")
    with open_scripted_server() as script:
        for kind, data in KINDS.items():
            script.answers[f"/feeds/spring.{kind}"] = [Answer(data or (tmp_path / "a.parquet").read_bytes())]
        yield script


def rows(catalogue: Catalogue) -> list[dict[str, str]]:
    return [row for batch in catalogue.batches for row in batch.to_pylist()]


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_from_the_web_is_read_like_one_on_disk(server, tmp_path, monkeypatch, kind) -> None:
    (tmp_path / "scratch").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "scratch"))
    url = f"http://me:SECRET@{server.host}/feeds/spring.{kind}?sig=SECRET"
    catalogue = open_catalogue(url, allow_hosts=[server.host])
    assert rows(catalogue) == ROWS
    assert catalogue.source == server.url(f"/feeds/spring.{kind}")
    assert catalogue.image_root == server.url("/feeds")
    assert list((tmp_path / "scratch").iterdir()) == []


def open_files() -> Counter[str]:
    """What this process has open in the system's folder for temporary files, by path."""
    links = [link.readlink() for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
    return Counter(str(path) for path in links if str(path).startswith(gettempdir()))


def test_a_refused_file_from_the_web_is_named_by_its_url_and_let_go_of(server: ScriptedServer) -> None:
    gc.collect()  # what earlier tests have left
    before = open_files()
    server.answers["/a.csv"] = [Answer("image\ngr\u00fcn.jpg\n".encode("cp1252"))]
    with pytest.raises(InputError) as refusal:
        open_catalogue(server.url("/a.csv"), allow_hosts=[server.host])
    assert f"Expected UTF-8 in {server.url('/a.csv')}, got byte 0xfc in line 2" in str(refusal.value)
    assert "pass --encoding cp1252" in str(refusal.value)
    del refusal
    gc.collect()
    assert not open_files() - before


LONG = b"image,sku\n" + b"".join(b"%d.jpg,%d\n" % (n, n) for n in range(1000))


def test_a_file_from_the_web_is_whole_or_refused(server: ScriptedServer) -> None:
    server.answers["/a.csv"] = [Answer(LONG[: LONG.index(b"23.jpg")], sized=False)]
    with pytest.raises(InputError, match="--allow-unsized"):
        open_catalogue(server.url("/a.csv"), allow_hosts=[server.host])
    assert len(rows(open_catalogue(server.url("/a.csv"), allow_hosts=[server.host], unsized=True))) == 23


def test_parquet_says_by_itself_where_it_ends(server: ScriptedServer) -> None:
    whole = server.answers["/feeds/spring.parquet"][0].body
    server.answers["/a.parquet"] = [Answer(whole, sized=False), Answer(whole[:-1], sized=False)]
    assert rows(open_catalogue(server.url("/a.parquet"), allow_hosts=[server.host])) == ROWS
    with pytest.raises(InputError, match="Expected a Parquet file"):
        open_catalogue(server.url("/a.parquet"), allow_hosts=[server.host])


def test_a_list_whose_photos_all_lie_where_workers_may_not_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "lists").mkdir()
    file = write(tmp_path / "lists" / "a.txt", f"{tmp_path}/photos/a.jpg\n../photos/b.jpg\n")
    open_catalogue(file)
    with pytest.raises(InputError, match="as --image-root"):
        open_catalogue(file, confined=True)
    open_catalogue(file, image_root=tmp_path, confined=True)


@pytest.mark.parametrize("cell", ["a.jpg", "sub/../a.jpg", "https://shop.example/a.jpg"])
def test_one_photo_that_workers_may_read_is_enough(tmp_path: Path, cell: str) -> None:
    file = write(tmp_path / "a.csv", f"image,sku\n/elsewhere/a.jpg,1\n,2\n{cell},3\n")
    open_catalogue(file, confined=True)


@pytest.mark.parametrize("first", ["a.jpg", "1,shoes/a.PNG", "1;https://shop.example/a", "s3://shop/a.webp"])
def test_a_file_without_a_header_loses_no_photo_without_a_word(tmp_path: Path, first: str) -> None:
    file = write(tmp_path / "a.csv", f"{first}\n{first}\n")
    with pytest.raises(InputError, match="add a line with names"):
        open_catalogue(file, image_column=first.replace(";", ",").split(",")[-1])


@pytest.mark.parametrize(
    ("cell", "hint"), [("b/{}.JPG", True), ("https://shop.example/{}.png?w=9", True), ("{}", False)]
)
def test_the_only_column_whose_cells_end_like_images_is_offered(tmp_path: Path, cell: str, hint: bool) -> None:
    file = tmp_path / "shop.csv"
    cells = [cell.format(number) for number in (1, 2, 3)]
    file.write_text("Nr,Haupt bild,Shop\n" + "".join(f"7,{each},de\n" for each in [*cells, ""]))
    with pytest.raises(NoImageColumnError) as caught:
        open_catalogue(file)
    said = " Only the cells of 'Haupt bild' end like images." if hint else ""
    assert str(caught.value).endswith(f"Pass --image-column, one of: Nr, Haupt bild, Shop.{said}")


def test_of_two_columns_with_images_none_is_offered(tmp_path: Path) -> None:
    file = tmp_path / "shop.csv"
    file.write_text("vorn,hinten\na.jpg,b.jpg\n")
    with pytest.raises(NoImageColumnError, match=r"Pass --image-column, one of: vorn, hinten\.$"):
        open_catalogue(file)


@pytest.mark.parametrize(("wanted", "end"), [("hauptbild", "; do you mean 'Hauptbild'?"), ("zzz", "Hauptbild.")])
def test_a_column_that_was_nearly_named_is_asked_for(tmp_path: Path, wanted: str, end: str) -> None:
    file = tmp_path / "shop.csv"
    file.write_text("Nr,Hauptbild\n7,a.jpg\n")
    with pytest.raises(InputError) as caught:
        open_catalogue(file, image_column=wanted)
    assert str(caught.value).endswith(end)
