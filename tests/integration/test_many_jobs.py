"""Several jobs at once."""

import json
import time
from pathlib import Path

import onnx
import pytest

from models.classifier import load
from tests.until import until
from worker.priority import Priority
from worker.queue.app import CeleryPublisher, make_app

from .farm import Farm
from .jobs import Row, assert_same, photo_names, write_list

SMALL_CHUNKS_S = 100.0
"""A time limit for a photo with which ``submit`` makes chunks of 32 rows."""


@pytest.fixture
def other_labels(bundle: Path) -> dict[str, str]:
    """Label of the small model → that of the other one."""
    labels = load(bundle).labels
    return dict(zip(labels, reversed(labels), strict=True))


@pytest.fixture
def other_model(tmp_path: Path, bundle: Path, other_labels: dict[str, str]) -> Path:
    """A lone ONNX file that gives the same photos other labels."""
    model = onnx.load(bundle / "model.onnx")
    (entry,) = (entry for entry in model.metadata_props if entry.key == "hangtag")
    metadata = json.loads(entry.value)
    entry.value = json.dumps({**metadata, "name": "other", "labels": list(other_labels.values())})
    path = tmp_path / "other.onnx"
    onnx.save(model, path)
    return path


def relabelled(row: Row, labels: dict[str, str], model: str) -> Row:
    if row["label"] is None:
        return {**row, "model": model}
    top_k = [{**best, "label": labels[best["label"]]} for best in row["top_k"]]
    return {**row, "label": labels[row["label"]], "top_k": top_k, "model": model}


def test_two_models_in_turn_give_each_job_its_own_labels(
    farm: Farm, catalogue: Path, bundle: Path, other_model: Path, other_labels: dict[str, str], expected
) -> None:
    names = photo_names(catalogue, 1500)
    source = write_list(farm.folder / "list.txt", names)
    one = farm.submit(source, bundle, "one", root=catalogue)
    other = farm.submit(source, other_model, "other", root=catalogue)
    farm.lose_waiting()
    with make_app(farm.settings) as app:
        for chunk in range(one.chunks):
            for job in (one, other):
                CeleryPublisher(app).send_chunk(job.name, chunk, Priority.NORMAL)
    farm.worker(slots=1)  # of two processes, each could do one job's chunks only
    one.wait_for_end()
    other.wait_for_end()
    assert_same(one.rows(), expected(names))
    reference = load(other_model).reference
    assert_same(other.rows(), [relabelled(row, other_labels, reference) for row in expected(names)])


def test_an_urgent_job_overtakes(farm: Farm, catalogue: Path, bundle: Path) -> None:
    def submit(name: str, rows: int, priority: Priority):
        source = write_list(farm.folder / f"{name}.txt", photo_names(catalogue, rows))
        return farm.submit(source, bundle, name, root=catalogue, timeout_s=SMALL_CHUNKS_S, priority=priority)

    low = submit("low", 9600, Priority.LOW)
    farm.worker()
    low.wait_for_parts(4)
    high = submit("high", 960, Priority.HIGH)
    since = time.time_ns()
    until(lambda: not high.job.missing_chunks(), "the urgent chunks are done")
    ended = max(high.parts().values())
    meanwhile = [written for written in low.parts().values() if since < written < ended]
    assert len(meanwhile) < high.chunks / 3
    high.wait_for_end()
    assert low.job.missing_chunks()
