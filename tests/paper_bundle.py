"""Fake bundles for a registry, which never runs them: a manifest and its files."""

import hashlib
import shutil
from collections.abc import Sequence
from pathlib import Path

from models.bundle import labels_text
from models.drift import Reference, VariantReference
from models.manifest import Manifest, Measured, Variant
from models.preprocess import PreprocessSpec
from models.registry.history import CHALLENGER
from models.registry.registry import Registry, open_registry


def write_paper_bundle(
    folder: Path, seed: int, *, labels: Sequence[str] = ("boots", "hats"), accuracy: float = 0.5
) -> Path:
    answers = VariantReference(confidence_histogram=(0,) * 20, by_label={}, outliers=0)
    files = {
        "model.onnx": f"network {seed}".encode(),
        "labels.txt": labels_text(tuple(labels)),
        "golden/a.jpg": b"a",
        "reference.json": Reference(variants={"float32": answers}).model_dump_json().encode(),
    }
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    variant = Variant(
        file="model.onnx",
        edge=None,
        quantization=None,
        accuracy=accuracy,
        temperature=1.0,
        precision=None,
        targets=(),
        unknown=None,
    )
    manifest = Manifest(
        schema_version=1,
        name="shop",
        version=f"20261122T{seed:06d}Z",
        arch="cnn",
        labels=tuple(labels),
        preprocess=PreprocessSpec(size=32),
        taxonomy=None,
        default_variant="float32",
        default_because=None,
        variants={"float32": variant},
        files={name: hashlib.sha256(data).hexdigest() for name, data in files.items()},
        measured=Measured(accuracy=accuracy, photos=100, split="validation"),
        made_with={},
    )
    (folder / "manifest.json").write_text(manifest.model_dump_json())
    return folder


def shop_registry(folder: Path, bundle: Path) -> Registry:
    other = folder / "other"
    shutil.copytree(bundle, other)
    (other / "manifest.json").write_text((other / "manifest.json").read_text() + "\n")
    registry = open_registry(str(folder / "registry"))
    for number, each in enumerate((bundle, other), 1):
        assert registry.publish("shop", each, "made").version == number
    registry.promote("shop", 1, "first")
    return registry


def three_versions(folder: Path, refusal: str) -> Registry:
    """A registry with an earlier champion, the champion, and a challenger that a gate refused."""
    registry = open_registry(str(folder / "registry"))
    for seed, labels in ((1, ["boots", "hats"]), (2, ["boots", "coats"]), (3, ["boots", "coats"])):
        bundle = write_paper_bundle(folder / str(seed), seed, labels=labels, accuracy=0.5 + seed / 10)
        registry.publish("shop", bundle, f"made-up [{seed}]", alias=CHALLENGER)
        if seed < 3:
            registry.promote("shop", seed, "better", numbers={"points": 1.25}, cycle="000002")
    registry.refuse("shop", 3, (refusal,), {"points": -7.0})
    return registry
