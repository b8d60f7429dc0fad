"""Redis loses its data or its connections in the middle of a job."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.until import until
from worker.queue.private_redis import PrivateRedis

from .cluster import Cluster
from .jobs import QueuedJob, assert_same
from .processes import WorkerProcess
from .proxy import Proxy, open_proxy

MARK = "told-before-the-kill"


def restart(server: PrivateRedis, worker: WorkerProcess) -> None:
    until(lambda: is_reconciling(worker), "the worker is over the last outage, so that it logs the next one")
    before = len(worker.events("cannot_reconcile"))
    server.kill()
    until(lambda: len(worker.events("cannot_reconcile")) > before, "the worker says that Redis is away")
    server.start()


def is_reconciling(worker: WorkerProcess) -> bool:
    return len(worker.events("cannot_reconcile")) == len(worker.events("reconciling_again"))


def restart_empty(cluster: Cluster) -> None:
    cluster.client.set(MARK, "")
    restart(cluster.server, cluster.workers[0])
    assert not cluster.client.exists(MARK), "this Redis was to forget"


def forget_all(cluster: Cluster) -> None:
    """Remove also the bindings that kombu makes only when it connects."""
    cluster.client.flushall()


@pytest.mark.parametrize("fault", [restart_empty, forget_all])
def test_a_redis_that_forgets_ends_no_job(
    cluster: Cluster, job: QueuedJob, names, expected, fault: Callable[[Cluster], None]
) -> None:
    worker = cluster.worker()
    job.wait_for_parts(2)
    fault(cluster)
    job.wait_for_end()
    assert worker.alive
    job.assert_right_once(expected(names))


def test_a_worker_with_one_slot_is_back_when_redis_is(cluster: Cluster, job: QueuedJob, names, expected) -> None:
    """The chunk's message cannot be acknowledged meanwhile, and no other slot notices the outage."""
    worker = cluster.worker(slots=1)
    for parts in (1, 3, 5):
        job.wait_for_parts(parts)
        restart(cluster.server, worker)
    job.wait_for_end()
    assert_same(job.rows(), expected(names))


def test_a_redis_that_remembers_goes_on_where_it_was(
    cluster: Cluster, catalogue: Path, bundle: Path, names, expected
) -> None:
    cluster.server.options |= {"appendonly": "yes", "appendfsync": "always"}
    cluster.server.kill()
    cluster.server.start()
    job = cluster.submit(names, bundle, root=catalogue)
    worker = cluster.worker()
    job.wait_for_parts(2)
    cluster.client.set(MARK, "")
    restart(cluster.server, worker)
    assert cluster.client.exists(MARK), "this Redis was to remember"
    job.wait_for_end()
    assert worker.alive
    job.assert_right_once(expected(names))


def test_a_worker_waits_for_a_redis_whose_memory_is_full(cluster: Cluster, job: QueuedJob, names, expected) -> None:
    """At its start, and in the middle of a job."""
    cluster.client.config_set("maxmemory", "1kb")
    worker = cluster.early_worker()
    for times in (1, 2):
        until(lambda times=times: len(worker.events("cannot_reconcile")) >= times, "Redis refuses work")
        cluster.client.config_set("maxmemory", "0")
        if times == 1:
            until(lambda: worker.events("reconciling_again"), "a tick succeeds, so that the next failure is told")
            cluster.client.config_set("maxmemory", "1kb")
    job.wait_for_end()
    assert worker.alive
    job.assert_right_once(expected(names))


def test_a_replacement_process_holds_no_connection_of_its_parent(cluster: Cluster, job: QueuedJob) -> None:
    """Otherwise the parent would get events of its lost connection again and again, and use half a core."""
    worker = cluster.worker(slots=1)
    held = job.freeze_one()
    os.kill(held.pid, signal.SIGKILL)
    until(lambda: len(worker.events("slot_started")) == 2, "another process is in its place")
    child = worker.events("slot_started")[-1]["pid"]
    assert connections(worker.pid)
    assert not connections(worker.pid) & connections(child)


def connections(pid: int) -> set[tuple[str, int]]:
    return {(found.laddr.ip, found.laddr.port) for found in psutil.Process(pid).net_connections("inet")}


HALF_OPEN_S = 60.0


@pytest.fixture
def proxy(cluster: Cluster) -> Iterator[Proxy]:
    with open_proxy(cluster.server.port) as proxy:
        yield proxy


def through(proxy: Proxy) -> str:
    return f"redis://127.0.0.1:{proxy.port}/0"


def test_connections_that_break_are_made_again(cluster: Cluster, proxy: Proxy, job: QueuedJob, names, expected) -> None:
    worker = cluster.worker(url=through(proxy))
    for parts in (2, 5):
        job.wait_for_parts(parts)
        proxy.cut()
    job.wait_for_end()
    assert worker.alive
    job.assert_right_once(expected(names))


def test_silent_connections_are_given_up(cluster: Cluster, proxy: Proxy, job: QueuedJob, names, expected) -> None:
    worker = cluster.worker(url=through(proxy))
    job.wait_for_parts(2)
    proxy.go_silent()
    job.wait_for_end(HALF_OPEN_S)
    assert worker.alive
    job.assert_right_once(expected(names))
