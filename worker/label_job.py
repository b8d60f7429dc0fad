"""Labels a job that is written already, on this machine, without a queue.

``python -P -m worker.label_job JOBS NAME`` labels a submitted job, ``python -P -m worker.label_job RESULT`` the rest of
the job of a result of ``hangtag label``.
"""

import sys
from pathlib import Path

from models.errors import ExitCode, HangtagError, JobError, StoppedError, system_words
from models.process import usable_cores
from models.storage.storage import FolderStorage, open_storage
from worker.job.job import open_job
from worker.job.jobs import Jobs
from worker.job.receipt import JobReceipt, job_receipt
from worker.label import job_folder, only_run, run_job
from worker.labelling.local import run_pool
from worker.labelling.process_pool import LABELLING, ProcessPool
from worker.results.finish import finish_job


def label_job(jobs: Jobs, name: str) -> JobReceipt:
    """Label the missing chunks of a submitted job, and merge it; cancelling the job stops this."""
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


def label_rest(output: Path) -> JobReceipt:
    """Label the missing rows behind a result of ``hangtag label``, with its models, and write it again."""
    folder = job_folder(output)
    job = open_job(FolderStorage(folder))
    if job is None:
        msg = f"Expected the job of {output} in {folder}, found none; it may have been deleted."
        raise JobError(msg)
    models, workers = [Path(question.model.path) for question in job.questions], usable_cores()
    with only_run(folder), ProcessPool(LABELLING, workers) as processes:
        return run_job(job, output, models, processes, workers)


def main(place: str, name: str | None = None) -> int:
    """Label a job; errors go to stderr."""
    try:
        if name is None:
            label_rest(Path(place))
        else:
            label_job(Jobs(open_storage(place)), name)
    except OSError as error:
        print(system_words(error), file=sys.stderr)
        return ExitCode.FAILURE
    except HangtagError as error:
        print(error, file=sys.stderr)
        return int(error.exit_code)
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
