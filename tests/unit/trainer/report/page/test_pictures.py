import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

from trainer.report.page.matrix_picture import blocks_of, matrix_picture
from trainer.report.page.overlay import overlay


def dots(places: list[tuple[int, int]], shades: list[float], classes: int) -> np.ndarray:
    element = matrix_picture(np.array(places), np.array(shades), classes, "photos")
    png = base64.b64decode(re.findall(r"base64,([^\"]+)", element)[0])
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGBA"), int)


def test_what_is_right_differs_in_colour_and_what_is_more_in_opacity() -> None:
    seen = dots([(0, 0), (1, 1), (1, 2), (2, 0)], [1.0, 0.5, 0.5, 0.1], 30)
    assert seen.shape == (30, 30, 4)
    assert seen[0, 0, 3] == 255
    assert seen[0, 0, 3] > seen[1, 1, 3] == seen[1, 2, 3] > seen[2, 0, 3] > 60
    assert seen[0, 1, 3] == 0
    right, wrong = seen[1, 1], seen[1, 2]
    assert right[2] > right[0]
    assert wrong[0] > wrong[2]


@pytest.mark.parametrize(("classes", "side"), [(250, 250), (251, 126), (1000, 250), (5001, 239)])
def test_the_picture_stays_small_and_loses_no_mistake(classes, side) -> None:
    last = classes - 1
    seen = dots([(last, last), (last, 0)], [1.0, 0.01], classes)
    assert seen.shape[:2] == (side, side)
    assert side == -(-classes // blocks_of(classes))
    assert seen[-1, -1, 3] == 255
    assert seen[-1, 0, 3] > 60
    assert np.count_nonzero(seen[..., 3]) == 2


def test_heat_colours_what_is_hot_and_leaves_the_rest_grey() -> None:
    photo = np.random.default_rng(3).integers(0, 256, (16, 16, 3), np.uint8)
    heat = np.zeros((16, 16), np.float32)
    heat[:4, :4] = 1.0
    seen = overlay(photo, heat).astype(int)
    assert overlay(photo, heat).dtype == np.uint8
    assert np.ptp(seen[4:, 4:], axis=2).max() == 0
    assert np.ptp(seen[:4, :4], axis=2).min() > 60
    grey = np.asarray(Image.fromarray(photo).convert("L"), int)
    np.testing.assert_allclose(seen[4:, 4:, 0], grey[4:, 4:], atol=1)
