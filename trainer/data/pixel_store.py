"""The on-disk cache: every photo is decoded once, and never again, whatever is trained on it.

A store is a folder for one preprocessing and one version of Pillow. Each training adds at most one shard:
``<id>.pixels``, ``uint8 (n, S, S, 3)``, and ``<id>.json``, which names the SHA-256 of the bytes behind each row. It is
renamed into place once it is whole. One that is damaged, or that a cleaner has taken, counts for nothing: its photos
are decoded again.
"""

import hashlib
import json
import os
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from models.errors import ImageError, ImageFault, InputError
from models.photo import read_photo
from models.preprocess import Pixels, PreprocessSpec, fingerprint
from models.whole_file import replace_file, sync_file
from trainer.data.photo_files import FaultKind, PhotoFault, changed
from worker.labelling.process_pool import Death, Farm
from worker.labelling.sandbox import decode_in_sandbox

__all__ = ["PixelStore"]

TIMEOUT_S: Final = 20.0


class PixelStore:
    """Pixels by the SHA-256 of the file they came from.

    Args:
        root: of all stores.
        spec: the preprocessing; each has a folder of its own.
    """

    def __init__(self, root: Path, spec: PreprocessSpec) -> None:
        self.spec = spec
        self._folder = root / fingerprint(spec)[:16]
        self._shards: list[npt.NDArray[np.uint8]] = []
        self._rows: dict[str, tuple[int, int]] = {}
        self._faults: dict[str, PhotoFault] = {}
        for index in sorted(self._folder.glob("*.json")):
            self._open_shard(index)

    def lacks(self, sha256: str) -> bool:
        """Whether a file has never been decoded."""
        return sha256 not in self._rows and sha256 not in self._faults

    def fault(self, sha256: str) -> PhotoFault | None:
        """Why a file could not be decoded, or none."""
        return self._faults.get(sha256)

    def take(self, sha256s: Sequence[str]) -> Pixels:
        """The pixels of some files, ``uint8 (n, S, S, 3)``, in the order asked."""
        size = self.spec.size
        pixels = np.empty((len(sha256s), size, size, 3), np.uint8)
        for place, sha256 in zip(pixels, sha256s, strict=True):
            shard, row = self._rows[sha256]
            place[:] = self._shards[shard][row]
        return pixels

    def add(self, files: Mapping[str, Path], workers: int, on_photo: Callable[[], None]) -> None:
        """Decode the files that are not in the store yet, a process a core.

        Args:
            files: SHA-256 → a file that had those bytes; one that has others by now is a fault, and pixels are kept
                under the SHA-256 of what was decoded.
            workers: how many processes.
            on_photo: called after each.

        Raises:
            InputError: the cache cannot be written to, or does not keep what is written.
        """
        new = [(sha256, path) for sha256, path in files.items() if self.lacks(sha256)]
        if not new:
            return
        with self._written():
            self._add_shard(new, workers, on_photo)
        if any(self.lacks(sha256) for sha256, _ in new):
            msg = (
                f"Expected the photos that were just decoded in {self._folder}, something has removed them; keep it "
                "from cleaning up there, and run it again."
            )
            raise InputError(msg)

    @contextmanager
    def _written(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            msg = f"Expected to keep decoded photos in {self._folder}, {error.strerror}; set XDG_CACHE_HOME elsewhere."
            raise InputError(msg) from error

    def _add_shard(self, files: list[tuple[str, Path]], workers: int, on_photo: Callable[[], None]) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        name = uuid.uuid4().hex[:12]
        pixels = self._folder / f".{name}.pixels.tmp"
        decoding = _Decoding(self.spec, pixels, files, on_photo)
        try:
            index = decoding.run(workers)
            sync_file(pixels)
            pixels.replace(self._folder / f"{name}.pixels")
        finally:
            pixels.unlink(missing_ok=True)
        replace_file(self._folder / f"{name}.json", json.dumps(index).encode())
        self._open_shard(self._folder / f"{name}.json")
        self._faults.update(decoding.passing)

    def _open_shard(self, index: Path) -> None:
        size = self.spec.size
        try:
            entries: list[dict[str, str]] = json.loads(index.read_bytes())
            pixels = np.memmap(index.with_suffix(".pixels"), np.uint8, "r").reshape(len(entries), size, size, 3)
        except (OSError, ValueError):
            return
        for row, entry in enumerate(entries):
            if "lost" in entry:
                continue
            if "fault" in entry:
                self._faults[entry["sha256"]] = PhotoFault(FaultKind(entry["fault"]), entry["message"])
            else:
                self._rows[entry["sha256"]] = (len(self._shards), row)
        self._shards.append(pixels)


class _Decoding:
    """Files into a new shard; a photo that kills its process is tried in a throw-away one.

    Attributes:
        passing: faults of reading a file rather than of its bytes, time limits, and files that have other bytes than
            expected: the next training tries again.
    """

    def __init__(
        self, spec: PreprocessSpec, pixels: Path, files: list[tuple[str, Path]], on_photo: Callable[[], None]
    ) -> None:
        self._spec = spec
        self._pixels = pixels
        self._files = files
        self._on_photo = on_photo
        self._entries: list[dict[str, str | bool]] = [{} for _ in files]
        self.passing: dict[str, PhotoFault] = {}

    def run(self, workers: int) -> list[dict[str, str | bool]]:
        """Decode everything; the shard's index, an entry a row."""
        size = self._spec.size
        with self._pixels.open("wb") as file:  # room for all of it now: a disk that fills up later would kill us
            os.posix_fallocate(file.fileno(), 0, len(self._files) * size * size * 3)
        lines = [json.dumps([row, str(path)]) for row, (_, path) in enumerate(self._files)]
        module = ("trainer.data.decode_process", self._spec.model_dump_json(), str(self._pixels), str(TIMEOUT_S))
        with (
            tempfile.TemporaryDirectory() as logs,
            Farm(module, workers, Path(logs), self._answered, self._died) as farm,
        ):
            farm.run(lines)
        return self._entries

    def _answered(self, line: str, reply: dict[str, Any]) -> None:
        fault = PhotoFault(FaultKind(reply["kind"]), reply["message"]) if "kind" in reply else None
        self._note(json.loads(line)[0], reply.get("sha256"), fault)

    def _died(self, death: Death) -> bool:
        row, path = json.loads(death.line)
        sha256, fault = None, None
        try:
            data = read_photo(Path(path))
            decoded = decode_in_sandbox(data, self._spec, TIMEOUT_S)
        except ImageError as error:
            fault = PhotoFault(FaultKind(error.fault), str(error))
            sha256 = hashlib.sha256(data).hexdigest() if error.fault is ImageFault.CRASHED else None
        else:
            size = self._spec.size
            np.memmap(self._pixels, np.uint8, "r+").reshape(-1, size, size, 3)[row] = decoded
            sha256 = hashlib.sha256(data).hexdigest()
        self._note(row, sha256, fault)
        return False

    def _note(self, row: int, sha256: str | None, fault: PhotoFault | None) -> None:
        """Keep what came of a photo under the SHA-256 of the bytes that were read; ``None``: keep nothing."""
        expected, path = self._files[row]
        said = {} if fault is None else {"fault": fault.kind, "message": fault.message}
        self._entries[row] = {"sha256": expected, "lost": True} if sha256 is None else {"sha256": sha256, **said}
        if sha256 is None and fault is not None:
            self.passing[expected] = fault
        elif sha256 != expected:
            self.passing[expected] = changed(path)
        self._on_photo()
