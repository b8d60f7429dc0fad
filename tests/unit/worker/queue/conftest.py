"""A real Redis for the tests of what relies on one."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from worker.jobs import Jobs
from worker.queue.private_redis import PrivateRedis
from worker.queue.reconciler import Reconciler
from worker.queue.redis_state import RedisState, connect
from worker.queue.settings import QueueSettings

from .recorder import Recorder


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
def sent(settings: QueueSettings) -> Iterator[Recorder]:
    """Nobody gets these messages."""
    recorder = Recorder(connect(settings))
    yield recorder
    recorder.close()


@pytest.fixture
def reconciler(jobs: Jobs, sent: Recorder) -> Reconciler:
    """Sends to the recorder."""
    return Reconciler(jobs, sent)
