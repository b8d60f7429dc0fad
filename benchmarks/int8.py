"""int8 of every trained network: points of accuracy, agreement with float32, speed on one thread, size.

    python benchmarks/int8.py clothing/ --judge clothing/test [--size 64] [--mobilenet-weights FILE]
    python benchmarks/int8.py --judge clothing/test --run runs/train/shop [runs/train/other ...]

Trains each network for 12 epochs from random weights (``mobilenet`` 0.25 from ``--mobilenet-weights``), or uses the
finished runs of ``--run``. ``hangtag export`` makes int8 with 7-bit weights and checks it as usual. Then int8 is
measured on the class folders of ``--judge``, which must be new to training and export.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from exporter.cost import Drop, drop
from exporter.options import ExportOptions, load_tensorflow
from models.bundle import Bundle, open_bundle
from models.errors import ImageError
from models.preprocess import preprocess

ARCHITECTURES = ("cnn", "mobilenet", "mobilenet_v2", "mobilenet_v3_large", "efficientnet_v2_b0")


def main() -> None:
    """Train or open runs, export, measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path, nargs="?", help="what to train on")
    parser.add_argument("--run", type=Path, nargs="+", default=[], help="finished runs")
    parser.add_argument("--judge", type=Path, required=True)
    parser.add_argument("--arch", nargs="+", default=list(ARCHITECTURES), choices=ARCHITECTURES)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--mobilenet-weights", type=Path)
    asked = parser.parse_args()
    if not asked.run and asked.photos is None:
        parser.error("give photos to train on, or runs")
    headings = ("network", "px", "float32", "lost on validation (95%)", "estimate", "lost when judged (95%)", "agrees")
    table = Table(*headings, "times as fast (with decoding)", "MB (of float32's)", "in float", title=str(asked.judge))
    load_tensorflow()
    with tempfile.TemporaryDirectory() as scratch:
        runs = asked.run or [_trained(arch, asked, Path(scratch)) for arch in asked.arch]
        for number, run in enumerate(runs):
            table.add_row(*_row(run, asked.judge, Path(scratch) / f"bundle{number}"))
    Console(width=200).print(table)


def _trained(arch: str, asked: argparse.Namespace, runs: Path) -> Path:
    weights = asked.mobilenet_weights if arch == "mobilenet" else None
    start = ["--weights", str(weights or "none")]
    command = [sys.executable, "-m", "hangtag", "train", str(asked.photos), "--arch", arch, "--name", arch, *start]
    command += ["--image-size", str(asked.size), "--epochs", "12", "--batch", "16", "--folds", "0"]
    subprocess.run([*command, "--out", str(runs)], check=True, stdout=sys.stderr)
    return runs / arch


def _row(run: Path, judge: Path, place: Path) -> tuple[str, ...]:
    from exporter.export import export_run

    proof = export_run(run, place, ExportOptions(int8=True)).proof
    bundle = open_bundle(place)
    name, size = bundle.manifest.arch, str(bundle.manifest.preprocess.size)
    if proof.refusal:
        return name, size, "", proof.refusal.reason, *[""] * 6
    made, judged = proof.variants[1].facts, _judged(bundle, judge)
    if made is None:
        raise AssertionError(proof.variants[1].name)
    cost = made.cost
    bytes_of = [len(variant.model) / 1e6 for variant in proof.variants]
    return (
        *(name, size, f"{judged.reference:.3f} of {judged.photos:,}"),
        *(_points(cost), f"{cost.estimate:.2f}", _points(judged), f"{judged.agreement:.1%}"),
        f"{made.gain:.2f} ({made.whole_gain:.2f})",
        f"{bytes_of[1]:.2f} ({bytes_of[1] / bytes_of[0]:.2f})",
        str(len(made.quantization.float_layers)),
    )


def _points(cost: Drop) -> str:
    return f"{cost.points:.2f} ({cost.points_95[0]:.2f} to {cost.points_95[1]:.2f})"


def _judged(bundle: Bundle, folder: Path) -> Drop:
    from exporter.parity import onnx_scores

    pixels, labels = [], []
    for number, label in enumerate(bundle.manifest.labels):
        for file in sorted((folder / label).iterdir()):
            try:
                pixels.append(preprocess(file.read_bytes(), bundle.manifest.preprocess))
            except ImageError:
                continue
            labels.append(number)
    variants = (bundle.manifest.variants[name] for name in ("float32", "int8"))
    exact, rounded = (onnx_scores(bundle.read(one.file), np.stack(pixels)).probabilities for one in variants)
    return drop(exact, rounded, np.array(labels))


if __name__ == "__main__":
    main()
