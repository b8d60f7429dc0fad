"""Labels a job on this machine with one process per core.

Each process runs ``python -P -m worker.labelling.local``. The first line on its stdin names the job and the models;
each later line is a chunk's number. The process prints ``{"ready": true}`` when the models are loaded, then a JSON line
for each finished chunk. After stdin closes, the process finishes its chunks and ends.
"""

import json
import os
import select
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Final, TextIO

from models.classifier import Classifier
from models.errors import DISK_FULL, ExitCode, HangtagError, JobError, system_words
from models.process import reuse_memory
from models.storage.storage import FolderStorage
from worker.job.job import Job, ModelPin, open_job, photos_of
from worker.job.model import load_pinned
from worker.labelling.chunk import MAX_STRIKES, Finished, earlier_attempts
from worker.labelling.earlier_results import open_earlier_results
from worker.labelling.labeller import Labeller, QuestionModel
from worker.labelling.process_pool import Death, ProcessPool, take_streams

_PIECE: Final = 65_536


def run_pool(
    job: Job, models: Sequence[Path], processes: ProcessPool, on_done: Callable[[int], None], *, verified: bool = False
) -> None:
    """Label unfinished chunks; calls ``on_done`` with each finished chunk's number."""
    strikes = _Strikes(job)
    greeting = json.dumps({"job": job.storage.place, "models": list(map(str, models)), "verified": verified})
    chunks, logs = map(str, job.missing_chunks()), job.storage.scratch / "logs"
    processes.run(chunks, lambda line, _: on_done(int(line)), strikes.count, greeting, logs)


class _Strikes:
    """Counts process deaths by chunk. A newly suspected photo resets the count to 0."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._deaths: Counter[int] = Counter()
        self._suspects: Counter[int] = Counter()

    def count(self, death: Death) -> bool:
        """Count a death. Returns True (try again), or raises JobError after too many deaths."""
        chunks = [int(line) for line in death.lines]
        suspects = {chunk: len(earlier_attempts(self._job.storage, chunk).rows) for chunk in chunks}
        if any(suspects[chunk] > self._suspects[chunk] for chunk in chunks):
            self._deaths.subtract({chunk: self._deaths[chunk] for chunk in chunks})
        self._suspects |= suspects
        self._deaths.update(chunks)
        worst = max(chunks, key=self._deaths.__getitem__)
        if self._deaths[worst] < MAX_STRIKES:
            return True
        msg = (
            f"Chunk {worst} killed its process {MAX_STRIKES} times (status {death.status}), and no photo is the cause. "
            f"Finished chunks are kept; free some memory and run the same command again. {death.log}"
        )
        raise JobError(msg)


def main(loaded: Sequence[Classifier] = ()) -> int:
    """Label chunks until stdin closes. ``loaded``: models that a fork inherits from its parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # on Ctrl-C, the command ends this process
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    reuse_memory()
    replies = take_streams()
    greeting = sys.stdin.readline()  # the parent sends one line before "ready"
    if not greeting:
        return 0  # there is no work
    try:
        request = json.loads(greeting)
        job = open_job(FolderStorage(Path(request["job"])))
        if job is None:
            msg = f"Expected a job in {request['job']}, found none."
            raise JobError(msg)
        classifiers = [
            load_or_take(loaded, Path(model), question.model, verified=request["verified"])
            for question, model in zip(job.questions, request["models"], strict=True)
        ]
        _serve(job, classifiers, replies)
    except HangtagError as error:
        _say(replies, {"refused": str(error), "exit_code": int(error.exit_code)})
        return int(error.exit_code)
    except BrokenPipeError:
        return 0
    except OSError as error:
        if error.errno not in DISK_FULL:
            raise  # the parent tries again in another process
        _say(replies, {"refused": system_words(error), "exit_code": int(ExitCode.FAILURE)})
        return int(ExitCode.FAILURE)
    return 0


def load_or_take(loaded: Iterable[Classifier], path: Path, pin: ModelPin, *, verified: bool) -> Classifier:
    """Take a model from ``loaded``, or load it from ``path``."""
    for one in loaded:
        if (one.digest, one.metadata.variant) == (pin.digest, pin.variant):
            return one.asking(pin.precision, pin.threshold)
    return load_pinned(path, pin, verified=verified)


def _serve(job: Job, classifiers: Sequence[Classifier], replies: TextIO) -> None:
    def done(finished: Finished) -> None:
        _say(replies, {"done": finished.chunk, "line": str(finished.chunk)})

    _say(replies, {"ready": True})
    feed = LineFeed(sys.stdin.fileno(), lambda: _say(replies, {"more": True}))
    with ExitStack() as tools:
        photos = tools.enter_context(closing(photos_of(job)))
        known = [tools.enter_context(closing(open_earlier_results(question))) for question in job.questions]
        questions = list(map(QuestionModel, classifiers, known))
        tools.enter_context(Labeller(job, questions, photos, done)).run(feed.next)


def _say(replies: TextIO, message: dict[str, object]) -> None:
    replies.write(json.dumps(message) + "\n")


class LineFeed:
    """Requests chunks from the parent process, one at a time."""

    def __init__(self, descriptor: int, request: Callable[[], None]) -> None:
        self._descriptor = descriptor
        self._request = request
        self._is_requested = True  # the parent sends the first chunk without a request
        self._text = b""
        self._lines: list[bytes] = []
        self._ended = False

    def next(self, wait: bool) -> int | None:
        """See :data:`worker.labelling.labeller.Feed`."""
        while not self._lines and not self._ended:
            if not select.select([self._descriptor], [], [], None if wait else 0)[0]:
                break
            piece = os.read(self._descriptor, _PIECE)
            *lines, self._text = (self._text + piece).split(b"\n")
            self._lines += lines
            self._ended = not piece
        if self._lines:
            self._is_requested = False
            return int(self._lines.pop(0))
        if not self._is_requested and not self._ended:
            self._is_requested = True
            self._request()
        return None


if __name__ == "__main__":
    sys.exit(main())
