"""``python -P -m worker.catalogue_diff.on_job JOB BEFORE AFTER FOLDER ROWS``: two models on rows of a job.

Each line on stdout is a JSON object: ``step``, ``done`` and ``of`` while it works; in the end ``figures``, or
``refused`` with the reason. The folder is the caller's, and holds what is needed meanwhile.
"""

import json
import signal
import sys
from pathlib import Path

from models.errors import HangtagError, JobError
from models.storage.storage import open_storage
from worker.catalogue_diff.diff import diff_job
from worker.job import open_job


def main(place: str, before: str, after: str, folder: str, rows: str) -> int:
    """Compare them, and tell how far it is."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the server, which ends this process
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # and with it those that label
    try:
        job = open_job(open_storage(place))
        if job is None:
            msg = f"Expected a job in {place}, found none; it may have been deleted."
            raise JobError(msg)
        figures = diff_job(Path(before), Path(after), job, Path(folder), int(rows), _tell)
    except HangtagError as error:
        _say({"refused": str(error)})
        return int(error.exit_code)
    _say({"figures": figures.model_dump(mode="json")})
    return 0


def _tell(step: str, done: int, of: int) -> None:
    _say({"step": step, "done": done, "of": of})


def _say(message: dict[str, object]) -> None:
    print(json.dumps(message), flush=True)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
