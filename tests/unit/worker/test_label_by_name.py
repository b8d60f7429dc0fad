"""What becomes of a run of ``hangtag label`` when the alias moves that its model was named by."""

from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from models.classifier import load
from models.errors import JobError
from models.registry.registry import Registry
from tests.paper_bundle import shop_registry
from worker.job.receipt import Receipt
from worker.label import job_folder, label
from worker.request import JobOptions, LabelRequest

ASKED = "shop@champion"


@pytest.fixture
def shelf(tmp_path: Path, bundle: Path) -> Registry:
    return shop_registry(tmp_path, bundle)


@pytest.fixture
def request_of(tmp_path: Path, catalogue: Path, shelf: Registry) -> LabelRequest:
    source = tmp_path / "photos.txt"
    source.write_text("".join(f"{photo}\n" for photo in sorted(catalogue.rglob("*.jpg"))[:140]))
    return LabelRequest(
        source, ASKED, JobOptions(), output=tmp_path / "labels.parquet", workers=1, registry=shelf.place
    )


def run(request: LabelRequest) -> tuple[Receipt, list[str]]:
    said: list[str] = []
    return label(request, lambda _done, _total: None, say=said.append), said


def models_of(request: LabelRequest) -> set[str]:
    return set(pq.read_table(request.output).column("model").to_pylist())


def test_an_alias_that_moves_leaves_a_job_that_is_not_done_with_its_version(
    request_of: LabelRequest, shelf: Registry
) -> None:
    first, said = run(request_of)
    assert said == [f"shop@champion is shop@1 of the registry at {shelf.place}."]
    assert first.named is not None
    assert first.named.words == "shop@champion, which was shop@1"
    request_of.output.unlink()
    sorted((job_folder(request_of.output) / "parts").iterdir())[1].unlink()
    shelf.promote("shop", 2, "better")
    again, said = run(request_of)
    assert said == [
        "shop@champion is shop@2 by now; this job was begun with shop@1 and goes on with it (--restart starts again "
        "with shop@2)."
    ]
    assert again.run.images == 70, "only what was missing"
    assert models_of(request_of) == {load(shelf.path("shop", 1)).reference}
    with pytest.raises(JobError, match=r"It is of shop@1, and shop@champion is shop@2 by now\. .*--restart"):
        run(request_of)
    assert run(replace(request_of, retry_failed=True))[0].named == first.named
    with pytest.raises(JobError, match=r"It is of shop@1, and not of shop@2\."):
        run(replace(request_of, model="shop@2"))
    anew, said = run(replace(request_of, restart=True))
    assert said == [f"shop@champion is shop@2 of the registry at {shelf.place}."]
    assert anew.named is not None
    assert anew.named.version == "shop@2"
    assert models_of(request_of) == {load(shelf.path("shop", 2)).reference}


def test_a_job_of_a_version_that_the_registry_does_not_know_is_refused(
    request_of: LabelRequest, shelf: Registry, bundle: Path
) -> None:
    lone = replace(request_of, model=bundle / "model.onnx")
    receipt, said = run(lone)
    assert (receipt.named, receipt.drift, said) == (None, None, [])
    lone.output.unlink()
    with pytest.raises(JobError, match=r"--model was \S+, is \S+\. Name another --out"):
        run(request_of)
