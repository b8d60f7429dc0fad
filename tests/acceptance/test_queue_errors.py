"""What a person is told whose command about jobs cannot be followed."""

from pathlib import Path

import pytest

from worker.queue.private_redis import PrivateRedis

from .place import Place, one_line

VERBS = ("show", "watch", "resume", "cancel", "retry-failed", "receipt")


@pytest.mark.parametrize("verb", VERBS)
def test_a_job_that_is_not_there_is_told(place: Place, spring, verb: str) -> None:
    done = place.run("jobs", verb, "autumn")
    assert (done.returncode, done.stdout) == (2, "")
    assert f"hangtag: Expected job.json of job autumn in {place.jobs}, found none" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("command", [("jobs", "show"), ("submit",)], ids=" ".join)
def test_a_name_that_no_job_can_have_is_refused(place: Place, few, command: tuple[str, ...]) -> None:
    arguments = (*command, "../spring") if command[0] == "jobs" else (*few("named")[:-1], "../spring")
    done = place.run(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert "hangtag: Expected a name for a job of letters, digits, '.', '_' and '-'" in done.stderr
    assert not (place.folder / "spring").exists()


def secret_url(folder: Path) -> tuple[str, str]:
    """A Redis with a password that is not there, and how it may be called."""
    port = PrivateRedis(folder).port
    return f"redis://:secret@127.0.0.1:{port}/0", f"redis://127.0.0.1:{port}/0"


def test_nothing_is_submitted_while_redis_is_away(place: Place, few, tmp_path: Path) -> None:
    url, name = secret_url(tmp_path)
    done = place.run(*few("lost"), "--redis", url)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"hangtag: Expected Redis at {name}, got: ")
    assert "Pass --redis, or set HANGTAG_REDIS_URL." in done.stderr
    assert "secret" not in done.stderr
    assert not (place.jobs / "lost").exists()


def test_jobs_are_shown_while_redis_is_away(place: Place, spring, tmp_path: Path) -> None:
    url, _ = secret_url(tmp_path)
    assert "spring" in place.run("jobs", HANGTAG_REDIS_URL=url).stdout
    shown = place.run("jobs", "show", "spring", HANGTAG_REDIS_URL=url)
    assert shown.returncode == 0
    assert "Redis cannot be used" in shown.stdout
    assert place.run("jobs", "watch", "spring", HANGTAG_REDIS_URL=url).returncode == 0
    assert "secret" not in shown.stdout + shown.stderr


def test_nothing_is_retried_while_redis_is_away(place: Place, spring, tmp_path: Path) -> None:
    url, name = secret_url(tmp_path)
    done = place.run("jobs", "retry-failed", "spring", "--redis", url)
    assert done.returncode == 1
    assert f"Expected Redis at {name}" in done.stderr
    assert not (place.jobs / "spring" / "retries").exists()


@pytest.mark.parametrize("command", [("jobs",), ("worker",), ("jobs", "receipt", "spring")], ids=" ".join)
def test_a_wrong_redis_url_is_told_by_the_name_of_its_setting(place: Place, command: tuple[str, ...]) -> None:
    done = place.run(*command, HANGTAG_REDIS_URL="127.0.0.1:6379")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("hangtag: HANGTAG_REDIS_URL or its option is wrong")
    assert len(done.stderr.splitlines()) == 1


def test_a_worker_that_cannot_write_in_the_folder_of_jobs_does_not_start(place: Place, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = place.run("worker", "--jobs", tmp_path / "file")
    assert done.returncode == 1
    assert f"Expected a folder of jobs at {tmp_path}/file that can be written to" in done.stderr


def test_who_submits_is_told_when_nobody_will_label_it(place: Place, few, tmp_path: Path) -> None:
    elsewhere = place.run(*few("elsewhere"), "--jobs", tmp_path)
    assert elsewhere.returncode == 0
    told = one_line(elsewhere.stderr)
    assert f"looks for jobs in {place.jobs}, which is not this folder; share one, see --jobs." in told
    nobody = place.run(*few("nobody"), "--jobs", tmp_path, "--redis", place.server.url.removesuffix("0") + "1")
    assert nobody.returncode == 0
    assert "No worker is there; start one with hangtag worker" in nobody.stderr
