"""What a cell of the catalogue's image column means: a photo on disk, one elsewhere, or one that it holds itself."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from models.errors import ImageError, ImageFault, JobError
from models.photo import read_photo
from worker.job import Job
from worker.photos.data_uri import photo_in
from worker.photos.target import Target, joined, parse_url, scheme_of
from worker.photos.unforeseen import fails_its_photo

__all__ = ["Cells", "OnDisk", "Written"]

_REMOTE: Final = frozenset({"http", "https", "s3"})


@dataclass(frozen=True)
class OnDisk:
    """A photo on this machine's disk.

    Attributes:
        path: where.
        within: the folder that it must really lie in; none where it may lie anywhere.
    """

    path: Path
    within: Path | None

    def read(self) -> bytes:
        """Its bytes; raises ``ImageError``."""
        return read_photo(self.path, self.within)


@dataclass(frozen=True)
class Written:
    """A photo that its cell holds."""

    uri: str

    def read(self) -> bytes:
        """Its bytes; raises ``ImageError``."""
        return photo_in(self.uri)


class Cells:
    """The cells of one job.

    Args:
        job: says where relative paths start, and whether photos may lie elsewhere.

    Raises:
        JobError: paths start at a URL that nothing can be joined to.
    """

    def __init__(self, job: Job) -> None:
        root = job.spec.image_root
        self._base = root.rstrip("/") if scheme_of(root) in _REMOTE else None
        if self._base and {"?", "#"} & set(self._base):
            msg = f"Expected an --image-root that paths can be joined to, got {root}; it must end before ? and #."
            raise JobError(msg)
        self._root = Path(root)
        self._within = self._root.resolve() if job.spec.confined else None

    def place(self, cell: str | None) -> OnDisk | Written | Target:
        """Where a cell's photo is.

        Raises:
            ImageError: ``missing`` (the cell is empty) or ``refused`` (a URL that is malformed, or of another scheme,
                or bytes that are no text).
        """
        if not cell:
            msg = "Expected the path or the URL of a photo, the cell is empty."
            raise ImageError(msg, ImageFault.MISSING)
        with fails_its_photo(ImageFault.REFUSED, repr(cell[:200])):
            return self._place(cell)

    def _place(self, cell: str) -> OnDisk | Written | Target:
        if not (cell.isascii() or _is_text(cell)):
            came = cell[:200].encode(errors="surrogateescape")
            msg = f"Expected the path or the URL of a photo in UTF-8, got {came!r}; save the catalogue in UTF-8."
            raise ImageError(msg, ImageFault.REFUSED)
        scheme = scheme_of(cell)
        if scheme is None:
            return self._on_disk(cell) if self._base is None else parse_url(joined(self._base, cell))
        if scheme == "data":
            return Written(cell)
        if scheme in _REMOTE:
            return parse_url(cell)
        msg = f"Expected a path, or a URL of http, https, s3 or data, got {cell[:200]!r} of {scheme[:40]}; copy it."
        raise ImageError(msg, ImageFault.REFUSED)

    def _on_disk(self, cell: str) -> OnDisk:
        path = self._root / cell
        if self._within and path.is_relative_to(self._root):
            path = self._within / path.relative_to(self._root)  # the folder as the system calls it
        return OnDisk(path, self._within)

    def url(self, cell: str | None) -> str | None:
        """Where a cell's photo is asked for; none where it does not come over a network, or not at all."""
        if not cell or (self._base is None and ":" not in cell):
            return None
        try:
            place = self.place(cell)
        except ImageError:
            return None
        return place.text if isinstance(place, Target) else None


def _is_text(cell: str) -> bool:
    """Whether a cell's bytes were UTF-8: others stand in it as lone surrogates."""
    try:
        cell.encode()
    except UnicodeEncodeError:
        return False
    return True
