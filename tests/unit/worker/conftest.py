"""A job over a few drawn photos, ready to be labelled."""

from collections.abc import Callable
from pathlib import Path

import pytest

from models.classifier import load
from worker.catalogue import open_catalogue
from worker.job import Job, JobOptions, ModelPin, create_job
from worker.storage import FolderStorage

MakeJob = Callable[..., Job]


@pytest.fixture
def make_job(tmp_path: Path, bundle: Path) -> MakeJob:
    """Create a job of a catalogue in a folder of its own."""

    def make(source: Path, *, chunk_rows: int = 16, timeout_s: float = 10.0, prefix: str = "") -> Job:
        classifier = load(bundle)
        pin = ModelPin(path=str(bundle), reference=classifier.reference, variant="float32", digest=classifier.digest)
        options = JobOptions(timeout_s=timeout_s, prefix=prefix)
        storage = FolderStorage(tmp_path / "result.parquet.job")
        return create_job(storage, open_catalogue(source), pin, options, chunk_rows)

    return make
