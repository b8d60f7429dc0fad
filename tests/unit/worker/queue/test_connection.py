"""A worker's connection takes what others pushed to its queues; against a real Redis."""

import base64
import json
from typing import Any

import pytest
import redis
from celery import Celery
from kombu import Consumer

from worker.queue.app import HangtagCelery, make_app
from worker.queue.messages import CHUNK_TASK, QUEUES, TaskCall
from worker.queue.metrics import DROPPED
from worker.queue.settings import QueueSettings
from worker.request import Priority

QUEUE = QUEUES[Priority.NORMAL]
GOOD = json.loads(TaskCall(CHUNK_TASK, ["spring", 17]).envelope(QUEUE))


def changed(**fields: Any) -> str:
    return json.dumps({**GOOD, **{name.replace("_", "-"): value for name, value in fields.items()}})


def body(*parts: object) -> str:
    return base64.b64encode(json.dumps(parts).encode()).decode()


def dropped(app: HangtagCelery) -> float:
    return app.metrics.totals()[DROPPED, ("message",)]


def take(app: Celery) -> list[list[Any]]:
    """The arguments of what Celery gets, up to the first message that it gets."""
    taken: list[list[Any]] = []
    with app.connection_for_read() as connection:
        connection.message_filter = app.message_filter
        consumer = Consumer(connection, app.amqp.queues.values(), accept=["json"])
        consumer.register_callback(lambda body, message: (taken.append(body[0]), message.ack()))
        with consumer:
            while not taken:
                connection.drain_events(timeout=30)
    return taken


@pytest.mark.parametrize(("user", "shown"), [("", ""), (":secret@", ":**@"), ("shop:secret@", "shop:**@")])
def test_a_mask_stands_only_for_a_password(user: str, shown: str) -> None:
    connection = make_app(QueueSettings(redis_url=f"redis://{user}127.0.0.1:7391/0", jobs="jobs")).connection_for_read()
    assert connection.as_uri() == f"redis://{shown}127.0.0.1:7391/0"


FORGED = {
    "no JSON": "}{",
    "no UTF-8": b"\xff\xfe\x00",
    "no object": "[1, 2]",
    "null": "null",
    "deep": "[" * 50_000,
    "huge": changed(padding="x" * 2_000_000),
    "a number of 5,000 digits": "1" * 5_000,
    "pickle": changed(content_type="application/x-python-serialize", body=base64.b64encode(b"\x80\x04N.").decode()),
    "another encoding": changed(content_encoding="utf-7"),
    "no headers": changed(headers=None),
    "headers that are text": changed(headers="task"),
    "a task that is a list": changed(headers={**GOOD["headers"], "task": []}),
    "protocol 1": changed(headers={}, body=body({"task": CHUNK_TASK, "args": ["spring", 17], "kwargs": {}})),
    "a task of nobody": changed(headers={**GOOD["headers"], "task": "os.system"}),
    "a task of trainers": changed(headers={**GOOD["headers"], "task": "hangtag.retrain"}),
    "no body": changed(body=None),
    "a body that is no base64": changed(body="%%%"),
    "one argument": changed(body=body(["spring"], {}, {})),
    "arguments by name": changed(body=body(["spring", 17], {"chunk": 3}, {})),
    "a job outside": changed(body=body(["../../etc", 17], {}, {})),
    "the chunk that stands for the end": changed(body=body(["spring", -1], {}, {})),
}


@pytest.mark.parametrize("forged", FORGED.values(), ids=FORGED)
def test_what_is_no_message_of_ours_is_dropped_and_counted(settings, client, forged) -> None:
    with make_app(settings) as app:
        client.lpush(QUEUE, forged, forged, json.dumps(GOOD))
        assert take(app) == [["spring", 17]]
        assert dropped(app) == 2
        assert not client.exists(QUEUE, "unacked", "unacked_index")


BENT = {
    "no properties": changed(properties=None),
    "no delivery tag": changed(properties={"body_encoding": "base64"}),
    "a tag that is a list": changed(properties={**GOOD["properties"], "delivery_tag": [1]}),
    "delivery to nowhere": changed(properties={**GOOD["properties"], "delivery_info": "x", "priority": "x"}),
    "compressed": changed(headers={**GOOD["headers"], "compression": "zlib"}),
    "an end in 1970": changed(headers={**GOOD["headers"], "expires": "1970-01-01T00:00:00", "eta": 7, "timelimit": 1}),
    "a follower": changed(body=body(["spring", 17], {}, {"chain": [{"task": "x"}], "callbacks": 7, "errbacks": "x"})),
}


@pytest.mark.parametrize("bent", BENT.values(), ids=BENT)
def test_celery_gets_no_field_that_somebody_else_wrote(settings: QueueSettings, client: redis.Redis, bent: str) -> None:
    with make_app(settings) as app:
        client.lpush(QUEUE, bent)
        assert take(app) == [["spring", 17]]
        assert dropped(app) == 0


@pytest.mark.parametrize("text", ["}{", "[1]", "7", "null"])
def test_what_lies_among_messages_in_hand_and_is_none_goes(settings, client, text) -> None:
    client.hset("unacked", "tag", text)
    client.hset("unacked", "good", json.dumps([GOOD, "", QUEUE]))
    client.zadd("unacked_index", {"tag": 2, "good": 1})
    with make_app(settings) as app, app.connection_for_read() as connection:
        connection.message_filter = app.message_filter
        connection.default_channel.qos.restore_visible()
        assert dropped(app) == 1
        assert not client.exists("unacked", "unacked_index")
        assert client.llen(QUEUE) == 1, "the message behind it is back"
