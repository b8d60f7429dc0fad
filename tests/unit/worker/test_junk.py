"""What people and editors leave in folders that are listed: it is nobody's, and nothing ends by it."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from models.registry.history import History
from models.registry.publish import claim_number
from models.registry.state import State
from models.storage.storage import FolderStorage
from trainer.retrain.cycle_folder import Cycles, CycleStatus
from trainer.retrain.lock import CycleLock
from trainer.schedule.claims import Claim, ClaimStore, SlotEnd, Try
from worker.job.job import commit_retry, latest_retry
from worker.job.jobs import Jobs
from worker.job.parts import latest_parts, part_key
from worker.labelling.chunk import attempt_on, earlier_attempts

SLOT = "20261122T030000Z"
NOW = datetime(2026, 11, 22, 3, 30, tzinfo=UTC)
STEMS = ("000001", "000009", "00001", "00009", "1", "٠٠٠٠٠٩", "0000009", SLOT, "20271122T030000Z", "2027112T30000Z")
ENDS = ("", ".json~", ".json.bak", "-backup", " (copy).json", ".JSON", ".jso", ".txt", ".try1.json~", ".done.json~")
ALSO = ("9.json", "٠٠٠٠٠٩.json", "0000009.json", "notes.txt", "Thumbs.db", "~$claims", f"{SLOT}.tryx.json", "\udcff")
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


def lock(root: Path) -> object:
    for _ in range(12):  # so that what is old is tidied away
        with CycleLock(FolderStorage(root.parent)).held() as held:
            held.check()
    return CycleLock(FolderStorage(root.parent)).holder()


def claims(root: Path) -> object:
    return claim_number(FolderStorage(root.parent), State(), "cafe")


def history(root: Path) -> object:
    return History(FolderStorage(root.parent)).numbers(), History(FolderStorage(root.parent)).last()


def plan(root: Path) -> object:
    return ClaimStore(FolderStorage(root.parents[1])).plan("every 1h", NOW)


def slots(root: Path) -> object:
    book = ClaimStore(FolderStorage(root.parent))
    book.claim(Claim(slot=SLOT, config="", schedule="", skipped=0, at="", by=""))
    book.write_try(SLOT, Try(number=1, at="", by=""))
    tries = book.tries(SLOT)
    book.end(SlotEnd(slot=SLOT, status=CycleStatus.FAILED, tries=1, at=""))
    book.tidy(NOW)
    return book.look(), tries


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
    "cycles": cycles, "shop/cycle": lock, "shop/claims": claims, "shop/history": history,
    "shop/schedule/plan": plan, "shop/schedule": slots, "job/retries": retries, "job/parts": parts,
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
