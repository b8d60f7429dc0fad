"""The on-disk cache of decoded photos. It holds image statistics, small copies, and pixels for training.

A cache is a folder of shards. Each pass over new photos adds shards. A shard has two files. ``<id>.arrays`` holds
pixels, ``uint8 (n, S, S, 3)``. ``<id>.parquet`` has a row with the SHA-256 of each photo's file. Without its
``.parquet`` file, a shard is incomplete. Photos of a damaged or deleted shard are decoded again.
"""

import json
import os
import signal
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import fields
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from models.errors import InputError
from models.preprocess import Pixels, PreprocessSpec, fingerprint
from models.whole_file import read_arrays, sync_file, write_arrays
from trainer.data.photo_files import COPY_SIDE, FaultKind, ImageStatistics, PhotoFault, changed, sha256_now
from worker.labelling.process_pool import Death, ProcessPool

STATISTICS_VERSION: Final = "1"
"""Increase this when a change of the code changes the statistics."""
FEATURES_VERSION: Final = "1"
"""Increase this when a change of the code changes the features."""
PIXELS_TIMEOUT_S: Final = 20.0
STATISTICS_TIMEOUT_S: Final = 30.0
SHARD: Final = 8192
"""The largest number of photos in a shard. ``kill -9`` loses the unfinished shard."""
_MODULE: Final = "trainer.data.photo_process"
_ARRAYS: Final = ".arrays"
_INDEX: Final = ".parquet"
_FAULT_COLUMNS: Final = [("sha256", pa.string()), ("kind", pa.string()), ("message", pa.string())]
_TYPES: Final = {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_()}
_STATISTICS_COLUMNS: Final = [(field.name, _TYPES[field.type]) for field in fields(ImageStatistics)]  # type: ignore[index]


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise _gone(folder) from error
    except OSError as error:
        msg = (
            f"Expected to write the photo cache in {folder}, got {error.strerror}; free some space, or set "
            "XDG_CACHE_HOME."
        )
        raise InputError(msg) from error


def _gone(folder: Path) -> InputError:
    msg = (
        f"Expected the photo cache in {folder}, but another program has removed it; exclude the folder from "
        "clean-up, and run the command again."
    )
    return InputError(msg)


class _PhotoCache:
    _columns: Sequence[tuple[str, pa.DataType]] = ()

    def __init__(self, folder: Path, side: int, timeout_s: float, shard: int, spec_json: str = "") -> None:
        self._folder, self._side, self._timeout_s, self._shard = folder, side, timeout_s, shard
        self._spec_json = spec_json
        self._schema = pa.schema([*_FAULT_COLUMNS, *self._columns])
        self._arrays: list[Path] = []
        self._tables: list[pa.Table] = []
        self._rows: dict[str, tuple[int, int]] = {}
        self._passing: dict[str, PhotoFault] = {}
        for index in sorted(folder.glob(f"*{_INDEX}")):
            self._open_shard(index)

    def lacks(self, sha256: str) -> bool:
        return sha256 not in self._rows and sha256 not in self._passing

    def fault(self, sha256: str) -> PhotoFault | None:
        if sha256 in self._passing:
            return self._passing[sha256]
        shard, row = self._rows[sha256]
        kind = self._tables[shard]["kind"][row].as_py()
        return PhotoFault(FaultKind(kind), self._tables[shard]["message"][row].as_py()) if kind else None

    def add(self, files: Mapping[str, Path], workers: int, on_photo: Callable[[], None]) -> None:
        """Decode the files (SHA-256 → path) that the cache lacks. Photos decoded before an error are kept.

        If a file changed after hashing, its photo is cached under the new SHA-256, and the old SHA-256 gets a fault.
        """
        new = [(sha256, path) for sha256, path in files.items() if self.lacks(sha256)]
        for start in range(0, len(new), self._shard):
            self._add_shard(new[start : start + self._shard], workers, on_photo)
        if any(self.lacks(sha256) for sha256, _ in new):
            raise _gone(self._folder)

    @property
    def _array_bytes(self) -> int:
        return self._side * self._side * 3

    def _add_shard(self, files: list[tuple[str, Path]], workers: int, on_photo: Callable[[], None]) -> None:
        shard = self._folder / uuid.uuid4().hex[:12]
        arrays, index = shard.with_suffix(f"{_ARRAYS}.tmp"), shard.with_suffix(f"{_INDEX}.tmp")
        one_pass = _Pass(files, self._timeout_s, on_photo)
        try:
            self._make_folder()
            with _writing(self._folder), arrays.open("wb") as file:
                # Allocate all space now: a full disk would kill the process that writes a mapped file.
                os.posix_fallocate(file.fileno(), 0, len(files) * self._array_bytes)
            try:
                one_pass.run(workers, (str(arrays), str(self._timeout_s), self._spec_json))
            finally:
                if done := max((row for row, record in enumerate(one_pass.records, start=1) if record), default=0):
                    with _writing(self._folder):
                        pq.write_table(pa.Table.from_pylist(one_pass.records[:done], self._schema), index)
                        os.truncate(arrays, done * self._array_bytes)
                        sync_file(arrays)
                        sync_file(index)
                        arrays.replace(shard.with_suffix(_ARRAYS))
                        index.replace(shard.with_suffix(_INDEX))
        finally:
            for left in (arrays, index):
                with suppress(OSError):
                    left.unlink()
        self._open_shard(shard.with_suffix(_INDEX))
        self._passing.update(one_pass.passing)

    def _make_folder(self) -> None:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            msg = (
                f"Expected a folder for the photo cache, but {self._folder} cannot be made ({error.strerror}); set "
                "XDG_CACHE_HOME to a writable folder."
            )
            raise InputError(msg) from error

    def _open_shard(self, index: Path) -> None:
        arrays = index.with_suffix(_ARRAYS)
        try:
            table = pq.read_table(index)
            if not table.schema.equals(self._schema) or arrays.stat().st_size != len(table) * self._array_bytes:
                return
            self._map(arrays)
        except (OSError, ValueError):  # pyarrow's errors are ValueErrors
            return
        for row, sha256 in enumerate(table["sha256"].to_pylist()):
            if sha256 is not None:
                self._rows[sha256] = (len(self._tables), row)
        self._arrays.append(arrays)
        self._tables.append(table)

    def _map(self, arrays: Path) -> None:
        """Open a shard's arrays for reading."""


class StatisticsStore(_PhotoCache):
    """Statistics and small copies of photos, in this machine's cache."""

    _columns = _STATISTICS_COLUMNS

    def __init__(self, cache: Path, timeout_s: float = STATISTICS_TIMEOUT_S, shard: int = SHARD) -> None:
        version = f"{fingerprint(PreprocessSpec(size=COPY_SIDE))[:16]}-{STATISTICS_VERSION}"
        super().__init__(cache / "looks" / version, COPY_SIDE, timeout_s, shard)

    def statistics(self, sha256s: Sequence[str]) -> pa.Table:
        """A row for each usable photo, with the columns of :class:`trainer.data.photo_files.ImageStatistics`."""
        starts = np.cumsum([0, *map(len, self._tables)])
        places = [int(starts[shard]) + row for shard, row in map(self._rows.__getitem__, sha256s)]
        if not places:
            return self._schema.empty_table()
        return pa.concat_tables(self._tables).take(places)

    def copies(self, sha256s: Sequence[str]) -> Pixels:
        """The photos' small copies in the order of ``sha256s``: ``uint8 (n, 64, 64, 3)``."""
        pixels = np.empty((len(sha256s), COPY_SIDE, COPY_SIDE, 3), np.uint8)
        with _writing(self._folder), ExitStack() as stack:
            files: dict[int, int] = {}
            for place, sha256 in zip(pixels, sha256s, strict=True):
                shard, row = self._rows[sha256]
                if shard not in files:
                    files[shard] = stack.enter_context(self._arrays[shard].open("rb")).fileno()
                # not memory-mapped, to use less memory
                os.preadv(files[shard], [place.data], row * self._array_bytes)
        return pixels


class PixelStore(_PhotoCache):
    """Pixels of preprocessed photos, in this machine's cache. Pixels stay readable after their files are deleted."""

    def __init__(self, cache: Path, spec: PreprocessSpec) -> None:
        self.spec = spec
        self._mapped: list[npt.NDArray[np.uint8]] = []
        folder = cache / "pixels" / fingerprint(spec)[:16]
        super().__init__(folder, spec.size, PIXELS_TIMEOUT_S, SHARD, spec.model_dump_json())

    def _map(self, arrays: Path) -> None:
        self._mapped.append(np.memmap(arrays, np.uint8, "r").reshape(-1, self._side, self._side, 3))

    def take(self, sha256s: Sequence[str]) -> Pixels:
        """The photos' pixels in the order of ``sha256s``: ``uint8 (n, S, S, 3)``."""
        pixels = np.empty((len(sha256s), self._side, self._side, 3), np.uint8)
        for place, sha256 in zip(pixels, sha256s, strict=True):
            shard, row = self._rows[sha256]
            place[:] = self._mapped[shard][row]
        return pixels


class FeatureStore:
    """Cached features of photos from a frozen body. Each pass over new photos adds a file.

    ``body`` is the SHA-256 of the body's weights. Damaged files are ignored.
    """

    def __init__(self, cache: Path, spec: PreprocessSpec, body: str) -> None:
        self._folder = cache / "features" / f"{body[:16]}-{fingerprint(spec)[:16]}-{FEATURES_VERSION}"
        self._files: dict[Path, dict[str, int]] = {}
        for path in sorted(self._folder.glob("*.npz")):
            with suppress(InputError):
                names = read_arrays(path, "features of photos", "sha256s")["sha256s"]
                self._files[path] = {name: row for row, name in enumerate(names.tolist())}

    def take(self, sha256s: Sequence[str]) -> dict[str, npt.NDArray[np.float32]]:
        """The cached features of these photos, ``float32 (D,)``, by SHA-256."""
        taken: dict[str, npt.NDArray[np.float32]] = {}
        for path, rows in self._files.items():
            if here := [name for name in sha256s if name in rows]:
                with suppress(InputError):
                    features = read_arrays(path, "features of photos", "features")["features"]
                    taken |= {name: features[rows[name]] for name in here}
        return taken

    def add(self, features: Mapping[str, npt.NDArray[np.float32]]) -> None:
        """Add features of photos to the cache."""
        path = self._folder / f"{uuid.uuid4().hex[:12]}.npz"
        names = list(features)
        with _writing(self._folder):
            write_arrays(path, sha256s=np.array(names), features=np.stack([features[name] for name in names]))
        self._files[path] = {name: row for row, name in enumerate(names)}


class _Pass:
    """Decodes new photos once. Each photo gets a record.

    A photo with a temporary fault gets an empty record, and the next pass tries again. Temporary faults are a
    file that cannot be opened, a crash on a file that has changed, a timeout, and SIGKILL.
    """

    def __init__(self, files: list[tuple[str, Path]], timeout_s: float, on_photo: Callable[[], None]) -> None:
        self._files = files
        self._timeout_s = timeout_s
        self._on_photo = on_photo
        self._deaths: Counter[str] = Counter()
        self.records: list[dict[str, Any]] = [{} for _ in files]
        self.passing: dict[str, PhotoFault] = {}

    def run(self, workers: int, arguments: tuple[str, ...]) -> None:
        lines = [json.dumps([row, str(path)]) for row, (_, path) in enumerate(self._files)]
        with ProcessPool((_MODULE, *arguments), workers) as pool:
            pool.run(lines, self._answered, self._died)

    def _answered(self, line: str, reply: dict[str, Any]) -> None:
        row = json.loads(line)[0]
        expected, path = self._files[row]
        result = reply.pop("statistics", reply)
        if "sha256" in reply:
            self.records[row] = {"sha256": reply["sha256"], **result}
        else:
            self.passing[expected] = PhotoFault(FaultKind(reply["kind"]), reply["message"])
        if reply.get("sha256", expected) != expected:
            self.passing[expected] = changed(path)
        self._on_photo()

    def _died(self, death: Death) -> bool:
        """Retry a photo whose process died. If the second process also dies, record a fault."""
        self._deaths[death.lines[0]] += 1
        if self._deaths[death.lines[0]] == 1:
            return True
        late = death.status == -signal.SIGALRM
        ending = signal.Signals(-death.status).name if death.status < 0 else f"exit status {death.status}"
        how = f"took longer than {self._timeout_s:g} s" if late else f"crashed its process ({ending})"
        kind = FaultKind.TIMEOUT if late else FaultKind.CRASHED
        fault = PhotoFault(kind, f"Decoding {how}, twice; re-save the photo.")
        row = json.loads(death.lines[0])[0]
        sha256, path = self._files[row]
        if sha256_now(path) != sha256:
            self.passing[sha256] = changed(path)
        elif late or death.status == -signal.SIGKILL:
            self.passing[sha256] = fault
        else:
            self.records[row] = {"sha256": sha256, "kind": fault.kind, "message": fault.message}
        self._on_photo()
        return False
