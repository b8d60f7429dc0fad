"""A Pillow plugin with four made-up formats whose decoders misbehave, as a damaged C decoder would.

Put this folder on ``PYTHONPATH``: every Python process started from then on registers the formats. A file begins with
its format's name. ``BOOM`` crashes the decoding process with SIGSEGV. ``HANG`` never ends and keeps the GIL, so that
neither a thread nor a Python signal handler can stop it. ``QUIT`` ends the process with status 0. ``GROW`` allocates
3 GiB of memory and is then unreadable. All open as RGB images of 8×8 pixels.
"""

import os
import signal
from collections import deque
from itertools import repeat

from PIL import Image, ImageFile


class _MadeUpFile(ImageFile.ImageFile):
    """Can always be identified; only decoding fails."""

    def _open(self) -> None:
        self._size = (8, 8)
        self._mode = "RGB"


class BoomImageFile(_MadeUpFile):
    format = "HANGTAGBOOM"
    format_description = "decoding ends in SIGSEGV"

    def load(self):
        os.kill(os.getpid(), signal.SIGSEGV)


class HangImageFile(_MadeUpFile):
    format = "HANGTAGHANG"
    format_description = "decoding never ends"

    def load(self):
        deque(repeat(None), maxlen=0)


class QuitImageFile(_MadeUpFile):
    format = "HANGTAGQUIT"
    format_description = "decoding ends the process with status 0"

    def load(self):
        os._exit(0)


class GrowImageFile(_MadeUpFile):
    format = "HANGTAGGROW"
    format_description = "decoding takes 3 GiB"

    def load(self):
        raise OSError(len(bytearray(3 * 1024**3)))


Image.register_open(BoomImageFile.format, BoomImageFile, lambda prefix: prefix.startswith(b"BOOM"))
Image.register_open(HangImageFile.format, HangImageFile, lambda prefix: prefix.startswith(b"HANG"))
Image.register_open(GrowImageFile.format, GrowImageFile, lambda prefix: prefix.startswith(b"GROW"))
Image.register_open(QuitImageFile.format, QuitImageFile, lambda prefix: prefix.startswith(b"QUIT"))
