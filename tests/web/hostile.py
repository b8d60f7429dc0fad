"""A catalogue with markup in every name: classes, files, columns, cells, and the result."""

import csv
import hashlib
import json
import shutil
from pathlib import Path

import onnx

from models.bundle import labels_text
from models.manifest import METADATA_KEY
from worker.label import label
from worker.request import LabelRequest

MARKUP = "<img src=x onerror=alert(1)>"
SHAPES = (
    f"{MARKUP} {{n}}",
    f'"{MARKUP}"{{n}}',
    f"'>{MARKUP}<b title='{{n}}",
    f"</title></textarea>{MARKUP}{{n}}",
    f'" autofocus onfocus=alert({{n}}) {MARKUP} x="',
    f"{{{{{{{{ 7 * 7 }}}}}}}} ${{{{alert({{n}})}}}} {MARKUP}",
    f"javascript:alert({{n}}) {MARKUP}",
    f"&lt;b&gt; <svg onload=alert({{n}})> {MARKUP}",
)
RESULT = f"'\"{MARKUP}.csv"


def hostile(n: int) -> str:
    return SHAPES[n % len(SHAPES)].format(n=n)


def hostile_bundle(bundle: Path, place: Path) -> None:
    """The bundle with markup in its classes' names."""
    shutil.copytree(bundle, place)
    manifest = json.loads((place / "manifest.json").read_text())
    labels = [hostile(n) for n, _ in enumerate(manifest["labels"])]
    manifest["labels"] = labels
    (place / "labels.txt").write_bytes(labels_text(tuple(labels)))
    for file in place.glob("*.onnx"):
        model = onnx.load(file)
        for entry in model.metadata_props:
            if entry.key == METADATA_KEY:
                entry.value = json.dumps(json.loads(entry.value) | {"labels": labels})
        onnx.save(model, file)
    for name in ("labels.txt", *(file.name for file in place.glob("*.onnx"))):
        manifest["files"][name] = hashlib.sha256((place / name).read_bytes()).hexdigest()
    (place / "manifest.json").write_text(json.dumps(manifest))


def hostile_result(folder: Path, photos: Path, bundle: Path) -> None:
    """Label a catalogue with markup in its names: some photos need review, some fail."""
    (folder / "photos").mkdir(parents=True)
    rows = []
    for n, photo in enumerate(sorted(photos.rglob("*.jpg"))[::3]):
        name = hostile(n).replace("/", "\N{FRACTION SLASH}") + ".jpg"
        shutil.copy(photo, folder / "photos" / name)
        rows.append([f"photos/{name}", hostile(n + 1), hostile(n + 2)])
    (folder / "photos" / f"{MARKUP} broken.jpg").write_bytes(b"no photo")
    rows += [[f"photos/{MARKUP} broken.jpg", MARKUP, MARKUP], [f"photos/{MARKUP} missing.jpg", MARKUP, MARKUP]]
    source = folder / f"{MARKUP}.csv"
    with source.open("w", newline="") as file:
        csv.writer(file).writerows([["image", f"{MARKUP} title", "price"], *rows])
    label(LabelRequest(source, bundle, output=folder / RESULT, workers=2), lambda *_: None)
