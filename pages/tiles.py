"""Thumbnails of photos, as ``data:`` URIs in a page."""

import base64
import io
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from PIL import Image

from models.errors import ImageError
from models.fit import Decode, Fit
from models.photo import read_photo
from models.preprocess import PreprocessSpec, preprocess

_SIDE: Final = 200
_SMALL_SIDE: Final = 112
_SMALL_BYTES: Final = 3_000
_QUALITIES: Final = (80, 60, 40, 20, 5)


@dataclass(frozen=True)
class PagePhoto:
    """A photo for a page, as a JPEG of about 8 kB and one of at most 3 kB. None if the photo cannot be read."""

    uri: str | None
    small_uri: str | None

    @classmethod
    def of(cls, photo: Path | bytes) -> Self:
        """Read a photo from its path or its bytes."""
        whole = thumbnail(photo, _SIDE)
        if whole is None:
            return cls(None, None)
        return cls(jpeg_uri(whole), jpeg_uri(whole.resize((_SMALL_SIDE,) * 2, reducing_gap=2.0), _SMALL_BYTES))


@dataclass(frozen=True)
class LabelledPhoto:
    """A photo and its result. ``title`` and ``detail`` are the lines of the caption.

    Attributes:
        photo: None shows "no picture".
        status: ``labeled``, ``review`` or ``failed``.
        why: the reason for review, or empty.
    """

    photo: PagePhoto | None
    status: str
    title: str
    detail: str
    why: str = ""

    @property
    def uri(self) -> str | None:
        """See :attr:`PagePhoto.uri`."""
        return self.photo.uri if self.photo else None

    @property
    def small_uri(self) -> str | None:
        """See :attr:`PagePhoto.small_uri`."""
        return self.photo.small_uri if self.photo else None


def failed_last(photos: Sequence[LabelledPhoto]) -> list[LabelledPhoto]:
    """Move failed rows to the end, and keep the order otherwise."""
    return sorted(photos, key=lambda photo: photo.status == "failed")


def thumbnail(photo: Path | bytes, side: int) -> Image.Image | None:
    """A photo inside a white square of ``side`` pixels; None if the photo cannot be read."""
    try:
        data = photo if isinstance(photo, bytes) else read_photo(photo)
        return Image.fromarray(preprocess(data, PreprocessSpec(size=side, fit=Fit.PAD, decode=Decode.DCT)))
    except ImageError:
        return None


def photo_uri(photo: Path | bytes, side: int, most_bytes: int = sys.maxsize) -> str | None:
    """:func:`jpeg_uri` of :func:`thumbnail`; None if the photo cannot be read."""
    image = thumbnail(photo, side)
    return None if image is None else jpeg_uri(image, most_bytes)


def jpeg_uri(image: Image.Image, most_bytes: int = sys.maxsize) -> str:
    """An RGB picture as a JPEG. Lowers the quality if the file would exceed ``most_bytes``."""
    jpeg = b""
    for quality in _QUALITIES:
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=quality, optimize=True)
        jpeg = buffer.getvalue()
        if len(jpeg) <= most_bytes:
            break
    return data_uri(jpeg, "jpeg")


def data_uri(data: bytes, kind: str) -> str:
    """A picture file as a ``data:`` URI; ``kind`` is ``png`` or ``jpeg``."""
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
