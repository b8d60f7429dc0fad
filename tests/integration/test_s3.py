"""A catalogue, photos and a whole folder of jobs in S3 (a moto server)."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from catalogue.catalogue import Catalogue, open_catalogue
from catalogue.photo import DownloadLimits
from catalogue.photos import Photos
from models.errors import InputError, JobError
from models.storage.object_storage import ObjectStorage
from tests.photo_jobs import photo_job, photo_requests, take_all
from tests.until import until
from worker.job.job import open_job, photos_of
from worker.job.receipt import finished_receipt
from worker.results.finish import RESULT_FILE

from .cluster import Cluster
from .jobs import assert_same, photo_names, write_list
from .s3_server import PAGE_KEYS, Fault, Kind, S3Server


def rows(catalogue: Catalogue) -> list[dict[str, str]]:
    return [row for batch in catalogue.batches for row in batch.to_pylist()]


@pytest.mark.parametrize("folder", ["", "/feeds/new"])
def test_a_file_is_read_like_one_on_disk(s3: S3Server, bucket: str, folder: str) -> None:
    s3.put(f"/{bucket}{folder}/spring.csv", b"image;sku\r\na.jpg;00123\r\n")
    catalogue = open_catalogue(f"s3://{bucket}{folder}/spring.csv")
    assert rows(catalogue) == [{"image": "a.jpg", "sku": "00123"}]
    assert catalogue.source == f"s3://{bucket}{folder}/spring.csv"
    assert catalogue.image_root == f"s3://{bucket}{folder}"


def test_a_large_file_whose_answer_breaks_off_comes_whole(s3: S3Server, bucket: str, tmp_path: Path) -> None:
    table = pa.table({"image": [f"https://shop.example/{n}.jpg" for n in range(50_000)], "n": range(50_000)})
    pq.write_table(table, tmp_path / "a.parquet", compression="none", use_dictionary=False)
    s3.put(f"/{bucket}/a.parquet", (tmp_path / "a.parquet").read_bytes())
    s3.fail(Fault("GET", Kind.CUT_SHORT), Fault("GET", status=503, code="SlowDown"))
    catalogue = open_catalogue(f"s3://{bucket}/a.parquet")
    assert s3.faults_left() == 0
    assert pa.Table.from_batches(list(catalogue.batches)).equals(table)


def test_a_folder_gives_its_photos_page_by_page(s3: S3Server, bucket: str) -> None:
    photos = [f"{kind}/{n:02}.{ending}" for kind in ("dress", "shoes") for n in range(PAGE_KEYS) for ending in ("JPG",)]
    others = [
        "notes.txt",
        "dress/a.psd",
        "dress/readme",
        ".hidden.jpg",
        ".cache/1.jpg",
        "__MACOSX/1.jpg",
        "shoes/.old/1.jpg",
        "shoes/",
    ]
    for key in [*photos, "a b+ü#?.png", *others]:
        s3.put(
            f"/{bucket}/photos/{key}".replace("?", "%3F").replace("#", "%23").replace(" ", "%20").replace("ü", "%C3%BC")
        )
    s3.put(f"/{bucket}/photos-of-others/1.jpg")
    for url in (f"s3://{bucket}/photos/", f"s3://{bucket}/photos"):
        catalogue = open_catalogue(url)
        assert [row["image"] for row in rows(catalogue)] == ["a b+ü#?.png", *photos]
        assert catalogue.left_out == {".txt": 1, ".psd": 1, "": 1}
        assert (catalogue.source, catalogue.image_root) == (f"s3://{bucket}/photos",) * 2


def test_what_is_not_there_is_told(s3: S3Server, bucket: str) -> None:
    with pytest.raises(InputError, match=f"Expected a catalogue at s3://{bucket}/a.csv, found none in S3"):
        open_catalogue(f"s3://{bucket}/a.csv")
    with pytest.raises(InputError, match=f"Expected image files in s3://{bucket}/photos, found none"):
        open_catalogue(f"s3://{bucket}/photos/")
    with pytest.raises(InputError, match="Expected no --encoding"):
        open_catalogue(f"s3://{bucket}/photos/", encoding="cp1252")
    for place in (f"s3://{bucket}-none/a.csv", f"s3://{bucket}-none/photos/"):
        with pytest.raises(JobError, match="NoSuchBucket"):
            open_catalogue(place)


HASTY = DownloadLimits(pause_s=0.01, connect_s=1.0, max_bytes=1000)


@pytest.fixture
def source(tmp_path, s3: S3Server) -> Iterator[Photos]:
    source = photos_of(photo_job(tmp_path), HASTY)
    yield source
    source.close()


@pytest.fixture
def photo(s3: S3Server, bucket: str) -> str:
    s3.put(f"/{bucket}/shoes/a%20b%23.jpg", b"photo")
    return f"s3://{bucket}/shoes/a b#.jpg"


def test_a_photo_comes_and_is_not_sent_again(source, photo):
    source.request(photo_requests(photo), {})
    first = take_all(source, 1)[0]
    assert (first.outcome, first.url, first.downloaded) == (b"photo", photo, 5)
    assert first.etag.startswith('"')
    source.request(photo_requests(photo), {photo: first.etag})
    second = take_all(source, 1)[0]
    assert (second.outcome, second.etag, second.downloaded) == (None, first.etag, 0)


@pytest.mark.parametrize(
    "fault",
    [Fault("GET"), Fault("GET", status=503, code="SlowDown"), Fault("GET", Kind.CUT_SHORT)],
    ids=["internal error", "slow down", "cut short"],
)
def test_what_may_pass_is_tried_again(fault, source, s3, photo):
    s3.fail(fault, fault)
    source.request(photo_requests(photo), {})
    assert take_all(source, 1)[0].outcome == b"photo"
    assert s3.faults_left() == 0


def test_a_machine_without_credentials_fails_no_row(source, photo, monkeypatch):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    source.request(photo_requests(photo), {})
    with pytest.raises(JobError, match=r"NoCredentialsError.*AWS_ACCESS_KEY_ID"):
        source.take(20.0)


@pytest.mark.parametrize("code", ["InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken"])
def test_a_machine_whose_credentials_are_not_good_fails_no_row(code, source, s3, photo):
    s3.fail(Fault("GET", status=403, code=code))
    source.request(photo_requests(photo), {})
    with pytest.raises(JobError, match=rf"{code}.*check the credentials"):
        source.take(20.0)


@pytest.mark.proof
def test_submitting_killing_cancelling_resuming_and_retrying(
    cluster: Cluster, bucket: str, catalogue: Path, bundle: Path, truth
) -> None:
    """The commands' environment leads to S3; this machine's disk has only copies of the job's files."""
    place = f"s3://{bucket}/jobs"
    photos = [str(catalogue / name) for name in photo_names(catalogue, 2000)]
    wanted = [{"image": photo, **truth[str(Path(photo).relative_to(catalogue))]} for photo in photos]
    photos[700], late = str(cluster.folder / "late.png"), Path(photos[700])
    source = write_list(cluster.folder / "list.txt", photos)
    options = ("--jobs", place)
    submitted = cluster.hangtag(
        *("submit", str(source), "--model", str(bundle), "--image-root", "/", "--job", "spring"), *options
    )
    assert submitted.returncode == 0, submitted.stderr
    storage = ObjectStorage(f"{place}/spring")
    job = open_job(storage)
    assert job
    first = cluster.worker(jobs=place)
    until(lambda: len(storage.names("parts")) >= 2, "two chunks are done")
    first.kill_all()
    assert cluster.hangtag("jobs", "cancel", "spring", *options).returncode == 0
    kept = storage.names("parts")
    second = cluster.worker(jobs=place)
    assert cluster.hangtag("jobs", "resume", "spring", *options).returncode == 0
    until(lambda: finished_receipt(job), "the job is finished")
    assert set(kept) <= set(storage.names("parts"))
    (cluster.folder / "late.png").write_bytes(late.read_bytes())
    retried = cluster.hangtag("jobs", "retry-failed", "spring", *options)
    assert retried.stdout.startswith("Trying 1 row again: 1 missing."), retried.stdout + retried.stderr
    until(lambda: finished_receipt(job), "the retry is finished")
    rows = pq.read_table(storage.source(RESULT_FILE)).to_pylist()
    wanted[700]["image"] = photos[700]
    assert_same(rows, wanted)
    second.terminate()
    assert second.process.wait(30) == 0
    assert not (cluster.folder / "jobs").exists()
