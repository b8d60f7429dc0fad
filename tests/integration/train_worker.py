"""A train worker with fake cycles: ``train_worker.py CONFIG``. ``cycle CONFIG`` runs one fake cycle."""

import json
import os
import sys
import time
from pathlib import Path

WORKER = (sys.executable, "-P", __file__)


def run_cycle(config: Path) -> int:
    """Append lines to ``runs.jsonl`` beside the config; ``orders.json`` there sets the duration and the exit."""
    log, orders = config.with_name("runs.jsonl"), config.with_name("orders.json")
    order = json.loads(orders.read_text()) if orders.exists() else {}
    write(log, "begin")
    time.sleep(order.get("seconds", 0))
    write(log, "end")
    print("the cycle's own words")
    return int(order.get("status", 0))


def write(log: Path, what: str) -> None:
    with log.open("a", encoding="utf-8") as file:
        file.write(json.dumps({"what": what, "pid": os.getpid()}) + "\n")


def start_worker(config: Path) -> int:
    os.environ["REMAP_SIGTERM"] = "SIGQUIT"  # read when Celery is imported
    from trainer.schedule import start_train_worker
    from worker.queue.settings import read_settings

    return start_train_worker(read_settings(), [config], as_json=True, command=(*WORKER, "cycle"))


if __name__ == "__main__":
    if sys.argv[1] == "cycle":
        sys.exit(run_cycle(Path(sys.argv[2])))
    sys.exit(start_worker(Path(sys.argv[1])))
