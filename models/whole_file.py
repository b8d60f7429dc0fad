"""Atomic writes: after a crash a file is complete or absent. Arrays contain no pickled objects."""

import errno
import glob
import io
import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TextIO
from zipfile import BadZipFile

from models.errors import DISK_FULL, InputError

if TYPE_CHECKING:
    import numpy.typing as npt


def replace_file(path: Path, data: bytes) -> None:
    """Replace a file by renaming a temporary file. Readers see the whole old file or the whole new file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_beside(path, data).replace(path)
    sync_folder(path.parent)


def write_beside(final: Path, data: bytes) -> Path:
    """Write a file under a temporary name in its final folder, and return that name."""
    temporary = final.with_name(f".{final.name}.{uuid.uuid4().hex}.tmp")
    try:
        with naming_full_disk(final.parent):
            write_synced(temporary, data)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return temporary


@contextmanager
def naming_full_disk(folder: Path) -> Iterator[None]:
    """Add the folder to a disk-full error, because Python's error may not name a file."""
    try:
        yield
    except OSError as error:
        if error.errno in DISK_FULL and not error.filename:
            error.filename = str(folder)
        raise


@contextmanager
def replacing(final: Path, ending: str = ".tmp") -> Iterator[Path]:
    """Yield a temporary path next to ``final``. The file is renamed when the block ends.

    The name is random, so that other users cannot put a link there. Temporary files of killed writers are removed
    first. Only one process may write ``final`` at a time. ``ending`` is for writers that insist on a file extension.
    """
    for left in final.parent.glob(f".{glob.escape(final.name)}.{'[0-9a-f]' * 32}{ending}"):
        with suppress(OSError):  # belongs to another user
            left.unlink()
    temporary = final.with_name(f".{final.name}.{uuid.uuid4().hex}{ending}")
    try:
        with naming_full_disk(final.parent):
            yield temporary
            sync_file(temporary)
        temporary.replace(final)
        sync_folder(final.parent)
    finally:
        temporary.unlink(missing_ok=True)


def open_lock(path: Path) -> TextIO:
    """Open a file to lock it. The content does not change, and links are not followed. Raises OSError."""
    return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666), "r+")


Link = Callable[[Path, Path], None]
"""Makes a hard link, like ``os.link``."""

_NO_LINKS: Final = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)


def link_new(temporary: Path, final: Path, link: Link = os.link) -> bool:
    """Link a file to its final name in the same folder, unless the name is taken.

    Returns:
        Whether this call made the link.

    Raises InputError.
    """
    try:
        link(temporary, final)
    except FileExistsError:
        return _has_two_names(temporary)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        msg = (
            f"Expected a file system with hard links under {final.parent}, so that only the first of several "
            f"writers wins; the system answered: {error.strerror}. exFAT, FAT and some network mounts have no "
            "hard links: move that folder to a disk with hard links (ext4, XFS, NFS), or to S3."
        )
        raise InputError(msg) from error
    return True


def _has_two_names(file: Path) -> bool:
    """Whether the link exists despite an error.

    NFS may lose the server's reply, try again, and report that the name exists (``O_EXCL`` in open(2)).
    """
    with file.open("rb") as handle:
        return os.fstat(handle.fileno()).st_nlink > 1


def write_synced(path: Path, data: bytes) -> None:
    """Write a new file and wait until the file is on the disk."""
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def sync_file(path: Path) -> None:
    """Wait until a file that another function wrote is on the disk."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Wait until the file names in a folder are on the disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_arrays(path: Path, **arrays: "npt.NDArray[Any]") -> None:
    """Write arrays into an ``.npz`` file, under their names."""
    import numpy as np

    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]
    replace_file(path, buffer.getvalue())


def read_arrays(path: Path, what: str, *names: str, advice: str = "train again") -> "dict[str, npt.NDArray[Any]]":
    """Read the arrays with these names, or all arrays. Raises InputError."""
    import numpy as np

    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in names or arrays.files}
    except (OSError, EOFError, KeyError, TypeError, ValueError, AttributeError, BadZipFile) as error:
        msg = f"Expected {what} in {path}, but the file is damaged or gone ({error!r}); {advice}."
        raise InputError(msg) from error
