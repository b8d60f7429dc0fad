"""Stands in for ``hangtag retrain``: takes the model's lock, takes its time, and writes down that it ran."""

import json
import os
import sys
import time
from pathlib import Path

from models.errors import BusyError, ExitCode
from models.storage.storage import FolderStorage
from trainer.retrain.lock import CycleLock


def main(config_path: Path) -> int:
    """Append ``begin`` and ``end`` lines to ``runs.jsonl`` beside the config; ``status`` there says how to end."""
    model = FolderStorage(config_path.parent / "registry" / "shop")
    log, orders = config_path.with_name("runs.jsonl"), config_path.with_name("orders.json")
    order = json.loads(orders.read_text()) if orders.exists() else {}
    try:
        with CycleLock(model).held():
            write(log, "begin")
            time.sleep(order.get("seconds", 0))
            write(log, "end")
    except BusyError as busy:
        print(busy, file=sys.stderr)
        return ExitCode.BUSY
    except KeyboardInterrupt:
        write(log, "stopped")
        return ExitCode.INTERRUPTED
    if words := order.get("words"):
        print(words, file=sys.stderr)
    print(json.dumps({"status": "promoted", "reasons": []}))
    return int(order.get("status", 0))


def write(log: Path, what: str) -> None:
    """One line, whole."""
    with log.open("a", encoding="utf-8") as file:
        file.write(json.dumps({"what": what, "pid": os.getpid()}) + "\n")


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
