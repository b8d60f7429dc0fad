"""Whole jobs whose photos come from a server with random answers: no chunk and no row is lost."""

import io
from contextlib import closing
from pathlib import Path

import pytest
from PIL import Image

from catalogue.catalogue import open_catalogue
from catalogue.photo import DownloadLimits
from models.errors import ImageFault
from models.storage.storage import FolderStorage
from tests.integration.made_up_answers import made_up_answers
from tests.integration.s3_server import lead_to
from tests.label_chunk import PaperModel
from tests.photo_jobs import only_question
from tests.row_results import read_part_file
from worker.job.job import photos_of
from worker.job.writer import create_job
from worker.labelling.chunk import Finished
from worker.labelling.labeller import Labeller, QuestionModel
from worker.request import JobOptions

LIMITS = DownloadLimits(
    connect_s=10.0,
    idle_s=2.0,
    total_s=20.0,
    per_host=32,
    pause_s=0.001,
    longest_after_s=0.005,
    max_bytes=1_000_000,
    rest_s=0.01,
    patience_s=3.0,
)
"""Patient with a busy machine: a good photo must come."""
CHUNK_ROWS = 128
FAULTS = {fault.value for fault in ImageFault}


def is_good(number: int) -> bool:
    return number % 4 == 0


def nobody(host: str) -> list[str]:
    raise OSError(host)


def photo() -> bytes:
    file = io.BytesIO()
    Image.linear_gradient("L").convert("RGB").save(file, "JPEG")
    return file.getvalue()


def labelled(tmp_path: Path, urls: list[str], place: str) -> list[dict]:
    source = tmp_path / "list.txt"
    source.write_text("".join(f"{url}\n" for url in urls))
    options = JobOptions(allow_hosts=[place])
    job = create_job(FolderStorage(tmp_path / "job"), open_catalogue(source), only_question(), options, CHUNK_ROWS)
    finished: list[Finished] = []
    with (
        closing(photos_of(job, LIMITS, nobody)) as photos,
        Labeller(job, [QuestionModel(PaperModel())], photos, finished.append) as labeller,
    ):
        chunks = iter(job.missing_chunks())
        labeller.run(lambda _wait: next(chunks, None))
    assert sorted(done.chunk for done in finished) == list(range(job.spec.chunks))
    keys = job.part_keys()
    return [row for chunk in sorted(keys) for row in read_part_file(job.storage, keys[chunk]).to_pylist()]


def check(rows: list[dict], count: int) -> None:
    assert len(rows) == count
    lost = [row["error_message"] for number, row in enumerate(rows) if is_good(number) and row["error"]]
    assert not lost
    failed = [row for row in rows if row["status"] == "failed"]
    assert count / 3 < len(failed) < count
    assert {row["error"] for row in failed} <= FAULTS
    assert all(row["error_message"].isprintable() for row in failed)
    assert not [row["error_message"] for row in failed if "traceback" in row["error_message"]]


@pytest.mark.parametrize(("seed", "count"), [(1, 1000), pytest.param(2, 10_000, marks=pytest.mark.proof)])
def test_whatever_hosts_answer_fails_its_row_at_most(seed, count, tmp_path, server):
    server.otherwise(made_up_answers(seed, is_good, photo()))
    rows = labelled(tmp_path, [server.url(f"/{number}") for number in range(count)], server.place)
    check(rows, count)
    assert len(server.counts()) >= count, "each was asked"


@pytest.mark.parametrize(("seed", "count"), [(3, 200), pytest.param(4, 3000, marks=pytest.mark.proof)])
def test_whatever_s3_answers_fails_its_row_at_most(seed, count, tmp_path, server, monkeypatch):
    lead_to(f"http://{server.place}", monkeypatch, tmp_path)
    server.otherwise(made_up_answers(seed, is_good, photo()))
    rows = labelled(tmp_path, [f"s3://photos/{number}" for number in range(count)], server.place)
    check(rows, count)
