"""A Redis and one worker, started by the first test that needs them and shared by all."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.integration.cluster import Cluster
from tests.integration.jobs import photo_names
from tests.until import until
from worker.queue.private_redis import PrivateRedis
from worker.queue.redis_state import RedisState

SPRING_ROWS = 600

Submit = Callable[[str], tuple[object, ...]]


@pytest.fixture(scope="session")
def server(redis_installed: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateRedis]:
    with PrivateRedis(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory, server: PrivateRedis) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path_factory.mktemp("queue"), server, COLUMNS="200")
    worker = cluster.worker()
    try:
        until(lambda: RedisState(cluster.client).workers(), "the worker announces itself")
        yield cluster
        worker.terminate()
        assert worker.process.wait(30) == 0
    finally:
        cluster.close()


@pytest.fixture(scope="session")
def products(cluster: Cluster, catalogue: Path) -> Path:
    """A CSV of 600 rows, three of them without a photo; three chunks on the queue, five on this machine."""
    cells = [*photo_names(catalogue, SPRING_ROWS - 3), "gone.jpg", "", "ftp://shop.example/a.jpg"]
    source = cluster.folder / "products.csv"
    source.write_text("sku,image\n" + "".join(f"{row:05},{cell}\n" for row, cell in enumerate(cells)))
    return source


@pytest.fixture(scope="session")
def spring(cluster: Cluster, products: Path, catalogue: Path, bundle: Path) -> tuple[str, str]:
    options = ("--model", bundle, "--image-root", catalogue, "--job", "spring")
    return cluster.must("submit", products, *options), cluster.must("jobs", "watch", "spring")


@pytest.fixture
def few(cluster: Cluster, catalogue: Path, bundle: Path) -> Submit:
    def arguments(job: str) -> tuple[object, ...]:
        source = cluster.folder / f"{job}.txt"
        source.write_text("".join(f"{photo}\n" for photo in sorted(catalogue.rglob("*.png"))[:4]))
        return ("submit", source, "--model", bundle, "--image-root", catalogue, "--job", job)

    return arguments
