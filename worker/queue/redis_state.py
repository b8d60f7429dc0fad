"""The state of jobs and workers in Redis. Workers can rebuild lost state from the jobs' folders.

Every key expires:

    hangtag:lease:JOB:CHUNK           a process labels the chunk
    hangtag:sent:JOB:CHUNK            the chunk was queued a moment ago
    hangtag:alone:JOB:CHUNK           the chunk failed, and needs a separate task
    hangtag:worker:HOST:PID:STARTED   a running worker
    hangtag:trouble:JOB:HOST          why the job's chunks fail on the host
    hangtag:setbacks:JOB              number of failed chunks since the last finished chunk
    hangtag:trial:JOB                 a chunk of the failing job was queued a moment ago
    hangtag:unmerged:JOB              number of failed merges
    hangtag:tick                      a reconciler has just run
"""

import json
from base64 import b64decode
from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from threading import Event, Thread
from typing import Final, Self

import redis
from pydantic import TypeAdapter

from models.process import Owner
from worker.queue.settings import QueueSettings
from worker.request import Priority

QUEUES: Final = {
    Priority.HIGH: "hangtag.1.high",
    Priority.NORMAL: "hangtag.2.normal",
    Priority.LOW: "hangtag.3.low",
}
"""Priority → queue. Workers serve queues in alphabetical order."""

FINISH: Final = -1
"""Means the merge, in place of a chunk's number."""

LEASE_S: Final = 10
SENT_S: Final = 5
ALONE_S: Final = 600
"""For this many seconds after a task has failed, each of its chunks gets a separate task."""
TICK_S: Final = 0.9
PRESENCE_S: Final = 10
TROUBLE_S: Final = 60
UNMERGED_S: Final = 86_400
LONGEST_BACKOFF: Final = 4
"""The longest pause between attempts at a failing job is 2 ** this number, in seconds."""

_DELETE_IF_MINE: Final = "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) end return 0"

RedisError = redis.RedisError


@dataclass(frozen=True)
class Presence:
    """A running worker. ``owner``: its main process. ``slots``: number of its labelling processes.

    ``jobs``: path of its folder of jobs. ``jobs_id``: the folder's id, the same on every machine.
    """

    owner: Owner
    slots: int
    version: str
    jobs: str
    jobs_id: str


_PRESENCE: Final = TypeAdapter(Presence)


def connect(settings: QueueSettings, timeout_s: float = 5.0) -> redis.Redis:
    """A Redis client with short timeouts."""
    return redis.Redis.from_url(
        settings.redis_url,
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        health_check_interval=5,
        socket_keepalive=True,
        decode_responses=True,
    )


def redis_expected(name: str, error: object) -> str:
    """The error message for an unreachable Redis. ``name``: its URL without the password."""
    text = str(error).rstrip(".")
    if "CERTIFICATE_VERIFY_FAILED" in text:
        what = "Does the certificate match the host name? Is ssl_ca_certs in the URL the CA's file?"
    else:
        what = "Is Redis running, and are its URL and password right?"
    return f"Expected Redis at {name}, got: {text}. {what} Pass --redis, or set HANGTAG_REDIS_URL."


def parse_message(text: str | bytes) -> tuple[str, int]:
    """The job and the chunk (or :data:`FINISH`) of a Celery message in Redis.

    Source: https://docs.celeryq.dev/en/stable/internals/protocol.html
    """
    (job, *chunk), *_ = json.loads(b64decode(json.loads(text)["body"]))
    return job, chunk[0] if chunk else FINISH


class RedisState:
    """Reads and writes Hangtag's keys in Redis. Every method raises :data:`RedisError` if Redis cannot be reached."""

    def __init__(self, client: redis.Redis) -> None:
        self._redis = client

    def ping(self) -> None:
        """Raise :data:`RedisError` if Redis cannot be reached."""
        self._redis.ping()

    def close(self) -> None:
        """Close the connection."""
        self._redis.close()

    def waiting(self) -> dict[str, set[int]]:
        """Job → chunks (or :data:`FINISH`) with a waiting message.

        Messages that a worker has received do not count: a dead worker's message stays for hours.
        """
        chunks: dict[str, set[int]] = defaultdict(set)
        for queue in QUEUES.values():
            for text in self._redis.lrange(queue, 0, -1):
                job, chunk = parse_message(text)
                chunks[job].add(chunk)
        return chunks

    def queue_lengths(self) -> dict[str, int]:
        """Queue → number of waiting messages."""
        return {queue: int(self._redis.llen(queue)) for queue in QUEUES.values()}

    def urgent(self, priority: Priority) -> bool:
        """Whether messages wait in a queue of a higher priority."""
        return any(self._redis.llen(queue) for queue in QUEUES.values() if queue < QUEUES[priority])

    def win_tick(self) -> bool:
        """Whether this reconciler may run now; one may run each second."""
        return self._win("hangtag:tick", TICK_S)

    def mark_sent(self, job: str, chunk: int) -> bool:
        """Record that a chunk is queued; ``False`` if it was queued in the last ``SENT_S`` seconds."""
        return self._win(_key("sent", job, chunk), SENT_S)

    def hold_back(self, job: str, chunks: Iterable[int]) -> None:
        """Delay the chunks of a failed task, and then give each chunk a separate task."""
        for chunk in chunks:
            self._redis.set(_key("sent", job, chunk), "", ex=SENT_S)
            self._redis.set(_key("alone", job, chunk), "", ex=ALONE_S)

    def is_alone(self, job: str, chunk: int) -> bool:
        """Whether a chunk needs a separate task, because its last task failed."""
        return self._redis.get(_key("alone", job, chunk)) is not None

    def leased(self, job: str, chunks: Sequence[int]) -> set[int]:
        """The chunks whose lease belongs to a live process."""
        leases = self._redis.mget([_key("lease", job, chunk) for chunk in chunks]) if chunks else []
        return {chunk for chunk, lease in zip(chunks, leases, strict=True) if _is_held(lease)}

    def take_lease(self, job: str, chunk: int, owner: Owner) -> bool:
        """Take a chunk's lease; ``False`` if the lease belongs to another live process."""
        self._redis.delete(_key("sent", job, chunk))
        key, mine = _key("lease", job, chunk), owner.to_json()
        if self._redis.set(key, mine, nx=True, ex=LEASE_S):
            return True
        if _is_held(self._redis.get(key)):
            return False
        self._redis.set(key, mine, ex=LEASE_S)
        return True

    def renew_leases(self, job: str, chunks: Sequence[int], owner: Owner) -> None:
        """Renew leases in one request, including leases that Redis has lost."""
        with self._redis.pipeline(transaction=False) as together:
            for chunk in chunks:
                together.set(_key("lease", job, chunk), owner.to_json(), ex=LEASE_S)
            together.execute()

    def end_lease(self, job: str, chunk: int, owner: Owner) -> None:
        """Release a lease, unless another process has taken it."""
        self._redis.eval(_DELETE_IF_MINE, 1, _key("lease", job, chunk), owner.to_json())

    def announce(self, presence: Presence) -> None:
        """Record that a worker is running; the record expires within seconds."""
        owner = presence.owner
        key = f"hangtag:worker:{owner.host}:{owner.pid}:{owner.started}"
        self._redis.set(key, json.dumps(asdict(presence)), ex=PRESENCE_S)

    def workers(self) -> list[Presence]:
        """The running workers."""
        return [_PRESENCE.validate_json(text) for text in self._values("hangtag:worker:*").values()]

    def report_trouble(self, job: str, where: str, message: str) -> None:
        """Record why a chunk failed on a host, and count the failure."""
        key = _key("setbacks", job)
        with self._redis.pipeline() as both:
            both.set(f"hangtag:trouble:{job}:{where}", message, ex=TROUBLE_S)
            both.incr(key)
            both.expire(key, TROUBLE_S)
            both.execute()

    def trouble(self, job: str) -> dict[str, str]:
        """Host → why a chunk of the job failed there within the last minute."""
        start = f"hangtag:trouble:{job}:"
        return {key.removeprefix(start): text for key, text in self._values(f"{start}*").items()}

    def failures(self, job: str) -> int:
        """Number of failed chunks since the job's last finished chunk."""
        return int(self._redis.get(_key("setbacks", job)) or 0)

    def may_retry(self, job: str, failures: int) -> bool:
        """Whether a failing job's chunk or merge may be queued now. The pause doubles with each failure, up to 16 s."""
        return self._win(_key("trial", job), 2 ** min(failures, LONGEST_BACKOFF))

    def reset_backoff(self, job: str) -> None:
        """Forget a job's failures."""
        self._redis.delete(_key("setbacks", job), _key("trial", job), _key("unmerged", job))

    def count_failed_merge(self, job: str) -> int:
        """Count a failed merge of a job; returns the number of failed merges."""
        with self._redis.pipeline() as both:
            both.incr(_key("unmerged", job))
            both.expire(_key("unmerged", job), UNMERGED_S)
            return int(both.execute()[0])

    def _win(self, key: str, seconds: float) -> bool:
        """Set a key that expires after ``seconds``; ``False`` if the key exists."""
        return bool(self._redis.set(key, "", nx=True, px=int(1000 * seconds)))

    def _values(self, pattern: str) -> dict[str, str]:
        keys = sorted(map(str, self._redis.scan_iter(pattern, count=1000)))
        texts = self._redis.mget(keys) if keys else []
        return {key: str(text) for key, text in zip(keys, texts, strict=True) if text is not None}


def _is_held(lease: bytes | str | None) -> bool:
    return lease is not None and not Owner.from_json(lease).known_dead


def _key(*parts: str | int) -> str:
    return ":".join(map(str, ("hangtag", *parts)))


RENEW_S: Final = 3.0


class HeldLeases:
    """This process's leases of a job's chunks, renewed during a ``with`` block.

    The work continues while Redis is unreachable. If two processes label a chunk, the first part file is kept.
    """

    def __init__(self, state: RedisState, job: str) -> None:
        self._redis = state
        self._job = job
        self._owner = Owner.this()
        self._held: dict[int, None] = {}
        self._ended = Event()
        self._renewal = Thread(target=self._renew, name="leases", daemon=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._ended.set()
        if self._renewal.is_alive():
            self._renewal.join()
        held, self._held = self.chunks, {}
        with suppress(RedisError):  # after an error, further calls would also time out
            for chunk in held:
                self._redis.end_lease(self._job, chunk, self._owner)

    @property
    def chunks(self) -> list[int]:
        """The chunks whose leases this process holds."""
        return list(self._held)

    def take(self, chunk: int) -> bool:
        """Take the lease of a chunk; ``False`` if the lease belongs to another live process."""
        try:
            taken = self._redis.take_lease(self._job, chunk, self._owner)
        except RedisError:
            taken = True
        if taken:
            self._held[chunk] = None
            if not self._renewal.is_alive():
                self._renewal.start()
        return taken

    def end(self, chunk: int) -> None:
        """Release the lease of a chunk."""
        del self._held[chunk]
        with suppress(RedisError):
            self._redis.end_lease(self._job, chunk, self._owner)

    def _renew(self) -> None:
        while not self._ended.wait(RENEW_S):
            chunks = self.chunks
            with suppress(RedisError):
                self._redis.renew_leases(self._job, chunks, self._owner)
                for chunk in chunks:
                    if chunk not in self._held:  # released meanwhile
                        self._redis.end_lease(self._job, chunk, self._owner)
