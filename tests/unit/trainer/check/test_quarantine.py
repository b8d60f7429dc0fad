import csv
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.errors import ImageError, ImageFault, InputError
from trainer.check.checkup import check_up
from trainer.check.issues import Issue
from trainer.check.quarantine import LOG, BroughtBack, bring_back, check_quarantine, quarantine, worth_moving
from trainer.data.dataset import Split, read_dataset
from trainer.data.photo_cache import StatisticsStore
from trainer.request import TableOptions


def draw(path, seed):
    path.parent.mkdir(parents=True, exist_ok=True)
    coarse = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), np.uint8)
    Image.fromarray(coarse.repeat(12, axis=0).repeat(12, axis=1)).save(path)
    return path


def copied(source, target):
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    return target


def checked(data, tmp_path):
    return check_up(read_dataset(data), StatisticsStore(tmp_path.parent / "cache"), lambda what, done, total: None)


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def photos(tmp_path):
    """Four sound photos, a web page, a picture under two labels."""
    folder = tmp_path / "photos"
    for seed in range(4):
        draw(folder / ("hat", "vase")[seed % 2] / f"{seed}.png", seed)
    (folder / "hat" / "page.jpg").write_text("<html>")
    copied(draw(folder / "hat" / "both.png", 9), folder / "vase" / "both.png")
    return folder


def moved_aside(photos, tmp_path):
    check_quarantine(photos, tmp_path / "aside")
    return quarantine(checked(photos, tmp_path), tmp_path / "aside")


def test_what_training_would_set_aside_is_moved_under_its_own_name(photos, tmp_path):
    assert moved_aside(photos, tmp_path).moved == 3
    aside = {str(path.relative_to(tmp_path / "aside")) for path in (tmp_path / "aside").rglob("*.*")}
    assert aside == {"hat/page.jpg", "hat/both.png", "vase/both.png", LOG}
    assert len(contents(photos)) == 4


def test_undo_brings_everything_back(photos, tmp_path):
    before = contents(photos)
    moved_aside(photos, tmp_path)
    assert bring_back(tmp_path / "aside") == BroughtBack(3, (), ())
    assert contents(photos) == before
    assert bring_back(tmp_path / "aside").moved == 0


def test_a_move_that_was_logged_and_never_made_does_not_disturb_undo(photos, tmp_path):
    before = contents(photos)
    moved_aside(photos, tmp_path)
    with (tmp_path / "aside" / LOG).open("a") as log:
        log.write(f"{photos / 'hat' / '0.png'},hat/0.png,leak\n{photos / 'hat' / '2.png'},ha")
    assert bring_back(tmp_path / "aside") == BroughtBack(3, (), ())
    assert contents(photos) == before


def test_undo_never_overwrites_and_moves_nothing_then(photos, tmp_path):
    moved_aside(photos, tmp_path)
    draw(photos / "vase" / "both.png", 30)
    before = contents(tmp_path / "aside")
    with pytest.raises(InputError, match=r"place of .*both\.png to be free"):
        bring_back(tmp_path / "aside")
    assert contents(tmp_path / "aside") == before


def test_a_second_quarantine_keeps_what_the_first_one_has(photos, tmp_path):
    moved_aside(photos, tmp_path)
    (photos / "hat" / "page.jpg").write_text("<html>another")
    moved_aside(photos, tmp_path)
    names = {path.name: path.read_text() for path in (tmp_path / "aside" / "hat").glob("page*")}
    assert names == {"page.jpg": "<html>", "page-2.jpg": "<html>another"}
    back = bring_back(tmp_path / "aside")
    assert (back.moved, back.renamed) == (4, (photos / "hat" / "page-2.jpg",))
    names = {path.name: path.read_text() for path in (photos / "hat").glob("page*")}
    assert names == {"page.jpg": "<html>", "page-2.jpg": "<html>another"}


def test_a_file_that_is_gone_from_the_quarantine_is_told(photos, tmp_path):
    moved_aside(photos, tmp_path)
    (tmp_path / "aside" / "hat" / "page.jpg").unlink()
    assert bring_back(tmp_path / "aside") == BroughtBack(2, (), (photos / "hat" / "page.jpg",))


def test_a_file_that_cannot_be_moved_is_named_with_what_was_and_how_to_undo_it(photos, tmp_path):
    checkup = checked(photos, tmp_path)
    check_quarantine(photos, tmp_path / "aside")
    (tmp_path / "aside" / "vase").write_text("in the way")
    with pytest.raises(InputError, match=r"both\.png.* 2 files moved before it: hangtag check --undo"):
        quarantine(checkup, tmp_path / "aside")
    assert bring_back(tmp_path / "aside").moved == 2


def test_a_link_is_moved_and_not_what_it_leads_to(photos, tmp_path):
    page = tmp_path / "elsewhere.jpg"
    page.write_text("<html>")
    (photos / "vase" / "link.jpg").symlink_to(page)
    moved_aside(photos, tmp_path)
    assert page.read_text() == "<html>"
    assert (tmp_path / "aside" / "vase" / "link.jpg").is_symlink()


@pytest.mark.parametrize(
    ("source", "copy", "goes"),
    [
        ("train/hat/0.png", "test/hat/seen.png", "train/hat/0.png"),
        ("test/hat/4.png", "train/vase/wrong.png", "train/vase/wrong.png"),
    ],
)
def test_of_a_leak_or_a_conflict_across_splits_the_training_photo_alone_goes(tmp_path, source, copy, goes):
    photos = tmp_path / "photos"
    for seed in range(6):
        draw(photos / ("train", "test")[seed // 4] / ("hat", "vase")[seed % 2] / f"{seed}.png", seed)
    copied(photos / source, photos / copy)
    going = worth_moving(checked(photos, tmp_path))
    assert {photo.path: found for photo, found in going.items()} == {photos / goes: Issue.LEAK}


def test_a_file_with_other_bytes_than_its_row_names_stays(photos, tmp_path):
    rows = [f"{path},{path.parent.name},{'0' * 64}" for path in photos.rglob("*.png") if path.stem == "0"]
    rows += [f"{path},{path.parent.name}," for path in photos.rglob("*.png") if path.stem in "123"]
    (tmp_path / "products.csv").write_text("\n".join(["image,label,sha256", *rows]))
    assert worth_moving(checked(tmp_path / "products.csv", tmp_path)) == {}


def test_a_file_that_stands_in_two_splits_stays_and_its_training_row_goes(photos, tmp_path):
    data = tmp_path / "shop.csv"
    names = [f"{label}/{seed}.png" for label, seeds in (("hat", (0, 2)), ("vase", (1, 3))) for seed in seeds]
    rows = [f"photos/{name},{name.split('/')[0]},train" for name in names]
    data.write_text("image,label,split\n" + "\n".join([*rows, "photos/hat/0.png,hat,test"]))
    moved = moved_aside(data, tmp_path)
    assert moved.moved == 0
    kept = [(Path(row["image"]).name, row["split"]) for row in csv.DictReader(moved.kept_csv.read_text().splitlines())]
    assert kept == [("2.png", "train"), ("1.png", "train"), ("3.png", "train"), ("0.png", "test")]


def test_of_a_csv_the_rows_that_are_left_are_written_down(photos, tmp_path):
    data = photos / "shop.csv"
    names = sorted(str(path.relative_to(photos)) for path in photos.rglob("*.*") if path != data)
    data.write_text(
        "sku,image,label\n" + "".join(f"{i:03},{name},{name.split('/')[0]}\n" for i, name in enumerate(names))
    )
    moved = moved_aside(data, tmp_path)
    assert moved.kept_csv == tmp_path / "aside" / "shop.csv"
    rows = list(csv.DictReader(moved.kept_csv.read_text().splitlines()))
    assert [Path(row["image"]) for row in rows] == sorted(photos.rglob("[0-9].png"))
    assert [row["sku"] for row in rows] == [f"{names.index(os.path.relpath(row['image'], photos)):03}" for row in rows]


def test_of_a_table_a_csv_without_other_names_is_written_down(photos, tmp_path):
    data = photos / "shop.jsonl"
    names = sorted(str(path.relative_to(photos)) for path in photos.rglob("*.*"))
    rows = [{"shot": name, "kind": name.split("/")[0], "sku": f"{n:03}"} for n, name in enumerate([*names, ""])]
    data.write_text("".join(json.dumps(row | {"kind": row["kind"] or "hat"}) + "\n" for row in rows))
    asked = TableOptions(image_column="shot", label_column="kind", group_column="sku")
    moved = quarantined(read_dataset(data, asked), tmp_path)
    assert (moved.moved, moved.kept_csv) == (3, tmp_path / "aside" / "shop.csv")
    left = read_dataset(moved.kept_csv).photos
    assert [photo.path for photo in left] == sorted(photos.rglob("[0-9].png"))
    assert [photo.product for photo in left] == [f"{names.index(str(p.path.relative_to(photos))):03}" for p in left]


def test_what_was_fetched_stays_in_the_cache_and_its_rows_go(photos, tmp_path):
    broken = photos / "hat" / "page.jpg"
    dataset = read_dataset(write_table(photos / "shop.csv", [broken, *sorted(photos.rglob("[0-9].png"))]))
    fetched = replace(dataset.photos[0], cell="https://shop.example/page.jpg")
    dataset = replace(dataset, photos=(fetched, *dataset.photos[1:]))
    moved = quarantined(dataset, tmp_path)
    assert (moved.moved, broken.read_text()) == (0, "<html>")
    assert [photo.path for photo in read_dataset(moved.kept_csv).photos] == sorted(photos.rglob("[0-9].png"))


@pytest.mark.parametrize("fault", [ImageFault.DOWNLOAD, ImageFault.TIMEOUT, ImageFault.REFUSED, ImageFault.MISSING])
def test_a_row_whose_host_is_away_stays_with_its_url_and_one_that_its_host_has_not_goes(photos, tmp_path, fault):
    """Of a plain CSV: what it says of its rows stays, too."""
    data, url = photos / "shop.csv", "https://shop.example/a b.jpg?sign=1"
    own = sorted(photos.rglob("[0-9].png"))
    rows = [f"{file},{file.parent.name},S{n},open" for n, file in enumerate(own)]
    data.write_text("\n".join(["image,label,sku,split", f"{url},hat,S9,train", *rows]))
    dataset = read_dataset(data)
    away = replace(dataset.photos[0], path=tmp_path / "cache" / "a", error=ImageError("It is away.", fault))
    moved = quarantined(replace(dataset, photos=(away, *dataset.photos[1:])), tmp_path)
    assert moved.moved == 0
    left = list(csv.DictReader(moved.kept_csv.read_text().splitlines()))
    kept = [str(file) for file in own] if fault is ImageFault.MISSING else [url, *map(str, own)]
    assert [row["image"] for row in left] == kept
    assert [row["split"] for row in left][-4:] == ["open"] * 4
    assert left[-1]["sku"] == "S3"


def test_rows_of_a_table_stay_with_their_urls_and_with_what_is_said_of_their_splits(photos, tmp_path):
    """The CSV lies elsewhere: paths that start at a URL are whole URLs there. It can be read again."""
    own, data = draw(tmp_path / "own.png", 20), photos / "shop.jsonl"
    cells = ["a b.jpg", "https://other.example/c.jpg", "gone.jpg", own.as_uri()]
    splits = ["train", "open", "test", "open"]
    rows = [
        {"shot": cell, "kind": ("hat", "vase")[n % 2], "split": split}
        for n, (cell, split) in enumerate(zip(cells, splits, strict=True))
    ]
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    asked = TableOptions(image_column="shot", label_column="kind", image_root="https://shop.example/img")
    dataset = read_dataset(data, asked)
    gone, away = ImageError("Not there.", ImageFault.MISSING), ImageError("Away.", ImageFault.DOWNLOAD)
    fetched = [draw(tmp_path / "cache" / f"{n}.png", n) for n in range(3)]
    changed = [
        replace(photo, path=fetched[n], error=(None, away, gone)[n]) for n, photo in enumerate(dataset.photos[:3])
    ]
    left = read_dataset(quarantined(replace(dataset, photos=(*changed, dataset.photos[3])), tmp_path).kept_csv).photos
    assert [photo.cell for photo in left] == [
        "https://shop.example/img/a%20b.jpg",
        "https://other.example/c.jpg",
        None,
    ]
    assert [(photo.split, photo.open) for photo in left] == [(Split.TRAIN, False), (None, True), (None, True)]
    assert left[2].path == own


def quarantined(dataset, tmp_path):
    checkup = check_up(dataset, StatisticsStore(tmp_path.parent / "cache"), lambda *_: None)
    check_quarantine(dataset.source, tmp_path / "aside")
    return quarantine(checkup, tmp_path / "aside")


def write_table(path, files):
    path.write_text("image,label\n" + "".join(f"{file},{file.parent.name}\n" for file in files))
    return path


def test_a_csv_that_is_called_like_the_log_is_not_overwritten(photos, tmp_path):
    data = photos / LOG
    data.write_text("image,label\nhat/page.jpg,hat\nhat/0.png,hat\nvase/1.png,vase\n")
    with pytest.raises(InputError, match="another folder"):
        check_quarantine(data, photos)
    assert moved_aside(data, tmp_path).kept_csv != tmp_path / "aside" / LOG
    assert bring_back(tmp_path / "aside").moved == 1


def test_a_quarantine_inside_the_data_or_at_a_file_is_refused(photos, tmp_path):
    with pytest.raises(InputError, match="outside"):
        check_quarantine(photos, photos / "aside")
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="is a file"):
        check_quarantine(photos, tmp_path / "file")


@pytest.mark.parametrize("log", [None, "what,is,this\n"])
def test_undo_needs_the_log_of_a_quarantine(tmp_path, log):
    if log:
        (tmp_path / LOG).write_text(log + "a,b,c\n")
    with pytest.raises(InputError, match=LOG):
        bring_back(tmp_path)
