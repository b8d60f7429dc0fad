"""What these tests share: a Redis, a folder of jobs with workers, and what the labels must be."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from worker.job import JobOptions
from worker.label import LabelRequest, label
from worker.queue.private_redis import PrivateRedis

from .farm import Farm
from .jobs import QueuedJob, Row, photo_names, write_list

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
def truth(tmp_path_factory: pytest.TempPathFactory, catalogue: Path, bundle: Path) -> dict[str, Row]:
    """Photo → what ``hangtag label`` says of it."""
    output = tmp_path_factory.mktemp("truth") / "labels.parquet"
    label(LabelRequest(catalogue, bundle, output, JobOptions(), workers=2), lambda *_: None)
    return {row.pop("image"): row for row in pq.read_table(output).to_pylist()}


@pytest.fixture
def expected(truth: dict[str, Row]) -> Expected:
    """The result that a list of photos must have."""
    return lambda names: [{"image": name, **truth[name]} for name in names]


@pytest.fixture
def names(catalogue: Path) -> list[str]:
    """4,000 rows, or 16 chunks: some seconds of work."""
    return photo_names(catalogue, 4000)


@pytest.fixture
def job(farm: Farm, catalogue: Path, bundle: Path, names: list[str]) -> QueuedJob:
    """A job of these rows, submitted; no worker is there yet."""
    return farm.submit(write_list(farm.folder / "list.txt", names), bundle, root=catalogue)
