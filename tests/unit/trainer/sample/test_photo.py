from collections import defaultdict

import numpy as np
import pytest

from trainer.sample.photo import PALETTE, choose_colours, choose_pose, colour_name, draw_photo, lightness
from trainer.sample.products import PRODUCTS


@pytest.mark.parametrize("product", PRODUCTS)
def test_a_product_fills_its_frame_and_stays_inside(product):
    for seed in range(30):
        rng = np.random.default_rng(seed)
        size = ((200, 200), (300, 225), (180, 240))[seed % 3]
        parts = PRODUCTS[product](rng)
        matrix, offset = choose_pose(rng, parts, size)
        points = np.concatenate([part.outline for part in parts]) @ matrix + offset
        assert (points >= 0).all()
        assert (points <= size).all()
        assert (np.ptp(points, axis=0) / size).max() > 0.7


def test_a_product_stands_out_from_any_backdrop():
    for backdrop in PALETTE:
        for seed in range(5):
            body, second, trim = choose_colours(np.random.default_rng(seed), backdrop)
            assert min(abs(lightness(one) - lightness(backdrop)) for one in (body, second)) > 0.33
            assert min(abs(lightness(trim) - lightness(one)) for one in (backdrop, body)) > 0.17


def test_a_colour_is_what_most_of_a_product_shows():
    """Photos of red products are redder than the others, those of blue ones bluer: the names are not mixed up."""
    shown = defaultdict(list)
    for number in range(40):
        photo = draw_photo(np.random.default_rng([5, number]), "cushion")
        inside = np.asarray(photo.image, float)[np.asarray(photo.coverage) == 255]
        shown[colour_name(photo.body)].append(np.median(inside, axis=0))
    red, blue = (np.mean(shown[name], axis=0) for name in ("red", "blue"))
    assert red[0] > red[2]
    assert blue[2] > blue[0]
