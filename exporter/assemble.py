"""Builds and publishes the files of a bundle."""

import hashlib
import io
import json
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image

from exporter.markdown import render_markdown
from exporter.options import check_free
from exporter.parity import onnx_scores
from exporter.proof import Default, Proof
from exporter.training_run import TrainingRun
from exporter.variant import MadeVariant
from models.bundle import LABELS_FILE, MANIFEST_FILE, labels_text
from models.classifier import load_edge
from models.decision import Probabilities, precision_text
from models.drift import REFERENCE_FILE, ProofRows, Reference, VariantReference, answers_of_probabilities
from models.errors import ImageError, InputError, system_words
from models.golden import GOLDEN_FILE, GoldenAnswer, GoldenSample, GoldenSamples
from models.manifest import Manifest
from models.photo import evenly, read_photo
from models.preprocess import Pixels, PreprocessSpec, preprocess, whole_pixels
from models.statistics.calibration import calibrated
from models.statistics.confidence import Thresholds
from models.statistics.fixed_sequence import effective_rows
from models.statistics.thresholds import HeldOutRows, joined_groups
from models.whole_file import naming_full_disk, write_synced


def sha256_of(files: Mapping[str, bytes]) -> dict[str, str]:
    """Return the SHA-256 of each file, by file name."""
    return {name: hashlib.sha256(data).hexdigest() for name, data in sorted(files.items())}


def publish(place: Path, files: Mapping[str, bytes], manifest: Manifest, check: Callable[[Path], None]) -> None:
    """Write a bundle to a temporary folder, check it, then rename the folder to ``place``.

    ``files``: contents by name, without the manifest. If ``check`` raises an error, the bundle is not published. Raises
    InputError if ``place`` exists.
    """
    check_free(place)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with (
            naming_full_disk(place.parent),
            tempfile.TemporaryDirectory(prefix=".bundle.", dir=place.parent, ignore_cleanup_errors=True) as beside,
        ):
            whole = Path(beside) / "bundle"
            for name, data in {**files, MANIFEST_FILE: manifest.model_dump_json(indent=1).encode()}.items():
                (whole / name).parent.mkdir(parents=True, exist_ok=True)
                write_synced(whole / name, data)
            check(whole)
            check_free(place)
            whole.rename(place)
    except OSError as error:
        msg = f"Could not write the bundle {place}. {system_words(error)}"
        raise InputError(msg) from error


PHOTOS: Final = 8
_CARD: Final = Path(__file__).with_name("bundle_card.md")
_CARD_FILE: Final = "README.md"
_PARITY_FILE: Final = "parity.json"
_QUANTILES: Final = 100
"""Number of confidence bins with equal numbers of photos in ``reference.json``. Thresholds are added as edges."""
_PACKAGES: Final = ("hangtag", "tensorflow", "keras", "tf2onnx", "onnx", "onnxruntime", "numpy", "pillow")
_LONG_SIDE: Final = 480
_TURNED_LEFT: Final = 6
_ORIENTATION_TAG: Final = 0x0112


@dataclass(frozen=True)
class GoldenPhotos:
    """The kinds and bytes of golden photos by file name, and the photos' pixels, ``uint8 (n, S, S, 3)``."""

    raw: dict[str, tuple[str, bytes]]
    pixels: Pixels


def golden_photos(originals: list[Path], spec: PreprocessSpec) -> dict[str, tuple[str, bytes]]:
    """Some validation photos, then a very wide photo, a photo turned by its EXIF tag, and a transparent photo.

    Returns (kind, bytes) by file name.
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
    """Return the contents of a bundle's files, by name, and its manifest.

    The first of ``variants`` is float32.
    """
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


def reference_of(variant: MadeVariant, run: TrainingRun) -> VariantReference:
    """The reference for drift: a variant's predictions for the run's distinct validation photos.

    Includes out-of-fold predictions if the fold networks were fully trained.
    """
    scores = onnx_scores(variant.model, run.pixels)
    first = {hashlib.sha256(pixels.tobytes()).digest(): number for number, pixels in enumerate(run.pixels)}
    own = scores.probabilities[sorted(first.values())]
    metadata, speak_for_it = variant.metadata, variant.facts is None or variant.facts.has_folds
    known = np.ones(len(run.labels), np.bool_)
    if metadata.unknown is not None and scores.unknown is not None:
        known = np.asarray(scores.unknown <= metadata.unknown.limit)
    folds = [
        HeldOutRows(calibrated(fold.logits, metadata.temperature), fold.labels, fold.known, fold.groups)
        if run.pools_folds
        else fold.fitted()[1]
        for fold in (run.folds if speak_for_it else ())
    ]
    proof = proof_rows(
        [HeldOutRows(scores.probabilities, run.labels, known, run.groups), *folds],
        run.classes,
        [target.thresholds for target in metadata.targets],
    )
    pooled = [own, *(fold.probabilities for fold in folds)] if run.pools_folds else [own]
    answers = answers_of_probabilities(np.concatenate(pooled), run.classes)
    return VariantReference(**dict(answers) | {"outliers": run.outliers, "proof": proof, "repeated": run.repeated})


def proof_rows(parts: Sequence[HeldOutRows], labels: Sequence[str], targets: Iterable[Thresholds]) -> ProofRows | None:
    """Count the rows from which the thresholds of ``targets`` were computed. Returns None without rows."""
    known = np.concatenate([part.known for part in parts])
    probabilities = np.concatenate([part.probabilities for part in parts])[known]
    if not len(probabilities):
        return None
    confidence = probabilities.max(axis=1)
    quantiles = np.quantile(confidence, np.linspace(0, 1, _QUANTILES + 1)[1:-1], method="lower")
    thresholds = [limit for target in targets for limit in target if limit is not None]
    edges = np.unique(np.concatenate([quantiles, thresholds]).astype(np.float32))
    bins = np.searchsorted(edges, confidence, side="right")
    true = np.concatenate([part.labels for part in parts])[known]
    counts = Counter(zip(true.tolist(), probabilities.argmax(axis=1).tolist(), bins.tolist(), strict=True))
    groups = joined_groups(parts)[known]
    return ProofRows(
        labels=tuple(labels),
        edges=tuple(edges.tolist()),
        rows=tuple((*answer, count) for answer, count in sorted(counts.items())),
        effective_rows=float(effective_rows(groups, np.ones(len(groups), np.bool_))[-1]),
    )


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
            GoldenSample(file=f"golden/{name}", kind=kind, answers=of_photo)
            for (name, (kind, _)), of_photo in zip(photos.raw.items(), answers, strict=True)
        )
    )
    raw = {f"golden/{name}": data for name, (_, data) in photos.raw.items()}
    return {**raw, GOLDEN_FILE: samples.model_dump_json(indent=1).encode()}


def _answer(probabilities: Probabilities, unknown: float | None) -> GoldenAnswer:
    return GoldenAnswer(probabilities=tuple(map(float, probabilities)), unknown=unknown)
