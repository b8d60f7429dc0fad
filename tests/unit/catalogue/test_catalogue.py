"""The rows of a source, and the places of their photos."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from catalogue.catalogue import Catalogue, NoImageColumnError, open_catalogue
from models.errors import InputError
from tests.unit.catalogue.scripted_server import Answer, ScriptedServer, open_scripted_server


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def rows(catalogue: Catalogue) -> list[dict[str, str]]:
    return [row for batch in catalogue.batches for row in batch.to_pylist()]


COLUMNS = {
    "sku,image": ("image", "Photos are in the column 'image'."),
    "sku,Image_Path": ("Image_Path", "Photos are in the column 'Image_Path'."),
    "photo,image,url": (
        "image",
        "Photos are in the column 'image', and not in 'photo', 'url' (choose another column with --image-column).",
    ),
    "bild": ("bild", "Photos are in the column 'bild'."),
    "image": ("image", ""),
}


@pytest.mark.parametrize(("header", "taken"), COLUMNS.items(), ids=COLUMNS)
def test_the_obvious_column_is_the_image_and_is_named(tmp_path: Path, header: str, taken: tuple[str, str]) -> None:
    file = write(tmp_path / "a.csv", f"{header}\n" + ",".join("a.jpg" for _ in header.split(",")) + "\n")
    catalogue = open_catalogue(file)
    assert (catalogue.image_column, catalogue.column_words) == taken
    assert open_catalogue(file, header.rsplit(",", 1)[-1]).column_words == ""


REFUSED = {
    "no obvious column": ("a.csv", "sku,bild\n1,a.jpg\n", "sku, bild"),
    "a column of numbers": ("a.jsonl", '{"image": 5}\n', "image"),
    "a cell with a number": ("a.jsonl", '{"image": "a.jpg"}\n{"image": 5}\n', "image"),
    "no rows in CSV": ("a.csv", "image\n", "rows"),
    "no rows in JSONL": ("a.jsonl", "", "none|Which column"),
    "a folder without images": (".", "", "image files"),
    "an unknown kind of file": ("a.xlsx", "x", r"\.csv, \.tsv"),
    "a photo": ("shoe.jpg", "x", "hangtag classify"),
    "a column twice": ("a.csv", "image,sku,sku\na.jpg,1,2\n", "sku"),
    "nothing there": ("gone", "", "gone"),
    "nothing": ("", "", "empty"),
    "a name that no file can have": ("a\0.csv", "", "path"),
    "a path that is too long": ("a/" * 3000 + "a.csv", "", "path"),
    "ftp": ("ftp://shop.example/a.csv", "", "ftp"),
    "a folder of a web server": ("https://shop.example/photos/", "", "folder in S3"),
}


@pytest.mark.parametrize(("place", "text", "names"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_catalogue_is_refused(tmp_path: Path, monkeypatch, place: str, text: str, names: str) -> None:
    monkeypatch.chdir(tmp_path)
    if text or place == "a.jsonl":
        write(tmp_path / place, text)
    with pytest.raises(InputError, match=names) as refusal:
        open_catalogue(place)
    assert len(str(refusal.value)) < 8000


def test_columns_with_one_name_and_more_than_anybody_has_are_refused(tmp_path: Path) -> None:
    pq.write_table(
        pa.Table.from_arrays([["a.jpg"], ["1"], ["2"]], names=["image", "sku", "sku"]), tmp_path / "a.parquet"
    )
    with pytest.raises(InputError, match="sku"):
        open_catalogue(tmp_path / "a.parquet")
    file = write(tmp_path / "a.jsonl", "".join(f'{{"image": "a.jpg", "{n}": 1}}\n' for n in range(10_000)))
    with pytest.raises(InputError, match="10,000"):
        open_catalogue(file)


def test_a_column_that_is_not_there_is_refused_with_the_one_that_was_meant(tmp_path: Path) -> None:
    more = ",".join(f"c{number}" for number in range(40))
    file = write(tmp_path / "a.csv", f"Nr,Hauptbild,nummer,Nummer,{more}\n7,a.jpg{',' * 42}\n")
    for name, names in (
        ("hauptbld", r"; do you mean 'Hauptbild'\? Found Nr, Hauptbild, .*c7 and 32 more\.$"),
        ("zzz", ", found Nr, Hauptbild"),
    ):
        with pytest.raises(InputError, match=names):
            open_catalogue(file, image_column=name)
    catalogue = open_catalogue(file, "Hauptbild")
    for name in ("nr", "NUMMER"):
        with pytest.raises(InputError, match=rf"'{name}x' \(--group-column\)"):
            catalogue.find_column(f"{name}x", "--group-column")
    with pytest.raises(InputError, match=r"'NUMMER' .* do you mean"):
        catalogue.find_column("NUMMER", "--group-column")


def test_a_column_is_found_by_another_spelling_if_only_one_fits(tmp_path: Path) -> None:
    file = write(tmp_path / "a.csv", "Handle,Haupt Bild,nr,Nr\nx,a.jpg,1,2\n")
    for name in ("Haupt Bild", "haupt_bild", "haupt-bild ", "HauptBild"):
        catalogue = open_catalogue(file, name)
        assert catalogue.image_column == "Haupt Bild"
        assert bool(catalogue.column_words) is (name != "Haupt Bild"), "a person sees the choice"
    assert [catalogue.find_column(name, "--group-column") for name in ("nr", "Handle", "handle")] == [
        "nr", "Handle", "Handle",
    ]  # fmt: skip
    assert catalogue.remarks == ["--group-column handle: the column 'Handle'."]


@pytest.mark.parametrize(
    "name", ["Image Src", "Images", "Image URL", "image-url", "imageUrl", "IMAGE_PATH", "image_link", "Url"]
)
def test_the_image_column_of_a_shops_export_is_found(tmp_path: Path, name: str) -> None:
    file = write(tmp_path / "a.csv", f"Handle,{name},Variant Image\nx,https://shop.example/a.jpg,\n")
    assert open_catalogue(file).image_column == name


def test_a_list_made_in_another_folder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "a.jpg").touch()
    file = write(tmp_path / "a.txt", "a.jpg\n")
    monkeypatch.chdir(tmp_path / "here")
    with pytest.raises(InputError, match=r"--image-root \."):
        open_catalogue(file)
    assert open_catalogue(file, image_root=Path()).image_root == str((tmp_path / "here").resolve())


def test_the_image_root_may_be_a_url_or_a_folder_that_is_there(tmp_path: Path) -> None:
    file = write(tmp_path / "a.txt", "a.jpg\n")
    assert open_catalogue(file, image_root="https://cdn.example/photos/").image_root == "https://cdn.example/photos"
    for place in (tmp_path / "nowhere", "a\0", "a" * 300, "a/" * 3000):
        with pytest.raises(InputError, match="--image-root"):
            open_catalogue(file, image_root=place)


def test_an_only_column_without_a_photo_is_refused(tmp_path: Path) -> None:
    file = write(tmp_path / "a.csv", "the sku\nA-1\nA-2\n")
    with pytest.raises(NoImageColumnError, match=r"'A-1'.*--image-column 'the sku'") as refusal:
        open_catalogue(file)
    assert refusal.value.columns == ["the sku"]
    assert open_catalogue(file, "the sku").image_column == "the sku"
    (tmp_path / "A-2").touch()
    assert open_catalogue(file).image_column == "the sku"
    for cell in ("https://shop.example/1", "/share/that/is/away/1.JPG", "s3://shop/1", '""'):
        assert open_catalogue(write(file, f"bild\n{cell}\n")).image_column == "bild"


def test_rows_with_several_photos_are_remarked_once_all_are_read(tmp_path: Path) -> None:
    file = write(
        tmp_path / "a.csv", 'image\n"http://a.test/1.jpg, http://a.test/2.jpg"\n' + "http://a.test/3.jpg\n" * 9000
    )
    catalogue = open_catalogue(file)
    assert sum(batch.num_rows for batch in catalogue.batches) == 9001
    assert catalogue.remarks == [
        "1 row names several photos under 'image': the first photo is used. Add rows for the other photos."
    ]


LISTS = {
    "jsonl": '{"image": ["http://a.test/1.jpg", "http://a.test/2.jpg"]}\n{"image": "http://a.test/3.jpg"}\n',
    "parquet": [["http://a.test/1.jpg", "http://a.test/2.jpg"], ["http://a.test/3.jpg"]],
}


@pytest.mark.parametrize("kind", LISTS)
def test_lists_of_photos_are_read(tmp_path: Path, kind: str) -> None:
    if kind == "jsonl":
        write(tmp_path / "a.jsonl", LISTS[kind])
    else:
        pq.write_table(pa.table({"image": LISTS[kind]}), tmp_path / "a.parquet")
    catalogue = open_catalogue(tmp_path / f"a.{kind}")
    cells = [cell for batch in catalogue.batches for cell in catalogue.photo_cells(batch, "backslashreplace")]
    assert cells == ["http://a.test/1.jpg", "http://a.test/3.jpg"]
    assert len(catalogue.remarks) == 1


def test_an_image_suffix_makes_paths_of_numbers(tmp_path: Path) -> None:
    file = write(tmp_path / "a.jsonl", '{"id": 15970}\n')
    with pytest.raises(InputError, match=r"--image-suffix \.jpg"):
        open_catalogue(file, "id")
    catalogue = open_catalogue(file, "id", image_suffix=".jpg")
    assert catalogue.photo_cells(next(catalogue.batches), "backslashreplace") == ["15970.jpg"]
    for suffix in ("jpg", ".exe", "", "/a.jpg", "..\\a.jpg"):
        with pytest.raises(InputError, match=r"--image-suffix, such as \.jpg"):
            open_catalogue(file, "id", image_suffix=suffix)


def test_paths_below_the_root_may_begin_with_a_slash(tmp_path: Path) -> None:
    (tmp_path / "h").mkdir()
    (tmp_path / "h" / "a.jpg").touch()
    file = write(tmp_path / "a.csv", "sku,image\n1,/h/a.jpg\n")
    open_catalogue(file, confined=True)
    with pytest.raises(InputError, match="the folder that workers may read"):
        open_catalogue(write(file, "sku,image\n1,/etc/passwd\n"), confined=True)


def test_a_column_is_named_with_blanks_around_it_or_without(tmp_path: Path) -> None:
    file = write(tmp_path / "a.csv", "label, bild\nhat, a.jpg\n")
    assert {open_catalogue(file, name).image_column for name in ("bild", " bild")} == {"bild"}


KINDS = {
    "csv": b"\xef\xbb\xbfimage;sku\r\na.jpg;1\r\nb.jpg;2\r\n",
    "tsv": b"image\tsku\na.jpg\t1\nb.jpg\t2\n",
    "jsonl": b'{"image": "a.jpg", "sku": "1"}\n{"image": "b.jpg", "sku": "2"}\n',
    "parquet": b"",
}
ROWS = [{"image": "a.jpg", "sku": "1"}, {"image": "b.jpg", "sku": "2"}]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ScriptedServer]:
    pq.write_table(pa.Table.from_pylist(ROWS), tmp_path / "a.parquet")
    with open_scripted_server() as script:
        for kind, data in KINDS.items():
            script.answers[f"/feeds/spring.{kind}"] = [Answer(data or (tmp_path / "a.parquet").read_bytes())]
        yield script


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


def test_a_file_from_the_web_is_whole_or_refused(server: ScriptedServer) -> None:
    server.answers["/a.csv"] = [Answer(KINDS["csv"], sized=False)]
    with pytest.raises(InputError, match="Content-Length"):
        open_catalogue(server.url("/a.csv"), allow_hosts=[server.host])
    whole = server.answers["/feeds/spring.parquet"][0].body
    server.answers["/a.parquet"] = [Answer(whole, sized=False), Answer(whole[:-1], sized=False)]
    assert rows(open_catalogue(server.url("/a.parquet"), allow_hosts=[server.host])) == ROWS
    with pytest.raises(InputError, match="Parquet"):
        open_catalogue(server.url("/a.parquet"), allow_hosts=[server.host])


def test_a_list_whose_photos_all_lie_where_workers_may_not_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "lists").mkdir()
    file = write(tmp_path / "lists" / "a.txt", f"{tmp_path}/photos/a.jpg\n../photos/b.jpg\n")
    open_catalogue(file)
    with pytest.raises(InputError, match="--image-root"):
        open_catalogue(file, confined=True)
    open_catalogue(file, image_root=tmp_path, confined=True)
    for cell in ("a.jpg", "sub/../a.jpg", "https://shop.example/a.jpg"):  # one photo that they may read is enough
        open_catalogue(write(tmp_path / "a.csv", f"image,sku\n/elsewhere/a.jpg,1\n,2\n{cell},3\n"), confined=True)


@pytest.mark.parametrize("first", ["a.jpg", "1,shoes/a.PNG", "1;https://shop.example/a", "s3://shop/a.webp"])
def test_a_file_without_a_header_loses_no_photo_without_a_word(tmp_path: Path, first: str) -> None:
    file = write(tmp_path / "a.csv", f"{first}\n{first}\n")
    with pytest.raises(InputError, match="line with column names"):
        open_catalogue(file, image_column=first.replace(";", ",").split(",")[-1])


@pytest.mark.parametrize(
    ("cell", "hint"), [("b/{}.JPG", True), ("https://shop.example/{}.png?w=9", True), ("{}", False)]
)
def test_the_only_column_whose_cells_end_like_images_is_offered(tmp_path: Path, cell: str, hint: bool) -> None:
    cells = [*(cell.format(number) for number in (1, 2, 3)), ""]
    file = write(tmp_path / "a.csv", "Nr,Haupt bild,Shop\n" + "".join(f"7,{each},de\n" for each in cells))
    with pytest.raises(NoImageColumnError) as caught:
        open_catalogue(file)
    assert caught.value.columns == ["Nr", "Haupt bild", "Shop"]
    assert ("'Haupt bild'" in str(caught.value)) is hint
