"""Bundles of the network in ``tests/data/bundle`` with another promise, other variants, or wrong answers."""

import hashlib
import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from exporter.edge.build import edge_graph
from models.bundle import open_bundle
from models.classifier import EdgeModel, load, load_network
from models.drift import REFERENCE_FILE, Reference, VariantReference, answers_of_probabilities
from models.errors import ImageError
from models.golden import GOLDEN_FILE
from models.manifest import METADATA_KEY, ModelMetadata, Variant
from models.preprocess import PreprocessSpec, preprocess, whole_pixels
from models.statistics.confidence import Calibration, PrecisionTarget

GOLDEN = Path(__file__).parent / "data" / "bundle"
BECAUSE = "int8 is 1.42 times as fast as float32"
UNSURE = Calibration(temperature=3.0, precision=None, targets=(), unknown=None)
SPEC = PreprocessSpec(size=32)


def half_sure(classes: int) -> Calibration:
    half = (0.5,) * classes
    target = PrecisionTarget(precision=0.90, thresholds=half, coverage=0.5, class_coverage=half, rows=(9,) * classes)
    return Calibration(temperature=3.0, precision=0.90, targets=(target,), unknown=None)


def derive(
    place: Path,
    photos: Sequence[Path],
    variants: Sequence[str] = ("float32",),
    calibration: Calibration | None = None,
    *,
    edge: bool = False,
    change: Callable[[onnx.GraphProto], object] = lambda graph: None,
) -> Path:
    """Make a bundle with the golden bundle's float32 under each of these variants' names; the last is the default."""
    golden = open_bundle(GOLDEN)
    shutil.copytree(GOLDEN, place, ignore=shutil.ignore_patterns("*.onnx"))
    manifest = json.loads((place / "manifest.json").read_text())
    rules = calibration or golden.manifest.variants["float32"]
    promise = {field: getattr(rules, field) for field in Calibration.model_fields}
    models: dict[str, bytes] = {}
    for name in variants:
        ending = "onnx" if name == "float32" else f"{name}.onnx"
        metadata = golden.manifest.metadata("float32").model_copy(update={"variant": name, **promise})
        network = onnx.load_from_string(golden.read("model.onnx"))
        change(network.graph)
        models[f"model.{ending}"] = restated(network.SerializeToString(), metadata)
        if edge:
            models[f"edge.{ending}"] = edge_graph(models[f"model.{ending}"], metadata)
        listed = {"file": f"model.{ending}", "edge": f"edge.{ending}" if edge else None, "quantization": None}
        manifest["variants"][name] = Variant(accuracy=0.5, **listed, **promise).model_dump(mode="json")
    manifest["variants"] = {name: manifest["variants"][name] for name in variants}
    manifest |= {"default_variant": variants[-1], "default_because": BECAUSE if variants[1:] else None}
    manifest["files"] = {name: digest for name, digest in manifest["files"].items() if not name.endswith(".onnx")}
    (place / "manifest.json").write_text(json.dumps(manifest, indent=1))
    for name, data in models.items():
        (place / name).write_bytes(data)
    _answer_anew(place, models)
    list_anew(place, *models)
    _refer_anew(place, photos)
    return place


def restated(model: bytes, metadata: ModelMetadata) -> bytes:
    graph = onnx.load_from_string(model)
    temperature = next(array for array in graph.graph.initializer if array.name == "temperature")
    temperature.CopyFrom(numpy_helper.from_array(np.array(metadata.temperature, np.float32), "temperature"))
    if metadata.unknown is None:
        kept = [output for output in graph.graph.output if output.name != "unknown"]
        del graph.graph.output[:]
        graph.graph.output.extend(kept)
    helper.set_model_props(graph, {METADATA_KEY: metadata.model_dump_json()})
    return bytes(graph.SerializeToString())


def list_anew(bundle: Path, *names: str) -> None:
    digests = {name: hashlib.sha256((bundle / name).read_bytes()).hexdigest() for name in names}
    rewrite(bundle, "manifest.json", lambda manifest: manifest["files"].update(digests))


def rewrite(bundle: Path, name: str, change: Callable[[Any], object]) -> None:
    contents = json.loads((bundle / name).read_text())
    change(contents)
    (bundle / name).write_text(json.dumps(contents))
    if name != "manifest.json":
        list_anew(bundle, name)


def falsify(bundle: Path, *variants: str) -> None:
    def turn(expected: Any) -> None:
        for sample in expected["samples"]:
            for variant in variants:
                answer = sample["answers"]["model.onnx" if variant == "float32" else f"model.{variant}.onnx"]
                answer["probabilities"] = [*answer["probabilities"][-1:], *answer["probabilities"][:-1]]

    rewrite(bundle, GOLDEN_FILE, turn)


def _answer_anew(bundle: Path, models: dict[str, bytes]) -> None:
    def answer(expected: Any) -> None:
        for sample in expected["samples"]:
            data, sample["answers"] = (bundle / sample["file"]).read_bytes(), {}
            for name, model in models.items():
                network = load_network(model, name)
                if isinstance(network, EdgeModel):
                    scores = network.run(whole_pixels(data)).as_scores()
                else:
                    scores = network.score(preprocess(data, SPEC)[np.newaxis])
                unknown = None if scores.unknown is None else float(scores.unknown[0])
                sample["answers"][name] = {"probabilities": scores.probabilities[0].tolist(), "unknown": unknown}

    rewrite(bundle, GOLDEN_FILE, answer)


def _refer_anew(bundle: Path, photos: Sequence[Path]) -> None:
    pixels = np.stack([one for one in map(_pixels, photos) if one is not None])
    classifiers = {name: load(bundle, name) for name in open_bundle(bundle).manifest.variants}
    answers = {
        name: VariantReference(**dict(answers_of_probabilities(one.predict(pixels), one.labels)) | {"outliers": 0})
        for name, one in classifiers.items()
    }
    (bundle / REFERENCE_FILE).write_text(Reference(variants=answers).model_dump_json(indent=1))
    list_anew(bundle, REFERENCE_FILE)


def _pixels(photo: Path) -> np.ndarray | None:
    try:
        return preprocess(photo.read_bytes(), SPEC)
    except (ImageError, OSError):
        return None
