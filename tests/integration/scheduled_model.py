"""A config with a schedule, a Redis, and the beat and the train workers between them."""

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from tests.command import HANGTAG
from tests.until import until
from worker.queue.private_redis import PrivateRedis

from .processes import Processes, WorkerProcess
from .train_worker import WORKER


class ScheduledModel(Processes):
    """Starts beats and train workers, and ends running ones after a test."""

    def __init__(self, folder: Path, server: PrivateRedis, environment: Mapping[str, str] | None = None) -> None:
        super().__init__(folder, environment or {"HANGTAG_REDIS_URL": server.url})
        self.config = folder / "shop.toml"
        self.write_config()

    def write_config(self, every: str = "1s") -> None:
        self.config.write_text(f'name = "shop"\ndata = "photos"\n[schedule]\nevery = "{every}"\n')

    def order(self, **orders: object) -> None:
        (self.folder / "orders.json").write_text(json.dumps(orders))

    def beat(self) -> WorkerProcess:
        beat = self.start((*HANGTAG, "schedule", str(self.config)))
        until(lambda: not beat.alive or beat.events("schedule_starts"), "a beat starts")
        return beat

    def worker(self) -> WorkerProcess:
        """Start a train worker with fake cycles, and wait until it takes tasks."""
        worker = self.start((*WORKER, str(self.config)))
        worker.wait_until_ready()
        return worker

    def runs(self) -> Counter[str]:
        log = self.folder / "runs.jsonl"
        lines = log.read_text().splitlines() if log.exists() else []
        return Counter(json.loads(line)["what"] for line in lines)

    def wait_for_another(self, what: str = "end") -> None:
        before = self.runs()[what]
        until(lambda: self.runs()[what] > before, f"a cycle's {what}")
