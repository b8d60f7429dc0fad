"""The lock of a model, and its slots, on a disk and in S3; and processes that hold it."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from models.errors import BusyError
from models.storage.storage import FolderStorage, Storage
from trainer.retrain.cycle_folder import CycleStatus
from trainer.retrain.lock import CycleLock
from trainer.schedule.claims import Claim, ClaimStore, SlotEnd

SLOT = "20261122T030000Z"
HOLD = (
    "import sys; from pathlib import Path;"
    "from models.storage.storage import FolderStorage; from trainer.retrain.lock import CycleLock;"
    "lock = CycleLock(FolderStorage(Path(sys.argv[1]))).held();"
    "print(lock.__enter__().number, flush=True); sys.stdin.read()"
)


@pytest.fixture(params=["folder", "s3"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    if request.param == "folder":
        return FolderStorage(tmp_path / "shop")
    return request.getfixturevalue("in_s3")


def test_one_after_the_other(storage: Storage) -> None:
    for number in (1, 2, 3):
        with CycleLock(storage).held() as held:
            assert held.number == number
            held.beat()
            held.check()
            with pytest.raises(BusyError):
                CycleLock(storage).held().__enter__()
        assert CycleLock(storage).holder() is None


def test_of_many_at_once_one_gets_it(storage: Storage) -> None:
    attempts = [CycleLock(storage).held() for _ in range(8)]

    def got(number: int) -> bool:
        try:
            attempts[number].__enter__()
        except BusyError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        (won,) = [attempt for attempt, entered in zip(attempts, pool.map(got, range(8)), strict=True) if entered]
    won.__exit__(None, None, None)  # left to the garbage collector, it would write to S3 wherever that runs


def test_a_slot_is_claimed_and_ended_once(storage: Storage) -> None:
    book = ClaimStore(storage)
    claim = Claim(slot=SLOT, config="/shop.toml", schedule="every 6h", skipped=0, at="", by="")
    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(lambda _: book.claim(claim), range(8))) == 1
    with CycleLock(storage.child("schedule")).held():
        assert book.look().open == (SLOT,)
    end = SlotEnd(slot=SLOT, status=CycleStatus.PROMOTED, tries=1, at="")
    assert [book.end(end), book.end(end)] == [True, False]
    assert book.look().open == ()
    assert book.end_of(SLOT) == end


def test_a_killed_process_holds_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "1\n"
        with pytest.raises(BusyError, match=f"process {process.pid} on"):
            CycleLock(FolderStorage(tmp_path)).held().__enter__()
        process.kill()
        process.wait()
    with CycleLock(FolderStorage(tmp_path)).held() as held:
        assert held.number == 2
