import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from models.registry.history import Event, History, What
from models.registry.state import Change, State
from models.storage.storage import FolderStorage


def one_more(state: State) -> tuple[int, State] | None:
    return state.last_version + 1, state.model_copy(update={"last_version": state.last_version + 1})


def nothing(_: State) -> tuple[int, State] | None:
    return None


def append(history: History, why: str, change: Change = one_more) -> Event | None:
    return history.append(What.PUBLISHED, change, why)


def mirrored(folder: Path) -> list[str]:
    return [json.loads(line)["why"] for line in (folder / "history.jsonl").read_text().split("\n") if line]


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
    assert mirrored(tmp_path) == [event.why for event in history.events()]


def test_people_read_a_line_an_event_whatever_its_reason(tmp_path: Path) -> None:
    history = History(FolderStorage(tmp_path))
    reasons = ["one\ntwo", "three\u2028four", "靴", '"', ""]
    for why in reasons:
        append(history, why)
    assert mirrored(tmp_path) == reasons
    assert json.loads((tmp_path / "aliases.json").read_text()) == {"aliases": {}}


def test_a_mirror_that_is_behind_or_spoiled_is_made_anew_even_if_nothing_happens(tmp_path: Path) -> None:
    history = History(FolderStorage(tmp_path))
    for why in "abc":
        append(history, why)
    for spoiled in (b"", b"{", b"[1]\n", b'{"number": 1, "why": "a"}\n', b"\xff"):
        (tmp_path / "history.jsonl").write_bytes(spoiled)
        append(history, "", nothing)
        assert mirrored(tmp_path) == list("abc")
    (tmp_path / "history.jsonl").unlink()
    append(history, "", nothing)
    assert mirrored(tmp_path) == list("abc")


def test_where_nothing_ever_happened_nothing_is_written(tmp_path: Path) -> None:
    append(History(FolderStorage(tmp_path)), "", nothing)
    assert list(tmp_path.iterdir()) == []
