"""Messages of ``hangtag jobs``: a job that waits, is cancelled, finished or retried; no worker runs."""

import re
from pathlib import Path

import pytest

from models.classifier import load
from models.storage.storage import FolderStorage
from tests.command import clean_environment, run_hangtag
from tests.label_chunk import run_chunk
from tests.messages.golden import check_messages
from worker.job.job import Job
from worker.job.jobs import Jobs
from worker.queue.private_redis import PrivateRedis
from worker.results.finish import finish_job

VARIES = {
    r"cnn/\S+/float32@\w+": "MODEL",
    r"\d{4}-\d\d-\d\dT\S+": "TIME",
    r"in [\d.]+ s(: [\d.]+ images/s)?": "in N s",
    r"\d:\d\d:\d\d": "H:MM:SS",
    r"[\u2500-\u257f]+": "|",  # a table's lines vary with its longest cell
    r"\| (?!labeled|review|failed|missing|label|likeliest)[a-z-]+ \| 1": "| CLASS | 1",
}


def finish(job: Job, model: Path) -> None:
    for chunk in job.missing_chunks():
        run_chunk(job, chunk, load(model))
    finish_job(job)


@pytest.mark.usefixtures("redis_installed")
def test_what_jobs_say(tmp_path: Path, catalogue: Path, sure_bundle: Path) -> None:
    photo, jobs = min(catalogue.rglob("*.png")), Jobs(FolderStorage(tmp_path / "jobs"))
    (tmp_path / "shop.txt").write_text(f"{photo.relative_to(catalogue)}\ngone.png\n")
    (tmp_path / "whole.txt").write_text(f"{photo.relative_to(catalogue)}\n")
    outputs: dict[str, str] = {}
    with PrivateRedis(tmp_path / "redis") as server:
        env = clean_environment(HANGTAG_REDIS_URL=server.url, HANGTAG_JOBS=jobs.place, COLUMNS="1000")

        def run(title: str, *words: object, **settings: str) -> None:
            done = run_hangtag(*words, env=env | settings)
            text = " ".join((done.stderr + done.stdout).split())
            for pattern, name in VARIES.items():
                text = re.sub(pattern, name, text)
            outputs[title] = f"[{done.returncode}] {text}"

        def submit(name: str, source: str) -> Job:
            words = ("submit", tmp_path / source, "--model", sure_bundle, "--job", name, "--image-root", catalogue)
            assert run_hangtag(*words, env=env).returncode == 0
            return jobs.find(name)

        run("no jobs", "jobs")
        (tmp_path / "secret").write_text("one\ntwo\n")
        secret, url = str(tmp_path / "secret"), "redis://somebody:hidden@queue/0"
        run("a setting that is no number", "jobs", HANGTAG_GRACE_S="soon")
        run("no password file", "jobs", HANGTAG_REDIS_PASSWORD_FILE=str(tmp_path / "none"))
        run("two lines of password", "jobs", HANGTAG_REDIS_PASSWORD_FILE=secret)
        run("two passwords", "jobs", HANGTAG_REDIS_PASSWORD_FILE=secret, HANGTAG_REDIS_URL=url)
        run("a job that is not there", "jobs", "show", "spring")
        job = submit("spring", "shop.txt")
        run("a job that waits", "jobs", "show", "spring")
        run("a retry of a job that waits", "jobs", "retry-failed", "spring")
        run("cancel", "jobs", "cancel", "spring")
        run("watch a cancelled job", "jobs", "watch", "spring")
        run("resume", "jobs", "resume", "spring")
        finish(job, sure_bundle)
        run("jobs", "jobs")
        run("watch", "jobs", "watch", "spring")
        run("cancel a finished job", "jobs", "cancel", "spring")
        run("resume a finished job", "jobs", "resume", "spring")
        run("show", "jobs", "show", "spring")
        run("retry", "jobs", "retry-failed", "spring")
        run("show a job that is retried", "jobs", "show", "spring", "--redis", "redis://127.0.0.1:1/0")
        finish(submit("whole", "whole.txt"), sure_bundle)
        run("a retry without failed rows", "jobs", "retry-failed", "whole")
        places = {sure_bundle: "BUNDLE", tmp_path: "FOLDER", catalogue: "PHOTOS", server.port: "PORT"}
    check_messages("jobs", outputs, places)
