"""Bulk labelling: Hangtag on this machine and on a queue, a bare loop, and other programs.

The programs are whole commands. They label the same photos with the same network, in turns.
``python benchmarks/bench.py --only bulk`` runs this module.
"""

import csv
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from material import Material, peer_python
from measuring import PeakMemory, Ran, cores, processor_s, ratios, run, spread, turns, wait_for
from workers import Workers

from worker.queue.private_redis import PrivateRedis
from worker.queue.redis_state import RedisState, connect
from worker.queue.settings import read_settings
from worker.results.finish import RESULT_FILE

PEERS = Path(__file__).parent / "peers"
WARM = 64
LABEL, QUEUE, BARE = "hangtag label", "hangtag submit, workers waiting", "bare loop"
POOLS = ("Pillow + ONNX Runtime, process pool", "Pillow + OpenVINO, process pool")
PEER_SCRIPTS: dict[str, tuple[str, list[str]]] = {
    POOLS[0]: ("onnxruntime", ["process_pool.py", "onnxruntime"]),
    POOLS[1]: ("openvino", ["process_pool.py", "openvino"]),
    "Keras predict": ("keras", ["keras_predict.py"]),
    "PyTorch DataLoader": ("torch", ["torch_predict.py"]),
    "Ray Data map_batches": ("ray", ["ray_data.py"]),
}
"""Program → its environment (``peers/*.txt``), and its script with the first arguments."""
KERAS = ("keras_predict.py", "torch_predict.py")
"""Scripts that run the Keras network; the other scripts run the ONNX file."""
PARTS: dict[str, list[tuple[str, str]]] = {
    "bulk": [(name, "int8") for name in (LABEL, QUEUE, BARE, *POOLS)],
    "long": [(name, "int8") for name in (LABEL, QUEUE, BARE)],
    "default": [(name, "int8") for name in (LABEL, BARE, *POOLS)],
    "float32": [(LABEL, "int8"), *((name, "float32") for name in (LABEL, *PEER_SCRIPTS))],
    "start": [(name, "int8") for name in (LABEL, BARE)],
}
"""Part → programs, each with the variant that the program runs."""
BARE_LOOP = """
import sys, time
from pathlib import Path
import numpy as np
from models.classifier import BATCH, load
from models.preprocess import preprocess
classifier = load(sys.argv[1], sys.argv[2])
spec = classifier.metadata.preprocess
names = Path(sys.argv[3]).read_text().splitlines()
began = time.monotonic()
for start in range(0, len(names), BATCH):
    pixels = [preprocess(Path(name).read_bytes(), spec) for name in names[start:start + BATCH]]
    classifier.predict(np.stack(pixels))
print(time.monotonic() - began)
"""
"""The upper limit of the speed: only Hangtag's decoding and its ONNX file. Fails if a photo cannot be decoded. Prints
the seconds without imports and loading."""
BARE_LOOPS = """
import subprocess, sys
loops = [subprocess.Popen([sys.executable, "-c", *sys.argv[1:4], share]) for share in sys.argv[4:]]
sys.exit(any([loop.wait() for loop in loops]))
"""


@dataclass(frozen=True)
class Labelled:
    """One turn of a program: the command, the seconds after the program's start, and each photo's label.

    ``precisions`` has the precisions that the runtime chose; empty if it makes no choice.
    """

    ran: Ran
    labelling_s: float
    labels: Mapping[str, str]
    precisions: Sequence[str] = ()


def measure(part: str, material: Material, count: int, show: Callable[[str], None]) -> dict[str, Any]:
    """Measure the programs of a part in ``count`` turns, after a turn with few photos to warm up."""
    with tempfile.TemporaryDirectory() as scratch:
        ways = {LABEL: label, QUEUE: queue, BARE: bare_loop}
        for name, (environment, script) in PEER_SCRIPTS.items():
            if any(name == program for program, _ in PARTS[part]):
                ways[name] = partial(peer, peer_python(environment, show), script)

        def contestants(photos: Material) -> dict[str, Callable[[], Labelled]]:
            return {
                f"{program}, {variant}": partial(ways[program], photos, variant, Path(scratch))
                for program, variant in PARTS[part]
            }

        for name in material.names:
            Path(name).read_bytes()  # fills the disk cache
        found = turns(contestants(material), count, show, contestants(material.few()))
    images, expected = len(material.names), found[f"{LABEL}, {PARTS[part][-1][1]}"][0].labels
    return {
        "photos": material.said(),
        "turns": count,
        "contestants": {name: _figures(of_name, images, expected) for name, of_name in found.items()},
        "ratios": _ratios(found),
    }


def _figures(found: list[Labelled], images: int, expected: Mapping[str, str]) -> dict[str, Any]:
    labels = found[0].labels
    return {
        "seconds": spread([one.ran.seconds for one in found]),
        "images_per_s": spread([images / one.ran.seconds for one in found]),
        "images_per_s_after_start": spread([images / one.labelling_s for one in found]),
        "processor_ms_per_photo": spread([1000 * one.ran.processor_s / images for one in found]),
        "memory_mb": spread([one.ran.memory_mb for one in found]),
        "same_labels": sum(labels[name] == label for name, label in expected.items()) / images if labels else None,
        "precisions": found[0].precisions,
    }


def _ratios(found: Mapping[str, list[Labelled]]) -> dict[str, Any]:
    compared: dict[str, Any] = {}
    ours = [name for name in found if name.startswith("hangtag")]
    for other in (name for name in found if name not in ours):
        for name in ours:
            compared[f"{name} / {other}"] = ratios(*([one.ran.seconds for one in found[who]] for who in (other, name)))
        if other.startswith(BARE):
            after = ([one.labelling_s for one in found[who]] for who in (other, ours[0]))
            compared[f"{ours[0]} / {other}, both after their start"] = ratios(*after)
    return compared


def label(material: Material, variant: str, folder: Path) -> Labelled:
    """Run ``hangtag label`` with one process for each core."""
    output = _fresh(folder, "labels.parquet")
    command = [sys.executable, "-P", "-m", "hangtag", "label", material.photos, "--model", material.bundle]
    ran = run([*command, "--variant", variant, "--out", output, "--workers", cores(), "--json"])
    return Labelled(ran, len(material.names) / json.loads(ran.said)["images_per_s"], _labels(output))


def queue(material: Material, variant: str, folder: Path) -> Labelled:
    """Run ``hangtag submit`` until the receipt exists. The worker has one slot for each core and a loaded model."""
    with waiting_worker(folder) as (environment, pids, jobs):
        submit = [sys.executable, "-m", "hangtag", "submit"]
        options = ["--model", material.bundle, "--variant", variant, "--image-root", material.photos, "--job"]
        warm = folder / "warm.txt"
        warm.write_text("\n".join(os.path.relpath(name, material.photos) for name in material.names[:WARM]))
        run([*submit, warm, *options, "warm"], environment)
        _await_receipt(jobs / "warm")
        memory, before, began = PeakMemory(pids), processor_s(pids), time.monotonic()
        submitted = run([*submit, material.photos, *options[:4], "--job", "bulk"], environment)
        receipt = _await_receipt(jobs / "bulk")
        seconds = time.monotonic() - began
        used = processor_s(pids) - before + submitted.processor_s
        memory.stop()
        labelling_s = len(material.names) / json.loads(receipt.read_text())["images_per_s"]
        return Labelled(
            Ran(seconds, used, memory.together_mb, 0.0, ""),
            labelling_s,
            _labels(jobs / "bulk" / RESULT_FILE),
        )


@contextmanager
def waiting_worker(
    folder: Path, further: Mapping[str, str] | None = None, storage: str = ""
) -> Iterator[tuple[dict[str, str], list[int], Path]]:
    """Start Redis and a worker with one slot for each core; yield environment, process IDs, folder of jobs.

    The folder of jobs is new, or ``storage``: an ``s3://`` URL, for which ``further`` has environment variables.
    """
    with tempfile.TemporaryDirectory(dir=folder) as place, PrivateRedis(Path(place) / "redis") as server:
        jobs = Path(place) / "jobs"
        environment = {"HANGTAG_REDIS_URL": server.url, "HANGTAG_JOBS": storage or str(jobs), **(further or {})}
        with Workers(1, Path(place) / "logs", environment, concurrency=cores()) as workers:
            with closing(RedisState(connect(read_settings(server.url, str(jobs))))) as state:
                wait_for("a worker", state.workers, limit_s=60.0)
            yield environment, [server.pid, *workers.main_pids()], jobs


def _await_receipt(job: Path) -> Path:
    receipt = job / "receipt.json"
    wait_for(f"a receipt of the job {job.name}", receipt.exists, every_s=0.02)
    return receipt


def bare_loop(material: Material, variant: str, folder: Path) -> Labelled:
    """Run the bare loop in one process for each core, each with an equal part of the photos."""
    shares = []
    for number in range(cores()):
        shares.append(folder / f"share-{number}.txt")
        shares[-1].write_text("\n".join(material.names[number :: cores()]))
    loops = [sys.executable, "-c", BARE_LOOPS, BARE_LOOP, material.bundle, variant, *shares]
    ran = run(loops, {"OPENBLAS_NUM_THREADS": "1"})
    return Labelled(ran, max(map(float, ran.said.split())), {})


def peer(python: Path, script: list[str], material: Material, variant: str, folder: Path) -> Labelled:
    """Run another program in its own environment."""
    output = _fresh(folder, "peer.csv")
    file, *first = script
    if file not in KERAS and variant not in material.onnx:
        sys.exit(f"Expected an {variant} variant in {material.bundle}; the export refused this variant.")
    model = material.keras if file in KERAS else material.onnx[variant]
    words = [*first, model, material.bundle / "labels.txt", material.photos, output, material.network.size, cores()]
    ran = run([python, "-P", PEERS / file, *words], {"PYTHONPATH": "", "OPENBLAS_NUM_THREADS": "1"})
    with output.open(newline="") as rows:
        labels = dict(csv.reader(rows))
    if len(labels) != len(material.names):
        sys.exit(f"{file} labelled {len(labels):,} of {len(material.names):,} photos.")
    return Labelled(ran, labels=labels, **json.loads(ran.said.splitlines()[-1]))


def _fresh(folder: Path, name: str) -> Path:
    return Path(tempfile.mkdtemp(dir=folder)) / name


def _labels(result: Path) -> dict[str, str]:
    table = pq.read_table(result, columns=["image", "label"])
    return dict(zip(*table.to_pydict().values(), strict=True))
