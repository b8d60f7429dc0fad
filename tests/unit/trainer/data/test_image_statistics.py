from io import BytesIO

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageDraw, ImageFilter

from trainer.data.photo_files import COPY_SIDE, SAMPLED, measure_photo

ORIENTATION = 0x0112
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


@pytest.fixture
def seen(encode):
    """The statistics of an image, encoded with these options."""

    def of(image, file_format="PNG", **options):
        return measure_photo(encode(image, file_format, **options))[0]

    return of


@pytest.fixture(scope="module")
def ramp():
    """An even ramp of all greys."""
    return Image.fromarray(np.tile(np.arange(256, dtype=np.uint8), (128, 1))).convert("RGB")


def turned(tag):
    exif = Image.Exif()
    exif[ORIENTATION] = tag
    return exif


def test_an_ordinary_photo(encode, tiles):
    data = encode(tiles(), "JPEG", quality=95)
    found, copy = measure_photo(data)
    assert (found.format, found.mode, found.width, found.height) == ("JPEG", "RGB", 120, 90)
    assert found.bytes == len(data)
    assert found.orientation == 1
    assert [found.exif, found.animated, found.transparent, found.grey] == [False] * 4
    with Image.open(BytesIO(data)) as image:
        assert np.array_equal(copy, np.asarray(image.resize((COPY_SIDE, COPY_SIDE), Image.Resampling.BILINEAR)))


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_a_turned_photo_is_measured_upright(seen, tiles, file_format):
    for tag in (1, 3, 6, 8):
        found = seen(tiles(), file_format, exif=turned(tag))
        assert found.orientation == tag
        assert (found.width, found.height) == ((90, 120) if tag > 4 else (120, 90))


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_exif_is_what_a_camera_adds(seen, tiles, file_format):
    exif = Image.Exif()
    exif[0x010F] = "Maker"
    assert seen(tiles(), file_format, exif=exif).exif
    assert not seen(tiles(), file_format).exif


@pytest.mark.parametrize("file_format", ["GIF", "WEBP", "PNG", "TIFF", "AVIF"])
def test_several_pictures_in_a_file_are_animated(seen, tiles, file_format):
    assert seen(tiles(), file_format, save_all=True, append_images=[tiles(1), tiles(2)]).animated
    assert not seen(tiles(), file_format).animated


@pytest.mark.parametrize("file_format", ["PNG", "WEBP", "TIFF", "GIF"])
def test_what_shines_through_is_transparent(seen, tiles, file_format):
    image = tiles().convert("RGBA")
    assert not seen(image, file_format).transparent, "an alpha channel that hides nothing"
    image.paste((0, 0, 0, 0), (0, 0, 30, 30))
    assert seen(image, file_format).transparent


def test_a_grey_jpeg_in_colour_is_grey_and_a_tinted_one_is_not(seen, ramp):
    assert seen(ramp, "JPEG", quality=60).grey
    sepia = Image.fromarray((np.asarray(ramp) * [1.0, 0.95, 0.82]).astype(np.uint8))
    assert not seen(sepia, "JPEG", quality=95).grey


def test_brightness_is_that_of_the_darkest_and_the_brightest_pixels(seen, ramp):
    found = seen(ramp)
    assert (found.brightness_5, found.brightness_99) == pytest.approx((0.05, 0.99), abs=0.005)
    large = Image.new("RGB", (1200, 800), "white")
    assert large.width * large.height > SAMPLED
    large.paste("black", (0, 700, 1200, 800))
    assert (seen(large).brightness_5, seen(large).brightness_99) == (0.0, 1.0), "of all of a large photo"
    for colour, brightness in (("red", 0.241), ("lime", 0.691), ("blue", 0.068)):
        plain = seen(Image.new("RGB", (64, 64), colour))
        assert plain.brightness_5 == plain.brightness_99 == pytest.approx(brightness**0.5, abs=1e-4)


def test_an_edge_between_colours_of_one_lightness_is_steep_until_it_is_blurred(seen):
    shirt = Image.new("RGB", (400, 400), (200, 60, 120))
    ImageDraw.Draw(shirt).rectangle((100, 100, 300, 300), fill=(60, 120, 140))
    assert seen(shirt).edges < 30
    assert seen(shirt).steepest > 50
    assert seen(shirt.filter(ImageFilter.GaussianBlur(4))).steepest < 36


def test_the_border_is_the_outermost_pixels(seen):
    framed = Image.new("RGB", (640, 640), (10, 20, 30))
    ImageDraw.Draw(framed).rectangle((30, 30, 609, 609), fill="white")
    found = seen(framed)
    assert (found.border_red, found.border_green, found.border_blue) == (10, 20, 30)


LOSSLESS = {"PNG": {}, "BMP": {}, "WEBP": {"lossless": True}, "TIFF": {"compression": "tiff_lzw"}, "PPM": {}}


def test_the_digest_is_of_the_upright_pixels_however_they_are_stored(seen, tiles):
    camera = turned(6)
    camera[0x010F] = "Maker"
    turned_photo = tiles().transpose(Image.Transpose.ROTATE_90)
    stored = [seen(tiles(), file_format, **options) for file_format, options in LOSSLESS.items()]
    stored.append(seen(turned_photo, exif=camera, icc_profile=SRGB, dpi=(300, 300)))
    assert len({one.pixels for one in stored}) == 1
    other = tiles()
    red, green, blue = other.getpixel((5, 5))
    other.putpixel((5, 5), (red ^ 1, green, blue))
    assert not {seen(other).pixels, seen(turned_photo).pixels} & {stored[0].pixels}
    assert seen(Image.new("RGB", (20, 30))).pixels != seen(Image.new("RGB", (30, 20))).pixels


def test_a_jpeg_too_large_to_be_decoded_in_full_has_its_own_size(monkeypatch):
    buffer = BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.linear_gradient("L").resize((301, 200)).save(buffer, "JPEG", exif=exif)
    whole, _ = measure_photo(buffer.getvalue())
    monkeypatch.setattr("models.preprocess.MAX_PIXELS", 20_000)
    reduced, _ = measure_photo(buffer.getvalue())
    assert (reduced.width, reduced.height) == (whole.width, whole.height) == (200, 301)
    assert reduced.pixels != whole.pixels


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP"])
@pytest.mark.filterwarnings("ignore")  # Pillow warns of odd metadata as it writes it
def test_a_photo_with_a_damaged_exif_block_is_as_usable_as_for_labelling(seen, tiles, file_format):
    for block in (b"", b"garbage", b"MM\0*\0\0\0\x08\xff\xff", b"II*\0\xff\xff\xff\xff"):
        found = seen(tiles(), file_format, exif=b"Exif\0\0" + block)
        assert (found.orientation, found.exif) == (1, False)
