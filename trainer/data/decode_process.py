"""A decoding process for training: paths in on stdin, pixels into a shared file, a JSON line out for each.

Run as ``python -P -m trainer.data.decode_process SPEC_JSON PIXELS_FILE TIMEOUT_S``; each line is ``[ROW, "PATH"]``. A
file is read once: the answer has the ``sha256`` of the very bytes that were decoded, unless they could not be read.
``kind`` and ``message`` say what is wrong with them, or with reading them.
"""

import hashlib
import json
import signal
import sys
from pathlib import Path

import numpy as np

from models.errors import ImageError
from models.photo import read_photo
from models.preprocess import Pixels, PreprocessSpec, preprocess
from worker.labelling.process_pool import take_streams


def main(spec_json: str, pixels_file: str, timeout_s: str) -> int:
    """Decode photos until there are no more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    with take_streams() as replies:
        spec = PreprocessSpec.model_validate_json(spec_json)
        pixels = np.memmap(pixels_file, np.uint8, "r+").reshape(-1, spec.size, spec.size, 3)
        replies.write('{"ready": true}\n')
        for line in sys.stdin:
            row, path = json.loads(line)
            signal.setitimer(signal.ITIMER_REAL, float(timeout_s))
            replies.write(json.dumps(_decode(Path(path), spec, pixels[row])) + "\n")
            signal.setitimer(signal.ITIMER_REAL, 0)
    return 0


def _decode(path: Path, spec: PreprocessSpec, place: Pixels) -> dict[str, str]:
    answer: dict[str, str] = {}
    try:
        data = read_photo(path)
        answer["sha256"] = hashlib.sha256(data).hexdigest()
        place[:] = preprocess(data, spec)
    except ImageError as error:
        return {**answer, "kind": error.fault.value, "message": str(error)}
    return answer


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
