"""What Redis knows of jobs and workers. All of it may be lost at any time, and is made again from the jobs' folders.

Whoever may write to Redis may write anything there. What cannot be read is counted and passed over. From Redis 7.0 on
a key of others keeps nobody waiting for longer than our own would; an older Redis cannot shorten a key's life.

Keys, each with an end of its own: ``hangtag:lease:JOB:CHUNK`` who works on a chunk; ``hangtag:sent:JOB:CHUNK`` it was
queued a moment ago; ``hangtag:worker:…`` a worker is there; ``hangtag:trouble:JOB`` what keeps chunks from being done;
``hangtag:setbacks:JOB`` how often it did since a chunk was done; ``hangtag:trial:JOB`` it was tried again a moment
ago; ``hangtag:tick:VERSION`` somebody is reconciling who reads jobs of that version.
"""

import json
import logging
import math
import re
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Annotated, Final

import redis
from pydantic import Field, TypeAdapter

from models.events import log_event
from models.process_identity import Owner
from worker.queue.messages import TaskCall
from worker.queue.settings import QueueSettings

LEASE_S: Final = 10
SENT_S: Final = 5
TICK_S: Final = 0.9
_TICK: Final = "hangtag:tick:6"
"""Its number is that of ``JobSpec.schema_version``: a worker of an older Hangtag, which cannot read newer jobs, would
else win the tick again and again, and nobody would look after these."""

PRESENCE_S: Final = 10
_OUTAGE_REPEAT_S: Final = 600.0
TROUBLE_S: Final = 60
LONGEST_BACKOFF: Final = 4
"""As a power of two, in seconds."""

_UNLESS_OTHERS: Final = "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) end return 0"
_NO_LT: Final = "wrong number of arguments for 'expire'"
"""What a Redis older than 7.0 answers to ``EXPIRE … LT``."""
_COUNT: Final = re.compile(r"[0-9]{1,9}")
_MOST_SLOTS: Final = 4096
_MOST_TOLD: Final = 1000
_MOST_TEXT: Final = 4096

RedisError = redis.RedisError


@dataclass(frozen=True)
class Presence:
    """A running worker, known by its main process; it works on one chunk per slot at a time.

    ``jobs`` is the folder of jobs that it was given; ``jobs_id`` identifies that folder, wherever it is mounted.
    """

    owner: Owner
    slots: Annotated[int, Field(ge=1, le=_MOST_SLOTS)]
    version: str
    jobs: str
    jobs_id: str


_PRESENCE: Final = TypeAdapter(Presence)


def connect(settings: QueueSettings) -> redis.Redis:
    """A client that gives up on a dead connection within seconds."""
    return redis.Redis.from_url(
        settings.redis_url,
        socket_timeout=5,
        socket_connect_timeout=5,
        health_check_interval=5,
        socket_keepalive=True,
        decode_responses=True,
        encoding_errors="replace",
    )


def redis_expected(name: str, error: object) -> str:
    """The message that Redis, named by its URL without password, cannot be reached, and what to check."""
    text = str(error).rstrip(".")
    if "CERTIFICATE_VERIFY_FAILED" in text:
        what = "Is that the name in its certificate, and does ssl_ca_certs in its URL name the file of who signed it?"
    else:
        what = "Is it running, and is that its URL, with its password if it has one?"
    return f"Expected Redis at {name}, got: {text}. {what} Pass --redis, or set HANGTAG_REDIS_URL."


class RedisOutage:
    """Logs that Redis, named by its URL without password, is away: at once, and then every ten minutes."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._tell_at: float | None = None

    def away(self, error: object, *_: object) -> None:
        """Note a failed try."""
        now = time.monotonic()
        if self._tell_at is None or now >= self._tell_at:
            self._tell_at = now + _OUTAGE_REPEAT_S
            log_event("waiting_for_redis", logging.WARNING, message=redis_expected(self._name, error))

    def there(self) -> None:
        """Note a successful try."""
        if self._tell_at is not None:
            log_event("redis_is_there", redis=self._name)
        self._tell_at = None


class RedisState:
    """Leases, marks and presences in Redis; every method raises :data:`RedisError` where Redis cannot be reached.

    ``unreadable`` is called once for each key whose value cannot be read.
    """

    def __init__(self, client: redis.Redis, unreadable: Callable[[str], None] = lambda _: None) -> None:
        self._redis = client
        self._unreadable = unreadable
        self._told: set[str] = set()

    def ping(self) -> None:
        """Raise when Redis cannot be reached."""
        self._redis.ping()

    def close(self) -> None:
        """Close the connection."""
        self._redis.close()

    def queued(self, queue: str) -> list[bytes | str]:
        """The messages waiting in a queue, without those that a worker took: of dead workers these stay for hours."""
        try:
            return list(self._redis.lrange(queue, 0, -1))
        except redis.ResponseError as error:
            if not str(error).startswith("WRONGTYPE"):
                raise
            self._pass_over(queue)
            self._redis.delete(queue)  # no worker could take anything from there
            return []

    def send(self, queue: str, call: TaskCall) -> None:
        """Put a task into a queue, for a Celery worker to take."""
        self._redis.lpush(queue, call.envelope(queue))

    def waiting(self, queue: str) -> int:
        """How many messages wait in a queue."""
        return int(self._redis.llen(queue))

    def win(self, key: str, seconds: float, at_most: float = 0.0) -> bool:
        """Set a mark for ``seconds``; ``False`` if it is set already.

        One that is set already ends within ``seconds`` or ``at_most``, whichever is longer.
        """
        if self._redis.set(key, "", nx=True, px=int(1000 * seconds)):
            return True
        self._limit([key], max(seconds, at_most))
        return False

    def win_tick(self) -> bool:
        """Whether this caller may reconcile now; one caller may, once a second."""
        return self.win(_TICK, TICK_S)

    def mark_sent(self, job: str, chunk: int) -> bool:
        """Note that a chunk is being queued; ``False`` when somebody did so within the last seconds."""
        return self.win(_key("sent", job, chunk), SENT_S)

    def hold_back(self, job: str, chunk: int) -> None:
        """Let a chunk that could not be done wait a little."""
        self._redis.set(_key("sent", job, chunk), "", ex=SENT_S)

    def leased(self, job: str, chunks: list[int]) -> set[int]:
        """The chunks that are leased by a process that is not known to be dead."""
        keys = [_key("lease", job, chunk) for chunk in chunks]
        texts = self._redis.mget(keys) if keys else []
        taken = {chunk: key for chunk, key, text in zip(chunks, keys, texts, strict=True) if self._lives(key, text)}
        self._limit(taken.values(), LEASE_S)
        return set(taken)

    def take_lease(self, job: str, chunk: int, owner: Owner) -> bool:
        """Take a chunk's lease, unless another process holds it that is not known to be dead."""
        self._redis.delete(_key("sent", job, chunk))
        key, mine = _key("lease", job, chunk), owner.to_json()
        if self._redis.set(key, mine, nx=True, ex=LEASE_S):
            return True
        if self._lives(key, self._redis.mget([key])[0]):  # unlike GET, it passes over what is no string
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
        self._redis.eval(_UNLESS_OTHERS, 1, _key("lease", job, chunk), owner.to_json())

    def announce(self, presence: Presence) -> None:
        """Note that a worker is running; the note ends by itself within seconds."""
        owner = presence.owner
        key = f"hangtag:worker:{owner.host}:{owner.pid}:{owner.started}"
        self._redis.set(key, json.dumps(asdict(presence)), ex=PRESENCE_S)

    def workers(self) -> list[Presence]:
        """The running workers; records that this version cannot read are skipped."""
        found: list[Presence] = []
        for key, text in self._values("hangtag:worker:*").items():
            try:
                found.append(_PRESENCE.validate_json(text[:_MOST_TEXT], strict=True))  # cut, it is no JSON
            except ValueError:
                self._pass_over(key)
        return found

    def report_trouble(self, job: str, where: str, message: str) -> int:
        """Note what keeps a chunk from being done, to be shown; returns the job's number of failures, with this one."""
        key = _key("setbacks", job)
        with self._redis.pipeline() as both:
            both.set(f"hangtag:trouble:{job}:{where}", message, ex=TROUBLE_S)
            both.incr(key)
            both.expire(key, TROUBLE_S)
            return int(both.execute()[1])

    def trouble(self, job: str) -> dict[str, str]:
        """Host → what kept its workers from doing a chunk within the last minute."""
        start = f"hangtag:trouble:{job}:"
        found = self._values(f"{start}*")
        return {key.removeprefix(start): text[:_MOST_TEXT] for key, text in found.items()}

    def failures(self, job: str) -> int:
        """How often chunks of a job have failed since one was done."""
        key = _key("setbacks", job)
        text = str(self._redis.mget([key])[0] or 0)  # not GET, as in take_lease
        if not _COUNT.fullmatch(text):
            self._pass_over(key)
            return 0
        return int(text)

    def may_retry(self, job: str, failures: int) -> bool:
        """Whether a job with failures may be tried again now; the more failures, the rarer, down to once in 16 s."""
        return self.win(_key("trial", job), 2 ** min(failures, LONGEST_BACKOFF), at_most=2**LONGEST_BACKOFF)

    def reset_backoff(self, job: str) -> None:
        """Forget a job's failures: a chunk was done, or a person says that the trouble is over."""
        self._redis.delete(_key("setbacks", job), _key("trial", job))

    def _limit(self, keys: Iterable[str], seconds: float) -> None:
        """Let keys expire within ``seconds``, as our own do; a Redis older than 7.0 leaves them as they are."""
        with self._redis.pipeline(transaction=False) as together:
            for key in keys:
                together.expire(key, math.ceil(seconds), lt=True)
            for answer in together.execute(raise_on_error=False):
                if isinstance(answer, RedisError) and not str(answer).startswith(_NO_LT):
                    raise answer

    def _lives(self, key: str, lease: bytes | str | None) -> bool:
        """Whether the holder of a lease may still run; an unreadable lease counts as held until it expires."""
        if not lease:
            return False
        try:
            return not Owner.from_json(lease).known_dead
        except ValueError:
            self._pass_over(key)
            return True

    def _pass_over(self, key: str) -> None:
        if key not in self._told:
            self._told = {key, *self._told} if len(self._told) < _MOST_TOLD else {key}
            self._unreadable(key)

    def _values(self, pattern: str) -> dict[str, str]:
        keys = sorted(map(str, self._redis.scan_iter(pattern, count=1000)))
        texts = self._redis.mget(keys) if keys else []
        return {key: str(text) for key, text in zip(keys, texts, strict=True) if text is not None}


def _key(*parts: str | int) -> str:
    return ":".join(map(str, ("hangtag", *parts)))
