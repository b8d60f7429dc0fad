"""Reads photos from disk, and downloads photos ahead of time in a thread."""

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from catalogue.photo import DownloadLimits, Photo, PhotoLocator, PhotoRequest, ReadPhoto, as_image_error
from catalogue.urls import Target, check_allow_hosts, checked_headers
from models.errors import ImageError, ImageFault

if TYPE_CHECKING:
    from catalogue.addresses import Lookup
    from catalogue.downloads import Download, Downloads

_BACKLOG: Final = 512
"""Number of unread local photos at which no more URLs are requested."""
_WAIT_S: Final = 1.0


def open_photos(
    root: str,
    allow_hosts: Sequence[str] = (),
    limits: DownloadLimits | None = None,
    lookup: "Lookup | None" = None,
    *,
    headers: Sequence[str] = (),
    confined: bool = False,
) -> "Photos":
    """Open the photos of a catalogue. The first URL starts a thread: do not fork later.

    Args:
        root: base of relative paths, a folder or a URL.
        allow_hosts: hosts that may have private addresses, each ``HOST:PORT``.
        limits: limits of downloads.
        lookup: looks host names up.
        headers: headers for all hosts, each ``NAME: VALUE``.
        confined: whether photos on disk must be inside ``root``.

    Raises InputError, JobError.
    """
    limits = limits or DownloadLimits()
    check_allow_hosts(allow_hosts)
    extra = checked_headers(headers)

    def downloads() -> "Downloads":
        from catalogue.addresses import Addresses, system_lookup
        from catalogue.clients import Clients
        from catalogue.downloads import Downloads

        return Downloads(limits, lambda: Clients(limits, Addresses(allow_hosts), lookup or system_lookup, extra))

    return Photos(PhotoLocator(root, confined=confined), downloads)


class Photos:
    """Reads photos from disk on demand, and downloads many in parallel, ahead of time. Not thread-safe."""

    def __init__(self, cells: PhotoLocator, start_downloads: "Callable[[], Downloads]") -> None:
        self._cells = cells
        self._start_downloads = start_downloads
        self._downloads: Downloads | None = None
        self._local: deque[tuple[PhotoRequest, ReadPhoto]] = deque()
        self._rows: dict[Download, list[PhotoRequest]] = {}
        self._arrived: deque[Photo] = deque()

    def request(self, photos: Sequence[PhotoRequest], etags: Mapping[str, str]) -> None:
        """Request photos, most urgent first.

        ``etags``: the ETag of each URL, for conditional requests.
        """
        new: list[Download] = []
        for request in photos:
            try:
                place = self._cells.place(request.cell)
            except ImageError as error:
                self._arrived.append(Photo(request, error))
                continue
            if not isinstance(place, Target):
                self._local.append((request, place))
                continue
            download = (place, etags.get(place.text))
            if download not in self._rows:
                self._rows[download] = []
                new.append(download)
            self._rows[download].append(request)
        if new:
            self._downloads = self._downloads or self._start_downloads()
            self._downloads.request(new)

    def take(self, timeout_s: float) -> Photo | None:
        """Return any requested photo.

        None if no photo arrives within ``timeout_s``. If no download is finished, this thread reads a photo from disk.
        Raises JobError.
        """
        return self._downloaded(0.0) or self._read_next() or self._downloaded(timeout_s)

    def fetch_each(self, photos: Sequence[PhotoRequest], advance: Callable[[int, int], None]) -> Iterator[Photo]:
        """Request photos, and yield each when it arrives. Calls ``advance(done, total)`` at least once a second."""
        self.request(photos, {})
        done = 0
        while done < len(photos):
            photo = self.take(_WAIT_S)
            done += photo is not None
            advance(done, len(photos))
            if photo:
                yield photo

    def _downloaded(self, timeout_s: float) -> Photo | None:
        deadline = time.monotonic() + timeout_s
        while not self._arrived:
            arrival = self._downloads.take(deadline - time.monotonic()) if self._downloads and self._rows else None
            if arrival is None:
                return None
            took = (arrival.seconds, arrival.downloaded)  # later rows with this photo get 0
            for row in self._rows.pop(arrival.download, ()):
                self._arrived.append(Photo(row, arrival.outcome, arrival.download[0].text, arrival.etag, *took))
                took = (0.0, 0)
        return self._arrived.popleft()

    def _read_next(self) -> Photo | None:
        if not self._local:
            return None
        request, read = self._local.popleft()
        try:
            with as_image_error(ImageFault.UNREADABLE, request.cell or ""):
                return Photo(request, read())
        except ImageError as error:
            return Photo(request, error)

    def forget(self, chunk: int) -> None:
        """Drop all photos of a chunk."""
        self._local = deque(entry for entry in self._local if entry[0].chunk != chunk)
        self._arrived = deque(photo for photo in self._arrived if photo.request.chunk != chunk)
        left = {download: [row for row in rows if row.chunk != chunk] for download, rows in self._rows.items()}
        self._rows = {download: rows for download, rows in left.items() if rows}
        if self._downloads and len(self._rows) < len(left):
            self._downloads.forget([download for download, rows in left.items() if not rows])

    def url_of(self, cell: str | None) -> str | None:
        """The URL of a cell's photo. None if the photo is on disk or in the cell itself."""
        return self._cells.url(cell)

    @property
    def wants_more(self) -> bool:
        """Whether more downloads could run in parallel. False if all photos are on disk."""
        return self._downloads is not None and self._downloads.wants_more and len(self._local) < _BACKLOG

    @property
    def on_disk(self) -> bool:
        """Whether all requested photos are on disk."""
        return self._downloads is None

    def close(self) -> None:
        """Stop all downloads."""
        if self._downloads:
            self._downloads.close()
