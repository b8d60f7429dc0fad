"""The photos of a job: its image root, its hosts and its limits."""

from dataclasses import replace
from typing import TYPE_CHECKING

from catalogue.photo import Limits
from catalogue.photos import Photos, open_photos
from worker.job.job import Job

if TYPE_CHECKING:
    from catalogue.addresses import Lookup


def photos_of(job: Job, limits: Limits | None = None, lookup: "Lookup | None" = None) -> Photos:
    """:func:`open_photos` of a job, with the job's own limits unless others are given."""
    limits = limits or limits_of(job)
    allow_hosts = job.spec.options.allow_hosts or ()
    return open_photos(job.spec.image_root, allow_hosts, limits, lookup, confined=job.spec.confined)


def limits_of(job: Job) -> Limits:
    """The limits of downloading that a job asks for."""
    usual = Limits()
    return replace(
        usual,
        per_host=job.spec.per_host or usual.per_host,
        per_bucket=job.spec.per_host or usual.per_bucket,
        total_s=job.spec.options.download_timeout_s or usual.total_s,
    )
