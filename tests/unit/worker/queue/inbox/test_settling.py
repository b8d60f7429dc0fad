from hypothesis import given
from hypothesis import strategies as st

from worker.queue.inbox.files import Found, Gathering, Kind, Settling

SETTLE_S = 5.0


def found(path: str = "a.csv", size: int = 1, mtime_ns: int = 1) -> Found:
    return Found(path, Kind.CATALOGUE, size, mtime_ns, 1)


def test_a_file_that_stays_the_same_is_taken_after_a_while() -> None:
    settling = Settling(SETTLE_S)
    assert settling.settled([found()], 0.0) == []
    assert settling.settled([found()], 4.9) == []
    assert settling.settled([found()], 5.0) == [found()]


def test_a_file_that_grows_is_waited_for() -> None:
    settling = Settling(SETTLE_S)
    for second in range(0, 60, 3):
        assert settling.settled([found(size=second)], float(second)) == []
    assert settling.settled([found(size=57)], 61.9) == []
    assert settling.settled([found(size=57)], 62.0) == [found(size=57)]


def test_a_file_that_is_written_anew_in_the_same_size_is_waited_for() -> None:
    settling = Settling(SETTLE_S)
    settling.settled([found()], 0.0)
    assert settling.settled([found(mtime_ns=2)], 6.0) == []


def test_a_file_that_was_away_begins_anew() -> None:
    settling = Settling(SETTLE_S)
    settling.settled([found()], 0.0)
    settling.settled([], 3.0)
    assert settling.settled([found()], 6.0) == []


def test_files_settle_each_for_itself() -> None:
    settling = Settling(SETTLE_S)
    settling.settled([found("a.csv")], 0.0)
    settling.settled([found("a.csv"), found("b.csv")], 3.0)
    assert settling.settled([found("a.csv"), found("b.csv")], 5.0) == [found("a.csv")]


def test_without_a_time_to_settle_a_file_is_taken_at_once() -> None:
    assert Settling(0.0).settled([found()], 7.0) == [found()]


@given(st.lists(st.tuples(st.floats(0.1, 9.0), st.integers(0, 2)), max_size=30))
def test_what_is_taken_was_the_same_for_long_enough(looks: list[tuple[float, int]]) -> None:
    """Each look comes some seconds after the last, and sees the file in one of three sizes."""
    settling, now, since, last = Settling(SETTLE_S), 0.0, 0.0, None
    for pause_s, size in looks:
        now += pause_s
        since = since if size == last else now
        last = size
        assert bool(settling.settled([found(size=size)], now)) == (now - since >= SETTLE_S)


def test_photos_are_gathered_until_no_more_come() -> None:
    gathering = Gathering(60.0)
    assert not gathering.is_ripe(settled=3, unsettled=1, now=0.0)
    assert gathering.is_ripe(settled=4, unsettled=0, now=2.0)


def test_photos_wait_for_others_only_so_long() -> None:
    gathering = Gathering(60.0)
    ripe = [gathering.is_ripe(settled=now, unsettled=1, now=float(now)) for now in range(1, 63)]
    assert ripe == [*([False] * 60), True, False]


def test_a_new_wait_begins_when_photos_were_taken_or_went_away() -> None:
    for taken in (True, False):
        gathering = Gathering(60.0)
        assert not gathering.is_ripe(settled=1, unsettled=1, now=0.0)
        assert gathering.is_ripe(settled=1 if taken else 0, unsettled=0, now=50.0) is taken
        assert not gathering.is_ripe(settled=1, unsettled=1, now=61.0)


def test_nothing_is_never_ripe() -> None:
    assert not Gathering(0.0).is_ripe(settled=0, unsettled=0, now=9.0)
