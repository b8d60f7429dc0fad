"""Reviews of jobs: answers about photos that a reviewer has seen."""

import shutil
from pathlib import Path

from tests.review_jobs import Row, labelled_job, sha256_of
from web.jobs import JobIndex, result_id
from web.pictures import CatalogueRows
from web.review.queue import Choice
from web.review.reviews import Answer, AnswerKind, Reviews
from worker.job.parts import Status

from .conftest import Clock


def test_answers_go_to_the_photos_that_were_seen(tmp_path: Path, clock: Clock) -> None:
    result = labelled_job(tmp_path / "shop", [Row(0), Row(1), Row(2)])
    index = JobIndex(str(tmp_path / "jobs"), (result,))
    id = result_id(result)
    reviews = Reviews(index, tmp_path / "corrections.csv", CatalogueRows(), clock)
    reviews.open(id).take("anna", "tab", Choice(), 3, fresh=True)
    shutil.rmtree(tmp_path / "shop")
    labelled_job(tmp_path / "shop", [Row(2), Row(1, status=Status.LABELED), Row(0)])
    clock.now += 60

    given = [Answer(str(n), sha256_of(n), AnswerKind.LABEL, "hats") for n in range(3)]
    done = reviews.open(id).answer("anna", "tab", Choice(), given)

    assert done.stored == ("0", "2")
    assert list(done.refused) == ["1"]
    votes = {vote.sha256: Path(vote.image).name for vote in reviews.store.votes()}
    assert votes == {sha256_of(0): "0.png", sha256_of(2): "2.png"}


def test_a_new_class_has_a_name_that_does_not_read_as_a_path(tmp_path: Path, clock: Clock) -> None:
    result = labelled_job(tmp_path / "shop", [Row(0)])
    index, id = JobIndex(str(tmp_path / "jobs"), (result,)), result_id(result)
    review = Reviews(index, tmp_path / "corrections.csv", CatalogueRows(), clock).open(id)
    review.take("anna", "tab", Choice(), 1, fresh=True)
    names = enumerate(("Coats > Parkas", "Parkas"))
    given = [Answer(str(n), sha256_of(0), AnswerKind.LABEL, name, new=True) for n, name in names]
    done = review.answer("anna", "tab", Choice(), given)
    assert done.stored == ("1",)
    assert list(done.refused) == ["0"]
