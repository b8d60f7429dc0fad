"""A config with a schedule, beside a registry; no Redis, no process."""

from pathlib import Path

import pytest

from models.storage.storage import FolderStorage
from trainer.schedule.claims import ClaimStore


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "shop.toml"
    file.write_text('name = "shop"\ndata = "photos"\n[schedule]\nevery = "1h"\n')
    return file


@pytest.fixture
def storage(tmp_path: Path) -> FolderStorage:
    return FolderStorage(tmp_path / "registry" / "shop")


@pytest.fixture
def book(storage: FolderStorage) -> ClaimStore:
    return ClaimStore(storage)
