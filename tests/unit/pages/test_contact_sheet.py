from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pages.contact_sheet import draw_contact_sheet
from pages.tiles import LabelledPhoto, PagePhoto

STEP_X, STEP_Y, GAP, TILE, CAPTION = 170, 225, 10, 160, 55


def draw(folder: Path, *photos: LabelledPhoto) -> np.ndarray:
    draw_contact_sheet(photos, folder / "sheet.png")
    with Image.open(folder / "sheet.png") as sheet:
        return np.asarray(sheet.convert("RGB")).astype(int)


def tile(sheet: np.ndarray, number: int) -> np.ndarray:
    row, column = divmod(number, 8)
    top, left = GAP + row * STEP_Y, GAP + column * STEP_X
    return sheet[top : top + TILE + CAPTION, left : left + TILE]


def test_a_tile_shows_its_photo_over_its_caption(tmp_path, photo) -> None:
    shown = tile(draw(tmp_path, LabelledPhoto(PagePhoto(photo), "labeled", "hat", "labeled 98.0%")), 0)
    assert (shown[:TILE] == (0, 0, 255)).all()
    assert (shown[TILE:, :4] == (43, 138, 62)).all()
    assert (shown[TILE:, 10:] < 100).any()


def test_a_tile_says_why_a_person_should_look(tmp_path, photo) -> None:
    shown = LabelledPhoto(PagePhoto(photo), "review", "hat", "review 98.0%", "unlike what the model knows")
    plain, told = (tile(draw(tmp_path, one), 0) for one in (replace(shown, why=""), shown))
    assert (plain[TILE + 37 :, 10:] == 255).all()
    assert (told[TILE + 37 :, 10:] != 255).any()
    assert (told[: TILE + 37] == plain[: TILE + 37]).all()


def test_failed_rows_come_last_and_are_framed_in_red(tmp_path, photo) -> None:
    failed = LabelledPhoto(None, "failed", "gone.jpg", "failed: missing")
    labelled = LabelledPhoto(PagePhoto(photo), "labeled", "hat", "labeled 98.0%")
    sheet = draw(tmp_path, failed, *[labelled] * 8)
    assert all((tile(sheet, number)[:TILE] == (0, 0, 255)).all() for number in range(8))
    last = tile(sheet, 8)
    assert (last[0] == (201, 42, 42)).all()
    assert (last[:, -1] == (201, 42, 42)).all()
    assert tuple(last[10, 10]) == (255, 236, 236)


@pytest.mark.parametrize(
    "text",
    [
        "w" * 100,
        "帽子" * 40,
        "ab\x00\x1b[31m\ncd\n\n\nef",
        "\ud800" * 30,
        "\u202eevil" * 30,
        "x" * 3_000_000,
        "",
        "👟 é",
    ],
)
def test_a_caption_stays_in_its_tile_whatever_it_says(tmp_path, photo, text) -> None:
    plain = draw(tmp_path, LabelledPhoto(PagePhoto(photo), "failed", "", ""))
    written = draw(tmp_path, LabelledPhoto(PagePhoto(photo), "failed", text, text))
    different = np.argwhere((plain != written).any(axis=2))
    assert bool(len(different)) is bool(text)
    if text:
        rows, columns = different[:, 0], different[:, 1]
        assert rows.min() >= GAP + TILE
        assert rows.max() < GAP + TILE + CAPTION - 2
        assert columns.max() < GAP + TILE - 2


def test_only_a_caption_that_does_not_fit_is_cut_and_three_dots_say_so(tmp_path, photo) -> None:
    whole, cut, short, spaced = (
        draw(tmp_path, LabelledPhoto(PagePhoto(photo), "labeled", title, ""))
        for title in ("winter boots", "winter boots, and many more of them", "a", "a" + " " * 100 + "b")
    )
    assert (whole[:, : GAP + 80] == cut[:, : GAP + 80]).all()
    assert (whole != cut).any()
    assert (short != spaced).any()


def test_what_cannot_be_read_is_no_picture(tmp_path) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"\xff\xd8\xff no photo")
    for path in (None, tmp_path / "gone.jpg", tmp_path, broken, tmp_path / "nul\x00.jpg", tmp_path / ("x" * 5000)):
        shown = tile(draw(tmp_path, LabelledPhoto(path and PagePhoto(path), "labeled", "hat", "")), 0)[:TILE]
        assert tuple(shown[5, 5]) == (255, 255, 255)
        assert (shown < 200).any(), "it says so"


def test_no_photos_make_an_empty_sheet(tmp_path) -> None:
    assert draw(tmp_path).size > 0
