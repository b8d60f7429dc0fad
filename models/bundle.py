"""Bundles: folders with an exported model. Reads, checks and copies bundles."""

import hashlib
import shutil
import uuid
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Final

from models.errors import BundleError, InputError
from models.manifest import Manifest, ModelMetadata, parse_file
from models.whole_file import write_synced

if TYPE_CHECKING:
    from models.storage.storage import Storage

MANIFEST_FILE: Final = "manifest.json"
LABELS_FILE: Final = "labels.txt"
MAX_MANIFEST_BYTES: Final = 64 * 1024 * 1024
"""The largest allowed manifest, in bytes (enough for a hundred thousand classes)."""
MAX_FILE_BYTES: Final = 2 * 1024**3
"""The largest allowed ONNX file, in bytes: protobuf's own limit."""


@dataclass(frozen=True)
class Bundle:
    """A bundle with a parsed manifest.

    Attributes:
        digest: SHA-256 of ``manifest.json``, which contains the SHA-256 of every other file.
    """

    path: Path
    manifest: Manifest
    digest: str

    def read(self, name: str) -> bytes:
        """Read one file of the bundle and check its SHA-256. Raises BundleError."""
        expected = self.manifest.files.get(name)
        if expected is None:
            msg = f"Expected {name} in the manifest of {self.path}, but it is not listed; export the bundle again."
            raise BundleError(msg)
        self.check_place(name)
        data = read_file(self.path / name)
        digest = hashlib.sha256(data).hexdigest()
        if digest != expected:
            msg = (
                f"{self.path / name} is not the file that was exported: expected SHA-256 {expected[:12]}…, "
                f"got {digest[:12]}…; copy the bundle again."
            )
            raise BundleError(msg)
        return data

    def check_place(self, name: str) -> None:
        """Check that a file exists inside the folder and has at most ``MAX_FILE_BYTES``. Raises BundleError."""
        _check_place(self.path.resolve(), name, MAX_FILE_BYTES)

    def check_labels(self) -> None:
        """Check that ``labels.txt`` lists the manifest's labels in the same order. Raises BundleError."""
        if self.read(LABELS_FILE) != labels_text(self.manifest.labels):
            msg = f"{self.path / LABELS_FILE} and the manifest name different labels; export the bundle again."
            raise BundleError(msg)

    def check_metadata(self, metadata: ModelMetadata, variant: str, file: str) -> None:
        """Check that the metadata of a variant's ONNX file agree with the manifest. Raises BundleError."""
        different = [name for name, value in self.manifest.metadata(variant) if getattr(metadata, name) != value]
        if different:
            msg = (
                f"The manifest of {self.path} and the metadata of {file} disagree on {', '.join(different)}; "
                "export the bundle again."
            )
            raise BundleError(msg)


def open_bundle(path: Path) -> Bundle:
    """Read a bundle's manifest. Check that every listed file exists inside the folder.

    Raises InputError, BundleError.
    """
    bundle = read_manifest(path)
    for name in bundle.manifest.files:
        bundle.check_place(name)
    return bundle


def read_manifest(path: Path) -> Bundle:
    """Read a bundle's manifest without checking the files. Raises InputError, BundleError."""
    place = path / MANIFEST_FILE
    if not place.is_file():
        if (path / "args.json").is_file():
            msg = f"{path} is a run, not a bundle; export it with hangtag export {quote(str(path))}"
            raise BundleError(msg)
        expected = f"Expected a bundle (a folder with {MANIFEST_FILE}) at {path}, found"
        if path.exists():
            msg = f"{expected} none; make one with hangtag export."
            raise BundleError(msg)
        msg = f"{expected} nothing; check the path, or make one with hangtag export."
        raise InputError(msg)
    _check_place(path.resolve(), MANIFEST_FILE, MAX_MANIFEST_BYTES)
    text = read_file(place)
    return Bundle(path, parse_file(Manifest, text, str(place)), hashlib.sha256(text).hexdigest())


def read_file(place: Path) -> bytes:
    """Read a model's file. Raises BundleError."""
    try:
        return place.read_bytes()
    except OSError as error:
        msg = f"Expected to read {place}, but the system answered {error}; copy the file again."
        raise BundleError(msg) from error


def _check_place(root: Path, name: str, most: int) -> None:
    try:
        file = (root / name).resolve()
        exists = file.is_file()
        size = file.stat().st_size if exists else 0
    except (OSError, RuntimeError, ValueError) as error:  # for example a symlink loop or an invalid name
        msg = f"Expected {name!r} in the bundle {root}, but the system answered {error}; copy the bundle again."
        raise BundleError(msg) from error
    if not file.is_relative_to(root):
        msg = f"{name} in the bundle {root} leads outside, to {file}; do not use the bundle, and ask its sender."
        raise BundleError(msg)
    if not exists:
        msg = f"Expected {name} in the bundle {root}, but it is missing; copy the bundle again."
        raise BundleError(msg)
    if size > most:
        msg = f"Expected at most {most:,} bytes in {name} of the bundle {root}, found {size:,}; do not use this bundle."
        raise BundleError(msg)


def labels_text(labels: tuple[str, ...]) -> bytes:
    """The contents of ``labels.txt``: one label per line, in the order of the probabilities."""
    return "".join(f"{label}\n" for label in labels).encode()


def keep_bundle(storage: "Storage", bundle: Bundle) -> None:
    """Write a bundle's files into a storage, the manifest last. Damaged files are replaced. Raises BundleError."""
    for name in bundle.manifest.files:
        keep(storage, name, bundle.read(name))
    manifest = (bundle.path / MANIFEST_FILE).read_bytes()
    if hashlib.sha256(manifest).hexdigest() != bundle.digest:
        msg = f"{bundle.path} was replaced while it was being copied; try again."
        raise BundleError(msg)
    keep(storage, MANIFEST_FILE, manifest)


def keep(storage: "Storage", key: str, data: bytes) -> None:
    """Write a file, unless the storage already has the same bytes."""
    with suppress(FileNotFoundError):
        if storage.read(key) == data:
            return
    if not storage.commit(key, data):
        storage.replace(key, data)


def is_whole(here: Path) -> bool:
    """Whether a local copy of a bundle still has all its files. Clean-up programs may remove files."""
    try:
        manifest = (here / MANIFEST_FILE).read_bytes()
        return all((here / name).is_file() for name in parse_file(Manifest, manifest, str(here)).files)
    except (OSError, BundleError):
        return False


def bring_bundle(storage: "Storage", here: Path) -> None:
    """Copy a bundle from a storage to a local folder, which appears only when it is complete.

    Other processes may copy the same bundle at the same time. Raises FileNotFoundError, BundleError.
    """
    bring(_files(storage), here)


def bring(files: Iterable[tuple[str, bytes]], here: Path) -> None:
    """Write files into a local folder, which appears only when it is complete.

    An existing folder is replaced if it lacks any of the files.
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
            with suppress(FileNotFoundError):  # another process has just moved the folder
                here.rename(remains)
        temporary.rename(here)
    except FileNotFoundError:
        raise
    except OSError:
        if not here.is_dir():  # if the folder exists, another process has just copied the bundle
            raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.rmtree(remains, ignore_errors=True)


def _files(storage: "Storage") -> Iterator[tuple[str, bytes]]:
    manifest = storage.read(MANIFEST_FILE)
    for name, digest in parse_file(Manifest, manifest, f"{storage.place}/{MANIFEST_FILE}").files.items():
        data = storage.read(name)
        if hashlib.sha256(data).hexdigest() != digest:
            msg = f"{storage.place}/{name} is not the file that was exported; put the bundle there again."
            raise BundleError(msg)
        yield name, data
    yield MANIFEST_FILE, manifest
