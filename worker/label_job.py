"""Labels a submitted job on this machine, without a queue: ``python -P -m worker.label_job JOBS NAME``."""

import sys

from models.errors import HangtagError, JobError, StoppedError
from models.process import usable_cores
from models.storage.storage import open_storage
from worker.job.jobs import Jobs
from worker.job.receipt import JobReceipt, job_receipt
from worker.label import only_run
from worker.labelling.local import run_pool
from worker.labelling.process_pool import LABELLING, ProcessPool
from worker.results.finish import finish_job


def label_job(jobs: Jobs, name: str) -> JobReceipt:
    """Label what is missing of a job of the folder of jobs, and merge it; somebody who cancels it stops it.

    Raises:
        JobError: jobs lie in S3, another process is at work on it, or its processes keep dying.
        StoppedError: it is cancelled; what is done is kept.
    """
    job = jobs.find(name)
    folder = job.storage.on_disk("")
    if folder is None:
        msg = f"Expected jobs in a folder of this machine, got {jobs.place}; start workers with hangtag worker."
        raise JobError(msg)

    def check(_chunk: int) -> None:
        if job.cancelled:
            msg = f"{name} is cancelled; what is done is kept."
            raise StoppedError(msg)

    with only_run(folder):
        check(0)
        with ProcessPool(LABELLING, usable_cores()) as processes:
            run_pool(job, [jobs.bundles.fetch(one.spec.model.digest) for one in job.questions], processes, check)
        return job_receipt(job) or finish_job(job)


def main(jobs: str, name: str) -> int:
    """Label a job; errors go to stderr."""
    try:
        label_job(Jobs(open_storage(jobs)), name)
    except (HangtagError, OSError) as error:
        print(error, file=sys.stderr)
        return int(getattr(error, "exit_code", 1))
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
