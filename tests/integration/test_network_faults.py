"""The network between workers and Redis fails."""

from collections.abc import Iterator

import pytest

from tests.until import until

from .farm import Farm
from .jobs import QueuedJob, assert_same
from .proxy import Proxy, open_proxy

HALF_OPEN_S = 60.0


@pytest.fixture
def proxy(farm: Farm) -> Iterator[Proxy]:
    with open_proxy(farm.server.port) as proxy:
        yield proxy


def through(proxy: Proxy) -> str:
    return f"redis://127.0.0.1:{proxy.port}/0"


def test_connections_that_break_are_made_again(farm: Farm, proxy: Proxy, job: QueuedJob, names, expected) -> None:
    worker = farm.worker(url=through(proxy))
    for parts in (2, 5):
        job.wait_for_parts(parts)
        proxy.cut()
    job.wait_for_end()
    assert worker.alive
    assert_same(job.rows(), expected(names))
    job.assert_one_part_a_chunk()


def test_silent_connections_are_given_up(farm: Farm, proxy: Proxy, job: QueuedJob, names, expected) -> None:
    worker = farm.worker(url=through(proxy))
    job.wait_for_parts(2)
    proxy.go_silent(new_connections_too=False)
    job.wait_for_end(HALF_OPEN_S)
    assert worker.alive
    assert_same(job.rows(), expected(names))
    job.assert_one_part_a_chunk()


@pytest.mark.proof
def test_a_silent_network_that_comes_back_is_used_again(
    farm: Farm, proxy: Proxy, job: QueuedJob, names, expected
) -> None:
    worker = farm.worker(url=through(proxy))
    job.wait_for_parts(2)
    before = proxy.connections
    proxy.go_silent(new_connections_too=True)
    until(lambda: proxy.connections > before, "the worker has tried to connect again")
    proxy.take_new_connections()
    job.wait_for_end(HALF_OPEN_S)
    assert worker.alive
    assert_same(job.rows(), expected(names))
    job.assert_one_part_a_chunk()
