"""One photo, several models: each gets the same pixels as alone, with as few decodings as possible."""

from collections.abc import Callable, Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageFile

from models.errors import ImageError
from models.fit import Decode, Fit
from models.preprocess import EncodedPhoto, PreprocessSpec, preprocess
from tests.unit.models.pictures import RED_IS_BLUE, STORED, encoded, sixteen_bit

SPECS = [
    PreprocessSpec(size=16),
    PreprocessSpec(size=40, dct_floor=2),
    PreprocessSpec(size=33, fit=Fit.CROP),
    PreprocessSpec(size=64, fit=Fit.STRETCH),
    PreprocessSpec(size=64, decode=Decode.FULL),
    PreprocessSpec(size=150),
]
FORMAT = "HANGTAGCOUNTED"


def assert_each_as_alone(data: bytes) -> None:
    alone = [preprocess(data, spec) for spec in SPECS]
    for order in (1, -1):
        photo = EncodedPhoto(data)
        for spec, expected in list(zip(SPECS, alone, strict=True))[::order]:
            assert np.array_equal(photo.pixels(spec), expected), spec


def grainy(size: tuple[int, int]) -> Image.Image:
    height, width = size
    return Image.fromarray(np.random.default_rng(height * 7 + width).integers(0, 256, (height, width, 3), np.uint8))


@given(size=st.tuples(st.integers(1, 260), st.integers(1, 260)), mode=st.sampled_from(["RGB", "L", "CMYK"]))
def test_a_jpeg_of_any_size(size: tuple[int, int], mode: str) -> None:
    assert_each_as_alone(encoded(grainy(size).convert(mode), "JPEG"))


@pytest.mark.parametrize("options", [{"progressive": True}, {"restart_marker_rows": 1}])
def test_a_large_jpeg_of_any_kind(options: dict[str, object]) -> None:
    assert_each_as_alone(encoded(grainy((130, 70)).resize((700, 1300)), "JPEG", **options))


@pytest.mark.parametrize("tag", [3, 5, 6, 8])
def test_a_turned_jpeg(tag: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = tag
    turn = STORED[tag]
    assert turn is not None
    assert_each_as_alone(encoded(grainy((600, 410)).transpose(turn), "JPEG", exif=exif))


@pytest.mark.parametrize(
    ("mode", "file_format"),
    [("RGBA", "PNG"), ("LA", "PNG"), ("P", "PNG"), ("P", "GIF"), ("RGBA", "WEBP"), ("1", "TIFF"), ("RGB", "BMP")],
)
def test_other_formats(mode: str, file_format: str) -> None:
    assert_each_as_alone(encoded(grainy((90, 140)).convert(mode), file_format))


def test_sixteen_bits_and_a_colour_profile() -> None:
    assert_each_as_alone(encoded(sixteen_bit(grainy((90, 140))), "PNG"))
    assert_each_as_alone(encoded(grainy((500, 300)), "JPEG", icc_profile=RED_IS_BLUE))


@pytest.mark.parametrize("cut", [0, 40, 700, 4000])
def test_a_truncated_photo_fails_each_as_it_fails_one(cut: int) -> None:
    data = encoded(grainy((300, 300)), "JPEG")[:cut]
    photo = EncodedPhoto(data)
    for spec in SPECS:
        with pytest.raises(ImageError) as alone:
            preprocess(data, spec)
        with pytest.raises(ImageError) as together:
            photo.pixels(spec)
        assert (str(together.value), together.value.fault) == (str(alone.value), alone.value.fault)


class Counted(ImageFile.ImageFile):
    format = FORMAT
    loads = 0

    def _open(self) -> None:
        self._size, self._mode = (80, 50), "RGB"

    def load(self) -> None:
        if self._im is None:
            type(self).loads += 1
            self._im = Image.new("RGB", self._size, "red").im


class Drafted(Counted):
    def draft(self, mode: str | None, size: tuple[int, int] | None) -> None:
        pass


@pytest.fixture
def plugin() -> Iterator[Callable[[type[Counted]], None]]:
    def register(kind: type[Counted]) -> None:
        kind.loads = 0
        Image.register_open(FORMAT, kind, lambda prefix: prefix.startswith(b"COUNT"))

    yield register
    Image.ID.remove(FORMAT)
    del Image.OPEN[FORMAT]


@pytest.mark.parametrize(("kind", "loads"), [(Counted, 1), (Drafted, 5)])
def test_a_photo_is_decoded_once_for_all_that_decode_it_alike(plugin, kind: type[Counted], loads: int) -> None:
    plugin(kind)
    photo = EncodedPhoto(b"COUNT")
    for spec in SPECS[:3] * 2 if kind is Counted else SPECS[:5]:
        photo.pixels(spec)
    assert kind.loads == loads
