"""A run in, a bundle out: published only when ONNX Runtime has agreed with Keras on the run's own photos."""

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Final

import keras
import numpy as np

from exporter.confidence.thresholds import ruling_thresholds
from exporter.ends import network_ends
from exporter.golden_samples import golden_photos
from exporter.graph import add_metadata, convert
from exporter.parity import MANY, Parity, run_onnx
from exporter.prove import prove
from exporter.publish import check_free, publish, sha256_of
from exporter.training_run import TrainingRun, read_training_run
from models.bundle import LABELS_FILE, labels_text, open_bundle
from models.classifier import load
from models.errors import InputError
from models.golden import GOLDEN_FILE, GoldenSample, check_golden, dump_golden
from models.manifest import Manifest, ModelMetadata, Variant
from models.preprocess import Pixels, preprocess

__all__ = ["ExportResult", "export_run"]

VARIANT: Final = "float32"
_MODEL_FILE: Final = "model.onnx"
_PACKAGES: Final = ("hangtag", "tensorflow", "keras", "tf2onnx", "onnx", "onnxruntime", "numpy", "pillow")


@dataclass(frozen=True)
class ExportResult:
    """A published bundle and its proof.

    Attributes:
        bundle: the folder.
        many, one: agreement with Keras in batches of many photos, and of one.
        golden: how many golden samples it carries.
        model_bytes: size of the ONNX file.
    """

    bundle: Path
    many: Parity
    one: Parity
    golden: int
    model_bytes: int


def export_run(run_path: Path, place: Path) -> ExportResult:
    """Convert a run's best network and prove it.

    Args:
        run_path: a run folder.
        place: where the bundle will be; nothing may be there.

    Raises:
        InputError: the run cannot be read, or something is at ``place``.
        ParityError: ONNX Runtime and Keras disagree; nothing is published.
    """
    check_free(place)
    run = read_training_run(run_path)
    metadata = _metadata(run)
    network = _load_network(run)
    model = add_metadata(convert(network, run.preprocess.size, metadata.temperature, run.unknown), metadata)
    photos = golden_photos(run.originals, run.preprocess)
    if not photos:
        msg = f"Expected readable photos in {run_path / 'export' / 'originals'}, found none; train anew."
        raise InputError(msg)
    samples = np.stack([preprocess(data, run.preprocess) for _, data in photos.values()])
    many, one = prove(network, model, np.concatenate([samples, run.pixels]), metadata, run.unknown)
    files = {
        _MODEL_FILE: model,
        LABELS_FILE: labels_text(run.classes),
        "parity.json": json.dumps({"batches": asdict(many), "one_by_one": asdict(one)}, indent=1).encode(),
        **_golden_files(model, photos, samples),
    }
    publish(place, files, _manifest(run, metadata, files), _check_itself)
    return ExportResult(place, many, one, len(photos), len(model))


def _check_itself(bundle: Path) -> None:
    check_golden(open_bundle(bundle), load(bundle))


def _load_network(run: TrainingRun) -> keras.Model:
    try:
        network = keras.saving.load_model(run.network, compile=False)
    except (OSError, ValueError, KeyError, TypeError) as error:
        msg = f"Expected a Keras model in {run.network}, it cannot be loaded ({error}); train anew."
        raise InputError(msg) from error
    units = network.output_shape[-1]
    if max(units, 2) != len(run.classes):
        msg = f"{run.network} tells {max(units, 2)} classes apart, but the run names {len(run.classes)}; train anew."
        raise InputError(msg)
    _check_features(run, network)
    return network


def _check_features(run: TrainingRun, network: keras.Model) -> None:
    features = network_ends(network).outputs[0].shape[-1]
    if run.unknown_head is not None and len(run.unknown_head.mean) != features:
        msg = (
            f"The unknown score of the run is of {len(run.unknown_head.mean)} features, but {run.network} has "
            f"{features}; make it anew with hangtag train --resume {run.network.parent.parent}."
        )
        raise InputError(msg)


def _metadata(run: TrainingRun) -> ModelMetadata:
    sure = run.confidence
    return ModelMetadata(
        schema_version=1,
        name=run.name,
        version=datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ"),
        variant=VARIANT,
        labels=run.classes,
        preprocess=run.preprocess,
        temperature=sure.temperature,
        thresholds=ruling_thresholds(sure, len(run.classes)),
        precision=sure.precision,
        targets=sure.targets,
        unknown=sure.unknown,
    )


def _golden_files(model: bytes, photos: dict[str, tuple[str, bytes]], samples: Pixels) -> dict[str, bytes]:
    files = {f"golden/{name}": data for name, (_, data) in photos.items()}
    scores = run_onnx(model, samples, MANY)
    unknown = [{}] * len(samples) if scores.unknown is None else [{VARIANT: float(score)} for score in scores.unknown]
    expected = tuple(
        GoldenSample(
            file=f"golden/{name}", kind=kind, probabilities={VARIANT: tuple(float(p) for p in row)}, unknown=strange
        )
        for (name, (kind, _)), row, strange in zip(photos.items(), scores.probabilities, unknown, strict=True)
    )
    return {**files, GOLDEN_FILE: dump_golden(expected)}


def _manifest(run: TrainingRun, metadata: ModelMetadata, files: dict[str, bytes]) -> Manifest:
    return Manifest(
        schema_version=1,
        name=metadata.name,
        version=metadata.version,
        arch=run.arch,
        labels=run.classes,
        preprocess=run.preprocess,
        default_variant=VARIANT,
        variants={VARIANT: _variant(metadata)},
        files=sha256_of(files),
        accuracy=run.test_accuracy,
        made_with={package: version(package) for package in _PACKAGES},
    )


def _variant(metadata: ModelMetadata) -> Variant:
    return Variant(
        file=_MODEL_FILE,
        temperature=metadata.temperature,
        thresholds=metadata.thresholds,
        precision=metadata.precision,
        targets=metadata.targets,
        unknown=metadata.unknown,
    )
