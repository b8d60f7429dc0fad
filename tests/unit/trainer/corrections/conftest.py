from pathlib import Path

import pytest

from trainer.corrections.store import CorrectionStore


@pytest.fixture
def store(tmp_path: Path) -> CorrectionStore:
    return CorrectionStore(tmp_path / "corrections.csv")
