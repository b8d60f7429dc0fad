"""Several questions about each photo: each gets the answer of its model alone."""

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from types import MappingProxyType, SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from catalogue.catalogue import open_catalogue
from catalogue.photos import Photos
from models.decision import Decisions, Scores
from models.errors import ImageFault
from models.fit import Fit
from models.preprocess import Pixels, PreprocessSpec, preprocess
from models.storage.storage import FolderStorage
from tests.unit.worker.labelling.test_labeller import Post, chunks_of
from worker.job.job import Job, ModelPin, Question, commit_retry, photos_of
from worker.job.parts import part_key
from worker.job.writer import create_job
from worker.labelling.chunk import Finished
from worker.labelling.earlier_results import EarlierResults, Known
from worker.labelling.labeller import Labeller, QuestionModel

NOTHING: Mapping[tuple[str, str], str] = MappingProxyType({})
SPECS = {
    "small": PreprocessSpec(size=16),
    "large": PreprocessSpec(size=128),
    "same": PreprocessSpec(size=16),
    "crop": PreprocessSpec(size=24, fit=Fit.CROP),
}


class Digests:
    """Rules by which a photo's label is the SHA-256 that its scores are the bytes of."""

    labels = ("",) * 32
    unknown_limit = None

    def decide(self, scores: Scores, top_k: int) -> Decisions:
        names = tuple(bytes(row.astype(np.uint8)).hex() for row in scores.probabilities)
        places = np.arange(len(names))
        sure = np.full(len(names), 0.75, np.float32)
        return Decisions(names, places, sure, 0 * places, places[:, np.newaxis], sure[:, np.newaxis], None, None)


class PixelModel:
    """A model whose label is the SHA-256 of the pixels that it was given."""

    rules = Digests()

    def __init__(self, name: str) -> None:
        self.reference = f"{name}/1/float32@aaaaaaaaaaaa"
        self.metadata = SimpleNamespace(preprocess=SPECS[name])
        self.photos = 0

    def score(self, pixels: Pixels) -> Scores:
        self.photos += len(pixels)
        digests = [list(hashlib.sha256(photo.tobytes()).digest()) for photo in pixels]
        return Scores(np.array(digests, np.float32), None)


class Before:
    """The photos of a previous job, by their bytes and by their ETags."""

    def __init__(
        self, label: str, sha256s: Sequence[str] = (), by_url: Mapping[str, tuple[str, str]] = NOTHING
    ) -> None:
        self._cells = {"label": label, "status": "labeled", "confidence": 0.75}
        self._sha256s = sha256s
        self.by_url = dict(by_url)

    def find(self, sha256: str) -> Known | None:
        known = {*self._sha256s, *(sha256 for _, sha256 in self.by_url.values())}
        return Known(sha256, self._cells, carried=True) if sha256 in known else None

    def places(self, urls: Sequence[str]) -> dict[str, tuple[str, str]]:
        return {url: self.by_url[url] for url in urls if url in self.by_url}


def pin(name: str) -> ModelPin:
    return ModelPin(path=f"/{name}", reference=PixelModel(name).reference, variant="float32", digest="a" * 64)


def job_of(folder: Path, cells: Sequence[str], names: Sequence[str] = tuple(SPECS), chunk_rows: int = 16) -> Job:
    (folder / "list.txt").write_text("".join(f"{cell}\n" for cell in cells))
    questions = tuple(Question(name=name, model=pin(name)) for name in names)
    catalogue = open_catalogue(folder / "list.txt")
    return create_job(FolderStorage(folder / "job"), catalogue, questions, chunk_rows=chunk_rows)


def labelled(
    job: Job, photos: Photos | None = None, known: dict[str, EarlierResults] | None = None
) -> tuple[list[Finished], dict[str, PixelModel]]:
    finished: list[Finished] = []
    models = {question.name: PixelModel(question.name) for question in job.questions}
    asked = [QuestionModel(model, (known or {}).get(name, EarlierResults())) for name, model in models.items()]
    with closing(photos or photos_of(job)) as source, Labeller(job, asked, source, finished.append) as labeller:
        labeller.run(chunks_of(job))
    return finished, models


def rows_of(job: Job, name: str) -> list[dict]:
    question = job.question(name)
    keys = job.part_keys()
    return [row for chunk in sorted(keys) for row in question.part(chunk, keys[chunk]).to_pylist()]


@pytest.fixture
def photos(tmp_path: Path) -> dict[str, bytes]:
    """Photos of many sizes and two formats: some repeat, one is cut short, one is not a photo."""
    found: dict[str, bytes] = {}
    for number in range(20):
        width, height = 40 + 37 * number, 700 - 31 * number
        pixels = np.random.default_rng(number).integers(0, 256, (height, width, 3), np.uint8)
        path = tmp_path / f"{number}.{'png' if number % 5 == 4 else 'jpg'}"
        Image.fromarray(pixels).save(path)
        found[path.name] = path.read_bytes()
    found |= {"again.jpg": found["0.jpg"], "cut.jpg": found["1.jpg"][:3000], "text.jpg": b"no photo"}
    for name, data in found.items():
        (tmp_path / name).write_bytes(data)
    return found


def test_each_question_is_answered_as_by_its_model_alone(tmp_path: Path, photos: dict[str, bytes]) -> None:
    cells = [*photos, "gone.jpg", "3.jpg"]
    job = job_of(tmp_path, cells)
    finished, models = labelled(job)
    for name, spec in SPECS.items():
        rows = rows_of(job, name)
        for cell, row in zip(cells, rows, strict=True):
            data = photos.get(cell)
            if cell in {"gone.jpg", "text.jpg", "cut.jpg"}:
                fault = ImageFault.MISSING if data is None else ImageFault.UNREADABLE
                assert (row["label"], row["status"], row["error"]) == (None, "failed", fault)
            else:
                assert row["label"] == hashlib.sha256(preprocess(data, spec).tobytes()).hexdigest(), cell
            assert row["sha256"] == (hashlib.sha256(data).hexdigest() if data is not None else None)
            assert row["model"] == models[name].reference
        assert models[name].photos == 20
    assert sum(done.photos.decoded for done in finished) == 22
    assert sum(done.photos.repeated for done in finished) == 2
    assert job.storage.names("parts") == ["000000.r0.arrow", "000001.r0.arrow"], "a part has all questions"
    assert sum(done.outcomes["failed", error] for done in finished for error in ("missing", "unreadable")) == 3


def test_what_one_question_knows_is_asked_of_the_others_only(tmp_path: Path, photos: dict[str, bytes]) -> None:
    cells = ["0.jpg", "1.jpg", "2.jpg"]
    sha256 = {cell: hashlib.sha256(photos[cell]).hexdigest() for cell in cells}
    known = {
        "small": EarlierResults(Before("carried", [*sha256.values()])),
        "large": EarlierResults(Before("carried", [sha256["0.jpg"]])),
    }
    job = job_of(tmp_path, cells, ["small", "large"])
    (done,), models = labelled(job, known=known)
    assert (models["small"].photos, models["large"].photos) == (0, 2)
    assert [row["label"] == "carried" for row in rows_of(job, "small")] == [True] * 3
    assert [row["label"] == "carried" for row in rows_of(job, "large")] == [True, False, False]
    assert (done.photos.carried, done.photos.repeated, done.photos.decoded) == (1, 0, 2)


def test_a_host_is_asked_for_changes_only_where_all_know_the_same_bytes(
    tmp_path: Path, photos: dict[str, bytes]
) -> None:
    names = [f"https://shop.example/{number}.jpg" for number in range(4)]
    data = {name: photos[name.rpartition("/")[2]] for name in names}

    def before(*etags: str) -> Before:
        return Before("old", by_url={name: (etag, "5" * 64) for name, etag in zip(names, etags, strict=False)})

    post = Post(data)
    job = job_of(tmp_path, names, ["small", "large"])
    known = {"small": before('"a"', '"b"', '"c"'), "large": before('"a"', '"other"', '"c"')}
    known["large"].by_url[names[2]] = ('"c"', "6" * 64)
    labelled(job, post, {name: EarlierResults(one) for name, one in known.items()})
    assert post.asked == [*zip(names, ['"a"', None, '"c"', None], strict=True), (names[2], None)]
    assert [row["label"] == "old" for row in rows_of(job, "small")] == [True, False, False, False]
    assert [row["sha256"] for row in rows_of(job, "small")] == [row["sha256"] for row in rows_of(job, "large")]


def test_a_retry_does_a_row_again_for_all_questions(tmp_path: Path, photos: dict[str, bytes]) -> None:
    job = job_of(tmp_path, ["0.jpg", "late.jpg"], ["small", "large"])
    labelled(job)
    before = rows_of(job, "large")
    (tmp_path / "late.jpg").write_bytes(photos["2.jpg"])
    (tmp_path / "0.jpg").unlink()  # it would be missing if it were done again
    commit_retry(job.storage, 1, [0], 1)
    labelled(job)
    assert job.part_keys() == {0: part_key(0, 1)}
    for name in ("small", "large"):
        assert rows_of(job, name)[1]["label"] == hashlib.sha256(preprocess(photos["2.jpg"], SPECS[name])).hexdigest()
    assert rows_of(job, "large")[0] == before[0]
