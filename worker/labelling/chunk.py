"""A chunk in progress: decodes photos, finds photos that crash processes, and writes results into the part file."""

import json
import os
import resource
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from catalogue.photo import PhotoRequest, as_image_error
from models.decision import Rules
from models.errors import ImageError, ImageFault
from models.preprocess import EncodedPhoto, Pixels, PreprocessSpec, preprocess
from models.process import python_command, python_environment
from models.storage.storage import Storage
from worker.job.job import RETRYABLE, Job
from worker.job.parts import (
    NO_PHOTO_WORK,
    Columns,
    PartRow,
    PhotoWork,
    Scored,
    part_bytes,
    part_key,
    part_work,
    worst_results,
)
from worker.labelling.process_pool import take_streams

REFUSED = 3
_FOLDER: Final = "in_progress"
_WIDTH: Final = 12
MAX_STRIKES: Final = 4
"""After this many unexplained process deaths in one chunk, the job stops."""
_WARY: Final = 3
"""If this many photos of a chunk crash their process, each photo of the chunk gets its own process."""
MEMORY_BYTES: Final = 2 * 1024**3
MAX_TRIES: Final = 4
_START_S: Final = 30.0
_CHANNELS: Final = 3


def decode_in_sandbox(data: bytes, spec: PreprocessSpec, timeout_s: float) -> Pixels:
    """Decode a photo that may crash, in its own process: ``uint8 (S, S, 3)``. Raises :class:`ImageError`.

    The photo is the cause if four processes die, or if two die with the same status. Two SIGKILLs do not count,
    since the kernel may send them.
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
    command = python_command("worker.labelling.chunk", spec.model_dump_json(), str(timeout_s), str(MEMORY_BYTES))
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
    msg = f"Decoding crashed its process ({name}); re-save the photo."
    return ImageError(msg, ImageFault.CRASHED)


@dataclass(frozen=True)
class Finished:
    """A finished chunk. ``outcomes``: number of rows by (status, error); empty if the chunk already had a part file."""

    chunk: int
    committed: bool
    outcomes: Counter[tuple[str, str | None]]
    seconds: float
    photos: PhotoWork


class OpenChunk:
    """A chunk in progress. ``effort``: the :class:`PhotoWork` fields so far.

    A retry labels only failed rows that may succeed now. ``requests``: photos to fetch. The caller clears this list to
    free memory.
    """

    def __init__(self, job: Job, number: int, models: Sequence[tuple[Rules, str]]) -> None:
        self._start = time.monotonic()
        self._job = job
        self.number = number
        retry = job.retry().lowest_retry(number)
        self._key = part_key(number, retry)
        images = job.chunk_images(number)
        self._columns = [Columns(len(images), *model, job.spec.options.top_k) for model in models]
        kept = self._keep(job, job.earlier_part(number, retry))
        self.requests = [PhotoRequest(number, row, cell) for row, cell in enumerate(images) if row not in kept]
        self._earlier = earlier_attempts(job.storage, number)
        self._open = ExitStack()
        self._note = self._open.enter_context(attempt_on(job.storage, number))
        self.effort: defaultdict[str, float] = defaultdict(float)

    def _keep(self, job: Job, earlier: str | None) -> set[int]:
        """Copy the results that a retry keeps; returns their row indices."""
        answers = job.answers(self.number, earlier) if earlier else []
        self._before = part_work(answers[0].schema).photos if answers else NO_PHOTO_WORK
        rows = enumerate(zip(*(part.to_pylist() for part in answers), strict=True))
        kept = {row: cells for row, cells in rows if not any(one["error"] in RETRYABLE for one in cells)}
        for row, cells in kept.items():
            for columns, one in zip(self._columns, cells, strict=True):
                columns.keep(row, one)
        return set(kept)

    def decode(
        self, request: PhotoRequest, data: bytes, specs: Iterable[PreprocessSpec]
    ) -> dict[PreprocessSpec, Pixels | ImageError]:
        """Decode a photo's bytes for each spec. Pixels are ``uint8 (S, S, 3)``.

        The calling process must neither handle nor ignore SIGALRM: the signal kills a process whose decoding hangs.
        """
        start, photo, suspects = time.perf_counter(), EncodedPhoto(data), self._earlier.rows
        is_suspect, timeout_s = request.row in suspects or len(suspects) >= _WARY, self._job.spec.options.timeout_s
        decoded: dict[PreprocessSpec, Pixels | ImageError] = {}
        for spec in dict.fromkeys(specs):
            try:
                if is_suspect:
                    decoded[spec] = decode_in_sandbox(data, spec, timeout_s)
                else:
                    decoded[spec] = self._decode_here(request, photo, spec, timeout_s)
            except ImageError as error:
                decoded[spec] = error
        self.effort["decoded"] += 1
        self.effort["decode_s"] += time.perf_counter() - start
        return decoded

    def _decode_here(
        self, request: PhotoRequest, photo: EncodedPhoto, spec: PreprocessSpec, timeout_s: float
    ) -> Pixels:
        self._note(request.row)
        signal.setitimer(signal.ITIMER_REAL, timeout_s)
        try:
            with as_image_error(ImageFault.UNREADABLE, request.cell or ""):
                return photo.pixels(spec)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            self._note(None)

    def settle(self, row: int, result: Scored | PartRow, question: int, sha256: str | None, etag: str | None) -> None:
        """Store a row's result. ``question``: its index in the job."""
        self._columns[question].put(row, result, sha256, etag)

    @property
    def is_whole(self) -> bool:
        """Whether every row has a result for each question."""
        return all(columns.is_whole for columns in self._columns)

    def commit(self) -> Finished:
        """Write the part file of a complete chunk, unless the file exists. May run in any thread."""
        names = [question.name for question in self._job.questions]
        photos = PhotoWork.model_validate({name: round(value, 4) for name, value in self.effort.items()})
        seconds = time.monotonic() - self._start
        worker = f"{socket.gethostname()}:{os.getpid()}"
        with self._open:  # then :func:`attempt_on` deletes its file
            answers = dict(zip(names, (columns.table() for columns in self._columns), strict=True))
            work = self._before.plus(photos)
            data = part_bytes(answers, self._job.spec.id, worker, seconds, self._earlier.deaths, work)
            committed = self._job.storage.commit(self._key, data)
        forget_attempts(self._job.storage, self.number)
        worst = worst_results(list(answers.values()))
        outcomes = Counter(zip(worst.column("status").to_pylist(), worst.column("error").to_pylist(), strict=True))
        return Finished(self.number, committed, outcomes, seconds, photos)

    def give_up(self) -> None:
        """Abandon the chunk. Call it only while no photo is being decoded."""
        self._open.close()


def is_done(job: Job, chunk: int) -> bool:
    """Whether a chunk is finished, including its latest retry."""
    return job.storage.exists(part_key(chunk, job.retry().lowest_retry(chunk)))


@contextmanager
def attempt_on(storage: Storage, chunk: int) -> Iterator[Callable[[int | None], None]]:
    """Record an attempt to label a chunk in a file, which remains if the process is killed.

    Yields a function to write the current row's index into this file. None clears the file.
    """
    folder = storage.scratch / _FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    marker = folder / f"{chunk:06d}.{uuid.uuid4().hex[:12]}"
    handle = os.open(marker, os.O_CREAT | os.O_EXCL | os.O_WRONLY)

    def note(row: int | None) -> None:
        os.pwrite(handle, f"{'' if row is None else row:<{_WIDTH}}".encode(), 0)

    try:
        yield note
    finally:
        os.close(handle)
        marker.unlink(missing_ok=True)


class Earlier(NamedTuple):
    """Other attempts to label this chunk, running or killed. ``deaths``: attempts. ``rows``: rows being decoded."""

    deaths: int
    rows: frozenset[int]


def earlier_attempts(storage: Storage, chunk: int) -> Earlier:
    """Find other attempts to label a chunk, from the files of :func:`attempt_on`."""
    deaths, rows = 0, set[int]()
    for marker in _markers(storage, chunk):
        with suppress(FileNotFoundError):  # the attempt has just ended
            rows.update(int(row) for row in marker.read_text().split() if row.isdecimal())
            deaths += 1
    return Earlier(deaths, frozenset(rows))


def forget_attempts(storage: Storage, chunk: int) -> None:
    """Delete the files of a chunk's earlier attempts."""
    for marker in _markers(storage, chunk):
        marker.unlink(missing_ok=True)


def _markers(storage: Storage, chunk: int) -> list[Path]:
    return sorted((storage.scratch / _FOLDER).glob(f"{chunk:06d}.{'[0-9a-f]' * _WIDTH}"))


def main(spec_json: str, timeout_s: str, memory_bytes: str) -> int:
    """Decode one photo from stdin, within a time and a memory limit.

    Exit status 0: stdout holds the pixels. ``REFUSED``: stdout holds a JSON object with ``fault`` and ``message``. Any
    other: the photo killed the process.
    """
    spec = PreprocessSpec.model_validate_json(spec_json)
    data = sys.stdin.buffer.read()
    resource.setrlimit(resource.RLIMIT_AS, (int(memory_bytes), int(memory_bytes)))
    signal.signal(signal.SIGALRM, signal.SIG_DFL)  # ends the process even if a decoder holds the GIL
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
