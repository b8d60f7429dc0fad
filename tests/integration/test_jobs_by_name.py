"""Jobs whose model is named as ``shop@champion``, while the champion changes: a real Redis, a real worker."""

from pathlib import Path

import pytest

from models.classifier import load
from models.registry.registry import Registry
from models.storage.storage import FolderStorage
from tests.shelf import shop_registry
from worker.job import open_job

from .farm import Farm
from .jobs import QueuedJob, photo_names, write_list


@pytest.fixture
def shelf(farm: Farm, bundle: Path) -> Registry:
    return shop_registry(farm.folder, bundle)


def submit(farm: Farm, shelf: Registry, name: str, photos: Path, source: Path) -> tuple[QueuedJob, str]:
    """As people do."""
    model = ("--model", "shop@champion", "--registry", shelf.place)
    done = farm.hangtag("submit", str(source), *model, "--job", name, "--image-root", str(photos))
    assert done.returncode == 0, done.stderr
    job = open_job(FolderStorage(farm.jobs / name))
    assert job
    return QueuedJob(name, job, farm.jobs / name, farm.client), done.stdout


def test_a_job_keeps_its_version_and_the_next_one_takes_the_champion_of_its_time(
    farm: Farm, shelf: Registry, catalogue: Path
) -> None:
    source = write_list(farm.folder / "list.txt", photo_names(catalogue, 600))
    begun, said = submit(farm, shelf, "begun", catalogue, source)
    assert f"shop@champion is shop@1 of the registry {shelf.place}." in said
    farm.worker(slots=1)
    shelf.promote("shop", 2, "better")
    after, said = submit(farm, shelf, "after", catalogue, source)
    assert "shop@champion is shop@2" in said
    shelf.rollback("shop", "it was worse")
    back, said = submit(farm, shelf, "back", catalogue, source)
    assert "shop@champion is shop@1" in said
    for job, version in ((begun, 1), (after, 2), (back, 1)):
        receipt = job.wait_for_end()
        assert receipt.named is not None
        assert (receipt.named.asked, receipt.named.version) == ("shop@champion", f"shop@{version}")
        assert {row["model"] for row in job.rows()} == {load(shelf.path("shop", version)).reference}
    shown = farm.hangtag("jobs", "receipt", "after").stdout
    assert "(shop@champion, which was shop@2)" in shown
    assert "shop@champion, which was shop@2, from " in farm.hangtag("jobs", "show", "after").stdout


def test_a_name_that_is_taken_tells_which_version_has_it(farm: Farm, shelf: Registry, catalogue: Path) -> None:
    source = write_list(farm.folder / "list.txt", photo_names(catalogue, 20))
    submit(farm, shelf, "nightly", catalogue, source)
    _, said = submit(farm, shelf, "nightly", catalogue, source)
    assert said.startswith("Was submitted before: nightly")
    shelf.promote("shop", 2, "better")
    model = ("--model", "shop@champion", "--registry", shelf.place)
    done = farm.hangtag("submit", str(source), *model, "--job", "nightly", "--image-root", str(catalogue))
    assert done.returncode == 1
    assert "It is of shop@1, and shop@champion is shop@2 by now. Pass another --job." in done.stderr
