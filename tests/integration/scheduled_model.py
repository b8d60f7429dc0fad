"""A config with a schedule, a Redis, and the schedulers and train workers between them."""

import json
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from models.storage.storage import FolderStorage
from tests.command import HANGTAG
from tests.until import until
from trainer.schedule.claims import Claim, Claims, ClaimStore
from worker.queue.private_redis import PrivateRedis

from .processes import Processes, WorkerProcess


class ScheduledModel(Processes):
    """Starts schedulers and train workers, and ends those that are left at the end of a test.

    Args:
        folder: an empty one.
        server: the Redis.
        every: the time between due times.
        environment: what leads Hangtag to the Redis. Default: its URL.
    """

    def __init__(
        self, folder: Path, server: PrivateRedis, every: str, environment: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(folder, {**(environment or {"HANGTAG_REDIS_URL": server.url}), "HANGTAG_GRACE_S": "8"})
        self.server = server
        self.config = folder / "shop.toml"
        self.schedule(every)
        self.store = ClaimStore(FolderStorage(folder / "registry" / "shop"))

    def schedule(self, every: str, more: str = "") -> None:
        """Write the config, with this time between due times and some more settings."""
        new = self.config.with_suffix(".new")
        new.write_text(f'name = "shop"\ndata = "photos"\n[schedule]\nevery = "{every}"\n{more}')
        new.replace(self.config)

    def order(self, **orders: object) -> None:
        """Say how the fake cycles go from now on: ``seconds``, ``status``, ``words``."""
        (self.folder / "orders.json").write_text(json.dumps(orders))

    def scheduler(self) -> WorkerProcess:
        """Start ``hangtag schedule``."""
        scheduler = self.start((*HANGTAG, "schedule", str(self.config)))
        until(lambda: not scheduler.alive or scheduler.events("schedule_starts"), "a scheduler starts")
        return scheduler

    def worker(self) -> WorkerProcess:
        """Start a train worker, and wait until it takes tasks."""
        worker = self.start((sys.executable, "-P", str(Path(__file__).with_name("train_worker.py"))))
        worker.wait_until_ready()
        return worker

    def runs(self) -> Counter[str]:
        """How many fake cycles began, ended and were stopped."""
        log = self.folder / "runs.jsonl"
        lines = log.read_text().splitlines() if log.exists() else []
        return Counter(json.loads(line)["what"] for line in lines)

    def claims(self) -> Claims:
        """What lies beside the registry."""
        return self.store.look()

    def claim_by_hand(self, stamp: str = "20261122T030000Z") -> str:
        """As a scheduler does that can do no more."""
        claim = Claim(slot=stamp, config=str(self.config), schedule="", skipped=0, at="", by="")
        assert self.store.claim(claim)
        return stamp

    def wait_for(self, count: int) -> None:
        """Wait until so many due times are done."""
        until(lambda: len(self.claims().done) >= count, f"{count} are done")

    def end_beats(self) -> None:
        """End the schedulers as a supervisor does."""
        for process in self.processes:
            if process.alive and process.events("schedule_starts"):
                process.terminate()
                assert process.process.wait(5) == 0

    def settle(self, *schedulers: WorkerProcess, more: str = "") -> None:
        """Let nothing be due any more, and wait until all that was is done."""
        self.schedule("9h", more)
        until(
            lambda: all(scheduler.events("config_read") for scheduler in schedulers), "the schedulers know that it ends"
        )
        until(lambda: not self.claims().open, "nothing is open", 600)
