"""Photos in S3, which a server of moto's plays."""

import sys
from collections.abc import Iterator
from dataclasses import replace

import pytest

from models.errors import ImageFault, JobError
from tests.photo_jobs import photo_job, take_all, wanted
from worker.photos.photo import Limits
from worker.photos.source import Photos, photos_of

from .s3_server import Fault, Kind, S3Server

HASTY = Limits(pause_s=0.01, connect_s=1.0, max_bytes=1000)


@pytest.fixture
def source(tmp_path, s3: S3Server) -> Iterator[Photos]:
    source = photos_of(photo_job(tmp_path), HASTY)
    yield source
    source.close()


@pytest.fixture
def photo(s3: S3Server, bucket: str) -> str:
    """The URL of one."""
    s3.put(f"/{bucket}/shoes/a%20b%23.jpg", b"photo")
    return f"s3://{bucket}/shoes/a b#.jpg"


def test_a_photo_comes_and_is_not_sent_again(source, photo):
    source.want(wanted(photo), {})
    first = take_all(source, 1)[0]
    assert (first.outcome, first.url, first.downloaded) == (b"photo", photo, 5)
    assert first.etag.startswith('"')
    source.want(wanted(photo), {photo: first.etag})
    second = take_all(source, 1)[0]
    assert (second.outcome, second.etag, second.downloaded) == (None, first.etag, 0)


def test_paths_may_start_in_a_bucket(tmp_path, photo):
    source = photos_of(photo_job(photo.rpartition("/")[0]), HASTY)
    source.want(wanted("a b#.jpg"), {})
    assert take_all(source, 1)[0].outcome == b"photo"
    source.close()


@pytest.mark.parametrize("url", ["{bucket}/nothing.jpg", "s3://no-such-bucket-of-ours/a.jpg"])
def test_what_is_not_there_is_missing(url, source, bucket):
    source.want(wanted(url.format(bucket=f"s3://{bucket}")), {})
    assert take_all(source, 1)[0].outcome.fault is ImageFault.MISSING


@pytest.mark.parametrize(
    "fault",
    [Fault("GET"), Fault("GET", status=503, code="SlowDown"), Fault("GET", Kind.CUT_SHORT)],
    ids=["internal error", "slow down", "cut short"],
)
def test_what_may_pass_is_tried_again(fault, source, s3, photo):
    s3.fail(fault, fault)
    source.want(wanted(photo), {})
    assert take_all(source, 1)[0].outcome == b"photo"
    assert s3.faults_left() == 0


def test_what_may_not_be_read_is_said(source, s3, photo):
    s3.fail(Fault("GET", status=403, code="AccessDenied"))
    source.want(wanted(photo), {})
    outcome = take_all(source, 1)[0].outcome
    assert outcome.fault is ImageFault.DOWNLOAD
    assert "AccessDenied" in str(outcome)


def test_a_bucket_that_nobody_can_have_fails_its_row_only(source, photo):
    """S3's rules for the names of some kinds of buckets are applied before anybody is asked."""
    source.want(wanted(f"s3://{'a' * 55}--op-s3/a.jpg", photo), {})
    bad, good = take_all(source, 2)
    assert bad.outcome.fault is ImageFault.REFUSED
    assert good.outcome == b"photo"


def test_a_large_object_is_not_read(source, s3, bucket):
    s3.put(f"/{bucket}/large.jpg", bytes(HASTY.max_bytes + 1))
    source.want(wanted(f"s3://{bucket}/large.jpg"), {})
    assert take_all(source, 1)[0].outcome.fault is ImageFault.TOO_LARGE


def test_a_machine_without_credentials_fails_no_row(source, photo, monkeypatch):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    source.want(wanted(photo), {})
    with pytest.raises(JobError, match=r"NoCredentialsError.*AWS_ACCESS_KEY_ID"):
        source.take(20.0)


@pytest.mark.parametrize("code", ["InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken"])
def test_a_machine_whose_credentials_are_not_good_fails_no_row(code, source, s3, photo):
    s3.fail(Fault("GET", status=403, code=code))
    source.want(wanted(photo), {})
    with pytest.raises(JobError, match=rf"{code}.*check the credentials"):
        source.take(20.0)


def test_a_machine_without_the_packages_fails_no_row(source, monkeypatch):
    monkeypatch.setitem(sys.modules, "aiobotocore", None)  # as if it were not installed
    with pytest.raises(JobError, match=r"pip install 'hangtag\[s3\]'"):
        source.want(wanted("s3://bucket/a.jpg"), {})


def test_an_s3_that_is_not_there(tmp_path, s3, photo, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    source = photos_of(photo_job(tmp_path), replace(HASTY, tries=2))
    source.want(wanted(photo), {})
    outcome = take_all(source, 1)[0].outcome
    source.close()
    assert outcome.fault is ImageFault.DOWNLOAD
    assert "cannot be reached" in str(outcome)
