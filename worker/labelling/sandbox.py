"""A photo that was in hand when a process died is decoded in a throw-away one.

That runs ``python -P -m worker.labelling.sandbox SPEC_JSON TIMEOUT_S MEMORY_BYTES``, with the bytes on stdin. Exit
status 0: stdout holds the pixels; ``REFUSED``: a JSON object with ``fault`` and ``message``; other: the photo
ended the process.
"""

import json
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Final

import numpy as np

from models.errors import ImageError, ImageFault
from models.preprocess import Pixels, PreprocessSpec, preprocess
from models.process import python_command, python_environment
from worker.labelling.process_pool import take_streams

REFUSED = 3
MEMORY_BYTES: Final = 2 * 1024**3
MAX_TRIES: Final = 4
_START_S: Final = 30.0
_CHANNELS: Final = 3


def decode_in_sandbox(data: bytes, spec: PreprocessSpec, timeout_s: float) -> Pixels:
    """Decode a suspect photo where it can do no harm, to ``uint8 (S, S, 3)``, or raise an :class:`ImageError`.

    One dead process is no proof, since someone else may have killed it: the same death twice is, unless it is SIGKILL;
    after four tries any death is.
    """
    deaths: list[int] = []
    for status, output in _tries(data, spec, timeout_s):
        if status == 0 and len(output) == spec.size * spec.size * _CHANNELS:
            return np.frombuffer(output, np.uint8).reshape(spec.size, spec.size, _CHANNELS)
        if status == REFUSED:
            refusal = json.loads(output)
            raise ImageError(refusal["message"], ImageFault(refusal["fault"]))
        if status in deaths and status != -signal.SIGKILL:
            raise _verdict(status, timeout_s)
        deaths.append(status)
    raise _verdict(deaths[-1], timeout_s)


def _tries(data: bytes, spec: PreprocessSpec, timeout_s: float) -> Iterator[tuple[int, bytes]]:
    command = python_command("worker.labelling.sandbox", spec.model_dump_json(), str(timeout_s), str(MEMORY_BYTES))
    for _ in range(MAX_TRIES):
        try:
            done = subprocess.run(
                command,
                input=data,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                timeout=timeout_s + _START_S,
                check=False,
                env=python_environment(),
            )
            yield done.returncode, done.stdout
        except subprocess.TimeoutExpired:
            yield -signal.SIGALRM, b""


def _verdict(status: int, timeout_s: float) -> ImageError:
    if status == -signal.SIGALRM:
        msg = f"Decoding took longer than {timeout_s:g} s, twice; re-save the photo, or pass a longer --decode-timeout."
        return ImageError(msg, ImageFault.TIMEOUT)
    name = signal.Signals(-status).name if status < 0 else f"exit status {status}"
    msg = f"Decoding brought its process down ({name}); re-save the photo."
    return ImageError(msg, ImageFault.CRASHED)


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
