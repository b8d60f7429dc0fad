"""Merges one job and ends. Run as ``python -P -m worker.queue.finish_process JOBS NAME``; errors go to stderr."""

import sys

from models.errors import HangtagError
from models.storage.storage import open_storage
from worker.finish import finish_job
from worker.jobs import Jobs
from worker.receipt import finished_receipt


def main(place: str, name: str) -> int:
    """Merge a job, unless that has been done, or is not to be done yet."""
    try:
        job = Jobs(open_storage(place)).find(name)
        if not (job.cancelled or job.missing_chunks() or finished_receipt(job)):
            finish_job(job)
    except (HangtagError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
