"""The files of a bundle, and the manifest that lists them."""

import contextlib
import hashlib
import io
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Final

import numpy as np
from onnxruntime.tools.convert_onnx_models_to_ort import OptimizationStyle, convert_onnx_models_to_ort
from PIL import Image

from exporter.card import OPERATORS_FILE, bundle_card
from exporter.load_tensorflow import silent_stderr
from exporter.options import ExportOptions
from exporter.proof import Proof
from exporter.prove import onnx_says
from exporter.publish import sha256_of
from exporter.training_run import TrainingRun
from exporter.variant import FLOAT16, FLOAT32, MadeVariant
from models.benchmark.measure import Effort, measure
from models.benchmark.record import BENCHMARK_FILE, BenchmarkRecord, dump_record, new_record
from models.bundle import LABELS_FILE, labels_text
from models.edge import load_edge
from models.errors import ImageError
from models.golden import GOLDEN_FILE, GoldenSample, dump_golden
from models.manifest import Manifest
from models.photo import evenly, read_photo
from models.preprocess import Pixels, PreprocessSpec, opened, preprocess, whole_rgb
from models.reference_answers import REFERENCE_FILE, ReferenceAnswers, answers_of_probabilities, dump_reference

__all__ = [
    "CARD_FILE",
    "OPERATORS_FILE",
    "PARITY_FILE",
    "GoldenPhotos",
    "MobileFiles",
    "assemble",
    "golden_photos",
    "to_ort",
]


@dataclass(frozen=True)
class MobileFiles:
    """What the mobile build needs.

    Attributes:
        models: name (``model.ort``) → contents.
        operators: the operators that the models need, for ``--include_ops_by_config`` when ONNX Runtime is built.
    """

    models: dict[str, bytes]
    operators: bytes


def to_ort(models: Mapping[str, bytes]) -> MobileFiles:
    """Convert ONNX files with ONNX Runtime's own tool.

    Args:
        models: name (``model.onnx``) → contents.
    """
    with tempfile.TemporaryDirectory() as scratch:
        source, target = Path(scratch, "onnx"), Path(scratch, "ort")
        source.mkdir()
        for name, data in models.items():
            (source / name).write_bytes(data)
        with contextlib.redirect_stdout(io.StringIO()), silent_stderr(), warnings.catch_warnings(action="ignore"):
            convert_onnx_models_to_ort(source, target, [OptimizationStyle.Fixed])
        made = {f"{Path(name).stem}.ort": (target / f"{Path(name).stem}.ort").read_bytes() for name in models}
        (operators,) = target.glob("*.config")
        return MobileFiles(made, _without_comments(operators.read_bytes()))


def _without_comments(config: bytes) -> bytes:
    """They name the folder that the models were converted in."""
    return b"".join(line for line in config.splitlines(keepends=True) if not line.startswith(b"#"))


CARD_FILE: Final = "README.md"
PARITY_FILE: Final = "parity.json"
_PACKAGES: Final = ("hangtag", "tensorflow", "keras", "tf2onnx", "onnx", "onnxruntime", "numpy", "pillow")


@dataclass(frozen=True)
class GoldenPhotos:
    """The photos that a bundle proves itself with.

    Attributes:
        raw: file name → (kind, bytes).
        pixels: of each, in that order, ``uint8 (n, S, S, 3)``.
    """

    raw: dict[str, tuple[str, bytes]]
    pixels: Pixels


def assemble(
    run: TrainingRun, made: Sequence[MadeVariant], photos: GoldenPhotos, proof: Proof, options: ExportOptions
) -> tuple[dict[str, bytes], Manifest]:
    """All that a bundle holds.

    Args:
        run: that was exported.
        made: its variants, float32 first.
        photos: for its golden samples.
        proof: of its variants.
        options: what was asked.

    Returns:
        File name → contents, without the manifest; and the manifest.
    """
    models = {name: data for variant in made for name, data in variant.files.items()}
    mobile = _mobile(made) if options.ort else {}
    record = _measured(run, made, options.effort)
    files = {
        **models,
        **mobile,
        LABELS_FILE: labels_text(run.classes),
        PARITY_FILE: proof.dump(run.classes),
        BENCHMARK_FILE: dump_record(record),
        REFERENCE_FILE: dump_reference({variant.name: _reference(variant, run) for variant in made}),
        **_golden_files(made, photos),
    }
    files[CARD_FILE] = bundle_card(_manifest(run, made, files, options), record, proof).encode()
    return files, _manifest(run, made, files, options)


def _has_ort(variant: MadeVariant, options: ExportOptions) -> bool:
    """ONNX Runtime's own format holds what its optimizer made, and that has widened float16's weights."""
    return options.ort and variant.name != FLOAT16


def _mobile(made: Sequence[MadeVariant]) -> dict[str, bytes]:
    models = {name: data for variant in made if variant.name != FLOAT16 for name, data in variant.files.items()}
    files = to_ort(models)
    return {**files.models, OPERATORS_FILE: files.operators}


def _measured(run: TrainingRun, made: Sequence[MadeVariant], effort: Effort) -> BenchmarkRecord:
    with tempfile.TemporaryDirectory() as scratch:
        for variant in made:
            for name, data in variant.files.items():
                Path(scratch, name).write_bytes(data)
        measured = measure(
            {variant.name: Path(scratch, variant.file("model")) for variant in made},
            run.preprocess.size,
            {variant.name: Path(scratch, variant.file("edge")) for variant in made if variant.edge},
            effort,
        )
    return new_record(made[0].metadata.name, made[0].metadata.version, measured, None)


def _reference(variant: MadeVariant, run: TrainingRun) -> ReferenceAnswers:
    """What a variant says of the run's distinct validation photos, which labelled photos are compared with."""
    first = {hashlib.sha256(pixels.tobytes()).digest(): number for number, pixels in enumerate(run.pixels)}
    said = onnx_says(variant.model, run.pixels[sorted(first.values())])
    return answers_of_probabilities(said.probabilities, run.classes)


def _golden_files(made: Sequence[MadeVariant], photos: GoldenPhotos) -> dict[str, bytes]:
    scores = {variant.name: onnx_says(variant.model, photos.pixels) for variant in made}
    edges = {variant.name: load_edge(variant.edge, "the edge graph") for variant in made if variant.edge}
    samples = []
    for number, (name, (kind, data)) in enumerate(photos.raw.items()):
        with opened(data) as image:
            whole = np.asarray(whole_rgb(image))
        answers = {of: edge.run(whole) for of, edge in edges.items()}
        samples.append(
            GoldenSample(
                file=f"golden/{name}",
                kind=kind,
                probabilities={of: tuple(map(float, said.probabilities[number])) for of, said in scores.items()},
                unknown={of: float(said.unknown[number]) for of, said in scores.items() if said.unknown is not None},
                edge={of: tuple(map(float, answer.probabilities)) for of, answer in answers.items()},
                edge_unknown={of: answer.unknown for of, answer in answers.items() if answer.unknown is not None},
            )
        )
    raw = {f"golden/{name}": data for name, (_, data) in photos.raw.items()}
    return {**raw, GOLDEN_FILE: dump_golden(tuple(samples))}


def _manifest(
    run: TrainingRun, made: Sequence[MadeVariant], files: dict[str, bytes], options: ExportOptions
) -> Manifest:
    return Manifest(
        schema_version=1,
        name=run.name,
        version=made[0].metadata.version,
        arch=run.arch,
        labels=run.classes,
        preprocess=run.preprocess,
        default_variant=FLOAT32,
        variants={variant.name: variant.listed(ort=_has_ort(variant, options)) for variant in made},
        files=sha256_of(files),
        accuracy=run.test_accuracy,
        made_with={package: version(package) for package in _PACKAGES},
    )


PHOTOS: Final = 8
_LONG_SIDE: Final = 480
_TURNED_LEFT: Final = 6
_ORIENTATION_TAG: Final = 0x0112


def golden_photos(originals: list[Path], spec: PreprocessSpec) -> dict[str, tuple[str, bytes]]:
    """Choose and make golden photos.

    Args:
        originals: validation photos as they were.
        spec: the model's preprocessing; photos it cannot read are passed over.

    Returns:
        File name → (kind, bytes): some originals, then one very wide, one turned by its EXIF tag, one transparent.
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
    with Image.open(io.BytesIO(data)) as opened:
        photo = opened.convert("RGB")
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
