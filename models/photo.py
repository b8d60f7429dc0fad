"""Photo files on disk."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from models.errors import ImageError, ImageFault, InputError
from models.preprocess import MAX_BYTES

NONE: Final = "_none"
"""Label and folder name of photos without a product (hands, logos, size charts). Never a class."""

_LONGEST_SHOWN: Final = 200


_OF_SYSTEMS: Final = frozenset(
    {
        "__macosx",
        "@eadir",
        "@__thumb",
        "#recycle",
        "@recycle",
        "$recycle.bin",
        "recycler",
        "system volume information",
        "lost+found",
    }
    | {"thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "__pycache__"}
)
"""Files and folders that operating systems add, in lower case."""


def is_hidden(name: str) -> bool:
    """Whether a file or a folder is hidden, or was added by an operating system."""
    return name.startswith(".") or name.lower() in _OF_SYSTEMS


def read_photo(path: Path, within: Path | None = None) -> bytes:
    """Read a photo's bytes, at most ``MAX_BYTES``. Pipes and devices are refused, because reading them could block.

    ``within`` is a folder whose path contains no link. A file outside of this folder is refused, even if ``..`` or a
    link leads to the file. The opened file is checked, so it cannot be swapped before reading. Raises ImageError.
    """
    if within and (".." in path.parts or not path.is_relative_to(within)):  # checked before the file is opened
        raise _elsewhere(path, within)
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except (FileNotFoundError, NotADirectoryError) as error:
        msg = f"Expected a photo at {_shown(path)}, found nothing; check the path."
        raise ImageError(msg, ImageFault.MISSING) from error
    except PermissionError as error:
        msg = f"Expected to read {_shown(path)}, but the system refused; check its permissions."
        raise ImageError(msg, ImageFault.REFUSED) from error
    except (OSError, ValueError) as error:
        msg = f"Expected to read {_shown(path)!r}, got {getattr(error, 'strerror', error)}; check the path."
        raise ImageError(msg, ImageFault.MISSING) from error
    try:
        if within:
            _check_place(handle, path, within)
        status = os.fstat(handle)
        _check_regular(status, path)
        data = os.read(handle, status.st_size + 1)
        if len(data) == status.st_size:
            return data
        with os.fdopen(handle, "rb", closefd=False) as file:  # the file grows, or the disk returns its bytes in pieces
            return data + file.read()
    except OSError as error:
        msg = f"Expected to read {_shown(path)}, but the disk answered {error}."
        raise ImageError(msg, ImageFault.MISSING) from error
    finally:
        os.close(handle)


def _shown(path: Path) -> str:
    text = str(path)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[: _LONGEST_SHOWN // 2]}…{text[-40:]}"


def _check_place(handle: int, path: Path, within: Path) -> None:
    try:
        lies_at = Path(f"/proc/self/fd/{handle}").readlink()
    except OSError as error:
        raise _elsewhere(path, within) from error
    if not lies_at.is_relative_to(within):
        raise _elsewhere(path, within)


def _elsewhere(path: Path, within: Path) -> ImageError:
    msg = f"Expected a photo under {within}, got {_shown(path)!r}, which lies outside; put a copy into the folder."
    return ImageError(msg, ImageFault.REFUSED)


def _check_regular(status: os.stat_result, path: Path) -> None:
    if not stat.S_ISREG(status.st_mode):
        msg = f"Expected {_shown(path)} to be a file, found a folder, a pipe or a device."
        raise ImageError(msg)
    if status.st_size > MAX_BYTES:
        msg = f"Expected at most {MAX_BYTES:,} bytes in {_shown(path)}, found {status.st_size:,}; save a smaller copy."
        raise ImageError(msg, ImageFault.TOO_LARGE)


def walk_files(root: Path) -> Iterator[Path]:
    """Every file under a folder, folder by folder, sorted by name.

    Hidden files (:func:`is_hidden`) are left out. Links to folders are followed, each folder once. Raises InputError.
    """
    seen: set[tuple[int, int]] = set()

    def refuse(error: OSError) -> None:
        msg = f"Expected to read the folder {error.filename}, but the system answered {error.strerror}."
        raise InputError(msg) from error

    for folder, folders, files in os.walk(root, onerror=refuse, followlinks=True):
        status = os.stat(folder)  # noqa: PTH116 - a string, once for each folder
        known = (status.st_dev, status.st_ino) in seen
        seen.add((status.st_dev, status.st_ino))
        folders[:] = [] if known else sorted(name for name in folders if not is_hidden(name))
        here = Path(folder)
        yield from (here / name for name in sorted(files) if not known and not is_hidden(name))


def evenly(count: int, most: int) -> list[int]:
    """Up to ``most`` evenly spread indices below ``count``, in order."""
    most = min(count, most)
    return [i * count // most for i in range(most)]
