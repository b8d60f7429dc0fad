"""What a message on the queue says: a task's name and its arguments."""

import base64
import json
from dataclasses import dataclass
from typing import Final

from worker.priority import Priority

__all__ = ["CHUNK_TASK", "FINISH_TASK", "QUEUES", "Message", "parse_message"]

CHUNK_TASK: Final = "hangtag.label_chunk"
FINISH_TASK: Final = "hangtag.finish_job"
QUEUES: Final = {
    Priority.HIGH: "hangtag.1.high",
    Priority.NORMAL: "hangtag.2.normal",
    Priority.LOW: "hangtag.3.low",
}
"""Workers take from them in the order of their names."""


@dataclass(frozen=True)
class Message:
    """A waiting message.

    Attributes:
        task: one of the tasks' names.
        job: name of the job.
        chunk: number of the chunk; none for a task that is not about one.
    """

    task: str
    job: str
    chunk: int | None


def parse_message(text: bytes | str) -> Message | None:
    """Read a message as Celery's protocol 2 lays it out on Redis; none for one that is not ours.

    Source: https://docs.celeryq.dev/en/stable/internals/protocol.html
    """
    try:
        envelope = json.loads(text)
        job, *rest = json.loads(base64.b64decode(envelope["body"]))[0]
        task = envelope["headers"]["task"]
    except (ValueError, KeyError, TypeError, IndexError, RecursionError):
        return None
    return Message(str(task), str(job), rest[0] if rest and isinstance(rest[0], int) else None)
