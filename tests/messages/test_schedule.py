"""Messages of ``hangtag schedule`` and ``hangtag worker --queue train`` when they do not start."""

from pathlib import Path

import pytest

from tests.command import run_hangtag
from tests.messages.golden import check_messages
from tests.unit.trainer.retrain.test_config import written


@pytest.mark.rest
def test_what_schedule_says(tmp_path: Path) -> None:
    outputs = {
        "no schedule": run_hangtag("schedule", written(tmp_path, "")).stderr,
        "no cron": run_hangtag("schedule", written(tmp_path, '[schedule]\ncron = "0 3 * *"')).stderr,
        "a cron that is never due": run_hangtag(
            "schedule", written(tmp_path, '[schedule]\ncron = "0 3 31 2 *"')
        ).stderr,
        "a train worker without settings": run_hangtag("worker", "--queue", "train").stderr,
    }
    check_messages("schedule", outputs, {tmp_path: "FOLDER"})
