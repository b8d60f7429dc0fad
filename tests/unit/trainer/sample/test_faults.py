import pytest
from PIL import Image, UnidentifiedImageError


def test_duplicates_equal_a_photo_of_their_class(drawn):
    originals = {(path.parent.name, path.read_bytes()) for path in drawn.photos()}
    assert len(originals) == 600, "no photo is a duplicate unreported"
    assert len(drawn.report.duplicates) == 4
    for copy in drawn.report.duplicates:
        assert (copy.parent.name, (drawn.out / copy).read_bytes()) in originals


def test_truncated_is_a_jpeg_that_does_not_load(drawn):
    (path,) = drawn.report.truncated
    with Image.open(drawn.out / path) as image:
        assert image.format == "JPEG"
        with pytest.raises(OSError, match="truncated"):
            image.load()


def test_not_an_image_is_text_named_jpg(drawn):
    (path,) = drawn.report.not_an_image
    assert path.suffix == ".jpg"
    assert (drawn.out / path).read_text().startswith("<html>")
    with pytest.raises(UnidentifiedImageError):
        Image.open(drawn.out / path)


def test_wrong_extension_is_a_sound_png_named_jpg(drawn):
    (path,) = drawn.report.wrong_extension
    assert path.suffix == ".jpg"
    with Image.open(drawn.out / path) as image:
        image.load()
        assert image.format == "PNG"
