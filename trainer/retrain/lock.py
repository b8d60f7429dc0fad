"""A model is retrained by one process at a time, whatever machines there are: numbered files beside its versions.

    cycle/000007.json   who holds, or held, the lock; the first to write a number has it
    cycle/000007.beat   changes as long as its holder lives
    cycle/000007.done   it was given back

The highest number counts. It is free when it was given back, or when its holder is dead. On one machine that is known
at once. A holder elsewhere counts as dead when its beat has not changed for a lease, by the clock of whoever wants the
lock, so that no two clocks need to agree. Whoever wants the lock then writes the next number.
"""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from threading import Event, Thread
from typing import Final, Self

from models.errors import BusyError, HangtagError
from models.process_identity import Owner
from models.storage.storage import Storage
from models.text import numbered
from trainer.retrain.cycle_folder import now_text

_BEAT_S: Final = 5.0
_LEASE_S: Final = 30.0
_FOLDER: Final = "cycle"
_KEPT: Final = 8
"""How many earlier numbers keep their files, for people to read."""


@dataclass(frozen=True)
class Holder:
    """Who holds the lock: the number of its file, the process, and since when in UTC."""

    number: int
    owner: Owner
    since: str

    def __str__(self) -> str:
        return f"process {self.owner.pid} on {self.owner.host}, since {self.since}"


class CycleLock:
    """The lock of one model.

    Args:
        storage: the model's folder in the registry.
        beat_s: seconds between beats of whoever holds it.
        lease_s: seconds without a beat after which a holder on another machine counts as dead.
        clock, pause: the time in seconds, and a wait of some seconds.

    Attributes:
        number: of the file by which this object holds the lock; 0 if it does not.
    """

    def __init__(
        self,
        storage: Storage,
        *,
        beat_s: float = _BEAT_S,
        lease_s: float = _LEASE_S,
        clock: Callable[[], float] = time.monotonic,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self.number = 0
        self._storage = storage
        self._beat_s = beat_s
        self._lease_s = lease_s
        self._clock = clock
        self._pause = pause
        self._beats = 0
        self._seen: tuple[int, bytes] | None = None
        self._seen_at = 0.0

    def holder(self) -> Holder | None:
        """The process that holds the lock now, if any.

        To tell that a holder on another machine is dead, keep this object for a lease and ask it again.
        """
        return self._look()[1]

    @contextmanager
    def held(self, lost: Callable[[], None] = lambda: None) -> Iterator[Self]:
        """Hold the lock for the block. A silent holder on another machine is watched for a lease first.

        Args:
            lost: called, in another thread, if another process has taken the lock, having found this one silent.

        Raises:
            BusyError: a living process holds it.
        """
        self._take()
        ended = Event()
        beating = Thread(target=self._keep_beating, args=(lost, ended), name="cycle lock", daemon=True)
        beating.start()
        try:
            yield self
        finally:
            ended.set()
            beating.join()
            with suppress(OSError, HangtagError):  # it is free, too, when this process has ended
                self._storage.replace(_key(self.number, "done"), b"")

    def check(self) -> None:
        """Raise if another process took the lock, having found this one silent.

        Raises:
            BusyError: it did.
        """
        last = self._last_number()
        if last > self.number:
            msg = (
                f"Expected to hold {_FOLDER}/{self.number:06d} in {self._storage.place}, but another process took the "
                f"lock with number {last} while this one was silent; what is done is kept, and it goes on from there."
            )
            raise BusyError(msg)

    def beat(self) -> None:
        """Say that the holder lives."""
        self._beats += 1
        self._storage.replace(_key(self.number, "beat"), f"{self._beats}\n".encode())

    def _take(self) -> None:
        self.number = self._free_number() + 1
        text = json.dumps({"owner": asdict(Owner.this()), "since": now_text()})
        if not self._storage.commit(_key(self.number, "json"), text.encode()):
            msg = f"Another process began to retrain the model in {self._storage.place} at this moment."
            raise BusyError(msg)
        self.check()  # the number may have been free because it is old, and was tidied away
        names = self._storage.names(_FOLDER)
        for kind in ("beat", "done", "json"):
            for old in numbered(names, f".{kind}"):
                if old < self.number - _KEPT:
                    self._storage.delete(_key(old, kind))

    def _free_number(self) -> int:
        """The highest number, once nobody holds it.

        Raises:
            BusyError: a living process does: one of this machine, or one whose beat changes.
        """
        number, holder = self._look()
        first = self._seen
        while holder is not None:
            if holder.owner.same_machine or self._seen != first:
                msg = (
                    f"The model in {self._storage.place} is being retrained by {holder}; "
                    "wait for its end, or end it there."
                )
                raise BusyError(msg)
            self._pause(min(1.0, self._lease_s / 4))
            number, holder = self._look()
        return number

    def _look(self) -> tuple[int, Holder | None]:
        """The highest number, and who holds it."""
        number = self._last_number()
        try:
            raw = json.loads(self._storage.read(_key(number, "json"))) if number else None
        except FileNotFoundError:  # tidied away at this moment: another one is the highest
            raw = None
        if raw is None or self._storage.exists(_key(number, "done")):
            return number, None
        holder = Holder(number, Owner(**raw["owner"]), raw["since"])
        return number, None if self._is_dead(holder) else holder

    def _is_dead(self, holder: Holder) -> bool:
        if holder.owner.same_machine:
            return holder.owner.known_dead
        try:
            beat = self._storage.read(_key(holder.number, "beat"))
        except FileNotFoundError:
            beat = b""
        if (holder.number, beat) != self._seen:
            self._seen, self._seen_at = (holder.number, beat), self._clock()
        return self._clock() - self._seen_at >= self._lease_s

    def _keep_beating(self, lost: Callable[[], None], ended: Event) -> None:
        while not ended.wait(self._beat_s):
            try:
                self.check()
                self.beat()
            except BusyError:
                lost()
                return
            except (OSError, HangtagError):  # the disk may come back before the lease is over
                continue

    def _last_number(self) -> int:
        return max(numbered(self._storage.names(_FOLDER), ".json"), default=0)


def _key(number: int, kind: str) -> str:
    return f"{_FOLDER}/{number:06d}.{kind}"
