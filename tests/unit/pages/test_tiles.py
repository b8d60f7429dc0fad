import numpy as np
from PIL import Image

from pages.tiles import photo_uri, thumbnail


def test_a_thumbnail_is_a_square(photo) -> None:
    image = thumbnail(photo, 50)
    assert image is not None
    assert image.size == (50, 50)


def test_a_picture_of_much_detail_is_no_larger_than_asked_for(tmp_path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (300, 300, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "noise.png")
    whole, small = (photo_uri(tmp_path / "noise.png", 140, most) or "" for most in (100_000, 4_400))
    assert len(whole) > 8_000
    assert 2_000 < len(small) < 4_400 * 4 / 3 + 100


def test_a_picture_that_need_not_be_smaller_is_not_worse(photo) -> None:
    assert photo_uri(photo, 140, 4_400) == photo_uri(photo, 140)
