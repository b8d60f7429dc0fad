from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import InputError, JobError
from models.storage.storage import FolderStorage
from worker.jobs import Jobs, check_name

ROOT = FolderStorage(Path("/srv/jobs"))
GOOD = ["a", "7", "spring-2026", "A.b_c-d", "x" * 64, "a..b"]
BAD = ["", ".", "..", "-a", "_a", ".a", "a b", "a/b", "../a", "a\n", "ä", "x" * 65, "a:b", "a\x00", "٣"]


@pytest.mark.parametrize("name", GOOD)
def test_a_plain_name_is_taken(name: str) -> None:
    check_name(name)


@pytest.mark.parametrize("name", BAD)
def test_another_name_is_refused_and_the_rule_told(name: str) -> None:
    with pytest.raises(InputError, match=r"letters, digits, '\.', '_' and '-' \(at most 64"):
        check_name(name)


@given(st.text(max_size=70))
def test_no_name_that_is_taken_leads_elsewhere(name: str) -> None:
    try:
        check_name(name)
    except InputError:
        return
    root = ROOT.child(name).root
    assert root.parent == ROOT.root
    assert root.name == name


def test_a_job_is_found_by_name(jobs: Jobs, paper_job) -> None:
    job = paper_job(name="spring")
    assert jobs.find("spring") == jobs.get("spring") == job
    assert jobs.get("autumn") is None


def test_a_job_that_is_not_there_is_told_with_those_that_are(jobs: Jobs, paper_job) -> None:
    with pytest.raises(InputError, match="jobs there: none"):
        jobs.find("spring")
    paper_job(name="autumn")
    with pytest.raises(InputError, match=r"job spring in \S+, found none; jobs there: autumn. Check --jobs"):
        jobs.find("spring")


def test_a_name_that_no_job_can_have_is_not_looked_for(jobs: Jobs) -> None:
    with pytest.raises(InputError):
        jobs.find("../jobs")


def test_names_are_those_of_jobs_in_order(jobs: Jobs, paper_job) -> None:
    for name in ("b", "a", "c"):
        paper_job(1, name=name)
    jobs.identity()
    jobs.storage("_bundles").commit("cafe/manifest.json", b"")
    assert jobs.names() == ["a", "b", "c"]


def test_there_are_no_names_where_there_is_no_folder_yet(jobs: Jobs) -> None:
    assert jobs.names() == []


def test_a_folder_has_one_identity_wherever_it_is_mounted(tmp_path) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "there").symlink_to(tmp_path / "here")
    here, there, other = (Jobs(FolderStorage(tmp_path / name)) for name in ("here", "there", "other"))
    assert here.identity() == there.identity() == here.identity()
    assert other.identity() != here.identity()


def test_a_damaged_job_is_refused(jobs: Jobs) -> None:
    jobs.storage("spring").commit("job.json", b"{}")
    with pytest.raises(JobError, match="damaged, or of another version"):
        jobs.find("spring")
