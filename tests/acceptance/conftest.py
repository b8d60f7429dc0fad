"""A place with a Redis and one worker: started when the first test asks for it, and the same for all that do."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from tests.command import HANGTAG
from tests.integration.jobs import photo_names
from tests.integration.processes import WorkerProcess
from tests.until import until
from worker.queue.private_redis import PrivateRedis
from worker.queue.redis_state import RedisState

from .place import SPRING_ROWS, Place, environment

Submit = Callable[[str], tuple[object, ...]]


@pytest.fixture(scope="session")
def server(redis_installed: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateRedis]:
    with PrivateRedis(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory, server: PrivateRedis) -> Iterator[Place]:
    folder, elsewhere = tmp_path_factory.mktemp("queue"), tmp_path_factory.mktemp("elsewhere")
    command = (*HANGTAG, "worker", "--concurrency", "2")
    worker = WorkerProcess.start(command, folder / "worker.log", environment(server.url, folder / "jobs"), elsewhere)
    try:
        with redis.Redis.from_url(server.url, decode_responses=True) as client:
            until(lambda: RedisState(client).workers() or not worker.alive, "the worker announces itself")
        yield Place(folder, server, worker)
        worker.terminate()
        assert worker.process.wait(30) == 0
    finally:
        worker.kill_all()
        print(worker.log.read_text())


@pytest.fixture(scope="session")
def products(place: Place, catalogue: Path) -> Path:
    """A CSV of 600 rows, three of them without a photo; three chunks on the queue, five on this machine."""
    cells = [*photo_names(catalogue, SPRING_ROWS - 3), "gone.jpg", "", "ftp://shop.example/a.jpg"]
    source = place.folder / "products.csv"
    source.write_text("sku,image\n" + "".join(f"{row:05},{cell}\n" for row, cell in enumerate(cells)))
    return source


@pytest.fixture(scope="session")
def spring(place: Place, products: Path, catalogue: Path, bundle: Path) -> tuple[str, str]:
    """The job ``spring``, submitted and followed to its end; what both commands printed."""
    options = ("--model", bundle, "--image-root", catalogue, "--job", "spring")
    return place.must("submit", products, *options), place.must("jobs", "watch", "spring")


@pytest.fixture
def few(place: Place, catalogue: Path, bundle: Path) -> Submit:
    """The arguments of ``submit`` for a job of four rows."""

    def arguments(job: str) -> tuple[object, ...]:
        source = place.folder / f"{job}.txt"
        source.write_text("".join(f"{photo}\n" for photo in sorted(catalogue.rglob("*.png"))[:4]))
        return ("submit", source, "--model", bundle, "--image-root", catalogue, "--job", job)

    return arguments
