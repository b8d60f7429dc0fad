"""The edge graph against Python preprocessing and the same model: agreement, speed on one thread, peak memory.

    python benchmarks/edge.py bundle/ photos/

Labels are the names of the photos' folders, if all of them are labels of the model. Speed is measured on decoded
photos: Pillow's resize and the model, against the edge graph. Memory is measured in a bare process that loads one graph
and labels one photo: the memory that labelling adds to the graph and the photo.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from material import photo_list
from PIL import Image
from resident import resident_mb

from exporter.edge.build import edge_graph
from exporter.edge.prove import prove_edge
from models.bundle import open_bundle
from models.classifier import Classifier, EdgeModel, load, load_edge
from models.errors import ImageError
from models.preprocess import Pixels, preprocess_image, whole_pixels

SIZES = ((400, 533), (1600, 1600), (3000, 4000))


def main() -> None:
    """Print the results as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="a bundle, or a lone .onnx file that Hangtag exported")
    parser.add_argument("photos", type=Path, nargs="?")
    parser.add_argument("--peak", type=int, nargs=2, metavar=("HEIGHT", "WIDTH"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.peak:
        print(_peak_mb(asked.model, *asked.peak))
    elif asked.photos:
        _measure(asked.model, asked.photos)
    else:
        parser.error("name the photos, too")


def _measure(model: Path, photos: Path) -> None:
    classifier, data = load(model), _edge_bytes(model)
    edge = load_edge(data, str(model))
    files = {Path(path): Path(path).read_bytes() for path in photo_list(photos)}
    print(json.dumps({"agreement": _agreement(edge, classifier, files)}, indent=1))
    print(json.dumps({"these photos": _speed(edge, classifier, list(_whole(files)))}))
    with tempfile.TemporaryDirectory() as folder:
        graph = Path(folder) / "edge.onnx"
        graph.write_bytes(data)
        for height, width in SIZES:
            speed = _speed(edge, classifier, [_noise(height, width)] * 5)
            print(json.dumps({"size": f"{width}×{height}", **speed, "peak_mb": _peak_of(graph, height, width)}))


def _edge_bytes(model: Path) -> bytes:
    """The bundle's edge graph, or a new one from its model."""
    if model.is_dir():
        bundle = open_bundle(model)
        variant = bundle.manifest.variants[bundle.manifest.default_variant]
        if variant.edge:
            return bundle.read(variant.edge)
        return edge_graph(bundle.read(variant.file), bundle.manifest.metadata(bundle.manifest.default_variant))
    return edge_graph(model.read_bytes(), load(model).metadata)


def _agreement(edge: EdgeModel, classifier: Classifier, files: dict[Path, bytes]) -> dict[str, Any]:
    names = [path.parent.name for path in files]
    known = set(names) <= set(classifier.labels)
    labels = [classifier.labels.index(name) for name in names] if known else None
    parity = prove_edge(edge, classifier, list(files.values()), labels)
    shares = {name: getattr(parity, name) for name in ("agreement", "own_agreement", "sure_agreement")}
    return {**asdict(parity), **shares, "passed": parity.passed, "reasons": parity.reasons}


def _whole(files: dict[Path, bytes]) -> Iterator[Pixels]:
    for data in files.values():
        try:
            yield whole_pixels(data)
        except ImageError:
            continue


def _speed(edge: EdgeModel, classifier: Classifier, photos: list[Pixels]) -> dict[str, float]:
    """Median milliseconds a decoded photo, in the best of three rounds."""
    spec = classifier.metadata.preprocess

    def python(photo: Pixels) -> None:
        classifier.score(preprocess_image(Image.fromarray(photo), spec)[np.newaxis])

    return {"edge_ms": _milliseconds(edge.run, photos), "python_ms": _milliseconds(python, photos)}


def _milliseconds(label: Callable[[Pixels], object], photos: list[Pixels]) -> float:
    rounds = []
    for _ in range(3):
        seconds = []
        for photo in photos:
            started = time.perf_counter()
            label(photo)
            seconds.append(time.perf_counter() - started)
        rounds.append(float(np.median(seconds)))
    return round(min(rounds) * 1e3, 2)


def _noise(height: int, width: int) -> Pixels:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def _peak_of(graph: Path, height: int, width: int) -> float:
    command = [sys.executable, __file__, str(graph), "--peak", str(height), str(width)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def _peak_mb(graph: Path, height: int, width: int) -> float:
    """Memory that labelling one photo adds to a process with a loaded graph and photo."""
    edge, photo = load_edge(graph.read_bytes(), str(graph)), _noise(height, width)
    before = resident_mb("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # Linux: the peak counts from here
    edge.run(photo)
    return round(resident_mb("VmHWM") - before, 1)


if __name__ == "__main__":
    main()
