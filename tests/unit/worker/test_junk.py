"""What people and editors leave in folders that are listed: it is nobody's, and nothing ends by it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from models.registry.history import History
from models.registry.publish import claim_number
from models.registry.state import State
from models.storage.storage import FolderStorage
from trainer.retrain.cycle_folder import Cycles
from worker.job.job import commit_retry, latest_retry
from worker.job.jobs import Jobs
from worker.job.parts import latest_parts, part_key
from worker.labelling.chunk import attempt_on, earlier_attempts

STEMS = ("000001", "000009", "00001", "00009", "1", "٠٠٠٠٠٩", "0000009")
ENDS = ("", ".json~", ".json.bak", "-backup", " (copy).json", ".JSON", ".jso", ".txt")
ALSO = ("9.json", "٠٠٠٠٠٩.json", "0000009.json", "notes.txt", "Thumbs.db", "~$claims", "\udcff")
PARTS = ("0000004.r0.parquet", "000005.r00.parquet", "000006.r0.parquet~", "٠٠٠٠٠٧.r0.parquet")
JUNK = sorted({f"{stem}{end}" for stem in STEMS for end in ENDS} | {*ALSO, *PARTS})


def drop_junk(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(JUNK):
        place = folder / name
        if place.exists():
            continue
        if number % 3 or name.isdecimal():
            place.write_text("junk")
        else:
            place.mkdir()


def cycles(root: Path) -> object:
    (root / "000002").mkdir(parents=True, exist_ok=True)
    return [int(cycle.path.name) for cycle in Cycles(root).all()]


def claims(root: Path) -> object:
    return claim_number(FolderStorage(root.parent), State(), "cafe")


def history(root: Path) -> object:
    return History(FolderStorage(root.parent)).numbers(), History(FolderStorage(root.parent)).last()


def retries(root: Path) -> object:
    commit_retry(FolderStorage(root.parent), 2, [], 0)
    return latest_retry(FolderStorage(root.parent))


def parts(root: Path) -> object:
    storage = FolderStorage(root.parent)
    storage.commit(part_key(3), b"")
    return latest_parts(storage.names("parts"))


def attempts(root: Path) -> object:
    storage = FolderStorage(root.parent)
    with attempt_on(storage, 1) as note:
        note(7)
        return earlier_attempts(storage, 1)


def jobs(root: Path) -> object:
    found = Jobs(FolderStorage(root))
    return [name for name in found.names() if found.get(name)], found.identity() != ""


FOLDERS: dict[str, Callable[[Path], object]] = {
    "cycles": cycles, "shop/claims": claims, "shop/history": history, "job/retries": retries, "job/parts": parts,
    "job/inhand": attempts, "jobs": jobs,
}  # fmt: skip


@pytest.mark.parametrize("folder", FOLDERS)
def test_junk_changes_nothing(tmp_path: Path, folder: str) -> None:
    use = FOLDERS[folder]
    clean, full = tmp_path / "clean" / folder, tmp_path / "full" / folder
    drop_junk(full)
    assert use(full) == use(clean)
    left = {place.name for place in full.iterdir()}
    assert set(JUNK) <= left, "nothing of it is removed"
