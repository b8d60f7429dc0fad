"""Storage in S3 or a compatible server. Credentials and address (``AWS_ENDPOINT_URL``) come from the environment."""

import errno
import hashlib
import os
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import Any, Final, TypeVar

from aiobotocore.session import AioSession
from aiohttp import ClientPayloadError
from botocore.exceptions import BotoCoreError, ClientError, IncompleteReadError, ResponseStreamingError
from s3fs import S3FileSystem

from models.errors import InputError, JobError, StorageError
from models.process import default_cache
from models.storage.storage import Entry

CONNECT_TIMEOUT_S: Final = 5
READ_TIMEOUT_S: Final = 20
ATTEMPTS: Final = 5

_SCHEME: Final = "s3://"
_PAUSES_S: Final = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6)
_NO_KEY: Final = ("NoSuchKey", "404")  # the response to a HEAD contains only the status number
_KEY_TAKEN: Final = ("PreconditionFailed", "412")
_CONFLICT: Final = ("ConditionalRequestConflict", "OperationAborted", "409")
_CUT_SHORT: Final = (ClientPayloadError, IncompleteReadError, ResponseStreamingError)

_Answer = TypeVar("_Answer")


class _PassingError(StorageError):
    """Faults that botocore does not retry: a write conflict or an incomplete response."""


@dataclass(frozen=True)
class _Connection:
    """A process's connection to S3.

    Attributes:
        files: a file system that connects on first use, from any thread.
        buckets: names of buckets that exist.
    """

    files: S3FileSystem
    buckets: set[str] = field(default_factory=set)


# Connections by process id and AWS variables. A child cannot use or close its parent's connection, because the
# event loop runs only in the parent.
_CONNECTIONS: Final[dict[tuple[int, frozenset[tuple[str, str]]], _Connection]] = {}


def _connection() -> _Connection:
    key = (os.getpid(), frozenset(item for item in os.environ.items() if item[0].startswith("AWS_")))
    return _CONNECTIONS.get(key) or _CONNECTIONS.setdefault(key, _Connection(_filesystem()))


def _filesystem() -> S3FileSystem:
    retries: dict[str, object] = {"mode": "standard"}
    if "AWS_MAX_ATTEMPTS" not in os.environ:
        retries["total_max_attempts"] = ATTEMPTS
    config = {"connect_timeout": CONNECT_TIMEOUT_S, "read_timeout": READ_TIMEOUT_S, "retries": retries}
    session = AioSession()
    session.register("before-call.s3", _expect_nothing)
    files = S3FileSystem(
        session=session,
        config_kwargs=config,
        max_concurrency=1,  # parallel pieces would fill the memory
        use_listings_cache=False,
        skip_instance_cache=True,
    )
    files.retries = 1  # botocore already retries
    return files


def _expect_nothing(params: dict[str, Any], **_: object) -> None:
    """Send a PUT without ``Expect``, because aiohttp 3.14 may wait forever for ``100 Continue``."""
    params["headers"].pop("Expect", None)


@dataclass(frozen=True)
class ObjectStorage:
    """A folder of an S3 bucket, or a whole bucket. The server must support conditional writes (``If-None-Match``).

    Temporary faults (timeouts, 500, 503, incomplete responses) are retried. A remaining fault raises ``StorageError``.
    Raises InputError for a URL that is not ``s3://bucket/folder``.
    """

    url: str

    def __post_init__(self) -> None:
        plain = self.url.rstrip("/")
        if not plain.startswith(_SCHEME) or not all(plain.removeprefix(_SCHEME).split("/")):
            msg = f"Expected s3://bucket/folder, got {self.url!r}."
            raise InputError(msg)
        object.__setattr__(self, "url", plain)

    @property
    def place(self) -> str:
        """The URL."""
        return self.url

    @property
    def scratch(self) -> Path:
        """``jobs/<digest of the URL>`` in :func:`models.process.default_cache`. Created if missing."""
        folder = default_cache() / "jobs" / hashlib.sha256(self.url.encode()).hexdigest()[:16]
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            msg = f"Expected to write files for {self.url} to {folder}, but got: {error.strerror}; set XDG_CACHE_HOME."
            raise JobError(msg) from error
        return folder

    def commit(self, key: str, data: bytes) -> bool:
        """See :meth:`Storage.commit`. Sends one PUT that fails if the key exists.

        If the response to a PUT is lost, the retry recognizes the object by its metadata.
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
        """See :meth:`Storage.upload`. A large file is sent in pieces, and appears after the last piece."""
        with self._asking(key) as files:
            files.put_file(str(file), self._path(key))
        file.unlink()

    def delete(self, key: str) -> None:
        """See :meth:`Storage.delete`."""
        self._call("delete_object", key)

    def clear(self, folder: str) -> None:
        """See :meth:`Storage.clear`."""
        inside = self.child(folder)
        for key in list(inside.walk()):
            inside.delete(key)

    def read(self, key: str) -> bytes:
        """See :meth:`Storage.read`."""
        return _patiently(lambda: self._get(key))

    def source(self, key: str) -> BytesIO:
        """See :meth:`Storage.source`. Reads all bytes at once."""
        return BytesIO(self.read(key))

    def local(self, key: str, folder: Path) -> Path:
        """See :meth:`Storage.local`. Copies the file in pieces."""
        here = folder / PurePosixPath(key).name
        if here.exists():
            return here
        temporary = folder / f".{here.name}.{uuid.uuid4().hex}"
        try:
            _patiently(lambda: self._bring(key, temporary))
            temporary.rename(here)
        finally:
            temporary.unlink(missing_ok=True)
        return here

    def on_disk(self, _folder: str) -> None:
        """None, because S3 is not on a disk."""

    def exists(self, key: str) -> bool:
        """See :meth:`Storage.exists`."""
        try:
            self._call("head_object", key)
        except FileNotFoundError:
            self._check_bucket()
            return False
        return True

    def entries(self, folder: str) -> list[Entry]:
        """See :meth:`Storage.entries`. S3 stores times in whole seconds."""
        start = len(self._prefix(folder))
        items = (item for page in self._pages(folder) for item in page.get("Contents", ()))
        entries = (Entry(item["Key"][start:], item["LastModified"].timestamp()) for item in items)
        return [entry for entry in entries if _is_shown(entry.name)]

    def names(self, folder: str) -> list[str]:
        """See :meth:`Storage.names`."""
        return [entry.name for entry in self.entries(folder)]

    def folders(self) -> list[str]:
        """See :meth:`Storage.folders`."""
        start = len(self._prefix(""))
        prefixes = (item["Prefix"] for page in self._pages("") for item in page.get("CommonPrefixes", ()))
        return sorted(filter(_is_shown, (folder[start:-1] for folder in prefixes)))

    def walk(self) -> Iterator[str]:
        """All keys in the folder and its sub-folders, in S3's order, listed 1,000 at a time."""
        start = len(self._prefix(""))
        return (item["Key"][start:] for page in self._pages("", deep=True) for item in page.get("Contents", ()))

    def fetch(self, key: str, file: Path) -> None:
        """Write the bytes under ``key`` into a local file, piece by piece.

        Checks the size, because a response without ``Content-Length`` may be incomplete. Raises FileNotFoundError.
        """

        def get() -> None:
            self._bring(key, file)
            received, size = file.stat().st_size, self._call("head_object", key)["ContentLength"]
            if received != size:
                raise _PassingError(_advice(f"{self.url}/{key}", f"received {received:,} of {size:,} bytes"))

        _patiently(get)

    def child(self, folder: str) -> "ObjectStorage":
        """See :meth:`Storage.child`."""
        return ObjectStorage(f"{self.url}/{folder}")

    def _path(self, key: str) -> str:
        return f"{self.url}/{key}".removeprefix(_SCHEME).rstrip("/")

    def _prefix(self, folder: str) -> str:
        within = self._path(folder).partition("/")[2]
        return f"{within}/" if within else ""

    def _get(self, key: str) -> bytes:
        with self._asking(key) as files:
            data: bytes = files.cat_file(self._path(key))
        return data

    def _bring(self, key: str, file: Path) -> None:
        with self._asking(key) as files:
            files.get_file(self._path(key), str(file))

    def _put(self, key: str, data: bytes, **conditions: object) -> None:
        _patiently(lambda: self._call("put_object", key, Body=data, **conditions))

    def _writer(self, key: str) -> str | None:
        try:
            writer: str | None = self._call("head_object", key)["Metadata"].get("writer")
        except FileNotFoundError:
            return None
        return writer

    def _check_bucket(self) -> None:
        """Raise an error for a missing bucket, because a HEAD cannot tell it from a missing key."""
        buckets, bucket = _connection().buckets, self._path("").partition("/")[0]
        if bucket not in buckets:
            next(self._pages(""))
            buckets.add(bucket)

    def _pages(self, folder: str, *, deep: bool = False) -> Iterator[dict[str, Any]]:
        """S3's listings of a folder, with up to 1,000 keys each. ``deep``: with all sub-folders.

        s3fs would send two requests per folder, and keep all keys in memory.
        """
        parameters: dict[str, object] = {"Prefix": self._prefix(folder)}
        if not deep:
            parameters["Delimiter"] = "/"
        while True:
            page = self._call("list_objects_v2", None, **parameters)
            yield page
            if not page.get("IsTruncated"):
                return
            parameters["ContinuationToken"] = page["NextContinuationToken"]

    def _call(self, method: str, key: str | None, **parameters: object) -> dict[str, Any]:
        bucket, _, full_key = self._path(key or "").partition("/")
        if key is not None:
            parameters["Key"] = full_key
        with self._asking(key) as files:
            answer: dict[str, Any] = files.call_s3(method, Bucket=bucket, **parameters)
        return answer

    @contextmanager
    def _asking(self, key: str | None) -> Iterator[S3FileSystem]:
        try:
            yield _connection().files
        except (OSError, ValueError, BotoCoreError, ClientPayloadError) as error:
            own_error = _own_error(error, self.url if key is None else f"{self.url}/{key}")
            if own_error is error:
                raise
            raise own_error from error


def _is_shown(name: str) -> bool:
    return bool(name) and not name.startswith(".")


def _patiently(ask: Callable[[], _Answer]) -> _Answer:
    for pause_s in _PAUSES_S:
        try:
            return ask()
        except _PassingError:
            time.sleep(pause_s)
    return ask()


def _own_error(error: Exception, place: str) -> Exception:
    answer = error.__cause__  # the server's error, if s3fs turned it into an OSError
    if isinstance(answer, ClientError):
        return _refusal(answer.response["Error"], place)
    if isinstance(error, OSError) and not isinstance(error, BotoCoreError):
        return error
    kind = _PassingError if isinstance(error, _CUT_SHORT) else StorageError
    return kind(_advice(place, f"got {type(error).__name__}: {error}"))


def _refusal(answer: dict[str, str], place: str) -> Exception:
    code = answer.get("Code", "")
    if code in _NO_KEY:
        return FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), place)
    if code in _KEY_TAKEN:
        return FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), place)
    kind = _PassingError if code in _CONFLICT else StorageError
    return kind(_advice(place, f"S3 answered {code}: {answer.get('Message', '')}"))


def _advice(place: str, problem: str) -> str:
    return (
        f"Expected to reach {place}, but {problem.rstrip('. ')}; check the bucket's name, the credentials "
        "(AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY) and AWS_ENDPOINT_URL."
    )
