"""Converts a run to a bundle. The bundle is published only if ONNX Runtime agrees with Keras on the run's photos."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from shlex import quote

import keras
import numpy as np

from exporter.assemble import GoldenPhotos, assemble, golden_photos, publish
from exporter.cost import Float32
from exporter.edge.build import edge_graph
from exporter.edge.prove import prove_edge
from exporter.graph import network_ends, to_logits
from exporter.int8 import Refusal
from exporter.options import Advance, ExportOptions, check_free
from exporter.parity import onnx_scores, prove
from exporter.proof import Proof, choose_default
from exporter.training_run import TrainingRun, read_training_run
from exporter.variant import MadeVariant, finished, make_int8, metadata_of
from models.bundle import open_bundle
from models.classifier import Classifier, load, load_edge
from models.errors import BundleError, InputError, ParityError
from models.golden import check_golden
from models.manifest import FLOAT32
from models.preprocess import preprocess
from models.process import this_machine
from models.session import open_session


@dataclass(frozen=True)
class ExportResult:
    """A published bundle. ``sizes``: bytes of each ONNX file. ``digest``: SHA-256 of the manifest."""

    bundle: Path
    proof: Proof
    sizes: dict[str, int]
    digest: str


def export_run(
    run_path: Path,
    place: Path,
    options: ExportOptions | None = None,
    advance: Advance = lambda what, done, total: None,
) -> ExportResult:
    """Convert a run's best network to a bundle in the new folder ``place``, and compare it with Keras.

    Raises InputError if the run or an option is unusable. Raises ParityError if ONNX Runtime disagrees with Keras, or
    if an edge graph disagrees with its model. A :class:`exporter.proof.DisprovedError` contains the figures. After
    an error, no bundle is published.
    """
    options = options or ExportOptions()
    check_free(place)
    run = read_training_run(run_path)
    photos = _golden(run, run_path)
    advance("Converting", 0, 1)
    network = _load_network(run)
    model = to_logits(network, run.preprocess.size, run.unknown_head)
    version = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    metadata = metadata_of(run, FLOAT32, version, run.confidence)
    data = finished(model, metadata)
    advance("Comparing with Keras", 0, 1)
    pixels = np.concatenate([photos.pixels, run.pixels])
    many, one = prove(network, data, pixels, metadata, run.unknown_head)
    proof = Proof(run.classes, many, one, len(photos.raw))
    proof.check()
    compared = run.compared_pixels() if options.int8 else run.pixels
    source = Float32(model, compared, onnx_scores(model.SerializeToString(), compared), run, version)
    accuracy = float((source.scores.probabilities[: len(run.labels)].argmax(axis=1) == run.labels).mean())
    float32 = MadeVariant(metadata, data, accuracy)
    quantized = make_int8(source, options, advance) if options.int8 else None
    int8 = quantized if isinstance(quantized, MadeVariant) else None
    default = choose_default(float32, int8, options, this_machine().cpu)
    variants = [float32, *([int8] if int8 else [])]
    if options.edge:
        advance("Comparing edge graphs", 0, 1)
        variants = [_with_edge(variant, run, options.max_drop) for variant in variants]
    refusal = quantized if isinstance(quantized, Refusal) else None
    proof = replace(proof, variants=tuple(variants), refusal=refusal, default=default)
    proof.check()
    files, manifest = assemble(run, variants, default, photos, proof)
    publish(place, files, manifest, _check_itself)
    sizes = {name: len(data) for variant in variants for name, data in variant.files.items()}
    return ExportResult(place, proof, sizes, open_bundle(place).digest)


def _golden(run: TrainingRun, run_path: Path) -> GoldenPhotos:
    raw = golden_photos(run.originals, run.preprocess)
    if not raw:
        msg = f"Expected readable photos in {run_path / 'export' / 'originals'}, found none; train again."
        raise InputError(msg)
    return GoldenPhotos(raw, np.stack([preprocess(data, run.preprocess) for _, data in raw.values()]))


def _load_network(run: TrainingRun) -> keras.Model:
    try:
        network = keras.saving.load_model(run.network, compile=False)
    except (OSError, ValueError, KeyError, TypeError) as error:
        msg = f"Expected a Keras model in {run.network}, but it cannot be loaded ({error}); train again."
        raise InputError(msg) from error
    units = network.output_shape[-1]
    if max(units, 2) != len(run.classes):
        msg = f"{run.network} predicts {max(units, 2)} classes, but the run has {len(run.classes)}; train again."
        raise InputError(msg)
    features = network_ends(network).outputs[0].shape[-1]
    if run.unknown_head is not None and len(run.unknown_head.mean) != features:
        msg = (
            f"The out-of-distribution score of the run has {len(run.unknown_head.mean)} features, but {run.network} "
            f"has {features}; run hangtag train --resume {quote(str(run.network.parent.parent))}."
        )
        raise InputError(msg)
    return network


def _with_edge(variant: MadeVariant, run: TrainingRun, max_drop: float) -> MadeVariant:
    edge = edge_graph(variant.model, variant.metadata)
    classifier = Classifier(open_session(variant.model, "the model", threads=1), variant.metadata, "")
    labels = run.original_labels()
    parity = prove_edge(load_edge(edge, "the edge graph"), classifier, run.original_bytes(), labels, max_drop)
    return replace(variant, edge=edge, edge_parity=parity)


def _check_itself(place: Path) -> None:
    try:
        bundle = open_bundle(place)
        for name, variant in bundle.manifest.variants.items():
            check_golden(bundle, load(bundle.path, name))
            if variant.edge:
                check_golden(bundle, load_edge(bundle.read(variant.edge), variant.edge))
    except BundleError as error:
        msg = f"The bundle does not reproduce its golden samples: {error} Nothing was published."
        raise ParityError(msg) from error
