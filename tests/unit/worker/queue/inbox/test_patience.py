from worker.queue.inbox.files import Backoff


def test_what_never_failed_may_be_tried() -> None:
    assert Backoff().may_try("a.csv", 0.0)


def test_pauses_grow_to_a_minute() -> None:
    patience, now, pauses = Backoff(), 0.0, []
    for _ in range(7):
        patience.failed("a.csv", "the disk is away", now)
        failed_at = now
        while not patience.may_try("a.csv", now):
            now += 1.0
        pauses.append(now - failed_at)
    assert pauses == [5.0, 10.0, 20.0, 40.0, 60.0, 60.0, 60.0]


def test_a_failure_is_news_once_and_another_reason_is_news_again() -> None:
    patience = Backoff()
    said = [patience.failed("a.csv", reason, 0.0) for reason in ("away", "away", "full", "full", "away")]
    assert said == [True, False, True, False, True]


def test_after_a_success_all_is_forgotten() -> None:
    patience = Backoff()
    patience.failed("a.csv", "away", 0.0)
    patience.succeeded("a.csv")
    assert patience.may_try("a.csv", 0.0)
    assert patience.failed("a.csv", "away", 0.0)


def test_failures_do_not_hold_up_other_files() -> None:
    patience = Backoff()
    patience.failed("a.csv", "away", 0.0)
    assert not patience.may_try("a.csv", 1.0)
    assert patience.may_try("b.csv", 1.0)
