from pathlib import Path

import pytest

from models.errors import InputError
from worker.catalogue import open_catalogue


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


@pytest.mark.parametrize("header", ["sku,image", "sku,Image_Path", "sku,photo", "url,image"])
def test_the_obvious_column_is_the_image(tmp_path: Path, header: str) -> None:
    file = write(tmp_path / "a.csv", f"{header}\n1,2\n")
    assert open_catalogue(file).image_column.lower() in {"image", "image_path", "photo"}


def test_a_single_column_is_the_image_whatever_its_name(tmp_path: Path) -> None:
    assert open_catalogue(write(tmp_path / "a.csv", "bild\na.jpg\n")).image_column == "bild"


def test_no_obvious_column_asks_for_one(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--image-column, one of: sku, bild"):
        open_catalogue(write(tmp_path / "a.csv", "sku,bild\n1,a.jpg\n"))


def test_a_column_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="found sku, image"):
        open_catalogue(write(tmp_path / "a.csv", "sku,image\n1,a.jpg\n"), image_column="photo")


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.jsonl", "a.txt"])
def test_a_catalogue_without_rows_is_refused(tmp_path: Path, name: str) -> None:
    text = "image\n" if name.endswith("sv") else ""
    with pytest.raises(InputError, match=r"found none|Which column"):
        open_catalogue(write(tmp_path / name, text))


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="Expected image files"):
        open_catalogue(tmp_path)


def test_an_unknown_kind_of_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"\.csv, \.tsv"):
        open_catalogue(write(tmp_path / "a.xlsx", "x"))


@pytest.mark.parametrize("cell", ["5", '["b.jpg", "c.jpg"]', '{"front": "b.jpg"}'])
def test_a_json_cell_that_is_no_path_is_refused(tmp_path: Path, cell: str) -> None:
    file = write(tmp_path / "a.jsonl", f'{{"image": "a.jpg"}}\n{{"image": {cell}}}\n')
    with pytest.raises(InputError, match="Expected a path in every cell of the column image"):
        open_catalogue(file)


def test_paths_start_in_the_files_own_folder(tmp_path: Path) -> None:
    assert open_catalogue(write(tmp_path / "a.txt", "a.jpg\n")).image_root == str(tmp_path.resolve())


def test_a_list_made_in_another_folder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "a.jpg").touch()
    file = write(tmp_path / "a.txt", "a.jpg\n")
    monkeypatch.chdir(tmp_path / "here")
    with pytest.raises(InputError, match=r"pass --image-root \."):
        open_catalogue(file)
    assert open_catalogue(file, image_root=Path()).image_root == str((tmp_path / "here").resolve())
