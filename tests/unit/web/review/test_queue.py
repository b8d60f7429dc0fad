"""Which reviewer gets which question."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.review_jobs import Row, doubtful
from web.review.questions import load_questions
from web.review.queue import LEASE_S, Choice, Order, ReviewQueue
from worker.job.parts import Status

from .conftest import Clock, MakeQueue, job_of, vote

USUAL = Choice()


@pytest.fixture
def queue(make_queue: MakeQueue) -> ReviewQueue:
    rows = [Row(0, "hats", 0.7, category="boots"), Row(1, "boots", 0.4), Row(2, "boots", 0.6), Row(2, "boots", 0.6)]
    return make_queue([*rows, *(Row(n, "shoes", 0.9, Status.LABELED, category="shoes") for n in range(3, 9))])


@pytest.mark.parametrize(
    ("choice", "places"),
    [
        (Choice(Order.LEAST_SURE), [1, 2, 0]),
        (Choice(Order.MOST_VALUABLE), [2, 1, 0]),
        (Choice(Order.BY_CLASS), [1, 2, 0]),
        (Choice(Order.CONTRADICTED), [0]),
        (Choice(label="boots"), [1, 2]),
    ],
)
def test_questions_come_in_the_order_that_is_wanted(queue: ReviewQueue, choice: Choice, places: list[int]) -> None:
    assert queue.take("anna", "tab", choice, 9) == places


def test_no_question_is_asked_of_two_people(make_queue: MakeQueue) -> None:
    queue = make_queue(doubtful(10))
    assert queue.take("anna", "a", USUAL, 4) == [0, 1, 2, 3]
    assert queue.take("ben", "b", USUAL, 4) == [4, 5, 6, 7]
    assert queue.take("anna", "a", USUAL, 4) == [8, 9]


def test_a_lease_ends_unless_it_is_renewed(make_queue: MakeQueue, clock: Clock) -> None:
    queue = make_queue(doubtful(2))
    queue.take("anna", "a", USUAL, 1)
    queue.take("ben", "b", USUAL, 1)
    clock.now += LEASE_S - 1
    queue.renew("b")
    clock.now += 2
    assert queue.take("cleo", "c", USUAL, 2) == [0]


def test_what_a_page_lets_go_is_asked_of_others(make_queue: MakeQueue) -> None:
    queue = make_queue(doubtful(2))
    queue.take("anna", "a", USUAL, 2)
    queue.release("a")
    assert queue.take("ben", "b", USUAL, 2) == [0, 1]


def test_what_is_skipped_comes_last_for_its_reviewer(make_queue: MakeQueue) -> None:
    queue = make_queue(doubtful(3))
    queue.take("anna", "a", USUAL, 1)
    queue.skip(0, "anna")
    assert queue.take("anna", "a", USUAL, 3) == [1, 2, 0]


def test_what_was_answered_is_not_asked_again(make_queue: MakeQueue, clock: Clock) -> None:
    queue = make_queue(doubtful(3))
    queue.restore([vote(clock, 0, "boots"), vote(clock, 2, "hats", "ben")])
    assert queue.take("anna", "a", USUAL, 3) == [1]


def test_a_second_person_is_asked_some_questions(make_queue: MakeQueue, clock: Clock) -> None:
    queue = make_queue(doubtful(100))
    choice = Choice(second=0.3)
    queue.restore(vote(clock, n, "boots") for n in range(100))
    assert queue.take("anna", "a", choice, 100) == []
    second = queue.take("ben", "b", choice, 100)
    assert 15 < len(second) < 45
    assert queue.take("cleo", "c", replace(choice, second=0.0), 100) == []


def test_a_disputed_question_goes_to_a_third_reviewer_and_again_to_both(make_queue: MakeQueue, clock: Clock) -> None:
    queue = make_queue(doubtful(1))
    queue.restore([vote(clock, 0, "boots"), vote(clock, 0, "hats", "ben")])
    for reviewer in ("anna", "ben", "cleo"):
        assert queue.take(reviewer, reviewer, USUAL, 1) == [0]
        queue.release(reviewer)
    queue.add(vote(clock, 0, "boots"))
    assert queue.take("anna", "a", USUAL, 1) == []
    queue.add(vote(clock, 0, "boots", "ben"))
    assert queue.take("cleo", "c", USUAL, 1) == []


def test_an_answer_that_is_taken_back_is_asked_again(make_queue: MakeQueue, clock: Clock) -> None:
    queue = make_queue(doubtful(2))
    answer = vote(clock, 0, "boots")
    queue.add(answer)
    queue.remove(answer)
    assert queue.take("anna", "a", USUAL, 2) == [0, 1]
    assert queue.progress("anna", USUAL).done == 0


def test_it_counts_questions_rows_and_right_guesses(make_queue: MakeQueue, clock: Clock) -> None:
    queue = make_queue([*doubtful(4), Row(0)])
    queue.restore([vote(clock, 0, "boots"), vote(clock, 1, "shoes")])
    found = queue.progress("anna", USUAL)
    assert (found.questions, found.rows, found.done, found.rows_done, found.left) == (4, 5, 2, 3, 2)
    assert (found.mine, found.right) == (2, 0.5)


def test_a_job_that_goes_on_keeps_what_pages_hold(tmp_path: Path, clock: Clock) -> None:
    rows = doubtful(6)
    fewer = ReviewQueue(load_questions(job_of(tmp_path / "fewer", rows[3:])), clock)
    more = ReviewQueue(load_questions(job_of(tmp_path / "more", rows)), clock)
    assert fewer.take("anna", "tab", USUAL, 1) == [0]
    fewer.skip(1, "ben")
    more.inherit(fewer)
    assert more.take("ben", "b", USUAL, 9) == [0, 1, 2, 5, 4]
