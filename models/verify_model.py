"""The checks of one model file, for :mod:`models.verify`."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import numpy as np

from models.bundle import Bundle
from models.classifier import Classifier
from models.decision import Probabilities
from models.edge import EdgeModel, is_edge, load_edge
from models.errors import BundleError
from models.golden import check_golden, check_golden_edge
from models.session import open_session, read_metadata
from models.verification import Aspect, Check

__all__ = ["Model", "check_answer", "check_bundled_model", "check_promise", "load_model"]

Model = Classifier | EdgeModel

_SUM_TOLERANCE: Final = 1e-3


def load_model(data: bytes, source: str) -> Model:
    """Load a model of either kind.

    Args:
        data: the bytes of an ONNX or ``.ort`` file.
        source: its path, for messages.

    Raises:
        BundleError: it is no model that Hangtag exported.
    """
    session = open_session(data, source, 1)
    if is_edge(session):
        return load_edge(data, source)
    return Classifier(session, read_metadata(session, source), "")


def check_bundled_model(bundle: Bundle, variant: str, file: str, *, edge: bool, golden: bool) -> Iterator[Check]:
    """Check a file of a bundle that is the one that was exported.

    Args:
        bundle: that it is in.
        variant: that it is a file of.
        file: its name inside the bundle.
        edge: whether it has to take whole photos.
        golden: whether its golden samples can be run.
    """
    try:
        model = load_model(bundle.read(file), str(bundle.path / file))
    except BundleError as error:
        yield Check(Aspect.METADATA, file, False, str(error))
        yield Check(Aspect.GOLDEN, file, None, "not looked at: it cannot be loaded")
        return
    yield _metadata(bundle, variant, file, model, edge=edge)
    yield from check_promise(model, file)
    if golden:
        yield _golden(bundle, file, model)


def check_answer(model: Model, file: str) -> Check:
    """Check that a model gives probabilities for a white photo."""
    try:
        with _only_bundle_errors(file):
            probabilities = _answer(model)
    except BundleError as error:
        return Check(Aspect.ANSWER, file, False, str(error))
    if not np.isfinite(probabilities).all() or abs(float(probabilities.sum()) - 1) > _SUM_TOLERANCE:
        found = f"Expected probabilities that sum to 1, got {probabilities.tolist()}; export it again."
        return Check(Aspect.ANSWER, file, False, found)
    return Check(Aspect.ANSWER, file, True, "gives probabilities for a white photo")


def check_promise(model: Model, file: str) -> Iterator[Check]:
    """Find an edge graph that spares photos a review though it promises nothing: on a device the graph decides."""
    rules = model.metadata
    if (
        isinstance(model, EdgeModel)
        and rules.precision is None
        and any(limit is not None for limit in rules.thresholds)
    ):
        found = "It spares photos a review but promises no precision (an earlier version made it); export it again."
        yield Check(Aspect.PROMISE, file, False, found)


def _answer(model: Model) -> Probabilities:
    size = model.metadata.preprocess.size
    white = np.full((size, size, 3), 255, np.uint8)
    return model.run(white).probabilities if isinstance(model, EdgeModel) else model.predict(white[np.newaxis])[0]


def _metadata(bundle: Bundle, variant: str, file: str, model: Model, *, edge: bool) -> Check:
    if isinstance(model, EdgeModel) != edge:
        wanted = "whole photos" if edge else "squares of pixels"
        found = f"Expected a model that takes {wanted}, got one of the other kind; export the bundle again."
        return Check(Aspect.METADATA, file, False, found)
    try:
        bundle.check_metadata(model.metadata, variant, file)
    except BundleError as error:
        return Check(Aspect.METADATA, file, False, str(error))
    return Check(Aspect.METADATA, file, True, "as in the manifest")


def _golden(bundle: Bundle, file: str, model: Model) -> Check:
    try:
        with _only_bundle_errors(file):
            agreed = check_golden_edge(bundle, model) if isinstance(model, EdgeModel) else check_golden(bundle, model)
    except BundleError as error:
        return Check(Aspect.GOLDEN, file, False, str(error))
    return Check(Aspect.GOLDEN, file, True, f"{agreed} agree")


@contextmanager
def _only_bundle_errors(file: str) -> Iterator[None]:
    try:
        yield
    except BundleError:
        raise
    except Exception as error:  # ONNX Runtime's errors share no class of their own
        msg = f"Expected {file} to run, ONNX Runtime answered {error}; export it again."
        raise BundleError(msg) from error
