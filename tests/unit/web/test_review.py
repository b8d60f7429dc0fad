"""Which questions a job asks, who is asked which, and what becomes of answers."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from models.storage.storage import FolderStorage
from tests.review_jobs import CLASSES, PIN, Row, doubtful, labelled_job, sha256_of
from trainer.corrections.remarks import Remark, RemarkKind
from trainer.corrections.votes import Vote
from web.jobs import JobIndex
from web.photos import CatalogueRows
from web.review.desk import Answer, AnswerKind, Reviews
from web.review.questions import Questions, load_questions
from web.review.queue import LEASE_S, Order, ReviewQueue, Wish
from worker.job.job import Job, open_job
from worker.job.parts import Status
from worker.request import JobOptions

USUAL = Wish()
NOON = datetime(2026, 5, 1, 12, tzinfo=UTC).timestamp()


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def make_queue(tmp_path: Path, clock: Clock) -> Callable[[list[Row]], ReviewQueue]:
    """A queue of the questions of such rows."""
    return lambda rows: ReviewQueue(load_questions(job_of(tmp_path, rows)), clock)


def job_of(folder: Path, rows: list[Row], options: JobOptions | None = None) -> Job:
    result = labelled_job(folder / "shop", rows, options)
    job = open_job(FolderStorage(result.with_name("labels.parquet.job")))
    assert job
    return job


def vote(clock: Clock, photo: int, label: str, reviewer: str = "anna") -> Vote:
    clock.now += 1
    return Vote(datetime.fromtimestamp(clock.now, UTC), reviewer, sha256_of(photo), "", label)


class TestQuestions:
    def test_a_photo_is_one_question_however_many_rows_have_it(self, tmp_path: Path) -> None:
        rows = [Row(0), Row(1), Row(0), Row(2, status=Status.LABELED), Row(0)] * 5
        questions = load_questions(job_of(tmp_path, rows))
        assert len(questions) == 2
        assert questions.rows.tolist() == [15, 5]
        first = questions.get(0)
        assert (first["row"], first["label"], first["reason"]) == (0, "boots", "threshold")
        assert [best["label"] for best in first["top_k"]] == ["boots", "hats", "shoes"]

    def test_of_a_label_above_classes_the_likeliest_class_is_asked_about(self, tmp_path: Path, clock: Clock) -> None:
        """As an audit asks about rows that were labelled; the row is right if its label is above the answer."""
        pin = PIN.model_copy(update={"taxonomy": {"boots": "worn", "hats": "worn"}})
        rows = [Row(n, "boots", 0.5, Status.LABELED, above="worn") for n in range(3)]
        result = labelled_job(tmp_path / "shop", rows, pin=pin)
        questions = load_questions(open_job(FolderStorage(result.with_name("labels.parquet.job"))), rows=[0, 1, 2])
        assert [questions.get(0)[name] for name in ("label", "confidence", "given")] == ["boots", 0.5, "worn"]
        queue = ReviewQueue(questions, clock)
        for photo, label in enumerate(("boots", "hats", "shoes")):
            queue.say(vote(clock, photo, label))
        assert queue.progress("anna", USUAL).right == pytest.approx(2 / 3)

    def test_a_question_counts_the_products_that_have_its_photo(self, tmp_path: Path) -> None:
        rows = [Row(0, product="a"), Row(0, product="b"), Row(0, product="b"), Row(1, product="a")]
        questions = load_questions(job_of(tmp_path, rows, JobOptions(group_column="product")))
        assert questions.products.tolist() == [2, 1]

    def test_rows_of_a_product_whose_photos_disagree_are_asked_about(self, tmp_path: Path) -> None:
        rows = [Row(0), Row(1, status=Status.LABELED, confidence=0.99)]
        job = job_of(tmp_path, rows, JobOptions(group_column="product"))
        job.storage.replace(
            "review.csv", b"row,image,label,reason\n1,0.png,boots,threshold\n2,1.png,boots,disagreement\n"
        )
        questions = load_questions(job)
        assert [questions.get(place)["reason"] for place in (0, 1)] == ["threshold", "disagreement"]

    def test_rows_that_are_named_are_asked_about_whatever_became_of_them(self, tmp_path: Path) -> None:
        rows = [Row(0), *(Row(n, status=Status.LABELED) for n in range(1, 30))]
        questions = load_questions(job_of(tmp_path, rows), rows=[3, 20])
        assert [questions.get(place)["row"] for place in (0, 1)] == [3, 20]

    def test_the_surest_rows_of_a_class_are_its_examples(self, tmp_path: Path) -> None:
        rows = [Row(n, confidence=0.5 + n / 100, status=Status.LABELED) for n in range(40)]
        questions = load_questions(job_of(tmp_path, [*rows, rows[39]]))
        assert questions.examples == {"boots": (39, 38, 37)}

    def test_a_column_of_class_names_tells_suspected_label_errors(self, tmp_path: Path) -> None:
        rows = [Row(0, "boots", category="Boots"), Row(1, "boots", category="hats"), Row(2, "boots", category="?")]
        questions = load_questions(job_of(tmp_path, [*rows, Row(3, "shoes", category="shoes")]))
        assert questions.said_by == "category"
        assert questions.contradicted.tolist() == [False, True, False, False]

    def test_a_catalogue_without_class_names_has_no_suspected_label_errors(self, tmp_path: Path) -> None:
        questions = load_questions(job_of(tmp_path, doubtful(4)))
        assert questions.said_by is None
        assert not questions.contradicted.any()

    def test_the_classes_are_those_that_results_name_where_the_bundle_is_elsewhere(self, tmp_path: Path) -> None:
        assert load_questions(job_of(tmp_path, doubtful(3))).classes == CLASSES


class TestOrders:
    @pytest.fixture
    def queue(self, make_queue: Callable[[list[Row]], ReviewQueue]) -> ReviewQueue:
        rows = [Row(0, "hats", 0.7, category="boots"), Row(1, "boots", 0.4), Row(2, "boots", 0.6), Row(2, "boots", 0.6)]
        return make_queue([*rows, *(Row(n, "shoes", 0.9, Status.LABELED, category="shoes") for n in range(3, 9))])

    @pytest.mark.parametrize(
        ("wish", "places"),
        [
            (Wish(Order.LEAST_SURE), [1, 2, 0]),
            (Wish(Order.MOST_VALUABLE), [2, 1, 0]),
            (Wish(Order.BY_CLASS), [1, 2, 0]),
            (Wish(Order.CONTRADICTED), [0]),
            (Wish(label="boots"), [1, 2]),
        ],
    )
    def test_questions_come_in_the_order_that_is_wanted(
        self, queue: ReviewQueue, wish: Wish, places: list[int]
    ) -> None:
        assert queue.take("anna", "tab", wish, 9) == places


class TestLeases:
    def test_no_question_is_asked_of_two_people(self, make_queue: Callable[[list[Row]], ReviewQueue]) -> None:
        queue = make_queue(doubtful(10))
        assert queue.take("anna", "a", USUAL, 4) == [0, 1, 2, 3]
        assert queue.take("ben", "b", USUAL, 4) == [4, 5, 6, 7]
        assert queue.take("anna", "a", USUAL, 4) == [8, 9]

    def test_two_pages_of_one_person_are_not_asked_the_same(
        self, make_queue: Callable[[list[Row]], ReviewQueue]
    ) -> None:
        queue = make_queue(doubtful(4))
        assert queue.take("anna", "a", USUAL, 2) + queue.take("anna", "other", USUAL, 2) == [0, 1, 2, 3]

    def test_a_lease_ends_unless_it_is_renewed(
        self, make_queue: Callable[[list[Row]], ReviewQueue], clock: Clock
    ) -> None:
        queue = make_queue(doubtful(2))
        queue.take("anna", "a", USUAL, 1)
        queue.take("ben", "b", USUAL, 1)
        clock.now += LEASE_S - 1
        queue.renew("b")
        clock.now += 2
        assert queue.take("cleo", "c", USUAL, 2) == [0]

    def test_what_a_page_lets_go_is_asked_of_others(self, make_queue: Callable[[list[Row]], ReviewQueue]) -> None:
        queue = make_queue(doubtful(2))
        queue.take("anna", "a", USUAL, 2)
        queue.release("a")
        assert queue.take("ben", "b", USUAL, 2) == [0, 1]

    def test_what_is_skipped_comes_last_for_its_reviewer(self, make_queue: Callable[[list[Row]], ReviewQueue]) -> None:
        queue = make_queue(doubtful(3))
        queue.take("anna", "a", USUAL, 1)
        queue.skip(0, "anna")
        assert queue.take("anna", "a", USUAL, 3) == [1, 2, 0]

    def test_what_is_skipped_comes_in_its_turn_for_others(self, make_queue: Callable[[list[Row]], ReviewQueue]) -> None:
        queue = make_queue(doubtful(3))
        queue.skip(0, "anna")
        assert queue.take("ben", "b", USUAL, 1) == [0]


class TestAnswers:
    def test_what_was_answered_is_not_asked_again(
        self, make_queue: Callable[[list[Row]], ReviewQueue], clock: Clock
    ) -> None:
        queue = make_queue(doubtful(3))
        queue.restore([vote(clock, 0, "boots"), vote(clock, 2, "hats", "ben")])
        assert queue.take("anna", "a", USUAL, 3) == [1]

    def test_a_remark_is_an_answer(self, make_queue: Callable[[list[Row]], ReviewQueue], clock: Clock) -> None:
        queue = make_queue(doubtful(2))
        said = vote(clock, 0, "")
        queue.say(Remark(said.at, "anna", said.sha256, "", RemarkKind.NOT_A_PRODUCT))
        assert queue.take("ben", "b", USUAL, 2) == [1]

    def test_a_second_person_is_asked_some_questions(
        self, make_queue: Callable[[list[Row]], ReviewQueue], clock: Clock
    ) -> None:
        queue = make_queue(doubtful(100))
        wish = Wish(second=0.3)
        queue.restore(vote(clock, n, "boots") for n in range(100))
        assert queue.take("anna", "a", wish, 100) == []
        second = queue.take("ben", "b", wish, 100)
        assert 15 < len(second) < 45
        assert queue.take("cleo", "c", replace(wish, second=0.0), 100) == []

    def test_a_question_in_dispute_is_asked_of_a_third_and_once_again_of_both(
        self, make_queue: Callable[[list[Row]], ReviewQueue], clock: Clock
    ) -> None:
        queue = make_queue(doubtful(1))
        queue.restore([vote(clock, 0, "boots"), vote(clock, 0, "hats", "ben")])
        for reviewer in ("anna", "ben", "cleo"):
            assert queue.take(reviewer, reviewer, USUAL, 1) == [0]
            queue.release(reviewer)
        queue.say(vote(clock, 0, "boots"))
        assert queue.take("anna", "a", USUAL, 1) == []
        queue.say(vote(clock, 0, "boots", "ben"))
        assert queue.take("cleo", "c", USUAL, 1) == []

    def test_an_answer_that_is_taken_back_is_asked_again(
        self, make_queue: Callable[[list[Row]], ReviewQueue], clock: Clock
    ) -> None:
        queue = make_queue(doubtful(2))
        said = vote(clock, 0, "boots")
        queue.say(said)
        queue.unsay(said)
        assert queue.take("anna", "a", USUAL, 2) == [0, 1]
        assert queue.progress("anna", USUAL).done == 0


class TestProgress:
    def test_it_counts_questions_rows_and_right_guesses(
        self, make_queue: Callable[[list[Row]], ReviewQueue], clock: Clock
    ) -> None:
        queue = make_queue([*doubtful(4), Row(0)])
        queue.restore([vote(clock, 0, "boots"), vote(clock, 1, "shoes")])
        found = queue.progress("anna", USUAL)
        assert (found.questions, found.rows, found.done, found.rows_done, found.left) == (4, 5, 2, 3, 2)
        assert (found.mine, found.right) == (2, 0.5)

    def test_the_speed_leaves_pauses_out(self, make_queue: Callable[[list[Row]], ReviewQueue], clock: Clock) -> None:
        queue = make_queue(doubtful(100))
        for n in range(21):
            clock.now += 2  # and one that a vote takes
            if n == 10:
                clock.now += 3600
            queue.say(vote(clock, n, "boots"))
        found = queue.progress("anna", USUAL)
        assert found.an_hour == 1200
        assert found.seconds_left == 79 * 3

    def test_agreement_is_of_first_answers(self, make_queue: Callable[[list[Row]], ReviewQueue], clock: Clock) -> None:
        queue = make_queue(doubtful(3))
        said = [
            (0, "boots", "anna"),
            (0, "boots", "ben"),
            (1, "boots", "anna"),
            (1, "hats", "ben"),
            (1, "hats", "anna"),
        ]
        queue.restore([vote(clock, *one) for one in said])
        found = queue.progress("anna", USUAL)
        assert (found.twice, found.agreed, found.disputed) == (2, 1, 0)


def test_questions_of_a_job_that_nobody_need_look_at(tmp_path: Path, clock: Clock) -> None:
    questions: Questions = load_questions(job_of(tmp_path, [Row(0, status=Status.LABELED)]))
    queue = ReviewQueue(questions, clock)
    assert queue.take("anna", "a", USUAL, 3) == []
    assert queue.progress("anna", USUAL).questions == 0


class TestGoingOn:
    def test_a_job_that_goes_on_keeps_what_pages_hold(self, tmp_path: Path, clock: Clock) -> None:
        rows = doubtful(6)
        fewer = ReviewQueue(load_questions(job_of(tmp_path / "fewer", rows[3:])), clock)
        more = ReviewQueue(load_questions(job_of(tmp_path / "more", rows)), clock)
        assert fewer.take("anna", "tab", USUAL, 1) == [0]
        fewer.skip(1, "ben")
        more.inherit(fewer)
        assert more.take("ben", "b", USUAL, 9) == [0, 1, 2, 5, 4]


class TestLabelledAgain:
    def test_answers_go_to_the_photos_that_were_seen(self, tmp_path: Path, clock: Clock) -> None:
        result = labelled_job(tmp_path / "shop", [Row(0), Row(1), Row(2)])
        index = JobIndex(str(tmp_path / "jobs"), (result,))
        (found,) = index.all()
        reviews = Reviews(index, tmp_path / "corrections.csv", CatalogueRows(), clock)
        reviews.open(found.id).take("anna", "tab", USUAL, 3, fresh=True)
        shutil.rmtree(tmp_path / "shop")
        labelled_job(tmp_path / "shop", [Row(2), Row(1, status=Status.LABELED), Row(0)])
        clock.now += 60

        given = [Answer(str(n), sha256_of(n), AnswerKind.LABEL, "hats") for n in range(3)]
        done = reviews.open(found.id).answer("anna", "tab", USUAL, given)

        assert done.stored == ("0", "2")
        assert "load the page again" in done.refused["1"]
        votes = {vote.sha256: Path(vote.image).name for vote in reviews.store.votes()}
        assert votes == {sha256_of(0): "0.png", sha256_of(2): "2.png"}


def test_a_new_class_has_a_name_that_does_not_read_as_a_path(tmp_path: Path, clock: Clock) -> None:
    index = JobIndex(str(tmp_path / "jobs"), (labelled_job(tmp_path / "shop", [Row(0)]),))
    (found,) = index.all()
    review = Reviews(index, tmp_path / "corrections.csv", CatalogueRows(), clock).open(found.id)
    review.take("anna", "tab", USUAL, 1, fresh=True)
    names = enumerate(("Coats > Parkas", "Parkas"))
    given = [Answer(str(n), sha256_of(0), AnswerKind.LABEL, name, new=True) for n, name in names]
    done = review.answer("anna", "tab", USUAL, given)
    assert done.stored == ("1",)
    assert "Expected a name without ' > ' for a new class, got 'Coats > Parkas'" in done.refused["0"]
