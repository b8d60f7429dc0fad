"""Photos become pixels; one that may bring its process down does so in a throw-away process."""

import signal
from dataclasses import dataclass
from typing import Final

from models.errors import ImageFault
from models.preprocess import Pixels, PreprocessSpec, preprocess
from worker.labelling.attempt import Attempt
from worker.labelling.sandbox import decode_in_sandbox
from worker.photos.photo import Wanted
from worker.photos.unforeseen import fails_its_photo

__all__ = ["Decoder"]

_WARY: Final = 3


@dataclass(frozen=True)
class Decoder:
    """How the photos of one try at a chunk become pixels; suspects do so in a throw-away process.

    With a few suspects in a chunk all its photos do: otherwise each bad photo would cost a process, and each try would
    take up all the earlier suspects again. The calling process must not handle SIGALRM: its default action ends a
    decode that hangs, with the process.

    Attributes:
        attempt: told which row is in hand.
        spec: what to make of a photo.
        timeout_s: seconds that one photo may take.
        suspects: rows that were in hand when a process died.
    """

    attempt: Attempt
    spec: PreprocessSpec
    timeout_s: float
    suspects: frozenset[int]

    def decode(self, wanted: Wanted, data: bytes) -> Pixels:
        """``uint8 (S, S, 3)`` of a photo's bytes.

        Raises:
            ImageError: it cannot become pixels.
        """
        if wanted.row in self.suspects or len(self.suspects) >= _WARY:
            return decode_in_sandbox(data, self.spec, self.timeout_s)
        self.attempt.take(wanted.row)
        signal.setitimer(signal.ITIMER_REAL, self.timeout_s)
        try:
            with fails_its_photo(ImageFault.UNREADABLE, wanted.cell or ""):
                return preprocess(data, self.spec)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            self.attempt.put_down()
