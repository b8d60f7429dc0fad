"""Small pictures of photos, drawn in a process of its own, since a photo may hang its decoder, or crash it.

``python -P -m worker.results.thumbnails`` is given ``[PATH, TIMEOUT_S]`` as JSON, a line a photo, and answers each with
a JSON line. The process that asks sets no timer, and may be anybody's, in any thread.
"""

import json
import signal
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from models.errors import JobError
from pages.tiles import thumbnail
from worker.labelling.process_pool import Death, ProcessPool, take_streams

DRAWING: Final = ("worker.results.thumbnails",)
"""What drawing processes run."""
_SIDE: Final = 200
_ALL_S: Final = 60.0
_ONE_S: Final = 10.0
"""At most: a page waits for one photo that hangs after the others are done."""


def draw_apart(files: Iterable[Path], timeout_s: float, processes: ProcessPool | None = None) -> list[Path]:
    """Make files of photos small pictures: each inside a white square, as a BMP, which is written and read in no time.

    Args:
        files: they are overwritten.
        timeout_s: seconds that one photo may take, 10 at most.
        processes: one that runs :data:`DRAWING` and may have been started early; default: started when it is needed.

    Returns:
        Those that are pictures now. One that cannot be read is left out, and so is one that kills its process or takes
        too long; so are those that are left after a minute.
    """
    drawn: list[Path] = []
    until = time.monotonic() + _ALL_S

    def go_on(_: Death | None = None) -> bool:
        if time.monotonic() > until:
            msg = "There is no time left for more pictures."
            raise JobError(msg)
        return False  # a photo that killed its process is not given to another

    def note(line: str, reply: dict[str, Any]) -> None:
        if reply["drawn"]:
            drawn.append(Path(json.loads(line)[0]))
        go_on()

    with suppress(JobError, OSError), processes or ProcessPool(DRAWING, 1) as ready:
        ready.run([json.dumps([str(file), min(timeout_s, _ONE_S)]) for file in files], note, go_on)
    return drawn


def main() -> int:
    """Draw photos until there are no more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the command, which ends this process
    signal.signal(signal.SIGALRM, signal.SIG_DFL)  # the default action kills even a decode that holds the GIL
    with take_streams() as replies:
        replies.write('{"ready": true}\n')
        for line in sys.stdin:
            file, timeout_s = json.loads(line)
            signal.setitimer(signal.ITIMER_REAL, timeout_s)
            picture = thumbnail(Path(file), _SIDE)
            signal.setitimer(signal.ITIMER_REAL, 0)
            if picture:
                picture.save(file, "BMP")
            replies.write(json.dumps({"drawn": picture is not None}) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
