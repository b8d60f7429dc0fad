"""Bundles that are kept in a storage, and brought back to this machine: whole, or not at all."""

import hashlib
import shutil
import uuid
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from models.bundle import MANIFEST_FILE, Bundle
from models.errors import BundleError
from models.manifest import parse_manifest
from models.storage.storage import Storage
from models.whole_file import write_synced

__all__ = ["bring", "bring_bundle", "is_whole", "keep", "keep_bundle"]


def keep_bundle(storage: Storage, bundle: Bundle) -> None:
    """Write a bundle's files, the manifest last. What is there already is checked, and mended where it is wrong.

    Args:
        storage: the folder of this one bundle.
        bundle: to keep.

    Raises:
        BundleError: a file of it is not the one that was exported, or it is replaced at this moment.
    """
    for name in bundle.manifest.files:
        keep(storage, name, bundle.read(name))
    manifest = (bundle.path / MANIFEST_FILE).read_bytes()
    if hashlib.sha256(manifest).hexdigest() != bundle.digest:
        msg = f"{bundle.path} was replaced while it was being copied; try again."
        raise BundleError(msg)
    keep(storage, MANIFEST_FILE, manifest)


def keep(storage: Storage, key: str, data: bytes) -> None:
    """Write what may have been written before; nothing is written where it is right already."""
    if not storage.commit(key, data) and storage.read(key) != data:
        storage.replace(key, data)


def is_whole(here: Path) -> bool:
    """Whether a bundle that was brought to this machine still has all its files, of which a cleaner may take any."""
    try:
        manifest = (here / MANIFEST_FILE).read_bytes()
        return all((here / name).is_file() for name in parse_manifest(manifest, str(here)).files)
    except (OSError, BundleError):
        return False


def bring_bundle(storage: Storage, here: Path) -> None:
    """Copy a bundle to a folder of this machine, which appears when all of it is there.

    Args:
        storage: the folder of this one bundle.
        here: where it goes; another process may bring the same at this moment.

    Raises:
        FileNotFoundError: it is not there, or not whole.
        BundleError: a file of it is damaged.
    """
    bring(_files(storage), here)


def bring(files: Iterable[tuple[str, bytes]], here: Path) -> None:
    """Write files into a folder of this machine, which appears with the last of them.

    A folder that is there already and lacks one of the files is replaced; a whole one stays.
    """
    temporary = here.with_name(f".{here.name}.{uuid.uuid4().hex}")
    remains = temporary.with_suffix(".remains")
    names = []
    try:
        for name, data in files:
            (temporary / name).parent.mkdir(parents=True, exist_ok=True)
            write_synced(temporary / name, data)
            names.append(name)
        if here.is_dir() and not all((here / name).is_file() for name in names):
            with suppress(FileNotFoundError):  # another process has just moved it away
                here.rename(remains)
        temporary.rename(here)
    except FileNotFoundError:
        raise
    except OSError:
        if not here.is_dir():  # unless another process has just brought it
            raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.rmtree(remains, ignore_errors=True)


def _files(storage: Storage) -> Iterator[tuple[str, bytes]]:
    manifest = storage.read(MANIFEST_FILE)
    for name, digest in parse_manifest(manifest, f"{storage.place}/{MANIFEST_FILE}").files.items():
        data = storage.read(name)
        if hashlib.sha256(data).hexdigest() != digest:
            msg = f"{storage.place}/{name} is not the file that was exported; put the bundle there again."
            raise BundleError(msg)
        yield name, data
    yield MANIFEST_FILE, manifest
