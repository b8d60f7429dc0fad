import ast
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TRAINING_PACKAGES = ("tensorflow", "keras", "tf2onnx", "onnx", "sklearn", "matplotlib")


QUEUE_PACKAGES = ("celery", "kombu", "redis", "pydantic_settings")
OPTIONAL = {"models.storage.object_storage", "catalogue.s3"}
"""Need an extra of their own."""


def modules_of(room: str) -> list[str]:
    files = sorted((ROOT / room).rglob("*.py"))
    return [".".join(file.relative_to(ROOT).with_suffix("").parts) for file in files if file.stem != "__init__"]


def loaded(modules: list[str], packages: tuple[str, ...]) -> list[str]:
    """The ``packages`` that a fresh process has loaded after it imported ``modules``."""
    code = (
        f"import importlib, sys; [importlib.import_module(m) for m in {modules}];"
        f"print([m for m in {packages} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    packages_loaded: list[str] = ast.literal_eval(done.stdout)
    return packages_loaded


def test_labelling_never_loads_what_trains() -> None:
    modules = [name for room in ("models", "catalogue", "pages", "worker", "web") for name in modules_of(room)]
    assert len(modules) > 50
    assert loaded(modules, TRAINING_PACKAGES) == []


def test_a_scheduler_never_loads_what_trains() -> None:
    """It runs in the workers' image."""
    assert loaded(["trainer.schedule"], (*TRAINING_PACKAGES, "faiss", "scipy", "h5py")) == []


@pytest.mark.rest
def test_a_cycle_loads_what_trains_only_when_it_trains() -> None:
    """Most nights have no new photos."""
    assert loaded(["trainer.retrain.screen"], ("tensorflow", "keras")) == []


def test_labelling_on_this_machine_needs_no_queue() -> None:
    modules = [name for name in modules_of("worker") if not name.startswith(("worker.queue.", "worker.celery"))]
    modules = [*modules_of("models"), *modules, "worker.queue.commands"]
    assert loaded([name for name in modules if name not in OPTIONAL], QUEUE_PACKAGES) == []


@pytest.mark.rest
def test_the_page_needs_no_package_that_its_extra_lacks() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras: dict[str, list[str]] = project["optional-dependencies"]

    def names(requirements: list[str]) -> set[str]:
        found = {match[0].lower() for one in requirements if (match := re.match(r"[\w.-]+(\[\w+\])?", one))}
        inner = {name.partition("[")[2].rstrip("]") for name in found if name.startswith("hangtag[")}
        return {name.partition("[")[0] for name in found}.union(*(names(extras[extra]) for extra in inner))

    asked = [one for extra, some in extras.items() if extra != "dev" for one in some]
    others = names(asked) - names(project["dependencies"] + extras["web"])
    tops = [top for top, of in packages_distributions().items() if {name.lower() for name in of} & others]
    assert {"tensorflow", "s3fs"} <= {*tops}
    assert loaded(modules_of("web"), tuple(tops)) == []


def test_a_queue_is_imported_without_side_effects(tmp_path: Path) -> None:
    """It makes no folder, thread, log handler or environment variable."""
    modules = [name for name in modules_of("worker") if name.startswith("worker.queue.")]
    code = (
        "import os, sys, threading, logging; before = dict(os.environ);"
        f"import importlib; [importlib.import_module(m) for m in {[*modules, 'worker.celery']}];"
        "print(os.environ == before, threading.active_count(), logging.getLogger().handlers, os.listdir())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout.strip() == "True 1 [] []"
