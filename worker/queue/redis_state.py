"""What Redis knows of jobs and workers. All of it may be lost at any time, and is made again from the jobs' folders.

Each of these keys expires:

    hangtag:lease:JOB:CHUNK           a process works on the chunk
    hangtag:sent:JOB:CHUNK            the chunk was queued a moment ago
    hangtag:alone:JOB:CHUNK           a task with the chunk failed: only a task of its own takes it
    hangtag:worker:HOST:PID:STARTED   a worker runs
    hangtag:trouble:JOB:HOST          why the job's chunks fail on the host
    hangtag:setbacks:JOB              how many chunks failed since a chunk was last done
    hangtag:trial:JOB                 a job with setbacks was tried a moment ago
    hangtag:unmerged:JOB              how often its merging failed for a reason that stays
    hangtag:tick                      a reconciler is at work
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
"""Workers take from the queues in the order of their names."""

FINISH: Final = -1
"""The chunk number that stands for the job's merging."""

LEASE_S: Final = 10
SENT_S: Final = 5
ALONE_S: Final = 600
"""Seconds for which chunks of a failed task are tried alone."""
TICK_S: Final = 0.9
PRESENCE_S: Final = 10
TROUBLE_S: Final = 60
UNMERGED_S: Final = 86_400
LONGEST_BACKOFF: Final = 4
"""A failing job is tried at least once in this power of two, in seconds."""

_DELETE_IF_MINE: Final = "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) end return 0"

RedisError = redis.RedisError


@dataclass(frozen=True)
class Presence:
    """A running worker, known by its main process; each slot is a process with a few chunks in hand.

    ``jobs`` is its folder of jobs; ``jobs_id`` identifies that folder on every machine.
    """

    owner: Owner
    slots: int
    version: str
    jobs: str
    jobs_id: str


_PRESENCE: Final = TypeAdapter(Presence)


def connect(settings: QueueSettings, timeout_s: float = 5.0) -> redis.Redis:
    """A client that gives up on a dead connection within seconds."""
    return redis.Redis.from_url(
        settings.redis_url,
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        health_check_interval=5,
        socket_keepalive=True,
        decode_responses=True,
    )


def redis_expected(name: str, error: object) -> str:
    """The message that Redis, named by its URL without password, cannot be reached, and what to check."""
    text = str(error).rstrip(".")
    if "CERTIFICATE_VERIFY_FAILED" in text:
        what = "Is that the name in its certificate, and does ssl_ca_certs in its URL name the file of its signer?"
    else:
        what = "Is it running, and is that its URL, with its password if it has one?"
    return f"Expected Redis at {name}, got: {text}. {what} Pass --redis, or set HANGTAG_REDIS_URL."


def parse_message(text: str | bytes) -> tuple[str, int]:
    """The job and the chunk, or :data:`FINISH`, of a message as Celery lays it out on Redis.

    Source: https://docs.celeryq.dev/en/stable/internals/protocol.html
    """
    (job, *chunk), *_ = json.loads(b64decode(json.loads(text)["body"]))
    return job, chunk[0] if chunk else FINISH


class RedisState:
    """Leases, marks and presences in Redis; every method raises :data:`RedisError` if Redis cannot be reached."""

    def __init__(self, client: redis.Redis) -> None:
        self._redis = client

    def ping(self) -> None:
        """Raise if Redis cannot be reached."""
        self._redis.ping()

    def close(self) -> None:
        """Close the connection."""
        self._redis.close()

    def waiting(self) -> dict[str, set[int]]:
        """Job → its chunks that wait in a queue, :data:`FINISH` among them.

        A message that a worker took is not counted: if the worker died, Celery keeps it for hours.
        """
        chunks: dict[str, set[int]] = defaultdict(set)
        for queue in QUEUES.values():
            for text in self._redis.lrange(queue, 0, -1):
                job, chunk = parse_message(text)
                chunks[job].add(chunk)
        return chunks

    def queue_lengths(self) -> dict[str, int]:
        """Queue → how many messages wait in it."""
        return {queue: int(self._redis.llen(queue)) for queue in QUEUES.values()}

    def urgent(self, priority: Priority) -> bool:
        """Whether a message waits in a queue that workers empty before that of ``priority``."""
        return any(self._redis.llen(queue) for queue in QUEUES.values() if queue < QUEUES[priority])

    def win_tick(self) -> bool:
        """Whether this caller may reconcile now; one caller may, once a second."""
        return self._win("hangtag:tick", TICK_S)

    def mark_sent(self, job: str, chunk: int) -> bool:
        """Note that a chunk is being queued; ``False`` if this was noted within the last seconds."""
        return self._win(_key("sent", job, chunk), SENT_S)

    def hold_back(self, job: str, chunks: Iterable[int]) -> None:
        """Let the chunks of a failed task wait a little; from now on, each is tried only in a task of its own."""
        for chunk in chunks:
            self._redis.set(_key("sent", job, chunk), "", ex=SENT_S)
            self._redis.set(_key("alone", job, chunk), "", ex=ALONE_S)

    def is_alone(self, job: str, chunk: int) -> bool:
        """Whether a task with this chunk failed, so that only a message of its own may try it."""
        return self._redis.get(_key("alone", job, chunk)) is not None

    def leased(self, job: str, chunks: Sequence[int]) -> set[int]:
        """The chunks that are leased by a process that is not known to be dead."""
        leases = self._redis.mget([_key("lease", job, chunk) for chunk in chunks]) if chunks else []
        return {chunk for chunk, lease in zip(chunks, leases, strict=True) if _is_held(lease)}

    def take_lease(self, job: str, chunk: int, owner: Owner) -> bool:
        """Take a chunk's lease, unless another process holds it that is not known to be dead."""
        self._redis.delete(_key("sent", job, chunk))
        key, mine = _key("lease", job, chunk), owner.to_json()
        if self._redis.set(key, mine, nx=True, ex=LEASE_S):
            return True
        if _is_held(self._redis.get(key)):
            return False
        self._redis.set(key, mine, ex=LEASE_S)
        return True

    def renew_leases(self, job: str, chunks: Sequence[int], owner: Owner) -> None:
        """Renew leases, all in one request; a lease that Redis has forgotten is made again."""
        with self._redis.pipeline(transaction=False) as together:
            for chunk in chunks:
                together.set(_key("lease", job, chunk), owner.to_json(), ex=LEASE_S)
            together.execute()

    def end_lease(self, job: str, chunk: int, owner: Owner) -> None:
        """Give the lease back, unless another process holds it by now."""
        self._redis.eval(_DELETE_IF_MINE, 1, _key("lease", job, chunk), owner.to_json())

    def announce(self, presence: Presence) -> None:
        """Note that a worker is running; the note ends by itself within seconds."""
        owner = presence.owner
        key = f"hangtag:worker:{owner.host}:{owner.pid}:{owner.started}"
        self._redis.set(key, json.dumps(asdict(presence)), ex=PRESENCE_S)

    def workers(self) -> list[Presence]:
        """The running workers."""
        return [_PRESENCE.validate_json(text) for text in self._values("hangtag:worker:*").values()]

    def report_trouble(self, job: str, where: str, message: str) -> None:
        """Note why a chunk failed on a host, to be shown, and count the failure."""
        key = _key("setbacks", job)
        with self._redis.pipeline() as both:
            both.set(f"hangtag:trouble:{job}:{where}", message, ex=TROUBLE_S)
            both.incr(key)
            both.expire(key, TROUBLE_S)
            both.execute()

    def trouble(self, job: str) -> dict[str, str]:
        """Host → why a chunk failed there within the last minute."""
        start = f"hangtag:trouble:{job}:"
        return {key.removeprefix(start): text for key, text in self._values(f"{start}*").items()}

    def failures(self, job: str) -> int:
        """How many chunks of a job have failed since a chunk was last done."""
        return int(self._redis.get(_key("setbacks", job)) or 0)

    def may_retry(self, job: str, failures: int) -> bool:
        """Whether a job with failures may be tried again now: the more failures, the less often, to once in 16 s."""
        return self._win(_key("trial", job), 2 ** min(failures, LONGEST_BACKOFF))

    def reset_backoff(self, job: str) -> None:
        """Forget a job's failures: a chunk was done, or a person says that the trouble is over."""
        self._redis.delete(_key("setbacks", job), _key("trial", job), _key("unmerged", job))

    def count_failed_merge(self, job: str) -> int:
        """Count that a job could not be merged; returns how often this has happened."""
        with self._redis.pipeline() as both:
            both.incr(_key("unmerged", job))
            both.expire(_key("unmerged", job), UNMERGED_S)
            return int(both.execute()[0])

    def _win(self, key: str, seconds: float) -> bool:
        """Set a mark for ``seconds``; ``False`` if it is set already."""
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
    """This process's leases of a job's chunks, renewed until a ``with`` block ends.

    The work goes on while Redis is away: the first commit of a part wins.
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
        with suppress(RedisError):  # around all: a silent Redis is waited for once, not for each chunk
            for chunk in held:
                self._redis.end_lease(self._job, chunk, self._owner)

    @property
    def chunks(self) -> list[int]:
        """The chunks whose leases are held."""
        return list(self._held)

    def take(self, chunk: int) -> bool:
        """Take the lease of a chunk; ``False`` if another process, not known to be dead, holds it."""
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
        """Give back a lease that is held."""
        del self._held[chunk]
        with suppress(RedisError):
            self._redis.end_lease(self._job, chunk, self._owner)

    def _renew(self) -> None:
        while not self._ended.wait(RENEW_S):
            chunks = self.chunks
            with suppress(RedisError):
                self._redis.renew_leases(self._job, chunks, self._owner)
                for chunk in chunks:
                    if chunk not in self._held:  # it was given back at this moment
                        self._redis.end_lease(self._job, chunk, self._owner)
