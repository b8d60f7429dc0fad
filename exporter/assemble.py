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

from exporter.default import Default
from exporter.load_tensorflow import silent_stderr
from exporter.markdown import render_markdown
from exporter.options import ExportOptions
from exporter.parity import onnx_scores
from exporter.proof import Proof
from exporter.publish import sha256_of
from exporter.training_run import TrainingRun
from exporter.variant import FLOAT16, MadeVariant
from models.benchmark.measure import Effort, measure
from models.benchmark.record import BENCHMARK_FILE, BenchmarkRecord, dump_record, new_record
from models.bundle import LABELS_FILE, PARITY_FILE, labels_text
from models.decision import precision_text
from models.edge import load_edge
from models.errors import ImageError
from models.golden import GOLDEN_FILE, GoldenSample, dump_golden
from models.manifest import Manifest
from models.photo import evenly, read_photo
from models.preprocess import Pixels, PreprocessSpec, preprocess, whole_pixels
from models.reference_answers import REFERENCE_FILE, ReferenceAnswers, answers_of_probabilities, dump_reference
from models.statistics.calibration import calibrated

PHOTOS: Final = 8
_CARD: Final = Path(__file__).with_name("bundle_card.md")
_CARD_FILE: Final = "README.md"
OPERATORS_FILE: Final = "required_operators.config"
_PACKAGES: Final = ("hangtag", "tensorflow", "keras", "tf2onnx", "onnx", "onnxruntime", "numpy", "pillow")
_LONG_SIDE: Final = 480
_TURNED_LEFT: Final = 6
_ORIENTATION_TAG: Final = 0x0112


@dataclass(frozen=True)
class GoldenPhotos:
    """The photos that a bundle proves itself with.

    Attributes:
        raw: file name → (kind, bytes).
        pixels: of each, in that order, ``uint8 (n, S, S, 3)``.
    """

    raw: dict[str, tuple[str, bytes]]
    pixels: Pixels


def golden_photos(originals: list[Path], spec: PreprocessSpec) -> dict[str, tuple[str, bytes]]:
    """Choose and make golden photos.

    Args:
        originals: validation photos as they were.
        spec: the model's preprocessing; photos that it cannot read are skipped.

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
    run: TrainingRun,
    made: Sequence[MadeVariant],
    default: Default,
    photos: GoldenPhotos,
    proof: Proof,
    options: ExportOptions,
) -> tuple[dict[str, bytes], Manifest]:
    """Collect the files of a bundle of a run's variants, float32 first.

    Returns:
        File name → contents, without the manifest; and the manifest.
    """
    # ONNX Runtime's own format holds what its optimizer made, and that has widened float16's weights.
    in_ort = [variant for variant in made if options.ort and variant.name != FLOAT16]
    record = _measured(run, made, options.effort)
    files = {
        **{name: data for variant in made for name, data in variant.files.items()},
        **(to_ort({name: data for variant in in_ort for name, data in variant.files.items()}) if in_ort else {}),
        LABELS_FILE: labels_text(run.classes),
        PARITY_FILE: proof.dump(run.measured),
        BENCHMARK_FILE: dump_record(record),
        REFERENCE_FILE: dump_reference({variant.name: reference_of(variant, run) for variant in made}),
        **_golden_files(made, photos),
    }
    manifest = Manifest(
        schema_version=1,
        name=run.name,
        version=made[0].metadata.version,
        arch=run.arch,
        labels=run.classes,
        preprocess=run.preprocess,
        default_variant=default.name,
        default_because=default.because if len(made) > 1 else None,
        variants={variant.name: variant.listed(ort=variant in in_ort) for variant in made},
        files=sha256_of(files),
        accuracy=run.test_accuracy,
        made_with={package: version(package) for package in _PACKAGES},
        taxonomy=dict(run.tree.parents) if run.tree else None,
    )
    files[_CARD_FILE] = _card(manifest, record, proof).encode()
    return files, manifest.model_copy(update={"files": sha256_of(files)})


def _card(manifest: Manifest, record: BenchmarkRecord, proof: Proof) -> str:
    """The bundle's card: what the model is, what was proved of it, and how to use it."""
    mobile = [name for variant in manifest.variants.values() for name in (variant.ort, variant.edge_ort) if name]
    return render_markdown(
        _CARD,
        manifest=manifest,
        tree=manifest.tree,
        record=record,
        proof=proof,
        ort_files=mobile,
        operators_file=OPERATORS_FILE,
        precision_text=precision_text,
    )


def to_ort(models: Mapping[str, bytes]) -> dict[str, bytes]:
    """Convert ONNX files (``model.onnx`` → contents) for ONNX Runtime's mobile build, with its own tool.

    Returns:
        ``model.ort`` and so on → contents, and ``OPERATORS_FILE``: the operators that they need, for
        ``--include_ops_by_config`` when ONNX Runtime is built.
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
        lines = operators.read_bytes().splitlines(keepends=True)  # comments name the folder of the conversion
        return {**made, OPERATORS_FILE: b"".join(line for line in lines if not line.startswith(b"#"))}


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


def reference_of(variant: MadeVariant, run: TrainingRun) -> ReferenceAnswers:
    """The predictions that drift is measured against: a variant's own, for the run's distinct validation photos.

    Where full trainings judged all photos out of fold, their predictions count as its own, as they do for its promise.
    """
    first = {hashlib.sha256(pixels.tobytes()).digest(): number for number, pixels in enumerate(run.pixels)}
    own = onnx_scores(variant.model, run.pixels[sorted(first.values())]).probabilities
    folds = run.folds if run.pools_folds and variant.has_folds else ()
    probabilities = np.concatenate([own, *(calibrated(fold.logits, variant.metadata.temperature) for fold in folds)])
    answers = answers_of_probabilities(probabilities, run.classes)
    return answers.model_copy(update={"outliers": run.outliers})


def _golden_files(made: Sequence[MadeVariant], photos: GoldenPhotos) -> dict[str, bytes]:
    scores = {variant.name: onnx_scores(variant.model, photos.pixels) for variant in made}
    edges = {variant.name: load_edge(variant.edge, "the edge graph") for variant in made if variant.edge}
    samples = []
    for number, (name, (kind, data)) in enumerate(photos.raw.items()):
        whole = whole_pixels(data)
        answers = {of: edge.run(whole) for of, edge in edges.items()}
        samples.append(
            GoldenSample(
                file=f"golden/{name}",
                kind=kind,
                probabilities={of: tuple(map(float, given.probabilities[number])) for of, given in scores.items()},
                unknown={of: float(given.unknown[number]) for of, given in scores.items() if given.unknown is not None},
                edge={of: tuple(map(float, answer.probabilities)) for of, answer in answers.items()},
                edge_unknown={of: answer.unknown for of, answer in answers.items() if answer.unknown is not None},
            )
        )
    raw = {f"golden/{name}": data for name, (_, data) in photos.raw.items()}
    return {**raw, GOLDEN_FILE: dump_golden(tuple(samples))}
