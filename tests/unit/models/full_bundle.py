"""A bundle with every kind of file: two variants of its network, each with its edge graph, both in two formats."""

import hashlib
import json
from pathlib import Path

import onnx
import onnxruntime as ort
from onnx import helper

from exporter.edge.build import edge_graph
from models.bundle import open_bundle
from models.edge import EdgeAnswer, load_edge
from models.manifest import Manifest
from models.preprocess import whole_pixels

EXPECTED = "golden/expected.json"
FILES = {
    "float32": {"file": "model.onnx", "edge": "edge.onnx", "ort": "model.ort", "edge_ort": "edge.ort"},
    "int8": {"file": "model.int8.onnx", "edge": "edge.int8.onnx", "ort": "model.int8.ort", "edge_ort": "edge.int8.ort"},
}


def complete(bundle: Path) -> None:
    """Add to a bundle of ``model.onnx`` alone what it lacks; ``int8`` is the same network under that name."""
    manifest = open_bundle(bundle).manifest
    samples = json.loads((bundle / EXPECTED).read_text())
    for variant, files in FILES.items():
        model = restated(manifest, variant, (bundle / "model.onnx").read_bytes())
        edge = edge_graph(model, manifest.preprocess)
        (bundle / files["file"]).write_bytes(model)
        (bundle / files["edge"]).write_bytes(edge)
        _save_ort(bundle / files["file"], bundle / files["ort"])
        _save_ort(bundle / files["edge"], bundle / files["edge_ort"])
        for sample in samples:
            sample["probabilities"][variant] = sample["probabilities"]["float32"]
            if "float32" in sample["unknown"]:
                sample["unknown"][variant] = sample["unknown"]["float32"]
            said = _said(edge, bundle / sample["file"])
            sample.setdefault("edge", {})[variant] = said.probabilities.tolist()
            if said.unknown is not None:
                sample.setdefault("edge_unknown", {})[variant] = said.unknown
    (bundle / EXPECTED).write_text(json.dumps(samples))
    written = json.loads((bundle / "manifest.json").read_text())
    written["variants"] = {variant: written["variants"]["float32"] | files for variant, files in FILES.items()}
    (bundle / "manifest.json").write_text(json.dumps(written))
    list_anew(bundle, EXPECTED, *(name for files in FILES.values() for name in files.values()))


def list_anew(bundle: Path, *names: str) -> None:
    """Put the SHA-256 that some files have now into the manifest."""
    manifest = json.loads((bundle / "manifest.json").read_text())
    for name in names:
        manifest["files"][name] = hashlib.sha256((bundle / name).read_bytes()).hexdigest()
    (bundle / "manifest.json").write_text(json.dumps(manifest))


def restated(manifest: Manifest, variant: str, model: bytes) -> bytes:
    """An ONNX file with the metadata of a variant, which may be one that the manifest does not have yet."""
    metadata = manifest.metadata("float32").model_copy(update={"variant": variant})
    graph = onnx.load_from_string(model)
    helper.set_model_props(graph, {"hangtag": metadata.model_dump_json()})
    data: bytes = graph.SerializeToString()
    return data


def _save_ort(model: Path, place: Path) -> None:
    options = ort.SessionOptions()
    options.optimized_model_filepath = str(place)
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.add_session_config_entry("session.save_model_format", "ORT")
    ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _said(edge: bytes, photo: Path) -> EdgeAnswer:
    return load_edge(edge, photo.name).run(whole_pixels(photo.read_bytes()))
