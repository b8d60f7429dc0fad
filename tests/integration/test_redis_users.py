"""Hangtag with its rights in ``docker/redis/users.acl``, and commands that these rights forbid."""

import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
import redis

from tests.command import clean_environment, run_hangtag
from tests.until import until
from worker.job.receipt import finished_receipt

from .cluster import Cluster
from .guarded_redis import PASSWORD, ROOM, GuardedRedis
from .jobs import QueuedJob, assert_same, write_list
from .processes import with_bad_formats
from .scheduled_model import ScheduledModel

GRACE_S = 6
RIGHTS = (ROOM / "users.acl").read_text()
HIDDEN = {"unwatch"}
"""Sent only when a transaction is given up half-way."""


@pytest.fixture
def guarded(redis_installed: None, tmp_path: Path) -> Iterator[GuardedRedis]:
    with GuardedRedis(tmp_path / "redis") as server:
        yield server


@pytest.fixture
def cluster(tmp_path: Path, guarded: GuardedRedis) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path, guarded, **guarded.environment, **with_bad_formats(), HANGTAG_GRACE_S=str(GRACE_S))
    yield cluster
    cluster.close()


def must(cluster: Cluster, *arguments: str) -> str:
    done = cluster.hangtag(*arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


@pytest.fixture
def admin(guarded: GuardedRedis) -> Iterator[redis.Redis]:
    with guarded.admin() as client:
        yield client


def used_commands(admin: redis.Redis) -> set[str]:
    return {name.removeprefix("cmdstat_") for name in admin.info("commandstats")}


def test_a_job_with_every_failure_needs_exactly_these_rights(
    cluster: Cluster, admin: redis.Redis, catalogue: Path, bundle: Path, names: list[str], truth
) -> None:
    """The model is missing for a while, a process is killed, and a photo hangs until SIGTERM to its worker."""
    hangs, late, good = cluster.folder / "slow.jpg", cluster.folder / "late.png", catalogue / names[0]
    hangs.write_bytes(b"HANG")
    photos = [*(str(catalogue / name) for name in names[:60]), str(hangs), str(late)]
    source = write_list(cluster.folder / "list.txt", photos)
    submit = (
        "submit",
        str(source),
        "--model",
        str(bundle),
        "--image-root",
        "/",
        "--job",
        "spring",
        "--decode-timeout",
        "300",
    )
    assert "jobs watch spring" in must(cluster, *submit)
    job = QueuedJob("spring", cluster.job("spring").job, cluster.jobs / "spring", admin)
    found = job.job
    place, away = cluster.jobs / "_bundles" / found.model.digest, cluster.folder / "away"
    place.rename(away)
    first = cluster.worker()
    until(lambda: list(admin.scan_iter("hangtag:trouble:spring:*")), "the worker reports trouble")
    away.rename(place)
    held = until(job.in_hand, "a chunk is in hand")[0]
    os.kill(held.pid, signal.SIGKILL)
    until(lambda: first.events("process_died"), "a process died")
    until(job.few_left, "only chunks of the process that hangs are left")
    first.terminate()
    assert first.process.wait(GRACE_S + 10) == 0
    hangs.write_bytes(good.read_bytes())
    cluster.worker()
    said = must(cluster, "jobs", "show", "spring", "--json")
    assert '"job": "spring"' in said
    said += must(cluster, "jobs", "watch", "spring")
    late.write_bytes(good.read_bytes())
    assert "1 missing" in must(cluster, "jobs", "retry-failed", "spring")
    must(cluster, "jobs", "watch", "spring")
    receipt = finished_receipt(found)
    assert receipt
    assert receipt.retry == 1
    relative = [*names[:60], names[0], names[0]]
    assert_same(job.rows(), [{"image": p, **truth[n]} for p, n in zip(photos, relative, strict=True)])
    assert admin.acl_log() == []
    said += "".join(worker.log.read_text() for worker in cluster.workers)
    assert not [word for word in (PASSWORD, quote(PASSWORD), quote(PASSWORD, safe="")) if word in said]
    allowed = set(re.findall(r"\+([a-z|]+)", RIGHTS))
    assert allowed - used_commands(admin) <= HIDDEN


def test_a_scheduler_and_a_train_worker_need_no_other_rights(
    guarded: GuardedRedis, admin: redis.Redis, tmp_path: Path
) -> None:
    (tmp_path / "retraining").mkdir()
    model = ScheduledModel(tmp_path / "retraining", guarded, guarded.environment)
    try:
        worker, beat = model.worker(), model.beat()
        model.wait_for_another()
        for process in (beat, worker):
            process.terminate()
            process.process.wait(15)
    finally:
        model.close()
    assert admin.acl_log() == []
    said = "".join(process.log.read_text() for process in model.processes)
    assert not [word for word in (PASSWORD, quote(PASSWORD), quote(PASSWORD, safe="")) if word in said]


FORBIDDEN = """
FLUSHALL | FLUSHDB | KEYS * | CONFIG GET requirepass | CONFIG SET dir /tmp | ACL LIST | ACL SETUSER hangtag +@all
GET foreign | SET foreign 1 | DEL foreign | LPUSH foreign 1 | HSET unacked2 a b | SADD _kombu.binding.other a
SET hangtag 1 | EVAL redis.call('set',KEYS[1],'x') 1 foreign | EVAL redis.call('flushall') 0 | SCRIPT FLUSH
FUNCTION LIST | SHUTDOWN NOSAVE | SAVE | BGREWRITEAOF | MONITOR | CLIENT LIST | CLIENT KILL ID 1
REPLICAOF 127.0.0.1 1 | MODULE LIST | MIGRATE 127.0.0.1 1 foreign 0 1 | PUBLISH hangtag x | SUBSCRIBE hangtag
INFO | SWAPDB 0 1 | SORT hangtag:a BY foreign
"""


@pytest.fixture(scope="module")
def one_server(redis_installed: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GuardedRedis]:
    with GuardedRedis(tmp_path_factory.mktemp("guarded") / "redis") as server:
        yield server


def words(command: str) -> list[str]:
    name, *rest = command.split(" ", 1)
    if name == "EVAL":
        script, _, keys = rest[0].partition(") ")
        return [name, f"{script})", *keys.split()]
    return command.split()


@pytest.mark.parametrize("command", re.split(r" \| |\n", FORBIDDEN.strip()))
def test_nothing_else_may_be_done(one_server: GuardedRedis, command: str) -> None:
    with one_server.admin() as admin, one_server.client() as client:
        admin.set("foreign", "untouched")
        with pytest.raises(redis.ResponseError, match=r"(?i)no permissions|NOPERM|can't (access|run)"):
            client.execute_command(*words(command))
        assert admin.get("foreign") == "untouched"


def test_a_wrong_password_is_told_and_not_shown(one_server: GuardedRedis, tmp_path: Path, catalogue, bundle) -> None:
    wrong = tmp_path / "password"
    wrong.write_text("no-such-secret\n")
    env = clean_environment(**{**one_server.environment, "HANGTAG_REDIS_PASSWORD_FILE": str(wrong)})
    done = run_hangtag("submit", str(catalogue), "--model", str(bundle), "--jobs", str(tmp_path / "jobs"), env=env)
    assert done.returncode == 1
    assert "invalid username-password pair" in done.stderr
    assert "no-such-secret" not in done.stdout + done.stderr
    assert not (tmp_path / "jobs").exists()
