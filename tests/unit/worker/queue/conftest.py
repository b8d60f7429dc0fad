"""A real Redis."""

import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from worker.job.job import Job
from worker.job.jobs import Jobs
from worker.queue.app import HangtagCelery
from worker.queue.private_redis import PrivateRedis
from worker.queue.reconciler import Reconciler
from worker.queue.redis_state import RedisState, connect
from worker.queue.runner import Runner
from worker.queue.settings import QueueSettings
from worker.queue.submit import submit
from worker.request import JobOptions, SubmitRequest
from worker.results.finish import finishing

from .recorder import NewJob, Recorder


@pytest.fixture(scope="session")
def shared_redis(redis_installed: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateRedis]:
    """A server for all tests of this folder."""
    with PrivateRedis(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def client(shared_redis: PrivateRedis) -> Iterator[redis.Redis]:
    """A connection to an empty Redis."""
    with redis.Redis.from_url(shared_redis.url, decode_responses=True) as client:
        client.flushall()
        yield client


@pytest.fixture
def settings(shared_redis: PrivateRedis, client: redis.Redis, jobs: Jobs) -> QueueSettings:
    """Lead to the empty Redis and to an empty folder of jobs."""
    return QueueSettings(redis_url=shared_redis.url, jobs=jobs.place)


@pytest.fixture
def state(settings: QueueSettings) -> Iterator[RedisState]:
    """The state of that Redis."""
    state = RedisState(connect(settings))
    yield state
    state.close()


@pytest.fixture
def away(tmp_path: Path, jobs: Jobs) -> QueueSettings:
    """Lead to a port where no Redis is."""
    return QueueSettings(redis_url=PrivateRedis(tmp_path / "no-redis").url, jobs=jobs.place)


@pytest.fixture
def app(settings: QueueSettings) -> Iterator[HangtagCelery]:
    """Sends to that Redis."""
    with HangtagCelery(settings) as app:
        yield app


@pytest.fixture
def sent() -> Recorder:
    """Nobody gets these messages."""
    return Recorder()


@pytest.fixture
def reconciler(jobs: Jobs, state: RedisState, sent: Recorder) -> Reconciler:
    """Sends to the recorder."""
    return Reconciler(jobs, state, sent)


@pytest.fixture
def usual_alarm() -> Iterator[None]:
    """A runner sets what SIGALRM does."""
    before = signal.getsignal(signal.SIGALRM)
    yield
    signal.signal(signal.SIGALRM, before)


@pytest.fixture
def photos(tmp_path: Path, catalogue: Path) -> Path:
    """Eight of the drawn ones, in a folder of their own."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for number, photo in enumerate(sorted(catalogue.rglob("*.png"))[:8]):
        shutil.copyfile(photo, folder / f"{number}.png")
    return folder


@pytest.fixture
def new_job(tmp_path: Path, jobs: Jobs, photos: Path, bundle: Path) -> NewJob:
    """Submit rows of these photos, as the job called ``job``."""

    def make(rows: int = 8, *, distinct: int = 8, model: Path | dict[str, Path] = bundle) -> Job:
        source = tmp_path / "list.txt"
        source.write_text("".join(f"{row % distinct}.png\n" for row in range(rows)))
        return submit(SubmitRequest(source, model, JobOptions(image_root=str(photos)), name="job"), jobs).job

    return make


@pytest.fixture
def pauses() -> list[float]:
    return []


@pytest.fixture
def runner(app: HangtagCelery, pauses: list[float], usual_alarm: None) -> Iterator[Runner]:
    runner = Runner(app, finishing, pauses.append)
    yield runner
    runner.resources.close()
