import csv
from collections import Counter, defaultdict
from io import BytesIO

import numpy as np
import pytest
from PIL import Image, ImageOps

from models.errors import InputError
from trainer.data.dataset import read_dataset
from trainer.request import TableOptions
from trainer.sample.catalogue import STORAGE_DECK, Storage, draw_catalogue, encode
from trainer.sample.photo import Photo, draw_photo
from trainer.sample.products import DEPARTMENTS
from trainer.sample.surfaces import colour_name


def bytes_by_name(out):
    return {path.relative_to(out): path.read_bytes() for path in out.glob("*/*")}


def test_as_many_photos_as_asked_for_and_seven_faulty_files_numbered_without_a_gap(drawn):
    assert drawn.calls == len(drawn.photos()) == 300
    assert [path.stem for path in drawn.files()] == [f"{i:04d}" for i in range(307)]


def test_classes_are_the_folders_and_about_equal(drawn):
    sizes = Counter(path.parent.name for path in drawn.photos())
    assert sorted(sizes) == sorted(p.name for p in drawn.out.iterdir())
    assert len(sizes) == 8
    assert max(sizes.values()) - min(sizes.values()) <= 1


def test_every_kind_of_file_is_there_and_sizes_vary(drawn):
    formats, modes, orientations, sizes = Counter(), set(), set(), []
    for path in drawn.photos():
        with Image.open(path) as image:
            image.load()
            formats[image.format] += 1
            modes.add((image.format, image.mode))
            orientations.add(image.getexif().get(0x0112))
            sizes.append(image.size)
    assert formats == {"JPEG": 192, "PNG": 42, "WEBP": 30, "BMP": 18, "GIF": 18}
    assert orientations == {None, 2, 3, 4, 5, 6, 7, 8}
    assert modes >= {("JPEG", "RGB"), ("JPEG", "L"), ("JPEG", "CMYK"), ("PNG", "RGBA"), ("WEBP", "RGBA"), ("PNG", "L")}
    assert min(map(min, sizes)) >= 160
    assert max(map(max, sizes)) <= 420
    assert {(width > height) - (width < height) for width, height in sizes} == {-1, 0, 1}


def test_photos_depend_on_the_seed_and_their_number_alone(drawn, tmp_path):
    draw_catalogue(tmp_path, 24, seed=7)
    few = {path: data for path, data in bytes_by_name(tmp_path).items() if int(path.stem) < 24}
    many = bytes_by_name(drawn.out)
    assert len(few) == 24
    assert few == {path: many[path] for path in few}


def test_the_same_seed_gives_the_same_bytes_and_another_others(tmp_path):
    for name, seed in (("one", 3), ("again", 3), ("other", 4)):
        draw_catalogue(tmp_path / name, 8, seed)
    assert bytes_by_name(tmp_path / "one") == bytes_by_name(tmp_path / "again")
    one, other = (set(bytes_by_name(tmp_path / name).values()) for name in ("one", "other"))
    assert len(one & other) == 1, "only the web page is the same"


def test_the_table_says_of_every_file_what_it_shows_and_trains_on_its_colours(tmp_path):
    draw_catalogue(tmp_path / "photos", 120, seed=7, table=tmp_path / "products.csv")
    asked = TableOptions(image_column="image", label_column="colour")
    truth = read_dataset(tmp_path / "products.csv", asked)
    with (tmp_path / "products.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["image"] for row in rows} == {str(p.relative_to(tmp_path)) for p in tmp_path.glob("photos/*/*")}
    assert all(row["category"] == row["image"].split("/")[1] for row in rows)
    assert {row["category"]: row["department"] for row in rows} == dict(DEPARTMENTS)
    assert {row["pattern"] for row in rows} - {""} == {"plain", "stripes", "checks", "dots", "weave"}
    assert len(truth.classes) >= 9
    assert truth.table.rows_without_label == sum(not row["colour"] for row in rows) > 1
    of_picture = {}
    for row in rows:
        said = (row["category"], row["colour"], row["pattern"])
        assert of_picture.setdefault((tmp_path / row["image"]).read_bytes(), said) == said, "of a copy as of its photo"


def test_a_colour_is_what_most_of_a_plain_product_shows():
    """Photos of red products are redder than the others, those of blue ones bluer: the names are not mixed up."""
    seen = defaultdict(list)
    for number in range(80):
        photo = draw_photo(np.random.default_rng([5, number]), "cushion")
        if photo.pattern == "plain":
            inside = np.asarray(photo.image, float)[np.asarray(photo.coverage) == 255]
            seen[colour_name(photo.body)].append(np.median(inside, axis=0))
    red, blue = (np.mean(seen[name], axis=0) for name in ("red", "blue"))
    assert red[0] > red[2]
    assert blue[2] > blue[0]


@pytest.mark.parametrize("stray", ["catalogue/notes.txt", "catalogue"])
def test_a_folder_in_use_is_refused_and_left_alone(tmp_path, stray):
    file = tmp_path / stray
    file.parent.mkdir(exist_ok=True)
    file.write_text("mine")
    with pytest.raises(InputError, match="Expected an absent or empty folder"):
        draw_catalogue(tmp_path / "catalogue", 24)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [file]


@pytest.mark.parametrize(("count", "seed", "message"), [(7, 7, "8 photos or more"), (24, -1, "seed of 0 or more")])
def test_numbers_too_small_are_refused(tmp_path, count, seed, message):
    with pytest.raises(InputError, match=message):
        draw_catalogue(tmp_path / "catalogue", count, seed)
    assert not list(tmp_path.iterdir())


def test_copies_equal_a_photo_of_their_class_and_nothing_else_does(drawn):
    originals = {(path.parent.name, path.read_bytes()) for path in drawn.photos()}
    assert len(originals) == 300
    assert all((copy.parent.name, copy.read_bytes()) in originals for copy in drawn.files()[300:304])


def test_the_other_faulty_files_are_named_jpg_and_are_none(drawn):
    truncated, page, png = drawn.files()[304:]
    assert {path.suffix for path in (truncated, page, png)} == {".jpg"}
    with Image.open(truncated) as image, pytest.raises(OSError, match="truncated"):
        image.load()
    assert page.read_text().startswith("<html>")
    with Image.open(png) as image:
        image.load()
        assert image.format == "PNG"


@pytest.fixture
def photo():
    """Red at the top left, blue at the bottom, no side like another; the left half is product."""
    image = Image.new("RGB", (48, 32), "white")
    image.paste("red", (0, 0, 16, 16))
    image.paste("blue", (0, 24, 48, 32))
    coverage = Image.new("L", image.size)
    coverage.paste(255, (0, 0, 24, 32))
    return Photo(image, coverage, body=(255, 0, 0))


def decoded(data):
    image = Image.open(BytesIO(data))
    image.load()
    return image


@pytest.mark.parametrize("tag", range(1, 9))
def test_a_reader_who_heeds_the_orientation_sees_the_photo_upright(photo, tag):
    image = decoded(encode(photo, Storage("JPEG", orientation=tag, quality=95)))
    assert image.size == ((48, 32) if tag < 5 else (32, 48))
    upright = np.asarray(ImageOps.exif_transpose(image), dtype=float)
    assert np.abs(upright - np.asarray(photo.image, dtype=float)).mean() < 8


@pytest.mark.parametrize("file_format", ["PNG", "WEBP"])
def test_a_cut_out_is_clear_around_the_product(photo, file_format):
    image = decoded(encode(photo, Storage(file_format, "RGBA")))
    assert image.mode == "RGBA"
    assert np.array_equal(image.getchannel("A"), photo.coverage)


@pytest.mark.parametrize("storage", sorted(set(STORAGE_DECK), key=str), ids=str)
def test_every_card_of_the_deck_can_be_read_back(photo, storage):
    image = decoded(encode(photo, storage))
    assert image.format == storage.format
    assert image.mode == storage.mode
    assert sorted(image.size) == [32, 48]
