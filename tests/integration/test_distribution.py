"""``pip install hangtag`` of the wheel and the source archive to publish, in an empty environment."""

import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import Distribution, distribution
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from packaging.requirements import Requirement

from tests.command import clean_environment

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PACKAGES = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
NEVER = {"tensorflow", "keras", "celery", "redis", "fastapi", "s3fs", "pytest", "setuptools"}
"""A few of the packages that belong to extras, or to nobody."""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of both files; the wheel is built from the source archive, as in the release workflow."""
    folder = tmp_path_factory.mktemp("dist")
    _run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT)
    return folder


@pytest.fixture(scope="module")
def wheel(built: Path) -> Path:
    (found,) = built.glob("*.whl")
    return found


def _run(*command: object, cwd: Path | None = None) -> str:
    env = clean_environment(PYTHONDONTWRITEBYTECODE="1", COLUMNS="200")
    env.pop("PYTHONPATH", None)
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False, env=env, cwd=cwd)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@dataclass(frozen=True)
class Environment:
    folder: Path

    def pip(self, *words: object) -> str:
        """Run this process's pip on the environment, which has no pip."""
        return _run(sys.executable, "-m", "pip", "--python", self.folder / "bin/python", *words)

    def hangtag(self, *words: object) -> str:
        return _run(self.folder / "bin/hangtag", *words, cwd=self.folder)

    def has(self, package: str) -> bool:
        looked = f"import importlib.util as u; print(u.find_spec({package!r}) is not None)"
        return _run(self.folder / "bin/python", "-c", looked, cwd=self.folder).strip() == "True"

    @property
    def packages(self) -> Path:
        (found,) = self.folder.glob("lib/python3.*/site-packages")
        return found


def _needed(requirements: list[str], extras: set[str], found: dict[str, Distribution]) -> None:
    for requirement in map(Requirement, requirements):
        marker = requirement.marker
        wanted = marker is None or any(marker.evaluate({"extra": extra}) for extra in extras or {""})
        if wanted and requirement.name not in found:
            found[requirement.name] = distribution(requirement.name)
            _needed(found[requirement.name].requires or [], requirement.extras, found)


def _link(distributions: Iterator[Distribution], to: Path) -> None:
    """Link each file of the distributions, because they may share a folder with other packages."""
    for each in distributions:
        for file in each.files or []:
            if ".." not in file.parts and "__pycache__" not in file.parts:
                place = to / file
                place.parent.mkdir(parents=True, exist_ok=True)
                if not place.exists():
                    place.symlink_to(Path(str(each.locate_file(file))))


@pytest.fixture(scope="module", params=["linked", pytest.param("index", marks=pytest.mark.proof)])
def empty(request: pytest.FixtureRequest, wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """The wheel with its dependencies: links to installed packages, or everything from the index."""
    environment = Environment(tmp_path_factory.mktemp("empty"))
    _run(sys.executable, "-m", "venv", "--without-pip", environment.folder)
    if request.param == "index":
        environment.pip("install", "--quiet", "--constraint", ROOT / "constraints.txt", wheel)
        return environment
    found: dict[str, Distribution] = {}
    with zipfile.ZipFile(wheel) as archive:
        (metadata,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        told = archive.read(metadata).decode()
    _needed(re.findall(r"^Requires-Dist: (.+)$", told, re.MULTILINE), set(), found)
    _link(iter(found.values()), environment.packages)
    environment.pip("install", "--quiet", "--no-index", "--no-deps", wheel)
    return environment


def test_an_empty_environment_labels_with_the_wheels_dependencies(
    empty: Environment, catalogue: Path, bundle: Path, tmp_path: Path
) -> None:
    assert "No broken requirements" in empty.pip("check")
    assert [name for name in sorted(NEVER) if empty.has(name)] == []
    assert "train" in empty.hangtag("--help")
    out = tmp_path / "labels.parquet"
    empty.hangtag("label", catalogue, "--model", bundle, "--out", out)
    assert "labeled" in pq.read_table(out)["status"].to_pylist()
    assert Path(f"{out}.job/receipt.html").is_file(), "its templates came along"


def _tracked(*folders: str) -> set[str]:
    told = _run("git", "ls-files", "--cached", "--others", "--exclude-standard", *folders, cwd=ROOT)
    return {name for name in told.splitlines() if (ROOT / name).exists()}


def test_the_wheel_has_all_of_the_packages_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    inside = {name for name in names if not name.startswith("hangtag-")}
    assert inside == _tracked(*PACKAGES)
    assert {"pages/templates/receipt.html", "web/static/app.js", "trainer/report/model_card.md"} <= inside
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)


def test_the_source_archive_is_what_git_knows(built: Path) -> None:
    (source,) = built.glob("*.tar.gz")
    with tarfile.open(source) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert names - {"PKG-INFO"} == _tracked()


def test_the_index_would_take_both(built: Path) -> None:
    told = _run(sys.executable, "-m", "twine", "--no-color", "check", "--strict", *sorted(built.iterdir()))
    assert told.count("PASSED") == 2
