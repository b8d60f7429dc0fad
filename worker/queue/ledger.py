"""What Redis knows of a job. All of it may be lost at any time, and is made again from the job's folder.

Keys, each with an end of its own: ``hangtag:lease:JOB:CHUNK`` who works on a chunk; ``hangtag:sent:JOB:CHUNK`` it was
queued a moment ago; ``hangtag:worker:…`` a worker is there; ``hangtag:trouble:JOB`` what keeps chunks from being done;
``hangtag:setbacks:JOB`` how often it did since a chunk was done; ``hangtag:trial:JOB`` it was tried again a moment
ago; ``hangtag:tick:VERSION`` somebody is reconciling who reads jobs of that version.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Final

import redis

from worker.owner import Owner
from worker.queue.settings import QueueSettings

__all__ = ["LEASE_S", "Ledger", "Presence", "RedisError", "connect"]

LEASE_S: Final = 10
SENT_S: Final = 5
TICK_MS: Final = 900
_TICK: Final = "hangtag:tick:3"
"""Its number is that of ``JobSpec.schema_version``: a worker of an older Hangtag, which cannot read newer jobs, would
else win the tick again and again, and nobody would look after these."""

PRESENCE_S: Final = 10
TROUBLE_S: Final = 60
LONGEST_TRIAL: Final = 4
_UNLESS_OTHERS: Final = "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) end return 0"

RedisError = redis.RedisError


@dataclass(frozen=True)
class Presence:
    """A worker that is there.

    Attributes:
        owner: its main process.
        slots: how many chunks it works on at once.
        version: of Hangtag.
        jobs: where it looks for jobs, as it was told.
        jobs_id: the identity of that folder, which is the same wherever it is mounted.
    """

    owner: Owner
    slots: int
    version: str
    jobs: str
    jobs_id: str


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


class Ledger:
    """Leases, marks and presences in Redis.

    Args:
        client: a connection; every method raises :data:`RedisError` where Redis cannot be reached.
    """

    def __init__(self, client: redis.Redis) -> None:
        self._redis = client

    def ping(self) -> None:
        """Raise when Redis cannot be reached."""
        self._redis.ping()

    def close(self) -> None:
        """Close the connection."""
        self._redis.close()

    def queued(self, queue: str) -> list[bytes | str]:
        """The messages waiting in a queue; never those that somebody took: dead ones stay among these for hours."""
        return list(self._redis.lrange(queue, 0, -1))

    def waiting(self, queue: str) -> int:
        """How many messages :meth:`queued` would give."""
        return int(self._redis.llen(queue))

    def win_tick(self) -> bool:
        """Whether this caller may reconcile now; one may every second, however many would."""
        return bool(self._redis.set(_TICK, "", nx=True, px=TICK_MS))

    def leased(self, job: str, chunks: list[int]) -> set[int]:
        """Those of some chunks that a process, not known to be dead, works on."""
        texts = self._redis.mget([_lease(job, chunk) for chunk in chunks]) if chunks else []
        return {chunk for chunk, text in zip(chunks, texts, strict=True) if text and not _dead(text)}

    def mark_sent(self, job: str, chunk: int) -> bool:
        """Note that a chunk is being queued; ``False`` when somebody did so within the last seconds."""
        return bool(self._redis.set(_sent(job, chunk), "", nx=True, ex=SENT_S))

    def hold_back(self, job: str, chunk: int) -> None:
        """Let a chunk that could not be done wait a little."""
        self._redis.set(_sent(job, chunk), "", ex=SENT_S)

    def take_lease(self, job: str, chunk: int, owner: Owner) -> bool:
        """Become the one who works on a chunk, unless another process does that is not known to be dead."""
        self._redis.delete(_sent(job, chunk))
        key, mine = _lease(job, chunk), owner.to_json()
        if self._redis.set(key, mine, nx=True, ex=LEASE_S):
            return True
        theirs = self._redis.get(key)
        if theirs and not _dead(theirs):
            return False
        self._redis.set(key, mine, ex=LEASE_S)
        return True

    def renew_leases(self, job: str, chunks: Sequence[int], owner: Owner) -> None:
        """Hold leases a while longer, all in one request; a lease that Redis has forgotten is made again."""
        with self._redis.pipeline(transaction=False) as together:
            for chunk in chunks:
                together.set(_lease(job, chunk), owner.to_json(), ex=LEASE_S)
            together.execute()

    def end_lease(self, job: str, chunk: int, owner: Owner) -> None:
        """Give the lease back, unless it is somebody else's by now."""
        self._redis.eval(_UNLESS_OTHERS, 1, _lease(job, chunk), owner.to_json())

    def announce(self, presence: Presence) -> None:
        """Note that a worker is there, for the next seconds."""
        owner = presence.owner
        key = f"hangtag:worker:{owner.host}:{owner.pid}:{owner.started}"
        self._redis.set(key, json.dumps(asdict(presence)), ex=PRESENCE_S)

    def workers(self) -> list[Presence]:
        """The workers that are there, by host."""
        found = (_presence(text) for text in self._values("hangtag:worker:*").values())
        return [presence for presence in found if presence]

    def report_trouble(self, job: str, where: str, message: str) -> int:
        """Note what keeps a chunk from being done, for people who watch.

        Returns:
            The setbacks that the job has with this one.
        """
        with self._redis.pipeline() as both:
            both.set(f"hangtag:trouble:{job}:{where}", message, ex=TROUBLE_S)
            both.incr(_setbacks(job))
            both.expire(_setbacks(job), TROUBLE_S)
            return int(both.execute()[1])

    def setbacks(self, job: str) -> int:
        """How often something kept chunks of a job from being done since one was done."""
        return int(self._redis.get(_setbacks(job)) or 0)

    def win_trial(self, job: str, setbacks: int) -> bool:
        """Whether a job with setbacks may be given one more try now: the more it had, the rarer, up to every 16 s."""
        return bool(self._redis.set(_trial(job), "", nx=True, ex=2 ** min(setbacks, LONGEST_TRIAL)))

    def forget_setbacks(self, job: str) -> None:
        """A chunk was done, or somebody says that the trouble is over."""
        self._redis.delete(_setbacks(job), _trial(job))

    def trouble(self, job: str) -> dict[str, str]:
        """Host → what kept it from doing a chunk within the last minute."""
        start = f"hangtag:trouble:{job}:"
        return {key.removeprefix(start): text for key, text in self._values(f"{start}*").items()}

    def _values(self, pattern: str) -> dict[str, str]:
        keys = sorted(map(str, self._redis.scan_iter(pattern, count=1000)))
        texts = self._redis.mget(keys) if keys else []
        return {key: str(text) for key, text in zip(keys, texts, strict=True) if text is not None}


def _lease(job: str, chunk: int) -> str:
    return f"hangtag:lease:{job}:{chunk}"


def _sent(job: str, chunk: int) -> str:
    return f"hangtag:sent:{job}:{chunk}"


def _setbacks(job: str) -> str:
    return f"hangtag:setbacks:{job}"


def _trial(job: str) -> str:
    return f"hangtag:trial:{job}"


def _dead(text: bytes | str) -> bool:
    try:
        return Owner.from_json(text).known_dead
    except (ValueError, TypeError):  # of another version of Hangtag; the lease ends by itself
        return False


def _presence(text: str) -> Presence | None:
    """A worker's record; none where it is of another version of Hangtag that tells other things."""
    try:
        record = json.loads(text)
        return Presence(**{**record, "owner": Owner(**record["owner"])})
    except (ValueError, TypeError, KeyError):
        return None
