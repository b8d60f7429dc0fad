"""A job in S3, or in what speaks like it; reached with the environment's credentials, region and ``AWS_ENDPOINT_URL``."""

import hashlib
import io
import os
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from botocore.exceptions import ResponseStreamingError
from s3fs import S3FileSystem

from models.errors import InputError, JobError
from worker.storage import Entry

__all__ = ["ObjectStorage"]

_SCHEME: Final = "s3://"
CONNECT_TIMEOUT_S: Final = 5
READ_TIMEOUT_S: Final = 20
ATTEMPTS: Final = 5
_PAUSES_S: Final = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6)

_NO_KEY: Final = ("NoSuchKey", "404")
_KEY_TAKEN: Final = ("PreconditionFailed", "412")
_CONFLICT: Final = ("ConditionalRequestConflict", "409")


@dataclass(frozen=True)
class _Connection:
    """What one process keeps to talk to S3.

    Attributes:
        files: the filesystem; it connects when it is first asked for something.
        buckets: those that have been seen, so that a key which is not there need not mean that its bucket is not.
    """

    files: S3FileSystem
    buckets: set[str] = field(default_factory=set)


# By process, since a filesystem's event loop does not survive a fork. A child keeps its parent's, unused: letting go of it
# would close sockets that the parent still reads from. By what the environment says, since that is who it speaks for.
_CONNECTIONS: Final[dict[tuple[int, frozenset[tuple[str, str]]], _Connection]] = {}


def _connection() -> _Connection:
    environment = frozenset(item for item in os.environ.items() if item[0].startswith("AWS_"))
    key = (os.getpid(), environment)
    return _CONNECTIONS.get(key) or _CONNECTIONS.setdefault(key, _Connection(_filesystem()))


def _filesystem() -> S3FileSystem:
    retries: dict[str, object] = {"mode": "standard"}
    if "AWS_MAX_ATTEMPTS" not in os.environ:
        retries["total_max_attempts"] = ATTEMPTS
    config = {"connect_timeout": CONNECT_TIMEOUT_S, "read_timeout": READ_TIMEOUT_S, "retries": retries}
    files = S3FileSystem(config_kwargs=config, use_listings_cache=False, skip_instance_cache=True)
    files.retries = 1  # botocore tries again; s3fs would multiply that by five
    return files


@dataclass(frozen=True)
class ObjectStorage:
    """A folder of an S3 bucket, over s3fs. The server must know conditional writes (``If-None-Match``), as AWS does.

    Errors of S3 that are neither a key that is not there nor one that was to be new are ``JobError``; passing ones
    (timeouts, 500, 503, a broken answer) are tried again before.

    Attributes:
        url: ``s3://bucket/folder``; the folder may be missing.

    Raises:
        InputError: the URL is not one.
    """

    url: str

    def __post_init__(self) -> None:
        parts = self.url.removeprefix(_SCHEME).rstrip("/").split("/")
        if not self.url.startswith(_SCHEME) or not all(parts):
            msg = f"Expected s3://bucket/folder, got {self.url!r}."
            raise InputError(msg)
        object.__setattr__(self, "url", self.url.rstrip("/"))

    @property
    def place(self) -> str:
        """The URL."""
        return self.url

    @property
    def scratch(self) -> Path:
        """``$XDG_CACHE_HOME/hangtag/jobs/<digest of the URL>``, or the same in ``~/.cache``; made when asked for."""
        base = os.environ.get("XDG_CACHE_HOME")
        digest = hashlib.sha256(self.url.encode()).hexdigest()[:16]
        folder = (Path(base) if base else Path.home() / ".cache") / "hangtag" / "jobs" / digest
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            msg = f"Expected to keep notes on {self.url} in {folder}, {error.strerror}; set XDG_CACHE_HOME elsewhere."
            raise JobError(msg) from error
        return folder

    def commit(self, key: str, data: bytes) -> bool:
        """See :meth:`Storage.commit`: one PUT, on the condition that there is nothing.

        The object says whose it is: where the answer to a PUT is lost, the next try finds the key taken, by ourselves.
        """
        writer = uuid.uuid4().hex
        try:
            self._put(key, data, IfNoneMatch="*", Metadata={"writer": writer})
        except FileExistsError:
            return self._writer(key) == writer
        return True

    def replace(self, key: str, data: bytes) -> None:
        """See :meth:`Storage.replace`."""
        self._put(key, data)

    def upload(self, key: str, file: Path) -> None:
        """See :meth:`Storage.upload`; a large file goes in parts, and appears when the last is there."""
        with self._asking(key) as files:
            files.put_file(str(file), f"{self._bucket}/{self._full(key)}")
        file.unlink()

    def delete(self, key: str) -> None:
        """See :meth:`Storage.delete`."""
        self._call("delete_object", key)

    def read(self, key: str) -> bytes:
        """See :meth:`Storage.read`."""
        for pause in _PAUSES_S:
            try:
                return self._read(key)
            except ResponseStreamingError:
                time.sleep(pause)
        with self._asking(key):
            return self._read(key)

    def source(self, key: str) -> io.BytesIO:
        """See :meth:`Storage.source`."""
        return io.BytesIO(self.read(key))

    def exists(self, key: str) -> bool:
        """See :meth:`Storage.exists`."""
        try:
            self._call("head_object", key)
        except FileNotFoundError:
            self._check_bucket()
            return False
        return True

    def entries(self, folder: str) -> list[Entry]:
        """See :meth:`Storage.entries`; times are S3's, in whole seconds."""
        prefix = self._prefix(folder)
        found = [item for page in self._pages(folder) for item in page.get("Contents", [])]
        named = [(item["Key"].removeprefix(prefix), item["LastModified"].timestamp()) for item in found]
        return [Entry(name, modified) for name, modified in named if _is_shown(name)]

    def names(self, folder: str) -> list[str]:
        """See :meth:`Storage.names`."""
        return [entry.name for entry in self.entries(folder)]

    def folders(self) -> list[str]:
        """See :meth:`Storage.folders`."""
        prefix = self._prefix("")
        found = [item["Prefix"] for page in self._pages("") for item in page.get("CommonPrefixes", [])]
        return sorted(filter(_is_shown, (name.removeprefix(prefix).rstrip("/") for name in found)))

    def child(self, folder: str) -> "ObjectStorage":
        """See :meth:`Storage.child`."""
        return ObjectStorage(f"{self.url}/{folder}")

    @property
    def _bucket(self) -> str:
        return self.url.removeprefix(_SCHEME).partition("/")[0]

    def _full(self, key: str) -> str:
        root = self.url.removeprefix(_SCHEME).partition("/")[2]
        return f"{root}/{key}" if root else key

    def _prefix(self, folder: str) -> str:
        full = self._full(folder).rstrip("/")
        return f"{full}/" if full else ""

    def _put(self, key: str, data: bytes, **conditions: object) -> None:
        for pause in _PAUSES_S:
            try:
                self._call("put_object", key, Body=data, **conditions)
            except _ConflictError:  # somebody else is writing it right now
                time.sleep(pause)
            else:
                return
        self._call("put_object", key, Body=data, **conditions)

    def _writer(self, key: str) -> str | None:
        try:
            writer: str | None = self._call("head_object", key)["Metadata"].get("writer")
        except FileNotFoundError:
            return None
        return writer

    def _pages(self, folder: str) -> Iterator[dict[str, Any]]:
        """Answers of S3 to what is directly under a folder, at most 1,000 keys each; s3fs would remember them."""
        asked: dict[str, object] = {"Prefix": self._prefix(folder), "Delimiter": "/"}
        while True:
            page = self._call("list_objects_v2", None, **asked)
            yield page
            if not page.get("IsTruncated"):
                return
            asked["ContinuationToken"] = page["NextContinuationToken"]

    def _check_bucket(self) -> None:
        """A HEAD does not say whether it was the bucket that is not there."""
        seen = _connection().buckets
        if self._bucket not in seen:
            self._call("list_objects_v2", None, Prefix=self._prefix(""), MaxKeys=1)
            seen.add(self._bucket)
