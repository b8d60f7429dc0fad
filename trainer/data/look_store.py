"""The on-disk cache of what photos show: each is looked at once, by ``hangtag check`` or the first training.

A store is a folder for one version of the statistics and of Pillow. Each pass over new photos adds shards:
``<id>.copies``, ``uint8 (n, 64, 64, 3)``, and ``<id>.parquet``, a row for each with the SHA-256 of its file. The latter
is renamed into place last, once the shard is whole. One that is damaged counts for nothing: its photos are looked at
again.
"""

import json
import os
import signal
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import fields
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from models.errors import InputError
from models.preprocess import Pixels, PreprocessSpec, fingerprint
from models.whole_file import sync_file
from trainer.data.image_statistics import COPY_SIDE, Look
from trainer.data.photo_files import FaultKind, PhotoFault, changed, holds
from worker.labelling.process_pool import Death, Farm

__all__ = ["LookStore"]

VERSION: Final = "1"
"""Raised whenever a look gives other values for the same bytes."""

TIMEOUT_S: Final = 30.0
SHARD: Final = 8192

_COPY_BYTES: Final = COPY_SIDE * COPY_SIDE * 3
_KINDS: Final = {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_()}
_SCHEMA: Final = pa.schema(
    [("sha256", pa.string()), ("kind", pa.string()), ("message", pa.string())]
    + [(field.name, _KINDS[field.type]) for field in fields(Look)]  # type: ignore[index]
)


class LookStore:
    """What photos show, by the SHA-256 of their files.

    Args:
        root: of the cache.
        timeout_s: that a photo may take.
        shard: photos in a shard, at most: what a pass holds in memory, and what it loses to ``kill -9``.
    """

    def __init__(self, root: Path, timeout_s: float = TIMEOUT_S, shard: int = SHARD) -> None:
        self._timeout_s = timeout_s
        self._shard = shard
        self._folder = root / f"{fingerprint(PreprocessSpec(size=COPY_SIDE))[:16]}-{VERSION}"
        self._copies: list[Path] = []
        self._tables: list[pa.Table] = []
        self._rows: dict[str, tuple[int, int]] = {}
        self._passing: dict[str, PhotoFault] = {}
        for table in sorted(self._folder.glob("*.parquet")):
            self._open_shard(table)

    def lacks(self, sha256: str) -> bool:
        """Whether a file has never been looked at."""
        return sha256 not in self._rows and sha256 not in self._passing

    def fault(self, sha256: str) -> PhotoFault | None:
        """Why a file cannot be used, or none."""
        if sha256 in self._passing:
            return self._passing[sha256]
        shard, row = self._rows[sha256]
        kind = self._tables[shard]["kind"][row].as_py()
        return PhotoFault(FaultKind(kind), self._tables[shard]["message"][row].as_py()) if kind else None

    def looks(self, sha256s: Sequence[str]) -> pa.Table:
        """What usable photos show: a column for each attribute of ``Look``, a row a photo."""
        starts = np.cumsum([0, *map(len, self._tables)])
        places = [int(starts[shard]) + row for shard, row in map(self._rows.__getitem__, sha256s)]
        if not places:
            return _SCHEMA.empty_table()
        return pa.concat_tables(self._tables).take(places)

    def copies(self, sha256s: Sequence[str]) -> Pixels:
        """The small copies of some photos, ``uint8 (n, 64, 64, 3)``, in the order asked.

        Raises:
            InputError: something has removed them from the cache.
        """
        pixels = np.empty((len(sha256s), COPY_SIDE, COPY_SIDE, 3), np.uint8)
        with self._kept(), ExitStack() as stack:
            files: dict[int, int] = {}
            for place, sha256 in zip(pixels, sha256s, strict=True):
                shard, row = self._rows[sha256]
                if shard not in files:
                    files[shard] = stack.enter_context(self._copies[shard].open("rb")).fileno()
                os.preadv(files[shard], [place.data], row * _COPY_BYTES)  # mapped pages would count as memory
        return pixels

    def add(self, files: Mapping[str, Path], workers: int, on_photo: Callable[[], None]) -> None:
        """Look at the files that have not been looked at yet, a process a core.

        Args:
            files: SHA-256 → a file that had those bytes; one that has others by now is a fault, and what is seen is
                kept under the SHA-256 of what was looked at.
            workers: how many processes.
            on_photo: called after each.

        Raises:
            InputError: the cache cannot be written to, or does not keep what is written.
        """
        new = [(sha256, path) for sha256, path in files.items() if self.lacks(sha256)]
        for start in range(0, len(new), self._shard):
            self._add_shard(new[start : start + self._shard], workers, on_photo)
        if any(self.lacks(sha256) for sha256, _ in new):
            raise self._gone()

    def _add_shard(self, files: list[tuple[str, Path]], workers: int, on_photo: Callable[[], None]) -> None:
        shard = self._folder / uuid.uuid4().hex[:12]
        copies, rows = shard.with_suffix(".copies.tmp"), shard.with_suffix(".parquet.tmp")
        looking = _Looking(copies, files, self._timeout_s, on_photo)
        self._reserve(copies, len(files))
        try:
            looking.run(workers)
        finally:  # whatever ends it, what has been looked at is kept
            try:
                with self._kept():
                    pq.write_table(looking.table(), rows)
                    sync_file(copies)
                    sync_file(rows)
                    copies.replace(shard.with_suffix(".copies"))
                    rows.replace(shard.with_suffix(".parquet"))
            finally:
                copies.unlink(missing_ok=True)
                rows.unlink(missing_ok=True)
        self._open_shard(shard.with_suffix(".parquet"))
        self._passing.update(looking.passing)

    def _reserve(self, copies: Path, count: int) -> None:
        """Take the room for all copies at once: a disk that fills up later would kill us."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with copies.open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, count * _COPY_BYTES)
        except OSError as error:
            with suppress(OSError):
                copies.unlink(missing_ok=True)
            msg = f"Expected to keep what is known of photos in {self._folder}, {error.strerror}; set XDG_CACHE_HOME."
            raise InputError(msg) from error

    @contextmanager
    def _kept(self) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError as error:
            raise self._gone() from error

    def _gone(self) -> InputError:
        msg = (
            f"Expected what is known of photos in {self._folder}, something has removed it; keep it from cleaning up "
            "there, and run it again."
        )
        return InputError(msg)

    def _open_shard(self, path: Path) -> None:
        copies = path.with_suffix(".copies")
        table = _whole_table(path, copies)
        if table is None:
            return
        for row, sha256 in enumerate(table["sha256"].to_pylist()):
            if sha256 is not None:
                self._rows[sha256] = (len(self._tables), row)
        self._copies.append(copies)
        self._tables.append(table)


def _whole_table(path: Path, copies: Path) -> pa.Table | None:
    """A shard's rows; none where they are damaged, or their copies are gone."""
    try:
        table = pq.read_table(path)
        size = copies.stat().st_size
    except (pa.ArrowInvalid, OSError):
        return None
    return table if table.schema.equals(_SCHEMA) and size == len(table) * _COPY_BYTES else None


class _Looking:
    """One pass over new photos.

    Attributes:
        passing: faults of reading a file rather than of its bytes, files that have other bytes than expected, time
            limits, and what SIGKILL ended, which may have been the kernel, short of memory: the next pass tries again.
    """

    def __init__(
        self, copies: Path, files: list[tuple[str, Path]], timeout_s: float, on_photo: Callable[[], None]
    ) -> None:
        self._copies = copies
        self._files = files
        self._timeout_s = timeout_s
        self._on_photo = on_photo
        self._records: list[dict[str, Any]] = [{} for _ in files]
        self._deaths: dict[str, int] = {}
        self.passing: dict[str, PhotoFault] = {}

    def table(self) -> pa.Table:
        """A row for each photo, an empty one where the next pass must try again."""
        return pa.Table.from_pylist(self._records, _SCHEMA)

    def run(self, workers: int) -> None:
        """Look at everything."""
        lines = [json.dumps([row, str(path)]) for row, (_, path) in enumerate(self._files)]
        module = ("trainer.data.look_process", str(self._copies), str(self._timeout_s))
        with (
            tempfile.TemporaryDirectory() as logs,
            Farm(module, workers, Path(logs), self._answered, self._died) as farm,
        ):
            farm.run(lines)

    def _answered(self, line: str, reply: dict[str, Any]) -> None:
        row = json.loads(line)[0]
        expected, path = self._files[row]
        seen = reply.pop("look", reply)
        if "sha256" in reply:
            self._records[row] = {"sha256": reply["sha256"], **seen}
        else:
            self.passing[expected] = PhotoFault(FaultKind(reply["kind"]), reply["message"])
        if reply.get("sha256", expected) != expected:
            self.passing[expected] = changed(path)
        self._on_photo()

    def _died(self, death: Death) -> bool:
        """One dead process is no proof, since someone else may have killed it; two are."""
        self._deaths[death.line] = self._deaths.get(death.line, 0) + 1
        if self._deaths[death.line] == 1:
            return True
        late = death.status == -signal.SIGALRM
        kind = FaultKind.TIMEOUT if late else FaultKind.CRASHED
        how = (
            f"took longer than {self._timeout_s:g} s" if late else f"brought its process down ({_ending(death.status)})"
        )
        fault = PhotoFault(kind, f"Decoding {how}, twice; re-save the photo.")
        row = json.loads(death.line)[0]
        sha256, path = self._files[row]
        if not holds(path, sha256):
            self.passing[sha256] = changed(path)
        elif late or death.status == -signal.SIGKILL:
            self.passing[sha256] = fault
        else:
            self._records[row] = {"sha256": sha256, "kind": fault.kind, "message": fault.message}
        self._on_photo()
        return False


def _ending(status: int) -> str:
    return signal.Signals(-status).name if status < 0 else f"exit status {status}"
