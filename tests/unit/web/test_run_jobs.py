"""Jobs that the page starts without Redis: labelled here, one after another; cancelled, resumed, retried."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from models.errors import ImageFault, InputError, JobError
from tests.until import until
from web.catalogues import Places, Uploads, look_into
from web.jobs import JobIndex, NoSuchJobError
from web.local_queue import LocalQueue
from web.run_jobs import JobRunner, WantedJob
from web.settings import WebSettings
from worker.job.receipt import finished_receipt
from worker.label import label
from worker.request import JobOptions, LabelRequest

WAIT = [sys.executable, "-c", "import time; time.sleep(60)"]


@pytest.fixture
def index(tmp_path: Path) -> JobIndex:
    return JobIndex(str(tmp_path / "jobs"))


@pytest.fixture
def runner(tmp_path: Path, index: JobIndex) -> Iterator[JobRunner]:
    runner = JobRunner(WebSettings(jobs=str(tmp_path / "jobs")), index)
    yield runner
    runner.close()


def finished(runner: JobRunner, id: str):
    def receipt():
        found = runner._jobs.find(id)
        assert not (runner.local.words(id) or "").startswith("Labelling stopped"), runner.local.words(id)
        return finished_receipt(found.job)

    return until(receipt, f"{id} is finished", 90)


def some(drawn: Path, count: int) -> list[str]:
    return sorted(str(photo.relative_to(drawn)) for photo in drawn.rglob("*.jpg"))[:count]


def test_a_job_without_redis_is_labelled_here_and_its_failed_rows_are_retried(runner, index, bundle, drawn, tmp_path):
    names = some(drawn, 6)
    list_file = tmp_path / "products.csv"
    list_file.write_text("image,sku\n" + "".join(f"{name},{n}\n" for n, name in enumerate(names)) + "gone.jpg,9\n")
    wanted = WantedJob(str(list_file), str(bundle), name="spring", image_root=str(drawn), group_column="sku")
    found = runner.start_job(wanted)
    assert (found.id, found.job.spec.rows, found.job.spec.confined) == ("spring", 7, True)
    receipt = finished(runner, "spring")
    assert (receipt.rows, receipt.errors["missing"].count) == (7, 1)
    assert (tmp_path / "jobs" / "spring" / "labels.parquet").is_file()
    with pytest.raises(JobError, match="nothing to cancel"):
        runner.cancel_job(found)
    assert runner.retry_job(found) == {"missing": 1}
    assert finished(runner, "spring").retry == 1
    assert [job.id for job in index.all()] == ["spring"]


def test_a_cancelled_job_goes_on_when_it_is_resumed(runner, index, bundle, drawn):
    runner.local.add("first", WAIT)
    found = runner.start_job(WantedJob(str(drawn), str(bundle), name="second"))
    assert runner.remarks(found) == ["It waits until another job of this machine is done."]
    runner.cancel_job(found)
    assert found.job.cancelled
    assert not runner.local.knows("second")
    runner.local.stop("first")
    runner.resume_job(found)
    assert not found.job.cancelled
    finished(runner, "second")


def test_a_job_that_a_killed_server_left_says_so_and_can_be_resumed(runner, index, bundle, drawn, tmp_path):
    runner.local.add("first", WAIT)
    found = runner.start_job(WantedJob(str(drawn), str(bundle), name="second"))
    after = JobRunner(WebSettings(jobs=str(tmp_path / "jobs")), index)
    assert after.remarks(found) == ["Nothing labels this job at the moment. Resume it: what is done is kept."]
    after.resume_job(found)
    finished(after, "second")
    after.close()


def test_a_process_that_ends_badly_is_told_and_the_next_begins():
    queue = LocalQueue()
    queue.add("bad", [sys.executable, "-c", "import sys; sys.exit('A warning.\\nhangtag: no memory')"])
    queue.add("good", WAIT)
    until(lambda: queue.is_running("good"), "the next job runs")
    assert queue.words("bad") == "Labelling stopped: no memory"
    assert queue.words("good") == ""
    assert queue.words("never") is None
    queue.close()
    until(lambda: not queue.knows("good"), "what ran has ended")


def test_a_result_of_hangtag_label_is_retried_by_the_same_command(bundle, drawn, tmp_path):
    list_file, output = tmp_path / "list.txt", tmp_path / "labels.parquet"
    list_file.write_text("".join(f"{name}\n" for name in [*some(drawn, 3), "gone.jpg"]))
    request = LabelRequest(list_file, bundle, JobOptions(image_root=str(drawn)), output=output, workers=1)
    assert label(request, lambda *_: None).errors["missing"].count == 1
    index = JobIndex(str(tmp_path / "jobs"), (output,))
    runner = JobRunner(WebSettings(jobs=str(tmp_path / "jobs"), results=(output,)), index)
    found = index.all()[0]
    assert index.find(found.id).result == output
    assert runner.retry_job(found) == {"missing": 1}
    until(lambda: (receipt := finished_receipt(found.job)) and receipt.retry == 1, "the retry is merged", 90)
    runner.close()


def test_unknown_jobs_and_names_that_are_no_names_are_refused(index):
    for id in ("gone", "../etc", "", "a/b", "x" * 500):
        with pytest.raises(NoSuchJobError, match="Expected a job"):
            index.find(id)


def test_only_what_lies_under_data_may_be_named_where_others_can_ask(tmp_path):
    data, secret = tmp_path / "data", tmp_path / "secret.csv"
    data.mkdir()
    secret.write_text("image\na.jpg\n")
    (data / "link.csv").symlink_to(secret)
    (data / "own.csv").write_text("image\na.jpg\n")
    places = Places(WebSettings(data=(data,)))
    assert places.checked(str(data / "own.csv"), "the catalogue") == str(data / "own.csv")
    assert places.checked("https://shop.example/urls.csv", "the catalogue") == "https://shop.example/urls.csv"
    for place in (secret, data / "link.csv", data / ".." / "secret.csv", "s3://bucket/urls.csv", "file:///etc/passwd"):
        with pytest.raises(InputError, match="Expected the catalogue under a folder of --data"):
            places.checked(str(place), "the catalogue")
    for settings in (WebSettings(host="192.0.2.1", token="x" * 20), WebSettings(token="x" * 20)):
        with pytest.raises(InputError, match="none was given"):
            Places(settings).checked(str(data), "the catalogue")
    with pytest.raises(InputError, match="the model"):
        places.checked_model(str(tmp_path))
    assert places.checked_model("shop@champion") == "shop@champion"
    own = Places(WebSettings(data=(data,), model=str(tmp_path)))
    assert own.checked_model(str(tmp_path)) == str(tmp_path)


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("products.csv", "products.csv"),
        ("../../etc/cron.d/x.CSV", "x.csv"),
        ("..\\..\\boot.tsv", "boot.tsv"),
        ("a\nb\0<script>.parquet", "a-b-script.parquet"),
        (".csv.csv", "csv.csv"),
        ("?.csv", "catalogue.csv"),
        ("ä" * 300 + ".txt", "catalogue.txt"),
    ],
)
def test_of_an_uploads_name_only_harmless_characters_are_kept(sent, kept):
    uploads = Uploads()
    place = uploads.path(uploads.keep(sent, [b"image\n", b"a.jpg\n"]))
    assert (place.name, place.read_text()) == (kept, "image\na.jpg\n")
    uploads.close()
    assert not place.exists()


@pytest.mark.parametrize("token", ["", "..", "0" * 24, "../" * 8, "g" * 24])
def test_an_unknown_upload_is_refused(token):
    uploads = Uploads()
    uploads.keep("a.csv", [b""])
    with pytest.raises(InputError, match="choose it again"):
        uploads.path(token)
    uploads.close()


def test_a_preview_shows_the_first_rows_and_their_photos(drawn, tmp_path):
    names = some(drawn, 2)
    file = tmp_path / "a.csv"
    file.write_text("sku,photo,title\n" + f"1,{names[0]},<b>x</b>\n2,gone.jpg,\n3,/etc/passwd,y\n")
    seen = look_into(str(file), None, str(drawn))
    assert (seen.columns, seen.image_column) == (("sku", "photo", "title"), "photo")
    assert seen.rows[0] == ("1", names[0], "<b>x</b>")
    assert isinstance(seen.photos[0], str)
    assert [photo.fault for photo in seen.photos[1:]] == [ImageFault.MISSING, ImageFault.REFUSED]
    assert seen.faults.startswith("missing (there is no photo there); refused (")
