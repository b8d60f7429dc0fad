"""Takes the queue's messages, and moves the time in Redis."""

from collections.abc import Callable

import redis

from worker.job.job import Job
from worker.queue.redis_state import FINISH, QUEUES, parse_message
from worker.request import Priority

NewJob = Callable[..., Job]


class Recorder:
    """Its messages are nowhere: as if a worker had taken each at once."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, int]] = []

    def __call__(self, job: str, chunk: int, _priority: Priority) -> None:
        self.sent.append((job, chunk))

    def numbers(self, job: str = "job") -> list[int]:
        return [chunk for name, chunk in self.sent if name == job]

    @property
    def finishes(self) -> list[str]:
        return [name for name, chunk in self.sent if chunk == FINISH]


def waiting(client: redis.Redis, priority: Priority = Priority.NORMAL) -> list[int]:
    """The chunks in a queue, in the order in which workers take them."""
    return [parse_message(text)[1] for text in reversed(client.lrange(QUEUES[priority], 0, -1))]


def next_second(client: redis.Redis) -> None:
    client.delete("hangtag:tick")


def a_moment_later(client: redis.Redis) -> None:
    """Let the marks of sent messages expire."""
    client.delete(*client.keys("hangtag:sent:*"), "hangtag:tick")
