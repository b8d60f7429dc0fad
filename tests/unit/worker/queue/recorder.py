"""What the tests of the queue share: who takes its messages, and how time goes by in Redis."""

from collections.abc import Callable

import redis

from worker.job.job import Job
from worker.queue.messages import FINISH, QUEUES, TaskCall, parse_message
from worker.queue.redis_state import RedisState
from worker.request import Priority

NewJob = Callable[..., Job]


class Recorder(RedisState):
    """Its messages are nowhere: as if a worker had taken each at once."""

    def __init__(self, client: redis.Redis) -> None:
        super().__init__(client)
        self.sent: list[tuple[str, int]] = []

    def send(self, queue: str, call: TaskCall) -> None:
        self.sent += filter(None, [parse_message(call.envelope(queue))])

    def numbers(self, job: str = "job") -> list[int]:
        return [chunk for name, chunk in self.sent if name == job]

    @property
    def finishes(self) -> list[str]:
        return [name for name, chunk in self.sent if chunk == FINISH]


def waiting(state: RedisState, priority: Priority = Priority.NORMAL) -> list[int]:
    """The chunks in a queue, in the order in which workers take them."""
    messages = [parse_message(text) for text in reversed(state.queued(QUEUES[priority]))]
    return [message[1] for message in messages if message]


def next_second(client: redis.Redis) -> None:
    client.delete("hangtag:tick:6")


def a_moment_later(client: redis.Redis) -> None:
    """The marks of what was sent a moment ago have come to their end."""
    client.delete(*client.keys("hangtag:sent:*"), "hangtag:tick:6")
