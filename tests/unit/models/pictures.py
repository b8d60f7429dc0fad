"""Pictures, and functions that encode them."""

from io import BytesIO

import numpy as np
from PIL import Image, ImageCms

from models.preprocess import PreprocessSpec

SIZE = 32
PAD = PreprocessSpec(size=SIZE)
LOSSLESS = {"WEBP": {"lossless": True}, "JPEG": {"quality": 95, "subsampling": 0}, "AVIF": {"quality": 95}}


def encoded(image, file_format="PNG", **options):
    buffer = BytesIO()
    image.save(buffer, file_format, **{**LOSSLESS.get(file_format, {}), **options})
    return buffer.getvalue()


def distance(one, other):
    return np.abs(one.astype(int) - other.astype(int)).mean()


def sixteen_bit(image):
    return Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257)


STORED = {
    1: None, 2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM, 5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE, 8: Image.Transpose.ROTATE_270,
}  # fmt: skip
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
RED_IS_BLUE = SRGB.replace(b"rXYZ", b"----").replace(b"bXYZ", b"rXYZ").replace(b"----", b"bXYZ")
