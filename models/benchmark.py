"""``hangtag benchmark``: size, speed and memory of each model in a bundle, on one thread of this machine.

``python -P -m models.benchmark FILE SIZE`` measures one file in a fresh process. The module imports only NumPy and ONNX
Runtime at the top, because other packages would increase the measured memory.
"""

import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from models.errors import BundleError
from models.process import python_command, python_environment, this_machine
from models.session import bare_session

if TYPE_CHECKING:
    import onnxruntime as ort

    from models.process import Machine

_ROUNDS: Final = 3
_CALLS: Final = 100
_BATCH: Final = 8
"""Number of photos in a batch, as in ``hangtag label``."""
_BATCHES: Final = 10
_SECONDS: Final = 1.0
"""Seconds after which no further call is timed."""
_WARM_UP: Final = 2
"""Number of calls before the timed calls. ONNX Runtime plans its memory in the first call."""
_EDGE_PHOTO: Final = (640, 480)
_STATUS: Final = Path("/proc/self/status")

_Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class ModelFigures:
    """Speed and memory of one model on one thread. Times exclude the decoding of photos.

    Attributes:
        file: name of the file. The test photo of an edge graph has 640×480 pixels.
        bytes: the file's size.
        p50_ms, p99_ms: median and 99th percentile of milliseconds per call with one photo.
        photos_per_s: photos per second with 8 photos per call (an edge graph: one photo per call).
        memory_mb: peak memory of a fresh process that labels photos one by one, in 10⁶ bytes.
    """

    variant: str
    file: str
    bytes: int
    p50_ms: float
    p99_ms: float
    photos_per_s: float
    memory_mb: float


def benchmark_and_show(path: Path, *, as_json: bool) -> None:
    """Measure models, and print a table or JSON on stdout. A spinner is shown on stderr."""
    from models.terminal import Console

    with Console(stderr=True).status("Measuring") as status:
        measured = benchmark(path, lambda file, turn, turns: status.update(f"Measuring {file}, {turn} of {turns}"))
    machine = this_machine()
    if as_json:
        print(json.dumps({"machine": asdict(machine), "models": [asdict(one) for one in measured]}, indent=1))
    else:
        _print(measured, machine)


def benchmark(
    path: Path, on_turn: Callable[[str, int, int], None] = lambda file, turn, turns: None
) -> list[ModelFigures]:
    """Measure a bundle's models, or a single ONNX file. Raises BundleError if a file is damaged or cannot run.

    The files are measured in turn, each time in a fresh process. So a temporary slowdown affects all files alike.
    Before each turn, ``on_turn`` gets the file, the turn's number and the number of turns.
    """
    files = _files(path)
    turns: dict[Path, list[_Turn]] = {file: [] for file in files}
    order = [*files] * _ROUNDS
    for number, file in enumerate(order, start=1):
        on_turn(file.name, number, len(order))
        turns[file].append(_turn_in_fresh_process(file, files[file][1]))
    return [_measured(variant, file, turns[file]) for file, (variant, _) in files.items()]


def _files(path: Path) -> dict[Path, tuple[str, int]]:
    from models.bundle import open_bundle, read_file
    from models.classifier import EdgeModel, load_network

    if path.is_file():
        network = load_network(read_file(path), str(path))
        size = 0 if isinstance(network, EdgeModel) else network.metadata.preprocess.size
        return {path: (network.metadata.variant, size)}
    bundle = open_bundle(path)
    files: dict[Path, tuple[str, int]] = {}
    for name, variant in bundle.manifest.variants.items():
        for file in variant.files:
            load_network(bundle.read(file), str(path / file))
            files[path / file] = (name, 0 if file == variant.edge else bundle.manifest.preprocess.size)
    return files


def _measured(variant: str, file: Path, turns: "list[_Turn]") -> ModelFigures:
    times_ms = [time_ms for turn in turns for time_ms in turn.times_ms]
    return ModelFigures(
        variant=variant,
        file=file.name,
        bytes=file.stat().st_size,
        p50_ms=median(times_ms),
        p99_ms=float(np.percentile(times_ms, 99, method="higher")),
        photos_per_s=median(turn.photos_per_s for turn in turns),
        memory_mb=median(turn.memory_mb for turn in turns),
    )


def _print(measured: list[ModelFigures], machine: "Machine") -> None:
    from rich.markup import escape
    from rich.table import Column, Table

    from models.terminal import Console, print_table, rate_text
    from models.text import number_of

    figures = ("MB", "ms p50", "ms p99", "photos/s", "memory MB")
    table = Table("file", *(Column(figure, justify="right") for figure in figures))
    for one in measured:
        speeds = (f"{one.p50_ms:.2f}", f"{one.p99_ms:.2f}", rate_text(one.photos_per_s))
        table.add_row(escape(one.file), f"{one.bytes / 1e6:.2f}", *speeds, f"{one.memory_mb:,.0f}")
    console = Console()
    print_table(table, console)
    known = f" ({', '.join(machine.instructions)})" if machine.instructions else ""
    console.say(
        f"One thread of {machine.cpu}, {number_of(machine.cores, 'core')}{known}; times exclude decoding.", "dim"
    )


@dataclass(frozen=True)
class _Turn:
    times_ms: list[float]
    photos_per_s: float
    memory_mb: float


def _turn_in_fresh_process(file: Path, size: int) -> _Turn:
    done = subprocess.run(
        python_command("models.benchmark", str(file), str(size)),
        env=python_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        why = ": ".join([f"status {done.returncode}", *done.stderr.strip().splitlines()[-1:]])
        msg = (
            f"Expected to measure {file}, but the measuring process ended with {why}; check the file with "
            "hangtag verify."
        )
        raise BundleError(msg)
    fields: dict[str, Any] = json.loads(done.stdout)
    return _Turn(**fields)


def _take_turn(file: Path, size: int) -> _Turn:
    height, width = (size, size) if size else _EDGE_PHOTO
    session = bare_session(file.read_bytes(), threads=1)
    one = photo_like(1, (height, width))
    times_ms = _timed(session, one if size else one[0], _CALLS)
    memory_mb = _peak_memory_mb()
    photos_ms = median(_timed(session, photo_like(_BATCH, (height, width)), _BATCHES)) / _BATCH if size else None
    return _Turn(times_ms, 1000 / (photos_ms or median(times_ms)), memory_mb)


def photo_like(count: int, size: tuple[int, int]) -> _Pixels:
    """Test photos: waves of colour with a little noise, ``uint8 (count, height, width, 3)``."""
    photo, row, column, colour = np.ogrid[:count, : size[0], : size[1], :3]
    waves = np.sin(row / 17 + photo) * np.cos(column / 23 + 2 * colour)
    noise = (row * 7919 + column * 104_729 + photo * 1299 + colour * 31) % 33 - 16
    pixels: _Pixels = (128 + 90 * waves + noise).astype(np.uint8)
    return pixels


def _timed(session: "ort.InferenceSession", image: _Pixels, calls: int) -> list[float]:
    for _ in range(_WARM_UP):
        session.run(None, {"image": image})
    times: list[float] = []
    end = time.perf_counter() + _SECONDS
    while not times or (len(times) < calls and time.perf_counter() < end):
        began = time.perf_counter()
        session.run(None, {"image": image})
        times.append((time.perf_counter() - began) * 1000)
    return times


def _peak_memory_mb() -> float:
    """Reads /proc if it exists, because ``getrusage`` also counts the peak of the parent process."""
    lines = _STATUS.read_text(encoding="ascii").splitlines() if _STATUS.exists() else []
    kilobytes = [int(line.split()[1]) for line in lines if line.startswith("VmHWM:")]
    unit = 1 if sys.platform == "darwin" else 1024
    return (kilobytes[0] * 1024 if kilobytes else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit) / 1e6


if __name__ == "__main__":
    print(json.dumps(asdict(_take_turn(Path(sys.argv[1]), int(sys.argv[2])))))
