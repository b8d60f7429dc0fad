"""The throw-away process of :mod:`worker.labelling.sandbox`: bytes on stdin, pixels on stdout, and then it is gone.

Run as ``python -P -m worker.labelling.decode_once SPEC_JSON TIMEOUT_S MEMORY_BYTES``. Exit status 0: stdout holds the
pixels; ``REFUSED``: it holds a JSON object with ``fault`` and ``message``; any other: the photo ended the process.
"""

import json
import resource
import signal
import sys

from models.errors import ImageError
from models.preprocess import PreprocessSpec, preprocess
from worker.labelling.child import take_streams

REFUSED = 3


def main(spec_json: str, timeout_s: str, memory_bytes: str) -> int:
    """Decode one photo within a time and a memory limit."""
    spec = PreprocessSpec.model_validate_json(spec_json)
    data = sys.stdin.buffer.read()
    resource.setrlimit(resource.RLIMIT_AS, (int(memory_bytes), int(memory_bytes)))
    signal.signal(signal.SIGALRM, signal.SIG_DFL)  # the default action kills even a decode that holds the GIL
    signal.setitimer(signal.ITIMER_REAL, float(timeout_s))
    with take_streams() as replies:
        try:
            replies.buffer.write(preprocess(data, spec).tobytes())
        except ImageError as error:
            replies.write(json.dumps({"fault": error.fault, "message": str(error)}))
            return REFUSED
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
