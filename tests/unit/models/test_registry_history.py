import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from models.errors import RegistryError
from models.registry.history import Change, Event, History, State, What
from models.storage.storage import FolderStorage

GOLDEN = Path(__file__).parents[2] / "data" / "event.json"


def one_more(state: State) -> tuple[int, State] | None:
    return state.last_version + 1, state.model_copy(update={"last_version": state.last_version + 1})


def append(history: History, why: str, change: Change = one_more) -> Event | None:
    return history.append(What.PUBLISHED, change, why)


def test_events_are_in_order_and_the_last_says_all(tmp_path: Path) -> None:
    history = History(FolderStorage(tmp_path))
    assert (history.last(), history.state()) == (None, State())
    for why in "abc":
        append(history, why)
    assert [(event.number, event.why) for event in history.events()] == [(1, "a"), (2, "b"), (3, "c")]
    assert history.state().last_version == 3


def test_of_many_writers_each_writes_its_event(tmp_path: Path) -> None:
    history = History(FolderStorage(tmp_path))
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: append(history, str(number)), range(40)))
    assert [event.after.last_version for event in history.events()] == list(range(1, 41))
    assert sorted(event.why for event in history.events()) == sorted(map(str, range(40)))


def test_where_nothing_happens_nothing_is_written(tmp_path: Path) -> None:
    assert append(History(FolderStorage(tmp_path)), "", lambda _: None) is None
    assert list(tmp_path.iterdir()) == []


def test_the_golden_event_is_read_and_written_again_as_it_is_and_another_version_is_refused(tmp_path: Path) -> None:
    storage, golden = FolderStorage(tmp_path), json.loads(GOLDEN.read_text())
    storage.commit("history/000001.json", GOLDEN.read_bytes())
    (event,) = History(storage).events()
    assert json.loads(event.model_dump_json()) == golden
    storage.commit("history/000002.json", json.dumps(golden | {"schema_version": 2, "number": 2}).encode())
    with pytest.raises(RegistryError, match=r"000002\.json"):
        History(storage).events()
