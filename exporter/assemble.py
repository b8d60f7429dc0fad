"""The files of a bundle, and the manifest that lists them."""

import hashlib
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image

from exporter.default import Default
from exporter.markdown import render_markdown
from exporter.parity import onnx_scores
from exporter.proof import Proof
from exporter.publish import sha256_of
from exporter.training_run import TrainingRun
from exporter.variant import MadeVariant
from models.bundle import LABELS_FILE, labels_text
from models.decision import Probabilities, precision_text
from models.edge import load_edge
from models.errors import ImageError
from models.golden import GOLDEN_FILE, GoldenAnswer, GoldenSample, GoldenSamples
from models.manifest import Manifest
from models.photo import evenly, read_photo
from models.preprocess import Pixels, PreprocessSpec, preprocess, whole_pixels
from models.reference_answers import REFERENCE_FILE, Reference, ReferenceAnswers, answers_of_probabilities
from models.statistics.calibration import calibrated

PHOTOS: Final = 8
_CARD: Final = Path(__file__).with_name("bundle_card.md")
_CARD_FILE: Final = "README.md"
_PARITY_FILE: Final = "parity.json"
_PACKAGES: Final = ("hangtag", "tensorflow", "keras", "tf2onnx", "onnx", "onnxruntime", "numpy", "pillow")
_LONG_SIDE: Final = 480
_TURNED_LEFT: Final = 6
_ORIENTATION_TAG: Final = 0x0112


@dataclass(frozen=True)
class GoldenPhotos:
    """Golden photos: file name → (kind, bytes), and their pixels in that order, ``uint8 (n, S, S, 3)``."""

    raw: dict[str, tuple[str, bytes]]
    pixels: Pixels


def golden_photos(originals: list[Path], spec: PreprocessSpec) -> dict[str, tuple[str, bytes]]:
    """Some of the originals that can be read, then one very wide, one turned by its EXIF tag, one transparent.

    Returns file name → (kind, bytes).
    """
    readable = [(path, data) for path in originals if (data := _readable(path, spec)) is not None]
    chosen = [readable[i] for i in evenly(len(readable), PHOTOS)]
    photos = {f"photo-{i}{path.suffix}": ("photo", data) for i, (path, data) in enumerate(chosen)}
    return {**photos, **(_hard_cases(chosen[0][1]) if chosen else {})}


def _readable(path: Path, spec: PreprocessSpec) -> bytes | None:
    try:
        data = read_photo(path)
        preprocess(data, spec)
    except ImageError:
        return None
    return data


def _hard_cases(data: bytes) -> dict[str, tuple[str, bytes]]:
    with Image.open(io.BytesIO(data)) as image:
        photo = image.convert("RGB")
    photo.thumbnail((_LONG_SIDE, _LONG_SIDE))
    wide = photo.resize((photo.width, max(1, photo.width // 3)))
    exif = Image.Exif()
    exif[_ORIENTATION_TAG] = _TURNED_LEFT
    turned = photo.transpose(Image.Transpose.ROTATE_90)
    clear = photo.convert("RGBA")
    clear.putalpha(Image.linear_gradient("L").resize(photo.size))
    return {
        "non-square.jpg": ("non_square", _encoded(wide, "JPEG")),
        "exif-rotated.jpg": ("exif_rotated", _encoded(turned, "JPEG", exif)),
        "transparent.png": ("transparent", _encoded(clear, "PNG")),
    }


def _encoded(image: Image.Image, kind: str, exif: Image.Exif | None = None) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, exif=exif or Image.Exif())
    return buffer.getvalue()


def assemble(
    run: TrainingRun, variants: Sequence[MadeVariant], default: Default, photos: GoldenPhotos, proof: Proof
) -> tuple[dict[str, bytes], Manifest]:
    """The files of a bundle (name → contents, without the manifest) and its manifest; ``variants``: float32 first."""
    reference = Reference(variants={variant.name: reference_of(variant, run) for variant in variants})
    files = {
        **{name: data for variant in variants for name, data in variant.files.items()},
        LABELS_FILE: labels_text(run.classes),
        _PARITY_FILE: json.dumps(proof.as_json(), indent=1, allow_nan=False).encode(),
        REFERENCE_FILE: reference.model_dump_json(indent=1).encode(),
        **_golden_files(variants, photos),
    }
    manifest = Manifest(
        schema_version=1,
        name=run.name,
        version=variants[0].metadata.version,
        arch=run.arch,
        labels=run.classes,
        preprocess=run.preprocess,
        taxonomy=run.taxonomy,
        default_variant=default.name,
        default_because=default.because if len(variants) > 1 else None,
        variants={variant.name: variant.listed for variant in variants},
        files=sha256_of(files),
        measured=run.measured,
        made_with={package: version(package) for package in _PACKAGES},
    )
    card = render_markdown(_CARD, manifest=manifest, tree=manifest.tree, proof=proof, precision_text=precision_text)
    files[_CARD_FILE] = card.encode()
    return files, manifest.model_copy(update={"files": sha256_of(files)})


def reference_of(variant: MadeVariant, run: TrainingRun) -> ReferenceAnswers:
    """The predictions that drift is measured against: a variant's own, for the run's distinct validation photos.

    Where full trainings judged all photos out of fold, their predictions count as its own, as they do for its promise.
    """
    first = {hashlib.sha256(pixels.tobytes()).digest(): number for number, pixels in enumerate(run.pixels)}
    own = onnx_scores(variant.model, run.pixels[sorted(first.values())]).probabilities
    speak_for_it = variant.facts is None or variant.facts.has_folds
    folds = run.folds if run.pools_folds and speak_for_it else ()
    probabilities = np.concatenate([own, *(calibrated(fold.logits, variant.metadata.temperature) for fold in folds)])
    answers = answers_of_probabilities(probabilities, run.classes)
    return answers.model_copy(update={"outliers": run.outliers})


def _golden_files(variants: Sequence[MadeVariant], photos: GoldenPhotos) -> dict[str, bytes]:
    answers: list[dict[str, GoldenAnswer]] = [{} for _ in photos.raw]
    for variant in variants:
        scores = onnx_scores(variant.model, photos.pixels)
        edge = load_edge(variant.edge, "the edge graph") if variant.edge else None
        for number, (_, data) in enumerate(photos.raw.values()):
            unknown = None if scores.unknown is None else float(scores.unknown[number])
            answers[number][variant.file("model")] = _answer(scores.probabilities[number], unknown)
            if edge:
                whole = edge.run(whole_pixels(data))
                answers[number][variant.file("edge")] = _answer(whole.probabilities, whole.unknown)
    samples = GoldenSamples(
        samples=tuple(
            GoldenSample(file=f"golden/{name}", kind=kind, answers=given)
            for (name, (kind, _)), given in zip(photos.raw.items(), answers, strict=True)
        )
    )
    raw = {f"golden/{name}": data for name, (_, data) in photos.raw.items()}
    return {**raw, GOLDEN_FILE: samples.model_dump_json(indent=1).encode()}


def _answer(probabilities: Probabilities, unknown: float | None) -> GoldenAnswer:
    return GoldenAnswer(probabilities=tuple(map(float, probabilities)), unknown=unknown)
