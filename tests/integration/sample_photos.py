"""Photos for the examples: ordinary ones of the drawn catalogue, and what phones and shops make of photos."""

from pathlib import Path

from PIL import Image, ImageCms

from models.errors import ImageError
from models.preprocess import IMAGE_SUFFIXES, opened, whole_rgb

__all__ = ["odd_photos", "readable_photos"]


def readable_photos(catalogue: Path, count: int) -> list[Path]:
    """Some of a catalogue, of all its classes."""
    files = sorted(path for path in catalogue.rglob("*") if path.suffix in IMAGE_SUFFIXES)
    readable = [file for file in files if _is_readable(file)]
    return readable[:: len(readable) // count][:count]


def odd_photos(folder: Path, photo: Path) -> list[Path]:
    """A photo turned, see-through, grey, long, large, progressive, and with a colour profile that is not sRGB's."""
    with opened(photo.read_bytes()) as image:
        rgb = whole_rgb(image)
    turned = Image.Exif()
    turned[0x0112] = 6
    see_through = rgb.copy()
    see_through.putalpha(Image.linear_gradient("L").resize(rgb.size))
    width, height = rgb.size
    rgb.save(folder / "turned.jpg", exif=turned, quality=90)
    see_through.save(folder / "see-through.png")
    rgb.convert("L").save(folder / "grey.jpg", quality=90)
    rgb.resize((width * 4, height // 4)).save(folder / "long.png")
    rgb.resize((width * 6, height * 6)).save(folder / "large.jpg", quality=90)
    rgb.save(folder / "progressive.jpg", progressive=True, quality=80)
    rgb.save(folder / "profile.jpg", icc_profile=_red_is_green(), quality=90)
    return sorted(folder.iterdir())


def _red_is_green() -> bytes:
    """A colour profile that nobody can overlook: sRGB's with two primaries exchanged."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return profile.replace(b"rXYZ", b"----").replace(b"gXYZ", b"rXYZ").replace(b"----", b"gXYZ")


def _is_readable(file: Path) -> bool:
    try:
        with opened(file.read_bytes()) as image:
            whole_rgb(image)
    except ImageError:
        return False
    return True
