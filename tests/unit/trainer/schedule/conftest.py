"""A config with a schedule, beside a registry."""

from pathlib import Path

import pytest

from models.storage.storage import FolderStorage
from tests.unit.trainer.schedule.machines import SCHEDULED, Machine
from trainer.schedule.claims import ClaimStore


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "shop.toml"
    file.write_text(SCHEDULED.format(every="1h"))
    return file


@pytest.fixture
def storage(tmp_path: Path) -> FolderStorage:
    return FolderStorage(tmp_path / "registry" / "shop")


@pytest.fixture
def store(storage: FolderStorage) -> ClaimStore:
    return ClaimStore(storage)


@pytest.fixture
def machine(config: Path) -> Machine:
    return Machine(config)
