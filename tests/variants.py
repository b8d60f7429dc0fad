"""Bundles with a lighter variant as their default, and golden samples that this machine does not repeat."""

import json
import shutil
from pathlib import Path

from models.bundle import open_bundle
from tests.unit.models.full_bundle import list_anew, restated

BECAUSE = "int8 is 1.42 times as fast as float32"
_EXPECTED = "golden/expected.json"
_REFERENCE = "reference.json"


def with_int8(bundle: Path, place: Path) -> None:
    """Copy a bundle and add ``int8``, its default from then on: the same network under that name."""
    shutil.copytree(bundle, place)
    model = restated(open_bundle(bundle).manifest, "int8", (bundle / "model.onnx").read_bytes())
    (place / "model.int8.onnx").write_bytes(model)
    samples, answers = (json.loads((place / name).read_text()) for name in (_EXPECTED, _REFERENCE))
    for said in [*(sample[what] for sample in samples for what in ("probabilities", "unknown")), answers["variants"]]:
        if "float32" in said:
            said["int8"] = said["float32"]
    (place / _EXPECTED).write_text(json.dumps(samples))
    (place / _REFERENCE).write_text(json.dumps(answers))
    manifest = json.loads((place / "manifest.json").read_text())
    manifest["variants"]["int8"] = manifest["variants"]["float32"] | {"file": "model.int8.onnx"}
    manifest |= {"default_variant": "int8", "default_because": BECAUSE}
    (place / "manifest.json").write_text(json.dumps(manifest))
    list_anew(place, "model.int8.onnx", _EXPECTED, _REFERENCE)


def falsify(bundle: Path, *variants: str) -> None:
    """Give the next class each probability of some variants' golden samples: no machine repeats them."""
    samples = json.loads((bundle / _EXPECTED).read_text())
    for said in (sample["probabilities"] for sample in samples):
        said |= {variant: [*said[variant][-1:], *said[variant][:-1]] for variant in variants}
    (bundle / _EXPECTED).write_text(json.dumps(samples))
    list_anew(bundle, _EXPECTED)
