"""What these tests share: a Redis, a folder of jobs with workers, and what the labels must be; and an S3."""

from collections.abc import Callable, Iterator
from itertools import cycle, islice
from pathlib import Path
from uuid import uuid4

import pyarrow.parquet as pq
import pytest

from benchmarks.example_runs.chromium import chromium_binary
from benchmarks.example_runs.page import Page, build, open_page
from models.storage.object_storage import ObjectStorage
from tests.conftest import Golden
from tests.missing import skip_outside_ci
from worker.job import JobOptions
from worker.label import LabelRequest, label
from worker.queue.private_redis import PrivateRedis

from .examples import EdgeSays, edge_speaker, install_or_skip
from .farm import Farm
from .jobs import QueuedJob, Row, photo_names, write_list
from .s3_server import S3Server, lead_to, open_s3_server
from .sample_photos import odd_photos, readable_photos

MANY = 4000

Expected = Callable[[list[str]], list[Row]]


@pytest.fixture
def server(redis_installed: None, tmp_path: Path) -> Iterator[PrivateRedis]:
    """A Redis that keeps nothing on disk."""
    with PrivateRedis(tmp_path / "redis") as redis:
        yield redis


@pytest.fixture
def farm(server: PrivateRedis, tmp_path: Path) -> Iterator[Farm]:
    """No job and no worker yet."""
    farm = Farm(tmp_path, server)
    yield farm
    farm.close()


@pytest.fixture(scope="session")
def catalogue(golden: Golden, catalogue: Path) -> Path:
    """4,000 photos: the drawn ones again and again, a few bytes after each, since the same photo is labelled once."""

    def draw(folder: Path) -> None:
        drawn = sorted(photo for photo in catalogue.rglob("*.*"))
        for number, photo in enumerate(islice(cycle(drawn), MANY)):
            place = folder / photo.relative_to(catalogue)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.with_stem(f"{number:04d}-{place.stem}").write_bytes(photo.read_bytes() + number.to_bytes(2))

    return golden.get("many", draw)


@pytest.fixture(scope="session")
def truth(golden: Golden, catalogue: Path, bundle: Path) -> dict[str, Row]:
    """Photo → what ``hangtag label`` says of it."""

    def label_all(folder: Path) -> None:
        folder.mkdir()
        label(
            LabelRequest(catalogue, bundle, JobOptions(), output=folder / "labels.parquet", workers=2), lambda *_: None
        )

    return {
        row.pop("image"): row for row in pq.read_table(golden.get("truth", label_all) / "labels.parquet").to_pylist()
    }


@pytest.fixture
def expected(truth: dict[str, Row]) -> Expected:
    """The result that a list of photos must have."""
    return lambda names: [{"image": name, **truth[name]} for name in names]


@pytest.fixture
def names(catalogue: Path) -> list[str]:
    """4,000 rows, or 16 chunks: some seconds of work."""
    return photo_names(catalogue, MANY)


@pytest.fixture
def job(farm: Farm, catalogue: Path, bundle: Path, names: list[str]) -> QueuedJob:
    """A job of these rows, submitted; no worker is there yet."""
    return farm.submit(write_list(farm.folder / "list.txt", names), bundle, root=catalogue)


@pytest.fixture(scope="session")
def s3_process() -> Iterator[S3Server]:
    with open_s3_server() as server:
        yield server


@pytest.fixture
def s3(s3_process: S3Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> S3Server:
    """An S3 that this test's environment leads to, and nothing else."""
    lead_to(s3_process.endpoint, monkeypatch, tmp_path)
    s3_process.fail()
    return s3_process


@pytest.fixture
def bucket(s3: S3Server) -> str:
    """A bucket of this test's own."""
    name = f"box-{uuid4().hex}"
    s3.put(f"/{name}")
    return name


@pytest.fixture
def in_s3(bucket: str) -> ObjectStorage:
    return ObjectStorage(f"s3://{bucket}/jobs/spring")


@pytest.fixture(scope="session")
def ordinary(catalogue: Path) -> list[Path]:
    """Twelve photos that everybody can read, of several classes."""
    return readable_photos(catalogue, 12)


@pytest.fixture(scope="session")
def odd(tmp_path_factory: pytest.TempPathFactory, ordinary: list[Path]) -> list[Path]:
    """One photo in ways that are often read wrongly."""
    return odd_photos(tmp_path_factory.mktemp("odd"), ordinary[0])


@pytest.fixture(scope="session")
def edge_says(edge_bundle: Path) -> EdgeSays:
    """What the edge graph says of photos that Hangtag decoded."""
    return edge_speaker(edge_bundle)


@pytest.fixture(scope="session")
def node_example(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``examples/node``, installed."""
    return install_or_skip("node", tmp_path_factory.mktemp("node"))


@pytest.fixture(scope="session")
def built_page(tmp_path_factory: pytest.TempPathFactory, edge_bundle: Path) -> Path:
    """``examples/browser``, installed and built for a small bundle."""
    skip_outside_ci(None if chromium_binary() else "chromium is not installed; install it.")
    return build(install_or_skip("browser", tmp_path_factory.mktemp("browser")), edge_bundle)


@pytest.fixture
def page(built_page: Path, tmp_path: Path) -> Iterator[Page]:
    """The page, opened in a new browser; the model is loaded."""
    with open_page(built_page, tmp_path / "profile") as page:
        yield page
