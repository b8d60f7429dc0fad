import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from models.golden import GoldenSample, dump_golden
from models.manifest import Manifest, Variant
from tests.unit.models.benchmark.colours import COLOURS, LABELS, manifest_of, model_bytes, names_of, picture


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Class folders: two photos a class, one of which a model that likes red by 30 levels takes for red."""
    folder = tmp_path / "photos"
    near = {"red": (150, 140, 20), "green": (130, 150, 20), "blue": (130, 20, 150)}
    for label in LABELS:
        (folder / label).mkdir(parents=True)
        picture(COLOURS[label]).save(folder / label / "sure.png")
        picture(near[label]).save(folder / label / "near.png")
    return folder


MakeBundle = Callable[..., Path]


@pytest.fixture
def make_bundle(tmp_path: Path) -> MakeBundle:
    """A bundle of ``float32`` and ``int8``, which likes red, each with an edge graph."""

    def make(accuracy: float | None = 0.75, edges: bool = True) -> Path:
        names = {"float32": "", "int8": ".int8"}
        variants = {
            name: Variant(
                file=f"model{suffix}.onnx",
                edge=f"edge{suffix}.onnx" if edges else None,
                accuracy=accuracy,
                temperature=1.0,
                thresholds=(0.5,) * 3,
            )
            for name, suffix in names.items()
        }
        files = {"labels.txt": "".join(f"{label}\n" for label in LABELS).encode()}
        place = tmp_path / "bundle"
        (place / "golden").mkdir(parents=True)
        for label, colour in COLOURS.items():
            picture(colour).save(place / "golden" / f"{label}.png")
            files[f"golden/{label}.png"] = (place / "golden" / f"{label}.png").read_bytes()
        samples = (GoldenSample(file="golden/red.png", kind="photo", probabilities={}),)
        files["golden/expected.json"] = dump_golden(samples)
        manifest = manifest_of(variants, dict.fromkeys(names_of(variants, files), "0" * 64))
        for name, variant in variants.items():
            bias = 30.0 if name == "int8" else 0.0
            files[variant.file] = model_bytes(manifest, name, bias)
            if variant.edge:
                files[variant.edge] = model_bytes(manifest, name, bias, edge=True)
        digests = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
        for name, data in files.items():
            (place / name).write_bytes(data)
        (place / "manifest.json").write_text(manifest_of(variants, digests).model_dump_json())
        return place

    return make


@pytest.fixture
def manifest() -> Manifest:
    """Of one variant that has a file for squares."""
    variant = Variant(file="model.onnx", temperature=1.0, thresholds=(0.5,) * 3)
    return manifest_of({"float32": variant}, {"model.onnx": "0" * 64})
