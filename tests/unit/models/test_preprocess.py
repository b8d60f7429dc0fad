import struct
import tracemalloc
import zlib
from io import BytesIO

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from models.errors import ImageError
from models.fit import Fit
from models.preprocess import PreprocessSpec, preprocess, preprocess_image, whole_pixels
from tests.unit.models.pictures import PAD, RED_IS_BLUE, SIZE, SRGB, STORED, distance, encoded, sixteen_bit

STRETCH = PreprocessSpec(size=SIZE, fit=Fit.STRETCH)
CROP = PreprocessSpec(size=SIZE, fit=Fit.CROP)
COLOUR = st.tuples(*[st.integers(0, 255)] * 3)


@pytest.mark.parametrize(
    ("mode", "file_format"),
    [
        ("RGB", "PNG"), ("RGB", "JPEG"), ("RGB", "WEBP"), ("RGB", "AVIF"), ("RGB", "BMP"),
        ("RGB", "PPM"), ("L", "JPEG"), ("L", "GIF"), ("LA", "PNG"), ("P", "PNG"), ("P", "GIF"),
        ("RGBA", "PNG"), ("RGBA", "WEBP"), ("CMYK", "JPEG"), ("CMYK", "TIFF"), ("YCbCr", "JPEG"),
        ("1", "PNG"), ("1", "TIFF"), ("I;16", "PNG"), ("I;16", "TIFF"),
    ],
)  # fmt: skip
def test_every_pixel_mode_gives_the_same_rgb_pixels(halves, mode, file_format):
    image = sixteen_bit(halves) if mode == "I;16" else halves.convert("RGB").convert(mode)
    pixels = preprocess(encoded(image, file_format), STRETCH)
    assert (pixels.dtype, pixels.shape) == (np.uint8, (SIZE, SIZE, 3))
    assert distance(pixels[:, :14], np.zeros(3)) < 4
    assert distance(pixels[:, 18:], np.full(3, 255)) < 4


@pytest.mark.parametrize("mode", ["YCbCr", "HSV", "LAB", "PA", "La", "RGBa", "RGBX", "I;16B", "I"])
def test_a_pillow_image_of_a_rare_mode_gives_pixels(mode):
    assert preprocess_image(Image.new(mode, (20, 30)), PAD).shape == (SIZE, SIZE, 3)


def test_floating_point_samples_are_refused():
    with pytest.raises(ImageError, match="32-bit floating point"):
        preprocess(encoded(Image.new("F", (20, 20)), "TIFF"), PAD)


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
@pytest.mark.parametrize("tag", STORED)
def test_a_turned_photo_is_seen_upright(quarters, tag, file_format):
    turn = STORED[tag]
    stored = quarters if turn is None else quarters.transpose(turn)
    exif = Image.Exif()
    exif[0x0112] = tag
    pixels = preprocess(encoded(stored, file_format, exif=exif), PAD)
    assert distance(pixels, preprocess(encoded(quarters), PAD)) < 4


def test_an_orientation_in_a_pillow_image_is_honoured(quarters):
    exif = Image.Exif()
    exif[0x0112] = 6
    with Image.open(BytesIO(encoded(quarters.transpose(STORED[6]), exif=exif))) as image:
        assert np.array_equal(preprocess_image(image, PAD), preprocess_image(quarters, PAD))


@pytest.mark.parametrize("exif", [b"Exif\0\0", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff", b"Exif\0\0II*\0\xff\xff\xff\xff"])
def test_a_damaged_exif_block_says_nothing(quarters, exif):
    assert np.array_equal(
        preprocess(encoded(quarters, "JPEG", exif=exif), PAD), preprocess(encoded(quarters, "JPEG"), PAD)
    )


@pytest.mark.parametrize(
    ("mode", "file_format"),
    [("RGBA", "PNG"), ("RGBA", "WEBP"), ("RGBA", "TIFF"), ("LA", "PNG"), ("P", "PNG"), ("RGBA", "GIF")],
)
def test_what_is_transparent_is_white(cut_out, mode, file_format):
    image = cut_out.quantize() if mode == "P" else cut_out.convert(mode)
    pixels = preprocess(encoded(image, file_format), PAD)
    assert (pixels[:, 18:] == 255).all()
    assert (pixels[:, :14, :2] < 80).all()


@pytest.mark.parametrize(("mode", "key"), [("RGB", (255, 0, 0)), ("L", 255), ("1", 1)])
def test_a_colour_marked_as_transparent_is_white(mode, key):
    image = Image.new(mode, (64, 64))
    image.paste(key, (32, 0, 64, 64))
    pixels = preprocess(encoded(image, transparency=255 if mode == "1" else key), PAD)
    assert (pixels[:, 18:] == 255).all()
    assert (pixels[:, :14] == 0).all()


def test_a_transparent_colour_does_not_bleed_into_its_neighbour(cut_out):
    red, _, blue = np.moveaxis(preprocess(encoded(cut_out), PAD).astype(int), 2, 0)
    assert (blue == 255).all()
    assert (np.diff(red, axis=1) >= 0).all(), "from blue to white there is no way through red"


CURVE = SRGB.index(b"para")
LINEAR = SRGB[:CURVE] + b"para" + struct.pack(">III", 0, 0, 0x0001_0000) + SRGB[CURVE + 16 :]
LINEAR_GREY = LINEAR.replace(b"RGB XYZ ", b"GRAYXYZ ").replace(b"rTRC", b"kTRC")


@pytest.mark.parametrize("file_format", ["PNG", "JPEG", "WEBP", "TIFF", "AVIF"])
@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_a_colour_profile_is_converted_to_srgb(mode, file_format):
    if mode == "RGBA" and file_format == "JPEG":
        mode = "RGB"
    red = Image.new("RGB", (64, 64), (200, 30, 30)).convert(mode)
    pixels = preprocess(encoded(red, file_format, icc_profile=RED_IS_BLUE), PAD)
    assert distance(pixels, np.array((30, 30, 200))) < 3


@pytest.mark.parametrize(("mode", "profile"), [("RGB", LINEAR), ("P", LINEAR), ("L", LINEAR_GREY)])
def test_half_the_light_is_188_in_srgb(mode, profile):
    grey = Image.new("L", (64, 64), 128).convert(mode)
    pixels = preprocess(encoded(grey, icc_profile=profile), PAD)
    assert distance(pixels, np.full(3, 188)) <= 1


@pytest.mark.parametrize("size", [1_000_000, 5_000_000])
def test_many_large_profiles_are_not_kept_and_convert_as_small_ones(size):
    red = Image.new("RGB", (64, 64), (200, 30, 30))
    expected = preprocess(encoded(red, "TIFF", icc_profile=RED_IS_BLUE), PAD)
    tracemalloc.start()
    for number in range(12):
        profile = struct.pack(">I", len(RED_IS_BLUE) + size) + RED_IS_BLUE[4:] + number.to_bytes(size, "big")
        assert np.array_equal(preprocess(encoded(red, "TIFF", icc_profile=profile), PAD), expected)
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept < 3 * size


def test_an_srgb_profile_changes_nothing(quarters):
    assert np.array_equal(preprocess(encoded(quarters, icc_profile=SRGB), PAD), preprocess(encoded(quarters), PAD))


@pytest.mark.parametrize(
    ("mode", "profile"),
    [("RGB", b"no profile"), ("RGB", RED_IS_BLUE[:200]), ("RGB", LINEAR_GREY), ("L", LINEAR), ("CMYK", LINEAR)],
)
def test_a_profile_that_is_damaged_or_of_another_colour_space_changes_nothing(quarters, mode, profile):
    image = quarters.convert(mode)
    assert np.array_equal(
        preprocess(encoded(image, "TIFF", icc_profile=profile), PAD), preprocess(encoded(image, "TIFF"), PAD)
    )


@pytest.mark.parametrize("byte_order", ["<", ">"])
def test_sixteen_bits_of_grey_are_scaled_and_not_clipped(byte_order):
    ramp = np.linspace(0, 65_535, SIZE, dtype=np.uint16)
    image = Image.fromarray(np.tile(ramp, (SIZE, 1)).astype(f"{byte_order}u2"))
    pixels = preprocess(encoded(image, "TIFF"), PAD)
    assert np.abs(pixels[0, :, 0] - ramp / 257).max() <= 1
    assert (pixels == pixels[:1, :, :1]).all()


@given(width=st.integers(1, 300), height=st.integers(1, 300))
def test_pad_keeps_the_shape_and_the_middle(width, height):
    painted = (preprocess_image(Image.new("RGB", (width, height), "red"), PAD) == (255, 0, 0)).all(axis=2)
    rows, columns = np.flatnonzero(painted.any(axis=1)), np.flatnonzero(painted.any(axis=0))
    assert painted.sum() == len(rows) * len(columns)
    assert max(len(rows), len(columns)) == SIZE
    assert abs(len(columns) / SIZE - width / max(width, height)) <= 1 / SIZE
    assert abs(len(rows) / SIZE - height / max(width, height)) <= 1 / SIZE
    assert abs(rows[0] - (SIZE - 1 - rows[-1])) <= 1
    assert abs(columns[0] - (SIZE - 1 - columns[-1])) <= 1


@given(width=st.integers(1, 300), height=st.integers(1, 300), spec=st.sampled_from([STRETCH, CROP]), colour=COLOUR)
def test_stretch_and_crop_fill_the_square(width, height, spec, colour):
    assert (preprocess_image(Image.new("RGB", (width, height), colour), spec) == colour).all()


@pytest.fixture(scope="module")
def three_bands():
    image = Image.new("RGB", (300, 100), "lime")
    image.paste("red", (0, 0, 100, 100))
    image.paste("blue", (200, 0, 300, 100))
    return image


def test_crop_takes_the_middle_square(three_bands):
    lime = (0, 255, 0)  # but for the outermost pixels, which the filter mixes with their neighbours
    assert (preprocess_image(three_bands, CROP)[:, 1:-1] == lime).all()
    assert (preprocess_image(three_bands.transpose(Image.Transpose.ROTATE_90), CROP)[1:-1] == lime).all()


@pytest.mark.parametrize("spec", [PAD, STRETCH, CROP], ids=["pad", "stretch", "crop"])
def test_a_pattern_finer_than_a_pixel_becomes_grey(spec):
    board = Image.fromarray((np.indices((256, 256)).sum(axis=0) % 2 * 255).astype(np.uint8))
    assert np.abs(preprocess_image(board, spec).astype(int) - 127).max() <= 2


@pytest.mark.parametrize("size", [(5000, 1), (1, 5000), (1, 1)])
@pytest.mark.parametrize("file_format", ["PNG", "JPEG"])
@pytest.mark.parametrize("spec", [PAD, STRETCH, CROP], ids=["pad", "stretch", "crop"])
def test_a_photo_one_pixel_thin_is_still_seen(spec, file_format, size):
    pixels = preprocess(encoded(Image.new("RGB", size, "black"), file_format), spec)
    inked = (pixels < 10).all(axis=2).sum()
    assert inked == (SIZE if spec is PAD and size != (1, 1) else SIZE * SIZE)


def test_an_image_without_pixels_is_refused():
    with pytest.raises(ImageError, match="at least one pixel, got 5×0"):
        preprocess_image(Image.new("RGB", (5, 0)), PAD)


def png_chunk(kind, contents):
    return struct.pack(">I", len(contents)) + kind + contents + struct.pack(">I", zlib.crc32(kind + contents))


def test_a_grey_of_sixteen_bits_that_is_marked_as_transparent_is_white():
    samples = np.full((8, 16), 32_768, np.uint16)
    samples[:, 8:] = 32_769  # the same in 8 bits, and not transparent
    png = encoded(Image.fromarray(samples))
    marked = png[:33] + png_chunk(b"tRNS", struct.pack(">H", 32_768)) + png[33:]
    assert whole_pixels(marked)[0, [0, 15], 0].tolist() == [255, 128]


def test_a_colour_of_sixteen_bits_that_is_marked_as_transparent_is_white():
    row = b"\0" + struct.pack(">6H", 0x1234, 0x5678, 0x9ABC, 0x4321, 0x5678, 0x9ABC)
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", 2, 1, 16, 2, 0, 0, 0))
    chunks = header + png_chunk(b"tRNS", row[1:7]) + png_chunk(b"IDAT", zlib.compress(row)) + png_chunk(b"IEND", b"")
    assert whole_pixels(b"\x89PNG\r\n\x1a\n" + chunks)[0].tolist() == [[255, 255, 255], [0x43, 0x56, 0x9A]]
