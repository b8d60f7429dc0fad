"""A config with a schedule, a Redis, and the beats and train workers between them."""

import json
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from models.storage.storage import FolderStorage
from tests.command import HANGTAG
from tests.until import until
from trainer.schedule.claims import Claims, ClaimStore
from worker.queue.private_redis import PrivateRedis

from .processes import Processes, WorkerProcess

__all__ = ["Timetable"]


class Timetable(Processes):
    """Starts beats and train workers, and ends those that are left at the end of a test.

    Args:
        folder: an empty one.
        server: the Redis.
        every: the time between slots.
        environment: what leads Hangtag to the Redis. Default: its URL.
    """

    def __init__(
        self, folder: Path, server: PrivateRedis, every: str, environment: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(folder, {**(environment or {"HANGTAG_REDIS_URL": server.url}), "HANGTAG_GRACE_S": "8"})
        self.server = server
        self.config = folder / "shop.toml"
        self.schedule(every)
        self.book = ClaimStore(FolderStorage(folder / "registry" / "shop"))

    def schedule(self, every: str, more: str = "") -> None:
        """Write the config, with this time between slots and some more settings."""
        text = f'name = "shop"\ndata = "photos"\n[schedule]\nevery = "{every}"\n{more}'
        new = self.config.with_suffix(".new")
        new.write_text(text)
        new.replace(self.config)

    def order(self, **orders: object) -> None:
        """Say how the fake cycles go from now on: ``seconds``, ``status``, ``words``."""
        (self.folder / "orders.json").write_text(json.dumps(orders))

    def beat(self) -> WorkerProcess:
        """Start ``hangtag beat``."""
        beat = self.start((*HANGTAG, "beat", str(self.config)))
        until(lambda: not beat.alive or beat.events("beat_starts"), "a beat starts")
        return beat

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

    def shelf(self) -> Claims:
        """What lies beside the registry."""
        return self.book.look()

    def claim(self, stamp: str) -> dict[str, Any]:
        """What a claim says."""
        text = (self.folder / "registry" / "shop" / "schedule" / f"{stamp}.json").read_text()
        claim: dict[str, Any] = json.loads(text)
        return claim

    def wait_for(self, slots: int, within_s: float = 60.0) -> None:
        """Wait until so many slots are done."""
        until(lambda: len(self.shelf().done) >= slots, f"{slots} slots are done", within_s)

    def end_beats(self) -> None:
        """End the beats as a supervisor does."""
        for process in self.processes:
            if process.alive and process.events("beat_starts"):
                process.terminate()
                assert process.process.wait(5) == 0

    def settle(self) -> None:
        """Wait until nothing is open any more; beats queue what is."""
        until(lambda: not self.shelf().open, "no slot is open")
