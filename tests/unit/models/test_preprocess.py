import struct
import subprocess
import sys
import zlib
from io import BytesIO

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms
from pydantic import ValidationError

from models.errors import ImageError, ImageFault
from models.preprocess import (
    MAX_BYTES,
    Decode,
    Fit,
    PreprocessSpec,
    _draft_size,
    opened,
    orientation_of,
    preprocess,
    preprocess_image,
    whole_rgb,
)

SIZE = 32
PAD = PreprocessSpec(size=SIZE)
STRETCH = PreprocessSpec(size=SIZE, fit=Fit.STRETCH)
CROP = PreprocessSpec(size=SIZE, fit=Fit.CROP)
LOSSLESS = {"WEBP": {"lossless": True}, "JPEG": {"quality": 95, "subsampling": 0}, "AVIF": {"quality": 95}}
COLOUR = st.tuples(*[st.integers(0, 255)] * 3)


def encoded(image, file_format="PNG", **options):
    buffer = BytesIO()
    image.save(buffer, file_format, **LOSSLESS.get(file_format, {}), **options)
    return buffer.getvalue()


def distance(one, other):
    return np.abs(one.astype(int) - other.astype(int)).mean()


@pytest.fixture(scope="module")
def quarters():
    """No corner like another, no side like another."""
    image = Image.new("RGB", (240, 160), "red")
    image.paste("lime", (120, 0, 240, 80))
    image.paste("blue", (0, 80, 120, 160))
    image.paste("black", (120, 80, 240, 160))
    return image


@pytest.fixture(scope="module")
def halves():
    """Black on the left, white on the right: every mode can hold it."""
    image = Image.new("L", (64, 64), "black")
    image.paste("white", (32, 0, 64, 64))
    return image


def sixteen_bit(image):
    return Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257)


@pytest.mark.parametrize(
    ("mode", "file_format"),
    [
        ("RGB", "PNG"),
        ("RGB", "JPEG"),
        ("RGB", "WEBP"),
        ("RGB", "AVIF"),
        ("RGB", "BMP"),
        ("RGB", "PPM"),
        ("L", "JPEG"),
        ("L", "GIF"),
        ("LA", "PNG"),
        ("P", "PNG"),
        ("P", "GIF"),
        ("RGBA", "PNG"),
        ("RGBA", "WEBP"),
        ("CMYK", "JPEG"),
        ("CMYK", "TIFF"),
        ("YCbCr", "JPEG"),
        ("1", "PNG"),
        ("1", "TIFF"),
        ("I;16", "PNG"),
        ("I;16", "TIFF"),
    ],
)
def test_every_pixel_mode_gives_the_same_rgb_pixels(halves, mode, file_format):
    image = sixteen_bit(halves) if mode == "I;16" else halves.convert("RGB").convert(mode)
    pixels = preprocess(encoded(image, file_format), STRETCH)
    assert pixels.dtype == np.uint8
    assert pixels.shape == (SIZE, SIZE, 3)
    assert distance(pixels[:, :14], np.zeros(3)) < 4
    assert distance(pixels[:, 18:], np.full(3, 255)) < 4


@pytest.mark.parametrize("mode", ["YCbCr", "HSV", "LAB", "PA", "La", "RGBa", "RGBX", "I;16B", "I"])
def test_a_pillow_image_of_a_rare_mode_gives_pixels(mode):
    assert preprocess_image(Image.new(mode, (20, 30)), PAD).shape == (SIZE, SIZE, 3)


def test_floating_point_samples_are_refused():
    with pytest.raises(ImageError, match="32-bit floating point"):
        preprocess(encoded(Image.new("F", (20, 20)), "TIFF"), PAD)


def test_an_image_without_pixels_is_refused():
    with pytest.raises(ImageError, match="at least one pixel, got 5×0"):
        preprocess_image(Image.new("RGB", (5, 0)), PAD)


def test_the_callers_image_stays_as_it_was(quarters):
    before = quarters.copy()
    preprocess_image(quarters, PAD)
    assert quarters == before


STORED = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


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


@pytest.fixture(scope="module")
def cut_out():
    """Blue on the left; on the right red that nobody should see."""
    image = Image.new("RGBA", (64, 64), (0, 0, 255, 255))
    image.paste((255, 0, 0, 0), (32, 0, 64, 64))
    return image


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


@given(colour=COLOUR, alpha=st.integers(0, 255))
def test_a_veil_lets_its_share_of_white_through(colour, alpha):
    pixels = preprocess_image(Image.new("RGBA", (SIZE, SIZE), (*colour, alpha)), PAD)
    expected = np.array(colour) * alpha / 255 + 255 - alpha
    assert np.abs(pixels - expected).max() <= 1


SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
RED_IS_BLUE = SRGB.replace(b"rXYZ", b"----").replace(b"bXYZ", b"rXYZ").replace(b"----", b"bXYZ")
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


@pytest.mark.parametrize(
    ("size", "box"), [((60, 40), (0, 5, 32, 26)), ((40, 60), (5, 0, 26, 32)), ((8, 4), (0, 8, 32, 24))]
)
def test_pad_puts_the_photo_in_the_middle_of_white(size, box):
    expected = Image.new("RGB", (SIZE, SIZE), "white")
    expected.paste("red", box)
    assert np.array_equal(preprocess_image(Image.new("RGB", size, "red"), PAD), expected)


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


def test_stretch_keeps_the_whole_photo(three_bands):
    pixels = preprocess_image(three_bands, STRETCH)
    assert pixels[16, [2, 16, 29]].tolist() == [[255, 0, 0], [0, 255, 0], [0, 0, 255]]


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


def decoded_size(data, spec):
    """The size of the pixels that a JPEG is decoded into."""
    with opened(data) as image:
        if spec.decode is Decode.DCT:
            image.draft(image.mode, _draft_size(image.size, spec))
        image.load()
        return image.size


@pytest.mark.parametrize(
    ("decode", "floor", "side"), [(Decode.DCT, 1, 200), (Decode.DCT, 2, 400), (Decode.FULL, 1, 1600)]
)
def test_a_large_jpeg_is_decoded_no_larger_than_it_must_be(decode, floor, side):
    spec = PreprocessSpec(size=160, decode=decode, dct_floor=floor)
    assert decoded_size(encoded(Image.new("RGB", (1600, 1600)), "JPEG"), spec) == (side, side)


@settings(deadline=None)
@given(
    width=st.integers(1, 700),
    height=st.integers(1, 700),
    size=st.integers(16, 128),
    fit=st.sampled_from(Fit),
    floor=st.integers(1, 2),
)
def test_a_jpeg_is_never_decoded_below_its_floor(width, height, size, fit, floor):
    spec = PreprocessSpec(size=size, fit=fit, dct_floor=floor)
    decoded = decoded_size(encoded(Image.new("L", (width, height)), "JPEG"), spec)
    side = max if fit is Fit.PAD else min
    assert side(decoded) >= size * floor or decoded == (width, height)


@pytest.mark.parametrize("floor", [1, 2])
@pytest.mark.parametrize("fit", Fit)
def test_a_jpeg_decoded_small_looks_like_one_decoded_in_full(fit, floor):
    photo = encoded(Image.merge("RGB", [Image.radial_gradient("L").resize((640, 400))] * 3), "JPEG")
    small = preprocess(photo, PreprocessSpec(size=64, fit=fit, dct_floor=floor))
    assert distance(small, preprocess(photo, PreprocessSpec(size=64, fit=fit, decode=Decode.FULL))) < 2


FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "AVIF")
PHOTO = Image.radial_gradient("L").resize((120, 90)).convert("RGB")
SOUND = {**{name: encoded(PHOTO, name) for name in FORMATS}, "progressive": encoded(PHOTO, "JPEG", progressive=True)}


@settings(max_examples=25, deadline=None)
@given(share=st.floats(0.0, 0.95))
@pytest.mark.parametrize("kind", SOUND)
def test_a_photo_cut_short_is_unreadable(kind, share):
    with pytest.raises(ImageError) as caught:
        preprocess(SOUND[kind][: int(len(SOUND[kind]) * share)], PAD)
    assert caught.value.fault is ImageFault.UNREADABLE


@settings(max_examples=200, deadline=None)
@given(data=st.data())
@pytest.mark.parametrize("kind", SOUND)
def test_corrupt_bytes_raise_nothing_but_image_errors(kind, data):
    sound = SOUND[kind]
    start = data.draw(st.integers(0, len(sound) - 1) | st.integers(0, 64), label="start")
    noise = data.draw(st.binary(min_size=1, max_size=40), label="noise")
    dropped = data.draw(st.integers(0, 40), label="dropped")
    try:
        pixels = preprocess(sound[:start] + noise + sound[start + dropped :], PAD)
    except ImageError:
        return
    assert pixels.shape == (SIZE, SIZE, 3)


@given(st.binary(max_size=300))
def test_bytes_that_are_no_photo_raise_an_image_error(data):
    with pytest.raises(ImageError):
        preprocess(data, PAD)


def declares(file_format, side):
    """A few hundred bytes that promise a photo of side × side pixels."""
    small = encoded(Image.new("RGB", (4, 4)), file_format)
    if file_format == "BMP":
        return small[:18] + struct.pack("<ii", side, side) + small[26:]
    header = b"IHDR" + struct.pack(">II", side, side) + small[24:29]
    return small[:12] + header + struct.pack(">I", zlib.crc32(header)) + small[33:]


@pytest.mark.parametrize("side", [7_100, 10_000, 60_000])
@pytest.mark.parametrize("file_format", ["PNG", "BMP"])
def test_a_decompression_bomb_is_too_large(file_format, side):
    with pytest.raises(ImageError, match="50,000,000 pixels") as caught:
        preprocess(declares(file_format, side), PAD)
    assert caught.value.fault is ImageFault.TOO_LARGE


def test_more_than_the_most_bytes_are_too_large():
    with pytest.raises(ImageError, match="67,108,864 bytes, got 67,108,865") as caught:
        preprocess(bytes(MAX_BYTES + 1), PAD)
    assert caught.value.fault is ImageFault.TOO_LARGE


@pytest.mark.parametrize("file_format", ["EPS", "ICO", "PCX", "TGA"])
def test_pillows_rare_formats_are_refused(file_format):
    Image.init()
    with pytest.raises(ImageError, match="none of them"):
        preprocess(encoded(PHOTO, file_format), PAD)


@pytest.mark.parametrize("wrong", [{"size": 15}, {"size": 1025}, {"dct_floor": 3}, {"fit": "squeeze"}, {"mean": 0.5}])
def test_a_spec_out_of_bounds_is_refused(wrong):
    with pytest.raises(ValidationError):
        PreprocessSpec.model_validate({"size": 32, **wrong})


def whole(data):
    with opened(data) as image:
        return whole_rgb(image)


@pytest.mark.parametrize("file_format", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF"])
def test_an_opened_photo_is_not_decoded_yet(quarters, file_format):
    data = encoded(quarters, file_format)
    with opened(data) as image:
        assert (image.format, image.size) == (file_format, quarters.size)
    half = data[: len(data) // 2] if file_format in {"PNG", "JPEG", "BMP"} else data
    with opened(half) as image:
        assert image.size == quarters.size


def test_whatever_goes_wrong_with_an_opened_photo_is_an_image_error(quarters):
    with pytest.raises(ImageError, match="KeyError: 'plugin'") as caught, opened(encoded(quarters)):
        {}["plugin"]
    assert isinstance(caught.value.__cause__, KeyError)
    with pytest.raises(ImageError, match="truncated") as caught, opened(encoded(quarters, "BMP")[:-99]) as image:
        image.load()
    assert caught.value.fault is ImageFault.UNREADABLE
    with pytest.raises(ImageError) as caught, opened(encoded(quarters)):
        raise MemoryError
    assert caught.value.fault is ImageFault.TOO_LARGE


def test_an_image_error_inside_is_left_as_it_is(quarters):
    mine = ImageError("mine", ImageFault.TIMEOUT)
    with pytest.raises(ImageError) as caught, opened(encoded(quarters)):
        raise mine
    assert caught.value is mine


def test_a_keyboard_interrupt_inside_is_no_image_error(quarters):
    with pytest.raises(KeyboardInterrupt), opened(encoded(quarters)):
        raise KeyboardInterrupt


@pytest.mark.parametrize("data", [b"", b"<html>", b"\x89PNG\r\n\x1a\n"])
def test_what_is_no_photo_is_not_opened(data):
    with pytest.raises(ImageError, match="none of them"), opened(data):
        pytest.fail("it was opened")


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
@pytest.mark.parametrize("tag", STORED)
def test_a_whole_photo_is_upright_and_as_large_as_it_was(quarters, tag, file_format):
    turn = STORED[tag]
    exif = Image.Exif()
    exif[0x0112] = tag
    stored = quarters if turn is None else quarters.transpose(turn)
    upright = whole(encoded(stored, file_format, exif=exif))
    assert (upright.mode, upright.size) == ("RGB", quarters.size)
    assert distance(np.asarray(upright), np.asarray(quarters)) < 4


def test_a_lossless_whole_photo_is_every_pixel_of_it(quarters):
    assert np.array_equal(np.asarray(whole(encoded(quarters))), np.asarray(quarters))


@pytest.mark.parametrize(
    ("mode", "file_format"),
    [("L", "PNG"), ("P", "GIF"), ("1", "PNG"), ("CMYK", "TIFF"), ("I;16", "PNG"), ("LA", "PNG")],
)
def test_a_whole_photo_is_rgb_whatever_it_was(halves, mode, file_format):
    image = sixteen_bit(halves) if mode == "I;16" else halves.convert("RGB").convert(mode)
    found = whole(encoded(image, file_format))
    assert (found.mode, found.size) == ("RGB", (64, 64))
    assert distance(np.asarray(found), np.asarray(halves.convert("RGB"))) < 4


def test_under_a_whole_cut_out_lies_white(cut_out):
    pixels = np.asarray(whole(encoded(cut_out)))
    assert (pixels[:, 32:] == 255).all()
    assert (pixels[:, :32] == (0, 0, 255)).all()


def test_a_whole_photo_is_in_srgb():
    red = Image.new("RGB", (64, 64), (200, 30, 30))
    assert distance(np.asarray(whole(encoded(red, icc_profile=RED_IS_BLUE))), np.array((30, 30, 200))) < 3


@settings(deadline=None)
@given(width=st.integers(1, 200), height=st.integers(1, 200), seed=st.integers(0, 99))
def test_a_whole_photo_is_what_the_network_sees_but_for_its_size(width, height, seed):
    noise = Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8))
    data = encoded(noise)
    assert np.array_equal(preprocess_image(whole(data), PAD), preprocess(data, PAD))


@pytest.mark.parametrize(
    ("tag", "orientation"), [*((tag, tag) for tag in range(1, 9)), (0, 1), (9, 1), (600, 1), (None, 1)]
)
def test_an_orientation_is_one_of_eight(quarters, tag, orientation):
    exif = Image.Exif()
    if tag is not None:
        exif[0x0112] = tag
    with opened(encoded(quarters, "JPEG", exif=exif)) as image:
        assert orientation_of(image) == orientation


@pytest.mark.parametrize("exif", [b"Exif\0\0", b"Exif\0\0garbage", b"Exif\0\0II*\0\xff\xff\xff\xff"])
@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP"])
def test_a_damaged_exif_block_is_upright(quarters, exif, file_format):
    with opened(encoded(quarters, file_format, exif=exif)) as image:
        assert orientation_of(image) == 1


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "TIFF", "AVIF"])
def test_the_first_photo_of_a_process_may_be_of_any_format(tmp_path, kind):
    """Pillow's plugins are loaded when they are needed."""
    Image.linear_gradient("L").convert("RGB").save(tmp_path / "photo", format=kind)
    code = (
        "import pathlib, sys; from models.preprocess import PreprocessSpec, preprocess\n"
        "print(preprocess(pathlib.Path(sys.argv[1]).read_bytes(), PreprocessSpec(size=16)).sum())"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "photo"], capture_output=True, text=True, check=True)
    assert int(done.stdout) == preprocess((tmp_path / "photo").read_bytes(), PreprocessSpec(size=16)).sum()
