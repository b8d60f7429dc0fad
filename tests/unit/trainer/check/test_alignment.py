import numpy as np
import pytest
from PIL import Image

from trainer.check.alignment import fit_pairs
from trainer.sample.photo import draw_photo
from trainer.sample.products import PRODUCTS

SIDE = 64
WHOLE = (0.0, 0.0, 1.0, 1.0)


@pytest.fixture(scope="module")
def photos():
    return [draw_photo(np.random.default_rng([3, n]), product).image for n, product in enumerate(PRODUCTS)]


def copied(photo, box=WHOLE):
    edges = [share * side for share, side in zip(box, (photo.width, photo.height) * 2, strict=True)]
    return np.asarray(photo.resize((SIDE, SIDE), Image.Resampling.BILINEAR, box=edges)).astype(np.float32)


def fitted(firsts, seconds):
    return fit_pairs(np.stack(firsts), np.stack(seconds), np.tile(np.array(WHOLE, np.float32), (len(firsts), 1)))


@pytest.mark.parametrize("box", [WHOLE, (0.05, 0, 1, 1), (0.03, 0.05, 0.98, 0.96)])
def test_the_sides_of_a_cut_are_found(photos, box):
    fit = fitted([copied(photo) for photo in photos], [copied(photo, box) for photo in photos])
    assert np.abs(np.median(fit.boxes, axis=0) - box).max() <= 0.005
    assert np.median(fit.likeness) >= 0.98
    assert np.median(fit.difference) <= 3


def test_a_small_blot_is_the_worst_difference_and_another_colour_a_tint(photos):
    picture = copied(photos[0])
    blotted = picture.copy()
    blotted[20:28, 20:28] = 255 - blotted[20:28, 20:28]
    fit = fitted([picture] * 3, [blotted, picture[..., [1, 2, 0]], picture - 10])
    assert fit.difference[0] < 8
    assert fit.worst[0] > 32
    assert fit.tint[1] > 0.1 > 3 * fit.tint[2], (
        "another light is no tint; it moves the picture by a fraction of a pixel"
    )


def test_blank_pictures_give_numbers():
    blank = np.full((SIDE, SIDE, 3), 128, np.float32)
    fit = fitted([blank], [blank])
    assert fit.boxes == pytest.approx(np.array([WHOLE]))
    assert (fit.likeness, fit.difference, fit.worst, fit.tint) == (0, 0, 0, 0)
