"""Bulk labelling: Hangtag on this machine and on a queue, a bare loop, and other programs.

All label the same photos with the same network, as whole commands, in turns. ``python benchmarks/bench.py --only bulk``
runs it.
"""

import csv
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
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
POOL = "Pillow + ONNX Runtime, process pool"
BEFORE = "hangtag label before"
DEFAULT = "default network"
PEER_SCRIPTS: dict[str, tuple[str, list[str]]] = {
    POOL: ("onnxruntime", ["process_pool.py", "onnxruntime"]),
    "Pillow + OpenVINO, process pool": ("openvino", ["process_pool.py", "openvino"]),
    "Keras predict": ("keras", ["keras_predict.py"]),
    "PyTorch DataLoader": ("torch", ["torch_predict.py"]),
    "Ray Data map_batches": ("ray", ["ray_data.py"]),
}
"""Name → the environment of its own (``peers/*.txt``), and its script with what comes first on its command line."""
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
"""The limit: the same decoding and ONNX file, nothing else. Photos that cannot be decoded end it. It prints its seconds
without imports and loading."""
BARE_LOOPS = """
import subprocess, sys
loops = [subprocess.Popen([sys.executable, "-c", *sys.argv[1:4], share]) for share in sys.argv[4:]]
sys.exit(any([loop.wait() for loop in loops]))
"""


@dataclass(frozen=True)
class Labelled:
    """One turn of one contestant: a command, the seconds of it after its start, and each photo's label."""

    ran: Ran
    labelling_s: float
    labels: Mapping[str, str]


def measure(
    material: Material, count: int, before: Path | None, default: Material | None, show: Callable[[str], None]
) -> dict[str, Any]:
    """All contestants; ``count`` turns each.

    ``before`` is a checkout of an earlier version, to compare with, and ``default`` the same photos with the network
    that Hangtag chooses by itself.
    """
    variants = [name for name in ("float32", "int8") if name in material.manifest["variants"]]
    pythons = {name: peer_python(environment, show) for name, (environment, _) in PEER_SCRIPTS.items()}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        contestants: dict[str, Callable[[], Labelled]] = {}
        for variant in variants:
            contestants |= _own(material, variant, folder)
        if default:
            contestants[f"{LABEL}, {DEFAULT}"] = lambda: replace(label(default, "auto", folder), labels={})
        if before:
            known = _without_reason(material, folder)
            contestants[f"{BEFORE}, float32"] = partial(label, known, "float32", folder, before.resolve())
        for name, (_, script) in PEER_SCRIPTS.items():
            contestants[f"{name}, float32"] = partial(peer, material, pythons[name], script, folder)
        found = turns(contestants, count, show)
    return _said(material, count, found, "float32", variants)


def measure_long(material: Material, count: int, show: Callable[[str], None]) -> dict[str, Any]:
    """Hangtag and the bare loop with the default variant; ``count`` turns each."""
    variant = material.manifest["default_variant"]
    with tempfile.TemporaryDirectory() as scratch:
        found = turns(_own(material, variant, Path(scratch)), count, show)
    return _said(material, count, found, variant, [variant])


def _own(material: Material, variant: str, folder: Path) -> dict[str, Callable[[], Labelled]]:
    return {
        f"{LABEL}, {variant}": partial(label, material, variant, folder),
        f"{QUEUE}, {variant}": partial(queue, material, variant, folder),
        f"{BARE}, {variant}": partial(bare_loop, material, variant, folder),
    }


def _said(
    material: Material, count: int, found: Mapping[str, list[Labelled]], expected: str, variants: Sequence[str]
) -> dict[str, Any]:
    """What results.json keeps; "same labels" compares with ``hangtag label`` in the variant ``expected``."""
    images, labels = len(material.names), found[f"{LABEL}, {expected}"][0].labels
    return {
        "photos": material.said(),
        "default_variant": material.manifest["default_variant"],
        "default_because": material.manifest.get("default_because", ""),
        "turns": count,
        "contestants": {name: _figures(found[name], images, labels) for name in found},
        "ratios": _ratios(found, variants),
    }


def _figures(found: list[Labelled], images: int, expected: Mapping[str, str]) -> dict[str, Any]:
    said = found[0].labels
    return {
        "images_per_s": spread([images / one.ran.seconds for one in found]),
        "images_per_s_after_start": spread([images / one.labelling_s for one in found]),
        "processor_ms_per_photo": spread([1000 * one.ran.processor_s / images for one in found]),
        "own_ms_per_photo": spread([1000 * one.ran.own_s / images for one in found]),
        "memory_mb": spread([one.ran.memory_mb for one in found]),
        "same_labels": sum(said[name] == label for name, label in expected.items()) / images if said else None,
    }


def _ratios(found: Mapping[str, list[Labelled]], variants: Sequence[str]) -> dict[str, Any]:
    """Of whole commands, of images a second; above 1, the first is the quicker."""
    seconds = {name: [one.ran.seconds for one in turns] for name, turns in found.items()}
    compared: dict[str, Any] = {}
    for variant in variants:
        for ours in (LABEL, QUEUE):
            name, bare = f"{ours}, {variant}", f"{BARE}, {variant}"
            compared[f"{name} / {bare}"] = ratios(seconds[bare], seconds[name])
        after = [[one.labelling_s for one in found[f"{name}, {variant}"]] for name in (BARE, LABEL)]
        compared[f"{LABEL}, {variant} / {BARE}, {variant}, both after their start"] = ratios(*after)
    for name in (f"{LABEL}, {variant}" for variant in (*variants, DEFAULT)):
        for other in (f"{other}, float32" for other in (*PEER_SCRIPTS, BEFORE)):
            if name in found and other in found:
                compared[f"{name} / {other}"] = ratios(seconds[other], seconds[name])
    return compared


def label(material: Material, variant: str, folder: Path, version: Path | None = None) -> Labelled:
    """``hangtag label`` with a process a core, of the checkout ``version`` or of this one."""
    output = _fresh(folder, "labels.parquet")
    command = [sys.executable, "-P", "-m", "hangtag", "label", material.photos, "--model", material.bundle]
    environment = {"PYTHONPATH": str(version)} if version else {}
    ran = run([*command, "--variant", variant, "--out", output, "--workers", cores(), "--json"], environment)
    return Labelled(ran, len(material.names) / json.loads(ran.said)["images_per_s"], _labels(output))


def _without_reason(material: Material, folder: Path) -> Material:
    """Copy the bundle for versions before 2026-11-23, whose manifests gave no reason for the default."""
    bundle = Path(shutil.copytree(material.bundle, folder / "before"))
    without = {key: value for key, value in material.manifest.items() if key != "default_because"}
    (bundle / "manifest.json").write_text(json.dumps(without))
    return replace(material, bundle=bundle)


def queue(material: Material, variant: str, folder: Path) -> Labelled:
    """``hangtag submit`` to a waiting worker with a slot a core and a loaded model, until the receipt is written."""
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
            Ran(seconds, used, submitted.own_s, memory.together_mb, 0.0, ""),
            labelling_s,
            _labels(jobs / "bulk" / RESULT_FILE),
        )


@contextmanager
def waiting_worker(
    folder: Path, further: Mapping[str, str] | None = None, storage: str = ""
) -> Iterator[tuple[dict[str, str], list[int], Path]]:
    """A private Redis and a worker with a slot a core: their environment, process numbers, folder of jobs.

    The folder of jobs is new, or ``storage``: an ``s3://`` URL that needs the ``further`` environment.
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
    """A bare loop in a process a core, each with its share of the photos."""
    shares = []
    for number in range(cores()):
        shares.append(folder / f"share-{number}.txt")
        shares[-1].write_text("\n".join(material.names[number :: cores()]))
    ran = run([sys.executable, "-c", BARE_LOOPS, BARE_LOOP, material.bundle, variant, *shares])
    return Labelled(ran, max(map(float, ran.said.split())), {})


def peer(material: Material, python: Path, script: list[str], folder: Path) -> Labelled:
    """Another program, in its own environment."""
    output = _fresh(folder, "peer.csv")
    file, *first = script
    words = [*first, material.for_peers, material.photos, output, material.size, cores()]
    ran = run([python, "-P", PEERS / file, *words], {"PYTHONPATH": ""})
    with output.open(newline="") as rows:
        labels = dict(csv.reader(rows))
    if len(labels) != len(material.names):
        sys.exit(f"{file} labelled {len(labels):,} of {len(material.names):,} photos.")
    return Labelled(ran, json.loads(ran.said.splitlines()[-1])["labelling_s"], labels)


def _fresh(folder: Path, name: str) -> Path:
    return Path(tempfile.mkdtemp(dir=folder)) / name


def _labels(result: Path) -> dict[str, str]:
    table = pq.read_table(result, columns=["image", "label"])
    return dict(zip(*table.to_pydict().values(), strict=True))
