"""With a real model, and a scripted source of photos."""

import errno
import hashlib
import os
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from threading import Event

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from catalogue.catalogue import open_catalogue
from catalogue.photo import Photo, PhotoRequest
from models.classifier import Classifier, load
from models.decision import Scores
from models.errors import ImageError, ImageFault
from models.preprocess import Pixels
from models.storage.storage import FolderStorage
from tests.photo_jobs import only_question, verified_pin
from tests.row_results import read_part_file
from worker.job.job import Job
from worker.job.parts import part_key, part_work
from worker.job.writer import create_job
from worker.labelling.chunk import Finished
from worker.labelling.earlier_results import EarlierResults
from worker.labelling.labeller import Feed, Labeller, QuestionModel


class Post:
    """A source of photos in a scripted order.

    ``order``: the place of the next photo in the queue, for each take; ``gaps``: the takes that give none.
    """

    def __init__(self, bring: Mapping[str, bytes | ImageError], order: Iterable[int] = (), gaps: Iterable[int] = ()):
        self._bring = bring
        self._order = deque(order)
        self._gaps = set(gaps)
        self._takes = 0
        self.waiting: list[tuple[PhotoRequest, str | None]] = []
        self.asked: list[tuple[str | None, str | None]] = []
        self.wants_more = True
        self.on_disk = False

    def request(self, photos: Sequence[PhotoRequest], etags: Mapping[str, str]) -> None:
        for request in photos:
            etag = etags.get(request.cell or "")
            self.asked.append((request.cell, etag))
            self.waiting.append((request, etag))

    def take(self, timeout_s: float) -> Photo | None:
        self._takes += 1
        if self._takes in self._gaps or not self.waiting:
            return None
        place = self._order.popleft() % len(self.waiting) if self._order else 0
        request, etag = self.waiting.pop(place)
        data = None if etag else self._bring[request.cell or ""]
        return Photo(request, data, request.cell, etag or f'"{request.cell}"', 0.5, 0 if data is None else 7)

    def forget(self, chunk: int) -> None:
        self.waiting = [(request, etag) for request, etag in self.waiting if request.chunk != chunk]

    def url_of(self, cell: str | None) -> str | None:
        return cell

    def close(self) -> None:
        pass


class Photos(dict[str, bytes]):
    """What a failing test prints of them is short."""

    def __repr__(self) -> str:
        return f"{len(self)} photos"


def chunks_of(job: Job) -> Feed:
    """A feed of chunks that are all there."""
    chunks = iter(range(job.spec.chunks))
    return lambda _wait: next(chunks, None)


@pytest.fixture(scope="module")
def model(bundle: Path) -> Classifier:
    return load(bundle)


@pytest.fixture(scope="module")
def photos(catalogue: Path) -> Photos:
    """Cell → photo, twelve of them."""
    files = sorted(catalogue.rglob("*.png"))[:12]
    return Photos((f"https://shop.example/{number}.png", file.read_bytes()) for number, file in enumerate(files))


@pytest.fixture
def job_of(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[Sequence[str]], Job]:
    """A job of such cells, 16 in a chunk, in a folder of its own."""
    questions = only_question(verified_pin(bundle))

    def make(cells: Sequence[str]) -> Job:
        folder = tmp_path_factory.mktemp("job")
        (folder / "list.txt").write_text("".join(f"{cell}\n" for cell in cells))
        return create_job(FolderStorage(folder / "job"), open_catalogue(folder / "list.txt"), questions, chunk_rows=16)

    return make


def labelled(job: Job, model: Classifier, post: Post, known: EarlierResults | None = None) -> list[Finished]:
    finished: list[Finished] = []
    with Labeller(job, [QuestionModel(model, known or EarlierResults())], post, finished.append) as labeller:
        labeller.run(chunks_of(job))
    return finished


def rows_of(job: Job) -> list[dict]:
    return [row for chunk in range(job.spec.chunks) for row in read_part_file(job.storage, part_key(chunk)).to_pylist()]


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(order=st.lists(st.integers(0, 40), max_size=40), gaps=st.sets(st.integers(1, 40), max_size=8))
def test_neither_order_nor_pauses_change_a_row(order, gaps, job_of, model, photos) -> None:
    cells = [list(photos)[number % 12] for number in range(40)]
    bring: dict[str, bytes | ImageError] = {**photos, cells[3]: ImageError("The host is away.", ImageFault.DOWNLOAD)}
    job = job_of(cells)
    labelled(job, model, Post(bring, order, gaps))
    for cell, row in zip(cells, rows_of(job), strict=True):
        if cell == cells[3]:
            assert (row["error"], row["error_message"], row["sha256"]) == ("download", "The host is away.", None)
        else:
            assert row["label"] == model.classify(photos[cell]).label
            assert row["sha256"] == hashlib.sha256(photos[cell]).hexdigest()
            assert row["etag"] == f'"{cell}"'


class Forgetful(EarlierResults):
    """Knows ETags of photos that it has forgotten."""

    def __init__(self, etags: Mapping[str, str]) -> None:
        super().__init__()
        self._etags = etags

    def etags(self, urls: Sequence[str]) -> Mapping[str, str]:
        return self._etags


def test_what_was_unchanged_and_is_known_no_more_is_asked_for_again(job_of, model, photos) -> None:
    cell = next(iter(photos))
    job, post = job_of([cell]), Post(photos)
    labelled(job, model, post, Forgetful({cell: '"a1"'}))
    assert post.asked == [(cell, '"a1"'), (cell, None)]
    assert rows_of(job)[0]["label"] == model.classify(photos[cell]).label


def test_a_part_says_what_its_photos_took(job_of, model, photos) -> None:
    job = job_of(list(photos))
    (done,) = labelled(job, model, Post(photos))
    found = part_work(read_part_file(job.storage, part_key(0)).schema).photos
    assert found == done.photos
    assert (found.downloaded, found.bytes, found.download_s, found.decoded) == (12, 12 * 7, 12 * 0.5, 12)
    assert found.decode_s > 0
    assert found.inference_s > 0


def test_while_one_chunk_waits_others_are_labelled(job_of, model, photos) -> None:
    cells = list(photos) * 4
    post = Post(photos, order=[1] * 47)  # the photo requested first arrives last
    done = [chunk.chunk for chunk in labelled(job_of(cells), model, post)]
    assert (done[0], sorted(done)) == (1, [0, 1, 2])


def test_of_hosts_that_bring_nothing_not_all_of_a_job_is_awaited(job_of, model, photos) -> None:
    job, post = job_of(list(photos) * 150), Post(photos)
    chunks = iter(range(job.spec.chunks))
    with Labeller(job, [QuestionModel(model)], post, lambda _: None) as labeller:
        while labeller.wants_more:
            labeller.begin(next(chunks))
        assert len(post.waiting) == 1024
        while len(post.waiting) > 1008:
            labeller.step()
        assert labeller.wants_more


class Batches:
    """A model that notes how many photos it is given at once."""

    def __init__(self, model: Classifier) -> None:
        self._model = model
        self.metadata, self.reference, self.rules = model.metadata, model.reference, model.rules
        self.sizes: list[int] = []

    def score(self, pixels: Pixels) -> Scores:
        self.sizes.append(len(pixels))
        return self._model.score(pixels)


@pytest.mark.parametrize(("classes", "most_chunks"), [(10, 12), (200_000, 6)])
def test_rows_in_hand_are_bounded_by_the_number_of_classes(
    job_of, model, photos, classes: int, most_chunks: int
) -> None:
    """64 MB hold the probabilities of 83 rows with 200,000 classes; a chunk has 16 rows."""
    asked, job = Batches(model), job_of(list(photos) * 16)
    asked.rules = replace(model.rules, labels=tuple(map(str, range(classes))))
    chunks = iter(range(12))
    with Labeller(job, [QuestionModel(asked)], Post(photos), lambda _: None) as labeller:
        while labeller.wants_more and (chunk := next(chunks, None)) is not None:
            labeller.begin(chunk)
    assert next(chunks, 12) == most_chunks


@pytest.fixture
def many(photos: Photos) -> dict[str, bytes | ImageError]:
    """Forty different photos; the fourth is missing."""
    data = list(photos.values())
    found = {f"{number}.png": data[number % 12] + bytes([number]) for number in range(40)}
    return {**found, "3.png": ImageError("There is no photo.", ImageFault.MISSING)}


def on_disk(bring: Mapping[str, bytes | ImageError]) -> Post:
    post = Post(bring)
    post.on_disk, post.wants_more = True, False
    return post


def test_batches_are_full_across_chunks(job_of, model, many) -> None:
    job, noted, finished, memory = job_of(list(many)), Batches(model), [], EarlierResults()
    with Labeller(job, [QuestionModel(noted, memory)], on_disk(many), finished.append) as labeller:
        labeller.run(chunks_of(job))
    assert noted.sizes == [8, 8, 8, 8, 7]
    assert sorted(done.chunk for done in finished) == [0, 1, 2]
    expected = [None if isinstance(data, ImageError) else model.classify(data).label for data in many.values()]
    assert [row["label"] for row in rows_of(job)] == expected
    assert all(memory.find(row["sha256"]) for row in rows_of(job) if row["sha256"])


def test_while_a_part_is_committed_the_next_photos_are_labelled(job_of, model, many) -> None:
    begun, finished = Event(), []

    class Announcing(Batches):
        def score(self, pixels: Pixels) -> Scores:
            if len(self.sizes) == 4:
                begun.set()
            return super().score(pixels)

    def slow_link(old: Path, new: Path) -> None:
        assert begun.wait(30)  # times out if the labeller waits for this link
        os.link(old, new)

    job = job_of(list(many))
    job = replace(job, storage=FolderStorage(job.storage.root, link=slow_link))
    with Labeller(job, [QuestionModel(Announcing(model))], on_disk(many), finished.append) as labeller:
        labeller.run(chunks_of(job))
    assert sorted(done.chunk for done in finished) == [0, 1, 2]
    assert len(rows_of(job)) == 40


def test_a_part_that_cannot_be_written_ends_the_work_and_leaves_no_marker(job_of, model, many) -> None:
    def full(old: Path, new: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    job = job_of(list(many))
    job = replace(job, storage=FolderStorage(job.storage.root, link=full))
    with (
        pytest.raises(OSError, match="No space"),
        Labeller(job, [QuestionModel(model)], on_disk(many), lambda _: None) as labeller,
    ):
        labeller.run(chunks_of(job))
    assert not job.part_keys()
    assert not list((job.storage.scratch / "in_progress").iterdir())
