"""Downloads from a nasty server."""

from collections.abc import Iterator
from contextlib import contextmanager

from catalogue.photo import DownloadLimits, Photo
from catalogue.photos import Photos
from models.errors import ImageError, ImageFault
from tests.photo_jobs import photo_job, photo_requests, take_all
from worker.job.job import photos_of

HASTY = DownloadLimits(
    connect_s=0.2,
    idle_s=0.3,
    total_s=5.0,
    pause_s=0.01,
    slow_s=0.1,
    max_bytes=1_000_000,
    silent_s=0.2,
    rest_s=0.2,
    names_s=0,
)


@contextmanager
def photos(
    tmp_path, *allow_hosts, limits=HASTY, lookup=None, root=None, per_host=None, headers=None
) -> Iterator[Photos]:
    job = photo_job(root or tmp_path, allow_hosts=allow_hosts, per_host=per_host, headers=headers)
    source = photos_of(job, limits, lookup)
    try:
        yield source
    finally:
        source.close()


def fetched(tmp_path, server, *urls, limits=HASTY, etags=None) -> list[Photo]:
    with photos(tmp_path, server.place, limits=limits) as source:
        source.request(photo_requests(*urls), etags or {})
        return take_all(source, len(urls))


def fault_of(photo: Photo) -> ImageFault:
    assert isinstance(photo.outcome, ImageError), photo
    return photo.outcome.fault
