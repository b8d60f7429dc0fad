"""Ways to turn a photo into a square. Imports neither NumPy nor Pillow, because the command line needs this module."""

from enum import StrEnum


class Fit(StrEnum):
    """How a photo of any shape fills a square."""

    PAD = "pad"
    STRETCH = "stretch"
    CROP = "crop"


class Decode(StrEnum):
    """How a JPEG is decoded. ``DCT`` may scale the JPEG by 1/2, 1/4 or 1/8 in the DCT domain."""

    DCT = "dct"
    FULL = "full"
