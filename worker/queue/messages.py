"""The queue's messages: a task's name and its arguments. Anything else is not a message of ours."""

import base64
import json
from dataclasses import dataclass
from typing import Any, Final
from uuid import uuid4

from models.text import is_name
from worker.request import Priority

CHUNK_TASK: Final = "hangtag.label_chunk"
FINISH_TASK: Final = "hangtag.finish_job"
QUEUES: Final = {
    Priority.HIGH: "hangtag.1.high",
    Priority.NORMAL: "hangtag.2.normal",
    Priority.LOW: "hangtag.3.low",
}
"""Workers take from the queues in the order of their names."""

FINISH: Final = -1
"""The chunk number that stands for the job's end."""

_MOST_BYTES: Final = 64 << 10
_MOST_CHUNKS: Final = 1 << 31
_JSON: Final = "application/json"


@dataclass(frozen=True)
class TaskCall:
    """A task and its positional arguments, which are JSON and not checked yet."""

    task: str
    arguments: list[Any]

    def envelope(self, queue: str) -> bytes:
        """A message with this call, as Celery's protocol 2 lays it out on Redis; we write all of its fields.

        Source: https://docs.celeryq.dev/en/stable/internals/protocol.html
        """
        number = str(uuid4())
        body = base64.b64encode(json.dumps([self.arguments, {}, {}]).encode()).decode()
        properties = {"body_encoding": "base64", "correlation_id": number, "delivery_tag": str(uuid4()), "priority": 0}
        properties["delivery_info"] = {"exchange": "", "routing_key": queue}
        headers = {"lang": "py", "task": self.task, "id": number, "root_id": number}
        kind = {"content-type": _JSON, "content-encoding": "utf-8"}
        return json.dumps({"body": body, **kind, "headers": headers, "properties": properties}).encode()


def read_call(text: bytes | str) -> TaskCall | None:
    """Read a message of Celery's protocol 2; ``None`` for anything else."""
    if len(text) > _MOST_BYTES:
        return None
    try:
        envelope = json.loads(text)
        task = envelope["headers"]["task"]
        arguments, options, _ = json.loads(base64.b64decode(envelope["body"], validate=True))
        is_ours = envelope["content-type"] == _JSON and envelope["content-encoding"] == "utf-8" and options == {}
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return TaskCall(task, arguments) if is_ours and isinstance(task, str) and isinstance(arguments, list) else None


def job_call(job: str, chunk: int) -> TaskCall:
    """The task of a chunk, or of the job's end (:data:`FINISH`)."""
    return TaskCall(FINISH_TASK, [job]) if chunk == FINISH else TaskCall(CHUNK_TASK, [job, chunk])


def parse_message(text: bytes | str) -> tuple[str, int] | None:
    """Read a message: the job's name, and the chunk's number or :data:`FINISH`; ``None`` if it is not ours."""
    match read_call(text):
        case TaskCall(task=task, arguments=[str(job), int(chunk)]) if task == CHUNK_TASK:
            known = is_name(job) and not isinstance(chunk, bool) and 0 <= chunk < _MOST_CHUNKS
            return (job, chunk) if known else None
        case TaskCall(task=task, arguments=[str(job)]) if task == FINISH_TASK and is_name(job):
            return job, FINISH
    return None


def chunk_call(text: bytes | str) -> TaskCall | None:
    """The task of a message that a labelling worker takes; ``None`` for anything else."""
    return read_call(text) if parse_message(text) else None
