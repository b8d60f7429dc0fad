import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from catalogue.writers import without_formula
from models.errors import ImageError, ImageFault, InputError
from trainer.check.checkup import Issue, check_up
from trainer.check.quarantine import LOG, BroughtBack, bring_back, make_outside, photos_to_move, quarantine
from trainer.data.dataset import Split, read_dataset
from trainer.data.photo_cache import StatisticsStore
from trainer.request import TableOptions


@pytest.fixture
def draw(tiles):
    """Draws a photo; photos of different seeds are not alike."""

    def drawn(path, seed):
        path.parent.mkdir(parents=True, exist_ok=True)
        tiles(seed).save(path)
        return path

    return drawn


def copied(source, target):
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


def checked(dataset, tmp_path):
    return check_up(dataset, StatisticsStore(tmp_path.parent / "cache"), lambda *_: None)


def quarantined(dataset, tmp_path):
    """The number of moved files, and the CSV with the remaining rows."""
    make_outside(dataset.source, tmp_path / "aside", "--quarantine")
    return quarantine(checked(dataset, tmp_path), tmp_path / "aside")


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def photos(tmp_path, draw):
    """Four sound photos, a web page, a picture under two labels."""
    folder = tmp_path / "photos"
    for seed in range(4):
        draw(folder / ("hat", "vase")[seed % 2] / f"{seed}.png", seed)
    (folder / "hat" / "page.jpg").write_text("<html>")
    copied(draw(folder / "hat" / "both.png", 9), folder / "vase" / "both.png")
    return folder


@pytest.fixture
def moved(photos, tmp_path):
    """Three files are moved from ``photos`` to ``aside``; returns the contents before."""
    before = contents(photos)
    assert quarantined(read_dataset(photos), tmp_path) == (3, None)
    return before


def test_undo_brings_everything_back(photos, tmp_path, moved):
    names = {"hat/page.jpg", "hat/both.png", "vase/both.png"}
    aside = {str(path.relative_to(tmp_path / "aside")) for path in (tmp_path / "aside").rglob("*.*")}
    assert aside == names | {LOG}
    assert {str(path) for path in moved.keys() - contents(photos).keys()} == names
    with (tmp_path / "aside" / LOG).open("a") as log:  # a logged move that was never made, and half a record
        log.write(f"{photos / 'hat' / '0.png'},hat/0.png,leak\n{photos / 'hat' / '2.png'},ha")
    assert bring_back(tmp_path / "aside") == BroughtBack(3, (), ())
    assert contents(photos) == moved
    assert bring_back(tmp_path / "aside").moved == 0


@pytest.mark.usefixtures("moved")
def test_undo_never_overwrites_and_moves_nothing_then(photos, tmp_path, draw):
    draw(photos / "vase" / "both.png", 30)
    before = contents(tmp_path / "aside")
    with pytest.raises(InputError, match=r"both\.png"):
        bring_back(tmp_path / "aside")
    assert contents(tmp_path / "aside") == before


@pytest.mark.usefixtures("moved")
def test_a_second_quarantine_keeps_what_the_first_one_has(photos, tmp_path):
    (photos / "hat" / "page.jpg").write_text("<html>another")
    quarantined(read_dataset(photos), tmp_path)
    names = {"page.jpg": "<html>", "page-2.jpg": "<html>another"}
    assert {path.name: path.read_text() for path in (tmp_path / "aside" / "hat").glob("page*")} == names
    back = bring_back(tmp_path / "aside")
    assert (back.moved, back.renamed) == (4, (photos / "hat" / "page-2.jpg",))
    assert {path.name: path.read_text() for path in (photos / "hat").glob("page*")} == names


def test_a_file_that_cannot_be_moved_is_named_and_the_others_come_back(photos, tmp_path):
    make_outside(photos, tmp_path / "aside", "--quarantine")
    (tmp_path / "aside" / "vase").write_text("in the way")
    with pytest.raises(InputError, match=r"both\.png.* 2 files"):
        quarantine(checked(read_dataset(photos), tmp_path), tmp_path / "aside")
    assert bring_back(tmp_path / "aside").moved == 2


@pytest.mark.parametrize(
    ("source", "copy", "goes"),
    [
        ("train/hat/0.png", "test/hat/seen.png", "train/hat/0.png"),
        ("test/hat/4.png", "train/vase/wrong.png", "train/vase/wrong.png"),
    ],
)
def test_a_leak_or_conflict_across_splits_moves_only_the_training_photo(tmp_path, draw, source, copy, goes):
    photos = tmp_path / "photos"
    for seed in range(6):
        draw(photos / ("train", "test")[seed // 4] / ("hat", "vase")[seed % 2] / f"{seed}.png", seed)
    copied(photos / source, photos / copy)
    going = photos_to_move(checked(read_dataset(photos), tmp_path))
    assert {photo.path: issue for photo, issue in going.items()} == {photos / goes: Issue.LEAK}


def test_a_file_that_stands_in_two_splits_stays_and_its_training_row_goes(photos, tmp_path):
    data = tmp_path / "shop.csv"
    names = [f"{label}/{seed}.png" for label, seeds in (("hat", (0, 2)), ("vase", (1, 3))) for seed in seeds]
    rows = [f"photos/{name},{name.split('/')[0]},train" for name in names]
    data.write_text("image,label,split\n" + "\n".join([*rows, "photos/hat/0.png,hat,test"]))
    count, rest = quarantined(read_dataset(data), tmp_path)
    assert (count, rest) == (0, tmp_path / "aside" / "shop.csv")
    kept = [(Path(row["image"]).name, row["split"]) for row in csv.DictReader(rest.read_text().splitlines())]
    assert kept == [("2.png", "train"), ("1.png", "train"), ("3.png", "train"), ("0.png", "test")]
    assert (photos / "hat" / "0.png").exists()


def test_the_remaining_rows_of_a_table_are_a_csv_that_can_be_read_again(photos, tmp_path, draw):
    """The CSV is in another folder: paths below a URL become whole URLs; splits and products are kept."""
    own, data = draw(tmp_path / "own.png", 20), photos / "shop.jsonl"
    cells = ["a b.jpg", "https://other.example/c.jpg", "gone.jpg", own.as_uri()]
    splits = ["train", "open", "test", "open"]
    rows = [
        {"shot": cell, "kind": ("hat", "vase")[n % 2], "split": split, "sku": f"00{n}"}
        for n, (cell, split) in enumerate(zip(cells, splits, strict=True))
    ]
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    asked = TableOptions(
        image_column="shot", label_column="kind", group_column="sku", image_root="https://shop.example/img"
    )
    dataset = read_dataset(data, asked)
    errors = (None, ImageError("Away.", ImageFault.DOWNLOAD), ImageError("Not there.", ImageFault.MISSING))
    fetched = [draw(tmp_path / "cache" / f"{n}.png", n) for n in range(3)]
    changed = [replace(photo, path=fetched[n], error=errors[n]) for n, photo in enumerate(dataset.photos[:3])]
    _, rest = quarantined(replace(dataset, photos=(*changed, dataset.photos[3])), tmp_path)
    left = read_dataset(rest).photos
    assert [(photo.cell, photo.split, photo.open, photo.product) for photo in left] == [
        ("https://shop.example/img/a%20b.jpg", Split.TRAIN, False, "000"),
        ("https://other.example/c.jpg", None, True, "001"),
        (None, None, True, "003"),
    ]
    assert left[2].path == own


def test_a_log_starts_no_formula_and_files_with_such_names_come_back(photos, tmp_path):
    (photos / "hat").rename(photos / "=1+1")
    before = contents(photos)
    quarantined(read_dataset(photos), tmp_path)
    with (tmp_path / "aside" / LOG).open(newline="") as file:
        assert [cell for row in csv.reader(file) for cell in row if without_formula(cell) != cell] == []
    bring_back(tmp_path / "aside")
    assert contents(photos) == before


@pytest.mark.parametrize("log", [None, "what,is,this\na,b,c\n"])
def test_undo_needs_the_log_of_a_quarantine(tmp_path, log):
    if log:
        (tmp_path / LOG).write_text(log)
    with pytest.raises(InputError, match=LOG):
        bring_back(tmp_path)
