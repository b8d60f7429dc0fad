"""What is on the wire between submitters and workers."""

import base64
import json
from pathlib import Path

from worker.queue.messages import CHUNK_TASK

from .farm import Farm
from .jobs import QueuedJob

MOST_BYTES = 1500


def test_a_message_is_small_and_says_only_which_chunk(farm: Farm, job: QueuedJob, catalogue: Path) -> None:
    texts = farm.waiting()
    assert len(texts) == job.chunks
    secrets = (str(catalogue), str(farm.folder), str(farm.server.port), "redis://", job.job.spec.model.digest)
    for chunk, text in enumerate(reversed(texts)):
        envelope = json.loads(text)
        body = base64.b64decode(envelope["body"]).decode()
        arguments, options, embedded = json.loads(body)
        assert envelope["content-type"] == "application/json"
        assert envelope["headers"]["task"] == CHUNK_TASK
        assert arguments == [job.name, chunk]
        assert options == {}
        assert not any(embedded.values())
        assert len(text) < MOST_BYTES
        assert not [secret for secret in secrets if secret in text + body]
