"""Makes small, upright pictures of photos for web pages."""

import asyncio
import base64
import hashlib
import textwrap
import threading
import time
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import closing
from dataclasses import dataclass
from itertools import count
from queue import Empty, SimpleQueue
from typing import Final

import pyarrow as pa
from markupsafe import escape
from starlette.concurrency import run_in_threadpool

from catalogue.photo import DownloadLimits, PhotoRequest
from catalogue.photos import Photos, open_photos
from models.errors import HangtagError, ImageError, ImageFault
from models.process import usable_cores
from web.classifier_pool import fault_of_death
from web.classifier_process import ClassifierProcess, ProcessDied
from worker.job.job import Job, images_of, photos_of

SIDES: Final = (96, 200, 400, 800, 1600)
"""Sizes of pictures, in pixels of the longer side."""
_ROOM_FOR_WORDS: Final = 400
_TICK_S: Final = 0.02
_PATIENCE_S: Final = 20.0
_MOST_JOBS: Final = 4
_CHUNKS: Final = 32
_PROCESSES: Final = 4
"""Minimum number of processes that make pictures. Slow photos may keep some processes busy."""
_SVG: Final = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 400 300" width="400" height="300" role="img">'
    '<rect width="400" height="300" fill="#8883"/><g font-family="system-ui, sans-serif" text-anchor="middle" '
    'fill="#6b7580"><text x="200" y="{y}" font-size="{size}" font-weight="600">{title}</text>{lines}</g></svg>'
)


@dataclass(frozen=True)
class Picture:
    """A picture file.

    Attributes:
        kind: its media type.
        fault: why the picture is a placeholder; None for a photo.
    """

    data: bytes
    kind: str = "image/jpeg"
    fault: ImageFault | None = None


class CatalogueRows:
    """Reads rows of jobs' catalogues, a chunk at a time. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # an open Parquet file may be read by only one thread at a time
        self._chunks: OrderedDict[tuple[str, int], pa.Table] = OrderedDict()

    def row(self, job: Job, row: int) -> pa.Table:
        """One row, by its position in the catalogue (from 0)."""
        chunk, place = divmod(row, job.spec.chunk_rows)
        return self._chunk(job, chunk).slice(place, 1)

    def image(self, job: Job, row: int) -> str | None:
        """The image cell of a row."""
        return images_of(job, self.row(job, row))[0]

    def _chunk(self, job: Job, chunk: int) -> pa.Table:
        key = (job.spec.id, chunk)
        with self._lock:
            table = self._chunks.pop(key, None)
            if table is None:
                table = job.chunk_table(chunk)
            self._chunks[key] = table
            while len(self._chunks) > _CHUNKS:
                self._chunks.popitem(last=False)
        return table


class Pictures:
    """Makes pictures of rows' photos, and caches the latest pictures.

    Args:
        most_bytes: limit of all cached pictures, and of all cached photos, in bytes.
        decode_s: timeout for decoding a photo, in seconds.
    """

    def __init__(self, rows: CatalogueRows, most_bytes: int = 128 * 1024 * 1024, decode_s: float = 10.0) -> None:
        self._rows = rows
        self._most = most_bytes
        self._kept = _Kept(most_bytes)
        self._decode_s = decode_s
        self._turns = asyncio.Semaphore(max(_PROCESSES, usable_cores()))
        self._idle: list[ClassifierProcess] = []
        self._readers: OrderedDict[str, _Reader] = OrderedDict()
        self._lock = threading.Lock()

    async def picture(self, job: Job, row: int, side: int, sha256: str = "") -> Picture:
        """The photo of a row (from 0). ``side`` is rounded up to one of :data:`SIDES`.

        A placeholder if the photo cannot be shown, or its SHA-256 does not begin with ``sha256``. Placeholders are not
        cached.
        """
        side = next((known for known in SIDES if known >= side), SIDES[-1])
        key = f"{job.spec.id} {row} {side} {sha256}"
        data = self._kept.get(key)
        if data is None:
            try:
                fetching = asyncio.wrap_future(await run_in_threadpool(self._fetch, job, row))
                # other requests may also wait for this photo
                photo = await asyncio.wait_for(asyncio.shield(fetching), _PATIENCE_S)
                if not hashlib.sha256(photo).hexdigest().startswith(sha256):
                    return placeholder(
                        ImageFault.MISSING, "The photo has changed since it was labelled; skip it.", side
                    )
                data = await self.draw(photo, side)
            except ImageError as error:
                return placeholder(error.fault, str(error), side)
            except (HangtagError, TimeoutError) as error:
                return placeholder(ImageFault.DOWNLOAD, str(error) or "The photo did not arrive in time.", side)
            self._kept.put(key, data)
        return Picture(data)

    async def draw(self, photo: bytes, side: int) -> bytes:
        """The photo as an upright sRGB JPEG that fits into ``side`` × ``side`` pixels.

        Raises HangtagError.
        """
        async with self._turns:
            process = self._idle.pop() if self._idle else await ClassifierProcess.start(None, self._decode_s)
            try:
                (answer,) = await process.ask([{"side": side}], [photo])
            except ProcessDied as died:
                fault, words = fault_of_death(died.status, self._decode_s)
                raise ImageError(words, fault) from None
            except BaseException:  # the request has ended
                await process.end()
                raise
            self._idle.append(process)
        if "error" in answer:
            raise ImageError(answer["error_message"], ImageFault(answer["error"]))
        return base64.b64decode(answer["picture"])

    def fetch_ahead(self, job: Job, rows: Iterable[int]) -> None:
        """Begin to read the photos of rows that the page will soon show."""
        for row in rows:
            self._fetch(job, row)

    async def close(self) -> None:
        """End the threads and processes."""
        while self._idle:
            await self._idle.pop().end()
        with self._lock:
            while self._readers:
                self._readers.popitem()[1].close()

    def _fetch(self, job: Job, row: int) -> "Future[bytes]":
        cell = self._rows.image(job, row)
        with self._lock:
            reader = self._readers.pop(job.spec.id, None) or _Reader(job, _Kept(self._most // _MOST_JOBS))
            self._readers[job.spec.id] = reader
            while len(self._readers) > _MOST_JOBS:
                self._readers.popitem(last=False)[1].close()
            return reader.fetch(cell)


def placeholder(fault: ImageFault, message: str, side: int) -> Picture:
    """A placeholder that shows why the photo is missing. A small placeholder shows only the fault."""
    words = fault.value.replace("_", " ")
    if side < _ROOM_FOR_WORDS:
        return _drawing(_SVG.format(title=escape(words), y=170, size=60, lines=""), fault)
    lines = textwrap.wrap(message, 52)[:5]
    spans = "".join(
        f'<text x="200" y="{145 + 22 * number}" font-size="14">{escape(line)}</text>'
        for number, line in enumerate(lines)
    )
    return _drawing(_SVG.format(title=escape(f"No photo: {words}"), y=110, size=20, lines=spans), fault)


def _drawing(svg: str, fault: ImageFault) -> Picture:
    return Picture(svg.encode("utf-8", "replace"), "image/svg+xml", fault)


def fetch_photos(
    cells: Mapping[int, str | None], root: str, allow_hosts: Sequence[str], limits: DownloadLimits, within_s: float
) -> Iterator[tuple[int, bytes | ImageError]]:
    """Read the photos of catalogue cells, as a labelling job does. Raises HangtagError.

    Args:
        cells: maps a key to a path, a URL or a data URI.
        root: where relative paths start. Photos on disk must be inside this folder.
        allow_hosts: hosts that may have private addresses, each ``HOST:PORT``.
        limits: limits of downloads.
        within_s: seconds for all photos.

    Yields:
        The key of each photo, with the photo's bytes or the error.
    """
    missing = set(cells)
    until = time.monotonic() + within_s
    with closing(open_photos(root, allow_hosts, limits, confined=True)) as photos:
        photos.request([PhotoRequest(0, place, cell) for place, cell in cells.items()], {})
        while missing and (left_s := until - time.monotonic()) > 0:
            photo = photos.take(left_s)
            if photo and photo.outcome is not None:
                missing.remove(photo.request.row)
                yield photo.request.row, photo.outcome
    late = ImageError(f"The photo did not arrive within {within_s:g} s; try again.", ImageFault.DOWNLOAD)
    yield from ((place, late) for place in missing)


class _Kept:
    def __init__(self, most: int) -> None:
        self._most, self._size = most, 0
        self._data: OrderedDict[str, bytes] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: str) -> bytes | None:
        with self._lock:
            if key in self._data:
                self._data.move_to_end(key)
            return self._data.get(key)

    def put(self, key: str, data: bytes) -> None:
        with self._lock:
            self._size += len(data) - len(self._data.pop(key, b""))
            self._data[key] = data
            while self._size > self._most and self._data:
                self._size -= len(self._data.popitem(last=False)[1])


_Waiting = dict[int, tuple[str, Future[bytes]]]
"""Photos that are being read: maps each id to the photo's cell and future."""


class _Reader:
    def __init__(self, job: Job, kept: _Kept) -> None:
        self._job, self._kept = job, kept
        self._queue: SimpleQueue[tuple[str, Future[bytes]] | None] = SimpleQueue()
        self._fetching: dict[str, Future[bytes]] = {}
        self._lock = threading.Lock()
        threading.Thread(target=self._run, name="photos", daemon=True).start()

    def fetch(self, cell: str | None) -> "Future[bytes]":
        key = cell or ""
        with self._lock:
            if future := self._fetching.get(key):
                return future
            future = Future()
            if (data := self._kept.get(key)) is not None:
                future.set_result(data)
                return future
            self._fetching[key] = future
        self._queue.put((key, future))
        return future

    def close(self) -> None:
        self._queue.put(None)

    def _run(self) -> None:
        while (first := self._queue.get()) is not None:
            waiting: _Waiting = {0: first}
            try:
                with closing(photos_of(self._job)) as photos:
                    photos.request([PhotoRequest(0, 0, first[0] or None)], {})
                    self._fetch_all(photos, waiting)
                self._fail(waiting, ImageError("The server ends.", ImageFault.DOWNLOAD))
                return
            except HangtagError as error:  # such as missing credentials
                self._fail(waiting, error)

    def _fetch_all(self, photos: Photos, waiting: _Waiting) -> None:
        for number in count(1):
            try:
                entry = self._queue.get(block=not waiting)
                if entry is None:
                    return
                waiting[number] = entry
                photos.request([PhotoRequest(0, number, entry[0] or None)], {})
            except Empty:
                pass
            if photo := photos.take(_TICK_S):
                key, future = waiting.pop(photo.request.row)
                with self._lock:
                    self._fetching.pop(key, None)
                    if isinstance(photo.outcome, bytes):
                        self._kept.put(key, photo.outcome)
                if isinstance(photo.outcome, bytes):
                    future.set_result(photo.outcome)
                else:
                    future.set_exception(photo.outcome or ImageError("The host sent nothing.", ImageFault.DOWNLOAD))

    def _fail(self, waiting: _Waiting, error: HangtagError) -> None:
        for key, future in waiting.values():
            with self._lock:
                self._fetching.pop(key, None)
            future.set_exception(error)
