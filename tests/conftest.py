"""Fixtures for the tests of all rooms: a drawn catalogue, and a small exported model."""

import fcntl
import gc
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from models.errors import JobError
from models.process import Owner, use_own_temporary_folder
from models.statistics.confidence import Confidence, PrecisionTarget, UnknownLimit
from tests.missing import skip_outside_ci
from worker.queue.private_redis import redis_binary

if TYPE_CHECKING:
    from trainer.request import TrainRequest

REDIS_MAJOR = 7

_LAWS = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}  # a loaded machine fails no law
settings.register_profile("hangtag", max_examples=40, **_LAWS)
settings.register_profile("thorough", max_examples=400, **_LAWS)  # make prove
settings.load_profile("hangtag")
SAY_WHO = "import sys; from models.process import Owner; print(Owner.this().to_json(), flush=True)"


def pytest_configure() -> None:
    """Use a temporary folder that goes with the tests, for leftovers of killed processes; pytest's own folders stay."""
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", tempfile.gettempdir())
    signal.signal(
        signal.SIGINT, signal.default_int_handler
    )  # a shell has what it starts with & ignore it; tests press it
    use_own_temporary_folder()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark whole programs for ``make test-all``, except one of each kind."""
    for item in items:
        room = item.path.relative_to(Path(__file__).parent).parts[0]
        if room in {"acceptance", "integration", "web"} and not item.get_closest_marker("first"):
            item.add_marker("rest")


def pytest_collectstart() -> None:
    gc.disable()


def pytest_collection_finish() -> None:
    """Freeze imported and collected objects, so that garbage collection skips them."""
    gc.freeze()
    gc.enable()


def pytest_xdist_auto_num_workers() -> int:
    """One process more than cores, because many tests wait for other processes; each collects all tests again."""
    return len(os.sched_getaffinity(0)) + 1


class Golden:
    """Read-only files that one process makes for all processes of a test run, in a shared folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def get(self, name: str, make: Callable[[Path], object]) -> Path:
        """The place ``name``; the first process to ask makes it, the others wait.

        It is made in its final place, because a run's files name their folder; a second file marks it as complete.
        """
        place, made = self.folder / name, self.folder / f"{name}.made"
        with (self.folder / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not made.exists():
                shutil.rmtree(place, ignore_errors=True)
                make(place)
                made.touch()
        return place


@pytest.fixture(scope="session")
def golden(tmp_path_factory: pytest.TempPathFactory) -> Golden:
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "golden"
    folder.mkdir(exist_ok=True)
    return Golden(folder)


@pytest.fixture(scope="session")
def session_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pixel cache that no earlier run of the tests has filled."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def _private_cache(session_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(session_cache))


@pytest.fixture(scope="session")
def catalogue(drawn: Path) -> Path:
    return drawn


@pytest.fixture(scope="session")
def drawn(golden: Golden) -> Path:
    """240 drawn photos in class folders, some faulty; read-only. ``products.csv`` beside the folder is the truth."""
    from trainer.sample.catalogue import draw_catalogue

    def draw(folder: Path) -> None:
        draw_catalogue(folder, 240, seed=3, table=folder.with_name("products.csv"))

    return golden.get("photos", draw)


@pytest.fixture(scope="session")
def small_run(golden: Golden, drawn: Path, session_cache: Path) -> Path:
    return golden.get("cnn", lambda run: train_small(run, drawn, session_cache))


@pytest.fixture(scope="session")
def golden_bundle() -> Path:
    """The committed bundle: float32 and int8, each with its edge graph; read-only."""
    from tests.variants import GOLDEN

    return GOLDEN


@pytest.fixture(scope="session")
def bundle(golden: Golden, reference_photos: list[Path]) -> Path:
    """The committed network as float32 only; labels half of the photos; read-only."""
    from tests.variants import derive, half_sure

    return golden.get("half-sure", lambda place: derive(place, reference_photos, calibration=half_sure(8)))


@pytest.fixture(scope="session")
def int8_bundle(golden: Golden, reference_photos: list[Path]) -> Path:
    """The same, and the network again as ``int8``, the default variant; read-only."""
    from tests.variants import derive, half_sure

    both = ("float32", "int8")
    return golden.get("int8", lambda place: derive(place, reference_photos, both, half_sure(8)))


@pytest.fixture(scope="session")
def unsure_bundle(golden: Golden, reference_photos: list[Path]) -> Path:
    """The same network in a bundle that promises no precision; read-only."""
    from tests.variants import UNSURE, derive

    return golden.get("unsure", lambda place: derive(place, reference_photos, calibration=UNSURE))


@pytest.fixture(scope="session")
def sure_bundle(golden: Golden, reference_photos: list[Path]) -> Path:
    """The same network with a table of precisions and an unknown limit; read-only.

    0.90, its own, sends some rows to review, 0.98 more, and all of the first class; 0.99 can be promised for no class.
    """
    from tests.variants import derive

    return golden.get("sure", lambda place: derive(place, reference_photos))


@pytest.fixture(scope="session")
def edge_bundle(golden: Golden, reference_photos: list[Path]) -> Path:
    """The same bundle, with ``edge.onnx``; read-only."""
    from tests.variants import derive

    return golden.get("edge", lambda place: derive(place, reference_photos, edge=True))


@pytest.fixture(scope="session")
def reference_photos(drawn: Path) -> list[Path]:
    return sorted(drawn.glob("*/*"))[::4]


@pytest.fixture(scope="session")
def sure_run(golden: Golden, small_run: Path) -> Path:
    """A run of the same network with a table of precisions and an unknown limit; read-only.

    0.90, its own, sends some rows to review, 0.98 more, and all of the first class; 0.99 can be promised for no class.
    The figures are made up: tests check that rows go where the figures send them.
    """
    return golden.get("sure-run", lambda run: _with_confidence(small_run, run, _made_up_confidence(small_run)))


@pytest.fixture(scope="session")
def sure_export(golden: Golden, sure_run: Path) -> Path:
    """The run's bundle, exported by the real command; read-only."""
    from exporter.export import export_run

    return golden.get("sure-export", lambda place: export_run(sure_run, place))


def _made_up_confidence(run: Path) -> Confidence:
    from exporter.options import load_tensorflow

    load_tensorflow()
    import keras
    import numpy as np

    from exporter.parity import keras_outputs
    from models.statistics.out_of_distribution import DistanceHead

    with np.load(run / "export" / "val.npz") as kept:
        said = keras_outputs(keras.saving.load_model(run / "weights" / "best.keras", compile=False), kept["pixels"])
    with (run / "export" / "unknown.npz").open("rb") as file:
        scores = said.scores(2.0, DistanceHead.read(file))
    some, more = np.quantile(scores.probabilities.max(axis=1), [0.3, 0.6])
    classes = scores.probabilities.shape[1]
    tables = {0.90: (some,) * classes, 0.98: (None, *(more,) * (classes - 1)), 0.99: (None,) * classes}
    targets = tuple(_target(precision, table) for precision, table in tables.items())
    limit = UnknownLimit(score="distance", limit=float(np.quantile(scores.unknown, 0.8)), kept=0.8)
    return Confidence(temperature=2.0, precision=0.90, targets=targets, unknown=limit, rows=len(scores.probabilities))


def _target(precision: float, thresholds: tuple[float | None, ...]) -> PrecisionTarget:
    half, rows = (0.5,) * len(thresholds), (9,) * len(thresholds)
    return PrecisionTarget(precision=precision, thresholds=thresholds, coverage=0.5, class_coverage=half, rows=rows)


def train_small(run: Path, catalogue: Path, cache: Path) -> None:
    """Train for ten epochs at 32 px: enough to separate the classes a little, in seconds."""
    from exporter.options import load_tensorflow

    load_tensorflow()
    from tests.paper_cycle import PaperView
    from trainer.train import train

    train(small_request(catalogue), run, cache, PaperView())


def small_request(catalogue: Path) -> "TrainRequest":
    from models.fit import Fit
    from trainer.request import Arch, TrainRequest

    return TrainRequest(data=catalogue, arch=Arch.CNN, image_size=32, fit=Fit.PAD, epochs=10, batch=16, folds=0, seed=1)


def _with_confidence(run: Path, copy: Path, confidence: Confidence) -> Path:
    shutil.copytree(run, copy)
    (copy / "confidence.json").write_text(confidence.model_dump_json())
    return copy


@pytest.fixture(scope="session")
def redis_installed() -> None:
    """Without a redis-server of version 7 or newer, skip the test, or fail it in CI."""
    skip_outside_ci(_redis_wrong())


def _redis_wrong() -> str | None:
    try:
        said = subprocess.run([redis_binary(), "--version"], capture_output=True, text=True, check=True).stdout
    except JobError as error:
        return str(error)
    found = re.search(r"v=(\d+)", said)
    if found and int(found[1]) >= REDIS_MAJOR:
        return None
    return f"Expected redis-server of version {REDIS_MAJOR} or newer, found {said.strip()!r}; install it."


@pytest.fixture(scope="session")
def ended_process() -> Owner:
    """A process of this machine that has ended."""
    done = subprocess.run([sys.executable, "-c", SAY_WHO], capture_output=True, text=True, check=True)
    return Owner.from_json(done.stdout)


@pytest.fixture
def living_process() -> Iterator[Owner]:
    """Another running process of this machine."""
    command = [sys.executable, "-c", f"{SAY_WHO}; sys.stdin.read()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        yield Owner.from_json(process.stdout.readline())
        process.communicate()
