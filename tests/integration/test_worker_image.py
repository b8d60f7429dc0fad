"""Run the steps of ``docker/worker.Dockerfile`` without Docker, and a worker from the result that is not root."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.docker_files import ROOM, environment_of, read_dockerfile
from worker.queue.private_redis import PrivateRedis

from .jobs import assert_same, photo_names, write_list
from .processes import WorkerProcess

pytestmark = pytest.mark.proof

NAME = "worker.Dockerfile"
UID = 65532
MEGA = 1_000_000
MOST_MB = 600
TRAINS = {"tensorflow", "keras", "onnx", "tf2onnx", "h5py", "sklearn", "scipy", "matplotlib", "faiss"}


@dataclass(frozen=True)
class Image:
    """The installed files, under a folder in place of ``/``.

    Attributes:
        root: this folder; all users may read it, and the worker cannot write to it.
        own: the worker's own folder, in place of its volumes and tmpfs.
    """

    root: Path
    own: Path

    @property
    def venv(self) -> Path:
        return self.root / "opt" / "hangtag"

    @property
    def packages(self) -> Path:
        (found,) = self.venv.glob("lib/python3.*/site-packages")
        return found

    def environment(self, **added: str) -> dict[str, str]:
        """The variables of ``ENV``, with moved folders and no variables of this process."""
        said = environment_of(read_dockerfile(NAME))
        moved = {name: self._moved(value) for name, value in said.items()}
        return {**moved, "PATH": f"{self.venv}/bin:/usr/bin:/bin", **added}

    def _moved(self, value: str) -> str:
        return str(self.own / value.rpartition("/")[2]) if value.startswith(("/var/", "/tmp", "/run/")) else value  # noqa: S108

    def run(self, *arguments: str, **added: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            _as_worker(str(self.venv / "bin" / "hangtag"), *arguments),
            env=self.environment(**added),
            capture_output=True,
            text=True,
            check=False,
            cwd=self.own,
            timeout=120,
        )


def _as_worker(*command: str) -> list[str]:
    """Run as another user if possible, with only the right to read: our Python may lie in root's own folder."""
    if os.geteuid() != 0:
        return list(command)
    rights = [f"--{kind}={sign}dac_read_search" for kind, sign in (("inh-caps", "-all,+"), ("ambient-caps", "+"))]
    user = [
        f"--reuid={UID}",
        f"--regid={UID}",
        "--clear-groups",
        "--no-new-privs",
        "--bounding-set=-all,+dac_read_search",
    ]
    return ["setpriv", *user, *rights, *command]


@pytest.fixture(scope="module")
def image() -> Iterator[Image]:
    """In a folder that another user can reach; pytest's and this process's temporary folders are private."""
    root = Path(tempfile.mkdtemp(prefix="hangtag-image-", dir="/var/tmp"))
    root.chmod(0o755)
    try:
        source = root / "source"
        source.mkdir()
        _build(source, root)
        own = root / "own"
        for folder in (own, own / "hangtag", own / "tmp"):
            folder.mkdir()
            if os.geteuid() == 0:
                os.chown(folder, UID, UID)
        yield Image(root, own)
    finally:
        shutil.rmtree(root)


def _build(source: Path, root: Path) -> None:
    """Run the first stage; here pip may use its cache, which the image must not keep."""
    steps = [step for step in read_dockerfile(NAME) if step.stage == 0]
    for step in steps:
        if step.verb == "COPY":
            *files, _ = step.rest.split()
            for file in files:
                _copy(ROOM.parent / file, source / file)
        elif step.verb == "RUN":
            command = step.rest.replace("/opt/hangtag", f"{root}/opt/hangtag").replace("--no-cache-dir ", "--quiet ")
            env = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
            env.pop("PYTHONPATH", None)
            subprocess.run(command, shell=True, check=True, cwd=source, env=env)  # noqa: S602
    assert Counter(step.verb for step in steps)["RUN"] == 1


def _copy(file: Path, to: Path) -> None:
    if file.is_dir():
        shutil.copytree(file, to, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copy(file, to)


def size_mb(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink()) / MEGA


def sizes(image: Image) -> dict[str, float]:
    found = {path.name: size_mb(path) for path in image.packages.iterdir() if path.is_dir()}
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def test_it_holds_what_labels_and_nothing_that_trains(image: Image) -> None:
    found = sizes(image)
    whole = size_mb(image.venv)
    print(json.dumps({"MB": round(whole), **{name: round(mb, 1) for name, mb in list(found.items())[:14]}}))
    assert not TRAINS & {name.lower() for name in found}
    assert {"onnxruntime", "pyarrow", "celery", "redis", "s3fs"} <= set(found)
    assert whole < MOST_MB
    assert image.run("--version").returncode == 0
    shown = image.run("worker", "--help")
    assert shown.returncode == 0, shown.stderr
    assert "--workers" in shown.stdout


def test_the_images_worker_labels_as_a_user_who_can_write_only_to_its_own_folders(
    image: Image, redis_installed: None, tmp_path: Path, catalogue: Path, bundle: Path, truth
) -> None:
    photos, model, jobs = image.root / "photos", image.root / "bundle", image.own / "jobs"
    shutil.copytree(catalogue, photos)
    shutil.copytree(bundle, model)
    names = photo_names(catalogue, 600)
    source = write_list(image.root / "list.txt", names)
    before = {path: path.stat().st_mtime_ns for path in image.venv.rglob("*")}
    beat = image.environment()["HANGTAG_HEARTBEAT"]
    assert Path(beat).parent == image.own
    with PrivateRedis(tmp_path / "redis") as server:
        lead = {"HANGTAG_REDIS_URL": server.url, "HANGTAG_JOBS": str(jobs), "HANGTAG_GRACE_S": "5"}
        options = ("--model", str(model), "--job", "spring", "--image-root", str(photos))
        done = image.run("submit", str(source), *options, **lead)
        assert done.returncode == 0, done.stderr
        with running_worker(image, tmp_path / "worker.log", lead) as worker:
            done = image.run("jobs", "watch", "spring", **lead)
            assert done.returncode == 0, done.stderr + worker.log.read_text()
            worker.terminate()
            assert worker.process.wait(20) == 0
    rows = pq.read_table(jobs / "spring" / "labels.parquet").to_pylist()
    assert_same(rows, [{"image": name, **truth[name]} for name in names])
    assert {path: path.stat().st_mtime_ns for path in image.venv.rglob("*")} == before, "the image has not changed"


@contextmanager
def running_worker(image: Image, log: Path, lead: dict[str, str]) -> Iterator[WorkerProcess]:
    command = _as_worker(str(image.venv / "bin" / "hangtag"), "worker", "--workers", "1")
    worker = WorkerProcess.start(tuple(command), log, image.environment(**lead), image.own)
    try:
        worker.wait_until_ready()
        yield worker
    finally:
        worker.kill_all()
