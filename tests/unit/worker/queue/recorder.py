"""What the tests of the reconciler share: who takes its messages, and how time goes by in Redis."""

from dataclasses import dataclass, field

import redis

from worker.priority import Priority
from worker.queue.messages import QUEUES, parse_message
from worker.queue.redis_state import RedisState

__all__ = ["Recorder", "a_moment_later", "next_second", "waiting"]


@dataclass
class Recorder:
    """A publisher whose messages nobody gets: as if a worker had taken each at once."""

    chunks: list[tuple[str, int]] = field(default_factory=list)
    finishes: list[str] = field(default_factory=list)

    def send_chunk(self, job: str, chunk: int, priority: Priority) -> None:
        self.chunks.append((job, chunk))

    def send_finish(self, job: str, priority: Priority) -> None:
        self.finishes.append(job)

    def numbers(self, job: str = "job") -> list[int]:
        return [chunk for name, chunk in self.chunks if name == job]


def waiting(state: RedisState, priority: Priority = Priority.NORMAL) -> list[int | None]:
    """The chunks in a queue, in the order in which workers take them."""
    messages = [parse_message(text) for text in reversed(state.queued(QUEUES[priority]))]
    return [message.chunk for message in messages if message]


def next_second(client: redis.Redis) -> None:
    client.delete("hangtag:tick:4")


def a_moment_later(client: redis.Redis) -> None:
    """The marks of what was sent a moment ago have come to their end."""
    client.delete(*client.keys("hangtag:sent:*"), "hangtag:tick:4")
