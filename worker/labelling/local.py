"""Labelling on this machine: a process a core, each fed one chunk at a time.

A process runs ``python -P -m worker.labelling.local``. Its first line on stdin names the job and its models; chunk
numbers follow. It prints ``{"ready": true}`` when the models are loaded, then a JSON line for each chunk. It ends when
stdin closes, once the chunks in hand are done.
"""

import json
import os
import select
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from typing import Any, Final, TextIO

from models.classifier import Classifier
from models.errors import DISK_FULL, ExitCode, HangtagError, JobError, system_words
from models.process import reuse_memory
from models.storage.storage import FolderStorage
from worker.job.job import Job, ModelPin, open_job, photos_of
from worker.job.model import load_job_model, load_pinned
from worker.labelling.chunk import MAX_STRIKES, Finished, earlier_attempts
from worker.labelling.earlier_results import open_earlier_results
from worker.labelling.labeller import Labeller, QuestionModel, run_chunks
from worker.labelling.process_pool import Death, ProcessPool, take_streams
from worker.request import JobOptions

_PIECE: Final = 65_536


def run_pool(
    job: Job, models: Sequence[Path], processes: ProcessPool, on_done: Callable[[int], None], *, verified: bool = False
) -> int:
    """Label every chunk without a part, and call ``on_done`` with its number; returns how many processes died."""

    def done(line: str, _: dict[str, Any]) -> None:
        on_done(int(line))

    greeting = json.dumps({"job": job.storage.place, "models": list(map(str, models)), "verified": verified})
    chunks = map(str, job.missing_chunks())
    processes.run(chunks, done, _Strikes(job).again, greeting, job.storage.scratch / "logs")
    return processes.deaths


class _Strikes:
    """Process deaths per chunk; a death that points to a new suspect photo starts the count again."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._deaths: Counter[int] = Counter()
        self._suspects: Counter[int] = Counter()

    def again(self, death: Death) -> bool:
        """Count a death; True, since another process gets the chunk."""
        chunks = [int(line) for line in death.lines]
        named = [self._names_a_photo(chunk) for chunk in chunks]
        if any(named):
            self._deaths.subtract({chunk: self._deaths[chunk] for chunk in chunks})
        self._deaths.update(chunks)
        worst = max(chunks, key=self._deaths.__getitem__)
        if self._deaths[worst] < MAX_STRIKES:
            return True
        msg = (
            f"Chunk {worst} ended its process {MAX_STRIKES} times (status {death.status}), and no photo in it is to "
            f"blame. What is done is kept; free some memory and run the same command again. {death.log}"
        )
        raise JobError(msg)

    def _names_a_photo(self, chunk: int) -> bool:
        suspects = len(earlier_attempts(self._job.storage, chunk).rows)
        grown = suspects > self._suspects[chunk]
        self._suspects[chunk] = suspects
        return grown


def main(loaded: Sequence[Classifier] = ()) -> int:
    """Label chunks until there are no more; a fork has its parent's ``loaded`` models."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the command, which ends this process
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    reuse_memory()
    replies = take_streams()
    greeting = sys.stdin.readline()  # nothing follows it before this process is ready
    if not greeting:
        return 0  # the command had no work for it
    try:
        asked = json.loads(greeting)
        job = open_job(FolderStorage(Path(asked["job"])))
        if job is None:
            msg = f"Expected a job in {asked['job']}, found none."
            raise JobError(msg)
        classifiers = [
            load_job_model(question, partial(load_or_take, loaded, Path(model), asked["verified"]))
            for question, model in zip(job.questions, asked["models"], strict=True)
        ]
        _serve(job, classifiers, replies)
    except HangtagError as error:
        _say(replies, {"refused": str(error), "exit_code": int(error.exit_code)})
        return int(error.exit_code)
    except BrokenPipeError:
        return 0
    except OSError as error:
        if error.errno not in DISK_FULL:
            raise  # another process tries again
        _say(replies, {"refused": system_words(error), "exit_code": int(ExitCode.FAILURE)})
        return int(ExitCode.FAILURE)
    return 0


def load_or_take(
    loaded: Iterable[Classifier], path: Path, verified: bool, pin: ModelPin, options: JobOptions
) -> Classifier:
    """A job's pinned model, one of the ``loaded`` ones if it is among them."""
    for one in loaded:
        if (one.digest, one.metadata.variant) == (pin.digest, pin.variant):
            return one.asking(options.precision, options.threshold)
    return load_pinned(path, pin, options, verified=verified)


def _serve(job: Job, classifiers: Sequence[Classifier], replies: TextIO) -> None:
    def done(finished: Finished) -> None:
        _say(replies, {"done": finished.chunk, "line": str(finished.chunk)})

    _say(replies, {"ready": True})
    feed = LineFeed(sys.stdin.fileno(), lambda: _say(replies, {"more": True}))
    with ExitStack() as tools:
        photos = tools.enter_context(closing(photos_of(job)))
        known = [tools.enter_context(closing(open_earlier_results(question))) for question in job.questions]
        asked = list(map(QuestionModel, classifiers, known))
        run_chunks(tools.enter_context(Labeller(job, asked, photos, done)), feed)


def _say(replies: TextIO, message: dict[str, object]) -> None:
    replies.write(json.dumps(message) + "\n")


class LineFeed:
    """The feed of a process that asks its parent for one chunk at a time."""

    def __init__(self, descriptor: int, ask: Callable[[], None]) -> None:
        self._descriptor = descriptor
        self._ask = ask
        self._asked = True  # the first one comes by itself
        self._text = b""
        self._lines: list[bytes] = []
        self._ended = False

    def next(self, *, wait: bool) -> int | None:
        """See :class:`worker.labelling.labeller.Feed`."""
        while not self._lines and not self._ended:
            if not select.select([self._descriptor], [], [], None if wait else 0)[0]:
                break
            piece = os.read(self._descriptor, _PIECE)
            *lines, self._text = (self._text + piece).split(b"\n")
            self._lines += lines
            self._ended = not piece
        if self._lines:
            self._asked = False
            return int(self._lines.pop(0))
        if not self._asked and not self._ended:
            self._asked = True
            self._ask()
        return None


if __name__ == "__main__":
    sys.exit(main())
