"""``--previous``, variants and aliases; for the rest see the acceptance tests of the command."""

from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from models.classifier import load
from models.errors import InputError, JobError
from models.registry.registry import Registry
from models.storage.storage import FolderStorage
from tests.paper_bundle import shop_registry
from worker.job.job import Job, open_job
from worker.job.jobs import Jobs
from worker.job.receipt import RECEIPT_FILE, Receipt
from worker.label import earlier_job, job_folder, label, label_submitted
from worker.labelling.earlier_results import open_earlier_results
from worker.request import JobOptions, LabelRequest
from worker.results.finish import RESULT_FILE, finish_job


def run(request: LabelRequest, variant: str | None = None) -> tuple[Receipt, list[str]]:
    """The receipt, and the printed sentences."""
    if variant:
        request = replace(request, options=replace(request.options, variant=variant))
    sentences: list[str] = []
    return label(request, lambda _done, _total: None, say=lambda words, _style="": sentences.append(words)), sentences


@pytest.fixture
def yesterday(tmp_path: Path, catalogue: Path, bundle: Path) -> LabelRequest:
    """A run over 39 photos and a file that is not a photo."""
    photos = sorted(str(photo) for photo in catalogue.rglob("*.*"))[:39]
    source, wrong = tmp_path / "yesterday.txt", tmp_path / "wrong.jpg"
    wrong.write_bytes(b"no photo")
    source.write_text("".join(f"{photo}\n" for photo in [*photos, str(wrong)]))
    return LabelRequest(source, bundle, output=tmp_path / "yesterday.parquet", workers=1)


@pytest.mark.rest
def test_a_result_that_is_carried_over_is_that_of_a_full_run(yesterday: LabelRequest, tmp_path: Path) -> None:
    run(yesterday)
    today = tmp_path / "today.txt"
    today.write_text("".join(reversed(yesterday.source.read_text().splitlines(keepends=True)[5:])))
    full = replace(yesterday, source=today, output=tmp_path / "full.parquet")
    nightly = replace(full, output=tmp_path / "nightly.parquet", previous=yesterday.output)
    assert run(full)[1] == []
    (carried,) = run(nightly)[1]
    assert carried == f"Photos that are already in {job_folder(yesterday.output)} keep their labels (39 photos)."
    assert pq.read_table(nightly.output).equals(pq.read_table(full.output))
    jobs = [open_job(FolderStorage(job_folder(each.output))) for each in (full, nightly)]
    assert len({job.spec.rows_digest for job in jobs}) == 1
    known = open_earlier_results(jobs[1])
    rows = pq.read_table(nightly.output).to_pylist()
    assert all((known.find(row["sha256"]) is not None) == bool(row["sha256"]) for row in rows)
    known.close()


@pytest.mark.parametrize("workers", [1, 2])
def test_a_process_labels_the_same_bytes_once(yesterday: LabelRequest, workers: int) -> None:
    photos = yesterday.source.read_text().splitlines(keepends=True)[:3]
    yesterday.source.write_text("".join(photos * 64))
    receipt, _ = run(replace(yesterday, workers=workers))
    assert receipt.photos.decoded + receipt.photos.repeated == 192
    assert 3 <= receipt.photos.decoded <= 3 * receipt.work.processes


def test_the_rule_of_a_model_that_promises_nothing_is_a_warning(yesterday: LabelRequest, unsure_bundle: Path) -> None:
    said: list[tuple[str, ...]] = []
    label(replace(yesterday, model=unsure_bundle), lambda *_: None, say=lambda *words: said.append(words))
    assert said == [(load(unsure_bundle).rule, "yellow")]


@pytest.fixture
def lighter(yesterday: LabelRequest, int8_bundle: Path) -> LabelRequest:
    """With a bundle whose default is int8, over five photos."""
    lines = yesterday.source.read_text().splitlines(keepends=True)[:5]
    yesterday.source.write_text("".join(lines))
    return replace(yesterday, model=int8_bundle)


def models_of(result: Path) -> set[str]:
    """The variants that the rows of a result name."""
    return {row["model"].rpartition("/")[2].partition("@")[0] for row in pq.read_table(result).to_pylist()}


@pytest.mark.rest
def test_a_job_goes_on_with_its_variant(lighter: LabelRequest) -> None:
    first = run(lighter, "float32")[0]
    next((job_folder(lighter.output) / "parts").iterdir()).unlink()
    with pytest.raises(JobError, match="--variant was float32, is now int8"):
        run(lighter)
    assert run(lighter, "float32")[0].job == first.job
    assert models_of(lighter.output) == {"float32"}
    assert run(replace(lighter, restart=True))[0].model.variant == "int8"


@pytest.mark.rest
def test_a_job_goes_on_with_the_headers_of_its_last_run(lighter: LabelRequest) -> None:
    def with_token(token: str) -> LabelRequest:
        return replace(lighter, options=JobOptions(headers=[f"Authorization: {token}"]))

    first = run(with_token("OLD"))[0]
    next((job_folder(lighter.output) / "parts").iterdir()).unlink()
    assert run(with_token("NEW"))[0].job == first.job
    kept = (job_folder(lighter.output) / "job.json").read_text()
    assert ("OLD" in kept, "NEW" in kept) == (False, True)


def test_what_cannot_be_carried_over_is_refused_before_anything_is_written(
    yesterday: LabelRequest, tmp_path: Path
) -> None:
    for previous in (tmp_path / "none.csv", yesterday.output):
        with pytest.raises(InputError, match="--previous"):
            run(replace(yesterday, previous=previous))
    wrong = replace(yesterday, options=JobOptions(allow_hosts=["photos.internal"]))
    with pytest.raises(InputError, match="--allow-host"):
        run(wrong)
    assert not job_folder(yesterday.output).exists()
    run(yesterday)
    with pytest.raises(InputError, match="both --out and --previous"):
        run(replace(yesterday, previous=yesterday.output))


@pytest.mark.rest
def test_what_another_preprocessing_began_is_not_gone_on_with(yesterday: LabelRequest) -> None:
    run(yesterday)
    folder = job_folder(yesterday.output)
    (folder / "job.json").write_text(
        (folder / "job.json").read_text().replace('"preprocess_version": "1"', '"preprocess_version": "0"')
    )
    assert run(yesterday)[0].rows == 40, "it is done, and its result is not changed"
    next((folder / "parts").iterdir()).unlink()
    with pytest.raises(JobError, match="version 0, but this Hangtag has version 1"):
        run(yesterday)
    assert run(replace(yesterday, restart=True))[0].rows == 40


@pytest.mark.rest
def test_failed_rows_that_may_pass_are_tried_again_and_no_others(yesterday: LabelRequest, tmp_path: Path) -> None:
    late = tmp_path / "late.png"
    yesterday.source.write_text(yesterday.source.read_text() + f"{late}\n")
    first = run(yesterday)[0]
    assert first.errors["missing"].count == 1
    before = pq.read_table(yesterday.output).to_pylist()
    again = replace(yesterday, retry_failed=True)
    assert run(again)[0].retry == 1
    late.write_bytes(Path(before[0]["image"]).read_bytes())
    receipt = run(again)[0]
    assert (receipt.retry, receipt.run.images, "missing" in receipt.errors) == (2, 1, False)
    after = pq.read_table(yesterday.output).to_pylist()
    assert after[:-1] == before[:-1]
    assert after[-1]["sha256"] == before[0]["sha256"]
    assert run(again)[0] == receipt


@pytest.fixture
def done_job(paper_job, commit_part) -> Job:
    job = paper_job(3)
    commit_part(job, 0, 1, 2)
    return job


def test_a_job_is_found_by_its_result_and_by_its_folder(done_job: Job, tmp_path: Path, monkeypatch) -> None:
    folder, result = Path(done_job.storage.place), tmp_path / "labels.csv"
    (folder / RESULT_FILE).touch()
    for place in (folder, folder / RESULT_FILE):
        assert earlier_job(place).spec == done_job.spec
    folder.rename(job_folder(result))
    result.touch()
    monkeypatch.chdir(tmp_path)
    for place in (result, job_folder(result), Path("labels.csv")):
        assert earlier_job(place).spec == done_job.spec


def test_a_job_that_is_not_done_or_damaged_is_refused(paper_job, commit_part) -> None:
    job = paper_job(3)
    commit_part(job, 0)
    with pytest.raises(JobError, match="3 of its 5 rows"):
        earlier_job(Path(job.storage.place))
    job.storage.replace("job.json", b"{}")
    with pytest.raises(JobError, match=r"job\.json"):
        earlier_job(Path(job.storage.place))


@pytest.mark.parametrize("is_merged", [True, False])
def test_a_submitted_job_without_missing_rows_keeps_its_figures(
    done_job: Job, jobs: Jobs, monkeypatch, *, is_merged: bool
) -> None:
    monkeypatch.setattr(type(jobs.bundles), "fetch", lambda *_: Path("unused"))
    before = finish_job(done_job)
    if not is_merged:
        done_job.storage.delete(RECEIPT_FILE)
    receipt = label_submitted(jobs, "job")
    assert (receipt.run.images, receipt.run) == (5, before.run)
    assert not is_merged or receipt == before


def test_a_job_that_is_not_on_this_machine_is_left_to_workers(done_job: Job, jobs: Jobs, monkeypatch) -> None:
    monkeypatch.setattr(FolderStorage, "on_disk", lambda *_: None)
    with pytest.raises(JobError, match=r"Expected jobs in a folder on this machine, got .*; start workers"):
        label_submitted(jobs, "job")


@pytest.fixture
def registry(tmp_path: Path, bundle: Path) -> Registry:
    return shop_registry(tmp_path, bundle)


@pytest.fixture
def named(tmp_path: Path, catalogue: Path, registry: Registry) -> LabelRequest:
    source = tmp_path / "photos.txt"
    source.write_text("".join(f"{photo}\n" for photo in sorted(catalogue.rglob("*.jpg"))[:140]))
    options = JobOptions(registry=registry.place)
    return LabelRequest(source, "shop@champion", options, output=tmp_path / "labels.parquet", workers=1)


def references_of(request: LabelRequest) -> set[str]:
    return set(pq.read_table(request.output).column("model").to_pylist())


@pytest.mark.rest
def test_an_alias_that_moves_leaves_a_job_that_is_not_done_with_its_version(
    named: LabelRequest, registry: Registry
) -> None:
    first, sentences = run(named)
    assert sentences == [f"shop@champion is shop@1 of the registry at {registry.place}."]
    assert first.named is not None
    assert first.named.words == "shop@champion, which was shop@1"
    named.output.unlink()
    sorted((job_folder(named.output) / "parts").iterdir())[1].unlink()
    registry.promote("shop", 2, "better")
    again, (sentence,) = run(named)
    assert sentence.startswith("shop@champion is shop@2 now, but this job began with shop@1")
    assert again.run.images == 70, "only what was missing"
    assert references_of(named) == {load(registry.path("shop", 1)).reference}
    with pytest.raises(JobError, match="shop@1, but shop@champion is shop@2"):
        run(named)
    assert run(replace(named, retry_failed=True))[0].named == first.named
    with pytest.raises(JobError, match="shop@1, not shop@2"):
        run(replace(named, model="shop@2"))
    anew, _ = run(replace(named, restart=True))
    assert anew.named is not None
    assert anew.named.version == "shop@2"
    assert references_of(named) == {load(registry.path("shop", 2)).reference}
