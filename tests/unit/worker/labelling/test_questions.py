"""Several questions of each photo: each is answered as its model alone would, whatever the others know or want."""

import hashlib
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from catalogue.catalogue import open_catalogue
from catalogue.photos import Photos
from models.decision import Prediction
from models.errors import ImageFault
from models.fit import Fit
from models.preprocess import Pixels, PreprocessSpec, preprocess
from models.storage.storage import FolderStorage
from tests.unit.worker.labelling.test_labeller import Chunks, Memory, Post, result_of
from worker.job.job import Job, ModelPin, Question, commit_retry, photos_of
from worker.job.parts import Status, part_key
from worker.job.writer import create_job
from worker.labelling.chunk import Finished
from worker.labelling.earlier_results import NO_EARLIER_RESULTS, EarlierResult, EarlierResults
from worker.labelling.labeller import Asked, Labeller, run_chunks

SPECS = {
    "small": PreprocessSpec(size=16),
    "large": PreprocessSpec(size=128),
    "same": PreprocessSpec(size=16),
    "crop": PreprocessSpec(size=24, fit=Fit.CROP),
}


class PixelModel:
    """A model whose label is the SHA-256 of the pixels that it was given."""

    def __init__(self, name: str) -> None:
        self.reference = f"{name}/1/float32@aaaaaaaaaaaa"
        self.metadata = SimpleNamespace(preprocess=SPECS[name])
        self.photos = 0

    def score(self, pixels: Pixels) -> Pixels:
        self.photos += len(pixels)
        return pixels.copy()

    def decide(self, scores: Pixels, top_k: int) -> Sequence[Prediction]:
        labels = [hashlib.sha256(photo.tobytes()).hexdigest() for photo in scores]
        return [Prediction(label, 0.75, None, ((label, 0.75),)) for label in labels]


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
    asked = [Asked(model, (known or {}).get(name, NO_EARLIER_RESULTS)) for name, model in models.items()]
    with closing(photos or photos_of(job)) as source, Labeller(job, asked, source, finished.append) as labeller:
        run_chunks(labeller, Chunks(range(job.spec.chunks)))
    return finished, models


def rows_of(job: Job, name: str) -> list[dict]:
    question = job.question(name)
    keys = job.part_keys()
    return [row for chunk in sorted(keys) for row in question.part(chunk, keys[chunk]).to_pylist()]


@pytest.fixture
def photos(tmp_path: Path) -> dict[str, bytes]:
    """Photos of many sizes and two formats, of which some repeat, one is cut short, and one is none."""
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
    assert job.storage.names("parts") == ["000000.r0.parquet", "000001.r0.parquet"], "a part has all questions"
    assert sum(row.status is Status.FAILED for done in finished for row in done.rows) == 3


def test_what_one_question_knows_is_asked_of_the_others_only(tmp_path: Path, photos: dict[str, bytes]) -> None:
    cells = ["0.jpg", "1.jpg", "2.jpg"]
    sha256 = {cell: hashlib.sha256(photos[cell]).hexdigest() for cell in cells}
    known = {
        "small": Memory(
            {sha256[cell]: EarlierResult(result_of("carried", sha256[cell]), carried=True) for cell in cells}
        ),
        "large": Memory({sha256["0.jpg"]: EarlierResult(result_of("carried", sha256["0.jpg"]), carried=True)}),
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

    def memory(*etags: str, sha256: str = "5" * 64) -> Memory:
        found = Memory(etags=dict(zip(names, etags, strict=False)))
        found.at_etag = {key: EarlierResult(result_of("old", sha256), carried=True) for key in found.etags_of.items()}
        return found

    post = Post(data)
    job = job_of(tmp_path, names, ["small", "large"])
    known = {"small": memory('"a"', '"b"', '"c"'), "large": memory('"a"', '"other"', '"c"')}
    known["large"].at_etag[names[2], '"c"'] = EarlierResult(result_of("old", "6" * 64), carried=True)
    labelled(job, post, known)
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
