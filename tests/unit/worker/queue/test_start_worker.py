"""Refusals at the start of a worker."""

from pathlib import Path

import pytest

from models.errors import InputError
from worker.queue.settings import QueueSettings
from worker.queue.start_worker import start_worker


def test_a_folder_of_jobs_whose_parent_is_away_is_refused_and_not_made(tmp_path: Path) -> None:
    share = tmp_path / "share"
    with pytest.raises(InputError, match=f"{share}/jobs"):
        start_worker(QueueSettings(jobs=f"{share}/jobs"), 1, as_json=False)
    assert not share.exists()
