import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalogue.photo import DownloadLimits
from models.classifier import load
from models.errors import InputError, JobError
from tests.unit.catalogue.scripted_server import Answer, open_scripted_server
from worker.job.jobs import Jobs, check_name
from worker.label import label
from worker.labelling.earlier_results import PREVIOUS_FILE
from worker.queue.settings import TIME_LIMIT_S
from worker.queue.submit import CHUNK_ROWS, chunk_rows, new_name, submit
from worker.request import JobOptions, LabelRequest, Priority, SubmitRequest

ROWS = 600


def changed(request: SubmitRequest, **options: object) -> SubmitRequest:
    """The same request with other options."""
    return replace(request, options=replace(request.options, **options))


@pytest.fixture
def request_of(tmp_path: Path, bundle: Path) -> SubmitRequest:
    """Rows; only the first of their photos is there."""
    source = tmp_path / "spring.csv"
    for name in ("0.jpg", "a.jpg"):
        (tmp_path / name).touch()
    source.write_text("image,sku\n" + "".join(f"{row}.jpg,{row:05}\n" for row in range(ROWS)))
    return SubmitRequest(source, bundle, JobOptions(), name="spring")


def test_a_job_is_written_with_its_model_once(request_of: SubmitRequest, jobs: Jobs, bundle: Path) -> None:
    root = request_of.source.parent / "photos"
    root.mkdir()
    request = replace(changed(request_of, image_root=str(root)), priority=Priority.HIGH)
    submitted, again = submit(request, jobs), submit(request, jobs)
    assert (submitted.name, submitted.new, again.new) == ("spring", True, False)
    assert jobs.find("spring") == submitted.job == again.job
    spec = submitted.job.spec
    assert (spec.rows, spec.chunks, spec.chunk_rows) == (ROWS, 3, CHUNK_ROWS)
    assert (spec.priority, spec.image_root) == (Priority.HIGH, str(root))
    digest = spec.questions[0].model.digest
    assert load(jobs.bundles.fetch(digest)).digest == load(bundle).digest == digest
    newer = submit(changed(request, headers=["Authorization: NEW"]), jobs)
    assert (newer.job, "keeps its original --header" in "".join(newer.words)) == (submitted.job, True)


@pytest.mark.parametrize(
    ("options", "option"),
    [(JobOptions(allow_hosts=["photos.internal"]), "--allow-host"), (JobOptions(headers=["Cookie"]), "--header")],
)
def test_a_mistyped_option_is_told_before_models_are_loaded(
    request_of: SubmitRequest, jobs: Jobs, tmp_path: Path, options: JobOptions, option: str
) -> None:
    wrong = replace(request_of, model=tmp_path / "none", options=options)
    with pytest.raises(InputError, match=option):
        submit(wrong, jobs)
    with pytest.raises(InputError, match=option):
        label(LabelRequest(wrong.source, wrong.model, options, output=tmp_path / "labels.csv"), lambda *_: None)


def list_photos(request: SubmitRequest, cells: list[str]) -> SubmitRequest:
    request.source.write_text("image,sku\n" + "".join(f'"{cell}",{row}\n' for row, cell in enumerate(cells)))
    return request


def test_a_catalogue_of_which_no_photo_is_there_is_refused(request_of: SubmitRequest, jobs: Jobs) -> None:
    lost = list_photos(request_of, [f"lost-{row}.jpg" for row in range(ROWS)])
    for request, named in ((lost, r"lost-0\.jpg"), (changed(lost, image_column="sku"), "sku")):
        with pytest.raises(InputError, match=named):
            submit(request, jobs)
    with pytest.raises(InputError, match="image"):
        submit(list_photos(request_of, [""] * ROWS), jobs)
    assert not Path(jobs.place).exists()


@pytest.mark.parametrize("there", ["0.jpg", "https://photos.invalid/1.jpg", "s3://shop/1.jpg", "data:,photo"])
def test_one_photo_that_is_there_or_elsewhere_is_enough(request_of: SubmitRequest, jobs: Jobs, there: str) -> None:
    late = list_photos(request_of, [there if row == 5003 else f"lost-{row}.jpg" for row in range(9000)])
    job = submit(late, jobs).job
    assert job.spec.rows == 9000, "the rows that were read to find it are in the job"
    assert job.chunk_images(0)[0] == "lost-0.jpg"
    (request_of.source.parent / "0.jpg").unlink()
    assert not submit(late, jobs).new, "a job that is there is not looked at again"


def test_a_machine_that_does_not_see_the_photos_can_submit(
    request_of: SubmitRequest, jobs: Jobs, tmp_path: Path
) -> None:
    share = tmp_path / "share"
    share.mkdir()
    unseen = changed(list_photos(request_of, ["of/2026/1.jpg"]), image_root=str(share))
    assert any(str(share) in words for words in submit(unseen, jobs).words)
    (share / "of/2026").mkdir(parents=True)
    for name, root in (("early", share), ("other", tmp_path / "none")):
        with pytest.raises(InputError, match=str(root)):
            submit(replace(changed(unseen, image_root=str(root)), name=name), jobs)


def test_the_results_of_an_earlier_job_lie_beside_the_rows(
    request_of: SubmitRequest, jobs: Jobs, commit_part: Callable[..., None]
) -> None:
    earlier = submit(replace(request_of, name="winter"), jobs).job
    commit_part(earlier, *range(earlier.spec.chunks))
    submitted = submit(replace(request_of, previous="winter"), jobs)
    assert any(jobs.storage("winter").place in words for words in submitted.words)
    assert submitted.job.storage.exists(PREVIOUS_FILE)
    assert submitted.job.spec.rows_digest == earlier.spec.rows_digest
    again = submit(request_of, jobs)
    assert (again.new, again.job) == (False, submitted.job)


def test_another_variant_is_another_job(request_of: SubmitRequest, jobs: Jobs, int8_bundle: Path) -> None:
    request_of = replace(request_of, model=int8_bundle)
    assert submit(request_of, jobs).job.model.variant == "int8"
    assert not submit(changed(request_of, variant="int8"), jobs).new
    with pytest.raises(JobError, match="--variant was int8, is now float32"):
        submit(changed(request_of, variant="float32"), jobs)


def test_models_that_share_a_decoding_do_not_make_chunks_smaller(
    request_of: SubmitRequest, jobs: Jobs, bundle: Path, unsure_bundle: Path
) -> None:
    both = replace(changed(request_of, timeout_s=20.0), model={"category": bundle, "colour": unsure_bundle})
    assert submit(both, jobs).job.spec.chunk_rows == chunk_rows(20.0)


def test_a_catalogue_from_the_web(request_of: SubmitRequest, jobs: Jobs) -> None:
    with open_scripted_server() as server:
        server.answers["/feeds/spring.csv"] = [Answer(request_of.source.read_bytes())]
        url = server.url("/feeds/spring.csv?SECRET")
        with pytest.raises(InputError, match="--allow-host"):
            submit(replace(request_of, source=url), jobs)
        options = JobOptions(allow_hosts=[server.host])
        job = submit(replace(request_of, source=url, options=options), jobs).job
        assert (job.spec.source, job.spec.image_root) == (server.url("/feeds/spring.csv"), server.url("/feeds"))
    assert (job.spec.rows, job.spec.needs_root) == (ROWS, False)
    assert "SECRET" not in job.storage.read("job.json").decode()


@given(st.floats(0.1, 1000.0), st.integers(1, 100), st.integers(1, 5))
def test_a_chunk_ends_within_the_time_limit_whatever_its_photos_do(
    timeout_s: float, per_host: int, decodings: int
) -> None:
    rows = chunk_rows(timeout_s, per_host, decodings)
    assert 1 <= rows <= CHUNK_ROWS
    most_s = max(rows * decodings * (2 * timeout_s + 1.0), rows * DownloadLimits().total_s / per_host)
    assert rows == 1 or most_s <= TIME_LIMIT_S, "two tries, each in a process of its own; all photos from one slow host"
    assert (chunk_rows(10.0), chunk_rows(20.0), chunk_rows(10.0, 1)) == (256, 158, 108)


NAMES = {
    Path("spring 2026.csv"): "spring-2026",
    Path("été.csv"): "t",
    Path("春.csv"): "job",
    Path("---.csv"): "job",
    Path("_x_.csv"): "x",
    Path("a.b.csv"): "a-b",
    Path(f"{'x' * 200}.csv"): "x" * 32,
    Path("new\nline.csv"): "new-line",
    "https://shop.example/feeds/spring%202026.csv?sig=abc": "spring-2026",
    "s3://shop/photos/": "photos",
    "s3://shop": "shop",
    "https://me:secret@shop.example/": "shop-example",
}


def test_a_new_name_is_the_sources_and_the_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "photos").mkdir()
    monkeypatch.chdir(tmp_path / "photos")
    for source, stem in {**NAMES, Path(): "photos"}.items():
        name = new_name(source)
        assert re.fullmatch(rf"{re.escape(stem)}-\d{{8}}-\d{{6}}", name)
        check_name(name)


NOTHING = {
    "a host without a port": ({"options": JobOptions(allow_hosts=["photos.internal"])}, "photos.internal"),
    "a name that no job can have": ({"name": "../spring"}, r"\.\./spring"),
    "a model that is none": ({"model": Path("none")}, "none"),
    "a precision that no threshold keeps": ({"options": JobOptions(precision=0.93)}, "0.93"),
    "a column that is not there": ({"options": JobOptions(group_column="product")}, "product"),
}


@pytest.mark.parametrize("what", NOTHING)
def test_nothing_is_written_for_what_cannot_be(
    request_of: SubmitRequest, jobs: Jobs, unsure_bundle: Path, what: str
) -> None:
    changes, message = NOTHING[what]
    with pytest.raises(InputError, match=message):
        submit(replace(request_of, **{"model": unsure_bundle, **changes}), jobs)
    assert not Path(jobs.place).exists()
