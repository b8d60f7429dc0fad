"""A process that decodes photos: it reads paths from stdin, fills a shared file, and prints a JSON line per photo.

Run as ``python -P -m trainer.data.photo_process ARRAYS_FILE TIMEOUT_S [SPEC_JSON]``. Each input line is ``[ROW,
"PATH"]``. With SPEC_JSON, row ROW of ARRAYS_FILE gets the preprocessed pixels. Without SPEC_JSON, the row gets the
small copy, and the printed line has the ``statistics``. If the file is readable, the line also has the file's
``sha256``. ``kind`` and ``message`` describe a fault.
"""

import hashlib
import json
import os
import resource
import signal
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from models.errors import ImageError
from models.photo import read_photo
from models.preprocess import PreprocessSpec, preprocess
from models.process import reuse_memory
from trainer.data.photo_files import fault_of, measure_photo
from worker.labelling.process_pool import take_streams

MEMORY_BYTES: Final = 4 * 1024**3


def main(arrays_file: str, timeout_s: str, spec_json: str = "") -> int:
    """Decode photos until the input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    reuse_memory()
    spec = PreprocessSpec.model_validate_json(spec_json) if spec_json else None
    with take_streams() as replies, Path(arrays_file).open("r+b") as arrays:
        replies.write('{"ready": true}\n')
        for line in sys.stdin:
            row, path = json.loads(line)
            signal.setitimer(signal.ITIMER_REAL, float(timeout_s))
            answer = _decode(Path(path), spec, arrays.fileno(), row)
            signal.setitimer(signal.ITIMER_REAL, 0)
            replies.write(json.dumps(answer) + "\n")
    return 0


def _decode(path: Path, spec: PreprocessSpec | None, arrays: int, row: int) -> dict[str, Any]:
    try:
        data = read_photo(path)
    except ImageError as error:
        return {"kind": error.fault.value, "message": str(error)}
    answer: dict[str, Any] = {"sha256": hashlib.sha256(data).hexdigest()}
    try:
        if spec is None:
            statistics, array = measure_photo(data)
            answer["statistics"] = asdict(statistics)
        else:
            array = preprocess(data, spec)
    except ImageError as error:
        return {**answer, **asdict(fault_of(data, error))}
    os.pwrite(arrays, array.tobytes(), row * array.nbytes)
    return answer


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
