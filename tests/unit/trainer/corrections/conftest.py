from datetime import timedelta
from pathlib import Path

import pytest

from tests.unit.trainer.corrections.some_results import NOW
from trainer.corrections.store import CorrectionStore


@pytest.fixture
def store(tmp_path: Path) -> CorrectionStore:
    return CorrectionStore(tmp_path / "corrections.csv", now=lambda: NOW + timedelta(days=1))
