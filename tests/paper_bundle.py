"""Bundles for a registry, which runs none: a manifest, and files that it lists."""

import hashlib
import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from models.bundle import labels_text
from models.preprocess import PreprocessSpec
from models.registry.registry import Registry, open_registry


def write_paper_bundle(
    folder: Path, seed: int, *, labels: Sequence[str] = ("boots", "hats"), accuracy: float | None = 0.5
) -> Path:
    """A bundle whose digest depends on a number; no network is in it."""
    files = {"model.onnx": f"network {seed}".encode(), "labels.txt": labels_text(tuple(labels)), "golden/a.jpg": b"a"}
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    variant = {
        "file": "model.onnx",
        "accuracy": accuracy,
        "temperature": 1.0,
        "thresholds": [None] * len(labels),
    }
    manifest = {
        "schema_version": 1,
        "name": "shop",
        "version": f"20261122T{seed:06d}Z",
        "arch": "cnn",
        "labels": list(labels),
        "preprocess": PreprocessSpec(size=32).model_dump(mode="json"),
        "default_variant": "float32",
        "variants": {"float32": variant},
        "files": {name: hashlib.sha256(data).hexdigest() for name, data in files.items()},
        "accuracy": None,
        "made_with": {},
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def shop_registry(folder: Path, bundle: Path) -> Registry:
    """``shop@1`` is the bundle, and champion; ``shop@2`` is another one."""
    other = folder / "other"
    shutil.copytree(bundle, other)
    (other / "manifest.json").write_text((other / "manifest.json").read_text() + "\n")
    registry = open_registry(str(folder / "registry"))
    for number, each in enumerate((bundle, other), 1):
        assert registry.publish("shop", each, "made").version == number
    registry.promote("shop", 1, "first")
    return registry
