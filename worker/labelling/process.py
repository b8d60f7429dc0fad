"""A labelling process: chunk numbers in on stdin, a JSON line out for each chunk that is done.

Run as ``python -P -m worker.labelling.process JOB_FOLDER MODEL``. It says ``{"ready": true}`` when the model has been
verified, and ends when stdin closes, so that it never outlives the command that started it by more than the chunks in
hand.
"""

import json
import signal
import sys
from contextlib import closing
from pathlib import Path
from typing import TextIO

from models.classifier import Classifier
from models.errors import HangtagError, JobError
from models.storage.storage import FolderStorage
from worker.job import Job, open_job
from worker.known.open_known import open_known
from worker.labelling.child import take_streams
from worker.labelling.chunk import Finished
from worker.labelling.labeller import Labeller, run_chunks
from worker.labelling.line_feed import LineFeed
from worker.photos.source import open_photos
from worker.pin import load_pinned


def main(folder: str, model: str) -> int:
    """Label chunks until there are no more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the command, which ends this process
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    replies = take_streams()
    try:
        job = open_job(FolderStorage(Path(folder)))
        if job is None:
            msg = f"Expected a job in {folder}, found none."
            raise JobError(msg)
        _serve(job, load_pinned(Path(model), job.spec.model, job.spec.options), replies)
    except HangtagError as error:
        _say(replies, {"refused": str(error), "exit_code": int(error.exit_code)})
        return int(error.exit_code)
    except BrokenPipeError:
        return 0
    return 0


def _serve(job: Job, classifier: Classifier, replies: TextIO) -> None:
    def done(finished: Finished) -> None:
        _say(replies, {"done": finished.chunk, "line": str(finished.chunk)})

    _say(replies, {"ready": True})
    feed = LineFeed(sys.stdin.fileno(), lambda: _say(replies, {"more": True}))
    with (
        closing(open_photos(job)) as photos,
        closing(open_known(job)) as known,
        Labeller(job, classifier, photos, done, known) as labeller,
    ):
        run_chunks(labeller, feed)


def _say(replies: TextIO, message: dict[str, object]) -> None:
    replies.write(json.dumps(message) + "\n")


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
