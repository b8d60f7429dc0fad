"""A run in, a bundle out: published only when ONNX Runtime has agreed with Keras on the run's own photos."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from shlex import quote

import keras
import numpy as np

from exporter.assemble import GoldenPhotos, assemble, golden_photos
from exporter.cost import Float32, whole_gain
from exporter.default import choose_default
from exporter.edge.build import edge_graph
from exporter.edge.prove import prove_edge
from exporter.graph import network_ends, to_logits
from exporter.options import Advance, ExportOptions
from exporter.parity import onnx_scores, prove
from exporter.proof import Proof
from exporter.publish import check_free, publish
from exporter.training_run import TrainingRun, read_training_run
from exporter.variant import MadeVariant, Refusal, finished, make_float16, make_int8, metadata_of
from models.benchmark.record import this_machine
from models.bundle import open_bundle
from models.classifier import Classifier, load
from models.edge import load_edge
from models.errors import BundleError, ImageError, InputError, ParityError
from models.golden import check_golden
from models.manifest import FLOAT32
from models.photo import read_photo
from models.preprocess import preprocess
from models.session import open_session


@dataclass(frozen=True)
class ExportResult:
    """A published bundle and its proof.

    Attributes:
        bundle: the folder.
        proof: that it says what Keras said.
        sizes: file name → bytes, of the models.
        digest: SHA-256 of the manifest.
    """

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
    """Convert a run's best network and prove it.

    Args:
        run_path: a run folder.
        place: where the bundle will be; nothing may be there.
        options: what is made in addition to ``model.onnx``; nothing by default.
        advance: called with what is being done.

    Raises:
        InputError: the run cannot be read, something is at ``place``, or the default variant that is asked for does not
            ship.
        ParityError: ONNX Runtime and Keras disagree, or an edge graph and its model; nothing is published. It is a
            :class:`exporter.proof.DisprovedError` if there are figures to show.
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
    many, one = prove(network, data, pixels, metadata, run.unknown_head, options.atol)
    proof = Proof(run.classes, many, one, len(photos.raw))
    proof.check()
    compared = run.compared_pixels() if options.int8 or options.float16 else run.pixels
    source = Float32(model, compared, onnx_scores(model.SerializeToString(), compared), run, version)
    accuracy = float((source.scores.probabilities[: len(run.labels)].argmax(axis=1) == run.labels).mean())
    float32 = MadeVariant(metadata, data, accuracy)
    lighter = list(_lighter(source, options, advance))
    proof = replace(proof, refusals=tuple(one for one in lighter if isinstance(one, Refusal)))
    made = [float32, *(_timed(one, float32, run) for one in lighter if isinstance(one, MadeVariant))]
    default = choose_default(made, options, this_machine().cpu)
    if options.edge:
        advance("Comparing edge graphs", 0, 1)
        made = [_with_edge(variant, run, options.max_drop) for variant in made]
    proof = replace(proof, variants=tuple(made), default=default)
    proof.check()
    advance("Measuring speed", 0, 1)
    files, manifest = assemble(run, made, default, photos, proof, options)
    publish(place, files, manifest, _check_itself)
    sizes = {name: len(data) for variant in made for name, data in variant.files.items()}
    return ExportResult(place, proof, sizes, open_bundle(place).digest)


def _lighter(source: Float32, options: ExportOptions, advance: Advance) -> Iterator[MadeVariant | Refusal]:
    """The variants that were asked for, or why they are refused."""
    if options.int8:
        yield make_int8(source, options, advance)
    if options.float16:
        advance("Halving weights", 0, 1)
        yield make_float16(source, options)


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
        msg = f"Expected a Keras model in {run.network}, it cannot be loaded ({error}); train again."
        raise InputError(msg) from error
    units = network.output_shape[-1]
    if max(units, 2) != len(run.classes):
        msg = f"{run.network} tells {max(units, 2)} classes apart, but the run names {len(run.classes)}; train again."
        raise InputError(msg)
    features = network_ends(network).outputs[0].shape[-1]
    if run.unknown_head is not None and len(run.unknown_head.mean) != features:
        msg = (
            f"The unknown score of the run is of {len(run.unknown_head.mean)} features, but {run.network} has "
            f"{features}; make it with hangtag train --resume {quote(str(run.network.parent.parent))}."
        )
        raise InputError(msg)
    return network


def _timed(variant: MadeVariant, float32: MadeVariant, run: TrainingRun) -> MadeVariant:
    """A variant, with how much faster than float32 it is from a photo's file to its label."""
    photos = map(_bytes_of, run.originals)
    return replace(variant, whole_gain=whole_gain(float32.model, variant.model, photos, run.preprocess))


def _with_edge(variant: MadeVariant, run: TrainingRun, max_drop: float) -> MadeVariant:
    edge = edge_graph(variant.model, run.preprocess)
    classifier = Classifier(open_session(variant.model, "the model", threads=1), variant.metadata, "")
    photos = map(_bytes_of, run.originals)
    parity = prove_edge(load_edge(edge, "the edge graph"), classifier, photos, run.original_labels(), max_drop)
    return replace(variant, edge=edge, edge_parity=parity)


def _bytes_of(path: Path) -> bytes:
    """The bytes of a photo; empty if it can no longer be read, so that it is passed over like a damaged one."""
    try:
        return read_photo(path)
    except ImageError:
        return b""


def _check_itself(place: Path) -> None:
    try:
        bundle = open_bundle(place)
        for name, variant in bundle.manifest.variants.items():
            check_golden(bundle, load(bundle.path, name))
            for file in filter(None, (variant.edge, variant.edge_ort)):
                check_golden(bundle, load_edge(bundle.read(file), file))
            if variant.ort:
                session = open_session(bundle.read(variant.ort), variant.ort, threads=1)
                check_golden(bundle, Classifier(session, bundle.manifest.metadata(name), ""))
    except BundleError as error:
        msg = f"The bundle does not repeat its own golden samples: {error} Nothing was published."
        raise ParityError(msg) from error
