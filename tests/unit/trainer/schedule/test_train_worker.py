import json
import shutil
import sys
from pathlib import Path

import pytest
import redis

from models.errors import MissingExtraError
from models.storage.storage import FolderStorage
from trainer.retrain.cycle_folder import CycleStatus
from trainer.retrain.lock import CycleLock
from trainer.schedule.claims import FOLDER, Claim, ClaimStore, SlotEnd, Try
from trainer.schedule.queue import CycleMessage, CycleQueue
from trainer.schedule.train_worker import MOST_TRIES, CycleTask, check_training
from worker.queue.private_redis import PrivateRedis
from worker.queue.settings import QueueSettings

SLOT = "20261122T030000Z"


@pytest.fixture
def away(tmp_path: Path) -> QueueSettings:
    """Lead to a port where no Redis is."""
    return QueueSettings(redis_url=PrivateRedis(tmp_path / "no-redis").url, grace_s=6)


@pytest.fixture
def claimed(store: ClaimStore, config: Path) -> ClaimStore:
    assert store.claim(Claim(slot=SLOT, config=str(config), schedule="", skipped=0, at="", by=""))
    return store


def python(code: str) -> tuple[str, ...]:
    return (sys.executable, "-c", f"import json, sys; {code}")


def end_of(store: ClaimStore) -> SlotEnd:
    end = store.end_of(SLOT)
    assert end
    return end


def run(settings: QueueSettings, config: Path, code: str) -> None:
    CycleTask(settings, python(code)).retrain(str(config), SLOT)


@pytest.mark.parametrize(
    ("status", "expected"), [(0, CycleStatus.PROMOTED), (3, CycleStatus.REFUSED), (4, CycleStatus.NOTHING_NEW)]
)
def test_what_the_cycle_says_is_kept(
    claimed: ClaimStore, config: Path, away: QueueSettings, status: int, expected: CycleStatus
) -> None:
    outcome = {"number": 7, "reasons": ["shoes lost 9 points", "too large"]}
    run(away, config, f"print({json.dumps(json.dumps(outcome))}); sys.exit({status})")
    end = end_of(claimed)
    assert (end.status, end.tries, end.outcome) == (expected, 1, outcome)
    assert end.reason == "shoes lost 9 points; too large"


@pytest.mark.parametrize(
    ("more", "options"),
    [("", ["--json"]), ('when = "drift"\n[drift]\njobs = ["jobs"]\n', ["--json", "--when", "drift"])],
)
def test_it_gets_the_config_and_what_the_schedule_asks_for(
    claimed: ClaimStore, config: Path, away: QueueSettings, more: str, options: list[str]
) -> None:
    config.write_text(config.read_text() + more)
    run(away, config, "print(json.dumps({'words': sys.argv[1:]}))")
    assert end_of(claimed).outcome == {"words": [str(config), *options]}


def test_it_is_given_up_after_some_failures(claimed: ClaimStore, config: Path, away: QueueSettings, caplog) -> None:
    for _ in range(MOST_TRIES):
        assert claimed.end_of(SLOT) is None
        run(away, config, "print('hangtag: no room', file=sys.stderr); sys.exit(1)")
    end = end_of(claimed)
    assert (end.status, end.tries, end.reason) == (CycleStatus.FAILED, MOST_TRIES, "hangtag: no room")
    assert [record.event for record in caplog.records if record.levelname == "ERROR"] == ["slot_failed"]
    run(away, config, "raise AssertionError")
    assert len(claimed.tries(SLOT)) == MOST_TRIES


def test_tries_count_though_one_between_was_none(claimed: ClaimStore, config: Path, away: QueueSettings) -> None:
    """As when a worker that has lost the lock takes its try back, while the next one is at work."""
    claimed.write_try(SLOT, Try(number=2, at="", by=""))
    for _ in range(MOST_TRIES - 1):
        assert claimed.end_of(SLOT) is None
        run(away, config, "sys.exit(1)")
    end = end_of(claimed)
    assert (end.status, end.tries) == (CycleStatus.FAILED, MOST_TRIES)


def test_a_complaint_of_several_lines_is_kept_whole(claimed: ClaimStore, config: Path, away: QueueSettings) -> None:
    run(away, config, "sys.exit('\\n'.join(['Epoch 1', 'hangtag: 2 rows cannot be used', '  row 3: no label', '']))")
    assert [attempt.reason for attempt in claimed.tries(SLOT)] == ["hangtag: 2 rows cannot be used row 3: no label"]


def test_tries_whose_workers_died_count(claimed: ClaimStore, config: Path, away: QueueSettings) -> None:
    for number in range(1, MOST_TRIES + 1):
        claimed.write_try(SLOT, Try(number=number, at="", by=""))
    run(away, config, "raise AssertionError")
    end = end_of(claimed)
    assert (end.status, end.reason) == (CycleStatus.FAILED, "its worker or its process died")


@pytest.mark.parametrize("status", [6, 130], ids=["another cycle runs", "somebody pressed Ctrl-C"])
def test_what_is_no_failure_does_not_count(claimed: ClaimStore, config: Path, away: QueueSettings, status: int) -> None:
    for _ in range(MOST_TRIES + 1):
        run(away, config, f"sys.exit({status})")
    assert claimed.is_open(SLOT)
    assert claimed.tries(SLOT) == []


def test_a_worker_that_stops_leaves_the_slot_open(claimed: ClaimStore, config: Path, away: QueueSettings) -> None:
    slow = CycleTask(away, python("import time; time.sleep(600)"))
    slow.busy.stop()
    slow.retrain(str(config), SLOT)
    assert claimed.is_open(SLOT)
    assert claimed.tries(SLOT) == []


def test_while_another_worker_runs_a_slot_of_the_model_nothing_is_tried(
    claimed: ClaimStore, storage: FolderStorage, config: Path, away: QueueSettings
) -> None:
    with CycleLock(storage.child(FOLDER)).held():
        run(away, config, "raise AssertionError")
    assert claimed.is_open(SLOT)
    assert claimed.tries(SLOT) == []


def test_a_message_of_a_slot_that_nobody_claimed_is_passed_over(
    store: ClaimStore, config: Path, away: QueueSettings
) -> None:
    run(away, config, "raise AssertionError")
    assert store.look().claimed == ()
    assert store.tries(SLOT) == []


LEAVES_A_MARK = "from pathlib import Path; Path(sys.argv[1] + '.ran').touch()"


@pytest.fixture
def other(config: Path) -> Path:
    """Other settings of the same model."""
    return Path(shutil.copy(config, config.with_name("other.toml")))


def test_only_the_config_that_claimed_the_slot_is_run(
    claimed: ClaimStore, config: Path, other: Path, away: QueueSettings, caplog: pytest.LogCaptureFixture
) -> None:
    for path in (other, config):
        CycleTask(away, python(LEAVES_A_MARK)).retrain(str(path), SLOT)
    assert not other.with_name("other.toml.ran").exists()
    assert config.with_name("shop.toml.ran").exists()
    (refused,) = [record.fields for record in caplog.records if record.event == "slot_refused"]
    assert refused == {"config": str(other), "slot": SLOT, "claimed_for": str(config)}


def test_a_worker_that_was_started_with_configs_runs_no_others(
    claimed: ClaimStore, config: Path, other: Path, away: QueueSettings, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever the claims in a registry of their own say."""
    for ours in (other, config):
        assert claimed.is_open(SLOT)
        CycleTask(away, python(LEAVES_A_MARK), configs=[str(ours)]).retrain(str(config), SLOT)
    assert [record.fields["reason"] for record in caplog.records if record.event == "cycle_later"] == [
        f"InputError: Expected a cycle of {other}, which this worker was started with, got one of {config}."
    ]
    assert not claimed.is_open(SLOT)


@pytest.mark.parametrize("config", ["/gone.toml", "/dev/zero", "/"])
def test_a_config_that_is_no_file_is_told_and_tried_again(
    away: QueueSettings, config: str, caplog: pytest.LogCaptureFixture
) -> None:
    CycleTask(away, python("raise AssertionError")).retrain(config, SLOT)
    (later,) = [record.fields for record in caplog.records if record.event == "cycle_later"]
    assert f"Expected settings of a retraining in {config}, found no such file" in str(later["reason"])


def test_a_failure_is_held_back(redis_installed: None, tmp_path: Path, claimed: ClaimStore, config: Path) -> None:
    with PrivateRedis(tmp_path / "redis") as server, redis.Redis.from_url(server.url) as client:
        queue, message = CycleQueue(client), CycleMessage(str(config), SLOT)
        assert queue.send(message)
        assert not queue.send(message)
        assert queue.waiting() == {message}
        client.flushall()
        CycleTask(QueueSettings(redis_url=server.url), python("sys.exit(1)"), retry_s=60).retrain(str(config), SLOT)
        assert not queue.send(message)
        (key,) = client.keys()
        assert 30 < client.ttl(key) <= 60


def test_a_machine_without_what_trains_takes_no_cycles() -> None:
    with pytest.raises(MissingExtraError, match=r"needs tensorflow; pip install 'hangtag\[train,worker\]'"):
        check_training(lambda package: None if package == "tensorflow" else object())
    check_training(lambda _: object())


LOSES_THE_LOCK = """
from models.storage.storage import FolderStorage
from models.process_identity import Owner
holder = json.dumps({"owner": json.loads(Owner.this().to_json()) | {"machine": "elsewhere"}, "since": ""})
assert FolderStorage(REGISTRY).commit("schedule/cycle/000002.json", holder.encode())
"""


@pytest.mark.parametrize(("status", "tries"), [(0, 1), (1, 0)])
def test_who_lost_the_lock_tells_how_the_cycle_ended_and_else_has_not_tried(
    claimed: ClaimStore, config: Path, away: QueueSettings, tmp_path: Path, status: int, tries: int
) -> None:
    script = tmp_path / "cycle.py"
    lost = LOSES_THE_LOCK.replace("REGISTRY", f"Path({str(tmp_path / 'registry' / 'shop')!r})")
    script.write_text(f"import json, sys\nfrom pathlib import Path\n{lost}\nprint('{{}}')\nsys.exit({status})\n")
    CycleTask(away, (sys.executable, str(script))).retrain(str(config), SLOT)
    end = claimed.end_of(SLOT)
    assert (end.status if end else None) == (CycleStatus.PROMOTED if status == 0 else None)
    assert len(claimed.tries(SLOT)) == tries
