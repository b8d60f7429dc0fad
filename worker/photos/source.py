"""Where a labelling process gets its photos: from disk as it takes them, from elsewhere ahead of that."""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final

from models.errors import ImageError, ImageFault
from worker.job import Job
from worker.photos.address import Addresses
from worker.photos.background import Background
from worker.photos.cells import Cells, OnDisk, Written
from worker.photos.fetch import Ask, Chunk
from worker.photos.limits import Limits
from worker.photos.photo import Photo, PhotoSource, Wanted
from worker.photos.target import Scheme, Target
from worker.photos.unforeseen import fails_its_photo

if TYPE_CHECKING:
    from worker.photos.names import Lookup

__all__ = ["limits_of", "open_photos"]

_BACKLOG: Final = 512
"""Photos on disk that may be waiting while more URLs are asked for."""


def open_photos(job: Job, limits: Limits | None = None, lookup: "Lookup | None" = None) -> PhotoSource:
    """Everything a process needs to bring a job's photos.

    Nothing is connected, and no thread begun, before a URL is wanted; it does not go through a fork then.

    Args:
        job: the job.
        limits: what downloading may take; what the job asks for where they are not given.
        lookup: finds the addresses of host names; the system's where it is not given.

    Raises:
        InputError: a host in ``allow_hosts`` is not ``HOST:PORT``.
        JobError: paths start at a URL that nothing can be joined to.
    """
    addresses = Addresses(job.spec.options.allow_hosts or ())
    return _Photos(Cells(job), partial(_downloads, limits or limits_of(job), addresses, lookup))


def limits_of(job: Job) -> Limits:
    """What downloading may take, as the job asks for it."""
    limits = Limits()
    if job.spec.per_host:
        limits = replace(limits, per_host=job.spec.per_host, per_bucket=job.spec.per_host)
    if job.spec.options.download_timeout_s:
        limits = replace(limits, total_s=job.spec.options.download_timeout_s)
    return limits


def _downloads(limits: Limits, addresses: Addresses, lookup: "Lookup | None") -> Background:
    from worker.photos.clients import Clients
    from worker.photos.names import system_lookup

    return Background(limits, lambda: Clients(limits, addresses, lookup or system_lookup))


class _Photos:
    """See :class:`PhotoSource`."""

    def __init__(self, cells: Cells, downloads: Callable[[], Background]) -> None:
        self._cells = cells
        self._begin = downloads
        self._downloads: Background | None = None
        self._here: deque[tuple[Ask, OnDisk | Written | ImageError]] = deque()
        self._chunks: dict[int, Chunk] = {}

    def want(self, photos: Sequence[Wanted], etags: Mapping[str, str]) -> None:
        """See :meth:`PhotoSource.want`.

        Raises:
            JobError: a photo is in S3, and this machine lacks the packages for it.
        """
        elsewhere: list[tuple[Ask, Target, str | None]] = []
        for wanted in photos:
            chunk = self._chunks.setdefault(wanted.chunk, Chunk())
            chunk.left += 1
            ask = Ask(wanted, chunk)
            place = self._place(wanted.cell)
            if isinstance(place, Target):
                elsewhere.append((ask, place, etags.get(place.text)))
            else:
                self._here.append((ask, place))
        if elsewhere:
            self._download(elsewhere)

    def take(self, timeout_s: float) -> Photo | None:
        """See :meth:`PhotoSource.take`.

        Raises:
            JobError: this machine lacks what S3 asks for.
        """
        photo = self._downloads.take(0.0) if self._downloads else None
        if photo is None:
            photo = self._read_next()
        if photo is None and self._downloads:
            photo = self._downloads.take(timeout_s)
        if photo:
            self._count_out(photo.wanted.chunk)
        return photo

    def forget(self, chunk: int) -> None:
        """See :meth:`PhotoSource.forget`."""
        forgotten = self._chunks.pop(chunk, None)
        if forgotten is None:
            return
        forgotten.given_up = True
        self._here = deque(entry for entry in self._here if entry[0].chunk is not forgotten)
        if self._downloads and forgotten.downloading:
            self._downloads.forget(forgotten)

    def url_of(self, cell: str | None) -> str | None:
        """See :meth:`PhotoSource.url_of`."""
        return self._cells.url(cell)

    @property
    def hungry(self) -> bool:
        """See :attr:`PhotoSource.hungry`."""
        return self._downloads is not None and self._downloads.hungry and len(self._here) < _BACKLOG

    def close(self) -> None:
        """See :meth:`PhotoSource.close`."""
        if self._downloads:
            self._downloads.close()

    def _place(self, cell: str | None) -> OnDisk | Written | Target | ImageError:
        try:
            return self._cells.place(cell)
        except ImageError as error:
            return error

    def _download(self, asked: list[tuple[Ask, Target, str | None]]) -> None:
        if any(target.scheme is Scheme.S3 for _, target, _ in asked):
            from worker.photos.clients import check_s3

            check_s3()
        if self._downloads is None:
            self._downloads = self._begin()
        self._downloads.want(asked)

    def _read_next(self) -> Photo | None:
        if not self._here:
            return None
        ask, place = self._here.popleft()
        if isinstance(place, ImageError):
            return Photo(ask.wanted, place)
        try:
            with fails_its_photo(ImageFault.UNREADABLE, ask.wanted.cell or ""):
                return Photo(ask.wanted, place.read())
        except ImageError as error:
            return Photo(ask.wanted, error)

    def _count_out(self, number: int) -> None:
        chunk = self._chunks[number]
        chunk.left -= 1
        if not chunk.left:
            del self._chunks[number]
