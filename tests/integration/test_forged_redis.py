"""Somebody who may write to Redis, and does: workers and reconcilers go on."""

import json

from .farm import Farm
from .jobs import QueuedJob, assert_same


def test_what_others_write_to_redis_ends_no_worker_and_blinds_no_reconciler(
    farm: Farm, job: QueuedJob, expected, names: list[str]
) -> None:
    farm.client.set("hangtag:worker:forged:1:1", json.dumps({"slots": "x"}))
    farm.client.set(f"hangtag:setbacks:{job.name}", "x")
    farm.client.set("hangtag:tick:4", "x")
    farm.client.set("hangtag.1.high", "no queue")
    farm.client.hset("unacked", "tag", "}{")
    farm.client.zadd("unacked_index", {"tag": 1})
    worker = farm.early_worker()
    worker.wait_until_ready()
    farm.client.delete("hangtag.2.normal")
    for forged in ("}{", "[1]", "null", json.dumps({"body": "", "headers": {"task": []}, "properties": {}})):
        farm.client.lpush("hangtag.2.normal", *[forged] * 50)
    job.wait_for_end()
    assert_same(job.rows(), expected(names))
    assert worker.alive
    assert worker.events("message_dropped")
    assert worker.events("record_unreadable")
    assert not worker.events("worker_ends")
