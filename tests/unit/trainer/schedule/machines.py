"""A machine whose clock a test sets; no Redis, no process."""

from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import redis

from models.storage.storage import FolderStorage
from trainer.retrain.cycle_folder import CycleStatus
from trainer.schedule.claims import ClaimStore, SlotEnd
from trainer.schedule.queue import CycleMessage
from trainer.schedule.scheduler import ModelScheduler, WatchedConfig

BEGIN = datetime(2026, 11, 22, 3, 30, tzinfo=UTC)
SCHEDULED = 'name = "shop"\ndata = "photos"\n[schedule]\nevery = "{every}"\n'


class Machine:
    """Schedulers of a config, with a clock that a test sets, and a queue that takes everything.

    Attributes:
        now: what the clock says; half past three when a test begins.
        queued: the messages that wait.
        sent: the due times of all messages ever sent.
        away: Redis cannot be reached.
    """

    def __init__(self, config: Path) -> None:
        self.config = config
        self.now = BEGIN
        self.queued: set[CycleMessage] = set()
        self.sent: list[str] = []
        self.away = False

    def waiting(self) -> set[CycleMessage]:
        if self.away:
            raise redis.ConnectionError
        return self.queued

    def send(self, message: CycleMessage) -> bool:
        self.queued.add(message)
        self.sent.append(message.slot)
        return True

    def scheduler(self, config: Path | None = None) -> ModelScheduler:
        """One that has just begun, as far as it remembers anything."""
        return ModelScheduler(WatchedConfig(config or self.config), self, lambda: self.now)

    def turn(self) -> float:
        return self.scheduler().turn()

    def edit(self, every: str) -> None:
        self.config.write_text(SCHEDULED.format(every=every))


class MachineWithWorker(Machine):
    """With a worker that ends each cycle as soon as it is queued; ``runs`` counts them by due time."""

    def __init__(self, config: Path, storage: FolderStorage) -> None:
        super().__init__(config)
        self.runs: Counter[str] = Counter()
        self.store = ClaimStore(storage)
        self._scheduler = self.scheduler()

    def waiting(self) -> set[CycleMessage]:
        return set()

    def send(self, message: CycleMessage) -> bool:
        self.runs[message.slot] += self.store.is_open(message.slot)
        self.store.end(SlotEnd(slot=message.slot, status=CycleStatus.NOTHING_NEW, tries=1, at=""))
        return True

    def at(self, now: datetime) -> list[str]:
        """The due times that have run after a turn at that time, by this machine's clock."""
        self.now = now
        self._scheduler.turn()
        return sorted(self.runs)
