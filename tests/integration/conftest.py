"""Fixtures for the integration tests: a Redis, a folder of jobs with workers, the expected labels, and an S3."""

import hashlib
import json
from collections.abc import Callable, Iterator
from itertools import cycle, islice
from pathlib import Path
from uuid import uuid4

import pyarrow.parquet as pq
import pytest

from models.classifier import load
from models.storage.object_storage import ObjectStorage
from tests.conftest import Golden
from worker.label import label
from worker.queue.private_redis import PrivateRedis
from worker.request import JobOptions, LabelRequest

from .cluster import Cluster
from .jobs import QueuedJob, Row, photo_names, write_list
from .s3_server import S3Server, lead_to, open_s3_server

MANY = 1792

Expected = Callable[[list[str]], list[Row]]


@pytest.fixture
def server(redis_installed: None, tmp_path: Path) -> Iterator[PrivateRedis]:
    """A Redis without a file on disk."""
    with PrivateRedis(tmp_path / "redis") as redis:
        yield redis


@pytest.fixture
def cluster(server: PrivateRedis, tmp_path: Path) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path, server)
    yield cluster
    cluster.close()


@pytest.fixture(scope="session")
def catalogue(golden: Golden, drawn: Path) -> Path:
    """1,792 copies of the drawn photos, each with other bytes at its end, because equal photos are labelled once."""

    def draw(folder: Path) -> None:
        for copy, photo in _copies(drawn).items():
            (folder / copy).parent.mkdir(parents=True, exist_ok=True)
            (folder / copy).write_bytes(photo.read_bytes() + int(Path(copy).name[:4]).to_bytes(2))

    return golden.get("many", draw)


def _copies(drawn: Path) -> dict[str, Path]:
    """Name of a copy (it begins with its number) → the drawn photo."""
    photos = enumerate(islice(cycle(sorted(drawn.rglob("*.*"))), MANY))
    return {str((at := photo.relative_to(drawn)).with_stem(f"{n:04d}-{at.stem}")): photo for n, photo in photos}


@pytest.fixture(scope="session")
def truth(golden: Golden, drawn: Path, catalogue: Path, bundle: Path) -> dict[str, Row]:
    """Photo → its row by ``hangtag label``; copies differ only in their SHA-256."""
    copies = _copies(drawn)
    names, different = list(copies), len(set(copies.values()))

    def label_first(folder: Path) -> None:
        folder.mkdir()
        source, output = write_list(folder / "list.txt", names[:different]), folder / "labels.parquet"
        request = LabelRequest(source, bundle, JobOptions(image_root=str(catalogue)), output=output, workers=2)
        label(request, lambda *_: None)

    rows = pq.read_table(golden.get("truth", label_first) / "labels.parquet").to_pylist()
    said = {row.pop("image"): row for row in rows}
    return {copy: _row_of(catalogue / copy, said[names[n % different]]) for n, copy in enumerate(names)}


def _row_of(copy: Path, row: Row) -> Row:
    return row | {"sha256": row["sha256"] and hashlib.sha256(copy.read_bytes()).hexdigest()}


@pytest.fixture
def expected(truth: dict[str, Row]) -> Expected:
    return lambda names: [{"image": name, **truth[name]} for name in names]


@pytest.fixture
def names(catalogue: Path) -> list[str]:
    return photo_names(catalogue, MANY)


@pytest.fixture
def job(cluster: Cluster, catalogue: Path, bundle: Path, names: list[str]) -> QueuedJob:
    return cluster.submit(names, bundle, root=catalogue)


@pytest.fixture
def other_labels(bundle: Path) -> dict[str, str]:
    labels = load(bundle).labels
    return dict(zip(labels, reversed(labels), strict=True))


@pytest.fixture
def other_model(tmp_path: Path, bundle: Path, other_labels: dict[str, str]) -> Path:
    """A lone ONNX file that gives the same photos other labels."""
    import onnx

    model = onnx.load(bundle / "model.onnx")
    (entry,) = (entry for entry in model.metadata_props if entry.key == "hangtag")
    metadata = json.loads(entry.value)
    entry.value = json.dumps({**metadata, "name": "other", "labels": list(other_labels.values())})
    path = tmp_path / "other.onnx"
    onnx.save(model, path)
    return path


@pytest.fixture(scope="session")
def s3_process() -> Iterator[S3Server]:
    with open_s3_server() as server:
        yield server


@pytest.fixture
def s3(s3_process: S3Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> S3Server:
    """An S3, with a test environment that leads only there."""
    lead_to(s3_process.endpoint, monkeypatch, tmp_path)
    s3_process.fail()
    return s3_process


@pytest.fixture
def bucket(s3: S3Server) -> str:
    name = f"box-{uuid4().hex}"
    s3.put(f"/{name}")
    return name


@pytest.fixture
def in_s3(bucket: str) -> ObjectStorage:
    return ObjectStorage(f"s3://{bucket}/jobs/spring")
