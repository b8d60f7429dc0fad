import io

import numpy as np
import pytest
from PIL import Image

from trainer.report.pictures import train_batch_jpeg


def opened(jpeg: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(jpeg))
    assert image.format == "JPEG"
    return image.convert("RGB")


def coloured(count: int, dtype: type = np.uint8) -> np.ndarray:
    return np.stack([np.full((32, 32, 3), (200, 30 * (n % 8), 0), dtype) for n in range(count)])


def test_each_photo_is_in_the_picture() -> None:
    image = opened(train_batch_jpeg(coloured(8), ["hat"] * 8))
    for place in range(8):
        row, column = divmod(place, 6)
        seen = image.getpixel((8 + column * 168 + 80, 8 + row * 206 + 80))
        np.testing.assert_allclose(seen, (200, 30 * place, 0), atol=6)


def test_no_more_than_36_photos_are_shown() -> None:
    many, some = train_batch_jpeg(coloured(64), ["hat"] * 64), train_batch_jpeg(coloured(36), ["hat"] * 36)
    assert opened(many).size == opened(some).size
    assert many == some


def test_pixels_of_the_network_are_brought_back_into_range() -> None:
    pixels = np.stack([np.full((16, 16, 3), 300.0, np.float32), np.full((16, 16, 3), -40.0, np.float32)])
    image = opened(train_batch_jpeg(pixels, ["hat", "hat"]))
    assert image.getpixel((88, 88))[0] > 250
    assert image.getpixel((8 + 168 + 80, 88))[0] < 5


@pytest.mark.parametrize("caption", ["hat", "帽子", "x" * 500, "", "two\nlines\nthree"])
def test_a_caption_stays_under_its_photo(caption) -> None:
    plain = np.asarray(opened(train_batch_jpeg(coloured(2), ["", ""])), int)
    drawn = np.asarray(opened(train_batch_jpeg(coloured(2), [caption, ""])), int)
    changed = np.argwhere(np.abs(drawn - plain).max(axis=2) > 40)
    assert bool(len(changed)) == bool(caption)
    if len(changed):
        assert changed[:, 0].min() >= 8 + 158
        assert changed[:, 0].max() < 8 + 160 + 22
        assert changed[:, 1].max() < 8 + 160 + 2


def test_the_picture_is_small_however_large_the_photos_are() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (36, 320, 320, 3), np.uint8)
    assert len(train_batch_jpeg(noise, ["hat"] * 36)) < 1_000_000


def test_an_empty_batch_is_an_empty_picture() -> None:
    assert opened(train_batch_jpeg(coloured(1)[:0], [])).size[0] > 0
