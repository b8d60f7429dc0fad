"""``hangtag worker --queue train`` whose cycles are those of ``fake_retrain.py``; tries again after a second."""

import os
import sys
from pathlib import Path


def main() -> int:
    """Take tasks until told to stop."""
    os.environ["REMAP_SIGTERM"] = "SIGQUIT"  # read when Celery is imported
    from trainer.schedule.train_worker import CycleTask, start_train_worker
    from worker.queue.settings import read_settings

    settings = read_settings()
    command = (sys.executable, "-P", str(Path(__file__).with_name("fake_retrain.py")))
    return start_train_worker(settings, as_json=True, task=CycleTask(settings, command, retry_s=1))


if __name__ == "__main__":
    sys.exit(main())
