"""The throw-away process of :mod:`worker.sandbox`: bytes on stdin, pixels on stdout, and then it is gone.

Run as ``python -P -m worker.decode_once SPEC_JSON TIMEOUT_S MEMORY_BYTES``. Exit status 0: stdout holds the pixels;
``REFUSED``: stdout holds a JSON object with ``fault`` and ``message``; any other: the photo brought the process down.
"""

import json
import os
import resource
import signal
import sys

from models.errors import ImageError
from models.preprocess import PreprocessSpec, preprocess

REFUSED = 3


def main(spec_json: str, timeout_s: str, memory_bytes: str) -> int:
    """Decode one photo within a time and a memory limit."""
    result = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # a plugin that prints must not mix with the pixels
    spec = PreprocessSpec.model_validate_json(spec_json)
    data = sys.stdin.buffer.read()
    resource.setrlimit(resource.RLIMIT_AS, (int(memory_bytes), int(memory_bytes)))
    signal.signal(signal.SIGALRM, signal.SIG_DFL)  # the default action kills even a decode that holds the GIL
    signal.setitimer(signal.ITIMER_REAL, float(timeout_s))
    try:
        result.write(preprocess(data, spec).tobytes())
    except ImageError as error:
        result.write(json.dumps({"fault": error.fault, "message": str(error)}).encode())
        return REFUSED
    finally:
        result.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
