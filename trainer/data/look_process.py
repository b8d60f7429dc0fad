"""A process that looks at photos: paths in on stdin, small copies into a shared file, a JSON line out for each.

Run as ``python -P -m trainer.data.look_process COPIES_FILE TIMEOUT_S``; each line is ``[ROW, "PATH"]``. A file is read
once: the answer has the ``sha256`` of the very bytes that were looked at, unless they could not be read. ``look`` says
what they show; or ``kind`` and ``message`` say what is wrong with them, or with reading them.
"""

import hashlib
import json
import resource
import signal
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import numpy as np

from models.errors import ImageError
from models.photo import read_photo
from models.preprocess import Pixels
from trainer.data.image_statistics import COPY_SIDE, fault_of, look
from worker.labelling.process_pool import take_streams

MEMORY_BYTES: Final = 4 * 1024**3


def main(copies_file: str, timeout_s: str) -> int:
    """Look at photos until there are no more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    with take_streams() as replies:
        copies = np.memmap(copies_file, np.uint8, "r+").reshape(-1, COPY_SIDE, COPY_SIDE, 3)
        replies.write('{"ready": true}\n')
        for line in sys.stdin:
            row, path = json.loads(line)
            signal.setitimer(signal.ITIMER_REAL, float(timeout_s))
            answer = _look_at(Path(path), copies[row])
            signal.setitimer(signal.ITIMER_REAL, 0)
            replies.write(json.dumps(answer) + "\n")
    return 0


def _look_at(path: Path, place: Pixels) -> dict[str, Any]:
    try:
        data = read_photo(path)
    except ImageError as error:
        return {"kind": error.fault.value, "message": str(error)}
    sha256 = hashlib.sha256(data).hexdigest()
    try:
        seen, place[:] = look(data)
    except ImageError as error:
        return {"sha256": sha256, **asdict(fault_of(data, error))}
    return {"sha256": sha256, "look": asdict(seen)}


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
