import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from trainer.check.near import find_near, joined
from trainer.data.photo_files import COPY_SIDE
from trainer.sample.photo import draw_photo
from trainer.sample.products import PRODUCTS

COUNT = 64


def draw(number):
    product = tuple(PRODUCTS)[number % len(PRODUCTS)]
    return draw_photo(np.random.default_rng([11, number]), product, cut_out=number % 2 == 0).image.convert("RGB")


def copied(image):
    return np.asarray(image.convert("RGB").resize((COPY_SIDE, COPY_SIDE), Image.Resampling.BILINEAR))


def encoded(image, quality):
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return Image.open(file)


def cropped(image, left, top, right, bottom):
    width, height = image.size
    return encoded(
        image.crop((int(left * width), int(top * height), int((1 - right) * width), int((1 - bottom) * height))), 85
    )


def recoloured(image, degrees):
    hue, saturation, value = image.convert("HSV").split()
    turned = hue.point([(shade + round(degrees * 256 / 360)) % 256 for shade in range(256)])
    return Image.merge("HSV", (turned, saturation, value)).convert("RGB")


def colourful(image):
    """Whether a fair part of a photo has a colour; grey things have no hue."""
    pixels = np.asarray(image).astype(np.int16)
    return np.ptp(pixels, axis=2).mean() >= 25


def near(copies, **options):
    pixels = np.stack(copies)
    return find_near(len(pixels), lambda places: pixels[list(places)], lambda _: None, **options)


def ends(pairs):
    return {(pair.first, pair.second) for pair in pairs}


@pytest.fixture(scope="module")
def photos():
    return [draw(number) for number in range(COUNT)]


@pytest.fixture(scope="module")
def copies(photos):
    return [copied(photo) for photo in photos]


EDITS = {
    "saved at quality 30": lambda photo: encoded(photo, 30),
    "halved": lambda photo: encoded(photo.resize((photo.width // 2, photo.height // 2)), 80),
    "4% off all sides": lambda photo: cropped(photo, 0.04, 0.04, 0.04, 0.04),
    "9% off the top": lambda photo: cropped(photo, 0, 0.09, 0, 0),
}


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS.keys())
def test_an_edited_photo_is_found_and_nothing_else(photos, copies, edit):
    found = ends(near([*copies, *(copied(edit(photo)) for photo in photos)]))
    wanted = {(number, COUNT + number) for number in range(COUNT)}
    assert found <= wanted
    assert len(found) >= 0.9 * COUNT


def test_the_same_photo_in_another_colour_is_no_pair(photos):
    chosen = [photo for photo in photos if colourful(photo)]
    assert len(chosen) >= 12
    assert near([copied(photo) for photo in chosen] + [copied(recoloured(photo, 40)) for photo in chosen]) == []
    colours = [copied(recoloured(chosen[0], degrees)) for degrees in range(30, 360, 30)]
    found = ends(near([copied(chosen[0]), *colours, copied(cropped(chosen[0], 0.05, 0.05, 0, 0))]))
    assert (0, 12) in found, "twelve colours do not hide a twin"


def test_crowds_of_which_each_sees_itself_alone_are_joined(photos):
    rng = np.random.default_rng(1)
    cuts = [(0.02 * a, 0.02 * b, 0.02 * c, 0) for a in (0, 1) for b in (0, 1) for c in (0, 1)]
    versions = [copied(cropped(photos[7], *cut)).astype(np.int16) for cut in cuts]
    crowded = [
        (version + rng.integers(-1, 2, version.shape)).clip(0, 255).astype(np.uint8)
        for version in versions
        for _ in range(8)
    ]
    groups = joined(len(crowded), [(pair.first, pair.second) for pair in near(crowded)])
    assert set(groups) == {0}


def test_an_index_in_cells_finds_pairs_as_well(photos, copies, monkeypatch):
    """The index uses cells for more than 4,096 photos, and here for more than 100."""
    monkeypatch.setattr("trainer.check.near._EXACT_SEARCH", 100)
    pieces = [copied(photo.crop((0, 0, photo.width // 2, photo.height // 2))) for photo in photos]
    twins = [copied(cropped(photo, 0.04, 0.02, 0, 0.05)) for photo in photos]
    found = ends(near([*copies, *twins, *pieces]))
    assert len(found & {(number, COUNT + number) for number in range(COUNT)}) >= 0.9 * COUNT
    assert not {pair for pair in found if pair[1] < 2 * COUNT and pair[1] - pair[0] != COUNT}


@given(st.lists(st.tuples(st.integers(0, 14), st.integers(0, 14)), max_size=30))
def test_joined_is_the_smallest_equivalence_that_holds_the_links(links):
    groups = joined(15, links).tolist()
    assert all(groups[one] == groups[other] for one, other in links)
    assert len(set(groups)) >= 15 - len({tuple(sorted(link)) for link in links if link[0] != link[1]})
    firsts = [groups.index(group) for group in sorted(set(groups))]
    assert firsts == sorted(firsts)
