import csv
from collections import Counter

import pytest
from PIL import Image

from trainer.sample.catalogue import STORAGE_DECK, draw_catalogue
from trainer.sample.products import DEPARTMENTS

COUNT = 240


@pytest.fixture(scope="module")
def files(drawn):
    """All files in the order of drawing; the last seven are faulty."""
    return sorted(drawn.glob("*/*"), key=lambda path: path.stem)


def bytes_by_name(out):
    return {path.relative_to(out): path.read_bytes() for path in out.glob("*/*")}


def test_photos_of_equal_classes_are_numbered_without_a_gap_and_stored_in_many_ways(files):
    assert [path.stem for path in files] == [f"{number:04d}" for number in range(COUNT + 7)]
    assert Counter(path.parent.name for path in files[:COUNT]) == dict.fromkeys(DEPARTMENTS, COUNT // 8)
    stored, orientations, sizes = set(), set(), []
    for path in files[:COUNT]:
        with Image.open(path) as image:
            image.load()
            stored.add((image.format, image.mode))
            orientations.add(image.getexif().get(0x0112))
            sizes.append(image.size)
    assert stored == {(one.format, one.mode) for one in STORAGE_DECK}
    assert orientations == {None, 2, 3, 4, 5, 6, 7, 8}
    assert min(map(min, sizes)) >= 160
    assert max(map(max, sizes)) <= 420
    assert {(width > height) - (width < height) for width, height in sizes} == {-1, 0, 1}


def test_a_photo_depends_on_the_seed_and_its_number_alone(drawn, tmp_path):
    draw_catalogue(tmp_path / "few", 16, seed=3)
    draw_catalogue(tmp_path / "other", 16, seed=4)
    few = {path: data for path, data in bytes_by_name(tmp_path / "few").items() if int(path.stem) < 16}
    many = bytes_by_name(drawn)
    assert few == {path: many[path] for path in few}
    assert not set(few.values()) & set(bytes_by_name(tmp_path / "other").values())


def test_the_table_has_the_truth_about_every_file(drawn):
    with (drawn.parent / "products.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["image"] for row in rows} == {str(path.relative_to(drawn.parent)) for path in drawn.glob("*/*")}
    assert all(row["category"] == row["image"].split("/")[1] for row in rows)
    assert {row["category"]: row["department"] for row in rows} == dict(DEPARTMENTS)
    assert len({row["colour"] for row in rows}) >= 10
    shown = {}
    for row in rows:
        truth = row["category"], row["colour"]
        assert shown.setdefault((drawn.parent / row["image"]).read_bytes(), truth) == truth, "of a copy as of its photo"


def test_four_files_are_copies_and_three_are_no_sound_jpeg(files):
    originals = {(path.parent.name, path.read_bytes()) for path in files[:COUNT]}
    assert len(originals) == COUNT
    assert all((copy.parent.name, copy.read_bytes()) in originals for copy in files[COUNT : COUNT + 4])
    truncated, page, png = files[COUNT + 4 :]
    assert {path.suffix for path in (truncated, page, png)} == {".jpg"}
    with Image.open(truncated) as image, pytest.raises(OSError, match="truncated"):
        image.load()
    assert page.read_text().startswith("<html>")
    with Image.open(png) as image:
        image.load()
        assert image.format == "PNG"
