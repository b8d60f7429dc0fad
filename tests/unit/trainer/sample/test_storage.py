from io import BytesIO

import numpy as np
import pytest
from PIL import Image, ImageOps

from trainer.sample.catalogue import STORAGE_DECK, FileFormat, PixelMode, Storage, encode
from trainer.sample.photo import Photo


@pytest.fixture
def photo():
    """Red at the top left, blue at the bottom, no side like another; the left half is product."""
    image = Image.new("RGB", (48, 32), "white")
    image.paste("red", (0, 0, 16, 16))
    image.paste("blue", (0, 24, 48, 32))
    coverage = Image.new("L", image.size)
    coverage.paste(255, (0, 0, 24, 32))
    return Photo(image, coverage)


def decoded(data):
    image = Image.open(BytesIO(data))
    image.load()
    return image


@pytest.mark.parametrize("tag", range(1, 9))
def test_a_reader_who_heeds_the_orientation_sees_the_photo_upright(photo, tag):
    image = decoded(encode(photo, Storage(FileFormat.JPEG, orientation=tag, quality=95)))
    assert image.size == ((48, 32) if tag < 5 else (32, 48))
    upright = np.asarray(ImageOps.exif_transpose(image), dtype=float)
    assert np.abs(upright - np.asarray(photo.image, dtype=float)).mean() < 8


@pytest.mark.parametrize("file_format", [FileFormat.PNG, FileFormat.WEBP])
def test_a_cut_out_is_clear_around_the_product(photo, file_format):
    image = decoded(encode(photo, Storage(file_format, PixelMode.CUT_OUT)))
    assert image.mode == "RGBA"
    assert np.array_equal(image.getchannel("A"), photo.coverage)


@pytest.mark.parametrize("storage", sorted(set(STORAGE_DECK), key=str), ids=str)
def test_every_card_of_the_deck_can_be_read_back(photo, storage):
    image = decoded(encode(photo, storage))
    assert image.format == storage.format.name
    assert image.mode == storage.mode.value
    assert sorted(image.size) == [32, 48]
